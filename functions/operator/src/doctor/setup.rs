//! What is left to do after the first deployment, point by point. Most points follow from the checks; the others have no check,
//! because it is no fault that something has not happened yet.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use serde::Serialize;
use shared::{
    StoreError,
    domain::{EntityKind, EntityRef, PassMode},
    http::Deadline,
    logs::{LogLine, Logs, LogsError},
    mappings::{Binding, BoundPage, CodeDelivery, Mapping, Mappings},
    norce::events::{EventType, POSTED_ORDER},
    passes::Run,
    reports::Reports,
    runtime::wiring::NorceClients,
};

use super::{
    check::{CHECK_CONCURRENCY, Check, check_deadline},
    events::{COMPANIES, CUSTOMERS, Expected, ORDERS},
    ports::Doctor,
    seen::Seen,
};
use crate::{
    events::{first_lines, first_taken, subject_of},
    sentence::{self, Sentence, say, words},
};

/// How far back the logs are searched: as long as they are kept by default (`LogRetentionDays`).
const SEARCHED_BACK: TimeDelta = TimeDelta::days(30);
/// The word to search the log for, and the text that `change-events` logs when it has created a record.
const CREATED: (&str, &str) = ("created", "created in the ERP");
/// The same for an updated record.
const UPDATED: (&str, &str) = ("updated", "updated in the ERP");
/// The number of created records whose codes are looked up in the mappings.
const MAX_CREATED: usize = 10;

/// The point that is done when Norce has received a code.
const FIRST_CODE: &str = "first-code";

/// A point of the set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupPoint {
    /// Its stable id, which the steps of "The first deployment" in `functions/README.md` name.
    pub id: &'static str,
    /// Its state.
    pub state: SetupState,
    /// The finding.
    #[serde(flatten, serialize_with = "sentence::detail")]
    pub detail: Sentence,
    /// What to do, unless it is done.
    #[serde(flatten, serialize_with = "sentence::fix")]
    pub fix: Option<Sentence>,
}

/// The state of a point of the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetupState {
    /// Done.
    Done,
    /// A person has to do something.
    Todo,
    /// Nothing is wrong, but something has to happen before it can be seen.
    Waiting,
}

/// The number of points left, and the first of them, if any. In a stack that has delivered a code, a fault is not a point of
/// the set-up; its check has the fix.
pub(super) fn left(points: &[SetupPoint], is_well: bool) -> Option<Sentence> {
    let of_state = |state| points.iter().filter(move |point| point.state == state);
    let has_delivered = of_state(SetupState::Done).any(|point| point.id == FIRST_CODE);
    if has_delivered && !is_well {
        return None;
    }
    let (todo, waiting) = (SetupState::Todo, SetupState::Waiting);
    let count = of_state(todo).chain(of_state(waiting)).count();
    // What a person can do now comes first.
    let first = of_state(todo).chain(of_state(waiting)).next()?;
    Some(say!(
        "setup-left",
        left = count,
        point = first.id,
        detail = first.detail
    ))
}

impl SetupPoint {
    fn done(id: &'static str, detail: Sentence) -> Self {
        Self {
            id,
            state: SetupState::Done,
            detail,
            fix: None,
        }
    }

    fn todo(id: &'static str, detail: Sentence, fix: impl Into<Option<Sentence>>) -> Self {
        Self {
            id,
            state: SetupState::Todo,
            detail,
            fix: fix.into(),
        }
    }

    fn waiting(id: &'static str, detail: Sentence, fix: Sentence) -> Self {
        Self {
            id,
            state: SetupState::Waiting,
            detail,
            fix: Some(fix),
        }
    }

    /// A point that cannot be checked before others are done.
    fn not_yet(id: &'static str) -> Self {
        Self::waiting(id, say!("setup-not-yet"), say!("fix-setup-not-yet"))
    }

    /// A point that could not be checked this time.
    fn unread(id: &'static str, reason: impl ToString) -> Self {
        Self::waiting(
            id,
            say!("not-built", words = words(reason)),
            say!("fix-setup-unread"),
        )
    }
}

/// The results of the checks.
#[derive(Clone, Copy)]
struct Checks<'a>(&'a [Check]);

