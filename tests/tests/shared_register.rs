//! Application-unique set-ups in which Norce shares some customers and companies between all applications: these have a
//! scope and an ERP company of their own (`CUSTOMERS_BY_APPLICATION=with-shared`). In one process, with the simulators,
//! on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use erp_full_pass::PassSettings;
use serde_json::json;
use shared::{
    domain::{Cause, ChangeMessage, Clock, EntityRef, PassMode, Registers},
    mappings::Mappings,
    owed::{OwedRecords, Stage, Subject},
    queues::Queue,
};
use tests::{
    bundle::{Bundle, Options, application, company, customer, id},
    norce_simulator::{NewCompany, NewCustomer, NewOrder},
    samples::{self, address},
};
use uuid::Uuid;

/// The ERP company of application 2 in the bundle.
const OF_SECOND: Uuid = Uuid::from_u128(0xb2);
/// The place of the shared register's ERP company in the bundle.
const SHARED: usize = 2;

fn bundle() -> Bundle {
    Bundle::new(&Options {
        registers: Registers::ApplicationsAndShared,
        ..Options::default()
    })
}

fn anna(application_id: Option<i64>) -> NewCustomer {
    NewCustomer {
        application_id,
        invoice_address: Some(address("Storgatan 1")),
        ..samples::anna()
    }
}

fn bolaget(application_id: Option<i64>) -> NewCompany {
    NewCompany {
        application_id,
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        invoice_address: Some(address("Storgatan 1")),
        ..NewCompany::default()
    }
}

/// An order of application 2.
fn order() -> NewOrder {
    NewOrder {
        application_id: 2,
        ..samples::order(None, None)
    }
}

async fn code_of(bundle: &Bundle, entity: EntityRef) -> Option<String> {
    let binding = bundle.binding(entity).await?;
    Some(binding.code.to_string())
}

async fn owed(bundle: &Bundle, entity: EntityRef) -> Option<String> {
    let subject = Subject::Entity(entity);
    let owed = bundle.owed.get(&subject, Stage::ToErp).await.unwrap();
    owed.map(|owed| owed.detail)
}

#[tokio::test(start_paused = true)]
async fn a_shared_customer_that_orders_in_an_application_is_kept_where_all_share_it() {
    // Named by its id, by its e-mail address alone, and in an order that Norce posts.
    for (by_email, posted) in [(false, false), (true, false), (false, true), (true, true)] {
        let bundle = Bundle::new(&Options {
            registers: Registers::ApplicationsAndShared,
            order_receiver: posted,
            ..Options::default()
        });
        let anna = bundle.norce.add_customer(anna(None));
        bundle.norce.place_order(NewOrder {
            customer: Some(anna),
            guest: by_email,
            ..order()
        });
        if posted {
            bundle.post_orders();
        }
        bundle.run_until_quiet().await;
        let records = bundle.erp.customers(bundle.erp_companies[SHARED]);
        let [record] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(bundle.customer_code(anna), Some(record.number.clone()));
        assert_eq!(
            code_of(&bundle, customer(anna)).await,
            Some(record.number.clone())
        );
        let seen_from = EntityRef::customer(application(2), id(anna));
        assert_eq!(bundle.mappings.get(seen_from).await.unwrap(), None);
        assert!(bundle.erp.customers(OF_SECOND).is_empty());
        if posted {
            let orders = bundle.outgoing_orders.receive(10);
            assert!(
                orders[0].body.contains(&record.number),
                "{:?}",
                orders[0].body
            );
        }
        let notes = bundle.norce.contract_notes();
        assert!(notes.is_empty(), "{notes:?}");

        bundle.norce.change_customer(anna, |record| {
            record.row.phone_number = Some("08-1".to_owned());
        });
        bundle.run_until_quiet().await;
        let records = bundle.erp.customers(bundle.erp_companies[SHARED]);
        assert_eq!(records[0].phone_number, "08-1");
    }
}

