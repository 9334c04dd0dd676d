//! Changing and blocking records, on condition that they still have the version that was read.

use serde::Serialize;
use serde_json::json;

use super::{
    error::Failure,
    fields::Fields,
    record::BLOCKED_ALL,
    records::{Records, written_record},
};
use crate::{
    erp::{ErpError, ErpId, ErpRecord, Party, PartyKind, Resource, UpdateOutcome, mask::Mask},
    http::Deadline,
};

impl Records {
    pub(super) async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let mut wanted = Fields::wanted(party, seen.id.resource)?;
        let mut there = Fields::of(&seen.fields);
        let mut record = seen.clone();
        let mut has_moved = false;
        if let Some(organisation) = self.new_organisation(seen, party, deadline).await? {
            let mask: Vec<_> = there.iter().collect();
            let outcome = self
                .change(&seen.id, &seen.version, &organisation, &mask, deadline)
                .await?;
            let UpdateOutcome::Updated(moved) = outcome else {
                return Ok(outcome);
            };
            // The person inherits fields of the organisation (erp-apis §1.3), which are set back.
            let inherited = Fields::of(&moved.fields);
            wanted = wanted.over(&there, &inherited);
            there = inherited;
            record = moved;
            has_moved = true;
        }
        let changes = wanted.changes_to(&there);
        if changes.is_empty() {
            return Ok(if has_moved {
                UpdateOutcome::Updated(record)
            } else {
                UpdateOutcome::Unchanged(record)
            });
        }
        let mask: Vec<_> = wanted.iter().chain(there.iter()).collect();
        let outcome = self
            .change(&record.id, &record.version, &changes, &mask, deadline)
            .await?;
        let UpdateOutcome::Updated(record) = outcome else {
            return Ok(outcome);
        };
        let cleared = changes.cleared_in(&Fields::of(&record.fields));
        if cleared.is_empty() {
            return Ok(UpdateOutcome::Updated(record));
        }
        // The country is in place now, so that nothing clears the others again.
        self.change(&record.id, &record.version, &cleared, &mask, deadline)
            .await
    }

    pub(super) async fn block(
        &self,
        id: &ErpId,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let Some(record) = self.get(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        if record.blocked {
            return Ok(UpdateOutcome::Unchanged(record));
        }
        let fields = match id.resource {
            Resource::Customer => json!({ "blocked": BLOCKED_ALL }),
            Resource::Contact => json!({ "privacyBlocked": true }),
        };
        let there = Fields::of(&record.fields);
        let mask: Vec<_> = there.iter().collect();
        self.change(id, &record.version, &fields, &mask, deadline)
            .await
    }

    /// The field that moves a contact to the organisation of a party. `None`: it is there already, or the organisation
    /// has no company contact to move to.
    async fn new_organisation(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Option<Fields>, ErpError> {
        let (
            PartyKind::Contact {
                company: Some(company),
            },
            Resource::Contact,
        ) = (&party.kind, seen.id.resource)
        else {
            return Ok(None);
        };
        let number = self.company_contact(company, deadline).await?;
        let is_new = |number: &String| seen.company.as_ref().is_none_or(|key| key.0 != *number);
        Ok(number.filter(is_new).map(|number| {
            let mut fields = Fields::default();
            fields.set("companyNumber", number);
            fields
        }))
    }

    /// Writes fields to a record that has this version.
    pub(super) async fn change(
        &self,
        id: &ErpId,
        version: &str,
        fields: &(impl Serialize + Sync),
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let url = self.record_url(id)?;
        let response = self.client.patch(&url, version, fields, deadline).await?;
        if response.status().is_success() {
            return match written_record(&response, id.resource) {
                Ok(record) => Ok(UpdateOutcome::Updated(record)),
                // The record is read again, because the success may be a proxy's.
                Err(_) => match self.get(id, deadline).await? {
                    Some(record) if record.version == version => Err(ErpError::RetryAfter {
                        after: None,
                        reason: "a change was answered with success, and nothing was changed"
                            .to_owned(),
                    }),
                    Some(record) => Ok(UpdateOutcome::Updated(record)),
                    None => Ok(UpdateOutcome::Gone),
                },
            };
        }
        let failure = Failure::of(&response, mask);
        if failure.is_stale() {
            Ok(UpdateOutcome::Stale)
        } else if failure.is_gone() {
            Ok(UpdateOutcome::Gone)
        } else {
            Err(failure.into())
        }
    }
}
