//! Odoo 19 and newer over its JSON-2 API: customers and companies are partners, contacts are their child partners
//! (erp-apis §2.3–§2.5).
//!
//! * A create goes through `load` under an external id that is made of the Norce entity, so that a repeat finds what an
//!   earlier one has made. `load` answers HTTP 200 when it refuses.
//! * Odoo has no optimistic concurrency. An update reads the partner right before it writes and compares; somebody who
//!   writes in the moment between loses nothing but the fields that both have changed.
//! * A write of what is there already would move `write_date`, and is never sent.
//! * `write_date` has whole seconds here: listings ask for `>=`, and walk by id, which stays in its place while partners
//!   change. Archived partners are listed too.
//! * Nothing keeps a code, a number or an address unique, so that look-ups return everybody who has it.

mod client;
mod delivery;
mod record;

use std::{collections::HashMap, fmt, num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::sync::OnceCell;
use url::Url;

use self::{
    client::{Client, Unsettled},
    delivery::{DELIVERY, DeliveryChanges},
    record::{Known, Names, Row, TIME, WHOLE, fields, wanted},
};
use super::{
    Capabilities, CompanyKey, CreateOutcome, Cursor, Erp, ErpError, ErpId, ErpRecord, ExtraFields,
    FilterProof, IdempotencyKey, KeyField, Listing, NaturalKey, Party, PartyKind, RecordPage,
    Resource, UpdateOutcome,
    mask::{Mask, masked},
};
use crate::{
    domain::{
        Address, Code, CodeCase, CodePattern, CountryCode, EmailKey, EntityKind, EntityRef,
        FieldGroup, FieldGroups,
    },
    http::{Deadline, Safety, Transport},
};

/// A request may take two minutes (erp-apis §2.5); what is not there by then never comes. A repeat would find it by its
/// external id anyway.
const SETTLES_AFTER: Duration = Duration::from_secs(150);
/// Two are as ambiguous as a hundred.
const MOST_HITS: usize = 2;
/// The most partners with one key that are compared with the mappings; beyond this number a person decides.
const MOST_HOLDERS: usize = 20;
/// Partners of a page: what is to be done about them has to fit into one item of DynamoDB.
const PAGE_SIZE: usize = 500;
/// More than belong to the values of one domain; Odoo itself has no limit (erp-apis §2.3).
const MOST_ROWS: usize = 65_536;
/// Values in one domain.
const VALUES_IN_A_REQUEST: usize = 100;
/// The module of our external ids.
const MODULE: &str = "norce";
/// The field of a partner with its Global Location Number; Odoo's module `account_add_gln` has it (erp-apis §2.4).
const GLN_FIELD: &str = "global_location_number";
/// The code of a record that is made without a pattern and without a sequence.
const DEFAULT_PATTERN: &str = "{kind}{id}";

/// Where Odoo is, which of its databases is meant, and who asks.
#[derive(Debug, Clone)]
pub struct OdooSettings {
    /// The server, such as `https://erp.example.com`.
    pub base_url: Url,
    /// The database, where the server has several.
    pub database: Option<String>,
    /// The company: only its partners are seen, and new ones belong to it. `None`: all that the user may see, and new ones
    /// belong to no company, as Odoo's own do.
    pub company: Option<NonZeroU32>,
    /// An API key of a user with rights to contacts.
    pub api_key: SecretString,
    /// The field of a partner that holds its code; Odoo's own is `ref`.
    pub code_field: String,
    /// The code of an `ir.sequence` that new codes are drawn from.
    pub code_sequence: Option<String>,
    /// `priceList`: `specific_property_product_pricelist`, where price lists are switched on. `gln`: where the GLN is in
    /// another field than Odoo's own.
    pub extra_fields: ExtraFields,
}

/// The address cannot be a server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "ERP_BASE_URL is the address of the Odoo server without a path or query, such as https://erp.example.com, and the `database` of its secret a plain name"
)]
pub struct InvalidBaseUrl;

