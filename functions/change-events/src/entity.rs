//! What is done about one customer or company: fetch, decide, bring to the ERP, hand over the code.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use shared::{
    domain::{
        Cause, ChangeMessage, Code, Customer, EntityKind, EntityRef, ErpCodes, FieldGroup,
        Fingerprint, FormerEmail, ImportLine, ImportRequest, NaturalKey, NorceId, Scrambling,
    },
    erp::{Erp, ErpRecord, Party, PartyKind, Resource, UpdateOutcome, same_company},
    http::Deadline,
    mappings::{Binding, Bound, CodeDelivery, Mapping},
    matching::{self, Conflict},
    owed::{NewOwed, Reason, Stage, Subject},
    runtime::configuration::CreateInErp,
};
use uuid::Uuid;

use crate::{
    ChangeEvents, Done,
    create::Origin,
    emptied,
    failure::{Failure, WaitsFor},
    party,
};

/// The receiving and the fetching function run on different hosts; their clocks may differ by this much. Within it an
/// event is fetched once more rather than taken for done.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(2);
/// Whether a change can be read by the time its event comes is not documented (norce-api §6), so that the look is
/// repeated. After this many deliveries the entity is gone.
const DELIVERIES_UNTIL_GONE: u32 = 4;
/// Whether a code can be read by the time its import has ended is not documented either (norce-api §4.5). After this many
/// deliveries, some fifteen seconds, it was removed.
const DELIVERIES_UNTIL_SHOWN: u32 = 4;
/// How often an update is built anew because somebody else was faster, before the message waits.
const UPDATE_ATTEMPTS: u32 = 3;
/// A code that Norce still lacks this long after it was handed over is handed over again. Repeating the import of a
/// code changes nothing, so that an import which takes longer does no harm; how long one
/// takes is not documented (norce-api §4.5).
pub(crate) const HAND_OVER_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// Contacts of a company that its mapping notes: 10 KB, which a write of the mapping costs ten units for. Of a larger company
/// only new contacts are looked at.
const MOST_CONTACTS_NOTED: usize = 1_000;
/// Mappings of a company's contacts that are read at the same time.
const CONTACT_LOOK_UPS: usize = 8;

/// A change message about an entity.
pub(crate) struct Change {
    pub(crate) entity: EntityRef,
    pub(crate) cause: Cause,
    pub(crate) received_at: DateTime<Utc>,
    /// When the event of the order that led here was received.
    pub(crate) ordered_at: Option<DateTime<Utc>>,
    pub(crate) correlation: Uuid,
    pub(crate) receive_count: u32,
}

/// What the shop has, in the ERP's terms.
pub(crate) struct ShopRecord {
    pub(crate) code: Option<Code>,
    pub(crate) party: Party,
    active: bool,
    /// Norce's own note that there was an order.
    has_ordered: bool,
    contacts: Vec<EntityRef>,
}

impl ShopRecord {
    /// The party, as what it is bound as: a contact may have been entered in the ERP as a customer of its own.
    pub(crate) fn bound_as(&self, resource: Resource) -> Party {
        let mut party = self.party.clone();
        if resource == Resource::Customer && party.kind.resource() == Resource::Contact {
            party.kind = PartyKind::Person;
        }
        party
    }
}

impl ChangeEvents {
    pub(crate) fn erp(&self, scope: shared::domain::Scope) -> Result<&dyn Erp, Failure> {
        self.erps.get(&scope).map(AsRef::as_ref).ok_or_else(|| {
            Failure::owed(
                Reason::Validation,
                format!("scope {scope} is not configured: see NORCE_APPLICATIONS"),
            )
        })
    }

