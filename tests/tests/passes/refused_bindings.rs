//! A pass binds an entity that has the code of a record without reading the mappings first. What the mappings refuse, it
//! decides about again before it goes on.

use erp_full_pass::PassSettings;
use serde_json::json;
use shared::{
    domain::{Clock, ErpId, PassMode, Resource},
    mappings::{Binding, Bound, CodeDelivery, Mapping, Mappings},
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::CustomerRecord,
    norce_simulator::NewCustomer,
};

use crate::{
    DAY, drop_events, ended,
    fields::{contact_in_erp, organisation_in_erp},
    in_erp,
    listing::Listing,
    owed, person, person_in_erp,
};

/// Customers that are bound by their codes.
const CUSTOMERS: usize = 200;

/// A register that was bound; since then, records were recreated in the ERP and codes changed in Norce.
pub(crate) async fn many_refusals(bundle: &Bundle) {
    drop_events(bundle);
    for number in 0..CUSTOMERS {
        let (id, record) = with_code_of_record(bundle, number);
        bind(bundle, id, &record).await;
        match number % 10 {
            0..=2 => {
                recreate(bundle, &record);
            }
            3..=4 => {
                let another = person_in_erp(bundle, number);
                set_code(bundle, id, &another.number);
            }
            5 => {
                with_code_of_record(bundle, CUSTOMERS + number);
            }
            _ => {}
        }
    }
    bundle.run_until_quiet().await;
}

/// A customer of Norce with the code of a record that has its address.
fn with_code_of_record(bundle: &Bundle, number: usize) -> (i64, CustomerRecord) {
    let record = person_in_erp(bundle, number);
    let id = bundle.norce.add_customer(NewCustomer {
        code: Some(record.number.clone()),
        ..person(number)
    });
    (id, record)
}

async fn bind(bundle: &Bundle, id: i64, record: &CustomerRecord) {
    let (code, erp_id) = (
        record.number.parse().unwrap(),
        ErpId {
            resource: Resource::Customer,
            id: record.id.to_string(),
        },
    );
    let delivery = CodeDelivery::Confirmed {
        at: bundle.clock.now(),
    };
    let binding = Binding::new(code, erp_id, delivery);
    let bound = bundle.mappings.bind(customer(id), binding).await.unwrap();
    assert_eq!(bound, Bound::Done);
}

/// Somebody deletes a record, and makes another one with its number.
fn recreate(bundle: &Bundle, record: &CustomerRecord) -> CustomerRecord {
    let erp_company = bundle.erp_company();
    bundle.erp.delete_customer(erp_company, record.id).unwrap();
    in_erp(
        bundle,
        &json!({"number": record.number, "displayName": "Anna Ek", "type": "Person"}),
    )
}

fn set_code(bundle: &Bundle, id: i64, code: &str) {
    let code = Some(code.to_owned());
    assert!(
        bundle
            .norce
            .change_customer(id, |record| record.row.customer_code = code)
    );
}

async fn record_of(bundle: &Bundle, id: i64) -> String {
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(customer(id)).await.unwrap() else {
        panic!("customer {id} is not bound");
    };
    binding.erp_id.id
}

fn quiet_bundle() -> Bundle {
    let bundle = Bundle::new(&Options::default());
    drop_events(&bundle);
    bundle
}

