//! The activity record: every change that a person asks for leaves an entry, whatever its outcome.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    activity::{Activity, State},
    domain::Clock,
    owed::{OwedRecords, Stage, Subject},
};
use tests::{
    bundle::{Bundle, Options},
    interruption::Moment,
};

use super::{code_of, somebody, somebody_owed, summary};

const BY: &str = r#"{"user":"support-1","role":"admin"}"#;

fn by() -> Value {
    serde_json::from_str(BY).unwrap()
}

/// The entries, the newest first.
async fn entries(bundle: &Bundle) -> Vec<Value> {
    let answer = bundle.ask(json!({"action": "activity"})).await.unwrap();
    answer["entries"].as_array().unwrap().clone()
}

/// A request to change something, and the entry that it leaves.
struct Act {
    request: Value,
    did: &'static str,
    subjects: Vec<String>,
    /// The filter or the target of the request, where it has one.
    asked: Option<String>,
    /// `None`: either outcome is right.
    state: Option<&'static str>,
}

impl Act {
    fn new(did: &'static str, state: Option<&'static str>, request: Value) -> Self {
        Self {
            request,
            did,
            subjects: Vec::new(),
            asked: None,
            state,
        }
    }

    fn done(did: &'static str, request: Value) -> Self {
        Self::new(did, Some("done"), request)
    }

    fn refused(did: &'static str, request: Value) -> Self {
        Self::new(did, Some("refused"), request)
    }

    fn on(mut self, subject: &str) -> Self {
        self.subjects.push(subject.to_owned());
        self
    }

    fn asking(mut self, asked: &str) -> Self {
        self.asked = Some(asked.to_owned());
        self
    }
}

/// Names an e-mail address, which its entry must not have.
const BECAUSE: &str = "a test of anna@example.com";

fn acts_on_owed_records(owed: &str) -> Vec<Act> {
    vec![
        Act::done(
            "dismiss",
            json!({"action": "owed", "do": "dismiss", "subject": owed, "because": BECAUSE}),
        )
        .on(owed),
        Act::done(
            "restore",
            json!({"action": "owed", "do": "restore", "subject": owed}),
        )
        .on(owed),
        Act::done(
            "retry",
            json!({"action": "owed", "do": "retry", "reason": "validation"}),
        )
        .on(owed)
        .asking("reason=validation"),
        Act::refused(
            "dismiss",
            json!({"action": "owed", "do": "dismiss", "kind": "customer"}),
        )
        .asking("kind=customer"),
    ]
}

fn replays(entity: &str) -> Vec<Act> {
    vec![
        Act::done("replay", json!({"action": "replay", "entity": entity})).on(entity),
        Act::refused(
            "replay",
            json!({"action": "replay", "entity": "customer/app-9/1"}),
        )
        .on("customer/app-9/1"),
        Act::refused(
            "replay",
            json!({"action": "replay", "entity": "anna@example.com"}),
        )
        .on("[e-mail]"),
    ]
}

fn acts_on_passes_and_queues() -> Vec<Act> {
    vec![
        Act::done("plan", json!({"action": "plan", "mode": "full"})).asking("mode=full"),
        Act::done(
            "pass",
            json!({"action": "pass", "mode": "delta", "kind": "company"}),
        )
        .asking("mode=delta kind=company"),
        Act::done(
            "redrive",
            json!({"action": "dead-letters", "do": "redrive", "queue": "changes"}),
        )
        .asking("queue=changes"),
    ]
}

/// `exported` is the name of a file of mappings.
fn acts_on_mappings(entity: &str, code: &str, exported: &str) -> Vec<Act> {
    vec![
        Act::refused(
            "unbind",
            json!({"action": "unbind", "entity": entity, "confirm": true}),
        )
        .on(entity),
        Act::new(
            "rebind",
            None,
            json!({"action": "rebind", "entity": entity, "toCode": code, "confirm": true, "reason": BECAUSE}),
        )
        .on(entity)
        .asking(&format!("toCode={code}")),
        Act::done(
            "unbind",
            json!({"action": "unbind", "email": "anna.1@example.com", "confirm": true, "reason": BECAUSE}),
        )
        .on(entity),
        Act::done(
            "import-mappings",
            json!({"action": "import-mappings", "from": exported}),
        )
        .asking(&format!("from={exported}")),
    ]
}

fn requests_to_forget(entity: &str) -> Vec<Act> {
    vec![
        Act::done(
            "forget",
            json!({"action": "forget", "email": "anna.1@example.com", "confirm": true}),
        )
        .on(entity),
        Act::refused(
            "forget",
            json!({"action": "forget", "code": "C9999999", "confirm": true}),
        ),
    ]
}

