//! Norce Connect: imports of codes, and the jobs that carry them out (norce-api §3, §4).

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    ImportError, ImportRow, ImportShape, ImportedRow, Job, JobId, JobLogEntry, JobStatus, NorceApi,
    NorceError, NorceImports, SubmittedImport,
    api::{read, request},
    lenient,
};
use crate::{
    domain::{
        Applications, Code, CountryCode, EntityKind, FieldGroup, FieldGroups, Names, NorceAddress,
        NorceId, OrganisationNumber, Personal, Scope, UnknownApplication, VatNumber, redact,
    },
    http::{Deadline, Safety},
};

const IMPORT_CUSTOMERS: &str = "commerce/connect/4.0/Customer/ImportCustomers";
const IMPORT_COMPANIES: &str = "commerce/connect/4.0/Customer/ImportCompanies";
const JOB_PING: &str = "commerce/connect/4.0/Job/Ping";
/// Where `Get` and `GetLog` of jobs are. The sources have both (norce-api §1), so that the one that answers is found out.
const JOB_PATHS: [&str; 2] = ["commerce/connect/4.0/api/Job", "commerce/connect/4.0/Job"];
/// None of them has answered yet.
const NOT_KNOWN: usize = JOB_PATHS.len();

/// The batch header of an import travels as an HTTP header, in JSON (norce-api §3.1).
const IMPORT_HEADER: &str = "x-stormconnect-header";

/// As many words of a synchronous validation as a person reads; a batch that is wrong repeats itself.
const MAX_MESSAGES: usize = 20;

/// What an import says that neither side has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// `ACCOUNT_ROLES`: codes of the roles that a new account gets. Norce must have them (norce-api §3.5).
    pub account_roles: Vec<String>,
    /// `PRICE_LISTS_EXCLUSIVE`: whether a price list of a customer alone decides its prices and assortment, over all other
    /// lists. Norce takes a list that does not say so for one that is not exclusive (norce-api §3.5).
    pub exclusive_price_lists: bool,
}

/// Norce Connect of one tenant.
pub struct ConnectClient {
    api: NorceApi,
    account: i32,
    applications: Applications,
    options: ImportOptions,
    /// The place in [`JOB_PATHS`] that answers here.
    job_path: AtomicUsize,
}

impl ConnectClient {
    /// A client that imports in the name of a system account (its id in Norce Admin).
    pub fn new(
        api: NorceApi,
        account: i32,
        applications: Applications,
        options: ImportOptions,
    ) -> Self {
        Self {
            api,
            account,
            applications,
            options,
            job_path: AtomicUsize::new(NOT_KNOWN),
        }
    }

    /// Whether Connect is there and lets us in.
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn ping(&self, deadline: Deadline) -> Result<(), NorceError> {
        let url = self.api.url(JOB_PING)?;
        self.api
            .get(&url, self.applications.default_application().id, deadline)
            .await?;
        Ok(())
    }

    /// The path that jobs are asked for at, once one has answered.
    pub fn job_path(&self) -> Option<&'static str> {
        JOB_PATHS
            .get(self.job_path.load(Ordering::Relaxed))
            .copied()
    }

    /// Asks for a job; `None`: there is none. A path that is not there answers 404 as well, so that the other one is asked
    /// until one has known a job.
    async fn get_job(
        &self,
        method: &str,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Option<Response<Bytes>>, NorceError> {
        let application = self.applications.default_application().id;
        let known = self.job_path.load(Ordering::Relaxed);
        let paths = JOB_PATHS.iter().enumerate();
        for (place, path) in paths.filter(|(place, _)| known == NOT_KNOWN || known == *place) {
            let mut url = self.api.url(&format!("{path}/{method}"))?;
            url.query_pairs_mut().append_pair("id", &job.to_string());
            match self.api.get(&url, application, deadline).await {
                Err(NorceError::Refused { status: 404, .. }) => {}
                answer => {
                    let answer = answer?;
                    self.job_path.store(place, Ordering::Relaxed);
                    return Ok(Some(answer));
                }
            }
        }
        Ok(None)
    }
}

/// `X-StormConnect-Header`: the account, and exactly the fields that the rows are there to set (norce-api §3.2).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImportHeader {
    account_id: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    customer_fields_that_are_set: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    company_fields_that_are_set: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    account_fields_that_are_set: Vec<&'static str>,
}

/// A customer or a company: what it is matched by, and the fields that are set. A field that is set and has no value in
/// the ERP is written as empty, since a listed field that is missing would be too (norce-api §3.3, inferred).
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    /// 1 a customer, 2 a contact of a company (norce-api §3.5).
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    kind: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_key: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<NorceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vat_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    middle_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cell_phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_address: Option<AddressRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_addresses: Option<Vec<AddressRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_lists: Option<Vec<PriceListRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<FlagRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_info: Option<Vec<InfoRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_company_list_delta: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    companies: Option<Vec<CompanyRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_customer_list_delta: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customers: Option<Vec<IdRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<AccountRow<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IdRow {
    id: NorceId,
}

