//! The list of owed records at any length: in groups, page by page, searched, and acted on as it was seen.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::{
    domain::Clock,
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
};
use tests::bundle::{Bundle, Options, customer};
use uuid::Uuid;

use super::{refusal, summary};

/// A customer is owed, for so many milliseconds less than the first one.
async fn owe(bundle: &Bundle, number: i64, reason: Reason, detail: &str) -> String {
    let owed = NewOwed {
        subject: Subject::Entity(customer(number)),
        stage: Stage::ToErp,
        reason,
        detail: detail.to_owned(),
        code: (number % 2 == 0).then(|| format!("C{number:05}").parse().unwrap()),
        at: bundle.clock.now() + TimeDelta::milliseconds(number),
        correlation: Uuid::new_v4(),
        cause: None,
    };
    let subject = owed.subject.to_string();
    bundle.owed.put(owed).await.unwrap();
    subject
}

fn with(mut request: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

async fn list(bundle: &Bundle, fields: &Value) -> Value {
    let request = with(json!({"action": "owed"}), fields);
    bundle.ask(request).await.unwrap()
}

fn subjects(answer: &Value) -> Vec<String> {
    let lines = answer["owed"].as_array().unwrap().iter();
    let subjects = lines.map(|line| line["subject"].as_str().unwrap().to_owned());
    subjects.collect()
}

/// Whom the waiting changes are about, and takes them off the queue.
fn sent(bundle: &Bundle) -> Vec<String> {
    let mut sent = Vec::new();
    loop {
        let messages = bundle.changes.receive(10);
        if messages.is_empty() {
            sent.sort();
            return sent;
        }
        for message in messages {
            bundle.changes.delete(&message.receipt);
            sent.extend(message.group);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn three_errors_of_many_records_are_three_groups_that_sum_up_and_are_acted_on() {
    let bundle = Bundle::new(&Options::default());
    let mut of_rule = BTreeSet::new();
    for number in 1..=60 {
        let (reason, detail) = match number % 6 {
            0 => (
                Reason::Conflict,
                format!("customer/client/{number} has code C{number:05}: correct it."),
            ),
            1 | 2 => (Reason::Validation, format!("Norce's job {number} failed.")),
            _ => (
                Reason::Validation,
                format!("Record {} does not meet a rule.", Uuid::new_v4()),
            ),
        };
        let subject = owe(&bundle, number, reason, &detail).await;
        if detail.starts_with("Record") {
            of_rule.insert(subject);
        }
    }
    let answer = list(&bundle, &json!({"groups": true})).await;
    let groups = answer["groups"].as_array().unwrap();
    let count = |group: &Value| group["count"].as_u64().unwrap();
    let told: Vec<(u64, &str)> = groups
        .iter()
        .map(|group| (count(group), group["words"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (30, "Record … does not meet a rule."),
            (20, "Norce's job … failed."),
            (10, "… has code …: correct it."),
        ],
        "{answer:#}"
    );
    assert_eq!(groups.iter().map(count).sum::<u64>(), answer["found"]);
    assert_eq!(answer["owed"], json!([]));
    assert!(
        summary(&answer).starts_with("60 owed in 3 groups"),
        "{answer:#}"
    );
    let group = &groups[0];
    let samples = [
        "customer/client/3",
        "customer/client/4",
        "customer/client/5",
    ];
    assert_eq!(group["samples"], json!(samples));
    let listed = list(&bundle, &json!({"group": group["group"]})).await;
    assert_eq!(group["oldest"], listed["owed"][0]["first"]);
    assert_eq!(group["nextAttempt"], listed["owed"][0]["nextAttempt"]);
    assert_eq!(BTreeSet::from_iter(subjects(&listed)), of_rule);
    assert_eq!(listed["found"], group["count"]);

    let retry = json!({"action": "owed", "do": "retry", "group": group["group"]});
    let retried = bundle.ask(retry).await.unwrap();
    assert_eq!(retried["retried"], 30, "{retried:#}");
    assert_eq!(BTreeSet::from_iter(sent(&bundle)), of_rule);
    let dismiss = json!({
        "action": "owed", "do": "dismiss", "group": groups[2]["group"], "because": "a test",
    });
    assert_eq!(bundle.ask(dismiss).await.unwrap()["dismissed"], 10);
    let left = list(&bundle, &json!({"groups": true})).await;
    assert_eq!(left["groups"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_each_record_once_and_in_the_order_of_age() {
    let bundle = Bundle::new(&Options::default());
    let mut expected = Vec::new();
    for number in 1..=230 {
        expected.push(owe(&bundle, number, Reason::Validation, "a test").await);
    }
    // Of the same age, so that the time alone is no place.
    for number in 231..=260 {
        let owed = NewOwed {
            subject: Subject::Entity(customer(number)),
            stage: Stage::ToErp,
            reason: Reason::Validation,
            detail: "a test".to_owned(),
            code: None,
            at: bundle.clock.now() + TimeDelta::milliseconds(1_000),
            correlation: Uuid::new_v4(),
            cause: None,
        };
        expected.push(owed.subject.to_string());
        bundle.owed.put(owed).await.unwrap();
    }
    for limit in [1, 50, 260, 1_000] {
        let mut request = json!({"limit": limit});
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let answer = list(&bundle, &request).await;
            assert_eq!(answer["found"], 260, "the filters leave all of them");
            found.extend(subjects(&answer));
            pages += 1;
            match answer.get("cursor") {
                Some(cursor) => request["cursor"] = cursor.clone(),
                None => break,
            }
        }
        assert_eq!(found, expected, "{limit}");
        assert_eq!(pages, 260_usize.div_ceil(limit).max(1), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn words_find_a_code_a_subject_and_the_words_of_the_reason() {
    let bundle = Bundle::new(&Options::default());
    let first = owe(
        &bundle,
        10,
        Reason::Validation,
        "The price list X is not known.",
    )
    .await;
    let second = owe(&bundle, 11, Reason::Conflict, "The code is taken.").await;
    let both = vec![first.clone(), second.clone()];
    for (fields, expected) in [
        (json!({"q": "PRICE known"}), vec![first.clone()]),
        (json!({"q": "c00010"}), vec![first.clone()]),
        (json!({"q": "client/11"}), vec![second.clone()]),
        (json!({"q": "price taken"}), vec![]),
        (json!({"q": "  "}), both.clone()),
        (json!({"subjects": both}), both.clone()),
        (
            json!({"subjects": [second, "customer/client/99"]}),
            vec![second.clone()],
        ),
        (
            json!({"subjects": both, "reason": "validation"}),
            vec![first.clone()],
        ),
    ] {
        assert_eq!(
            subjects(&list(&bundle, &fields).await),
            expected,
            "{fields}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_grown_since_it_was_listed_is_refused_and_nothing_is_done_until_it_is_listed_again()
 {
    for act in [
        json!({"do": "retry"}),
        json!({"do": "dismiss", "because": "a test"}),
    ] {
        let bundle = Bundle::new(&Options::default());
        let filter = json!({"reason": "validation"});
        let first = owe(&bundle, 1, Reason::Validation, "a test").await;
        owe(&bundle, 2, Reason::Validation, "a test").await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let act = with(with(json!({"action": "owed"}), &filter), &act);
        let seen = |listed: &Value| json!({"asOf": listed["asOf"], "expected": listed["found"]});
        let listed = list(&bundle, &filter).await;
        assert_eq!(listed["found"], 2);

        // One comes, and then as many as before fit again, but others.
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        owe(&bundle, 3, Reason::Validation, "a test").await;
        for is_one_gone in [false, true] {
            if is_one_gone {
                let entity = Subject::Entity(first.parse().unwrap());
                assert!(bundle.owed.resolve(&entity, Stage::ToErp).await.unwrap());
            }
            let words = refusal(&bundle, with(act.clone(), &seen(&listed))).await;
            assert!(words.contains("grown"), "{words}");
            assert!(words.contains("Nothing was done"), "{words}");
            assert_eq!(sent(&bundle), Vec::<String>::new());
            let records = bundle.owed.list().await.unwrap();
            assert!(
                records
                    .iter()
                    .all(|it| it.dismissed.is_none() && it.retried.is_none())
            );
        }
        // The count alone says so as well, where it grew.
        let words = refusal(&bundle, with(act.clone(), &json!({"expected": 1}))).await;
        assert!(
            words.contains("2 records match now instead of 1"),
            "{words}"
        );
        // What the message advises.
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let listed = list(&bundle, &filter).await;
        let done = bundle.ask(with(act, &seen(&listed))).await.unwrap();
        let count = done.get("retried").or(done.get("dismissed"));
        assert_eq!(count, Some(&json!(2)), "{done:#}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_are_retried_in_one_go_are_retried_one_go_after_another_each_once() {
    let bundle = Bundle::new(&Options::default());
    let mut expected = Vec::new();
    for number in 1..=1_100 {
        expected.push(owe(&bundle, number, Reason::Validation, "a test").await);
    }
    expected.sort();
    let mut request = json!({"action": "owed", "do": "retry", "expected": 1_100});
    let mut all = Vec::new();
    for count in [500, 500, 100] {
        let answer = bundle.ask(request.clone()).await.unwrap();
        assert_eq!(answer["retried"], count, "{}", summary(&answer));
        assert_eq!(answer.get("cursor").is_some(), count == 500);
        request["cursor"] = answer["cursor"].clone();
        all.extend(sent(&bundle));
    }
    all.sort();
    assert_eq!(all, expected);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_owed_records_are_grouped_and_the_answer_stays_small() {
    let bundle = Bundle::new(&Options::default());
    for number in 1..=10_000 {
        // Words that differ from record to record, as a remote may have them that quotes a name.
        let detail = match number % 2 {
            0 => format!("The record {number} is refused."),
            _ => format!(
                "{} is refused.",
                "x".repeat(1 + usize::try_from(number).unwrap() % 3_000)
            ),
        };
        owe(&bundle, number, Reason::Validation, &detail).await;
    }
    let answer = list(&bundle, &json!({"groups": true, "limit": 2_000})).await;
    let groups = answer["groups"].as_array().unwrap();
    let counts = groups.iter().map(|group| group["count"].as_u64().unwrap());
    assert_eq!(
        (answer["found"].as_u64(), counts.sum::<u64>()),
        (Some(10_000), 10_000)
    );
    assert!(groups.len() <= 1_001, "{}", groups.len());
    // What cannot be told apart has no id by which others would be acted on.
    let lumped = groups.iter().filter(|group| group.get("words").is_none());
    assert!(lumped.clone().all(|group| group.get("group").is_none()));
    assert_eq!(lumped.count(), 1);
    assert_eq!(groups[0]["words"], "The record … is refused.");
}
