//! The answers of a facade as they are read: unknown properties are ignored, and one record that cannot be read does not
//! affect the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{
        Address, Code, CodeCase, CountryCode, ErpDelivery, ErpDetail, FieldGroup, FieldGroups,
        OrganisationNumber, Personal, VatNumber,
    },
    erp::{
        Capabilities, CompanyKey, Cursor, ErpError, ErpFields, ErpId, ErpRecord, RecordPage,
        Resource, Unusable, UnusableRecord,
    },
};

/// A create settles no sooner than this: a facade may be nearer than its ERP.
const LEAST_SETTLING: Duration = Duration::from_secs(60);
/// The longest that the contract allows.
const MOST_SETTLING: Duration = Duration::from_secs(60 * 60);

/// A field that a facade can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum WritableField {
    Name,
    Email,
    Phone,
    Mobile,
    Title,
    VatNumber,
    OrganisationNumber,
    Gln,
    Address,
    /// One that a later version of the contract has added.
    #[serde(other)]
    Other,
}

impl WritableField {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Mobile => "mobile",
            Self::Title => "title",
            Self::VatNumber => "vatNumber",
            Self::OrganisationNumber => "organisationNumber",
            Self::Gln => "gln",
            Self::Address => "address",
            Self::Other => "",
        }
    }
}

/// `GET /v1/about`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    pub(super) time: DateTime<Utc>,
    #[serde(default)]
    pub(super) may_write: Option<bool>,
    pub(super) capabilities: Stated,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StatedCase {
    Exact,
    Ignored,
}

/// The capabilities as a facade states them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stated {
    fields: BTreeSet<WritableField>,
    readable: Vec<String>,
    code_case: StatedCase,
    conditional_updates: bool,
    idempotent_creates: bool,
    create_settles_after_seconds: u64,
    #[serde(default)]
    deletes: bool,
    #[serde(default)]
    home_country: Option<CountryCode>,
}

/// The capabilities of a facade.
pub(super) struct Abilities {
    pub(super) fields: BTreeSet<WritableField>,
    pub(super) capabilities: Capabilities,
}

impl Stated {
    /// The country of the ERP's company.
    pub(super) const fn home_country(&self) -> Option<CountryCode> {
        self.home_country
    }

    /// Whether records can be removed.
    pub(super) const fn deletes(&self) -> bool {
        self.deletes
    }

