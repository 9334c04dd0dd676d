//! What the ERP says has changed. It is a hint: the records that it names are asked for, and a delta pass reads the rest.
//!
//! | a record that it names is … | then |
//! |---|---|
//! | bound, and gone | the binding is marked, and `change-events` decides what follows |
//! | anything else, or none is named | a delta pass starts |
//!
//! However many hints come, there is one pass over a scope at a time, and one a minute: a hint that came before the last
//! pass began needs nothing more; later hints wait until that pass has ended and moved the watermark. A full pass takes long, and no
//! hint waits for one: the next delta pass by schedule reads the change.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    Consistency,
    domain::{EntityKind, EntityRef, ErpId, PartyType, PassMessage, PassMode, Scope},
    http::Deadline,
    passes::{Cost, Counts, LeaseKey},
};
use uuid::Uuid;

use crate::{
    action::Action,
    executor::Executor,
    gone::recheck,
    meter::Meter,
    ports::ErpFullPass,
    record_check::RecordCheck,
    stop_reason::{Result, StopReason},
};

/// The time between the beginnings of two passes that hints start. An ERP that is busy says twice a minute that something
/// has changed (erp-apis §1.10).
const BETWEEN_PASSES: TimeDelta = TimeDelta::seconds(60);
/// How long a hint waits until it looks again whether the pass over its scope has ended.
const WAIT_FOR_PASS: Duration = Duration::from_secs(60);

/// What the ERP says.
pub(crate) struct Hint {
    pub(crate) company: Option<String>,
    pub(crate) records: Vec<ErpId>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) correlation: Uuid,
}

/// Acts upon hints.
pub(crate) struct Hints<'a>(pub(crate) &'a ErpFullPass);

impl Hints<'_> {
    pub(crate) async fn handle(&self, hint: Hint, deadline: Deadline) -> Result {
        let scopes = self.scopes(hint.company.as_deref());
        if scopes.is_empty() {
            tracing::warn!(
                "the ERP reports a change in a company that no scope has; the event is dropped"
            );
            return Ok(());
        }
        if hint.records.is_empty() {
            return self.start(&scopes, hint.received_at).await;
        }
        let mut are_there = false;
        for scope in scopes {
            are_there |= self.check(scope, &hint, deadline).await?;
        }
        if !are_there {
            return Ok(());
        }
        // A message of its own: while it waits for a pass, the records are not asked for again.
        let pass = PassMessage::ErpChanged {
            company: hint.company,
            records: Vec::new(),
            received_at: hint.received_at,
            correlation: hint.correlation,
        };
        Ok(self.0.to_passes.send(&[pass], Duration::ZERO).await?)
    }

    /// The scopes that are kept in an ERP company.
    fn scopes(&self, company: Option<&str>) -> Vec<Scope> {
        let mut scopes = self.0.shops.scopes();
        scopes.retain(|scope| {
            let own = self.0.erps.get(scope).map(|erp| erp.company());
            own.is_some_and(|own| match (own.as_deref(), company) {
                (Some(own), Some(company)) => own.eq_ignore_ascii_case(company),
                _ => true,
            })
        });
        scopes
    }

    /// Checks the entities whose records are gone. Returns whether there are others, which a pass has to read.
    async fn check(&self, scope: Scope, hint: &Hint, deadline: Deadline) -> Result<bool> {
        let pass = self.0;
        let Some(erp) = pass.erps.get(&scope) else {
            return Ok(false);
        };
        let records = &hint.records;
        let entries = pass
            .mappings
            .records(scope, records, Consistency::Strong)
            .await?;
        let bound = records.iter().zip(entries).filter_map(|(record, entry)| {
            let entry = entry?;
            let id = entry.id?;
            let kind = entry.kind;
            let of = PartyType::of(kind, record.resource);
            let is_on = pass.settings.sync_kinds.has(of);
            is_on.then(|| (EntityRef { kind, scope, id }, record.clone(), entry.code))
        });
        let bound: Vec<_> = bound.collect();
        let asked: Vec<ErpId> = bound.iter().map(|(_, record, _)| record.clone()).collect();
        let meter = Meter::new(Cost::default());
        let check = RecordCheck {
            erp: erp.as_ref(),
            meter: &meter,
            deadline,
        };
        let gone = check.gone(&asked).await?;
        let actions: Vec<Action> = bound
            .into_iter()
            .filter(|(_, record, _)| gone.contains(record))
            .map(|(entity, record, code)| recheck(entity, record, code))
            .collect();
        // Nothing is recorded before: the message comes again after a crash, and all of this can be repeated.
        let executor = Executor::new(pass, scope, hint.correlation, &meter);
        executor.execute(&mut Counts::default(), &actions).await?;
        Ok(gone.len() < records.len())
    }

    /// Starts a delta pass over each scope that has had none since the hint came.
    async fn start(&self, scopes: &[Scope], received_at: DateTime<Utc>) -> Result {
        let mut waits = None;
        for scope in scopes {
            if let Some(wait) = self.start_over(*scope, received_at).await? {
                waits = Some(wait);
            }
        }
        match waits {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }

    /// Returns what the hint waits for.
    async fn start_over(
        &self,
        scope: Scope,
        received_at: DateTime<Utc>,
    ) -> Result<Option<StopReason>> {
        let pass = self.0;
        let key = LeaseKey {
            scope,
            sweep: false,
        };
        let mut watermark: Option<DateTime<Utc>> = None;
        for kind in [EntityKind::Company, EntityKind::Customer] {
            let Some(of_kind) = pass.passes.watermark(key, kind).await? else {
                // The first pass reads everything, and is a person's to start.
                tracing::info!(%scope, "the ERP reports a change; no pass has been over this scope yet, and none is started");
                return Ok(None);
            };
            watermark = Some(watermark.map_or(of_kind, |earliest| earliest.min(of_kind)));
        }
        let Some(watermark) = watermark.filter(|watermark| *watermark < received_at) else {
            return Ok(None);
        };
        let now = pass.clock.now();
        let wait = |at_least, reason| {
            Some(StopReason::Later {
                at_least: Some(at_least),
                reason,
            })
        };
        if let Some(lease) = pass.passes.holder(key, now).await? {
            let run = pass.passes.run(lease.run).await?;
            if run.is_some_and(|run| run.mode == PassMode::Full) {
                tracing::info!(%scope, run = %lease.run, "the ERP reports a change while a full pass walks; the next delta pass reads it");
                return Ok(None);
            }
            let reason = format!("pass {} is walking over this scope", lease.run);
            return Ok(wait(WAIT_FOR_PASS, reason));
        }
        if let Ok(left) = (watermark + BETWEEN_PASSES - now).to_std()
            && !left.is_zero()
        {
            let reason = "the last pass over this scope began a moment ago".to_owned();
            return Ok(wait(left, reason));
        }
        // The pass that follows this watermark: several hints start one and the same.
        // If it fails, the next hour's does not wait for the schedule.
        let hour = now.timestamp() / 3_600;
        let name = format!("{scope} {} {hour}", watermark.timestamp_micros());
        let start = PassMessage::Start {
            run: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            scope,
            mode: PassMode::Delta,
            kind: None,
            dry_run: false,
        };
        pass.to_passes.send(&[start], Duration::ZERO).await?;
        tracing::info!(%scope, "the ERP reports a change: a delta pass starts");
        Ok(None)
    }
}
