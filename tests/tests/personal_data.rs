//! P11: no secret and no personal data in logs, messages, their attributes, stores, reports, answers or dead letters;
//! and P12: nothing of a forgotten customer is left there, and nothing restores it.
//!
//! The tests put canaries in every place where Norce and the ERP hold personal data, play a day with every kind of
//! trouble, and search everything that the integration wrote. Metrics ([`shared::runtime::telemetry`]) take numbers and
//! the names of classes only, by their types.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use shared::{
    domain::{
        ApplicationId, ChangeMessage, ImportRequest, JobMessage, PassMode, Personal, ShopFields,
        VatNumber,
    },
    erp::{
        Block, Erp, ErpError, ErpId, ExtraFields, Party, PartyKind, Resource,
        odoo::{Odoo, OdooSettings},
    },
    http::{Deadline, Transport, TransportError},
    mappings::{Binding, Mapping, Mappings},
    orders::OrderRef,
    owed::{Owed, Reason, Subject},
    queues::{DeadLetters, Inbox, Message, Queue},
    reports::Reports,
    runtime::{
        configuration::{CreateInErp, ForgottenPolicy},
        telemetry,
    },
};
use tests::{
    bundle::{
        Bundle, EVENT_SECRET, ORDER_PASSWORD, ORDER_USERNAME, Options, UNTIL_OWED, customer,
        gateway_request,
    },
    business_central_simulator::{Entity, Fault, LostAnswer},
    captured_logs::CapturedText,
    in_process::InProcess,
    norce_simulator::{
        Blank, Effect, Endpoint, NewAddress, NewCompany, NewCustomer, NewOrder, PlacedOrder,
        Poison, PoisonMode, PoisonRows, When,
    },
    samples::order_of,
};

/// Distinctive texts, one for each kind of personal data, and the secrets.
const CANARIES: [&str; 17] = [
    "canary.first",
    "canary.second",
    "Kanarine",
    "Fogelström",
    "Vogelgatan",
    "Burstaden",
    "08-765 43 21",
    "070-987 65 43",
    "08-555 11 22",
    "7300099999999",
    "850709-9805",
    "8507099805",
    "Fågelfirman",
    "norce-client-secret",
    "business-central-secret",
    EVENT_SECRET,
    ORDER_PASSWORD,
];

fn address() -> NewAddress {
    NewAddress {
        care_of: Some("Fogelström".to_owned()),
        line1: Some("Vogelgatan 8".to_owned()),
        city: Some("Burstaden".to_owned()),
        zip_code: Some("123 45".to_owned()),
        country_code: Some("SE".to_owned()),
        gln: Some("7300099999999".to_owned()),
        shipping_phone: Some("08-555 11 22".to_owned()),
        ..NewAddress::default()
    }
}

fn canary(email: &str) -> NewCustomer {
    NewCustomer {
        email: Some(email.to_owned()),
        first_name: Some("Kanarine".to_owned()),
        last_name: Some("Fogelström".to_owned()),
        phone: Some("08-765 43 21".to_owned()),
        cell_phone: Some("070-987 65 43".to_owned()),
        invoice_address: Some(address()),
        ..NewCustomer::default()
    }
}

/// Keeps everything that is logged, to be searched, until the guard goes.
fn listen() -> (CapturedText, tracing::subscriber::DefaultGuard) {
    let captured = CapturedText::default();
    let guard = captured.capture(tracing::Level::TRACE);
    (captured, guard)
}

