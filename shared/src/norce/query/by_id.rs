//! Reads of rows by their ids.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;

use super::{batch::Batch, pages::Pages, rows::EntityRow, sets::set_of};
use crate::{
    domain::{ApplicationId, EntityKind, EntityRef, NorceId, Scope},
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

/// An entity that is read, and by when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) entity: EntityRef,
    pub(super) deadline: Deadline,
}

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
    pub(super) fn gather<R: EntityRow>(&self) -> Gather<Wanted, R, NorceError> {
        let by_id = self.clone();
        Gather::new(move |wanted| by_id.clone().entities(wanted))
    }

    async fn entities<R: EntityRow>(
        self,
        wanted: Vec<Wanted>,
    ) -> Result<HashMap<Wanted, R>, NorceError> {
        let mut requests: HashMap<_, Vec<NorceId>> = HashMap::new();
        for Wanted { entity, deadline } in wanted {
            let ids = requests.entry((entity.kind, entity.scope, deadline));
            ids.or_default().push(entity.id);
        }
        let requests = requests.into_iter().map(async |(request, ids)| {
            let (kind, scope, deadline) = request;
            let rows: Vec<R> = self
                .rows(kind, scope, &R::options(), &ids, deadline)
                .await?;
            let of_row = |row: R| {
                let id = row.id()?;
                let entity = EntityRef { kind, scope, id };
                Ok((Wanted { entity, deadline }, row))
            };
            let rows = rows.into_iter().map(of_row);
            rows.collect::<Result<Vec<_>, NorceError>>()
        });
        let rows = try_join_all(requests).await?;
        Ok(rows.into_iter().flatten().collect())
    }
}
