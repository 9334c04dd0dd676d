//! P11: no secret and no personal data in logs, messages, mappings, owed records, import jobs or dead letters.
//!
//! Canaries are seeded in every place where Norce and the ERP hold personal data, a day with every kind of trouble is
//! played, and everything that was written anywhere of ours is searched.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use http::Method;
use serde_json::json;
use shared::{
    owed::OwedRecords,
    queues::Inbox,
    runtime::configuration::{CreateInErp, ForgottenPolicy},
};
use tests::{
    bundle::{Bundle, EVENT_SECRET, Options},
    business_central_simulator::{Entity, Fault, LostAnswer},
    norce_simulator::{
        Blank, Effect, Endpoint, NewAddress, NewCompany, NewCustomer, NewOrder, Poison, PoisonMode,
        PoisonRows, When,
    },
};
use tracing_subscriber::fmt::MakeWriter;

/// Distinctive texts, one for each kind of personal data, and the secrets.
const CANARIES: [&str; 14] = [
    "canary.first",
    "canary.second",
    "Kanarine",
    "Fogelström",
    "Vogelgatan",
    "Burstaden",
    "08-765 43 21",
    "070-987 65 43",
    "850709-9805",
    "8507099805",
    "Fågelfirman",
    "norce-client-secret",
    "business-central-secret",
    EVENT_SECRET,
];

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn address() -> NewAddress {
    NewAddress {
        care_of: Some("Fogelström".to_owned()),
        line1: Some("Vogelgatan 8".to_owned()),
        city: Some("Burstaden".to_owned()),
        zip_code: Some("123 45".to_owned()),
        country_code: Some("SE".to_owned()),
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
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let bundle = Bundle::new(&Options {
        create_in_erp: CreateInErp::Always,
        forgotten: ForgottenPolicy::Block,
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
    bundle.norce.add_customer(long);
    bundle.norce.add_customer(refused);
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

    bundle.run_until_quiet().await;
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
    for (key, body) in bundle.reports.all() {
        search(&key, &String::from_utf8_lossy(&body));
    }
    bundle.run_until_quiet().await;

    let owed = bundle.owed.list().await.unwrap();
    assert!(owed.len() >= 4, "the trouble has happened: {owed:#?}");
    for body in bundle.delivered.lock().unwrap().iter() {
        search("a message", body);
    }
    search("an owed record", &format!("{owed:?}"));
    search("the mappings", &format!("{:?}", bundle.mappings));
    search("the import jobs", &format!("{:?}", bundle.import_jobs));
    search(
        "the dead letters",
        &format!("{:?}", bundle.changes.dead_letters()),
    );
    let logs = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(
        logs.contains("change handled") && logs.contains("lines confirmed"),
        "something was logged"
    );
    search("the log", &logs);
}