impl<'a> Checks<'a> {
    /// The first failed check among those that `is_one` selects.
    fn fault(self, is_one: impl Fn(&str) -> bool) -> Option<&'a Check> {
        let mut checks = self.0.iter();
        checks.find(|check| !check.ok && is_one(&check.check))
    }

    /// A point that is done if all of these checks passed, and otherwise has the fix of the first failed one.
    fn point(
        self,
        id: &'static str,
        is_one: impl Fn(&str) -> bool,
        done: impl FnOnce(usize) -> Sentence,
    ) -> SetupPoint {
        let made = self.0.iter().filter(|check| is_one(&check.check)).count();
        match self.fault(is_one) {
            Some(check) => faulty(id, check),
            None if made == 0 => SetupPoint::not_yet(id),
            None => SetupPoint::done(id, done(made)),
        }
    }
}

fn faulty(id: &'static str, check: &Check) -> SetupPoint {
    let detail = say!("setup-check", check = check.check, detail = check.detail);
    SetupPoint::todo(id, detail, check.fix.clone())
}

fn is_erp_reading(check: &str) -> bool {
    (check == "erp" || check.starts_with("erp ")) && !is_erp_writing(check)
}

fn is_erp_writing(check: &str) -> bool {
    check.starts_with("erp ") && check.ends_with(": records can be written")
}

/// A subscription to events of a type, or the posting of orders.
struct Subscription {
    id: &'static str,
    /// The names of the events in the log of `receive-events`, any one of which is enough.
    names: &'static [&'static str],
    /// Their check over the last day, if there is one.
    checked_as: Option<&'static Expected>,
    /// How to make Norce send one.
    fix: fn() -> Sentence,
}

const OF_CUSTOMERS: Subscription = Subscription::checked("events-customers", &CUSTOMERS, || {
    subscribe(&CUSTOMERS, &say!("occasion-customer"))
});
const OF_COMPANIES: Subscription = Subscription::checked("events-companies", &COMPANIES, || {
    subscribe(&COMPANIES, &say!("occasion-company"))
});
/// Both events of an order report its customer, so one of the two is enough.
const OF_ORDERS: Subscription = Subscription::checked("events-orders", &ORDERS, || {
    subscribe(&ORDERS, &say!("occasion-order"))
});
const POSTED_ORDERS: Subscription = Subscription {
    names: &[POSTED_ORDER],
    fix: || say!("fix-setup-posted-orders"),
    ..OF_ORDERS
};
/// These have no check: jobs are polled as well, so that without them codes are only confirmed later.
const OF_JOBS: Subscription = Subscription {
    id: "events-jobs",
    names: &[EventType::JobCompleted.name()],
    checked_as: None,
    fix: || {
        say!(
            "fix-setup-events",
            event = EventType::JobCompleted.name(),
            address = "{EventUrl}/job-completed",
            occasion = say!("occasion-import")
        )
    },
};

impl Subscription {
    /// A subscription that has a check.
    const fn checked(id: &'static str, expected: &'static Expected, fix: fn() -> Sentence) -> Self {
        Self {
            id,
            names: expected.names,
            checked_as: Some(expected),
            fix,
        }
    }
}

fn subscribe(expected: &Expected, occasion: &Sentence) -> Sentence {
    say!(
        "fix-setup-events",
        event = expected.event,
        address = expected.address,
        occasion
    )
}

/// The work that settles one point; `None`: its state cannot be determined, and the point is left out.
type PendingPoint<'a> = BoxFuture<'a, Option<SetupPoint>>;

/// A point that the checks have settled.
fn settled<'a>(point: SetupPoint) -> PendingPoint<'a> {
    Box::pin(async { Some(point) })
}

/// Limits the work for a point to the time that is left.
fn in_time<'a>(
    id: &'static str,
    deadline: Deadline,
    work: impl Future<Output = SetupPoint> + Send + 'a,
) -> PendingPoint<'a> {
    Box::pin(async move {
        let time = deadline.remaining();
        let point = tokio::time::timeout(time, work).await;
        let too_late =
            |_| SetupPoint::waiting(id, say!("no-answer", time), say!("fix-setup-unread"));
        Some(point.unwrap_or_else(too_late))
    })
}