/// Sends the request, after `number` others, and compares the entry that it leaves.
async fn assert_leaves_one_entry(bundle: &Bundle, number: usize, act: Act) {
    let mut request = act.request;
    request["by"] = by();
    let before = bundle.clock.now();
    let answer = bundle.ask(request.clone()).await;
    let entries = entries(bundle).await;
    assert_eq!(entries.len(), number + 1, "{request}: {entries:#?}");
    let entry = &entries[0];
    assert_eq!(entry["by"], by(), "{entry:#}");
    assert_eq!(
        (&entry["did"], &entry["subjects"]),
        (&json!(act.did), &json!(act.subjects))
    );
    assert_eq!(entry["asked"], json!(act.asked), "{entry:#}");
    assert_eq!(entry["at"], json!(before), "{entry:#}");
    let result = match &answer {
        Ok(answer) => summary(answer).to_owned(),
        Err(refusal) => refusal.to_string(),
    };
    assert_eq!(entry["result"], result);
    if let Some(state) = act.state {
        assert_eq!(entry["state"], state, "{request}: {entry:#}");
    }
    if request.to_string().contains(BECAUSE) {
        assert_eq!(entry["because"], "a test of [e-mail]", "{entry:#}");
    }
    // P11, and an entry about a forgotten customer has the id only.
    assert!(!entry.to_string().contains('@'), "{entry:#}");
}