#[tokio::test(start_paused = true)]
async fn p14_an_application_s_own_customer_takes_precedence_over_a_shared_one_with_the_same_address()
 {
    let bundle = bundle();
    let shared = bundle.norce.add_customer(anna(None));
    let own = bundle.norce.add_customer(anna(Some(2)));
    bundle.norce.place_order(NewOrder {
        email: Some("anna@example.com".to_owned()),
        ..order()
    });
    bundle.run_until_quiet().await;
    assert!(bundle.customer_code(own).is_some());
    assert_eq!(bundle.customer_code(shared), None);
    assert_eq!(bundle.erp.customers(OF_SECOND).len(), 1);
    assert!(
        bundle
            .erp
            .customers(bundle.erp_companies[SHARED])
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_names_an_application_leads_to_the_shared_entity() {
    let bundle = bundle();
    let anna = bundle.norce.add_customer(anna(None));
    let bolaget = bundle.norce.add_company(bolaget(None));
    let messages = [
        EntityRef::customer(application(2), id(anna)),
        EntityRef::company(application(1), id(bolaget)),
    ]
    .map(|entity| ChangeMessage::Entity {
        entity,
        cause: Cause::Ordered,
        received_at: bundle.clock.now(),
        ordered_at: None,
        correlation: Uuid::new_v4(),
    });
    bundle
        .changes
        .send(&messages, Duration::ZERO)
        .await
        .unwrap();
    bundle.run_until_quiet().await;
    assert!(code_of(&bundle, customer(anna)).await.is_some());
    assert!(code_of(&bundle, company(bolaget)).await.is_some());
    assert_eq!(bundle.erp.customers(bundle.erp_companies[SHARED]).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_contact_of_a_shared_company_is_kept_with_it_or_owed_with_a_way_forward() {
    for same_erp_company in [true, false] {
        let bundle = Bundle::new(&Options {
            registers: Registers::ApplicationsAndShared,
            shared_erp_company: same_erp_company.then_some(OF_SECOND),
            ..Options::default()
        });
        let shared = bundle.norce.add_company(bolaget(None));
        let anna = bundle.norce.add_customer(anna(Some(2)));
        bundle.norce.link(anna, shared, true);
        bundle.norce.place_order(NewOrder {
            customer: Some(anna),
            ..order()
        });
        bundle.run_until_quiet().await;
        let contact = EntityRef::customer(application(2), id(anna));
        if same_erp_company {
            assert!(code_of(&bundle, company(shared)).await.is_some());
            assert!(code_of(&bundle, contact).await.is_some());
            assert_eq!(
                bundle
                    .erp
                    .contacts(OF_SECOND)
                    .iter()
                    .filter(|it| it.r#type == "Person")
                    .count(),
                1
            );
            continue;
        }
        assert_eq!(code_of(&bundle, contact).await, None);
        let said = owed(&bundle, contact).await.unwrap();
        assert!(said.contains(&format!("company/client/{shared}")), "{said}");
        // As it is advised.
        assert!(
            said.contains("relate it to a company of its own application"),
            "{said}"
        );
        let own = bundle.norce.add_company(NewCompany {
            organization_no: Some("556000-4615".to_owned()),
            ..bolaget(Some(2))
        });
        bundle.norce.unlink(anna, shared);
        bundle.norce.link(anna, own, true);
        bundle.norce.change_customer(anna, |record| {
            record.row.phone_number = Some("08-1".to_owned());
        });
        bundle.run_until_quiet().await;
        bundle.retry_owed().await;
        bundle.run_until_quiet().await;
        assert!(code_of(&bundle, contact).await.is_some());
        assert_eq!(owed(&bundle, contact).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_repairs_shared_codes_and_inserts_only_where_the_register_is_known() {
    let bundle = Bundle::new(&Options {
        registers: Registers::ApplicationsAndShared,
        shared_erp_company: Some(OF_SECOND),
        pass: PassSettings {
            import_unknown: true,
            ..PassSettings::default()
        },
        ..Options::default()
    });
    let shared = bundle.norce.add_customer(anna(None));
    let record = |number: &str, email: &str| json!({"number": number, "type": "Person", "displayName": "Anna Ek", "email": email});
    let (first, second) = (bundle.erp_companies[0], OF_SECOND);
    bundle
        .erp
        .add_customer(second, &record("K1", "anna@example.com"))
        .unwrap();
    bundle
        .erp
        .add_customer(second, &record("K2", "new@example.com"))
        .unwrap();
    bundle
        .erp
        .add_customer(first, &record("K3", "third@example.com"))
        .unwrap();
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_eq!(bundle.customer_code(shared).as_deref(), Some("K1"));
    let codes: Vec<Option<String>> = bundle
        .norce
        .customers()
        .into_iter()
        .map(|customer| customer.row.customer_code)
        .collect();
    assert_eq!(codes, [Some("K1".to_owned()), Some("K3".to_owned())]);
    let notes = bundle.norce.contract_notes();
    assert!(notes.is_empty(), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_merge_of_shared_customers_is_followed_from_an_application() {
    let bundle = bundle();
    let survivor = bundle.norce.add_customer(NewCustomer {
        email: Some("anna.ek@example.com".to_owned()),
        ..anna(None)
    });
    let merged = bundle.norce.add_customer(anna(Some(2)));
    bundle.norce.place_order(NewOrder {
        customer: Some(merged),
        ..order()
    });
    bundle.norce.change_customer(merged, |record| {
        record.row.replacement_customer_id = Some(survivor);
        record.row.is_active = false;
    });
    bundle.run_until_quiet().await;
    assert!(code_of(&bundle, customer(survivor)).await.is_some());
    assert_eq!(bundle.erp.customers(bundle.erp_companies[SHARED]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_person_finds_a_shared_customer_without_naming_a_register() {
    let bundle = bundle();
    let anna = bundle.norce.add_customer(anna(None));
    bundle.norce.place_order(NewOrder {
        customer: Some(anna),
        ..order()
    });
    bundle.run_until_quiet().await;
    let code = bundle.customer_code(anna).unwrap();
    for selector in [
        json!({"id": anna}),
        json!({"code": code}),
        json!({"email": "anna@example.com"}),
        json!({"email": "anna@example.com", "application": 2}),
    ] {
        let mut request = json!({"action": "explain"});
        let fields = request.as_object_mut().unwrap();
        fields.extend(selector.as_object().unwrap().clone());
        let explained = bundle.ask(request).await.unwrap();
        assert_eq!(explained["entity"], format!("customer/client/{anna}"));
        assert_eq!(explained["mapping"]["code"], json!(code));
    }
}
