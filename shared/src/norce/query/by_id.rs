//! Reads of rows by their ids.

use std::{collections::HashMap, sync::Arc};

use serde::de::DeserializeOwned;

use super::{batch::Batch, pages::Pages, rows::EntityRow, sets::set_of};
use crate::{
    domain::{ApplicationId, EntityKind, NorceId, Scope},
    gather::Gather,
    http::{
        Deadline,
        odata::{Filter, Options},
    },
    norce::NorceError,
};

/// Reads rows by their ids, or by other filters that may be too long.
#[derive(Clone)]
pub(super) struct ById {
    pub(super) pages: Arc<Pages>,
    pub(super) batch: Arc<Batch>,
    /// The application in whose name the rows of shared scopes are read.
    pub(super) default_application: ApplicationId,
}

/// The rows of customers or of companies, in any scope, by their ids; gathered by the scope of the reader, and the deadline.
pub(super) type Entities<R> = Gather<(Scope, Deadline), NorceId, Vec<R>, NorceError>;

impl ById {
    pub(super) fn application(&self, scope: Scope) -> ApplicationId {
        scope.application().unwrap_or(self.default_application)
    }

    /// The rows with these ids, in any scope, in as few requests as Norce accepts.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        kind: EntityKind,
        scope: Scope,
        options: &Options,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut rest = ids;
        while !rest.is_empty() {
            let (some, later) = rest.split_at(rest.len().min(self.batch.size()));
            let filter = Filter::any_of("Id", some.iter().copied());
            let options = filter.map(|filter| options.clone().filter(filter));
            let rows: Option<Vec<T>> = self
                .in_batch(kind, scope, options, some.len(), deadline)
                .await?;
            // Refused because it was too long; the next batch is smaller.
            let Some(rows) = rows else { continue };
            rest = later;
            found.extend(rows);
        }
        Ok(found)
    }

    /// The rows of a batch of `asked` records; `None` if the filter was too long and the batch has to be smaller.
    pub(super) async fn in_batch<T: DeserializeOwned>(
        &self,
        kind: EntityKind,
        scope: Scope,
        options: Option<Options>,
        asked: usize,
        deadline: Deadline,
    ) -> Result<Option<Vec<T>>, NorceError> {
        let Some(options) = options else {
            return Ok(Some(Vec::new()));
        };
        let application = self.application(scope);
        match self
            .pages
            .every(set_of(kind), &options, application, deadline)
            .await
        {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if self.batch.shrinks(asked, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gathers reads of single entities into one request for each scope and deadline. The messages of an invocation have one
    /// deadline.
    pub(super) fn gather<R: EntityRow>(&self, kind: EntityKind) -> Entities<R> {
        let by_id = self.clone();
        let read = move |group, ids| by_id.clone().entities(kind, group, ids);
        // Where Norce says how long to wait, fewer ids would have to wait as well.
        Gather::new(read, |error| {
            !matches!(error, NorceError::RetryAfter { after: Some(_), .. })
        })
    }

    async fn entities<R: EntityRow>(
        self,
        kind: EntityKind,
        (scope, deadline): (Scope, Deadline),
        ids: Vec<NorceId>,
    ) -> Result<HashMap<NorceId, Vec<R>>, NorceError> {
        let options = R::options();
        let rows: Vec<R> = self.rows(kind, scope, &options, &ids, deadline).await?;
        let mut found: HashMap<NorceId, Vec<R>> = HashMap::with_capacity(rows.len());
        for row in rows {
            found.entry(row.id()?).or_default().push(row);
        }
        Ok(found)
    }
}
