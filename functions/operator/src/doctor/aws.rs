//! The resources of the stack in AWS: queues, dead letters, tables, the bucket, and the breakers in their table.

use shared::{
    StoreError,
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
    /// The queues of the functions, and the queue to the merchant's order integration, which only that integration reads.
    pub(super) fn queue_checks(&self) -> Vec<Planned<'_>> {
        let own = self.queues.iter();
        let own = own.flat_map(|queue| checks_of(queue, say!("fix-dead", queue = queue.name)));
        let outgoing = self.outgoing_orders.iter();
        let outgoing = outgoing.flat_map(|queue| checks_of(queue, say!("fix-outgoing-orders")));
        own.chain(outgoing).collect()
    }

    /// Reads something from each store that does not exist.
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
            let read = mappings.get(nobody);
            checks.push(readable(
                "table",
                "code mappings",
                "CODE_MAPPINGS_TABLE",
                read,
            ));
        }
        if let (Some(owed), Some(nobody)) = (owed, nobody) {
            let read = async move { owed.get(&Subject::Entity(nobody), Stage::ToErp).await };
            checks.push(readable("table", "owed records", "OWED_TABLE", read));
        }
        if let Some(import_jobs) = import_jobs {
            let read = import_jobs.get(nothing);
            checks.push(readable("table", "import jobs", "IMPORT_JOBS_TABLE", read));
        }
        if let Some(passes) = passes {
            checks.push(readable(
                "table",
                "passes",
                "PASSES_TABLE",
                passes.run(nothing),
            ));
        }
        if let Some(reports) = reports {
            let read = reports.list("mappings/", None);
            checks.push(readable("bucket", "reports", "REPORTS_BUCKET", read));
        }
        if let Some(breakers) = breakers {
            checks.push(Planned::new("table breakers", async move {
                let list = breakers.list().await;
                let list = list.map_err(|error| aws_fault(error, "table", "BREAKERS_TABLE"))?;
                self.paused(list)
            }));
        }
        if let Some(activity) = activity {
            let read = activity.get(nothing);
            checks.push(readable("table", "activity", "ACTIVITY_TABLE", read));
        }
        if let (Some(orders), Some(shops)) = (orders, &self.shops) {
            let nothing = OrderRef {
                application: shops.applications.default_application().id,
                client_order_ref: "none".to_owned(),
            };
            let read = async move { orders.get(&nothing).await };
            checks.push(readable("table", "orders", "ORDERS_TABLE", read));
        }
        checks
    }

    /// Whether the functions have paused calls to a remote. The checks of the remotes call them regardless.
    fn paused(&self, breakers: Vec<(String, Breaker)>) -> Finding {
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

/// The two checks of a queue; `fix` is for its dead letters.
fn checks_of(queue: &WorkQueue, fix: Sentence) -> [Planned<'_>; 2] {
    let name = queue.name.replace('-', " ");
    let variable = queue.name.replace('-', "_").to_uppercase();
    let dead_letters = format!("{variable}_DEAD_LETTER_QUEUE_URL");
    let variable = format!("{variable}_QUEUE_URL");
    [
        Planned::new(format!("queue {name}: reachable"), async move {
            let depth = queue.depth.depth().await;
            let depth = depth.map_err(|error| aws_fault(error, "queue", &variable))?;
            Ok(say!("queue-depth", depth))
        }),
        Planned::new(format!("queue {name}: no dead letters"), async move {
            let dead = queue.dead_letters.count().await;
            match dead.map_err(|error| aws_fault(error, "queue", &dead_letters))? {
                0 => Ok(say!("dead-none")),
                dead => Err(fault(say!("dead-some", dead), fix)),
            }
        }),
    ]
}

/// The check that a table or the bucket can be read.
fn readable<'a, T: Send>(
    what: &'static str,
    name: &'static str,
    variable: &'static str,
    read: impl Future<Output = Result<T, StoreError>> + Send + 'a,
) -> Planned<'a> {
    Planned::new(format!("{what} {name}"), async move {
        read.await
            .map_err(|error| aws_fault(error, what, variable))?;
        Ok(say!("readable"))
    })
}

pub(super) fn aws_fault(error: impl ToString, what: &str, name: &str) -> Box<Fault> {
    fault(words(error), say!("fix-aws", what, name))
}
