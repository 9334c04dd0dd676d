//! Writes to the ERP what has changed in the shop.

use shared::{
    domain::{EntityRef, FieldGroup},
    erp::{ErpRecord, Party, PartyKind, UpdateOutcome},
    http::Deadline,
    mappings::Binding,
    runtime::configuration::SyncPolicy,
};

use super::{
    emptied, kept,
    party::{self, ShopFingerprints},
};
use crate::{erps::Erps, record_index::RecordIndex, result::Failure};

/// How often an update is prepared again because another writer was faster, before the message waits.
const UPDATE_ATTEMPTS: u32 = 3;

/// Updates ERP records.
#[derive(Clone, Copy)]
pub(crate) struct Updater<'a> {
    pub(crate) erps: Erps<'a>,
    pub(crate) index: RecordIndex<'a>,
    pub(crate) fingerprints: ShopFingerprints<'a>,
    pub(crate) policy: &'a SyncPolicy,
    pub(crate) deadline: Deadline,
}

impl Updater<'_> {
    /// Updates the ERP's record to what the shop has; `true` if something was written. `seen`: the record, if it was
    /// already read.
    pub(crate) async fn update(
        &self,
        entity: EntityRef,
        binding: &mut Binding,
        party: &Party,
        mut seen: Option<ErpRecord>,
    ) -> Result<bool, Failure> {
        let fingerprint = self.fingerprints.of(party)?;
        let mut filled = emptied::filled(party);
        // A field that Norce did not show may have a value.
        let before = binding.filled.iter().flatten();
        filled.extend(before.filter(|field| party.unread.contains(field)));
        if binding.shop_fingerprint.as_ref() == Some(&fingerprint) {
            binding.filled.get_or_insert(filled);
            return Ok(false);
        }
        let erp = self.erps.of(entity.scope)?;
        if erp.needs_completing(party)
            && binding.shop_fingerprint == Some(self.fingerprints.of_incomplete()?)
        {
            erp.complete(&binding.erp_id, party, self.deadline).await?;
            // It may have changed the record.
            seen = None;
        }
        let is_first = binding.shop_fingerprint.is_none() && binding.fetched_at.is_none();
        let owns = self.policy.erp_owns.of(party.kind.party_type());
        let first_writes = is_first.then_some(self.policy.first_binding_writes);
        let capabilities = erp.capabilities(self.deadline).await?;
        for _ in 0..UPDATE_ATTEMPTS {
            let seen = match seen.take() {
                Some(seen) if seen.id == binding.erp_id => Some(seen),
                _ => erp.get(&binding.erp_id, self.deadline).await?,
            };
            let Some(seen) = seen else {
                break;
            };
            let key = self.fingerprints.key;
            let (ours, kept) = kept::keep(&binding.kept, first_writes, party, &seen, key)?;
            let mut ours = party::without_erp_owned(&ours, owns, Some(&seen));
            if let PartyKind::Contact { company } = &mut ours.kind
                && owns.has(FieldGroup::CompanyRelations)
            {
                // The contact stays in its company in the ERP.
                *company = None;
            }
            if owns.has(FieldGroup::VatNumber) && !capabilities.organisation_number {
                // Without a field of its own, an organisation number would be written to that of the VAT number.
                ours.organisation_number = None;
            }
            let before = binding.filled.as_ref();
            ours.emptied = emptied::emptied(self.policy, owns, before, &filled, &binding.kept);
            ours.emptied.retain(|field| !party.unread.contains(field));
            let update = erp.update(&seen, &ours, self.deadline).await;
            let update = update.map_err(|error| emptied::refused(error, &ours.emptied))?;
            let (record, written) = match update {
                UpdateOutcome::Unchanged(record) => (record, false),
                UpdateOutcome::Updated(record) => (record, true),
                UpdateOutcome::Stale => continue,
                UpdateOutcome::Gone => break,
            };
            self.index.list(entity.scope, &record).await?;
            binding.shop_fingerprint = Some(fingerprint);
            binding.kept = kept;
            binding.filled = Some(filled);
            return Ok(written);
        }
        let reason = match erp.get(&binding.erp_id, self.deadline).await? {
            Some(_) => "another writer keeps changing the ERP record".to_owned(),
            // The next attempt finds the record missing and decides what follows (`deleted`).
            None => format!(
                "the ERP record with code {} was deleted while it was updated",
                binding.code
            ),
        };
        Err(Failure::other_writer(reason))
    }
}
