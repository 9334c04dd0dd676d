//! Creates, updates and blocks. A create is sent once; what became of it when its answer was lost is for the caller to find
//! out, by the same key where the facade's creates are idempotent, else by a look-up.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::{
    client::{Condition, Write},
    error::Failure,
    fields::Fields,
    register::{Register, id_segment, segment},
    wire::Row,
};
use crate::{
    domain::Code,
    erp::{
        Block, Capabilities, CreateOutcome, ErpError, ErpId, ErpRecord, IdempotencyKey, Party,
        PartyKind, Resource, UpdateOutcome,
        answer::{CallError, parse},
    },
    http::Deadline,
};

/// The answer to a create, before it is known whose a record with the requested code is.
pub(super) enum Answered {
    /// The record is new, or may be.
    Outcome(CreateOutcome),
    /// The record that an earlier create with the same key has made.
    Earlier(ErpRecord),
    /// Another record has the requested code.
    CodeTaken(Code),
}

impl Register {
    pub(super) async fn create_once(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        match self.send_create(key, party, deadline).await? {
            Answered::Outcome(outcome) => Ok(outcome),
            Answered::Earlier(record) => Ok(CreateOutcome::AlreadyThere(record)),
            Answered::CodeTaken(code) => self.holder(&code, party, deadline).await,
        }
    }

    /// Sends a create, once.
    pub(super) async fn send_create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Answered, ErpError> {
        let abilities = self.abilities(deadline).await?;
        if party.kind == (PartyKind::Contact { company: None }) {
            return Err(ErpError::Refused {
                field: Some("company"),
                code: "no-company".to_owned(),
                message: "a contact is created in an organisation".to_owned(),
            });
        }
        let mut wanted = Fields::of_new(party, &abilities.fields);
        if let Some(code) = &key.code {
            wanted.put("code", code.as_str());
        }
        let resource = party.kind.resource();
        let write = Write {
            method: Method::POST,
            path: &[segment(resource)],
            body: &wanted.to_value(),
            condition: Condition::Key(&key.entity.to_string()),
            mask: &wanted.texts(),
        };
        let ambiguous = |reason| Ok(Answered::Outcome(CreateOutcome::Ambiguous { reason }));
        let response = match self.client.write(&write, deadline).await {
            Ok(response) => response,
            Err(CallError::NotDone(error)) => return Err(error),
            Err(CallError::OutcomeUnknown(reason)) => return ambiguous(reason),
        };
        if response.status().is_success() {
            return match record_in(&response, resource, &abilities.capabilities) {
                Ok(record) if response.status() == StatusCode::CREATED => {
                    Ok(Answered::Outcome(match wanted.are_in(&record.fields) {
                        true => CreateOutcome::Created(record),
                        false => CreateOutcome::Altered(record),
                    }))
                }
                // The record of an earlier create, if the facade can know that and the record fits.
                Ok(record)
                    if abilities.capabilities.creates_are_idempotent && is_of(&record, party) =>
                {
                    Ok(Answered::Earlier(record))
                }
                Ok(record) => ambiguous(format!(
                    "a create was answered with {}, which is not known to be made by it",
                    record.id
                )),
                Err(error) => ambiguous(error.to_string()),
            };
        }
        let failure = Failure::of(&response, write.mask);
        match &key.code {
            Some(code) if failure.is_taken() => Ok(Answered::CodeTaken(code.clone())),
            _ if failure.is_definite() => Err(failure.into()),
            _ => ambiguous(failure.reason()),
        }
    }

    /// The record that has the requested code already.
    async fn holder(
        &self,
        code: &Code,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let codes = [code];
        let found = self.with_codes(party.kind.resource(), &codes, deadline);
        let mut found = found.await?.into_iter();
        match (found.next(), found.next()) {
            (Some(record), None) if is_of(&record, party) => {
                Ok(CreateOutcome::AlreadyThere(record))
            }
            _ => Err(ErpError::Refused {
                field: Some("code"),
                code: "code-taken".to_owned(),
                message: format!(
                    "the code {code} belongs to a record of another type, or to one that is not shown: check ERP_CODE_PATTERN and that record"
                ),
            }),
        }
    }

