//! A pass binds an entity that has the code of a record without reading the mappings first. What the mappings refuse, it
//! decides at the end of its walk.

use serde_json::json;
use shared::{
    domain::PassMode,
    mappings::{Mapping, Mappings},
    passes::Counts,
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::CustomerRecord,
    norce_simulator::NewCustomer,
};

use crate::{DAY, ended, in_erp, owed, person, person_in_erp};

/// Customers that are bound by their codes.
const CUSTOMERS: usize = 200;

/// The register of a shop that was bound, and in which records of the ERP and codes in Norce have changed places since.
pub(crate) async fn many_changed_places(bundle: &Bundle) {
    // Only the pass sees them.
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
    let bound: Vec<(i64, CustomerRecord)> = (0..CUSTOMERS)
        .map(|number| with_code_of_record(bundle, number))
        .collect();
    bundle.run_until_quiet().await;
    ended(&bundle.pass(PassMode::Full).await);
    tokio::time::sleep(DAY).await;
    for (number, (id, record)) in bound.iter().enumerate() {
        match number % 10 {
            0..=2 => {
                recreate(bundle, record);
            }
            3..=4 => {
                let another = person_in_erp(bundle, number);
                set_code(bundle, *id, &another.number);
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
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
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
        let Counts {
            seen,
            bound,
            conflicts,
            gone,
            ..
        } = *ended(&run);
        // The other one was made shortly before the pass.
        assert_eq!((seen, bound, conflicts, gone), (2, 1, 0, 0));
        assert_eq!(record_of(&bundle, id).await, new.id.to_string());
        assert_eq!(owed(&bundle).await, []);
        // It is settled.
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
        let Counts {
            seen,
            unchanged,
            bound,
            conflicts,
            ..
        } = *ended(&run);
        assert_eq!((seen, unchanged, bound, conflicts), (2, 1, 0, 1));
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

/// More than a walk remembers to the end: the others are decided from the mappings at once.
#[tokio::test(start_paused = true)]
async fn any_number_of_refused_bindings_is_decided_in_the_same_pass() {
    const MANY: usize = 1_800;
    let bundle = quiet_bundle();
    let records: Vec<CustomerRecord> = (0..MANY)
        .map(|number| with_code_of_record(&bundle, number).1)
        .collect();
    assert_eq!(ended(&bundle.pass(PassMode::Full).await).bound, 1_800);
    tokio::time::sleep(DAY).await;
    for record in &records {
        recreate(&bundle, record);
    }
    let run = bundle.pass(PassMode::Delta).await;
    let counts = ended(&run);
    assert_eq!((counts.seen, counts.bound), (1_800, 1_800), "{counts:?}");
    assert_eq!(owed(&bundle).await, []);
}

/// What a first pass over a register costs: an entry is looked for by the id of each record, and in the index of keys.
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