impl Doctor {
    /// The points, in the order of the set-up.
    pub(super) async fn setup(
        &self,
        checks: &[Check],
        seen: &Seen,
        deadline: Deadline,
    ) -> Vec<SetupPoint> {
        let deadline = check_deadline(deadline);
        let checks = Checks(checks);
        let orders = match self.outgoing_orders {
            None => OF_ORDERS,
            Some(_) => POSTED_ORDERS,
        };
        let points = [
            settled(checks.point(
                "configuration",
                |check| check == "configuration",
                |_| say!("readable"),
            )),
            settled(checks.point(
                "secrets",
                |check| check.starts_with("secret "),
                |secrets| say!("setup-secrets", secrets),
            )),
            settled(checks.point(
                "norce",
                |check| check == "norce" || check.starts_with("norce "),
                |_| say!("setup-norce"),
            )),
            settled(checks.point("erp-read", is_erp_reading, |_| say!("setup-erp-read"))),
            self.changes_of(EntityKind::Customer, checks, seen, deadline),
            self.changes_of(EntityKind::Company, checks, seen, deadline),
            self.subscription(orders, checks, seen, deadline),
            Box::pin(async { self.alarms() }),
            in_time("plan", deadline, self.plan(checks, seen)),
            settled(checks.point(
                "schedules",
                |check| check.starts_with("schedule "),
                |_| say!("setup-schedules"),
            )),
            self.writing(checks, deadline),
            in_time("norce-account", deadline, self.account(checks, deadline)),
            self.subscription(OF_JOBS, checks, seen, deadline),
            in_time(FIRST_CODE, deadline, self.first_code(checks)),
        ];
        let points = stream::iter(points).buffered(CHECK_CONCURRENCY);
        points.filter_map(std::future::ready).collect().await
    }

