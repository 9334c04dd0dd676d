//! The tables that customers refer to, which the API only reads here, and the default dimensions below a customer
//! (erp-apis §1.12).

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Refused, Settings,
    api::{Answer, ApiRequest},
    company::{Author, Company, Write},
    fields::{self, BLANK, Changes, Field, Kind, Record, field, read_only},
    odata_query::Query,
};

/// A row of a table that people know by its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceRow {
    /// Its id.
    pub id: Uuid,
    /// Its code.
    pub code: String,
}

impl ReferenceRow {
    /// A row with this code.
    pub fn coded(code: &str) -> Self {
        Self {
            id: Uuid::new_v4(),
            code: code.to_owned(),
        }
    }
}

/// The tables that customers refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceTables {
    /// "Payment Terms".
    pub payment_terms: Vec<ReferenceRow>,
    /// "Payment Method".
    pub payment_methods: Vec<ReferenceRow>,
    /// "Shipment Method".
    pub shipment_methods: Vec<ReferenceRow>,
    /// "Currency": the foreign ones.
    pub currencies: Vec<ReferenceRow>,
    /// "Salesperson/Purchaser".
    pub salespeople: Vec<ReferenceRow>,
    /// "VAT Business Posting Group", which the API calls tax areas in countries with VAT.
    pub tax_areas: Vec<ReferenceRow>,
    /// "Dimension", each with its values.
    pub dimensions: Vec<(ReferenceRow, Vec<ReferenceRow>)>,
    /// General Ledger Setup "LCY Code".
    pub local_currency: String,
    /// The dimensions that are fields of the customer as well, so that setting them changes it.
    pub global_dimensions: Vec<String>,
}

impl Default for ReferenceTables {
    fn default() -> Self {
        let rows = |codes: &[&str]| codes.iter().map(|code| ReferenceRow::coded(code)).collect();
        Self {
            payment_terms: rows(&["14D", "30D", "COD"]),
            payment_methods: rows(&["CARD", "INVOICE"]),
            shipment_methods: rows(&["CIF", "EXW"]),
            currencies: rows(&["EUR", "USD"]),
            salespeople: rows(&["AH", "JD"]),
            tax_areas: rows(&["DOMESTIC", "EU", "EXPORT"]),
            dimensions: vec![
                (ReferenceRow::coded("AREA"), rows(&["10", "20"])),
                (ReferenceRow::coded("DEPARTMENT"), rows(&["SALES", "SHOP"])),
            ],
            local_currency: "SEK".to_owned(),
            global_dimensions: vec!["DEPARTMENT".to_owned()],
        }
    }
}

/// An entity set that is only read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReferenceSet {
    PaymentTerms,
    PaymentMethods,
    ShipmentMethods,
    Currencies,
    Salespeople,
    TaxAreas,
    Dimensions,
    DimensionValues,
    CompanyInformation,
    Countries,
}

impl ReferenceSet {
    pub(super) fn named(segment: &str) -> Option<Self> {
        Some(match segment {
            "paymentTerms" => Self::PaymentTerms,
            "paymentMethods" => Self::PaymentMethods,
            "shipmentMethods" => Self::ShipmentMethods,
            "currencies" => Self::Currencies,
            "salespeoplePurchasers" => Self::Salespeople,
            "taxAreas" => Self::TaxAreas,
            "dimensions" => Self::Dimensions,
            "dimensionValues" => Self::DimensionValues,
            "companyInformation" => Self::CompanyInformation,
            "countriesRegions" => Self::Countries,
            _ => return None,
        })
    }
}

const CODED: &[Field] = &[
    read_only("id", Kind::Guid),
    read_only("code", Kind::Code(20)),
    read_only("displayName", Kind::Text(100)),
    read_only("lastModifiedDateTime", Kind::DateTime),
];
const DIMENSION_VALUE: &[Field] = &[
    read_only("id", Kind::Guid),
    read_only("code", Kind::Code(20)),
    read_only("dimensionId", Kind::Guid),
    read_only("displayName", Kind::Text(50)),
    read_only("lastModifiedDateTime", Kind::DateTime),
];
const COMPANY_INFORMATION: &[Field] = &[
    read_only("id", Kind::Guid),
    read_only("displayName", Kind::Text(100)),
    read_only("country", Kind::Code(10)),
    read_only("currencyCode", Kind::Code(10)),
];
const DEFAULT_DIMENSION: &[Field] = &[
    read_only("id", Kind::Guid),
    field("parentType", Kind::Enumeration(&[BLANK, "Customer"])),
    field("parentId", Kind::Guid),
    field("dimensionId", Kind::Guid),
    read_only("dimensionCode", Kind::Code(20)),
    field("dimensionValueId", Kind::Guid),
    read_only("dimensionValueCode", Kind::Code(20)),
    field(
        "postingValidation",
        Kind::Enumeration(&[BLANK, "Code Mandatory", "Same Code", "No Code"]),
    ),
    read_only("lastModifiedDateTime", Kind::DateTime),
];

