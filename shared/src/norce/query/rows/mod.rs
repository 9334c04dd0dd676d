//! Rows as Query writes them (norce-api §5.2, §10.3), and their translation into values of the domain.
//!
//! A field may be missing, unless records could not be told apart or a person not be protected without it. An id is
//! read as a number or as a text (norce-api §5.1), through [`serde_utils`](crate::norce::serde_utils).

mod address;
mod company;
mod customer;
mod entity;
mod look_up;
mod order;
mod related;
mod values;

pub(crate) use address::{AddressRow, Addresses, delivery_addresses, invoice_address, of_type};
pub use address::{AddressTypes, DEFAULT_DELIVERY_ADDRESS_TYPE, DEFAULT_INVOICE_ADDRESS_TYPE};
pub(crate) use company::CompanyRow;
pub(crate) use customer::{CustomerRow, LoginsRow, RelationsRow};
pub(crate) use entity::EntityRow;
pub(crate) use look_up::{AddressesRow, ChangedRow, CodeRow, EmailRow, FoundRow};
pub(crate) use order::OrderRow;
pub(crate) use related::Related;
pub(crate) use values::{IdRow, norce_id};
