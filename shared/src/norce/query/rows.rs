//! Rows as Query writes them (norce-api §5.2, §10.3), and what becomes of them. Every field that is not needed to
//! tell records apart or to protect a person may be missing. Every id is read as a number and as a text (norce-api §5.1):
//! a number in a row goes through [`lenient::id`] or [`lenient::optional_id`].

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::ListedApplication;
use crate::{
    domain::{
        Account, Address, AddressDetails, ApplicationId, Code, Company, CompanyRelation,
        CountryCode, Customer, DeliveryAddress, EmailKey, EntityKind, EntityRef, Flag, NaturalKey,
        NorceAddress, NorceId, Order, OrderKey, OrderParty, OrganisationKey, OrganisationNumber,
        Personal, Scope, ShopFields, VatNumber,
    },
    http::odata::Options,
    norce::{ChangedEntity, Found, NorceError, Relation, lenient},
};

/// An id of Norce's, which is always positive.
pub(super) fn norce_id(id: i64, what: impl std::fmt::Display) -> Result<NorceId, NorceError> {
    NorceId::try_from(id).map_err(|error| NorceError::Unreadable(format!("{what}: {error}")))
}

fn code(text: Option<String>, entity: EntityRef) -> Result<Option<Code>, NorceError> {
    text.filter(|text| !text.trim().is_empty())
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| NorceError::Unreadable(format!("{entity}: its code: {error}")))
}

