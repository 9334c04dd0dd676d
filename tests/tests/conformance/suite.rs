//! The behaviours, each by itself and through the port alone. They share one register, and know each other's records
//! apart by the names that they give them.

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
use chrono::Utc;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use shared::{
    domain::{
        Code, EmailKey, EntityKind, EntityRef, FieldGroups, NorceId, OrganisationNumber, Personal,
        Scope, VatNumber,
    },
    erp::{
        CreateOutcome, Erp, ErpError, ErpId, ErpRecord, IdempotencyKey, Listing, NaturalKey, Party,
        PartyKind, Resource, UpdateOutcome,
    },
    http::{Deadline, Transport, TransportError},
};

/// What is the matter with the next request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is answered like this and does not arrive.
    Answer(StatusCode, &'static str),
    /// It arrives, and its answer does not.
    AnswerLost,
}

/// A transport that can be told to go wrong.
pub(crate) struct Faults {
    inner: Arc<dyn Transport>,
    next: Mutex<Option<Fault>>,
}

impl Faults {
    pub(crate) fn around(inner: Arc<dyn Transport>) -> Self {
        Self {
            inner,
            next: Mutex::default(),
        }
    }

    fn set(&self, fault: Option<Fault>) {
        *self.next.lock().unwrap() = fault;
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
        let is_token = request.uri().path().ends_with("/token");
        let fault = self.next.lock().unwrap().clone();
        match fault.filter(|_| !is_token) {
            None => self.inner.send(request, timeout).await,
            Some(Fault::Answer(status, body)) => Ok(Response::builder()
                .status(status)
                .body(Bytes::from_static(body.as_bytes()))
                .unwrap()),
            Some(Fault::AnswerLost) => {
                let is_write = ["load", "/customers", "/contacts"]
                    .iter()
                    .any(|end| request.uri().path().ends_with(end))
                    && request.method() == http::Method::POST;
                let answer = self.inner.send(request, timeout).await;
                if is_write {
                    return Err(TransportError::AnswerLost("the suite lost it".to_owned()));
                }
                answer
            }
        }
    }
}

/// An adapter with an empty register behind it.
pub(crate) struct Subject {
    erp: Arc<dyn Erp>,
    faults: Arc<Faults>,
    next: AtomicI32,
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

impl Subject {
    pub(crate) fn new(erp: Arc<dyn Erp>, faults: Arc<Faults>) -> Self {
        Self {
            erp,
            faults,
            next: AtomicI32::new(1),
        }
    }

