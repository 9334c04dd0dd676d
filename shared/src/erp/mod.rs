//! The ERP port: the calls that the use cases make to any ERP, without features of a single ERP.
//!
//! No ERP has idempotent creates of its own, and an answer can be lost after the ERP has acted (erp-apis §0, §1.11).
//! The outcomes reflect this: a create is never plainly an error once bytes were sent.

mod answer;
pub mod business_central;
mod country_setup;
mod email_field;
mod error;
pub mod events;
mod extra_fields;
mod fixed_kind;
mod fixed_values;
pub mod http;
mod key_filter;
mod mask;
pub mod odoo;
mod owned;
mod person_rule;
mod record;
mod sent;
mod token;
mod trial;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::events::EventSubscriptions;
use crate::{
    domain::{
        Address, Code, CodeCase, CountryCode, DeliveryAddress, EmailKey, EntityKind, EntityRef,
        FieldGroups, OrganisationKey, OrganisationNumber, PartyType, Personal, ShopFields,
        VatNumber,
    },
    http::Deadline,
    port::port,
};

pub use crate::domain::{ErpId, NaturalKey, Resource};
pub use country_setup::CountrySetup;
pub use error::ErpError;
pub use extra_fields::{ExtraFields, InvalidExtraFields};
pub use fixed_values::{
    ChosenValues, FixedField, FixedKind, FixedValue, FixedValues, InvalidFixedValues, UnknownValue,
};
pub use key_filter::{FilterProof, KeyField};
pub use person_rule::{InvalidPersonRule, PersonRule, under_rule};
pub use record::{CompanyKey, Cursor, ErpFields, ErpRecord, RecordPage, Unusable, UnusableRecord};
pub use sent::{
    SentCompany, changed_groups, company_hash, resend_all_marker, resend_marker, sent_company,
    with_company_id, with_same_company, with_sent_company,
};
pub use trial::{Sale, Trial};

/// The most records with one key that are compared with the mappings. A shared key has a few holders (a household, the
/// schools of a municipality); beyond this number a person decides.
const MAX_HOLDERS: usize = 20;

/// The type of a party in the ERP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartyKind {
    /// A customer that is a person.
    Person,
    /// A customer that is an organisation.
    Company,
    /// A contact of an organisation.
    Contact {
        /// The customer record of the organisation. `None`: an update of the contact does not move it.
        company: Option<ErpId>,
    },
}

impl PartyKind {
    /// The resource of the party's record.
    pub const fn resource(&self) -> Resource {
        match self {
            Self::Person | Self::Company => Resource::Customer,
            Self::Contact { .. } => Resource::Contact,
        }
    }

    /// The type, for settings that differ between the types.
    pub const fn party_type(&self) -> PartyType {
        match self {
            Self::Person => PartyType::Person,
            Self::Company => PartyType::Company,
            Self::Contact { .. } => PartyType::Contact,
        }
    }

    /// Whether the party is an organisation rather than a person.
    pub const fn is_organisation(&self) -> bool {
        matches!(self, Self::Company)
    }
}

/// The wanted state of a person, an organisation or a contact in the ERP, independent of the ERP's own fields.
///
/// `None` means that the shop does not know the value: the ERP keeps its own. The order of the fields is part of the
/// fingerprint: append, do not reorder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Person, organisation or contact.
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
    /// All delivery addresses. An ERP that takes them ([`Capabilities::delivery_addresses`]) has a record for each:
    /// [`Erp::create`] leaves them to the update that follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_addresses: Option<Vec<DeliveryAddress>>,
    /// Fields that an update clears because the shop has cleared them; each is `None` here. Not part of the fingerprint.
    #[serde(skip)]
    pub emptied: ShopFields,
    /// Fields that could not be read in the shop, so that their values are unknown.
    #[serde(skip)]
    pub unread: ShopFields,
    /// Global Location Number of the invoice address, where there is one and the ERP takes it
    /// ([`Capabilities::location_numbers`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gln: Option<Personal>,
    /// The country by which a number without letters is read where the address has none. Not part of the fingerprint.
    #[serde(skip)]
    pub default_country: Option<CountryCode>,
}

impl Party {
    /// The country of the party's numbers.
    pub fn country(&self) -> Option<CountryCode> {
        let country = self.address.as_ref().and_then(|address| address.country);
        country.or(self.default_country)
    }

    /// The key of the organisation number alone, without the VAT number.
    pub fn registered(&self) -> Option<OrganisationKey> {
        self.organisation_number.as_ref()?.key(self.country())
    }

