//! Customers that were merged in Norce: everything leads to the surviving customer. In one process, with the
//! simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use serde_json::json;
use shared::{
    mappings::{Mapping, Mappings},
    owed::Owed,
    runtime::configuration::CreateInErp,
};
use tests::{
    bundle::{Bundle, Options, UNTIL_OWED, customer},
    norce_simulator::Blank,
    samples::{order_of, person},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn bundle() -> Bundle {
    Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    })
}

/// A customer that has ordered and has its code.
async fn bound(bundle: &Bundle, number: u32) -> i64 {
    let customer = bundle.norce.add_customer(person(number));
    bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    customer
}

async fn owed(bundle: &Bundle) -> Vec<Owed> {
    bundle.owed.list().await.unwrap()
}

async fn days_pass(bundle: &Bundle) {
    for _ in 0..3 {
        tokio::time::sleep(DAY).await;
        bundle.retry_owed().await;
        bundle.quiet_within(UNTIL_OWED).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_survivor_of_a_merge_takes_over_the_erp_record() {
    for chain in [1, 3] {
        let bundle = bundle();
        let merged = bound(&bundle, 1).await;
        let code = bundle.customer_code(merged).unwrap();
        let survivors: Vec<i64> = (2..2 + chain)
            .map(|number| bundle.norce.add_customer(person(number)))
            .collect();
        // From its end, so that the last merge finds the whole chain.
        for pair in survivors.windows(2).rev() {
            assert!(bundle.norce.merge_customer(pair[0], pair[1], false));
        }
        bundle.run_until_quiet().await;
        assert!(bundle.norce.merge_customer(merged, survivors[0], false));
        bundle.run_until_quiet().await;
        let survivor = *survivors.last().unwrap();
        assert_eq!(bundle.binding(customer(merged)).await, None);
        let taken = bundle.binding(customer(survivor)).await.unwrap();
        assert_eq!(taken.code.as_str(), code);
        assert_eq!(bundle.customer_code(survivor).as_ref(), Some(&code));
        // One record, which has what the survivor has.
        let [record] = bundle
            .erp
            .customers(bundle.erp_company())
            .try_into()
            .unwrap();
        assert_eq!(record.number, code);
        assert_eq!(record.email, format!("anna.{}@example.com", 1 + chain));
        assert!(owed(&bundle).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_norce_keeps_on_the_merged_customer_is_owed_until_it_is_removed_there() {
    let bundle = bundle();
    let merged = bound(&bundle, 1).await;
    let code = bundle.customer_code(merged);
    let survivor = bundle.norce.add_customer(person(2));
    bundle.run_until_quiet().await;
    bundle.norce.merge_customer(merged, survivor, true);
    bundle.run_until_quiet().await;
    let listed = owed(&bundle).await;
    let [one] = listed.as_slice() else {
        panic!("{listed:#?}");
    };
    assert!(
        one.detail.contains("belongs to another customer"),
        "{one:#?}"
    );
    bundle
        .norce
        .change_customer(merged, |record| record.row.customer_code = None);
    bundle.run_until_quiet().await;
    assert_eq!(bundle.customer_code(survivor), code);
    assert!(owed(&bundle).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_names_a_merged_customer_gets_the_code_of_the_survivor() {
    // Bound and merged before the order, merged without ever having been bound, and merged while the order waits.
    for case in 0..3 {
        let bundle = bundle();
        let merged = match case {
            0 => bound(&bundle, 1).await,
            _ => bundle.norce.add_customer(person(1)),
        };
        bundle.take_outgoing_orders();
        let survivor = bundle.norce.add_customer(person(2));
        if case < 2 {
            bundle.norce.merge_customer(merged, survivor, false);
            bundle.run_until_quiet().await;
            bundle.norce.place_order(order_of(merged));
        } else {
            bundle.erp.refuse_where(|_| true);
            bundle.norce.place_order(order_of(merged));
            bundle.quiet_within(UNTIL_OWED).await;
            assert!(bundle.outgoing_orders.is_empty());
            bundle.erp.refuse_nothing();
            bundle.norce.merge_customer(merged, survivor, false);
        }
        bundle.quiet_within(UNTIL_OWED).await;
        let handed = bundle.take_outgoing_orders();
        let [order] = handed.as_slice() else {
            panic!("case {case}: {:#?}", owed(&bundle).await);
        };
        let code = bundle.customer_code(survivor).unwrap();
        assert!(
            order.body.contains(&format!("\"CustomerCode\":\"{code}\"")),
            "case {case}"
        );
        assert_eq!(bundle.binding(customer(merged)).await, None, "case {case}");
        assert_eq!(
            bundle.erp.customers(bundle.erp_company()).len(),
            1,
            "case {case}"
        );
        assert!(owed(&bundle).await.is_empty(), "case {case}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_erp_records_are_owed_until_one_of_them_is_gone() {
    for merged_stays in [true, false] {
        let bundle = bundle();
        let (merged, survivor) = (bound(&bundle, 1).await, bound(&bundle, 2).await);
        let codes = [merged, survivor].map(|id| bundle.customer_code(id).unwrap());
        bundle.norce.merge_customer(merged, survivor, false);
        bundle.run_until_quiet().await;
        let listed = owed(&bundle).await;
        let [one] = listed.as_slice() else {
            panic!("{listed:#?}");
        };
        for words in [
            "merge the two records in the ERP, or delete one",
            &codes[0],
            &codes[1],
        ] {
            assert!(one.detail.contains(words), "{one:#?}");
        }
        // P15: neither was overwritten.
        let company = bundle.erp_company();
        let emails = bundle
            .erp
            .customers(company)
            .into_iter()
            .map(|record| record.email);
        let both = ["anna.1@example.com", "anna.2@example.com"];
        assert_eq!(emails.collect::<Vec<_>>(), both);

        let (stays, goes) = match merged_stays {
            true => (&codes[0], &codes[1]),
            false => (&codes[1], &codes[0]),
        };
        let records = bundle.erp.customers(company);
        let gone = records
            .iter()
            .find(|record| record.number == *goes)
            .unwrap();
        bundle.erp.delete_customer(company, gone.id).unwrap();
        days_pass(&bundle).await;
        assert!(owed(&bundle).await.is_empty(), "{:#?}", owed(&bundle).await);
        assert_eq!(bundle.binding(customer(merged)).await, None);
        let kept = bundle.binding(customer(survivor)).await.unwrap();
        assert_eq!(kept.code.as_str(), stays);
        assert_eq!(bundle.customer_code(survivor).as_ref(), Some(stays));
    }
}

/// Business Central has codes in capitals, and Norce has the one that was entered (K9).
#[tokio::test(start_paused = true)]
async fn a_survivor_with_the_code_of_the_record_in_other_letters_takes_it_over() {
    let bundle = bundle();
    let merged = bound(&bundle, 1).await;
    let code = bundle.customer_code(merged).unwrap();
    let survivor = bundle.norce.add_customer(person(2));
    bundle.run_until_quiet().await;
    bundle
        .norce
        .unsubscribe(tests::norce_simulator::EventType::CustomerChanged);
    for (id, code) in [(merged, None), (survivor, Some(code.to_lowercase()))] {
        bundle.norce.change_customer(id, |record| {
            record.row.customer_code = code.clone();
        });
    }
    bundle.norce.merge_customer(merged, survivor, false);
    let replay = json!({"action": "replay", "entity": customer(merged).to_string()});
    bundle.ask(replay).await.unwrap();
    bundle.run_until_quiet().await;
    let taken = bundle.binding(customer(survivor)).await.unwrap();
    assert_eq!(taken.code.as_str(), code);
    assert_eq!(bundle.binding(customer(merged)).await, None);
    assert!(owed(&bundle).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn p15_a_survivor_with_the_code_of_another_record_takes_over_nothing() {
    let bundle = bundle();
    let merged = bound(&bundle, 1).await;
    let properties = json!({"number": "K9", "type": "Person", "displayName": "Anna Ek 2"});
    let company = bundle.erp_company();
    bundle.erp.add_customer(company, &properties).unwrap();
    let before = bundle.binding(customer(merged)).await;
    let survivor = bundle.norce.add_customer(person(2));
    bundle.run_until_quiet().await;
    // Its event has not come yet.
    bundle
        .norce
        .unsubscribe(tests::norce_simulator::EventType::CustomerChanged);
    bundle.norce.change_customer(survivor, |record| {
        record.row.customer_code = Some("K9".to_owned());
    });
    bundle.norce.merge_customer(merged, survivor, false);
    let replay = json!({"action": "replay", "entity": customer(merged).to_string()});
    bundle.ask(replay).await.unwrap();
    bundle.run_until_quiet().await;
    assert_eq!(bundle.binding(customer(merged)).await, before);
    assert!(
        owed(&bundle).await[0]
            .detail
            .contains("merge the two records in the ERP")
    );
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_merges_and_a_survivor_that_is_not_there_are_owed_in_words() {
    let bundle = bundle();
    let merged = bound(&bundle, 1).await;
    let [b, c] = [2, 3].map(|number| bundle.norce.add_customer(person(number)));
    bundle.norce.merge_customer(b, c, false);
    bundle.norce.merge_customer(c, b, false);
    bundle.norce.merge_customer(merged, b, false);
    bundle.run_until_quiet().await;
    let listed = owed(&bundle).await;
    assert!(
        listed
            .iter()
            .all(|owed| owed.detail.contains("in a circle")),
        "{listed:#?}"
    );
    assert!(bundle.binding(customer(merged)).await.is_some());
    // What the text says: one of them stays.
    bundle.norce.change_customer(c, |record| {
        record.row.replacement_customer_id = None;
        record.row.is_active = true;
    });
    days_pass(&bundle).await;
    assert!(owed(&bundle).await.is_empty(), "{:#?}", owed(&bundle).await);
    assert!(bundle.binding(customer(c)).await.is_some());

    let d = bound(&bundle, 4).await;
    bundle
        .norce
        .change_customer(d, |record| record.row.replacement_customer_id = Some(987));
    bundle.run_until_quiet().await;
    assert!(
        owed(&bundle).await[0]
            .detail
            .contains("which Norce does not have")
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_of_merges_is_followed_as_far_as_its_bound() {
    for (merges, is_followed) in [(8, true), (9, false)] {
        let bundle = Bundle::new(&Options {
            create_in_erp: CreateInErp::Never,
            ..Options::default()
        });
        let row: Vec<i64> = (0..=merges)
            .map(|number| bundle.norce.add_customer(person(number)))
            .collect();
        for pair in row.windows(2).rev() {
            bundle.norce.merge_customer(pair[0], pair[1], false);
        }
        bundle.run_until_quiet().await;
        let first = customer(row[0]).to_string();
        let listed = owed(&bundle).await;
        assert_eq!(listed.is_empty(), is_followed, "{listed:#?}");
        for owed in listed {
            assert_eq!(owed.subject.to_string(), first);
            assert!(owed.detail.contains("more than 8 times"), "{owed:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_that_was_merged_into_a_forgotten_one_is_forgotten() {
    let bundle = bundle();
    let (merged, survivor) = (bound(&bundle, 1).await, bound(&bundle, 2).await);
    bundle.norce.forget_customer(survivor, &Blank::Null, true);
    bundle.run_until_quiet().await;
    bundle.norce.merge_customer(merged, survivor, false);
    bundle.run_until_quiet().await;
    let mapping = bundle.mappings.get(customer(merged)).await.unwrap();
    assert_eq!(mapping, Some(Mapping::Forgotten));
    assert!(owed(&bundle).await.is_empty());
}
