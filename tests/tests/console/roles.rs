//! The role in which a person asks.

use std::time::Duration;

use console::{ACTIONS, LONGEST_WAIT, OperatorError, Role, RoleMap};
use serde_json::json;
use tests::console::{Browser, Stage};

fn claim(role: Role) -> &'static str {
    match role {
        Role::View => "Norce.Read",
        Role::Act => "Norce.Act",
        Role::Admin => "Norce.Admin",
    }
}

/// What a role may do is `operator`'s to say; the server says in which role it is asked.
#[tokio::test]
async fn a_request_goes_to_the_operator_with_the_user_and_the_role_and_a_refusal_is_shown() {
    for role in Role::ALL {
        let stage = Stage::new();
        let mut browser = Browser::new(&stage);
        browser.sign_in(claim(role)).await;
        for action in ACTIONS {
            let answered = browser.ask(action, json!({ "limit": 7 })).await;
            assert_eq!(answered.status(), 200, "{role}: {action}");
            let [request] = &stage.operator.take_asked()[..] else {
                panic!("it is asked once");
            };
            assert_eq!(request["action"], action);
            assert_eq!(request["limit"], 7);
            let by = json!({
                "user": "canary-subject-1f6a",
                "name": "Kanarine Fogelström",
                "role": role,
            });
            assert_eq!(request["by"], by);
            // An act ends before the page shows a time-out.
            let within = Duration::from_secs(request["within"].as_u64().unwrap());
            assert!(within < LONGEST_WAIT, "{within:?}");
        }
        let words = "this needs the role admin, and yours is view";
        let refused = OperatorError::Role(words.to_owned());
        stage.operator.answer(Err(refused));
        let answered = browser.ask("pass", json!({ "mode": "delta" })).await;
        assert_eq!(answered.status(), 403);
        let error = json!({ "kind": "role", "message": words });
        assert_eq!(answered.json()["error"], error);
    }
}

/// What `operator` can do, the page can ask for.
#[test]
fn the_page_has_every_action_of_the_operator_but_help() {
    // The refusal of an unknown action names all actions.
    let nonsense = json!({"action": "?"});
    let refusal = operator::Request::parse(nonsense).unwrap_err().to_string();
    let (_, list) = refusal.split_once("The actions are ").unwrap();
    let (list, _) = list.split_once(';').unwrap();
    let mut known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    // For the command line.
    known.retain(|action| *action != "help");
    known.sort_unstable();
    assert_eq!(ACTIONS.to_vec(), known);
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
        ("help", json!({})),
    ] {
        let answered = browser.ask(action, body.clone()).await;
        let is_asked = !stage.operator.take_asked().is_empty();
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
        json!({ "within": 3600 }),
    ] {
        let answered = browser.ask("status", body.clone()).await;
        assert_eq!(answered.status(), 400, "{body}");
        assert!(stage.operator.take_asked().is_empty(), "{body}");
    }
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
