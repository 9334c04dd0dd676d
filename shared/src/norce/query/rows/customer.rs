use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{
    address::{AddressRow, Addresses},
    entity::EntityRow,
    related::Related,
    values::{FlagRow, code, norce_id, party_id, personal},
};
use crate::{
    domain::{
        Account, CompanyRelation, Customer, EmailKey, EntityKind, EntityRef, NorceId, ShopFields,
    },
    http::odata::Options,
    norce::{NorceError, Relation, query::sets::CUSTOMERS, serde_utils},
};

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CustomerRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    customer_code: Option<String>,
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
    title: Option<String>,
    email_address: Option<String>,
    phone_number: Option<String>,
    cell_phone_number: Option<String>,
    // Required: a forgotten customer must never be mistaken for one that is not (P12).
    is_active: bool,
    is_forgotten: bool,
    stopped_date: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    replacement_customer_id: Option<i64>,
    last_order_date: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) application_id: Option<i64>,
    // A list in 3.0; not documented for 2.0.
    account: Option<serde_utils::OneOrMany<AccountRow>>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    addresses: Vec<AddressRow>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    companies: Vec<CompanyRelationRow>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    flags: Vec<FlagRow>,
}

impl EntityRow for CustomerRow {
    type Entity = Customer;

    const SET: &'static str = CUSTOMERS;

    fn id(&self) -> Result<NorceId, NorceError> {
        norce_id(self.id, Self::SET)
    }

    fn application_id(&self) -> Option<i64> {
        self.application_id
    }

    fn addresses(&self) -> &[AddressRow] {
        &self.addresses
    }

    /// The companies, and the customer that replaced this one.
    fn related(&self) -> Vec<(EntityKind, NorceId)> {
        let companies = self.companies.iter().map(|row| row.company_id);
        let companies = companies.filter_map(|id| party_id(Some(id)));
        let survivor = party_id(self.replacement_customer_id);
        let companies = companies.map(|id| (EntityKind::Company, id));
        let survivor = survivor.map(|id| (EntityKind::Customer, id));
        companies.chain(survivor).collect()
    }

    fn options() -> Options {
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
                // No state of a relation itself is documented, only that of its company.
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

    fn read(
        self,
        entity: EntityRef,
        addresses: Addresses,
        related: &Related,
        unread: ShopFields,
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
        let accounts = self.account.map(serde_utils::OneOrMany::into_vec);
        Ok(Customer {
            unread,
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
            // A time that cannot be read counts as past.
            stopped: self
                .stopped_date
                .map(|at| serde_utils::instant(&at).unwrap_or(DateTime::<Utc>::MIN_UTC)),
            forgotten: self.is_forgotten,
            merged_into: self
                .replacement_customer_id
                .map(|id| norce_id(id, format_args!("{entity}: `ReplacementCustomerId`")))
                .transpose()?
                .map(|id| related.entity(EntityKind::Customer, id)),
            last_order: self
                .last_order_date
                .as_deref()
                .and_then(serde_utils::instant),
        })
    }
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccountRow {
    #[serde(default, deserialize_with = "serde_utils::reference")]
    application_id: Option<i64>,
    login_name: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::optional_id")]
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

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompanyRelationRow {
    #[serde(deserialize_with = "serde_utils::id")]
    company_id: i64,
    is_primary: Option<bool>,
    company: Option<RelatedCompanyRow>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RelatedCompanyRow {
    is_active: bool,
}

/// A customer with its companies.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RelationsRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    #[serde(default, deserialize_with = "serde_utils::list")]
    companies: Vec<CompanyIdRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompanyIdRow {
    #[serde(deserialize_with = "serde_utils::id")]
    company_id: i64,
    is_primary: Option<bool>,
}

impl RelationsRow {
    pub(crate) fn options() -> Options {
        Options::new().select(&["Id"]).expand(
            "Companies",
            Options::new().select(&["CompanyId", "IsPrimary"]),
        )
    }

    pub(crate) fn read(self) -> Result<(NorceId, Vec<Relation>), NorceError> {
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

/// The logins of a customer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoginsRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    email_address: Option<String>,
    account: Option<serde_utils::OneOrMany<AccountRow>>,
}

impl LoginsRow {
    pub(crate) fn options() -> Options {
        Options::new()
            .select(&["Id", "EmailAddress"])
            .expand(
                "Account",
                Options::new().select(&["ApplicationId", "LoginName", "StatusId"]),
            )
            .optionally(&["Account"])
    }

    pub(crate) fn id(&self) -> Result<NorceId, NorceError> {
        norce_id(self.id, "a customer with accounts")
    }

    /// Whether the customer logs in with an e-mail address other than its own. Other login names are ignored.
    pub(crate) fn has_another_login(&self) -> bool {
        let email = self.email_address.as_deref().and_then(EmailKey::parse);
        let accounts = match &self.account {
            Some(serde_utils::OneOrMany::One(account)) => std::slice::from_ref(account),
            Some(serde_utils::OneOrMany::Many(accounts)) => accounts.as_slice(),
            None => &[],
        };
        let logins = accounts.iter().filter_map(|it| it.login_name.as_deref());
        logins
            .filter_map(EmailKey::parse)
            .any(|login| email.as_ref() != Some(&login))
    }
}