/// Everything of ours that outlives an invocation, or leaves it. Orders are taken from their queue before: they are
/// whole, as they must be.
fn search_everything(bundle: &Bundle, captured: &CapturedText) {
    for order in bundle.take_outgoing_orders() {
        search("the group of an order", &order.group.unwrap_or_default());
    }
    let delivered = bundle.delivered.lock().unwrap().join("\n");
    let answers: Vec<_> = bundle
        .norce
        .order_deliveries()
        .into_iter()
        .flat_map(|delivery| delivery.attempts)
        .map(|attempt| attempt.outcome)
        .collect();
    for (place, text) in [
        ("a message", delivered),
        ("a group", bundle.groups.lock().unwrap().join("\n")),
        // Dead letters and what SQS recognises a message by are among it.
        ("changes", format!("{:?}", bundle.changes)),
        ("imports", format!("{:?}", bundle.imports)),
        ("jobs", format!("{:?}", bundle.jobs)),
        ("passes", format!("{:?}", bundle.passes_queue)),
        ("outgoing orders", format!("{:?}", bundle.outgoing_orders)),
        ("the mappings", format!("{:?}", bundle.mappings)),
        ("the owed records", format!("{:?}", bundle.owed)),
        ("the import jobs", format!("{:?}", bundle.import_jobs)),
        ("the runs of passes", format!("{:?}", bundle.passes)),
        ("the breakers", format!("{:?}", bundle.breakers)),
        ("the orders", format!("{:?}", bundle.orders)),
        ("an answer to a post", format!("{answers:?}")),
        ("the log", captured.text()),
    ] {
        search(place, &text);
    }
    for (key, body) in bundle.reports.all() {
        search(&key, &String::from_utf8_lossy(&body));
    }
}

/// Fails with the surroundings of what it finds.
fn search(place: &str, text: &str) {
    let text_lower = text.to_lowercase();
    for canary in CANARIES {
        if let Some(at) = text_lower.find(&canary.to_lowercase()) {
            let from = text_lower.floor_char_boundary(at.saturating_sub(200));
            let to = text_lower.ceil_char_boundary((at + 200).min(text_lower.len()));
            panic!("{place} holds `{canary}`: …{}…", &text_lower[from..to]);
        }
    }
}

/// Those of the canaries that the test comes back to.
struct Canaries {
    /// A sole trader: the organisation number is a personal number.
    trader: i64,
    contact: i64,
    /// The ERP refuses its name, which is too long.
    refused: i64,
    /// Norce refuses its code.
    poisoned: i64,
    forgotten: i64,
}

/// Adds canaries with trouble of every kind, in all of which the words of Norce and the ERP repeat personal data.
fn add_canaries(bundle: &Bundle) -> Canaries {
    let norce = &bundle.norce;
    let trader = norce.add_company(NewCompany {
        name: Some("Fågelfirman Kanarine Fogelström".to_owned()),
        organization_no: Some("850709-9805".to_owned()),
        email: Some("canary.first@example.com".to_owned()),
        invoice_address: Some(address()),
        ..NewCompany::default()
    });
    let contact = norce.add_customer(canary("canary.first@example.com"));
    norce.link(contact, trader, true);
    let poisoned = norce.add_customer(canary("canary.second+poison@example.com"));
    norce.poison(Poison {
        rows: PoisonRows::Ids([poisoned].into()),
        mode: PoisonMode::RowFails,
        message: "customer canary.second+poison@example.com, 850709-9805, has been refused"
            .to_owned(),
    });
    for customer in [contact, poisoned] {
        norce.change_customer(customer, |record| {
            record.row.social_security_number = Some("850709-9805".to_owned());
        });
    }
    let long_city = NewAddress {
        city: Some("Burstaden ".repeat(9)),
        ..address()
    };
    norce.add_customer(NewCustomer {
        invoice_address: Some(long_city),
        ..canary("canary.second+long@example.com")
    });
    let refused = norce.add_customer(NewCustomer {
        middle_name: Some(format!("Kanarine {}", "x".repeat(101))),
        ..canary("canary.second+letters@example.com")
    });
    let twin = json!({ "displayName": "Kanarine", "type": "Person", "email": "canary.second+twin@example.com" });
    for _ in 0..2 {
        let added = bundle.erp.add_customer(bundle.erp_company(), &twin);
        added.expect("a customer");
    }
    norce.add_customer(canary("canary.second+twin@example.com"));
    let forgotten = norce.add_customer(canary("canary.second+forgotten@example.com"));
    Canaries {
        trader,
        contact,
        refused,
        poisoned,
        forgotten,
    }
}

