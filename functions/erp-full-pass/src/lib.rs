//! `erp-full-pass`: the fail-safe. It walks over the ERP's records (delta and full passes) and repairs codes in Norce
//! with minimal imports, and it walks over what has changed in Norce (the sweep) and has it checked again.
//!
//! ```text
//! run          one step of a run: the lease, one skeleton over a sink, the way on
//! progress     a run at work, and the sink: `outbox` of a pass, or `plan`
//! checkpoint   what is recorded of a run between two invocations
//! erp_walk     the ERP's side: pages, and look-ups in batches; `key_index` lists what it reads
//! gone         bound records that the ERP no longer has
//! hint         what the ERP says has changed: `erp_events` keeps the subscription to that
//! norce_walk   Norce's side
//! resolver     what the rules need of Norce, the ERP and the mappings: `lookups`; `meter` counts what that costs
//! rules        what is done about a record: without I/O; `candidates`: which entities it could be
//! action       what was decided, as it is recorded; `executor` carries it out
//! report       what a plan leaves
//! retry        owed records, retried by a schedule
//! heartbeat    metrics of the state that no event changes
//! ```
//!
//! A pass records what it will do before it does it: the actions of a page stand in the record of the run together with
//! the place where the walk continues and the counts. An invocation that is cut off anywhere leaves a record from which
//! the next one repeats the same actions and continues, so that every record is counted once. A plan is the same walk
//! that writes its actions into a report instead.

mod action;
mod candidates;
mod checkpoint;
mod configuration;
mod erp_events;
mod erp_walk;
mod executor;
mod gone;
mod heartbeat;
mod hint;
mod key_index;
mod lookups;
mod meter;
mod norce_walk;
mod outbox;
mod pending;
mod plan;
mod ports;
mod progress;
mod record_check;
pub mod report;
mod resolver;
mod retry;
mod rules;
mod run;
mod stop_reason;
#[cfg(test)]
mod upgrade;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    StoreError,
    domain::{ApplicationId, ApplicationSettings, PassMessage, PassMode, PassRequest, Scope},
    http::Deadline,
    owed::OwedCounts,
    passes::LeaseKey,
    queues::Queue,
    runtime::batch::{Handler, Outcome, Received},
};
use thiserror::Error;
use uuid::Uuid;

pub use crate::{
    configuration::{Configuration, ErpEventSettings, PassSettings, Unreadable, synced_groups},
    erp_events::ErpEventKeeper,
    ports::ErpFullPass,
    retry::Retried,
};

use crate::{heartbeat::Heartbeat, run::Runner};

/// The request of a schedule or a person, besides the messages of the queue `passes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `{"retry":"owed"}`: owed records are retried, as far as they are due.
    Retry(Retry),
    /// A pass.
    Pass(PassRequest),
}

/// What can be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", tag = "retry", deny_unknown_fields)]
pub enum Retry {
    /// Owed records.
    Owed {},
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// The request is neither of the two.
    pub fn parse(text: Value) -> Result<Self, serde_json::Error> {
        if text.get("retry").is_some() {
            serde_json::from_value(text).map(Self::Retry)
        } else {
            serde_json::from_value(text).map(Self::Pass)
        }
    }
}

/// A pass cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The application has no scope.
    #[error(
        "application {0} has no scope of its own: it is not in NORCE_APPLICATIONS, or CUSTOMERS_BY_APPLICATION is false"
    )]
    Application(ApplicationId),
    /// The queue or a store failed: start the pass again.
    #[error(transparent)]
    Queue(#[from] StoreError),
}

/// A pass that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// A sentence for people.
    pub summary: String,
    /// One run for each scope.
    pub runs: Vec<StartedRun>,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StartedRun {
    /// The id of its record.
    pub run: Uuid,
    /// The scope.
    pub scope: Scope,
}

/// Starts a pass: one run for each scope, so that one application's faults do not touch another's (P14).
///
/// # Errors
/// The application has no scope, or the queue failed.
pub async fn start(
    shops: &ApplicationSettings,
    to_passes: &dyn Queue<PassMessage>,
    request: &PassRequest,
) -> Result<Started, StartError> {
    let scopes = scopes(shops, request)?;
    start_over(scopes, to_passes, request).await
}

/// The scopes that a request is about.
fn scopes(shops: &ApplicationSettings, request: &PassRequest) -> Result<Vec<Scope>, StartError> {
    let Some(application) = request.application else {
        return Ok(shops.scopes());
    };
    let own = Scope::Application(application);
    if !shops.scopes().contains(&own) {
        return Err(StartError::Application(application));
    }
    Ok(vec![own])
}

async fn start_over(
    scopes: Vec<Scope>,
    to_passes: &dyn Queue<PassMessage>,
    request: &PassRequest,
) -> Result<Started, StartError> {
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
        "{what}{} pass started (scopes: {})",
        request.mode,
        runs.len()
    );
    tracing::info!(mode = %request.mode, dry_run = request.dry_run, runs = runs.len(), "pass started");
    Ok(Started { summary, runs })
}

impl ErpFullPass {
    /// Starts a pass for a schedule, as [`start`] does for a person. A delta pass or a sweep does not start over a scope that
    /// a run is walking over: the schedule starts the next one soon, from the same watermark, and those that wait for a long
    /// run would pile up in the queue.
    ///
    /// # Errors
    /// The application has no scope, or the queue or the store of the passes failed.
    pub async fn start(&self, request: &PassRequest) -> Result<Started, StartError> {
        let sweep = request.mode == PassMode::Sweep;
        let mut free = Vec::new();
        for scope in scopes(&self.shops, request)? {
            let key = LeaseKey { scope, sweep };
            let waits_anyway = request.mode == PassMode::Full || request.dry_run;
            match self.passes.holder(key, self.clock.now()).await? {
                Some(lease) if !waits_anyway => {
                    tracing::info!(%scope, mode = %request.mode, run = %lease.run, "a pass is still walking over this scope; the next one by schedule follows it");
                }
                _ => free.push(scope),
            }
        }
        start_over(free, self.to_passes.as_ref(), request).await
    }

    /// Sends the owed records that are due to `changes`, the longest due first.
    ///
    /// # Errors
    /// The list or the queue failed. What was sent before may be sent again, which does no harm.
    pub async fn retry_owed(&self, deadline: Deadline) -> Result<Retried, StoreError> {
        self.owed_retry().retry_due(deadline).await
    }

    /// Measures the owed records, the age of the watermarks, and the breakers; and stores how much is owed, for charts.
    ///
    /// # Errors
    /// A store failed. The owed records are measured all the same.
    pub async fn heartbeat(&self, owed: &OwedCounts) -> Result<(), StoreError> {
        let heartbeat = Heartbeat {
            passes: self.passes.as_ref(),
            breakers: self.breakers.as_ref(),
            scopes: self.shops.scopes(),
            clock: self.clock.as_ref(),
            metrics: &self.metrics,
        };
        heartbeat.measure(owed).await
    }
}

#[async_trait]
impl Handler<PassMessage> for ErpFullPass {
    async fn handle(&self, received: Received<PassMessage>, deadline: Deadline) -> Outcome {
        Runner(self).handle(received.message, deadline).await
    }
}
