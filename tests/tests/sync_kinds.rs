//! Kinds that are switched off (`SyncKinds`) are not written on either side, have no owed records, and hold up no orders. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    domain::{EntityRef, PartyType, PassMode, PassRequest, SyncKinds},
    mappings::{Mapping, Mappings},
    reports::Reports,
    runtime::configuration::{CreateInErp, ForgottenPolicy},
};
use tests::{
    bundle::{Bundle, Options, UNTIL_OWED, company, customer},
    norce_simulator::{Blank, NewCompany, NewCustomer},
    samples::{self, order, order_of, order_of_company, resident},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Every set of kinds that can be configured, other than all.
const SOME: [&str; 4] = [
    "companies,contacts",
    "persons,companies",
    "companies",
    "persons",
];

fn with(kinds: &str) -> Options {
    Options {
        sync_kinds: kinds.parse().unwrap(),
        ..Options::default()
    }
}

/// Switches kinds on and off while everything else stays as it is.
fn switch(bundle: &mut Bundle, kinds: &str) {
    let kinds: SyncKinds = kinds.parse().unwrap();
    bundle.change_events.policy.sync_kinds = kinds;
    bundle.full_pass.settings.sync_kinds = kinds;
    let ports = bundle.operator.ports.as_mut().ok().unwrap();
    ports.change_events.policy.sync_kinds = kinds;
}

fn firm() -> NewCompany {
    NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        vat_no: Some("SE556036079301".to_owned()),
        ..NewCompany::default()
    }
}

/// A person, a company, and its contact in the shop.
#[derive(Clone, Copy)]
struct Shop {
    person: i64,
    company: i64,
    contact: i64,
}

impl Shop {
    fn new(bundle: &Bundle) -> Self {
        let [person, contact] = [1, 2].map(|it| bundle.norce.add_customer(resident(it)));
        let company = bundle.norce.add_company(firm());
        bundle.norce.link(contact, company, true);
        Self {
            person,
            company,
            contact,
        }
    }

    fn order(self, bundle: &Bundle) {
        bundle.norce.place_order(order_of(self.person));
        let of_contact = order(Some(self.contact), Some(self.company));
        bundle.norce.place_order(of_contact);
    }

    fn entities(self) -> [(PartyType, EntityRef); 3] {
        [
            (PartyType::Person, customer(self.person)),
            (PartyType::Company, company(self.company)),
            (PartyType::Contact, customer(self.contact)),
        ]
    }
}

/// Which types are in the ERP.
fn in_erp(bundle: &Bundle) -> Vec<PartyType> {
    let mut types = Vec::new();
    for record in bundle.erp.customers(bundle.erp_company()) {
        types.push(match record.r#type.as_str() {
            "Company" => PartyType::Company,
            _ => PartyType::Person,
        });
    }
    // Business Central makes a contact of its own for every customer.
    let contacts = bundle.erp.contacts(bundle.erp_company());
    let of_shop = contacts
        .iter()
        .filter(|it| it.email == "anna.2@example.com");
    types.extend(of_shop.map(|_| PartyType::Contact));
    types.sort_unstable();
    types
}

async fn is_bound(bundle: &Bundle, entity: EntityRef) -> bool {
    matches!(
        bundle.mappings.get(entity).await.unwrap(),
        Some(Mapping::Bound(_))
    )
}

async fn owed(bundle: &Bundle) -> Vec<String> {
    let owed = bundle.owed.list().await.unwrap();
    owed.iter().map(|owed| owed.subject.to_string()).collect()
}

