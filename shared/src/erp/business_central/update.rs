//! Changing and blocking records, on condition that they still have the version that was read.

use serde::Serialize;
use serde_json::json;

use super::{
    error::Failure,
    fields::Fields,
    formats::{COUNTRY, POSTAL_CODE, TAX_REGISTRATION_NUMBER},
    record::{BLOCKED_ALL, BLOCKED_INVOICE, Row, type_of},
    records::Records,
};
use crate::{
    erp::{
        Block, ErpError, ErpId, ErpRecord, Party, PartyKind, Resource, UpdateOutcome, mask::Mask,
    },
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
        wanted.warn_of_left_out(&seen.id);
        let changes = wanted.changes_to(&there);
        if changes.is_empty() {
            return Ok(if has_moved {
                UpdateOutcome::Updated(record)
            } else {
                UpdateOutcome::Unchanged(record)
            });
        }
        let mask: Vec<_> = wanted.iter().chain(there.iter()).collect();
        let outcome = match there.get(TAX_REGISTRATION_NUMBER.name) {
            Some(number) if changes.moves_a_number_abroad(&there) => {
                self.move_abroad(record, changes, number, &mask, deadline)
                    .await?
            }
            _ => {
                self.change_fields(&record, changes, &mask, deadline)
                    .await?
            }
        };
        match outcome {
            UpdateOutcome::Updated(record) => self.repair(record, &wanted, &mask, deadline).await,
            other => Ok(other),
        }
    }

    /// Removes the former VAT number, and writes another country with a number of that country. If that fails, it restores the
    /// number as far as possible.
    async fn move_abroad(
        &self,
        record: ErpRecord,
        changes: Fields,
        number: &str,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let only_number = |number: &str| {
            let mut fields = Fields::default();
            fields.set(TAX_REGISTRATION_NUMBER.name, number.to_owned());
            fields
        };
        let removed = self.change_fields(&record, only_number(""), mask, deadline);
        let record = match removed.await? {
            UpdateOutcome::Updated(record) => record,
            other => return Ok(other),
        };
        let moved = self.change_fields(&record, changes, mask, deadline).await;
        if moved.is_err() {
            // The failure of the move is what counts.
            let _ = self
                .change_fields(&record, only_number(number), mask, deadline)
                .await;
        }
        moved
    }

    /// Compares the record with the wanted values. Values that the server did not keep are written once more, because the order
    /// in which it validates the fields of a request is not documented.
    ///
    /// # Errors
    /// [`ErpError::Refused`]: the server replaces a value again.
    async fn repair(
        &self,
        record: ErpRecord,
        wanted: &Fields,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let there = Fields::of(&record.fields);
        let changed = wanted.spoiled_in(&there);
        if changed.is_empty() {
            return Ok(UpdateOutcome::Updated(record));
        }
        // A postal code that the table "Post Code" has only for another country takes the address there.
        let is_taken_abroad = changed.has(POSTAL_CODE)
            && wanted
                .get(COUNTRY.name)
                .is_some_and(|country| there.get(COUNTRY.name) != Some(country));
        let repair = if is_taken_abroad {
            changed.without(POSTAL_CODE)
        } else {
            changed
        };
        let outcome = self.change_fields(&record, repair, mask, deadline).await?;
        let UpdateOutcome::Updated(record) = outcome else {
            return Ok(outcome);
        };
        if is_taken_abroad {
            return Err(postal_code_of_another_country());
        }
        let still = wanted.spoiled_in(&Fields::of(&record.fields));
        match still.iter().next() {
            None => Ok(UpdateOutcome::Updated(record)),
            Some((field, _)) => Err(ErpError::Refused {
                field: Some(field),
                code: "value-changed".to_owned(),
                message: "Business Central replaces the value by one of its own: find out which of its tables or extensions does, or correct the value in Norce".to_owned(),
            }),
        }
    }

    pub(super) async fn block(
        &self,
        id: &ErpId,
        block: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let url = self.select(id.resource).apply(self.record_url(id)?);
        let Some(row) = self.client.read::<Row>(&url, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        let is_blocked = row.is_blocked(block);
        let own_type = match row.is_a(type_of(&PartyKind::Company)) {
            true => type_of(&PartyKind::Company),
            false => type_of(&PartyKind::Person),
        };
        let record = row.into_record(id.resource, &self.countries)?;
        let fields = match (id.resource, block) {
            (Resource::Customer, Block::All) => json!({ "blocked": BLOCKED_ALL }),
            (Resource::Customer, Block::Invoice) => json!({ "blocked": BLOCKED_INVOICE }),
            (Resource::Contact, _) => json!({ "privacyBlocked": true }),
        };
        let there = Fields::of(&record.fields);
        let mask: Vec<_> = there.iter().collect();
        let outcome = if is_blocked {
            UpdateOutcome::Unchanged(record)
        } else {
            self.change(id, &record.version, &fields, &mask, deadline)
                .await?
        };
        let is_closed = matches!(
            outcome,
            UpdateOutcome::Unchanged(_) | UpdateOutcome::Updated(_)
        );
        if is_closed
            && id.resource == Resource::Customer
            && !self.block_twin(id, own_type, deadline).await?
        {
            return Ok(UpdateOutcome::Stale);
        }
        Ok(outcome)
    }

    /// Closes the contact that Business Central keeps beside a customer (erp-apis §1.3), which is of the same type: it holds
    /// the same personal data. A consumer that was entered long ago may have the type Company. The people of a company are customers of their own.
    /// `false`: somebody else is changing it, and it is still open.
    async fn block_twin(
        &self,
        customer: &ErpId,
        own_type: &str,
        deadline: Deadline,
    ) -> Result<bool, ErpError> {
        let mut pages = self.contacts_of(&customer.id, deadline);
        let mut twins = Vec::new();
        while let Some(contacts) = pages.next().await? {
            twins.extend(
                contacts
                    .into_iter()
                    .filter_map(|contact| contact.into_id_of(own_type)),
            );
        }
        for id in twins {
            let twin = ErpId {
                resource: Resource::Contact,
                id,
            };
            let Some(record) = self.get(&twin, deadline).await? else {
                continue;
            };
            if !record.blocked {
                let fields = json!({ "privacyBlocked": true });
                let there = Fields::of(&record.fields);
                let mask: Vec<_> = there.iter().collect();
                let changed = self
                    .change(&twin, &record.version, &fields, &mask, deadline)
                    .await?;
                if changed == UpdateOutcome::Stale {
                    return Ok(false);
                }
            }
        }
        Ok(true)
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

    async fn change_fields(
        &self,
        record: &ErpRecord,
        fields: Fields,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let fields = self.spelled(fields, deadline).await?;
        self.change(&record.id, &record.version, &fields, mask, deadline)
            .await
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
            return match self.written_record(&response, id.resource) {
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

fn postal_code_of_another_country() -> ErpError {
    ErpError::Refused {
        field: Some(POSTAL_CODE.name),
        code: "postal-code-of-another-country".to_owned(),
        message: "the table \"Post Codes\" of Business Central has this postal code for another country only, and would move the \
                  address there, so the postal code was left out: add a row for the country of the address, or correct the \
                  postal code in Norce"
            .to_owned(),
    }
}
