//! Gathers the facts that [`matching`](shared::matching) decides on: whose the ERP's records are, and what Norce has for
//! its entities.

use shared::{
    domain::{Clock, Code, EntityRef, Scope},
    erp::{ErpRecord, Party, PartyKind, Resource},
    http::Deadline,
    mappings::Mappings,
    matching::{self, CodeInNorce, Conflict, ErpCandidate, NorceCandidate, Owner, Verdict},
    norce::{LookupHit, LookupKey, NorceQuery},
    runtime::configuration::MatchingPolicy,
};

use crate::{erps::Erps, result::Failure};

/// Finds out which entities a record of the ERP can belong to.
#[derive(Clone, Copy)]
pub(crate) struct Candidates<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) policy: &'a MatchingPolicy,
    pub(crate) deadline: Deadline,
}

impl Candidates<'_> {
    /// Records of the ERP as candidates for an entity, in the given order, and every other entity of Norce that has one of
    /// the party's keys.
    pub(crate) async fn by_key(
        &self,
        entity: EntityRef,
        party: &Party,
        hits: &[ErpRecord],
    ) -> Result<(Vec<ErpCandidate>, Vec<NorceCandidate>), Failure> {
        let EntityRef { kind, scope, .. } = entity;
        let case = self.erps.code_case(scope).await?;
        let keys = party.keys();
        // One look-up of the party's own keys is enough.
        let mut asked_keys = Some(keys.clone());
        let asked: Vec<LookupKey> = hits
            .iter()
            .map(|hit| LookupKey {
                code: hit.code.clone(),
                keys: asked_keys.take().unwrap_or_default(),
            })
            .collect();
        let looked_up = self.norce.look_up(kind, scope, &asked, self.deadline);
        let found = looked_up.await?.found;
        let found: Vec<&LookupHit> = found.iter().filter(|found| found.id != entity.id).collect();
        let others: Vec<&LookupHit> = found
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
        // After the others' mappings: either a record that another create has made is bound by now, or that create was seen
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
                .filter(|code| self.policy.erp_codes.may_be(code));
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

    /// The only record of the ERP that has a code which Norce has for an entity, if it can be the entity's; `None`: there
    /// is none.
    pub(crate) async fn with_code(
        &self,
        entity: EntityRef,
        code: &Code,
        party: &Party,
    ) -> Result<Option<ErpRecord>, Failure> {
        // A contact may have been entered as a customer of its own, but never the other way round.
        let places: &[Resource] = match party.kind.resource() {
            Resource::Customer => &[Resource::Customer],
            Resource::Contact => &[Resource::Contact, Resource::Customer],
        };
        let mut hits = Vec::new();
        for resource in places {
            hits = self
                .erps
                .find_by_code(entity.scope, *resource, code)
                .await?;
            if !hits.is_empty() {
                break;
            }
        }
        let records = self.by_code(entity, party, &hits).await?;
        match matching::by_code(entity, code, &records) {
            Verdict::Match(place) => Ok(hits.into_iter().nth(place)),
            Verdict::Create | Verdict::Wait | Verdict::Conflict(Conflict::UnknownCode { .. }) => {
                Ok(None)
            }
            Verdict::Conflict(conflict) => {
                Err(Failure::conflict(conflict.about(entity.kind, &entity)))
            }
        }
    }

    /// Records of the ERP that have a code which is said to be an entity's, as candidates for it, in the given order.
    pub(crate) async fn by_code(
        &self,
        entity: EntityRef,
        party: &Party,
        hits: &[ErpRecord],
    ) -> Result<Vec<ErpCandidate>, Failure> {
        let mut records = Vec::with_capacity(hits.len());
        for (hit, owner) in hits.iter().zip(self.owners(entity, hits).await?) {
            records.push(ErpCandidate {
                code: hit.code.clone(),
                owner,
                blocked: hit.blocked,
                fits: self.belongs_to_party(entity.scope, party, hit).await?,
                made: false,
            });
        }
        Ok(records)
    }

    /// The owners of records of the ERP, as far as the mappings know them.
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

    /// Whether a record with the party's code can be this party: an ERP may have given the code to a contact of another
    /// organisation, or of a vendor.
    async fn belongs_to_party(
        &self,
        scope: Scope,
        party: &Party,
        hit: &ErpRecord,
    ) -> Result<bool, Failure> {
        let of = match (&hit.company, hit.id.resource) {
            (Some(key), Resource::Contact) => {
                self.erps.of(scope)?.company_of(key, self.deadline).await?
            }
            _ => None,
        };
        Ok(match (&party.kind, hit.id.resource) {
            (PartyKind::Contact { company }, Resource::Contact) => of == *company,
            _ => fits(party, hit),
        })
    }
}

/// Whether a record can be this party at all. A match by code follows the kind that Norce has: old ERP data have persons
/// of the type of organisations.
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