/// One database of an Odoo server, or one company in it.
pub struct Odoo {
    client: Client,
    company: Option<NonZeroU32>,
    names: Names,
    code_sequence: Option<String>,
    capabilities: Capabilities,
    countries: OnceCell<HashMap<i64, CountryCode>>,
    /// The field with the GLN; `None`: this database has none.
    gln_field: OnceCell<Option<String>>,
}

impl fmt::Debug for Odoo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Odoo").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Loaded {
    /// `false`: nothing was loaded.
    ids: Value,
    #[serde(default)]
    messages: Vec<LoadMessage>,
}

#[derive(Deserialize)]
struct LoadMessage {
    #[serde(default)]
    message: String,
}

impl Loaded {
    /// Nothing was loaded, and why, in Odoo's words.
    fn refusal(loaded: Option<Self>, mask: &Mask<'_>) -> ErpError {
        let messages: Vec<String> = loaded
            .map(|loaded| loaded.messages)
            .unwrap_or_default()
            .iter()
            .map(|message| masked(&message.message, mask))
            .collect();
        ErpError::Refused {
            field: None,
            code: "Odoo".to_owned(),
            message: messages.join("; "),
        }
    }
}

impl Odoo {
    /// An adapter of one database.
    ///
    /// # Errors
    /// When the address cannot be a server.
    pub fn new(
        settings: OdooSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidBaseUrl> {
        let names = Names::of(&settings);
        let mut readable = FieldGroups::of(&[
            FieldGroup::Code,
            FieldGroup::Names,
            FieldGroup::ContactDetails,
            FieldGroup::InvoiceAddress,
            FieldGroup::DeliveryAddresses,
            FieldGroup::Active,
            FieldGroup::CompanyRelations,
            FieldGroup::OrganisationNumber,
            FieldGroup::VatNumber,
        ]);
        if names.price_list.is_some() {
            readable = readable.union(FieldGroups::of(&[FieldGroup::PriceLists]));
        }
        Ok(Self {
            names,
            code_sequence: settings.code_sequence.clone(),
            company: settings.company,
            client: Client::new(settings, transport)?,
            capabilities: Capabilities {
                delivery_addresses: true,
                location_numbers: true,
                // A text of PostgreSQL.
                code_case: CodeCase::Exact,
                name: "Odoo",
                organisation_number: true,
                readable,
                optimistic_concurrency: false,
                // By the external id, which is unique (erp-apis §2.4).
                creates_are_idempotent: true,
                create_settles_after: SETTLES_AFTER,
            },
            countries: OnceCell::new(),
            gln_field: OnceCell::new(),
        })
    }

    async fn rows(
        &self,
        mut domain: Vec<Value>,
        groups: FieldGroups,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        // Odoo's own rules would show what belongs to no company as well, which is everybody's (P14).
        if let Some(company) = self.company {
            domain.push(json!(["company_id", "=", company]));
        }
        let gln = match groups.has(FieldGroup::InvoiceAddress) {
            true => self.gln_field(deadline).await?,
            false => None,
        };
        let arguments = json!({
            "domain": domain,
            "fields": fields(&self.names, gln, groups),
            "order": "id",
            "limit": limit,
            // Without it archived partners would look as if they were not there (erp-apis §2.4).
            "context": { "active_test": false, "lang": "en_US" },
        });
        let rows: Vec<Map<String, Value>> = self
            .client
            .read("res.partner", "search_read", &arguments, deadline)
            .await?;
        Ok(rows.into_iter().map(Row).collect())
    }

    async fn row(&self, id: &ErpId, deadline: Deadline) -> Result<Option<Row>, ErpError> {
        let Ok(number) = id.id.parse::<i64>() else {
            return Ok(None);
        };
        let rows = self
            .rows(vec![json!(["id", "=", number])], WHOLE, 1, deadline)
            .await?;
        Ok(rows.into_iter().next())
    }

    /// Rows in neutral terms; what cannot be used is left to the caller.
    async fn page_of(
        &self,
        rows: Vec<Row>,
        groups: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let known = self.known(&rows, groups, deadline).await?;
        let mut page = RecordPage::default();
        for row in rows {
            match row.into_usable(&self.names, &known) {
                Ok(record) => page.records.push(record),
                Err(unusable) => page.unusable.push(unusable),
            }
        }
        Ok(page)
    }

    async fn records(
        &self,
        rows: Vec<Row>,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        Ok(self.page_of(rows, WHOLE, deadline).await?.records)
    }

    async fn record(&self, row: Row, deadline: Deadline) -> Result<ErpRecord, ErpError> {
        let page = self.page_of(vec![row], WHOLE, deadline).await?;
        let record = page.records.into_iter().next();
        record.ok_or_else(|| {
            ErpError::Unreadable(format!(
                "a partner without a usable `{}`: give it a code",
                self.names.code
            ))
        })
    }

    /// What the rows refer to.
    async fn known(
        &self,
        rows: &[Row],
        groups: FieldGroups,
        deadline: Deadline,
    ) -> Result<Known, ErpError> {
        let mut known = Known::default();
        if groups.has(FieldGroup::InvoiceAddress) || groups.has(FieldGroup::DeliveryAddresses) {
            known.countries = self.countries(deadline).await?.clone();
            known.gln = self.gln_field(deadline).await?.map(str::to_owned);
        }
        if groups.has(FieldGroup::DeliveryAddresses) {
            let ids: Vec<i64> = rows.iter().filter_map(Row::id).collect();
            let domain = vec![
                json!(["parent_id", "in", ids]),
                json!(["type", "=", "delivery"]),
                json!(["active", "=", true]),
            ];
            let rows = self.rows(domain, DELIVERY, MOST_ROWS, deadline).await?;
            for row in rows {
                if let (Some(parent), Some(delivery)) =
                    (row.reference("parent_id"), row.delivery(&known))
                {
                    known.deliveries.entry(parent).or_default().push(delivery);
                }
            }
        }
        if let (true, Some(field)) = (groups.has(FieldGroup::PriceLists), &self.names.price_list) {
            let mut ids: Vec<i64> = rows.iter().filter_map(|row| row.reference(field)).collect();
            ids.sort_unstable();
            ids.dedup();
            if !ids.is_empty() {
                let arguments = json!({ "domain": [["id", "in", ids]], "fields": ["name"], "context": { "active_test": false, "lang": "en_US" } });
                let lists: Vec<Map<String, Value>> = self
                    .client
                    .read("product.pricelist", "search_read", &arguments, deadline)
                    .await?;
                for list in lists.into_iter().map(Row) {
                    if let (Some(id), Some(name)) = (list.id(), list.text("name")) {
                        known.price_lists.insert(id, name.to_owned());
                    }
                }
            }
        }
        Ok(known)
    }

    async fn countries(&self, deadline: Deadline) -> Result<&HashMap<i64, CountryCode>, ErpError> {
        self.countries
            .get_or_try_init(|| async {
                let arguments = json!({ "domain": [], "fields": ["code"] });
                let rows: Vec<Map<String, Value>> = self
                    .client
                    .read("res.country", "search_read", &arguments, deadline)
                    .await?;
                Ok(rows
                    .into_iter()
                    .map(Row)
                    .filter_map(|row| Some((row.id()?, row.text("code")?.parse().ok()?)))
                    .collect())
            })
            .await
    }

    /// The field with the GLN of a partner, where this database has one: a module may bring it.
    async fn gln_field(&self, deadline: Deadline) -> Result<Option<&str>, ErpError> {
        let field = self.gln_field.get_or_try_init(|| async {
            let configured = self.names.gln.as_deref();
            let field = configured.unwrap_or(GLN_FIELD);
            let arguments = json!({ "allfields": [field], "attributes": ["type"] });
            let fields: Map<String, Value> = self
                .client
                .read("res.partner", "fields_get", &arguments, deadline)
                .await?;
            if fields.contains_key(field) {
                return Ok(Some(field.to_owned()));
            }
            if configured.is_none() {
                return Ok(None);
            }
            Err(ErpError::Refused {
                field: Some("gln"),
                code: "no such field".to_owned(),
                message: format!(
                    "partners of this database have no field `{field}`: correct `gln` in ErpExtraFields, or make the field in Odoo"
                ),
            })
        });
        Ok(field.await?.as_deref())
    }

    async fn wanted(
        &self,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Map<String, Value>, ErpError> {
        let countries = self.country_ids(party.address.iter(), deadline).await?;
        let gln = self.gln_field(deadline).await?;
        Ok(wanted(party, gln, |code| countries.get(&code).copied()))
    }

    /// Odoo's ids of the countries of some addresses; nothing is asked where none has a country.
    async fn country_ids(
        &self,
        addresses: impl Iterator<Item = &Address>,
        deadline: Deadline,
    ) -> Result<HashMap<CountryCode, i64>, ErpError> {
        let wanted: Vec<CountryCode> = addresses.filter_map(|address| address.country).collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let countries = self.countries(deadline).await?.iter();
        let ids = countries.filter(|(_, country)| wanted.contains(country));
        Ok(ids.map(|(id, country)| (*country, *id)).collect())
    }

    /// The partner that an earlier create has made for this entity.
    async fn made_for(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Row>, ErpError> {
        let arguments = json!({
            "domain": [["module", "=", MODULE], ["name", "=", external_name(entity)]],
            "fields": ["res_id"],
            "limit": 1,
        });
        let found: Vec<Map<String, Value>> = self
            .client
            .read("ir.model.data", "search_read", &arguments, deadline)
            .await?;
        let Some(id) = found.first().and_then(|row| row.get("res_id")?.as_i64()) else {
            return Ok(None);
        };
        let rows = self
            .rows(vec![json!(["id", "=", id])], WHOLE, 1, deadline)
            .await?;
        match rows.into_iter().next() {
            Some(row) => Ok(Some(row)),
            // Another create under this external id would change that partner (erp-apis §2.4).
            None => Err(ErpError::Refused {
                field: None,
                code: "out of sight".to_owned(),
                message: format!(
                    "partner {id} was made for {entity}, and is not in this company of Odoo: move it back, or delete its external id {MODULE}.{}",
                    external_name(entity)
                ),
            }),
        }
    }

    /// The code of a new record: asked for, drawn from the sequence, or made of the Norce id. Never none.
    async fn new_code(&self, key: &IdempotencyKey, deadline: Deadline) -> Result<Code, ErpError> {
        if let Some(code) = &key.code {
            return Ok(code.clone());
        }
        let refused = |message: String| ErpError::Refused {
            field: Some("code"),
            code: "no code".to_owned(),
            message,
        };
        if let Some(sequence) = &self.code_sequence {
            let drawn: Option<Value> = self
                .client
                .write(
                    "ir.sequence",
                    "next_by_code",
                    &json!({ "sequence_code": sequence }),
                    Safety::Once,
                    &[],
                    deadline,
                )
                .await
                .map_err(ErpError::from)?;
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

    async fn with_code(&self, code: &Code, deadline: Deadline) -> Result<Vec<Row>, ErpError> {
        let domain = vec![json!([self.names.code, "=", code.as_str()])];
        let rows = self.rows(domain, WHOLE, MOST_HITS + 1, deadline).await?;
        // Odoo's `=` is exact; a database may be set up otherwise.
        Ok(rows
            .into_iter()
            .filter(|row| row.text(&self.names.code) == Some(code.as_str()))
            .collect())
    }

    /// After a create whose outcome is not known.
    async fn recover(
        &self,
        entity: EntityRef,
        reason: String,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        match self.made_for(entity, deadline).await {
            Ok(Some(row)) => match self.record(row, deadline).await {
                Ok(record) => Ok(CreateOutcome::AlreadyThere(record)),
                Err(error) => Ok(CreateOutcome::Ambiguous {
                    reason: format!("{reason}; {error}"),
                }),
            },
            Ok(None) => Ok(CreateOutcome::Ambiguous { reason }),
            Err(error) => Ok(CreateOutcome::Ambiguous {
                reason: format!("{reason}; {error}"),
            }),
        }
    }

    /// Writes some fields of a partner; `false` when the partner is gone. The mask hides further values where Odoo's error
    /// repeats them.
    async fn write(
        &self,
        partner: i64,
        values: &Map<String, Value>,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<bool, ErpError> {
        let written = values
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let mask: Vec<(&str, &str)> = written.chain(mask.iter().copied()).collect();
        // The same values twice are the same partner.
        let written: Option<Value> = self
            .client
            .write(
                "res.partner",
                "write",
                &json!({ "ids": [partner], "vals": values }),
                Safety::Repeatable,
                &mask,
                deadline,
            )
            .await?;
        Ok(written.is_some())
    }
}

/// `customer_client_123`: the name of our external id of an entity.
fn external_name(entity: EntityRef) -> String {
    format!("{}_{}_{}", entity.kind, entity.scope, entity.id)
}

/// Partners of a resource: debtors are organisations, and persons who belong to none; the people of organisations are
/// contacts. Addresses, which are child partners too, are neither.
fn of_resource(resource: Resource) -> Vec<Value> {
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

fn of_kind(kind: EntityKind) -> Value {
    json!(["is_company", "=", kind == EntityKind::Company])
}

/// `=ilike` takes `_` and `%` for any letter and any text (erp-apis §2.4).
fn literally(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '_' | '%') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}

/// A number with whatever separators and letters stand around and between its characters. Odoo keeps what was typed, and
/// reads all partners for a comparison that ignores case anyway; what is found is compared by its key.
fn with_anything_between(number: &str) -> String {
    let mut pattern = "%".to_owned();
    for character in number.chars() {
        pattern.push(character);
        pattern.push('%');
    }
    pattern
}

/// One of these addresses, in whatever case and with whatever is around it.
fn one_of_emails<'a>(emails: impl Iterator<Item = &'a EmailKey>) -> Vec<Value> {
    let terms: Vec<Value> = emails
        .flat_map(EmailKey::spellings)
        .map(|email| json!(["email", "=ilike", format!("%{}%", literally(&email))]))
        .collect();
    let mut domain = vec![json!("|"); terms.len().saturating_sub(1)];
    domain.extend(terms);
    domain
}

#[async_trait]
impl Erp for Odoo {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn company(&self) -> Option<String> {
        self.company.map(|company| company.to_string())
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        match self.row(id, deadline).await? {
            Some(row) => self.record(row, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let rows = self.with_code(code, deadline).await?;
        let rows = rows
            .into_iter()
            .filter(|row| row.resource() == resource)
            .collect();
        self.records(rows, deadline).await
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mut domain = match kind {
            PartyKind::Contact { company } => {
                let company = company.as_ref().and_then(|it| it.id.parse::<i64>().ok());
                let company = company.unwrap_or_default();
                let mut domain = of_resource(Resource::Contact);
                domain.push(json!(["parent_id", "=", company]));
                domain
            }
            PartyKind::Person | PartyKind::Company => {
                let mut domain = of_resource(Resource::Customer);
                domain.push(json!(["is_company", "=", kind.is_organisation()]));
                domain
            }
        };
        match (key, kind) {
            (NaturalKey::Email(email), _) => domain.extend(one_of_emails(std::iter::once(email))),
            // A contact has its organisation's.
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
        let rows = self.rows(domain, WHOLE, MOST_ROWS, deadline).await?;
        let countries = self.countries(deadline).await?;
        let rows = rows
            .into_iter()
            .filter(|row| row.has_key(key, countries))
            .take(MOST_HOLDERS)
            .collect();
        self.records(rows, deadline).await
    }

    /// A domain is evaluated by the database.
    /// A partner has fields for both numbers, `company_registry` and `vat`.
    fn carried_keys(&self, party: &Party) -> Vec<NaturalKey> {
        party.keys()
    }

    async fn key_filter(&self, _: KeyField, _: Deadline) -> Result<FilterProof, ErpError> {
        Ok(FilterProof::Filters)
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        if let Some(row) = self.made_for(key.entity, deadline).await? {
            let record = self.record(row, deadline).await?;
            return Ok(CreateOutcome::AlreadyThere(record));
        }
        let code = self.new_code(key, deadline).await?;
        if let Some(row) = self.with_code(&code, deadline).await?.into_iter().next() {
            let record = self.record(row, deadline).await?;
            return if record.id.resource == party.kind.resource()
                && record.organisation == party.kind.is_organisation()
            {
                Ok(CreateOutcome::AlreadyThere(record))
            } else {
                Err(ErpError::Refused {
                    field: Some("code"),
                    code: "code taken".to_owned(),
                    message: format!(
                        "code {code} belongs to another kind of partner already; choose another ERP_CODE_PATTERN or correct it"
                    ),
                })
            };
        }
        let wanted = self.wanted(party, deadline).await?;
        let mut columns = vec!["id".to_owned(), self.names.code.clone()];
        let mut values = vec![
            json!(format!("{MODULE}.{}", external_name(key.entity))),
            json!(code.as_str()),
        ];
        for (field, value) in &wanted {
            // `/.id` takes a database id; everything else is a text.
            match value {
                Value::Number(id) => {
                    columns.push(format!("{field}/.id"));
                    values.push(json!(id.to_string()));
                }
                value => {
                    columns.push(field.clone());
                    values.push(value.clone());
                }
            }
        }
        columns.push("is_company".to_owned());
        values.push(json!(if party.kind.is_organisation() {
            "True"
        } else {
            "False"
        }));
        if let Some(company) = self.company {
            columns.push("company_id/.id".to_owned());
            values.push(json!(company.to_string()));
        }
        if let PartyKind::Contact {
            company: Some(company),
        } = &party.kind
        {
            columns.extend(["parent_id/.id".to_owned(), "type".to_owned()]);
            values.extend([json!(company.id), json!("contact")]);
        }
        let mask: Vec<(&str, &str)> = wanted
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let arguments = json!({ "fields": columns, "data": [values] });
        let loaded: Result<Option<Loaded>, Unsettled> = self
            .client
            .write(
                "res.partner",
                "load",
                &arguments,
                Safety::Once,
                &mask,
                deadline,
            )
            .await;
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(Unsettled::NotDone(error)) => return Err(error),
            Err(Unsettled::Unknown(reason)) => {
                return self.recover(key.entity, reason, deadline).await;
            }
        };
        let id = loaded
            .as_ref()
            .and_then(|loaded| loaded.ids.as_array()?.first()?.as_i64());
        if let Some(id) = id {
            let rows = self
                .rows(vec![json!(["id", "=", id])], WHOLE, 1, deadline)
                .await;
            if let Ok(Some(row)) = rows.map(|rows| rows.into_iter().next())
                && let Ok(record) = self.record(row, deadline).await
            {
                return Ok(CreateOutcome::Created(record));
            }
            let reason = "it was created but could not be read".to_owned();
            return self.recover(key.entity, reason, deadline).await;
        }
        // HTTP 200 and a refusal (erp-apis §2.4): somebody else's load of the same id, or a rule.
        if let Some(row) = self.made_for(key.entity, deadline).await? {
            let record = self.record(row, deadline).await?;
            return Ok(CreateOutcome::AlreadyThere(record));
        }
        Err(Loaded::refusal(loaded, &mask))
    }

    async fn update(
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
        Ok(match self.get(&seen.id, deadline).await? {
            Some(record) => UpdateOutcome::Updated(record),
            None => UpdateOutcome::Gone,
        })
    }

    async fn block(&self, id: &ErpId, deadline: Deadline) -> Result<UpdateOutcome, ErpError> {
        let Some(row) = self.row(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        let record = self.record(row.clone(), deadline).await?;
        if record.blocked {
            return Ok(UpdateOutcome::Unchanged(record));
        }
        let partner = row.id().unwrap_or_default();
        let archived = Map::from_iter([("active".to_owned(), json!(false))]);
        if !self
            .write(partner, &archived, &row.mask(), deadline)
            .await?
        {
            return Ok(UpdateOutcome::Gone);
        }
        Ok(match self.get(id, deadline).await? {
            Some(record) => UpdateOutcome::Updated(record),
            None => UpdateOutcome::Gone,
        })
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let mut domain = of_resource(listing.resource);
        if let (Resource::Customer, Some(kind)) = (listing.resource, listing.kind) {
            domain.push(of_kind(kind));
        }
        if let Some(since) = listing.since {
            let since = since.format(TIME).to_string();
            domain.push(json!(["write_date", ">=", since]));
        }
        if let Some(Cursor(last)) = cursor {
            let last: i64 = last.parse().map_err(|_| ErpError::CursorExpired)?;
            domain.push(json!(["id", ">", last]));
        }
        let rows = self
            .rows(domain, listing.fields, PAGE_SIZE, deadline)
            .await?;
        let next = match rows.last().and_then(Row::id) {
            Some(last) if rows.len() == PAGE_SIZE => Some(Cursor(last.to_string())),
            _ => None,
        };
        let page = self.page_of(rows, listing.fields, deadline).await?;
        Ok(RecordPage { next, ..page })
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        groups: FieldGroups,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let ids: Vec<i64> = ids.iter().filter_map(|id| id.id.parse().ok()).collect();
        let mut records = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PAGE_SIZE) {
            let domain = vec![json!(["id", "in", ids])];
            let rows = self.rows(domain, groups, PAGE_SIZE, deadline).await?;
            records.extend(self.page_of(rows, groups, deadline).await?.records);
        }
        Ok(records)
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for keys in keys.chunks(VALUES_IN_A_REQUEST) {
            let emails: Vec<&EmailKey> = keys
                .iter()
                .filter_map(|key| match key {
                    NaturalKey::Email(email) => Some(email),
                    NaturalKey::Organisation(_) => None,
                })
                .collect();
            let numbers: Vec<String> = keys
                .iter()
                .filter_map(|key| match key {
                    NaturalKey::Organisation(number) => Some(number.spellings()),
                    NaturalKey::Email(_) => None,
                })
                .flatten()
                .collect();
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
                // Addresses take over their parent's values.
                domain.push(json!(["type", "=", "contact"]));
                for row in self
                    .rows(domain, FieldGroups::NONE, MOST_ROWS, deadline)
                    .await?
                {
                    let Some(id) = row.erp_id() else { continue };
                    let held = keys.iter().filter(|key| row.has_key(key, countries));
                    holders.extend(held.map(|key| (key.clone(), id.clone())));
                }
            }
        }
        Ok(holders)
    }

    /// Nothing keeps `ref` unique, in whichever kind of partner.
    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for records in records.chunks(VALUES_IN_A_REQUEST) {
            let codes: Vec<&str> = records.iter().map(|(_, code)| code.as_str()).collect();
            let domain = vec![json!([self.names.code, "in", codes]), of_kind(kind)];
            for row in self
                .rows(domain, FieldGroups::NONE, MOST_ROWS, deadline)
                .await?
            {
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

    async fn company_of(&self, key: &CompanyKey, _: Deadline) -> Result<Option<ErpId>, ErpError> {
        // A contact names its parent by id.
        Ok(Some(ErpId {
            resource: Resource::Customer,
            id: key.0.clone(),
        }))
    }

    async fn company_key(
        &self,
        company: &ErpId,
        _: Deadline,
    ) -> Result<Option<CompanyKey>, ErpError> {
        Ok(Some(CompanyKey(company.id.clone())))
    }

    /// `has_access` of a model tells it of its records in general (Odoo 19, `odoo/orm/models.py`).
    async fn may_write(&self, deadline: Deadline) -> Result<Option<bool>, ErpError> {
        for operation in ["create", "write"] {
            let arguments = json!({ "operation": operation });
            let client = &self.client;
            let may: bool = client
                .read("res.partner", "has_access", &arguments, deadline)
                .await?;
            if !may {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError> {
        let nobody = json!({ "domain": [["id", "=", 0]] });
        self.client
            .date("res.partner", "search_count", &nobody, deadline)
            .await
    }
}
