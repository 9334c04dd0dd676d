//! The promises, each proven in one process: the real functions and clients, the simulators, paused time.

use std::time::Duration;

use http::Method;
use shared::{
    domain::{Cause, ChangeMessage, Clock},
    mappings::{CodeDelivery, Mapping, Mappings},
    owed::{OwedRecords, Reason, Stage},
    queues::Queue,
    runtime::configuration::{CreateInErp, ForgottenPolicy},
};
use tests::{
    bundle::{Bundle, Options, company, customer, id},
    business_central_simulator::{Entity, Fault, LostAnswer},
    interruption::Moment,
    norce_simulator::{
        Blank, DeliveryState, Effect, Endpoint, NewAddress, NewCompany, NewCustomer, NewOrder,
        Poison, PoisonMode, PoisonRows, When,
    },
};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn anna(number: u32) -> NewCustomer {
    NewCustomer {
        email: Some(format!("anna.{number}@example.com")),
        first_name: Some("Anna".to_owned()),
        last_name: Some(format!("Ek {number}")),
        phone: Some("08-123 45 67".to_owned()),
        invoice_address: Some(NewAddress {
            line1: Some("Storgatan 1".to_owned()),
            zip_code: Some("114 55".to_owned()),
            city: Some("Stockholm".to_owned()),
            country_code: Some("SE".to_owned()),
            ..NewAddress::default()
        }),
        ..NewCustomer::default()
    }
}

fn bolaget() -> NewCompany {
    NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        email: Some("info@bolaget.example".to_owned()),
        invoice_address: anna(0).invoice_address,
        ..NewCompany::default()
    }
}

fn order_of(customer: i64) -> NewOrder {
    NewOrder {
        application_id: 1,
        customer: Some(customer),
        items: vec![("P1".to_owned(), 100.0)],
        ..NewOrder::default()
    }
}

/// The customer's code in Norce, which is the number of exactly one record in the ERP and confirmed in the mapping.
async fn assert_in_step(bundle: &Bundle, number: i64) -> String {
    let code = bundle
        .norce
        .customer(number)
        .unwrap()
        .row
        .customer_code
        .expect("Norce has no code");
    let customers = bundle.erp.customers(bundle.erp_company());
    let contacts = bundle.erp.contacts(bundle.erp_company());
    let hits = customers
        .iter()
        .filter(|record| record.number == code)
        .count()
        + contacts
            .iter()
            .filter(|record| record.number == code)
            .count();
    assert_eq!(hits, 1, "records with {code}");
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(customer(number)).await.unwrap() else {
        panic!("customer {number} is not bound");
    };
    assert_eq!(binding.code.as_str(), code);
    assert!(
        matches!(binding.delivery, CodeDelivery::Confirmed { .. }),
        "{binding:?}"
    );
    code
}

async fn assert_nothing_owed(bundle: &Bundle) {
    let owed = bundle.owed.list().await.unwrap();
    assert!(owed.is_empty(), "{owed:#?}");
}

fn assert_no_dead_letters(bundle: &Bundle) {
    assert!(bundle.changes.dead_letters().is_empty());
    assert!(bundle.imports.dead_letters().is_empty());
    assert!(bundle.jobs.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_first_order_gives_the_customer_its_code() {
    let bundle = Bundle::new(&Options::default());
    let number = bundle.norce.add_customer(anna(1));
    bundle.run_until_quiet().await;
    assert!(
        bundle.erp.customers(bundle.erp_company()).is_empty(),
        "no order yet"
    );
    bundle.norce.place_order(order_of(number));
    bundle.run_until_quiet().await;
    assert_in_step(&bundle, number).await;
    assert_nothing_owed(&bundle).await;
    assert_no_dead_letters(&bundle);
    assert!(
        bundle.norce.contract_notes().is_empty(),
        "{:?}",
        bundle.norce.contract_notes()
    );
}