fn personal(text: Option<String>) -> Option<Personal> {
    text.and_then(Personal::parse)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CustomerRow {
    customer_code: Option<String>,
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
    title: Option<String>,
    email_address: Option<String>,
    phone_number: Option<String>,
    cell_phone_number: Option<String>,
    // Not optional: a forgotten customer must never be taken for one that is not (P12).
    is_active: bool,
    is_forgotten: bool,
    stopped_date: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    replacement_customer_id: Option<i64>,
    last_order_date: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
    // In 3.0 a list; how many there are in 2.0 is not documented.
    account: Option<lenient::OneOrMany<AccountRow>>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub(super) addresses: Vec<AddressRow>,
    #[serde(default, deserialize_with = "lenient::list")]
    companies: Vec<CompanyRelationRow>,
    #[serde(default, deserialize_with = "lenient::list")]
    flags: Vec<FlagRow>,
}

impl CustomerRow {
    /// The companies and the customer that it names.
    pub(super) fn related(&self) -> impl Iterator<Item = (EntityKind, NorceId)> {
        let companies = self.companies.iter().map(|row| row.company_id);
        let companies = companies.filter_map(|id| party_id(Some(id)));
        let survivor = party_id(self.replacement_customer_id);
        let companies = companies.map(|id| (EntityKind::Company, id));
        companies.chain(survivor.map(|id| (EntityKind::Customer, id)))
    }

    pub(super) fn options() -> Options {
        Options::new()
            .select(&[
                "Id",
                "CustomerCode",
                "FirstName",
                "MiddleName",
                "LastName",
                "Title",
                "EmailAddress",
                "PhoneNumber",
                "CellPhoneNumber",
                "IsActive",
                "IsForgotten",
                "StoppedDate",
                "ReplacementCustomerId",
                "LastOrderDate",
                "ApplicationId",
            ])
            .expand(
                "Account",
                Options::new().select(&["ApplicationId", "LoginName", "StatusId"]),
            )
            .expand("Addresses", AddressRow::options(EntityKind::Customer))
            .expand(
                "Companies",
                // A relation has no state of its own that is documented; its company's is what there is.
                Options::new()
                    .select(&["CompanyId", "IsPrimary"])
                    .expand("Company", Options::new().select(&["Id", "IsActive"])),
            )
            .expand("Flags", Options::new().select(&["FlagId", "IsActive"]))
            .optionally(&[
                "Title",
                "MiddleName",
                "LastOrderDate",
                "StoppedDate",
                "ReplacementCustomerId",
                "Account",
                "Flags",
            ])
            .optionally(AddressRow::OPTIONAL)
    }

    pub(super) fn read(
        self,
        entity: EntityRef,
        addresses: Addresses,
        related: &Related,
    ) -> Result<Customer, NorceError> {
        let companies = self
            .companies
            .into_iter()
            .filter(|relation| relation.company.as_ref().is_none_or(|it| it.is_active))
            .map(|relation| {
                let id = norce_id(relation.company_id, format_args!("{entity}: `CompanyId`"))?;
                Ok(CompanyRelation {
                    company: related.entity(EntityKind::Company, id),
                    primary: relation.is_primary.unwrap_or(false),
                })
            })
            .collect::<Result<_, NorceError>>()?;
        let accounts = self.account.map(lenient::OneOrMany::into_vec);
        Ok(Customer {
            unread: ShopFields::new(),
            entity,
            code: code(self.customer_code, entity)?,
            first_name: personal(self.first_name),
            middle_name: personal(self.middle_name),
            last_name: personal(self.last_name),
            title: personal(self.title),
            email: personal(self.email_address),
            phone: personal(self.phone_number),
            mobile: personal(self.cell_phone_number),
            invoice_address: addresses.invoice,
            invoice_details: addresses.invoice_details,
            delivery_addresses: addresses.deliveries,
            companies,
            accounts: accounts
                .unwrap_or_default()
                .into_iter()
                .map(AccountRow::read)
                .collect(),
            flags: self.flags.iter().filter_map(FlagRow::read).collect(),
            active: self.is_active,
            // A time that cannot be read has come.
            stopped: self
                .stopped_date
                .map(|at| lenient::instant(&at).unwrap_or(DateTime::<Utc>::MIN_UTC)),
            forgotten: self.is_forgotten,
            merged_into: self
                .replacement_customer_id
                .map(|id| norce_id(id, format_args!("{entity}: `ReplacementCustomerId`")))
                .transpose()?
                .map(|id| related.entity(EntityKind::Customer, id)),
            last_order: self.last_order_date.as_deref().and_then(lenient::instant),
        })
    }
}

/// The registers of the entities that a row names by their ids alone.
pub(super) struct Related {
    /// The register of the row itself, and of every entity that is not known to be elsewhere.
    pub(super) scope: Scope,
    /// Those of another register.
    pub(super) elsewhere: HashMap<(EntityKind, NorceId), Scope>,
}

impl Related {
    fn entity(&self, kind: EntityKind, id: NorceId) -> EntityRef {
        let elsewhere = self.elsewhere.get(&(kind, id));
        EntityRef {
            kind,
            scope: elsewhere.copied().unwrap_or(self.scope),
            id,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccountRow {
    #[serde(default, deserialize_with = "lenient::optional_id")]
    application_id: Option<i64>,
    login_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    status_id: Option<i64>,
}

impl AccountRow {
    fn read(self) -> Account {
        Account {
            application: self.application_id.and_then(|id| id.try_into().ok()),
            login_name: personal(self.login_name),
            status: self.status_id,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompanyRelationRow {
    #[serde(deserialize_with = "lenient::id")]
    company_id: i64,
    is_primary: Option<bool>,
    company: Option<RelatedCompanyRow>,
}

/// A customer with the companies that it is a contact of.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RelationsRow {
    id: i64,
    #[serde(default, deserialize_with = "lenient::list")]
    companies: Vec<CompanyIdRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompanyIdRow {
    company_id: i64,
    is_primary: Option<bool>,
}

impl RelationsRow {
    pub(super) fn options() -> Options {
        Options::new().select(&["Id"]).expand(
            "Companies",
            Options::new().select(&["CompanyId", "IsPrimary"]),
        )
    }

    pub(super) fn read(self) -> Result<(NorceId, Vec<Relation>), NorceError> {
        let id = norce_id(self.id, "a customer with companies")?;
        let relations = self.companies.iter().map(|row| {
            Ok(Relation {
                company: norce_id(row.company_id, format_args!("customer {id}: `CompanyId`"))?,
                is_primary: row.is_primary.unwrap_or(false),
            })
        });
        Ok((id, relations.collect::<Result<_, NorceError>>()?))
    }
}

/// What a customer logs in with.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LoginsRow {
    #[serde(deserialize_with = "lenient::id")]
    id: i64,
    email_address: Option<String>,
    account: Option<lenient::OneOrMany<AccountRow>>,
}

impl LoginsRow {
    pub(super) fn options() -> Options {
        Options::new()
            .select(&["Id", "EmailAddress"])
            .expand(
                "Account",
                Options::new().select(&["ApplicationId", "LoginName", "StatusId"]),
            )
            .optionally(&["Account"])
    }

    pub(super) fn id(&self) -> Result<NorceId, NorceError> {
        norce_id(self.id, "a customer with accounts")
    }

    /// A login name that is no e-mail address never followed one.
    pub(super) fn has_another_login(&self) -> bool {
        let email = self.email_address.as_deref().and_then(EmailKey::parse);
        let accounts = match &self.account {
            Some(lenient::OneOrMany::One(account)) => std::slice::from_ref(account),
            Some(lenient::OneOrMany::Many(accounts)) => accounts.as_slice(),
            None => &[],
        };
        let logins = accounts.iter().filter_map(|it| it.login_name.as_deref());
        logins
            .filter_map(EmailKey::parse)
            .any(|login| email.as_ref() != Some(&login))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RelatedCompanyRow {
    is_active: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FlagRow {
    #[serde(default, deserialize_with = "lenient::optional_id")]
    flag_id: Option<i64>,
    is_active: Option<bool>,
}

impl FlagRow {
    fn read(&self) -> Option<Flag> {
        Some(Flag {
            id: self.flag_id?,
            active: self.is_active.unwrap_or(true),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CompanyRow {
    company_code: Option<String>,
    name: Option<String>,
    organization_no: Option<String>,
    vat_no: Option<String>,
    email_address: Option<String>,
    phone_number: Option<String>,
    is_active: bool,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub(super) addresses: Vec<AddressRow>,
    #[serde(default, deserialize_with = "lenient::list")]
    customers: Vec<ContactRow>,
    #[serde(default, deserialize_with = "lenient::list")]
    flags: Vec<FlagRow>,
}

impl CompanyRow {
    /// The customers that it names.
    pub(super) fn related(&self) -> impl Iterator<Item = (EntityKind, NorceId)> {
        let contacts = self.customers.iter().map(|row| row.customer_id);
        let contacts = contacts.filter_map(|id| party_id(Some(id)));
        contacts.map(|id| (EntityKind::Customer, id))
    }

    pub(super) fn options() -> Options {
        Options::new()
            .select(&[
                "Id",
                "CompanyCode",
                "Name",
                "OrganizationNo",
                "VatNo",
                "EmailAddress",
                "PhoneNumber",
                "IsActive",
                "ApplicationId",
            ])
            // The fields of a company's flags are not documented: naming one that is not there would fail the whole call.
            .expand("Addresses", AddressRow::options(EntityKind::Company))
            .expand("Customers", Options::new().select(&["CustomerId"]))
            .expand("Flags", Options::new())
            .optionally(&["Addresses", "Flags"])
    }

    pub(super) fn read(
        self,
        entity: EntityRef,
        addresses: Addresses,
        related: &Related,
    ) -> Result<Company, NorceError> {
        let contacts = self
            .customers
            .iter()
            .map(|row| norce_id(row.customer_id, format_args!("{entity}: `CustomerId`")))
            .map(|id| Ok(related.entity(EntityKind::Customer, id?)))
            .collect::<Result<_, NorceError>>()?;
        Ok(Company {
            unread: ShopFields::new(),
            entity,
            code: code(self.company_code, entity)?,
            name: personal(self.name),
            organisation_number: self
                .organization_no
                .as_deref()
                .and_then(OrganisationNumber::parse),
            vat_number: self.vat_no.as_deref().and_then(VatNumber::parse),
            email: personal(self.email_address),
            phone: personal(self.phone_number),
            invoice_address: addresses.invoice,
            invoice_details: addresses.invoice_details,
            delivery_addresses: addresses.deliveries,
            contacts,
            flags: self.flags.iter().filter_map(FlagRow::read).collect(),
            active: self.is_active,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContactRow {
    #[serde(deserialize_with = "lenient::id")]
    customer_id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddressRow {
    #[serde(deserialize_with = "lenient::id")]
    pub(super) id: i64,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    type_id: Option<i64>,
    care_of: Option<String>,
    address_line1: Option<String>,
    address_line2: Option<String>,
    zip_code: Option<String>,
    city: Option<String>,
    region: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) country_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    gln: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    shipping_phone_number: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    code: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_bool")]
    is_primary: Option<bool>,
}

impl AddressRow {
    /// What an import has and the seen part of Query's page of addresses has not (norce-api §5.2).
    const OPTIONAL: &[&str] = &[
        "Addresses/Gln",
        "Addresses/ShippingPhoneNumber",
        "Addresses/Code",
        "Addresses/IsPrimary",
    ];

    fn options(kind: EntityKind) -> Options {
        match kind {
            EntityKind::Customer => Options::new().select(&[
                "Id",
                "TypeId",
                "CareOf",
                "AddressLine1",
                "AddressLine2",
                "ZipCode",
                "City",
                "Region",
                "CountryId",
                "Gln",
                "ShippingPhoneNumber",
                "Code",
                "IsPrimary",
            ]),
            // The fields of a company's addresses are not documented: every one of them comes along.
            EntityKind::Company => Options::new(),
        }
    }

    /// What it has besides the postal parts.
    pub(super) fn details(&self) -> AddressDetails {
        let text = |text: &Option<String>| text.as_ref().and_then(Personal::parse);
        AddressDetails {
            gln: text(&self.gln),
            phone: text(&self.shipping_phone_number),
            code: text(&self.code),
            primary: self.is_primary,
        }
    }

    /// All of it, also where there is no postal part.
    pub(super) fn whole(&self, country: Option<CountryCode>) -> NorceAddress {
        NorceAddress {
            address: self.read(country).unwrap_or_default(),
            details: self.details(),
        }
    }

    pub(super) fn read(&self, country: Option<CountryCode>) -> Option<Address> {
        let part = |text: &Option<String>| text.as_ref().and_then(Personal::parse);
        let address = Address {
            care_of: part(&self.care_of),
            line1: part(&self.address_line1),
            line2: part(&self.address_line2),
            postal_code: part(&self.zip_code),
            city: part(&self.city),
            region: part(&self.region),
            country,
        };
        (!address.is_empty()).then_some(address)
    }
}

/// The addresses of a customer or company by what they are for.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) invoice: Option<Address>,
    pub(super) invoice_details: AddressDetails,
    pub(super) deliveries: Vec<DeliveryAddress>,
}

/// The addresses of a type, the oldest first, so that the order in which Norce lists them does not matter.
pub(super) fn of_type(addresses: &[AddressRow], type_id: i64) -> Vec<&AddressRow> {
    let of_type = |address: &&AddressRow| address.type_id == Some(type_id);
    let mut addresses: Vec<&AddressRow> = addresses.iter().filter(of_type).collect();
    addresses.sort_by_key(|address| address.id);
    addresses
}

/// The delivery addresses, the primary one first and then the oldest.
pub(super) fn delivery_addresses(addresses: &[AddressRow], delivery: i64) -> Vec<&AddressRow> {
    let mut deliveries = of_type(addresses, delivery);
    deliveries.sort_by_key(|address| address.is_primary != Some(true));
    deliveries
}

/// The address of the invoice type, else any; of several the oldest, so that the choice does not depend on the order
/// in which Norce lists them.
pub(super) fn invoice_address(addresses: &[AddressRow], invoice: i64) -> Option<&AddressRow> {
    addresses
        .iter()
        .min_by_key(|address| (address.type_id != Some(invoice), address.id))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OrderRow {
    #[serde(deserialize_with = "lenient::id")]
    id: i64,
    #[serde(deserialize_with = "lenient::id")]
    application_id: i64,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    buyer_customer_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    buyer_company_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    payer_customer_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    payer_company_id: Option<i64>,
    buyer: Option<PartyRow>,
    payer: Option<PartyRow>,
}

/// An order's own copy of an address. `OrganizationNo` is not in the documented list; it is read where a tenant has it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PartyRow {
    email_address: Option<String>,
    organization_no: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    country_id: Option<i64>,
}

impl OrderRow {
    pub(super) fn options() -> Options {
        Options::new()
            .select(&[
                "Id",
                "ApplicationId",
                "BuyerCustomerId",
                "BuyerCompanyId",
                "PayerCustomerId",
                "PayerCompanyId",
            ])
            .expand("Buyer", Options::new())
            .expand("Payer", Options::new())
            .optionally(&["Buyer", "Payer"])
    }

    /// The countries that the parties' addresses name by their ids.
    pub(super) fn country_ids(&self) -> impl Iterator<Item = i64> {
        let parties = [&self.buyer, &self.payer];
        parties
            .into_iter()
            .flatten()
            .filter_map(|party| party.country_id)
    }

    /// The customers and companies that it names.
    pub(super) fn parties(&self) -> impl Iterator<Item = (EntityKind, NorceId)> {
        let customers = [self.buyer_customer_id, self.payer_customer_id];
        let companies = [self.buyer_company_id, self.payer_company_id];
        let customers = customers.into_iter().filter_map(party_id);
        let companies = companies.into_iter().filter_map(party_id);
        let customers = customers.map(|id| (EntityKind::Customer, id));
        customers.chain(companies.map(|id| (EntityKind::Company, id)))
    }

    /// `country`: what an id of a country stands for.
    pub(super) fn read(
        self,
        order: &OrderKey,
        country: impl Fn(i64) -> Option<CountryCode>,
        related: &Related,
    ) -> Result<Order, NorceError> {
        let party = |customer: Option<i64>, company: Option<i64>, row: Option<PartyRow>| {
            let entity = |kind, id| party_id(id).map(|id| related.entity(kind, id));
            let row = row.unwrap_or_default();
            OrderParty {
                customer: entity(EntityKind::Customer, customer),
                company: entity(EntityKind::Company, company),
                email: personal(row.email_address),
                organisation_number: row
                    .organization_no
                    .as_deref()
                    .and_then(OrganisationNumber::parse),
                vat_number: None,
                company_name: None,
                country: row.country_id.and_then(&country),
            }
        };
        Ok(Order {
            id: self.id,
            application: self.application_id.try_into().map_err(|error| {
                NorceError::Unreadable(format!("order {order}: `ApplicationId`: {error}"))
            })?,
            buyer: party(self.buyer_customer_id, self.buyer_company_id, self.buyer),
            payer: party(self.payer_customer_id, self.payer_company_id, self.payer),
        })
    }
}

/// 0 for "nobody" is as good as null.
fn party_id(id: Option<i64>) -> Option<NorceId> {
    id.and_then(|id| NorceId::try_from(id).ok())
}

/// Proof that there is a row.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IdRow {
    #[serde(rename = "Id", deserialize_with = "lenient::id")]
    _id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EmailRow {
    #[serde(deserialize_with = "lenient::id")]
    pub(super) id: i64,
    email_address: Option<String>,
    is_active: bool,
    is_forgotten: bool,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
}

impl EmailRow {
    pub(super) fn options() -> Options {
        Options::new().select(&[
            "Id",
            "EmailAddress",
            "IsActive",
            "IsForgotten",
            "ApplicationId",
        ])
    }

    /// A database may compare more loosely than we do, so that a hit is looked at once more.
    pub(super) fn matches(&self, email: &EmailKey) -> bool {
        let key = self.email_address.as_deref().and_then(EmailKey::parse);
        self.is_active && !self.is_forgotten && key.as_ref() == Some(email)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CodeRow {
    #[serde(deserialize_with = "lenient::id")]
    pub(super) id: i64,
    customer_code: Option<String>,
    company_code: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
}

impl CodeRow {
    pub(super) fn options(kind: EntityKind) -> Options {
        Options::new().select(match kind {
            EntityKind::Customer => &["Id", "CustomerCode", "ApplicationId"],
            EntityKind::Company => &["Id", "CompanyCode", "ApplicationId"],
        })
    }

    pub(super) fn read(
        self,
        kind: EntityKind,
        scope: Scope,
    ) -> Result<(NorceId, Option<Code>), NorceError> {
        let id = norce_id(self.id, kind)?;
        let text = match kind {
            EntityKind::Customer => self.customer_code,
            EntityKind::Company => self.company_code,
        };
        Ok((id, code(text, EntityRef { kind, scope, id })?))
    }
}

/// A customer or company with its addresses alone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddressesRow {
    #[serde(deserialize_with = "lenient::id")]
    id: i64,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub(super) addresses: Vec<AddressRow>,
}

impl AddressesRow {
    pub(super) fn options(kind: EntityKind) -> Options {
        let options = Options::new()
            .select(&["Id", "ApplicationId"])
            .expand("Addresses", AddressRow::options(kind));
        match kind {
            EntityKind::Customer => options.optionally(AddressRow::OPTIONAL),
            EntityKind::Company => options.optionally(&["Addresses"]),
        }
    }

    pub(super) fn id(&self, kind: EntityKind) -> Result<NorceId, NorceError> {
        norce_id(self.id, kind)
    }
}

/// What a look-up of many asks for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FoundRow {
    #[serde(deserialize_with = "lenient::id")]
    id: i64,
    customer_code: Option<String>,
    company_code: Option<String>,
    email_address: Option<String>,
    name: Option<String>,
    organization_no: Option<String>,
    vat_no: Option<String>,
    is_active: bool,
    /// Of customers; never missing there, because a forgotten one must not be taken for one that is not (P12).
    is_forgotten: Option<bool>,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub(super) addresses: Vec<AddressRow>,
}

impl FoundRow {
    pub(super) fn options(kind: EntityKind) -> Options {
        match kind {
            EntityKind::Customer => Options::new().select(&[
                "Id",
                "CustomerCode",
                "EmailAddress",
                "IsActive",
                "IsForgotten",
                "ApplicationId",
            ]),
            // A number is one of a country, which the address has.
            EntityKind::Company => Options::new()
                .select(&[
                    "Id",
                    "CompanyCode",
                    "Name",
                    "OrganizationNo",
                    "VatNo",
                    "IsActive",
                    "ApplicationId",
                ])
                .expand("Addresses", Options::new())
                .optionally(&["Addresses"]),
        }
    }

    /// Whether a company has this name.
    pub(super) fn is_named(&self, name: &Personal) -> bool {
        self.name.as_deref().and_then(Personal::parse).as_ref() == Some(name)
    }

    /// The numbers of a company.
    pub(super) fn numbers(&self) -> (Option<OrganisationNumber>, Option<VatNumber>) {
        let number = self.organization_no.as_deref();
        let vat_number = self.vat_no.as_deref();
        (
            number.and_then(OrganisationNumber::parse),
            vat_number.and_then(VatNumber::parse),
        )
    }

    /// `country`: of the company's address.
    pub(super) fn read(
        self,
        kind: EntityKind,
        country: Option<CountryCode>,
    ) -> Result<Found, NorceError> {
        let id = norce_id(self.id, kind)?;
        let mut registered = None;
        let (code, keys, forgotten) = match kind {
            EntityKind::Customer => (
                self.customer_code,
                self.email_address
                    .as_deref()
                    .and_then(EmailKey::parse)
                    .map(NaturalKey::Email)
                    .into_iter()
                    .collect(),
                self.is_forgotten.ok_or_else(|| {
                    NorceError::Unreadable(format!("{kind} {id}: `IsForgotten` is missing"))
                })?,
            ),
            EntityKind::Company => {
                let (number, vat_number) = self.numbers();
                registered = number.as_ref().and_then(|number| number.key(country));
                let keys = OrganisationKey::all(number.as_ref(), vat_number.as_ref(), country);
                let keys = keys.into_iter().map(NaturalKey::Organisation).collect();
                (self.company_code, keys, false)
            }
        };
        Ok(Found {
            id,
            code: code.and_then(|code| another_code(&code)),
            keys,
            registered,
            active: self.is_active,
            forgotten,
        })
    }
}

/// A code as it is compared. One that ours could never be is another one all the same, and no reason to fail.
fn another_code(text: &str) -> Option<Code> {
    let legible = || {
        let text = text.replace(char::is_control, "?");
        text.chars().take(Code::MAX_CHARS).collect::<String>()
    };
    text.parse().or_else(|_| legible().parse()).ok()
}

/// What a sweep asks for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangedRow {
    #[serde(deserialize_with = "lenient::id")]
    id: i64,
    created: Option<String>,
    updated: Option<String>,
    #[serde(default)]
    is_forgotten: bool,
    #[serde(default, deserialize_with = "lenient::optional_id")]
    pub(super) application_id: Option<i64>,
}

impl ChangedRow {
    pub(super) fn options(kind: EntityKind) -> Options {
        Options::new().select(match kind {
            EntityKind::Customer => &["Id", "Created", "Updated", "IsForgotten", "ApplicationId"],
            EntityKind::Company => &["Id", "Created", "Updated", "ApplicationId"],
        })
    }

    pub(super) fn read(self, kind: EntityKind) -> Result<ChangedEntity, NorceError> {
        let changed = self.updated.or(self.created);
        Ok(ChangedEntity {
            id: norce_id(self.id, kind)?,
            changed: changed.as_deref().and_then(lenient::instant),
            forgotten: self.is_forgotten,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CountryRow {
    #[serde(deserialize_with = "lenient::id")]
    pub(super) id: i64,
    code: Option<String>,
}

impl CountryRow {
    pub(super) fn options() -> Options {
        Options::new().select(&["Id", "Code"])
    }

    pub(super) fn read(&self) -> Option<(i64, CountryCode)> {
        Some((self.id, self.code.as_deref()?.parse().ok()?))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ApplicationRow {
    #[serde(deserialize_with = "lenient::id")]
    pub(super) id: i64,
    key: Option<Uuid>,
}

impl ApplicationRow {
    pub(super) fn read(self) -> Result<ListedApplication, NorceError> {
        let id: ApplicationId = self
            .id
            .try_into()
            .map_err(|error| NorceError::Unreadable(format!("an application: {error}")))?;
        Ok(ListedApplication { id, key: self.key })
    }
}
