//! Corrections that a person makes to bindings. The rules and the store's conditions are those of every binding; beyond them a
//! person may end a binding.

use std::slice;

use shared::{
    domain::{Cause, Clock, Code, EntityKind, EntityRef, ErpCodes, ErpId, Resource},
    erp::{ErpRecord, Party, PartyKind},
    http::Deadline,
    mappings::{Binding, Bound, CodeDelivery, Mapping, Mappings},
    matching::{self, Conflict, Verdict},
    norce::{LookupKey, NorceQuery},
    runtime::configuration::MatchingPolicy,
};
use uuid::Uuid;

use crate::{
    candidates::Candidates,
    changes::ChangeSender,
    entity::{
        create::Origin,
        party::{self, PartyKinds},
    },
    erps::Erps,
    owed_list::OwedList,
    record_index::RecordIndex,
    result::{Done, Failure, WaitsFor},
};

/// How a person names an ERP record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordName {
    /// By its code.
    Code(Code),
    /// By its immutable id.
    Id(ErpId),
}

/// The ERP record that a person names for an entity that is not bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The customer or company.
    pub entity: EntityRef,
    /// The immutable id of the record.
    pub record: ErpId,
    /// The code that the record has.
    pub code: Code,
}

/// An entity as Norce has it, for which a person names a record.
struct Claimant {
    code: Option<Code>,
    party: Party,
    /// The company of a contact, if it is not bound to an ERP record.
    unbound_company: Option<EntityRef>,
}

/// Why a request of a person cannot be carried out. It is not listed as owed.
fn refused(detail: impl Into<String>) -> Failure {
    Failure::conflict(detail)
}

/// Corrects bindings. [`Failure::Owed`] says why a correction is refused; it is not listed as owed. [`Failure::Later`]: it can
/// succeed on a later request.
pub struct ByHand<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) index: RecordIndex<'a>,
    pub(crate) candidates: Candidates<'a>,
    pub(crate) kinds: PartyKinds<'a>,
    pub(crate) owed: OwedList<'a>,
    pub(crate) changes: ChangeSender<'a>,
    pub(crate) policy: &'a MatchingPolicy,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
}

