//! The records of an ERP as they are read, and those that cannot be used.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::ErpError;
use crate::domain::{
    Address, Code, CountryCode, ErpDelivery, ErpDetail, ErpId, OrganisationNumber, Personal,
    VatNumber,
};

/// A record of the ERP as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpRecord {
    /// Its immutable id.
    pub id: ErpId,
    /// Its code.
    pub code: Code,
    /// The version that an update is conditional on: an ETag or a time stamp.
    pub version: String,
    /// The time of the last change, by the ERP's clock.
    pub modified: Option<DateTime<Utc>>,
    /// Whether it is an organisation rather than a person.
    pub organisation: bool,
    /// Whether it is closed for business.
    pub blocked: bool,
    /// The organisation of a contact. [`Erp::company_of`](super::Erp::company_of) returns the organisation's record.
    pub company: Option<CompanyKey>,
    /// The fields with its values.
    pub fields: ErpFields,
}

/// The fields of an ERP record as the server returned them. Fingerprints are made of these, group by group, because a
/// server rewrites some of the values that it receives (erp-apis §1.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErpFields {
    /// Name.
    pub name: Option<Personal>,
    /// E-mail address.
    pub email: Option<Personal>,
    /// Telephone.
    pub phone: Option<Personal>,
    /// Mobile telephone.
    pub mobile: Option<Personal>,
    /// Title or role at the organisation.
    pub title: Option<Personal>,
    /// VAT number.
    pub vat_number: Option<VatNumber>,
    /// Organisation number.
    pub organisation_number: Option<OrganisationNumber>,
    /// Address.
    pub address: Option<Address>,
    /// GLN of the address.
    pub gln: ErpDetail,
    /// Delivery addresses, where the ERP has them.
    pub delivery_addresses: Vec<ErpDelivery>,
    /// Codes of price lists in Norce.
    pub price_lists: Vec<String>,
    /// Norce's code of a flag, and whether it is set.
    pub flags: Vec<(String, bool)>,
    /// Norce's code of an additional info, and the text, if there is one.
    pub additional_info: Vec<(String, Option<Personal>)>,
    /// The country by which its numbers are read where its address has none.
    pub default_country: Option<CountryCode>,
}

/// The reference to an organisation in the records of its people. It identifies a record and is not personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompanyKey(pub String);

/// A place in a listing, which only the adapter that made it can interpret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The records that could be read.
    pub records: Vec<ErpRecord>,
    /// The records that cannot be used.
    pub unusable: Vec<UnusableRecord>,
    /// The place of the next page; `None` on the last page.
    pub next: Option<Cursor>,
}

impl RecordPage {
    /// The records of a look-up in which each record counts. Records without a code count where there is no other.
    ///
    /// # Errors
    /// [`ErpError::Refused`]: one of them cannot be used, and may be the one that is looked for.
    pub fn all(self) -> Result<Vec<ErpRecord>, ErpError> {
        let is_found = !self.records.is_empty();
        let mut unusable = self.unusable.into_iter();
        match unusable.find(|it| !(is_found && it.reason == Unusable::NoCode)) {
            None => Ok(self.records),
            Some(unusable) => Err(ErpError::Refused {
                field: None,
                code: "unreadable".to_owned(),
                message: unusable.to_string(),
            }),
        }
    }

    /// Adds the records of another page.
    pub(super) fn append(&mut self, page: Self) {
        self.records.extend(page.records);
        self.unusable.extend(page.unusable);
    }

    /// The ids of all records that exist, of those too that cannot be used.
    pub fn ids(&self) -> impl Iterator<Item = &ErpId> {
        let readable = self.records.iter().map(|record| &record.id);
        readable.chain(self.unusable.iter().filter_map(|it| it.id.as_ref()))
    }
}

/// A record that cannot be synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableRecord {
    /// The id, if it could be read.
    pub id: Option<ErpId>,
    /// The reason.
    pub reason: Unusable,
}

impl fmt::Display for UnusableRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(formatter, "{id}")?,
            None => formatter.write_str("a record")?,
        }
        match &self.reason {
            Unusable::NoCode => formatter.write_str(" has no code: give it one"),
            Unusable::Unreadable(reason) => write!(formatter, ": {reason}"),
        }
    }
}

/// The reason why a record cannot be synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It has no code yet. It is skipped until it has one.
    NoCode,
    /// Norce could not hold its code, or another value cannot be read. The text contains no personal data.
    Unreadable(String),
}
