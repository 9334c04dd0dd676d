//! Looks up what the rules need about records whose entries do not tell enough, many at a time.

use std::collections::{BTreeSet, HashMap, HashSet};

use shared::{
    domain::{
        Clock, Code, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, Fingerprint,
        NaturalKey, NorceId, PartyType, Resource,
    },
    erp::{ErpRecord, SentCompany, Unusable, UnusableRecord, company_hash, sent_company},
    mappings::{Known, Mapping},
    matching::{self, ErpCandidate, Owner},
    norce::LookupKey,
    owed::Reason,
    record_finder::KeyHolders,
};

use crate::{
    action::{Action, Decision, UpdateKind},
    candidates::{FORGOTTEN, Facts, Fit, Hit, Hits, Rival, Rivals, contradicts},
    lookups::Lookups,
    pending::{LookupReason, PendingRecord},
    rules::{Organisation, Rules, code_of_another},
    stop_reason::Result,
};

/// The rules, with the look-ups that they need.
pub(crate) struct Resolver<'a> {
    pub(crate) rules: Rules<'a>,
    pub(crate) lookups: Lookups<'a>,
    pub(crate) clock: &'a dyn Clock,
}

/// Decisions, by the records that they are about.
type Decided = Vec<(ErpId, Decision)>;
/// Whether a record may be bound without reading the mappings.
type MayBeUnread<'a> = &'a (dyn Fn(&ErpId) -> bool + Sync);

/// A record that fits entities of Norce, or none.
struct Candidate<'a> {
    record: ErpRecord,
    hit: Hit<'a>,
    /// Whether it is decided without reading the mappings.
    is_unread: bool,
}

