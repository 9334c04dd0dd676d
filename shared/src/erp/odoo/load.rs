//! `load`, Odoo's import of rows. Each row has an external id, so that a repeat finds the record that an earlier import
//! has made. It answers HTTP 200 when it refuses (erp-apis §2.4).

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use crate::{
    erp::{
        ErpError,
        answer::CallError,
        mask::{Mask, masked},
    },
    http::{Deadline, Idempotency},
};

/// The module of our external ids.
pub(super) const MODULE: &str = "norce";

#[derive(Default, Deserialize)]
pub(super) struct Loaded {
    /// The ids of the records; `false` when nothing was loaded.
    ids: Value,
    #[serde(default)]
    messages: Vec<LoadMessage>,
}

#[derive(Deserialize)]
struct LoadMessage {
    #[serde(default)]
    message: String,
}

impl Loaded {
    pub(super) fn is_done(&self) -> bool {
        self.ids.is_array()
    }

    /// The id of the first record.
    pub(super) fn id(&self) -> Option<i64> {
        self.ids.as_array()?.first()?.as_i64()
    }

    /// The error when nothing was loaded, with Odoo's messages.
    pub(super) fn into_refusal(self, mask: &Mask<'_>) -> ErpError {
        let messages = self.messages.iter();
        let messages: Vec<String> = messages.map(|it| masked(&it.message, mask)).collect();
        ErpError::Refused {
            field: None,
            code: "Odoo".to_owned(),
            message: messages.join("; "),
        }
    }
}

impl Client {
    /// Imports partners, sending the request at most once: Odoo would refuse a second one while the first is running.
    pub(super) async fn load(
        &self,
        columns: &[impl AsRef<str> + Sync],
        rows: &[Vec<Value>],
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<Loaded, CallError> {
        let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
        let arguments = json!({ "fields": columns, "data": rows });
        let loaded = self.write(
            "res.partner",
            "load",
            &arguments,
            Idempotency::NonIdempotent,
            mask,
            deadline,
        );
        Ok(loaded.await?.unwrap_or_default())
    }
}
