//! The ERP's side: its records page by page. While one page is compared with its mappings, the next one is fetched.

use std::collections::{BTreeSet, HashSet};

use futures_util::future::join;
use shared::{
    Consistency,
    domain::{EntityRef, ErpId, FieldGroup, FieldGroups, Resource},
    erp::{ErpRecord, Listing, RecordPage, UnusableRecord},
    mappings::{Mapping, RecordEntry},
    norce::LOOKUP_BATCH_SIZE,
    owed::{Earliest, Owed, OwedRecords, Reason, Stage, Subject, fold},
};
use tokio::time::Instant;

use crate::{
    checkpoint::{Phase, since},
    gone,
    key_index::KeyListing,
    meter::milliseconds,
    pending::{Pending, PendingRecord},
    progress::{Progress, STOP_BEFORE},
    resolver::Resolver,
    retry::OwedRetry,
    rules::{self, FirstPass},
    stop_reason::Result,
};

/// Pages between two checkpoints, where there is nothing to be done: what a crash makes it read again.
const PAGES_BETWEEN_CHECKPOINTS: u32 = 20;
/// Owed records that are read in one go.
const OWED_BATCH_SIZE: usize = 100;
/// Owed records that a run remembers: about a quarter of what an item of DynamoDB holds.
const MAX_OWED: usize = 1_500;

/// After so many refused bindings in one invocation, the mappings are read first: a refusal costs more than the reads it was
/// meant to save.
const MAX_REFUSED: usize = 500;

/// The walk over the ERP's records of one scope.
pub(crate) struct ErpWalk<'a> {
    pub(crate) resolver: Resolver<'a>,
    pub(crate) keys: KeyListing<'a>,
    pub(crate) owed: &'a dyn OwedRecords,
    pub(crate) retry: OwedRetry<'a>,
}

