//! A record of the ERP that cannot be read for a while: it stops nobody else, and nothing about it is lost.

use std::sync::Arc;

use serde_json::json;
use shared::{domain::PassMode, owed::Reason};
use tests::{
    bundle::{Bundle, Options},
    business_central_simulator::CustomerRecord,
    in_process::InProcess,
    norce_simulator::CodeList,
    samples::person,
    unreadable::Unreadable,
};

use crate::{DAY, drop_events, ended, owed, person_in_erp};

/// A bundle in which only passes hear of what happens in Norce.
fn bundle() -> (Bundle, Unreadable) {
    let unreadable = Unreadable::default();
    let options = Options {
        extended_erp: true,
        ..Options::default()
    };
    let bundle = Bundle::with_transport(&options, |simulator| {
        unreadable.around(Arc::new(InProcess::new(simulator)))
    });
    drop_events(&bundle);
    (bundle, unreadable)
}

/// A bundle in which a pass has met a record that cannot be read, and Norce's id of its customer.
async fn owed_record() -> (Bundle, Unreadable, i64, CustomerRecord) {
    let (bundle, unreadable) = bundle();
    let id = bundle.norce.add_customer(person(1));
    let record = person_in_erp(&bundle, 1);
    unreadable.spoil(record.id);
    bundle.pass(PassMode::Full).await;
    assert_eq!(owed(&bundle).await.len(), 1);
    // So much later that the overlap of the next one does not read it again.
    tokio::time::sleep(DAY).await;
    (bundle, unreadable, id, record)
}

#[tokio::test(start_paused = true)]
async fn p7_a_record_stays_owed_until_it_can_be_read() {
    let (bundle, unreadable, id, record) = owed_record().await;
    for mode in [PassMode::Delta, PassMode::Full, PassMode::Delta] {
        ended(&bundle.pass(mode).await);
        let owed = owed(&bundle).await;
        assert_eq!(owed.len(), 1, "{mode:?}: {owed:?}");
        assert_eq!(owed[0].0, Reason::RemoteFault);
        tokio::time::sleep(DAY).await;
    }
    unreadable.mend(record.id);
    ended(&bundle.pass(PassMode::Delta).await);
    assert_eq!(bundle.customer_code(id), Some(record.number));
    assert_eq!(owed(&bundle).await, []);
}

#[tokio::test(start_paused = true)]
async fn p7_an_owed_record_that_is_deleted_is_no_longer_owed() {
    let (bundle, _, _, record) = owed_record().await;
    let company = bundle.erp_company();
    bundle.erp.delete_customer(company, record.id).unwrap();
    ended(&bundle.pass(PassMode::Delta).await);
    assert_eq!(owed(&bundle).await, []);
}

/// Whether the record of a binding still exists, a pass asks when another record has the entity's address.
#[tokio::test(start_paused = true)]
async fn p6_a_bound_record_stops_no_pass_and_no_other_record_takes_its_place() {
    let (bundle, unreadable) = bundle();
    let id = bundle.norce.add_customer(person(1));
    let record = person_in_erp(&bundle, 1);
    bundle.pass(PassMode::Full).await;
    assert_eq!(bundle.customer_code(id), Some(record.number.clone()));
    unreadable.spoil(record.id);
    let other = bundle.norce.add_customer(person(2));
    let another = person_in_erp(&bundle, 2);
    let rival = person_in_erp(&bundle, 1);
    for mode in [PassMode::Delta, PassMode::Full] {
        ended(&bundle.pass(mode).await);
        assert_eq!(bundle.customer_code(id), Some(record.number.clone()));
        assert_eq!(bundle.customer_code(other), Some(another.number.clone()));
        assert_ne!(bundle.customer_code(id), Some(rival.number.clone()));
        tokio::time::sleep(DAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p7_a_change_that_cannot_be_read_when_it_is_sent_follows_later() {
    let (bundle, unreadable) = bundle();
    bundle.norce.add_code(CodeList::PriceLists, "VIP", 7);
    let id = bundle.norce.add_customer(person(1));
    let record = person_in_erp(&bundle, 1);
    bundle.pass(PassMode::Full).await;
    let (company, group) = (bundle.erp_company(), json!({"customerPriceGroup": "VIP"}));
    bundle
        .erp
        .edit_customer(company, record.id, &group)
        .unwrap();
    bundle.start_pass(PassMode::Delta).await;
    while bundle.pass_step().await {}
    unreadable.spoil(record.id);
    bundle.run_until_quiet().await;
    let price_lists = || {
        let customer = bundle.norce.customer(id).unwrap();
        customer.details.price_lists.len()
    };
    assert_eq!(price_lists(), 0);
    let still_owed = bundle.owed.list().await.unwrap();
    assert_eq!(still_owed.len(), 1, "{still_owed:?}");
    assert!(still_owed[0].detail.contains("cannot be used now"));
    unreadable.mend(record.id);
    tokio::time::sleep(DAY).await;
    ended(&bundle.pass(PassMode::Delta).await);
    assert_eq!(price_lists(), 1);
    assert_eq!(owed(&bundle).await, []);
}

/// Two records have one address, and one of them cannot be used.
#[tokio::test(start_paused = true)]
async fn p15_nobody_is_bound_by_an_address_that_an_unreadable_record_may_have() {
    let (bundle, unreadable) = bundle();
    let hidden = person_in_erp(&bundle, 1);
    // It is in the index of keys.
    bundle.pass(PassMode::Full).await;
    let id = bundle.norce.add_customer(person(1));
    unreadable.spoil(hidden.id);
    person_in_erp(&bundle, 1);
    ended(&bundle.pass(PassMode::Delta).await);
    assert_eq!(bundle.customer_code(id), None);
}

/// A record without a code is skipped until it has one.
#[tokio::test(start_paused = true)]
async fn p7_an_owed_record_that_loses_its_code_is_no_longer_owed() {
    let (bundle, unreadable, _, record) = owed_record().await;
    unreadable.take_code(record.id);
    ended(&bundle.pass(PassMode::Delta).await);
    assert_eq!(owed(&bundle).await, []);
}