async fn explain(bundle: &Bundle, entity: EntityRef) -> Value {
    let request = json!({"action": "explain", "kind": entity.kind.as_str(), "id": entity.id.get()});
    bundle.ask(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn e11_a_first_order_creates_only_what_is_synchronized_and_nothing_else_is_owed() {
    for kinds in SOME.iter().copied().chain(["persons,companies,contacts"]) {
        let bundle = Bundle::new(&with(kinds));
        let shop = Shop::new(&bundle);
        shop.order(&bundle);
        bundle.run_until_quiet().await;
        let is_on = |of: PartyType| kinds.contains(of.as_str());
        let expected: Vec<PartyType> = PartyType::ALL.into_iter().filter(|it| is_on(*it)).collect();
        assert_eq!(in_erp(&bundle), expected, "{kinds}");
        assert_eq!(owed(&bundle).await, [""; 0], "{kinds}");
        for (of, entity) in shop.entities() {
            assert_eq!(
                is_bound(&bundle, entity).await,
                is_on(of),
                "{kinds}: {entity}"
            );
            let code_in_norce = match of {
                PartyType::Company => bundle.norce.company(shop.company).unwrap().row.company_code,
                _ => bundle.customer_code(entity.id.get().into()),
            };
            assert_eq!(code_in_norce.is_some(), is_on(of), "{kinds}: {entity}");
            let explained = explain(&bundle, entity).await;
            let said = explained["summary"].as_str().unwrap();
            let off = format!("nothing: {of} are switched off (SyncKinds); add `{of}`");
            assert_eq!(said.contains(&off), !is_on(of), "{kinds}: {said}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_switched_off_keeps_its_binding_and_resumes_when_it_is_switched_on() {
    for (off, kinds) in [
        (PartyType::Person, "companies,contacts"),
        (PartyType::Contact, "persons,companies"),
    ] {
        let mut bundle = Bundle::new(&with("persons,companies,contacts"));
        let shop = Shop::new(&bundle);
        shop.order(&bundle);
        bundle.run_until_quiet().await;
        let id = if off == PartyType::Person {
            shop.person
        } else {
            shop.contact
        };
        let code = bundle.customer_code(id);
        assert!(is_bound(&bundle, customer(id)).await);
        switch(&mut bundle, kinds);
        bundle.erp.forget_requests();
        bundle.norce.change_customer(id, |it| {
            it.row.phone_number = Some("08-765 43 21".to_owned())
        });
        bundle.run_until_quiet().await;
        for mode in [PassMode::Sweep, PassMode::Full] {
            bundle.pass(mode).await;
        }
        assert_eq!(bundle.erp.requests().writes.len(), 0, "{off}");
        assert!(is_bound(&bundle, customer(id)).await, "{off}");
        assert_eq!(bundle.customer_code(id), code, "{off}");
        assert_eq!(owed(&bundle).await, [""; 0], "{off}");

        switch(&mut bundle, "persons,companies,contacts");
        let replay = json!({"action": "replay", "entity": customer(id).to_string()});
        bundle.ask(replay).await.unwrap();
        bundle.run_until_quiet().await;
        assert_eq!(bundle.erp.requests().writes.len(), 1, "{off}");
    }
}

/// Contacts that the shop adds while contacts are switched off are handled with the first change of their company after that.
#[tokio::test(start_paused = true)]
async fn contacts_that_came_while_contacts_were_switched_off_are_created_with_the_next_change_of_their_company()
 {
    let mut bundle = Bundle::new(&with("companies"));
    let shop = Shop::new(&bundle);
    bundle.norce.place_order(order_of_company(shop.company));
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle), [PartyType::Company]);
    switch(&mut bundle, "companies,contacts");
    bundle.norce.change_company(shop.company, |it| {
        it.row.phone_number = Some("08-1".to_owned())
    });
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle), [PartyType::Company, PartyType::Contact]);
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_of_a_kind_ends_with_the_next_look_after_it_is_switched_off() {
    let mut bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    let refused = NewCustomer {
        middle_name: samples::endless_middle_name(),
        ..resident(1)
    };
    let person = bundle.norce.add_customer(refused);
    bundle.norce.place_order(order_of(person));
    // A conflict of a pass: two records of the ERP with one e-mail address.
    for number in ["K1", "K2"] {
        let record = json!({"number": number, "type": "Person", "displayName": "Bo", "email": "anna.3@example.com"});
        bundle
            .erp
            .add_customer(bundle.erp_company(), &record)
            .unwrap();
    }
    bundle.norce.add_customer(resident(3));
    bundle.quiet_within(UNTIL_OWED).await;
    bundle.pass(PassMode::Full).await;
    // The customer, its order, and both records.
    assert_eq!(owed(&bundle).await.len(), 4);

    switch(&mut bundle, "companies,contacts");
    tokio::time::sleep(DAY).await;
    bundle.retry_owed().await;
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Delta).await;
    assert_eq!(owed(&bundle).await, [""; 0]);
    let [_] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("the order that was held");
    let logged = explain(&bundle, customer(person)).await;
    assert!(
        logged["summary"]
            .as_str()
            .unwrap()
            .contains("switched off (SyncKinds)")
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_kind_that_is_switched_off_is_forwarded_at_once_and_as_it_is() {
    for kinds in SOME {
        let bundle = Bundle::new(&Options {
            order_receiver: true,
            // Nobody gets a code, so that an order that waits for one is held.
            create_in_erp: CreateInErp::Never,
            ..with(kinds)
        });
        let shop = Shop::new(&bundle);
        let on: SyncKinds = kinds.parse().unwrap();
        for (of, order) in [
            (PartyType::Person, order_of(shop.person)),
            (PartyType::Company, order_of_company(shop.company)),
        ] {
            bundle.norce.place_order(order);
            bundle.quiet_within(UNTIL_OWED).await;
            let posted = bundle.norce.order_deliveries().pop().unwrap().body;
            let forwarded = bundle.take_outgoing_orders();
            let forwarded: Vec<&str> = forwarded.iter().map(|it| it.body.as_str()).collect();
            if on.has(of) {
                assert_eq!(forwarded, [""; 0], "{kinds}: {of}");
            } else {
                assert_eq!(forwarded, [posted], "{kinds}: {of}");
            }
        }
        let held = owed(&bundle).await.len();
        let expected = [PartyType::Person, PartyType::Company]
            .iter()
            .filter(|it| on.has(**it))
            .count();
        assert_eq!(held, expected, "{kinds}");
    }
}

/// What is on is still waited for, and gets its code.
#[tokio::test(start_paused = true)]
async fn an_order_of_a_contact_that_is_switched_off_has_the_code_of_its_company() {
    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..with("companies")
    });
    let shop = Shop::new(&bundle);
    shop.order(&bundle);
    bundle.run_until_quiet().await;
    let forwarded = bundle.take_outgoing_orders();
    assert_eq!(forwarded.len(), 2);
    let code = bundle
        .norce
        .company(shop.company)
        .unwrap()
        .row
        .company_code
        .unwrap();
    let with_code = forwarded
        .iter()
        .filter(|it| it.body.contains(&format!("\"{code}\"")));
    assert_eq!(with_code.count(), 1);
    assert_eq!(owed(&bundle).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_of_a_kind_that_is_switched_off_is_forgotten_all_the_same() {
    for event_comes in [true, false] {
        let mut bundle = Bundle::new(&Options {
            forgotten: ForgottenPolicy::All,
            ..Options::default()
        });
        let shop = Shop::new(&bundle);
        shop.order(&bundle);
        bundle.run_until_quiet().await;
        switch(&mut bundle, "companies");
        for id in [shop.person, shop.contact] {
            bundle.norce.forget_customer(id, &Blank::Null, event_comes);
        }
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Sweep).await;
        for id in [shop.person, shop.contact] {
            let mapping = bundle.mappings.get(customer(id)).await.unwrap();
            assert_eq!(mapping, Some(Mapping::Forgotten), "{event_comes}");
        }
        let records = bundle.erp.customers(bundle.erp_company());
        let person = records.iter().find(|it| it.r#type == "Person").unwrap();
        assert_eq!(person.blocked, "All", "{event_comes}");
        assert_eq!(owed(&bundle).await, [""; 0]);
    }
}

/// A customer that was merged into another one, which Norce then forgot.
#[tokio::test(start_paused = true)]
async fn p12_a_merged_person_is_forgotten_with_the_one_that_stayed_although_persons_are_switched_off()
 {
    let mut bundle = Bundle::new(&Options::default());
    let [merged, stays] = [1, 2].map(|it| bundle.norce.add_customer(resident(it)));
    bundle.norce.place_order(order_of(merged));
    bundle.run_until_quiet().await;
    switch(&mut bundle, "companies,contacts");
    bundle.norce.merge_customer(merged, stays, false);
    bundle.run_until_quiet().await;
    assert!(is_bound(&bundle, customer(merged)).await);
    bundle.norce.forget_customer(stays, &Blank::Null, true);
    bundle
        .norce
        .change_customer(merged, |it| it.row.phone_number = None);
    bundle.run_until_quiet().await;
    let mapping = bundle.mappings.get(customer(merged)).await.unwrap();
    assert_eq!(mapping, Some(Mapping::Forgotten));
}

#[tokio::test(start_paused = true)]
async fn a_pass_neither_binds_nor_imports_nor_inserts_what_is_switched_off_and_a_plan_says_so() {
    for (kinds, off) in [
        ("companies,contacts", vec!["persons"]),
        ("persons", vec!["companies"]),
    ] {
        let mut options = with(kinds);
        options.pass.import_unknown = true;
        let bundle = Bundle::new(&options);
        bundle.unsubscribe();
        let erp = bundle.erp_company();
        for properties in [
            // In the shop by its e-mail address, in the shop by its code, and in the ERP only.
            json!({"number": "K1", "type": "Person", "displayName": "Anna Ek", "email": "anna.1@example.com"}),
            json!({"number": "K2", "type": "Person", "displayName": "Anna Ek", "email": "anna.2@example.com"}),
            json!({"number": "K3", "type": "Person", "displayName": "Bo Ek", "email": "bo@example.com"}),
            json!({"number": "B1", "type": "Company", "displayName": "Bolaget AB", "taxRegistrationNumber": "SE556036079301", "country": "SE"}),
        ] {
            bundle.erp.add_customer(erp, &properties).unwrap();
        }
        let by_key = bundle.norce.add_customer(resident(1));
        let by_code = NewCustomer {
            code: Some("K2".to_owned()),
            ..resident(2)
        };
        let by_code = bundle.norce.add_customer(by_code);
        let firm = bundle.norce.add_company(firm());
        let request = PassRequest {
            mode: PassMode::Full,
            kind: None,
            application: None,
            dry_run: true,
        };
        let plan = bundle.start(&request).await[0];
        bundle.run_until_quiet().await;
        let summary = bundle
            .reports
            .get(&format!("plans/{plan}/summary.json"))
            .await
            .unwrap()
            .unwrap();
        let summary = String::from_utf8(summary.to_vec()).unwrap();
        let run = bundle.pass(PassMode::Full).await;
        for kind in off {
            let reason = format!("{kind} are switched off (SyncKinds)");
            assert!(run.counts.skipped.contains_key(&reason), "{:?}", run.counts);
            assert!(summary.contains(&reason), "{summary}");
        }
        let persons = kinds.contains("persons");
        for id in [by_key, by_code] {
            assert_eq!(
                is_bound(&bundle, customer(id)).await,
                persons,
                "{kinds}: {id}"
            );
        }
        assert_eq!(bundle.customer_code(by_key).is_some(), persons, "{kinds}");
        let inserted = bundle
            .norce
            .customers()
            .iter()
            .any(|it| it.row.customer_code.as_deref() == Some("K3"));
        assert_eq!(inserted, persons, "{kinds}");
        assert_eq!(is_bound(&bundle, company(firm)).await, !persons, "{kinds}");
        assert_eq!(owed(&bundle).await, [""; 0], "{kinds}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sweep_does_not_list_what_is_switched_off_altogether() {
    let bundle = Bundle::new(&with("companies"));
    bundle.pass(PassMode::Sweep).await;
    bundle.unsubscribe();
    let shop = Shop::new(&bundle);
    shop.order(&bundle);
    let run = bundle.pass(PassMode::Sweep).await;
    assert_eq!((run.counts.seen, run.counts.queued), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn doctor_names_what_is_switched_off_and_asks_for_no_event_of_it() {
    let of = async |kinds: &str| {
        let bundle = Bundle::new(&with(kinds));
        bundle.ask(json!({"action": "doctor"})).await.unwrap()
    };
    let all = of("persons,companies,contacts").await.to_string();
    assert!(
        all.contains("events-companies") && !all.contains("SyncKinds"),
        "{all}"
    );
    let some = of("persons").await.to_string();
    assert!(
        some.contains("SyncKinds switches off: companies, contacts"),
        "{some}"
    );
    assert!(
        !some.contains("events-companies") && some.contains("events-customers"),
        "{some}"
    );
    assert!(!some.contains("events about changed companies"), "{some}");
    let some = of("companies").await.to_string();
    assert!(
        some.contains("events-companies") && !some.contains("events-customers"),
        "{some}"
    );
}
