//! Keys: the values by which a customer or company of Norce and a record of the ERP are found to be the same.
//!
//! Each key has one normal form, in which two of them are compared, and every spelling under which either side may hold
//! it, from which every look-up takes what it asks for. A value that cannot identify anybody (a placeholder such as
//! "saknas", `000000-0000`, a number with a wrong check digit) has no key. No key is an identity: neither Norce nor an
//! ERP keeps one unique, and [`matching`](crate::matching) decides what a shared key means.

mod code;
mod email;
mod organisation;
mod organisation_number;
pub(super) mod placeholder;

use serde::Serialize;

pub use code::{
    Code, CodeCase, CodePattern, ErpCodes, InvalidCode, InvalidCodePattern, InvalidErpCodes,
};
pub use email::EmailKey;
pub use organisation::OrganisationKey;
pub use organisation_number::{OrganisationNumber, VatNumber};

use super::{CountryCode, EntityKind};

/// A value by which a record can be found besides its code. Personal data: `Debug` shows its class only.
///
/// Its serialized form is what fingerprints are made of, and stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NaturalKey {
    /// An e-mail address: of a person.
    Email(EmailKey),
    /// An organisation's number in its country's register, as organisation number or within a VAT number.
    #[serde(rename = "vat-number")]
    Organisation(OrganisationKey),
}

impl NaturalKey {
    /// The key of an e-mail address; `None` when the text is none.
    pub fn email(text: &str) -> Option<Self> {
        EmailKey::parse(text).map(Self::Email)
    }

    /// The key of an organisation or VAT number; `None` when it is not plausible, or nothing says of which country it is.
    pub fn organisation(text: &str, country: Option<CountryCode>) -> Option<Self> {
        let number = OrganisationNumber::parse(text)?;
        number.key(country).map(Self::Organisation)
    }

    /// What a message to a person calls the key of such an entity.
    pub const fn name_of(kind: EntityKind) -> &'static str {
        match kind {
            EntityKind::Customer => "e-mail address",
            EntityKind::Company => "organisation or VAT number",
        }
    }
}
