//! What a person changes about who is who. The store's conditions are the same as for everybody else; what a person may do
//! beyond them is end a binding.

use shared::{
    domain::{Cause, Code, EntityKind, EntityRef, ErpId, Resource},
    erp::ErpRecord,
    http::Deadline,
    mappings::{Binding, Bound, CodeDelivery, Mapping},
    owed::Reason,
};

use crate::{
    ChangeEvents, Done, Verdict,
    failure::{Failure, WaitsFor},
};

/// How a person names an ERP record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordName {
    /// By its code.
    Code(Code),
    /// By its immutable id.
    Id(ErpId),
}

/// What a person asked for and cannot be done. Nothing is put on the list of what is owed.
fn refused(detail: impl Into<String>) -> Failure {
    Failure::owed(Reason::Conflict, detail)
}

impl ChangeEvents {
    /// Removes what binds an entity to its ERP record, so that the entity, the code and the record are as if never seen.
    /// Neither Norce nor the ERP is changed.
    pub async fn unbind_by_hand(&self, entity: EntityRef) -> Verdict {
        self.unbind(entity).await.into()
    }

    async fn unbind(&self, entity: EntityRef) -> Result<Done, Failure> {
        let Some(Mapping::Bound(binding)) = self.mappings.get(entity).await? else {
            return Err(refused(format!(
                "{entity} is not bound to an ERP record, so that there is nothing to unbind"
            )));
        };
        if !self.mappings.unbind(entity, &binding.erp_id).await? {
            return Err(Failure::later(
                WaitsFor::OtherWriter,
                format!("the mapping of {entity} changed meanwhile"),
            ));
        }
        self.forget_code_faults(entity).await?;
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
    pub async fn rebind_by_hand(
        &self,
        entity: EntityRef,
        to: &RecordName,
        deadline: Deadline,
    ) -> Verdict {
        self.rebind(entity, to, deadline).await.into()
    }

    async fn rebind(
        &self,
        entity: EntityRef,
        to: &RecordName,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
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
        let record = self.named(entity, to, deadline).await?;
        let in_norce = self.code_in_norce(entity, deadline).await?;
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
        let former = in_norce.or_else(|| bound.map(|bound| bound.code.clone()));
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
                return Err(refused(format!(
                    "the ERP record with code {code} belongs to {by}: unbind or rebind {by} first, if it is not that record"
                )));
            }
            Bound::Forgotten => {
                return Err(refused(format!(
                    "{entity}, or a customer that had code {code}, is forgotten in Norce and is never bound again"
                )));
            }
            Bound::OtherCode { .. } => {
                return Err(Failure::later(
                    WaitsFor::OtherWriter,
                    format!("the mapping of {entity} changed meanwhile"),
                ));
            }
        }
        self.forget_code_faults(entity).await?;
        // The code goes to Norce, and orders that wait for the entity go on.
        let change = self.now(entity, Cause::Changed);
        self.send_change(&[entity], Cause::Changed, &change).await?;
        Ok(Done::new(
            "bound",
            format!("bound to code {code} (ERP record {})", binding.erp_id),
        ))
    }

    /// The only record that a person can mean, if the entity can be that record.
    async fn named(
        &self,
        entity: EntityRef,
        name: &RecordName,
        deadline: Deadline,
    ) -> Result<ErpRecord, Failure> {
        let erp = self.erp(entity.scope)?;
        let mut records = Vec::new();
        match name {
            RecordName::Id(id) => records.extend(erp.get(id, deadline).await?),
            RecordName::Code(code) => {
                for resource in Resource::of(entity.kind) {
                    records.extend(erp.find_by_code(*resource, code, deadline).await?);
                }
                // A customer and an organisation share their numbers in an ERP that has them in one list.
                if records.len() > 1 {
                    records.retain(|record| record.entity_kind() == entity.kind);
                }
            }
        }
        let kind = entity.kind;
        let Some(record) = records.pop() else {
            return Err(refused(format!(
                "the ERP has no such record that a {kind} could be: see its code or id in the ERP"
            )));
        };
        if !records.is_empty() {
            return Err(refused(format!(
                "the ERP has several records with code {}: name the right one by its id",
                record.code
            )));
        }
        if record.entity_kind() != kind {
            return Err(refused(format!(
                "the ERP record with code {} is a {}, and {entity} is a {kind}: correct its type in the ERP, or name another record",
                record.code,
                record.entity_kind()
            )));
        }
        Ok(record)
    }

    async fn code_in_norce(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Code>, Failure> {
        let code = match entity.kind {
            EntityKind::Customer => {
                let customer = self.norce.customer(entity, deadline).await?;
                customer.map(|customer| (customer.forgotten, customer.code))
            }
            EntityKind::Company => {
                let company = self.norce.company(entity, deadline).await?;
                company.map(|company| (false, company.code))
            }
        };
        match code {
            Some((false, code)) => Ok(code),
            Some((true, _)) => Err(refused(format!(
                "{entity} is forgotten in Norce and is never bound again"
            ))),
            None => Err(refused(format!("Norce does not have {entity}"))),
        }
    }
}
