//! Reading and writing the partners of one database, or of one company in it.

use std::{collections::HashMap, num::NonZeroU32};

use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::{
    client::Client,
    record::{DELIVERY, Known, Names, Row, STATE, WHOLE, fields, wanted},
    references::References,
    states::{States, state_of},
};
use crate::{
    domain::{Address, Code, CountryCode, FieldGroup, FieldGroups},
    erp::{CountrySetup, ErpError, ErpId, ErpRecord, Party, RecordPage, mask::Mask},
    http::{Deadline, Idempotency},
};

/// Two hits are as ambiguous as a hundred.
const MAX_HITS: usize = 2;
/// More rows than match the values of one domain; Odoo itself has no limit (erp-apis §2.3).
pub(super) const MAX_ROWS: usize = 65_536;
/// The field of a partner with its Global Location Number, from Odoo's module `account_add_gln` (erp-apis §2.4).
const GLN_FIELD: &str = "global_location_number";

/// The partners of one database, or of one company in it.
pub(super) struct Partners {
    pub(super) client: Client,
    /// The id of the company.
    pub(super) company: Option<NonZeroU32>,
    pub(super) names: Names,
    pub(super) references: References,
    countries: OnceCell<HashMap<i64, CountryCode>>,
    states: States,
    /// The field with the GLN; `None`: this database has none.
    gln_field: OnceCell<Option<String>>,
}

impl Partners {
    pub(super) fn new(client: Client, company: Option<NonZeroU32>, names: Names) -> Self {
        Self {
            client,
            company,
            names,
            references: References::default(),
            countries: OnceCell::const_new(),
            states: States::default(),
            gln_field: OnceCell::const_new(),
        }
    }

