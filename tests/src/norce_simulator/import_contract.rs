//! The contents of an import call (norce-api §3): the batch header, the fields that can be set, and the rows.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// The kind of records that an import call imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// `ImportCustomers`.
    Customers,
    /// `ImportCompanies`.
    Companies,
}

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($number:literal $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum $name { $($field = $number,)* }

        impl Field for $name {
            fn read(value: &Value) -> Option<Self> {
                match (value.as_i64(), value.as_str()) {
                    $((Some($number), _) | (_, Some(stringify!($field))) => Some(Self::$field),)*
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self { $(Self::$field => stringify!($field),)* }
            }
        }
    };
}

/// A member of one of the lists of fields that are set: by name or by number (norce-api §3.2).
trait Field: Copy + Ord {
    fn read(value: &Value) -> Option<Self>;
    fn name(self) -> &'static str;
}

fields! {
    /// `CompanyField` (norce-api §3.2).
    CompanyField {
        0 ApplicationKey,
        1 Id,
        2 Code,
        3 OrganizationNo,
        4 Name,
        5 EmailAddress,
        6 PhoneNumber,
        7 LogoImage,
        8 ParentCompanyCode,
        9 IsActive,
        10 InvoiceAddress,
        11 DeliveryAddresses,
        12 AdditionalInfo,
        13 Contacts,
        14 Customers,
        15 DeliveryMethods,
        16 Discounts,
        17 Flags,
        18 PaymentMethods,
        19 PriceLists,
        20 SearchOnlyByCode,
        21 VatNo,
        22 PreserveFlags,
    }
}

fields! {
    /// `CustomerField` (norce-api §3.2).
    CustomerField {
        0 ApplicationKey,
        1 Id,
        2 Code,
        3 EmailAddress,
        4 SocialSecurityNumber,
        5 Title,
        6 FirstName,
        7 MiddleName,
        8 LastName,
        9 PhoneNumber,
        10 CellPhoneNumber,
        11 IsActive,
        12 InvoiceAddress,
        13 DeliveryAddresses,
        14 Accounts,
        15 AdditionalInfo,
        16 Flags,
        17 PriceLists,
        18 SearchOnlyByCode,
        19 Companies,
        20 CrmId,
        21 PreserveFlags,
    }
}

fields! {
    /// `AccountField` (norce-api §3.2).
    AccountField {
        0 PasswordCreateOnly,
        1 Status,
        2 StatusCreateOnly,
        3 Roles,
        4 RolesCreateOnly,
    }
}

/// `X-StormConnect-Header`, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pub(super) account_id: i64,
    pub(super) company_fields: BTreeSet<CompanyField>,
    pub(super) customer_fields: BTreeSet<CustomerField>,
    pub(super) account_fields: BTreeSet<AccountField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawHeader {
    account_id: i64,
    company_fields_that_are_set: Option<Vec<Value>>,
    customer_fields_that_are_set: Option<Vec<Value>>,
    account_fields_that_are_set: Option<Vec<Value>>,
    #[serde(default, rename = "JobId")]
    _job_id: Value,
    #[serde(default, rename = "StorageName")]
    _storage_name: Option<String>,
    #[serde(default)]
    serialization_type: Value,
    #[serde(default, rename = "SupplierId")]
    _supplier_id: Option<i64>,
}

fn field_list<F: Field>(list: &str, values: Option<&Vec<Value>>) -> Result<BTreeSet<F>, String> {
    let mut fields = BTreeSet::new();
    for value in values.into_iter().flatten() {
        let field =
            F::read(value).ok_or_else(|| format!("{list} has the unknown field {value}."))?;
        fields.insert(field);
    }
    Ok(fields)
}

