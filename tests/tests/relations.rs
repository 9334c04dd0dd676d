//! Contacts whose relation to a company begins, moves or ends in Norce, whose event names the company alone. In one
//! process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use serde_json::json;
use shared::{
    domain::PassMode,
    mappings::{Mapping, Mappings},
    owed::{OwedRecords, Stage, Subject},
};
use tests::{
    bundle::{Bundle, Options, company, customer},
    business_central_simulator::ContactRecord,
    norce_simulator::{EventType, NewCompany, NewCustomer},
    samples::{self, order_of_company},
};

const HOUR: Duration = Duration::from_secs(3_600);

fn company_with(bundle: &Bundle, name: &str, number: &str) -> i64 {
    bundle.norce.add_company(NewCompany {
        name: Some(name.to_owned()),
        organization_no: Some(number.to_owned()),
        ..NewCompany::default()
    })
}

/// Two companies in the ERP, and a contact of the first.
async fn contact_of_first(bundle: &Bundle) -> (i64, [i64; 2]) {
    let companies = [
        company_with(bundle, "Ett AB", "556036-0793"),
        company_with(bundle, "Tva AB", "556012-5790"),
    ];
    let anna = bundle.norce.add_customer(samples::anna());
    bundle.norce.link(anna, companies[0], true);
    for company in companies {
        bundle.norce.place_order(order_of_company(company));
    }
    bundle.run_until_quiet().await;
    (anna, companies)
}

