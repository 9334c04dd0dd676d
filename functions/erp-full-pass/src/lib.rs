//! `erp-full-pass`: the fail-safe. It walks over the ERP's records (delta and full passes) and repairs codes in Norce
//! with minimal imports, and it walks over what has changed in Norce (the sweep) and has it looked at again.
//!
//! ```text
//! run         one step of a run: lease, walk, save, go on
//! walk        the ERP's side: pages, look-ups in batches, and what is decided about each record
//! sweep       Norce's side
//! decide      the rules: what is done about a record
//! action      what was decided, as it is written down and then done
//! report      what a plan leaves
//! retry       what is owed, tried again by itself
//! pending     records about which more has to be asked; `timing`: how long calls take
//! key_index   the index of natural keys, filled from every page
//! heartbeat   metrics of the state that no event changes
//! ```
//!
//! A pass writes down what it will do before it does it: the actions of a page stand in the record of the run together
//! with the place where the walk goes on and the counts. Whoever is cut off anywhere leaves a record from which the next
//! invocation does the same actions, each of which can be repeated, and goes on; so every record is counted once. A plan
//! is the same walk that writes its actions into a report instead.

mod action;
mod configuration;
mod decide;
mod failure;
mod heartbeat;
mod key_index;
mod pending;
pub mod report;
mod retry;
mod run;
mod sweep;
mod timing;
#[cfg(test)]
mod upgrade;
mod walk;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    breakers::Breakers,
    domain::{
        ApplicationId, ChangeMessage, Clock, FieldGroup, FieldGroups, FingerprintKey,
        ImportRequest, PassMessage, PassRequest, Scope, Shops,
    },
    erp::{Erp, same_company},
    http::Deadline,
    mappings::Mappings,
    mappings::key_index::KeyIndex,
    norce::NorceQuery,
    owed::OwedRecords,
    passes::Passes,
    queues::{Queue, QueueDepth, QueueError},
    reports::Reports,
    runtime::{
        batch::{Handler, Outcome, Received},
        metrics::Metrics,
    },
};
use thiserror::Error;
use uuid::Uuid;

pub use crate::{
    configuration::{Configuration, PassSettings},
    retry::{Retried, RetryError},
};

/// What a schedule or a person asks for, besides the messages of the queue `passes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `{"retry":"owed"}`: what is owed is tried again, as far as it is due.
    Retry(Retry),
    /// A pass.
    Pass(PassRequest),
}

/// What can be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", tag = "retry", deny_unknown_fields)]
pub enum Retry {
    /// What is owed.
    Owed {},
}

impl Request {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: Value) -> Result<Self, serde_json::Error> {
        if text.get("retry").is_some() {
            serde_json::from_value(text).map(Self::Retry)
        } else {
            serde_json::from_value(text).map(Self::Pass)
        }
    }
}

/// The use case with everything that it needs.
pub struct ErpFullPass {
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
    /// Runs, leases and watermarks.
    pub passes: Arc<dyn Passes>,
    /// Where plans are left.
    pub reports: Arc<dyn Reports>,
    /// Lines for Norce.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// How many of them wait.
    pub imports_depth: Arc<dyn QueueDepth>,
    /// Entities that are to be looked at.
    pub changes: Arc<dyn Queue<ChangeMessage>>,
    /// More of the messages that are handled here.
    pub to_passes: Arc<dyn Queue<PassMessage>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The key of the fingerprints.
    pub fingerprints: FingerprintKey,
    /// Which shops there are.
    pub shops: Shops,
    /// What to do with what is found.
    pub settings: PassSettings,
    /// Which remotes are unavailable, for the metrics.
    pub breakers: Arc<dyn Breakers>,
    /// What an invocation measures.
    pub metrics: Metrics,
}

impl ErpFullPass {
    /// Whether a record of the ERP that no register has may be inserted into this one. Into the shared one none is: which
    /// entities Norce matches a row without an `ApplicationKey` with is not documented (norce-api §8). And where the two
    /// are kept in one ERP company, nothing says which of them a record belongs to.
    pub(crate) fn takes_new_records(&self, scope: Scope) -> bool {
        if !self.shops.share_some() {
            return true;
        }
        let erp = |scope| self.erps.get(&scope).map(AsRef::as_ref);
        let both = erp(scope).zip(erp(Scope::Client));
        scope != Scope::Client && !both.is_some_and(|(own, shared)| same_company(own, shared))
    }
}

