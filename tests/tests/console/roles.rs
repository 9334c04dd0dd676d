//! Who may do what: every action with every role.

use console::{Role, RoleMap, roles};
use proptest::prelude::*;
use serde_json::{Value, json};
use tests::console::{Browser, Request, Stage};

/// Requests of the page, with the role that each needs.
fn requests() -> Vec<(&'static str, Value, Role)> {
    use Role::{Act, Admin, View};
    let hundred: Vec<String> = (1..=100)
        .map(|id| format!("customer/client/{id}"))
        .collect();
    let mut more = hundred.clone();
    more.push("customer/client/101".to_owned());
    vec![
        ("status", json!({}), View),
        ("doctor", json!({}), View),
        (
            "explain",
            json!({ "email": "canary.customer@example.com" }),
            View,
        ),
        ("jobs", json!({ "job": 7 }), View),
        ("owed", json!({}), View),
        (
            "owed",
            json!({ "do": "list", "reason": "validation", "limit": 50 }),
            View,
        ),
        (
            "owed",
            json!({ "do": "retry", "subject": "customer/client/1" }),
            Act,
        ),
        (
            "owed",
            json!({ "do": "dismiss", "subject": "customer/client/1", "because": "x" }),
            Act,
        ),
        ("dead-letters", json!({}), View),
        ("dead-letters", json!({ "do": "count" }), View),
        (
            "dead-letters",
            json!({ "do": "show", "queue": "changes" }),
            Act,
        ),
        (
            "dead-letters",
            json!({ "do": "redrive", "queue": "changes" }),
            Admin,
        ),
        ("replay", json!({ "entity": "customer/client/1" }), Act),
        (
            "replay",
            json!({ "entity": "customer/client/1", "cause": "ordered" }),
            Act,
        ),
        ("replay", json!({ "entities": hundred }), Act),
        ("replay", json!({ "entities": more }), Admin),
        (
            "replay",
            json!({ "entities": hundred, "entity": "customer/client/101" }),
            Admin,
        ),
        ("replay", json!({ "entities": [] }), Admin),
        ("replay", json!({ "entities": "all" }), Admin),
        ("replay", json!({}), Admin),
        ("replay", json!({ "since": "2026-11-24T00:00:00Z" }), Admin),
        (
            "replay",
            json!({ "entity": "customer/client/1", "since": "2026-11-24T00:00:00Z" }),
            Admin,
        ),
        ("plan", json!({ "mode": "full" }), Admin),
        ("pass", json!({ "mode": "delta" }), Admin),
        ("forget", json!({ "entity": "customer/client/1" }), Admin),
        ("unbind", json!({ "entity": "customer/client/1" }), Admin),
        (
            "rebind",
            json!({ "entity": "customer/client/1", "toCode": "C1" }),
            Admin,
        ),
        ("export-mappings", json!({}), View),
        ("runs", json!({ "mode": "delta" }), View),
        ("history", json!({ "hours": 168 }), View),
        ("import-mappings", json!({ "from": "mappings/x" }), Admin),
    ]
}

fn claim(role: Role) -> &'static str {
    match role {
        Role::View => "Norce.Read",
        Role::Act => "Norce.Act",
        Role::Admin => "Norce.Admin",
    }
}

#[tokio::test]
async fn a_request_that_needs_a_higher_role_is_refused_and_not_asked() {
    for role in Role::ALL {
        let stage = Stage::new();
        let mut browser = Browser::new(&stage);
        browser.sign_in(claim(role)).await;
        for (action, body, needed) in requests() {
            let answered = browser.ask(action, body.clone()).await;
            let asked = stage.operator.take_asked();
            if role >= needed {
                assert_eq!(answered.status(), 200, "{role}: {action} {body}");
                let mut expected = body.clone();
                expected["action"] = json!(action);
                expected["by"] = json!({
                    "user": "canary-subject-1f6a",
                    "name": "Kanarine Fogelström",
                    "role": role,
                });
                assert_eq!(asked, [expected]);
            } else {
                assert_eq!(answered.status(), 403, "{role}: {action} {body}");
                let error = &answered.json()["error"];
                assert_eq!(error["kind"], "role");
                let message = error["message"].as_str().unwrap();
                assert!(message.contains(&format!("the role {needed}, and yours is {role}")));
                assert_eq!(asked, Vec::<Value>::new(), "{role}: {action} {body}");
            }
        }
    }
}

