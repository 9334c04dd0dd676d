//! Carries actions out. Every action can be repeated, so that a crash anywhere costs nothing.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use shared::{
    Consistency,
    domain::{
        Cause, ChangeMessage, Clock, Code, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups,
        ImportLine, ImportRequest, NorceId, Scope,
    },
    mappings::{Binding, Bound, CodeDelivery, Mapping, NewBinding, RecordMappings},
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
    passes::{Counts, Passes},
    queues::Queue,
};
use uuid::Uuid;

use crate::{
    action::{Action, GoneRecord, NorceUpdate, UpdateKind, waiting},
    meter::Meter,
    ports::ErpFullPass,
    rules,
    stop_reason::Result,
};

/// Actions that are carried out at the same time: each takes a few requests of some ten milliseconds.
const ACTION_CONCURRENCY: usize = 16;
/// Lines in one message: about 40 KB of the 1 MiB that SQS takes, and a fifth of an import job of the usual size.
const LINES_PER_MESSAGE: usize = 100;
/// Change messages in one call.
const CHANGES_BATCH_SIZE: usize = 100;

/// Carries out the actions of one run.
pub(crate) struct Executor<'a> {
    pub(crate) scope: Scope,
    pub(crate) correlation: Uuid,
    pub(crate) mappings: &'a dyn RecordMappings,
    pub(crate) owed: &'a dyn OwedRecords,
    pub(crate) passes: &'a dyn Passes,
    pub(crate) imports: &'a dyn Queue<ImportRequest>,
    pub(crate) changes: &'a dyn Queue<ChangeMessage>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) meter: &'a Meter,
}

/// What follows from an action for the queues and the counts.
enum Effect {
    Line(EntityKind, ImportLine),
    Recheck(ChangeMessage),
    ConflictInstead(UpdateKind),
    DecideAgain(UpdateKind, ErpId),
}

/// What was carried out.
#[derive(Default)]
pub(crate) struct Executed {
    /// How many lines were sent.
    pub(crate) lines: u64,
    /// Records whose bindings were decided without reading the mappings, and were refused.
    pub(crate) refused: Vec<ErpId>,
}

/// How a change to the mappings ended.
enum Stored {
    Done,
    /// Another change came first, with something else.
    Conflict(String),
    /// The mappings, which were not read first, already hold something else.
    Refused,
    /// The entity or the record was forgotten meanwhile, or is no longer bound: nothing is sent.
    Gone,
}

impl<'a> Executor<'a> {
    /// Works on one scope. `correlation`: the run, or the event.
    pub(crate) fn new(
        pass: &'a ErpFullPass,
        scope: Scope,
        correlation: Uuid,
        meter: &'a Meter,
    ) -> Self {
        Self {
            scope,
            correlation,
            mappings: pass.mappings.as_ref(),
            owed: pass.owed.as_ref(),
            passes: pass.passes.as_ref(),
            imports: pass.imports.as_ref(),
            changes: pass.changes.as_ref(),
            clock: pass.clock.as_ref(),
            meter,
        }
    }
}