impl Resolver<'_> {
    /// Decides about records of one kind. `room`: how many can be deferred to the end of the walk.
    pub(crate) async fn resolve(
        &self,
        kind: EntityKind,
        pending: Vec<PendingRecord>,
        room: usize,
        may_be_unread: MayBeUnread<'_>,
    ) -> Result<Decided> {
        let (unknown, mut bound): (Vec<_>, Vec<_>) = pending
            .into_iter()
            .partition(|pending| pending.reason == LookupReason::Unknown);
        let mut decided = Vec::with_capacity(unknown.len() + bound.len());
        if !unknown.is_empty() {
            let unknown = unknown.into_iter().map(|pending| pending.record).collect();
            self.unknown(kind, unknown, may_be_unread, &mut bound, &mut decided)
                .await?;
            defer(&mut decided, room);
        }
        if !bound.is_empty() {
            self.bound(kind, bound, &mut decided).await?;
        }
        Ok(decided)
    }

    /// Records that are bound, but not as they should be.
    async fn bound(
        &self,
        kind: EntityKind,
        pending: Vec<PendingRecord>,
        decided: &mut Decided,
    ) -> Result {
        let id_of = |pending: &PendingRecord| pending.entry.as_ref().and_then(|entry| entry.id);
        let ids: Vec<NorceId> = pending.iter().filter_map(id_of).collect();
        let entities = ids.iter().map(|id| self.rules.entity(kind, *id));
        let entities: Vec<EntityRef> = entities.collect();
        let mappings = self.lookups.mappings(&entities).await?;
        let renamed = pending
            .iter()
            .filter(|pending| pending.reason == LookupReason::Renamed);
        let renamed: Vec<NorceId> = renamed.filter_map(id_of).collect();
        let codes = self.lookups.codes(kind, &renamed).await?;
        for pending in pending {
            let Some(id) = id_of(&pending) else { continue };
            let mapping = mappings.get(&self.rules.entity(kind, id));
            let code = codes.get(&id).and_then(Option::as_ref);
            let now = self.clock.now();
            if let Some(decision) = self.rules.bound(&pending, mapping, code, now)? {
                let PendingRecord { record, entry, .. } = pending;
                let sent = entry.and_then(|entry| entry.erp_fingerprint);
                let decision = self.relate(decision, &record, sent.as_ref()).await?;
                decided.push((record.id, decision));
            }
        }
        Ok(())
    }

    /// Records that are not bound.
    ///
    /// Where one entity of Norce has a record's code, the two are bound without reading the mappings, on condition that
    /// nothing else is there. Reading them first would be nine tenths of the reads of a first pass. Everything else is decided
    /// from the mappings.
    async fn unknown(
        &self,
        kind: EntityKind,
        records: Vec<ErpRecord>,
        may_be_unread: MayBeUnread<'_>,
        bound: &mut Vec<PendingRecord>,
        decided: &mut Decided,
    ) -> Result {
        let asked = records.iter().map(|record| LookupKey {
            code: record.code.clone(),
            keys: record.keys(kind),
        });
        let asked: Vec<LookupKey> = asked.collect();
        let found = self.lookups.in_norce(kind, &asked).await?;
        let hits = Hits::of(&found, self.rules.code_case);
        let (mut candidates, mut rest) = (Vec::new(), Vec::new());
        let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
        for (record, asked) in records.into_iter().zip(&asked) {
            let fit = hits.of_record(&record, &asked.keys);
            if let Ok(Hit::Code(found)) = &fit
                && !seen.insert(found.id)
            {
                twice.insert(found.id);
            }
            match fit {
                Ok(hit @ Hit::Code(_)) if may_be_unread(&record.id) => candidates.push(Candidate {
                    record,
                    hit,
                    is_unread: true,
                }),
                fit => rest.push((record, fit)),
            }
        }
        candidates.extend(self.read(kind, rest, bound, decided).await?);
        let rest = self.candidates(kind, candidates, &twice, decided).await?;
        let candidates = self.read(kind, rest, bound, decided).await?;
        self.candidates(kind, candidates, &twice, decided).await?;
        Ok(())
    }

    /// Reads what the mappings know of records. Returns those that remain candidates; the others are decided, or turn out to
    /// be bound.
    async fn read<'f>(
        &self,
        kind: EntityKind,
        records: Vec<(ErpRecord, Fit<'f>)>,
        bound: &mut Vec<PendingRecord>,
        decided: &mut Decided,
    ) -> Result<Vec<Candidate<'f>>> {
        let known = records.iter().map(|(record, _)| record);
        let known = self.lookups.known(kind, known).await?;
        let mut candidates = Vec::new();
        for ((record, fit), known) in records.into_iter().zip(known) {
            let decision = match known {
                Known::Forgotten => Decision::skip(&record, FORGOTTEN),
                // Bound a moment ago.
                Known::Record(entry) if entry.id.is_some() => {
                    bound.push(PendingRecord::new(record, Some(entry)));
                    continue;
                }
                // Its number may have been that of a record that was deleted: the entity that has it is looked up below.
                Known::Code(id) if !matches!(&fit, Ok(hit) if hit.ids().any(|it| it == id)) => {
                    Decision::conflict(&record, code_of_another(&record, id))
                }
                // One that was announced to be inserted may have been.
                Known::Nothing | Known::Record(_) | Known::Code(_) => match fit {
                    Ok(hit) => {
                        candidates.push(Candidate {
                            record,
                            hit,
                            is_unread: false,
                        });
                        continue;
                    }
                    Err(decision) => *decision,
                },
            };
            decided.push((record.id, decision));
        }
        Ok(candidates)
    }

    /// Decides about candidates. Returns those whose mappings have to be read, because a plain binding is not the answer.
    async fn candidates<'f>(
        &self,
        kind: EntityKind,
        candidates: Vec<Candidate<'f>>,
        twice: &HashSet<NorceId>,
        decided: &mut Decided,
    ) -> Result<Vec<(ErpRecord, Fit<'f>)>> {
        let facts = self.facts(kind, &candidates, twice).await?;
        let mut rest = Vec::new();
        for candidate in candidates {
            let Candidate {
                record,
                hit,
                is_unread,
            } = candidate;
            let mut decision = self.candidate(&record, &hit, &facts).await?;
            if let Decision::Act(Action::Update(update)) = &mut decision {
                let entity = update.id.map(|id| self.rules.entity(kind, id));
                let gone = entity.and_then(|entity| facts.gone.get(&entity));
                update.replaces = gone.cloned().map(Box::new);
                update.unread = is_unread;
            }
            let decision = self.relate(decision, &record, None).await?;
            if is_unread && !matches!(decision, Decision::Act(Action::Update(_))) {
                rest.push((record, Ok(hit)));
            } else {
                decided.push((record.id, decision));
            }
        }
        Ok(rest)
    }

    /// What candidates look like from the other side.
    async fn facts(
        &self,
        kind: EntityKind,
        candidates: &[Candidate<'_>],
        twice: &HashSet<NorceId>,
    ) -> Result<Facts> {
        if candidates.is_empty() {
            return Ok(Facts::default());
        }
        let read = candidates.iter().filter(|candidate| !candidate.is_unread);
        let entities = read.flat_map(|candidate| candidate.hit.ids());
        let entities = entities.map(|id| self.rules.entity(kind, id));
        let entities: Vec<EntityRef> = entities.collect();
        let mappings = self.lookups.mappings(&entities).await?;
        let gone = self.gone(&mappings).await?;
        // What is neither found nor to be inserted needs no more look-ups.
        let inserts = self.rules.settings.import_unknown;
        let wanted = candidates
            .iter()
            .filter(|candidate| inserts || candidate.hit.ids().next().is_some());
        let wanted =
            wanted.map(|Candidate { record, .. }| (record.id.clone(), record.code.clone()));
        let wanted: Vec<(ErpId, Code)> = wanted.collect();
        let code_holders = self.lookups.other_holders_of_codes(kind, &wanted).await?;
        let rivals = self.rivals(kind, candidates).await?;
        Ok(Facts {
            mappings,
            gone,
            code_holders,
            twice: twice.clone(),
            rivals,
        })
    }

    /// Decides about a record that fits entities of Norce, or none.
    async fn candidate(
        &self,
        record: &ErpRecord,
        hit: &Hit<'_>,
        facts: &Facts,
    ) -> Result<Decision> {
        let rules = &self.rules;
        if let Hit::Code(found) = hit {
            if let Some(decision) = rules.refused(record, found.id, facts) {
                return Ok(decision);
            }
            if contradicts(record, found) || self.is_of_another(record, found.id).await? {
                return Ok(rules.code_does_not_fit(record, found.id));
            }
        }
        if let Some(decision) = rules.obstacle(record, hit, facts) {
            return Ok(decision);
        }
        if let Some(decision) = self.stranger(record, hit).await? {
            return Ok(decision);
        }
        Ok(match hit {
            Hit::Nobody => rules.new_in_norce(record, &facts.rivals)?,
            Hit::Code(found) => rules.bind(UpdateKind::Bind, record, found)?,
            Hit::Keys(found) => {
                let kind = record.entity_kind();
                let mut in_erp = HashSet::new();
                for code in rules.unsettled_codes(record, found, &facts.rivals) {
                    if self.lookups.is_code_in_erp(kind, code).await? {
                        in_erp.insert(code);
                    }
                }
                let now = self.clock.now();
                rules.by_key(record, found, facts, &in_erp, now)?
            }
        })
    }

    /// Other records of the ERP that have a key of a candidate, and whose they are. There are few: only what a candidate
    /// shares its key with is read.
    async fn rivals(&self, kind: EntityKind, candidates: &[Candidate<'_>]) -> Result<Rivals> {
        let inserts = self.rules.settings.import_unknown;
        let by_key = candidates.iter().filter(|candidate| match &candidate.hit {
            Hit::Keys(_) => true,
            Hit::Nobody => inserts,
            Hit::Code(_) => false,
        });
        let by_key: Vec<&ErpRecord> = by_key.map(|candidate| &candidate.record).collect();
        let keys = by_key.iter().flat_map(|record| record.keys(kind));
        let keys: Vec<NaturalKey> = keys.collect();
        if keys.is_empty() {
            return Ok(Rivals::default());
        }
        let KeyHolders {
            holders,
            crowded,
            mut not_yet,
        } = self.lookups.holders_of_keys(kind, &keys, &by_key).await?;
        let is_shared = |key: &NaturalKey, id: &ErpId| {
            let mut others = by_key.iter().filter(|record| record.id != *id);
            others.any(|record| record.keys(kind).contains(key))
        };
        let shared = holders.into_iter().filter(|(key, id)| is_shared(key, id));
        let shared: Vec<(NaturalKey, ErpId)> = shared.collect();
        let shared_ids: BTreeSet<ErpId> = shared.iter().map(|(_, id)| id.clone()).collect();
        let shared_ids: Vec<ErpId> = shared_ids.into_iter().collect();
        let (records, unread) = self.owners(kind, &shared_ids).await?;
        let is_in_sync = |record: &UnusableRecord| record.reason != Unusable::NoCode;
        for record in unread.into_iter().filter(is_in_sync) {
            let keys = shared
                .iter()
                .filter(|(_, id)| record.id.as_ref() == Some(id));
            for (key, _) in keys {
                let reason = format!(
                    "another record of the ERP has the same {}, and cannot be used yet: {record}; this is tried again once it can",
                    key.field()
                );
                not_yet.insert(key.clone(), reason);
            }
        }
        Ok(Rivals {
            records,
            crowded,
            not_yet,
        })
    }

    /// Records of the ERP, and whose they are; and those that cannot be read.
    async fn owners(
        &self,
        kind: EntityKind,
        ids: &[ErpId],
    ) -> Result<(Vec<Rival>, Vec<UnusableRecord>)> {
        if ids.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let page = self.lookups.records(ids, FieldGroups::NONE).await?;
        let records = page.records;
        let known = self.lookups.known(kind, &records).await?;
        let asked = records.iter().map(|record| LookupKey {
            code: record.code.clone(),
            keys: Vec::new(),
        });
        let asked: Vec<LookupKey> = asked.collect();
        let found = self.lookups.in_norce(kind, &asked).await?;
        let (scope, case) = (self.rules.scope, self.rules.code_case);
        let owner = |record: &ErpRecord, known: &Known| {
            let mut found = found.iter();
            let with_code = found.find(|found| {
                let code = found.code.as_ref();
                code.is_some_and(|code| code.is(&record.code, case))
            });
            match (matching::owner(known, kind, scope), with_code) {
                (Owner::Nobody, Some(found)) if found.forgotten => Owner::Forgotten,
                (Owner::Nobody, Some(found)) => Owner::Entity(self.rules.entity(kind, found.id)),
                (owner, _) => owner,
            }
        };
        let rivals = records.iter().zip(&known).map(|(record, known)| Rival {
            id: record.id.clone(),
            keys: record.keys(kind),
            candidate: ErpCandidate {
                code: record.code.clone(),
                owner: owner(record, known),
                blocked: record.blocked,
                fits: true,
                made: false,
            },
        });
        Ok((rivals.collect(), page.unusable))
    }

    /// The entities whose bindings are dead, with the records that the ERP no longer has.
    async fn gone(
        &self,
        mappings: &HashMap<EntityRef, Mapping>,
    ) -> Result<HashMap<EntityRef, ErpId>> {
        let mut gone = HashMap::new();
        let check = self.lookups.record_check();
        // Few: nearly all records of a pass are known by their ids. Each is read by itself, because only that says for
        // certain that it is gone.
        for (entity, mapping) in mappings {
            if let Mapping::Bound(binding) = mapping
                && check.is_gone(&binding.erp_id).await?
            {
                gone.insert(*entity, binding.erp_id.clone());
            }
        }
        Ok(gone)
    }

    /// Looks up the company of an update that relates a contact to it.
    async fn relate(
        &self,
        decision: Decision,
        record: &ErpRecord,
        sent: Option<&Fingerprint>,
    ) -> Result<Decision> {
        let update = match decision {
            Decision::Act(Action::Update(update))
                if update.fields.has(FieldGroup::CompanyRelations) =>
            {
                update
            }
            decision => return Ok(decision),
        };
        let organisation = self.organisation(record).await?;
        let former = match organisation {
            Organisation::None => self.former_companies(update.id, sent, None).await?,
            Organisation::InNorce(id) => self.former_companies(update.id, sent, Some(id)).await?,
            Organisation::Unknown | Organisation::NotInNorce(_) => Vec::new(),
        };
        self.rules
            .relate(update, record, sent, organisation, former)
    }

    async fn organisation(&self, record: &ErpRecord) -> Result<Organisation> {
        let Some(key) = &record.company else {
            return Ok(Organisation::None);
        };
        let Some(company) = self.lookups.company_of(key).await? else {
            return Ok(Organisation::Unknown);
        };
        let id = self.lookups.company_in_norce(&company).await?;
        Ok(id.map_or(Organisation::NotInNorce(company), Organisation::InNorce))
    }

    /// The companies that Norce has for the contact by an import, and of which it is no longer a contact in the ERP.
    /// Others, which somebody has related to it in Norce, are not the ERP's to end.
    async fn former_companies(
        &self,
        customer: Option<NorceId>,
        sent: Option<&Fingerprint>,
        current: Option<NorceId>,
    ) -> Result<Vec<NorceId>> {
        let is_other = |id: &NorceId| Some(*id) != current;
        let Some(customer) = customer else {
            return Ok(Vec::new());
        };
        let hash = match sent_company(sent) {
            SentCompany::Nothing => return Ok(Vec::new()),
            SentCompany::Refused(former) => {
                return Ok(former.into_iter().filter(is_other).collect());
            }
            SentCompany::Sent { id: Some(id), .. } => {
                return Ok(Some(id).into_iter().filter(is_other).collect());
            }
            // Stored by an earlier version: which company that is in Norce has to be found out.
            SentCompany::Sent { hash, id: None } => hash,
        };
        let mut companies = self.lookups.companies_of(customer).await?;
        companies.retain(is_other);
        let scopes = self.lookups.seen_from.iter();
        let entities = scopes.flat_map(|scope| {
            let companies = companies.iter();
            companies.map(|id| EntityRef::company(*scope, *id))
        });
        let entities: Vec<EntityRef> = entities.collect();
        let mut former = Vec::new();
        for (entity, mapping) in self.lookups.mappings(&entities).await? {
            if let Mapping::Bound(binding) = mapping
                && let Some(key) = self.lookups.company_key(&binding.erp_id).await?
                && company_hash(&key, self.rules.fingerprints)? == hash
            {
                former.push(entity.id);
            }
        }
        Ok(former)
    }

    /// The decision about a contact of the ERP that is neither the customer with its e-mail address nor to be inserted. The ERP
    /// also has contacts of vendors and prospects; only contacts of customers are synchronized.
    async fn stranger(&self, record: &ErpRecord, hit: &Hit<'_>) -> Result<Option<Decision>> {
        let skipped = |reason| Ok(Some(Decision::skip(record, reason)));
        let inserts = self.rules.settings.import_unknown;
        let found = match hit {
            Hit::Code(_) => return Ok(None),
            Hit::Nobody if !inserts => return Ok(None),
            Hit::Nobody => Vec::new(),
            Hit::Keys(_) => hit.ids().collect(),
        };
        if record.id.resource != Resource::Contact {
            return Ok(None);
        }
        let company = match self.organisation(record).await? {
            Organisation::Unknown => return skipped("a contact of no customer of the ERP"),
            organisation => organisation,
        };
        // Where the ERP owns the relations, this pass imports the relation as well.
        if found.is_empty()
            || self
                .rules
                .synced
                .of(PartyType::Contact)
                .has(FieldGroup::CompanyRelations)
        {
            return Ok(None);
        }
        let company = match company {
            Organisation::InNorce(company) => company,
            Organisation::NotInNorce(organisation) => {
                let detail = format!(
                    "it is a contact of {organisation}, which is not in Norce, and has the e-mail address of a customer there: it gets its code when its company is in Norce and the customer is a contact of it; if they are two people, dismiss this"
                );
                return Ok(Some(Decision::owe(
                    record,
                    Reason::MissingPrerequisite,
                    detail,
                )));
            }
            _ => return Ok(None),
        };
        for customer in found {
            if self
                .lookups
                .companies_of(customer)
                .await?
                .contains(&company)
            {
                return Ok(None);
            }
        }
        skipped("the customer with its e-mail address is no contact of its organisation in Norce")
    }

    /// Whether a contact of the ERP is of an organisation that is a company in Norce, and the customer with its code there
    /// is a contact of other companies only. Where the ERP owns these relations, it may have moved.
    async fn is_of_another(&self, record: &ErpRecord, customer: NorceId) -> Result<bool> {
        let synced = self.rules.synced.of(PartyType::Contact);
        let is_moved_by_erp = synced.has(FieldGroup::CompanyRelations);
        if record.id.resource != Resource::Contact || is_moved_by_erp {
            return Ok(false);
        }
        let Organisation::InNorce(company) = self.organisation(record).await? else {
            return Ok(false);
        };
        let companies = self.lookups.companies_of(customer).await?;
        Ok(!companies.is_empty() && !companies.contains(&company))
    }
}

/// Leaves what cannot be decided yet to the end of the walk, where there is room to remember it.
fn defer(decided: &mut Decided, room: usize) {
    let waiting = decided
        .iter_mut()
        .filter(|(_, decision)| decision.waits_for_prerequisite());
    for (_, decision) in waiting.take(room) {
        *decision = Decision::Defer;
    }
}
