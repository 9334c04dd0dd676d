//! The permissions of each role of the console.

use std::time::Duration;

use operator::{MAX_NAMED, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::activity::Role;
use tests::bundle::{Bundle, Options};

use super::{somebody, somebody_owed};

const READS: bool = false;
const CHANGES: bool = true;

/// Requests with the role that each needs, and whether it changes anything.
#[rustfmt::skip]
fn requests() -> Vec<(Value, Role, bool)> {
    use Role::{Act, Admin, View};
    let hundred: Vec<String> = (1..=100)
        .map(|id| format!("customer/client/{id}"))
        .collect();
    let mut more = hundred.clone();
    more.push("customer/client/101".to_owned());
    let named = "customer/client/1";
    let since = "2026-11-24T00:00:00Z";
    let run = "3cefbd4a-8d46-43a1-bc90-68f3b420c056";
    vec![
        (json!({ "action": "help" }), View, READS),
        (json!({ "action": "status" }), View, READS),
        (json!({ "action": "doctor" }), View, READS),
        (json!({ "action": "explain", "email": "canary.customer@example.com" }), View, READS),
        (json!({ "action": "jobs", "job": 7 }), View, READS),
        (json!({ "action": "activity" }), View, READS),
        (json!({ "action": "runs" }), View, READS),
        (json!({ "action": "history" }), View, READS),
        (json!({ "action": "owed" }), View, READS),
        (json!({ "action": "owed", "do": "list", "reason": "validation" }), View, READS),
        (json!({ "action": "owed", "do": "retry", "subject": named }), Act, CHANGES),
        (json!({ "action": "owed", "do": "dismiss", "subject": named, "because": "x" }), Act, CHANGES),
        (json!({ "action": "owed", "do": "restore", "subject": named }), Act, CHANGES),
        (json!({ "action": "dead-letters" }), View, READS),
        (json!({ "action": "dead-letters", "do": "count" }), View, READS),
        (json!({ "action": "dead-letters", "do": "show", "queue": "changes" }), Act, READS),
        (json!({ "action": "dead-letters", "do": "redrive", "queue": "changes" }), Admin, CHANGES),
        (json!({ "action": "replay", "entity": named }), Act, CHANGES),
        (json!({ "action": "replay", "entity": named, "cause": "ordered" }), Act, CHANGES),
        (json!({ "action": "replay", "entity": named, "dryRun": true }), Act, READS),
        (json!({ "action": "replay", "entities": hundred }), Act, CHANGES),
        (json!({ "action": "replay", "entities": more }), Admin, CHANGES),
        (json!({ "action": "replay", "entities": hundred, "entity": "customer/client/101" }), Admin, CHANGES),
        (json!({ "action": "replay", "entities": [] }), Admin, CHANGES),
        (json!({ "action": "replay" }), Admin, CHANGES),
        (json!({ "action": "replay", "since": since }), Admin, CHANGES),
        (json!({ "action": "replay", "entity": named, "since": since }), Admin, CHANGES),
        (json!({ "action": "replay", "entity": named, "after": named }), Admin, CHANGES),
        (json!({ "action": "plan", "show": run }), View, READS),
        (json!({ "action": "plan", "mode": "full" }), Admin, CHANGES),
        (json!({ "action": "pass", "mode": "delta" }), Admin, CHANGES),
        (json!({ "action": "trial" }), Admin, READS),
        (json!({ "action": "trial", "confirm": true }), Admin, CHANGES),
        (json!({ "action": "forget", "entity": named }), Admin, READS),
        (json!({ "action": "forget", "entity": named, "confirm": true }), Admin, CHANGES),
        (json!({ "action": "unbind", "entity": named }), Admin, READS),
        (json!({ "action": "unbind", "entity": named, "confirm": true, "reason": "x" }), Admin, CHANGES),
        (json!({ "action": "rebind", "entity": named, "toCode": "C1" }), Admin, READS),
        (json!({ "action": "rebind", "entity": named, "toCode": "C1", "confirm": true, "reason": "x" }), Admin, CHANGES),
        (json!({ "action": "export-mappings" }), Admin, READS),
        (json!({ "action": "import-mappings", "from": "mappings/x", "dryRun": true }), Admin, READS),
        (json!({ "action": "import-mappings", "from": "mappings/x" }), Admin, CHANGES),
    ]
}

fn request(of: &Value) -> Request {
    Request::parse(of.clone()).unwrap_or_else(|refusal| panic!("{of}: {refusal}"))
}

#[test]
fn every_request_needs_the_role_of_the_table_and_every_action_is_in_it() {
    for (asked, needed, _) in requests() {
        assert_eq!(request(&asked).needed_role(), needed, "{asked}");
    }
    assert_eq!(MAX_NAMED, 100);
    let help = json!({ "action": "?" });
    let refusal = Request::parse(help).unwrap_err().to_string();
    let (_, list) = refusal.split_once("The actions are ").unwrap();
    let (list, _) = list.split_once(';').unwrap();
    for action in list.split('`').skip(1).step_by(2) {
        let mut all = requests().into_iter();
        assert!(all.any(|(asked, ..)| asked["action"] == action), "{action}");
    }
}

/// A refused act leaves an entry and nothing else.
#[tokio::test(start_paused = true)]
async fn a_request_that_needs_a_higher_role_is_refused_and_recorded_and_does_nothing() {
    let bundle = Bundle::new(&Options::default());
    somebody(&bundle, 1).await;
    somebody_owed(&bundle, 2).await;
    let state = async || {
        let owed = bundle.owed.list().await.unwrap();
        let waiting = bundle.ask(json!({ "action": "status" })).await.unwrap();
        (owed, waiting["queues"].clone(), waiting["lastRuns"].clone())
    };
    let before = state().await;
    let entries = async || {
        let all = json!({ "action": "activity", "limit": 500 });
        bundle.ask(all).await.unwrap()["entries"].clone()
    };
    let mut recorded = 0;
    for (asked, needed, is_act) in requests() {
        for role in Role::ALL.into_iter().filter(|role| *role < needed) {
            let mut asked = asked.clone();
            asked["by"] = json!({ "user": "support-1", "role": role });
            let refused = bundle.ask(asked.clone()).await.unwrap_err().to_string();
            let words =
                format!("this needs the role {needed}, and yours is {role}; nothing was done");
            assert!(refused.starts_with(&words), "{asked}: {refused}");
            let entries = entries().await;
            recorded += usize::from(is_act);
            assert_eq!(entries.as_array().unwrap().len(), recorded, "{asked}");
            if is_act {
                let entry = &entries[0];
                assert_eq!(entry["result"], refused, "{asked}: {entry:#}");
                assert_eq!(entry["state"], "refused", "{entry:#}");
                assert_eq!(entry["by"], asked["by"]);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert_eq!(state().await, before);
}

proptest! {
    /// Whatever else a request holds, it needs no lower role for it.
    #[test]
    fn no_member_makes_a_request_need_less(
        member in prop_oneof!["[a-zA-Z]{1,10}", Just("since".to_owned()), Just("until".to_owned()), Just("after".to_owned()), Just("confirm".to_owned()), Just("limit".to_owned()), Just("within".to_owned()), Just("kind".to_owned()), Just("application".to_owned())],
        value in prop_oneof![Just(json!(null)), Just(json!(true)), Just(json!(1)), Just(json!("company")), Just(json!("2026-11-24T00:00:00Z")), Just(json!("customer/client/1"))],
        index in any::<prop::sample::Index>(),
    ) {
        let mut all = requests();
        let (mut asked, needed, _) = all.swap_remove(index.index(all.len()));
        // What makes it another request of the table.
        prop_assume!(!matches!(member.as_str(), "do" | "show" | "entity" | "entities") && asked.get(&member).is_none());
        asked[member] = value;
        if let Ok(request) = Request::parse(asked) {
            prop_assert!(request.needed_role() >= needed);
        }
    }
}
