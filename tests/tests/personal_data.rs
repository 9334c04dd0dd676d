//! P11: no secret and no personal data in logs, messages, their attributes, stores, reports, answers or dead letters; and
//! P12: when somebody is forgotten, nothing of them is left there, and nothing brings them back.
//!
//! Canaries are seeded in every place where Norce and the ERP hold personal data, a day with every kind of trouble is
//! played, and everything that was written anywhere of ours is searched. What is measured ([`shared::runtime::telemetry`])
//! takes numbers and the names of classes only, by its types.

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
use serde_json::json;
use shared::{
    domain::{
        ApplicationId, ChangeMessage, ImportRequest, JobMessage, PassMode, Personal, ShopFields,
        VatNumber,
    },
    erp::{
        Erp, ErpError, ErpId, ExtraFields, Party, PartyKind, Resource,
        odoo::{Odoo, OdooSettings},
    },
    http::{Deadline, Transport, TransportError},
    mappings::{Mapping, Mappings},
    orders::OrderRef,
    owed::{Owed, Reason, Subject},
    queues::{DeadLetters, Inbox, Queue},
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
    loop {
        let orders = bundle.outgoing_orders.receive(10);
        if orders.is_empty() {
            break;
        }
        for order in orders {
            bundle.outgoing_orders.delete(&order.receipt);
            search("the group of an order", &order.group.unwrap_or_default());
        }
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

#[tokio::test(start_paused = true)]
async fn p11_no_personal_data_and_no_secret_is_logged_stored_or_queued() {
    let (captured, _guard) = listen();
    let bundle = Bundle::new(&Options {
        create_in_erp: CreateInErp::Always,
        forgotten: ForgottenPolicy::Block,
        order_receiver: true,
        ..Options::default()
    });
    // A sole trader: the organisation number is a personal number.
    let trader = bundle.norce.add_company(NewCompany {
        name: Some("Fågelfirman Kanarine Fogelström".to_owned()),
        organization_no: Some("850709-9805".to_owned()),
        email: Some("canary.first@example.com".to_owned()),
        invoice_address: Some(address()),
        ..NewCompany::default()
    });
    let contact = bundle
        .norce
        .add_customer(canary("canary.first@example.com"));
    bundle.norce.link(contact, trader, true);
    // Trouble of every kind, all of whose words come from outside.
    let long = NewCustomer {
        invoice_address: Some(NewAddress {
            city: Some("Burstaden ".repeat(9)),
            ..address()
        }),
        ..canary("canary.second+long@example.com")
    };
    let refused = NewCustomer {
        phone: Some("08-765 43 21 Kanarine".to_owned()),
        ..canary("canary.second+letters@example.com")
    };
    let poisoned = bundle
        .norce
        .add_customer(canary("canary.second+poison@example.com"));
    bundle.norce.poison(Poison {
        rows: PoisonRows::Ids([poisoned].into()),
        mode: PoisonMode::RowFails,
        message: "customer canary.second+poison@example.com, 850709-9805, has been refused"
            .to_owned(),
    });
    for customer in [contact, poisoned] {
        bundle.norce.change_customer(customer, |record| {
            record.row.social_security_number = Some("850709-9805".to_owned());
        });
    }
    bundle.norce.add_customer(long);
    let refused = bundle.norce.add_customer(refused);
    let twin = json!({ "displayName": "Kanarine", "type": "Person", "email": "canary.second+twin@example.com" });
    for _ in 0..2 {
        bundle
            .erp
            .add_customer(bundle.erp_company(), &twin)
            .expect("a customer");
    }
    bundle
        .norce
        .add_customer(canary("canary.second+twin@example.com"));
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
    let forgotten = bundle
        .norce
        .add_customer(canary("canary.second+forgotten@example.com"));
    bundle.norce.place_order(NewOrder {
        application_id: 1,
        guest: true,
        email: Some("canary.first@example.com".to_owned()),
        name: Some("Kanarine Fogelström".to_owned()),
        items: vec![("P1".to_owned(), 1.0)],
        ..NewOrder::default()
    });
    // Orders, which hold all of it: one is forwarded, one is held, one is nonsense.
    for (customer, company) in [(contact, Some(trader)), (refused, None)] {
        bundle.norce.place_order(NewOrder {
            application_id: 1,
            customer: Some(customer),
            company,
            items: vec![("P1".to_owned(), 1.0)],
            ..NewOrder::default()
        });
    }
    let nonsense = r#"{"SellTo":{"Person":{"Email":"canary.first@example.com"}},"#;
    bundle.norce.post_order("nonsense", nonsense);

    bundle.quiet_within(2 * UNTIL_OWED).await;
    bundle
        .norce
        .forget_customer(forgotten, &Blank::Placeholder("Kanarine".to_owned()), true);
    bundle.run_until_quiet().await;

    // A person asks about all of it, in all the ways that there are.
    let poisoned_dead_letter = r#"{"email":"canary.second@example.com","phone":"070-987 65 43"}"#;
    let dead = bundle
        .jobs
        .dead_letter(poisoned_dead_letter, None, "no message");
    dead.await.unwrap();
    for request in [
        json!({"action": "explain", "email": "canary.second+twin@example.com"}),
        json!({"action": "explain", "entity": format!("company/client/{trader}")}),
        json!({"action": "explain", "id": contact}),
        json!({"action": "explain", "id": poisoned}),
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
    // What a person has put there.
    let dead = bundle.jobs.look(Duration::ZERO).await.unwrap();
    assert_eq!(dead[0].body, poisoned_dead_letter);
    bundle.jobs.redrive(&dead[0]).await.unwrap();
    let poison = bundle.jobs.receive(10);
    assert_eq!(poison.len(), 1);
    bundle.jobs.delete(&poison[0].receipt);
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

/// A post that is refused, or of a type that nothing acts upon, is not repeated to whoever sent it, nor in the log.
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

/// Breaks down with somebody's data in its last words.
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
    // The hook is the process's, and other tests run beside this one.
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
    // Nothing of it is written but the number: Odoo names whom it is about all the same.
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
        gln: None,
    };
    let updated = odoo.update(&seen, &party, soon).await.unwrap_err();
    let blocked = odoo.block(&id, soon).await.unwrap_err();
    for error in [updated, blocked] {
        assert!(matches!(error, ErpError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("does not seem to be valid"));
        search("a refusal", &format!("{error} {error:?}"));
    }
    search("the adapter", &format!("{odoo:?}"));
    search("the log", &captured.text());
}

/// By what it is learnt that somebody is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Learnt {
    Event,
    Sweep,
    Hand,
}

fn order_of(customer: i64) -> NewOrder {
    NewOrder {
        application_id: 1,
        customer: Some(customer),
        items: vec![("P1".to_owned(), 1.0)],
        ..NewOrder::default()
    }
}

/// Somebody who is in the ERP; somebody whom the ERP refuses, so that something is owed and an order waits; somebody whose
/// code Norce refuses, which is owed as well; and a neighbour who stays.
async fn forgetting_leaves_nothing(learnt: Learnt) {
    let (captured, _guard) = listen();
    let bundle = Bundle::new(&Options {
        forgotten: ForgottenPolicy::Block,
        order_receiver: true,
        ..Options::default()
    });
    bundle.pass(PassMode::Sweep).await;
    let known = bundle
        .norce
        .add_customer(canary("canary.first@example.com"));
    let refused = bundle.norce.add_customer(NewCustomer {
        phone: Some("08-765 43 21 Kanarine".to_owned()),
        ..canary("canary.second@example.com")
    });
    let unimported = bundle
        .norce
        .add_customer(canary("canary.second+poison@example.com"));
    bundle.norce.poison(Poison {
        rows: PoisonRows::Ids([unimported].into()),
        mode: PoisonMode::RowFails,
        message: "canary.second+poison@example.com, 850709-9805, has been refused".to_owned(),
    });
    let persons = [known, refused, unimported];
    let neighbour = bundle.norce.add_customer(NewCustomer {
        email: Some("neighbour@example.com".to_owned()),
        first_name: Some("Nils".to_owned()),
        ..NewCustomer::default()
    });
    for customer in [known, refused, unimported, neighbour] {
        bundle.norce.change_customer(customer, |record| {
            record.row.social_security_number = Some("850709-9805".to_owned());
        });
    }
    let orders =
        [known, refused, unimported, neighbour].map(|it| bundle.norce.place_order(order_of(it)));
    bundle.quiet_within(2 * UNTIL_OWED).await;
    let of = |id: i64| customer(id);
    let binding = async |id: i64| match bundle.mappings.get(of(id)).await.unwrap() {
        Some(Mapping::Bound(binding)) => binding,
        other => panic!("{id}: {other:?}"),
    };
    let row = binding(known).await;
    let line = json!({
        "kind": "customer", "scope": "client", "id": known, "code": row.code,
        "erp": row.erp_id, "delivery": "confirmed",
    });
    assert_eq!(
        bundle.owed.list().await.unwrap().len(),
        3,
        "two, and an order"
    );

    match learnt {
        Learnt::Event | Learnt::Sweep => {
            for customer in persons {
                let raise_event = learnt == Learnt::Event;
                bundle
                    .norce
                    .forget_customer(customer, &Blank::Null, raise_event);
            }
            if learnt == Learnt::Sweep {
                bundle.pass(PassMode::Sweep).await;
                // Whom nothing but what is owed tells of is found by the schedule that tries it again.
                tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
                bundle.retry_owed().await;
            }
        }
        Learnt::Hand => {
            for customer in persons {
                let request = json!({"action": "forget", "id": customer, "confirm": true});
                let answer = bundle.ask(request).await.unwrap();
                assert_eq!(answer["forgotten"], true, "{answer:#}");
                search("the answer", &answer.to_string());
            }
        }
    }
    bundle.run_until_quiet().await;
    let is_of_orders = |owed: &Owed| matches!(owed.subject, Subject::Order { .. });
    let owed = bundle.owed.list().await.unwrap();
    assert!(owed.iter().all(is_of_orders), "{owed:#?}");

    // Whatever would bring them back.
    let imports = bundle.norce.imports().len();
    let writes = bundle.erp.requests().writes.len();
    let everybody = persons.map(|id| of(id).to_string());
    for customer in persons {
        bundle.norce.place_order(order_of(customer));
        bundle.norce.change_customer(customer, |record| {
            record.row.phone_number = Some("070-987 65 43".to_owned());
        });
    }
    bundle.run_until_quiet().await;
    // Every message comes once more, the codes for Norce among them.
    let mut again = [0, 0, 0];
    let delivered = bundle.delivered.lock().unwrap().clone();
    for body in delivered {
        if let Ok(message) = serde_json::from_str::<ChangeMessage>(&body) {
            again[0] += 1;
            bundle
                .changes
                .send(&[message], Duration::ZERO)
                .await
                .unwrap();
        } else if let Ok(message) = serde_json::from_str::<ImportRequest>(&body) {
            again[1] += 1;
            bundle
                .imports
                .send(&[message], Duration::ZERO)
                .await
                .unwrap();
        } else if let Ok(message) = serde_json::from_str::<JobMessage>(&body) {
            again[2] += 1;
            bundle.jobs.send(&[message], Duration::ZERO).await.unwrap();
        }
    }
    assert!(again.iter().all(|count| *count > 0), "{again:?}");
    bundle.run_until_quiet().await;
    let seed = "mappings/earlier.jsonl";
    let body = line.to_string().into();
    bundle.reports.put(seed, "", body).await.unwrap();
    for request in [
        json!({"action": "replay", "entities": everybody, "cause": "ordered"}),
        json!({"action": "replay", "since": "2026-11-01T00:00:00Z"}),
        json!({"action": "owed", "do": "retry"}),
        json!({"action": "import-mappings", "from": seed}),
        json!({"action": "explain", "id": known}),
        json!({"action": "explain", "code": row.code}),
        json!({"action": "export-mappings"}),
    ] {
        let answer = bundle.ask(request.clone()).await;
        search(&request.to_string(), &format!("{answer:?}"));
        bundle.run_until_quiet().await;
    }
    for mode in [PassMode::Delta, PassMode::Full, PassMode::Sweep] {
        bundle.pass(mode).await;
        bundle.retry_owed().await;
        bundle.run_until_quiet().await;
        tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    }

    for id in persons {
        let mapping = bundle.mappings.get(of(id)).await.unwrap();
        assert_eq!(mapping, Some(Mapping::Forgotten), "{id}");
    }
    binding(neighbour).await;
    let imported = bundle.norce.imports().split_off(imports);
    let rows: Vec<_> = imported.iter().flat_map(|import| &import.rows).collect();
    assert!(rows.iter().all(|row| row["Id"] == neighbour), "{rows:#?}");
    let carried_out = &bundle.erp.requests().writes[writes..];
    assert!(carried_out.is_empty(), "{carried_out:#?}");
    // An order of theirs is a copy of ours: it is let go, and goes with those that were forwarded.
    let order = |order: &PlacedOrder| OrderRef {
        application: ApplicationId::try_from(1).unwrap(),
        client_order_ref: order.client_order_ref.clone(),
    };
    for placed in &orders {
        assert!(bundle.orders.expires(&order(placed)).is_some());
    }
    let owed = bundle.owed.list().await.unwrap();
    let is_let_go = |owed: &Owed| is_of_orders(owed) && owed.reason == Reason::Forgotten;
    assert!(owed.iter().all(is_let_go), "{owed:#?}");
    // Our former rows: the mapping, its faces, and whatever a pass wrote down.
    let mappings = format!("{:?}", bundle.mappings);
    let (rows, tombstones) = mappings.split_once("forgotten_entities").unwrap();
    for former in [
        format!("{:?}", row.code),
        row.erp_id.id.clone(),
        format!("{:?}", of(known)),
        format!("{:?}", of(refused)),
        format!("{:?}", of(unimported)),
    ] {
        assert!(!rows.contains(&former), "{former} in {rows}");
    }
    assert!(tombstones.contains(&row.erp_id.id));
    let written = format!("{owed:?} {:?} {:?}", bundle.passes, bundle.changes);
    assert!(!written.contains(&row.erp_id.id), "{written}");
    for (key, body) in bundle.reports.all() {
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(key == seed || !text.contains(&row.erp_id.id), "{key}");
    }
    search_everything(&bundle, &captured);
}

#[tokio::test(start_paused = true)]
async fn p12_who_is_forgotten_by_an_event_leaves_a_tombstone_and_is_not_brought_back() {
    forgetting_leaves_nothing(Learnt::Event).await;
}

#[tokio::test(start_paused = true)]
async fn p12_who_is_forgotten_by_a_sweep_leaves_a_tombstone_and_is_not_brought_back() {
    forgetting_leaves_nothing(Learnt::Sweep).await;
}

#[tokio::test(start_paused = true)]
async fn p12_who_is_forgotten_by_hand_leaves_a_tombstone_and_is_not_brought_back() {
    forgetting_leaves_nothing(Learnt::Hand).await;
}