/// A company that a customer is related to.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CompanyRow {
    id: NorceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_primary: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PriceListRow<'a> {
    code: &'a str,
    is_exclusive: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FlagRow<'a> {
    code: &'a str,
    is_active: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InfoRow<'a> {
    code: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountRow<'a> {
    application_key: Uuid,
    login_name: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<RoleRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RoleRow<'a> {
    code: &'a str,
    is_active: bool,
}

/// Norce keeps an address whole: what the ERP's lacks is written as empty. `IsPrimary` that is left out changes nothing
/// (norce-api §3.3).
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressRow<'a> {
    care_of: &'a str,
    address_line1: &'a str,
    address_line2: &'a str,
    zip_code: &'a str,
    city: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<CountryCode>,
    gln: &'a str,
    shipping_phone_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_primary: Option<bool>,
}

/// `Type` of a customer (norce-api §3.5).
const PERSON: u8 = 1;
/// `Type` of a contact of a company.
const COMPANY_CONTACT: u8 = 2;

fn text(value: Option<&Personal>) -> &str {
    value.map(Personal::expose).unwrap_or_default()
}

impl<'a> AddressRow<'a> {
    fn of(NorceAddress { address, details }: &'a NorceAddress) -> Self {
        Self {
            care_of: text(address.care_of.as_ref()),
            address_line1: text(address.line1.as_ref()),
            address_line2: text(address.line2.as_ref()),
            zip_code: text(address.postal_code.as_ref()),
            city: text(address.city.as_ref()),
            region: text(address.region.as_ref()),
            country_code: address.country,
            gln: text(details.gln.as_ref()),
            shipping_phone_number: text(details.phone.as_ref()),
            code: details.code.as_ref().map(Personal::expose),
            is_primary: details.primary,
        }
    }
}

/// The names of the fields that rows of a shape set.
fn fields_that_are_set(kind: EntityKind, shape: ImportShape) -> Vec<&'static str> {
    let customer = kind == EntityKind::Customer;
    let groups = groups_set(shape);
    let mut fields = Vec::new();
    if !shape.insert {
        fields.push("Id");
    }
    if groups.has(FieldGroup::Code) {
        fields.push("Code");
    }
    if groups.has(FieldGroup::Names) {
        fields.extend_from_slice(if customer {
            &["FirstName", "MiddleName", "LastName"]
        } else {
            &["Name"]
        });
    }
    if !customer && (shape.insert || groups.has(FieldGroup::OrganisationNumber)) {
        fields.push("OrganizationNo");
    }
    if !customer && (shape.insert || groups.has(FieldGroup::VatNumber)) {
        fields.push("VatNo");
    }
    if groups.has(FieldGroup::ContactDetails) {
        fields.extend(["EmailAddress", "PhoneNumber"]);
        if customer {
            fields.push("CellPhoneNumber");
        }
    }
    for (group, field) in [
        (FieldGroup::InvoiceAddress, "InvoiceAddress"),
        (FieldGroup::DeliveryAddresses, "DeliveryAddresses"),
        (FieldGroup::PriceLists, "PriceLists"),
        (FieldGroup::Active, "IsActive"),
        (FieldGroup::AdditionalInfo, "AdditionalInfo"),
    ] {
        if groups.has(group) {
            fields.push(field);
        }
    }
    if groups.has(FieldGroup::Flags) {
        // Flags that the rows do not name would be dropped otherwise (norce-api §3.2).
        fields.extend(["Flags", "PreserveFlags"]);
    }
    if shape.relations {
        fields.push(if customer { "Companies" } else { "Customers" });
    }
    if shape.accounts {
        fields.push("Accounts");
    }
    fields
}

/// An insert brings along what Norce requires of one (norce-api §3.4), and the rest of what makes a customer.
fn groups_set(shape: ImportShape) -> FieldGroups {
    const WITH_AN_INSERT: FieldGroups = FieldGroups::of(&[
        FieldGroup::Code,
        FieldGroup::Names,
        FieldGroup::ContactDetails,
        FieldGroup::InvoiceAddress,
        FieldGroup::Active,
    ]);
    if shape.insert {
        shape.fields.union(WITH_AN_INSERT)
    } else {
        shape.fields
    }
}

