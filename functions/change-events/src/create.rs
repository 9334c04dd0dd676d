//! The create flow, and why one Norce entity becomes at most one ERP record (P2).
//!
//! 1. **Reserve.** A conditional write says that a create is about to be sent. It is the only permission to create.
//! 2. **Look up.** The ERP may have the record: by the code that would be asked for, or by a key (e-mail address,
//!    organisation or VAT number). Whether a record with the key is this entity's decides [`matching`].
//! 3. **Create**, sending the request once.
//! 4. **Bind.** Both faces of the mapping in one transaction; the reservation is gone with it.
//!
//! A crash or a lost answer anywhere leaves the reservation. Whoever comes next finds it and looks up first. Where
//! nothing is found, the earlier create may still be under way: nobody creates before the ERP's own time limit has
//! passed, and then only if the look-up would have found the record, that is if the natural key is still the one that
//! the earlier create carried. Otherwise a person has to look. With `ERP_CODE_PATTERN`, or where the adapter's creates are
//! idempotent, none of this waiting is needed: the ERP itself makes no second record.

use std::{fmt, slice};

use shared::{
    Consistency,
    domain::{Code, EntityRef},
    erp::{CreateOutcome, Erp, ErpRecord, IdempotencyKey, NaturalKey, Party},
    http::Deadline,
    mappings::key_index::MAX_HOLDERS,
    mappings::{Binding, Bound, CodeDelivery, Reservation, Reserved},
    matching::{self, ErpCandidate, Owner, Verdict},
    owed::Reason,
    record_finder::{Lookup, RecordFinder},
};
use uuid::Uuid;

use crate::{
    ChangeEvents, emptied,
    failure::{Failure, WaitsFor},
};

/// How an entity came to its ERP record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was created.
    Created,
    /// It was there, and nobody else's.
    Found,
    /// Somebody else bound the two meanwhile.
    FoundBound,
    /// Norce had its code.
    Bound,
}

