//! The ERP port: what the use cases need of any ERP, and nothing that only one of them has.
//!
//! In no ERP is a create idempotent by itself, and an answer can be lost after the ERP has acted (erp-apis §0, §1.11).
//! The outcomes say so: a create is never plainly an error once bytes were sent.

mod answer;
pub mod business_central;
mod extra_fields;
mod mask;
pub mod odoo;
mod owned;
mod person_rule;
mod told;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    domain::{
        Address, Code, CodeCase, CountryCode, DeliveryAddress, EmailKey, EntityKind, EntityRef,
        ErpDelivery, ErpDetail, FieldGroups, OrganisationKey, OrganisationNumber, Personal,
        ShopFields, VatNumber,
    },
    http::Deadline,
};

pub use crate::domain::{ErpId, NaturalKey, Resource};
pub use extra_fields::{ExtraFields, InvalidExtraFields};
pub use person_rule::{InvalidPersonRule, PersonRule, under_rule};
pub use told::{
    ToldCompany, changed_groups, company_hash, tell_again, tell_all_again, told_company,
    with_company_id, with_same_company, with_told_company,
};

/// The most records with one key that are compared with the mappings. A shared key has a few holders (a household, the
/// schools of a municipality); beyond this number a person decides.
const MAX_HOLDERS: usize = 20;

/// What a party is in the ERP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartyKind {
    /// A customer that is a person.
    Person,
    /// A customer that is an organisation.
    Company,
    /// A contact of an organisation.
    Contact {
        /// The customer record of the organisation. `None`, of a contact that the ERP has: an update leaves it where it is.
        company: Option<ErpId>,
    },
}

impl PartyKind {
    /// Where such a party lives.
    pub const fn resource(&self) -> Resource {
        match self {
            Self::Person | Self::Company => Resource::Customer,
            Self::Contact { .. } => Resource::Contact,
        }
    }

    /// Whether such a party is an organisation rather than a person.
    pub const fn is_organisation(&self) -> bool {
        matches!(self, Self::Company)
    }
}

/// A person, an organisation or a contact as it is meant to be in the ERP, in neutral terms.
///
/// `None` means that the shop does not know the value, and the ERP's is left alone. The order of the fields is part of
/// the fingerprint: append, do not re-order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// What it is.
    pub kind: PartyKind,
    /// Its name.
    pub name: Personal,
    /// E-mail address as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal>,
    /// Telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal>,
    /// Mobile telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile: Option<Personal>,
    /// Title or role at the organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Personal>,
    /// Organisation number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation_number: Option<OrganisationNumber>,
    /// VAT number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vat_number: Option<VatNumber>,
    /// Invoice address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// All delivery addresses. They are records of their own in an ERP that takes them
    /// ([`Capabilities::delivery_addresses`]): [`Erp::create`] leaves them to the update that follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_addresses: Option<Vec<DeliveryAddress>>,
    /// Fields that an update empties, because the shop has; each is without a value here. It is no value itself.
    #[serde(skip)]
    pub emptied: ShopFields,
    /// Fields that could not be read in the shop, so that nothing is known of their values.
    #[serde(skip)]
    pub unread: ShopFields,
    /// Global Location Number of the invoice address, where there is one and the ERP takes it
    /// ([`Capabilities::location_numbers`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gln: Option<Personal>,
}

impl Party {
    /// The key of its organisation number alone.
    pub fn registered(&self) -> Option<OrganisationKey> {
        let country = self.address.as_ref().and_then(|address| address.country);
        self.organisation_number.as_ref()?.key(country)
    }

    /// The keys by which the party's record can be found, the best first.
    pub fn keys(&self) -> Vec<NaturalKey> {
        match self.kind {
            PartyKind::Company => {
                let country = self.address.as_ref().and_then(|address| address.country);
                organisation_keys(
                    self.organisation_number.as_ref(),
                    self.vat_number.as_ref(),
                    country,
                )
            }
            PartyKind::Person | PartyKind::Contact { .. } => EmailKey::of(self.email.as_ref())
                .map(NaturalKey::Email)
                .into_iter()
                .collect(),
        }
    }
}

fn organisation_keys(
    number: Option<&OrganisationNumber>,
    vat_number: Option<&VatNumber>,
    country: Option<CountryCode>,
) -> Vec<NaturalKey> {
    OrganisationKey::all(number, vat_number, country)
        .into_iter()
        .map(NaturalKey::Organisation)
        .collect()
}

/// A record of the ERP as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpRecord {
    /// Its immutable id.
    pub id: ErpId,
    /// Its code.
    pub code: Code,
    /// What an update is conditional on: an ETag or a time stamp.
    pub version: String,
    /// When it last changed, by the ERP's clock.
    pub modified: Option<DateTime<Utc>>,
    /// Whether it is an organisation rather than a person.
    pub organisation: bool,
    /// Whether it is closed for business.
    pub blocked: bool,
    /// Of a contact: what the ERP calls its organisation by. [`Erp::company_of`] leads to the organisation's record.
    pub company: Option<CompanyKey>,
    /// Its fields, as far as the port knows them.
    pub image: ErpImage,
}

