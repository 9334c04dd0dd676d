//! The requests that `operator` accepts, and its answers to all others.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use chrono::TimeDelta;
use operator::Request;
use serde_json::{Value, json};
use shared::{
    domain::{Clock, EntityRef, ErpId, Registers, Resource},
    mappings::{Binding, CodeDelivery, Mappings},
};
use tests::{
    bundle::{Bundle, Options},
    business_central_simulator::Fault,
    documents::documents,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{code_of, firm, refusal, somebody, somebody_owed, summary};

/// The answer to `help`.
async fn help() -> Value {
    let bundle = Bundle::new(&Options::default());
    bundle.ask(json!({"action": "help"})).await.unwrap()
}

fn fields(action: &Value) -> &[Value] {
    action["fields"].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test(start_paused = true)]
async fn an_empty_request_is_answered_with_every_action_a_line_and_an_example() {
    let bundle = Bundle::new(&Options::default());
    let help = help().await;
    for empty in [json!({}), Value::Null] {
        assert_eq!(bundle.ask(empty).await.unwrap(), help);
    }
    assert!(summary(&help).contains(r#"{"action":"status"}"#));
    for action in help["actions"].as_array().unwrap() {
        assert!(!action["does"].as_str().unwrap().is_empty(), "{action}");
        assert_eq!(action["example"]["action"], action["action"], "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_that_help_shows_is_taken() {
    for action in help().await["actions"].as_array().unwrap() {
        let example = &action["example"];
        Request::parse(example.clone()).unwrap();
        for field in fields(action) {
            let name = field["field"].as_str().unwrap();
            for value in [field["example"].clone(), Value::Null] {
                let is_left_out = value.is_null() && field["required"] == true;
                let mut request = example.clone();
                request[name] = value;
                let parsed = Request::parse(request.clone());
                assert_eq!(parsed.is_err(), is_left_out, "{request}: {parsed:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_value_is_answered_with_the_field_what_it_is_and_an_example_and_not_repeated() {
    let wrong = [
        json!("anna.1@example.com"),
        json!(["anna.1@example.com"]),
        json!({"anna.1@example.com": 1}),
        json!(-7.5),
        json!(true),
        json!(99_000_000_000_000_i64),
    ];
    for action in help().await["actions"].as_array().unwrap() {
        for field in fields(action) {
            let name = field["field"].as_str().unwrap();
            let mut refused = 0;
            for value in &wrong {
                let mut request = action["example"].clone();
                request[name] = value.clone();
                let Err(error) = Request::parse(request) else {
                    continue;
                };
                refused += 1;
                let words = error.to_string();
                let is = field["is"].as_str().unwrap();
                let told = [format!("`{name}`"), is.to_owned()];
                assert!(told.iter().all(|it| words.contains(it)), "{words}");
                let (_, example) = words.split_once(&format!("\"{name}\":")).unwrap();
                let example: Value = serde_json::from_str(example).unwrap();
                assert_eq!(example, field["example"]);
                // P11: the example of an address is ours.
                assert!(!words.contains("anna.1"), "{words}");
            }
            assert!(refused >= 4, "{name} takes anything");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_unknown_is_named_with_what_there_is() {
    let bundle = Bundle::new(&Options::default());
    for action in help().await["actions"].as_array().unwrap() {
        let name = &action["action"];
        let mut request = action["example"].clone();
        request["anna.1@example.com"] = json!(1);
        let words = refusal(&bundle, request).await;
        assert!(!words.contains("anna"), "P11: {words}");
        for field in fields(action) {
            let field_name = field["field"].as_str().unwrap();
            assert!(words.contains(&format!("`{field_name}`")), "{words}");
            if field["required"] == true {
                let mut request = action["example"].clone();
                request.as_object_mut().unwrap().remove(field_name);
                let words = refusal(&bundle, request).await;
                let expected = format!("`{}` needs `{field_name}`", name.as_str().unwrap());
                assert!(words.contains(&expected), "{words}");
                assert_eq!(requests(&words), [action["example"].clone()], "{words}");
            }
        }
    }
    for (written, meant) in [
        (json!({"action": "stauts"}), "`status`"),
        (json!({"action": "Dead_Letters"}), "`dead-letters`"),
        (json!({"action": "exportMappings"}), "`export-mappings`"),
        (json!({"action": "owed", "reson": "conflict"}), "`reason`"),
        (json!({"action": "explain", "e-mail": "x"}), "`email`"),
    ] {
        let words = refusal(&bundle, written).await;
        let expected = format!("Did you mean {meant}?");
        assert!(words.contains(&expected), "{words}");
    }
    for written in [
        json!({"action": "anna.1@example.com"}),
        json!({"action": ["status"]}),
        json!({"acton": "status"}),
        json!({"action": ""}),
    ] {
        let words = refusal(&bundle, written).await;
        assert!(!words.contains("Did you mean"), "{words}");
        assert!(!words.contains("anna"), "P11: {words}");
        assert!(words.contains("`export-mappings`"), "{words}");
        assert!(words.contains(r#"{"action":"help"}"#), "{words}");
    }
    for no_object in [json!("status"), json!(["status"]), json!(1)] {
        let words = refusal(&bundle, no_object).await;
        assert!(words.contains(r#"{"action":"status"}"#), "{words}");
    }
}

/// Every request in a text.
fn requests(text: &str) -> Vec<Value> {
    let places = text.match_indices("{\"action\"");
    let requests = places.map(|(start, _)| {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let request = values.next().unwrap();
        request.unwrap_or_else(|error| {
            let line = text[start..].lines().next();
            panic!("no JSON ({error}): {line:?}")
        })
    });
    requests.collect()
}

#[tokio::test(start_paused = true)]
async fn the_documents_describe_every_action_and_ask_only_what_is_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let documents = documents().unwrap().into_iter();
    let texts = documents.map(|document| document.text);
    let asked: Vec<Value> = texts
        .chain([text("template.yaml")])
        .flat_map(|text| requests(&text.replace("<time>", "2026-11-26T00:00:00Z")))
        .collect();
    assert!(asked.len() > 20, "{}", asked.len());
    for request in &asked {
        let parsed = Request::parse(request.clone());
        assert!(parsed.is_ok(), "{request}: {parsed:?}");
    }
    // The table of actions is the one whose first column is an action in each line.
    let described: BTreeSet<String> = text(DOCUMENTED_IN)
        .split("| action | does |")
        .nth(1)
        .unwrap()
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|names| names.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect();
    let help = help().await;
    let actions = help["actions"].as_array().unwrap().iter();
    let known = actions.map(|action| action["action"].as_str().unwrap().to_owned());
    assert_eq!(described, known.collect::<BTreeSet<_>>());
}

/// Where the actions are described.
const DOCUMENTED_IN: &str = "functions/operator/README.md";

async fn bind(bundle: &Bundle, entity: EntityRef, code: &str, record: Uuid) {
    let record = ErpId {
        resource: Resource::Customer,
        id: record.to_string(),
    };
    let code = code.parse().unwrap();
    let binding = Binding::new(code, record, CodeDelivery::Pending);
    bundle.mappings.bind(entity, binding).await.unwrap();
}

/// What a message suggests to ask.
fn suggested(message: &str) -> Vec<Value> {
    requests(message)
}

#[tokio::test(start_paused = true)]
async fn nobody_found_says_where_was_searched_and_the_advice_finds_them() {
    for registers in [Registers::Client, Registers::Applications] {
        let options = Options {
            registers,
            ..Options::default()
        };
        let bundle = Bundle::new(&options);
        let scope = match registers {
            Registers::Client => "scope client",
            _ => "scope app-1, app-2",
        };
        for selector in [
            json!({"id": 4711}),
            json!({"code": "C4711"}),
            json!({"email": "nobody@example.com"}),
        ] {
            let mut request = json!({"action": "explain"});
            for (name, value) in selector.as_object().unwrap() {
                request[name] = value.clone();
            }
            // Where there is one scope only, the id says all of the name, and it is explained.
            let words = match bundle.ask(request.clone()).await {
                Ok(explained) => summary(&explained).to_owned(),
                Err(refused) => refused.to_string(),
            };
            for told in ["Searched: ", "Norce, ", scope, "Norce Admin", "the ERP"] {
                let is_told = words.contains(told) || told == "Norce, " && selector["id"] == 4711;
                let is_told = is_told || told == "Norce Admin" && selector["code"] == "C4711";
                assert!(is_told, "{selector}, {told}: {words}");
            }
            assert!(!words.contains("nobody@"), "P11: {words}");
            for suggestion in suggested(&words) {
                assert!(Request::parse(suggestion.clone()).is_ok(), "{suggestion}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_company_that_was_looked_for_as_a_customer_is_found_as_the_message_says() {
    let bundle = Bundle::new(&Options::default());
    let (company, record, _) = firm(&bundle, "C00500");
    let code = "C00500";
    bind(&bundle, company, code, record).await;
    for selector in [json!({"code": code}), json!({"id": company.id})] {
        let mut request = json!({"action": "explain"});
        for (name, value) in selector.as_object().unwrap() {
            request[name] = value.clone();
        }
        let words = match bundle.ask(request).await {
            Ok(explained) => summary(&explained).to_owned(),
            Err(refused) => refused.to_string(),
        };
        let mut suggested = suggested(&words).into_iter();
        let mut next = suggested.find(|it| it["action"] == "explain").unwrap();
        if next["code"] == "<code>" {
            next["code"] = json!(code);
        }
        let found = bundle.ask(next).await.unwrap();
        assert_eq!(found["entity"], company.to_string(), "{words}");
        assert_eq!(found["mapping"]["state"], "bound");
    }
    // The other way round, too.
    let anna = somebody(&bundle, 1).await;
    let code = code_of(&bundle, anna);
    let words = refusal(
        &bundle,
        json!({"action": "explain", "kind": "company", "code": code}),
    )
    .await;
    let mut next = suggested(&words).swap_remove(0);
    next["code"] = json!(code);
    let found = bundle.ask(next).await.unwrap();
    assert_eq!(found["entity"], format!("customer/client/{anna}"));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_norce_no_longer_has_is_found_in_the_mappings_of_any_scope() {
    let bundle = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    let gone: EntityRef = "customer/app-2/4711".parse().unwrap();
    bind(&bundle, gone, "C00001", Uuid::new_v4()).await;
    let explained = bundle.ask(json!({"action": "explain", "id": 4711})).await;
    let explained = explained.unwrap();
    assert_eq!(explained["entity"], gone.to_string());
    assert_eq!(explained["mapping"]["state"], "bound", "{explained:#}");
}

/// A caller who waits for half a minute only, like the console, is no reason to do less: only what is slow is cut short.
#[tokio::test(start_paused = true)]
async fn within_a_time_everything_is_answered_as_without_where_nothing_is_slow() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let refused = somebody_owed(&bundle, 2).await;
    let since = bundle.clock.now() - TimeDelta::hours(1);
    for request in [
        json!({"action": "help"}),
        json!({"action": "status"}),
        json!({"action": "doctor"}),
        json!({"action": "explain", "id": anna}),
        json!({"action": "explain", "id": refused}),
        json!({"action": "owed"}),
        json!({"action": "owed", "groups": true}),
        json!({"action": "owed", "do": "retry", "subject": "customer/client/0"}),
        json!({"action": "replay", "since": since, "dryRun": true}),
        json!({"action": "jobs"}),
        json!({"action": "dead-letters", "do": "show"}),
        json!({"action": "activity"}),
        json!({"action": "runs"}),
        json!({"action": "history"}),
        json!({"action": "forget", "id": anna}),
        json!({"action": "unbind", "id": anna}),
    ] {
        let without = bundle.ask(request.clone()).await;
        let mut within = request.clone();
        within["within"] = json!(5);
        let mut answers = [without, bundle.ask(within).await].map(|answer| {
            answer.unwrap_or_else(|refusal| json!({ "summary": refusal.to_string() }))
        });
        for answer in &mut answers {
            // Each replay has an id of its own, and the time passes.
            for name in ["correlation", "asOf"] {
                answer.as_object_mut().unwrap().remove(name);
            }
        }
        let [without, within] = answers;
        assert_eq!(within["summary"], without["summary"], "{request}");
        assert_eq!(within, without, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn within_a_time_a_remote_that_does_not_answer_is_given_up() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let ask = async |within: Option<u64>| {
        let fault = Fault::slow_answer(Duration::from_secs(600));
        bundle.erp.inject(fault);
        let mut request = json!({"action": "rebind", "id": anna, "toCode": "C1"});
        request["within"] = json!(within);
        let began = Instant::now();
        let _ = bundle.ask(request).await;
        began.elapsed()
    };
    let patience = ask(None).await;
    let longest = Duration::from_secs(5);
    assert!(patience > longest, "{patience:?}");
    for within in [1, 3, 5] {
        let took = ask(Some(within)).await;
        assert!(took <= Duration::from_secs(within + 1), "{took:?}");
    }
}
