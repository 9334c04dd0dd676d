//! Creating partners under an external id that is made of the Norce entity: a repeat finds the partner of an earlier
//! create by it.

use serde_json::{Map, Value, json};

use super::{load::MODULE, partners::Partners, record::Row};
use crate::{
    domain::{Code, CodePattern, EntityRef},
    erp::{CreateOutcome, ErpError, IdempotencyKey, Party, PartyKind, answer::CallError},
    http::{Deadline, Idempotency},
};

/// The code of a record that is made without a pattern and without a sequence.
const DEFAULT_PATTERN: &str = "{kind}{id}";

impl Partners {
    /// `code_sequence`: the `ir.sequence` that codes are drawn from.
    pub(super) async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        code_sequence: Option<&str>,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        if let Some(row) = self.made_for(key.entity, deadline).await? {
            let record = self.record(row, deadline).await?;
            return Ok(CreateOutcome::AlreadyThere(record));
        }
        // Before a code is drawn, because a value that does not exist is a refusal.
        let fixed = self.fixed_fields(party, deadline).await?;
        let code = self.new_code(key, code_sequence, deadline).await?;
        if let Some(row) = self.with_code(&code, deadline).await?.into_iter().next() {
            // An earlier create, whose answer was lost, may have been committed since the first look.
            if let Some(made) = self.made_for(key.entity, deadline).await? {
                let record = self.record(made, deadline).await?;
                return Ok(CreateOutcome::AlreadyThere(record));
            }
            let record = self.record(row, deadline).await?;
            let is_of_kind = record.id.resource == party.kind.resource()
                && record.organisation == party.kind.is_organisation();
            // The caller has looked for a code that it asks for, and knows whose it was.
            if is_of_kind && key.code.is_some() {
                return Ok(CreateOutcome::AlreadyThere(record));
            }
            return Err(ErpError::Refused {
                field: Some("code"),
                code: "code taken".to_owned(),
                message: format!(
                    "code {code} belongs to partner {} already: correct that partner, the sequence of ERP_CODE_SEQUENCE, or ERP_CODE_PATTERN",
                    record.id.id
                ),
            });
        }
        let wanted = self.wanted(party, deadline).await?;
        let texts = wanted.iter();
        let mask: Vec<(&str, &str)> = texts
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let mut row = self.new_row(key.entity, &code, party, &wanted);
        row.extend(fixed.columns());
        let (columns, row): (Vec<String>, Vec<Value>) = row.into_iter().unzip();
        let loaded = match self.client.load(&columns, &[row], &mask, deadline).await {
            Ok(loaded) => loaded,
            Err(CallError::NotDone(error)) => return Err(error),
            Err(CallError::OutcomeUnknown(reason)) => {
                return self.recover(key.entity, reason, deadline).await;
            }
        };
        if let Some(id) = loaded.id() {
            if let Ok(Some(row)) = self.by_id(id, deadline).await
                && let Ok(record) = self.record(row, deadline).await
            {
                return Ok(CreateOutcome::Created(record));
            }
            let reason = "it was created but could not be read".to_owned();
            return self.recover(key.entity, reason, deadline).await;
        }
        // HTTP 200 and a refusal (erp-apis §2.4): because of another load with the same id, or of a rule.
        if let Some(row) = self.made_for(key.entity, deadline).await? {
            let record = self.record(row, deadline).await?;
            return Ok(CreateOutcome::AlreadyThere(record));
        }
        Err(loaded.into_refusal(&mask))
    }

    /// The columns of `load` and their values for a new partner.
    fn new_row(
        &self,
        entity: EntityRef,
        code: &Code,
        party: &Party,
        wanted: &Map<String, Value>,
    ) -> Vec<(String, Value)> {
        let id = format!("{MODULE}.{}", external_name(entity));
        let mut row = vec![
            ("id".to_owned(), json!(id)),
            (self.names.code.clone(), json!(code.as_str())),
        ];
        // `/.id` takes a database id; every other value is a text.
        row.extend(wanted.iter().map(|(field, value)| match value {
            Value::Number(id) => (format!("{field}/.id"), json!(id.to_string())),
            value => (field.clone(), value.clone()),
        }));
        let is_company = match party.kind.is_organisation() {
            true => "True",
            false => "False",
        };
        row.push(("is_company".to_owned(), json!(is_company)));
        if let Some(company) = self.company {
            row.push(("company_id/.id".to_owned(), json!(company.to_string())));
        }
        if let PartyKind::Contact {
            company: Some(company),
        } = &party.kind
        {
            row.push(("parent_id/.id".to_owned(), json!(company.id)));
            row.push(("type".to_owned(), json!("contact")));
        }
        row
    }

    /// The partner that an earlier create has made for this entity.
    pub(super) async fn made_for(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Row>, ErpError> {
        let name = external_name(entity);
        let arguments = json!({
            "domain": [["module", "=", MODULE], ["name", "=", name]],
            "fields": ["res_id"],
            "limit": 1,
        });
        let client = &self.client;
        let found = client.search_read("ir.model.data", &arguments, deadline);
        let found = found.await?;
        let Some(id) = found.first().and_then(|row| row.integer("res_id")) else {
            return Ok(None);
        };
        match self.by_id(id, deadline).await? {
            Some(row) => Ok(Some(row)),
            // Another create under this external id would change that partner (erp-apis §2.4).
            None => Err(ErpError::Refused {
                field: None,
                code: "out of sight".to_owned(),
                message: format!(
                    "partner {id} was made for {entity}, and is not in this company of Odoo: move it back, or delete its external id {MODULE}.{name}"
                ),
            }),
        }
    }

    /// The code of a new record: the requested one, the next one of the sequence, or one made of the Norce id.
    async fn new_code(
        &self,
        key: &IdempotencyKey,
        sequence: Option<&str>,
        deadline: Deadline,
    ) -> Result<Code, ErpError> {
        if let Some(code) = &key.code {
            return Ok(code.clone());
        }
        let refused = |message: String| ErpError::Refused {
            field: Some("code"),
            code: "no code".to_owned(),
            message,
        };
        if let Some(sequence) = sequence {
            let drawn: Option<Value> = self
                .client
                .write(
                    "ir.sequence",
                    "next_by_code",
                    &json!({ "sequence_code": sequence }),
                    Idempotency::NonIdempotent,
                    &[],
                    deadline,
                )
                .await?;
            let code = drawn.as_ref().and_then(Value::as_str);
            return code.and_then(|code| code.parse().ok()).ok_or_else(|| {
                refused(format!(
                    "the sequence `{sequence}` of ERP_CODE_SEQUENCE gives no code: make it in Odoo, for this company"
                ))
            });
        }
        let pattern: CodePattern = DEFAULT_PATTERN
            .parse()
            .map_err(|error| refused(format!("{error}")))?;
        pattern
            .code(key.entity.kind, key.entity.id)
            .map_err(|error| refused(format!("{error}")))
    }

    /// The outcome of a create is unknown: one look-up by the external id.
    async fn recover(
        &self,
        entity: EntityRef,
        reason: String,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let found = match self.made_for(entity, deadline).await {
            Ok(Some(row)) => self.record(row, deadline).await,
            Ok(None) => return Ok(CreateOutcome::Ambiguous { reason }),
            Err(error) => Err(error),
        };
        Ok(match found {
            Ok(record) => CreateOutcome::AlreadyThere(record),
            Err(error) => CreateOutcome::Ambiguous {
                reason: format!("{reason}; {error}"),
            },
        })
    }
}

/// `customer_client_123`: the name of our external id of an entity.
fn external_name(entity: EntityRef) -> String {
    format!("{}_{}_{}", entity.kind, entity.scope, entity.id)
}
