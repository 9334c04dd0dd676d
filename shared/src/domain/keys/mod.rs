//! Keys: the values by which a customer or company in Norce is matched with a record of the ERP.
//!
//! A key has one normal form, in which keys are compared, and several spellings in which either side may store it, which
//! look-ups ask for. A value that cannot identify anybody (a placeholder such as "saknas", `000000-0000`, a number with a
//! wrong check digit) has no key. A key is not an identity: neither Norce nor an ERP keeps keys unique, and
//! [`matching`](crate::matching) decides what a shared key means.

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

/// A value, other than its code, by which a record can be found. Personal data: `Debug` shows only its class.
///
/// Fingerprints are made of its serialized form, which must not change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NaturalKey {
    /// The e-mail address of a person.
    Email(EmailKey),
    /// An organisation's number in its country's register, from an organisation number or a VAT number.
    #[serde(rename = "vat-number")]
    Organisation(OrganisationKey),
}

impl NaturalKey {
    /// The key of an e-mail address; `None` if the text is not one.
    pub fn email(text: &str) -> Option<Self> {
        EmailKey::parse(text).map(Self::Email)
    }

    /// The key of an organisation or VAT number; `None` if it is not plausible, or its country is unknown.
    pub fn organisation(text: &str, country: Option<CountryCode>) -> Option<Self> {
        let number = OrganisationNumber::parse(text)?;
        number.key(country).map(Self::Organisation)
    }

    /// The name of the key in messages to people, by kind of entity.
    pub const fn name_of(kind: EntityKind) -> &'static str {
        match kind {
            EntityKind::Customer => "e-mail address",
            EntityKind::Company => "organisation or VAT number",
        }
    }
}
