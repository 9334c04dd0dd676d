use serde::Deserialize;

use crate::{
    domain::{Code, EntityRef, Flag, NorceId, Personal},
    norce::{NorceError, serde_utils},
};

/// An id of Norce, which is always positive.
pub(crate) fn norce_id(id: i64, what: impl std::fmt::Display) -> Result<NorceId, NorceError> {
    NorceId::try_from(id).map_err(|error| NorceError::Unreadable(format!("{what}: {error}")))
}

pub(super) fn code(text: Option<String>, entity: EntityRef) -> Result<Option<Code>, NorceError> {
    text.filter(|text| !text.trim().is_empty())
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| NorceError::Unreadable(format!("{entity}: its code: {error}")))
}

pub(super) fn personal(text: Option<String>) -> Option<Personal> {
    text.and_then(Personal::parse)
}

/// The id of a party, if there is one that can be an id.
pub(super) fn party_id(id: Option<i64>) -> Option<NorceId> {
    id.and_then(|id| NorceId::try_from(id).ok())
}

/// A row of which only the existence matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IdRow {
    #[serde(rename = "Id", deserialize_with = "serde_utils::id")]
    _id: i64,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FlagRow {
    #[serde(default, deserialize_with = "serde_utils::optional_id")]
    flag_id: Option<i64>,
    is_active: Option<bool>,
}

impl FlagRow {
    pub(super) fn read(&self) -> Option<Flag> {
        Some(Flag {
            id: self.flag_id?,
            active: self.is_active.unwrap_or(true),
        })
    }
}
