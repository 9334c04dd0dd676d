//! Code mappings as JSON Lines in the reports bucket: what `export-mappings` writes and `import-mappings` reads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    domain::{Code, EntityKind, EntityRef, ErpId, NorceId, Scope},
    mappings::{Binding, CodeDelivery},
};

/// Where exports are left and imports are read from.
pub(crate) const FOLDER: &str = "mappings/";
/// The time that is left when another page of an export, or another line of an import, is begun. A page is one read and one
/// object. A line is six calls or so, one after the other (`functions/operator/README.md`, "An existing register"), each of them answered
/// within a second or two as a rule. What it does not suffice for ends as a failed request, which is repeated.
pub(crate) const TIME_OF_A_PAGE: Duration = Duration::from_secs(20);

/// A code mapping as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MappingLine {
    /// Customer or company.
    pub kind: EntityKind,
    /// The register: `client`, or `app-<id>`.
    pub scope: Scope,
    /// Norce's id.
    pub id: NorceId,
    /// The ERP's code.
    pub code: Code,
    /// The ERP's record: its resource and its immutable id.
    pub erp: ErpId,
    /// How far the code's way to Norce has come.
    #[serde(default)]
    pub delivery: Delivery,
}

/// How far a code's way to Norce has come, without times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Not handed over: the entity's next change does it.
    #[default]
    Pending,
    /// On its way.
    HandedOver,
    /// Norce has it.
    Confirmed,
    /// Norce refused it.
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
