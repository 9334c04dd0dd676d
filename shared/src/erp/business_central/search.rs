//! Looking records up by e-mail address, VAT number and number.

use std::sync::atomic::Ordering;

use super::{
    fields,
    formats::{DISPLAY_NAME, EMAIL, Field, NUMBER, TAX_REGISTRATION_NUMBER, number},
    record::{ExtendedRow, Row, selected, type_of},
    records::{Records, of_kind},
};
use crate::{
    domain::{Code, EntityKind, OrganisationKey},
    erp::{
        CompanyKey, ErpError, ErpId, ErpRecord, MAX_HOLDERS, NaturalKey, Party, PartyKind, Resource,
    },
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

/// Business Central ignores case in a comparison with this (erp-apis §1.5).
pub(super) const EMAIL_IN_ANY_CASE: &str = "tolower(email)";
/// The schema version that takes several e-mail addresses in one filter (erp-apis §1.5).
const SCHEMA_VERSION: &str = "2.1";

/// An e-mail address of 80 characters takes about 110 in a filter, and every proxy takes an address of 2,000.
const KEYS_BATCH_SIZE: usize = 15;
/// A number of 20 characters takes about 40 in a filter.
const CODES_BATCH_SIZE: usize = 40;

impl Records {
    pub(super) async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        // A filter with a value that is too long is an error and not an empty answer (erp-apis §1.7).
        let Ok(number) = number(code) else {
            return Ok(Vec::new());
        };
        let mut rows = self.rows_by_number(resource, &number, deadline).await?;
        // A company contact is not a person, and not a customer in Norce.
        rows.retain(|row| resource == Resource::Customer || row.row().is_a("Person"));
        self.records_of(rows, resource, deadline).await
    }

    pub(super) async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let resource = kind.resource();
        let of_type = Filter::eq("type", type_of(kind));
        let accept = |row: &Row| row.is_a(type_of(kind)) && row.has_key(key, &self.countries);
        match (key, kind) {
            (NaturalKey::Email(email), _) => {
                let spellings = held(EMAIL, email.spellings());
                let scope = match kind {
                    PartyKind::Person | PartyKind::Company => of_type,
                    PartyKind::Contact {
                        company: Some(company),
                    } if !spellings.is_empty() => {
                        let Some(number) = self.company_contact(company, deadline).await? else {
                            return Ok(Vec::new());
                        };
                        Filter::eq("companyNumber", number).and(of_type)
                    }
                    PartyKind::Contact { .. } => return Ok(Vec::new()),
                };
                self.with_emails(resource, &scope, &spellings, accept, deadline)
                    .await
            }
            // A contact has the number of its organisation, if any.
            (NaturalKey::Organisation(_), PartyKind::Contact { .. }) => Ok(Vec::new()),
            (NaturalKey::Organisation(number), _) => {
                let spellings = held(TAX_REGISTRATION_NUMBER, number.spellings());
                let Some(filter) = Filter::any_of(TAX_REGISTRATION_NUMBER.name, spellings) else {
                    return Ok(Vec::new());
                };
                self.matches(resource, filter, number.number(), accept, deadline)
                    .await
            }
        }
    }

    /// The records that match the filter and are accepted, at most [`MAX_HOLDERS`].
    async fn matches(
        &self,
        resource: Resource,
        filter: Filter,
        key: &str,
        accept: impl Fn(&Row) -> bool + Send,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mask = [("key", key)];
        let url = self.url(resource, self.select(resource).filter(filter));
        let mut pages = self.client.list::<ExtendedRow>(url, &mask, deadline);
        let mut matches = Vec::new();
        while matches.len() < MAX_HOLDERS
            && let Some(rows) = pages.next().await?
        {
            matches.extend(rows.into_iter().filter(|row| accept(row.row())));
        }
        matches.truncate(MAX_HOLDERS);
        self.records_of(matches, resource, deadline).await
    }

    /// The records with an e-mail address in one of these spellings. Each spelling is a request, because several in one
    /// may be refused (erp-apis §1.5), and nearly every address has only one.
    async fn with_emails(
        &self,
        resource: Resource,
        scope: &Filter,
        spellings: &[String],
        accept: impl Fn(&Row) -> bool + Send + Copy,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mut records: Vec<ErpRecord> = Vec::new();
        for email in spellings {
            let with_email = Filter::eq(EMAIL_IN_ANY_CASE, email.as_str());
            let filter = scope.clone().and(with_email);
            let matches = self.matches(resource, filter, email, accept, deadline);
            for record in matches.await? {
                if !records.iter().any(|known| known.id == record.id) {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    pub(super) async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for keys in keys.chunks(KEYS_BATCH_SIZE) {
            let (mut emails, mut numbers) = (Vec::new(), Vec::new());
            for key in keys {
                match key {
                    NaturalKey::Email(email) => emails.extend(held(EMAIL, email.spellings())),
                    NaturalKey::Organisation(number) => {
                        numbers.extend(held(TAX_REGISTRATION_NUMBER, number.spellings()));
                    }
                }
            }
            for resource in resources(kind) {
                let mut rows = self
                    .rows_by_emails(kind, resource, &emails, deadline)
                    .await?;
                let numbers = numbers.iter().map(String::as_str);
                if let Some(filter) = Filter::any_of(TAX_REGISTRATION_NUMBER.name, numbers) {
                    let filter = filter.and(of_kind(kind, resource));
                    rows.extend(self.rows(resource, filter, deadline).await?);
                }
                for row in rows {
                    let Some(id) = row.erp_id(resource) else {
                        continue;
                    };
                    let held = keys.iter().filter(|key| row.has_key(key, &self.countries));
                    holders.extend(held.map(|key| (key.clone(), id.clone())));
                }
            }
        }
        Ok(holders)
    }

    /// The rows with one of these e-mail addresses: in one request, or where that is refused, in one request each.
    async fn rows_by_emails(
        &self,
        kind: EntityKind,
        resource: Resource,
        emails: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        if emails.len() > 1 && !self.one_email_at_a_time.load(Ordering::Relaxed) {
            match self.rows_by_filter(kind, resource, emails, deadline).await {
                Err(ErpError::Refused { code, .. }) => {
                    tracing::warn!(
                        code,
                        "Business Central refuses a filter on several e-mail addresses: from now on each one is a request"
                    );
                    self.one_email_at_a_time.store(true, Ordering::Relaxed);
                }
                answered => return answered,
            }
        }
        let mut rows = Vec::new();
        for email in emails.chunks(1) {
            rows.extend(self.rows_by_filter(kind, resource, email, deadline).await?);
        }
        Ok(rows)
    }

    async fn rows_by_filter(
        &self,
        kind: EntityKind,
        resource: Resource,
        emails: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let texts = emails.iter().map(String::as_str);
        let Some(filter) = Filter::any_of(EMAIL_IN_ANY_CASE, texts) else {
            return Ok(Vec::new());
        };
        let mut options = Options::new()
            .select(selected(resource))
            .filter(filter.and(of_kind(kind, resource)));
        if emails.len() > 1 {
            options = options.schema_version(SCHEMA_VERSION);
        }
        self.all_rows(self.url(resource, options), deadline).await
    }

    /// A number is unique in its table, so that only the other table is searched.
    pub(super) async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for resource in resources(kind) {
            let codes: Vec<&Code> = records
                .iter()
                .filter(|(record, _)| record.resource != resource)
                .map(|(_, code)| code)
                .collect();
            for codes in codes.chunks(CODES_BATCH_SIZE) {
                let numbers = codes.iter().filter_map(|code| number(code).ok());
                let Some(filter) = Filter::any_of(NUMBER.name, numbers) else {
                    continue;
                };
                let filter = filter.and(of_kind(kind, resource));
                for row in self.rows(resource, filter, deadline).await? {
                    if let (Some(id), Some(code)) = (row.erp_id(resource), row.number())
                        && codes.contains(&&code)
                    {
                        holders.push((code, id));
                    }
                }
            }
        }
        Ok(holders)
    }

    /// Business Central names the organisation of a contact by the number of its company contact, and shows only from
    /// the customer's side which contact that is (erp-apis §1.3). Customers of the same name are searched.
    pub(super) async fn company_of(
        &self,
        CompanyKey(number): &CompanyKey,
        deadline: Deadline,
    ) -> Result<Option<ErpId>, ErpError> {
        let filter = Filter::eq(NUMBER.name, number.as_str()).and(Filter::eq("type", "Company"));
        let contacts = self.rows(Resource::Contact, filter, deadline).await?;
        let name = contacts.first().and_then(Row::display_name);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let filter = Filter::eq(DISPLAY_NAME.name, name).and(Filter::eq("type", "Company"));
        let mut company = None;
        for row in self.rows(Resource::Customer, filter, deadline).await? {
            let Some(id) = row.erp_id(Resource::Customer) else {
                continue;
            };
            let mut pages = self.contacts_of(&id.id, deadline);
            while let Some(contacts) = pages.next().await? {
                if contacts.iter().any(|contact| contact.is_company(number)) {
                    if company.is_some_and(|other| other != id) {
                        return Ok(None);
                    }
                    company = Some(id);
                    break;
                }
            }
        }
        Ok(company)
    }
}

/// The keys of a party that its record will hold. The standard page has one field for numbers, the VAT number: an
/// organisation number from which no VAT number follows is not in the record (erp-apis §1.4).
pub(super) fn carried_keys(party: &Party) -> Vec<NaturalKey> {
    if party.kind != PartyKind::Company {
        return party.keys();
    }
    let number = fields::vat_number(party);
    let keys = OrganisationKey::all(None, number.as_ref(), party.country());
    keys.into_iter().map(NaturalKey::Organisation).collect()
}

/// The spellings that a field can hold: a longer value in a filter is an error (erp-apis §1.7).
fn held(field: Field, mut spellings: Vec<String>) -> Vec<String> {
    spellings.retain(|spelling| field.holds(spelling));
    spellings
}

/// The resources with records that Norce has as this kind.
fn resources(kind: EntityKind) -> impl Iterator<Item = Resource> {
    let contacts = (kind == EntityKind::Customer).then_some(Resource::Contact);
    std::iter::once(Resource::Customer).chain(contacts)
}
