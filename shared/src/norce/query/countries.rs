use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::rows::CountryRow;
use crate::{Since, domain::CountryCode, http::Deadline, norce::NorceError};

/// Countries come and go more slowly than functions do.
const FRESH: Duration = Duration::from_secs(12 * 60 * 60);

type Codes = Arc<HashMap<i64, CountryCode>>;

/// Norce's countries by id, kept for the life of the process and fetched by one caller at a time.
#[derive(Default)]
pub(super) struct Countries(Mutex<Option<(Since, Codes)>>);

impl Countries {
    pub(super) async fn code<F: Future<Output = Result<Vec<CountryRow>, NorceError>>>(
        &self,
        id: i64,
        fetch: impl FnOnce() -> F,
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
                // What is no ISO code is left out: an address without a country is better than none at all.
                let rows = fetch().await?;
                let codes = rows.iter().filter_map(CountryRow::read).collect();
                let codes = Codes::new(codes);
                *cached = Some((Since::now(), codes.clone()));
                codes
            }
        };
        Ok(codes.get(&id).copied())
    }
}
