//! What [`matching`](shared::matching) decides on: whose the ERP's records are, and what Norce has for its entities.

use shared::{
    domain::{EntityRef, Scope},
    erp::{ErpRecord, Party, PartyKind, Resource},
    http::Deadline,
    matching::{self, CodeInNorce, ErpCandidate, NorceCandidate, Owner},
    norce::{Asked, Found},
};

use crate::{ChangeEvents, failure::Failure};

impl ChangeEvents {
    /// Records of the ERP as candidates for an entity, in their order, and every other entity of Norce that has one of
    /// the party's keys.
    pub(crate) async fn candidates(
        &self,
        entity: EntityRef,
        party: &Party,
        hits: &[ErpRecord],
        deadline: Deadline,
    ) -> Result<(Vec<ErpCandidate>, Vec<NorceCandidate>), Failure> {
        let EntityRef { kind, scope, .. } = entity;
        let case = self.erp(scope)?.capabilities().code_case;
        let keys = party.keys();
        // The keys are the party's own, and asked for once.
        let mut asked_keys = Some(keys.clone());
        let asked: Vec<Asked> = hits
            .iter()
            .map(|hit| Asked {
                code: hit.code.clone(),
                keys: asked_keys.take().unwrap_or_default(),
            })
            .collect();
        let found = self
            .norce
            .look_up(kind, scope, &asked, deadline)
            .await?
            .found;
        let found: Vec<&Found> = found.iter().filter(|found| found.id != entity.id).collect();
        let others: Vec<&Found> = found
            .iter()
            .copied()
            .filter(|found| found.keys.iter().any(|key| keys.contains(key)))
            .collect();
        let entities: Vec<EntityRef> = others
            .iter()
            .map(|found| EntityRef {
                id: found.id,
                ..entity
            })
            .collect();
        let mappings = self.mappings.get_many(&entities).await?;
        // After the others' mappings: a record that another create has made is either bound by now, or that create was seen
        // to be under way.
        let owners = self.owners(entity, hits).await?;
        let mut records = Vec::with_capacity(hits.len());
        for (hit, owner) in hits.iter().zip(owners) {
            let of_code = || {
                found.iter().find(|found| {
                    let code = found.code.as_ref();
                    code.is_some_and(|code| code.is(&hit.code, case))
                })
            };
            let owner = match (owner, of_code()) {
                (Owner::Nobody, Some(found)) if found.forgotten => Owner::Forgotten,
                (Owner::Nobody, Some(found)) => Owner::Entity(EntityRef {
                    id: found.id,
                    ..entity
                }),
                (owner, _) => owner,
            };
            records.push(ErpCandidate {
                code: hit.code.clone(),
                owner,
                blocked: hit.blocked,
                fits: fits(party, hit),
                made: false,
            });
        }
        let now = self.clock.now();
        let codes: Vec<_> = hits.iter().map(|hit| &hit.code).collect();
        let others = others.iter().zip(mappings).map(|(found, mapping)| {
            let code = found
                .code
                .as_ref()
                .filter(|code| self.policy.matching.erp_codes.may_be(code));
            let code = match code {
                Some(code) if codes.iter().any(|known| code.is(known, case)) => {
                    CodeInNorce::OfRecord
                }
                Some(_) => CodeInNorce::Other,
                None => CodeInNorce::None,
            };
            NorceCandidate {
                id: found.id,
                standing: matching::standing(found, mapping.as_ref(), false, code, now),
            }
        });
        Ok((records, others.collect()))
    }

    /// Records of the ERP with a code that is said to be an entity's, as candidates for it, in their order.
    pub(crate) async fn candidates_by_code(
        &self,
        entity: EntityRef,
        party: &Party,
        hits: &[ErpRecord],
        deadline: Deadline,
    ) -> Result<Vec<ErpCandidate>, Failure> {
        let mut records = Vec::with_capacity(hits.len());
        for (hit, owner) in hits.iter().zip(self.owners(entity, hits).await?) {
            records.push(ErpCandidate {
                code: hit.code.clone(),
                owner,
                blocked: hit.blocked,
                fits: self
                    .belongs_to_party(entity.scope, party, hit, deadline)
                    .await?,
                made: false,
            });
        }
        Ok(records)
    }

    /// Whose records of the ERP are, as far as the mappings know.
    async fn owners(&self, entity: EntityRef, hits: &[ErpRecord]) -> Result<Vec<Owner>, Failure> {
        let EntityRef { kind, scope, .. } = entity;
        let named: Vec<_> = hits
            .iter()
            .map(|hit| (hit.id.clone(), hit.code.clone()))
            .collect();
        let known = self.mappings.known(kind, scope, &named).await?;
        Ok(known
            .iter()
            .map(|known| matching::owner(known, kind, scope))
            .collect())
    }

    /// Whether the records with a code are this party: in an ERP a code can be that of a contact of another organisation,
    /// or of a vendor's.
    async fn belongs_to_party(
        &self,
        scope: Scope,
        party: &Party,
        hit: &ErpRecord,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let of = match (&hit.company, hit.id.resource) {
            (Some(key), Resource::Contact) => self.erp(scope)?.company_of(key, deadline).await?,
            _ => None,
        };
        Ok(match (&party.kind, hit.id.resource) {
            (PartyKind::Contact { company }, Resource::Contact) => of == *company,
            _ => fits(party, hit),
        })
    }
}

/// Whether a record can be this party at all. A match by code follows what Norce says it is: old registers have persons
/// of the type that organisations have.
fn fits(party: &Party, hit: &ErpRecord) -> bool {
    let is_customer = hit.id.resource == Resource::Customer;
    match &party.kind {
        PartyKind::Person => is_customer,
        PartyKind::Company => {
            let contradicts = party
                .registered()
                .zip(hit.registered())
                .is_some_and(|(one, other)| one.contradicts(&other));
            is_customer && !contradicts
        }
        // A contact may have been entered as a customer of its own, but never as its organisation.
        PartyKind::Contact { company } => Some(&hit.id) != company.as_ref(),
    }
}
