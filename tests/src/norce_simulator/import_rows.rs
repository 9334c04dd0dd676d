//! The effect of one row of an import on the register (norce-api §§3.3-3.4).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    events::{Event, EventType},
    import_contract::{
        AccountField, AccountRow, AddressRow, CompanyField, CompanyIdentifier, CompanyRow,
        CustomerField, CustomerRow, FlagRow, Header, InfoRow, PriceListRow,
    },
    register::{
        Account, Address, CodeList, CompanyRecord, CustomerRecord, DELIVERY_ADDRESS, Details, Flag,
        INVOICE_ADDRESS, Info, PriceList, Register, digits,
    },
};

/// The effect of a row.
#[derive(Debug, Default)]
pub(super) struct RowOutcome {
    /// Rows of any table that were made.
    pub(super) inserts: usize,
    /// Rows of any table that were changed.
    pub(super) updates: usize,
    /// The notifications that the change raises.
    pub(super) events: Vec<Event>,
    /// The application that the entity belongs to, where entities do.
    pub(super) application: Option<i64>,
    /// The practices that a careful client avoids.
    pub(super) notes: Vec<String>,
    /// The parts of the row that were not imported; the rest was.
    pub(super) warnings: Vec<String>,
}

/// Why a row fails, as the job's log says it.
type Refusal = String;

/// Imports the rows of one job.
pub(super) struct Importer<'a> {
    pub(super) register: &'a mut Register,
    pub(super) header: &'a Header,
    pub(super) by_application: bool,
    pub(super) duplicates_fail: bool,
    pub(super) unknown_references_fail: bool,
    pub(super) now: DateTime<Utc>,
    /// The parts of the current row that are not imported.
    pub(super) warnings: Vec<String>,
}

/// A company that a customer's row names, and whether it is the primary one.
type Relation = (i64, Option<bool>);

