//! Questions about the set-up, for `doctor`.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    ops::Range,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::IgnoredAny};
use uuid::Uuid;

use super::{
    client::{QueryClient, about},
    countries::CountryRow,
    metadata::Metadata,
    rows::{
        AddressesRow, ChangedRow, CompanyRow, CustomerRow, EntityRow, FoundRow, IdRow, LoginsRow,
        OrderRow, RelationsRow,
    },
    sets::{APPLICATIONS, COMPANIES, COUNTRIES, CUSTOMERS, ORDERS, set_of},
};
use crate::{
    domain::{ApplicationId, EntityKind},
    http::{
        Deadline,
        odata::{Filter, Options},
    },
    norce::{NorceError, serde_utils},
};

/// The kinds of rows that are read, each with its set.
fn rows_that_are_read() -> [(&'static str, Options); 12] {
    [
        (CUSTOMERS, CustomerRow::options()),
        (CUSTOMERS, FoundRow::options(EntityKind::Customer)),
        (CUSTOMERS, ChangedRow::options(EntityKind::Customer)),
        (CUSTOMERS, RelationsRow::options()),
        (CUSTOMERS, LoginsRow::options()),
        (CUSTOMERS, AddressesRow::options(EntityKind::Customer)),
        (COMPANIES, AddressesRow::options(EntityKind::Company)),
        (COMPANIES, CompanyRow::options()),
        (COMPANIES, FoundRow::options(EntityKind::Company)),
        (COMPANIES, ChangedRow::options(EntityKind::Company)),
        (ORDERS, OrderRow::options()),
        (COUNTRIES, CountryRow::options()),
    ]
}

/// An application as Norce lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedApplication {
    /// The number.
    pub id: ApplicationId,
    /// The key that imports need. That `Core/Applications` has it is likely but not documented.
    pub key: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ApplicationRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    key: Option<Uuid>,
}

impl ApplicationRow {
    fn read(self) -> Result<ListedApplication, NorceError> {
        let id: ApplicationId = self
            .id
            .try_into()
            .map_err(|error| NorceError::Unreadable(format!("an application: {error}")))?;
        Ok(ListedApplication { id, key: self.key })
    }
}

impl QueryClient {
    /// The applications of this tenant, to check the configured ones against.
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn applications(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<ListedApplication>, NorceError> {
        let (options, id) = (Options::new(), |row: &ApplicationRow| row.id);
        let application = self.default_application();
        let rows = self
            .by_id
            .pages
            .every_by_id(APPLICATIONS, &options, id, application, deadline);
        rows.await?.into_iter().map(ApplicationRow::read).collect()
    }

    /// Whether any order was created in this period (`Created` was observed on orders, norce-api §10.3).
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_orders(
        &self,
        time: &Range<DateTime<Utc>>,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let made = Filter::ge("Created", time.start).and(Filter::lt("Created", time.end));
        self.has_any(ORDERS, made, deadline).await
    }

    /// Whether anybody other than the system account that submits the imports changed a customer or company in this
    /// period. That `UpdatedBy` is the account of an import is inferred (norce-api §5.2).
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_changes_by_others(
        &self,
        kind: EntityKind,
        account: i32,
        time: &Range<DateTime<Utc>>,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let changed = Filter::ge("Updated", time.start)
            .and(Filter::lt("Updated", time.end))
            .and(Filter::ne("UpdatedBy", account).or(Filter::is_null("UpdatedBy")));
        self.has_any(set_of(kind), changed, deadline).await
    }

    /// Whether an account has ever changed a customer or company. For the account of the imports this shows that Norce
    /// accepts imports from it; that `UpdatedBy` is that account is inferred (norce-api §5.2).
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_changes_by(
        &self,
        kind: EntityKind,
        account: i32,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let changed = Filter::eq("UpdatedBy", account);
        self.has_any(set_of(kind), changed, deadline).await
    }

    /// Whether any customer or company belongs to no application.
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_shared(
        &self,
        kind: EntityKind,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let shared = Filter::is_null("ApplicationId");
        self.has_any(set_of(kind), shared, deadline).await
    }

    async fn has_any(
        &self,
        set: &'static str,
        filter: Filter,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let options = Options::new().select(&["Id"]).filter(filter).top(1);
        let application = self.default_application();
        let rows: Vec<IdRow> = self
            .by_id
            .pages
            .some(set, &options, application, deadline)
            .await?;
        Ok(!rows.is_empty())
    }

    /// Reads one row of each kind and returns the parts that Query refuses, each with its set.
    ///
    /// # Errors
    /// [`NorceError`]: Query does not answer, or refuses a part that is required.
    pub async fn try_rows(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<(&'static str, &'static str)>, NorceError> {
        let application = self.default_application();
        for (set, options) in rows_that_are_read() {
            let options = options.top(1);
            self.by_id
                .pages
                .first_page::<IgnoredAny>(set, &options, application, deadline)
                .await
                .map_err(|error| about(set, error))?;
        }
        Ok(self.by_id.pages.left_out())
    }

    /// The fields and related rows that are read but missing from Query's own description (`$metadata`), each with its set.
    /// `None` if Query does not describe itself, which is optional.
    ///
    /// # Errors
    /// [`NorceError`]: Query does not answer.
    pub async fn undescribed(&self, deadline: Deadline) -> Result<Option<Vec<String>>, NorceError> {
        let application = self.default_application();
        let mut descriptions: HashMap<&str, Metadata> = HashMap::new();
        let mut undescribed = BTreeSet::new();
        for (path, options) in rows_that_are_read() {
            let Some((namespace, set)) = path.split_once('/') else {
                continue;
            };
            let description = match descriptions.entry(namespace) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let text = self.by_id.pages.metadata(namespace, application, deadline);
                    let text = match text.await {
                        Err(NorceError::Refused { .. }) => return Ok(None),
                        text => text?,
                    };
                    let Some(description) = Metadata::read(&text) else {
                        return Ok(None);
                    };
                    place.insert(description)
                }
            };
            let lacks = description.lacks(set, &options);
            undescribed.extend(lacks.into_iter().map(|name| format!("{name} of {path}")));
        }
        Ok(Some(undescribed.into_iter().collect()))
    }
}
