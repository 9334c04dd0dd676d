//! Records of Business Central that cannot be used for a while.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use shared::http::{Transport, TransportError};
use uuid::Uuid;

/// The ids of the records that cannot be used now, each with what is answered as its number.
#[derive(Debug, Clone, Default)]
pub struct Unreadable(Arc<Mutex<BTreeMap<String, Value>>>);

impl Unreadable {
    /// From now on, this record is answered without a number.
    pub fn spoil(&self, record: Uuid) {
        self.records(|records| records.insert(record.to_string(), Value::Null));
    }

    /// From now on, this record is answered with an empty number.
    pub fn take_code(&self, record: Uuid) {
        self.records(|records| records.insert(record.to_string(), "".into()));
    }

    /// From now on, it is answered as it is.
    pub fn mend(&self, record: Uuid) {
        self.records(|records| records.remove(&record.to_string()));
    }

    /// A transport on which they cannot be read.
    pub fn around(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Spoiling {
            transport,
            unreadable: self.clone(),
        })
    }

    fn records<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Value>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn spoil_rows(&self, body: &mut Value) {
        match body {
            Value::Array(rows) => rows.iter_mut().for_each(|row| self.spoil_rows(row)),
            Value::Object(row) => {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
                let number = self.records(|records| records.get(id).cloned());
                if let Some(there) = row.get_mut("number")
                    && let Some(number) = number
                {
                    *there = number;
                }
                row.values_mut().for_each(|value| self.spoil_rows(value));
            }
            _ => {}
        }
    }
}

struct Spoiling {
    transport: Arc<dyn Transport>,
    unreadable: Unreadable,
}

#[async_trait]
impl Transport for Spoiling {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let response = self.transport.send(request, timeout).await?;
        Ok(response.map(|body| match serde_json::from_slice(&body) {
            Ok(mut json) => {
                self.unreadable.spoil_rows(&mut json);
                Bytes::from(json.to_string())
            }
            Err(_) => body,
        }))
    }
}