    /// The capabilities. `home` goes before the stated country.
    pub(super) fn into_abilities(self, home: Option<CountryCode>) -> Abilities {
        let groups = self.readable.iter().filter_map(|group| group.parse().ok());
        let readable = groups.fold(FieldGroups::CODE, |all: FieldGroups, group: FieldGroup| {
            all.union(FieldGroups::of(&[group]))
        });
        let settles = Duration::from_secs(self.create_settles_after_seconds);
        Abilities {
            capabilities: Capabilities {
                organisation_number: self.fields.contains(&WritableField::OrganisationNumber),
                delivery_addresses: false,
                location_numbers: self.fields.contains(&WritableField::Gln),
                readable,
                code_case: match self.code_case {
                    StatedCase::Ignored => CodeCase::Ignored,
                    StatedCase::Exact => CodeCase::Exact,
                },
                optimistic_concurrency: self.conditional_updates,
                creates_are_idempotent: self.idempotent_creates,
                home_country: home.or(self.home_country),
                create_settles_after: settles.clamp(LEAST_SETTLING, MOST_SETTLING),
            },
            fields: self.fields,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Person,
    Organisation,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AddressRow {
    care_of: Option<String>,
    line1: Option<String>,
    line2: Option<String>,
    postal_code: Option<String>,
    city: Option<String>,
    region: Option<String>,
    country: Option<String>,
}

impl AddressRow {
    fn into_address(self) -> Address {
        let country = self.country.and_then(|country| country.parse().ok());
        let text = |text: Option<String>| text.and_then(Personal::parse);
        Address {
            care_of: text(self.care_of),
            line1: text(self.line1),
            line2: text(self.line2),
            postal_code: text(self.postal_code),
            city: text(self.city),
            region: text(self.region),
            country,
        }
    }
}

#[derive(Deserialize)]
struct DeliveryRow {
    id: String,
    address: AddressRow,
    #[serde(default)]
    gln: Option<String>,
    #[serde(default)]
    phone: Option<String>,
}

/// A record. It has no `Debug` because it contains personal data.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    id: String,
    code: String,
    version: String,
    #[serde(default)]
    modified: Option<DateTime<Utc>>,
    kind: Kind,
    blocked: bool,
    #[serde(default)]
    company: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    #[serde(default)]
    mobile: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    vat_number: Option<String>,
    #[serde(default)]
    organisation_number: Option<String>,
    #[serde(default)]
    gln: Option<String>,
    #[serde(default)]
    address: Option<AddressRow>,
    #[serde(default)]
    delivery_addresses: Vec<DeliveryRow>,
    #[serde(default)]
    price_lists: Vec<String>,
    #[serde(default)]
    flags: BTreeMap<String, bool>,
    #[serde(default)]
    additional_info: BTreeMap<String, Option<String>>,
}

impl Row {
    /// The row as a record.
    ///
    /// # Errors
    /// It has no usable id, code or version.
    pub(super) fn into_record(
        self,
        resource: Resource,
        capabilities: &Capabilities,
    ) -> Result<ErpRecord, ErpError> {
        let lacks =
            |what: &str| ErpError::Unreadable(format!("a {resource} without a usable `{what}`"));
        let code: Code = self.code.parse().map_err(|_| lacks("code"))?;
        let id = Some(self.id).filter(|id| is_id(id));
        let id = id.ok_or_else(|| lacks("id"))?;
        let version = Some(self.version).filter(|version| !version.is_empty());
        let text = |text: Option<String>| text.and_then(Personal::parse);
        let address = self.address.map(AddressRow::into_address);
        let gln = text(self.gln);
        let deliveries = self.delivery_addresses.into_iter().map(|row| ErpDelivery {
            id: row.id,
            address: row.address.into_address(),
            gln: ErpDetail::Field(text(row.gln)),
            phone: ErpDetail::Field(text(row.phone)),
        });
        let additional = self.additional_info.into_iter();
        Ok(ErpRecord {
            id: ErpId { resource, id },
            code,
            version: version.ok_or_else(|| lacks("version"))?,
            modified: self.modified,
            organisation: matches!(self.kind, Kind::Organisation),
            blocked: self.blocked,
            company: self
                .company
                .filter(|_| resource == Resource::Contact)
                .map(CompanyKey),
            fields: ErpFields {
                name: text(self.name),
                email: text(self.email),
                phone: text(self.phone),
                mobile: text(self.mobile),
                title: text(self.title),
                vat_number: self.vat_number.and_then(|text| VatNumber::parse(&text)),
                organisation_number: self
                    .organisation_number
                    .and_then(|text| OrganisationNumber::parse(&text)),
                address: address.filter(|address| !address.is_empty()),
                gln: match capabilities.location_numbers {
                    true => ErpDetail::Field(gln),
                    false => ErpDetail::NoField,
                },
                delivery_addresses: deliveries.collect(),
                price_lists: self.price_lists,
                flags: self.flags.into_iter().collect(),
                additional_info: additional
                    .map(|(code, value)| (code, text(value)))
                    .collect(),
                default_country: capabilities.home_country,
            },
        })
    }
}

/// The longest id of the contract.
const MAX_ID: usize = 100;

/// Whether it is an id of the contract, which is safe in an address.
pub(super) fn is_id(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.~-".contains(c);
    let is_dots = text.chars().all(|c| c == '.');
    !text.is_empty() && !is_dots && text.len() <= MAX_ID && text.chars().all(is_allowed)
}

#[derive(Deserialize)]
struct UnusableRow {
    #[serde(default)]
    id: Option<String>,
    reason: String,
    #[serde(default)]
    message: Option<String>,
}

/// The answer to `POST /v1/search`.
#[derive(Deserialize)]
pub(super) struct Found {
    records: Vec<Value>,
    #[serde(default)]
    unusable: Vec<UnusableRow>,
}

impl Found {
    /// The records of a search for one resource.
    pub(super) fn into_page(self, resource: Resource, capabilities: &Capabilities) -> RecordPage {
        PageRow {
            records: self.records,
            unusable: self.unusable,
            next: None,
        }
        .into_page(resource, capabilities)
    }
}

/// `GET /v1/{resource}`.
#[derive(Deserialize)]
pub(super) struct PageRow {
    records: Vec<Value>,
    #[serde(default)]
    unusable: Vec<UnusableRow>,
    // A page without it is not the last one: the facade may call it something else.
    #[serde(deserialize_with = "Option::deserialize")]
    next: Option<String>,
}

impl PageRow {
    pub(super) fn into_page(self, resource: Resource, capabilities: &Capabilities) -> RecordPage {
        let erp_id = |id: Option<String>| {
            let id = id.filter(|id| is_id(id))?;
            Some(ErpId { resource, id })
        };
        let mut page = RecordPage {
            next: self.next.map(Cursor),
            ..RecordPage::default()
        };
        for row in self.unusable {
            let reason = match row.reason.as_str() {
                "no-code" => Unusable::NoCode,
                _ => {
                    Unusable::Unreadable(crate::domain::redact(&row.message.unwrap_or(row.reason)))
                }
            };
            let id = erp_id(row.id);
            page.unusable.push(UnusableRecord { id, reason });
        }
        for row in self.records {
            let id = row.get("id").and_then(Value::as_str).map(str::to_owned);
            // The parser's own message is dropped because it could quote the row.
            let record = serde_json::from_value::<Row>(row)
                .map_err(|_| "a field of it has an unexpected type, or is missing".to_owned())
                .and_then(|row| {
                    let record = row.into_record(resource, capabilities);
                    record.map_err(|error| error.to_string())
                });
            match record {
                Ok(record) => page.records.push(record),
                Err(reason) => page.unusable.push(UnusableRecord {
                    id: erp_id(id),
                    reason: Unusable::Unreadable(reason),
                }),
            }
        }
        page
    }
}
