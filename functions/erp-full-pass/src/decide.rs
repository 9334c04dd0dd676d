//! What is done about a record of the ERP. Everything here only reads: a plan decides as the pass does.
//!
//! | the record is … | and … | then |
//! |---|---|---|
//! | known | unchanged | nothing |
//! | known | renamed, and Norce has the former code or none | Norce gets the new code |
//! | known | what the ERP owns has changed | Norce gets those fields |
//! | known | Norce never confirmed the code | Norce gets it again |
//! | unknown | one customer or company of Norce has its code | they are bound |
//! | unknown | exactly one without a code has its e-mail address or organisation number, and no other record of the ERP has it | they are bound, and Norce gets the code |
//! | unknown | Norce does not have it | skipped, or inserted |
//! | unknown | it fits one that is bound to a record which the ERP does not have any more | that one is bound to it instead |
//! | unknown | anything else | conflict |

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;
use shared::{
    Consistency,
    domain::{
        Code, CodeCase, EntityKind, EntityRef, ErpCodes, ErpId, FieldGroup, FieldGroups,
        Fingerprint, Names, NaturalKey, NorceAddresses, NorceId, Resource,
    },
    erp::{
        CompanyKey, Erp, ErpError, ErpRecord, ToldCompany, changed_groups, company_hash,
        told_company, with_company_id, with_same_company, with_told_company,
    },
    http::Deadline,
    mappings::key_index::MAX_HOLDERS,
    mappings::{CodeDelivery, Known, Mapping, READ_AT_ONCE, RecordFace},
    matching::{self, CodeInNorce, Conflict, ErpCandidate, NorceCandidate, Owner, RecordVerdict},
    norce::{Asked, Found},
    owed::Reason,
    passes::Run,
    record_finder::{KeyHolders, RecordFinder},
};

use crate::{
    ErpFullPass,
    action::{Action, Kept, Tell, What},
    failure::Halt,
    report::PlanLine,
    timing::Timed,
};

/// A code that Norce has not confirmed this long after it was handed over is handed over again; `change-events` waits
/// as long.
const HAND_OVER_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// What was decided about a record.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is as it is known.
    Unchanged,
    /// Something is done.
    Act(Action),
    /// It is left alone.
    Skip(Skipped),
    /// It cannot be told yet: once more when everything has been read.
    Defer,
}

/// A record that is left alone.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) reason: &'static str,
    pub(crate) kind: EntityKind,
    pub(crate) record: Option<ErpId>,
    pub(crate) code: Option<Code>,
}

impl Skipped {
    /// The line of a plan.
    pub(crate) fn plan_line(self) -> PlanLine {
        let mut line = PlanLine::new(
            "skipped",
            self.kind,
            self.record.as_ref(),
            self.code.as_ref(),
        );
        line.reason = Some(self.reason.to_owned());
        line
    }
}

fn skip(record: &ErpRecord, reason: &'static str) -> Decision {
    Decision::Skip(Skipped {
        reason,
        kind: record.entity_kind(),
        record: Some(record.id.clone()),
        code: Some(record.code.clone()),
    })
}

/// What a look at a record's face tells.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box for every unchanged record would cost more"
)]
pub(crate) enum Look {
    Decided(Decision),
    /// More has to be asked: with many others at once.
    Ask(Question),
}

/// What has to be asked about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// It is not known: which Norce entity is it?
    Unknown,
    /// It is known under another code: which code does Norce have?
    Renamed,
    /// Norce has not confirmed its code: is that still under way?
    Unconfirmed,
}

/// A record about which more has to be asked.
pub(crate) struct Asking {
    pub(crate) record: ErpRecord,
    pub(crate) face: Option<RecordFace>,
    pub(crate) question: Question,
}

/// What is constant for a walk over one register.
pub(crate) struct Rules<'a> {
    pub(crate) pass: &'a ErpFullPass,
    pub(crate) erp: &'a dyn Erp,
    /// Who holds a natural key.
    pub(crate) finder: RecordFinder<'a>,
    /// The groups of fields that Norce is told.
    pub(crate) told: FieldGroups,
    /// The organisations that contacts were seen to belong to.
    pub(crate) companies: Mutex<HashMap<CompanyKey, Option<ErpId>>>,
}

/// Organisations that are remembered: the contacts of one are mostly listed close to each other. About a megabyte.
const COMPANIES_REMEMBERED: usize = 5_000;

fn conflict(record: &ErpRecord, detail: String) -> Decision {
    Decision::Act(Action::Owe {
        kind: record.entity_kind(),
        record: record.id.clone(),
        code: Some(record.code.clone()),
        reason: Reason::Conflict,
        detail,
    })
}

fn not_yet(record: &ErpRecord, detail: String) -> Decision {
    Decision::Act(Action::Owe {
        kind: record.entity_kind(),
        record: record.id.clone(),
        code: Some(record.code.clone()),
        reason: Reason::MissingPrerequisite,
        detail,
    })
}

