use serde::Deserialize;

use super::{
    address::AddressRow,
    values::{code, norce_id},
};
use crate::{
    domain::{
        Code, CountryCode, EmailKey, EntityKind, EntityRef, NaturalKey, NorceId, OrganisationKey,
        OrganisationNumber, Personal, Scope, VatNumber,
    },
    http::odata::Options,
    norce::{ChangedEntity, LookupHit, NorceError, serde_utils},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EmailRow {
    #[serde(deserialize_with = "serde_utils::id")]
    pub(crate) id: i64,
    email_address: Option<String>,
    is_active: bool,
    is_forgotten: bool,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) application_id: Option<i64>,
}

impl EmailRow {
    pub(crate) fn options() -> Options {
        Options::new().select(&[
            "Id",
            "EmailAddress",
            "IsActive",
            "IsForgotten",
            "ApplicationId",
        ])
    }

    /// Whether the row has this address: a database may compare more loosely than we do.
    pub(crate) fn matches(&self, email: &EmailKey) -> bool {
        let key = self.email_address.as_deref().and_then(EmailKey::parse);
        self.is_active && !self.is_forgotten && key.as_ref() == Some(email)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeRow {
    #[serde(deserialize_with = "serde_utils::id")]
    pub(crate) id: i64,
    customer_code: Option<String>,
    company_code: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) application_id: Option<i64>,
}

impl CodeRow {
    pub(crate) fn options(kind: EntityKind) -> Options {
        Options::new().select(match kind {
            EntityKind::Customer => &["Id", "CustomerCode", "ApplicationId"],
            EntityKind::Company => &["Id", "CompanyCode", "ApplicationId"],
        })
    }

    pub(crate) fn read(
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

/// A customer or company with only its addresses.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddressesRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) application_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    pub(crate) addresses: Vec<AddressRow>,
}

impl AddressesRow {
    pub(crate) fn options(kind: EntityKind) -> Options {
        let options = Options::new()
            .select(&["Id", "ApplicationId"])
            .expand("Addresses", AddressRow::options(kind));
        match kind {
            EntityKind::Customer => options.optionally(AddressRow::OPTIONAL),
            EntityKind::Company => options.optionally(&["Addresses"]),
        }
    }

    pub(crate) fn id(&self, kind: EntityKind) -> Result<NorceId, NorceError> {
        norce_id(self.id, kind)
    }
}

/// A hit of a look-up of many.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FoundRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    customer_code: Option<String>,
    company_code: Option<String>,
    email_address: Option<String>,
    name: Option<String>,
    organization_no: Option<String>,
    vat_no: Option<String>,
    is_active: bool,
    /// Required for customers, because a forgotten one must not be mistaken for one that is not (P12).
    is_forgotten: Option<bool>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) application_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    pub(crate) addresses: Vec<AddressRow>,
}

impl FoundRow {
    pub(crate) fn options(kind: EntityKind) -> Options {
        match kind {
            EntityKind::Customer => Options::new().select(&[
                "Id",
                "CustomerCode",
                "EmailAddress",
                "IsActive",
                "IsForgotten",
                "ApplicationId",
            ]),
            // The country of a number is that of the address.
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
    pub(crate) fn is_named(&self, name: &Personal) -> bool {
        self.name.as_deref().and_then(Personal::parse).as_ref() == Some(name)
    }

    /// The numbers of a company.
    pub(crate) fn numbers(&self) -> (Option<OrganisationNumber>, Option<VatNumber>) {
        let number = self.organization_no.as_deref();
        let vat_number = self.vat_no.as_deref();
        (
            number.and_then(OrganisationNumber::parse),
            vat_number.and_then(VatNumber::parse),
        )
    }

    /// Translates the row; `country` is that of the company's address.
    pub(crate) fn read(
        self,
        kind: EntityKind,
        country: Option<CountryCode>,
    ) -> Result<LookupHit, NorceError> {
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
        Ok(LookupHit {
            id,
            code: code.and_then(|code| another_code(&code)),
            keys,
            registered,
            active: self.is_active,
            forgotten,
        })
    }
}

/// A code for comparisons. One that is invalid as ours is a different code, not an error.
fn another_code(text: &str) -> Option<Code> {
    let legible = || {
        let text = text.replace(char::is_control, "?");
        text.chars().take(Code::MAX_CHARS).collect::<String>()
    };
    text.parse().or_else(|_| legible().parse()).ok()
}

/// A row of a sweep.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangedRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    created: Option<String>,
    updated: Option<String>,
    #[serde(default)]
    is_forgotten: bool,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) application_id: Option<i64>,
}

impl ChangedRow {
    pub(crate) fn options(kind: EntityKind) -> Options {
        Options::new().select(match kind {
            EntityKind::Customer => &["Id", "Created", "Updated", "IsForgotten", "ApplicationId"],
            EntityKind::Company => &["Id", "Created", "Updated", "ApplicationId"],
        })
    }

    pub(crate) fn read(self, kind: EntityKind) -> Result<ChangedEntity, NorceError> {
        let changed = self.updated.or(self.created);
        Ok(ChangedEntity {
            id: norce_id(self.id, kind)?,
            changed: changed.as_deref().and_then(serde_utils::instant),
            forgotten: self.is_forgotten,
        })
    }
}
