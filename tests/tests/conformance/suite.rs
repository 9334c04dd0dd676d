//! The behaviours, each on a register of its own, through the port alone.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, join, join_all};
use http::{Request, Response, StatusCode};
use shared::{
    domain::{
        Address, Code, CountryCode, EntityKind, EntityRef, FieldGroup, FieldGroups, NorceId,
        OrganisationNumber, PartyField, Personal, Scope, ShopField, VatNumber,
    },
    erp::{
        Block, CreateOutcome, Erp, ErpError, ErpFields, ErpId, ErpRecord, FilterProof, FixedValues,
        IdempotencyKey, KeyField, Listing, NaturalKey, Party, PartyKind, Resource, Sale,
        UpdateOutcome,
    },
    http::{Deadline, Transport, TransportError},
};
use tests::samples;

/// What is the matter with the requests from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Every one is answered like this and does not arrive.
    Answer(StatusCode, &'static str),
    /// Writes are answered like this and do not arrive.
    AnswerWrites(StatusCode, &'static str),
    /// Writes arrive, and their answers do not.
    AnswerLost,
    /// No request is answered for as long as anybody waits.
    Silence,
    /// Writes are on their way when their caller gives up; they arrive with [`Faults::land`].
    Late,
}

/// A transport that can be told to go wrong.
pub(crate) struct Faults {
    inner: Arc<dyn Transport>,
    is_write: fn(&Request<Bytes>) -> bool,
    fault: Mutex<Option<Fault>>,
    /// What happens right before the next write arrives.
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
    late: Mutex<Vec<Request<Bytes>>>,
    longest_timeout: Mutex<Duration>,
}

impl Faults {
    /// Around the way to an ERP, of whose requests some change something there.
    pub(crate) fn around(inner: Arc<dyn Transport>, is_write: fn(&Request<Bytes>) -> bool) -> Self {
        Self {
            inner,
            is_write,
            fault: Mutex::default(),
            meanwhile: Mutex::default(),
            late: Mutex::default(),
            longest_timeout: Mutex::default(),
        }
    }

    fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    fn meanwhile(&self, happens: impl Future<Output = ()> + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::pin(happens));
    }

    /// Whatever was late arrives. Nobody waits for the answers.
    async fn land(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        assert!(!late.is_empty(), "no write was under way");
        for request in late {
            let _ = self.inner.send(request, PATIENCE).await;
        }
    }
}

#[async_trait]
impl Transport for Faults {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        // Tokens are another server's.
        if request.uri().path().ends_with("/token") {
            return self.inner.send(request, timeout).await;
        }
        let is_write = (self.is_write)(&request);
        let longest = {
            let mut longest = self.longest_timeout.lock().unwrap();
            *longest = timeout.max(*longest);
            *longest
        };
        assert!(longest <= PATIENCE, "no deadline bounds {longest:?}");
        let lost = || TransportError::AnswerLost("the suite lost it".to_owned());
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some(Fault::Answer(status, body)) => Ok(answer(status, body)),
            Some(Fault::AnswerWrites(status, body)) if is_write => Ok(answer(status, body)),
            Some(Fault::AnswerLost) if is_write => {
                let _ = self.inner.send(request, timeout).await;
                Err(lost())
            }
            Some(Fault::Late) if is_write => {
                self.late.lock().unwrap().push(request);
                Err(lost())
            }
            Some(Fault::Silence) => {
                tokio::time::sleep(timeout).await;
                Err(lost())
            }
            _ => {
                let meanwhile = self.meanwhile.lock().unwrap().take_if(|_| is_write);
                if let Some(happens) = meanwhile {
                    happens.await;
                }
                self.inner.send(request, timeout).await
            }
        }
    }
}

fn answer(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = status;
    answer
}

/// The register as its own people and programs work on it: past the adapter, with a client that shares nothing with it.
#[async_trait]
pub(crate) trait Register: Send + Sync {
    /// The time by which records are stamped.
    fn now(&self) -> DateTime<Utc>;

    /// So many records take more than two pages of a listing.
    fn more_than_two_pages(&self) -> usize;

    /// Adds persons who are customers, one for each of these codes.
    async fn add(&self, codes: &[Code]) -> Vec<ErpId>;

    /// The same in one transaction that takes a few seconds. As in any ERP (erp-apis §0), records are stamped when it
    /// begins, and nobody sees them before it ends.
    async fn add_slowly(&self, codes: &[Code]);

    /// Gives a customer another telephone number.
    async fn change_phone(&self, id: &ErpId, phone: &str);

    /// Removes a customer altogether.
    async fn remove(&self, id: &ErpId);

    /// Two salespeople by the names that `ERP_FIXED_VALUES` takes, which the ERP has from now on.
    async fn salespeople(&self) -> [String; 2];

    /// The salesperson of a customer, by that name.
    async fn salesperson(&self, of: &ErpId) -> Option<String>;

    /// Gives a customer this salesperson.
    async fn change_salesperson(&self, of: &ErpId, to: &str);

    /// Whether a contact has a title.
    fn has_titles(&self) -> bool {
        true
    }

    /// Gives a customer a delivery address in this town. To be written where they can be read.
    async fn add_delivery_address(&self, _of: &ErpId, _city: &str) {
        panic!("this ERP has no delivery addresses");
    }
}

/// An adapter with an empty register behind it.
pub(crate) struct Subject {
    erp: Arc<dyn Erp>,
    faults: Arc<Faults>,
    register: Arc<dyn Register>,
    /// None: the adapter has no fixed values.
    with_fixed_values: Option<WithFixedValues>,
}

/// Makes the adapter with fixed values.
pub(crate) type WithFixedValues = Box<dyn Fn(FixedValues) -> Arc<dyn Erp> + Send + Sync>;

/// The number of the next entity. Registers can share a database that knows an entity by its number alone.
static NEXT: AtomicI32 = AtomicI32::new(1);

fn next_number() -> i32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The longest that the suite waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far before its watermark a pass begins (`PASS_OVERLAP_MINUTES`).
const OVERLAP: TimeDelta = TimeDelta::minutes(5);

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

impl Subject {
    /// An adapter that can be made with fixed values.
    #[allow(dead_code, reason = "not every target has fixed values")]
    pub(crate) fn new(
        with_fixed_values: WithFixedValues,
        faults: Arc<Faults>,
        register: Arc<dyn Register>,
    ) -> Self {
        Self {
            erp: with_fixed_values(FixedValues::default()),
            faults,
            register,
            with_fixed_values: Some(with_fixed_values),
        }
    }

    /// An adapter without fixed values.
    #[allow(dead_code, reason = "not every target has one")]
    pub(crate) fn without_fixed_values(
        erp: Arc<dyn Erp>,
        faults: Arc<Faults>,
        register: Arc<dyn Register>,
    ) -> Self {
        Self {
            erp,
            faults,
            register,
            with_fixed_values: None,
        }
    }

    fn with_fixed_values(&self, values: &str) -> Option<Arc<dyn Erp>> {
        let with = self.with_fixed_values.as_ref()?;
        Some(with(values.parse().unwrap()))
    }

    /// Codes that nobody has. `A…` comes first in a listing by codes, `R…` last.
    fn codes(&self, letter: char, count: usize) -> Vec<Code> {
        let code = |_| format!("{letter}{:05}", next_number()).parse().unwrap();
        (0..count).map(code).collect()
    }

