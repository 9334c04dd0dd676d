use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `identity/1.0/connect/token`.
    Token,
    /// `Customer/ImportCustomers`.
    ImportCustomers,
    /// `Customer/ImportCompanies`.
    ImportCompanies,
    /// `Job/Get`.
    JobGet,
    /// `Job/GetLog`.
    JobGetLog,
    /// `Job/Ping`.
    JobPing,
    /// `Customers/Customers`.
    Customers,
    /// `Customers/Companies`.
    Companies,
    /// `Customers/CustomerCompanies`.
    CustomerCompanies,
    /// `Orders/Orders`.
    Orders,
    /// `Core/Applications`.
    Applications,
    /// `Core/Countries`.
    Countries,
    /// `$metadata` of a namespace.
    Metadata,
    /// Anything that does not exist.
    Unknown,
}

impl Endpoint {
    /// The calls to Connect.
    pub const CONNECT: [Self; 5] = [
        Self::ImportCustomers,
        Self::ImportCompanies,
        Self::JobGet,
        Self::JobGetLog,
        Self::JobPing,
    ];
    /// The calls to Query.
    pub const QUERY: [Self; 6] = [
        Self::Customers,
        Self::Companies,
        Self::CustomerCompanies,
        Self::Orders,
        Self::Applications,
        Self::Countries,
    ];
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// The number of calls.
    Times(u32),
    /// Every call for so long from now.
    For(Duration),
    /// Each call with this probability (0 to 1), drawn from the simulator's seeded generator.
    Chance(f64),
    /// Every call until the faults are cleared.
    Always,
}

/// The fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is done; this status is the answer.
    Status {
        /// The status.
        status: u16,
        /// The value of `Retry-After`: seconds or a date.
        retry_after: Option<String>,
    },
    /// Nothing is done; the answer has this status and a page of HTML, like that of a proxy.
    Html {
        /// The status.
        status: u16,
    },
    /// Nothing is done, and the connection is closed instead of an answer.
    Close,
    /// The work is done, but this status is the answer.
    DoneThenStatus {
        /// The status.
        status: u16,
    },
    /// The work is done, but the connection is closed instead of an answer.
    DoneThenClose,
    /// The call is carried out after this pause.
    Slow(Duration),
    /// Nothing is done, and no answer ever comes.
    Hang,
}

impl Effect {
    /// A bare status.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
        }
    }
}

#[derive(Debug)]
struct Fault {
    endpoints: BTreeSet<Endpoint>,
    effect: Effect,
    left: Left,
}

#[derive(Debug)]
enum Left {
    Times(u32),
    Until(Instant),
    Chance(f64),
    Always,
}

/// The faults that are switched on, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, endpoints: &[Endpoint], when: When, effect: Effect) {
        let left = match when {
            When::Times(times) => Left::Times(times),
            When::For(time) => Left::Until(Instant::now() + time),
            When::Chance(chance) => Left::Chance(chance),
            When::Always => Left::Always,
        };
        self.0.push(Fault {
            endpoints: endpoints.iter().copied().collect(),
            effect,
            left,
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of this call: the oldest one that applies.
    pub(super) fn strike(
        &mut self,
        endpoint: Endpoint,
        random: &mut fastrand::Rng,
    ) -> Option<Effect> {
        let now = Instant::now();
        self.0.retain(|fault| match fault.left {
            Left::Times(times) => times > 0,
            Left::Until(until) => now < until,
            Left::Chance(_) | Left::Always => true,
        });
        for fault in &mut self.0 {
            if !fault.endpoints.contains(&endpoint) {
                continue;
            }
            match &mut fault.left {
                Left::Times(times) => *times -= 1,
                Left::Chance(chance) if random.f64() >= *chance => continue,
                Left::Chance(_) | Left::Until(_) | Left::Always => {}
            }
            return Some(fault.effect.clone());
        }
        None
    }
}

/// Decides by a row's JSON.
pub type RowPredicate = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

/// Which rows of an import are poison.
#[derive(Clone)]
pub enum PoisonRows {
    /// Rows with one of these `Id`s.
    Ids(BTreeSet<i64>),
    /// Rows with one of these `Code`s.
    Codes(BTreeSet<String>),
    /// Rows for which this is true.
    Matching(RowPredicate),
}

impl PoisonRows {
    pub(super) fn contains(&self, row: &Value) -> bool {
        match self {
            Self::Ids(ids) => row
                .get("Id")
                .and_then(Value::as_i64)
                .is_some_and(|id| ids.contains(&id)),
            Self::Codes(codes) => row
                .get("Code")
                .and_then(Value::as_str)
                .is_some_and(|code| codes.contains(code)),
            Self::Matching(predicate) => predicate(row),
        }
    }
}

/// The effect of a poison row on its job. How Norce behaves is not in the facts (norce-api §4.3, §14), so that a client
/// has to get along with each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonMode {
    /// The row fails with a line in the log, the others are imported, and the job ends with 2 and `Fail` above zero.
    RowFails,
    /// The row is imported except for a part, which a log line of severity 2 names.
    RowWarns,
    /// The same, but the job ends with 3.
    RowFailsJobFails,
    /// Nothing is imported, the job ends with 3, and its log has no `ImportedRow` to tell which row it was.
    JobFails,
    /// The row is imported except for a part, which a log line of severity 3 names without the row; `Fail` does not count it.
    RowErrsUnnamed,
    /// The job ends with 2 and counts the row, but nothing of it can be seen.
    RowVanishes,
    /// Nothing is imported, the call's `ValidationSummary` says why, and the job ends with 4.
    ValidationFails,
    /// Nothing is imported: the call is answered with 200 and without a job, and its `ValidationSummary` says why.
    NoJob,
}

/// Rows that cannot be imported.
#[derive(Clone)]
pub struct Poison {
    /// Which.
    pub rows: PoisonRows,
    /// The effect.
    pub mode: PoisonMode,
    /// The log's message about the row.
    pub message: String,
}
