//! States and counties: records of their own, which an address refers to by id and people know by name (erp-apis §2.4).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::json;

use super::{client::Client, record::Row};
use crate::{domain::Personal, erp::ErpError, http::Deadline};

const MODEL: &str = "res.country.state";

/// The names of the states that were looked up before: they rarely change, and most addresses share a few.
#[derive(Debug, Default)]
pub(super) struct States(Mutex<HashMap<i64, String>>);

impl States {
    /// The names of states by their ids.
    pub(super) async fn named(
        &self,
        ids: BTreeSet<i64>,
        client: &Client,
        deadline: Deadline,
    ) -> Result<HashMap<i64, String>, ErpError> {
        let unknown: Vec<i64> = {
            let known = self.lock();
            let ids = ids.iter().copied();
            ids.filter(|id| !known.contains_key(id)).collect()
        };
        if !unknown.is_empty() {
            let arguments = json!({
                "domain": [["id", "in", unknown]],
                "fields": ["name"],
                "context": { "active_test": false, "lang": "en_US" },
            });
            let states = client.search_read(MODEL, &arguments, deadline).await?;
            let names = states
                .iter()
                .filter_map(|state| Some((state.id()?, state.text("name")?.to_owned())));
            self.lock().extend(names);
        }
        let known = self.lock();
        let named = ids
            .into_iter()
            .filter_map(|id| Some((id, known.get(&id)?.clone())));
        Ok(named.collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of the state of a country with this code or name. `None`: Odoo does not list it, and the address goes without
/// it.
pub(super) async fn state_of(
    country: i64,
    region: &Personal,
    client: &Client,
    deadline: Deadline,
) -> Result<Option<i64>, ErpError> {
    let region = region.expose();
    // `=ilike` treats them as wildcards.
    if region.contains(['%', '_', '\\']) {
        return Ok(None);
    }
    let arguments = json!({
        "domain": [["country_id", "=", country], "|", ["code", "=ilike", region], ["name", "=ilike", region]],
        "fields": ["code"],
        "limit": 1,
    });
    let states = client.search_read(MODEL, &arguments, deadline);
    Ok(states.await?.first().and_then(Row::id))
}
