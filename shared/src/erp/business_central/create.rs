//! Creating records. A create is idempotent only when the client chooses the number: the request is sent once, and when
//! its outcome is unknown, one look-up by the number answers (erp-apis §1.11).

use super::{
    error::Failure,
    fields::Fields,
    formats::{NUMBER, number},
    record::{entity_set, type_of},
    records::{Records, no_company_contact},
};
use crate::{
    erp::{
        CreateOutcome, ErpError, ErpRecord, IdempotencyKey, Party, PartyKind, answer::CallError,
    },
    http::Deadline,
};

/// The holder of a number. Only a record of the wanted type can come from an earlier attempt: customers and contacts
/// share the numbers, and `N5` may be a person while Norce's company 5 asks for it.
enum Holder {
    SameType(Box<ErpRecord>),
    AnotherType,
    Nobody,
}

impl Records {
    pub(super) async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let kind = &party.kind;
        let resource = kind.resource();
        let number = key.code.as_ref().map(number).transpose()?;
        let number = number.as_deref();
        let mut fields = Fields::default();
        if let Some(number) = number {
            fields.set(NUMBER.name, number.to_owned());
        }
        fields.set("type", type_of(kind).to_owned());
        if let PartyKind::Contact {
            company: Some(company),
        } = kind
        {
            let company_contact = self.company_contact(company, deadline).await?;
            let company_contact = company_contact.ok_or_else(|| no_company_contact(company))?;
            fields.set("companyNumber", company_contact);
        }
        let wanted = Fields::wanted(party, resource)?;
        wanted.warn_of_left_out(&key.entity);
        let new = wanted.of_new(resource);
        for (name, value) in new.iter() {
            fields.set(name, value.to_owned());
        }
        for (name, value) in self.fixed_properties(party, deadline).await? {
            fields.set(name, value);
        }
        let fields = self.spelled(fields, deadline).await?;
        let url = self.client.url(entity_set(resource));
        let response = match self.client.post(&url, &fields, deadline).await {
            Ok(response) => response,
            Err(CallError::NotDone(error)) => return Err(error),
            Err(CallError::OutcomeUnknown(reason)) => {
                return self.recover(number, kind, reason, deadline).await;
            }
        };
        if response.status().is_success() {
            return match self.written_record(&response, resource) {
                Ok(record) if new.spoiled_in(&Fields::of(&record.fields)).is_empty() => {
                    Ok(CreateOutcome::Created(record))
                }
                Ok(record) => Ok(CreateOutcome::Altered(record)),
                Err(error) => {
                    self.recover(number, kind, error.to_string(), deadline)
                        .await
                }
            };
        }
        let mask: Vec<_> = wanted.iter().collect();
        let failure = Failure::of(&response, &mask);
        match number {
            Some(number) if failure.is_duplicate() => {
                match self.holder_of(number, kind, deadline).await? {
                    Holder::SameType(record) => Ok(CreateOutcome::AlreadyThere(*record)),
                    // There is such a record, even if this app does not see it.
                    Holder::AnotherType | Holder::Nobody => Err(number_taken(number)),
                }
            }
            _ if failure.is_definite() || failure.is_duplicate() => Err(failure.into()),
            _ => self.recover(number, kind, failure.reason(), deadline).await,
        }
    }

    async fn holder_of(
        &self,
        number: &str,
        kind: &PartyKind,
        deadline: Deadline,
    ) -> Result<Holder, ErpError> {
        let resource = kind.resource();
        let mut rows = self.rows_by_number(resource, number, deadline).await?;
        Ok(match (rows.pop(), rows.is_empty()) {
            (None, _) => Holder::Nobody,
            (Some(row), true) if row.row().is_a(type_of(kind)) => {
                let record = self.record_of(row, resource, deadline).await?;
                Holder::SameType(Box::new(record))
            }
            _ => Holder::AnotherType,
        })
    }

    /// The outcome of a create is unknown: one look-up by the number, where there is one (erp-apis §1.11).
    async fn recover(
        &self,
        number: Option<&str>,
        kind: &PartyKind,
        reason: String,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let Some(number) = number else {
            return Ok(CreateOutcome::Ambiguous { reason });
        };
        match self.holder_of(number, kind, deadline).await {
            Ok(Holder::SameType(record)) => Ok(CreateOutcome::AlreadyThere(*record)),
            // The create has been refused because of it, or will be.
            Ok(Holder::AnotherType) => Err(number_taken(number)),
            // The record may still appear.
            Ok(Holder::Nobody) => Ok(CreateOutcome::Ambiguous { reason }),
            Err(error) => Ok(CreateOutcome::Ambiguous {
                reason: format!("{reason}; the look-up of {number} failed as well: {error}"),
            }),
        }
    }
}

fn number_taken(number: &str) -> ErpError {
    ErpError::Refused {
        field: Some(NUMBER.name),
        code: "number-taken".to_owned(),
        message: format!(
            "the number {number} belongs to a record of another type, or to one that the app may not see: check \
             ERP_CODE_PATTERN and that record"
        ),
    }
}