/// Faults that happen on the way to the ERP and to Norce.
fn inject_faults(bundle: &Bundle) {
    bundle.erp.inject(
        Fault::lost_answer(LostAnswer::TruncatedBody)
            .on(Method::POST, Entity::Customers)
            .times(1),
    );
    bundle.norce.inject(
        &Endpoint::QUERY,
        When::Times(2),
        Effect::Html { status: 502 },
    );
}

/// Orders hold all of the personal data: a guest's, one that is forwarded, one that is held, and one that is not JSON.
fn place_orders(bundle: &Bundle, canaries: &Canaries) {
    bundle.norce.place_order(NewOrder {
        application_id: 1,
        guest: true,
        email: Some("canary.first@example.com".to_owned()),
        name: Some("Kanarine Fogelström".to_owned()),
        items: vec![("P1".to_owned(), 1.0)],
        ..NewOrder::default()
    });
    let forwarded = (canaries.contact, Some(canaries.trader));
    let held = (canaries.refused, None);
    for (customer, company) in [forwarded, held] {
        bundle.norce.place_order(NewOrder {
            company,
            ..order_of(customer)
        });
    }
    let nonsense = r#"{"SellTo":{"Person":{"Email":"canary.first@example.com"}},"#;
    bundle.norce.post_order("nonsense", nonsense);
}

/// Asks `operator` about the canaries with every action, and searches its answers.
async fn ask_with_every_action(bundle: &Bundle, canaries: &Canaries) {
    for request in [
        json!({"action": "explain", "email": "canary.second+twin@example.com"}),
        json!({"action": "explain", "entity": format!("company/client/{}", canaries.trader)}),
        json!({"action": "explain", "id": canaries.contact}),
        json!({"action": "explain", "id": canaries.poisoned}),
        json!({"action": "forget", "email": "canary.second+poison@example.com"}),
        json!({"action": "unbind", "email": "canary.first@example.com", "confirm": true, "reason": "says canary.first@example.com"}),
        json!({"action": "owed", "do": "retry"}),
        json!({"action": "owed", "do": "dismiss", "reason": "conflict", "because": "canary.first@example.com called"}),
        json!({"action": "dead-letters", "do": "show"}),
        json!({"action": "status"}),
        json!({"action": "doctor"}),
        json!({"action": "jobs"}),
        json!({"action": "export-mappings"}),
    ] {
        let answer = bundle.ask(request.clone()).await.unwrap();
        search(
            &format!("the answer to {}", request["action"]),
            &answer.to_string(),
        );
    }
    for request in [
        json!({"action": "owed", "reason": "canary.first@example.com"}),
        json!({"action": "replay", "entity": "canary.first@example.com"}),
        json!({"action": "explain", "email": {"Kanarine": "Fogelström"}}),
        json!({"action": "explain", "code": ["Kanarine"], "id": "Fogelström"}),
    ] {
        let refused = bundle.ask(request).await.unwrap_err();
        search("a refusal", &refused.to_string());
    }
}

/// Takes the only dead letter of the queue of jobs out, so that the search does not find it.
async fn take_dead_letter(bundle: &Bundle, body: &str) {
    let dead = bundle.jobs.look(Duration::ZERO).await.unwrap();
    assert_eq!(dead[0].body, body);
    bundle.jobs.redrive(&dead[0]).await.unwrap();
    let messages = bundle.jobs.receive(10);
    assert_eq!(messages.len(), 1);
    bundle.jobs.delete(&messages[0].receipt);
}