    /// A key for a new entity, with a code of its own.
    fn key(&self, kind: EntityKind) -> IdempotencyKey {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
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
        let before = Utc::now().timestamp();
        while Utc::now().timestamp() <= before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn person(email: &str) -> Party {
    Party {
        kind: PartyKind::Person,
        name: Personal::parse("Anna Ek").unwrap(),
        email: Personal::parse(email),
        phone: Personal::parse("08-123 45 67"),
        mobile: None,
        title: None,
        organisation_number: None,
        vat_number: None,
        address: None,
        delivery_addresses: None,
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
    NaturalKey::Email(EmailKey::parse(text).unwrap())
}

fn everything(resource: Resource) -> Listing {
    Listing {
        resource,
        kind: None,
        since: None,
        fields: FieldGroups::CODE,
    }
}

fn ids(records: &[ErpRecord]) -> BTreeSet<ErpId> {
    records.iter().map(|record| record.id.clone()).collect()
}

/// All of it.
pub(crate) async fn run(subject: &Subject) {
    what_is_created_is_found(subject).await;
    an_entity_is_created_once(subject).await;
    a_create_whose_answer_is_lost_is_found(subject).await;
    look_ups_are_exact(subject).await;
    an_update_writes_what_differs(subject).await;
    what_is_gone_is_gone(subject).await;
    contacts_belong_to_their_organisation(subject).await;
    the_blocked_stay_in_the_register(subject).await;
    listings_have_everything(subject).await;
    many_are_asked_for_at_once(subject).await;
    refusals_are_told_apart(subject).await;
    capabilities_tell_the_truth(subject).await;
}

async fn what_is_created_is_found(subject: &Subject) {
    let key = subject.key(EntityKind::Customer);
    let record = subject.create(&key, &person("Found@Example.com")).await;
    assert_eq!(Some(&record.code), key.code.as_ref());
    assert!(!record.organisation && !record.blocked);
    assert_eq!(record.image.email, Personal::parse("Found@Example.com"));
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

/// P2: at most one record, whoever asks for it how often.
async fn an_entity_is_created_once(subject: &Subject) {
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

async fn a_create_whose_answer_is_lost_is_found(subject: &Subject) {
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

async fn look_ups_are_exact(subject: &Subject) {
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
    assert_eq!(
        of("case_x@example.com").await,
        2,
        "two are as ambiguous as three"
    );
    assert_eq!(of("nobody@example.com").await, 0);
    let number = "5560360793";
    let key = subject.key(EntityKind::Company);
    let company = subject.create(&key, &organisation(number)).await;
    let vat = NaturalKey::VatNumber(VatNumber::parse("SE556036079301").unwrap());
    let by_vat = subject
        .erp
        .find_by_key(&PartyKind::Company, &vat, soon())
        .await;
    assert_eq!(ids(&by_vat.unwrap()), ids(&[company]));
    // A person is no company.
    let by_vat = subject
        .erp
        .find_by_key(&PartyKind::Person, &vat, soon())
        .await;
    assert!(by_vat.unwrap().iter().all(|record| !record.organisation));
    assert_eq!(subject.by_code(&"NOSUCH".parse().unwrap()).await, []);
}

async fn an_update_writes_what_differs(subject: &Subject) {
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
    assert_eq!(updated.image.phone, Personal::parse("08-99"));
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

async fn what_is_gone_is_gone(subject: &Subject) {
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
    let outcome = subject.erp.block(&gone.id, soon()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Gone);
    let ids = [there.id.clone(), gone.id];
    let many = subject.erp.get_many(&ids, FieldGroups::CODE, soon()).await;
    assert_eq!(many.unwrap().len(), 1, "the others are found all the same");
}

async fn contacts_belong_to_their_organisation(subject: &Subject) {
    let mut contacts = Vec::new();
    for number in ["5560125790", "5561234567"] {
        let key = subject.key(EntityKind::Company);
        let named = Party {
            name: Personal::parse(format!("Bolaget {number}")).unwrap(),
            ..organisation(number)
        };
        let company = subject.create(&key, &named).await;
        let contact = Party {
            kind: PartyKind::Contact {
                company: company.id.clone(),
            },
            ..person("contact@example.com")
        };
        let key = subject.key(EntityKind::Customer);
        let record = subject.create(&key, &contact).await;
        assert_eq!(record.id.resource, Resource::Contact);
        let named = record.company.clone().unwrap();
        let of = subject.erp.company_of(&named, soon()).await.unwrap();
        assert_eq!(of.as_ref(), Some(&company.id));
        contacts.push((company, record));
    }
    // The same address in two organisations: each has its own.
    for (company, contact) in &contacts {
        let kind = PartyKind::Contact {
            company: company.id.clone(),
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

async fn the_blocked_stay_in_the_register(subject: &Subject) {
    let record = subject.person("blocked@example.com").await;
    let outcome = subject.erp.block(&record.id, soon()).await.unwrap();
    let UpdateOutcome::Updated(blocked) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(blocked.blocked);
    let outcome = subject.erp.block(&record.id, soon()).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Unchanged(_)));
    assert_eq!(ids(&subject.by_code(&record.code).await), ids(&[blocked]));
    let listed = subject.list(&everything(Resource::Customer)).await;
    assert!(
        listed
            .iter()
            .any(|listed| listed.id == record.id && listed.blocked)
    );
}

async fn listings_have_everything(subject: &Subject) {
    let before = ids(&subject.list(&everything(Resource::Customer)).await);
    subject.next_second().await;
    let since = subject
        .erp
        .clock(soon())
        .await
        .unwrap()
        .unwrap_or_else(Utc::now);
    assert!((since - Utc::now()).num_seconds().abs() <= 5);
    // Several in the same second, and all of them count.
    let mut new = Vec::new();
    for number in 0..5 {
        new.push(
            subject
                .person(&format!("listed.{number}@example.com"))
                .await,
        );
    }
    let delta = Listing {
        since: Some(since),
        ..everything(Resource::Customer)
    };
    let listed = ids(&subject.list(&delta).await);
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

async fn many_are_asked_for_at_once(subject: &Subject) {
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
    assert_eq!(ids(&many.unwrap()), ids(&[one, two, single]));
}

async fn refusals_are_told_apart(subject: &Subject) {
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

async fn capabilities_tell_the_truth(subject: &Subject) {
    let capabilities = subject.erp.capabilities();
    assert!(capabilities.readable.has(shared::domain::FieldGroup::Code));
    let key = subject.key(EntityKind::Company);
    let party = organisation("5565432104");
    let record = subject.create(&key, &party).await;
    let kept = record.image.organisation_number == party.organisation_number;
    assert_eq!(kept, capabilities.organisation_number);
    assert!(subject.erp.natural_key(&party).is_some());
}