/// A header and a body that fit each other.
fn import<'a>(
    kind: EntityKind,
    scope: Scope,
    account: i32,
    applications: &Applications,
    options: &'a ImportOptions,
    shape: ImportShape,
    rows: &'a [ImportRow],
) -> Result<(ImportHeader, Vec<Row<'a>>), UnknownApplication> {
    let application_key = applications.of(scope)?.key;
    let by_application = scope.application().is_some();
    let mut fields = fields_that_are_set(kind, shape);
    if by_application {
        fields.push("ApplicationKey");
    }
    // The contract requires the key in every company row, also where it is not to be set.
    let sent = by_application || kind == EntityKind::Company;
    let accounts: Vec<Uuid> = match scope.application() {
        _ if !shape.accounts => Vec::new(),
        Some(_) => vec![application_key],
        None => applications
            .iter()
            .map(|application| application.key)
            .collect(),
    };
    let rows = rows
        .iter()
        .map(|row| Row {
            application_key: sent.then_some(application_key),
            ..row_of(kind, shape, row, &accounts, options)
        })
        .collect();
    let mut header = ImportHeader {
        account_id: account,
        customer_fields_that_are_set: Vec::new(),
        company_fields_that_are_set: Vec::new(),
        account_fields_that_are_set: Vec::new(),
    };
    match kind {
        EntityKind::Customer => {
            header.customer_fields_that_are_set = fields;
            if shape.relations {
                // Which fields of a company are read: its id, that it is matched by (norce-api §3.2).
                header.company_fields_that_are_set = vec!["Id"];
            }
        }
        EntityKind::Company => {
            header.company_fields_that_are_set = fields;
            if shape.relations {
                // The customers of a company are matched by their ids, and nothing of them is set.
                header.customer_fields_that_are_set = vec!["Id"];
            }
        }
    }
    if shape.accounts {
        // An account that is there already is never touched.
        header.account_fields_that_are_set = vec!["StatusCreateOnly"];
        if !options.account_roles.is_empty() {
            header.account_fields_that_are_set.push("RolesCreateOnly");
        }
    }
    Ok((header, rows))
}

fn row_of<'a>(
    kind: EntityKind,
    shape: ImportShape,
    ImportRow {
        line,
        values,
        relations,
    }: &'a ImportRow,
    accounts: &[Uuid],
    options: &'a ImportOptions,
) -> Row<'a> {
    let customer = kind == EntityKind::Customer;
    let groups = groups_set(shape);
    let has = |group| groups.has(group);
    let kind = match shape.relations {
        true => COMPANY_CONTACT,
        false => PERSON,
    };
    let mut row = Row {
        kind: (customer && shape.insert).then_some(kind),
        id: line.id,
        code: has(FieldGroup::Code).then_some(&line.code),
        ..Row::default()
    };
    if has(FieldGroup::Names) {
        match &values.names {
            Some(Names::Customer { first, last }) if customer => {
                row.first_name = Some(text(first.as_ref()));
                // The ERP has one text; what Norce had as a middle name is a part of it.
                row.middle_name = Some("");
                row.last_name = Some(last.expose());
            }
            Some(Names::Company(name)) if !customer => row.name = Some(name.expose()),
            _ => {}
        }
    }
    if !customer && (shape.insert || has(FieldGroup::OrganisationNumber)) {
        let number = values.organisation_number.as_ref();
        row.organization_no = number.map(OrganisationNumber::expose);
    }
    if !customer && (shape.insert || has(FieldGroup::VatNumber)) {
        row.vat_no = values.vat_number.as_ref().map(VatNumber::expose);
    }
    if has(FieldGroup::ContactDetails) {
        row.email_address = Some(text(values.email.as_ref()));
        row.phone_number = Some(text(values.phone.as_ref()));
        row.cell_phone_number = customer.then(|| text(values.mobile.as_ref()));
    }
    if has(FieldGroup::InvoiceAddress) {
        row.invoice_address = Some(AddressRow::of(&values.invoice_address));
    }
    if has(FieldGroup::DeliveryAddresses) {
        let addresses = values.delivery_addresses.iter();
        row.delivery_addresses = Some(addresses.map(AddressRow::of).collect());
    }
    if has(FieldGroup::PriceLists) {
        let codes = values.price_lists.iter();
        let is_exclusive = options.exclusive_price_lists;
        row.price_lists = Some(
            codes
                .map(|code| PriceListRow { code, is_exclusive })
                .collect(),
        );
    }
    row.is_active = has(FieldGroup::Active).then_some(values.active);
    if has(FieldGroup::Flags) {
        let flags = values.flags.iter();
        row.flags = Some(
            flags
                .map(|(code, is_active)| FlagRow {
                    code,
                    is_active: *is_active,
                })
                .collect(),
        );
    }
    if has(FieldGroup::AdditionalInfo) {
        // Norce requires a value (norce-api §3.5), so an entry that the ERP has emptied cannot be sent.
        let infos = values.additional_info.iter();
        row.additional_info = Some(
            infos
                .filter_map(|(code, value)| {
                    let value = value.as_ref()?.expose();
                    Some(InfoRow { code, value })
                })
                .collect(),
        );
    }
    if shape.relations {
        // Without the mark Norce deactivates every relation that the row does not name (norce-api §3.3).
        if customer {
            let former = |id: NorceId| line.former_companies.contains(&id);
            row.is_company_list_delta = Some(line.former_companies.is_empty());
            // The first company is the primary one, and so is the one that takes the primary one's place. Otherwise the
            // shop has chosen.
            let is_primary = shape.insert
                || relations
                    .iter()
                    .any(|it| it.is_primary && former(it.company));
            let company = line.company.map(|id| CompanyRow {
                id,
                is_primary: is_primary.then_some(true),
            });
            let others = relations
                .iter()
                .filter(|it| !former(it.company) && Some(it.company) != line.company)
                .map(|it| CompanyRow {
                    id: it.company,
                    is_primary: it.is_primary.then_some(true),
                });
            row.companies = Some(company.into_iter().chain(others).collect());
        } else {
            row.is_customer_list_delta = Some(true);
            row.customers = Some(line.contacts.iter().map(|id| IdRow { id: *id }).collect());
        }
    }
    if shape.accounts {
        let login_name = text(values.email.as_ref());
        let roles = options.account_roles.iter().map(|code| RoleRow {
            code,
            is_active: true,
        });
        row.accounts = Some(
            accounts
                .iter()
                .map(|application_key| AccountRow {
                    application_key: *application_key,
                    login_name,
                    status: "Active",
                    roles: roles.clone().collect(),
                })
                .collect(),
        );
    }
    row
}

