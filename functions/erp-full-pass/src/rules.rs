//! The rules: what is done about a record of the ERP. Nothing here reads or counts anything: [`Resolver`] looks up what a
//! rule needs, so that a plan decides as the pass does.
//!
//! | the record is … | and … | then |
//! |---|---|---|
//! | known | unchanged | nothing |
//! | known | renamed, and Norce has the former code or none | Norce gets the new code |
//! | known | what the ERP owns has changed | Norce gets those fields |
//! | known | Norce never confirmed the code | Norce gets it again |
//! | unknown | one customer or company of Norce has its code | they are bound |
//! | unknown | exactly one without a code has its e-mail address or organisation number, and no other record of the ERP has it | they are bound, and Norce gets the code |
//! | an unknown contact | the one with its e-mail address is no contact of its organisation | skipped, or owed until the organisation is in Norce |
//! | unknown | Norce does not have it | skipped, or inserted |
//! | unknown | it fits one that is bound to a record which the ERP no longer has | that one is bound to it instead |
//! | unknown | anything else | conflict |
//!
//! [`Resolver`]: crate::resolver::Resolver

mod passed_over;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    domain::{
        Code, CodeCase, EntityKind, EntityRef, ErpCodes, ErpId, FieldGroup, FieldGroups,
        Fingerprint, FingerprintKey, Names, NaturalKey, NorceAddresses, NorceId, OwnedFields,
        Resource, Scope,
    },
    erp::{
        ErpRecord, changed_groups, sent_company, with_company_id, with_same_company,
        with_sent_company,
    },
    mappings::{Binding, CodeDelivery, Mapping, RecordEntry},
    matching::{
        self, CodeInNorce, Conflict, ErpCandidate, NorceCandidate, Owner, RecordVerdict,
        SharedEmail,
    },
    norce::LookupHit,
};

use self::passed_over::switched_off;
pub(crate) use self::passed_over::{gone, unusable};
use crate::{
    action::{Action, Decision, Kept, NorceUpdate, UpdateKind},
    candidates::{FORGOTTEN, Facts, Hit, Rivals},
    configuration::PassSettings,
    pending::{LookupReason, PendingRecord},
    stop_reason::Result,
};

/// A code that Norce has not confirmed this long after it was handed over is handed over again; `change-events` waits
/// as long.
const HAND_OVER_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// How long after the time limit of a create its record is left to `change-events`, whose message comes back at least every half
/// hour. A pass cannot write what follows a create, such as dimensions, and after its binding nobody would.
const LEFT_TO_CHANGES: TimeDelta = TimeDelta::days(1);

const BEING_MADE: &str = "it may be the record of a first order that is under way";
const STRANGER: &str =
    "not in Norce, where others that have records of their own have its e-mail address or number";

/// What is constant in a walk over one scope.
pub(crate) struct Rules<'a> {
    pub(crate) scope: Scope,
    pub(crate) settings: &'a PassSettings,
    pub(crate) fingerprints: &'a FingerprintKey,
    /// The groups of fields that Norce gets from the ERP.
    pub(crate) synced: OwnedFields,
    /// How the ERP compares codes.
    pub(crate) code_case: CodeCase,
    /// Whether records that are in no scope may be inserted into this one.
    pub(crate) takes_new_records: bool,
}

/// What the entry of a record tells.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box for every unchanged record would cost more"
)]
pub(crate) enum FirstPass {
    Decided(Decision),
    /// It has to be looked up, with many others at once.
    LookUp(LookupReason),
}

/// The organisation that a contact of the ERP belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Organisation {
    /// It is no contact, or one of no organisation.
    None,
    /// The ERP does not tell its record.
    Unknown,
    NotInNorce(ErpId),
    InNorce(NorceId),
}

/// The fields that the ERP owns: their fingerprint now, and the groups that have changed.
type Changed = (Option<Fingerprint>, FieldGroups);

const RELATIONS: FieldGroups = FieldGroups::of(&[FieldGroup::CompanyRelations]);

