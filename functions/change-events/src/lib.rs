//! `change-events`: brings what happened in the shop to the ERP, and hands the ERP's codes to the imports queue.
//!
//! A message only says that something may have happened. For each one the entity is fetched afresh from Norce Query
//! and `entity` decides: create, update, bind, forget, or nothing. `order` turns an order into its buyer and payer, and
//! `hand_on` hands an order that was posted to us on, once they have their codes.
//!
//! Any invocation can be cut off between any two awaits and its message delivered again; the order of the steps in
//! `create` is what keeps one Norce entity at one ERP record all the same (P2).

mod by_hand;
mod candidates;
mod configuration;
mod create;
mod emptied;
mod entity;
mod failure;
mod forget;
mod gone;
mod hand_on;
mod kept;
mod key_index;
mod merge;
mod order;
mod party;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use async_trait::async_trait;
use shared::{
    domain::{Cause, ChangeMessage, Clock, EntityRef, FingerprintKey, ImportRequest, Scope, Shops},
    erp::Erp,
    http::Deadline,
    mappings::Mappings,
    mappings::key_index::KeyIndex,
    norce::NorceQuery,
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
    queues::Queue,
    runtime::{
        batch::{Handler, Outcome, Received},
        configuration::SyncPolicy,
        metrics::{Metric, Metrics},
    },
};

use uuid::Uuid;

use crate::failure::Failure;
pub use crate::{
    by_hand::{Claim, RecordName},
    configuration::{Configuration, OrderSettings},
    failure::WaitsFor,
    hand_on::HandOn,
};

/// The use case with everything that it needs.
pub struct ChangeEvents {
    /// Reads Norce.
    pub norce: Arc<dyn NorceQuery>,
    /// The ERP company behind each scope.
    pub erps: HashMap<Scope, Arc<dyn Erp>>,
    /// The code mappings.
    pub mappings: Arc<dyn Mappings>,
    /// Which records of the ERP hold a natural key.
    pub key_index: Arc<dyn KeyIndex>,
    /// Records that cannot be synced yet.
    pub owed: Arc<dyn OwedRecords>,
    /// More of the messages that are handled here.
    pub changes: Arc<dyn Queue<ChangeMessage>>,
    /// Codes on their way to Norce.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The key of the fingerprints.
    pub fingerprints: FingerprintKey,
    /// Which shops there are.
    pub shops: Shops,
    /// What to do with what comes from them.
    pub policy: SyncPolicy,
    /// Hands orders on; `None`: they are not for us (`ORDER_RECEIVER`).
    pub orders: Option<HandOn>,
    /// What an invocation measures.
    pub metrics: Metrics,
}

/// What was done about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// For the metrics: a value of [`Metric::Changes`]'s second dimension.
    outcome: &'static str,
    /// For the log and for people.
    words: Cow<'static, str>,
}

impl Done {
    fn new(outcome: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            outcome,
            words: words.into(),
        }
    }

    /// There was nothing to do.
    fn nothing(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new("nothing", words)
    }
}

#[async_trait]
impl Handler<ChangeMessage> for ChangeEvents {
    async fn handle(&self, received: Received<ChangeMessage>, deadline: Deadline) -> Outcome {
        let Received {
            message,
            receive_count,
        } = received;
        let correlation = message.correlation();
        let subject = message.group();
        let result = match message {
            ChangeMessage::Entity {
                entity,
                cause,
                received_at,
                ordered_at,
                correlation,
            } => {
                let change = entity::Change {
                    entity,
                    cause,
                    received_at,
                    ordered_at,
                    correlation,
                    receive_count,
                };
                self.entity(&change, deadline).await
            }
            ChangeMessage::Order {
                order,
                application,
                received_at,
                correlation,
            } => {
                let change = order::OrderChange {
                    key: &order,
                    application,
                    received_at,
                    correlation,
                    receive_count,
                };
                self.order(&change, deadline).await
            }
        };
        let outcome = match &result {
            Ok(done) => done.outcome,
            Err(Failure::Owed { .. }) => "owed",
            Err(Failure::Later { .. }) => "deferred",
        };
        self.metrics.count(Metric::Changes, outcome);
        match result {
            Ok(done) => {
                tracing::info!(subject, outcome = %done.words, %correlation, "change handled");
                Outcome::Done
            }
            Err(Failure::Owed { reason, detail }) => {
                tracing::warn!(subject, reason = reason.as_str(), detail, %correlation, "change is owed");
                Outcome::Done
            }
            Err(Failure::Later {
                waits_for,
                at_least,
                reason,
            }) => Outcome::RetryAfter {
                at_least,
                reason: format!("{reason} (waits for {})", waits_for.as_str()),
            },
        }
    }
}