#[async_trait]
impl NorceImports for ConnectClient {
    async fn import(
        &self,
        kind: EntityKind,
        scope: Scope,
        shape: ImportShape,
        rows: &[ImportRow],
        deadline: Deadline,
    ) -> Result<SubmittedImport, ImportError> {
        let prepared = || {
            let application = self.applications.of(scope)?;
            let (header, rows) = import(
                kind,
                scope,
                self.account,
                &self.applications,
                &self.options,
                shape,
                rows,
            )?;
            let path = match kind {
                EntityKind::Customer => IMPORT_CUSTOMERS,
                EntityKind::Company => IMPORT_COMPANIES,
            };
            let url = self.api.url(path)?;
            let mut request = request(Method::POST, &url, application.id, json(&rows)?)?;
            let headers = request.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            headers.insert(IMPORT_HEADER, header_value(&header)?);
            Ok(request)
        };
        let request = prepared().map_err(ImportError::NotTaken)?;
        // A repeat would set the same codes, but as a second job that nobody follows.
        let response = self.api.send(request, Safety::Once, deadline).await?;
        submitted(&response).map_err(ImportError::Unknown)
    }

    async fn job(&self, job: JobId, deadline: Deadline) -> Result<Option<Job>, NorceError> {
        let Some(response) = self.get_job("Get", job, deadline).await? else {
            return Ok(None);
        };
        let answer: Option<JobAnswer> = read(format_args!("job {job}"), &response)?;
        Ok(answer.map(|answer| answer.job(job)))
    }

    async fn job_log(
        &self,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Vec<JobLogEntry>, NorceError> {
        let Some(response) = self.get_job("GetLog", job, deadline).await? else {
            return Ok(Vec::new());
        };
        let what = format!("log of job {job}");
        let log: Option<lenient::OneOrMany<LogAnswer>> = read(what, &response)?;
        let entries = log.map(lenient::OneOrMany::into_vec).unwrap_or_default();
        Ok(entries.into_iter().map(LogAnswer::entry).collect())
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, NorceError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        NorceError::Configuration(format!("the import cannot be written: {error}"))
    })
}

fn header_value(value: &ImportHeader) -> Result<HeaderValue, NorceError> {
    HeaderValue::from_maybe_shared(json(value)?)
        .map_err(|_| NorceError::Configuration("the import header cannot be written".to_owned()))
}

/// `JobResponse` (norce-api §3.6).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImportAnswer {
    #[serde(default, deserialize_with = "lenient::number")]
    job_id: Option<i64>,
    validation_summary: Option<ValidationSummary>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ValidationSummary {
    messages: Option<Vec<String>>,
}

fn submitted(response: &Response<Bytes>) -> Result<SubmittedImport, NorceError> {
    let answer: ImportAnswer = read("the answer to an import", response)?;
    let messages: Vec<String> = answer
        .validation_summary
        .and_then(|summary| summary.messages)
        .unwrap_or_default()
        .iter()
        .take(MAX_MESSAGES)
        .map(|message| redact(message))
        .collect();
    // What a call is answered whose rows all fail the synchronous validation is not documented (norce-api §14).
    match answer.job_id.filter(|id| *id > 0) {
        Some(id) => Ok(SubmittedImport {
            job: JobId(id),
            messages,
        }),
        None if messages.is_empty() => {
            let reason = "the answer to an import names no job";
            Err(NorceError::Unreadable(reason.to_owned()))
        }
        None => Err(NorceError::Unreadable(format!(
            "the answer to an import names no job; Norce says: {}",
            messages.join("; ")
        ))),
    }
}

/// `JobDto` (norce-api §4.2). `Insert` or `Inserts` and `Updates` count rows of Norce's own tables, which says nothing
/// about ours: they are not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JobAnswer {
    #[serde(default, deserialize_with = "lenient::number")]
    status_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::number")]
    totals: Option<i64>,
    #[serde(default, deserialize_with = "lenient::number")]
    fail: Option<i64>,
    last_updated: Option<String>,
}