impl Rules<'_> {
    /// Leaves what cannot be told yet to the end of the walk, where there is room to remember it.
    fn defer(decided: &mut [(ErpId, Decision)], room: usize) {
        let untold = decided.iter_mut().filter(|(_, decision)| {
            matches!(
                decision,
                Decision::Act(Action::Owe {
                    reason: Reason::MissingPrerequisite,
                    ..
                })
            )
        });
        for (_, decision) in untold.take(room) {
            *decision = Decision::Defer;
        }
    }

    /// What the face of a record tells. This is all that most records of a pass need, and allocates nothing for them.
    pub(crate) fn look(&self, record: &ErpRecord, face: Option<&RecordFace>) -> Result<Look, Halt> {
        let Some(face) = face else {
            // In Business Central every customer that is a person has one of these.
            if record.id.resource == Resource::Contact && record.company.is_none() {
                return Ok(Look::Decided(skip(record, "a contact of no organisation")));
            }
            return Ok(Look::Ask(Question::Unknown));
        };
        let Some(id) = face.id else {
            return Ok(Look::Ask(Question::Unknown));
        };
        if face.code != record.code {
            return Ok(Look::Ask(Question::Renamed));
        }
        if !face.confirmed {
            return Ok(Look::Ask(Question::Unconfirmed));
        }
        let (now, changed) = self.changed(record, face.erp_fingerprint.as_ref())?;
        Ok(if changed.is_empty() {
            Look::Decided(Decision::Unchanged)
        } else if changed.has(FieldGroup::CompanyRelations) {
            // Its company has to be asked for.
            Look::Ask(Question::Unconfirmed)
        } else {
            let tell = self.tell(What::Fields, record, Some(id), changed, now);
            Look::Decided(Decision::Act(Action::Tell(tell)))
        })
    }

    fn changed(
        &self,
        record: &ErpRecord,
        told: Option<&Fingerprint>,
    ) -> Result<(Option<Fingerprint>, FieldGroups), Halt> {
        let now = record.owned_fingerprint(self.told, &self.pass.fingerprints)?;
        let now = with_same_company(now, told);
        let changed = changed_groups(told, now.as_ref(), self.told);
        Ok((now, changed.without(record.unknown_numbers())))
    }

    fn tell(
        &self,
        what: What,
        record: &ErpRecord,
        id: Option<NorceId>,
        fields: FieldGroups,
        fingerprint: Option<Fingerprint>,
    ) -> Tell {
        Tell {
            what,
            kind: record.entity_kind(),
            record: record.id.clone(),
            code: record.code.clone(),
            id,
            fields,
            company: None,
            waits_for: None,
            former_companies: Vec::new(),
            fingerprint,
            replaces: None,
            kept: Kept::Nothing,
        }
    }

    /// Decides about records of one kind whose faces did not tell enough, many at a time. `later`: how many can be
    /// deferred to the end of the walk.
    pub(crate) async fn ask(
        &self,
        kind: EntityKind,
        asking: Vec<Asking>,
        run: &mut Run,
        later: usize,
        deadline: Deadline,
    ) -> Result<Vec<(ErpId, Decision)>, Halt> {
        let (mut unknown, mut others) = (Vec::new(), Vec::new());
        for asking in asking {
            if asking.question == Question::Unknown {
                unknown.push(asking.record);
            } else {
                others.push(asking);
            }
        }
        let mut decided = Vec::with_capacity(unknown.len() + others.len());
        if !unknown.is_empty() {
            self.unknown(kind, unknown, &mut others, &mut decided, run, deadline)
                .await?;
            Self::defer(&mut decided, later);
        }
        if !others.is_empty() {
            self.known(kind, others, &mut decided, run, deadline)
                .await?;
        }
        Ok(decided)
    }

    /// Records that are bound, but not as they should be.
    async fn known(
        &self,
        kind: EntityKind,
        asking: Vec<Asking>,
        decided: &mut Vec<(ErpId, Decision)>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        let scope = run.scope;
        let entity = |id| EntityRef { kind, scope, id };
        let ids = |of: &dyn Fn(&Asking) -> bool| -> Vec<NorceId> {
            let some = asking.iter().filter(|asking| of(asking));
            some.filter_map(|asking| asking.face.as_ref()?.id).collect()
        };
        let renamed = ids(&|asking| asking.question == Question::Renamed);
        let entities: Vec<EntityRef> = ids(&|_| true).into_iter().map(entity).collect();
        let mappings = self.mappings(&entities, run).await?;
        let codes: HashMap<NorceId, Option<Code>> = if renamed.is_empty() {
            HashMap::new()
        } else {
            run.cost.query_calls += 1;
            let codes = self.pass.norce.codes(kind, run.scope, &renamed, deadline);
            let codes = codes.timed(&mut run.cost.norce_wait_ms).await?;
            codes.into_iter().collect()
        };
        for Asking {
            record,
            face,
            question,
        } in asking
        {
            let key = record.id.clone();
            let Some((face, id)) = face.and_then(|face| face.id.map(|id| (face, id))) else {
                continue;
            };
            let binding = match mappings.get(&entity(id)) {
                Some(Mapping::Bound(binding)) => binding,
                Some(Mapping::Forgotten) => {
                    decided.push((key, skip(&record, FORGOTTEN)));
                    continue;
                }
                _ => {
                    let detail = format!("its mapping to {} is gone meanwhile", entity(id));
                    decided.push((key, conflict(&record, detail)));
                    continue;
                }
            };
            let told = face.erp_fingerprint;
            let (now, changed) = self.changed(&record, told.as_ref())?;
            let decision = if question == Question::Renamed {
                let in_norce = codes.get(&id).cloned().flatten();
                let former = [
                    Some(&face.code),
                    Some(&record.code),
                    binding.former_code.as_ref(),
                ];
                if !self.pass.settings.erp_owns.has(FieldGroup::Code) {
                    conflict(
                        &record,
                        format!(
                            "the ERP renamed code {} to {}, and the code is not among ERP_OWNED_FIELDS: rename it back, or correct it in Norce",
                            face.code, record.code
                        ),
                    )
                } else if in_norce.is_none() || former.contains(&in_norce.as_ref()) {
                    let fields = FieldGroups::CODE.union(changed);
                    let what = What::Rename { from: face.code };
                    let tell = self.tell(what, &record, Some(id), fields, now);
                    self.with_company(tell, &record, told.as_ref(), run, deadline)
                        .await?
                } else {
                    conflict(
                        &record,
                        format!(
                            "the ERP renamed code {} to {}, but Norce has another one for {}: correct the one that is wrong; neither is overwritten",
                            face.code,
                            record.code,
                            entity(id)
                        ),
                    )
                }
            } else {
                let again = match binding.delivery {
                    CodeDelivery::Confirmed { .. } => false,
                    CodeDelivery::HandedOver { at } => {
                        at + HAND_OVER_AGAIN_AFTER <= self.pass.clock.now()
                    }
                    CodeDelivery::Pending | CodeDelivery::Refused { .. } => true,
                };
                let fields = if again {
                    FieldGroups::CODE.union(changed)
                } else {
                    changed
                };
                if fields.is_empty() {
                    Decision::Unchanged
                } else {
                    let what = if again { What::CodeAgain } else { What::Fields };
                    let tell = self.tell(what, &record, Some(id), fields, now);
                    self.with_company(tell, &record, told.as_ref(), run, deadline)
                        .await?
                }
            };
            decided.push((key, decision));
        }
        Ok(())
    }

    /// Records that are not bound.
    async fn unknown(
        &self,
        kind: EntityKind,
        records: Vec<ErpRecord>,
        others: &mut Vec<Asking>,
        decided: &mut Vec<(ErpId, Decision)>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        let scope = run.scope;
        let keys: Vec<(ErpId, Code)> = records
            .iter()
            .map(|record| (record.id.clone(), record.code.clone()))
            .collect();
        run.cost.mapping_reads += KEYS_OF_UNKNOWN * keys.len() as u64;
        run.cost.mapping_read_requests +=
            (KEYS_OF_UNKNOWN * keys.len() as u64).div_ceil(READ_AT_ONCE as u64);
        let known = self.pass.mappings.known(kind, scope, &keys).await?;

        let asked: Vec<Asked> = records
            .iter()
            .map(|record| Asked {
                code: record.code.clone(),
                keys: record.keys(kind),
            })
            .collect();
        let look_up = self.pass.norce.look_up(kind, scope, &asked, deadline);
        let look_up = look_up.timed(&mut run.cost.norce_wait_ms).await?;
        run.cost.query_calls += u64::from(look_up.requests);
        let case = self.erp.capabilities().code_case;
        let hits = Hits::of(&look_up.found, case);

        let mut candidates: Vec<(ErpRecord, Hit<'_>)> = Vec::new();
        for ((record, asked), known) in records.into_iter().zip(&asked).zip(known) {
            let key = record.id.clone();
            match known {
                Known::Nothing => {}
                Known::Forgotten => {
                    decided.push((key, skip(&record, FORGOTTEN)));
                    continue;
                }
                // Bound a moment ago.
                Known::Record(face) if face.id.is_some() => {
                    let question = if face.code == record.code {
                        Question::Unconfirmed
                    } else {
                        Question::Renamed
                    };
                    others.push(Asking {
                        record,
                        face: Some(face),
                        question,
                    });
                    continue;
                }
                // Announced to be inserted: has it been?
                Known::Record(_) => {}
                // Its number may have been that of a record that was deleted: the one who has it is asked for below.
                Known::Code(id) if matches!(hits.of_record(&record, &asked.keys), Ok(hit) if hit.ids().any(|it| it == id)) =>
                    {}
                Known::Code(id) => {
                    let detail = code_of_another(&record, id);
                    decided.push((key, conflict(&record, detail)));
                    continue;
                }
            }
            match hits.of_record(&record, &asked.keys) {
                Ok(hit) => candidates.push((record, hit)),
                Err(decision) => decided.push((key, *decision)),
            }
        }
        self.candidates(kind, candidates, decided, run, deadline)
            .await
    }

    /// Records that fit exactly one Norce entity, or none: they are looked at from the other side.
    async fn candidates(
        &self,
        kind: EntityKind,
        candidates: Vec<(ErpRecord, Hit<'_>)>,
        decided: &mut Vec<(ErpId, Decision)>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        let scope = run.scope;
        let entities: Vec<EntityRef> = candidates
            .iter()
            .flat_map(|(_, hit)| hit.ids())
            .map(|id| EntityRef { kind, scope, id })
            .collect();
        let mappings = self.mappings(&entities, run).await?;
        let gone = self.gone(&mappings, run, deadline).await?;
        // What is neither found nor to be inserted needs no more questions.
        let wanted =
            |hit: &Hit<'_>| hit.ids().next().is_some() || self.pass.settings.import_unknown;
        let codes: Vec<(ErpId, Code)> = candidates
            .iter()
            .filter(|(_, hit)| wanted(hit))
            .map(|(record, _)| (record.id.clone(), record.code.clone()))
            .collect();
        let code_holders = if codes.is_empty() {
            Vec::new()
        } else {
            run.cost.erp_calls += 1;
            let holders = self.erp.other_holders_of_codes(kind, &codes, deadline);
            holders.timed(&mut run.cost.erp_wait_ms).await?
        };
        let rivals = self.rivals(kind, &candidates, run, deadline).await?;
        let mut seen = HashSet::new();
        let twice: HashSet<NorceId> = candidates
            .iter()
            .filter_map(|(_, hit)| match hit {
                Hit::Code(found) => Some(found.id),
                Hit::Keys(_) | Hit::Nobody => None,
            })
            .filter(|id| !seen.insert(*id))
            .collect();
        for (record, hit) in candidates {
            let key = record.id.clone();
            if let Hit::Code(found) = &hit
                && let Some(decision) =
                    self.refused(&record, found.id, &mappings, &gone, &twice, run)
            {
                decided.push((key, decision));
                continue;
            }
            if let Hit::Code(found) = &hit
                && (contradicts(&record, found)
                    || self.is_of_another(&record, found.id, run, deadline).await?)
            {
                let entity = EntityRef {
                    kind,
                    scope,
                    id: found.id,
                };
                let code = record.code.clone();
                let detail = Conflict::CodeDoesNotFit { code }.about(kind, &entity);
                decided.push((key, conflict(&record, detail)));
                continue;
            }
            let another = code_holders
                .iter()
                .find(|(code, holder)| *code == record.code && *holder != record.id);
            if let Some((code, holder)) = another {
                let detail = format!(
                    "its code {code} is also that of another record of the ERP ({holder}): Norce has customers and contacts in one register; give one of them another code"
                );
                decided.push((key, conflict(&record, detail)));
                continue;
            }
            let by_key = match &hit {
                Hit::Keys(_) => true,
                Hit::Nobody => self.pass.settings.import_unknown,
                Hit::Code(_) => false,
            };
            if let (true, Some(obstacle)) = (by_key, rivals.obstacle(&record)) {
                decided.push((key, obstacle));
                continue;
            }
            let mut decision = match hit {
                Hit::Nobody => self.new_in_norce(&record, &rivals, run, deadline).await?,
                Hit::Code(found) => self.bind(What::Bind, &record, found, run, deadline).await?,
                Hit::Keys(found) => {
                    let known = KnownOfNorce {
                        mappings: &mappings,
                        gone: &gone,
                    };
                    let verdict = self
                        .by_key(kind, &record, &found, &rivals, &known, run, deadline)
                        .await?;
                    let matched = |id| found.iter().find(|found| found.id == id);
                    match verdict {
                        RecordVerdict::Match(id) => match matched(id) {
                            Some(found) => {
                                self.bind(What::Code, &record, found, run, deadline).await?
                            }
                            // The rule returns one of the entities that it was given.
                            None => skip(&record, STRANGER),
                        },
                        RecordVerdict::Nobody => {
                            self.new_in_norce(&record, &rivals, run, deadline).await?
                        }
                        RecordVerdict::Stranger => skip(&record, STRANGER),
                        RecordVerdict::Wait => skip(&record, BEING_MADE),
                        RecordVerdict::Conflict(id, found) => {
                            let entity = EntityRef { kind, scope, id };
                            conflict(&record, found.about(kind, &entity))
                        }
                    }
                }
            };
            if let Decision::Act(Action::Tell(tell)) = &mut decision {
                let entity = tell.id.map(|id| EntityRef { kind, scope, id });
                let bound_to_gone = entity.and_then(|entity| gone.get(&entity));
                tell.replaces = bound_to_gone.cloned().map(Box::new);
            }
            decided.push((key, decision));
        }
        Ok(())
    }

    /// Which entity a record with a shared key is, by the rule of all flows.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `candidates`, with what was asked for all of them at once"
    )]
    async fn by_key(
        &self,
        kind: EntityKind,
        record: &ErpRecord,
        found: &[&Found],
        rivals: &Rivals,
        known: &KnownOfNorce<'_>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<RecordVerdict, Halt> {
        let keys = record.keys(kind);
        let others: Vec<&Rival> = rivals
            .records
            .iter()
            .filter(|rival| rival.id != record.id)
            .filter(|rival| rival.keys.iter().any(|key| keys.contains(key)))
            .collect();
        let scope = run.scope;
        let case = self.erp.capabilities().code_case;
        let mut entities = Vec::with_capacity(found.len());
        for found in found {
            let id = found.id;
            let code = found
                .code
                .as_ref()
                .filter(|code| self.pass.settings.matching.erp_codes.may_be(code));
            let entity = EntityRef { kind, scope, id };
            let is_gone = known.gone.contains_key(&entity);
            let code = match code {
                None => CodeInNorce::None,
                Some(code)
                    if others
                        .iter()
                        .any(|rival| rival.candidate.code.is(code, case)) =>
                {
                    CodeInNorce::OfRecord
                }
                Some(_) if self.pass.settings.matching.erp_codes != ErpCodes::Known => {
                    CodeInNorce::Other
                }
                Some(code) if self.is_in_erp(kind, code, run, deadline).await? => {
                    CodeInNorce::OfRecord
                }
                Some(_) => CodeInNorce::None,
            };
            let mapping = known.mappings.get(&entity);
            let standing = matching::standing(found, mapping, is_gone, code, self.pass.clock.now());
            entities.push(NorceCandidate { id, standing });
        }
        let candidate = ErpCandidate {
            code: record.code.clone(),
            owner: Owner::Nobody,
            blocked: record.blocked,
            fits: true,
            made: false,
        };
        let others: Vec<ErpCandidate> =
            others.iter().map(|rival| rival.candidate.clone()).collect();
        let shared_email = self.pass.settings.matching.shared_email;
        Ok(matching::of_record(
            kind,
            scope,
            &candidate,
            &entities,
            &others,
            shared_email,
        ))
    }

    async fn is_in_erp(
        &self,
        kind: EntityKind,
        code: &Code,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<bool, Halt> {
        let resources: &[Resource] = match kind {
            EntityKind::Company => &[Resource::Customer],
            EntityKind::Customer => &[Resource::Customer, Resource::Contact],
        };
        for resource in resources {
            run.cost.erp_calls += 1;
            let hits = self.erp.find_by_code(*resource, code, deadline);
            if !hits.timed(&mut run.cost.erp_wait_ms).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Other records of the ERP that have a key of a candidate, and whose they are. There are few: only what a candidate
    /// shares its key with is read.
    async fn rivals(
        &self,
        kind: EntityKind,
        candidates: &[(ErpRecord, Hit<'_>)],
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Rivals, Halt> {
        let scope = run.scope;
        let inserts = self.pass.settings.import_unknown;
        let asked: Vec<&ErpRecord> = candidates
            .iter()
            .filter(|(_, hit)| match hit {
                Hit::Keys(_) => true,
                Hit::Nobody => inserts,
                Hit::Code(_) => false,
            })
            .map(|(record, _)| record)
            .collect();
        let keys: Vec<NaturalKey> = asked.iter().flat_map(|record| record.keys(kind)).collect();
        if keys.is_empty() {
            return Ok(Rivals::default());
        }
        run.cost.erp_calls += 1;
        let holders = self.finder.holders(kind, &keys, &asked, deadline);
        let KeyHolders {
            holders,
            crowded,
            not_yet,
        } = holders.timed(&mut run.cost.erp_wait_ms).await?;
        let is_shared = |key: &NaturalKey, id: &ErpId| {
            let mut others = asked.iter().filter(|record| record.id != *id);
            others.any(|record| record.keys(kind).contains(key))
        };
        let ids: BTreeSet<ErpId> = holders
            .into_iter()
            .filter(|(key, id)| is_shared(key, id))
            .map(|(_, id)| id)
            .collect();
        if ids.is_empty() {
            return Ok(Rivals {
                records: Vec::new(),
                crowded,
                not_yet,
            });
        }
        let ids: Vec<ErpId> = ids.into_iter().collect();
        run.cost.erp_calls += 1;
        let records = self.erp.get_many(&ids, FieldGroups::NONE, deadline);
        let records = records.timed(&mut run.cost.erp_wait_ms).await?;
        let named: Vec<(ErpId, Code)> = records
            .iter()
            .map(|record| (record.id.clone(), record.code.clone()))
            .collect();
        run.cost.mapping_reads += KEYS_OF_UNKNOWN * named.len() as u64;
        run.cost.mapping_read_requests +=
            (KEYS_OF_UNKNOWN * named.len() as u64).div_ceil(READ_AT_ONCE as u64);
        let known = self.pass.mappings.known(kind, scope, &named).await?;
        let asked: Vec<Asked> = named
            .iter()
            .map(|(_, code)| Asked {
                code: code.clone(),
                keys: Vec::new(),
            })
            .collect();
        let look_up = self.pass.norce.look_up(kind, scope, &asked, deadline);
        let look_up = look_up.timed(&mut run.cost.norce_wait_ms).await?;
        run.cost.query_calls += u64::from(look_up.requests);
        let case = self.erp.capabilities().code_case;
        let of_code = |code: &Code| {
            look_up
                .found
                .iter()
                .find(|found| found.code.as_ref().is_some_and(|it| it.is(code, case)))
        };
        let rivals = records.iter().zip(known).map(|(record, known)| Rival {
            id: record.id.clone(),
            keys: record.keys(kind),
            candidate: ErpCandidate {
                code: record.code.clone(),
                owner: match (matching::owner(&known, kind, scope), of_code(&record.code)) {
                    (Owner::Nobody, Some(found)) if found.forgotten => Owner::Forgotten,
                    (Owner::Nobody, Some(found)) => Owner::Entity(EntityRef {
                        kind,
                        scope,
                        id: found.id,
                    }),
                    (owner, _) => owner,
                },
                blocked: record.blocked,
                fits: true,
                made: false,
            },
        });
        Ok(Rivals {
            records: rivals.collect(),
            crowded,
            not_yet,
        })
    }

    fn refused(
        &self,
        record: &ErpRecord,
        id: NorceId,
        mappings: &HashMap<EntityRef, Mapping>,
        gone: &HashMap<EntityRef, ErpId>,
        twice: &HashSet<NorceId>,
        run: &Run,
    ) -> Option<Decision> {
        let entity = EntityRef {
            kind: record.entity_kind(),
            scope: run.scope,
            id,
        };
        match mappings.get(&entity) {
            Some(Mapping::Forgotten) => Some(skip(record, FORGOTTEN)),
            Some(Mapping::Bound(binding))
                if !gone.contains_key(&entity) && binding.code == record.code =>
            {
                Some(conflict(record, code_of_another(record, id)))
            }
            Some(Mapping::Bound(binding)) if !gone.contains_key(&entity) => Some(conflict(
                record,
                format!(
                    "it fits {entity}, which is bound to code {} already: correct the one that is wrong",
                    binding.code
                ),
            )),
            _ if twice.contains(&id) => Some(conflict(
                record,
                format!("it fits {entity}, and so does another record of the ERP"),
            )),
            Some(Mapping::Reserved(_) | Mapping::Bound(_)) | None => None,
        }
    }

    /// The entities whose bindings are dead, with the records that the ERP does not have any more.
    async fn gone(
        &self,
        mappings: &HashMap<EntityRef, Mapping>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<HashMap<EntityRef, ErpId>, Halt> {
        let bound: Vec<(EntityRef, ErpId)> = mappings
            .iter()
            .filter_map(|(entity, mapping)| match mapping {
                Mapping::Bound(binding) => Some((*entity, binding.erp_id.clone())),
                Mapping::Reserved(_) | Mapping::Forgotten => None,
            })
            .collect();
        let mut gone = HashMap::new();
        // Few: nearly all records of a pass are known by their ids. Each is asked for by itself, because only that says
        // for certain that it is gone.
        for (entity, record) in bound {
            run.cost.erp_calls += 1;
            let seen = self.erp.get(&record, deadline);
            if seen.timed(&mut run.cost.erp_wait_ms).await?.is_none() {
                gone.insert(entity, record);
            }
        }
        Ok(gone)
    }

    async fn bind(
        &self,
        what: What,
        record: &ErpRecord,
        found: &Found,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Decision, Halt> {
        let (now, changed) = self.changed(record, None)?;
        let fields = match &what {
            What::Code => FieldGroups::CODE.union(changed),
            _ => changed,
        };
        let mut tell = self.tell(what, record, Some(found.id), fields, now);
        tell.kept = self.kept(record, found);
        self.with_company(tell, record, None, run, deadline).await
    }

    /// What the first binding of an entity leaves as the record has it, as far as the look-up tells.
    fn kept(&self, record: &ErpRecord, found: &Found) -> Kept {
        let kind = record.entity_kind();
        let writes = self.pass.settings.first_binding_writes;
        let writes = match (kind, record.id.resource) {
            (_, Resource::Contact) => writes.contacts,
            (EntityKind::Customer, _) => writes.persons,
            (EntityKind::Company, _) => writes.companies,
        };
        if writes {
            return Kept::Nothing;
        }
        // Only customers have one key, so that another one is another value. Where one side has none, nothing is kept.
        let (of_record, of_norce) = (record.keys(kind), &found.keys);
        let differs = kind == EntityKind::Customer
            && !of_record.is_empty()
            && !of_norce.is_empty()
            && !of_record.iter().any(|key| of_norce.contains(key));
        if differs { Kept::Email } else { Kept::Unnamed }
    }

    /// A record that Norce does not have. One of several with the same key is not inserted: Norce would take the second
    /// for the first.
    async fn new_in_norce(
        &self,
        record: &ErpRecord,
        rivals: &Rivals,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Decision, Halt> {
        let kind = record.entity_kind();
        let keys = record.keys(kind);
        let mut others = rivals
            .records
            .iter()
            .filter(|rival| rival.id != record.id && rival.candidate.owner != Owner::Forgotten)
            .filter(|rival| rival.keys.iter().any(|key| keys.contains(key)));
        if let (true, Some(other)) = (self.pass.settings.import_unknown, others.next()) {
            let detail = format!(
                "another record of the ERP ({}) has the same {}: Norce would take the two for one; make the right one's {kind} in Norce and put its code on it, or correct one of the two in the ERP",
                other.candidate.code,
                NaturalKey::name_of(kind)
            );
            return Ok(conflict(record, detail));
        }
        self.insert(record, run, deadline).await
    }

    async fn insert(
        &self,
        record: &ErpRecord,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Decision, Halt> {
        if !self.pass.settings.import_unknown {
            return Ok(skip(record, "not in Norce"));
        }
        if record.blocked {
            return Ok(skip(record, "not in Norce, and blocked in the ERP"));
        }
        if !self.pass.takes_new_records(run.scope) {
            return Ok(skip(
                record,
                "not in Norce, and whether it belongs to one application or to all is not known",
            ));
        }
        // What Norce requires of an insert (norce-api §3.4).
        let fields = record.norce_fields(&NorceAddresses::default());
        let is_complete = match fields.names {
            Some(Names::Customer { first, .. }) => first.is_some() && fields.email.is_some(),
            Some(Names::Company(_)) => fields.organisation_number.is_some(),
            None => false,
        };
        if !is_complete {
            return Ok(skip(record, "not in Norce, and lacks what Norce requires"));
        }
        let (now, _) = self.changed(record, None)?;
        let mut groups = FieldGroups::CODE.union(self.told);
        if record.id.resource == Resource::Contact {
            groups = groups.union(FieldGroups::of(&[FieldGroup::CompanyRelations]));
        } else {
            groups = groups.without(FieldGroups::of(&[FieldGroup::CompanyRelations]));
        }
        let tell = self.tell(What::Insert, record, None, groups, now);
        self.with_company(tell, record, None, run, deadline).await
    }

    /// A line that relates a contact to its company names the company by Norce's id, or waits until there is one: the
    /// related entity must exist in Norce (norce-api §3.4). It also names the company of which the contact was before, as far
    /// as Norce was told of that (`told`).
    async fn with_company(
        &self,
        mut tell: Tell,
        record: &ErpRecord,
        told: Option<&Fingerprint>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Decision, Halt> {
        let relation = FieldGroups::of(&[FieldGroup::CompanyRelations]);
        if !tell.fields.has(FieldGroup::CompanyRelations) {
            return Ok(Decision::Act(Action::Tell(tell)));
        }
        let Some(key) = &record.company else {
            tell.fields = tell.fields.without(relation);
            tell.former_companies = self.former_companies(&tell, told, run, deadline).await?;
            return Ok(Decision::Act(Action::Tell(tell)));
        };
        let Some(company) = self.company_of(key, run, deadline).await? else {
            return Ok(conflict(
                record,
                "the organisation that it belongs to in the ERP cannot be told".to_owned(),
            ));
        };
        match self.in_norce(&company, run).await? {
            Some(id) => {
                tell.company = Some(id);
                tell.fingerprint = with_company_id(tell.fingerprint, id);
                tell.former_companies = self.former_companies(&tell, told, run, deadline).await?;
                Ok(Decision::Act(Action::Tell(tell)))
            }
            None if tell.id.is_some() => {
                // The rest does not wait. The fingerprint keeps the former relation, so that a later pass confirms the new one.
                tell.fields = tell.fields.without(relation);
                let others = self.told.without(relation);
                let now = record.owned_fingerprint(others, &self.pass.fingerprints)?;
                tell.fingerprint = with_told_company(now, &told_company(told));
                Ok(Decision::Act(
                    if tell.what == What::Fields && tell.fields.is_empty() {
                        Action::Wait { company, tell }
                    } else {
                        tell.waits_for = Some(company);
                        Action::Tell(tell)
                    },
                ))
            }
            None => Ok(Decision::Act(Action::Wait { company, tell })),
        }
    }

    /// The companies of which Norce was told that the contact belongs to them, and of which it is a contact in the ERP no
    /// longer. Others, which somebody has related to it in Norce, are not the ERP's to end.
    async fn former_companies(
        &self,
        tell: &Tell,
        told: Option<&Fingerprint>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, Halt> {
        let is_other = |id: &NorceId| Some(*id) != tell.company;
        let (Some(customer), told) = (tell.id, told_company(told)) else {
            return Ok(Vec::new());
        };
        let told = match told {
            ToldCompany::Nothing => return Ok(Vec::new()),
            ToldCompany::Refused(former) => {
                return Ok(former.into_iter().filter(is_other).collect());
            }
            ToldCompany::Told { id: Some(id), .. } => {
                return Ok(Some(id).into_iter().filter(is_other).collect());
            }
            // Noted by an earlier version: which company that is in Norce has to be found out.
            ToldCompany::Told { hash, id: None } => hash,
        };
        run.cost.query_calls += 1;
        let ids = [customer];
        let relations = self.pass.norce.relations(run.scope, &ids, deadline);
        let relations = relations.timed(&mut run.cost.norce_wait_ms).await?;
        let related = relations.get(&customer).into_iter().flatten();
        let companies: Vec<NorceId> = related.map(|it| it.company).filter(is_other).collect();
        let scopes = self.pass.shops.seen_from(run.scope);
        let entities: Vec<EntityRef> = scopes
            .into_iter()
            .flat_map(|scope| {
                companies
                    .iter()
                    .map(move |id| EntityRef::company(scope, *id))
            })
            .collect();
        let mut former = Vec::new();
        for (entity, mapping) in self.mappings(&entities, run).await? {
            let Mapping::Bound(binding) = mapping else {
                continue;
            };
            run.cost.erp_calls += 1;
            let key = self.erp.company_key(&binding.erp_id, deadline);
            let key = match key.timed(&mut run.cost.erp_wait_ms).await {
                Ok(Some(key)) => key,
                // Of one record it cannot be told, and that must not stop a pass.
                Ok(None) | Err(ErpError::Refused { .. } | ErpError::Unreadable(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if company_hash(&key, &self.pass.fingerprints)? == told {
                former.push(entity.id);
            }
        }
        Ok(former)
    }

    /// Whether a contact of the ERP is of an organisation that is a company in Norce, and the customer with its code there is
    /// a contact of other companies only. Where the ERP owns these relations, it may have moved.
    async fn is_of_another(
        &self,
        record: &ErpRecord,
        customer: NorceId,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<bool, Halt> {
        let Some(key) = &record.company else {
            return Ok(false);
        };
        if record.id.resource != Resource::Contact || self.told.has(FieldGroup::CompanyRelations) {
            return Ok(false);
        }
        let Some(organisation) = self.company_of(key, run, deadline).await? else {
            return Ok(false);
        };
        let Some(company) = self.in_norce(&organisation, run).await? else {
            return Ok(false);
        };
        run.cost.query_calls += 1;
        let ids = [customer];
        let relations = self.pass.norce.relations(run.scope, &ids, deadline);
        let relations = relations.timed(&mut run.cost.norce_wait_ms).await?;
        let companies = relations.get(&customer);
        Ok(companies.is_some_and(|companies| {
            !companies.is_empty() && companies.iter().all(|it| it.company != company)
        }))
    }

    /// Norce's id of an organisation of the ERP.
    async fn in_norce(&self, company: &ErpId, run: &mut Run) -> Result<Option<NorceId>, Halt> {
        for scope in self.pass.shops.seen_from(run.scope) {
            run.cost.mapping_reads += 1;
            run.cost.mapping_read_requests += 1;
            // A company that was bound a moment ago must not be waited for: its lines have gone on their way already.
            let companies = std::slice::from_ref(company);
            let mappings = &self.pass.mappings;
            let faces = mappings.records(scope, companies, Consistency::Strong);
            let face = faces.await?.into_iter().next().flatten();
            if let Some(id) = face.and_then(|face| face.id) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    async fn company_of(
        &self,
        key: &CompanyKey,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Option<ErpId>, Halt> {
        let known = self.companies().get(key).cloned();
        if let Some(company) = known {
            return Ok(company);
        }
        run.cost.erp_calls += 1;
        let company = self.erp.company_of(key, deadline);
        let company = company.timed(&mut run.cost.erp_wait_ms).await?;
        let mut companies = self.companies();
        if companies.len() >= COMPANIES_REMEMBERED {
            companies.clear();
        }
        companies.insert(key.clone(), company.clone());
        Ok(company)
    }

    fn companies(&self) -> MutexGuard<'_, HashMap<CompanyKey, Option<ErpId>>> {
        self.companies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn mappings(
        &self,
        entities: &[EntityRef],
        run: &mut Run,
    ) -> Result<HashMap<EntityRef, Mapping>, Halt> {
        if entities.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = KEYS_OF_ENTITY * entities.len() as u64;
        run.cost.mapping_reads += keys;
        run.cost.mapping_read_requests += keys.div_ceil(READ_AT_ONCE as u64);
        let mappings = self.pass.mappings.get_many(entities).await?;
        Ok(entities
            .iter()
            .zip(mappings)
            .filter_map(|(entity, mapping)| Some((*entity, mapping?)))
            .collect())
    }
}

/// Whether the organisation numbers of the two, of one country, are different ones.
fn contradicts(record: &ErpRecord, found: &Found) -> bool {
    let of_record = record.registered();
    let pair = of_record.as_ref().zip(found.registered.as_ref());
    pair.is_some_and(|(one, other)| one.contradicts(other))
}

fn code_of_another(record: &ErpRecord, id: NorceId) -> String {
    format!(
        "its code {} belongs to {} {id}, which is another record of the ERP: give one of the two records another number",
        record.code,
        record.entity_kind()
    )
}

const FORGOTTEN: &str = "forgotten in Norce";
const BEING_MADE: &str = "it may be the record of a first order that is under way";
const STRANGER: &str =
    "not in Norce, where others that have records of their own have its e-mail address or number";
/// Items that are read about an entity: its face, and its tombstone.
const KEYS_OF_ENTITY: u64 = 2;
/// Items that are read about a record that seems to be unknown: the faces of its id and code, and their tombstones.
const KEYS_OF_UNKNOWN: u64 = 4;

/// Which Norce entities a record could be.
#[derive(Debug, Clone)]
enum Hit<'a> {
    /// The one that has the record's code.
    Code(&'a Found),
    /// Those that have one of its keys.
    Keys(Vec<&'a Found>),
    Nobody,
}

impl Hit<'_> {
    fn ids(&self) -> impl Iterator<Item = NorceId> {
        let (code, keys) = match self {
            Self::Code(found) => (Some(*found), &[][..]),
            Self::Keys(found) => (None, found.as_slice()),
            Self::Nobody => (None, &[][..]),
        };
        code.into_iter()
            .chain(keys.iter().copied())
            .map(|found| found.id)
    }
}

/// What the mappings know of the entities that were found.
struct KnownOfNorce<'a> {
    mappings: &'a HashMap<EntityRef, Mapping>,
    /// Bindings whose record the ERP does not have any more.
    gone: &'a HashMap<EntityRef, ErpId>,
}

/// Who else has the keys of candidates.
#[derive(Default)]
struct Rivals {
    records: Vec<Rival>,
    /// Keys that more records have than can be told apart.
    crowded: BTreeSet<NaturalKey>,
    /// Keys that others may have: why that cannot be told yet, and what ends it.
    not_yet: BTreeMap<NaturalKey, String>,
}

impl Rivals {
    /// Why nothing can be decided about a record by its keys.
    fn obstacle(&self, record: &ErpRecord) -> Option<Decision> {
        let kind = record.entity_kind();
        let keys = record.keys(kind);
        if keys.iter().any(|key| self.crowded.contains(key)) {
            let detail = format!(
                "more than {MAX_HOLDERS} records of the ERP have the same {}: which of them is in Norce cannot be told; give the right one's code to the {kind} in Norce",
                NaturalKey::name_of(kind)
            );
            return Some(conflict(record, detail));
        }
        let reason = keys.iter().find_map(|key| self.not_yet.get(key))?;
        Some(not_yet(record, reason.clone()))
    }
}

/// Another record of the ERP with a key of a candidate.
struct Rival {
    id: ErpId,
    keys: Vec<NaturalKey>,
    candidate: ErpCandidate,
}

/// The answer to a look-up, by what was asked.
struct Hits<'a> {
    by_code: HashMap<Code, Vec<&'a Found>>,
    by_key: HashMap<&'a NaturalKey, Vec<&'a Found>>,
    case: CodeCase,
}

impl<'a> Hits<'a> {
    fn of(found: &'a [Found], case: CodeCase) -> Self {
        let mut hits = Self {
            by_code: HashMap::new(),
            by_key: HashMap::new(),
            case,
        };
        for found in found {
            if let Some(code) = &found.code {
                hits.by_code
                    .entry(code.in_case(case))
                    .or_default()
                    .push(found);
            }
            for key in &found.keys {
                hits.by_key.entry(key).or_default().push(found);
            }
        }
        hits
    }

    fn of_record(&self, record: &ErpRecord, keys: &[NaturalKey]) -> Result<Hit<'a>, Box<Decision>> {
        let code = record.code.in_case(self.case);
        let with_code = self.by_code.get(&code).map_or(&[][..], Vec::as_slice);
        if with_code.iter().any(|found| found.forgotten) {
            return Err(Box::new(skip(record, FORGOTTEN)));
        }
        match with_code {
            [found] => return Ok(Hit::Code(found)),
            [] => {}
            _ => {
                let detail = format!(
                    "Norce has its code {} more than once: correct the wrong ones there",
                    record.code
                );
                return Err(Box::new(conflict(record, detail)));
            }
        }
        let mut with_key: Vec<&Found> = Vec::new();
        for found in keys.iter().filter_map(|key| self.by_key.get(key)).flatten() {
            if !contradicts(record, found) && !with_key.iter().any(|known| known.id == found.id) {
                with_key.push(found);
            }
        }
        Ok(if with_key.is_empty() {
            Hit::Nobody
        } else {
            Hit::Keys(with_key)
        })
    }
}
