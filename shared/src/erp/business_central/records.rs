//! Reading the records of one company.

use std::{collections::BTreeSet, sync::atomic::AtomicBool};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use super::{
    client::{Client, Pages},
    extra::with_extra,
    fields::Fields,
    formats::{COUNTRY, NUMBER},
    record::{ContactInformation, ExtendedRow, Row, entity_set, selected},
    references::References,
};
use crate::{
    domain::{Countries, CountryCode, EntityKind},
    erp::{ErpError, ErpId, ErpRecord, ExtraFields, Resource, answer::parse},
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

/// Two hits are as ambiguous as a hundred.
const MAX_HITS: u32 = 2;

/// A row of `countriesRegions`.
#[derive(Deserialize)]
struct CountryRow {
    code: String,
}

/// The records of one company.
pub(super) struct Records {
    pub(super) client: Client,
    pub(super) extra: ExtraFields,
    pub(super) countries: Countries,
    /// The codes in the table "Country/Region".
    pub(super) country_table: OnceCell<BTreeSet<String>>,
    pub(super) references: References,
    /// The server has refused a filter on several e-mail addresses.
    pub(super) one_email_at_a_time: AtomicBool,
}

impl Records {
    /// The address of one record. An id that is not a GUID is not Business Central's and would change the path.
    pub(super) fn record_url(&self, id: &ErpId) -> Result<Url, ErpError> {
        let guid = Uuid::parse_str(&id.id).map_err(|_| ErpError::Refused {
            field: None,
            code: "foreign-id".to_owned(),
            message: format!(
                "{id} is no id of Business Central, whose ids are GUIDs: the record was mapped to another ERP"
            ),
        })?;
        let set = entity_set(id.resource);
        Ok(self.client.url(&format!("{set}({guid})")))
    }

    /// The address of a resource with these query options.
    pub(super) fn url(&self, resource: Resource, options: Options) -> Url {
        options.apply(self.client.url(entity_set(resource)))
    }

    /// The field of the merchant's own page with the organisation number of a customer. Whether a record is the
    /// organisation is decided with it: in a VAT group nothing else tells two of them apart.
    pub(super) fn own_number_field(&self, resource: Resource) -> Option<&str> {
        match resource {
            Resource::Customer => self.extra.organisation_number.as_deref(),
            Resource::Contact => None,
        }
    }

    /// The fields of an [`ExtendedRow`].
    pub(super) fn select(&self, resource: Resource) -> Options {
        let options = Options::new().select(selected(resource));
        if self.client.has_extra_root() {
            return options;
        }
        options.select_also(self.own_number_field(resource).into_iter())
    }

    /// Rows as records, with their organisation numbers.
    pub(super) async fn records_of(
        &self,
        rows: Vec<ExtendedRow>,
        resource: Resource,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let own_number = self.own_number_field(resource);
        let rows = match own_number {
            Some(field) if self.client.has_extra_root() => {
                with_extra(&self.client, rows, field, deadline).await?
            }
            _ => rows,
        };
        rows.into_iter()
            .map(|row| row.into_record(resource, own_number, &self.countries))
            .collect()
    }

    pub(super) async fn record_of(
        &self,
        row: ExtendedRow,
        resource: Resource,
        deadline: Deadline,
    ) -> Result<ErpRecord, ErpError> {
        let records = self.records_of(vec![row], resource, deadline).await?;
        let record = records.into_iter().next();
        record.ok_or_else(|| ErpError::Unreadable(format!("a {resource} was not read")))
    }

    pub(super) async fn get(
        &self,
        id: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<ErpRecord>, ErpError> {
        let url = self.select(id.resource).apply(self.record_url(id)?);
        match self.client.read(&url, deadline).await? {
            Some(row) => Ok(Some(self.record_of(row, id.resource, deadline).await?)),
            None => Ok(None),
        }
    }

    /// The records with a number, and no more than show that it is ambiguous.
    pub(super) async fn rows_by_number(
        &self,
        resource: Resource,
        number: &str,
        deadline: Deadline,
    ) -> Result<Vec<ExtendedRow>, ErpError> {
        let options = self.select(resource).top(MAX_HITS);
        let url = self.url(resource, options.filter(Filter::eq(NUMBER.name, number)));
        let rows = self.client.list(url, &[], deadline).next().await?;
        Ok(rows.unwrap_or_default())
    }

    /// The rows that match a filter.
    pub(super) async fn rows(
        &self,
        resource: Resource,
        filter: Filter,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let options = Options::new().select(selected(resource)).filter(filter);
        self.all_rows(self.url(resource, options), deadline).await
    }

    /// The rows of every page.
    pub(super) async fn all_rows(
        &self,
        url: Url,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let mut pages = self.client.list::<Row>(url, &[], deadline);
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(rows)
    }

    /// The record in the answer to a write.
    pub(super) fn written_record(
        &self,
        response: &Response<Bytes>,
        resource: Resource,
    ) -> Result<ErpRecord, ErpError> {
        if response.status() == StatusCode::NO_CONTENT {
            return Err(ErpError::Unreadable(
                "HTTP 204 instead of a record".to_owned(),
            ));
        }
        parse::<Row>(response)?.into_record(resource, &self.countries)
    }

    /// Fields with the company's own code of the country.
    pub(super) async fn spelled(
        &self,
        fields: Fields,
        deadline: Deadline,
    ) -> Result<Fields, ErpError> {
        let country = fields.get(COUNTRY.name).and_then(|iso| iso.parse().ok());
        match country {
            Some(country) => {
                let code = self.country_code(country, deadline).await?;
                Ok(fields.with_country(code))
            }
            None => Ok(fields),
        }
    }

    /// The company's own code of a country: the configured one, else the ISO code. Where other codes than the ISO code are
    /// in use, the table "Country/Region" decides, which is read once.
    async fn country_code(
        &self,
        country: CountryCode,
        deadline: Deadline,
    ) -> Result<String, ErpError> {
        let iso = country.to_string();
        if let Some(code) = self.countries.configured(country) {
            return Ok(code.to_owned());
        }
        if Countries::alternatives(country).next().is_none() {
            return Ok(iso);
        }
        let table = self.country_table(deadline).await?;
        if table.contains(&iso) {
            return Ok(iso);
        }
        let other = Countries::alternatives(country).find(|code| table.contains(*code));
        Ok(other.map_or(iso, str::to_owned))
    }

    /// The codes in the table "Country/Region" (`countriesRegions`).
    pub(super) async fn country_table(
        &self,
        deadline: Deadline,
    ) -> Result<&BTreeSet<String>, ErpError> {
        let table = self.country_table.get_or_try_init(|| async {
            let options = Options::new().select(&["code"]);
            let url = options.apply(self.client.url("countriesRegions"));
            let mut pages = self.client.list::<CountryRow>(url, &[], deadline);
            let mut codes = BTreeSet::new();
            while let Some(rows) = pages.next().await? {
                codes.extend(rows.into_iter().map(|row| row.code));
            }
            Ok(codes)
        });
        table.await
    }

    /// The contacts behind a customer, its company contact among them.
    pub(super) fn contacts_of(
        &self,
        customer: &str,
        deadline: Deadline,
    ) -> Pages<'_, ContactInformation> {
        let path = format!("customers({customer})/contactsInformation");
        let options = Options::new().select(ContactInformation::FIELDS);
        let url = options.apply(self.client.url(&path));
        self.client.list(url, &[], deadline)
    }

    /// The number of a customer's company contact, which the people of the customer belong to.
    pub(super) async fn company_contact(
        &self,
        company: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<String>, ErpError> {
        let guid = Uuid::parse_str(&company.id).map_err(|_| no_company_contact(company))?;
        let mut pages = self.contacts_of(&guid.to_string(), deadline);
        while let Some(contacts) = pages.next().await? {
            let mut contacts = contacts.into_iter();
            let company = contacts.find_map(ContactInformation::into_company_number);
            if company.is_some() {
                return Ok(company);
            }
        }
        Ok(None)
    }
}

/// The records of a resource that Norce has as this kind. A person that is a customer has a twin among the contacts,
/// which belongs to no organisation (erp-apis §1.3).
pub(super) fn of_kind(kind: EntityKind, resource: Resource) -> Filter {
    match (resource, kind) {
        (Resource::Customer, EntityKind::Company) => Filter::eq("type", "Company"),
        (Resource::Customer, EntityKind::Customer) => Filter::eq("type", "Person"),
        (Resource::Contact, _) => Filter::eq("type", "Person").and(Filter::ne("companyNumber", "")),
    }
}

pub(super) fn no_company_contact(company: &ErpId) -> ErpError {
    ErpError::Refused {
        field: Some("companyNumber"),
        code: "no-company-contact".to_owned(),
        message: format!(
            "{company} has no company contact in Business Central, to which its people could belong: set \
             \"Bus. Rel. Code for Customers\" in Marketing Setup and create contacts from customers there"
        ),
    }
}
