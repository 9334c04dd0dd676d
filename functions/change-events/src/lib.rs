//! `change-events`: carries changes in the shop over to the ERP, and hands the ERP's codes to the imports queue.
//!
//! A message only says that something may have happened. For each one the entity is fetched afresh from Norce Query
//! and `entity` decides: create, update, bind, forget, or nothing. `order` sends a message about the buyer and the payer of an
//! order, and forwards an order that was posted to us once they have their codes.
//!
//! An invocation can be cut off between any two awaits and its message delivered again; the order of the steps in
//! `entity::create` nevertheless keeps one Norce entity at one ERP record (P2).
//!
//! [`ChangeEvents`] holds every port and dispatches. The structs in the modules hold the ports that they use, for the time of
//! one message.

mod binder;
mod by_hand;
mod candidates;
mod changes;
mod configuration;
mod entity;
mod erps;
mod kinds;
mod order;
mod owed_list;
mod record_index;
mod result;
mod survivors;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use shared::{
    domain::{
        ApplicationSettings, Cause, ChangeMessage, Clock, EntityRef, FingerprintKey, ImportRequest,
        Scope,
    },
    erp::Erp,
    http::Deadline,
    mappings::{Mappings, key_index::KeyIndex},
    metrics::{Metric, Metrics},
    norce::NorceQuery,
    owed::OwedRecords,
    queues::Queue,
    runtime::{
        batch::{Handler, Outcome, Received},
        configuration::SyncPolicy,
        resources::Resources,
        wiring::{Common, WiringError},
    },
};
use uuid::Uuid;

pub use crate::{
    by_hand::{ByHand, Claim, RecordName},
    configuration::{Configuration, OrderSettings},
    order::forward::OrderForwarding,
    result::{Done, Failure, WaitsFor},
};
use crate::{
    candidates::Candidates,
    changes::{Change, ChangeSender, WaitingOrders},
    entity::{
        Entities,
        create::Creator,
        deleted::BindingCheck,
        delivery::CodeDeliveries,
        forget::Forgetting,
        merge::Merges,
        party::{PartyKinds, ShopFingerprints},
        sync::Sync,
        update::Updater,
    },
    erps::Erps,
    kinds::KindSwitch,
    order::{
        OrderHandler,
        forward::Forwarder,
        parties::{OrderChange, PartyFinder},
    },
    owed_list::OwedList,
    record_index::RecordIndex,
    result::MANUAL_CHECK,
    survivors::Survivors,
};

/// The use case with its ports.
#[derive(Clone)]
pub struct ChangeEvents {
    /// Reads Norce.
    pub norce: Arc<dyn NorceQuery>,
    /// The ERP company behind each scope.
    pub erps: HashMap<Scope, Arc<dyn Erp>>,
    /// The code mappings.
    pub mappings: Arc<dyn Mappings>,
    /// The index of the natural keys of the ERP's records.
    pub key_index: Arc<dyn KeyIndex>,
    /// The list of records that cannot be synced.
    pub owed: Arc<dyn OwedRecords>,
    /// Takes more of the messages that are handled here.
    pub changes: Arc<dyn Queue<ChangeMessage>>,
    /// Takes codes on their way to Norce.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The key of the fingerprints.
    pub fingerprints: FingerprintKey,
    /// The configured applications of Norce.
    pub shops: ApplicationSettings,
    /// The rules for creating, matching, updating and forgetting.
    pub policy: SyncPolicy,
    /// Forwards orders; `None`: orders are not received (`ORDER_RECEIVER`).
    pub orders: Option<OrderForwarding>,
    /// The metrics of an invocation.
    pub metrics: Metrics,
}

