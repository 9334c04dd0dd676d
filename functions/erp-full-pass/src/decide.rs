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
//! | unknown | anything else | conflict |

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;
use shared::{
    Consistency,
    domain::{
        Code, EmailKey, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, Fingerprint, Names,
        NorceId, Resource,
    },
    erp::{CompanyKey, Erp, ErpRecord, NaturalKey, changed_groups},
    http::Deadline,
    key_index::{KeyHolders, MAX_HOLDERS, RecordFinder},
    mappings::{CodeDelivery, Known, Mapping, READ_AT_ONCE, RecordFace},
    norce::{Asked, Found, NorceKey},
    owed::Reason,
    passes::Run,
};

use crate::{
    ErpFullPass,
    action::{Action, Tell, What},
    failure::Halt,
    report::PlanLine,
    walk::Timed,
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
            return Ok(Look::Ask(Question::Unknown));
        };
        let Some(id) = face.id else {
            return Ok(Look::Ask(Question::Unknown));
        };
        if face.kind != record.entity_kind() {
            return Ok(Look::Decided(conflict(
                record,
                format!(
                    "it is {} {id} in Norce and has become a {} in the ERP: correct its type",
                    face.kind,
                    record.entity_kind()
                ),
            )));
        }
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
        let changed = changed_groups(told, now.as_ref(), self.told);
        Ok((now, changed))
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
            fingerprint,
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
            let (now, changed) = self.changed(&record, face.erp_fingerprint.as_ref())?;
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
                    self.with_company(tell, &record, run, deadline).await?
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
                    self.with_company(tell, &record, run, deadline).await?
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
                key: norce_key(record),
            })
            .collect();
        let look_up = self.pass.norce.look_up(kind, scope, &asked, deadline);
        let look_up = look_up.timed(&mut run.cost.norce_wait_ms).await?;
        run.cost.query_calls += u64::from(look_up.requests);
        let hits = Hits::of(&look_up.found);

        let mut candidates: Vec<(ErpRecord, Hit)> = Vec::new();
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
                Known::Code(id) => {
                    let detail = format!(
                        "its code {} belongs to {kind} {id}, which is another record of the ERP: correct the one that is wrong",
                        record.code
                    );
                    decided.push((key, conflict(&record, detail)));
                    continue;
                }
            }
            match hits.of_record(&record, asked) {
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
        candidates: Vec<(ErpRecord, Hit)>,
        decided: &mut Vec<(ErpId, Decision)>,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        let scope = run.scope;
        let entities: Vec<EntityRef> = candidates
            .iter()
            .filter_map(|(_, hit)| hit.id())
            .map(|id| EntityRef { kind, scope, id })
            .collect();
        let mappings = self.mappings(&entities, run).await?;
        // What is neither found nor to be inserted needs no more questions.
        let wanted = |hit: &Hit| hit.id().is_some() || self.pass.settings.import_unknown;
        let codes: Vec<(ErpId, Code)> = candidates
            .iter()
            .filter(|(_, hit)| wanted(hit))
            .map(|(record, _)| (record.id.clone(), record.code.clone()))
            .collect();
        let keys: Vec<NaturalKey> = candidates
            .iter()
            .filter(|(_, hit)| wanted(hit) && !matches!(hit, Hit::Code(_)))
            .filter_map(|(record, _)| erp_key(record))
            .collect();
        let code_holders = if codes.is_empty() {
            Vec::new()
        } else {
            run.cost.erp_calls += 1;
            let holders = self.erp.other_holders_of_codes(kind, &codes, deadline);
            holders.timed(&mut run.cost.erp_wait_ms).await?
        };
        let key_holders = if keys.is_empty() {
            KeyHolders::default()
        } else {
            run.cost.erp_calls += 1;
            let read: Vec<&ErpRecord> = candidates.iter().map(|(record, _)| record).collect();
            let holders = self.finder.holders(kind, &keys, &read, deadline);
            holders.timed(&mut run.cost.erp_wait_ms).await?
        };
        let mut seen = HashSet::new();
        let twice: HashSet<NorceId> = entities
            .iter()
            .map(|entity| entity.id)
            .filter(|id| !seen.insert(*id))
            .collect();
        for (record, hit) in candidates {
            let key = record.id.clone();
            if let Some(decision) = self.refused(kind, &record, hit.id(), &mappings, &twice, run) {
                decided.push((key, decision));
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
            let natural_key = erp_key(&record);
            let another = key_holders
                .holders
                .iter()
                .find(|(held, holder)| Some(held) == natural_key.as_ref() && *holder != record.id);
            if let (Some((_, holder)), false) = (another, matches!(hit, Hit::Code(_))) {
                let detail = format!(
                    "another record of the ERP ({holder}) has the same {}: which of the two is in Norce cannot be told; give the right one's code to the {kind} in Norce",
                    key_word(kind)
                );
                decided.push((key, conflict(&record, detail)));
                continue;
            }
            if let (Some(held), false) =
                (&natural_key, matches!(hit, Hit::Code(_)) || !wanted(&hit))
            {
                if key_holders.crowded.contains(held) {
                    let detail = format!(
                        "more than {MAX_HOLDERS} records of the ERP have the same {}: which of them is in Norce cannot be told; give the right one's code to the {kind} in Norce",
                        key_word(kind)
                    );
                    decided.push((key, conflict(&record, detail)));
                    continue;
                }
                if let Some(reason) = key_holders.not_yet.get(held) {
                    decided.push((key, not_yet(&record, reason.clone())));
                    continue;
                }
            }
            let decision = match hit {
                Hit::Code(id) => self.bind(What::Bind, &record, id, run, deadline).await?,
                Hit::Key(id) => self.bind(What::Code, &record, id, run, deadline).await?,
                Hit::Nobody => self.insert(&record, run, deadline).await?,
            };
            decided.push((key, decision));
        }
        Ok(())
    }

    fn refused(
        &self,
        kind: EntityKind,
        record: &ErpRecord,
        id: Option<NorceId>,
        mappings: &HashMap<EntityRef, Mapping>,
        twice: &HashSet<NorceId>,
        run: &Run,
    ) -> Option<Decision> {
        let id = id?;
        let entity = EntityRef {
            kind,
            scope: run.scope,
            id,
        };
        match mappings.get(&entity) {
            Some(Mapping::Forgotten) => Some(skip(record, FORGOTTEN)),
            Some(Mapping::Bound(binding)) => Some(conflict(
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
            Some(Mapping::Reserved(_)) | None => None,
        }
    }

    async fn bind(
        &self,
        what: What,
        record: &ErpRecord,
        id: NorceId,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Decision, Halt> {
        let (now, changed) = self.changed(record, None)?;
        let fields = match what {
            What::Code => FieldGroups::CODE.union(changed),
            _ => changed,
        };
        let tell = self.tell(what, record, Some(id), fields, now);
        self.with_company(tell, record, run, deadline).await
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
        // What Norce requires of an insert (norce-api §3.4).
        let fields = record.norce_fields();
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
        self.with_company(tell, record, run, deadline).await
    }

    /// A line that relates a contact to its company names the company by Norce's id, or waits until there is one: the
    /// related entity must exist in Norce (norce-api §3.4).
    async fn with_company(
        &self,
        mut tell: Tell,
        record: &ErpRecord,
        run: &mut Run,
        deadline: Deadline,
    ) -> Result<Decision, Halt> {
        let relation = FieldGroups::of(&[FieldGroup::CompanyRelations]);
        if !tell.fields.has(FieldGroup::CompanyRelations) {
            return Ok(Decision::Act(Action::Tell(tell)));
        }
        let Some(key) = &record.company else {
            // Relations are only ever added: Norce keeps the one that the ERP no longer has.
            tell.fields = tell.fields.without(relation);
            return Ok(Decision::Act(Action::Tell(tell)));
        };
        let Some(company) = self.company_of(key, run, deadline).await? else {
            return Ok(conflict(
                record,
                "the organisation that it belongs to in the ERP cannot be told".to_owned(),
            ));
        };
        run.cost.mapping_reads += 1;
        run.cost.mapping_read_requests += 1;
        // A company that was bound a moment ago must not be waited for: its lines have gone on their way already.
        let companies = std::slice::from_ref(&company);
        let mappings = &self.pass.mappings;
        let faces = mappings.records(run.scope, companies, Consistency::Strong);
        let faces = faces.await?;
        match faces.into_iter().next().flatten().and_then(|face| face.id) {
            Some(id) => {
                tell.company = Some(id);
                Ok(Decision::Act(Action::Tell(tell)))
            }
            None if tell.id.is_some() => {
                // The rest does not wait. The fingerprint leaves the relation open, so that a later pass confirms it.
                tell.fields = tell.fields.without(relation);
                let told = self.told.without(relation);
                tell.fingerprint = record.owned_fingerprint(told, &self.pass.fingerprints)?;
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

const FORGOTTEN: &str = "forgotten in Norce";
/// Items that are read about an entity: its face, and its tombstone.
const KEYS_OF_ENTITY: u64 = 2;
/// Items that are read about a record that seems to be unknown: the faces of its id and code, and their tombstones.
const KEYS_OF_UNKNOWN: u64 = 4;

/// Which Norce entity a record is.
#[derive(Debug, Clone, Copy)]
enum Hit {
    /// It has the record's code.
    Code(NorceId),
    /// It has the record's natural key, and no code.
    Key(NorceId),
    Nobody,
}

impl Hit {
    const fn id(self) -> Option<NorceId> {
        match self {
            Self::Code(id) | Self::Key(id) => Some(id),
            Self::Nobody => None,
        }
    }
}

/// The answer to a look-up, by what was asked.
struct Hits<'a> {
    by_code: HashMap<&'a Code, Vec<&'a Found>>,
    by_key: HashMap<&'a NorceKey, Vec<&'a Found>>,
}

impl<'a> Hits<'a> {
    fn of(found: &'a [Found]) -> Self {
        let mut hits = Self {
            by_code: HashMap::new(),
            by_key: HashMap::new(),
        };
        for found in found {
            if let Some(code) = &found.code {
                hits.by_code.entry(code).or_default().push(found);
            }
            if let Some(key) = &found.key {
                hits.by_key.entry(key).or_default().push(found);
            }
        }
        hits
    }

    fn of_record(&self, record: &ErpRecord, asked: &Asked) -> Result<Hit, Box<Decision>> {
        let word = record.entity_kind();
        let with_code = self.by_code.get(&asked.code).map_or(&[][..], Vec::as_slice);
        if with_code.iter().any(|found| found.forgotten) {
            return Err(Box::new(skip(record, FORGOTTEN)));
        }
        match with_code {
            [found] => return Ok(Hit::Code(found.id)),
            [] => {}
            _ => {
                let detail = format!(
                    "Norce has its code {} more than once: correct the wrong ones there",
                    asked.code
                );
                return Err(Box::new(conflict(record, detail)));
            }
        }
        let with_key = asked.key.as_ref().and_then(|key| self.by_key.get(key));
        let with_key: Vec<&Found> = with_key
            .into_iter()
            .flatten()
            .filter(|found| found.active && !found.forgotten)
            .copied()
            .collect();
        match with_key.as_slice() {
            [] => Ok(Hit::Nobody),
            [found] if found.code.is_none() => Ok(Hit::Key(found.id)),
            [found] => Err(Box::new(conflict(
                record,
                format!(
                    "{word} {} in Norce has its {} but another code: correct the one that is wrong; the code is not overwritten",
                    found.id,
                    key_word(word)
                ),
            ))),
            several => Err(Box::new(conflict(
                record,
                format!(
                    "its {} leads to more than one {word} in Norce ({}, {}, …): give the right one its code {} there",
                    key_word(word),
                    several[0].id,
                    several[1].id,
                    record.code
                ),
            ))),
        }
    }
}

const fn key_word(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Customer => "e-mail address",
        EntityKind::Company => "organisation number",
    }
}

/// What a record can be found by in Norce.
fn norce_key(record: &ErpRecord) -> Option<NorceKey> {
    match record.entity_kind() {
        EntityKind::Customer => EmailKey::of(record.image.email.as_ref()).map(NorceKey::Email),
        EntityKind::Company => record
            .norce_fields()
            .organisation_number
            .map(NorceKey::OrganisationNumber),
    }
}

/// The same value, as the ERP can be asked who else has it.
fn erp_key(record: &ErpRecord) -> Option<NaturalKey> {
    match record.entity_kind() {
        EntityKind::Customer => EmailKey::of(record.image.email.as_ref()).map(NaturalKey::Email),
        EntityKind::Company => record.image.vat_number.clone().map(NaturalKey::VatNumber),
    }
}