/// The only person among the ERP's contacts, and the number of its organisation's contact.
fn person(bundle: &Bundle) -> ContactRecord {
    let contacts = bundle.erp.contacts(bundle.erp_company());
    let mut persons = contacts.into_iter().filter(|it| it.r#type == "Person");
    let person = persons.next().expect("a person");
    assert!(persons.next().is_none(), "one person only");
    person
}

fn organisation(bundle: &Bundle, name: &str) -> String {
    let contacts = bundle.erp.contacts(bundle.erp_company());
    let mut found = contacts
        .into_iter()
        .filter(|it| it.r#type == "Company" && it.display_name == name);
    found.next().expect("an organisation").number
}

async fn code_of(bundle: &Bundle, entity: shared::domain::EntityRef) -> String {
    let binding = bundle.binding(entity).await.expect("a binding");
    binding.code.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_contact_moves_with_its_relation_whichever_company_has_the_first_event() {
    for ends_first in [true, false] {
        let bundle = Bundle::new(&Options::default());
        let (anna, [first, second]) = contact_of_first(&bundle).await;
        let code = code_of(&bundle, customer(anna)).await;
        assert_eq!(
            person(&bundle).company_number,
            organisation(&bundle, "Ett AB")
        );
        bundle.norce.unsubscribe(EventType::CustomerChanged);
        if ends_first {
            bundle.norce.unlink(anna, first);
            bundle.norce.link(anna, second, true);
        } else {
            bundle.norce.link(anna, second, true);
            bundle.norce.unlink(anna, first);
        }
        bundle.run_until_quiet().await;
        let moved = person(&bundle);
        assert_eq!(moved.company_number, organisation(&bundle, "Tva AB"));
        assert_eq!(moved.number, code);
        assert_eq!(code_of(&bundle, customer(anna)).await, code);
        assert_eq!(bundle.owed.list().await.unwrap(), []);
    }
}

/// An update needs the ERP's record only: a company that is closed, or that the contact has left, does not hold it up.
#[tokio::test(start_paused = true)]
async fn k11_a_bound_contact_is_updated_without_its_company() {
    let bundle = Bundle::new(&Options::default());
    let (anna, [first, second]) = contact_of_first(&bundle).await;
    bundle.norce.unlink(anna, first);
    bundle.norce.change_customer(anna, |row| {
        row.row.phone_number = Some("08-555 00 11".to_owned())
    });
    bundle.run_until_quiet().await;
    let subject = Subject::Entity(customer(anna));
    assert_eq!(bundle.owed.get(&subject, Stage::ToErp).await.unwrap(), None);
    let there = person(&bundle);
    assert_eq!(there.phone_number, "08-555 00 11");
    assert_eq!(there.company_number, organisation(&bundle, "Ett AB"));
    // Another company, when there is one.
    bundle.norce.link(anna, second, true);
    bundle.run_until_quiet().await;
    assert_eq!(
        person(&bundle).company_number,
        organisation(&bundle, "Tva AB")
    );
}

/// A code can be that of a contact of another organisation: a pass does not bind by it, as an event does not.
#[tokio::test(start_paused = true)]
async fn p15_a_pass_binds_no_contact_by_code_to_another_organisations() {
    for is_own in [true, false] {
        let bundle = Bundle::new(&Options::default());
        let (_, [first, second]) = contact_of_first(&bundle).await;
        bundle.norce.unsubscribe(EventType::CustomerChanged);
        bundle.norce.unsubscribe(EventType::CompanyChanged);
        let bo = bundle.norce.add_customer(NewCustomer {
            code: Some("CT900".to_owned()),
            email: Some("bo@example.com".to_owned()),
            first_name: Some("Bo".to_owned()),
            last_name: Some("Berg".to_owned()),
            ..NewCustomer::default()
        });
        bundle
            .norce
            .link(bo, if is_own { second } else { first }, true);
        let contact = json!({
            "number": "CT900", "type": "Person", "displayName": "Eva Lund",
            "companyNumber": organisation(&bundle, "Tva AB"),
        });
        let (erp, of) = (&bundle.erp, bundle.erp_company());
        erp.add_contact(of, &contact).unwrap();
        bundle.pass(PassMode::Full).await;
        let mapping = bundle.mappings.get(customer(bo)).await.unwrap();
        assert_eq!(
            matches!(mapping, Some(Mapping::Bound(_))),
            is_own,
            "{mapping:?}"
        );
        let owed = bundle.owed.list().await.unwrap();
        assert_eq!(owed.is_empty(), is_own, "{owed:#?}");
    }
}

/// The mapping of a company that an earlier version wrote.
#[tokio::test(start_paused = true)]
async fn a_contact_that_moves_is_found_although_no_contacts_were_noted() {
    let bundle = Bundle::new(&Options::default());
    let (anna, [first, second]) = contact_of_first(&bundle).await;
    for number in [first, second] {
        let Some(Mapping::Bound(mut binding)) = bundle.mappings.get(company(number)).await.unwrap()
        else {
            panic!("it is bound");
        };
        binding.contacts = None;
        assert!(
            bundle
                .mappings
                .record_sync(company(number), &binding)
                .await
                .unwrap()
        );
    }
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    bundle.norce.unlink(anna, first);
    bundle.norce.link(anna, second, true);
    bundle.run_until_quiet().await;
    assert_eq!(
        person(&bundle).company_number,
        organisation(&bundle, "Tva AB")
    );
}

#[tokio::test(start_paused = true)]
async fn contacts_whose_relation_stays_cost_nothing_when_their_company_changes() {
    let bundle = Bundle::new(&Options::default());
    let (_, [first, _]) = contact_of_first(&bundle).await;
    tokio::time::sleep(HOUR).await;
    bundle.norce.change_company(first, |record| {
        record.row.phone_number = Some("08-1".to_owned());
    });
    let requests = bundle.norce.requests();
    bundle.run_until_quiet().await;
    let asked = |endpoint| {
        bundle.norce.requests_to(endpoint) - requests.get(&endpoint).copied().unwrap_or(0)
    };
    use tests::norce_simulator::Endpoint;
    assert_eq!(asked(Endpoint::Companies), 1);
    assert_eq!(asked(Endpoint::Customers), 0);
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(company(first)).await.unwrap() else {
        panic!("it is bound");
    };
    assert_eq!(binding.contacts.map(|contacts| contacts.len()), Some(1));
}
