//! What the stack has in AWS: queues, dead letters, tables, the bucket, and the breakers in one of the tables.

use shared::{
    domain::{Breaker, EntityRef, NorceId, Scope},
    orders::OrderRef,
    owed::{Stage, Subject},
};
use uuid::Uuid;

use super::{
    check::{Fault, Finding, Planned, fault},
    ports::{Doctor, Stores},
};
use crate::{
    actions::status::BreakerStatus,
    ports::WorkQueue,
    sentence::{Sentence, say, words},
};

impl Doctor {
    pub(super) fn queue_checks(&self) -> Vec<Planned<'_>> {
        let check = |queue: &'static str, what| format!("queue {queue}: {what}");
        self.queues
            .iter()
            .flat_map(|queue| {
                let name = queue.name;
                [
                    Planned::new(check(name, "reachable"), async move {
                        let depth = queue.depth.depth().await.map_err(|error| {
                            aws_fault(
                                error,
                                "queue",
                                &format!("{}_QUEUE_URL", name.to_uppercase()),
                            )
                        })?;
                        Ok(say!("queue-depth", depth))
                    }),
                    Planned::new(check(name, "no dead letters"), async move {
                        let dead = queue.dead_letters.count().await.map_err(|error| {
                            aws_fault(
                                error,
                                "queue",
                                &format!("{}_DEAD_LETTER_QUEUE_URL", name.to_uppercase()),
                            )
                        })?;
                        if dead == 0 {
                            return Ok(say!("dead-none"));
                        }
                        Err(fault(
                            say!("dead-some", dead),
                            say!("fix-dead", queue = name),
                        ))
                    }),
                ]
            })
            .collect()
    }

    /// The queue of orders is read by somebody else, and nobody here may look into it.
    pub(super) fn outgoing_checks(&self) -> Vec<Planned<'_>> {
        let Some(WorkQueue {
            depth,
            dead_letters,
            ..
        }) = &self.outgoing_orders
        else {
            return Vec::new();
        };
        vec![
            Planned::new("queue outgoing orders: reachable", async move {
                let depth = depth.depth().await;
                let depth = depth
                    .map_err(|error| aws_fault(error, "queue", "OUTGOING_ORDERS_QUEUE_URL"))?;
                Ok(say!("queue-depth", depth))
            }),
            Planned::new("queue outgoing orders: no dead letters", async move {
                let dead = dead_letters.count().await.map_err(|error| {
                    aws_fault(error, "queue", "OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL")
                })?;
                if dead == 0 {
                    return Ok(say!("dead-none"));
                }
                Err(fault(say!("dead-some", dead), say!("fix-outgoing-orders")))
            }),
        ]
    }

    /// Each store is asked for something that is not there.
    pub(super) fn store_checks(&self) -> Vec<Planned<'_>> {
        let Stores {
            mappings,
            key_index: _,
            owed,
            import_jobs,
            passes,
            reports,
            breakers,
            activity,
            orders,
        } = &self.stores;
        let nobody = NorceId::try_from(i64::from(i32::MAX))
            .ok()
            .map(|id| EntityRef::customer(Scope::Client, id));
        let nothing = Uuid::nil();
        let mut checks = Vec::new();
        if let (Some(mappings), Some(nobody)) = (mappings, nobody) {
            checks.push(Planned::new("table code mappings", async move {
                let read = mappings.get(nobody).await;
                read.map_err(|error| aws_fault(error, "table", "CODE_MAPPINGS_TABLE"))?;
                Ok(say!("readable"))
            }));
        }
        if let (Some(owed), Some(nobody)) = (owed, nobody) {
            checks.push(Planned::new("table owed records", async move {
                let read = owed.get(&Subject::Entity(nobody), Stage::ToErp).await;
                read.map_err(|error| aws_fault(error, "table", "OWED_TABLE"))?;
                Ok(say!("readable"))
            }));
        }
        if let Some(import_jobs) = import_jobs {
            checks.push(Planned::new("table import jobs", async move {
                let read = import_jobs.get(nothing).await;
                read.map_err(|error| aws_fault(error, "table", "IMPORT_JOBS_TABLE"))?;
                Ok(say!("readable"))
            }));
        }
        if let Some(passes) = passes {
            checks.push(Planned::new("table passes", async move {
                let read = passes.run(nothing).await;
                read.map_err(|error| aws_fault(error, "table", "PASSES_TABLE"))?;
                Ok(say!("readable"))
            }));
        }
        if let Some(reports) = reports {
            checks.push(Planned::new("bucket reports", async move {
                let read = reports.list("mappings/", None).await;
                read.map_err(|error| aws_fault(error, "bucket", "REPORTS_BUCKET"))?;
                Ok(say!("readable"))
            }));
        }
        if let Some(breakers) = breakers {
            checks.push(Planned::new("table breakers", async move {
                let list = breakers.list().await;
                let list = list.map_err(|error| aws_fault(error, "table", "BREAKERS_TABLE"))?;
                self.left_alone(list)
            }));
        }
        if let Some(activity) = activity {
            checks.push(Planned::new("table activity", async move {
                let read = activity.get(nothing).await;
                read.map_err(|error| aws_fault(error, "table", "ACTIVITY_TABLE"))?;
                Ok(say!("readable"))
            }));
        }
        if let (Some(orders), Some(shops)) = (orders, &self.shops) {
            let nothing = OrderRef {
                application: shops.applications.default_application().id,
                client_order_ref: "none".to_owned(),
            };
            checks.push(Planned::new("table orders", async move {
                let read = orders.get(&nothing).await;
                read.map_err(|error| aws_fault(error, "table", "ORDERS_TABLE"))?;
                Ok(say!("readable"))
            }));
        }
        checks
    }

    /// Whether the functions have paused calls to a remote. The checks of the remotes call them regardless.
    fn left_alone(&self, breakers: Vec<(String, Breaker)>) -> Finding {
        let now = self.clock.now();
        let statuses = breakers
            .into_iter()
            .map(|(remote, breaker)| BreakerStatus::new(remote, &breaker, now));
        let open = statuses.filter(BreakerStatus::is_open);
        let open = open.map(|breaker| breaker.unavailable(now));
        match open.reduce(Sentence::then) {
            None => Ok(say!("breakers-closed")),
            Some(open) => Err(fault(open, say!("fix-unavailable"))),
        }
    }
}

pub(super) fn aws_fault(error: impl ToString, what: &str, name: &str) -> Box<Fault> {
    fault(words(error), say!("fix-aws", what, name))
}