/// The fields of an ERP record as the server returned them: these are fingerprinted group by group, because a server
/// rewrites some of what it is sent (erp-apis §1.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErpImage {
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
    /// Codes of price lists, as Norce calls them.
    pub price_lists: Vec<String>,
    /// Norce's code of a flag, and whether it is set.
    pub flags: Vec<(String, bool)>,
    /// Norce's code of an additional info, and the text, if there is one.
    pub additional_info: Vec<(String, Option<Personal>)>,
}

/// How an ERP names an organisation in the records of its people. It identifies a record and is no personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompanyKey(pub String);

/// A place in a listing, as the ERP names it. It means something to the adapter that made it only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// What is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Debtors, or the people of organisations.
    pub resource: Resource,
    /// Of the debtors, persons or organisations only.
    pub kind: Option<EntityKind>,
    /// Changed at this time or later, by the ERP's clock; nothing: all. With [`CompanyRelations`](crate::domain::FieldGroup::CompanyRelations) among the
    /// fields, contacts that have left their organisation are listed as well, where they stay contacts.
    pub since: Option<DateTime<Utc>>,
    /// What is read of each record besides its id, its code, its type, whether it is blocked, and the values by which
    /// it can be found in Norce. The rest of [`ErpImage`] may be missing.
    pub fields: FieldGroups,
}

/// Some records of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The records that could be read.
    pub records: Vec<ErpRecord>,
    /// The others.
    pub unusable: Vec<UnusableRecord>,
    /// Where the listing goes on; nothing: it ends here.
    pub next: Option<Cursor>,
}

/// A record that cannot be brought anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableRecord {
    /// Which one, if that could be read.
    pub id: Option<ErpId>,
    /// Why.
    pub reason: Unusable,
}

/// Why a record cannot be brought anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It has no code (yet): it is left alone until it has one.
    NoCode,
    /// Its code is none that Norce could hold, or another value cannot be read; in words without personal data.
    Unreadable(String),
}

impl NaturalKey {
    /// Which field it is a value of.
    pub const fn field(&self) -> KeyField {
        match self {
            Self::Email(_) => KeyField::Email,
            Self::Organisation(_) => KeyField::VatNumber,
        }
    }
}

/// A field by whose values records are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyField {
    /// E-mail address.
    Email,
    /// VAT number.
    VatNumber,
}

impl KeyField {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Email, Self::VatNumber];
}

impl fmt::Display for KeyField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Email => "e-mail address",
            Self::VatNumber => "VAT number",
        })
    }
}

/// What a filter of the ERP on a field was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterProof {
    /// It returns the records that have the value, and no others.
    Filters,
    /// It is refused.
    Refused,
    /// It returns records that do not have the value.
    Ignored,
    /// It does not return a record that has the value.
    MatchesNothing,
    /// No record has a value by which it could be tried.
    Unknown,
}

impl FilterProof {
    /// What the ERP does, after its name: "Business Central refuses a filter on it".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Filters => "filters by it",
            Self::Refused => "refuses a filter on it",
            Self::Ignored => "ignores a filter on it",
            Self::MatchesNothing => "finds nothing by a filter on it",
            Self::Unknown => "has shown no record with one by which its filter could be tried",
        }
    }
}

/// What makes a create recognisable when its answer is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The Norce entity for which the record is made.
    pub entity: EntityRef,
    /// The code that is asked for; `None` leaves it to the ERP's number series.
    pub code: Option<Code>,
}

/// How a create ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The record is new.
    Created(ErpRecord),
    /// A record with the asked-for code exists: an earlier attempt's, or somebody else's. The caller decides.
    AlreadyThere(ErpRecord),
    /// The request may have been carried out. The caller looks the record up and never simply repeats.
    Ambiguous {
        /// What happened, without personal data.
        reason: String,
    },
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// The record has the wanted values already; nothing was sent (P5).
    Unchanged(ErpRecord),
    /// The record was changed; this is what the server has now.
    Updated(ErpRecord),
    /// Somebody else changed the record since it was read: read again.
    Stale,
    /// The record does not exist any more.
    Gone,
}

/// What an ERP can and cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// For logs and messages.
    pub name: &'static str,
    /// Whether the organisation number has a field of its own.
    pub organisation_number: bool,
    /// Whether delivery addresses can be written, each with the telephone of whoever receives the goods.
    pub delivery_addresses: bool,
    /// Whether the Global Location Number of an address can be written, at least where the installation has a field for it.
    pub location_numbers: bool,
    /// The groups of fields that can be read from it, and so be owned by it.
    pub readable: FieldGroups,
    /// How it compares codes.
    pub code_case: CodeCase,
    /// Whether an update can be made conditional on the version that was read.
    pub optimistic_concurrency: bool,
    /// Whether a second create for the same entity certainly makes no second record, however the first one ended and
    /// whatever the entity looks like by now, also without a code that is asked for.
    pub creates_are_idempotent: bool,
    /// After this time a create whose answer was lost has either been carried out or never will be.
    pub create_settles_after: Duration,
}