impl Executor<'_> {
    /// Carries actions out: mappings first, because they may refuse, then the lines.
    ///
    /// Bindings come before everything else. A code that a renamed record gives up in the same step still counts as taken;
    /// the record that has it now is bound when the pass decides about it again, or by the next pass.
    pub(crate) async fn execute(
        &self,
        counts: &mut Counts,
        actions: &[Action],
    ) -> Result<Executed> {
        let bound = self.bind_all(actions).await?;
        let calls = actions.iter().zip(bound);
        let calls: Vec<_> = calls
            .map(|(action, bound)| self.act(action, bound))
            .collect();
        let effects: Vec<Option<Effect>> = stream::iter(calls)
            .buffered(ACTION_CONCURRENCY)
            .try_collect()
            .await?;
        let mut lines: BTreeMap<EntityKind, Vec<ImportLine>> = BTreeMap::new();
        let mut rechecks = Vec::new();
        let mut executed = Executed::default();
        for effect in effects.into_iter().flatten() {
            match effect {
                Effect::Line(kind, line) => lines.entry(kind).or_default().push(line),
                Effect::Recheck(message) => rechecks.push(message),
                Effect::ConflictInstead(what) => {
                    what.uncount(counts);
                    counts.conflicts += 1;
                }
                Effect::DecideAgain(what, record) => {
                    what.uncount(counts);
                    executed.refused.push(record);
                }
            }
        }
        executed.lines = lines.values().map(|lines| lines.len() as u64).sum();
        self.meter.add(|cost| cost.import_lines += executed.lines);
        // Companies first: a contact's company is then usually there before it.
        let mut requests = Vec::new();
        for (kind, lines) in lines.into_iter().rev() {
            requests.extend(lines.chunks(LINES_PER_MESSAGE).map(|lines| ImportRequest {
                kind,
                scope: self.scope,
                lines: lines.to_vec(),
                alone: false,
                since: None,
            }));
        }
        if !requests.is_empty() {
            self.imports.send(&requests, Duration::ZERO).await?;
        }
        for rechecks in rechecks.chunks(CHANGES_BATCH_SIZE) {
            self.changes.send(rechecks, Duration::ZERO).await?;
        }
        Ok(executed)
    }

    /// Makes the bindings of all actions together. Returns the outcome of each action that is a binding.
    async fn bind_all(&self, actions: &[Action]) -> Result<Vec<Option<Bound>>> {
        let mut bound = vec![None; actions.len()];
        let bindings = actions.iter().enumerate().filter_map(|(place, action)| {
            let Action::Update(update) = action else {
                return None;
            };
            // A binding that replaces another one is a transaction of its own.
            let is_binding = matches!(update.what, UpdateKind::Bind | UpdateKind::Code);
            if !is_binding || update.replaces.is_some() {
                return None;
            }
            let new = NewBinding {
                entity: update.entity(self.scope)?,
                binding: self.binding(update),
            };
            Some((place, new))
        });
        let (places, bindings): (Vec<usize>, Vec<NewBinding>) = bindings.unzip();
        if bindings.is_empty() {
            return Ok(bound);
        }
        self.meter
            .add(|cost| cost.mapping_writes += bindings.len() as u64);
        let outcomes = self.mappings.bind_many(&bindings).await?;
        for (place, outcome) in places.into_iter().zip(outcomes) {
            if let Some(bound) = bound.get_mut(place) {
                *bound = Some(outcome);
            }
        }
        Ok(bound)
    }

    /// Carries an action out. `bound`: the outcome of its binding, if it is one.
    async fn act(&self, action: &Action, bound: Option<Bound>) -> Result<Option<Effect>> {
        match action {
            Action::Update(update) => self.update(update, bound).await,
            Action::Wait { company, update } => {
                let id = self.wait(company, update).await?;
                let line = id.map(|id| self.line_with_company(update, None, id));
                Ok(line.map(|line| Effect::Line(update.kind, line)))
            }
            Action::Owe {
                record,
                code,
                reason,
                detail,
                ..
            } => {
                self.owe(record, code.as_ref(), *reason, detail).await?;
                Ok(None)
            }
            Action::Resolve { record } => {
                let subject = Subject::Record {
                    scope: self.scope,
                    record: record.clone(),
                };
                for stage in [Stage::CodeToNorce, Stage::FieldsToNorce] {
                    self.owed.resolve(&subject, stage).await?;
                }
                Ok(None)
            }
            Action::Recheck { entity, gone, .. } => self.recheck(*entity, gone.as_ref()).await,
        }
    }

    /// Has an entity checked. Where its record is gone, the binding is marked first: an unchanged entity is compared with
    /// the ERP only then, and no order goes out with the code meanwhile.
    async fn recheck(
        &self,
        entity: EntityRef,
        gone: Option<&GoneRecord>,
    ) -> Result<Option<Effect>> {
        let at = self.clock.now();
        if let Some(GoneRecord { record, code }) = gone {
            let marked = self.mappings.record_gone(entity, record, at);
            if !self.meter.mapping_write(marked).await? {
                // It was bound to another record, or forgotten, meanwhile.
                return Ok(None);
            }
            tracing::warn!(%entity, %code, "the ERP does not have the bound record anymore");
        }
        Ok(Some(Effect::Recheck(ChangeMessage::Entity {
            entity,
            cause: Cause::Changed,
            received_at: at,
            ordered_at: None,
            correlation: self.correlation,
        })))
    }

    async fn update(&self, update: &NorceUpdate, bound: Option<Bound>) -> Result<Option<Effect>> {
        match self.store(update, bound).await? {
            Stored::Done => {}
            Stored::Gone => return Ok(None),
            Stored::Refused => {
                let (what, record) = (update.what.clone(), update.record.clone());
                return Ok(Some(Effect::DecideAgain(what, record)));
            }
            Stored::Conflict(detail) => {
                let (code, reason) = (Some(&update.code), Reason::Conflict);
                self.owe(&update.record, code, reason, &detail).await?;
                return Ok(Some(Effect::ConflictInstead(update.what.clone())));
            }
        }
        let mut line = update.line(self.correlation);
        if let Some(company) = &update.waits_for
            && let Some(id) = self.wait(company, update).await?
        {
            line = Some(self.line_with_company(update, line, id));
        }
        Ok(line.map(|line| Effect::Line(update.kind, line)))
    }

    /// A line that relates the record to its company, which Norce has by now.
    fn line_with_company(
        &self,
        update: &NorceUpdate,
        line: Option<ImportLine>,
        company: NorceId,
    ) -> ImportLine {
        ImportLine {
            record: Some(update.record.clone()),
            company: Some(company),
            ..line.unwrap_or_else(|| update.waiting_line(self.correlation))
        }
    }

    /// Makes what needs the company wait and be owed; or returns the company's id, where Norce has it by now.
    ///
    /// `poll-jobs` binds a company before it reads what waits for it. Here it is the other way round, so that whatever
    /// happens at the same time, one of the two sees the other; also where this is repeated after a crash.
    async fn wait(&self, company: &ErpId, update: &NorceUpdate) -> Result<Option<NorceId>> {
        let (scope, passes) = (self.scope, self.passes);
        let line = update.waiting_line(self.correlation);
        let now = self.clock.now();
        let waits = passes.wait_for_company(scope, company, &line, now).await?;
        if !waits {
            tracing::warn!(%scope, %company, record = %update.record, "too many lines wait for a company; a later pass imports the relation of this record");
        }
        let companies = std::slice::from_ref(company);
        let mappings = self.mappings;
        let entries = mappings.records(scope, companies, Consistency::Strong);
        if let Some(id) = entries
            .await?
            .into_iter()
            .flatten()
            .find_map(|entry| entry.id)
        {
            // A crash before the line is sent repeats all of this.
            passes.stop_waiting(scope, company, &[line], now).await?;
            return Ok(Some(id));
        }
        let (code, reason) = (Some(&update.code), Reason::MissingPrerequisite);
        self.owe(&update.record, code, reason, &waiting(company))
            .await?;
        Ok(None)
    }

    async fn owe(
        &self,
        record: &ErpId,
        code: Option<&Code>,
        reason: Reason,
        detail: &str,
    ) -> Result {
        let owed = NewOwed {
            subject: Subject::Record {
                scope: self.scope,
                record: record.clone(),
            },
            stage: Stage::CodeToNorce,
            reason,
            detail: detail.to_owned(),
            code: code.cloned(),
            at: self.clock.now(),
            correlation: self.correlation,
            cause: None,
        };
        Ok(self.owed.put(owed).await?)
    }

    /// Stores the mapping's part of an update.
    async fn store(&self, update: &NorceUpdate, bound: Option<Bound>) -> Result<Stored> {
        let (mappings, meter) = (self.mappings, self.meter);
        let NorceUpdate { record, code, .. } = update;
        let fingerprint = update.fingerprint.as_ref();
        let Some(entity) = update.entity(self.scope) else {
            let announced =
                mappings.announce_insert(update.kind, self.scope, record, code, fingerprint);
            let announced = meter.mapping_write(announced).await?;
            return Ok(if announced {
                Stored::Done
            } else {
                Stored::Gone
            });
        };
        let stored = match &update.what {
            UpdateKind::Bind | UpdateKind::Code => {
                let bound = match &update.replaces {
                    Some(gone) => Some(self.rebind(entity, gone, update).await?),
                    None => bound,
                };
                if update.unread && bound != Some(Bound::Done) {
                    return Ok(Stored::Refused);
                }
                bound.map_or(Stored::Gone, |bound| stored(entity, code, bound))
            }
            UpdateKind::Rename { from } => {
                let renamed = mappings.rename(entity, record, from, code);
                stored(entity, code, meter.mapping_write(renamed).await?)
            }
            UpdateKind::CodeAgain => {
                let at = self.clock.now();
                let handed_over = CodeDelivery::HandedOver { at };
                let noted = mappings.record_delivery(entity, code, handed_over);
                let is_there = meter.mapping_write(noted).await?;
                if is_there { Stored::Done } else { Stored::Gone }
            }
            UpdateKind::Fields | UpdateKind::Insert => Stored::Done,
        };
        let sends_fields = update.what == UpdateKind::Fields
            || !update.fields.without(FieldGroups::CODE).is_empty();
        if matches!(stored, Stored::Done) && (sends_fields || fingerprint.is_some()) {
            let noted = mappings.record_owned(self.scope, record, fingerprint);
            let is_there = meter.mapping_write(noted).await?;
            if !is_there {
                return Ok(Stored::Gone);
            }
        }
        Ok(stored)
    }

    fn binding(&self, update: &NorceUpdate) -> Binding {
        let at = self.clock.now();
        let delivery = if update.fields.has(FieldGroup::Code) {
            CodeDelivery::HandedOver { at }
        } else {
            CodeDelivery::Confirmed { at }
        };
        Binding::new(update.code.clone(), update.record.clone(), delivery)
    }

    /// Replaces the binding to a record that the ERP no longer has.
    async fn rebind(&self, entity: EntityRef, gone: &ErpId, update: &NorceUpdate) -> Result<Bound> {
        let (mappings, meter) = (self.mappings, self.meter);
        let mut binding = self.binding(update);
        let former = match mappings.get(entity).await? {
            Some(Mapping::Bound(binding)) => Some(binding.code),
            _ => None,
        };
        let former = former.filter(|former| *former != update.code);
        binding.former_code.clone_from(&former);
        binding.replaced_code = former;
        let rebound = mappings.rebind(entity, gone, binding);
        Ok(meter.mapping_write(rebound).await?)
    }
}

fn stored(entity: EntityRef, code: &Code, bound: Bound) -> Stored {
    match bound {
        Bound::Done => Stored::Done,
        Bound::Forgotten => Stored::Gone,
        Bound::CodeTaken { by } => Stored::Conflict(format!(
            "code {code} already belongs to {by} and is not given to {entity}: correct the code of one of the two in Norce, or merge the two there"
        )),
        Bound::RecordTaken { by } => Stored::Conflict(format!(
            "the record already belongs to {by} and is not given to {entity}: merge the two in Norce"
        )),
        Bound::OtherCode { code: other } => {
            Stored::Conflict(rules::bound_to_other_code(entity, &other, code))
        }
    }
}