#[tokio::test(start_paused = true)]
async fn every_act_leaves_one_entry_with_who_what_to_what_and_why_and_a_question_none() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let refused = somebody_owed(&bundle, 2).await;
    let name = format!("customer/client/{anna}");
    let owed = format!("customer/client/{refused}");
    let exported = bundle.ask(json!({"action": "export-mappings"})).await;
    let exported = exported.unwrap()["into"].as_str().unwrap().to_owned();
    let code = code_of(&bundle, anna);
    let acts = [
        acts_on_owed_records(&owed),
        replays(&name),
        acts_on_passes_and_queues(),
        acts_on_mappings(&name, &code, &exported),
        requests_to_forget(&name),
    ];
    for (number, act) in acts.into_iter().flatten().enumerate() {
        assert_leaves_one_entry(&bundle, number, act).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let before = entries(&bundle).await.len();
    for question in [
        json!({}),
        json!({"action": "status"}),
        json!({"action": "doctor"}),
        json!({"action": "owed"}),
        json!({"action": "explain", "entity": name}),
        json!({"action": "dead-letters"}),
        json!({"action": "dead-letters", "do": "show"}),
        json!({"action": "jobs"}),
        json!({"action": "activity"}),
        json!({"action": "export-mappings"}),
        json!({"action": "import-mappings", "from": exported, "dryRun": true}),
        json!({"action": "replay", "entity": name, "dryRun": true}),
        json!({"action": "forget", "entity": name}),
        json!({"action": "unbind", "entity": owed}),
    ] {
        // Whether it has an answer does not matter here.
        let _ = bundle.ask(question).await;
    }
    assert_eq!(entries(&bundle).await.len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_act_without_by_is_recorded_as_one_with_credentials_of_aws() {
    let bundle = Bundle::new(&Options::default());
    let request = json!({"action": "pass", "mode": "delta"});
    bundle.ask(request.clone()).await.unwrap();
    let aws = json!({"user": "aws", "role": "aws"});
    assert_eq!(entries(&bundle).await[0]["by"], aws);
    for wrong in [
        json!("anna@example.com"),
        json!({"user": "anna@example.com"}),
        json!({"user": "", "role": "act"}),
        json!({"user": "x".repeat(256), "role": "act"}),
        json!({"user": "support-1", "role": "aws"}),
        json!({"user": "support-1", "role": "Admin"}),
        json!({"user": "support-1", "role": ""}),
    ] {
        let mut request = request.clone();
        request["by"] = wrong;
        let refused = bundle.ask(request).await.unwrap_err().to_string();
        assert!(refused.contains("`by`"), "{refused}");
        assert!(!refused.contains("anna"), "P11: {refused}");
    }
    assert_eq!(entries(&bundle).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_act_is_without_its_entry_wherever_it_is_cut_off() {
    for moment in [Moment::Before, Moment::After] {
        let mut seen = Vec::new();
        for call in 0.. {
            let bundle = Bundle::new(&Options::default());
            let subject = format!("customer/client/{}", somebody_owed(&bundle, 1).await);
            let request = json!({
                "action": "owed", "do": "dismiss", "subject": subject, "because": "a test",
            });
            bundle.interruption.plan(call, moment);
            let cut = bundle.ask_once(request).await.is_none();
            bundle.interruption.clear();
            let entity = Subject::Entity(subject.parse().unwrap());
            let owed = bundle.owed.get(&entity, Stage::ToErp).await.unwrap();
            let page = bundle.activity.page(None).await.unwrap();
            let entry = page.entries.first();
            let is_done = owed.unwrap().dismissed.is_some();
            assert!(entry.is_some() || !is_done, "{call} {moment:?}");
            let state = entry.map(|entry| entry.outcome.state());
            seen.push(state);
            assert!(is_done || state != Some(State::Done), "{call} {moment:?}");
            if !cut {
                break;
            }
        }
        // It was cut off before, within and after the act.
        assert!(seen.contains(&Some(State::Started)), "{seen:?}");
        assert_eq!(seen.last(), Some(&Some(State::Done)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_noted_is_not_done() {
    let bundle = Bundle::new(&Options::default());
    let subject = format!("customer/client/{}", somebody_owed(&bundle, 1).await);
    let fault = tests::interruption::Fault::FailsBefore;
    bundle.interruption.always("activity start", fault);
    let request = json!({"action": "owed", "do": "dismiss", "subject": subject, "because": "x"});
    let refused = bundle.ask(request.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("activity record"), "{refused}");
    let owed = bundle.owed.list().await.unwrap();
    assert_eq!(owed[0].dismissed, None);
    // The advice is to ask again.
    assert!(
        refused.contains("repeating the request is safe"),
        "{refused}"
    );
    bundle.interruption.clear();
    assert_eq!(bundle.ask(request).await.unwrap()["dismissed"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_stack_without_the_activity_table_acts_all_the_same_and_names_what_is_missing() {
    let mut bundle = Bundle::new(&Options::default());
    bundle.operator.activity = None;
    bundle.operator.doctor.stores.activity = None;
    let pass = json!({"action": "pass", "mode": "delta"});
    bundle.ask(pass).await.unwrap();
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    assert!(summary(&report).starts_with("All "), "{report:#}");
    let refused = bundle.ask(json!({"action": "activity"})).await.unwrap_err();
    assert!(refused.to_string().contains("ACTIVITY_TABLE"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn the_record_is_listed_from_the_newest_page_by_page_and_filtered() {
    let bundle = Bundle::new(&Options::default());
    for number in 0..45 {
        let user = ["support-1", "support-2"][number % 2];
        let did = ["replay", "pass"][number % 3 / 2];
        let mut request = match did {
            "pass" => json!({"action": "pass", "mode": "delta"}),
            _ => json!({"action": "replay", "entity": format!("customer/client/{}", number + 1)}),
        };
        if number == 10 {
            request["entity"] = json!("customer/app-9/1");
        }
        request["by"] = json!({"user": user, "role": "admin"});
        let _ = bundle.ask(request).await;
        // Some at the same moment, so that the time alone is no place.
        if number % 4 == 0 {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
    let list = async |filter: Value| {
        let mut request = json!({"action": "activity", "limit": 7});
        for (name, value) in filter.as_object().unwrap() {
            request[name] = value.clone();
        }
        let mut listed = Vec::new();
        loop {
            let answer = bundle.ask(request.clone()).await.unwrap();
            let page = answer["entries"].as_array().unwrap();
            assert!(page.len() <= 7, "{answer:#}");
            listed.extend(page.clone());
            match answer.get("cursor") {
                Some(cursor) => request["cursor"] = cursor.clone(),
                None => return listed,
            }
        }
    };
    let all = list(json!({})).await;
    assert_eq!(all.len(), 45);
    let mut ids: Vec<&str> = all.iter().map(|it| it["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 45, "none is listed twice");
    let times: Vec<&str> = all.iter().map(|it| it["at"].as_str().unwrap()).collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "{times:?}"
    );
    for (filter, count) in [
        (json!({"user": "support-1"}), 23),
        (json!({"did": "pass"}), 15),
        (json!({"user": "support-2", "did": "pass"}), 7),
        (json!({"state": "refused"}), 1),
        (json!({"subject": "customer/client/1"}), 1),
        (json!({"user": "nobody"}), 0),
    ] {
        assert_eq!(list(filter.clone()).await.len(), count, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dismissal_says_who_and_when_and_is_taken_back() {
    let bundle = Bundle::new(&Options::default());
    let subject = format!("customer/client/{}", somebody_owed(&bundle, 1).await);
    let now = bundle.clock.now();
    let dismiss = json!({
        "action": "owed", "do": "dismiss", "subject": subject, "because": "a test", "by": by(),
    });
    bundle.ask(dismiss).await.unwrap();
    let list = json!({"action": "owed", "dismissed": true});
    let listed = bundle.ask(list.clone()).await.unwrap();
    let line = &listed["owed"][0];
    assert_eq!(line["dismissed"], "a test");
    assert_eq!(line["dismissedBy"], by());
    assert_eq!(line["dismissedAt"], json!(now));
    assert_eq!(line.get("nextAttempt"), None);

    for (request, words) in [
        (json!({"action": "owed", "do": "restore"}), "filter"),
        (
            json!({"action": "owed", "do": "restore", "subject": subject, "dismissed": false}),
            "leave `dismissed` out",
        ),
    ] {
        let refused = bundle.ask(request).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let restore = json!({"action": "owed", "do": "restore", "subject": subject});
    let restored = bundle.ask(restore.clone()).await.unwrap();
    assert_eq!(restored["restored"], 1, "{restored:#}");
    assert_eq!(bundle.ask(list).await.unwrap()["found"], 0);
    let listed = bundle.ask(json!({"action": "owed"})).await.unwrap();
    assert!(listed["owed"][0]["nextAttempt"].is_string(), "{listed:#}");
    // Two people at the same record: the second finds nothing to take back.
    assert_eq!(bundle.ask(restore).await.unwrap()["restored"], 0);
    // It is retried automatically.
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    bundle.run_until_quiet().await;
}