/// What a look at an entity came to, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The ERP is in step now, or already was.
    Done {
        /// What came of it, as a class: `created`, `bound`, `updated`, `unchanged`, `forgotten`, or `nothing`.
        outcome: &'static str,
        /// A clause for a log line or a person, such as `created in the ERP as C00042`.
        words: String,
    },
    /// It stays undone until somebody acts.
    Owed {
        /// Why, as a class.
        reason: Reason,
        /// Why, in words without personal data, and what to do.
        detail: String,
    },
    /// It can work later; in words.
    Later(String),
}

impl From<Result<Done, Failure>> for Verdict {
    fn from(result: Result<Done, Failure>) -> Self {
        match result {
            Ok(Done { outcome, words }) => Self::Done {
                outcome,
                words: words.into_owned(),
            },
            Err(Failure::Owed { reason, detail }) => Self::Owed { reason, detail },
            Err(Failure::Later { reason, .. }) => Self::Later(reason),
        }
    }
}

/// A look by hand is no delivery of a message: what Norce does not have now counts as gone.
const AS_IF_LOOKED_OFTEN: u32 = u32::MAX;

impl ChangeEvents {
    /// Looks at an entity as if an event had come now.
    pub async fn look_at(&self, entity: EntityRef, cause: Cause, deadline: Deadline) -> Verdict {
        let change = self.now(entity, cause);
        self.entity(&change, deadline).await.into()
    }

    fn now(&self, entity: EntityRef, cause: Cause) -> entity::Change {
        entity::Change {
            entity,
            cause,
            received_at: self.clock.now(),
            ordered_at: None,
            correlation: Uuid::new_v4(),
            receive_count: AS_IF_LOOKED_OFTEN,
        }
    }

    /// Forgets a customer as if Norce had said so (P12), whatever Norce says.
    pub async fn forget_by_hand(&self, entity: EntityRef, deadline: Deadline) -> Verdict {
        let change = self.now(entity, Cause::Changed);
        let result = match self.mappings.get(entity).await {
            Ok(mapping) => self.forget(&change, mapping.as_ref(), deadline).await,
            Err(error) => Err(error.into()),
        };
        let subject = Subject::Entity(entity);
        self.note_owed(subject, None, result, change.correlation)
            .await
            .into()
    }

    /// Keeps the list of what is owed true: a failure that stays is put on it, a success takes the subject off it.
    async fn note_owed(
        &self,
        subject: Subject,
        cause: Option<Cause>,
        result: Result<Done, Failure>,
        correlation: Uuid,
    ) -> Result<Done, Failure> {
        match &result {
            Ok(_) => {
                self.owed.resolve(&subject, Stage::ToErp).await?;
            }
            Err(Failure::Owed { reason, detail }) => {
                self.owed
                    .put(NewOwed {
                        subject,
                        stage: Stage::ToErp,
                        reason: *reason,
                        detail: detail.clone(),
                        code: None,
                        at: self.clock.now(),
                        correlation,
                        cause,
                    })
                    .await?;
            }
            Err(Failure::Later { .. }) => {}
        }
        result
    }
}