impl ChangeEvents {
    /// Builds the function.
    ///
    /// # Errors
    /// When a secret cannot be read, or a client cannot be built.
    pub async fn build(
        configuration: &Configuration,
        resources: &impl Resources,
    ) -> Result<Self, WiringError> {
        let Configuration { common, .. } = configuration;
        let built = Common::build(common, resources).await?;
        let orders = configuration.orders.as_ref();
        Ok(Self {
            norce: built.norce.query,
            erps: built
                .connections
                .erps(&configuration.erp, &common.shops)
                .await?,
            mappings: built.mappings,
            key_index: built.key_index,
            owed: built.owed,
            changes: resources.queue(&configuration.changes.queue_url),
            imports: resources.queue(&configuration.imports_queue_url),
            clock: resources.clock(),
            fingerprints: built.fingerprints,
            shops: common.shops.clone(),
            policy: configuration.policy.clone(),
            orders: orders.map(|orders| OrderForwarding {
                orders: resources.orders(&orders.table),
                outgoing: resources.queue(&orders.outgoing_queue_url),
            }),
            metrics: resources.metrics().clone(),
        })
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
                let change = Change {
                    entity,
                    cause,
                    received_at,
                    ordered_at,
                    correlation,
                    receive_count,
                };
                self.entities(deadline).handle_entity(&change).await
            }
            ChangeMessage::Order {
                order,
                application,
                received_at,
                correlation,
            } => {
                let change = OrderChange {
                    key: &order,
                    application,
                    received_at,
                    correlation,
                    receive_count,
                };
                self.order_handler(deadline).handle_order(&change).await
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

/// What a person can request. `Failure::Later`: it can succeed on a later request.
impl ChangeEvents {
    /// Handles an entity as if an event had come now.
    ///
    /// # Errors
    /// The failure that the event would have.
    pub async fn look_at(
        &self,
        entity: EntityRef,
        cause: Cause,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let change = self.manual_check(entity, cause);
        self.entities(deadline).handle_entity(&change).await
    }

    /// Forgets a customer as if Norce had forgotten it (P12), whatever Norce says.
    ///
    /// # Errors
    /// A store or the ERP failed; what needs a person is owed, too.
    pub async fn forget_by_hand(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let change = self.manual_check(entity, Cause::Changed);
        self.entities(deadline).forget(&change).await
    }

    fn manual_check(&self, entity: EntityRef, cause: Cause) -> Change {
        Change {
            entity,
            cause,
            received_at: self.clock.now(),
            ordered_at: None,
            correlation: Uuid::new_v4(),
            receive_count: MANUAL_CHECK,
        }
    }
}

/// The parts, each with the ports that it uses.
impl ChangeEvents {
    fn entities(&self, deadline: Deadline) -> Entities<'_> {
        let (norce, clock, policy) = (&*self.norce, &*self.clock, &self.policy);
        let (mappings, erps) = (&*self.mappings, self.erps(deadline));
        let (index, candidates) = (self.index(), self.candidates(deadline));
        let (owed, changes) = (self.owed_list(), self.change_sender());
        let fingerprints = ShopFingerprints {
            erp_owns: policy.erp_owns,
            key: &self.fingerprints,
        };
        let waiting = WaitingOrders {
            orders: self.orders.as_ref().map(|orders| &*orders.orders),
            changes,
        };
        let forgetting = Forgetting {
            erps,
            mappings,
            owed,
            waiting,
            policy: policy.forgotten,
            deadline,
        };
        let check = BindingCheck {
            erps,
            mappings,
            candidates,
            fingerprints,
            owed,
            clock,
        };
        let creator = Creator {
            erps,
            mappings,
            index,
            candidates,
            fingerprints,
            policy,
            clock,
            deadline,
        };
        let updater = Updater {
            erps,
            index,
            fingerprints,
            policy,
            deadline,
        };
        let deliveries = CodeDeliveries {
            mappings,
            owed: &*self.owed,
            imports: &*self.imports,
            clock,
        };
        let sync = Sync {
            norce,
            erps,
            mappings,
            index,
            candidates,
            check,
            creator,
            updater,
            deliveries,
            changes,
            waiting,
            policy,
            clock,
            deadline,
        };
        let merges = Merges {
            erps,
            mappings,
            survivors: Survivors { norce, deadline },
            forgetting,
            owed,
            changes,
            waiting,
        };
        Entities {
            sync_kinds: policy.sync_kinds,
            norce,
            erps,
            mappings,
            kinds: self.party_kinds(deadline),
            sync,
            merges,
            forgetting,
            waiting,
            owed,
            changes,
            shops: &self.shops,
            create_in_erp: policy.create_in_erp,
            clock,
            deadline,
        }
    }

    fn order_handler(&self, deadline: Deadline) -> OrderHandler<'_> {
        let (norce, shops) = (&*self.norce, &self.shops);
        let kinds = KindSwitch {
            norce,
            sync_kinds: self.policy.sync_kinds,
            deadline,
        };
        let parties = PartyFinder {
            norce,
            changes: self.change_sender(),
            kinds,
            deadline,
        };
        let forwarder = |forwarding| Forwarder {
            forwarding,
            norce,
            erps: self.erps(deadline),
            mappings: &*self.mappings,
            parties,
            kinds,
            survivors: Survivors { norce, deadline },
            owed: self.owed_list(),
            shops,
            clock: &*self.clock,
            deadline,
        };
        OrderHandler {
            norce,
            parties,
            forwarder: self.orders.as_ref().map(forwarder),
            owed: self.owed_list(),
            shops,
            deadline,
        }
    }

    /// What a person can change about bindings, until a deadline.
    pub fn by_hand(&self, deadline: Deadline) -> ByHand<'_> {
        ByHand {
            norce: &*self.norce,
            erps: self.erps(deadline),
            mappings: &*self.mappings,
            index: self.index(),
            candidates: self.candidates(deadline),
            kinds: self.party_kinds(deadline),
            owed: self.owed_list(),
            changes: self.change_sender(),
            policy: &self.policy.matching,
            clock: &*self.clock,
            deadline,
        }
    }

    fn erps(&self, deadline: Deadline) -> Erps<'_> {
        Erps {
            erps: &self.erps,
            deadline,
        }
    }

    fn index(&self) -> RecordIndex<'_> {
        RecordIndex {
            index: &*self.key_index,
            fingerprints: &self.fingerprints,
        }
    }

    fn candidates(&self, deadline: Deadline) -> Candidates<'_> {
        Candidates {
            norce: &*self.norce,
            erps: self.erps(deadline),
            mappings: &*self.mappings,
            clock: &*self.clock,
            policy: &self.policy.matching,
            deadline,
        }
    }

    fn party_kinds(&self, deadline: Deadline) -> PartyKinds<'_> {
        PartyKinds {
            erps: self.erps(deadline),
            mappings: &*self.mappings,
            erp_owns: self.policy.erp_owns,
        }
    }

    fn owed_list(&self) -> OwedList<'_> {
        OwedList {
            owed: &*self.owed,
            clock: &*self.clock,
        }
    }

    fn change_sender(&self) -> ChangeSender<'_> {
        ChangeSender {
            queue: &*self.changes,
            clock: &*self.clock,
        }
    }
}
