use serde::de::DeserializeOwned;

use super::{
    address::{AddressRow, Addresses},
    related::Related,
};
use crate::{
    domain::{EntityKind, EntityRef, NorceId, ShopFields},
    http::odata::Options,
    norce::NorceError,
};

/// The row of a customer or a company.
pub(crate) trait EntityRow: Clone + DeserializeOwned + Send + Sync + 'static {
    /// The value that the row is read as.
    type Entity;

    /// The entity set.
    const SET: &'static str;

    /// The fields and related rows to request.
    fn options() -> Options;

    /// Norce's id.
    fn id(&self) -> Result<NorceId, NorceError>;

    /// The application that the entity belongs to; `None`: to all of them.
    fn application_id(&self) -> Option<i64>;

    /// The rows of the addresses.
    fn addresses(&self) -> &[AddressRow];

    /// The related entities.
    fn related(&self) -> Vec<(EntityKind, NorceId)>;

    /// Reads the row. `unread`: the fields that Query does not return.
    fn read(
        self,
        entity: EntityRef,
        addresses: Addresses,
        related: &Related,
        unread: ShopFields,
    ) -> Result<Self::Entity, NorceError>;
}
