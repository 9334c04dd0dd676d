//! The create flow, and why one Norce entity becomes at most one ERP record (P2).
//!
//! 1. **Reserve.** A conditional write says that a create is about to be sent. It is the only permission to create.
//! 2. **Look up.** The ERP may have the record: by the code that would be asked for, or by a key (e-mail address,
//!    organisation or VAT number). [`matching`] decides whether a record with the key is this entity's.
//! 3. **Create**, sending the request once.
//! 4. **Bind.** Both entries of the mapping in one transaction; the reservation is gone with it.
//!
//! A crash or a lost answer anywhere leaves the reservation. The next attempt finds it and looks up first. If
//! nothing is found, the earlier create may still be under way: nobody creates before the ERP's own time limit has
//! passed, and then only if the look-up would have found the record, that is if the natural key is still the one that
//! the earlier create carried. Otherwise a person has to look. With `ERP_CODE_PATTERN`, or where the adapter's creates are
//! idempotent, none of this waiting is needed: the ERP itself makes no second record.

use std::{fmt, slice};

use shared::{
    Consistency,
    domain::{Clock, Code, EntityRef, ShopField},
    erp::{CreateOutcome, Erp, ErpRecord, IdempotencyKey, NaturalKey, Party},
    http::Deadline,
    mappings::key_index::MAX_HOLDERS,
    mappings::{Binding, Bound, CodeDelivery, Mappings, Reservation, Reserved},
    matching::{self, ErpCandidate, Owner, Verdict},
    owed::Reason,
    record_finder::{Lookup, RecordFinder},
    runtime::configuration::SyncPolicy,
};
use uuid::Uuid;

use super::{emptied, party::ShopFingerprints};
use crate::{
    binder::{bind, check_bound},
    candidates::Candidates,
    erps::Erps,
    record_index::RecordIndex,
    result::{Failure, WaitsFor},
};

/// How an entity came to its ERP record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was created.
    Created,
    /// The ERP had it, and it belonged to nobody else.
    Found,
    /// Another invocation bound the two meanwhile.
    FoundBound,
    /// Norce had its code, or a person named it.
    Bound,
}

impl Origin {
    /// The class of the result, for metrics.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Found | Self::FoundBound | Self::Bound => "bound",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Created => "created in the ERP",
            Self::Found => "found in the ERP",
            Self::FoundBound => "found bound",
            Self::Bound => "bound",
        })
    }
}

/// Creates the ERP records of entities.
#[derive(Clone, Copy)]
pub(crate) struct Creator<'a> {
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) index: RecordIndex<'a>,
    pub(crate) candidates: Candidates<'a>,
    pub(crate) fingerprints: ShopFingerprints<'a>,
    pub(crate) policy: &'a SyncPolicy,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
}

/// A record to be created, and the keys that identify it.
struct NewRecord<'r> {
    entity: EntityRef,
    erp: &'r dyn Erp,
    party: &'r Party,
    asked_code: Option<Code>,
    /// The best first.
    natural_keys: Vec<NaturalKey>,
    /// What Norce has in the place of the ERP's code.
    replaced: Option<Code>,
}