impl ErpWalk<'_> {
    /// Walks over what is left of a run over the ERP.
    pub(crate) async fn walk(&self, progress: &mut Progress<'_>) -> Result {
        let lookups = &self.resolver.lookups;
        let mut pending = self.pending_again(progress).await?;
        if progress.checkpoint.owed.is_none() {
            progress.checkpoint.owed = Some(self.owed_records().await?);
        }
        loop {
            // What was refused on the last page: companies have to be bound before their contacts are listed.
            self.decide_refused(progress, &mut pending).await?;
            let phase = progress.checkpoint.phase;
            match phase {
                Phase::Owed => {
                    let pending = &mut pending;
                    gone::bindings_phase(&self.resolver, progress, pending).await?;
                    self.owed_phase(progress, pending).await?;
                }
                Phase::Records { resource } => {
                    self.records_phase(progress, resource, &mut pending).await?;
                }
                Phase::Changed { .. } | Phase::Forgotten | Phase::Done => return Ok(()),
            }
            // The rest of a phase is looked up at its end, although it does not fill one look-up.
            self.resolve_pending(progress, &mut pending, 1).await?;
            progress.next_phase();
            let has_read_all =
                matches!(phase, Phase::Records { .. }) && progress.checkpoint.phase == Phase::Owed;
            if has_read_all {
                // Before what is left is looked up again: now the holders of every key are known.
                let (run, checkpoint) = (&progress.run, &progress.checkpoint);
                if self.keys.cover(run, checkpoint).await? {
                    let retried = self
                        .retry
                        .retry_prerequisites(lookups.scope, lookups.deadline);
                    retried.await?;
                }
                lookups.finder.refresh();
            }
            progress.commit(&pending).await?;
            progress.check_time(&pending, lookups.deadline).await?;
        }
    }

    /// The fields that are read of each record.
    fn fields(&self) -> FieldGroups {
        let rules = &self.resolver.rules;
        let synced = rules.synced.any();
        if rules.settings.import_unknown {
            synced.union(FieldGroups::of(&[FieldGroup::Names]))
        } else {
            synced
        }
    }

    async fn records_phase(
        &self,
        progress: &mut Progress<'_>,
        resource: Resource,
        pending: &mut Pending,
    ) -> Result {
        let (lookups, meter) = (&self.resolver.lookups, progress.meter);
        let listing = Listing {
            resource,
            kind: progress.run.kind.filter(|_| resource == Resource::Customer),
            since: since(&progress.run, resource, self.keys.overlap),
            fields: self.fields(),
        };
        let mut quiet_pages = 0;
        let cursor = progress.checkpoint.cursor.clone();
        let first = lookups
            .erp
            .page(&listing, cursor.as_ref(), lookups.deadline);
        let mut page = meter.erp_wait(first).await?;
        loop {
            meter.add(|cost| cost.pages += 1);
            let next = page.next.clone();
            let ahead = async {
                let fetched = match &next {
                    Some(_) => {
                        let page = lookups.erp.page(&listing, next.as_ref(), lookups.deadline);
                        Some(page.await)
                    }
                    None => None,
                };
                (fetched, Instant::now())
            };
            let process = async {
                let processed = self.page(progress, page, pending).await;
                (processed, Instant::now())
            };
            let ((processed, process_end), (fetched, fetch_end)) = join(process, ahead).await;
            processed?;
            let waited = fetch_end.saturating_duration_since(process_end);
            meter.add(|cost| cost.erp_wait_ms += milliseconds(waited));
            progress.checkpoint.cursor.clone_from(&next);
            quiet_pages += 1;
            let Some(fetched) = fetched else {
                return Ok(());
            };
            if !progress.actions.is_empty() || quiet_pages >= PAGES_BETWEEN_CHECKPOINTS {
                progress.commit(pending).await?;
                self.decide_refused(progress, pending).await?;
                quiet_pages = 0;
            }
            progress.check_time(pending, lookups.deadline).await?;
            page = fetched?;
        }
    }

    async fn page(
        &self,
        progress: &mut Progress<'_>,
        page: RecordPage,
        pending: &mut Pending,
    ) -> Result {
        self.compare_page(progress, page, pending).await?;
        self.resolve_pending(progress, pending, LOOKUP_BATCH_SIZE)
            .await
    }

    /// Passes over what cannot be used, and compares the others.
    async fn compare_page(
        &self,
        progress: &mut Progress<'_>,
        page: RecordPage,
        pending: &mut Pending,
    ) -> Result {
        progress.run.counts.seen += page.unusable.len() as u64;
        pass_over(progress, page.unusable);
        self.compare(progress, page.records, pending).await
    }

    /// Compares records with their mappings, and gathers those whose mappings do not tell enough.
    async fn compare(
        &self,
        progress: &mut Progress<'_>,
        records: Vec<ErpRecord>,
        pending: &mut Pending,
    ) -> Result {
        if records.is_empty() {
            return Ok(());
        }
        let ids: Vec<ErpId> = records.iter().map(|record| record.id.clone()).collect();
        progress.run.counts.seen += ids.len() as u64;
        let (owed, refused) = (&progress.checkpoint.owed, &progress.checkpoint.refused);
        let is_owed = |id: &ErpId| owed.as_ref().is_some_and(|owed| owed.contains(id));
        let consistency = if ids.iter().any(|id| is_owed(id) || refused.contains(id)) {
            // An entry from before Norce refused its fields looks as if nothing were left to do, and the record would
            // leave the list of what is owed.
            Consistency::Strong
        } else {
            // Nearly all records are unchanged, and this is what a pass costs. A stale entry does no harm: where it lacks
            // something (the record, its id, Norce's confirmation, the new code), the rules ask again by strongly
            // consistent reads, or bind on condition that nothing else is there (a record that was bound alike a moment ago
            // counts as bound, and its fields are sent again); what it leads to is written on condition that the record is
            // still bound; and a record that changed back while its entry was written is read again, because the next delta
            // pass overlaps.
            Consistency::Eventual
        };
        let entries = self.resolver.lookups.entries(&ids, consistency).await?;
        self.keys.list(&progress.run, &records, &entries).await?;
        for (record, entry) in records.into_iter().zip(entries) {
            let record = as_in_norce(record, entry.as_ref());
            match self.resolver.rules.first_pass(&record, entry.as_ref())? {
                FirstPass::Decided(decision) => progress.decided(decision, Some(&record.id)),
                FirstPass::LookUp(reason) => {
                    let of_kind = pending.entry(record.entity_kind()).or_default();
                    if of_kind.iter().any(|other| other.record.id == record.id) {
                        // Listed twice, because it changed meanwhile.
                        progress.run.counts.seen -= 1;
                    } else {
                        of_kind.push(PendingRecord {
                            record,
                            entry,
                            reason,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides about pending records, as long as there are at least so many of a kind.
    async fn resolve_pending(
        &self,
        progress: &mut Progress<'_>,
        pending: &mut Pending,
        at_least: usize,
    ) -> Result {
        for (kind, of_kind) in pending.iter_mut() {
            while of_kind.len() >= at_least.max(1) {
                let batch = of_kind.drain(..of_kind.len().min(LOOKUP_BATCH_SIZE));
                let batch: Vec<PendingRecord> = batch.collect();
                // The Owed phase is the last one that meets a record of the ERP.
                let room = match progress.checkpoint.phase {
                    Phase::Records { .. } => {
                        let owed = progress.checkpoint.owed.as_ref().map_or(0, BTreeSet::len);
                        MAX_OWED.saturating_sub(owed)
                    }
                    _ => 0,
                };
                let unread = |record: &ErpId| may_be_unread(progress, record);
                let decided = self.resolver.resolve(*kind, batch, room, &unread).await?;
                for (record, decision) in decided {
                    progress.decided(decision, Some(&record));
                }
            }
        }
        Ok(())
    }

    /// The records that were pending at the last checkpoint.
    async fn pending_again(&self, progress: &mut Progress<'_>) -> Result<Pending> {
        let mut pending = Pending::new();
        let ids = std::mem::take(&mut progress.checkpoint.pending);
        if ids.is_empty() {
            return Ok(pending);
        }
        let lookups = &self.resolver.lookups;
        let page = lookups.records(&ids, self.fields()).await?;
        for _ in page.ids().count()..ids.len() {
            progress.decided(rules::gone(progress.run.kind), None);
        }
        pass_over(progress, page.unusable);
        let records = page.records;
        let found: Vec<ErpId> = records.iter().map(|record| record.id.clone()).collect();
        // Some of them may have been bound since, by the invocation before.
        let entries = lookups.entries(&found, Consistency::Strong).await?;
        for (record, entry) in records.into_iter().zip(entries) {
            let record = as_in_norce(record, entry.as_ref());
            if let Some(decision) = self.resolver.rules.switched_off(&record) {
                progress.decided(decision, Some(&record.id));
                continue;
            }
            let of_kind = pending.entry(record.entity_kind()).or_default();
            of_kind.push(PendingRecord::new(record, entry));
        }
        Ok(pending)
    }

    /// The ERP's records that are owed in this scope: what a pass could not decide, and codes and fields that Norce refused
    /// or did not take in time. Of more than a run can remember, those that were tried the longest ago.
    async fn owed_records(&self) -> Result<BTreeSet<ErpId>> {
        let lookups = &self.resolver.lookups;
        let mut found: u64 = 0;
        let mut earliest: Earliest<Subject> = Earliest::new(MAX_OWED);
        let each = |owed: Owed| {
            let is_of_pass = match (&owed.subject, owed.stage) {
                (Subject::Record { scope, .. }, _) => *scope == lookups.scope,
                (Subject::Entity(entity), Stage::CodeToNorce | Stage::FieldsToNorce) => {
                    entity.scope == lookups.scope
                }
                _ => false,
            };
            // A warning is sent again when a person asks for it; what is dismissed stays as it is.
            let is_settled = owed.reason == Reason::Warned || owed.dismissed.is_some();
            if is_of_pass && !is_settled {
                found += 1;
                earliest.push(owed.last, owed.subject);
            }
        };
        // A stale page does no harm: what it lacks stays owed and is the next pass's, and what has been resolved since is
        // looked up once more.
        let eventual = Consistency::Eventual;
        let complete = fold(self.owed, eventual, lookups.deadline, STOP_BEFORE, each).await?;
        if !complete || found > MAX_OWED as u64 {
            tracing::warn!(
                owed = found,
                complete,
                "more records are owed than one pass retries: the rest waits for the next pass"
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
        let mappings = lookups.mappings(&entities).await?.into_values();
        records.extend(mappings.filter_map(|mapping| match mapping {
            Mapping::Bound(binding) => Some(binding.erp_id),
            Mapping::Reserved(_) | Mapping::Forgotten => None,
        }));
        Ok(records)
    }

    /// Decides again about records whose bindings were refused, by what the mappings hold.
    async fn decide_refused(&self, progress: &mut Progress<'_>, pending: &mut Pending) -> Result {
        let lookups = &self.resolver.lookups;
        loop {
            let refused = progress.checkpoint.refused.iter().take(OWED_BATCH_SIZE);
            let ids: Vec<ErpId> = refused.cloned().collect();
            if ids.is_empty() {
                return Ok(());
            }
            progress.check_time(pending, lookups.deadline).await?;
            let page = lookups.records(&ids, self.fields()).await?;
            self.compare_page(progress, page, pending).await?;
            self.resolve_pending(progress, pending, 1).await?;
            // Including those that the ERP no longer has.
            for id in &ids {
                progress.checkpoint.refused.remove(id);
            }
            if progress.checkpoint.cursor.is_none() {
                // They were listed in the phase before, and are not listed again if this one starts over.
                progress.checkpoint.count_from_here(&progress.run.counts);
            }
            progress.commit(pending).await?;
        }
    }

    /// Looks up again what is owed, changed or not, as far as the walk has not met it.
    async fn owed_phase(&self, progress: &mut Progress<'_>, pending: &mut Pending) -> Result {
        // What was met and is still to be decided is not looked up twice.
        self.resolve_pending(progress, pending, 1).await?;
        let lookups = &self.resolver.lookups;
        let owed = progress.checkpoint.owed.clone().unwrap_or_default();
        let owed: Vec<ErpId> = owed.into_iter().collect();
        for ids in owed.chunks(OWED_BATCH_SIZE) {
            let mut page = lookups.records(ids, self.fields()).await?;
            let there: HashSet<&ErpId> = page.ids().collect();
            for gone in ids.iter().filter(|id| !there.contains(id)) {
                progress.resolve_gone(gone);
            }
            let kind = progress.run.kind;
            page.records
                .retain(|record| kind.is_none_or(|kind| kind == record.entity_kind()));
            self.compare_page(progress, page, pending).await?;
            self.resolve_pending(progress, pending, 1).await?;
            progress.commit(pending).await?;
            progress.check_time(pending, lookups.deadline).await?;
        }
        Ok(())
    }
}

/// Skips records that cannot be used, and notes those that are owed.
fn pass_over(progress: &mut Progress<'_>, unusable: Vec<UnusableRecord>) {
    for record in unusable {
        let id = record.id.clone();
        let decision = rules::unusable(progress.run.kind, record);
        progress.decided(decision, id.as_ref());
    }
}

/// Whether a record whose code Norce has may be bound without reading the mappings first. If they refuse, the pass decides
/// about it again.
fn may_be_unread(progress: &Progress<'_>, record: &ErpId) -> bool {
    let checkpoint = &progress.checkpoint;
    let owed = checkpoint.owed.as_ref();
    // A plan makes no bindings that could be refused. Where something is owed for a record, the step that binds it also
    // resolves that, so its binding must not be refused.
    !progress.run.dry_run
        && matches!(checkpoint.phase, Phase::Records { .. })
        && progress.refusals < MAX_REFUSED
        && !checkpoint.refused.contains(record)
        && owed.is_none_or(|owed| !owed.contains(record))
}

/// A record of the kind that it has in Norce, where it is bound.
fn as_in_norce(record: ErpRecord, entry: Option<&RecordEntry>) -> ErpRecord {
    match entry {
        Some(entry) if entry.id.is_some() => record.of_kind(entry.kind),
        _ => record,
    }
}
