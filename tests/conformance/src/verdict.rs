//! The outcome of a check, and the report of a run.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value;

use crate::client::Exchange;

/// The most characters of a body that are shown.
const MOST_SHOWN: usize = 1500;

/// The part of the contract that a check covers. The report has a verdict for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The facade itself: its clock, credentials and paths.
    Facade,
    /// Reading one record.
    Records,
    /// Creating records.
    Creates,
    /// Changing records.
    Changes,
    /// Listings of all records, and of those that have changed.
    Listings,
    /// Searches by ids, codes, e-mail addresses and numbers.
    Searches,
    /// Blocking records.
    Blocks,
    /// Removing records.
    Removals,
    /// An unavailable ERP.
    Outages,
    /// All answers.
    Answers,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Facade => "facade",
            Self::Records => "records",
            Self::Creates => "creates",
            Self::Changes => "changes",
            Self::Listings => "listings",
            Self::Searches => "searches",
            Self::Blocks => "blocks",
            Self::Removals => "removals",
            Self::Outages => "outages",
            Self::Answers => "answers",
        })
    }
}

/// A promise of the contract that is broken.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What is wrong.
    pub text: String,
    /// The exchanges that show it, in their order.
    pub exchanges: Vec<Arc<Exchange>>,
}

impl Failure {
    /// A failure that no exchange shows.
    pub(crate) fn without_exchange(text: String) -> Self {
        Self {
            text,
            exchanges: Vec::new(),
        }
    }

    /// Whether the last request was not answered at all.
    pub(crate) fn is_without_answer(&self) -> bool {
        let last = self.exchanges.last();
        last.is_some_and(|exchange| exchange.status.is_err())
    }
}

/// Why a check ends early.
#[derive(Debug, Clone)]
pub enum Stop {
    /// A promise of the contract is broken.
    Fails(Failure),
    /// The check was skipped, for this reason.
    NotTried(String),
}

/// The outcome of a check, or of a step of one.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// A check and its outcome.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The part of the contract.
    pub part: Part,
    /// The name of the check.
    pub name: String,
    /// What the contract promises.
    pub promise: &'static str,
    /// The capabilities that it covers, as `about` names them.
    pub capabilities: &'static [&'static str],
    /// Its outcome.
    pub outcome: Result<(), Stop>,
}

/// A record that is left in the ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its resource and id, such as `customers/17`.
    pub record: String,
    /// Why it could not be removed, and whether it is blocked.
    pub why: String,
}

/// The outcome of all checks.
#[derive(Debug, Clone)]
pub struct Report {
    /// The name of the ERP, as `about` has it.
    pub erp: String,
    /// The capabilities that it states.
    pub capabilities: Value,
    /// The checks in their order.
    pub checks: Vec<Checked>,
    /// A part of the name of every test record.
    pub mark: String,
    /// Whether the run was stopped before all checks were done.
    pub is_stopped: bool,
    /// The test records that could not be removed.
    pub left: Vec<Left>,
    /// How many requests were sent.
    pub requests: usize,
    /// Requests that violate the contract by mistake: bugs of the suite.
    pub mistakes: Vec<String>,
}

impl Report {
    fn failed_checks(&self) -> impl Iterator<Item = &Checked> {
        let is_failure = |check: &&Checked| matches!(check.outcome, Err(Stop::Fails(_)));
        self.checks.iter().filter(is_failure)
    }

    /// The names of the checks that failed.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.failed_checks();
        failed.map(|check| check.name.as_str()).collect()
    }

    /// The failed checks with their exchanges, and the verdicts.
    pub fn failures(&self) -> String {
        let failed = self.failed_checks().map(|check| format!("{check}\n"));
        format!("{}{self}", failed.collect::<String>())
    }
}

/// A line for each check, with the failure below it.
impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, promise, .. } = self;
        match &self.outcome {
            Ok(()) => write!(f, "✓ {name}: {promise}"),
            Err(Stop::NotTried(reason)) => write!(f, "– {name}: skipped: {reason}"),
            Err(Stop::Fails(failure)) => {
                write!(f, "✗ {name}: {promise}\n    {}", failure.text)?;
                for exchange in &failure.exchanges {
                    write!(f, "\n{exchange}")?;
                }
                Ok(())
            }
        }
    }
}

/// In the style of `curl -v`, without the credentials.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    > {} {}", self.method, self.url)?;
        for (name, value) in &self.headers {
            write!(f, "\n    > {name}: {value}")?;
        }
        if !self.request.is_null() {
            write!(f, "\n    > {}", shown(&self.request.to_string()))?;
        }
        match &self.status {
            Ok(status) => write!(f, "\n    < {status}")?,
            Err(what) => write!(f, "\n    < no answer: {what}")?,
        }
        if let Some(location) = &self.location {
            write!(f, ", to {location}")?;
        }
        if !self.answer.is_null() {
            write!(f, " {}", shown(&self.answer.to_string()))?;
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The verdict of every part.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: BTreeMap<Part, Vec<&Checked>> = BTreeMap::new();
        for check in &self.checks {
            parts.entry(check.part).or_default().push(check);
        }
        if self.is_stopped {
            writeln!(f, "Stopped before all checks were done")?;
        }
        let is_skipped = |check: &&Checked| matches!(check.outcome, Err(Stop::NotTried(_)));
        let skipped = self.checks.iter().filter(is_skipped).count();
        let (erp, checks, requests) = (&self.erp, self.checks.len(), self.requests);
        writeln!(
            f,
            "Verdict on {erp} ({checks} checks, {skipped} of them skipped; requests: {requests})"
        )?;
        for (part, checks) in parts {
            writeln!(f, "  {part:10} {}", verdict(&checks))?;
        }
        let capabilities = self.capabilities.as_object();
        if capabilities.is_some() {
            writeln!(f, "Capabilities")?;
        }
        for (name, value) in capabilities.into_iter().flatten() {
            let of_it = |check: &&Checked| check.capabilities.contains(&name.as_str());
            let checks: Vec<&Checked> = self.checks.iter().filter(of_it).collect();
            if checks.is_empty() {
                continue;
            }
            let stated = format!("{name}: {}", shown(&value.to_string()));
            writeln!(f, "  {stated}: {}", verdict(&checks))?;
        }
        if !self.left.is_empty() {
            let mark = &self.mark;
            writeln!(
                f,
                "Left in the ERP, for a person to remove (`{mark}` in the name):"
            )?;
        }
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Left { record, why } in &self.left {
            reasons.entry(why).or_default().push(record);
        }
        for (why, records) in reasons {
            writeln!(f, "  {why}: {}", records.join(", "))?;
        }
        Ok(())
    }
}

fn verdict(checks: &[&Checked]) -> String {
    let (mut failed, mut not_tried) = (Vec::new(), 0);
    for check in checks {
        match &check.outcome {
            Ok(()) => {}
            Err(Stop::Fails(_)) => failed.push(check.name.as_str()),
            Err(Stop::NotTried(_)) => not_tried += 1,
        }
    }
    match (failed.as_slice(), not_tried) {
        ([], not_tried) if not_tried == checks.len() => "skipped".to_owned(),
        ([], 0) => "passed".to_owned(),
        ([], not_tried) => format!("passed; {not_tried} of {} skipped", checks.len()),
        (failed, _) => format!("failed: {}", failed.join(", ")),
    }
}