    pub(super) async fn change(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let abilities = self.abilities(deadline).await?;
        let company = seen.company.as_ref().map(|company| company.0.as_str());
        let changes = Fields::changes(party, &seen.fields, company, &abilities.fields);
        if changes.is_empty() {
            return Ok(UpdateOutcome::Unchanged(seen.clone()));
        }
        let id = &seen.id;
        let write = Write {
            method: Method::PATCH,
            path: &[segment(id.resource), id_segment(id)?],
            body: &changes.to_value(),
            condition: Condition::Version(&seen.version),
            mask: &changes.texts(),
        };
        let response = self.client.write(&write, deadline).await?;
        self.updated(id, Some(&seen.version), &response, &write, deadline)
            .await
    }

    pub(super) async fn close(
        &self,
        id: &ErpId,
        block: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let Some(seen) = self.get(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        // A block for invoices alone does not show in a record, and a repeat changes nothing.
        if seen.blocked {
            return Ok(UpdateOutcome::Unchanged(seen));
        }
        let extent = match block {
            Block::Invoice => "invoice",
            Block::All => "all",
        };
        let write = Write {
            method: Method::POST,
            path: &[segment(id.resource), id_segment(id)?, "block"],
            body: &json!({ "extent": extent }),
            condition: Condition::None,
            mask: &[],
        };
        let response = self.client.write(&write, deadline).await?;
        match self.updated(id, None, &response, &write, deadline).await? {
            UpdateOutcome::Updated(record) if record.version == seen.version => {
                Ok(UpdateOutcome::Unchanged(record))
            }
            outcome => Ok(outcome),
        }
    }

    /// The outcome of a change. `before`: the version that it was conditional on.
    async fn updated(
        &self,
        id: &ErpId,
        before: Option<&str>,
        response: &Response<Bytes>,
        write: &Write<'_>,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        if response.status().is_success() {
            let capabilities = self.capabilities(deadline).await?;
            if let Ok(record) = record_in(response, id.resource, capabilities) {
                // The facade considers the values equal to the record's, for example a country code and its name.
                return Ok(match before == Some(record.version.as_str()) {
                    true => UpdateOutcome::Unchanged(record),
                    false => UpdateOutcome::Updated(record),
                });
            }
            // The record is read again, because the success may be a proxy's.
            return match self.get(id, deadline).await? {
                Some(record) if before == Some(record.version.as_str()) => {
                    Err(ErpError::RetryAfter {
                        after: None,
                        reason: "a change was answered with success, and nothing was changed"
                            .to_owned(),
                    })
                }
                Some(record) => Ok(UpdateOutcome::Updated(record)),
                None => Ok(UpdateOutcome::Gone),
            };
        }
        let failure = Failure::of(response, write.mask);
        if failure.is_stale() {
            Ok(UpdateOutcome::Stale)
        } else if failure.is_gone() {
            Ok(UpdateOutcome::Gone)
        } else {
            Err(failure.into())
        }
    }
}

/// Whether a record can be the party's: of its type and, for a contact, in its organisation.
fn is_of(record: &ErpRecord, party: &Party) -> bool {
    let company = match &party.kind {
        PartyKind::Contact { company } => company.as_ref().map(|company| company.id.as_str()),
        PartyKind::Person | PartyKind::Company => None,
    };
    record.id.resource == party.kind.resource()
        && record.organisation == party.kind.is_organisation()
        && company.is_none_or(|id| record.company.as_ref().is_some_and(|own| own.0 == id))
}

/// The record in the answer to a write.
fn record_in(
    response: &Response<Bytes>,
    resource: Resource,
    capabilities: &Capabilities,
) -> Result<ErpRecord, ErpError> {
    parse::<Row>(response)?.into_record(resource, capabilities)
}