impl Header {
    pub(super) fn read(kind: ImportKind, raw: &Value) -> Result<Self, String> {
        let header = RawHeader::deserialize(raw)
            .map_err(|error| format!("X-StormConnect-Header: {error}."))?;
        let json = [Value::Null, Value::from(0), Value::from("Json")];
        if !json.contains(&header.serialization_type) {
            return Err("SerializationType: the simulator takes JSON only.".to_owned());
        }
        let (companies, customers) = (
            header.company_fields_that_are_set.as_ref(),
            header.customer_fields_that_are_set.as_ref(),
        );
        let (required, list) = match kind {
            ImportKind::Customers => ("CustomerFieldsThatAreSet", customers),
            ImportKind::Companies => ("CompanyFieldsThatAreSet", companies),
        };
        if list.is_none_or(Vec::is_empty) {
            return Err(format!("{required} is required."));
        }
        let read = Self {
            account_id: header.account_id,
            company_fields: field_list("CompanyFieldsThatAreSet", companies)?,
            customer_fields: field_list("CustomerFieldsThatAreSet", customers)?,
            account_fields: field_list(
                "AccountFieldsThatAreSet",
                header.account_fields_that_are_set.as_ref(),
            )?,
        };
        // "19 = Companies (set values in CompanyFieldsThatAreSet)", and "if used there, companies must be set in
        // CustomerFieldsThatAreSet" (norce-api §3.2).
        let names_companies = read.customer_fields.contains(&CustomerField::Companies);
        if kind == ImportKind::Customers && names_companies == read.company_fields.is_empty() {
            return Err(
                "CompanyFieldsThatAreSet and Companies in CustomerFieldsThatAreSet need each other."
                    .to_owned(),
            );
        }
        if kind == ImportKind::Companies
            && !read.customer_fields.is_empty()
            && !read.company_fields.contains(&CompanyField::Customers)
        {
            return Err(
                "CustomerFieldsThatAreSet needs Customers in CompanyFieldsThatAreSet.".to_owned(),
            );
        }
        Ok(read)
    }

    /// What the rows and the header say differently. Norce is silent about it, and the client hardly means it: a field
    /// that is sent but not listed is ignored, and one that is listed but not sent is emptied.
    pub(super) fn notes(&self, kind: ImportKind, rows: &[Value]) -> Vec<String> {
        let mut notes = BTreeSet::new();
        for row in rows {
            match kind {
                ImportKind::Customers => compare(&self.customer_fields, row, &mut notes),
                ImportKind::Companies => compare(&self.company_fields, row, &mut notes),
            }
        }
        let list = match kind {
            ImportKind::Customers => "CustomerFieldsThatAreSet",
            ImportKind::Companies => "CompanyFieldsThatAreSet",
        };
        let mut notes: Vec<String> = notes
            .into_iter()
            .map(|(name, what)| format!("{list}: {name} {what}"))
            .collect();
        if !self.account_fields.is_empty()
            && !self.customer_fields.contains(&CustomerField::Accounts)
        {
            notes.push("AccountFieldsThatAreSet is set without Accounts".to_owned());
        }
        notes
    }
}

/// Listed for their effect, not for a property of the row.
const SWITCHES: [&str; 2] = ["SearchOnlyByCode", "PreserveFlags"];
/// Not emptied when they are missing. The key of the application is required on a company whether it is listed or not.
const IDENTIFYING: [&str; 2] = ["Id", "ApplicationKey"];

fn compare<F: Field>(
    listed: &BTreeSet<F>,
    row: &Value,
    notes: &mut BTreeSet<(String, &'static str)>,
) {
    for (name, _) in row.as_object().into_iter().flatten() {
        let field = F::read(&Value::from(name.as_str()));
        if name != "ApplicationKey" && field.is_some_and(|field| !listed.contains(&field)) {
            notes.insert((name.clone(), "is sent but not listed"));
        }
    }
    for name in listed.iter().map(|field| field.name()) {
        let needs_no_value = SWITCHES.contains(&name) || IDENTIFYING.contains(&name);
        if !needs_no_value && row.get(name).is_none() {
            notes.insert((name.to_owned(), "is listed but not sent"));
        }
    }
}

/// `Customer` (norce-api §3.5).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub(super) struct CustomerRow {
    #[serde(rename = "Type")]
    pub(super) kind: Option<i64>,
    pub(super) application_key: Option<Uuid>,
    pub(super) id: Option<i64>,
    pub(super) code: Option<String>,
    pub(super) email_address: Option<String>,
    pub(super) social_security_number: Option<String>,
    pub(super) title: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) middle_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) phone_number: Option<String>,
    pub(super) cell_phone_number: Option<String>,
    pub(super) is_active: Option<bool>,
    pub(super) invoice_address: Option<AddressRow>,
    pub(super) delivery_addresses: Option<Vec<AddressRow>>,
    pub(super) accounts: Option<Vec<AccountRow>>,
    pub(super) additional_info: Option<Vec<InfoRow>>,
    pub(super) flags: Option<Vec<FlagRow>>,
    pub(super) price_lists: Option<Vec<PriceListRow>>,
    pub(super) is_company_list_delta: Option<bool>,
    pub(super) companies: Option<Vec<CompanyIdentifier>>,
    pub(super) crm_id: Option<String>,
}