/// Checks the references of a customer against their tables, as the page's triggers do, and completes them.
pub(super) fn checked(mut changes: Changes, tables: &ReferenceTables) -> Result<Changes, Refused> {
    let given = |changes: &Changes, name: &str| {
        let value = changes.get(name).and_then(Value::as_str);
        value.map(str::to_owned)
    };
    if let Some(code) = given(&changes, "salespersonCode")
        && !code.is_empty()
        && !tables.salespeople.iter().any(|row| row.code == code)
    {
        return Err(Refused::invalid_relation("Salesperson Code", &code));
    }
    for (name, table, rows) in [
        ("taxAreaId", "Tax Area", &tables.tax_areas),
        ("paymentTermsId", "Payment Terms", &tables.payment_terms),
        (
            "shipmentMethodId",
            "Shipment Method",
            &tables.shipment_methods,
        ),
        ("paymentMethodId", "Payment Method", &tables.payment_methods),
        ("currencyId", "Currency", &tables.currencies),
    ] {
        let Some(id) = given(&changes, name).and_then(|id| id.parse::<Uuid>().ok()) else {
            continue;
        };
        let row = rows.iter().find(|row| row.id == id);
        if row.is_none() && !id.is_nil() {
            return Err(Refused::dialog(format!(
                "The \"{name}\" does not match to a {table}."
            )));
        }
        let code = row.map(|row| row.code.clone()).unwrap_or_default();
        if name == "taxAreaId" {
            changes.set("taxAreaDisplayName", json!(code));
        }
        if name == "currencyId" {
            let other = given(&changes, "currencyCode").filter(|_| row.is_some());
            if other.is_some_and(|other| other != code) {
                return Err(Refused::dialog(
                    "The currency values do not match to a specific Currency.",
                ));
            }
            changes.set("currencyCode", json!(code));
        }
    }
    if let Some(code) = given(&changes, "currencyCode") {
        // The company's own currency is stored as none.
        let is_local = code.is_empty() || code == tables.local_currency;
        let row = tables.currencies.iter().find(|row| row.code == code);
        if row.is_none() && !is_local {
            return Err(Refused::dialog(
                "The \"currencyCode\" does not match to a Currency.",
            ));
        }
        let id = row.filter(|_| !is_local).map(|row| row.id);
        changes.set("currencyId", json!(id.unwrap_or_default()));
    }
    Ok(changes)
}

/// A customer without a currency shows the company's own.
pub(super) fn show_currency(record: &mut Record, tables: &ReferenceTables) {
    if record.value("currencyCode").as_str() == Some("") {
        record.set("currencyCode", tables.local_currency.as_str());
    }
}

fn rows(set: ReferenceSet, company: &Company) -> (&'static [Field], Vec<Record>) {
    let tables = &company.settings.tables;
    let coded = |rows: &[ReferenceRow]| {
        let rows = rows.iter();
        (CODED, rows.map(|row| record(CODED, row)).collect())
    };
    match set {
        ReferenceSet::PaymentTerms => coded(&tables.payment_terms),
        ReferenceSet::PaymentMethods => coded(&tables.payment_methods),
        ReferenceSet::ShipmentMethods => coded(&tables.shipment_methods),
        ReferenceSet::Currencies => coded(&tables.currencies),
        ReferenceSet::Salespeople => coded(&tables.salespeople),
        ReferenceSet::TaxAreas => coded(&tables.tax_areas),
        ReferenceSet::Dimensions => {
            let dimensions = tables.dimensions.iter();
            let records = dimensions.map(|(dimension, _)| record(CODED, dimension));
            (CODED, records.collect())
        }
        ReferenceSet::DimensionValues => {
            let values = tables.dimensions.iter().flat_map(|(dimension, values)| {
                values.iter().map(|value| {
                    let mut record = record(DIMENSION_VALUE, value);
                    record.set("dimensionId", json!(dimension.id));
                    record
                })
            });
            (DIMENSION_VALUE, values.collect())
        }
        ReferenceSet::CompanyInformation => {
            let mut record = Record::empty(COMPANY_INFORMATION);
            record.set("id", json!(company.settings.id));
            record.set("displayName", company.settings.name.as_str());
            record.set("country", company.settings.home_country.as_str());
            record.set("currencyCode", tables.local_currency.as_str());
            (COMPANY_INFORMATION, vec![record])
        }
        ReferenceSet::Countries => {
            let countries = company.settings.countries.iter().map(|country| {
                let number = country
                    .code
                    .bytes()
                    .fold(1, |id, byte| id << 8 | u128::from(byte));
                record(
                    CODED,
                    &ReferenceRow {
                        id: Uuid::from_u128(number),
                        code: country.code.clone(),
                    },
                )
            });
            (CODED, countries.collect())
        }
    }
}