/// A call to the ERP failed. Typed by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ErpError {
    /// It can work later: rate limit, time-out of a read, 5xx, no connection.
    #[error("the ERP cannot answer now ({reason}); try again{}", after.map(|after| format!(" after {} s", after.as_secs())).unwrap_or_default())]
    RetryAfter {
        /// How long the ERP asks to wait, where it says so.
        after: Option<Duration>,
        /// What happened, without personal data.
        reason: String,
    },
    /// The credentials are wrong or lack a right: a person must act, then a retry works.
    #[error(
        "the ERP refuses the credentials ({reason}); check the secret behind ERP_SECRET_ARN and the rights of the app in the ERP"
    )]
    Authentication {
        /// What happened, without secrets.
        reason: String,
    },
    /// The ERP, or this adapter on its behalf, refuses the record: it stays refused until the record or the ERP's
    /// set-up changes.
    #[error("the ERP refuses the record{}: {code}: {message}", field.map(|field| format!(" (field {field})")).unwrap_or_default())]
    Refused {
        /// The field, where it can be told.
        field: Option<&'static str>,
        /// The ERP's error code.
        code: String,
        /// The ERP's words, personal data removed.
        message: String,
    },
    /// A listing cannot go on from this place any more: it has to begin anew.
    #[error("the ERP does not know this place of the listing any more")]
    CursorExpired,
    /// The answer could not be read as what the fact sheets say it is.
    #[error("the ERP's answer cannot be read: {0}")]
    Unreadable(String),
}

/// Whether the records of the one can be related to those of the other.
pub fn same_company(one: &dyn Erp, other: &dyn Erp) -> bool {
    let companies = one.company().zip(other.company());
    companies.is_none_or(|(one, other)| one == other)
}

/// An ERP, as the use cases see it. One implementation serves one ERP company.
#[async_trait]
pub trait Erp: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// The id of the ERP company that its records belong to; `None`: to any company of the installation.
    fn company(&self) -> Option<String>;

    /// Reads a record by its immutable id; `None` when it is gone.
    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError>;

    /// Finds a record by its exact code.
    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError>;

    /// Finds the records of a kind whose normalised key is exactly this one: at most two are returned, because two
    /// are as ambiguous as a hundred. For a contact, only contacts of the same organisation count.
    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError>;

    /// The keys that the record of a party holds once it is created, the best first: an ERP may have no field for a
    /// number. Only by these can a create that was never answered be looked for.
    fn carried_keys(&self, party: &Party) -> Vec<NaturalKey>;

    /// What a filter on this field does, found out by trying it and then remembered. Only where it [filters](FilterProof)
    /// can [`find_by_key`](Self::find_by_key) and [`holders_of_keys`](Self::holders_of_keys) be relied upon;
    /// [`RecordFinder`](crate::record_finder::RecordFinder) sees to that.
    ///
    /// # Errors
    /// The ERP cannot answer now. That a filter is refused is no error.
    async fn key_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError>;

    /// Creates a record, sending the request at most once.
    ///
    /// # Errors
    /// Only when the ERP certainly has not created anything.
    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError>;

    /// Brings a record to the wanted values, sending only those that differ, on condition that it is still as it was
    /// `seen`.
    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError>;

    /// Closes a record for business: `ForgottenPolicy=block`.
    async fn block(&self, id: &ErpId, deadline: Deadline) -> Result<UpdateOutcome, ErpError>;

    /// Some records of a listing, from its beginning or from a place in it. Every record that is there throughout is
    /// returned at least once; one that changes meanwhile may be returned again.
    ///
    /// # Errors
    /// [`ErpError::CursorExpired`]: the listing has to begin anew.
    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError>;

    /// Reads many records by their immutable ids, in few requests and in any order; what is gone is missing from the
    /// answer. `fields` as in [`Listing::fields`].
    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError>;

    /// Which records have these natural keys, in few requests: every holder of every key, whatever its resource, as
    /// far as Norce counts it to this kind. So a value that two records have is found out.
    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError>;

    /// Which other records have the codes of these, in few requests: every other holder of every code, whatever its
    /// resource, as far as Norce counts it to this kind. In an ERP a customer and a contact can have the same code.
    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError>;

    /// The record of the organisation that contacts name by this key; `None`: there is none, or it cannot be told.
    async fn company_of(
        &self,
        key: &CompanyKey,
        deadline: Deadline,
    ) -> Result<Option<ErpId>, ErpError>;

    /// What contacts name the organisation of this record by: the way back from [`Self::company_of`]. `None`: it has no
    /// people, or is not there.
    async fn company_key(
        &self,
        company: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<CompanyKey>, ErpError>;

    /// Whether these credentials may create and change records; `None`: it does not tell before something is written.
    async fn may_write(&self, deadline: Deadline) -> Result<Option<bool>, ErpError>;

    /// The ERP's own time, where it tells one: watermarks are taken from it.
    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError>;
}
