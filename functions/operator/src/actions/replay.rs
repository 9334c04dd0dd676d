//! `replay`: checks entities as if an event had come for each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use shared::{
    domain::{ApplicationId, Cause, ChangeMessage, EntityKind, EntityRef, NorceId, Scope},
    http::Deadline,
};
use uuid::Uuid;

use crate::{
    error::Refusal,
    ports::Ports,
    sentence::{self, Sentence, say, words},
};

/// The maximum number of entities that one request sends: `change-events` needs some minutes for them, and the changes of
/// customers wait behind them.
const MAX_ENTITIES: usize = 2_000;
/// The longest time to read a page of Norce Query and send its entities.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(30);

/// The request: entities by name, or all that changed in a time range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReplayRequest {
    /// One entity, such as `customer/client/123`.
    pub entity: Option<String>,
    /// Several entities.
    pub entities: Vec<String>,
    /// All entities that changed at this time or later, by Norce's clock.
    #[serde(deserialize_with = "time")]
    pub since: Option<DateTime<Utc>>,
    /// The end of the time range.
    #[serde(deserialize_with = "time")]
    pub until: Option<DateTime<Utc>>,
    /// In a time range: customers or companies only.
    pub kind: Option<EntityKind>,
    /// In a time range: the scope of one application only.
    pub application: Option<ApplicationId>,
    /// `changed` by default; `ordered` also creates entities that are not in the ERP.
    pub cause: Option<Cause>,
    /// In a time range: where the previous answer stopped.
    pub after: Option<String>,
    /// Counts the entities without sending anything.
    pub dry_run: bool,
}

fn time<'de, D: Deserializer<'de>>(text: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(text)?;
    let time = text.map(|text| text.parse()).transpose();
    time.map_err(|_| D::Error::custom("no time"))
}

/// Whether a value is a time, as text.
pub(crate) fn time_of(value: &Value) -> bool {
    matches!(time(value), Ok(Some(_)))
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The number of entities sent.
    pub sent: usize,
    /// The correlation id of all of them in the logs.
    pub correlation: Uuid,
    /// The `after` of the next request; absent: the time range is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The progress of a walk over a time range.
struct Walk {
    sent: usize,
    place: Option<EntityRef>,
    is_done: bool,
}

impl Ports {
    pub(crate) async fn replay(
        &self,
        request: &ReplayRequest,
        deadline: Deadline,
    ) -> Result<Replayed, Refusal> {
        let correlation = Uuid::new_v4();
        let names: Vec<&String> = request.entity.iter().chain(&request.entities).collect();
        let (sent, after) = match (names.as_slice(), request.since) {
            ([], Some(since)) => {
                let walk = self.walk(request, since, correlation, deadline).await?;
                let after = walk.place.filter(|_| !walk.is_done);
                (walk.sent, after.map(|place| place.to_string()))
            }
            ([_, ..], None) => {
                if names.len() > MAX_ENTITIES {
                    return Err(Refusal::request(format!(
                        "{} entities are too many for one request: name at most {MAX_ENTITIES}",
                        names.len()
                    )));
                }
                let entities = names.iter().map(|name| self.entity(name));
                let entities: Vec<EntityRef> = entities.collect::<Result<_, _>>()?;
                self.send_again(request, &entities, correlation).await?;
                (entities.len(), None)
            }
            _ => {
                return Err(Refusal::request(
                    "name what to replay: `entity`, or `entities`, or a time range by `since` (and `until`), such as 2026-11-24T00:00:00Z",
                ));
            }
        };
        let summary = match request.dry_run {
            true => say!("replay-would", sent),
            false => say!("replay-sent", sent),
        };
        let rest = after.is_some().then(|| say!("more", field = "after"));
        Ok(Replayed {
            summary: summary.then(rest),
            sent,
            correlation,
            after,
        })
    }

    async fn send_again(
        &self,
        request: &ReplayRequest,
        entities: &[EntityRef],
        correlation: Uuid,
    ) -> Result<(), Refusal> {
        if request.dry_run || entities.is_empty() {
            return Ok(());
        }
        let received_at = self.change_events.clock.now();
        let messages: Vec<ChangeMessage> = entities
            .iter()
            .map(|entity| ChangeMessage::Entity {
                entity: *entity,
                cause: request.cause.unwrap_or(Cause::Changed),
                received_at,
                ordered_at: None,
                correlation,
            })
            .collect();
        let changes = &self.change_events.changes;
        Ok(changes.send(&messages, Duration::ZERO).await?)
    }

    /// Walks over the changed entities, scope by scope, until it is done or enough was sent.
    async fn walk(
        &self,
        request: &ReplayRequest,
        since: DateTime<Utc>,
        correlation: Uuid,
        deadline: Deadline,
    ) -> Result<Walk, Refusal> {
        let kinds = match request.kind {
            Some(kind) => vec![kind],
            None => vec![EntityKind::Company, EntityKind::Customer],
        };
        let scopes = self.scopes(request.application)?;
        let mut lists: Vec<(Scope, EntityKind)> = scopes
            .into_iter()
            .flat_map(|scope| kinds.iter().map(move |kind| (scope, *kind)))
            .collect();
        let place = request.after.as_deref().map(|after| self.entity(after));
        let place = place.transpose()?;
        if let Some(place) = place {
            let is_place = |list: &(Scope, EntityKind)| *list == (place.scope, place.kind);
            let at = lists.iter().position(is_place).ok_or_else(|| {
                Refusal::request("`after` is of another scope or kind than the request")
            })?;
            lists.drain(..at);
        }
        let mut walk = Walk {
            sent: 0,
            place,
            is_done: false,
        };
        for (scope, kind) in lists {
            let mut after: Option<NorceId> = walk
                .place
                .filter(|place| (place.scope, place.kind) == (scope, kind))
                .map(|place| place.id);
            loop {
                if walk.sent >= MAX_ENTITIES || !deadline.allows(TIME_OF_A_PAGE) {
                    // Without a place to continue from, the answer would say that the range is done.
                    return match walk.place {
                        Some(_) => Ok(walk),
                        None => Err(Refusal::Later(words(
                            "the time was up before anything was found: ask again",
                        ))),
                    };
                }
                let page = self
                    .change_events
                    .norce
                    .changed_since(kind, scope, Some(since), after, deadline)
                    .await?;
                let in_time = page.entities.iter().filter(|changed| {
                    let until = request.until.zip(changed.changed);
                    until.is_none_or(|(until, changed)| changed <= until)
                });
                let entities: Vec<EntityRef> = in_time
                    .map(|changed| EntityRef {
                        kind,
                        scope,
                        id: changed.id,
                    })
                    .collect();
                self.send_again(request, &entities, correlation).await?;
                walk.sent += entities.len();
                let last = page.next.or(page.entities.last().map(|last| last.id));
                if let Some(id) = last {
                    walk.place = Some(EntityRef { kind, scope, id });
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        walk.is_done = true;
        Ok(walk)
    }
}
