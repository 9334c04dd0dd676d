//! Who holds a natural key: the index and the ERP's own filter together, and never a guess.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError},
};

use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt, stream};
use thiserror::Error;

use crate::{
    Consistency, StoreError,
    domain::{EntityKind, ErpId, FieldGroups, FingerprintKey, Resource, Scope},
    erp::{Erp, ErpError, ErpRecord, FilterProof, Listing, NaturalKey, PartyKind, RecordPage},
    http::Deadline,
    mappings::key_index::{KeyIndex, RecordKeys},
};

/// Pages that are listed to see what is not in the index yet. A page of Business Central takes some seconds, and an
/// invocation of `change-events` has two minutes for all of its messages. A register that fits in needs no full pass.
const MAX_PAGES: u32 = 4;
/// Entries that are written at the same time: a transaction takes about 10 ms, and a page has 500 records.
const WRITE_CONCURRENCY: usize = 16;
/// A record is stamped before its transaction commits (erp-apis §0), so that one may appear with an earlier time than
/// that of the listing; as long as a pass overlaps by default.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);
/// Records that are found for one look-up: whose they are decides which of them counts. A shared key has a few holders (a
/// household, the schools of a municipality); among more than these a person decides anyway.
const MAX_FOUND: usize = 20;

/// Finds the records of one register of the ERP by natural keys. For one message, or one step of a pass: what it has
/// listed it does not list again.
pub struct RecordFinder<'a> {
    erp: &'a dyn Erp,
    index: &'a dyn KeyIndex,
    fingerprints: &'a FingerprintKey,
    scope: Scope,
    /// What was listed to bring the index up to date, by kind.
    recent: std::sync::Mutex<BTreeMap<EntityKind, Recent>>,
}

/// What has changed since the index was complete: who has which key. `None`: it is not known.
type Recent = Option<Arc<HashMap<NaturalKey, BTreeSet<ErpId>>>>;

/// What a look-up by natural keys has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// These records hold one of the keys, and nobody else does.
    Found(Vec<ErpRecord>),
    /// More records hold it than are listed.
    Crowded,
    /// It cannot be told yet whether another record holds it: why, and what ends that, for a person.
    NotYet(String),
}

/// Who holds natural keys, in few requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyHolders {
    /// Every holder that is known.
    pub holders: Vec<(NaturalKey, ErpId)>,
    /// Keys that more records hold than are listed.
    pub crowded: BTreeSet<NaturalKey>,
    /// Keys that others may hold besides the ones that are known: why, and what ends that, for a person.
    pub not_yet: BTreeMap<NaturalKey, String>,
}