impl Origin {
    /// The outcome, as the metrics have it.
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

/// What a create is recognised by.
struct Keys {
    asked: Option<Code>,
    /// The best first.
    natural: Vec<NaturalKey>,
    /// What Norce has in the place of the ERP's code.
    replaced: Option<Code>,
}

impl ChangeEvents {
    /// Creates the ERP record of an entity, or finds the one that is there. `replaced`: the code that Norce has until it
    /// gets the ERP's.
    pub(crate) async fn create(
        &self,
        entity: EntityRef,
        party: &Party,
        replaced: Option<Code>,
        deadline: Deadline,
    ) -> Result<(Binding, Origin), Failure> {
        let erp = self.erp(entity.scope)?;
        let asked = match &self.policy.code_pattern {
            Some(pattern) => Some(pattern.code(entity.kind, entity.id).map_err(|error| {
                Failure::owed(Reason::Validation, format!("ERP_CODE_PATTERN: {error}"))
            })?),
            None => None,
        };
        let keys = Keys {
            asked,
            natural: party.keys(),
            replaced,
        };
        let now = self.clock.now();
        let reservation = Reservation {
            token: Uuid::new_v4(),
            since: now,
            until: now + erp.capabilities().create_settles_after,
            // A key that the record will not hold would say that a look-up finds it.
            natural_key: erp
                .carried_keys(party)
                .first()
                .map(|key| self.fingerprints.of(key))
                .transpose()?,
        };
        let earlier = match self.mappings.reserve(entity, reservation.clone()).await? {
            Reserved::New => None,
            Reserved::Earlier(earlier) => Some(earlier),
            Reserved::Bound(binding) => return Ok((binding, Origin::FoundBound)),
            Reserved::Forgotten => {
                return Err(Failure::later(
                    WaitsFor::OtherWriter,
                    "it was forgotten meanwhile",
                ));
            }
        };
        match self
            .create_reserved(
                erp,
                entity,
                party,
                &keys,
                &reservation,
                earlier.as_ref(),
                deadline,
            )
            .await
        {
            Err(Stop {
                failure,
                nothing_was_created: true,
            }) => {
                // Only ours: a reservation that somebody else holds has another token.
                self.mappings.release(entity, reservation.token).await?;
                Err(failure)
            }
            Err(Stop {
                failure,
                nothing_was_created: false,
            }) => Err(failure),
            Ok(done) => Ok(done),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `create`, split off to release the reservation in one place"
    )]
    async fn create_reserved(
        &self,
        erp: &dyn Erp,
        entity: EntityRef,
        party: &Party,
        keys: &Keys,
        reservation: &Reservation,
        earlier: Option<&Reservation>,
        deadline: Deadline,
    ) -> Result<(Binding, Origin), Stop> {
        if let Some(found) = self
            .look_up(erp, entity, party, keys, earlier.as_slice(), deadline)
            .await?
        {
            return Ok((self.adopt(entity, found, keys).await?, Origin::Found));
        }
        if let Some(earlier) = earlier {
            let repeatable = keys.asked.is_some() || erp.capabilities().creates_are_idempotent;
            self.take_over(entity, repeatable, earlier, reservation)
                .await?;
        }
        let key = IdempotencyKey {
            entity,
            code: keys.asked.clone(),
        };
        match erp.create(&key, party, deadline).await {
            Ok(CreateOutcome::Created(record)) => {
                let mut binding = binding(&record, keys);
                let mut sent = party.clone();
                // With another fingerprint an update follows, which brings the delivery addresses.
                sent.delivery_addresses = sent.delivery_addresses.filter(Vec::is_empty);
                binding.shop_fingerprint = Some(self.shop_fingerprint(&sent)?);
                binding.filled = Some(emptied::filled(party));
                self.bind_made(entity, &binding).await?;
                self.list(entity.scope, &record).await?;
                Ok((binding, Origin::Created))
            }
            // The reservation is ours and nothing had this code when it was made: an attempt of ours has made it since.
            Ok(CreateOutcome::AlreadyThere(record)) => {
                let found = Found {
                    record,
                    is_ours: true,
                };
                Ok((self.adopt(entity, found, keys).await?, Origin::Found))
            }
            Ok(CreateOutcome::Ambiguous { reason }) => {
                let attempts: Vec<&Reservation> =
                    earlier.into_iter().chain([reservation]).collect();
                let found = self
                    .look_up(erp, entity, party, keys, &attempts, deadline)
                    .await;
                match found {
                    Ok(Some(found)) => Ok((self.adopt(entity, found, keys).await?, Origin::Found)),
                    Ok(None) => Err(Failure::Later {
                        waits_for: WaitsFor::CreateInErp,
                        at_least: (reservation.until - self.clock.now()).to_std().ok(),
                        reason: format!(
                            "it is not known whether the ERP created {entity} ({reason})"
                        ),
                    }
                    .into()),
                    Err(stop) => Err(stop.failure.into()),
                }
            }
            Err(error) => Err(Stop {
                failure: error.into(),
                nothing_was_created: true,
            }),
        }
    }

