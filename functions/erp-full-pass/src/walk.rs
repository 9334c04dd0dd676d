//! The ERP's side: its records page by page. While one page is compared with its mappings, the next one is fetched.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use shared::{
    Consistency,
    domain::{EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, PassMode, Resource, Scope},
    erp::{ErpRecord, Listing, RecordPage, Unusable, UnusableRecord},
    http::Deadline,
    mappings::key_index::{KeyIndex, ReadOnly},
    mappings::{Mapping, READ_AT_ONCE, RecordFace},
    norce::LOOKED_UP_AT_ONCE,
    owed::{Earliest, Owed, Reason, Stage, Subject, fold},
    passes::Run,
    record_finder::RecordFinder,
};
use tokio::time::Instant;

use crate::{
    ErpFullPass,
    action::Action,
    decide::{Asking, Decision, Look, Question, Rules, Skipped},
    failure::Halt,
    pending::Pending,
    run::{Part, STOP_BEFORE, Step},
    timing::{Timed, milliseconds},
    told_groups,
};

/// Pages between two notes of how far a walk has come, where there is nothing to be done: what a crash makes it read
/// again.
const PAGES_BETWEEN_NOTES: u32 = 20;
/// Owed records that are looked at in one go.
const OWED_AT_ONCE: usize = 100;
/// Owed records that a run remembers: about a quarter of what an item of DynamoDB holds.
const MOST_OWED: usize = 1_500;

impl ErpFullPass {
    /// Walks over what is left of a run over the ERP.
    pub(crate) async fn walk(&self, step: &mut Step<'_>, deadline: Deadline) -> Result<(), Halt> {
        let scope = step.run.scope;
        let erp = self
            .erps
            .get(&scope)
            .map(AsRef::as_ref)
            .ok_or_else(|| Halt::Later {
                at_least: None,
                reason: format!("no ERP company is configured for scope {scope}"),
            })?;
        let told = told_groups(self.settings.erp_owns, erp).map_err(|error| Halt::Later {
            at_least: None,
            reason: error.to_string(),
        })?;
        let index: Arc<dyn KeyIndex> = if step.run.dry_run {
            Arc::new(ReadOnly(self.key_index.clone()))
        } else {
            self.key_index.clone()
        };
        let rules = Rules {
            pass: self,
            erp,
            finder: RecordFinder::new(erp, index.as_ref(), &self.fingerprints, scope),
            told,
            companies: Mutex::default(),
        };
        let mut pending = self.pending_again(&rules, step, deadline).await?;
        if step.work.owed.is_none() {
            step.work.owed = Some(self.owed_records(scope, deadline).await?);
        }
        loop {
            match step.work.part {
                Part::Owed => self.owed_part(&rules, step, &mut pending, deadline).await?,
                Part::Records { resource } => {
                    self.records_part(&rules, step, resource, &mut pending, deadline)
                        .await?;
                }
                Part::Changed { .. } | Part::Forgotten | Part::Done => return Ok(()),
            }
            // What is left of a part is asked at its end: fewer than fit into one look-up.
            self.ask_all(&rules, step, &mut pending, 1, deadline)
                .await?;
            let was_records = matches!(step.work.part, Part::Records { .. });
            step.next_part();
            if was_records && step.work.part == Part::Owed {
                // Before what is left is looked at again: now it can be told who holds a key.
                if self.cover(step).await? {
                    self.retry_prerequisites(scope, deadline).await?;
                }
                rules.finder.refresh();
            }
            step.commit(self, &pending).await?;
            step.check_time(self, &pending, deadline).await?;
        }
    }

    /// What a listing has to read of each record.
    fn fields(&self, told: FieldGroups) -> FieldGroups {
        if self.settings.import_unknown {
            told.union(FieldGroups::of(&[FieldGroup::Names]))
        } else {
            told
        }
    }