    /// Handles a change message, and keeps the list of what is owed true.
    pub(crate) async fn entity(
        &self,
        change: &Change,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let entity = change.entity;
        let mapping = self.mappings.get(entity).await?;
        match &mapping {
            Some(Mapping::Forgotten) => {
                // Again: whoever forgot it may have been cut off before.
                self.owe_nothing(entity).await?;
                return Ok(Done::nothing("nothing: it is forgotten"));
            }
            Some(Mapping::Bound(binding))
                if binding
                    .fetched_at
                    .is_some_and(|at| change.received_at + CLOCK_SKEW < at) =>
            {
                return Ok(Done::nothing("nothing: it was fetched after this event"));
            }
            _ => {}
        }
        let result = match entity.kind {
            EntityKind::Customer => self.customer(change, mapping, deadline).await,
            EntityKind::Company => self.company(change, mapping, deadline).await,
        };
        let result = result.map_err(|failure| failure.bounded(change.receive_count));
        self.note_owed(
            Subject::Entity(entity),
            Some(change.cause),
            result,
            change.correlation,
        )
        .await
    }

    async fn customer(
        &self,
        change: &Change,
        mapping: Option<Mapping>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let fetched_at = self.clock.now();
        let Some(customer) = self.norce.customer(change.entity, deadline).await? else {
            return self.elsewhere(change, deadline).await;
        };
        if customer.forgotten {
            return self.forget(change, mapping.as_ref(), deadline).await;
        }
        if let Some(into) = customer.merged_into {
            return self.follow_merge(change, into, mapping, deadline).await;
        }
        let active = customer.is_active_at(fetched_at);
        if !active && mapping.is_none() && customer.code.is_none() {
            return Ok(Done::nothing(INACTIVE));
        }
        if self
            .looks_scrambled(&customer, mapping.as_ref(), deadline)
            .await?
        {
            return Err(scrambled(change.entity));
        }
        if !active && customer.full_name().is_none() {
            return Ok(Done::nothing(INACTIVE));
        }
        let Some(kind) = self.kind(&customer, mapping.as_ref()).await? else {
            if !active {
                return Ok(Done::nothing(INACTIVE));
            }
            return self.wait_for_company(change, &customer, deadline).await;
        };
        let record = ShopRecord {
            party: party::of_customer(
                &customer,
                kind,
                self.erp(change.entity.scope)?.capabilities(),
            )?,
            code: customer.code,
            active,
            has_ordered: customer.last_order.is_some(),
            contacts: Vec::new(),
        };
        self.bring(change, record, mapping, fetched_at, deadline)
            .await
    }

    async fn company(
        &self,
        change: &Change,
        mapping: Option<Mapping>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let fetched_at = self.clock.now();
        let Some(company) = self.norce.company(change.entity, deadline).await? else {
            return self.elsewhere(change, deadline).await;
        };
        if !company.active && company.name.is_none() {
            return Ok(Done::nothing(INACTIVE));
        }
        let record = ShopRecord {
            party: party::of_company(&company, self.erp(change.entity.scope)?.capabilities())?,
            code: company.code,
            active: company.active,
            has_ordered: false,
            contacts: company.contacts,
        };
        self.bring(change, record, mapping, fetched_at, deadline)
            .await
    }

    /// The register that an event names does not have the entity: the shared one may, and looks after it then.
    async fn elsewhere(&self, change: &Change, deadline: Deadline) -> Result<Done, Failure> {
        let registers = self.shops.seen_from(change.entity.scope);
        for scope in registers {
            let entity = EntityRef {
                scope,
                ..change.entity
            };
            if entity == change.entity {
                continue;
            }
            let ids = [entity.id];
            let codes = self.norce.codes(entity.kind, scope, &ids, deadline);
            if !codes.await?.is_empty() {
                self.send_change(&[entity], change.cause, change).await?;
                return Ok(Done::nothing(format!(
                    "nothing: it is shared by all applications and processed as {entity}"
                )));
            }
        }
        gone(change)
    }

