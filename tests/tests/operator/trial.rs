//! `trial`: a record that is created, checked and deleted.

use http::StatusCode;
use serde_json::json;
use tests::business_central_simulator::{CustomerTemplate, Entity, Fault};

use super::*;

fn texts(answer: &Value) -> Vec<String> {
    let todo = answer["todo"].as_array().into_iter().flatten();
    todo.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn assert_nothing_left(bundle: &Bundle) {
    let company = bundle.erp_company();
    assert_eq!(bundle.erp.customers(company), []);
    assert_eq!(bundle.erp.contacts(company), []);
}

/// E1: a customer that is created without a template cannot be sold to, and the advice fixes that.
#[tokio::test(start_paused = true)]
async fn a_trial_says_what_to_set_up_and_succeeds_afterwards() {
    let bundle = Bundle::new(&Options::default());
    let templates = |templates: Vec<CustomerTemplate>| {
        let company = bundle.erp_company();
        bundle
            .erp
            .configure_company(company, |company| company.customer_templates = templates)
            .unwrap();
    };
    templates(Vec::new());
    let would = bundle.ask(json!({"action": "trial"})).await.unwrap();
    assert_eq!(would["succeeded"], false);
    assert_eq!(bundle.erp.requests().carried_out().count(), 0, "only said");

    let trial = json!({"action": "trial", "kind": "company", "country": "NO", "confirm": true});
    let answer = bundle.ask(trial.clone()).await.unwrap();
    let todo = texts(&answer);
    assert_eq!(
        (&answer["succeeded"], todo.len()),
        (&json!(false), 1),
        "{answer:#}"
    );
    assert!(
        todo[0].contains("Gen. Bus. Posting Group must have a value"),
        "{todo:?}"
    );
    assert!(todo[0].contains("API Setup"), "{todo:?}");
    assert_nothing_left(&bundle);

    // As it says, and once for another country only.
    for (country, succeeds) in [("SE", false), ("NO", true)] {
        templates(vec![CustomerTemplate::domestic().for_country(country)]);
        let answer = bundle.ask(trial.clone()).await.unwrap();
        assert_eq!(answer["succeeded"], succeeds, "{country}: {answer:#}");
        assert_nothing_left(&bundle);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_trial_leaves_behind_is_named() {
    let bundle = Bundle::new(&Options::default());
    let refused = Fault::status(StatusCode::FORBIDDEN).on(Method::DELETE, Entity::Customers);
    bundle.erp.inject(refused);
    let answer = bundle
        .ask(json!({"action": "trial", "confirm": true}))
        .await
        .unwrap();
    let left = bundle.erp.customers(bundle.erp_company());
    assert_eq!(left.len(), 1);
    let todo = texts(&answer);
    assert!(
        todo[0].starts_with(&format!(
            "{} or its contact could not be deleted",
            left[0].number
        )),
        "{todo:?}"
    );

    let bundle = Bundle::new(&Options::default());
    bundle
        .erp
        .inject(Fault::status(StatusCode::FORBIDDEN).on(Method::POST, Entity::SalesQuotes));
    let answer = bundle
        .ask(json!({"action": "trial", "confirm": true}))
        .await
        .unwrap();
    assert!(
        texts(&answer)[0].starts_with("Whether it can be sold to was not found out"),
        "{answer:#}"
    );
    assert_nothing_left(&bundle);
}

const DIMENSIONS: &str = r#"[{"set":{"dimensions":{"DEPARTMENT":"SHOP","AREA":"10"}}}]"#;

/// What a real create leaves is a part of the trial.
#[tokio::test(start_paused = true)]
async fn a_trial_writes_dimensions_as_a_create_does() {
    let trial = json!({"action": "trial", "confirm": true});
    let options = Options {
        fixed_values: DIMENSIONS,
        ..Options::default()
    };
    let bundle = Bundle::new(&options);
    let answer = bundle.ask(trial.clone()).await.unwrap();
    assert_eq!(answer["succeeded"], true, "{answer:#}");
    let log = bundle.erp.requests();
    let dimensions = log
        .carried_out()
        .filter(|write| write.entity == Entity::DefaultDimensions);
    assert_eq!(dimensions.count(), 2);
    assert_nothing_left(&bundle);

    let bundle = Bundle::new(&options);
    let refused = Fault::status(StatusCode::FORBIDDEN);
    bundle
        .erp
        .inject(refused.on(Method::POST, Entity::DefaultDimensions));
    let answer = bundle.ask(trial).await.unwrap();
    let todo = texts(&answer);
    assert_eq!(todo.len(), 1, "{todo:?}");
    assert!(
        todo[0].starts_with("The record was created, but the values"),
        "{todo:?}"
    );
    assert_nothing_left(&bundle);
}

/// The deletion has time of its own, whatever takes long before it.
#[tokio::test(start_paused = true)]
async fn a_trial_that_takes_long_deletes_what_it_created() {
    let long = Duration::from_secs(3_600);
    let slow = |entity| Fault::slow_work(long).on(Method::POST, entity);
    for entity in [Entity::SalesQuotes, Entity::DefaultDimensions] {
        for seconds in [20, 30, 60] {
            let bundle = Bundle::new(&Options {
                fixed_values: DIMENSIONS,
                ..Options::default()
            });
            bundle.erp.inject(slow(entity));
            let began = tokio::time::Instant::now();
            let answer = bundle
                .ask(json!({"action": "trial", "confirm": true, "within": seconds}))
                .await
                .unwrap();
            assert_eq!(answer["succeeded"], false);
            assert!(began.elapsed() <= Duration::from_secs(seconds));
            assert!(
                !texts(&answer).iter().any(|text| text.contains("deleted")),
                "{entity:?} {seconds}: {answer:#}"
            );
            assert_nothing_left(&bundle);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_without_time_for_its_deletion_creates_nothing() {
    let bundle = Bundle::new(&Options::default());
    let answer = bundle
        .ask(json!({"action": "trial", "confirm": true, "within": 19}))
        .await
        .unwrap();
    assert!(
        summary(&answer).contains("a trial takes 20 s or more, and nothing was created"),
        "{answer:#}"
    );
    assert_eq!(bundle.erp.requests().carried_out().count(), 0);
}