    /// The subscription to changes of a kind. The point is left out where the kind is not synchronized.
    fn changes_of<'a>(
        &'a self,
        kind: EntityKind,
        checks: Checks<'a>,
        seen: &'a Seen,
        deadline: Deadline,
    ) -> PendingPoint<'a> {
        if self.sync_kinds.has_kind(kind) == Some(false) {
            return Box::pin(async { None });
        }
        let subscription = match kind {
            EntityKind::Customer => OF_CUSTOMERS,
            EntityKind::Company => OF_COMPANIES,
        };
        self.subscription(subscription, checks, seen, deadline)
    }

    /// Whether an event of a type has been received, as far as the log goes back. The point is left out where the log has no
    /// such lines.
    fn subscription<'a>(
        &'a self,
        subscription: Subscription,
        checks: Checks<'a>,
        seen: &'a Seen,
        deadline: Deadline,
    ) -> PendingPoint<'a> {
        let Subscription {
            id,
            names,
            checked_as,
            fix,
        } = subscription;
        let log = match &self.events {
            None => return settled(SetupPoint::not_yet(id)),
            Some(Err(_)) => return Box::pin(async { None }),
            Some(Ok(log)) => log.as_ref(),
        };
        if let Some(at) = seen.event(names) {
            return settled(SetupPoint::done(id, say!("events-come", at)));
        }
        in_time(id, deadline, async move {
            let since = self.clock.now() - SEARCHED_BACK;
            let taken = first_taken(log, names, since, deadline).await;
            let is_missed = |expected: &Expected| {
                let name = expected.name_of_check();
                checks.fault(|check| check == name)
            };
            match (taken, checked_as.and_then(is_missed)) {
                (Ok(Some((_, at))), _) => SetupPoint::done(id, say!("events-come", at)),
                (_, Some(check)) => faulty(id, check),
                (Ok(None), None) => SetupPoint::waiting(id, say!("setup-events-none"), fix()),
                (Err(error), None) => SetupPoint::unread(id, error),
            }
        })
    }

    /// Whether the alarms have a topic. The point is left out where the template does not tell.
    fn alarms(&self) -> Option<SetupPoint> {
        let id = "alarms";
        Some(match self.alarm_topic.as_deref()? {
            "" => SetupPoint::todo(id, say!("setup-alarms-nobody"), say!("fix-setup-alarms")),
            topic => SetupPoint::done(id, say!("setup-alarms", topic)),
        })
    }

    /// Whether there is a plan of the first pass, or a pass has already run.
    async fn plan(&self, checks: Checks<'_>, seen: &Seen) -> SetupPoint {
        let id = "plan";
        let (Some(passes), Some(reports)) = (&self.stores.passes, &self.stores.reports) else {
            return SetupPoint::not_yet(id);
        };
        let is_store = |check: &str| check == "table passes" || check == "bucket reports";
        if let Some(check) = checks.fault(is_store) {
            return faulty(id, check);
        }
        match seen.last_runs(passes.as_ref()).await {
            Ok(runs) => {
                if let Some(run) = runs.iter().find(|run| has_walked(run)) {
                    let detail = say!("setup-passed", mode = run.mode, at = run.started);
                    return SetupPoint::done(id, detail);
                }
            }
            Err(error) => return SetupPoint::unread(id, error),
        }
        match planned(reports.as_ref()).await {
            Ok(Some(plan)) => SetupPoint::done(id, say!("setup-planned", plan)),
            Ok(None) => SetupPoint::todo(id, say!("setup-unplanned"), say!("fix-setup-plan")),
            Err(error) => SetupPoint::unread(id, error),
        }
    }

    /// Whether records of the ERP may be written, if the ERP tells; otherwise whether one has been written, by the log. The
    /// point is left out where neither tells.
    fn writing<'a>(&'a self, checks: Checks<'a>, deadline: Deadline) -> PendingPoint<'a> {
        let id = "erp-write";
        let mut writing = checks.0.iter();
        let is_untold = writing.any(|check| {
            is_erp_writing(&check.check) && check.ok && check.detail.is("erp-writable-later")
        });
        if !is_untold || checks.fault(is_erp_writing).is_some() {
            return settled(checks.point(id, is_erp_writing, |_| say!("erp-writable")));
        }
        let log = match &self.changes {
            None => return settled(SetupPoint::not_yet(id)),
            Some(Err(_)) => return Box::pin(async { None }),
            Some(Ok(log)) => log.as_ref(),
        };
        in_time(id, deadline, async move {
            let since = self.clock.now() - SEARCHED_BACK;
            match first_written(log, since, deadline).await {
                Ok(Some(at)) => SetupPoint::done(id, say!("setup-erp-written", at)),
                Ok(None) => SetupPoint::waiting(
                    id,
                    say!("setup-erp-unwritten"),
                    say!("fix-setup-erp-write"),
                ),
                Err(error) => SetupPoint::unread(id, error),
            }
        })
    }

    /// Whether Norce accepts imports from the account: its id is right if it has imported something.
    async fn account(&self, checks: Checks<'_>, deadline: Deadline) -> SetupPoint {
        let id = "norce-account";
        let (Ok(norce), Some(account)) = (&self.norce, self.norce_account) else {
            return SetupPoint::not_yet(id);
        };
        if checks.fault(|check| check.starts_with("norce ")).is_some() {
            return SetupPoint::not_yet(id);
        }
        let has_imported = self.has_imported(norce, account, deadline).await;
        let account = account.to_string();
        match has_imported {
            Ok(true) => SetupPoint::done(id, say!("setup-account-imports", account)),
            Ok(false) => SetupPoint::waiting(
                id,
                say!("setup-account-unseen", account),
                say!("fix-setup-account"),
            ),
            Err(reason) => SetupPoint::unread(id, reason),
        }
    }

    async fn has_imported(
        &self,
        norce: &NorceClients,
        account: i32,
        deadline: Deadline,
    ) -> Result<bool, String> {
        for kind in [EntityKind::Customer, EntityKind::Company] {
            let changed = norce.query.has_changes_by(kind, account, deadline).await;
            if changed.map_err(|error| error.to_string())? {
                return Ok(true);
            }
        }
        // Norce names only the last account that changed a record. The code of a new record can only come from an import.
        self.has_imported_code(deadline).await
    }

    /// Whether the code of one of the records that were created, by the log, is confirmed.
    async fn has_imported_code(&self, deadline: Deadline) -> Result<bool, String> {
        let (Some(mappings), Some(Ok(log))) = (&self.stores.mappings, &self.changes) else {
            return Ok(false);
        };
        let since = self.clock.now() - SEARCHED_BACK;
        let (word, outcome) = CREATED;
        let is_one = |line: &LogLine| line.text.contains(outcome);
        let created = first_lines(log.as_ref(), word, since, deadline, MAX_CREATED, is_one).await;
        let created = created.map_err(|error| error.to_string())?;
        let created: Vec<EntityRef> = created.iter().filter_map(subject_of).collect();
        let known = mappings.get_many(&created).await;
        let known = known.map_err(|error| error.to_string())?;
        Ok(known.iter().flatten().any(
            |mapping| matches!(mapping, Mapping::Bound(binding) if confirmed_at(binding).is_some()),
        ))
    }

    /// Whether the code of any customer or company is confirmed in Norce.
    async fn first_code(&self, checks: Checks<'_>) -> SetupPoint {
        let id = FIRST_CODE;
        let Some(mappings) = &self.stores.mappings else {
            return SetupPoint::not_yet(id);
        };
        if let Some(check) = checks.fault(|check| check == "table code mappings") {
            return faulty(id, check);
        }
        match confirmed(mappings.as_ref()).await {
            Ok(Some((entity, at))) => SetupPoint::done(id, say!("setup-code", entity, at)),
            Ok(None) => SetupPoint::waiting(id, say!("setup-code-none"), say!("fix-setup-code")),
            Err(error) => SetupPoint::unread(id, error),
        }
    }
}