#[tokio::test(start_paused = true)]
async fn p11_no_personal_data_and_no_secret_is_logged_stored_or_queued() {
    let (captured, _guard) = listen();
    let bundle = Bundle::new(&Options {
        create_in_erp: CreateInErp::Always,
        forgotten: ForgottenPolicy::All,
        order_receiver: true,
        ..Options::default()
    });
    let canaries = add_canaries(&bundle);
    inject_faults(&bundle);
    place_orders(&bundle, &canaries);
    bundle.quiet_within(2 * UNTIL_OWED).await;
    let blank = Blank::Placeholder("Kanarine".to_owned());
    bundle
        .norce
        .forget_customer(canaries.forgotten, &blank, true);
    bundle.run_until_quiet().await;

    let dead_letter = r#"{"email":"canary.second@example.com","phone":"070-987 65 43"}"#;
    let sent = bundle.jobs.dead_letter(dead_letter, None, "no message");
    sent.await.unwrap();
    ask_with_every_action(&bundle, &canaries).await;
    bundle.run_until_quiet().await;
    for mode in [PassMode::Full, PassMode::Delta, PassMode::Sweep] {
        bundle.pass(mode).await;
    }
    bundle
        .ask(json!({"action": "plan", "mode": "full"}))
        .await
        .unwrap();
    bundle.run_until_quiet().await;
    assert!(bundle.reports.all().len() >= 3, "a plan and an export");

    let owed = bundle.owed.list().await.unwrap();
    assert!(owed.len() >= 4, "the trouble has happened: {owed:#?}");
    let outgoing = format!("{:?}", bundle.outgoing_orders);
    assert!(
        outgoing.contains("canary.first"),
        "the order itself is whole"
    );
    take_dead_letter(&bundle, dead_letter).await;
    search_everything(&bundle, &captured);
    let logs = captured.text();
    assert!(
        logs.contains("change handled")
            && logs.contains("lines confirmed")
            && logs.contains("order received")
            && logs.contains("order refused"),
        "something was logged"
    );
}

/// Neither the answer nor the log repeats a post that is refused, or of a type that nothing acts upon.
#[tokio::test(start_paused = true)]
async fn p11_no_answer_to_a_post_repeats_it() {
    let (captured, _guard) = listen();
    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    let person = r#"{"Email":"canary.first@example.com","Name":"Kanarine Fogelström"}"#;
    let bodies = [
        person.to_owned(),
        format!("{person},"),
        format!(r#"{{"CustomerId":{person},"ApplicationId":1}}"#),
        r#"{"CustomerId":"canary.first@example.com","ApplicationId":"Kanarine"}"#.to_owned(),
        r#"{"ClientOrderRef":["08-765 43 21"],"Header":{"ApplicationKey":"850709-9805"}}"#
            .to_owned(),
        format!(r#"{{"JobId":"Kanarine","Message":{person}}}"#),
        "Kanarine".repeat(60_000),
    ];
    let paths = [
        "/orders",
        "/events",
        "/events/customer-changed",
        "/events/company-changed",
        "/events/order-received",
        "/events/order-confirmed",
        "/events/job-completed",
        "/events/canary.first@example.com",
        "/events/850709-9805",
        "/canary.first@example.com",
    ];
    let order_password = format!("{ORDER_USERNAME}:{ORDER_PASSWORD}");
    let mut answers = 0;
    for path in paths {
        for body in &bodies {
            for (secret, password) in [
                (EVENT_SECRET, order_password.as_str()),
                ("Kanarine", "Kanarine:08-765 43 21"),
            ] {
                let password = format!("Basic {}", BASE64.encode(password));
                let headers = [
                    ("x-event-secret", secret),
                    ("authorization", &password),
                    ("x-norce-event-type", "canary.first@example.com"),
                ];
                let post = gateway_request(path, &headers, body.as_bytes());
                let answer = bundle.receive_events.handle(&post).await;
                let is_ignored =
                    answer.status_code == 202 && format!("{answer:?}").contains("ignored");
                assert!(
                    answer.status_code >= 400 || is_ignored,
                    "{path}: {answer:?}"
                );
                search(path, &format!("{answer:?}"));
                answers += 1;
            }
        }
    }
    assert_eq!(answers, paths.len() * bodies.len() * 2);
    search_everything(&bundle, &captured);
    for words in ["event refused", "event ignored"] {
        assert!(captured.text().contains(words));
    }
}

/// Panics with personal data in the message.
struct Panics(Arc<dyn Transport>, AtomicBool);

#[async_trait]
impl Transport for Panics {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let is_of_query = request.uri().path().contains("/query/");
        if is_of_query && !self.1.swap(true, Ordering::Relaxed) {
            panic!("Kanarine Fogelström, canary.first@example.com");
        }
        self.0.send(request, timeout).await
    }
}

#[tokio::test(start_paused = true)]
async fn p11_a_panic_is_logged_by_its_place() {
    let (captured, _guard) = listen();
    let bundle = Bundle::with_transport(&Options::default(), |simulator| {
        Arc::new(Panics(
            Arc::new(InProcess::new(simulator)),
            AtomicBool::default(),
        ))
    });
    let customer = bundle
        .norce
        .add_customer(canary("canary.first@example.com"));
    bundle.norce.place_order(order_of(customer));
    // The hook is global to the process, and other tests run concurrently.
    let of_others = std::panic::take_hook();
    telemetry::log_panics();
    let ours = std::panic::take_hook();
    let here = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == here {
            ours(panic);
        } else {
            of_others(panic);
        }
    }));
    bundle.run_until_quiet().await;
    let logs = captured.text();
    assert!(logs.contains("panic place=\"tests/tests/personal_data.rs:"));
    assert!(
        bundle
            .norce
            .customer(customer)
            .unwrap()
            .row
            .customer_code
            .is_some()
    );
    search_everything(&bundle, &captured);
}