fn record(fields: &'static [Field], row: &ReferenceRow) -> Record {
    let mut record = Record::empty(fields);
    record.set("id", json!(row.id));
    record.set("code", row.code.as_str());
    record.set("displayName", row.code.as_str());
    record
}

impl ApiRequest<'_> {
    pub(super) fn reference_set(
        &self,
        set: ReferenceSet,
        company: &Company,
        settings: &Settings,
    ) -> Result<Answer, Refused> {
        self.only(&[Method::GET])?;
        let filtered = self.query.is_some_and(|query| query.contains("filter="));
        if set == ReferenceSet::TaxAreas && filtered {
            // The rows are collected when the page opens; what a filter does is not documented.
            return Err(Refused::not_simulated("a filter on taxAreas"));
        }
        let (fields, records) = rows(set, company);
        self.list(fields, &records, settings)
    }

    /// `customers({id})/defaultDimensions`.
    pub(super) fn default_dimensions(
        &self,
        customer: Uuid,
        company: &mut Company,
        settings: &Settings,
        write: &Write<'_>,
    ) -> Result<Answer, Refused> {
        self.only(&[Method::GET, Method::POST])?;
        company.customers.get(customer)?;
        if self.method == Method::GET {
            let records = company.dimensions_of(customer);
            let records: Vec<Record> = records.into_iter().cloned().collect();
            return self.list(DEFAULT_DIMENSION, &records, settings);
        }
        let changes = fields::read_changes(DEFAULT_DIMENSION, self.json()?)?;
        let query = Query::of_single(self.query, DEFAULT_DIMENSION)?;
        let record = company.insert_dimension(customer, changes, write)?;
        Ok(Answer {
            status: StatusCode::CREATED,
            body: Some(record.to_json(query.select)),
        })
    }

    /// `customers({id})/defaultDimensions({id})`.
    pub(super) fn default_dimension(
        &self,
        customer: Uuid,
        id: Uuid,
        company: &mut Company,
        write: &Write<'_>,
    ) -> Result<Answer, Refused> {
        self.only(&[Method::PATCH])?;
        let there = company.dimensions_of(customer);
        let there = there.into_iter().find(|record| record.id() == id);
        self.check_etag(there.ok_or_else(Refused::record_not_found), true)?;
        let changes = fields::read_changes(DEFAULT_DIMENSION, self.json()?)?;
        let query = Query::of_single(self.query, DEFAULT_DIMENSION)?;
        let record = company.modify_dimension(customer, id, changes, write)?;
        Ok(Answer {
            status: StatusCode::OK,
            body: Some(record.to_json(query.select)),
        })
    }
}

impl Company {
    fn dimensions_of(&self, customer: Uuid) -> Vec<&Record> {
        let parent = customer.to_string();
        let dimensions = self.default_dimensions.iter();
        dimensions
            .filter(|record| record.text("parentId") == parent)
            .collect()
    }

    /// The default dimensions of a customer: codes and the codes of their values.
    pub(super) fn dimension_codes(&self, customer: Uuid) -> Vec<(String, String)> {
        let dimensions = self.dimensions_of(customer).into_iter();
        let code = |record: &Record| {
            let text = |name| record.text(name).to_owned();
            (text("dimensionCode"), text("dimensionValueCode"))
        };
        let mut codes: Vec<_> = dimensions.map(code).collect();
        codes.sort();
        codes
    }

