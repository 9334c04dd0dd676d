//! Whether Norce's events come: what was taken within a day, against what Norce itself says has happened.

use std::{ops::Range, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    domain::EntityKind,
    http::Deadline,
    logs::Logs,
    norce::{
        NorceError,
        events::{EventType, POSTED_ORDER},
    },
};

use super::{
    Doctor,
    check::{Finding, Planned, fault, of_a_check},
};
use crate::events::first_taken;

/// A subscription is on if an event came within this time.
const EXPECTED_WITHIN: TimeDelta = TimeDelta::days(1);
/// What happened later than this may still have its event on the way.
const ON_THE_WAY: TimeDelta = TimeDelta::minutes(15);

/// Events that are due when something has happened.
struct Expected {
    /// What makes them due, as people say it.
    occasion: &'static str,
    /// Their names in the log: any of them will do.
    names: &'static [&'static str],
    /// What to subscribe to.
    fix: &'static str,
}

const CUSTOMERS: Expected = Expected {
    occasion: "changed customers",
    names: &[EventType::CustomerChanged.name()],
    fix: "Switch the subscription of CustomerChangedNotification on in Norce Admin, with the address {EventUrl}/customer-changed and the header x-event-secret.",
};
const COMPANIES: Expected = Expected {
    occasion: "changed companies",
    names: &[EventType::CompanyChanged.name()],
    fix: "Switch the subscription of CompanyChangedNotification on in Norce Admin, with the address {EventUrl}/company-changed and the header x-event-secret.",
};
const ORDERS: Expected = Expected {
    occasion: "new orders",
    names: &[
        EventType::OrderReceived.name(),
        EventType::OrderConfirmed.name(),
        POSTED_ORDER,
    ],
    fix: "Switch the subscription of OrderReceivedEvent on in Norce Admin, with the address {EventUrl}/order-received and the header x-event-secret, or with OrderReceiver=true let it post its orders.",
};

impl Doctor {
    /// Whether events come. `JobCompletedEvent` is not looked for: jobs are polled as well.
    pub(super) fn event_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let (Ok(norce), Some(log)) = (&self.norce, &self.events) else {
            // The checks of the configuration and of Norce say why.
            return Vec::new();
        };
        let now = self.clock.now();
        let time = now - EXPECTED_WITHIN..now - ON_THE_WAY;
        let account = self.norce_account.unwrap_or_default();
        let of = |kind: EntityKind, expected: &'static Expected| {
            let time = time.clone();
            expected.check(async move {
                let deadline = of_a_check(deadline);
                expected
                    .finding(log, &time, deadline, async || {
                        let query = &norce.query;
                        query
                            .has_changes_by_others(kind, account, &time, deadline)
                            .await
                    })
                    .await
            })
        };
        let customers = of(EntityKind::Customer, &CUSTOMERS);
        let companies = of(EntityKind::Company, &COMPANIES);
        let orders = ORDERS.check(async move {
            let deadline = of_a_check(deadline);
            ORDERS
                .finding(log, &time, deadline, async || {
                    norce.query.has_orders(&time, deadline).await
                })
                .await
        });
        vec![customers, companies, orders]
    }
}

impl Expected {
    fn check<'a>(&self, finding: impl Future<Output = Finding> + Send + 'a) -> Planned<'a> {
        Planned::new(format!("events about {}", self.occasion), finding)
    }

    /// Whether they came, and where they did not, whether Norce had an occasion to send them.
    async fn finding(
        &self,
        log: &Result<Arc<dyn Logs>, String>,
        time: &Range<DateTime<Utc>>,
        deadline: Deadline,
        has_happened: impl AsyncFnOnce() -> Result<bool, NorceError>,
    ) -> Finding {
        let log = match log {
            Ok(log) => log.as_ref(),
            Err(reason) => return Ok(format!("not looked at: {reason}")),
        };
        let taken = first_taken(log, self.names, time.start, deadline).await;
        let taken = taken.map_err(|error| {
            fault(
                error,
                "See whether the log group of receive-events is there and the role of this function may search it; deploying the template again restores both.",
            )
        })?;
        if let Some(at) = taken {
            return Ok(format!(
                "they come: one was taken at {}",
                at.format("%Y-%m-%d %H:%M:%SZ")
            ));
        }
        match has_happened().await {
            Ok(true) => {}
            Ok(false) => return Ok("none came within a day, and Norce had no occasion".to_owned()),
            // That is a fault of its own, with its own fix.
            Err(_) => {
                return Ok(
                    "none came within a day; whether Norce had an occasion is not known, see `norce query`"
                        .to_owned(),
                );
            }
        }
        Err(fault(
            format!(
                "Norce has {} of the last day, and no event came",
                self.occasion
            ),
            format!(
                "{} Until then the sweep finds what they are about.",
                self.fix
            ),
        ))
    }
}