    async fn records_part(
        &self,
        rules: &Rules<'_>,
        step: &mut Step<'_>,
        resource: Resource,
        pending: &mut Pending,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        let kind = step.run.kind;
        let listing = Listing {
            resource,
            kind: kind.filter(|_| resource == Resource::Customer),
            since: self.since(step.run, resource),
            fields: self.fields(rules.told),
        };
        let mut quiet_pages = 0;
        let cursor = step.work.cursor.clone();
        let first = rules.erp.page(&listing, cursor.as_ref(), deadline);
        let mut page = first.timed(&mut step.run.cost.erp_wait_ms).await?;
        loop {
            step.run.cost.pages += 1;
            let next = page.next.clone();
            let ahead = async {
                let fetched = match &next {
                    Some(cursor) => Some(rules.erp.page(&listing, Some(cursor), deadline).await),
                    None => None,
                };
                (fetched, Instant::now())
            };
            let process = async {
                let processed = self.page(rules, step, page, pending, deadline).await;
                (processed, Instant::now())
            };
            let ((processed, process_end), (fetched, fetch_end)) =
                futures_util::future::join(process, ahead).await;
            processed?;
            step.run.cost.erp_wait_ms +=
                milliseconds(fetch_end.saturating_duration_since(process_end));
            step.work.cursor.clone_from(&next);
            quiet_pages += 1;
            let Some(fetched) = fetched else {
                return Ok(());
            };
            if step.has_actions() || quiet_pages >= PAGES_BETWEEN_NOTES {
                step.commit(self, pending).await?;
                quiet_pages = 0;
            }
            step.check_time(self, pending, deadline).await?;
            page = fetched?;
        }
    }

    /// From when on a delta pass reads the records of a resource; `None`: all of them.
    pub(crate) fn since(
        &self,
        run: &Run,
        resource: Resource,
    ) -> Option<chrono::DateTime<chrono::Utc>> {
        if run.mode != PassMode::Delta {
            return None;
        }
        let kinds: &[EntityKind] = match (resource, run.kind) {
            (Resource::Contact, _) | (_, Some(EntityKind::Customer)) => &[EntityKind::Customer],
            (_, Some(EntityKind::Company)) => &[EntityKind::Company],
            (_, None) => &[EntityKind::Company, EntityKind::Customer],
        };
        let watermarks = kinds
            .iter()
            .map(|kind| run.watermarks_before.get(kind).copied());
        // Without any one of them everything has to be read once.
        let earliest = watermarks.collect::<Option<Vec<_>>>()?.into_iter().min()?;
        Some(earliest - self.overlap(false))
    }

    /// One page: compared with its mappings, and what is not clear from that gathered for a look-up.
    async fn page(
        &self,
        rules: &Rules<'_>,
        step: &mut Step<'_>,
        page: RecordPage,
        pending: &mut Pending,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        for unusable in page.unusable {
            step.run.counts.seen += 1;
            step.decided(unusable_record(step.run, unusable), None);
        }
        self.compare(rules, step, page.records, pending).await?;
        self.ask_all(rules, step, pending, LOOKED_UP_AT_ONCE, deadline)
            .await
    }