/// The ERP's part in `ERP_OWNED_FIELDS` is more than it can tell.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "ERP_OWNED_FIELDS: {erp} cannot be asked for: {groups}; leave them to Norce, or name their fields in ERP_EXTRA_FIELDS"
)]
pub struct Unreadable {
    erp: &'static str,
    groups: FieldGroups,
}

/// The groups of fields that a pass reads from this ERP and tells Norce: those that it owns and can be asked for. Price
/// lists belong to the ERP unless configured otherwise, so that an ERP which cannot be asked for them is no fault.
///
/// # Errors
/// When other groups were given to the ERP that it cannot be asked for.
pub fn told_groups(owns: FieldGroups, erp: &dyn Erp) -> Result<FieldGroups, Unreadable> {
    let capabilities = erp.capabilities();
    let readable = capabilities.readable.union(FieldGroups::CODE);
    let missing = owns.without(readable);
    let groups = missing.without(FieldGroups::of(&[FieldGroup::PriceLists]));
    if groups.is_empty() {
        Ok(owns.without(missing))
    } else {
        Err(Unreadable {
            erp: capabilities.name,
            groups,
        })
    }
}

/// A pass cannot be started as it was asked for.
#[derive(Debug, Error)]
pub enum StartError {
    /// The application is not one of ours.
    #[error(
        "application {0} has no register of its own: it is not in NORCE_APPLICATIONS, or CUSTOMERS_BY_APPLICATION is false"
    )]
    Application(ApplicationId),
    /// The queue failed: ask again.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// In words.
    pub summary: String,
    /// One run for each register.
    pub runs: Vec<StartedRun>,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StartedRun {
    /// Its id, under which its record is found.
    pub run: Uuid,
    /// The register.
    pub scope: Scope,
}

/// Starts a pass: one run for each register that is meant, so that one application's faults do not touch another's
/// (P14).
///
/// # Errors
/// When no register is meant, or the queue failed.
pub async fn start(
    shops: &Shops,
    to_passes: &dyn Queue<PassMessage>,
    request: &PassRequest,
) -> Result<Started, StartError> {
    let scopes = match request.application {
        None => shops.scopes(),
        Some(application) => {
            let own = Scope::Application(application);
            if !shops.scopes().contains(&own) {
                return Err(StartError::Application(application));
            }
            vec![own]
        }
    };
    let runs: Vec<StartedRun> = scopes
        .into_iter()
        .map(|scope| StartedRun {
            run: Uuid::new_v4(),
            scope,
        })
        .collect();
    let messages: Vec<PassMessage> = runs
        .iter()
        .map(|started| PassMessage::Start {
            run: started.run,
            scope: started.scope,
            mode: request.mode,
            kind: request.kind,
            dry_run: request.dry_run,
        })
        .collect();
    to_passes.send(&messages, Duration::ZERO).await?;
    let what = if request.dry_run { "plan of a " } else { "" };
    let summary = format!(
        "{what}{} pass started (registers: {})",
        request.mode,
        runs.len()
    );
    tracing::info!(mode = %request.mode, dry_run = request.dry_run, runs = runs.len(), "pass started");
    Ok(Started { summary, runs })
}

impl ErpFullPass {
    /// Starts a pass: [`start`].
    ///
    /// # Errors
    /// When no register is meant, or the queue failed.
    pub async fn start(&self, request: &PassRequest) -> Result<Started, StartError> {
        start(&self.shops, self.to_passes.as_ref(), request).await
    }

    fn overlap(&self, sweep: bool) -> TimeDelta {
        if sweep {
            self.settings.sweep_overlap
        } else {
            self.settings.overlap
        }
    }
}

#[async_trait]
impl Handler<PassMessage> for ErpFullPass {
    async fn handle(&self, received: Received<PassMessage>, deadline: Deadline) -> Outcome {
        self.step(received.message, deadline).await
    }
}