impl JobAnswer {
    fn job(self, id: JobId) -> Job {
        let count = |number: Option<i64>| number.and_then(|it| it.try_into().ok()).unwrap_or(0);
        Job {
            id,
            status: match self.status_id {
                Some(2) => JobStatus::Succeeded,
                Some(3) => JobStatus::Failed,
                Some(4) => JobStatus::ValidationFailed,
                _ => JobStatus::Running,
            },
            failed: count(self.fail),
            total: count(self.totals),
            last_updated: self.last_updated.as_deref().and_then(lenient::instant),
        }
    }
}

/// `JobLogDto` (norce-api §4.4).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogAnswer {
    #[serde(default, deserialize_with = "lenient::number")]
    severity_id: Option<i64>,
    message: Option<String>,
    imported_row: Option<Value>,
}

/// `SeverityId` of a warning: a part of the row could not be handled, and the rest was imported.
const WARNING: i64 = 2;
/// `SeverityId` of an error.
const ERROR: i64 = 3;

impl LogAnswer {
    fn entry(self) -> JobLogEntry {
        JobLogEntry {
            is_error: self.severity_id == Some(ERROR),
            is_warning: self.severity_id == Some(WARNING),
            message: redact(&self.message.unwrap_or_default()),
            row: self.imported_row.as_ref().and_then(imported_row),
        }
    }
}

/// The row that a log line is about. Norce calls it a text, which "may be truncated" (norce-api §4.4); how our row looks
/// in it is not documented, so that a JSON object, in whatever case its names are, or the beginning of one is all that is
/// understood.
fn imported_row(row: &Value) -> Option<ImportedRow> {
    let parsed: Value;
    let fields = match row {
        Value::String(text) => {
            parsed = serde_json::from_str(text)
                .ok()
                .or_else(|| beginning_of_object(text))?;
            parsed.as_object()?
        }
        row => row.as_object()?,
    };
    let field = |name| lenient::field(fields, name);
    let id = field("Id")
        .and_then(lenient::whole_number)
        .and_then(|id| NorceId::try_from(id).ok());
    let code = field("Code")
        .and_then(lenient::text)
        .and_then(|code| code.parse().ok());
    (id.is_some() || code.is_some()).then_some(ImportedRow { id, code })
}