/// What the operator can do is in the table: an action that it learns has a role here before the page can use it.
#[test]
fn every_action_of_the_operator_has_a_role() {
    // Asked for nothing that there is, it names all of them.
    let nonsense = json!({"action": "?"});
    let refusal = operator::Request::parse(nonsense).unwrap_err().to_string();
    let (_, list) = refusal.split_once("The actions are ").unwrap();
    let (list, _) = list.split_once(';').unwrap();
    let mut known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    // For the command line.
    known.retain(|action| *action != "help");
    known.sort_unstable();
    let mut ours = roles::ACTIONS.to_vec();
    ours.sort_unstable();
    assert_eq!(ours, known);
    for (action, body, _) in requests() {
        let mut request = body;
        request["action"] = json!(action);
        let strange = ["all"].map(|entities| json!(entities));
        if !strange.contains(&request["entities"]) {
            assert!(
                operator::Request::parse(request.clone()).is_ok(),
                "{request}"
            );
        }
    }
}

#[tokio::test]
async fn a_request_that_the_page_does_not_send_is_refused_for_every_role() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Admin").await;
    for (action, body) in [
        ("", json!({})),
        ("nonsense", json!({})),
        ("Status", json!({})),
        ("status/", json!({})),
        ("../api/status", json!({})),
        ("owed", json!({ "do": "forget" })),
        ("owed", json!({ "do": null })),
        ("owed", json!({ "do": ["retry"] })),
        ("status", json!({ "do": "list" })),
        (
            "forget",
            json!({ "do": "" , "do ": 1, "confirm": true, "x": 1 }),
        ),
    ] {
        let answered = browser.ask(action, body.clone()).await;
        let is_asked = !stage.operator.take_asked().is_empty();
        // `do` that is empty says nothing: the operator refuses it by itself.
        if body.get("do").and_then(Value::as_str) == Some("") {
            continue;
        }
        assert_eq!(answered.status(), 403, "{action} {body}");
        assert!(!is_asked, "{action} {body}");
    }
}

/// Who asks is what the server knows: nobody can say otherwise.
#[tokio::test]
async fn nobody_can_ask_in_another_s_name_or_for_another_action() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    for body in [
        json!({ "by": { "user": "somebody", "role": "admin" } }),
        json!({ "action": "forget" }),
        json!({ "action": "status" }),
    ] {
        let answered = browser.ask("status", body.clone()).await;
        assert_eq!(answered.status(), 400, "{body}");
        assert!(stage.operator.take_asked().is_empty(), "{body}");
    }
    // A member that is there twice: the last one counts for the role, and is the only one that is sent.
    let twice = r#"{"do":"list","do":"retry"}"#;
    let request = Request::of_page("owed", &json!({})).body(twice);
    assert_eq!(browser.send(request).await.status(), 403);
    let twice = r#"{"do":"retry","do":"list"}"#;
    let request = Request::of_page("owed", &json!({})).body(twice);
    assert_eq!(browser.send(request).await.status(), 200);
    assert_eq!(stage.operator.take_asked()[0]["do"], "list");
}

#[test]
fn a_map_of_roles_is_read_whole_or_not_at_all() {
    let map: RoleMap = " Console.Read = view,0f8fad5b-d9cb-469f-a165-70867728950e=act,Read=view"
        .parse()
        .unwrap();
    let role = |value: &str| map.role_of(Some(&json!(value)));
    assert_eq!(role("Console.Read"), Some(Role::View));
    assert_eq!(role("Read"), Some(Role::View));
    assert_eq!(
        role("0f8fad5b-d9cb-469f-a165-70867728950e"),
        Some(Role::Act)
    );
    for (text, reason) in [
        (
            "Console.Read=reader",
            "`reader` is not one of: view, act, admin",
        ),
        ("Console.Read=Admin", "`Admin` is not one of"),
        ("Console.Read", "not of the form"),
        ("=view", "no value"),
        ("a=view,a=admin", "there twice"),
        ("a=view,", "not of the form"),
    ] {
        let error = text.parse::<RoleMap>().unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

proptest! {
    /// Whatever else a request holds, it needs no lower role for it.
    #[test]
    fn no_member_makes_a_request_need_less(
        member in "[a-zA-Z]{1,10}|since|until|entities|confirm|limit|do",
        value in prop_oneof![Just(json!(null)), Just(json!(true)), Just(json!([])), Just(json!({})), Just(json!("list")), Just(json!("")), Just(json!(["customer/client/1"]))],
        index in 0_usize..29,
    ) {
        let (action, body, needed) = requests().swap_remove(index);
        // What makes it another request of the table.
        prop_assume!(member != "do" && !(action == "replay" && matches!(member.as_str(), "entity" | "entities")));
        let mut body = body.as_object().unwrap().clone();
        body.insert(member, value);
        let found = roles::needed(action, &body);
        prop_assert!(found.is_none_or(|found| found >= needed));
    }
}
