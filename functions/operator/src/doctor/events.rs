//! Whether Norce's events come: those received within a day, compared with what Norce says has happened.

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
    aws::aws_fault,
    check::{Finding, Planned, check_deadline, fault},
    ports::Doctor,
    seen::Seen,
};
use crate::{
    events::first_taken,
    sentence::{say, words},
};

/// A subscription counts as on if an event came within this time.
const EXPECTED_WITHIN: TimeDelta = TimeDelta::days(1);
/// The time that an event may take to arrive.
const ON_THE_WAY: TimeDelta = TimeDelta::minutes(15);

/// Events that are expected when something has happened.
pub(super) struct Expected {
    /// What makes Norce send them, as a text.
    occasion: &'static str,
    /// Their names in the log, any one of which is enough.
    pub(super) names: &'static [&'static str],
    /// The event to subscribe to, and its address.
    pub(super) event: &'static str,
    pub(super) address: &'static str,
    /// Whether Norce can post the orders themselves instead.
    is_posted: bool,
}

pub(super) const CUSTOMERS: Expected = Expected {
    occasion: "changed customers",
    names: &[EventType::CustomerChanged.name()],
    event: "CustomerChangedNotification",
    address: "{EventUrl}/customer-changed",
    is_posted: false,
};
pub(super) const COMPANIES: Expected = Expected {
    occasion: "changed companies",
    names: &[EventType::CompanyChanged.name()],
    event: "CompanyChangedNotification",
    address: "{EventUrl}/company-changed",
    is_posted: false,
};
pub(super) const ORDERS: Expected = Expected {
    occasion: "new orders",
    names: &[
        EventType::OrderReceived.name(),
        EventType::OrderConfirmed.name(),
        POSTED_ORDER,
    ],
    event: "OrderReceivedEvent",
    address: "{EventUrl}/order-received",
    is_posted: true,
};

impl Doctor {
    /// Whether events come. `JobCompletedEvent` is not checked, because jobs are polled as well.
    pub(super) fn event_checks<'a>(
        &'a self,
        deadline: Deadline,
        seen: &'a Seen,
    ) -> Vec<Planned<'a>> {
        let (Ok(norce), Some(log)) = (&self.norce, &self.events) else {
            // The checks of the configuration and of Norce report the reason.
            return Vec::new();
        };
        let now = self.clock.now();
        let time = now - EXPECTED_WITHIN..now - ON_THE_WAY;
        let account = self.norce_account.unwrap_or_default();
        let of = |kind: EntityKind, expected: &'static Expected| {
            let time = time.clone();
            expected.check(async move {
                let deadline = check_deadline(deadline);
                expected
                    .finding(log, seen, &time, deadline, async || {
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
            let deadline = check_deadline(deadline);
            ORDERS
                .finding(log, seen, &time, deadline, async || {
                    norce.query.has_orders(&time, deadline).await
                })
                .await
        });
        // A kind that is not synchronized needs no events: the sweep still finds forgotten customers.
        let is_needed = |kind| self.sync_kinds.has_kind(kind) != Some(false);
        let customers = is_needed(EntityKind::Customer).then_some(customers);
        let companies = is_needed(EntityKind::Company).then_some(companies);
        let of_kinds = customers.into_iter().chain(companies);
        of_kinds.chain([orders]).collect()
    }
}

impl Expected {
    fn check<'a>(&self, finding: impl Future<Output = Finding> + Send + 'a) -> Planned<'a> {
        Planned::new(self.name_of_check(), finding)
    }

    /// The name of their check.
    pub(super) fn name_of_check(&self) -> String {
        format!("events about {}", self.occasion)
    }

    /// Whether they came and, if not, whether Norce had any to send.
    async fn finding(
        &self,
        log: &Result<Arc<dyn Logs>, String>,
        seen: &Seen,
        time: &Range<DateTime<Utc>>,
        deadline: Deadline,
        has_happened: impl AsyncFnOnce() -> Result<bool, NorceError>,
    ) -> Finding {
        let log = match log {
            Ok(log) => log.as_ref(),
            Err(reason) => return Ok(say!("events-unseen", words = words(reason))),
        };
        let taken = first_taken(log, self.names, time.start, deadline).await;
        let taken = taken.map_err(|error| aws_fault(error, "log group", "receive-events"))?;
        if let Some((name, at)) = taken {
            seen.note_event(name, at);
            return Ok(say!("events-come", at));
        }
        match has_happened().await {
            Ok(true) => {}
            Ok(false) => return Ok(say!("events-not-due")),
            // Another check reports this fault with its fix.
            Err(_) => return Ok(say!("events-unknown")),
        }
        Err(fault(
            say!("events-missing", occasion = self.occasion),
            say!("fix-events", event = self.event, address = self.address)
                .then(self.is_posted.then(|| say!("fix-posted-orders")))
                .then(say!("sweep-until-then")),
        ))
    }
}