/// What the members of an object say that come before the place at which its text was cut off.
fn beginning_of_object(text: &str) -> Option<Value> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut end = None;
    for (place, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            // A value is whole once something follows it.
            ',' if depth == 1 => end = Some(place),
            _ => {}
        }
    }
    let members = text.get(..end?)?;
    serde_json::from_str(&format!("{members}}}")).ok()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::{
        domain::{ImportLine, NorceFields},
        http::TransportError,
        norce::script::{Answer, Script, answer, app, applications, id, minute, ok, status},
    };

    #[test]
    fn a_row_is_recognised_by_its_beginning() {
        let whole = r#"{"ApplicationKey":"k","Id":5,"Code":"C,\"5}","DeliveryAddresses":[{"City":"X"}],"Flags":[]}"#;
        let known = |text: &str| imported_row(&Value::from(text));
        let all = known(whole).unwrap();
        assert_eq!(all.id, Some(id(5)));
        let code: Code = "C,\"5}".parse().unwrap();
        assert_eq!(all.code, Some(code.clone()));
        for (length, _) in whole.char_indices() {
            let Some(row) = known(&whole[..length]) else {
                continue;
            };
            // Never another id or code than the whole one's.
            assert!(
                row.id == Some(id(5)) && row.code.is_none_or(|it| it == code),
                "{length}"
            );
        }
        let until_id = whole.find(r#","Code"#).unwrap();
        assert_eq!(known(&whole[..until_id]), None, "the number may go on");
        assert!(known(&whole[..=until_id]).is_some());
        for nothing in ["", "{", "Id:5,", "[5,6", "null", "{\"Name\":\"x\",\"Fl"] {
            assert_eq!(known(nothing), None, "{nothing}");
        }
    }

    #[tokio::test]
    async fn the_path_of_jobs_that_answers_is_remembered() {
        let job = || ok(json!({"JobId": 3, "StatusId": 2, "Totals": 1, "Fail": 0}));
        let not_there = || status(404);
        let (script, client) = client([
            not_there(),
            not_there(),
            not_there(),
            job(),
            job(),
            not_there(),
        ]);
        let ask = async || client.job(JobId(3), minute()).await.unwrap().is_some();
        assert!(!ask().await, "neither path knows it");
        assert!(ask().await);
        assert!(ask().await);
        assert!(!ask().await);
        let paths: Vec<bool> = script
            .requests()
            .iter()
            .map(|request| request.contains("/4.0/api/Job/Get"))
            .collect();
        assert_eq!(paths, [true, false, true, false, false, false]);
    }

    fn client(
        answers: impl IntoIterator<Item = Answer>,
    ) -> (std::sync::Arc<Script>, ConnectClient) {
        let script = Script::new(answers);
        let client = ConnectClient::new(script.api(), 77, applications(), ImportOptions::default());
        (script, client)
    }

    fn lines() -> Vec<ImportRow> {
        [(5, "C00005"), (9, "Å \"9\"")]
            .into_iter()
            .map(|(number, code)| ImportRow {
                line: ImportLine::code(id(number), code.parse().unwrap(), Uuid::nil()),
                values: NorceFields::default(),
                relations: Vec::new(),
            })
            .collect()
    }

    fn taken() -> Answer {
        ok(
            json!({"StatusCode": "OK", "JobId": "4711", "ValidationSummary": {"NrOfItemsInTotal": 2}}),
        )
    }

    async fn sent(kind: EntityKind, scope: Scope) -> String {
        let (script, client) = client([taken()]);
        let submitted = client
            .import(kind, scope, ImportShape::CODE, &lines(), minute())
            .await
            .unwrap();
        assert_eq!(submitted.job, JobId(4711));
        script.request()
    }

    #[tokio::test]
    async fn customers_of_the_client_are_sent_with_id_and_code_and_nothing_else() {
        insta::assert_snapshot!(sent(EntityKind::Customer, Scope::Client).await, @r#"
        POST https://shop.example/commerce/connect/4.0/Customer/ImportCustomers
        application-id: 1
        accept: application/json
        content-type: application/json
        x-stormconnect-header: {"AccountId":77,"CustomerFieldsThatAreSet":["Id","Code"]}
        authorization: Bearer [token] 1

        [{"Id":5,"Code":"C00005"},{"Id":9,"Code":"Å \"9\""}]
        "#);
    }

    #[tokio::test]
    async fn an_inserted_contact_says_what_it_is_and_names_the_fields_of_its_company() {
        let script = Script::new([taken()]);
        let options = ImportOptions {
            account_roles: vec!["B2C".to_owned()],
            exclusive_price_lists: true,
        };
        let client = ConnectClient::new(script.api(), 77, applications(), options);
        let mut row = lines().remove(0);
        row.line.id = None;
        row.line.company = Some(id(8));
        row.line.fields = "price-lists,additional-info".parse().unwrap();
        row.values = NorceFields {
            email: Personal::parse("a@b.se"),
            price_lists: vec!["VIP".to_owned()],
            additional_info: [
                ("segment".to_owned(), Personal::parse("GOLD")),
                ("emptied".to_owned(), None),
            ]
            .into(),
            ..NorceFields::default()
        };
        let shape = ImportShape::of(EntityKind::Customer, &row.line, true);
        let rows = [row];
        let submitted = client.import(EntityKind::Customer, Scope::Client, shape, &rows, minute());
        submitted.await.unwrap();
        insta::assert_snapshot!(script.request(), @r#"
        POST https://shop.example/commerce/connect/4.0/Customer/ImportCustomers
        application-id: 1
        accept: application/json
        content-type: application/json
        x-stormconnect-header: {"AccountId":77,"CustomerFieldsThatAreSet":["Code","FirstName","MiddleName","LastName","EmailAddress","PhoneNumber","CellPhoneNumber","InvoiceAddress","PriceLists","IsActive","AdditionalInfo","Companies","Accounts"],"CompanyFieldsThatAreSet":["Id"],"AccountFieldsThatAreSet":["StatusCreateOnly","RolesCreateOnly"]}
        authorization: Bearer [token] 1

        [{"Type":2,"Code":"C00005","EmailAddress":"a@b.se","PhoneNumber":"","CellPhoneNumber":"","IsActive":false,"InvoiceAddress":{"CareOf":"","AddressLine1":"","AddressLine2":"","ZipCode":"","City":"","Region":"","Gln":"","ShippingPhoneNumber":""},"PriceLists":[{"Code":"VIP","IsExclusive":true}],"AdditionalInfo":[{"Code":"segment","Value":"GOLD"}],"IsCompanyListDelta":true,"Companies":[{"Id":8,"IsPrimary":true}],"Accounts":[{"ApplicationKey":"01010101-0101-0101-0101-010101010101","LoginName":"a@b.se","Status":"Active","Roles":[{"Code":"B2C","IsActive":true}]},{"ApplicationKey":"02020202-0202-0202-0202-020202020202","LoginName":"a@b.se","Status":"Active","Roles":[{"Code":"B2C","IsActive":true}]}]}]
        "#);
    }

    #[tokio::test]
    async fn p14_customers_of_an_application_carry_and_list_its_key() {
        insta::assert_snapshot!(sent(EntityKind::Customer, Scope::Application(app(2))).await, @r#"
        POST https://shop.example/commerce/connect/4.0/Customer/ImportCustomers
        application-id: 2
        accept: application/json
        content-type: application/json
        x-stormconnect-header: {"AccountId":77,"CustomerFieldsThatAreSet":["Id","Code","ApplicationKey"]}
        authorization: Bearer [token] 1

        [{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":5,"Code":"C00005"},{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":9,"Code":"Å \"9\""}]
        "#);
    }

    #[tokio::test]
    async fn companies_of_the_client_carry_the_key_but_do_not_list_it() {
        insta::assert_snapshot!(sent(EntityKind::Company, Scope::Client).await, @r#"
        POST https://shop.example/commerce/connect/4.0/Customer/ImportCompanies
        application-id: 1
        accept: application/json
        content-type: application/json
        x-stormconnect-header: {"AccountId":77,"CompanyFieldsThatAreSet":["Id","Code"]}
        authorization: Bearer [token] 1

        [{"ApplicationKey":"01010101-0101-0101-0101-010101010101","Id":5,"Code":"C00005"},{"ApplicationKey":"01010101-0101-0101-0101-010101010101","Id":9,"Code":"Å \"9\""}]
        "#);
    }

    #[tokio::test]
    async fn p14_companies_of_an_application_list_its_key() {
        insta::assert_snapshot!(sent(EntityKind::Company, Scope::Application(app(2))).await, @r#"
        POST https://shop.example/commerce/connect/4.0/Customer/ImportCompanies
        application-id: 2
        accept: application/json
        content-type: application/json
        x-stormconnect-header: {"AccountId":77,"CompanyFieldsThatAreSet":["Id","Code","ApplicationKey"]}
        authorization: Bearer [token] 1

        [{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":5,"Code":"C00005"},{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":9,"Code":"Å \"9\""}]
        "#);
    }

    async fn import(
        answers: Vec<Answer>,
    ) -> (std::sync::Arc<Script>, Result<SubmittedImport, ImportError>) {
        let (script, client) = client(answers);
        let outcome = client
            .import(
                EntityKind::Customer,
                Scope::Client,
                ImportShape::CODE,
                &lines(),
                minute(),
            )
            .await;
        (script, outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn p2_an_import_that_norce_may_have_taken_is_never_sent_again() {
        let lost = Err(TransportError::AnswerLost("reset".to_owned()));
        for unknown in [
            lost,
            status(500),
            status(503),
            status(302),
            ok(json!("OK")),
            ok(json!({})),
        ] {
            let (script, outcome) = import(vec![unknown, taken()]).await;
            assert!(
                matches!(outcome, Err(ImportError::Unknown(_))),
                "{outcome:?}"
            );
            assert_eq!(script.requests().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_norce_has_certainly_not_taken_can_be_submitted_again() {
        for not_taken in [400, 403, 404, 413] {
            let (_, outcome) = import(vec![status(not_taken)]).await;
            assert!(
                matches!(outcome, Err(ImportError::NotTaken(_))),
                "{outcome:?}"
            );
        }
        let not_sent = || Err(TransportError::NotSent("no connection".to_owned()));
        let (script, outcome) = import(vec![not_sent(), status(429), taken()]).await;
        assert!(outcome.is_ok());
        assert_eq!(script.requests().len(), 3);
        let (_, outcome) = import(vec![not_sent(), not_sent(), not_sent()]).await;
        assert!(matches!(
            outcome,
            Err(ImportError::NotTaken(NorceError::RetryAfter { .. }))
        ));
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once() {
        let (script, outcome) = import(vec![status(401), taken()]).await;
        assert!(outcome.is_ok());
        assert_eq!(script.tokens(), 2);
        assert!(script.requests()[0].contains("Bearer [token] 1"));
        assert!(script.requests()[1].contains("Bearer [token] 2"));

        let (script, outcome) = import(vec![status(401), status(401)]).await;
        assert!(matches!(
            outcome,
            Err(ImportError::NotTaken(NorceError::Authentication { .. }))
        ));
        assert_eq!((script.tokens(), script.requests().len()), (2, 2));
    }

    #[tokio::test]
    async fn an_application_that_is_not_configured_is_told() {
        let (script, client) = client([]);
        let scope = Scope::Application(app(3));
        let error = client
            .import(
                EntityKind::Company,
                scope,
                ImportShape::CODE,
                &lines(),
                minute(),
            )
            .await
            .unwrap_err();
        insta::assert_snapshot!(error, @"Norce did not take the import: the configuration does not fit Norce: application 3 is not in NORCE_APPLICATIONS");
        assert_eq!(script.requests().len(), 0);
    }

    #[tokio::test]
    async fn p11_the_words_of_a_validation_are_passed_on_without_personal_data() {
        let summary = json!({"Messages": ["Row 1: a@b.se\nis taken by 850101-1234"]});
        let body = json!({"JobId": 12, "ValidationSummary": summary});
        let (_, outcome) = import(vec![ok(body)]).await;
        let outcome = outcome.unwrap();
        assert_eq!(outcome.job, JobId(12));
        assert_eq!(outcome.messages, ["Row 1: [e-mail] is taken by [number]"]);

        let body = json!({"Message": "EmailAddress a@b.se is wrong"});
        let (_, outcome) = import(vec![answer(StatusCode::BAD_REQUEST, body)]).await;
        insta::assert_snapshot!(outcome.unwrap_err(), @"Norce did not take the import: Norce refuses the request (400): EmailAddress [e-mail] is wrong");
        let body = json!({"JobId": null, "ValidationSummary": {"Messages": ["all wrong"]}});
        let (_, outcome) = import(vec![ok(body)]).await;
        insta::assert_snapshot!(outcome.unwrap_err(), @"Norce may have taken the import: Norce's answer cannot be read: the answer to an import names no job; Norce says: all wrong");
    }

    async fn job(body: Value) -> Option<Job> {
        let (script, client) = client([ok(body)]);
        let job = client.job(JobId(3), minute()).await.unwrap();
        assert!(
            script
                .request()
                .starts_with("GET https://shop.example/commerce/connect/4.0/api/Job/Get\n  id=3\n")
        );
        job
    }

    #[tokio::test]
    async fn a_job_is_read_in_either_of_its_shapes() {
        let read = job(json!({
            "JobId": 3, "StatusId": 2, "StorageName": "x/y", "Totals": 20, "Insert": 4, "Updates": 9, "Fail": 1,
            "Start": "2026-11-23T09:59:00", "Stop": null, "LastUpdated": "2026-11-23T10:00:00.123",
            "IsFinished": true, "RunTime": "00:00:01", "New": {}
        }))
        .await
        .unwrap();
        assert_eq!(
            read,
            Job {
                id: JobId(3),
                status: JobStatus::Succeeded,
                failed: 1,
                total: 20,
                last_updated: Some("2026-11-23T10:00:00.123Z".parse().unwrap()),
            }
        );
        let inserts = json!({"JobId": "3", "StatusId": 6, "Inserts": 4, "LastUpdated": "2026-11-23T10:00:00Z"});
        let read = job(inserts).await.unwrap();
        assert_eq!(read.status, JobStatus::Running);
        assert_eq!(
            read.last_updated,
            Some("2026-11-23T10:00:00Z".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn only_the_known_final_numbers_end_a_job() {
        for (number, expected) in [
            (json!(1), JobStatus::Running),
            (json!(2), JobStatus::Succeeded),
            (json!(3), JobStatus::Failed),
            (json!("4"), JobStatus::ValidationFailed),
            (json!(5), JobStatus::Running),
            (json!(6), JobStatus::Running),
            (json!(99), JobStatus::Running),
            (json!(null), JobStatus::Running),
        ] {
            let read = job(json!({"StatusId": number})).await.unwrap();
            assert_eq!(read.status, expected, "{number}");
        }
    }

    #[tokio::test]
    async fn a_job_that_norce_does_not_know_is_none() {
        let (_, client) = client([status(404), status(404), ok(json!(null))]);
        assert_eq!(client.job(JobId(3), minute()).await, Ok(None));
        assert_eq!(client.job(JobId(3), minute()).await, Ok(None));
    }

    #[tokio::test]
    async fn p9_a_log_line_leads_to_its_row_where_it_can() {
        let row = |id: Option<i64>, code: Option<&str>| {
            Some(ImportedRow {
                id: id.map(self::id),
                code: code.map(|code| code.parse().unwrap()),
            })
        };
        let texts = [
            (
                json!(r#"{"Id":5,"Code":"C5","LastName":"Ek"}"#),
                row(Some(5), Some("C5")),
            ),
            (json!(r#"{"id":"5","code":17}"#), row(Some(5), Some("17"))),
            (json!({"Code": "C5", "Id": null}), row(None, Some("C5"))),
            (json!(r#"{"Id":-1,"CODE":"C5"}"#), row(None, Some("C5"))),
            (json!(r#"{"EmailAddress":"a@b.se"}"#), None),
            (json!("<Customer><Id>5</Id></Customer>"), None),
            (json!("C5"), None),
            (json!(""), None),
            (json!(null), None),
        ];
        let log = texts.iter().map(|(text, _)| {
            json!({"SeverityId": 3, "Message": "a@b.se is wrong", "TimeStamp": "x", "ImportedRow": text})
        });
        let (_, client) = client([ok(log.collect())]);
        let log = client.job_log(JobId(3), minute()).await.unwrap();
        assert_eq!(log.len(), texts.len());
        for (entry, (text, expected)) in log.into_iter().zip(texts) {
            assert!(entry.is_error);
            assert_eq!(entry.message, "[e-mail] is wrong");
            assert_eq!(entry.row, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_log_may_be_one_line_or_none() {
        let one = json!({"SeverityId": 1, "Message": "started"});
        let (_, client) = client([ok(one), ok(json!(null)), ok(json!([]))]);
        let log = client.job_log(JobId(3), minute()).await.unwrap();
        assert_eq!((log.len(), log[0].is_error), (1, false));
        for _ in 0..2 {
            assert_eq!(client.job_log(JobId(3), minute()).await, Ok(vec![]));
        }
    }

    #[tokio::test]
    async fn a_ping_says_whether_connect_lets_us_in() {
        let (script, client) = client([ok(json!("pong")), status(403)]);
        assert_eq!(client.ping(minute()).await, Ok(()));
        assert!(matches!(
            client.ping(minute()).await,
            Err(NorceError::Authentication { .. })
        ));
        insta::assert_snapshot!(script.requests()[0], @"
        GET https://shop.example/commerce/connect/4.0/Job/Ping
        application-id: 1
        accept: application/json
        authorization: Bearer [token] 1
        ");
    }
}
