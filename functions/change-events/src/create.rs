//! The create flow, and why one Norce entity becomes at most one ERP record (P2).
//!
//! 1. **Reserve.** A conditional write says that a create is about to be sent. It is the only permission to create.
//! 2. **Look up.** The ERP may have the record: by the code that would be asked for, by natural key (exact e-mail
//!    address or VAT number). One hit that is nobody else's is adopted; several are a conflict; a guess is never made.
//! 3. **Create**, sending the request once.
//! 4. **Bind.** Both faces of the mapping in one transaction; the reservation is gone with it.
//!
//! A crash or a lost answer anywhere leaves the reservation. Whoever comes next finds it and looks up first. Where
//! nothing is found, the earlier create may still be under way: nobody creates before the ERP's own time limit has
//! passed, and then only if the look-up would have found the record, that is if the natural key is still the one that
//! the earlier create carried. Otherwise a person has to look. With `ERP_CODE_PATTERN`, or where the adapter's creates are
//! idempotent, none of this waiting is needed: the ERP itself makes no second record.

use std::fmt;

use shared::{
    domain::{Code, EntityRef},
    erp::{CreateOutcome, Erp, ErpRecord, IdempotencyKey, NaturalKey, Party},
    http::Deadline,
    key_index::{Lookup, MAX_HOLDERS, RecordFinder, RecordKeys},
    mappings::{Binding, CodeDelivery, Reservation, Reserved},
    owed::Reason,
};
use uuid::Uuid;

use crate::{ChangeEvents, failure::Failure};

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
    natural: Option<NaturalKey>,
}

impl ChangeEvents {
    /// Creates the ERP record of an entity, or finds the one that is there.
    pub(crate) async fn create(
        &self,
        entity: EntityRef,
        party: &Party,
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
            natural: erp.natural_key(party),
        };
        let now = self.clock.now();
        let reservation = Reservation {
            token: Uuid::new_v4(),
            since: now,
            until: now + erp.capabilities().create_settles_after,
            natural_key: keys
                .natural
                .as_ref()
                .map(|key| self.fingerprints.of(key))
                .transpose()?,
        };
        let earlier = match self.mappings.reserve(entity, reservation.clone()).await? {
            Reserved::New => None,
            Reserved::Earlier(earlier) => Some(earlier),
            Reserved::Bound(binding) => return Ok((binding, Origin::FoundBound)),
            Reserved::Forgotten => return Err(Failure::later("it was forgotten meanwhile")),
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
        if let Some(record) = self
            .look_up(erp, entity, party, keys, earlier.as_slice(), deadline)
            .await?
        {
            return Ok((self.adopt(entity, &record).await?, Origin::Found));
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
                let mut binding = self.binding(&record)?;
                let deliveries = party.delivery_addresses.as_ref();
                // Without the fingerprint an update follows, which brings the delivery addresses.
                if deliveries.is_none_or(Vec::is_empty) {
                    binding.shop_fingerprint = Some(self.shop_fingerprint(party)?);
                }
                self.bind(entity, &binding).await?;
                self.list(entity.scope, &record).await?;
                Ok((binding, Origin::Created))
            }
            // The reservation is ours and nothing had this code when it was made: an attempt of ours has made it since.
            Ok(CreateOutcome::AlreadyThere(record)) => {
                Ok((self.adopt(entity, &record).await?, Origin::Found))
            }
            Ok(CreateOutcome::Ambiguous { reason }) => {
                let attempts: Vec<&Reservation> =
                    earlier.into_iter().chain([reservation]).collect();
                let found = self
                    .look_up(erp, entity, party, keys, &attempts, deadline)
                    .await;
                match found {
                    Ok(Some(record)) => Ok((self.adopt(entity, &record).await?, Origin::Found)),
                    Ok(None) => Err(Failure::Later {
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
    ) -> Result<Option<ErpRecord>, Stop> {
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
                    && (same_party(hit, keys.natural.as_ref())
                        || self.made_by(attempts, hit, party)?))
            };
            match hits.as_slice() {
                [] => {}
                [hit] if is_ours(hit).map_err(stop)? => return Ok(Some(hit.clone())),
                _ => {
                    return Err(conflict(format!(
                        "the ERP has another record with code {code}, which ERP_CODE_PATTERN gives to {entity}: choose a pattern that nothing else uses, with {{kind}} in it where customers and companies share a list"
                    )));
                }
            }
        }
        let Some(key) = &keys.natural else {
            return Ok(None);
        };
        let what = key.field();
        let (index, fingerprints) = (self.key_index.as_ref(), &self.fingerprints);
        // A finder of its own for each look-up: it must not remember what was there before a create was sent.
        let finder = RecordFinder::new(erp, index, fingerprints, entity.scope);
        let keys = std::slice::from_ref(key);
        let lookup = finder.find(&party.kind, keys, deadline).await;
        let hits = match lookup.map_err(|error| stop(error.into()))? {
            Lookup::Found(hits) => hits,
            Lookup::Crowded => {
                return Err(conflict(format!(
                    "more than {MAX_HOLDERS} ERP records have the {what} of {entity}: put the right code on it in Norce"
                )));
            }
            Lookup::NotYet(reason) => {
                return Err(stop(Failure::owed(Reason::MissingPrerequisite, reason)));
            }
        };
        match hits.as_slice() {
            [] => Ok(None),
            [hit] => {
                let owner = self
                    .mappings
                    .by_code(entity.kind, entity.scope, &hit.code)
                    .await
                    .map_err(|error| stop(error.into()))?;
                match owner {
                    Some(other) if other != entity => Err(conflict(format!(
                        "the ERP record with code {} has the same {what} as {entity}, but belongs to {other}: merge the two in Norce, or correct one",
                        hit.code
                    ))),
                    _ => Ok(Some(hit.clone())),
                }
            }
            [first, second, ..] => Err(conflict(format!(
                "several ERP records have the {what} of {entity} ({} and {}): put the right code on it in Norce",
                first.code, second.code
            ))),
        }
    }

    /// Whether one of these creates has made the record that has the asked-for code. A reservation alone does not say so:
    /// its invocation may have died before it found out that the code is a stranger's. The record has the natural key that
    /// the create carried, or has none and the party's name.
    fn made_by(
        &self,
        attempts: &[&Reservation],
        record: &ErpRecord,
        party: &Party,
    ) -> Result<bool, Failure> {
        if attempts.is_empty() {
            return Ok(false);
        }
        let keys = RecordKeys::of(record);
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
            Err(Failure::later(format!(
                "somebody else is creating {entity}"
            )))
        }
    }

    async fn adopt(&self, entity: EntityRef, record: &ErpRecord) -> Result<Binding, Failure> {
        let binding = self.binding(record)?;
        self.bind(entity, &binding).await?;
        self.list(entity.scope, record).await?;
        Ok(binding)
    }

    fn binding(&self, record: &ErpRecord) -> Result<Binding, Failure> {
        Ok(Binding {
            code: record.code.clone(),
            erp_id: record.id.clone(),
            delivery: CodeDelivery::Pending,
            shop_fingerprint: None,
            former_code: None,
            fetched_at: None,
        })
    }
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

fn same_party(record: &ErpRecord, key: Option<&NaturalKey>) -> bool {
    key.is_some_and(|key| RecordKeys::of(record).contains(key))
}
