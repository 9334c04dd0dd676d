//! Changing and archiving partners. Odoo has no optimistic concurrency: an update reads the partner right before it writes
//! and compares. A change in the moment between loses only fields that both writers have changed.

use serde_json::{Map, json};

use super::{delivery::DeliveryChanges, partners::Partners};
use crate::{
    erp::{ErpError, ErpId, ErpRecord, Party, PartyKind, Resource, UpdateOutcome},
    http::Deadline,
};

impl Partners {
    pub(super) async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let Some(row) = self.row(&seen.id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        let wanted = self.wanted(party, deadline).await?;
        let mut changes = row.changes_to(&wanted);
        if let PartyKind::Contact {
            company: Some(company),
        } = &party.kind
            && let Ok(organisation) = company.id.parse::<i64>()
            && seen.id.resource == Resource::Contact
            && row.reference("parent_id") != Some(organisation)
        {
            // It has moved to another organisation.
            changes.insert("parent_id".to_owned(), json!(organisation));
        }
        changes.extend(self.fixed_changes(&row, party, deadline).await?);
        let (partner, deliveries) = match (row.id(), &party.delivery_addresses) {
            (Some(partner), Some(wanted)) => {
                let deliveries = self.delivery_changes(partner, wanted, deadline).await?;
                (partner, deliveries)
            }
            (partner, _) => (partner.unwrap_or_default(), DeliveryChanges::default()),
        };
        let there = self.record(row.clone(), deadline).await?;
        if there.version != seen.version {
            return Ok(UpdateOutcome::Stale);
        }
        if changes.is_empty() && deliveries.is_empty() {
            return Ok(UpdateOutcome::Unchanged(there));
        }
        let mask = row.mask();
        if !changes.is_empty() && !self.write(partner, &changes, &mask, deadline).await? {
            return Ok(UpdateOutcome::Gone);
        }
        self.write_deliveries(partner, &deliveries, &mask, deadline)
            .await?;
        self.updated(&seen.id, deadline).await
    }

    pub(super) async fn block(
        &self,
        id: &ErpId,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let Some(row) = self.row(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        let record = self.record(row.clone(), deadline).await?;
        if record.blocked {
            return Ok(UpdateOutcome::Unchanged(record));
        }
        let partner = row.id().unwrap_or_default();
        let archived = Map::from_iter([("active".to_owned(), json!(false))]);
        let mask = row.mask();
        if !self.write(partner, &archived, &mask, deadline).await? {
            return Ok(UpdateOutcome::Gone);
        }
        self.updated(id, deadline).await
    }

    /// The record after a write.
    async fn updated(&self, id: &ErpId, deadline: Deadline) -> Result<UpdateOutcome, ErpError> {
        Ok(match self.get(id, deadline).await? {
            Some(record) => UpdateOutcome::Updated(record),
            None => UpdateOutcome::Gone,
        })
    }
}