    async fn compare(
        &self,
        rules: &Rules<'_>,
        step: &mut Step<'_>,
        records: Vec<ErpRecord>,
        pending: &mut Pending,
    ) -> Result<(), Halt> {
        if records.is_empty() {
            return Ok(());
        }
        let ids: Vec<ErpId> = records.iter().map(|record| record.id.clone()).collect();
        step.run.counts.seen += ids.len() as u64;
        step.run.cost.mapping_reads += ids.len() as u64;
        step.run.cost.mapping_read_requests += ids.len().div_ceil(READ_AT_ONCE) as u64;
        let is_owed = |id: &ErpId| {
            step.work
                .owed
                .as_ref()
                .is_some_and(|owed| owed.contains(id))
        };
        let consistency = if ids.iter().any(is_owed) {
            // A face from before Norce refused its fields looks as if nothing were left to do, and the record would
            // leave the list of what is owed.
            Consistency::Strong
        } else {
            // Nearly all records are unchanged, and this is what a pass costs. A stale face does no harm: where it lacks
            // something (the record, its id, Norce's confirmation, the new code), the rules ask again by strongly
            // consistent reads; what it leads to is written on condition that the record is still bound; and a record
            // that changed back while its face was written is read again, because the next delta pass overlaps.
            Consistency::Eventual
        };
        let faces = self.mappings.records(step.run.scope, &ids, consistency);
        let faces = faces.await?;
        self.list(step.run, &records, &faces).await?;
        for (record, face) in records.into_iter().zip(faces) {
            let record = as_in_norce(record, face.as_ref());
            match rules.look(&record, face.as_ref())? {
                Look::Decided(decision) => {
                    step.decided(decision, Some(&record.id));
                }
                Look::Ask(question) => {
                    let asking = pending.entry(record.entity_kind()).or_default();
                    if asking.iter().any(|other| other.record.id == record.id) {
                        // Listed twice, because it changed meanwhile.
                        step.run.counts.seen -= 1;
                    } else {
                        asking.push(Asking {
                            record,
                            face,
                            question,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks about pending records, as long as there are at least so many of a kind.
    async fn ask_all(
        &self,
        rules: &Rules<'_>,
        step: &mut Step<'_>,
        pending: &mut Pending,
        at_least: usize,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        for (kind, asking) in pending.iter_mut() {
            while asking.len() >= at_least.max(1) {
                let some: Vec<Asking> = asking
                    .drain(..asking.len().min(LOOKED_UP_AT_ONCE))
                    .collect();
                // The Owed part is the last one that meets a record of the ERP.
                let later = match step.work.part {
                    Part::Records { .. } => {
                        let owed = step.work.owed.as_ref().map_or(0, BTreeSet::len);
                        MOST_OWED.saturating_sub(owed)
                    }
                    _ => 0,
                };
                let decided = rules.ask(*kind, some, step.run, later, deadline).await?;
                for (record, decision) in decided {
                    step.decided(decision, Some(&record));
                }
            }
        }
        Ok(())
    }

    /// The records that were pending when the run was last noted.
    async fn pending_again(
        &self,
        rules: &Rules<'_>,
        step: &mut Step<'_>,
        deadline: Deadline,
    ) -> Result<Pending, Halt> {
        let mut pending = Pending::new();
        let ids = std::mem::take(&mut step.work.pending);
        if ids.is_empty() {
            return Ok(pending);
        }
        step.run.cost.erp_calls += 1;
        let records = rules.erp.get_many(&ids, self.fields(rules.told), deadline);
        let records = records.timed(&mut step.run.cost.erp_wait_ms).await?;
        let gone = ids.len().saturating_sub(records.len());
        for _ in 0..gone {
            step.decided(
                Decision::Skip(Skipped {
                    reason: GONE,
                    kind: step.run.kind.unwrap_or(EntityKind::Customer),
                    record: None,
                    code: None,
                }),
                None,
            );
        }
        let found: Vec<ErpId> = records.iter().map(|record| record.id.clone()).collect();
        // Some of them may have been bound since, by the step before.
        let strong = Consistency::Strong;
        let faces = self.mappings.records(step.run.scope, &found, strong);
        for (record, face) in records.into_iter().zip(faces.await?) {
            let record = as_in_norce(record, face.as_ref());
            let question = match &face {
                None => Question::Unknown,
                Some(face) if face.id.is_none() => Question::Unknown,
                Some(face) if face.code != record.code => Question::Renamed,
                Some(_) => Question::Unconfirmed,
            };
            pending
                .entry(record.entity_kind())
                .or_default()
                .push(Asking {
                    record,
                    face,
                    question,
                });
        }
        Ok(pending)
    }

    /// The ERP records of this register of which something is owed: what a pass could not decide, and codes and fields
    /// that Norce refused or did not take in time. Of more than a run can remember, those that were tried the longest ago.
    async fn owed_records(
        &self,
        scope: Scope,
        deadline: Deadline,
    ) -> Result<BTreeSet<ErpId>, Halt> {
        let mut found: u64 = 0;
        let mut earliest: Earliest<Subject> = Earliest::new(MOST_OWED);
        let each = |owed: Owed| {
            let is_of_pass = match (&owed.subject, owed.stage) {
                (Subject::Record { scope: of, .. }, _) => *of == scope,
                (Subject::Entity(entity), Stage::CodeToNorce | Stage::FieldsToNorce) => {
                    entity.scope == scope
                }
                _ => false,
            };
            // A warning is sent again when a person asks for it; what is dismissed is left as it is.
            let is_settled = owed.reason == Reason::Warned || owed.dismissed.is_some();
            if is_of_pass && !is_settled {
                found += 1;
                earliest.push(owed.last, owed.subject);
            }
        };
        // A stale page does no harm: what it lacks stays owed and is the next pass's, and what has been met since is
        // looked at once more.
        let list = self.owed.as_ref();
        let complete = fold(list, Consistency::Eventual, deadline, STOP_BEFORE, each).await?;
        if !complete || found > MOST_OWED as u64 {
            tracing::warn!(
                owed = found,
                complete,
                "more is owed than a pass looks at again: the rest has to wait for the next one"
            );
        }
        let mut records = BTreeSet::new();
        let mut entities: Vec<EntityRef> = Vec::new();
        for subject in earliest.into_vec() {
            match subject {
                Subject::Record { record, .. } => {
                    records.insert(record);
                }
                Subject::Entity(entity) => entities.push(entity),
                Subject::Order { .. } => {}
            }
        }
        let mappings = self.mappings.get_many(&entities).await?;
        records.extend(mappings.into_iter().filter_map(|mapping| match mapping {
            Some(Mapping::Bound(binding)) => Some(binding.erp_id),
            _ => None,
        }));
        Ok(records)
    }

    /// What is owed is looked at again, changed or not; what the walk has met by now is no more among it.
    async fn owed_part(
        &self,
        rules: &Rules<'_>,
        step: &mut Step<'_>,
        pending: &mut Pending,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        // What was met and is still to be decided about is not looked at twice.
        self.ask_all(rules, step, pending, 1, deadline).await?;
        let owed = step.work.owed.clone().unwrap_or_default();
        let records: Vec<ErpId> = owed.into_iter().collect();
        for records in records.chunks(OWED_AT_ONCE) {
            step.run.cost.erp_calls += 1;
            let found = rules
                .erp
                .get_many(records, self.fields(rules.told), deadline);
            let found = found.timed(&mut step.run.cost.erp_wait_ms).await?;
            let there: HashSet<&ErpId> = found.iter().map(|record| &record.id).collect();
            for gone in records.iter().filter(|id| !there.contains(id)) {
                step.forget_owed(gone);
                step.push(Action::Resolve {
                    record: gone.clone(),
                });
            }
            let of_kind = |record: &ErpRecord| {
                let kind = step.run.kind;
                kind.is_none_or(|kind| kind == record.entity_kind())
            };
            let found: Vec<ErpRecord> = found.into_iter().filter(of_kind).collect();
            self.compare(rules, step, found, pending).await?;
            self.ask_all(rules, step, pending, 1, deadline).await?;
            step.commit(self, pending).await?;
            step.check_time(self, pending, deadline).await?;
        }
        Ok(())
    }
}

const GONE: &str = "gone from the ERP meanwhile";

fn unusable_record(run: &Run, unusable: UnusableRecord) -> Decision {
    let kind = run.kind.unwrap_or(EntityKind::Customer);
    match (unusable.reason, unusable.id) {
        (Unusable::NoCode, record) => Decision::Skip(Skipped {
            reason: "no code in the ERP",
            kind,
            record,
            code: None,
        }),
        (Unusable::Unreadable(_), None) => Decision::Skip(Skipped {
            reason: "cannot be read, nor which one it is",
            kind,
            record: None,
            code: None,
        }),
        (Unusable::Unreadable(detail), Some(record)) => Decision::Act(Action::Owe {
            kind,
            record,
            code: None,
            reason: Reason::RemoteFault,
            detail: format!("the ERP's record cannot be read: {detail}"),
        }),
    }
}

/// A record of the kind that it has in Norce, where it is bound.
fn as_in_norce(record: ErpRecord, face: Option<&RecordFace>) -> ErpRecord {
    match face {
        Some(face) if face.id.is_some() => record.of_kind(face.kind),
        _ => record,
    }
}
