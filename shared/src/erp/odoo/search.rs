//! Looking partners up by e-mail address, number and code, with Odoo's search domains. Nothing keeps a code, a number or
//! an address unique, so that a look-up returns every holder.

use serde_json::{Value, json};

use super::{
    partners::{MAX_ROWS, Partners},
    record::WHOLE,
};
use crate::{
    domain::{Code, EmailKey, EntityKind, FieldGroups},
    erp::{ErpError, ErpId, ErpRecord, MAX_HOLDERS, NaturalKey, PartyKind, Resource},
    http::Deadline,
};

/// Values in one domain.
const VALUES_BATCH_SIZE: usize = 100;

impl Partners {
    pub(super) async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mut domain = of_resource(kind.resource());
        domain.push(match kind {
            PartyKind::Contact { company } => {
                let company = company.as_ref().and_then(|it| it.id.parse::<i64>().ok());
                json!(["parent_id", "=", company.unwrap_or_default()])
            }
            PartyKind::Person | PartyKind::Company => {
                json!(["is_company", "=", kind.is_organisation()])
            }
        });
        match (key, kind) {
            (NaturalKey::Email(email), _) => domain.extend(one_of_emails(std::iter::once(email))),
            // A contact has the number of its organisation.
            (NaturalKey::Organisation(_), PartyKind::Contact { .. }) => return Ok(Vec::new()),
            (NaturalKey::Organisation(number), _) => {
                let pattern = with_anything_between(number.number());
                domain.extend([
                    json!("|"),
                    json!(["vat", "=ilike", pattern]),
                    json!(["company_registry", "=ilike", pattern]),
                ]);
            }
        }
        let mut rows = self.rows(domain, WHOLE, MAX_ROWS, deadline).await?;
        let countries = self.countries(deadline).await?;
        rows.retain(|row| row.has_key(key, countries, self.names.home_country));
        rows.truncate(MAX_HOLDERS);
        self.records(rows, deadline).await
    }

    pub(super) async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for keys in keys.chunks(VALUES_BATCH_SIZE) {
            let (mut emails, mut numbers) = (Vec::new(), Vec::new());
            for key in keys {
                match key {
                    NaturalKey::Email(email) => emails.push(email),
                    NaturalKey::Organisation(number) => numbers.extend(number.spellings()),
                }
            }
            let mut domains = Vec::new();
            if !emails.is_empty() {
                domains.push(one_of_emails(emails.into_iter()));
            }
            if !numbers.is_empty() {
                domains.push(vec![
                    json!("|"),
                    json!(["vat", "in", numbers]),
                    json!(["company_registry", "in", numbers]),
                ]);
            }
            let countries = self.countries(deadline).await?;
            for mut domain in domains {
                domain.push(of_kind(kind));
                // Addresses inherit the values of their parent.
                domain.push(json!(["type", "=", "contact"]));
                let rows = self.rows(domain, FieldGroups::NONE, MAX_ROWS, deadline);
                for row in rows.await? {
                    let Some(id) = row.erp_id() else { continue };
                    let held = keys
                        .iter()
                        .filter(|key| row.has_key(key, countries, self.names.home_country));
                    holders.extend(held.map(|key| (key.clone(), id.clone())));
                }
            }
        }
        Ok(holders)
    }

    pub(super) async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for records in records.chunks(VALUES_BATCH_SIZE) {
            let codes: Vec<&str> = records.iter().map(|(_, code)| code.as_str()).collect();
            let domain = vec![json!([self.names.code, "in", codes]), of_kind(kind)];
            let rows = self.rows(domain, FieldGroups::NONE, MAX_ROWS, deadline);
            for row in rows.await? {
                let code = row.text(&self.names.code);
                let (Some(id), Some(code)) = (row.erp_id(), code) else {
                    continue;
                };
                let others = records
                    .iter()
                    .filter(|(record, asked)| asked.as_str() == code && *record != id);
                holders.extend(others.map(|(_, code)| (code.clone(), id.clone())));
            }
        }
        Ok(holders)
    }
}

/// The partners of a resource: customers are organisations, and persons who belong to none; contacts are the people of
/// organisations. Addresses, which are child partners too, are neither.
pub(super) fn of_resource(resource: Resource) -> Vec<Value> {
    match resource {
        Resource::Customer => vec![
            json!("|"),
            json!(["parent_id", "=", false]),
            json!(["is_company", "=", true]),
        ],
        Resource::Contact => vec![
            json!(["parent_id", "!=", false]),
            json!(["is_company", "=", false]),
            json!(["type", "=", "contact"]),
        ],
    }
}

pub(super) fn of_kind(kind: EntityKind) -> Value {
    json!(["is_company", "=", kind == EntityKind::Company])
}

/// Escapes `_` and `%`, which `=ilike` takes for any character and any text (erp-apis §2.4).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '_' | '%') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// A pattern for a number with any separators and letters around and between its characters. Odoo keeps what was typed,
/// and a comparison that ignores case reads all partners anyway; the hits are compared by their keys.
fn with_anything_between(number: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in number.chars() {
        pattern.push(character);
        pattern.push('%');
    }
    pattern
}

/// One of these addresses, in any case and with any text around it.
fn one_of_emails<'a>(emails: impl Iterator<Item = &'a EmailKey>) -> Vec<Value> {
    let terms: Vec<Value> = emails
        .flat_map(EmailKey::spellings)
        .map(|email| json!(["email", "=ilike", format!("%{}%", escaped(&email))]))
        .collect();
    let mut domain = vec![json!("|"); terms.len().saturating_sub(1)];
    domain.extend(terms);
    domain
}
