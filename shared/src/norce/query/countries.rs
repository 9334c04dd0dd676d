//! Norce's countries, cached.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::sync::Mutex;

use super::{pages::Pages, sets::COUNTRIES};
use crate::{
    Since,
    domain::{ApplicationId, CountryCode},
    http::{Deadline, odata::Options},
    norce::{NorceError, serde_utils},
};

/// How long the list is used. Countries change less often than processes are replaced.
const FRESH: Duration = Duration::from_secs(12 * 60 * 60);

type Codes = Arc<HashMap<i64, CountryCode>>;

/// The countries by id, kept for the life of the process and fetched by one caller at a time.
#[derive(Default)]
pub(super) struct Countries(Mutex<Option<(Since, Codes)>>);

impl Countries {
    /// The ISO code of a country; `None` if Norce lists none.
    pub(super) async fn code(
        &self,
        id: i64,
        pages: &Pages,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Option<CountryCode>, NorceError> {
        let mut cached = tokio::time::timeout(deadline.remaining(), self.0.lock())
            .await
            .map_err(|_| NorceError::RetryAfter {
                after: None,
                reason: "no time is left".to_owned(),
            })?;
        let codes = match &*cached {
            Some((fetched, codes)) if fetched.elapsed() < FRESH => codes.clone(),
            _ => {
                let (options, id) = (CountryRow::options(), |row: &CountryRow| row.id);
                let rows = pages.every_by_id(COUNTRIES, &options, id, application, deadline);
                // A code that is not an ISO code is left out: an address without a country is better than no address.
                let codes = rows.await?.iter().filter_map(CountryRow::read).collect();
                let codes = Codes::new(codes);
                *cached = Some((Since::now(), codes.clone()));
                codes
            }
        };
        Ok(codes.get(&id).copied())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CountryRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    code: Option<String>,
}

impl CountryRow {
    pub(super) fn options() -> Options {
        Options::new().select(&["Id", "Code"])
    }

    fn read(&self) -> Option<(i64, CountryCode)> {
        Some((self.id, self.code.as_deref()?.parse().ok()?))
    }
}