    /// Finds the entity's record in the ERP, if it is there and is nobody else's. `attempts`: the creates that may have
    /// made it.
    async fn look_up(
        &self,
        erp: &dyn Erp,
        entity: EntityRef,
        party: &Party,
        keys: &Keys,
        attempts: &[&Reservation],
        deadline: Deadline,
    ) -> Result<Option<Found>, Stop> {
        // While nobody has created anything, a look-up that fails leaves nothing behind.
        let stop = |failure: Failure| Stop {
            failure,
            nothing_was_created: attempts.is_empty(),
        };
        let conflict = |detail: String| stop(Failure::owed(Reason::Conflict, detail));
        if let Some(code) = &keys.asked {
            let hits = erp
                .find_by_code(party.kind.resource(), code, deadline)
                .await
                .map_err(|e| stop(e.into()))?;
            let is_ours = |hit: &ErpRecord| -> Result<bool, Failure> {
                Ok(hit.organisation == party.kind.is_organisation()
                    && (shares_key(hit, entity, keys)
                        || self.made_by(attempts, hit, entity, party)?))
            };
            match hits.as_slice() {
                [] => {}
                [hit] if is_ours(hit).map_err(stop)? => {
                    return Ok(Some(Found {
                        record: hit.clone(),
                        is_ours: true,
                    }));
                }
                _ => {
                    return Err(conflict(format!(
                        "the ERP has another record with code {code}, which ERP_CODE_PATTERN gives to {entity}: choose a pattern that nothing else uses, with {{kind}} in it where customers and companies share a list"
                    )));
                }
            }
        }
        let hits = self
            .holders(erp, entity, party, keys, deadline)
            .await
            .map_err(stop)?;
        if hits.is_empty() {
            return Ok(None);
        }
        let (mut records, others) = self
            .candidates(entity, party, &hits, deadline)
            .await
            .map_err(stop)?;
        for (record, hit) in records.iter_mut().zip(&hits) {
            record.made = hit.image.name.as_ref() == Some(&party.name)
                && self.made_by(attempts, hit, entity, party).map_err(stop)?;
        }
        self.refuse_code_given_out_again(entity, &records, &hits)
            .await
            .map_err(stop)?;
        match matching::by_key(entity, &records, &others, self.policy.matching.shared_email) {
            Verdict::Match(place) => {
                let is_ours = records.get(place).is_some_and(|record| record.made);
                let record = hits.into_iter().nth(place);
                Ok(record.map(|record| Found { record, is_ours }))
            }
            Verdict::Create => Ok(None),
            Verdict::Wait => Err(stop(Failure::later(
                WaitsFor::CreateInErp,
                format!(
                    "the ERP has a record with the {} of {entity}, and a create of another {} with it is under way",
                    NaturalKey::name_of(entity.kind),
                    entity.kind
                ),
            ))),
            Verdict::Conflict(found) => Err(conflict(found.about(entity.kind, &entity))),
        }
    }