impl Creator<'_> {
    /// Creates the ERP record of an entity, or finds the one that is there. `replaced`: the code that Norce has until it
    /// gets the ERP's.
    pub(crate) async fn create(
        &self,
        entity: EntityRef,
        party: &Party,
        replaced: Option<Code>,
    ) -> Result<(Binding, Origin), Failure> {
        let erp = self.erps.of(entity.scope)?;
        let asked_code = match &self.policy.code_pattern {
            Some(pattern) => Some(pattern.code(entity.kind, entity.id).map_err(|error| {
                Failure::owed(Reason::Validation, format!("ERP_CODE_PATTERN: {error}"))
            })?),
            None => None,
        };
        let new = NewRecord {
            entity,
            erp,
            party,
            asked_code,
            natural_keys: party.keys(),
            replaced,
        };
        let capabilities = erp.capabilities(self.deadline).await?;
        // A look-up cannot find the record by a key that the ERP does not store.
        let carried_keys = erp.carried_keys(party, self.deadline).await?;
        let now = self.clock.now();
        let reservation = Reservation {
            token: Uuid::new_v4(),
            since: now,
            until: now + capabilities.create_settles_after,
            natural_key: carried_keys
                .first()
                .map(|key| self.fingerprints.key.of(key))
                .transpose()?,
        };
        let earlier = match self.mappings.reserve(entity, reservation.clone()).await? {
            Reserved::New => None,
            Reserved::Earlier(earlier) => Some(earlier),
            Reserved::Bound(binding) => return Ok((binding, Origin::FoundBound)),
            Reserved::Forgotten => {
                return Err(Failure::other_writer("it was forgotten meanwhile"));
            }
        };
        self.create_reserved(&new, &reservation, earlier.as_ref())
            .await
    }

    async fn create_reserved(
        &self,
        new: &NewRecord<'_>,
        reservation: &Reservation,
        earlier: Option<&Reservation>,
    ) -> Result<(Binding, Origin), Failure> {
        let NewRecord { entity, party, .. } = *new;
        match self.look_up(new, earlier.as_slice()).await {
            Ok(None) => {}
            Ok(Some(found)) => return Ok((self.adopt(new, found).await?, Origin::Found)),
            Err(failure) => {
                if earlier.is_none() {
                    self.release(entity, reservation).await?;
                }
                return Err(failure);
            }
        }
        if let Some(earlier) = earlier {
            self.take_over(new, earlier, reservation).await?;
        }
        let key = IdempotencyKey {
            entity,
            code: new.asked_code.clone(),
        };
        match new.erp.create(&key, party, self.deadline).await {
            Ok(CreateOutcome::Created(record)) => {
                let mut binding = binding(&record, new);
                let mut sent = party.clone();
                // The fingerprint differs, so that an update follows and writes the delivery addresses.
                sent.delivery_addresses = sent.delivery_addresses.filter(Vec::is_empty);
                binding.shop_fingerprint = Some(if new.erp.needs_completing(party) {
                    self.fingerprints.of_incomplete()?
                } else {
                    self.fingerprints.of(&sent)?
                });
                binding.filled = Some(emptied::filled(party));
                self.bind_made(entity, &binding).await?;
                self.index.list(entity.scope, &record).await?;
                Ok((binding, Origin::Created))
            }
            Ok(CreateOutcome::Altered(record)) => {
                let mut binding = binding(&record, new);
                // The update that follows clears the values that the ERP filled in and the shop does not have.
                binding.shop_fingerprint = Some(self.fingerprints.of_incomplete()?);
                binding.filled = Some(ShopField::ALL.into());
                self.bind_made(entity, &binding).await?;
                self.index.list(entity.scope, &record).await?;
                Ok((binding, Origin::Created))
            }
            // Nothing had this code when it was reserved, so another attempt of ours has created the record since.
            Ok(CreateOutcome::AlreadyThere(record)) => {
                let found = Found {
                    record,
                    is_ours: true,
                };
                Ok((self.adopt(new, found).await?, Origin::Found))
            }
            Ok(CreateOutcome::Ambiguous { reason }) => {
                let attempts: Vec<&Reservation> =
                    earlier.into_iter().chain([reservation]).collect();
                match self.look_up(new, &attempts).await? {
                    Some(found) => Ok((self.adopt(new, found).await?, Origin::Found)),
                    None => Err(Failure::later_after(
                        WaitsFor::CreateInErp,
                        reservation.until - self.clock.now(),
                        format!("it is not known whether the ERP created {entity} ({reason})"),
                    )),
                }
            }
            Err(error) => {
                self.release(entity, reservation).await?;
                Err(error.into())
            }
        }
    }

    /// Gives the permission to create back, because certainly nothing was created under it. Otherwise the reservation stays.
    async fn release(&self, entity: EntityRef, ours: &Reservation) -> Result<(), Failure> {
        // A reservation of another invocation has another token.
        Ok(self.mappings.release(entity, ours.token).await?)
    }

    /// Finds the entity's record in the ERP, if it is there and belongs to nobody else. `attempts`: the creates that may
    /// have made it.
    async fn look_up(
        &self,
        new: &NewRecord<'_>,
        attempts: &[&Reservation],
    ) -> Result<Option<Found>, Failure> {
        match self.look_up_asked_code(new, attempts).await? {
            Some(found) => Ok(Some(found)),
            None => self.look_up_natural_keys(new, attempts).await,
        }
    }

    async fn look_up_asked_code(
        &self,
        new: &NewRecord<'_>,
        attempts: &[&Reservation],
    ) -> Result<Option<Found>, Failure> {
        let NewRecord { entity, party, .. } = *new;
        let Some(code) = &new.asked_code else {
            return Ok(None);
        };
        let resource = party.kind.resource();
        let hits = self.erps.find_by_code(entity.scope, resource, code).await?;
        match hits.as_slice() {
            [] => return Ok(None),
            [hit] if hit.organisation == party.kind.is_organisation() => {
                let keys = hit.keys(entity.kind);
                let shares_key = new.natural_keys.iter().any(|key| keys.contains(key));
                if shares_key || self.made_by(attempts, hit, new)? {
                    return Ok(Some(Found {
                        record: hit.clone(),
                        is_ours: true,
                    }));
                }
            }
            _ => {}
        }
        Err(Failure::conflict(format!(
            "the ERP has another record with code {code}, which ERP_CODE_PATTERN gives to {entity}: choose a pattern that nothing else uses, with {{kind}} in it where customers and companies share a list"
        )))
    }

    async fn look_up_natural_keys(
        &self,
        new: &NewRecord<'_>,
        attempts: &[&Reservation],
    ) -> Result<Option<Found>, Failure> {
        let NewRecord { entity, party, .. } = *new;
        let hits = self.holders(new).await?;
        if hits.is_empty() {
            return Ok(None);
        }
        let (mut records, others) = self.candidates.by_key(entity, party, &hits).await?;
        for (record, hit) in records.iter_mut().zip(&hits) {
            record.made = hit.fields.name.as_ref() == Some(&party.name)
                && self.made_by(attempts, hit, new)?;
        }
        self.refuse_code_given_out_again(entity, &records, &hits)
            .await?;
        match matching::by_key(entity, &records, &others, self.policy.matching.shared_email) {
            Verdict::Match(place) => {
                let is_ours = records.get(place).is_some_and(|record| record.made);
                let record = hits.into_iter().nth(place);
                Ok(record.map(|record| Found { record, is_ours }))
            }
            Verdict::Create => Ok(None),
            Verdict::Wait => Err(Failure::later(
                WaitsFor::CreateInErp,
                format!(
                    "the ERP has a record with the {} of {entity}, and a create of another {} with it is under way",
                    NaturalKey::name_of(entity.kind),
                    entity.kind
                ),
            )),
            Verdict::Conflict(found) => Err(Failure::conflict(found.about(entity.kind, &entity))),
        }
    }

    /// Every record of the ERP that has one of the keys, each once.
    async fn holders(&self, new: &NewRecord<'_>) -> Result<Vec<ErpRecord>, Failure> {
        let NewRecord { entity, party, .. } = *new;
        if new.natural_keys.is_empty() {
            return Ok(Vec::new());
        }
        let RecordIndex {
            index,
            fingerprints,
        } = self.index;
        // A new finder for each look-up: it must not remember what was there before a create was sent.
        let finder = RecordFinder::new(new.erp, index, fingerprints, entity.scope);
        let found = finder.find(&party.kind, &new.natural_keys, self.deadline);
        match found.await? {
            Lookup::Found(hits) => Ok(hits),
            Lookup::Crowded => Err(Failure::conflict(format!(
                "more than {MAX_HOLDERS} ERP records have the {} of {entity}: put the right code on it in Norce",
                NaturalKey::name_of(entity.kind)
            ))),
            Lookup::NotYet(reason) => Err(Failure::missing_prerequisite(reason)),
        }
    }

    /// Whether one of these creates has made a record. A reservation alone does not say so:
    /// its invocation may have died before it found out that the code belongs to somebody else. The record has the natural
    /// key that the create carried, or has none and the party's name.
    fn made_by(
        &self,
        attempts: &[&Reservation],
        record: &ErpRecord,
        new: &NewRecord<'_>,
    ) -> Result<bool, Failure> {
        if attempts.is_empty() {
            return Ok(false);
        }
        let keys = record.keys(new.entity.kind);
        if keys.is_empty() {
            return Ok(record.fields.name.as_ref() == Some(&new.party.name));
        }
        for key in keys {
            let key = Some(self.fingerprints.key.of(&key)?);
            if attempts.iter().any(|attempt| attempt.natural_key == key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Decides whether a create may follow an earlier one whose result is unknown, and takes over its reservation.
    async fn take_over(
        &self,
        new: &NewRecord<'_>,
        earlier: &Reservation,
        reservation: &Reservation,
    ) -> Result<(), Failure> {
        let entity = new.entity;
        // The ERP itself makes no second record.
        let repeatable = new.asked_code.is_some()
            || new
                .erp
                .capabilities(self.deadline)
                .await?
                .creates_are_idempotent;
        if !repeatable {
            let now = self.clock.now();
            if now < earlier.until {
                return Err(Failure::later_after(
                    WaitsFor::CreateInErp,
                    earlier.until - now,
                    format!("an earlier create of {entity} may still be under way in the ERP"),
                ));
            }
            if earlier.natural_key.is_none() || earlier.natural_key != reservation.natural_key {
                return Err(Failure::owed(
                    Reason::Ambiguous,
                    format!(
                        "a create of {entity} was sent at {} and never answered, and the record cannot be looked up (no e-mail address or VAT number, or another one since): search the ERP for it and put its code on {entity} in Norce",
                        earlier.since
                    ),
                ));
            }
        }
        let reservation = reservation.clone();
        let renewed = self.mappings.renew(entity, earlier.token, reservation);
        if renewed.await? {
            return Ok(());
        }
        Err(Failure::other_writer(format!(
            "another invocation is creating {entity}"
        )))
    }

    async fn adopt(&self, new: &NewRecord<'_>, found: Found) -> Result<Binding, Failure> {
        let entity = new.entity;
        let mut binding = binding(&found.record, new);
        if found.is_ours {
            binding.shop_fingerprint = Some(self.fingerprints.of_incomplete()?);
            self.bind_made(entity, &binding).await?;
        } else {
            bind(self.mappings, entity, &binding).await?;
        }
        self.index.list(entity.scope, &found.record).await?;
        Ok(binding)
    }

    /// Binds an entity to the record that its own create has made. The ERP may have given the record a code that another
    /// entity is bound to, with a record that was renamed or deleted since.
    async fn bind_made(&self, entity: EntityRef, binding: &Binding) -> Result<(), Failure> {
        match self.mappings.bind(entity, binding.clone()).await? {
            Bound::CodeTaken { by } => Err(given_out_again(entity, &binding.code, by)),
            bound => check_bound(self.mappings, entity, &binding.code, bound).await,
        }
    }

    /// Refuses to create a second record if an earlier create has made one whose code belongs to another entity, by its
    /// mapping or in Norce. A record to which another entity is bound is that entity's.
    async fn refuse_code_given_out_again(
        &self,
        entity: EntityRef,
        records: &[ErpCandidate],
        hits: &[ErpRecord],
    ) -> Result<(), Failure> {
        for (record, hit) in records.iter().zip(hits) {
            let Owner::Entity(by) = record.owner else {
                continue;
            };
            if !record.made || by == entity {
                continue;
            }
            let ids = slice::from_ref(&hit.id);
            let entries = self
                .mappings
                .records(entity.scope, ids, Consistency::Strong);
            let entry = entries.await?.into_iter().flatten().next();
            if entry.and_then(|entry| entry.id).is_none() {
                return Err(given_out_again(entity, &record.code, by));
            }
        }
        Ok(())
    }
}

/// The ERP has given a code to the record of an entity while another entity has that code; neither is overwritten (P3).
fn given_out_again(entity: EntityRef, code: &Code, by: EntityRef) -> Failure {
    Failure::conflict(format!(
        "the ERP has given code {code} to the record of {entity}, and {by} has that code too, from another record: where that one was renamed in the ERP, the next pass settles this; where it was deleted there, remove code {code} from {by} in Norce; where both records have the code, give one of them another one in the ERP"
    ))
}

fn binding(record: &ErpRecord, new: &NewRecord<'_>) -> Binding {
    Binding {
        former_code: new.replaced.clone(),
        replaced_code: new.replaced.clone(),
        ..Binding::new(
            record.code.clone(),
            record.id.clone(),
            CodeDelivery::Pending,
        )
    }
}

/// The entity's record in the ERP.
struct Found {
    record: ErpRecord,
    /// One of our creates has made it, so that all its values are the shop's.
    is_ours: bool,
}