/// `Company` (norce-api §3.5).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub(super) struct CompanyRow {
    pub(super) application_key: Option<Uuid>,
    pub(super) id: Option<i64>,
    pub(super) code: Option<String>,
    pub(super) organization_no: Option<String>,
    pub(super) name: Option<String>,
    pub(super) email_address: Option<String>,
    pub(super) phone_number: Option<String>,
    pub(super) logo_image: Option<Value>,
    pub(super) parent_company_code: Option<String>,
    pub(super) is_active: Option<bool>,
    pub(super) invoice_address: Option<AddressRow>,
    pub(super) is_customer_list_delta: Option<bool>,
    pub(super) delivery_addresses: Option<Vec<AddressRow>>,
    pub(super) additional_info: Option<Vec<InfoRow>>,
    pub(super) contacts: Option<Vec<Value>>,
    pub(super) customers: Option<Vec<CustomerRow>>,
    pub(super) delivery_methods: Option<Vec<Value>>,
    pub(super) discounts: Option<Vec<Value>>,
    pub(super) flags: Option<Vec<FlagRow>>,
    pub(super) payment_methods: Option<Vec<Value>>,
    pub(super) price_lists: Option<Vec<PriceListRow>>,
    pub(super) vat_no: Option<String>,
    pub(super) use_invoice_address_as_delivery_address: Option<bool>,
}

/// `CompanyIdentifier` (norce-api §3.5).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub(super) struct CompanyIdentifier {
    pub(super) id: Option<i64>,
    pub(super) code: Option<String>,
    pub(super) organization_no: Option<String>,
    #[serde(rename = "Name")]
    _name: Option<String>,
    pub(super) is_primary: Option<bool>,
}

/// `Address` (norce-api §3.5). `IsValidated` is taken, and Query's known properties do not show it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub(super) struct AddressRow {
    pub(super) care_of: Option<String>,
    #[serde(rename = "AddressLine1")]
    pub(super) address_line1: Option<String>,
    #[serde(rename = "AddressLine2")]
    pub(super) address_line2: Option<String>,
    pub(super) zip_code: Option<String>,
    pub(super) city: Option<String>,
    pub(super) region: Option<String>,
    pub(super) country_code: Option<String>,
    pub(super) gln: Option<String>,
    pub(super) shipping_phone_number: Option<String>,
    pub(super) is_primary: Option<bool>,
    pub(super) code: Option<String>,
    #[serde(rename = "IsValidated")]
    _is_validated: Option<bool>,
}

/// `Account` (norce-api §3.5).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct AccountRow {
    pub(super) application_key: Uuid,
    pub(super) login_name: String,
    #[serde(default, rename = "Password")]
    _password: Option<String>,
    #[serde(default)]
    pub(super) status: Value,
    #[serde(default)]
    pub(super) roles: Option<Vec<AccountRoleRow>>,
}

/// `AccountRole` (norce-api §3.5).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct AccountRoleRow {
    pub(super) code: String,
    pub(super) is_active: Option<bool>,
}

/// `Info` (norce-api §3.5).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct InfoRow {
    pub(super) code: String,
    pub(super) value: String,
}

/// `Flag` (norce-api §3.5).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct FlagRow {
    pub(super) code: String,
    pub(super) is_active: Option<bool>,
    pub(super) stop_date: Option<chrono::DateTime<chrono::Utc>>,
    pub(super) is_create_only: Option<bool>,
    #[serde(default, rename = "IsLimitedUpdate")]
    _is_limited_update: Option<bool>,
}

/// `PriceList` (norce-api §3.5).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct PriceListRow {
    pub(super) code: String,
    #[serde(default)]
    pub(super) is_exclusive: bool,
}