impl Importer<'_> {
    /// Inserts or updates a customer.
    pub(super) fn customer(&mut self, row: &CustomerRow) -> Result<RowOutcome, Refusal> {
        if !(0..=COMPANY_CONTACT).contains(&row.kind.unwrap_or(0)) {
            return Err("Type is 1 (Customer) or 2 (CompanyContact)".to_owned());
        }
        let fields = &self.header.customer_fields;
        let has = |field| fields.contains(&field);
        let only_by_code = has(CustomerField::SearchOnlyByCode);
        let scope = self.scope(row.application_key, has(CustomerField::ApplicationKey))?;
        let found = if let Some(id) = row.id.filter(|_| has(CustomerField::Id)) {
            Some(self.customer_by_id(id, scope)?)
        } else if let Some(code) = text(&row.code).filter(|_| has(CustomerField::Code)) {
            self.customer_by(scope, |customer| {
                customer.row.customer_code.as_deref() == Some(code)
            })?
        } else if let Some(email) =
            text(&row.email_address).filter(|_| has(CustomerField::EmailAddress) && !only_by_code)
        {
            self.customer_by(scope, |customer| {
                same_email(customer.row.email_address.as_deref(), email)
            })?
        } else {
            return Err("The row has no key that is set".to_owned());
        };
        let mut outcome = RowOutcome::default();
        let mut record = match found.and_then(|id| self.register.customers.get(&id)) {
            Some(record) => record.clone(),
            None => {
                let complete = [
                    (CustomerField::Code, &row.code),
                    (CustomerField::LastName, &row.last_name),
                    (CustomerField::FirstName, &row.first_name),
                    (CustomerField::EmailAddress, &row.email_address),
                ];
                for (field, value) in complete {
                    if !has(field) || text(value).is_none() {
                        return Err(format!("A new customer needs {field:?}"));
                    }
                }
                if self.by_application && scope.is_none() {
                    return Err("A new customer needs ApplicationKey".to_owned());
                }
                let by = self.header.account_id;
                let mut record = self.register.new_customer(self.now, by, scope);
                if let Some(kind @ 1..) = row.kind {
                    record.row.type_id = kind;
                }
                record
            }
        };
        if record.row.is_forgotten {
            outcome.notes.push(format!(
                "customer {} is forgotten, but imported",
                record.row.id
            ));
        }
        let id = record.row.id;
        self.write_customer(&mut record, row)?;
        self.refuse_customer_twins(&record, only_by_code)?;
        let relations = match &row.companies {
            Some(companies) if has(CustomerField::Companies) => {
                let scope = record.row.application_id;
                Some(self.companies_of(companies, scope)?)
            }
            None if has(CustomerField::Companies) => Some(Vec::new()),
            _ => None,
        };
        outcome.application = record.row.application_id;
        self.store_customer(record, &mut outcome);
        if let Some(relations) = relations {
            let named: BTreeSet<i64> = relations.iter().map(|(company, _)| *company).collect();
            if row.is_company_list_delta != Some(true) {
                self.register
                    .relations
                    .retain(|(customer, company), _| *customer != id || named.contains(company));
            }
            for (company, primary) in relations {
                self.relate(id, company, primary, &mut outcome);
            }
        }
        Ok(outcome)
    }

    /// Inserts or updates a company.
    pub(super) fn company(&mut self, row: &CompanyRow) -> Result<RowOutcome, Refusal> {
        let fields = &self.header.company_fields;
        let has = |field| fields.contains(&field);
        let only_by_code = has(CompanyField::SearchOnlyByCode);
        let scope = self.scope(row.application_key, has(CompanyField::ApplicationKey))?;
        let found = if let Some(id) = row.id.filter(|_| has(CompanyField::Id)) {
            Some(self.company_by_id(id, scope)?)
        } else if let Some(code) = text(&row.code).filter(|_| has(CompanyField::Code)) {
            self.company_by(scope, |company| {
                company.row.company_code.as_deref() == Some(code)
            })?
        } else if let Some(number) = text(&row.organization_no)
            .filter(|_| has(CompanyField::OrganizationNo) && !only_by_code)
        {
            self.company_by_number(scope, number)?
        } else {
            return Err("The row has no key that is set".to_owned());
        };
        let mut record = match found.and_then(|id| self.register.companies.get(&id)) {
            Some(record) => record.clone(),
            None => {
                let complete = [
                    (CompanyField::Code, &row.code),
                    (CompanyField::Name, &row.name),
                    (CompanyField::OrganizationNo, &row.organization_no),
                ];
                for (field, value) in complete {
                    if !has(field) || text(value).is_none() {
                        return Err(format!("A new company needs {field:?}"));
                    }
                }
                if self.by_application && scope.is_none() {
                    return Err("A new company needs ApplicationKey".to_owned());
                }
                let by = self.header.account_id;
                self.register.new_company(self.now, by, scope)
            }
        };
        let id = record.row.id;
        self.write_company(&mut record, row)?;
        self.refuse_company_twins(&record, only_by_code)?;
        let contacts = if has(CompanyField::Customers) {
            let rows = row.customers.as_deref().unwrap_or_default();
            let scope = record.row.application_id;
            Some(self.customers_of(rows, scope)?)
        } else {
            None
        };
        let mut outcome = RowOutcome {
            application: record.row.application_id,
            ..RowOutcome::default()
        };
        self.store_company(record, &mut outcome);
        if let Some(contacts) = contacts {
            let named: BTreeSet<i64> = contacts.iter().map(|contact| contact.row.id).collect();
            if row.is_customer_list_delta != Some(true) {
                self.register
                    .relations
                    .retain(|(customer, company), _| *company != id || named.contains(customer));
            }
            for contact in contacts {
                let customer = contact.row.id;
                self.store_customer(contact, &mut outcome);
                self.relate(customer, id, None, &mut outcome);
            }
        }
        Ok(outcome)
    }

    /// The application that the row belongs to. In a client-unique set-up whether the key is ignored is not in the
    /// facts (norce-api §8): it is ignored here, once it is one of the client's.
    fn scope(&self, key: Option<Uuid>, listed: bool) -> Result<Option<i64>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        let application = self
            .register
            .application_by_key(key)
            .ok_or("ApplicationKey is no application of this client")?;
        Ok(Some(application.id).filter(|_| self.by_application && listed))
    }

    fn customer_by_id(&self, id: i64, scope: Option<i64>) -> Result<i64, Refusal> {
        match self.register.customers.get(&id) {
            Some(record) if within(scope, record.row.application_id) => Ok(id),
            _ => Err(format!("There is no customer with Id {id}")),
        }
    }

    fn company_by_id(&self, id: i64, scope: Option<i64>) -> Result<i64, Refusal> {
        match self.register.companies.get(&id) {
            Some(record) if within(scope, record.row.application_id) => Ok(id),
            _ => Err(format!("There is no company with Id {id}")),
        }
    }

    /// The one customer of which this is true. What Norce does with several is not in the facts: the row fails.
    fn customer_by(
        &self,
        scope: Option<i64>,
        is: impl Fn(&CustomerRecord) -> bool,
    ) -> Result<Option<i64>, Refusal> {
        let found = self
            .register
            .customers
            .values()
            .filter(|record| within(scope, record.row.application_id) && is(record))
            .map(|record| record.row.id);
        the_only(found, "customer")
    }

    fn company_by(
        &self,
        scope: Option<i64>,
        is: impl Fn(&CompanyRecord) -> bool,
    ) -> Result<Option<i64>, Refusal> {
        let found = self
            .register
            .companies
            .values()
            .filter(|record| within(scope, record.row.application_id) && is(record))
            .map(|record| record.row.id);
        the_only(found, "company")
    }

    fn company_by_number(&self, scope: Option<i64>, number: &str) -> Result<Option<i64>, Refusal> {
        let number = digits(number);
        self.company_by(scope, |company| {
            company.row.normalized_organization_no.as_deref() == Some(number.as_str())
        })
    }

    /// The companies that a customer's row names: by the first given of id, code and organisation number. Only the
    /// first that is primary is marked.
    fn companies_of(
        &self,
        identifiers: &[CompanyIdentifier],
        scope: Option<i64>,
    ) -> Result<Vec<Relation>, Refusal> {
        let mut relations = Vec::new();
        let mut primary_seen = false;
        for identifier in identifiers {
            // An identifier that is not listed is not read.
            let listed = |field| self.header.company_fields.contains(&field);
            let company = if let Some(id) = identifier.id.filter(|_| listed(CompanyField::Id)) {
                Some(self.company_by_id(id, scope)?)
            } else if let Some(code) = text(&identifier.code).filter(|_| listed(CompanyField::Code))
            {
                self.company_by(scope, |company| {
                    company.row.company_code.as_deref() == Some(code)
                })?
            } else if let Some(number) =
                text(&identifier.organization_no).filter(|_| listed(CompanyField::OrganizationNo))
            {
                self.company_by_number(scope, number)?
            } else {
                return Err("A company of the customer has no key".to_owned());
            };
            let company = company.ok_or("A company of the customer does not exist")?;
            let primary = identifier.is_primary.map(|is| is && !primary_seen);
            primary_seen |= identifier.is_primary == Some(true);
            relations.push((company, primary));
        }
        Ok(relations)
    }

    /// The customers that a company's row names, with the listed fields written.
    fn customers_of(
        &mut self,
        rows: &[CustomerRow],
        scope: Option<i64>,
    ) -> Result<Vec<CustomerRecord>, Refusal> {
        let mut contacts = Vec::new();
        for row in rows {
            let customer = if let Some(id) = row.id {
                Some(self.customer_by_id(id, scope)?)
            } else if let Some(code) = text(&row.code) {
                self.customer_by(scope, |customer| {
                    customer.row.customer_code.as_deref() == Some(code)
                })?
            } else if let Some(email) = text(&row.email_address) {
                self.customer_by(scope, |customer| {
                    same_email(customer.row.email_address.as_deref(), email)
                })?
            } else {
                return Err("A customer of the company has no key".to_owned());
            };
            let record = customer
                .and_then(|id| self.register.customers.get(&id))
                .ok_or("A customer of the company does not exist")?;
            let mut record = record.clone();
            self.write_customer(&mut record, row)?;
            self.refuse_customer_twins(&record, false)?;
            contacts.push(record);
        }
        Ok(contacts)
    }

    fn store_customer(&mut self, record: CustomerRecord, outcome: &mut RowOutcome) {
        let (id, application) = (record.row.id, record.row.application_id);
        let is_new = !self.register.customers.contains_key(&id);
        let tables = self
            .register
            .store_customer(record, self.now, self.header.account_id);
        count(outcome, is_new, tables.len());
        let client = self.register.client_id;
        outcome.events.extend(
            tables
                .into_iter()
                .map(|table| customer_changed(client, application, id, table)),
        );
    }

    fn store_company(&mut self, record: CompanyRecord, outcome: &mut RowOutcome) {
        let (id, application) = (record.row.id, record.row.application_id);
        let is_new = !self.register.companies.contains_key(&id);
        let tables = self
            .register
            .store_company(record, self.now, self.header.account_id);
        count(outcome, is_new, tables.len());
        let client = self.register.client_id;
        outcome.events.extend(
            tables
                .into_iter()
                .map(|table| company_changed(client, application, id, table)),
        );
    }

    fn relate(
        &mut self,
        customer: i64,
        company: i64,
        primary: Option<bool>,
        outcome: &mut RowOutcome,
    ) {
        let is_new = !self.register.relations.contains_key(&(customer, company));
        self.register
            .relate(customer, company, primary, self.now, self.header.account_id);
        count(outcome, is_new, usize::from(is_new));
    }

    /// No two customers of a scope have the same code; whether two may have the same e-mail address depends.
    fn refuse_customer_twins(
        &self,
        record: &CustomerRecord,
        only_by_code: bool,
    ) -> Result<(), Refusal> {
        let before = self.register.customers.get(&record.row.id);
        let others = || {
            self.register.customers.values().filter(|other| {
                other.row.id != record.row.id
                    && other.row.application_id == record.row.application_id
            })
        };
        if let Some(code) = &record.row.customer_code
            && others().any(|other| other.row.customer_code.as_ref() == Some(code))
        {
            return Err(format!("The code {code} belongs to another customer"));
        }
        let unchanged =
            before.is_some_and(|before| before.row.email_address == record.row.email_address);
        if let Some(email) = &record.row.email_address
            && !unchanged
            && !only_by_code
            && self.duplicates_fail
            && others().any(|other| same_email(other.row.email_address.as_deref(), email))
        {
            // The address is in the message on purpose: a client must not pass it on.
            return Err(format!(
                "The e-mail address {email} belongs to another customer"
            ));
        }
        Ok(())
    }

    /// No two companies of a scope have the same code, nor the same organisation number and name (norce-api §3.4).
    fn refuse_company_twins(
        &self,
        record: &CompanyRecord,
        only_by_code: bool,
    ) -> Result<(), Refusal> {
        let before = self.register.companies.get(&record.row.id);
        let others = || {
            self.register.companies.values().filter(|other| {
                other.row.id != record.row.id
                    && other.row.application_id == record.row.application_id
            })
        };
        if let Some(code) = &record.row.company_code
            && others().any(|other| other.row.company_code.as_ref() == Some(code))
        {
            return Err(format!("The code {code} belongs to another company"));
        }
        let pair = |company: &CompanyRecord| {
            let number = company.row.organization_no.as_deref().map(digits);
            (number, company.row.name.clone())
        };
        let (number, name) = pair(record);
        let unchanged = before.is_some_and(|before| pair(before) == (number.clone(), name.clone()));
        if number.is_none() || unchanged {
            return Ok(());
        }
        for other in others() {
            let (other_number, other_name) = pair(other);
            let tolerated = only_by_code || !self.duplicates_fail;
            if other_number == number && (other_name == name || !tolerated) {
                return Err("The organisation number belongs to another company".to_owned());
            }
        }
        Ok(())
    }

    fn write_customer(
        &mut self,
        record: &mut CustomerRecord,
        row: &CustomerRow,
    ) -> Result<(), Refusal> {
        for field in &self.header.customer_fields {
            let customer = &mut record.row;
            let preserve = self
                .header
                .customer_fields
                .contains(&CustomerField::PreserveFlags);
            match field {
                CustomerField::Code => put(&mut customer.customer_code, &row.code, CODE, "Code")?,
                CustomerField::EmailAddress => {
                    put(
                        &mut customer.email_address,
                        &row.email_address,
                        LONG,
                        "EmailAddress",
                    )?;
                }
                CustomerField::SocialSecurityNumber => put(
                    &mut customer.social_security_number,
                    &row.social_security_number,
                    SHORT,
                    "SocialSecurityNumber",
                )?,
                CustomerField::Title => put(&mut customer.title, &row.title, TITLE, "Title")?,
                CustomerField::FirstName => {
                    put(&mut customer.first_name, &row.first_name, NAME, "FirstName")?;
                }
                CustomerField::MiddleName => {
                    put(
                        &mut customer.middle_name,
                        &row.middle_name,
                        NAME,
                        "MiddleName",
                    )?;
                }
                CustomerField::LastName => {
                    put(&mut customer.last_name, &row.last_name, NAME, "LastName")?;
                }
                CustomerField::PhoneNumber => {
                    put(
                        &mut customer.phone_number,
                        &row.phone_number,
                        SHORT,
                        "PhoneNumber",
                    )?;
                }
                CustomerField::CellPhoneNumber => put(
                    &mut customer.cell_phone_number,
                    &row.cell_phone_number,
                    SHORT,
                    "CellPhoneNumber",
                )?,
                // Missing means true (norce-api §3.3).
                CustomerField::IsActive => customer.is_active = row.is_active.unwrap_or(true),
                // The length of CrmId is not in the facts.
                CustomerField::CrmId => put(&mut customer.crm_id, &row.crm_id, LONG, "CrmId")?,
                CustomerField::InvoiceAddress => {
                    let id = customer.id;
                    self.invoice_address(&mut record.details, id, row.invoice_address.as_ref())?;
                }
                CustomerField::DeliveryAddresses => {
                    let id = customer.id;
                    let rows = row.delivery_addresses.as_deref().unwrap_or_default();
                    self.delivery_addresses(&mut record.details, id, rows)?;
                }
                CustomerField::Accounts => {
                    for account in row.accounts.iter().flatten() {
                        self.account(record, account)?;
                    }
                }
                CustomerField::AdditionalInfo => {
                    let id = customer.id;
                    let rows = row.additional_info.as_deref().unwrap_or_default();
                    self.infos(&mut record.details, id, rows)?;
                }
                CustomerField::Flags => {
                    let id = customer.id;
                    let rows = row.flags.as_deref().unwrap_or_default();
                    self.flags(&mut record.details, id, rows, preserve)?;
                }
                CustomerField::PriceLists => {
                    let id = customer.id;
                    let rows = row.price_lists.as_deref().unwrap_or_default();
                    self.price_lists(&mut record.details, id, rows)?;
                }
                CustomerField::ApplicationKey
                | CustomerField::Id
                | CustomerField::SearchOnlyByCode
                | CustomerField::Companies
                | CustomerField::PreserveFlags => {}
            }
        }
        Ok(())
    }

    fn write_company(
        &mut self,
        record: &mut CompanyRecord,
        row: &CompanyRow,
    ) -> Result<(), Refusal> {
        if let Some(same) = row.use_invoice_address_as_delivery_address {
            record.row.use_billing_address_as_shipping_address = same;
        }
        for field in &self.header.company_fields {
            let company = &mut record.row;
            let preserve = self
                .header
                .company_fields
                .contains(&CompanyField::PreserveFlags);
            match field {
                CompanyField::Code => put(&mut company.company_code, &row.code, CODE, "Code")?,
                CompanyField::OrganizationNo => put(
                    &mut company.organization_no,
                    &row.organization_no,
                    SHORT,
                    "OrganizationNo",
                )?,
                CompanyField::Name => put(&mut company.name, &row.name, NAME, "Name")?,
                CompanyField::EmailAddress => {
                    put(
                        &mut company.email_address,
                        &row.email_address,
                        LONG,
                        "EmailAddress",
                    )?;
                }
                CompanyField::PhoneNumber => {
                    put(
                        &mut company.phone_number,
                        &row.phone_number,
                        SHORT,
                        "PhoneNumber",
                    )?;
                }
                CompanyField::VatNo => put(&mut company.vat_no, &row.vat_no, SHORT, "VatNo")?,
                CompanyField::IsActive => company.is_active = row.is_active.unwrap_or(true),
                CompanyField::ParentCompanyCode => {
                    let scope = company.application_id;
                    record.row.parent_company_id = match text(&row.parent_company_code) {
                        None => None,
                        Some(code) => {
                            let parent = self.company_by(scope, |company| {
                                company.row.company_code.as_deref() == Some(code)
                            })?;
                            Some(parent.ok_or("The parent company does not exist")?)
                        }
                    };
                }
                CompanyField::InvoiceAddress => {
                    let id = company.id;
                    self.invoice_address(&mut record.details, id, row.invoice_address.as_ref())?;
                }
                CompanyField::DeliveryAddresses => {
                    let id = company.id;
                    let rows = row.delivery_addresses.as_deref().unwrap_or_default();
                    self.delivery_addresses(&mut record.details, id, rows)?;
                }
                CompanyField::AdditionalInfo => {
                    let id = company.id;
                    let rows = row.additional_info.as_deref().unwrap_or_default();
                    self.infos(&mut record.details, id, rows)?;
                }
                CompanyField::Flags => {
                    let id = company.id;
                    let rows = row.flags.as_deref().unwrap_or_default();
                    self.flags(&mut record.details, id, rows, preserve)?;
                }
                CompanyField::PriceLists => {
                    let id = company.id;
                    let rows = row.price_lists.as_deref().unwrap_or_default();
                    self.price_lists(&mut record.details, id, rows)?;
                }
                CompanyField::LogoImage => keep(record, "LogoImage", row.logo_image.clone()),
                CompanyField::Contacts => keep_list(record, "Contacts", row.contacts.as_ref()),
                CompanyField::DeliveryMethods => {
                    keep_list(record, "DeliveryMethods", row.delivery_methods.as_ref());
                }
                CompanyField::Discounts => keep_list(record, "Discounts", row.discounts.as_ref()),
                CompanyField::PaymentMethods => {
                    keep_list(record, "PaymentMethods", row.payment_methods.as_ref());
                }
                CompanyField::ApplicationKey
                | CompanyField::Id
                | CompanyField::Customers
                | CompanyField::SearchOnlyByCode
                | CompanyField::PreserveFlags => {}
            }
        }
        Ok(())
    }

    /// Writes the one invoice address; none given empties it.
    fn invoice_address(
        &mut self,
        details: &mut Details,
        owner: i64,
        row: Option<&AddressRow>,
    ) -> Result<(), Refusal> {
        let position = details
            .addresses
            .iter()
            .position(|address| address.type_id == INVOICE_ADDRESS);
        match (row, position) {
            (Some(row), Some(position)) => {
                let before = &details.addresses[position];
                let after = self.address(row, owner, INVOICE_ADDRESS)?;
                details.addresses[position] = self.over(before, after, row);
            }
            (Some(row), None) => {
                let mut address = self.address(row, owner, INVOICE_ADDRESS)?;
                address.id = self.register.next_id();
                details.addresses.push(address);
            }
            (None, Some(position)) => {
                details.addresses.remove(position);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Replaces the delivery addresses; one that stays as it is keeps its id, and so does the one whose `Code` the row names.
    /// Of every other one nothing is kept. That the list is replaced rather than merged, and what an address is known again
    /// by, are assumptions (norce-api §3.3).
    fn delivery_addresses(
        &mut self,
        details: &mut Details,
        owner: i64,
        rows: &[AddressRow],
    ) -> Result<(), Refusal> {
        let mut addresses: Vec<Address> = details
            .addresses
            .iter()
            .filter(|address| address.type_id != DELIVERY_ADDRESS)
            .cloned()
            .collect();
        for row in rows {
            let mut address = self.address(row, owner, DELIVERY_ADDRESS)?;
            let before = || {
                let before = details.addresses.iter();
                before.filter(|before| before.type_id == DELIVERY_ADDRESS)
            };
            let same = match text(&row.code) {
                Some(code) => before().find(|before| before.code.as_deref() == Some(code)),
                None => before().find(|before| self.over(before, address.clone(), row) == **before),
            };
            match same {
                Some(same) => address = self.over(same, address, row),
                None => address.id = self.register.next_id(),
            }
            addresses.push(address);
        }
        details.addresses = addresses;
        Ok(())
    }

    /// An address that was there `before`, with what a row says now. `IsPrimary` null changes nothing (norce-api §3.3).
    fn over(&self, before: &Address, after: Address, row: &AddressRow) -> Address {
        let mut after = stamped_as(before, &after);
        after.is_primary = row.is_primary.unwrap_or(before.is_primary);
        if after != *before {
            after.updated = Some(self.now);
            after.updated_by = Some(self.header.account_id);
        }
        after
    }

    fn address(&self, row: &AddressRow, owner: i64, type_id: i64) -> Result<Address, Refusal> {
        let mut address = Address {
            owner_id: owner,
            type_id,
            created: self.now,
            created_by: self.header.account_id,
            client_id: Some(self.register.client_id),
            ..Address::default()
        };
        put(&mut address.care_of, &row.care_of, NAME, "CareOf")?;
        put(
            &mut address.address_line1,
            &row.address_line1,
            LONG,
            "AddressLine1",
        )?;
        put(
            &mut address.address_line2,
            &row.address_line2,
            LONG,
            "AddressLine2",
        )?;
        put(&mut address.zip_code, &row.zip_code, SHORT, "ZipCode")?;
        put(&mut address.city, &row.city, SHORT, "City")?;
        put(&mut address.region, &row.region, SHORT, "Region")?;
        put(&mut address.gln, &row.gln, SHORT, "Gln")?;
        put(
            &mut address.shipping_phone_number,
            &row.shipping_phone_number,
            SHORT,
            "ShippingPhoneNumber",
        )?;
        put(&mut address.code, &row.code, SHORT, "Code")?;
        address.is_primary = row.is_primary.unwrap_or_default();
        if let Some(code) = text(&row.country_code) {
            let country = self.register.country_by_code(code);
            address.country_id =
                Some(country.ok_or_else(|| format!("There is no country {code}"))?);
        }
        Ok(address)
    }

    /// Creates or updates an account, found by application and log-in name.
    fn account(&mut self, record: &mut CustomerRecord, row: &AccountRow) -> Result<(), Refusal> {
        let application = self
            .register
            .application_by_key(row.application_key)
            .ok_or("ApplicationKey of an account is no application of this client")?
            .id;
        let status = match (row.status.as_i64(), row.status.as_str()) {
            (Some(1), _) | (_, Some("Active")) => Some(1),
            (Some(2), _) | (_, Some("Inactive")) => Some(2),
            _ if row.status.is_null() => None,
            _ => return Err("The status of an account is 1 (Active) or 2 (Inactive)".to_owned()),
        };
        for role in row.roles.iter().flatten() {
            if self.register.code(CodeList::Roles, &role.code).is_none() {
                return Err(format!("There is no role {}", role.code));
            }
        }
        let position = record.accounts.iter().position(|account| {
            account.application_id == application
                && account.login_name.as_deref() == Some(row.login_name.as_str())
        });
        let is_new = position.is_none();
        let position = position.unwrap_or(record.accounts.len());
        if is_new {
            record.accounts.push(Account {
                id: self.register.next_id(),
                application_id: application,
                key: Uuid::new_v4(),
                login_name: Some(row.login_name.clone()),
                type_id: 1,
                customer_id: Some(record.row.id),
                status_id: 1,
                created: self.now,
                created_by: self.header.account_id,
                client_id: Some(self.register.client_id),
                ..Account::default()
            });
        }
        let has = |field| self.header.account_fields.contains(&field);
        let account = &mut record.accounts[position];
        if has(AccountField::Status) || (is_new && has(AccountField::StatusCreateOnly)) {
            account.status_id = status.unwrap_or(1);
        }
        if has(AccountField::Roles) || (is_new && has(AccountField::RolesCreateOnly)) {
            let roles = row.roles.iter().flatten();
            let active = roles.filter(|role| role.is_active != Some(false));
            record
                .roles
                .insert(account.id, active.map(|role| role.code.clone()).collect());
        }
        Ok(())
    }

    /// What Norce does with a code that it does not know is not documented: a row with it fails, or is imported without it
    /// and with a warning.
    fn known<T>(
        &mut self,
        found: Option<T>,
        message: impl Fn() -> String,
    ) -> Result<Option<T>, Refusal> {
        if found.is_none() {
            if self.unknown_references_fail {
                return Err(message());
            }
            self.warnings.push(message());
        }
        Ok(found)
    }

    fn infos(
        &mut self,
        details: &mut Details,
        owner: i64,
        rows: &[InfoRow],
    ) -> Result<(), Refusal> {
        let mut infos = Vec::new();
        for row in rows {
            if row.value.is_empty() {
                return Err(format!("The information {} needs a value", row.code));
            }
            let type_id = self.register.code(CodeList::InfoTypes, &row.code);
            let Some(type_id) =
                self.known(type_id, || format!("There is no information {}", row.code))?
            else {
                continue;
            };
            infos.push(Info {
                owner_id: owner,
                type_id,
                value: row.value.clone(),
            });
        }
        details.infos = infos;
        Ok(())
    }

    /// Replaces the flags, or adds to them where `PreserveFlags` is set (norce-api §3.2). A flag that is
    /// With `IsCreateOnly` an existing one is not changed.
    fn flags(
        &mut self,
        details: &mut Details,
        owner: i64,
        rows: &[FlagRow],
        preserve: bool,
    ) -> Result<(), Refusal> {
        let mut flags = Vec::new();
        for row in rows {
            let flag_id = self.register.code(CodeList::Flags, &row.code);
            let Some(flag_id) = self.known(flag_id, || format!("There is no flag {}", row.code))?
            else {
                continue;
            };
            let before = details.flags.iter().find(|flag| flag.flag_id == flag_id);
            let mut flag = before.cloned().unwrap_or_else(|| Flag {
                flag_id,
                owner_id: owner,
                created: self.now,
                created_by: self.header.account_id,
                client_id: Some(self.register.client_id),
                ..Flag::default()
            });
            if before.is_none() || row.is_create_only != Some(true) {
                flag.is_active = row.is_active.unwrap_or(true);
                flag.stopped_date = row.stop_date;
            }
            flags.push(flag);
        }
        if preserve {
            let untouched = details
                .flags
                .iter()
                .filter(|flag| flags.iter().all(|other| other.flag_id != flag.flag_id));
            let untouched: Vec<Flag> = untouched.cloned().collect();
            flags.extend(untouched);
        }
        flags.sort_by_key(|flag| flag.flag_id);
        details.flags = flags;
        Ok(())
    }

    fn price_lists(
        &mut self,
        details: &mut Details,
        owner: i64,
        rows: &[PriceListRow],
    ) -> Result<(), Refusal> {
        let mut lists = Vec::new();
        for row in rows {
            let list = self.register.code(CodeList::PriceLists, &row.code);
            let Some(price_list_id) =
                self.known(list, || format!("There is no price list {}", row.code))?
            else {
                continue;
            };
            lists.push(PriceList {
                owner_id: owner,
                price_list_id,
                is_exclusive: row.is_exclusive,
            });
        }
        details.price_lists = lists;
        Ok(())
    }
}

/// The highest `Type` of a customer; 0 is what a C# client sends that sets none (norce-api §3.5).
const COMPANY_CONTACT: i64 = 2;

/// Lengths of Query's properties (norce-api §5.2), which are what a column can hold.
const CODE: usize = 50;
const TITLE: usize = 10;
const SHORT: usize = 50;
const NAME: usize = 100;
const LONG: usize = 255;

/// Writes a listed field; a missing value empties it.
fn put(
    target: &mut Option<String>,
    value: &Option<String>,
    longest: usize,
    name: &str,
) -> Result<(), Refusal> {
    let length = value.as_deref().map_or(0, |value| value.chars().count());
    if length > longest {
        return Err(format!("{name} is longer than {longest} characters"));
    }
    target.clone_from(value);
    Ok(())
}

/// An address under the id and the times of another one.
fn stamped_as(before: &Address, address: &Address) -> Address {
    Address {
        id: before.id,
        created: before.created,
        created_by: before.created_by,
        updated: before.updated,
        updated_by: before.updated_by,
        ..address.clone()
    }
}

fn keep(record: &mut CompanyRecord, name: &str, value: Option<Value>) {
    match value {
        Some(value) => record.kept.insert(name.to_owned(), value),
        None => record.kept.remove(name),
    };
}

fn keep_list(record: &mut CompanyRecord, name: &str, value: Option<&Vec<Value>>) {
    keep(record, name, value.map(|list| Value::Array(list.clone())));
}

fn count(outcome: &mut RowOutcome, is_new: bool, rows: usize) {
    if is_new {
        outcome.inserts += rows;
    } else {
        outcome.updates += rows;
    }
}

fn text(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

fn within(scope: Option<i64>, application: Option<i64>) -> bool {
    scope.is_none() || scope == application
}

fn same_email(left: Option<&str>, right: &str) -> bool {
    left.is_some_and(|left| left.to_lowercase() == right.to_lowercase())
}

fn the_only(mut found: impl Iterator<Item = i64>, what: &str) -> Result<Option<i64>, Refusal> {
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err(format!("More than one {what} has this key")),
    }
}

/// `CustomerChangedNotification` (norce-api §6): the application is there only where customers belong to one.
pub(super) fn customer_changed(
    client: i64,
    application: Option<i64>,
    customer: i64,
    table: &str,
) -> Event {
    Event::new(EventType::CustomerChanged, client)
        .with_some("ApplicationId", application)
        .with("CustomerId", customer)
        .with("EntityChanged", table)
}

/// `CompanyChangedNotification` (norce-api §6).
pub(super) fn company_changed(
    client: i64,
    application: Option<i64>,
    company: i64,
    table: &str,
) -> Event {
    Event::new(EventType::CompanyChanged, client)
        .with_some("ApplicationId", application)
        .with("CompanyId", company)
        .with("EntityChanged", table)
}