    /// The keys by which the party's record can be found, the best first.
    pub fn keys(&self) -> Vec<NaturalKey> {
        match self.kind {
            PartyKind::Company => organisation_keys(
                self.organisation_number.as_ref(),
                self.vat_number.as_ref(),
                self.country(),
            ),
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

/// The scope of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Customers, or the people of organisations.
    pub resource: Resource,
    /// Of the customers, only the persons or only the organisations. `None`: both.
    pub kind: Option<EntityKind>,
    /// Only records that changed at this time or later, by the ERP's clock. `None`: all records. With
    /// [`CompanyRelations`](crate::domain::FieldGroup::CompanyRelations) among the fields, contacts that have left their
    /// organisation are listed as well, where they stay contacts.
    pub since: Option<DateTime<Utc>>,
    /// The groups of fields that are read besides id, code, type, whether the record is blocked, and the values by which
    /// it can be found in Norce. The rest of [`ErpFields`] may be missing.
    pub fields: FieldGroups,
}

impl NaturalKey {
    /// The field that holds the key.
    pub const fn field(&self) -> KeyField {
        match self {
            Self::Email(_) => KeyField::Email,
            Self::Organisation(_) => KeyField::VatNumber,
        }
    }
}

/// The values that identify the record of a create whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The Norce entity that the record is made for.
    pub entity: EntityRef,
    /// The requested code; `None` leaves it to the ERP's number series.
    pub code: Option<Code>,
}

/// The outcome of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The record is new and has the values that were sent.
    Created(ErpRecord),
    /// The record is new, and the ERP has put other values into it than those that were sent: an update has to follow.
    Altered(ErpRecord),
    /// A record with the requested code exists: from an earlier attempt, or somebody else's. The caller decides.
    AlreadyThere(ErpRecord),
    /// The request may have been carried out. The caller looks the record up and never simply repeats the create.
    Ambiguous {
        /// What happened, without personal data.
        reason: String,
    },
}

/// The outcome of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// The record has the wanted values already; nothing was sent (P5).
    Unchanged(ErpRecord),
    /// The record was changed; this is its new state on the server.
    Updated(ErpRecord),
    /// Somebody else has changed the record since it was read. Read it again.
    Stale,
    /// The record no longer exists.
    Gone,
}

/// The extent of a block. An ERP with a single kind of block uses it for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// For orders, shipments and invoices.
    Invoice,
    /// For everything, payments and refunds included.
    All,
}

/// The capabilities of an ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the organisation number has a field of its own.
    pub organisation_number: bool,
    /// Whether delivery addresses can be written, each with the recipient's telephone.
    pub delivery_addresses: bool,
    /// Whether the Global Location Number of an address can be written, at least where the installation has a field for
    /// it.
    pub location_numbers: bool,
    /// The groups of fields that can be read from the ERP, and so be owned by it.
    pub readable: FieldGroups,
    /// How the ERP compares codes.
    pub code_case: CodeCase,
    /// Whether an update can be made conditional on the version that was read.
    pub optimistic_concurrency: bool,
    /// Whether a second create for the same entity certainly makes no second record, also without a requested code, however
    /// the first create ended and whatever values the entity has by then.
    pub creates_are_idempotent: bool,
    /// The country of its company, where it is known: of addresses and numbers that name none.
    pub home_country: Option<CountryCode>,
    /// The time after which a create whose answer was lost has either been carried out or never will be.
    pub create_settles_after: Duration,
}

/// Whether records of both ERPs can be related to each other: they are of the same company, or one is of no company.
pub fn same_company(one: &dyn Erp, other: &dyn Erp) -> bool {
    let companies = one.company().zip(other.company());
    companies.is_none_or(|(one, other)| one == other)
}

