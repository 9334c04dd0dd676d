//! Customers that are inactive or stopped, or whose data Norce has removed without marking them as forgotten: nothing
//! of them reaches the ERP (norce-api §9). In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use shared::{
    domain::{Clock, PassMode},
    mappings::{Mapping, Mappings},
    owed::{Owed, Reason, Stage},
    runtime::configuration::{CreateInErp, ForgottenPolicy},
};
use tests::{
    bundle::{Bundle, Options, SOON, customer},
    business_central_simulator::CustomerRecord,
    norce_simulator::{Blank, NewCompany, NewCustomer},
    samples::{address, order_of},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A customer that has something in every field.
fn anna() -> NewCustomer {
    NewCustomer {
        email: Some("anna.ek@example.com".to_owned()),
        first_name: Some("Anna".to_owned()),
        last_name: Some("Ek".to_owned()),
        phone: Some("08-123 45 68".to_owned()),
        cell_phone: Some("070-123 45 68".to_owned()),
        invoice_address: Some(address("Storgatan 12")),
        ..NewCustomer::default()
    }
}

fn nobody(first_name: &str, last_name: &str, email: &str) -> Blank {
    Blank::Nobody {
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        email: email.to_owned(),
    }
}

/// What Norce may leave of a customer. The last two can be an ordinary customer's: only that the e-mail address is another
/// one tells.
fn styles() -> [Blank; 7] {
    [
        Blank::Null,
        Blank::Empty,
        Blank::Placeholder("*****".to_owned()),
        Blank::Placeholder("Bortkopplad".to_owned()),
        nobody("Deleted", "User", "4711@deleted.example"),
        nobody("-", "-", "4711@shop.example"),
        nobody("", "", "4711@shop.example"),
    ]
}

/// A customer that has ordered and has its code.
async fn bound(bundle: &Bundle, new: NewCustomer) -> i64 {
    let id = bundle.norce.add_customer(new);
    bundle.norce.place_order(order_of(id));
    bundle.run_until_quiet().await;
    id
}

/// The bundle with a customer that is bound, and what the ERP has of it.
async fn in_step(options: &Options) -> (Bundle, i64, CustomerRecord) {
    let bundle = Bundle::new(options);
    let id = bound(&bundle, anna()).await;
    // From now on a sweep reads what has changed since.
    bundle.pass(PassMode::Sweep).await;
    tokio::time::sleep(DAY).await;
    let record = in_erp(&bundle);
    (bundle, id, record)
}

/// The only customer of the ERP.
fn in_erp(bundle: &Bundle) -> CustomerRecord {
    let [record] = bundle
        .erp
        .customers(bundle.erp_company())
        .try_into()
        .unwrap();
    record
}

async fn owed(bundle: &Bundle) -> Vec<Owed> {
    bundle.owed.list().await.unwrap()
}

/// The customer is owed once, with a text that says what to do.
async fn assert_owed_as_scrambled(bundle: &Bundle, what: &Blank) {
    let [owed] = owed(bundle).await.try_into().unwrap();
    assert_eq!(
        (owed.stage, owed.reason),
        (Stage::ToErp, Reason::Forgotten),
        "{what:?}: {owed:?}"
    );
    for word in ["IsForgotten", "`forget`", "fill in its data"] {
        assert!(owed.detail.contains(word), "{}", owed.detail);
    }
}

async fn is_tombstone(bundle: &Bundle, id: i64) -> bool {
    let mapping = bundle.mappings.get(customer(id)).await.unwrap();
    mapping == Some(Mapping::Forgotten)
}

#[tokio::test(start_paused = true)]
async fn p12_nothing_of_a_scrambled_customer_reaches_the_erp_and_it_is_forgotten_once_norce_says_so()
 {
    for style in styles() {
        for (forgotten, event_comes) in [
            (ForgottenPolicy::Keep, true),
            (ForgottenPolicy::All, true),
            (ForgottenPolicy::Keep, false),
        ] {
            let (bundle, id, before) = in_step(&Options {
                forgotten,
                ..Options::default()
            })
            .await;
            assert!(bundle.norce.scramble_customer(id, &style, event_comes));
            if !event_comes {
                bundle.pass(PassMode::Sweep).await;
            }
            bundle.run_until_quiet().await;
            assert_eq!(in_erp(&bundle), before, "{style:?}");
            assert_owed_as_scrambled(&bundle, &style).await;
            // It does not end by being tried again.
            tokio::time::sleep(DAY).await;
            assert_eq!(bundle.retry_owed().await.retried, 1);
            bundle.quiet_within(SOON).await;
            assert_owed_as_scrambled(&bundle, &style).await;
            assert_eq!(in_erp(&bundle), before, "{style:?}");

            // The flag comes without an event, and without another time of the last update.
            assert!(bundle.norce.flag_customer_forgotten(id));
            bundle.pass(PassMode::Sweep).await;
            assert!(is_tombstone(&bundle, id).await, "{style:?}");
            assert_eq!(owed(&bundle).await, [], "{style:?}");
            let record = in_erp(&bundle);
            let is_blocked = forgotten == ForgottenPolicy::All;
            assert_eq!(record.blocked == "All", is_blocked);
            assert_eq!(record.display_name, before.display_name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_that_norce_flags_before_it_scrambles_the_data_is_forgotten_at_once() {
    for style in styles() {
        let (bundle, id, before) = in_step(&Options::default()).await;
        assert!(bundle.norce.flag_customer_forgotten(id));
        assert!(bundle.norce.scramble_customer(id, &style, true));
        bundle.run_until_quiet().await;
        assert!(is_tombstone(&bundle, id).await, "{style:?}");
        assert_eq!(owed(&bundle).await, [], "{style:?}");
        assert_eq!(in_erp(&bundle), before, "{style:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_customer_whose_data_is_restored_is_no_longer_owed_and_reaches_the_erp() {
    for style in styles() {
        let (bundle, id, _) = in_step(&Options::default()).await;
        assert!(bundle.norce.scramble_customer(id, &style, true));
        bundle.run_until_quiet().await;
        assert_owed_as_scrambled(&bundle, &style).await;
        // As the words say.
        bundle.norce.change_customer(id, |record| {
            record.row.first_name = Some("Anna".to_owned());
            record.row.middle_name = None;
            record.row.last_name = Some("Berg".to_owned());
            record.row.email_address = Some("anna.berg@example.com".to_owned());
            record.row.phone_number = Some("08-123 45 68".to_owned());
            record.row.cell_phone_number = None;
            record.row.title = None;
            record.details.addresses.clear();
        });
        bundle.run_until_quiet().await;
        assert_eq!(owed(&bundle).await, [], "{style:?}");
        let record = in_erp(&bundle);
        assert_eq!(
            (&*record.display_name, &*record.email),
            ("Anna Berg", "anna.berg@example.com")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn p12_a_scrambled_customer_can_be_forgotten_by_hand() {
    for style in styles() {
        let (bundle, id, before) = in_step(&Options::default()).await;
        assert!(bundle.norce.scramble_customer(id, &style, true));
        bundle.run_until_quiet().await;
        assert_owed_as_scrambled(&bundle, &style).await;
        let request = json!({"action": "forget", "id": id, "confirm": true});
        bundle.ask(request).await.unwrap();
        bundle.run_until_quiet().await;
        assert!(is_tombstone(&bundle, id).await);
        assert_eq!(owed(&bundle).await, [], "{style:?}");
        assert_eq!(in_erp(&bundle), before, "{style:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p12_no_record_is_made_of_a_customer_that_is_scrambled_before_it_reaches_the_erp() {
    // Without a record in the ERP nothing tells the last two styles from a guest's.
    for style in &styles()[..5] {
        let bundle = Bundle::new(&Options {
            create_in_erp: CreateInErp::Always,
            ..Options::default()
        });
        let id = bundle.norce.add_customer(anna());
        bundle.norce.scramble_customer(id, style, true);
        bundle.run_until_quiet().await;
        assert_eq!(bundle.erp.customers(bundle.erp_company()), []);
        assert_owed_as_scrambled(&bundle, style).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_customer_of_few_words_is_not_taken_for_scrambled() {
    let some = |text: &str| Some(text.to_owned());
    let named = |first: &str, last: &str, email: Option<&str>| NewCustomer {
        first_name: some(first),
        last_name: some(last),
        email: email.map(str::to_owned),
        ..NewCustomer::default()
    };
    for new in [
        named("Anna", "Ek", None),
        named("Ali", "Ali", None),
        named("Ali", "Ali", Some("ali@example.com")),
        named("-", "Ek", Some("ek@example.com")),
        named("-", "-", Some("anna@example.com")),
        named(
            "Unknown",
            "Unknown",
            Some("9f86d081884c7d65@marketplace.example"),
        ),
    ] {
        let bundle = Bundle::new(&Options::default());
        let id = bound(&bundle, new.clone()).await;
        assert_eq!(owed(&bundle).await, [], "{new:?}");
        in_erp(&bundle);
        // It gets a telephone, and loses it again.
        for phone in [Some("070-1"), None] {
            bundle.norce.change_customer(id, |record| {
                record.row.cell_phone_number = phone.map(str::to_owned);
            });
            bundle.run_until_quiet().await;
            assert_eq!(owed(&bundle).await, [], "{new:?}");
            assert_eq!(in_erp(&bundle).phone_number, phone.unwrap_or_default());
            tokio::time::sleep(DAY).await;
        }
    }
    // A guest with an e-mail address alone cannot be kept in the ERP, and this is another reason.
    let bundle = Bundle::new(&Options::default());
    let guest = NewCustomer {
        email: some("anna@example.com"),
        ..NewCustomer::default()
    };
    bound(&bundle, guest).await;
    let [owed] = owed(&bundle).await.try_into().unwrap();
    assert_eq!(owed.reason, Reason::Validation);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_an_inactive_or_stopped_customer_updates_the_erp_until_it_is_active_again() {
    for is_stopped in [false, true] {
        let (bundle, id, before) = in_step(&Options::default()).await;
        let now = bundle.clock.now();
        let writes = bundle.erp.requests().writes.len();
        let set = |active: bool| {
            bundle.norce.change_customer(id, |record| {
                if is_stopped {
                    record.row.stopped_date = (!active).then_some(now);
                } else {
                    record.row.is_active = active;
                }
            })
        };
        set(false);
        bundle.norce.change_customer(id, |record| {
            record.row.last_name = Some("Berg".to_owned());
            record.row.phone_number = None;
            record.details.addresses.clear();
        });
        bundle.run_until_quiet().await;
        assert_eq!(in_erp(&bundle), before);
        assert_eq!(bundle.erp.requests().writes.len(), writes);
        assert_eq!(owed(&bundle).await, []);
        set(true);
        bundle.run_until_quiet().await;
        assert_eq!(in_erp(&bundle).display_name, "Anna Berg");
        assert_eq!(owed(&bundle).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_customer_that_is_to_be_stopped_later_updates_the_erp_until_then() {
    let (bundle, id, _) = in_step(&Options::default()).await;
    let stop = bundle.clock.now() + TimeDelta::hours(1);
    let rename = |name: &str| {
        bundle.norce.change_customer(id, |record| {
            record.row.stopped_date = Some(stop);
            record.row.last_name = Some(name.to_owned());
        })
    };
    rename("Berg");
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle).display_name, "Anna Berg");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    rename("Ahl");
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle).display_name, "Anna Berg");
}

#[tokio::test(start_paused = true)]
async fn an_inactive_customer_keeps_its_code_and_what_the_erp_has_of_it_counts_as_first_bound() {
    // An old register: both sides have the record, and Norce has its code and another name.
    let bundle = Bundle::new(&Options::default());
    let record = bundle.erp.add_customer(
        bundle.erp_company(),
        &json!({"displayName": "Anna Ek", "type": "Person", "email": "anna.ek@example.com"}),
    );
    let record = record.unwrap();
    let id = bundle.norce.add_customer(NewCustomer {
        code: Some(record.number.clone()),
        last_name: Some("Berg".to_owned()),
        ..anna()
    });
    let set = |active: bool| {
        bundle
            .norce
            .change_customer(id, |customer| customer.row.is_active = active);
    };
    set(false);
    bundle.run_until_quiet().await;
    let mapping = bundle.mappings.get(customer(id)).await.unwrap();
    assert!(matches!(mapping, Some(Mapping::Bound(_))), "{mapping:?}");
    assert_eq!(in_erp(&bundle), record);
    // Active again: as at every first binding, the ERP keeps its values until the shop changes them.
    set(true);
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle).display_name, "Anna Ek");
    bundle.norce.change_customer(id, |customer| {
        customer.row.last_name = Some("Ahl".to_owned());
    });
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle).display_name, "Anna Ahl");
    assert_eq!(owed(&bundle).await, []);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_an_inactive_company_updates_the_erp_until_it_is_active_again() {
    let bundle = Bundle::new(&Options {
        create_in_erp: CreateInErp::Always,
        ..Options::default()
    });
    let id = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        vat_no: Some("SE556036079301".to_owned()),
        ..NewCompany::default()
    });
    bundle.run_until_quiet().await;
    let before = in_erp(&bundle);
    bundle.norce.change_company(id, |company| {
        company.row.is_active = false;
        company.row.name = Some("Konkursboet".to_owned());
    });
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle), before);
    bundle
        .norce
        .change_company(id, |company| company.row.name = None);
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle), before);
    assert_eq!(owed(&bundle).await, []);
    bundle.norce.change_company(id, |company| {
        company.row.is_active = true;
        company.row.name = Some("Nya Bolaget AB".to_owned());
    });
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle).display_name, "Nya Bolaget AB");
}

#[tokio::test(start_paused = true)]
async fn a_debtor_that_the_erp_blocks_stays_active_in_norce_unless_the_erp_owns_that() {
    for (owns, stays_active) in [(None, true), (Some("code,price-lists,active"), false)] {
        let mut options = Options::default();
        if let Some(owns) = owns {
            options.erp_owns = owns.parse().unwrap();
        }
        let (bundle, id, record) = in_step(&options).await;
        bundle.pass(PassMode::Full).await;
        bundle
            .erp
            .edit_customer(bundle.erp_company(), record.id, &json!({"blocked": "All"}))
            .unwrap();
        bundle.pass(PassMode::Full).await;
        assert_eq!(
            bundle.norce.customer(id).unwrap().row.is_active,
            stays_active
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_has_nothing_to_write_once_active_is_not_the_erp_s_any_more() {
    let mut bundle = Bundle::new(&Options {
        erp_owns: "code,price-lists,active".parse().unwrap(),
        ..Options::default()
    });
    let mut ids = Vec::new();
    for number in 0..4 {
        let email = Some(format!("anna.{number}@example.com"));
        ids.push(bound(&bundle, NewCustomer { email, ..anna() }).await);
    }
    let company = bundle.erp_company();
    for record in bundle.erp.customers(company).iter().take(2) {
        let blocked = json!({"blocked": "All"});
        bundle
            .erp
            .edit_customer(company, record.id, &blocked)
            .unwrap();
    }
    bundle.pass(PassMode::Full).await;
    let active = |bundle: &Bundle| -> Vec<bool> {
        let active = |id: &i64| bundle.norce.customer(*id).unwrap().row.is_active;
        ids.iter().map(active).collect()
    };
    let told = active(&bundle);
    assert_eq!(told, [false, false, true, true]);

    // What 0.2.0 left, under the default of this version.
    bundle.full_pass.settings.erp_owns = Options::default().erp_owns;
    bundle.change_events.policy.erp_owns = Options::default().erp_owns;
    let imports = bundle.norce.imports().len();
    for mode in [PassMode::Full, PassMode::Delta, PassMode::Sweep] {
        bundle.pass(mode).await;
    }
    assert_eq!(bundle.norce.imports().len(), imports);
    // Earlier deactivations stay: only a person knows which customers should be active.
    assert_eq!(active(&bundle), told);
    assert_eq!(owed(&bundle).await, []);
}