    /// The partners that match a domain, by rising id, with the fields of these groups.
    pub(super) async fn rows(
        &self,
        mut domain: Vec<Value>,
        groups: FieldGroups,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        // Odoo's own rules would also show partners that belong to no company, which every company sees (P14).
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
            // Otherwise archived partners are left out (erp-apis §2.4).
            "context": { "active_test": false, "lang": "en_US" },
        });
        let rows = self.client.search_read("res.partner", &arguments, deadline);
        rows.await
    }

    /// The partner with this id of Odoo's.
    pub(super) async fn by_id(&self, id: i64, deadline: Deadline) -> Result<Option<Row>, ErpError> {
        let rows = self.rows(vec![json!(["id", "=", id])], WHOLE, 1, deadline);
        Ok(rows.await?.into_iter().next())
    }

    pub(super) async fn row(
        &self,
        id: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<Row>, ErpError> {
        match id.id.parse() {
            Ok(id) => self.by_id(id, deadline).await,
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn get(
        &self,
        id: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<ErpRecord>, ErpError> {
        match self.row(id, deadline).await? {
            Some(row) => self.record(row, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn with_code(
        &self,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let domain = vec![json!([self.names.code, "=", code.as_str()])];
        let mut rows = self.rows(domain, WHOLE, MAX_HITS + 1, deadline).await?;
        // Odoo's `=` is exact, unless the database is set up otherwise.
        rows.retain(|row| row.text(&self.names.code) == Some(code.as_str()));
        Ok(rows)
    }

    /// Rows as records, and those that cannot be used.
    pub(super) async fn page_of(
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

    /// Rows as records, each of which counts: a partner without a code may be the one that is looked for.
    pub(super) async fn records(
        &self,
        rows: Vec<Row>,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.page_of(rows, WHOLE, deadline).await?.all()
    }

    pub(super) async fn record(&self, row: Row, deadline: Deadline) -> Result<ErpRecord, ErpError> {
        let page = self.page_of(vec![row], WHOLE, deadline).await?;
        page.records.into_iter().next().ok_or_else(|| {
            ErpError::Unreadable(format!(
                "a partner without a usable `{}`: give it a code",
                self.names.code
            ))
        })
    }

    /// Reads what the ids in these rows stand for.
    async fn known(
        &self,
        rows: &[Row],
        groups: FieldGroups,
        deadline: Deadline,
    ) -> Result<Known, ErpError> {
        let mut known = Known::default();
        let mut children = Vec::new();
        if groups.has(FieldGroup::DeliveryAddresses) {
            let ids: Vec<i64> = rows.iter().filter_map(Row::id).collect();
            let domain = vec![
                json!(["parent_id", "in", ids]),
                json!(["type", "=", "delivery"]),
                json!(["active", "=", true]),
            ];
            children = self.rows(domain, DELIVERY, MAX_ROWS, deadline).await?;
        }
        if groups.has(FieldGroup::InvoiceAddress) || groups.has(FieldGroup::DeliveryAddresses) {
            known.countries = self.countries(deadline).await?.clone();
            known.gln = self.gln_field(deadline).await?.map(str::to_owned);
            let rows = rows.iter().chain(&children);
            let ids = rows.filter_map(|row| row.reference(STATE)).collect();
            known.states = self.states.named(ids, &self.client, deadline).await?;
        }
        for row in children {
            if let (Some(parent), Some(delivery)) =
                (row.reference("parent_id"), row.delivery(&known))
            {
                known.deliveries.entry(parent).or_default().push(delivery);
            }
        }
        if let (true, Some(field)) = (groups.has(FieldGroup::PriceLists), &self.names.price_list) {
            let mut ids: Vec<i64> = rows.iter().filter_map(|row| row.reference(field)).collect();
            ids.sort_unstable();
            ids.dedup();
            if !ids.is_empty() {
                let arguments = json!({ "domain": [["id", "in", ids]], "fields": ["name"], "context": { "active_test": false, "lang": "en_US" } });
                let lists = self
                    .client
                    .search_read("product.pricelist", &arguments, deadline);
                for list in lists.await? {
                    if let (Some(id), Some(name)) = (list.id(), list.text("name")) {
                        known.price_lists.insert(id, name.to_owned());
                    }
                }
            }
        }
        Ok(known)
    }

    /// Odoo's countries by their ids.
    pub(super) async fn countries(
        &self,
        deadline: Deadline,
    ) -> Result<&HashMap<i64, CountryCode>, ErpError> {
        let countries = self.countries.get_or_try_init(|| async {
            let arguments = json!({ "domain": [], "fields": ["code"] });
            let rows = self.client.search_read("res.country", &arguments, deadline);
            let rows = rows.await?.into_iter();
            Ok(rows
                .filter_map(|row| Some((row.id()?, row.text("code")?.parse().ok()?)))
                .collect())
        });
        countries.await
    }

    /// The country of the company, or of all companies of the database where it is one. Odoo's codes are the ISO codes.
    pub(super) async fn country_setup(
        &self,
        deadline: Deadline,
    ) -> Result<Option<CountrySetup>, ErpError> {
        let domain: Vec<Value> = self
            .company
            .map(|company| json!(["id", "=", company]))
            .into_iter()
            .collect();
        let arguments = json!({ "domain": domain, "fields": ["country_id"] });
        let companies = self.client.search_read("res.company", &arguments, deadline);
        let companies = companies.await?;
        let known = self.countries(deadline).await?;
        let mut countries: Vec<CountryCode> = companies
            .iter()
            .filter_map(|company| known.get(&company.reference("country_id")?).copied())
            .collect();
        countries.sort_unstable();
        countries.dedup();
        let company_country = match countries.as_slice() {
            [country] => Some(*country),
            _ => None,
        };
        Ok(Some(CountrySetup {
            company_code: company_country.map(|country| country.to_string()),
            company_country,
            ..CountrySetup::default()
        }))
    }

    /// The fields of a partner for a party.
    pub(super) async fn wanted(
        &self,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Map<String, Value>, ErpError> {
        let countries = self.country_ids(party.address.iter(), deadline).await?;
        let gln = self.gln_field(deadline).await?;
        let mut wanted = wanted(party, gln, |code| countries.get(&code).copied());
        if let Some(country) = wanted.get("country_id").and_then(Value::as_i64)
            && let Some(region) = party.address.as_ref().and_then(|it| it.region.as_ref())
            && let Some(state) = state_of(country, region, &self.client, deadline).await?
        {
            wanted.insert(STATE.to_owned(), json!(state));
        }
        Ok(wanted)
    }

    /// Odoo's ids of the countries of some addresses. Nothing is read when no address has a country.
    pub(super) async fn country_ids(
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

    /// The field with the GLN of a partner, where this database has one: it comes with a module.
    pub(super) async fn gln_field(&self, deadline: Deadline) -> Result<Option<&str>, ErpError> {
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

    /// Writes some fields of a partner; `false` when the partner does not exist. The values in `mask` are kept out of
    /// errors as well as those that are written.
    pub(super) async fn write(
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
        let arguments = json!({ "ids": [partner], "vals": values });
        let written: Option<Value> = self
            .client
            .write(
                "res.partner",
                "write",
                &arguments,
                // Writing the same values again changes nothing.
                Idempotency::Idempotent,
                &mask,
                deadline,
            )
            .await?;
        Ok(written.is_some())
    }
}