port! {
    /// The port to an ERP. One implementation serves one company of the ERP.
    pub trait Erp, layer ErpLayer, error ErpError {
        /// The ERP's name, for messages and logs.
        fn name(&self) -> &'static str;

        /// The id of the ERP company that the records belong to. `None`: they may belong to any company of the installation.
        fn company(&self) -> Option<String>;

        /// The subscriptions to its events. `None`: it has none that are used.
        fn subscriptions(&self) -> Option<&dyn EventSubscriptions>;

        /// Whether a create leaves something of this party to [`complete`](Self::complete).
        fn needs_completing(&self, party: &Party) -> bool;

        reads:
        /// The capabilities of the ERP. An ERP that states them itself is asked once by each process.
        async fn capabilities(&self, deadline: Deadline) -> Result<&Capabilities, ErpError>;

        /// The keys that the record of a party holds after its create, the best first: an ERP may have no field for a number.
        /// The record of a create that was never answered can be found only by these.
        async fn carried_keys(
            &self,
            party: &Party,
            deadline: Deadline,
        ) -> Result<Vec<NaturalKey>, ErpError>;

        /// Reads a record by its immutable id; `None` when it no longer exists.
        async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError>;

        /// Finds records by their exact code.
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

        /// The effect of a filter on this field, found out by trying it once. [`find_by_key`](Self::find_by_key) and
        /// [`holders_of_keys`](Self::holders_of_keys) are reliable only where it [filters](FilterProof::Filters), which
        /// [`RecordFinder`](crate::record_finder::RecordFinder) checks.
        ///
        /// # Errors
        /// The ERP cannot answer now. A refused filter is not an error.
        async fn key_filter(
            &self,
            field: KeyField,
            deadline: Deadline,
        ) -> Result<FilterProof, ErpError>;

        /// A page of a listing, from its beginning or from a place in it. Every record that exists throughout the listing is
        /// returned at least once; one that changes meanwhile may be returned again.
        ///
        /// # Errors
        /// [`ErpError::CursorExpired`]: the listing has to start over.
        async fn page(
            &self,
            listing: &Listing,
            cursor: Option<&Cursor>,
            deadline: Deadline,
        ) -> Result<RecordPage, ErpError>;

        /// Reads many records by their immutable ids, in few requests and in any order. A record that is neither among those
        /// that could be read nor among those that cannot be used no longer exists; there is no next page. `fields` as in
        /// [`Listing::fields`].
        async fn get_many(
            &self,
            ids: &[ErpId],
            fields: FieldGroups,
            deadline: Deadline,
        ) -> Result<RecordPage, ErpError>;

        /// The records with these natural keys, in few requests: every holder of every key in any resource, as far as Norce
        /// has such a record as this kind. It shows which values two records share.
        async fn holders_of_keys(
            &self,
            kind: EntityKind,
            keys: &[NaturalKey],
            deadline: Deadline,
        ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError>;

        /// The other records with the codes of these, in few requests: every other holder of every code in any resource, as far
        /// as Norce has such a record as this kind. In an ERP a customer and a contact can have the same code.
        async fn other_holders_of_codes(
            &self,
            kind: EntityKind,
            records: &[(ErpId, Code)],
            deadline: Deadline,
        ) -> Result<Vec<(Code, ErpId)>, ErpError>;

        /// The record of the organisation with this key. `None`: there is none, or it cannot be determined.
        async fn company_of(
            &self,
            key: &CompanyKey,
            deadline: Deadline,
        ) -> Result<Option<ErpId>, ErpError>;

        /// The key by which contacts name the organisation of this record, the inverse of [`Self::company_of`]. `None`: it has
        /// no people, or does not exist.
        async fn company_key(
            &self,
            company: &ErpId,
            deadline: Deadline,
        ) -> Result<Option<CompanyKey>, ErpError>;

        /// Whether the credentials may create and change records. `None`: the ERP does not tell without a write.
        async fn may_write(&self, deadline: Deadline) -> Result<Option<bool>, ErpError>;

        /// The ERP's own time, from which watermarks are taken. `None`: the ERP does not tell.
        async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError>;

        /// The country of the ERP's company, and codes of countries that need configuration. `None`: the ERP does not tell.
        async fn country_setup(&self, deadline: Deadline) -> Result<Option<CountrySetup>, ErpError>;

        /// The values of [`FixedValues`] that the ERP does not have.
        async fn unknown_fixed_values(
            &self,
            deadline: Deadline,
        ) -> Result<Vec<UnknownValue>, ErpError>;

        writes:
        /// Creates a record, sending the request at most once.
        ///
        /// It sets the party's [`FixedValues`]. What the ERP takes only for a record that exists is left to
        /// [`complete`](Self::complete).
        ///
        /// # Errors
        /// Only when the ERP certainly has not created anything, as where it does not have a fixed value.
        async fn create(
            &self,
            key: &IdempotencyKey,
            party: &Party,
            deadline: Deadline,
        ) -> Result<CreateOutcome, ErpError>;

        /// Writes what a create has left of the party's record. It can be repeated, and changes nothing that the record
        /// has already. A record that is gone is not an error.
        async fn complete(
            &self,
            id: &ErpId,
            party: &Party,
            deadline: Deadline,
        ) -> Result<(), ErpError>;

        /// Gives a record the wanted values, sending only those that differ, on condition that it has not changed since it was
        /// `seen`. Fixed values are among them where their rule says so.
        async fn update(
            &self,
            seen: &ErpRecord,
            party: &Party,
            deadline: Deadline,
        ) -> Result<UpdateOutcome, ErpError>;

        /// Creates a record, checks that it has the sent values and can be sold to, and deletes it.
        ///
        /// # Errors
        /// Nothing was created, or it is not known; the message says what a person has to do.
        async fn trial(
            &self,
            key: &IdempotencyKey,
            party: &Party,
            deadline: Deadline,
        ) -> Result<Trial, ErpError>;

        /// Blocks a record, and the contact that the ERP keeps for the same person: [`ForgottenPolicy`]. Idempotent.
        ///
        /// [`ForgottenPolicy`]: crate::runtime::configuration::ForgottenPolicy
        async fn block(&self, id: &ErpId, block: Block, deadline: Deadline) -> Result<UpdateOutcome, ErpError>;
    }
}