impl Rules<'_> {
    pub(crate) const fn entity(&self, kind: EntityKind, id: NorceId) -> EntityRef {
        let scope = self.scope;
        EntityRef { kind, scope, id }
    }

    /// What the entry of a record tells. Most records of a pass need no more, and nothing is allocated for them.
    pub(crate) fn first_pass(
        &self,
        record: &ErpRecord,
        entry: Option<&RecordEntry>,
    ) -> Result<FirstPass> {
        if let Some(decision) = self.switched_off(record) {
            return Ok(FirstPass::Decided(decision));
        }
        let Some(entry) = entry else {
            // In Business Central every customer that is a person has one of these.
            let is_loose = record.id.resource == Resource::Contact && record.company.is_none();
            return Ok(if is_loose {
                FirstPass::Decided(Decision::skip(record, "a contact of no organisation"))
            } else {
                FirstPass::LookUp(LookupReason::Unknown)
            });
        };
        let Some(id) = entry.id else {
            return Ok(FirstPass::LookUp(LookupReason::Unknown));
        };
        if entry.code != record.code {
            return Ok(FirstPass::LookUp(LookupReason::Renamed));
        }
        if !entry.confirmed {
            return Ok(FirstPass::LookUp(LookupReason::Unconfirmed));
        }
        let changed = self.changed(record, entry.erp_fingerprint.as_ref())?;
        Ok(if changed.1.is_empty() {
            FirstPass::Decided(Decision::Unchanged)
        } else if changed.1.has(FieldGroup::CompanyRelations) {
            // Its company has to be looked up.
            FirstPass::LookUp(LookupReason::Unconfirmed)
        } else {
            FirstPass::Decided(update(UpdateKind::Fields, record, Some(id), changed))
        })
    }

    /// The decision about a record of a kind that is not synchronized. Its mapping stays, and its owed records are resolved.
    pub(crate) fn switched_off(&self, record: &ErpRecord) -> Option<Decision> {
        let of = record.party_type();
        let is_on = self.settings.sync_kinds.has(of);
        (!is_on).then(|| Decision::skip(record, switched_off(of)))
    }

    fn changed(&self, record: &ErpRecord, sent: Option<&Fingerprint>) -> Result<Changed> {
        let synced = self.synced.of(record.party_type());
        let now = record.owned_fingerprint(synced, self.fingerprints)?;
        let now = with_same_company(now, sent);
        let changed = changed_groups(sent, now.as_ref(), synced);
        Ok((now, changed.without(record.unknown_numbers())))
    }

    /// A record that is bound, but not as it should be.
    pub(crate) fn bound(
        &self,
        pending: &PendingRecord,
        mapping: Option<&Mapping>,
        code_in_norce: Option<&Code>,
        now: DateTime<Utc>,
    ) -> Result<Option<Decision>> {
        let PendingRecord {
            record,
            entry,
            reason,
        } = pending;
        let Some((entry, id)) = entry.as_ref().and_then(|entry| Some((entry, entry.id?))) else {
            return Ok(None);
        };
        let entity = self.entity(record.entity_kind(), id);
        let binding = match mapping {
            Some(Mapping::Bound(binding)) => binding,
            Some(Mapping::Forgotten) => return Ok(Some(Decision::skip(record, FORGOTTEN))),
            Some(Mapping::Reserved(_)) | None => {
                let detail = format!("its mapping to {entity} was removed meanwhile");
                return Ok(Some(Decision::conflict(record, detail)));
            }
        };
        let changed = self.changed(record, entry.erp_fingerprint.as_ref())?;
        Ok(Some(if *reason == LookupReason::Renamed {
            self.renamed(
                record,
                entity,
                (&entry.code, binding),
                code_in_norce,
                changed,
            )
        } else {
            unconfirmed(record, id, binding, changed, now)
        }))
    }

    /// A record that is bound under another code.
    fn renamed(
        &self,
        record: &ErpRecord,
        entity: EntityRef,
        (from, binding): (&Code, &Binding),
        in_norce: Option<&Code>,
        (fingerprint, changed): Changed,
    ) -> Decision {
        let to = &record.code;
        let owns = self.settings.erp_owns.of(record.party_type());
        if !owns.has(FieldGroup::Code) {
            return Decision::conflict(
                record,
                format!(
                    "the ERP renamed code {from} to {to}, and the code is not among ERP_OWNED_FIELDS: rename it back, or correct it in Norce"
                ),
            );
        }
        let former = [Some(from), Some(to), binding.former_code.as_ref()];
        let is_former = |code| {
            former
                .into_iter()
                .flatten()
                .any(|it| it.is(code, self.code_case))
        };
        if in_norce.is_some_and(|code| !is_former(code)) {
            return Decision::conflict(
                record,
                format!(
                    "the ERP renamed code {from} to {to}, but Norce has another code for {entity}, and neither is overwritten: put code {to} on it in Norce, or rename the record in the ERP"
                ),
            );
        }
        let what = UpdateKind::Rename { from: from.clone() };
        let changed = (fingerprint, FieldGroups::CODE.union(changed));
        update(what, record, Some(entity.id), changed)
    }

    /// Why a record with the code of an entity is not bound to it.
    pub(crate) fn refused(
        &self,
        record: &ErpRecord,
        id: NorceId,
        facts: &Facts,
    ) -> Option<Decision> {
        let entity = self.entity(record.entity_kind(), id);
        let is_gone = facts.gone.contains_key(&entity);
        let detail = match facts.mappings.get(&entity) {
            Some(Mapping::Forgotten) => return Some(Decision::skip(record, FORGOTTEN)),
            Some(Mapping::Bound(binding)) if !is_gone && binding.code == record.code => {
                code_of_another(record, id)
            }
            Some(Mapping::Bound(binding)) if !is_gone => {
                bound_to_other_code(entity, &binding.code, &record.code)
            }
            _ if facts.twice.contains(&id) => {
                format!(
                    "it fits {entity}, and so does another record of the ERP with its code: give one of the two records another code"
                )
            }
            Some(Mapping::Reserved(_) | Mapping::Bound(_)) | None => return None,
        };
        Some(Decision::conflict(record, detail))
    }

    /// A record with the code of an entity that cannot be the same.
    pub(crate) fn code_does_not_fit(&self, record: &ErpRecord, id: NorceId) -> Decision {
        let kind = record.entity_kind();
        let code = record.code.clone();
        let detail = Conflict::CodeDoesNotFit { code }.about(kind, &self.entity(kind, id));
        Decision::conflict(record, detail)
    }

    /// Why nothing is decided about an unknown record now.
    pub(crate) fn obstacle(
        &self,
        record: &ErpRecord,
        hit: &Hit<'_>,
        facts: &Facts,
    ) -> Option<Decision> {
        let mut holders = facts.code_holders.iter();
        let other = holders.find(|(code, holder)| *code == record.code && *holder != record.id);
        if let Some((code, holder)) = other {
            let detail = format!(
                "its code {code} is also that of another record of the ERP ({holder}): Norce has customers and contacts in one register; give one of them another code"
            );
            return Some(Decision::conflict(record, detail));
        }
        let is_by_key = match hit {
            Hit::Keys(_) => true,
            Hit::Nobody => self.settings.import_unknown,
            Hit::Code(_) => false,
        };
        is_by_key.then(|| facts.rivals.obstacle(record)).flatten()
    }

    /// The codes that Norce has for entities with a key of the record, where only the ERP can say whose they are.
    pub(crate) fn unsettled_codes<'f>(
        &self,
        record: &ErpRecord,
        found: &[&'f LookupHit],
        rivals: &Rivals,
    ) -> Vec<&'f Code> {
        let codes = found.iter().filter_map(|found| self.erp_code(found));
        codes
            .filter(|code| {
                self.settings.matching.erp_codes == ErpCodes::Known
                    && !self.is_of_rival(record, code, rivals)
            })
            .collect()
    }

    /// The code that Norce has for an entity, unless it cannot be one of the ERP's.
    fn erp_code<'f>(&self, found: &'f LookupHit) -> Option<&'f Code> {
        let code = found.code.as_ref();
        code.filter(|code| self.settings.matching.erp_codes.may_be(code))
    }

    fn is_of_rival(&self, record: &ErpRecord, code: &Code, rivals: &Rivals) -> bool {
        let mut others = rivals.of(record);
        others.any(|rival| rival.candidate.code.is(code, self.code_case))
    }

    /// Which entity a record with a shared key is, by the rule of all flows. `in_erp`: those of the
    /// [unsettled codes](Self::unsettled_codes) that the ERP has.
    pub(crate) fn by_key(
        &self,
        record: &ErpRecord,
        found: &[&LookupHit],
        facts: &Facts,
        in_erp: &HashSet<&Code>,
        now: DateTime<Utc>,
    ) -> Result<Decision> {
        let (kind, scope) = (record.entity_kind(), self.scope);
        let entities = found.iter().map(|found| {
            let entity = self.entity(kind, found.id);
            let code = match self.erp_code(found) {
                None => CodeInNorce::None,
                Some(code) if self.is_of_rival(record, code, &facts.rivals) => {
                    CodeInNorce::OfRecord
                }
                Some(_) if self.settings.matching.erp_codes != ErpCodes::Known => {
                    CodeInNorce::Other
                }
                Some(code) if in_erp.contains(code) => CodeInNorce::OfRecord,
                Some(_) => CodeInNorce::None,
            };
            let is_gone = facts.gone.contains_key(&entity);
            let mapping = facts.mappings.get(&entity);
            NorceCandidate {
                id: found.id,
                standing: matching::standing(found, mapping, is_gone, code, now),
            }
        });
        let entities: Vec<NorceCandidate> = entities.collect();
        let others = facts.rivals.of(record).map(|rival| rival.candidate.clone());
        let others: Vec<ErpCandidate> = others.collect();
        let candidate = ErpCandidate {
            code: record.code.clone(),
            owner: Owner::Nobody,
            blocked: record.blocked,
            fits: true,
            made: false,
        };
        let shared_email: SharedEmail = self.settings.matching.shared_email;
        let verdict =
            matching::of_record(kind, scope, &candidate, &entities, &others, shared_email);
        Ok(match verdict {
            // Only `change-events` knows what the new record still lacks.
            RecordVerdict::Match(id) if is_announced(facts, self.entity(kind, id), now) => {
                Decision::skip(record, BEING_MADE)
            }
            RecordVerdict::Match(id) => match found.iter().find(|found| found.id == id) {
                Some(found) => self.bind(UpdateKind::Code, record, found)?,
                // The rule returns one of the entities that it was given.
                None => Decision::skip(record, STRANGER),
            },
            RecordVerdict::Nobody => self.new_in_norce(record, &facts.rivals)?,
            RecordVerdict::Stranger => Decision::skip(record, STRANGER),
            RecordVerdict::Wait => Decision::skip(record, BEING_MADE),
            RecordVerdict::Conflict(id, conflict) => {
                let detail = conflict.about(kind, &self.entity(kind, id));
                Decision::conflict(record, detail)
            }
        })
    }

    /// Binds an entity to the record.
    pub(crate) fn bind(
        &self,
        what: UpdateKind,
        record: &ErpRecord,
        found: &LookupHit,
    ) -> Result<Decision> {
        let (fingerprint, changed) = self.changed(record, None)?;
        let fields = match what {
            UpdateKind::Code => FieldGroups::CODE.union(changed),
            _ => changed,
        };
        let update = NorceUpdate {
            kept: self.kept(record, found),
            ..norce_update(what, record, Some(found.id), (fingerprint, fields))
        };
        Ok(Decision::Act(Action::Update(update)))
    }

    /// What the first binding of an entity leaves as the record has it, as far as the look-up tells.
    fn kept(&self, record: &ErpRecord, found: &LookupHit) -> Kept {
        let kind = record.entity_kind();
        let writes = self.settings.first_binding_writes;
        if writes.0.has(record.party_type()) {
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
    pub(crate) fn new_in_norce(&self, record: &ErpRecord, rivals: &Rivals) -> Result<Decision> {
        let kind = record.entity_kind();
        let mut others = rivals
            .of(record)
            .filter(|rival| rival.candidate.owner != Owner::Forgotten);
        if let (true, Some(other)) = (self.settings.import_unknown, others.next()) {
            let detail = format!(
                "another record of the ERP ({}) has the same {}: Norce would take the two for one; make the right one's {kind} in Norce and put its code on it, or correct one of the two in the ERP",
                other.candidate.code,
                NaturalKey::name_of(kind)
            );
            return Ok(Decision::conflict(record, detail));
        }
        let obstacle = if !self.settings.import_unknown {
            Some("not in Norce")
        } else if record.blocked {
            Some("not in Norce, and blocked in the ERP")
        } else if !self.takes_new_records {
            Some("not in Norce, and whether it belongs to one application or to all is not known")
        } else if !is_complete(record) {
            Some("not in Norce, and lacks what Norce requires")
        } else {
            None
        };
        if let Some(reason) = obstacle {
            return Ok(Decision::skip(record, reason));
        }
        let (fingerprint, _) = self.changed(record, None)?;
        let groups = FieldGroups::CODE.union(self.synced.of(record.party_type()));
        let groups = match record.id.resource {
            Resource::Contact => groups.union(RELATIONS),
            Resource::Customer => groups.without(RELATIONS),
        };
        let changed = (fingerprint, groups);
        Ok(update(UpdateKind::Insert, record, None, changed))
    }

    /// Completes an update that relates a contact to its organisation. The line names the company by Norce's id, or waits
    /// until there is one: the related entity must exist in Norce (norce-api §3.4). `sent`: what Norce had of the record's
    /// fields before. `former`: the companies whose relation ends.
    pub(crate) fn relate(
        &self,
        mut update: NorceUpdate,
        record: &ErpRecord,
        sent: Option<&Fingerprint>,
        organisation: Organisation,
        former: Vec<NorceId>,
    ) -> Result<Decision> {
        update.former_companies = former;
        Ok(Decision::Act(match organisation {
            Organisation::None => {
                update.fields = update.fields.without(RELATIONS);
                Action::Update(update)
            }
            Organisation::Unknown => {
                let detail = "the customer of its organisation cannot be found in the ERP";
                return Ok(Decision::conflict(record, detail.to_owned()));
            }
            Organisation::InNorce(id) => {
                update.company = Some(id);
                update.fingerprint = with_company_id(update.fingerprint, id);
                Action::Update(update)
            }
            Organisation::NotInNorce(company) if update.id.is_none() => {
                Action::Wait { company, update }
            }
            Organisation::NotInNorce(company) => {
                // The rest does not wait. The fingerprint keeps the former relation, so that a later pass confirms the new
                // one.
                update.fields = update.fields.without(RELATIONS);
                let others = self.synced.of(record.party_type()).without(RELATIONS);
                let now = record.owned_fingerprint(others, self.fingerprints)?;
                update.fingerprint = with_sent_company(now, &sent_company(sent));
                if update.what == UpdateKind::Fields && update.fields.is_empty() {
                    Action::Wait { company, update }
                } else {
                    update.waits_for = Some(company);
                    Action::Update(update)
                }
            }
        }))
    }
}

/// A record whose code Norce has not confirmed, or whose fields have changed.
fn unconfirmed(
    record: &ErpRecord,
    id: NorceId,
    binding: &Binding,
    (fingerprint, changed): Changed,
    now: DateTime<Utc>,
) -> Decision {
    let again = match binding.delivery {
        CodeDelivery::Confirmed { .. } => false,
        CodeDelivery::HandedOver { at } => at + HAND_OVER_AGAIN_AFTER <= now,
        CodeDelivery::Pending | CodeDelivery::Refused { .. } => true,
    };
    let (what, fields) = if again {
        (UpdateKind::CodeAgain, FieldGroups::CODE.union(changed))
    } else {
        (UpdateKind::Fields, changed)
    };
    if fields.is_empty() {
        return Decision::Unchanged;
    }
    update(what, record, Some(id), (fingerprint, fields))
}

fn update(what: UpdateKind, record: &ErpRecord, id: Option<NorceId>, changed: Changed) -> Decision {
    Decision::Act(Action::Update(norce_update(what, record, id, changed)))
}

/// Whether a create of an entity was announced, and is still left to `change-events`.
fn is_announced(facts: &Facts, entity: EntityRef, now: DateTime<Utc>) -> bool {
    match facts.mappings.get(&entity) {
        Some(Mapping::Reserved(reservation)) => now < reservation.until + LEFT_TO_CHANGES,
        Some(Mapping::Bound(_) | Mapping::Forgotten) | None => false,
    }
}

fn norce_update(
    what: UpdateKind,
    record: &ErpRecord,
    id: Option<NorceId>,
    (fingerprint, fields): Changed,
) -> NorceUpdate {
    NorceUpdate {
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
        unread: false,
    }
}

/// Whether the record has what Norce requires of an insert (norce-api §3.4).
fn is_complete(record: &ErpRecord) -> bool {
    let fields = record.norce_fields(&NorceAddresses::default());
    match fields.names {
        Some(Names::Customer { first, .. }) => first.is_some() && fields.email.is_some(),
        Some(Names::Company(_)) => fields.organisation_number.is_some(),
        None => false,
    }
}

/// A record whose code an entity with another record has.
pub(crate) fn code_of_another(record: &ErpRecord, id: NorceId) -> String {
    format!(
        "its code {} belongs to {} {id}, which is another record of the ERP: give one of the two records another number",
        record.code,
        record.entity_kind()
    )
}

/// Why a record is not bound to the entity that it fits: the entity is bound to another record.
pub(crate) fn bound_to_other_code(entity: EntityRef, bound: &Code, code: &Code) -> String {
    format!(
        "it fits {entity}, which is bound to code {bound}: correct the code in Norce, merge the two records in the ERP, or bind {entity} to the record with code {code} by the operator action `rebind`"
    )
}
