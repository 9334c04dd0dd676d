//! A pass checks the records that an earlier one left owed, although nothing has changed in the ERP.

use serde_json::json;
use shared::{
    domain::PassMode,
    owed::{Reason, Stage},
};
use tests::{
    bundle::{Bundle, Options},
    business_central_simulator::CustomerRecord,
    norce_simulator::{CodeList, NewCustomer, Poison, PoisonMode, PoisonRows},
};

use crate::{DAY, drop_events, ended, owed, person, person_in_erp};

/// A bundle in which only the pass hears of what happens in Norce, and in which nothing of the ERP is read because it has
/// changed.
fn quiet_bundle() -> Bundle {
    let bundle = Bundle::new(&Options {
        extended_erp: true,
        ..Options::default()
    });
    drop_events(&bundle);
    bundle
}

/// A delta pass, so much later that its overlap reads nothing: it checks this many records.
async fn next_pass(bundle: &Bundle, seen: u64) {
    tokio::time::sleep(DAY).await;
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).seen, seen, "{run:#?}");
}

async fn owed_stages(bundle: &Bundle) -> Vec<(Stage, Reason)> {
    let owed = bundle.owed.list().await.unwrap();
    owed.iter().map(|owed| (owed.stage, owed.reason)).collect()
}

#[tokio::test(start_paused = true)]
async fn p7_a_conflict_is_decided_again_until_somebody_has_settled_it_in_norce() {
    let bundle = quiet_bundle();
    let [one, twin] = [1, 1].map(|number| bundle.norce.add_customer(person(number)));
    let record = person_in_erp(&bundle, 1);
    tokio::time::sleep(DAY).await;
    bundle.pass(PassMode::Full).await;
    for _ in 0..2 {
        assert_eq!(
            owed_stages(&bundle).await,
            [(Stage::CodeToNorce, Reason::Conflict)]
        );
        next_pass(&bundle, 1).await;
        assert_eq!(bundle.customer_code(one), None);
    }
    bundle.norce.change_customer(twin, |record| {
        record.row.email_address = Some("another@example.com".to_owned());
    });
    next_pass(&bundle, 1).await;
    assert_eq!(bundle.customer_code(one), Some(record.number));
    assert_eq!(owed(&bundle).await, []);
    next_pass(&bundle, 0).await;
}

/// The code, and a field that the ERP owns: Norce refuses the row, and takes it later.
#[tokio::test(start_paused = true)]
async fn p7_what_norce_has_refused_is_told_again() {
    for (stage, in_erp) in [
        (Stage::CodeToNorce, json!({})),
        (Stage::FieldsToNorce, json!({"customerPriceGroup": "VIP"})),
    ] {
        let bundle = quiet_bundle();
        bundle.norce.add_code(CodeList::PriceLists, "VIP", 7);
        let id = bundle.norce.add_customer(person(1));
        let record = person_in_erp(&bundle, 1);
        if stage == Stage::FieldsToNorce {
            bundle.pass(PassMode::Full).await;
            edit(&bundle, &record, &in_erp);
        }
        bundle.norce.poison(Poison {
            rows: PoisonRows::Ids([id].into()),
            mode: PoisonMode::RowFails,
            message: "the row is poison".to_owned(),
        });
        next_pass(&bundle, 1).await;
        for _ in 0..2 {
            assert_eq!(owed_stages(&bundle).await, [(stage, Reason::Validation)]);
            next_pass(&bundle, 1).await;
        }
        bundle.norce.clear_poison();
        next_pass(&bundle, 1).await;
        assert_eq!(bundle.customer_code(id), Some(record.number));
        let lists = bundle.norce.customer(id).unwrap().details.price_lists.len();
        assert_eq!(lists, usize::from(stage == Stage::FieldsToNorce));
        assert_eq!(owed(&bundle).await, []);
        next_pass(&bundle, 0).await;
    }
}

fn edit(bundle: &Bundle, record: &CustomerRecord, properties: &serde_json::Value) {
    bundle
        .erp
        .edit_customer(bundle.erp_company(), record.id, properties)
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_owed_any_more_of_a_record_that_is_gone_from_the_erp() {
    let bundle = quiet_bundle();
    for _ in 0..2 {
        bundle.norce.add_customer(person(1));
    }
    let [record, other] = [1, 2].map(|number| person_in_erp(&bundle, number));
    bundle.norce.add_customer(NewCustomer {
        code: Some("ELSEWHERE".to_owned()),
        ..person(2)
    });
    tokio::time::sleep(DAY).await;
    bundle.pass(PassMode::Full).await;
    assert_eq!(owed(&bundle).await.len(), 2);
    let company = bundle.erp_company();
    bundle.erp.delete_customer(company, record.id).unwrap();
    // The other one is still there, and still in conflict.
    next_pass(&bundle, 1).await;
    let left = bundle.owed.list().await.unwrap();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].subject.to_string().contains(&other.id.to_string()));
}