/// An Odoo that knows one partner, and refuses every write in words that name it, as Odoo's own rules do.
struct RefusingOdoo;

const PARTNER: &str = "The VAT number [850709-9805] for partner [Kanarine Fogelström] of Vogelgatan 8, Burstaden, \
    canary.first@example.com, 08-765 43 21, does not seem to be valid";

#[async_trait]
impl Transport for RefusingOdoo {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let (status, body) = match request.uri().path() {
            "/json/2/res.partner/search_read" => {
                let partner = json!({
                    "id": 7, "ref": "C7", "name": "Kanarine Fogelström", "active": true, "type": "contact",
                    "is_company": false, "parent_id": false, "company_registry": false, "vat": false,
                    "email": "canary.first@example.com", "phone": "08-765 43 21", "function": false,
                    "street": "Vogelgatan 8", "street2": false, "zip": "123 45", "city": "Burstaden",
                    "country_id": false, "write_date": "2026-11-24 08:00:00",
                });
                (200, json!([partner]))
            }
            path if path.ends_with("search_read") => (200, json!([])),
            path if path.ends_with("fields_get") => (200, json!({})),
            _ => (
                422,
                json!({ "name": "odoo.exceptions.ValidationError", "message": PARTNER }),
            ),
        };
        let response = http::Response::builder().status(status);
        Ok(response.body(body.to_string().into()).expect("an answer"))
    }
}

