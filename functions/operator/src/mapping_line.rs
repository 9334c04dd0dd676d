//! Code mappings as JSON Lines in the reports bucket, which `export-mappings` writes and `import-mappings` reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    domain::{Code, EntityKind, EntityRef, ErpId, NorceId, Scope},
    mappings::{Binding, CodeDelivery},
};

/// The folder of exports and imports.
pub(crate) const FOLDER: &str = "mappings/";
/// The time that must be left to begin another page of an export, or another line of an import. A page is one read and one
/// object. A line is about six calls, one after the other (`functions/operator/README.md`, "An existing register"), each of which
/// usually takes a second or two. If it takes longer, the request fails and is repeated.
pub(crate) const TIME_OF_A_PAGE: Duration = Duration::from_secs(20);

/// A code mapping as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MappingLine {
    /// Customer or company.
    pub kind: EntityKind,
    /// The scope: `client`, or `app-<id>`.
    pub scope: Scope,
    /// Norce's id.
    pub id: NorceId,
    /// The ERP's code.
    pub code: Code,
    /// The ERP's record: its resource and its immutable id.
    pub erp: ErpId,
    /// The delivery of the code to Norce.
    #[serde(default)]
    pub delivery: Delivery,
}

/// The delivery of a code to Norce, without times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Not submitted yet: the entity's next change submits it.
    #[default]
    Pending,
    /// Submitted.
    HandedOver,
    /// Norce has the code.
    Confirmed,
    /// Norce refused the code.
    Refused,
}

impl MappingLine {
    pub(crate) fn new(entity: EntityRef, binding: Binding) -> Self {
        Self {
            kind: entity.kind,
            scope: entity.scope,
            id: entity.id,
            code: binding.code,
            erp: binding.erp_id,
            delivery: match binding.delivery {
                CodeDelivery::Pending => Delivery::Pending,
                CodeDelivery::HandedOver { .. } => Delivery::HandedOver,
                CodeDelivery::Confirmed { .. } => Delivery::Confirmed,
                CodeDelivery::Refused { .. } => Delivery::Refused,
            },
        }
    }

    pub(crate) fn entity(&self) -> EntityRef {
        EntityRef {
            kind: self.kind,
            scope: self.scope,
            id: self.id,
        }
    }
}