/// A look-up failed.
#[derive(Debug, Error)]
pub enum FinderError {
    /// The ERP.
    #[error(transparent)]
    Erp(#[from] ErpError),
    /// The index.
    #[error(transparent)]
    Index(#[from] StoreError),
}

impl<'a> RecordFinder<'a> {
    /// A finder over the ERP company and the index of one scope.
    pub fn new(
        erp: &'a dyn Erp,
        index: &'a dyn KeyIndex,
        fingerprints: &'a FingerprintKey,
        scope: Scope,
    ) -> Self {
        Self {
            erp,
            index,
            fingerprints,
            scope,
            recent: std::sync::Mutex::default(),
        }
    }

    /// Forgets what was listed: the index has become more complete.
    pub fn refresh(&self) {
        self.recent().clear();
    }

    /// The records of a kind that hold one of these keys, each once.
    ///
    /// # Errors
    /// The ERP or the index cannot answer.
    pub async fn find(
        &self,
        kind: &PartyKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Lookup, FinderError> {
        let entity_kind = match kind {
            PartyKind::Company => EntityKind::Company,
            PartyKind::Person | PartyKind::Contact { .. } => EntityKind::Customer,
        };
        let mut found: BTreeMap<ErpId, ErpRecord> = BTreeMap::new();
        let mut not_yet = None;
        for key in keys {
            match self.source(entity_kind, key, deadline).await? {
                Source::Filter => {
                    let hits = self.erp.find_by_key(kind, key, deadline).await?;
                    found.extend(hits.into_iter().map(|hit| (hit.id.clone(), hit)));
                }
                Source::Index => {}
                Source::Neither(reason) => not_yet = Some(reason),
            }
        }
        let (listed, crowded) = self.listed(entity_kind, keys).await?;
        if !crowded.is_empty() {
            return Ok(Lookup::Crowded);
        }
        let ids: BTreeSet<ErpId> = listed.into_iter().map(|(_, id)| id).collect();
        let ids: Vec<ErpId> = ids
            .into_iter()
            .filter(|id| id.resource == kind.resource() && !found.contains_key(id))
            .collect();
        let verified = self.verified(&ids, keys, deadline).await?;
        if let Some(unread) = verified.unusable.first() {
            not_yet = Some(format!(
                "another record of the ERP may be the same, and cannot be used yet: {unread}; this is tried again once it can"
            ));
        }
        for record in verified.records {
            if found.len() < MAX_FOUND
                && self.is_of(&record, kind, deadline).await?
                // A listing may leave fields out that the caller compares.
                && let Some(record) = self.erp.get(&record.id, deadline).await?
            {
                found.insert(record.id.clone(), record);
            }
        }
        Ok(match not_yet {
            Some(reason) => Lookup::NotYet(reason),
            None => Lookup::Found(found.into_values().take(MAX_FOUND).collect()),
        })
    }

    /// Which records hold these keys, whatever their resource, as far as Norce counts them to this kind: those that were
    /// `read` a moment ago, and the others.
    ///
    /// # Errors
    /// The ERP or the index cannot answer.
    pub async fn holders(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        read: &[&ErpRecord],
        deadline: Deadline,
    ) -> Result<KeyHolders, FinderError> {
        let (mut filtered, mut not_yet) = (Vec::new(), BTreeMap::new());
        for key in keys {
            match self.source(kind, key, deadline).await? {
                Source::Filter => filtered.push(key.clone()),
                Source::Index => {}
                Source::Neither(reason) => {
                    not_yet.insert(key.clone(), reason);
                }
            }
        }
        let held = |record: &ErpRecord| {
            let held = RecordKeys::of(record);
            let held = keys.iter().filter(move |key| held.contains(key));
            let id = record.id.clone();
            held.map(move |key| (key.clone(), id.clone()))
        };
        let mut holders: BTreeSet<(NaturalKey, ErpId)> = BTreeSet::new();
        holders.extend(read.iter().flat_map(|record| held(record)));
        if !filtered.is_empty() {
            let found = self.erp.holders_of_keys(kind, &filtered, deadline).await?;
            holders.extend(found);
        }
        let (listed, crowded) = self.listed(kind, keys).await?;
        let others: BTreeSet<ErpId> = listed.iter().map(|(_, id)| id.clone()).collect();
        let others: Vec<ErpId> = others
            .into_iter()
            .filter(|id| !holders.iter().any(|(_, holder)| holder == id))
            .filter(|id| !read.iter().any(|record| record.id == *id))
            .collect();
        let verified = self.verified(&others, keys, deadline).await?;
        for record in &verified.records {
            if record.entity_kind() == kind {
                holders.extend(held(record));
            }
        }
        // Those that cannot be read are taken to hold what they are listed under.
        let unread = verified.unusable.iter().filter_map(|it| it.id.as_ref());
        let unread: BTreeSet<&ErpId> = unread.collect();
        let still_listed = listed.iter().filter(|(_, id)| unread.contains(id));
        holders.extend(still_listed.cloned());
        Ok(KeyHolders {
            holders: holders.into_iter().collect(),
            crowded,
            not_yet,
        })
    }

    /// Lists records in the index that were read from the ERP.
    ///
    /// # Errors
    /// The index cannot be written.
    pub async fn list(&self, records: &[ErpRecord]) -> Result<(), FinderError> {
        let ids: Vec<ErpId> = records.iter().map(|record| record.id.clone()).collect();
        let entries = self.index.entries(self.scope, &ids, Consistency::Strong);
        let entries = entries.await?;
        let mut changed = Vec::new();
        for (record, entry) in records.iter().zip(entries) {
            let keys = self.keys_of(record)?;
            let is_listed = match &entry {
                Some(digest) => digest == keys.digest(),
                None => keys.is_empty(),
            };
            if !is_listed {
                changed.push((record.id.clone(), keys));
            }
        }
        write(self.index, self.scope, changed).await?;
        Ok(())
    }

    /// What can answer who holds a key.
    async fn source(
        &self,
        kind: EntityKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Source, FinderError> {
        let field = key.field();
        let proof = self.erp.key_filter(field, deadline).await?;
        if proof == FilterProof::Filters {
            return Ok(Source::Filter);
        }
        if self.catch_up(kind, deadline).await?.is_some() {
            return Ok(Source::Index);
        }
        Ok(Source::Neither(format!(
            "it cannot be told yet whether a record of the ERP has the same {field}: {} {}, and not all of its records are in the index of keys yet; the next delta pass completes it, or a full pass at once, started with {{\"action\":\"pass\",\"mode\":\"full\"}}, and this is tried again after it",
            self.erp.name(),
            proof.in_words(),
        )))
    }

    /// Who is listed under these keys, in the index or in what was listed since; and which of the keys are crowded.
    async fn listed(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
    ) -> Result<(BTreeSet<(NaturalKey, ErpId)>, BTreeSet<NaturalKey>), FinderError> {
        // A record that was listed a moment ago must not be missing: nobody has created it twice then.
        let lists = self.index.holders(self.scope, keys, Consistency::Strong);
        let lists = lists.await?;
        let recent = self.recent().get(&kind).cloned().flatten();
        let (mut holders, mut crowded) = (BTreeSet::new(), BTreeSet::new());
        for (key, list) in keys.iter().zip(lists) {
            if list.crowded {
                crowded.insert(key.clone());
            }
            let recent = recent.as_ref().and_then(|recent| recent.get(key));
            let ids = list
                .records
                .into_iter()
                .chain(recent.into_iter().flatten().cloned());
            holders.extend(ids.map(|id| (key.clone(), id)));
        }
        Ok((holders, crowded))
    }

    /// Those of the records that still hold one of the keys, and those that cannot be read now. The entries of the others are
    /// corrected.
    async fn verified(
        &self,
        ids: &[ErpId],
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<RecordPage, FinderError> {
        if ids.is_empty() {
            return Ok(RecordPage::default());
        }
        let read = self.erp.get_many(ids, FieldGroups::NONE, deadline).await?;
        let there: BTreeSet<&ErpId> = read.ids().collect();
        let none = RecordKeys::new([], self.fingerprints).map_err(unreadable)?;
        let mut corrected: Vec<(ErpId, RecordKeys)> = ids
            .iter()
            .filter(|id| !there.contains(id))
            .map(|id| (id.clone(), none.clone()))
            .collect();
        let mut holding = Vec::new();
        for record in read.records {
            let held = RecordKeys::of(&record);
            if keys.iter().any(|key| held.contains(key)) {
                holding.push(record);
            } else {
                corrected.push((record.id.clone(), self.keys_of(&record)?));
            }
        }
        write(self.index, self.scope, corrected).await?;
        Ok(RecordPage {
            records: holding,
            ..read
        })
    }

    /// Whether a record is of this kind; a contact, of this organisation.
    async fn is_of(
        &self,
        record: &ErpRecord,
        kind: &PartyKind,
        deadline: Deadline,
    ) -> Result<bool, FinderError> {
        let PartyKind::Contact { company } = kind else {
            return Ok(record.organisation == kind.is_organisation());
        };
        let Some(key) = &record.company else {
            return Ok(false);
        };
        Ok(self.erp.company_of(key, deadline).await? == *company)
    }

    /// What has changed in the ERP since the index was complete, listed once; `None`: too much of it, or the index never
    /// was.
    async fn catch_up(&self, kind: EntityKind, deadline: Deadline) -> Result<Recent, FinderError> {
        if let Some(recent) = self.recent().get(&kind) {
            return Ok(recent.clone());
        }
        let recent = self.list_changes(kind, deadline).await?.map(Arc::new);
        self.recent().insert(kind, recent.clone());
        Ok(recent)
    }

    async fn list_changes(
        &self,
        kind: EntityKind,
        deadline: Deadline,
    ) -> Result<Option<HashMap<NaturalKey, BTreeSet<ErpId>>>, FinderError> {
        let coverage = self.index.coverage(self.scope, kind).await?;
        let since = coverage.map(|coverage| coverage.until);
        let begin = match since {
            Some(_) => None,
            None => self.erp.clock(deadline).await?,
        };
        let mut changes: HashMap<NaturalKey, BTreeSet<ErpId>> = HashMap::new();
        let mut pages = 0;
        for resource in resources(kind) {
            let listing = Listing {
                resource: *resource,
                kind: (*resource == Resource::Customer).then_some(kind),
                since,
                fields: FieldGroups::NONE,
            };
            let mut cursor = None;
            loop {
                if pages == MAX_PAGES {
                    return Ok(None);
                }
                pages += 1;
                let page = self.erp.page(&listing, cursor.as_ref(), deadline).await?;
                let RecordPage { records, next, .. } = page;
                self.list(&records).await?;
                for record in records {
                    for key in RecordKeys::of(&record) {
                        changes.entry(key).or_default().insert(record.id.clone());
                    }
                }
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        if let Some(begin) = begin {
            // Everything was read, as a full pass does.
            let until = begin - OVERLAP;
            self.index.cover(self.scope, kind, None, until).await?;
        }
        Ok(Some(changes))
    }

    fn keys_of(&self, record: &ErpRecord) -> Result<RecordKeys, FinderError> {
        RecordKeys::read(record, self.fingerprints).map_err(unreadable)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, BTreeMap<EntityKind, Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can answer who holds a key.
enum Source {
    /// The ERP's own filter, which was seen to filter.
    Filter,
    /// The index, which is complete.
    Index,
    /// Neither can, and why.
    Neither(String),
}

fn unreadable(error: serde_json::Error) -> FinderError {
    FinderError::Index(StoreError::new("code mappings", error))
}

/// Where the records are that Norce has as this kind.
fn resources(kind: EntityKind) -> &'static [Resource] {
    const BOTH: [Resource; 2] = [Resource::Customer, Resource::Contact];
    match kind {
        EntityKind::Customer => &BOTH,
        EntityKind::Company => &BOTH[..1],
    }
}

/// Lists records under their keys, several at the same time.
///
/// # Errors
/// The index cannot be written.
pub async fn write(
    index: &dyn KeyIndex,
    scope: Scope,
    changed: Vec<(ErpId, RecordKeys)>,
) -> Result<(), StoreError> {
    let writes = changed
        .iter()
        .map(|(record, keys)| index.set(scope, record, keys));
    let writes: Vec<_> = writes.collect();
    stream::iter(writes)
        .buffer_unordered(WRITE_CONCURRENCY)
        .try_collect::<()>()
        .await
}