#[tokio::test(start_paused = true)]
async fn p11_what_a_rule_of_odoo_refuses_is_refused_without_naming_anybody() {
    let (captured, _guard) = listen();
    let odoo = Odoo::new(
        OdooSettings {
            base_url: "https://odoo.example".parse().unwrap(),
            database: None,
            company: None,
            api_key: "norce-client-secret".into(),
            code_field: "ref".to_owned(),
            code_sequence: None,
            extra_fields: ExtraFields::default(),
            home_country: None,
        },
        Arc::new(RefusingOdoo),
    )
    .unwrap();
    let soon = Deadline::after(Duration::from_secs(60));
    let id = ErpId {
        resource: Resource::Customer,
        id: "7".to_owned(),
    };
    let seen = odoo.get(&id, soon).await.unwrap().expect("a partner");
    // The product writes the number only; Odoo's error names the person all the same.
    let personal = |text: &str| Personal::parse(text).expect("a text");
    let party = Party {
        kind: PartyKind::Person,
        name: personal("Kanarine Fogelström"),
        email: Some(personal("canary.first@example.com")),
        phone: Some(personal("08-765 43 21")),
        mobile: None,
        title: None,
        organisation_number: None,
        vat_number: VatNumber::parse("SE850709980501"),
        address: None,
        delivery_addresses: None,
        emptied: ShopFields::new(),
        unread: ShopFields::new(),
        default_country: None,
        gln: None,
    };
    let updated = odoo.update(&seen, &party, soon).await.unwrap_err();
    let blocked = odoo.block(&id, Block::All, soon).await.unwrap_err();
    for error in [updated, blocked] {
        assert!(matches!(error, ErpError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("does not seem to be valid"));
        search("a refusal", &format!("{error} {error:?}"));
    }
    search("the adapter", &format!("{odoo:?}"));
    search("the log", &captured.text());
}

/// How the integration learns that a customer is forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Learnt {
    Event,
    Sweep,
    Hand,
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Mappings that were exported before anybody was forgotten.
const EARLIER_EXPORT: &str = "mappings/earlier.jsonl";

async fn send<M: Message>(queue: &impl Queue<M>, message: M) {
    queue.send(&[message], Duration::ZERO).await.unwrap();
}

fn is_of_order(owed: &Owed) -> bool {
    matches!(owed.subject, Subject::Order { .. })
}

/// Three customers to be forgotten, each with an order, and a neighbour who stays.
struct Town {
    bundle: Bundle,
    /// Is in the ERP.
    known: i64,
    /// The ERP refuses it: it is owed, and its order waits.
    refused: i64,
    /// Norce refuses its code, which is owed as well.
    unimported: i64,
    neighbour: i64,
    orders: [PlacedOrder; 4],
    /// The binding of `known`.
    row: Binding,
}

impl Town {
    async fn new() -> Self {
        let bundle = Bundle::new(&Options {
            forgotten: ForgottenPolicy::All,
            order_receiver: true,
            ..Options::default()
        });
        bundle.pass(PassMode::Sweep).await;
        let norce = &bundle.norce;
        let known = norce.add_customer(canary("canary.first@example.com"));
        let refused = norce.add_customer(NewCustomer {
            middle_name: Some(format!("Kanarine {}", "x".repeat(101))),
            ..canary("canary.second@example.com")
        });
        let unimported = norce.add_customer(canary("canary.second+poison@example.com"));
        norce.poison(Poison {
            rows: PoisonRows::Ids([unimported].into()),
            mode: PoisonMode::RowFails,
            message: "canary.second+poison@example.com, 850709-9805, has been refused".to_owned(),
        });
        let neighbour = norce.add_customer(NewCustomer {
            email: Some("neighbour@example.com".to_owned()),
            first_name: Some("Nils".to_owned()),
            ..NewCustomer::default()
        });
        let everybody = [known, refused, unimported, neighbour];
        for customer in everybody {
            norce.change_customer(customer, |record| {
                record.row.social_security_number = Some("850709-9805".to_owned());
            });
        }
        let orders = everybody.map(|it| norce.place_order(order_of(it)));
        bundle.quiet_within(2 * UNTIL_OWED).await;
        let row = bundle.binding(customer(known)).await.expect("a binding");
        let owed = bundle.owed.list().await.unwrap();
        assert_eq!(owed.len(), 3, "two, and an order");
        Self {
            bundle,
            known,
            refused,
            unimported,
            neighbour,
            orders,
            row,
        }
    }

    fn persons(&self) -> [i64; 3] {
        [self.known, self.refused, self.unimported]
    }

    async fn forget(&self, learnt: Learnt) {
        let bundle = &self.bundle;
        match learnt {
            Learnt::Event | Learnt::Sweep => {
                for customer in self.persons() {
                    let raise_event = learnt == Learnt::Event;
                    bundle
                        .norce
                        .forget_customer(customer, &Blank::Null, raise_event);
                }
                if learnt == Learnt::Sweep {
                    bundle.pass(PassMode::Sweep).await;
                    // A customer that is in no mapping, only among the owed records, is found by their next retry.
                    tokio::time::sleep(DAY).await;
                    bundle.retry_owed().await;
                }
            }
            Learnt::Hand => {
                for customer in self.persons() {
                    let request = json!({"action": "forget", "id": customer, "confirm": true});
                    let answer = bundle.ask(request).await.unwrap();
                    assert_eq!(answer["forgotten"], true, "{answer:#}");
                    search("the answer", &answer.to_string());
                }
            }
        }
        bundle.run_until_quiet().await;
        let owed = bundle.owed.list().await.unwrap();
        assert!(owed.iter().all(is_of_order), "{owed:#?}");
    }

    async fn order_and_change_again(&self) {
        let norce = &self.bundle.norce;
        for customer in self.persons() {
            norce.place_order(order_of(customer));
            norce.change_customer(customer, |record| {
                record.row.phone_number = Some("070-987 65 43".to_owned());
            });
        }
        self.bundle.run_until_quiet().await;
    }

    /// Sends every message once more, the codes for Norce among them.
    async fn send_every_message_again(&self) {
        let bundle = &self.bundle;
        let mut again = [0, 0, 0];
        let delivered = bundle.delivered.lock().unwrap().clone();
        for body in delivered {
            if let Ok(message) = serde_json::from_str::<ChangeMessage>(&body) {
                again[0] += 1;
                send(&*bundle.changes, message).await;
            } else if let Ok(message) = serde_json::from_str::<ImportRequest>(&body) {
                again[1] += 1;
                send(&*bundle.imports, message).await;
            } else if let Ok(message) = serde_json::from_str::<JobMessage>(&body) {
                again[2] += 1;
                send(&*bundle.jobs, message).await;
            }
        }
        assert!(again.iter().all(|count| *count > 0), "{again:?}");
        bundle.run_until_quiet().await;
    }

    /// Asks `operator` for everything that could restore a customer; an earlier export is among it.
    async fn ask_to_restore(&self) {
        let bundle = &self.bundle;
        let line = json!({
            "kind": "customer", "scope": "client", "id": self.known, "code": self.row.code,
            "erp": self.row.erp_id, "delivery": "confirmed",
        });
        let body = line.to_string().into();
        bundle.reports.put(EARLIER_EXPORT, "", body).await.unwrap();
        let persons = self.persons().map(|id| customer(id).to_string());
        for request in [
            json!({"action": "replay", "entities": persons, "cause": "ordered"}),
            json!({"action": "replay", "since": "2026-11-01T00:00:00Z"}),
            json!({"action": "owed", "do": "retry"}),
            json!({"action": "import-mappings", "from": EARLIER_EXPORT}),
            json!({"action": "explain", "id": self.known}),
            json!({"action": "explain", "code": self.row.code}),
            json!({"action": "export-mappings"}),
        ] {
            let answer = bundle.ask(request.clone()).await;
            search(&request.to_string(), &format!("{answer:?}"));
            bundle.run_until_quiet().await;
        }
    }

    async fn run_every_pass(&self) {
        for mode in [PassMode::Delta, PassMode::Full, PassMode::Sweep] {
            self.bundle.pass(mode).await;
            self.bundle.retry_owed().await;
            self.bundle.run_until_quiet().await;
            tokio::time::sleep(DAY).await;
        }
    }

    /// Every person has a tombstone and the neighbour is bound; since the first `imports` and `writes`, nothing but the
    /// neighbour was written.
    async fn assert_nobody_is_restored(&self, imports: usize, writes: usize) {
        let bundle = &self.bundle;
        for id in self.persons() {
            let mapping = bundle.mappings.get(customer(id)).await.unwrap();
            assert_eq!(mapping, Some(Mapping::Forgotten), "{id}");
        }
        let neighbour = bundle.binding(customer(self.neighbour)).await;
        assert!(neighbour.is_some(), "the neighbour is no longer bound");
        let imported = bundle.norce.imports().split_off(imports);
        let rows: Vec<_> = imported.iter().flat_map(|import| &import.rows).collect();
        let is_of_neighbour = |row: &&Value| row["Id"] == self.neighbour;
        assert!(rows.iter().all(is_of_neighbour), "{rows:#?}");
        let carried_out = &bundle.erp.requests().writes[writes..];
        assert!(carried_out.is_empty(), "{carried_out:#?}");
    }

    /// A stored order is a copy: those of the persons are discarded, and expire with those that were forwarded.
    async fn assert_orders_expire(&self) {
        let bundle = &self.bundle;
        for placed in &self.orders {
            let order = OrderRef {
                application: ApplicationId::try_from(1).unwrap(),
                client_order_ref: placed.client_order_ref.clone(),
            };
            assert!(bundle.orders.expires(&order).is_some());
        }
        let owed = bundle.owed.list().await.unwrap();
        let is_discarded = |owed: &Owed| is_of_order(owed) && owed.reason == Reason::Forgotten;
        assert!(owed.iter().all(is_discarded), "{owed:#?}");
    }

    /// Nothing of the mapping is left but the tombstone: no item of it, and nothing that a pass wrote down.
    async fn assert_no_mapping_is_left(&self) {
        let (bundle, row) = (&self.bundle, &self.row);
        let mappings = format!("{:?}", bundle.mappings);
        let (rows, tombstones) = mappings.split_once("forgotten_entities").unwrap();
        let entities = self.persons().map(|id| format!("{:?}", customer(id)));
        let of_erp = [format!("{:?}", row.code), row.erp_id.id.clone()];
        for former in of_erp.iter().chain(&entities) {
            assert!(!rows.contains(former), "{former} in {rows}");
        }
        assert!(tombstones.contains(&row.erp_id.id));
        let owed = bundle.owed.list().await.unwrap();
        let written = format!("{owed:?} {:?} {:?}", bundle.passes, bundle.changes);
        assert!(!written.contains(&row.erp_id.id), "{written}");
        for (key, body) in bundle.reports.all() {
            let text = String::from_utf8_lossy(&body).into_owned();
            let is_free = !text.contains(&row.erp_id.id);
            assert!(key == EARLIER_EXPORT || is_free, "{key}");
        }
    }
}

async fn forgetting_leaves_nothing(learnt: Learnt) {
    let (captured, _guard) = listen();
    let town = Town::new().await;
    town.forget(learnt).await;
    let imports = town.bundle.norce.imports().len();
    let writes = town.bundle.erp.requests().writes.len();
    town.order_and_change_again().await;
    town.send_every_message_again().await;
    town.ask_to_restore().await;
    town.run_every_pass().await;
    town.assert_nobody_is_restored(imports, writes).await;
    town.assert_orders_expire().await;
    town.assert_no_mapping_is_left().await;
    search_everything(&town.bundle, &captured);
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_forgotten_by_an_event_leaves_a_tombstone_and_is_not_restored() {
    forgetting_leaves_nothing(Learnt::Event).await;
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_forgotten_by_a_sweep_leaves_a_tombstone_and_is_not_restored() {
    forgetting_leaves_nothing(Learnt::Sweep).await;
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_forgotten_by_hand_leaves_a_tombstone_and_is_not_restored() {
    forgetting_leaves_nothing(Learnt::Hand).await;
}