    /// Whether the data of a customer are no longer a person's. Where they do not say so by themselves, the e-mail address is
    /// compared with what the ERP has: of our own, only keyed hashes are kept, and those of whole records.
    async fn looks_scrambled(
        &self,
        customer: &Customer,
        mapping: Option<&Mapping>,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let scrambling = Scrambling::of(customer);
        let former = match (scrambling, mapping) {
            (Scrambling::IfEmailChanged, Some(Mapping::Bound(binding))) => {
                let erp = self.erp(customer.entity.scope)?;
                let record = erp.get(&binding.erp_id, deadline).await?;
                let keys = record.map(|record| record.keys(EntityKind::Customer));
                let emails = keys.into_iter().flatten().filter_map(|key| match key {
                    NaturalKey::Email(email) => Some(email),
                    NaturalKey::Organisation(_) => None,
                });
                FormerEmail::compare(&emails.collect::<Vec<_>>(), customer)
            }
            _ => FormerEmail::Unknown,
        };
        Ok(scrambling.is_likely(former))
    }

    /// What a customer is in the ERP: what it was bound as, else a contact where it belongs to a company, else a
    /// person. `None`: a contact whose company is not in the ERP yet.
    pub(crate) async fn kind(
        &self,
        customer: &Customer,
        mapping: Option<&Mapping>,
    ) -> Result<Option<PartyKind>, Failure> {
        let bound_as = match mapping {
            Some(Mapping::Bound(binding)) => Some(binding.erp_id.resource),
            _ => None,
        };
        match (bound_as, customer.main_company()) {
            (Some(Resource::Customer), _) | (None, None) => Ok(Some(PartyKind::Person)),
            (Some(Resource::Contact), company)
                if self.policy.erp_owns.has(FieldGroup::CompanyRelations) =>
            {
                let mapping = match company {
                    Some(company) => self.mappings.get(company).await?,
                    None => None,
                };
                let company = match mapping {
                    Some(Mapping::Bound(binding)) => Some(binding.erp_id),
                    _ => None,
                };
                Ok(Some(PartyKind::Contact { company }))
            }
            (Some(Resource::Contact), None) => Err(Failure::owed(
                Reason::MissingPrerequisite,
                format!(
                    "{} is a contact in the ERP, but belongs to no company in Norce: relate it to one",
                    customer.entity
                ),
            )),
            (_, Some(company)) => {
                self.same_erp_company(customer.entity, company)?;
                match self.mappings.get(company).await? {
                    Some(Mapping::Bound(binding)) => Ok(Some(PartyKind::Contact {
                        company: Some(binding.erp_id),
                    })),
                    _ => Ok(None),
                }
            }
        }
    }

    /// A contact is kept where its company is: with a company that all applications share, in the ERP company behind these.
    fn same_erp_company(&self, customer: EntityRef, company: EntityRef) -> Result<(), Failure> {
        if same_company(self.erp(customer.scope)?, self.erp(company.scope)?) {
            return Ok(());
        }
        Err(Failure::owed(
            Reason::Conflict,
            format!(
                "{customer} is a contact of {company}, which is kept in another ERP company: relate it to a company of its own application in Norce, or give its application no `erpCompany` of its own"
            ),
        ))
    }

    /// A contact whose company is not in the ERP: the company is looked after first, and brings its contacts along.
    async fn wait_for_company(
        &self,
        change: &Change,
        customer: &Customer,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let ordered = change.cause == Cause::Ordered
            || customer.last_order.is_some()
            || self.norce.has_order(customer.entity, deadline).await?;
        let wanted = customer.code.is_some()
            || match self.policy.create_in_erp {
                CreateInErp::Always => true,
                CreateInErp::FirstOrder => ordered,
                CreateInErp::Never => false,
            };
        let (true, Some(company)) = (wanted, customer.main_company()) else {
            return Ok(Done::nothing(
                "nothing: its company is not in the ERP, and it has not ordered",
            ));
        };
        let cause = if ordered {
            Cause::Ordered
        } else {
            Cause::Changed
        };
        self.send_change(&[company], cause, change).await?;
        Err(Failure::owed(
            Reason::MissingPrerequisite,
            format!("it is a contact and waits for {company} to be in the ERP"),
        ))
    }

