//! Values and rules. Everything that comes from outside is parsed into these types at the edge, so that the code
//! behind the edge never has to ask again whether a value is well formed.

mod address;
mod applications;
mod breaker;
mod clock;
mod countries;
mod emptied;
mod entity;
mod erp_id;
mod fields;
mod fingerprint;
mod job;
mod kept;
mod keys;
mod messages;
mod order_text;
mod party_type;
mod personal;
mod redaction;
mod scrambled;
mod shop;

pub use address::{
    Address, AddressDetails, CountryCode, ErpDelivery, ErpDetail, NorceAddress, NorceAddresses,
};
pub use applications::{
    Application, ApplicationSettings, Applications, InvalidApplications, InvalidRegisters,
    Registers, UnknownApplication,
};
pub use breaker::{Breaker, FAILURES_UNTIL_OPEN, Permit};
pub use clock::{Clock, SystemClock};
pub use countries::{Countries, CountryCodes, InvalidCountryCodes};
pub use emptied::{KeptWhenEmptied, ShopField, ShopFields};
pub use entity::{ApplicationId, EntityKind, EntityRef, InvalidEntity, InvalidId, NorceId, Scope};
pub use erp_id::{ErpId, Resource};
pub use fields::{FieldGroup, FieldGroups, InvalidFieldGroup, Names, NorceFields};
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use job::JobId;
pub use kept::{FirstBindingWrites, KeptFields, PartyField};
pub use keys::{
    Code, CodeCase, CodePattern, EmailKey, ErpCodes, InvalidCode, InvalidCodePattern,
    InvalidErpCodes, NaturalKey, OrganisationKey, OrganisationNumber, VatNumber,
};
pub use messages::{
    Cause, ChangeMessage, ImportLine, ImportRequest, JobMessage, OrderKey, OutgoingOrder,
    PassMessage, PassMode, PassRequest,
};
pub use order_text::OrderText;
pub use party_type::{
    InvalidOwnedFields, InvalidSyncKinds, OwnedFields, PartyType, PartyTypes, SyncKinds,
};
pub use personal::Personal;
pub use redaction::{MAX_REDACTED_CHARS, redact, without_values};
pub use scrambled::{FormerEmail, Scrambling};
pub use shop::{
    Account, Company, CompanyRelation, Customer, DeliveryAddress, Flag, Order, OrderParty,
};