#[tokio::test(start_paused = true)]
async fn a_record_that_takes_the_code_of_a_deleted_one_is_bound_in_the_same_pass() {
    for mode in [PassMode::Delta, PassMode::Full] {
        let bundle = quiet_bundle();
        let (id, record) = with_code_of_record(&bundle, 1);
        with_code_of_record(&bundle, 2);
        assert_eq!(ended(&bundle.pass(PassMode::Full).await).bound, 2);
        tokio::time::sleep(DAY).await;
        let new = recreate(&bundle, &record);
        let run = bundle.pass(mode).await;
        let counts = ended(&run);
        // A delta pass lists the other one again as well: it was made shortly before the first pass.
        assert_eq!((counts.seen, counts.bound), (2, 1));
        assert_eq!((counts.conflicts, counts.gone), (0, 0));
        assert_eq!(record_of(&bundle, id).await, new.id.to_string());
        assert_eq!(owed(&bundle).await, []);
        // The next pass has nothing to do.
        tokio::time::sleep(DAY).await;
        let run = bundle.pass(PassMode::Full).await;
        assert_eq!(ended(&run).unchanged, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn p3_an_entity_that_is_bound_to_another_code_stays_so_and_the_conflict_is_owed_once() {
    let bundle = quiet_bundle();
    let (id, record) = with_code_of_record(&bundle, 1);
    ended(&bundle.pass(PassMode::Full).await);
    tokio::time::sleep(DAY).await;
    let another = person_in_erp(&bundle, 2);
    set_code(&bundle, id, &another.number);
    let mut first_owed = None;
    for _ in 0..3 {
        let run = bundle.pass(PassMode::Full).await;
        let counts = ended(&run);
        assert_eq!((counts.seen, counts.unchanged), (2, 1));
        assert_eq!((counts.bound, counts.conflicts), (0, 1));
        assert_eq!(record_of(&bundle, id).await, record.id.to_string());
        let owed = bundle.owed.list().await.unwrap();
        assert_eq!(owed.len(), 1, "{owed:?}");
        let (number, other) = (&record.number, &another.number);
        assert!(owed[0].detail.contains(number) && owed[0].detail.contains(other));
        // It was not resolved in between.
        let since = *first_owed.get_or_insert(owed[0].first);
        assert_eq!(owed[0].first, since);
        tokio::time::sleep(DAY).await;
    }
}

/// The mappings of the first 500 or so are read after their bindings were refused, and those of the others before.
#[tokio::test(start_paused = true)]
async fn any_number_of_refused_bindings_is_decided_in_the_same_pass() {
    const MANY: usize = 1_200;
    let bundle = quiet_bundle();
    let records: Vec<CustomerRecord> = (0..MANY)
        .map(|number| with_code_of_record(&bundle, number).1)
        .collect();
    assert_eq!(ended(&bundle.pass(PassMode::Full).await).bound, 1_200);
    tokio::time::sleep(DAY).await;
    for record in &records {
        recreate(&bundle, record);
    }
    let run = bundle.pass(PassMode::Delta).await;
    let counts = ended(&run);
    assert_eq!((counts.seen, counts.bound), (1_200, 1_200), "{counts:?}");
    assert_eq!(owed(&bundle).await, []);
    // Twice for those that were refused.
    let writes = run.cost.mapping_writes;
    assert!((1_700..2_200).contains(&writes), "{writes}");
}

/// A company is bound before its contacts are listed, even where its binding is refused at first.
#[tokio::test(start_paused = true)]
async fn a_contact_does_not_wait_for_a_company_whose_binding_was_refused() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,company-relations".parse().unwrap(),
        pass: PassSettings {
            import_unknown: true,
            ..PassSettings::default()
        },
        ..Options::default()
    });
    let organisation = organisation_in_erp(&bundle);
    ended(&bundle.pass(PassMode::Full).await);
    tokio::time::sleep(DAY).await;
    let erp_company = bundle.erp_company();
    bundle
        .erp
        .delete_customer(erp_company, organisation.id)
        .unwrap();
    let again = in_erp(
        &bundle,
        &json!({"number": organisation.number, "displayName": "Bolaget AB", "type": "Company",
            "taxRegistrationNumber": "SE556036079301"}),
    );
    contact_in_erp(&bundle, &again, 1);
    let run = bundle.pass(PassMode::Delta).await;
    let counts = ended(&run);
    assert_eq!((counts.bound, counts.inserted, counts.waiting), (1, 1, 0));
    let company = bundle.norce.companies().remove(0).row.id;
    let contact = bundle.norce.customers().remove(0).row.id;
    assert!(bundle.norce.companies_of(contact).contains(&company));
    assert_eq!(owed(&bundle).await, []);
}

/// What was refused on the last page of customers is decided when the next phase has begun, before its first page.
#[tokio::test(start_paused = true)]
async fn what_was_refused_is_counted_once_by_a_listing_that_starts_over() {
    let mut counts = Vec::new();
    for (forgets, forgets_in_contacts) in [(0, 0), (0, 3), (2, 0), (2, 3)] {
        let listing = Listing {
            // So that some of the refused bindings are decided before the place is forgotten.
            remembers: 4,
            forgets,
            forgets_in_contacts,
            ..Listing::default()
        };
        let bundle = listing.bundle(50);
        let organisation = organisation_in_erp(&bundle);
        for number in 0..100 {
            contact_in_erp(&bundle, &organisation, 1_000 + number);
        }
        many_refusals(&bundle).await;
        let run = bundle.pass(PassMode::Full).await;
        counts.push((forgets, ended(&run).clone()));
    }
    let (_, first) = counts.remove(0);
    assert_eq!((first.bound, first.conflicts), (80, 40));
    for (forgets, mut again) in counts {
        if forgets > 0 {
            // What was done before is unchanged when it is seen again.
            assert!(again.unchanged > first.unchanged);
            again.unchanged = first.unchanged;
        }
        assert_eq!(again, first);
    }
}

/// P12: the code, and with it the record, of a forgotten customer is given to another one in Norce.
#[tokio::test(start_paused = true)]
async fn p12_the_record_of_a_forgotten_customer_is_not_bound_by_its_code() {
    let bundle = quiet_bundle();
    let (id, record) = with_code_of_record(&bundle, 1);
    ended(&bundle.pass(PassMode::Full).await);
    bundle.mappings.forget(customer(id)).await.unwrap();
    set_code(&bundle, id, "ANOTHER");
    let other = bundle.norce.add_customer(NewCustomer {
        code: Some(record.number.clone()),
        ..person(2)
    });
    for _ in 0..2 {
        let run = bundle.pass(PassMode::Full).await;
        let counts = ended(&run);
        assert_eq!((counts.seen, counts.bound), (1, 0), "{counts:?}");
        assert_eq!(counts.skipped["forgotten in Norce"], 1);
        assert_eq!(bundle.mappings.get(customer(other)).await.unwrap(), None);
    }
}

/// What a first pass over a register costs: each record is looked up once by its id, and once in the index of keys.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_of_an_entity_that_has_the_code_of_a_record() {
    let bundle = quiet_bundle();
    for number in 0..500 {
        with_code_of_record(&bundle, number);
    }
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).bound, 500);
    assert_eq!(run.cost.mapping_reads, 2 * 500);
    assert_eq!(run.cost.mapping_writes, 500);
}
