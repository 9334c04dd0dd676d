use serde::Deserialize;

use crate::{
    domain::{
        Address, AddressDetails, CountryCode, DeliveryAddress, EntityKind, NorceAddress, Personal,
    },
    http::odata::Options,
    norce::serde_utils,
};

/// The default `TypeId` of invoice addresses. Norce's numbers are not documented: compare with an address of a known
/// customer.
pub const DEFAULT_INVOICE_ADDRESS_TYPE: i64 = 1;
/// The default `TypeId` of delivery addresses; likewise.
pub const DEFAULT_DELIVERY_ADDRESS_TYPE: i64 = 2;

/// The `TypeId`s of addresses in Query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressTypes {
    /// Invoice addresses. A customer or company without one is invoiced at its oldest address.
    pub invoice: i64,
    /// Delivery addresses.
    pub delivery: i64,
}

impl Default for AddressTypes {
    fn default() -> Self {
        Self {
            invoice: DEFAULT_INVOICE_ADDRESS_TYPE,
            delivery: DEFAULT_DELIVERY_ADDRESS_TYPE,
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddressRow {
    #[serde(deserialize_with = "serde_utils::id")]
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "serde_utils::optional_id")]
    type_id: Option<i64>,
    care_of: Option<String>,
    address_line1: Option<String>,
    address_line2: Option<String>,
    zip_code: Option<String>,
    city: Option<String>,
    region: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    pub(crate) country_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::optional_text")]
    gln: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::optional_text")]
    shipping_phone_number: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::optional_text")]
    code: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::optional_bool")]
    is_primary: Option<bool>,
}

impl AddressRow {
    /// Fields of an import that were not seen in Query's documentation of addresses (norce-api §5.2).
    pub(super) const OPTIONAL: &[&str] = &[
        "Addresses/Gln",
        "Addresses/ShippingPhoneNumber",
        "Addresses/Code",
        "Addresses/IsPrimary",
    ];

    pub(super) fn options(kind: EntityKind) -> Options {
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
            // The fields of a company's addresses are not documented: all of them are read.
            EntityKind::Company => Options::new(),
        }
    }

    /// The parts that are not postal.
    pub(crate) fn details(&self) -> AddressDetails {
        let text = |text: &Option<String>| text.as_ref().and_then(Personal::parse);
        AddressDetails {
            gln: text(&self.gln),
            phone: text(&self.shipping_phone_number),
            code: text(&self.code),
            primary: self.is_primary,
        }
    }

    /// The whole address, even without a postal part.
    pub(crate) fn whole(&self, country: Option<CountryCode>) -> NorceAddress {
        NorceAddress {
            address: self.read(country).unwrap_or_default(),
            details: self.details(),
        }
    }

    pub(crate) fn read(&self, country: Option<CountryCode>) -> Option<Address> {
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

/// The addresses of a customer or company by type.
#[derive(Default)]
pub(crate) struct Addresses {
    pub(crate) invoice: Option<Address>,
    pub(crate) invoice_details: AddressDetails,
    pub(crate) deliveries: Vec<DeliveryAddress>,
}

/// The addresses of a type, the oldest first, independent of Norce's order.
pub(crate) fn of_type(addresses: &[AddressRow], type_id: i64) -> Vec<&AddressRow> {
    let of_type = |address: &&AddressRow| address.type_id == Some(type_id);
    let mut addresses: Vec<&AddressRow> = addresses.iter().filter(of_type).collect();
    addresses.sort_by_key(|address| address.id);
    addresses
}

/// The delivery addresses, the primary one first and then the oldest.
pub(crate) fn delivery_addresses(addresses: &[AddressRow], delivery: i64) -> Vec<&AddressRow> {
    let mut deliveries = of_type(addresses, delivery);
    deliveries.sort_by_key(|address| address.is_primary != Some(true));
    deliveries
}

/// The oldest address of the invoice type, else the oldest of any type, independent of Norce's order.
pub(crate) fn invoice_address(addresses: &[AddressRow], invoice: i64) -> Option<&AddressRow> {
    addresses
        .iter()
        .min_by_key(|address| (address.type_id != Some(invoice), address.id))
}