    /// Brings an entity across: binds it to its ERP record, hands the code over, and updates what has changed.
    ///
    /// The time of the fetch is noted last, so that an event which was cut off anywhere before is handled again.
    async fn bring(
        &self,
        change: &Change,
        mut record: ShopRecord,
        mapping: Option<Mapping>,
        fetched_at: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let entity = change.entity;
        // Norce may have codes that are not the ERP's: one gives way to the ERP's.
        let foreign = record
            .code
            .take_if(|code| !self.policy.matching.erp_codes.may_be(code));
        let standing = self.standing(entity, &record, mapping, deadline).await?;
        let case = self.erp(entity.scope)?.capabilities().code_case;
        let is = |code: &Code, other: Option<&Code>| other.is_some_and(|it| it.is(code, case));
        let (mut binding, how) = match (standing.mapping, &record.code) {
            // The ERP has another code than Norce, and it is on its way.
            (Some(Mapping::Bound(binding)), Some(code))
                if is(code, binding.former_code.as_ref()) =>
            {
                record.code = None;
                (binding, None)
            }
            (Some(Mapping::Bound(binding)), Some(code)) if !is(code, Some(&binding.code)) => {
                return Err(Failure::owed(
                    Reason::Conflict,
                    format!(
                        "Norce has code {code} for {entity}, but it is bound to code {}, whose record the ERP still has, and neither is overwritten: correct the code in Norce, or bind it to the record with code {code} by the operator action `rebind`",
                        binding.code
                    ),
                ));
            }
            (Some(Mapping::Bound(binding)), _) => (binding, standing.how),
            (mapping, code) => {
                let existing = match code {
                    Some(code) => {
                        self.bind_existing(entity, code, &record.party, deadline)
                            .await?
                    }
                    None => None,
                };
                if let Some(binding) = existing {
                    (binding, Some(Origin::Bound))
                } else {
                    // A reservation stands for a decision that was made before, and has to be completed.
                    if mapping.is_none()
                        && let Some(reason) =
                            self.reason_not_to_create(change, &record, deadline).await?
                    {
                        return Ok(reason);
                    }
                    let replaced = record.code.take().or(foreign).or(standing.dropped);
                    let (binding, how) = self
                        .create(entity, &record.party, replaced, deadline)
                        .await?;
                    (binding, Some(how))
                }
            }
        };
        record.party = record.bound_as(binding.erp_id.resource);
        self.deliver(change, &binding, record.code.as_ref()).await?;
        // Norce may be about to remove the data of what is inactive there (norce-api §9).
        let updated = if record.active {
            let updated = self
                .update(entity, &mut binding, &record.party, standing.seen, deadline)
                .await?;
            let before = match &binding.contacts {
                // An earlier version did not note them: each is looked at once.
                None if binding.fetched_at.is_some() => Some(&[][..]),
                before => before.as_deref(),
            };
            self.carry_contacts(change, &record.contacts, before)
                .await?;
            if entity.kind == EntityKind::Company {
                binding.contacts = noted_contacts(&record.contacts);
            }
            updated
        } else {
            false
        };
        self.release_orders(entity, change.correlation).await?;
        // What was bound while it was inactive stays a first binding for its first update, which asks for this time.
        if record.active || binding.shop_fingerprint.is_some() {
            binding.fetched_at = Some(fetched_at);
        }
        if !self.mappings.record_sync(entity, &binding).await? {
            return Err(Failure::later(
                WaitsFor::OtherWriter,
                format!("the mapping of {entity} changed while it was synced"),
            ));
        }
        let code = &binding.code;
        if !record.active {
            return Ok(Done::new(
                how.map_or("nothing", Origin::outcome),
                format!("nothing is written to the ERP: it is inactive in Norce, {code}"),
            ));
        }
        Ok(match (how, updated) {
            (Some(how), false) => Done::new(how.outcome(), format!("{how} as {code}")),
            (Some(how), true) => Done::new(
                how.outcome(),
                format!("{how} as {code} and updated in the ERP"),
            ),
            (None, true) => Done::new("updated", format!("updated in the ERP, {code}")),
            (None, false) => Done::new("unchanged", format!("unchanged, {code}")),
        })
    }