    /// The watermark that a pass would take now.
    async fn now(&self) -> DateTime<Utc> {
        let now = self.erp.clock(soon()).await.unwrap();
        now.unwrap_or_else(|| self.register.now())
    }

    async fn get(&self, id: &ErpId) -> ErpRecord {
        self.erp.get(id, soon()).await.unwrap().unwrap()
    }

    async fn organisation(&self, number: &str) -> ErpRecord {
        let key = self.key(EntityKind::Company);
        let named = Party {
            name: Personal::parse(format!("Bolaget {number}")).unwrap(),
            ..organisation(number)
        };
        self.create(&key, &named).await
    }

    /// A key for a new entity, with a code of its own.
    fn key(&self, kind: EntityKind) -> IdempotencyKey {
        let number = next_number();
        let entity = EntityRef {
            kind,
            scope: Scope::Client,
            id: NorceId::try_from(i64::from(number)).unwrap(),
        };
        IdempotencyKey {
            entity,
            code: Some(format!("T{number:05}").parse().unwrap()),
        }
    }

    async fn create(&self, key: &IdempotencyKey, party: &Party) -> ErpRecord {
        match self.erp.create(key, party, soon()).await.unwrap() {
            CreateOutcome::Created(record) => record,
            other => panic!("{other:?}"),
        }
    }

    async fn person(&self, email: &str) -> ErpRecord {
        let key = self.key(EntityKind::Customer);
        self.create(&key, &person(email)).await
    }

    async fn by_code(&self, code: &Code) -> Vec<ErpRecord> {
        let resource = Resource::Customer;
        self.erp.find_by_code(resource, code, soon()).await.unwrap()
    }