    fn insert_dimension(
        &mut self,
        customer: Uuid,
        changes: Changes,
        write: &Write<'_>,
    ) -> Result<Record, Refused> {
        let mut record = Record::empty(DEFAULT_DIMENSION);
        record.set("id", json!(Uuid::new_v4()));
        let parent = changes.get("parentId").and_then(Value::as_str);
        if parent.is_some_and(|parent| parent != customer.to_string()) {
            return Err(Refused::dialog("Parent is not found."));
        }
        self.apply_dimension(changes, &mut record)?;
        record.set("parentType", "Customer");
        record.set("parentId", json!(customer));
        let code = record.text("dimensionCode");
        if code.is_empty() {
            return Err(Refused::dialog(
                "Dimension Code must have a value in Default Dimension.",
            ));
        }
        let mut there = self.dimensions_of(customer).into_iter();
        if there.any(|there| there.text("dimensionCode") == code) {
            let status = match write.author {
                Author::Api { same_key_status } => same_key_status,
                Author::Person => StatusCode::BAD_REQUEST,
            };
            return Err(Refused::same_key_exists(status, "Default Dimension", code));
        }
        record.touch(self.next_revision(), write.now);
        self.default_dimensions.push(record.clone());
        self.touch_customer(customer, &record, write)?;
        Ok(record)
    }

    fn modify_dimension(
        &mut self,
        customer: Uuid,
        id: Uuid,
        changes: Changes,
        write: &Write<'_>,
    ) -> Result<Record, Refused> {
        if changes.has("dimensionId") || changes.has("parentId") {
            return Err(Refused::dialog("You can't rename a Default Dimension."));
        }
        let mut there = self.dimensions_of(customer).into_iter();
        let mut record = there
            .find(|record| record.id() == id)
            .cloned()
            .ok_or_else(Refused::record_not_found)?;
        self.apply_dimension(changes, &mut record)?;
        record.touch(self.next_revision(), write.now);
        self.default_dimensions.retain(|there| there.id() != id);
        self.default_dimensions.push(record.clone());
        self.touch_customer(customer, &record, write)?;
        Ok(record)
    }

    fn apply_dimension(&self, changes: Changes, record: &mut Record) -> Result<(), Refused> {
        let dimensions = &self.settings.tables.dimensions;
        let id = |name: &str| changes.get(name)?.as_str()?.parse::<Uuid>().ok();
        if let Some(id) = id("dimensionId") {
            let (dimension, _) = dimensions
                .iter()
                .find(|(dimension, _)| dimension.id == id)
                .ok_or_else(|| {
                    Refused::dialog("The \"dimensionId\" does not match to a Dimension.")
                })?;
            record.set("dimensionId", json!(id));
            record.set("dimensionCode", dimension.code.as_str());
        }
        if let Some(id) = id("dimensionValueId") {
            let mut values = dimensions
                .iter()
                .flat_map(|(dimension, values)| values.iter().map(move |value| (dimension, value)));
            let (dimension, value) = values.find(|(_, value)| value.id == id).ok_or_else(|| {
                Refused::dialog("The \"dimensionValueId\" does not match to a Dimension Value.")
            })?;
            if record.text("dimensionCode").is_empty() {
                record.set("dimensionId", json!(dimension.id));
                record.set("dimensionCode", dimension.code.as_str());
            } else if record.text("dimensionCode") != dimension.code {
                return Err(Refused::dialog(
                    "The \"dimensionId\" and \"dimensionValueId\" match to different Dimension records.",
                ));
            }
            record.set("dimensionValueId", json!(id));
            record.set("dimensionValueCode", value.code.as_str());
        }
        if let Some(validation) = changes.get("postingValidation") {
            record.set("postingValidation", validation.clone());
        }
        Ok(())
    }

    /// A global dimension is a field of the customer too.
    fn touch_customer(
        &mut self,
        customer: Uuid,
        dimension: &Record,
        write: &Write<'_>,
    ) -> Result<(), Refused> {
        let code = dimension.text("dimensionCode");
        let global = &self.settings.tables.global_dimensions;
        if !global.iter().any(|global| global == code) {
            return Ok(());
        }
        let mut record = self.customers.get(customer)?.clone();
        record.touch(self.next_revision(), write.now);
        self.customers.put(record);
        Ok(())
    }
}