    /// An existing register: Norce has a code, and no mapping of ours knows it. `None`: the ERP does not have the code,
    /// and `ERP_CODES` says that such a code counts as none.
    async fn bind_existing(
        &self,
        entity: EntityRef,
        code: &Code,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Option<Binding>, Failure> {
        let Some(hit) = self.with_code(entity, code, party, deadline).await? else {
            if self.policy.matching.erp_codes == ErpCodes::Known {
                return Ok(None);
            }
            let conflict = Conflict::UnknownCode { code: code.clone() };
            let detail = conflict.about(entity.kind, &entity);
            return Err(Failure::owed(Reason::Conflict, detail));
        };
        let delivery = CodeDelivery::Confirmed {
            at: self.clock.now(),
        };
        let binding = Binding::new(hit.code.clone(), hit.id.clone(), delivery);
        self.bind(entity, &binding).await?;
        self.list(entity.scope, &hit).await?;
        Ok(Some(binding))
    }

    /// The only record of the ERP that has a code which Norce has for an entity, if it can be the entity's; `None`: there
    /// is none.
    pub(crate) async fn with_code(
        &self,
        entity: EntityRef,
        code: &Code,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Option<ErpRecord>, Failure> {
        let erp = self.erp(entity.scope)?;
        // A contact may have been entered as a customer of its own, but never the other way round.
        let places: &[Resource] = match party.kind.resource() {
            Resource::Customer => &[Resource::Customer],
            Resource::Contact => &[Resource::Contact, Resource::Customer],
        };
        let mut hits = Vec::new();
        for resource in places {
            hits = erp.find_by_code(*resource, code, deadline).await?;
            if !hits.is_empty() {
                break;
            }
        }
        let records = self
            .candidates_by_code(entity, party, &hits, deadline)
            .await?;
        match matching::by_code(entity, code, &records) {
            matching::Verdict::Match(place) => Ok(hits.into_iter().nth(place)),
            matching::Verdict::Create
            | matching::Verdict::Wait
            | matching::Verdict::Conflict(Conflict::UnknownCode { .. }) => Ok(None),
            matching::Verdict::Conflict(conflict) => {
                let detail = conflict.about(entity.kind, &entity);
                Err(Failure::owed(Reason::Conflict, detail))
            }
        }
    }

    /// Binds, where nobody else holds the code or the record (P3).
    pub(crate) async fn bind(&self, entity: EntityRef, binding: &Binding) -> Result<(), Failure> {
        let bound = self.mappings.bind(entity, binding.clone()).await?;
        self.accepted(entity, &binding.code, bound).await
    }

    /// Whether the store accepted a binding, and otherwise what follows.
    pub(crate) async fn accepted(
        &self,
        entity: EntityRef,
        code: &Code,
        bound: Bound,
    ) -> Result<(), Failure> {
        let detail = match bound {
            Bound::Done => return Ok(()),
            // The next look finds whose the record is, and the rule says what follows.
            Bound::CodeTaken { by } | Bound::RecordTaken { by } => {
                return Err(Failure::later(
                    WaitsFor::OtherWriter,
                    format!("the ERP record with code {code} was bound to {by} meanwhile"),
                ));
            }
            Bound::OtherCode { code: other } => {
                format!("{entity} is bound to code {other} and is not bound to {code} as well")
            }
            Bound::Forgotten => match self.mappings.get(entity).await? {
                Some(Mapping::Forgotten) => {
                    return Err(Failure::later(
                        WaitsFor::OtherWriter,
                        format!("{entity} was forgotten meanwhile"),
                    ));
                }
                // Nothing would change that.
                _ => format!(
                    "the ERP record with code {code} cannot be {entity}, because the code or the record belonged to a forgotten customer: give {entity} another record in the ERP, and put its code on {entity} in Norce"
                ),
            },
        };
        Err(Failure::owed(Reason::Conflict, detail))
    }

    async fn reason_not_to_create(
        &self,
        change: &Change,
        record: &ShopRecord,
        deadline: Deadline,
    ) -> Result<Option<Done>, Failure> {
        if !record.active {
            return Ok(Some(Done::nothing(INACTIVE)));
        }
        if record.party.kind == (PartyKind::Contact { company: None }) {
            return Err(Failure::owed(
                Reason::MissingPrerequisite,
                format!(
                    "the ERP does not have the contact {} any more, and none of its companies in Norce is in the ERP: relate it to one that is",
                    change.entity
                ),
            ));
        }
        match self.policy.create_in_erp {
            CreateInErp::Always => Ok(None),
            CreateInErp::Never => Ok(Some(Done::nothing(
                "nothing: it has no code, and CREATE_IN_ERP is `never`",
            ))),
            CreateInErp::FirstOrder => {
                // A company that is in the ERP brings its contacts along, whether they have ordered or not.
                let wanted = change.cause == Cause::Ordered
                    || record.has_ordered
                    || matches!(record.party.kind, PartyKind::Contact { .. })
                    || self.norce.has_order(change.entity, deadline).await?;
                Ok((!wanted).then(|| Done::nothing("nothing: it has no code and no order yet")))
            }
        }
    }

    /// Sees to it that Norce gets the code, or notes that it has it.
    async fn deliver(
        &self,
        change: &Change,
        binding: &Binding,
        in_norce: Option<&Code>,
    ) -> Result<(), Failure> {
        let (entity, now) = (change.entity, self.clock.now());
        if in_norce.is_some() {
            if !matches!(binding.delivery, CodeDelivery::Confirmed { .. }) {
                let confirmed = CodeDelivery::Confirmed { at: now };
                self.mappings
                    .record_delivery(entity, &binding.code, confirmed)
                    .await?;
            }
            self.owed
                .resolve(&Subject::Entity(entity), Stage::CodeToNorce)
                .await?;
            return Ok(());
        }
        let waits = match binding.delivery {
            CodeDelivery::HandedOver { at } => now < at + HAND_OVER_AGAIN_AFTER,
            CodeDelivery::Confirmed { .. } => !self.hand_over_lost_code(change, binding).await?,
            CodeDelivery::Pending | CodeDelivery::Refused { .. } => false,
        };
        if waits {
            return Ok(());
        }
        let line = ImportLine {
            ordered_at: change.ordered_at,
            ..ImportLine::code(entity.id, binding.code.clone(), change.correlation)
        };
        let request = ImportRequest {
            kind: entity.kind,
            scope: entity.scope,
            lines: vec![line],
            alone: false,
            since: None,
        };
        // Sent before it is noted: a crash in between repeats an import, which changes nothing; the other way round it
        // would lose the code.
        self.imports.send(&[request], Duration::ZERO).await?;
        self.mappings
            .record_delivery(entity, &binding.code, CodeDelivery::HandedOver { at: now })
            .await?;
        Ok(())
    }

    /// Norce has carried out the import of a code and does not show it: whether it is handed over again now. At once, the
    /// event of that import would have the same answer, and so on without an end, where something in Norce removes the
    /// code. So it is owed first, and handed over an hour after it was found or last handed over.
    async fn hand_over_lost_code(
        &self,
        change: &Change,
        binding: &Binding,
    ) -> Result<bool, Failure> {
        let (code, now) = (&binding.code, self.clock.now());
        let subject = Subject::Entity(change.entity);
        let owed = self.owed.get(&subject, Stage::CodeToNorce).await?;
        let is_due = match &owed {
            Some(owed) => now >= owed.last + HAND_OVER_AGAIN_AFTER,
            None if change.receive_count < DELIVERIES_UNTIL_SHOWN => {
                return Err(Failure::later(
                    WaitsFor::NorceQuery,
                    format!("Norce Query does not show code {code} yet, which Norce has imported"),
                ));
            }
            None => false,
        };
        if owed.is_none() || is_due {
            let detail = format!(
                "Norce has imported code {code} and does not show it: see what removes it in Norce, another integration or a rule there; it is handed over again once an hour at most"
            );
            tracing::warn!(entity = %change.entity, %code, is_due, correlation = %change.correlation, "a code that Norce has imported is gone again; it is owed");
            self.owed
                .put(NewOwed {
                    subject,
                    stage: Stage::CodeToNorce,
                    reason: Reason::Conflict,
                    detail,
                    code: Some(code.clone()),
                    at: now,
                    correlation: change.correlation,
                    cause: Some(change.cause),
                })
                .await?;
        }
        Ok(is_due)
    }

    /// The fingerprint of what the shop has to say about a party: what the ERP owns is not part of it.
    pub(crate) fn shop_fingerprint(&self, party: &Party) -> Result<Fingerprint, Failure> {
        let ours = party::without_erp_owned(party, self.policy.erp_owns, None);
        Ok(self.fingerprints.of(&ours)?)
    }

    /// Brings the ERP's record to what the shop has; `true` when something was written. `seen`: the record, where it was read
    /// already.
    async fn update(
        &self,
        entity: EntityRef,
        binding: &mut Binding,
        party: &Party,
        mut seen: Option<ErpRecord>,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let fingerprint = self.shop_fingerprint(party)?;
        let mut filled = emptied::filled(party);
        // What Norce did not show may be there.
        let before = binding.filled.iter().flatten();
        filled.extend(before.filter(|field| party.unread.contains(field)));
        if binding.shop_fingerprint.as_ref() == Some(&fingerprint) {
            binding.filled.get_or_insert(filled);
            return Ok(false);
        }
        let erp = self.erp(entity.scope)?;
        let is_first = binding.shop_fingerprint.is_none() && binding.fetched_at.is_none();
        for _ in 0..UPDATE_ATTEMPTS {
            let seen = match seen.take() {
                Some(seen) if seen.id == binding.erp_id => Some(seen),
                _ => erp.get(&binding.erp_id, deadline).await?,
            };
            let Some(seen) = seen else {
                break;
            };
            let (ours, kept) = self.keep(&binding.kept, is_first, party, &seen)?;
            let mut ours = party::without_erp_owned(&ours, self.policy.erp_owns, Some(&seen));
            if let PartyKind::Contact { company } = &mut ours.kind
                && self.policy.erp_owns.has(FieldGroup::CompanyRelations)
            {
                // It stays where the ERP has it.
                *company = None;
            }
            if self.policy.erp_owns.has(FieldGroup::VatNumber)
                && !erp.capabilities().organisation_number
            {
                // Its field for VAT numbers holds an organisation number where there is no other.
                ours.organisation_number = None;
            }
            ours.emptied = self.emptied(binding.filled.as_ref(), &filled, &binding.kept);
            ours.emptied.retain(|field| !party.unread.contains(field));
            let update = erp.update(&seen, &ours, deadline).await;
            let update = update.map_err(|error| emptied::refused(error, &ours.emptied))?;
            let (record, written) = match update {
                UpdateOutcome::Unchanged(record) => (record, false),
                UpdateOutcome::Updated(record) => (record, true),
                UpdateOutcome::Stale => continue,
                UpdateOutcome::Gone => break,
            };
            self.list(entity.scope, &record).await?;
            binding.shop_fingerprint = Some(fingerprint);
            binding.kept = kept;
            binding.filled = Some(filled);
            return Ok(written);
        }
        match erp.get(&binding.erp_id, deadline).await? {
            Some(_) => Err(Failure::later(
                WaitsFor::OtherWriter,
                "another writer keeps changing the ERP record",
            )),
            // The next look reads it first and finds out what follows (`standing`).
            None => Err(Failure::later(
                WaitsFor::OtherWriter,
                format!(
                    "the ERP record with code {} was deleted while it was updated",
                    binding.code
                ),
            )),
        }
    }

    /// A company that is in the ERP brings those of its contacts along that nothing is known of yet. And those whose relation
    /// to it has begun or ended since the last look: Norce tells of that with the company alone (norce-api §6).
    async fn carry_contacts(
        &self,
        change: &Change,
        contacts: &[EntityRef],
        before: Option<&[NorceId]>,
    ) -> Result<(), Failure> {
        let mut unknown = Vec::new();
        for some in contacts.chunks(CONTACT_LOOK_UPS) {
            let mappings =
                try_join_all(some.iter().map(|contact| self.mappings.get(*contact))).await?;
            unknown.extend(
                some.iter()
                    .zip(mappings)
                    .filter(|(_, mapping)| mapping.is_none())
                    .map(|(contact, _)| *contact),
            );
        }
        self.send_change(&unknown, Cause::ContactOfCompany, change)
            .await?;
        let Some(before) = before.filter(|_| contacts.len() <= MOST_CONTACTS_NOTED) else {
            return Ok(());
        };
        let is_new = |contact: &EntityRef| !before.contains(&contact.id);
        let new = contacts.iter().copied().filter(is_new);
        let now: HashSet<NorceId> = contacts.iter().map(|contact| contact.id).collect();
        // A contact that is here no more may have been of another register: `elsewhere` finds it.
        let ended = before.iter().filter(|id| !now.contains(id));
        let ended = ended.map(|id| EntityRef::customer(change.entity.scope, *id));
        let changed: Vec<EntityRef> = new
            .filter(|contact| !unknown.contains(contact))
            .chain(ended)
            .collect();
        self.send_change(&changed, Cause::Changed, change).await
    }

    pub(crate) async fn send_change(
        &self,
        entities: &[EntityRef],
        cause: Cause,
        after: &Change,
    ) -> Result<(), Failure> {
        if entities.is_empty() {
            return Ok(());
        }
        let received_at = self.clock.now();
        let messages: Vec<ChangeMessage> = entities
            .iter()
            .map(|entity| ChangeMessage::Entity {
                entity: *entity,
                cause,
                received_at,
                ordered_at: after.ordered_at,
                correlation: after.correlation,
            })
            .collect();
        Ok(self.changes.send(&messages, Duration::ZERO).await?)
    }
}

/// The contacts of a company as they are noted in its mapping.
fn noted_contacts(contacts: &[EntityRef]) -> Option<Vec<NorceId>> {
    let mut ids: Vec<NorceId> = contacts.iter().map(|contact| contact.id).collect();
    ids.sort_unstable();
    (ids.len() <= MOST_CONTACTS_NOTED).then_some(ids)
}

/// What is said of an inactive entity of which there is nothing to do.
const INACTIVE: &str = "nothing: it is inactive in Norce";

/// Norce does not say of a customer that it is forgotten, but its data look so.
fn scrambled(entity: EntityRef) -> Failure {
    Failure::owed(
        Reason::Forgotten,
        format!(
            "the data of {entity} in Norce look removed, as those of a forgotten customer, but Norce does not say that it is forgotten (`IsForgotten`): nothing of it is written to the ERP. If it is to be forgotten, this ends when Norce says so, or with the operator action `forget`; if it is not, fill in its data in Norce again: name, e-mail address, telephone and address"
        ),
    )
}

/// Norce does not have the entity.
fn gone(change: &Change) -> Result<Done, Failure> {
    if change.receive_count < DELIVERIES_UNTIL_GONE {
        return Err(Failure::later(
            WaitsFor::NorceQuery,
            format!("{} is not in Norce Query", change.entity),
        ));
    }
    Ok(Done::nothing(format!(
        "nothing: {} is not in Norce (any more)",
        change.entity
    )))
}