    /// Everything that a listing has.
    async fn list(&self, listing: &Listing) -> Vec<ErpRecord> {
        let mut records = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.erp.page(listing, cursor.as_ref(), soon()).await;
            let page = page.unwrap();
            records.extend(page.records);
            cursor = page.next;
            if cursor.is_none() {
                return records;
            }
        }
    }

    /// Until what is stamped now differs from what was stamped before, where stamps have whole seconds.
    async fn next_second(&self) {
        let before = self.register.now().timestamp();
        while self.register.now().timestamp() <= before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn person(email: &str) -> Party {
    Party {
        email: Personal::parse(email),
        phone: Personal::parse("08-123 45 67"),
        ..samples::party(PartyKind::Person, "Anna Ek")
    }
}

fn organisation(number: &str) -> Party {
    Party {
        kind: PartyKind::Company,
        name: Personal::parse("Bolaget AB").unwrap(),
        organisation_number: OrganisationNumber::parse(number),
        vat_number: VatNumber::parse(&format!("SE{number}01")),
        email: None,
        phone: None,
        ..person("")
    }
}

fn email(text: &str) -> NaturalKey {
    NaturalKey::email(text).unwrap()
}

fn everything(resource: Resource) -> Listing {
    Listing {
        resource,
        kind: None,
        since: None,
        fields: FieldGroups::CODE,
    }
}

fn contact(company: &ErpRecord, email: &str) -> Party {
    Party {
        kind: PartyKind::Contact {
            company: Some(company.id.clone()),
        },
        ..person(email)
    }
}

fn since(time: DateTime<Utc>) -> Listing {
    Listing {
        since: Some(time),
        ..everything(Resource::Customer)
    }
}

fn ids(records: &[ErpRecord]) -> BTreeSet<ErpId> {
    records.iter().map(|record| record.id.clone()).collect()
}

/// Calls a macro with the names of all checks: it makes a test of each, on a [`Subject`] of its own.
macro_rules! for_each_check {
    ($tests:ident) => {
        $tests! {
            what_is_created_is_found,
            an_entity_is_created_once,
            what_the_shop_empties_is_emptied_and_nothing_else,
            a_fixed_value_is_set_by_the_create_and_by_updates_only_where_its_rule_says_so,
            nothing_is_created_with_a_fixed_value_that_the_erp_does_not_have,
            an_entity_that_has_changed_is_not_created_again,
            a_create_whose_answer_is_lost_is_found,
            a_create_that_lands_late_makes_no_second_record,
            a_code_of_another_kind_of_record_is_not_taken,
            look_ups_are_exact,
            an_update_writes_what_differs,
            an_address_is_one_value,
            a_trial_leaves_nothing_behind,
            what_somebody_else_writes_meanwhile_is_not_lost,
            what_is_gone_is_gone,
            contacts_belong_to_their_organisation,
            contacts_are_found_updated_and_blocked,
            a_contact_moves_to_another_organisation,
            the_blocked_stay_in_the_register,
            listings_have_everything,
            many_are_asked_for_at_once,
            nothing_is_cut_off,
            refusals_are_told_apart,
            refused_writes_are_told_apart,
            nobody_waits_longer_than_the_deadline,
            capabilities_tell_the_truth,
            what_is_readable_comes_when_it_is_asked_for,
            what_is_committed_late_is_listed_with_an_overlap,
            a_listing_has_what_is_there_throughout,
        }
    };
}
pub(crate) use for_each_check;

pub(crate) async fn what_is_created_is_found(subject: &Subject) {
    let key = subject.key(EntityKind::Customer);
    let record = subject.create(&key, &person("Found@Example.com")).await;
    assert_eq!(Some(&record.code), key.code.as_ref());
    assert!(!record.organisation && !record.blocked);
    assert_eq!(record.fields.email, Personal::parse("Found@Example.com"));
    let again = subject.erp.get(&record.id, soon()).await.unwrap().unwrap();
    assert_eq!(again, record);
    assert_eq!(
        subject.by_code(&record.code).await.as_slice(),
        std::slice::from_ref(&record)
    );
    let found = subject
        .erp
        .find_by_key(&PartyKind::Person, &email("found@example.com"), soon())
        .await;
    assert_eq!(found.unwrap(), [record]);
}

/// P2: at most one record, however many callers ask for it and however often.
pub(crate) async fn an_entity_is_created_once(subject: &Subject) {
    let key = subject.key(EntityKind::Customer);
    let party = person("once@example.com");
    let attempts = (0..8).map(|_| subject.erp.create(&key, &party, soon()));
    let mut seen = BTreeSet::new();
    for outcome in join_all(attempts).await {
        match outcome {
            Ok(CreateOutcome::Created(record) | CreateOutcome::AlreadyThere(record)) => {
                seen.insert(record.id);
            }
            Ok(CreateOutcome::Ambiguous { .. }) | Err(ErpError::RetryAfter { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen.len(), 1);
    let outcome = subject.erp.create(&key, &party, soon()).await.unwrap();
    let CreateOutcome::AlreadyThere(record) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(BTreeSet::from([record.id]), seen);
    let code = key.code.unwrap();
    assert_eq!(subject.by_code(&code).await.len(), 1);
}

pub(crate) async fn a_fixed_value_is_set_by_the_create_and_by_updates_only_where_its_rule_says_so(
    subject: &Subject,
) {
    let [first, second] = subject.register.salespeople().await;
    let rule = |also: &str| {
        format!(
            r#"[{{"set":{{"salesperson":"nobody"}}}},{{"when":{{"kind":"persons"}},"set":{{"salesperson":"{first}"}}{also}}}]"#
        )
    };
    let party = |email: &str, phone: &str| Party {
        phone: Personal::parse(phone),
        ..person(email)
    };
    for (also, phone, expected) in [
        ("", "08-123 45", &second),
        (r#","also":"update""#, "08-123 46", &first),
    ] {
        let Some(erp) = subject.with_fixed_values(&rule(also)) else {
            return;
        };
        let key = subject.key(EntityKind::Customer);
        let email = format!("fixed.{phone}@example.com").replace(' ', "");
        let created = erp.create(&key, &party(&email, phone), soon()).await;
        let CreateOutcome::Created(record) = created.unwrap() else {
            panic!("not created");
        };
        let id = record.id.clone();
        for _ in 0..2 {
            erp.complete(&id, &party(&email, phone), soon())
                .await
                .unwrap();
        }
        let has = async || subject.register.salesperson(&id).await;
        assert_eq!(has().await, Some(first.clone()), "{also}");
        let seen = subject.get(&id).await;
        let again = erp.update(&seen, &party(&email, phone), soon()).await;
        assert!(
            matches!(again.unwrap(), UpdateOutcome::Unchanged(_)),
            "{also}"
        );
        subject.register.change_salesperson(&id, &second).await;
        let seen = subject.get(&id).await;
        let moved = party(&email, "08-999 99");
        let updated = erp.update(&seen, &moved, soon()).await.unwrap();
        let UpdateOutcome::Updated(record) = updated else {
            panic!("{updated:?}");
        };
        assert_eq!(record, subject.get(&id).await);
        assert_eq!(has().await.as_ref(), Some(expected), "{also}");
        // P5
        let again = erp.update(&record, &moved, soon()).await.unwrap();
        assert!(matches!(again, UpdateOutcome::Unchanged(_)), "{again:?}");
    }
}

pub(crate) async fn nothing_is_created_with_a_fixed_value_that_the_erp_does_not_have(
    subject: &Subject,
) {
    let [known, _] = subject.register.salespeople().await;
    let values =
        format!(r#"[{{"set":{{"salesperson":"{known}"}}}},{{"set":{{"salesperson":"nobody"}}}}]"#);
    let Some(erp) = subject.with_fixed_values(&values) else {
        return;
    };
    let key = subject.key(EntityKind::Customer);
    let party = person("unknown.value@example.com");
    let refused = erp.create(&key, &party, soon()).await.unwrap_err();
    assert!(matches!(refused, ErpError::Refused { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(
        refused.contains("rule 2 of ErpFixedValues sets `salesperson` to `nobody`"),
        "{refused}"
    );
    assert_eq!(subject.by_code(&key.code.unwrap()).await, []);
    let unknown = erp.unknown_fixed_values(soon()).await.unwrap();
    let [unknown] = unknown.as_slice() else {
        panic!("{unknown:?}");
    };
    assert_eq!((unknown.rule, unknown.value.as_str()), (2, "nobody"));
}

/// Where the ERP's creates are idempotent by themselves, an entity is recognised whatever has become of it, without a code
/// that is asked for.
pub(crate) async fn an_entity_that_has_changed_is_not_created_again(subject: &Subject) {
    if !subject
        .erp
        .capabilities(soon())
        .await
        .unwrap()
        .creates_are_idempotent
    {
        return;
    }
    let key = subject.key(EntityKind::Company);
    let before = Party {
        vat_number: None,
        ..organisation("5560360793")
    };
    let record = subject.create(&key, &before).await;
    let now = Party {
        name: Personal::parse("Another Name AB").unwrap(),
        ..before
    };
    let key = IdempotencyKey { code: None, ..key };
    let attempts = (0..4).map(|_| subject.erp.create(&key, &now, soon()));
    for outcome in join_all(attempts).await {
        let Ok(CreateOutcome::AlreadyThere(again)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(again.id, record.id);
    }
}

pub(crate) async fn a_create_whose_answer_is_lost_is_found(subject: &Subject) {
    let key = subject.key(EntityKind::Customer);
    let party = person("lost@example.com");
    subject.faults.set(Some(Fault::AnswerLost));
    let outcome = subject.erp.create(&key, &party, soon()).await.unwrap();
    subject.faults.set(None);
    // It is known, or it is not; it is never an error, and never a second record.
    assert!(!matches!(outcome, CreateOutcome::Created(_)), "{outcome:?}");
    let outcome = subject.erp.create(&key, &party, soon()).await.unwrap();
    assert!(matches!(outcome, CreateOutcome::AlreadyThere(_)));
    let found = subject
        .erp
        .find_by_key(&PartyKind::Person, &email("lost@example.com"), soon())
        .await;
    assert_eq!(found.unwrap().len(), 1);
}

/// A create reaches the ERP after its caller has given up: with nobody else about, and after the caller has sent it again.
pub(crate) async fn a_create_that_lands_late_makes_no_second_record(subject: &Subject) {
    for sent_again in [false, true] {
        let key = subject.key(EntityKind::Customer);
        let address = format!("late.{sent_again}@example.com");
        let party = person(&address);
        subject.faults.set(Some(Fault::Late));
        let outcome = subject.erp.create(&key, &party, soon()).await.unwrap();
        subject.faults.set(None);
        assert!(
            matches!(outcome, CreateOutcome::Ambiguous { .. }),
            "{outcome:?}"
        );
        let code = key.code.clone().unwrap();
        assert_eq!(subject.by_code(&code).await, []);
        let made = match sent_again {
            true => Some(subject.create(&key, &party).await),
            false => None,
        };
        subject.faults.land().await;
        let found = subject.by_code(&code).await;
        assert_eq!(found.len(), 1, "sent again: {sent_again}");
        assert!(made.is_none_or(|made| made.id == found[0].id));
        let by_key = subject
            .erp
            .find_by_key(&PartyKind::Person, &email(&address), soon())
            .await;
        assert_eq!(ids(&by_key.unwrap()), ids(&found));
        let outcome = subject.erp.create(&key, &party, soon()).await.unwrap();
        assert!(matches!(outcome, CreateOutcome::AlreadyThere(record) if record.id == found[0].id));
    }
}

/// In one list of codes, `N5` may be a person while a company asks for it.
pub(crate) async fn a_code_of_another_kind_of_record_is_not_taken(subject: &Subject) {
    let person = subject.person("code.taken@example.com").await;
    let key = IdempotencyKey {
        code: Some(person.code.clone()),
        ..subject.key(EntityKind::Company)
    };
    let party = organisation("5560743089");
    let outcome = subject.erp.create(&key, &party, soon()).await;
    assert!(
        matches!(outcome, Err(ErpError::Refused { .. })),
        "{outcome:?}"
    );
    assert_eq!(subject.by_code(&person.code).await, [person]);
}

pub(crate) async fn look_ups_are_exact(subject: &Subject) {
    let of = async |text: &str| {
        let found = subject
            .erp
            .find_by_key(&PartyKind::Person, &email(text), soon())
            .await;
        found.unwrap().len()
    };
    // Enough that they would crowd the right one out.
    for letter in ['a', 'b', 'c', 'Z'] {
        let alike = format!("case{letter}x@example.com");
        subject.person(&alike).await;
    }
    assert_eq!(of("case_x@example.com").await, 0, "no wildcards");
    subject.person("case_x@example.com").await;
    assert_eq!(of("CASE_X@example.com").await, 1, "in any case");
    subject.person("Case_X@Example.com").await;
    subject.person("case_x@EXAMPLE.com").await;
    assert_eq!(of("case_x@example.com").await, 3, "every holder");
    assert_eq!(of("nobody@example.com").await, 0);
    let number = "5560360793";
    let key = subject.key(EntityKind::Company);
    let company = subject.create(&key, &organisation(number)).await;
    let vat = NaturalKey::organisation("SE556036079301", None).unwrap();
    // Look-ups are relied upon where this is so.
    for field in KeyField::ALL {
        let proof = subject.erp.key_filter(field, soon()).await;
        assert_eq!(proof, Ok(FilterProof::Filters), "{field}");
    }
    let by_vat = subject
        .erp
        .find_by_key(&PartyKind::Company, &vat, soon())
        .await;
    assert_eq!(ids(&by_vat.unwrap()), ids(&[company]));
    // Nothing keeps a number unique.
    for name in ["Bolaget Norr AB", "Bolaget Syd AB"] {
        let named = Party {
            name: Personal::parse(name).unwrap(),
            ..organisation(number)
        };
        subject
            .create(&subject.key(EntityKind::Company), &named)
            .await;
    }
    let by_vat = subject
        .erp
        .find_by_key(&PartyKind::Company, &vat, soon())
        .await;
    assert_eq!(by_vat.unwrap().len(), 3, "every holder");
    // A person is no company.
    let by_vat = subject
        .erp
        .find_by_key(&PartyKind::Person, &vat, soon())
        .await;
    assert!(by_vat.unwrap().iter().all(|record| !record.organisation));
    assert_eq!(subject.by_code(&"NOSUCH".parse().unwrap()).await, []);
}

pub(crate) async fn an_update_writes_what_differs(subject: &Subject) {
    let record = subject.person("update@example.com").await;
    subject.next_second().await;
    let party = person("update@example.com");
    let outcome = subject.erp.update(&record, &party, soon()).await.unwrap();
    let UpdateOutcome::Unchanged(same) = outcome else {
        panic!("something was written");
    };
    assert_eq!(same.version, record.version, "P5: no write, no new version");
    let changed = Party {
        phone: Personal::parse("08-99"),
        ..person("update@example.com")
    };
    let outcome = subject.erp.update(&record, &changed, soon()).await.unwrap();
    let UpdateOutcome::Updated(updated) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(updated.fields.phone, Personal::parse("08-99"));
    assert_ne!(updated.version, record.version);
    assert_eq!(updated.id, record.id);
    // What was seen before is old now.
    let again = Party {
        phone: Personal::parse("08-77"),
        ..changed
    };
    let outcome = subject.erp.update(&record, &again, soon()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Stale);
}

/// Somebody else changes the record between the adapter's look at it and its write.
/// What belongs to the former address does not stay beside the parts of a new one.
pub(crate) async fn an_address_is_one_value(subject: &Subject) {
    let at = |postal_code: &str, city: &str, country| Party {
        address: Some(Address {
            line1: Personal::parse("Storgatan 1"),
            postal_code: Personal::parse(postal_code),
            city: Personal::parse(city),
            country: Some(country),
            ..Address::default()
        }),
        ..person("mover@example.com")
    };
    let key = subject.key(EntityKind::Customer);
    let from = at("114 55", "Stockholm", CountryCode::SE);
    let record = subject.create(&key, &from).await;
    assert_eq!(record.fields.address, from.address);
    let to = at("", "Oslo", CountryCode::NO);
    let outcome = subject.erp.update(&record, &to, soon()).await.unwrap();
    let UpdateOutcome::Updated(record) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(record.fields.address, to.address);
    let outcome = subject.erp.update(&record, &to, soon()).await.unwrap();
    assert!(
        matches!(outcome, UpdateOutcome::Unchanged(_)),
        "{outcome:?}"
    );
}

pub(crate) async fn a_trial_leaves_nothing_behind(subject: &Subject) {
    let key = subject.key(EntityKind::Customer);
    let party = person("trial@example.com");
    // Twice: a trial does not stand in the way of the next one.
    for _ in 0..2 {
        let trial = subject.erp.trial(&key, &party, soon()).await.unwrap();
        assert_eq!(Some(&trial.code), key.code.as_ref());
        let no_orders = Sale::Unknown("the HTTP contract has no orders".to_owned());
        assert!([Sale::Possible, no_orders].contains(&trial.sale));
        assert_eq!((trial.altered, trial.left), (false, None));
        assert_eq!(subject.by_code(&trial.code).await, []);
    }
}

pub(crate) async fn what_somebody_else_writes_meanwhile_is_not_lost(subject: &Subject) {
    let record = subject.person("meanwhile@example.com").await;
    let wanted = person("meanwhile.new@example.com");
    let (register, id) = (subject.register.clone(), record.id.clone());
    subject
        .faults
        .meanwhile(async move { register.change_phone(&id, "08-55 55").await });
    let outcome = subject.erp.update(&record, &wanted, soon()).await.unwrap();
    let there = subject.get(&record.id).await.fields;
    // What only the other one wrote is there either way.
    assert_eq!(there.phone, Personal::parse("08-55 55"));
    if subject
        .erp
        .capabilities(soon())
        .await
        .unwrap()
        .optimistic_concurrency
    {
        assert_eq!(outcome, UpdateOutcome::Stale);
        assert_eq!(there.email, record.fields.email);
    } else {
        assert!(matches!(outcome, UpdateOutcome::Updated(_)), "{outcome:?}");
        assert_eq!(there.email, wanted.email);
    }
}

pub(crate) async fn what_is_gone_is_gone(subject: &Subject) {
    let there = subject.person("gone@example.com").await;
    let mut gone = there.clone();
    // Well formed, and nobody's: an id of the same kind.
    gone.id.id = match there.id.id.parse::<i64>() {
        Ok(_) => "999999999".to_owned(),
        Err(_) => "5d115c9c-44e3-ea11-bb43-000d3a2feca1".to_owned(),
    };
    assert_eq!(subject.erp.get(&gone.id, soon()).await.unwrap(), None);
    let changed = Party {
        phone: Personal::parse("08-1"),
        ..person("gone@example.com")
    };
    let outcome = subject.erp.update(&gone, &changed, soon()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Gone);
    let outcome = subject
        .erp
        .block(&gone.id, Block::All, soon())
        .await
        .unwrap();
    assert_eq!(outcome, UpdateOutcome::Gone);
    let ids = [there.id.clone(), gone.id];
    let many = subject.erp.get_many(&ids, FieldGroups::CODE, soon()).await;
    assert_eq!(
        many.unwrap().records.len(),
        1,
        "the others are found all the same"
    );
}

pub(crate) async fn contacts_belong_to_their_organisation(subject: &Subject) {
    let mut contacts = Vec::new();
    for number in ["5560125790", "5561234567"] {
        let company = subject.organisation(number).await;
        let key = subject.key(EntityKind::Customer);
        let record = subject
            .create(&key, &contact(&company, "contact@example.com"))
            .await;
        assert_eq!(record.id.resource, Resource::Contact);
        let named = record.company.clone().unwrap();
        let of = subject.erp.company_of(&named, soon()).await.unwrap();
        assert_eq!(of.as_ref(), Some(&company.id));
        contacts.push((company, record));
    }
    // The same address in two organisations: each has its own.
    for (company, contact) in &contacts {
        let kind = PartyKind::Contact {
            company: Some(company.id.clone()),
        };
        let key = email("contact@example.com");
        let found = subject.erp.find_by_key(&kind, &key, soon());
        assert_eq!(
            ids(&found.await.unwrap()),
            ids(std::slice::from_ref(contact))
        );
    }
    let listed = ids(&subject.list(&everything(Resource::Contact)).await);
    for (company, contact) in contacts {
        assert!(listed.contains(&contact.id));
        assert!(!listed.contains(&company.id));
    }
}

/// What a record has in a field that the shop can empty.
fn value(fields: &ErpFields, field: ShopField) -> Option<String> {
    let address = fields.address.as_ref();
    let text = |value: Option<&Personal>| value.map(|it| it.expose().to_owned());
    match field {
        ShopField::Email => text(fields.email.as_ref()),
        ShopField::Phone => text(fields.phone.as_ref()),
        ShopField::Mobile => text(fields.mobile.as_ref()),
        ShopField::Title => text(fields.title.as_ref()),
        ShopField::OrganisationNumber => {
            let number = fields.organisation_number.as_ref();
            number.map(|it| it.expose().to_owned())
        }
        ShopField::VatNumber => fields.vat_number.as_ref().map(|it| it.expose().to_owned()),
        ShopField::AddressLines => text(address.and_then(|it| it.line1.as_ref())),
        ShopField::PostalCode => text(address.and_then(|it| it.postal_code.as_ref())),
        ShopField::City => text(address.and_then(|it| it.city.as_ref())),
        ShopField::Region => text(address.and_then(|it| it.region.as_ref())),
        ShopField::Gln => text(fields.gln.value()),
    }
}

/// The party after the shop has emptied a field.
fn without(field: ShopField, party: &Party) -> Party {
    let mut party = Party {
        emptied: [field].into(),
        ..party.clone()
    };
    let mut address = party.address.take().unwrap_or_default();
    match field {
        ShopField::Email => party.email = None,
        ShopField::Phone => party.phone = None,
        ShopField::Mobile => party.mobile = None,
        ShopField::Title => party.title = None,
        ShopField::OrganisationNumber => party.organisation_number = None,
        ShopField::VatNumber => party.vat_number = None,
        ShopField::AddressLines => (address.line1, address.line2) = (None, None),
        ShopField::PostalCode => address.postal_code = None,
        ShopField::City => address.city = None,
        ShopField::Region => address.region = None,
        ShopField::Gln => party.gln = None,
    }
    party.address = Some(address);
    party
}

pub(crate) async fn what_the_shop_empties_is_emptied_and_nothing_else(subject: &Subject) {
    let company = subject.organisation("5569999997").await;
    let address = Address {
        line1: Personal::parse("Storgatan 1"),
        line2: Personal::parse("Lgh 1102"),
        postal_code: Personal::parse("114 55"),
        city: Personal::parse("Stockholm"),
        region: Personal::parse("Stockholm"),
        country: Some(CountryCode::SE),
        ..Address::default()
    };
    for (place, field) in ShopField::ALL.into_iter().enumerate() {
        let email = format!("anna.{place}@example.com");
        let full = |party: Party| Party {
            email: Personal::parse(email.as_str()),
            phone: Personal::parse("08-123 45 67"),
            address: Some(address.clone()),
            gln: Personal::parse("7300000000001"),
            ..party
        };
        let numbers = ["5560360793", "5560125790", "5561234567", "5567037485"];
        let number = numbers[place % numbers.len()];
        let colleague = Party {
            mobile: Personal::parse("070-123 45 67"),
            title: Personal::parse("Chef"),
            ..contact(&company, "")
        };
        for party in [person(""), organisation(number), colleague].map(full) {
            let kind = match party.kind {
                PartyKind::Company => EntityKind::Company,
                PartyKind::Person | PartyKind::Contact { .. } => EntityKind::Customer,
            };
            let before = subject.create(&subject.key(kind), &party).await;
            let emptied = without(field, &party);
            let outcome = subject.erp.update(&before, &emptied, soon()).await.unwrap();
            let after = match outcome {
                UpdateOutcome::Updated(record) | UpdateOutcome::Unchanged(record) => record,
                outcome => panic!("{field:?}: {outcome:?}"),
            };
            for other in ShopField::ALL {
                let (was, is) = (value(&before.fields, other), value(&after.fields, other));
                // An organisation's number is a part of its VAT number, and either can be told by the other. A contact may
                // have its organisation's numbers and address.
                let is_anothers = match (&party.kind, other) {
                    (_, ShopField::OrganisationNumber | ShopField::VatNumber) => true,
                    (PartyKind::Contact { .. }, other) => {
                        matches!(other.party_field(), PartyField::Address)
                    }
                    _ => false,
                };
                if other != field {
                    assert_eq!(is, was, "{other:?} of {:?} without {field:?}", party.kind);
                } else if !is_anothers {
                    // In an ERP with one field for telephones, the mobile number takes its place.
                    let mobile = party
                        .mobile
                        .as_ref()
                        .filter(|_| field == ShopField::Phone && before.fields.mobile.is_none());
                    let mobile = mobile.map(|it| it.expose().to_owned());
                    assert_eq!(is, mobile, "{field:?} of {:?}", party.kind);
                }
            }
            let again = subject.erp.update(&after, &emptied, soon()).await;
            assert!(
                matches!(again, Ok(UpdateOutcome::Unchanged(_))),
                "{field:?}: {again:?}"
            );
            subject
                .erp
                .block(&after.id, Block::All, soon())
                .await
                .unwrap();
        }
    }
}

pub(crate) async fn a_contact_moves_to_another_organisation(subject: &Subject) {
    let from = subject.organisation("5560125790").await;
    let to = Party {
        phone: Personal::parse("08-765 43 21"),
        email: Personal::parse("info@to.example"),
        ..organisation("5561234567")
    };
    let to = subject.create(&subject.key(EntityKind::Company), &to).await;
    let key = subject.key(EntityKind::Customer);
    let party = Party {
        phone: None,
        ..contact(&from, "mover@example.com")
    };
    let record = subject.create(&key, &party).await;
    subject.next_second().await;
    let moved = Party {
        kind: contact(&to, "").kind,
        ..party.clone()
    };
    let outcome = subject.erp.update(&record, &moved, soon()).await.unwrap();
    let UpdateOutcome::Updated(record_now) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        (&record_now.id, &record_now.code),
        (&record.id, &record.code)
    );
    let named = record_now.company.clone().unwrap();
    let of = subject.erp.company_of(&named, soon()).await.unwrap();
    assert_eq!(of.as_ref(), Some(&to.id));
    let way_back = subject.erp.company_key(&to.id, soon()).await.unwrap();
    assert_eq!(way_back.as_ref(), Some(&named));
    let gone = subject.organisation("5567037485").await.id;
    subject.register.remove(&gone).await;
    let key_of_gone = subject.erp.company_key(&gone, soon()).await;
    assert!(
        matches!(&key_of_gone, Ok(key) if key.as_ref() != Some(&named)),
        "{key_of_gone:?}"
    );
    // An ERP may fill in what a person lacks from its organisation.
    assert_eq!(record_now.fields.email, record.fields.email);
    assert_eq!(record_now.fields.phone, record.fields.phone);
    let key = email("mover@example.com");
    for (organisation, holders) in [(&from, 0), (&to, 1)] {
        let kind = contact(organisation, "").kind;
        let found = subject.erp.find_by_key(&kind, &key, soon()).await;
        assert_eq!(found.unwrap().len(), holders);
    }
    let outcome = subject.erp.update(&record_now, &moved, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
}

pub(crate) async fn contacts_are_found_updated_and_blocked(subject: &Subject) {
    let company = subject.organisation("5569999997").await;
    let party = contact(&company, "colleague@example.com");
    let key = subject.key(EntityKind::Customer);
    let record = subject.create(&key, &party).await;
    assert_eq!(subject.get(&record.id).await, record);
    let by_code = subject
        .erp
        .find_by_code(Resource::Contact, &record.code, soon())
        .await;
    assert_eq!(by_code.unwrap(), std::slice::from_ref(&record));
    assert_eq!(subject.by_code(&record.code).await, [], "no customer");
    let outcome = subject.erp.create(&key, &party, soon()).await.unwrap();
    assert!(matches!(outcome, CreateOutcome::AlreadyThere(there) if there.id == record.id));

    subject.next_second().await;
    let changed = Party {
        title: Personal::parse("Inköpare"),
        email: Personal::parse("Colleague.New@example.com"),
        ..party
    };
    let outcome = subject.erp.update(&record, &changed, soon()).await.unwrap();
    let UpdateOutcome::Updated(updated) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(updated.id, record.id);
    assert_eq!(updated.company, record.company);
    let title = changed.title.clone();
    let title = title.filter(|_| subject.register.has_titles());
    assert_eq!(updated.fields.title, title);
    assert_eq!(updated.fields.email, changed.email);
    let outcome = subject.erp.update(&updated, &changed, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
    // What was seen before is old now.
    let again = Party {
        phone: Personal::parse("08-11"),
        ..changed.clone()
    };
    let outcome = subject.erp.update(&record, &again, soon()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Stale);
    let look_up = async |text: &str| {
        let key = email(text);
        let found = subject.erp.find_by_key(&changed.kind, &key, soon()).await;
        ids(&found.unwrap())
    };
    assert_eq!(look_up("colleague@example.com").await, BTreeSet::new());
    let of_record = ids(std::slice::from_ref(&record));
    assert_eq!(look_up("colleague.new@example.com").await, of_record);

    let outcome = subject
        .erp
        .block(&record.id, Block::All, soon())
        .await
        .unwrap();
    assert!(matches!(outcome, UpdateOutcome::Updated(blocked) if blocked.blocked));
    let outcome = subject
        .erp
        .block(&record.id, Block::All, soon())
        .await
        .unwrap();
    assert!(matches!(outcome, UpdateOutcome::Unchanged(_)));
    let listed = subject.list(&everything(Resource::Contact)).await;
    assert!(listed.iter().any(|it| it.id == record.id && it.blocked));
    assert!(!subject.get(&company.id).await.blocked, "nobody else is");
}

pub(crate) async fn the_blocked_stay_in_the_register(subject: &Subject) {
    let record = subject.person("blocked@example.com").await;
    let outcome = subject
        .erp
        .block(&record.id, Block::All, soon())
        .await
        .unwrap();
    let UpdateOutcome::Updated(blocked) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(blocked.blocked);
    let outcome = subject
        .erp
        .block(&record.id, Block::All, soon())
        .await
        .unwrap();
    assert!(matches!(outcome, UpdateOutcome::Unchanged(_)));
    assert_eq!(ids(&subject.by_code(&record.code).await), ids(&[blocked]));
    let listed = subject.list(&everything(Resource::Customer)).await;
    assert!(
        listed
            .iter()
            .any(|listed| listed.id == record.id && listed.blocked)
    );
}

pub(crate) async fn listings_have_everything(subject: &Subject) {
    subject.person("listed.before@example.com").await;
    subject.organisation("5560360793").await;
    let before = ids(&subject.list(&everything(Resource::Customer)).await);
    assert_eq!(before.len(), 2);
    subject.next_second().await;
    let watermark = subject.now().await;
    assert!((watermark - subject.register.now()).num_seconds().abs() <= 5);
    // Several in the same second, and all of them count.
    let mut new = Vec::new();
    for number in 0..5 {
        new.push(
            subject
                .person(&format!("listed.{number}@example.com"))
                .await,
        );
    }
    let listed = ids(&subject.list(&since(watermark)).await);
    assert!(listed.is_superset(&ids(&new)), "{listed:?}");
    assert!(
        listed.is_disjoint(&before),
        "what has not changed is not listed"
    );
    let last = new.iter().filter_map(|record| record.modified).max();
    let at_the_last = Listing {
        since: last,
        ..everything(Resource::Customer)
    };
    assert!(!subject.list(&at_the_last).await.is_empty(), ">=, not >");
    let all = ids(&subject.list(&everything(Resource::Customer)).await);
    assert!(all.is_superset(&before) && all.is_superset(&ids(&new)));
    for kind in [EntityKind::Customer, EntityKind::Company] {
        let listing = Listing {
            kind: Some(kind),
            ..everything(Resource::Customer)
        };
        let of_kind = subject.list(&listing).await;
        assert!(of_kind.iter().all(|record| record.entity_kind() == kind));
        assert!(!of_kind.is_empty());
    }
}

pub(crate) async fn many_are_asked_for_at_once(subject: &Subject) {
    let one = subject.person("twins@example.com").await;
    let two = subject.person("Twins@Example.com").await;
    let single = subject.person("single@example.com").await;
    let keys = [
        "twins@example.com",
        "single@example.com",
        "no.one@example.com",
    ]
    .map(email);
    let held = subject
        .erp
        .holders_of_keys(EntityKind::Customer, &keys, soon())
        .await
        .unwrap();
    let holders = |key: &NaturalKey| -> BTreeSet<ErpId> {
        let of_key = held.iter().filter(|(held, _)| held == key);
        of_key.map(|(_, id)| id.clone()).collect()
    };
    assert_eq!(holders(&keys[0]), ids(&[one.clone(), two.clone()]));
    assert_eq!(holders(&keys[1]), ids(std::slice::from_ref(&single)));
    assert_eq!(holders(&keys[2]).len(), 0);
    let asked = [
        (one.id.clone(), one.code.clone()),
        (two.id.clone(), two.code.clone()),
    ];
    let others = subject
        .erp
        .other_holders_of_codes(EntityKind::Customer, &asked, soon())
        .await;
    assert_eq!(others.unwrap(), [], "a record is not its own rival");
    let asked = [one.id.clone(), two.id.clone(), single.id.clone()];
    let many = subject
        .erp
        .get_many(&asked, FieldGroups::CODE, soon())
        .await;
    assert_eq!(ids(&many.unwrap().records), ids(&[one, two, single]));
}

/// A value that does not fit is kept whole or refused by the name of its field, and a telephone number may be left out; there
/// is nothing in between.
pub(crate) async fn nothing_is_cut_off(subject: &Subject) {
    let long = |length| Personal::parse("x".repeat(length));
    let anna = || person("limits@example.com");
    let at = |address| Party {
        address: Some(address),
        ..anna()
    };
    let parties = [
        Party {
            name: long(300).unwrap(),
            ..anna()
        },
        Party {
            email: Personal::parse(format!("{}@example.com", "x".repeat(120))),
            ..anna()
        },
        Party {
            phone: Personal::parse("1".repeat(60)),
            ..anna()
        },
        at(Address {
            line1: long(300),
            ..Address::default()
        }),
        at(Address {
            line1: long(10),
            line2: long(300),
            ..Address::default()
        }),
        at(Address {
            postal_code: Personal::parse("1".repeat(60)),
            ..Address::default()
        }),
        at(Address {
            city: long(300),
            ..Address::default()
        }),
    ];
    let is_whole = |record: &ErpRecord, party: &Party, phone_before: &Option<Personal>| {
        let fields = &record.fields;
        fields.name.as_ref() == Some(&party.name)
            && fields.email == party.email
            && (fields.phone == party.phone || fields.phone == *phone_before)
            && (party.address.is_none() || fields.address == party.address)
    };
    for (number, party) in parties.iter().enumerate() {
        let key = subject.key(EntityKind::Customer);
        match subject.erp.create(&key, party, soon()).await {
            // An update follows one that the ERP has altered.
            Ok(CreateOutcome::Created(record) | CreateOutcome::Altered(record)) => {
                assert!(
                    is_whole(&record, party, &None),
                    "value {number} was cut off"
                );
            }
            Err(ErpError::Refused { field: Some(_), .. }) => {
                assert_eq!(subject.by_code(&key.code.unwrap()).await, []);
            }
            other => panic!("value {number}: {other:?}"),
        }
        let record = subject.person("limits@example.com").await;
        let phone = record.fields.phone.clone();
        match subject.erp.update(&record, party, soon()).await {
            Ok(UpdateOutcome::Updated(record) | UpdateOutcome::Unchanged(record)) => {
                assert!(
                    is_whole(&record, party, &phone),
                    "value {number} was cut off"
                );
            }
            Err(ErpError::Refused { field: Some(_), .. }) => {
                assert_eq!(subject.get(&record.id).await, record);
            }
            other => panic!("value {number}: {other:?}"),
        }
    }
}

pub(crate) async fn refusals_are_told_apart(subject: &Subject) {
    let record = subject.person("faults@example.com").await;
    let page = everything(Resource::Customer);
    let html = "<html>no</html>";
    for (status, body, expected) in [
        (StatusCode::UNAUTHORIZED, "{}", "authentication"),
        (StatusCode::FORBIDDEN, html, "authentication"),
        (StatusCode::TOO_MANY_REQUESTS, "", "retry"),
        (StatusCode::SERVICE_UNAVAILABLE, html, "retry"),
        (StatusCode::BAD_GATEWAY, html, "retry"),
        (StatusCode::OK, html, "unreadable"),
        (StatusCode::NOT_FOUND, html, "unreadable"),
    ] {
        subject.faults.set(Some(Fault::Answer(status, body)));
        let brief = Deadline::after(Duration::from_secs(3));
        let read = subject.erp.get(&record.id, brief).await.map(|_| ());
        let listed = subject.erp.page(&page, None, brief).await.map(|_| ());
        subject.faults.set(None);
        for error in [read, listed] {
            let error = error.expect_err("an error");
            let found = match &error {
                ErpError::Authentication { .. } => "authentication",
                ErpError::RetryAfter { .. } => "retry",
                ErpError::Unreadable(_) => "unreadable",
                ErpError::Refused { .. } => "refused",
                ErpError::CursorExpired => "cursor expired",
            };
            assert_eq!(found, expected, "{status}: {error}");
        }
    }
    assert!(subject.erp.get(&record.id, soon()).await.unwrap().is_some());
}

/// What is said instead of carrying a write out, and what may have been said after it was carried out.
pub(crate) async fn refused_writes_are_told_apart(subject: &Subject) {
    let html = "<html>no</html>";
    let key = subject.key(EntityKind::Customer);
    let party = person("refused.writes@example.com");
    let record = subject.person("faults.of.writes@example.com").await;
    let changed = Party {
        phone: Personal::parse("08-33"),
        ..person("faults.of.writes@example.com")
    };
    for (status, body, expected) in [
        (StatusCode::UNAUTHORIZED, "{}", "authentication"),
        (StatusCode::FORBIDDEN, html, "authentication"),
        (StatusCode::TOO_MANY_REQUESTS, "", "retry"),
        (StatusCode::SERVICE_UNAVAILABLE, html, "ambiguous"),
        (StatusCode::BAD_GATEWAY, html, "ambiguous"),
        (StatusCode::OK, html, "ambiguous"),
    ] {
        subject.faults.set(Some(Fault::AnswerWrites(status, body)));
        let brief = Deadline::after(Duration::from_secs(5));
        let create = subject.erp.create(&key, &party, brief).await;
        let update = subject.erp.update(&record, &changed, brief).await;
        subject.faults.set(None);
        let found = match &create {
            Ok(CreateOutcome::Ambiguous { .. }) => "ambiguous",
            Err(ErpError::Authentication { .. }) => "authentication",
            Err(ErpError::RetryAfter { .. }) => "retry",
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(found, expected, "{status}");
        let update_fits = match &update {
            Err(ErpError::Authentication { .. }) => expected == "authentication",
            // It is repeated, and carried out or not: the next look tells.
            Err(ErpError::RetryAfter { .. }) => expected != "authentication",
            Ok(UpdateOutcome::Updated(_)) => status == StatusCode::OK,
            _ => false,
        };
        assert!(update_fits, "{status}: {update:?}");
    }
    assert_eq!(subject.by_code(key.code.as_ref().unwrap()).await, []);
    subject.create(&key, &party).await;
}

/// A remote that says nothing costs the caller no more than its deadline, and can be asked again.
pub(crate) async fn nobody_waits_longer_than_the_deadline(subject: &Subject) {
    let erp = &subject.erp;
    let record = subject.person("silence@example.com").await;
    let changed = Party {
        phone: Personal::parse("08-44"),
        ..person("silence@example.com")
    };
    let code = record.code.clone();
    let (customer, keys) = (EntityKind::Customer, [email("silence@example.com")]);
    let (asked, codes) = ([record.id.clone()], [(record.id.clone(), code.clone())]);
    let page = everything(Resource::Customer);
    let brief = || Deadline::after(Duration::from_millis(100));
    let patience = Duration::from_secs(5);
    let begin = tokio::time::Instant::now();
    subject.faults.set(Some(Fault::Silence));
    let answers = [
        ("get", erp.get(&record.id, brief()).await.err()),
        (
            "find_by_code",
            erp.find_by_code(Resource::Customer, &code, brief())
                .await
                .err(),
        ),
        (
            "find_by_key",
            erp.find_by_key(&PartyKind::Person, &keys[0], brief())
                .await
                .err(),
        ),
        ("page", erp.page(&page, None, brief()).await.err()),
        (
            "get_many",
            erp.get_many(&asked, FieldGroups::CODE, brief()).await.err(),
        ),
        (
            "holders_of_keys",
            erp.holders_of_keys(customer, &keys, brief()).await.err(),
        ),
        (
            "other_holders_of_codes",
            erp.other_holders_of_codes(customer, &codes, brief())
                .await
                .err(),
        ),
        ("clock", erp.clock(brief()).await.err()),
        ("update", erp.update(&record, &changed, brief()).await.err()),
        (
            "block",
            erp.block(&record.id, Block::All, brief()).await.err(),
        ),
    ];
    let key = subject.key(EntityKind::Customer);
    let created = erp.create(&key, &changed, brief()).await;
    subject.faults.set(None);
    for (name, error) in answers {
        assert!(
            matches!(error, Some(ErpError::RetryAfter { .. })),
            "{name}: {error:?}"
        );
    }
    // It may never have come to the write.
    assert!(
        matches!(
            created,
            Ok(CreateOutcome::Ambiguous { .. }) | Err(ErpError::RetryAfter { .. })
        ),
        "{created:?}"
    );
    assert!(begin.elapsed() < patience, "{:?}", begin.elapsed());
    assert_eq!(subject.get(&record.id).await, record);
    assert_eq!(subject.by_code(&key.code.unwrap()).await, []);
}

pub(crate) async fn capabilities_tell_the_truth(subject: &Subject) {
    let capabilities = subject.erp.capabilities(soon()).await.unwrap();
    assert!(capabilities.readable.has(FieldGroup::Code));
    let key = subject.key(EntityKind::Company);
    let party = organisation("5560125790");
    let record = subject.create(&key, &party).await;
    let kept = record.fields.organisation_number == party.organisation_number;
    assert_eq!(kept, capabilities.organisation_number);
    assert!(!party.keys().is_empty());
    // After this a create is sent again whose outcome nobody knows; at once would be too soon in any ERP.
    assert!(capabilities.create_settles_after >= Duration::from_secs(60));
    assert!(!subject.erp.name().is_empty());
}

/// A group of fields that can be owned by the ERP is read when a listing asks for it, and when records are asked for.
/// Price lists, flags and additional info come by configuration: they are tested with each adapter that has them.
pub(crate) async fn what_is_readable_comes_when_it_is_asked_for(subject: &Subject) {
    let readable = subject.erp.capabilities(soon()).await.unwrap().readable;
    let before = subject.now().await;
    let party = Party {
        address: Some(Address {
            line1: Personal::parse("Storgatan 1"),
            postal_code: Personal::parse("211 34"),
            city: Personal::parse("Malmö"),
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        ..person("readable@example.com")
    };
    let key = subject.key(EntityKind::Customer);
    let record = subject.create(&key, &party).await;
    let company = subject.organisation("5567777775").await;
    let key = subject.key(EntityKind::Customer);
    let colleague = subject
        .create(&key, &contact(&company, "readable.colleague@example.com"))
        .await;
    if readable.has(FieldGroup::DeliveryAddresses) {
        subject
            .register
            .add_delivery_address(&record.id, "Ystad")
            .await;
    }
    subject
        .erp
        .block(&record.id, Block::All, soon())
        .await
        .unwrap();
    let seller = organisation("5561234567");
    let key = subject.key(EntityKind::Company);
    let sold = subject.create(&key, &seller).await.id;
    let asked = [record.id.clone(), colleague.id.clone(), sold.clone()];
    for group in FieldGroup::ALL {
        if !readable.has(group) {
            continue;
        }
        let fields = FieldGroups::of(&[group]);
        let mut listed = Vec::new();
        for resource in [Resource::Customer, Resource::Contact] {
            let listing = Listing {
                resource,
                fields,
                ..since(before)
            };
            listed.extend(subject.list(&listing).await);
        }
        let asked_for = subject.erp.get_many(&asked, fields, soon()).await.unwrap();
        for read in [listed, asked_for.records] {
            let the = |id: &ErpId| read.iter().find(|it| it.id == *id).expect("to be there");
            let (person, colleague) = (the(&record.id), the(&colleague.id));
            let organisation = the(&sold);
            let fields = &person.fields;
            let comes = match group {
                FieldGroup::Code => person.code == record.code,
                FieldGroup::Names => fields.name.as_ref() == Some(&party.name),
                FieldGroup::ContactDetails => {
                    fields.email == party.email && fields.phone == party.phone
                }
                FieldGroup::InvoiceAddress => fields.address == party.address,
                FieldGroup::DeliveryAddresses => {
                    let city = Personal::parse("Ystad");
                    let mut deliveries = fields.delivery_addresses.iter();
                    deliveries.any(|delivery| delivery.address.city == city)
                }
                FieldGroup::Active => person.blocked && !colleague.blocked,
                FieldGroup::CompanyRelations => colleague.company.is_some(),
                FieldGroup::OrganisationNumber => {
                    organisation.fields.organisation_number == seller.organisation_number
                }
                FieldGroup::VatNumber => organisation.fields.vat_number == seller.vat_number,
                FieldGroup::PriceLists | FieldGroup::Flags | FieldGroup::AdditionalInfo => true,
            };
            assert!(comes, "{group} is readable and does not come");
        }
    }
}

/// A transaction is stamped when it begins and seen when it ends, so that a listing can pass it by, and the watermark of
/// that listing as well. A pass overlaps for this.
pub(crate) async fn what_is_committed_late_is_listed_with_an_overlap(subject: &Subject) {
    let begin = subject.now().await;
    let codes = subject.codes('R', 3);
    let late = async |listing: &Listing| -> Vec<ErpRecord> {
        let mut listed = subject.list(listing).await;
        listed.retain(|record| codes.contains(&record.code));
        listed
    };
    let listings = async {
        let mut passed_by = None;
        let polling = tokio::time::Instant::now();
        loop {
            assert!(polling.elapsed() < 3 * PATIENCE, "they are never listed");
            // What a pass does: the ERP's time from before its first page is where the next one begins.
            let watermark = subject.now().await;
            let found = late(&since(begin)).await;
            if !found.is_empty() {
                return (found, passed_by.expect("a listing that passed them by"));
            }
            passed_by = Some(watermark);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let ((), (found, watermark)) = join(subject.register.add_slowly(&codes), listings).await;
    let stamped = found.iter().filter_map(|record| record.modified).max();
    let stamped = stamped.expect("a stamp");
    assert!(
        stamped < watermark,
        "they were not late: stamped {stamped}, and passed by at {watermark}"
    );
    let listed = late(&since(watermark - OVERLAP)).await;
    assert_eq!(listed.len(), codes.len(), "{listed:?}");
}

/// While a listing is walked, records before and after its place change, go and come.
pub(crate) async fn a_listing_has_what_is_there_throughout(subject: &Subject) {
    let register = &subject.register;
    register.add(&subject.codes('M', 3)).await;
    let others = ids(&subject.list(&everything(Resource::Customer)).await);
    let before = subject.now().await;
    let codes = subject.codes('R', register.more_than_two_pages());
    let mut there: BTreeSet<ErpId> = register.add(&codes).await.into_iter().collect();
    assert_eq!(there.len(), codes.len());
    for listing in [everything(Resource::Customer), since(before)] {
        let mut listed = BTreeSet::new();
        let (mut pages, mut cursor) = (0, None);
        loop {
            let page = subject.erp.page(&listing, cursor.as_ref(), soon()).await;
            let page = page.unwrap();
            listed.extend(ids(&page.records));
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            // The first and the last of those that were listed and of those that were not.
            let (was, was_not): (Vec<_>, Vec<_>) =
                there.iter().cloned().partition(|id| listed.contains(id));
            for some in [was, was_not] {
                if let [first, second, .., last_but_one, last] = some.as_slice() {
                    for id in [first, last] {
                        register.remove(id).await;
                        there.remove(id);
                    }
                    for id in [second, last_but_one] {
                        register.change_phone(id, &format!("08-{pages}")).await;
                    }
                }
            }
            register.add(&subject.codes('A', 2)).await;
            register.add(&subject.codes('R', 2)).await;
        }
        assert!(pages > 2, "{pages} pages");
        let missing = there.difference(&listed).count();
        assert_eq!(missing, 0, "of {} in {pages} pages", there.len());
        if listing.since.is_none() {
            assert_eq!(others.len(), 3);
            assert!(others.is_subset(&listed), "of those that nobody touched");
        }
    }
}