    /// Every record of the ERP that has one of the keys, each once.
    async fn holders(
        &self,
        erp: &dyn Erp,
        entity: EntityRef,
        party: &Party,
        keys: &Keys,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, Failure> {
        if keys.natural.is_empty() {
            return Ok(Vec::new());
        }
        let (index, fingerprints) = (self.key_index.as_ref(), &self.fingerprints);
        // A finder of its own for each look-up: it must not remember what was there before a create was sent.
        let finder = RecordFinder::new(erp, index, fingerprints, entity.scope);
        match finder.find(&party.kind, &keys.natural, deadline).await? {
            Lookup::Found(hits) => Ok(hits),
            Lookup::Crowded => Err(Failure::owed(
                Reason::Conflict,
                format!(
                    "more than {MAX_HOLDERS} ERP records have the {} of {entity}: put the right code on it in Norce",
                    NaturalKey::name_of(entity.kind)
                ),
            )),
            Lookup::NotYet(reason) => Err(Failure::owed(Reason::MissingPrerequisite, reason)),
        }
    }

    /// Whether one of these creates has made the record that has the asked-for code. A reservation alone does not say so:
    /// its invocation may have died before it found out that the code is a stranger's. The record has the natural key that
    /// the create carried, or has none and the party's name.
    fn made_by(
        &self,
        attempts: &[&Reservation],
        record: &ErpRecord,
        entity: EntityRef,
        party: &Party,
    ) -> Result<bool, Failure> {
        if attempts.is_empty() {
            return Ok(false);
        }
        let keys = record.keys(entity.kind);
        if keys.is_empty() {
            return Ok(record.image.name.as_ref() == Some(&party.name));
        }
        for key in keys {
            let key = Some(self.fingerprints.of(&key)?);
            if attempts.iter().any(|attempt| attempt.natural_key == key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Decides whether a create may follow an earlier one that was never heard of; `repeatable`: the ERP itself makes no
    /// second record.
    async fn take_over(
        &self,
        entity: EntityRef,
        repeatable: bool,
        earlier: &Reservation,
        reservation: &Reservation,
    ) -> Result<(), Failure> {
        if !repeatable {
            let now = self.clock.now();
            if now < earlier.until {
                return Err(Failure::Later {
                    waits_for: WaitsFor::CreateInErp,
                    at_least: (earlier.until - now).to_std().ok(),
                    reason: format!(
                        "an earlier create of {entity} may still be under way in the ERP"
                    ),
                });
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
        if self
            .mappings
            .renew(entity, earlier.token, reservation.clone())
            .await?
        {
            Ok(())
        } else {
            Err(Failure::later(
                WaitsFor::OtherWriter,
                format!("another invocation is creating {entity}"),
            ))
        }
    }

    async fn adopt(
        &self,
        entity: EntityRef,
        found: Found,
        keys: &Keys,
    ) -> Result<Binding, Failure> {
        let mut binding = binding(&found.record, keys);
        if found.is_ours {
            // With another fingerprint an update follows.
            binding.shop_fingerprint = Some(self.fingerprints.of(&"made by an earlier attempt")?);
        }
        match found.is_ours {
            true => self.bind_made(entity, &binding).await?,
            false => self.bind(entity, &binding).await?,
        }
        self.list(entity.scope, &found.record).await?;
        Ok(binding)
    }

    /// Binds an entity to the record that its own create has made. The ERP may have given the record a code that another
    /// entity is bound to, with a record that was renamed or deleted since.
    async fn bind_made(&self, entity: EntityRef, binding: &Binding) -> Result<(), Failure> {
        match self.mappings.bind(entity, binding.clone()).await? {
            Bound::CodeTaken { by } => Err(given_out_again(entity, &binding.code, by)),
            bound => self.accepted(entity, &binding.code, bound).await,
        }
    }

    /// Refuses to create a second record where an earlier create has made one whose code is another entity's: by its
    /// mapping, or in Norce. A record that another entity is bound to is that one's.
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
            let faces = self
                .mappings
                .records(entity.scope, ids, Consistency::Strong);
            let face = faces.await?.into_iter().flatten().next();
            if face.and_then(|face| face.id).is_none() {
                return Err(given_out_again(entity, &record.code, by));
            }
        }
        Ok(())
    }
}

/// The ERP has given a code to the record of an entity while another one has it, and neither is written over (P3).
fn given_out_again(entity: EntityRef, code: &Code, by: EntityRef) -> Failure {
    Failure::owed(
        Reason::Conflict,
        format!(
            "the ERP has given code {code} to the record of {entity}, and {by} has that code too, from another record: where that one was renamed in the ERP, the next pass settles this; where it was deleted there, remove code {code} from {by} in Norce; where both records have the code, give one of them another one in the ERP"
        ),
    )
}

fn binding(record: &ErpRecord, keys: &Keys) -> Binding {
    Binding {
        former_code: keys.replaced.clone(),
        replaced_code: keys.replaced.clone(),
        ..Binding::new(
            record.code.clone(),
            record.id.clone(),
            CodeDelivery::Pending,
        )
    }
}

/// The entity's record.
struct Found {
    record: ErpRecord,
    /// A create of ours has made it, so that all of it is the shop's.
    is_ours: bool,
}

/// A create that ended early.
struct Stop {
    failure: Failure,
    /// Certainly nothing was created under our reservation, which can go.
    nothing_was_created: bool,
}

impl From<Failure> for Stop {
    /// Unless it is known otherwise, something may have been created, and the reservation stays.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            nothing_was_created: false,
        }
    }
}

fn shares_key(record: &ErpRecord, entity: EntityRef, keys: &Keys) -> bool {
    let of_record = record.keys(entity.kind);
    keys.natural.iter().any(|key| of_record.contains(key))
}