/// Whether a pass over the ERP has completed, or has acted before it failed: a plan of the first pass is too late then.
fn has_walked(run: &Run) -> bool {
    let counts = &run.counts;
    let acted = counts.bound + counts.codes + counts.renamed + counts.fields + counts.inserted;
    let is_over = run
        .ended
        .as_ref()
        .is_some_and(|ended| ended.failed.is_none());
    run.mode != PassMode::Sweep && (is_over || acted > 0)
}

/// The id of a plan whose report is complete: the summary is written last.
async fn planned(reports: &dyn Reports) -> Result<Option<String>, StoreError> {
    let mut after: Option<String> = None;
    loop {
        let keys = reports.list("plans/", after.as_deref()).await?;
        let plan = |key: &String| {
            let plan = key.strip_prefix("plans/")?.strip_suffix("/summary.json")?;
            Some(plan.to_owned())
        };
        if let Some(plan) = keys.iter().find_map(plan) {
            return Ok(Some(plan));
        }
        after = keys.into_iter().next_back();
        if after.is_none() {
            return Ok(None);
        }
    }
}

/// When a record of the ERP was first written after `since`.
async fn first_written(
    log: &dyn Logs,
    since: DateTime<Utc>,
    deadline: Deadline,
) -> Result<Option<DateTime<Utc>>, LogsError> {
    for (word, outcome) in [CREATED, UPDATED] {
        let is_one = |line: &LogLine| line.text.contains(outcome);
        let first = first_lines(log, word, since, deadline, 1, is_one).await?;
        if let [line] = first.as_slice() {
            return Ok(Some(line.at));
        }
    }
    Ok(None)
}

/// A customer or company whose code is confirmed, and since when.
async fn confirmed(
    mappings: &dyn Mappings,
) -> Result<Option<(EntityRef, DateTime<Utc>)>, StoreError> {
    let mut after: Option<String> = None;
    loop {
        let BoundPage { bound, next } = mappings.bound(after.as_deref()).await?;
        let mut bound = bound.into_iter();
        let found = bound.find_map(|(entity, binding)| Some((entity, confirmed_at(&binding)?)));
        if found.is_some() || next.is_none() {
            return Ok(found);
        }
        after = next;
    }
}

/// When the code was confirmed in Norce.
fn confirmed_at(binding: &Binding) -> Option<DateTime<Utc>> {
    match binding.delivery {
        CodeDelivery::Confirmed { at } => Some(at),
        CodeDelivery::Pending | CodeDelivery::HandedOver { .. } | CodeDelivery::Refused { .. } => {
            None
        }
    }
}