impl ByHand<'_> {
    /// Removes the binding of an entity, so that the entity, the code and the record are as if never seen.
    /// Neither Norce nor the ERP is changed.
    ///
    /// # Errors
    /// The entity is not bound, or a store failed.
    pub async fn unbind(&self, entity: EntityRef) -> Result<Done, Failure> {
        let Some(Mapping::Bound(binding)) = self.mappings.get(entity).await? else {
            return Err(refused(format!(
                "{entity} is not bound to an ERP record, so that there is nothing to unbind"
            )));
        };
        if !self.mappings.unbind(entity, &binding.erp_id).await? {
            return Err(Failure::other_writer(format!(
                "the mapping of {entity} changed meanwhile"
            )));
        }
        self.owed.resolve_code_faults(entity).await?;
        Ok(Done::new(
            "nothing",
            format!(
                "unbound from code {} (ERP record {})",
                binding.code, binding.erp_id
            ),
        ))
    }

    /// Binds an entity to another ERP record than before, or to its first one. Norce gets the record's code; the code that
    /// Norce has until then is no conflict.
    ///
    /// # Errors
    /// The entity cannot be that record, or a remote or a store failed.
    pub async fn rebind(&self, entity: EntityRef, to: &RecordName) -> Result<Done, Failure> {
        let mapping = self.mappings.get(entity).await?;
        let now = self.clock.now();
        match &mapping {
            Some(Mapping::Forgotten) => {
                return Err(refused(format!(
                    "{entity} is forgotten in Norce and is never bound again"
                )));
            }
            Some(Mapping::Reserved(reservation)) if now < reservation.until => {
                return Err(Failure::later(
                    WaitsFor::CreateInErp,
                    format!(
                        "a create of {entity} may still be under way in the ERP until {}",
                        reservation.until
                    ),
                ));
            }
            _ => {}
        }
        let record = self.named(entity, to).await?;
        let claimant = self.claimant(entity).await?;
        self.can_be(entity, &claimant, &record).await?;
        let bound = match &mapping {
            Some(Mapping::Bound(binding)) => Some(binding),
            _ => None,
        };
        if bound.is_some_and(|bound| bound.erp_id == record.id && bound.code == record.code) {
            return Err(refused(format!(
                "{entity} is bound to code {} already",
                record.code
            )));
        }
        let former = claimant
            .code
            .or_else(|| bound.map(|bound| bound.code.clone()));
        let binding = Binding {
            former_code: former.filter(|former| *former != record.code),
            replaced_code: bound
                .map(|bound| bound.code.clone())
                .filter(|replaced| *replaced != record.code),
            ..Binding::new(record.code, record.id, CodeDelivery::Pending)
        };
        let code = binding.code.clone();
        let outcome = match bound {
            Some(bound) => {
                self.mappings
                    .rebind(entity, &bound.erp_id, binding.clone())
                    .await?
            }
            None => self.mappings.bind(entity, binding.clone()).await?,
        };
        match outcome {
            Bound::Done => {}
            Bound::CodeTaken { by } | Bound::RecordTaken { by } => {
                return Err(refused(bound_to_another(&code, by)));
            }
            Bound::Forgotten => {
                return Err(refused(format!(
                    "{entity}, or a customer that had code {code}, is forgotten in Norce and is never bound again"
                )));
            }
            Bound::OtherCode { .. } => {
                return Err(Failure::other_writer(format!(
                    "the mapping of {entity} changed meanwhile"
                )));
            }
        }
        self.owed.resolve_code_faults(entity).await?;
        // Its handling sends the code to Norce and releases the orders that wait for the entity.
        self.changes
            .send(&[entity], Cause::Changed, None, Uuid::new_v4())
            .await?;
        Ok(Done::new(
            "bound",
            format!("bound to code {code} (ERP record {})", binding.erp_id),
        ))
    }

    /// The only record that a person can mean by a name.
    async fn named(&self, entity: EntityRef, name: &RecordName) -> Result<ErpRecord, Failure> {
        let (erps, scope) = (self.erps, entity.scope);
        let mut records = Vec::new();
        match name {
            RecordName::Id(id) => records.extend(erps.get(scope, id).await?),
            RecordName::Code(code) => {
                for resource in Resource::of(entity.kind) {
                    records.extend(erps.find_by_code(scope, *resource, code).await?);
                }
                // An ERP that has customers and organisations in one list numbers them together.
                if records.len() > 1 {
                    records.retain(|record| record.entity_kind() == entity.kind);
                }
            }
        }
        let Some(record) = records.pop() else {
            return Err(refused(format!(
                "the ERP has no such record that a {} could be: see its code or id in the ERP",
                entity.kind
            )));
        };
        if !records.is_empty() {
            return Err(refused(format!(
                "the ERP has several records with code {}: name the right one by its id",
                record.code
            )));
        }
        Ok(record)
    }

    /// Binds an entity that is not bound to the record that a person names.
    ///
    /// # Errors
    /// The entity cannot be that record, or a remote or a store failed.
    pub async fn bind(&self, claim: &Claim) -> Result<Done, Failure> {
        let Claim {
            entity,
            record: id,
            code,
        } = claim;
        let (entity, scope) = (*entity, entity.scope);
        let Some(record) = self.erps.get(scope, id).await? else {
            return Err(refused(format!(
                "the ERP has no {} with id {}: correct the id of the record",
                id.resource, id.id
            )));
        };
        let case = self.erps.code_case(scope).await?;
        if !code.is(&record.code, case) {
            return Err(refused(format!(
                "the ERP's {} with id {} has code {}, not {code}: correct the code or the id of the record",
                id.resource, id.id, record.code
            )));
        }
        let claimant = self.claimant(entity).await?;
        self.can_be(entity, &claimant, &record).await?;
        let is_in_norce = |it: &Code| it.is(&record.code, case);
        let binding = match &claimant.code {
            Some(in_norce) if is_in_norce(in_norce) => {
                let at = self.clock.now();
                let delivery = CodeDelivery::Confirmed { at };
                Binding::new(record.code.clone(), record.id.clone(), delivery)
            }
            in_norce => {
                if let Some(in_norce) = in_norce {
                    self.check_gives_way(entity, in_norce, &claimant.party, &record)
                        .await?;
                }
                let (code, id) = (record.code.clone(), record.id.clone());
                Binding {
                    former_code: in_norce.clone(),
                    replaced_code: in_norce.clone(),
                    ..Binding::new(code, id, CodeDelivery::Pending)
                }
            }
        };
        match self.mappings.bind(entity, binding.clone()).await? {
            Bound::Done => {}
            Bound::CodeTaken { by } | Bound::RecordTaken { by } => {
                return Err(refused(bound_to_another(&binding.code, by)));
            }
            Bound::Forgotten => {
                return Err(refused(format!(
                    "{entity}, or a customer that had code {}, is forgotten and is never bound again: leave it out",
                    binding.code
                )));
            }
            Bound::OtherCode { code } => {
                return Err(refused(format!(
                    "{entity} is bound to code {code} or to another ERP record: where that is wrong, unbind or rebind it first"
                )));
            }
        }
        self.index.list(scope, &record).await?;
        Ok(Done::new(
            Origin::Bound.outcome(),
            format!("bound to code {}", binding.code),
        ))
    }

    /// Refuses to overwrite a code that Norce has for an entity with the record's (P3), unless it is not the ERP's.
    async fn check_gives_way(
        &self,
        entity: EntityRef,
        in_norce: &Code,
        party: &Party,
        record: &ErpRecord,
    ) -> Result<(), Failure> {
        let erp_codes = &self.policy.erp_codes;
        let gives_way = !erp_codes.may_be(in_norce)
            || *erp_codes == ErpCodes::Known
                && self
                    .candidates
                    .with_code(entity, in_norce, party)
                    .await?
                    .is_none();
        if gives_way {
            return Ok(());
        }
        Err(refused(format!(
            "Norce has code {in_norce} for {entity}, and the ERP record has code {}: name the record with code {in_norce}, or correct the code in Norce or remove it there",
            record.code
        )))
    }

    /// An entity that a person may bind.
    async fn claimant(&self, entity: EntityRef) -> Result<Claimant, Failure> {
        let capabilities = self.erps.capabilities(entity.scope).await?;
        let unknown = || {
            refused(format!(
                "Norce does not have {entity}: correct its id or its register, or leave it out"
            ))
        };
        match entity.kind {
            EntityKind::Customer => {
                let customer = self.norce.customer(entity, self.deadline).await?;
                let customer = customer.ok_or_else(unknown)?;
                if customer.forgotten {
                    return Err(refused(format!(
                        "{entity} is forgotten in Norce and is never bound again: leave it out"
                    )));
                }
                if let Some(into) = customer.merged_into {
                    return Err(refused(format!(
                        "{entity} was merged into {into} in Norce: name {into} instead"
                    )));
                }
                let kind = self.kinds.party_kind(&customer, None).await?;
                Ok(Claimant {
                    unbound_company: match kind {
                        Some(_) => None,
                        None => customer.main_company(),
                    },
                    party: party::of_customer(
                        &customer,
                        kind.unwrap_or(PartyKind::Person),
                        capabilities,
                    )?,
                    code: customer.code,
                })
            }
            EntityKind::Company => {
                let company = self.norce.company(entity, self.deadline).await?;
                let company = company.ok_or_else(unknown)?;
                Ok(Claimant {
                    party: party::of_company(&company, capabilities)?,
                    code: company.code,
                    unbound_company: None,
                })
            }
        }
    }

    /// Checks that an entity can be the record that a person names, by the rule for codes in Norce
    /// ([`matching::by_code`]). If Norce does not have the code for it, the record also has to be of its kind, and
    /// nobody else in Norce may have the code.
    async fn can_be(
        &self,
        entity: EntityRef,
        claimant: &Claimant,
        record: &ErpRecord,
    ) -> Result<(), Failure> {
        let EntityRef { kind, scope, .. } = entity;
        let case = self.erps.code_case(scope).await?;
        let code = &record.code;
        let is_in_norce = claimant.code.as_ref().is_some_and(|it| it.is(code, case));
        let is_contact = record.id.resource == Resource::Contact;
        if is_contact && let Some(company) = claimant.unbound_company {
            return Err(refused(format!(
                "the ERP record with code {code} is a contact, and {entity} belongs to {company} in Norce, which is not bound to an ERP record: bind {company} by a line of `import-mappings`, together with {entity} or before it"
            )));
        }
        let is = match record.organisation {
            true => EntityKind::Company,
            false => EntityKind::Customer,
        };
        // By its code a record has the kind that Norce has, but the organisation of a contact can have the same code.
        let follows_norce = is_in_norce && !is_contact && claimant.unbound_company.is_none();
        if is != kind && !follows_norce {
            return Err(refused(format!(
                "the ERP record with code {code} is a {is}, and {entity} is a {kind}: correct its type in the ERP, or name another record"
            )));
        }
        let records = slice::from_ref(record);
        let candidates = self
            .candidates
            .by_code(entity, &claimant.party, records)
            .await?;
        match matching::by_code(entity, code, &candidates) {
            Verdict::Match(_) if is_in_norce => Ok(()),
            Verdict::Match(_) => self.check_free_in_norce(entity, code).await,
            Verdict::Create | Verdict::Wait => Err(refused(format!(
                "the ERP has no record with code {code}: name another record"
            ))),
            Verdict::Conflict(conflict) => Err(refused(match conflict {
                Conflict::CodeOfAnother { code, owner } => bound_to_another(&code, owner),
                Conflict::CodeOfForgotten { code } => of_forgotten(&code),
                Conflict::CodeDoesNotFit { code } if kind == EntityKind::Company => format!(
                    "the ERP record with code {code} has another organisation number than {entity} in Norce: name another record, or correct the number where it is wrong"
                ),
                Conflict::CodeDoesNotFit { code } => format!(
                    "the ERP record with code {code} belongs to another organisation than {entity} in Norce: name another record, relate {entity} to that organisation in Norce, or move the contact in the ERP"
                ),
                other => other.about(kind, &entity),
            })),
        }
    }

    /// Checks that Norce has a record's code for no other entity, to which the record would belong.
    async fn check_free_in_norce(&self, entity: EntityRef, code: &Code) -> Result<(), Failure> {
        let EntityRef { kind, scope, .. } = entity;
        let case = self.erps.code_case(scope).await?;
        let asked = [LookupKey {
            code: code.clone(),
            keys: Vec::new(),
        }];
        let found = self
            .norce
            .look_up(kind, scope, &asked, self.deadline)
            .await?;
        let mut holders = found.found.iter().filter(|found| {
            found.id != entity.id && found.code.as_ref().is_some_and(|it| it.is(code, case))
        });
        match holders.next() {
            None => Ok(()),
            Some(found) if found.forgotten => Err(refused(of_forgotten(code))),
            Some(found) => {
                let owner = EntityRef {
                    id: found.id,
                    ..entity
                };
                Err(refused(format!(
                    "Norce has code {code} for {owner}, so that its ERP record is not {entity}'s: name another record, or remove the code from {owner} in Norce"
                )))
            }
        }
    }
}

/// A record that belonged to a forgotten customer (P12).
fn of_forgotten(code: &Code) -> String {
    format!(
        "the ERP record with code {code} belonged to a forgotten customer and is never bound again: name another record"
    )
}

/// A record that another entity is bound to.
fn bound_to_another(code: &Code, by: EntityRef) -> String {
    format!(
        "the ERP record with code {code} belongs to {by}: name another record, or unbind or rebind {by} first, if it is not that record"
    )
}
