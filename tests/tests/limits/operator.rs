//! `operator`: lists of more than one page, how much of them one request shows or changes, and how long that takes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use operator::{Call, MappingLine, Refusal};
use serde_json::{Value, json};
use shared::{
    domain::{Cause, ChangeMessage, Clock, EntityKind, ErpId, ImportLine, PassMode, Resource},
    http::Deadline,
    import_jobs::ImportJobs,
    logs::{LogPage, Logs, LogsError},
    mappings::{Binding, CodeDelivery, Mapping, Mappings},
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
    passes::Passes,
    queues::{Inbox, Queue},
    reports::Reports,
};
use tests::{
    bundle::{Bundle, Options, company, customer, id},
    business_central_simulator,
    limits::at_both_ends,
    norce_simulator::{NewCompany, NewOrder, Poison, PoisonMode, PoisonRows},
    samples::person,
};
use uuid::Uuid;

use crate::{HOUR, SECOND, batch_of, request_of};

/// As an invocation has it.
const TIME: Duration = Duration::from_secs(117);

async fn ask_within(bundle: &Bundle, request: Value, time: Duration) -> Result<Value, Refusal> {
    let call = Call::parse(request)?;
    let answer = bundle.operator.answer(call, Deadline::after(time));
    Ok(serde_json::to_value(answer.await?).unwrap())
}

async fn ask(bundle: &Bundle, request: Value) -> Value {
    ask_within(bundle, request, TIME).await.unwrap()
}

/// Asks until there is nothing more, as the answer says; how often that was, and the answers.
async fn ask_on(bundle: &Bundle, mut request: Value, place: &str, time: Duration) -> Vec<Value> {
    let mut answers = Vec::new();
    loop {
        let answer = ask_within(bundle, request.clone(), time).await.unwrap();
        let next = answer.get(place).cloned();
        assert_eq!(
            answer["summary"]
                .as_str()
                .unwrap()
                .contains("There are more"),
            next.is_some(),
            "{answer:#}"
        );
        answers.push(answer);
        assert!(answers.len() < 50, "it does not come to an end");
        match next {
            Some(next) => request[place] = next,
            None => return answers,
        }
    }
}

fn sum(answers: &[Value], field: &str) -> u64 {
    let numbers = answers.iter().map(|answer| answer[field].as_u64());
    numbers.map(Option::unwrap).sum()
}

fn record(number: i64) -> ErpId {
    ErpId {
        resource: Resource::Customer,
        id: format!("record {number}"),
    }
}

async fn bind(bundle: &Bundle, number: i64) {
    let binding = Binding::new(
        format!("C{number}").parse().unwrap(),
        record(number),
        CodeDelivery::Pending,
    );
    let bound = bundle.mappings.bind(customer(number), binding).await;
    bound.unwrap();
}

/// The customers of all parts of an export, each as often as it is there.
fn exported(bundle: &Bundle, answer: &Value) -> Vec<i64> {
    let into = answer["into"].as_str().unwrap();
    let reports = bundle.reports.all().into_iter();
    let parts = reports.filter(|(key, _)| key.starts_with(into));
    let mut ids = Vec::new();
    for (_, part) in parts {
        for line in String::from_utf8(part.to_vec()).unwrap().lines() {
            let line: MappingLine = serde_json::from_str(line).unwrap();
            assert_eq!(line.erp, record(line.id.get().into()));
            ids.push(line.id.get().into());
        }
    }
    ids.sort_unstable();
    ids
}

#[tokio::test(start_paused = true)]
async fn mappings_are_exported_whole_over_more_than_one_page() {
    for count in [0, 1, 99, 100, 101, 250] {
        let bundle = Bundle::new(&Options::default());
        for number in 1..=count {
            bind(&bundle, number).await;
        }
        let expected: Vec<i64> = (1..=count).collect();
        // With so little time, a page in each go.
        for time in [TIME, 19 * SECOND] {
            let request = json!({"action": "export-mappings"});
            let answers = ask_on(&bundle, request, "next", time).await;
            let pages = u64::try_from(count).unwrap().div_ceil(100).max(1);
            let goes = if time == TIME { 1 } else { pages };
            assert_eq!(u64::try_from(answers.len()).unwrap(), goes, "{count}");
            assert_eq!(sum(&answers, "lines"), u64::try_from(count).unwrap());
            assert_eq!(exported(&bundle, &answers[0]), expected, "{count}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p13_an_export_or_an_import_goes_on_while_twenty_seconds_are_left() {
    let bundle = Bundle::new(&Options::default());
    for number in 1..=101 {
        bind(&bundle, number).await;
    }
    let export = json!({"action": "export-mappings"});
    let into = ask(&bundle, export.clone()).await["into"].clone();
    let import = json!({"action": "import-mappings", "from": into});
    for request in [export, import] {
        at_both_ends(20 * SECOND, async |time| {
            let answer = ask_within(&bundle, request.clone(), time).await.unwrap();
            answer.get("next").is_none()
        })
        .await;
    }
}

fn line(number: i64, code: &str, record: &str) -> String {
    json!({
        "kind": "customer", "scope": "client", "id": number, "code": code,
        "erp": {"resource": "customer", "id": record},
    })
    .to_string()
}

async fn put(bundle: &Bundle, key: &str, lines: &[String]) {
    let body = lines.join("\n").into();
    bundle.reports.put(key, "", body).await.unwrap();
}

/// A customer of Norce and its unbound record in the ERP: the line that binds them, and the record.
fn unbound(bundle: &Bundle, number: i64) -> (String, Uuid) {
    let code = format!("C{number}");
    let properties = json!({"number": code, "type": "Person", "displayName": "Anna Ek"});
    let record = bundle.erp.add_customer(bundle.erp_company(), &properties);
    let record = record.unwrap().id;
    bundle.norce.start_ids_after(number - 1);
    bundle.norce.add_customer(person(number));
    (line(number, &code, &record.to_string()), record)
}

/// A bundle in which only an import binds entities.
fn without_events() -> Bundle {
    let bundle = Bundle::new(&Options::default());
    bundle.unsubscribe();
    bundle
}

#[tokio::test(start_paused = true)]
async fn mappings_are_imported_whole_over_more_than_one_page_and_object() {
    let whole = [("a", 250), ("b", 100), ("c", 1), ("d", 0), ("e", 3)];
    let few = [("a", 25), ("b", 8), ("c", 1), ("d", 0), ("e", 3)];
    for (time, objects) in [(TIME, whole), (19 * SECOND, few)] {
        let bundle = without_events();
        let mut records = Vec::new();
        for (key, count) in objects {
            let mut lines = Vec::new();
            for _ in 0..count {
                let number = i64::try_from(records.len()).unwrap() + 1;
                let (line, record) = unbound(&bundle, number);
                records.push(record.to_string());
                lines.push(line);
            }
            put(&bundle, &format!("mappings/{key}.jsonl"), &lines).await;
        }
        let all = u64::try_from(records.len()).unwrap();
        let request = json!({"action": "import-mappings", "from": "mappings/"});
        let answers = ask_on(&bundle, request.clone(), "next", time).await;
        assert_eq!(answers.len() == 1, time == TIME);
        assert_eq!(sum(&answers, "bound"), all);
        for field in ["unchanged", "conflicts", "invalid"] {
            assert_eq!(sum(&answers, field), 0, "{field}");
        }
        let everybody: Vec<_> = (1..).map(customer).take(records.len()).collect();
        let mappings = bundle.mappings.get_many(&everybody).await.unwrap();
        for (record, mapping) in records.iter().zip(mappings) {
            let Some(Mapping::Bound(binding)) = mapping else {
                panic!("{record}: {mapping:?}");
            };
            assert_eq!(&binding.erp_id.id, record);
        }
        // Once more, nothing is left to do.
        let again = ask_on(&bundle, request, "next", time).await;
        assert_eq!((sum(&again, "bound"), sum(&again, "unchanged")), (0, all));
    }
}

/// With less, the eight lines with which a request begins.
#[tokio::test(start_paused = true)]
async fn p13_another_line_is_bound_while_twenty_seconds_are_left() {
    for dry_run in [true, false] {
        at_both_ends(20 * SECOND, async |time| {
            let bundle = without_events();
            let lines: Vec<String> = (1..=9).map(|number| unbound(&bundle, number).0).collect();
            put(&bundle, "mappings/a", &lines).await;
            let request =
                json!({"action": "import-mappings", "from": "mappings/a", "dryRun": dry_run});
            let mut answers = vec![ask_within(&bundle, request.clone(), time).await.unwrap()];
            // It ends before the line, or with it.
            while let Some(next) = answers.last().unwrap().get("next").cloned() {
                let mut request = request.clone();
                request["next"] = next;
                answers.push(ask_within(&bundle, request, time).await.unwrap());
            }
            assert_eq!(sum(&answers, "bound"), 9, "{answers:#?}");
            let bound = answers
                .iter()
                .map(|answer| answer["bound"].as_u64().unwrap());
            let most = bound.max().unwrap();
            assert!(most == 8 || most == 9, "{answers:#?}");
            most == 9
        })
        .await;
    }
}

/// Whatever the order of the lines, and however many requests it takes: a contact's line is judged by the company that the
/// file binds, and a line by what earlier ones say.
#[tokio::test(start_paused = true)]
async fn p10_a_dry_run_of_an_import_says_what_the_import_does_in_however_many_requests() {
    const FIRMS: i64 = 12;
    let mut verdicts = Vec::new();
    for (time, dry_run) in [
        (TIME, true),
        (TIME, false),
        (19 * SECOND, true),
        (19 * SECOND, false),
    ] {
        let bundle = without_events();
        let erp_company = bundle.erp_company();
        let (mut firms, mut contacts) = (Vec::new(), Vec::new());
        for number in 1..=FIRMS {
            let name = format!("Bolaget {number} AB");
            let code = format!("B{number}");
            let properties = json!({"number": code, "type": "Company", "displayName": name});
            let record = bundle.erp.add_customer(erp_company, &properties).unwrap();
            let organisations = bundle.erp.contacts(erp_company);
            let organisation = organisations.iter().find(|it| it.display_name == name);
            let properties = json!({
                "number": format!("KT{number}"), "type": "Person", "displayName": "Anna Ek",
                "companyNumber": organisation.unwrap().number,
            });
            let contact = bundle.erp.add_contact(erp_company, &properties).unwrap();
            let firm = bundle.norce.add_company(NewCompany {
                name: Some(name),
                ..NewCompany::default()
            });
            let anna = bundle.norce.add_customer(person(number));
            bundle.norce.link(anna, firm, true);
            // The third company's line is wrong, and with it that of its contact.
            let code = if number == 3 { "B99" } else { code.as_str() };
            firms.push(json!({
                "kind": "company", "scope": "client", "id": firm, "code": code,
                "erp": {"resource": "customer", "id": record.id},
            }));
            contacts.push(json!({
                "kind": "customer", "scope": "client", "id": anna, "code": format!("KT{number}"),
                "erp": {"resource": "contact", "id": contact.id},
            }));
        }
        // A record that an earlier line has.
        let stranger = bundle.norce.add_customer(person(FIRMS + 1));
        let mut twice = contacts[0].clone();
        twice["id"] = json!(stranger);
        contacts.push(twice);
        for (key, lines) in [("a", contacts), ("b", firms)] {
            let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
            put(&bundle, &format!("mappings/{key}"), &lines).await;
        }
        let request = json!({"action": "import-mappings", "from": "mappings/", "dryRun": dry_run});
        let answers = ask_on(&bundle, request, "next", time).await;
        assert_eq!(answers.len() == 1, time == TIME, "{answers:#?}");
        let counts = ["bound", "unchanged", "conflicts", "invalid"].map(|it| sum(&answers, it));
        let mut places: Vec<String> = answers
            .iter()
            .filter_map(|answer| answer.get("problems"))
            .flat_map(|problems| problems.as_array().unwrap())
            .map(|problem| format!("{} {}", problem["key"], problem["line"]))
            .collect();
        places.sort();
        verdicts.push((counts, places));
    }
    let firms = u64::try_from(FIRMS).unwrap();
    let expected = [2 * firms - 2, 0, 3, 0];
    assert_eq!(verdicts[0].0, expected, "{verdicts:#?}");
    assert_eq!(
        verdicts[0].1,
        [
            r#""mappings/a" 13"#,
            r#""mappings/a" 3"#,
            r#""mappings/b" 3"#
        ]
    );
    assert!(
        verdicts.iter().all(|it| *it == verdicts[0]),
        "{verdicts:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn p3_an_imported_line_is_unchanged_only_where_code_and_record_are_as_stored() {
    for (code, record, is_unchanged) in [
        ("C1", "record 1", true),
        ("C1", "record 2", false),
        ("C2", "record 1", false),
        ("C2", "record 2", false),
    ] {
        let bundle = Bundle::new(&Options::default());
        bind(&bundle, 1).await;
        let stored = bundle.mappings.get(customer(1)).await.unwrap();
        put(&bundle, "mappings/a", &[line(1, code, record)]).await;
        for dry_run in [true, false] {
            let request =
                json!({"action": "import-mappings", "from": "mappings/a", "dryRun": dry_run});
            let answer = ask(&bundle, request).await;
            let counts = ["unchanged", "conflicts", "bound", "invalid"]
                .map(|field| answer[field].as_u64().unwrap());
            let expected = if is_unchanged {
                [1, 0, 0, 0]
            } else {
                [0, 1, 0, 0]
            };
            assert_eq!(counts, expected, "{code}, {record}, {dry_run}: {answer:#}");
            let problems = answer
                .get("problems")
                .map_or(0, |it| it.as_array().unwrap().len());
            assert_eq!(problems == 0, is_unchanged, "{answer:#}");
        }
        assert_eq!(bundle.mappings.get(customer(1)).await.unwrap(), stored);
    }
}

#[tokio::test(start_paused = true)]
async fn an_import_reports_its_first_twenty_problems() {
    at_both_ends(21, async |count| {
        let bundle = Bundle::new(&Options::default());
        put(&bundle, "mappings/a", &vec!["no JSON".to_owned(); count]).await;
        let request = json!({"action": "import-mappings", "from": "mappings/a"});
        let answer = ask(&bundle, request).await;
        assert_eq!(answer["invalid"], count);
        answer["problems"].as_array().unwrap().len() < count
    })
    .await;
}

/// So many records are owed, the first of them for longest.
async fn owe(bundle: &Bundle, count: usize) {
    for number in 1..=i64::try_from(count).unwrap() {
        let owed = NewOwed {
            subject: Subject::Entity(customer(number)),
            stage: Stage::ToErp,
            reason: Reason::Validation,
            detail: "a test".to_owned(),
            code: None,
            at: bundle.clock.now() + TimeDelta::milliseconds(number),
            correlation: Uuid::new_v4(),
            cause: None,
        };
        bundle.owed.put(owed).await.unwrap();
    }
}

/// The messages of a queue of changes, by their groups.
fn groups(bundle: &Bundle) -> BTreeSet<String> {
    let mut groups = BTreeSet::new();
    loop {
        let messages = bundle.changes.receive(10);
        if messages.is_empty() {
            return groups;
        }
        for message in messages {
            bundle.changes.delete(&message.receipt);
            assert!(groups.insert(message.group.unwrap()), "each once");
        }
    }
}

fn names(numbers: std::ops::RangeInclusive<i64>) -> BTreeSet<String> {
    numbers.map(|number| customer(number).to_string()).collect()
}

/// A page has twenty records in memory, and about 1,500 in DynamoDB.
#[tokio::test(start_paused = true)]
async fn what_is_owed_is_counted_listed_and_tried_again_over_more_than_one_page() {
    let bundle = Bundle::new(&Options::default());
    owe(&bundle, 75).await;
    let status = ask(&bundle, json!({"action": "status"})).await;
    assert_eq!(status["owed"]["owed"], json!({"validation": 75}));
    let request = json!({"action": "owed", "limit": 70, "reason": "validation"});
    let listed = ask(&bundle, request).await;
    assert_eq!(listed["found"], 75);
    let subjects = listed["owed"].as_array().unwrap().iter();
    let subjects: Vec<&str> = subjects.map(|it| it["subject"].as_str().unwrap()).collect();
    let oldest: Vec<String> = (1..=70).map(|it| customer(it).to_string()).collect();
    assert_eq!(subjects, oldest, "the oldest first");
    let retried = ask(&bundle, json!({"action": "owed", "do": "retry"})).await;
    assert_eq!(retried["retried"], 75);
    assert_eq!(groups(&bundle), names(1..=75));
    let request =
        json!({"action": "owed", "do": "dismiss", "kind": "customer", "because": "a test"});
    assert_eq!(ask(&bundle, request).await["dismissed"], 75);
    let left = ask(&bundle, json!({"action": "owed"})).await;
    assert_eq!(left["found"], 0);
    let dismissed = ask(&bundle, json!({"action": "owed", "dismissed": true})).await;
    assert_eq!(dismissed["found"], 75);
}

#[tokio::test(start_paused = true)]
async fn fifty_owed_records_are_listed_unless_more_are_asked_for_and_two_thousand_at_most() {
    for (limit, most) in [(Value::Null, 50), (json!(1_000_000), 2_000)] {
        at_both_ends(most + 1, async |count| {
            let bundle = Bundle::new(&Options::default());
            owe(&bundle, count).await;
            let answer = ask(&bundle, json!({"action": "owed", "limit": limit})).await;
            assert_eq!(answer["found"], count);
            let listed = answer["owed"].as_array().unwrap().len();
            let says_so = answer["summarySaid"]["then"]["code"] == "owed-some-listed";
            assert_eq!(listed < count, says_so);
            listed < count
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_owed_records_are_tried_again_in_one_go_at_most_the_oldest_first() {
    at_both_ends(501, async |count| {
        let bundle = Bundle::new(&Options::default());
        owe(&bundle, count).await;
        let answer = ask(&bundle, json!({"action": "owed", "do": "retry"})).await;
        assert_eq!(answer["retried"], 500);
        assert_eq!(groups(&bundle), names(1..=500));
        answer["summary"].as_str().unwrap().contains("1 more wait")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_thousand_owed_records_are_dismissed_in_one_go_at_most() {
    at_both_ends(2_001, async |count| {
        let bundle = Bundle::new(&Options::default());
        owe(&bundle, count).await;
        let request =
            json!({"action": "owed", "do": "dismiss", "kind": "customer", "because": "a test"});
        let answer = ask(&bundle, request).await;
        assert_eq!(answer["dismissed"], 2_000);
        answer["summary"].as_str().unwrap().contains("1 more match")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p13_what_is_owed_is_read_while_thirty_five_seconds_are_left_and_acted_on_while_ten_are() {
    let requests = [
        json!({"action": "owed", "do": "retry"}),
        json!({"action": "owed", "do": "dismiss", "kind": "customer", "because": "a test"}),
    ];
    for request in &requests {
        // What the list of one page tells is acted on.
        at_both_ends(10 * SECOND, async |time| {
            let bundle = Bundle::new(&Options::default());
            owe(&bundle, 20).await;
            let answer = ask_within(&bundle, request.clone(), time).await.unwrap();
            let done = answer.get("retried").or(answer.get("dismissed")).unwrap();
            assert!(done == 0 || done == 20, "{answer:#}");
            done == 20
        })
        .await;
    }
    for request in [&requests[0], &json!({"action": "owed"})] {
        at_both_ends(35 * SECOND, async |time| {
            let bundle = Bundle::new(&Options::default());
            owe(&bundle, 21).await;
            let answer = ask_within(&bundle, request.clone(), time).await.unwrap();
            let is_whole = !answer["summary"].as_str().unwrap().contains("too long");
            assert_eq!(answer["found"] == 21, is_whole);
            is_whole
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn p13_status_counts_what_is_owed_while_thirty_five_seconds_are_left() {
    at_both_ends(35 * SECOND, async |time| {
        let bundle = Bundle::new(&Options::default());
        owe(&bundle, 21).await;
        let request = json!({"action": "status"});
        let status = ask_within(&bundle, request, time).await.unwrap();
        let is_whole = status["owed"]["owed"] == json!({"validation": 21});
        let says_so = status["summary"].as_str().unwrap().contains("at least");
        assert_eq!(is_whole, !says_so, "{status:#}");
        is_whole
    })
    .await;
}

/// Imports that are under way, the first of them for longest.
async fn open_jobs(bundle: &Bundle, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..i64::try_from(count).unwrap() {
        let at = bundle.clock.now() + TimeDelta::seconds(number);
        let line = ImportLine::code(id(number + 1), "C1".parse().unwrap(), Uuid::new_v4());
        let batch = batch_of(EntityKind::Customer, line, at);
        bundle.import_jobs.record(&batch).await.unwrap();
        ids.push(batch.id.to_string());
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn twenty_imports_are_shown_unless_more_are_asked_for_and_two_hundred_at_most() {
    for (limit, most) in [(Value::Null, 20), (json!(1_000_000), 200)] {
        at_both_ends(most + 1, async |count| {
            let bundle = Bundle::new(&Options::default());
            let ids = open_jobs(&bundle, count).await;
            let answer = ask(&bundle, json!({"action": "jobs", "limit": limit})).await;
            let words = format!("{count} imports with {count} lines");
            assert!(answer["summary"].as_str().unwrap().starts_with(&words));
            let shown = answer["jobs"].as_array().unwrap().iter();
            let shown: Vec<&str> = shown.map(|job| job["batch"].as_str().unwrap()).collect();
            assert_eq!(shown, ids[..count.min(most)], "the oldest first");
            shown.len() < count
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_lines_of_a_jobs_log_are_shown() {
    at_both_ends(51, async |rows: usize| {
        let bundle = Bundle::new(&Options::default());
        bundle.norce.poison(Poison {
            rows: PoisonRows::Matching(Arc::new(|_| true)),
            mode: PoisonMode::RowFails,
            message: "The row could not be read.".to_owned(),
        });
        let lines = (0..i64::try_from(rows).unwrap()).map(|number| {
            let number = bundle.norce.add_customer(person(number));
            ImportLine::code(
                id(number),
                format!("C{number}").parse().unwrap(),
                Uuid::new_v4(),
            )
        });
        let request = request_of(EntityKind::Customer, lines.collect());
        bundle
            .imports
            .send(&[request], Duration::ZERO)
            .await
            .unwrap();
        bundle.run_until_quiet().await;
        let job = bundle.norce.imports()[0].job;
        let answer = ask(&bundle, json!({"action": "jobs", "job": job})).await;
        let log = answer["jobs"][0]["log"].as_array().unwrap().len();
        assert!(log >= rows.min(50), "{answer:#}");
        log < rows
    })
    .await;
}

async fn bury(bundle: &Bundle, count: usize) {
    for number in 1..=i64::try_from(count).unwrap() {
        let message = ChangeMessage::Entity {
            entity: customer(number),
            cause: Cause::Changed,
            received_at: bundle.clock.now(),
            ordered_at: None,
            correlation: Uuid::new_v4(),
        };
        let (body, group) = (serde_json::to_string(&message).unwrap(), message.group());
        let buried = bundle.changes.dead_letter(&body, Some(&group), "a test");
        buried.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn ten_dead_letters_are_shown_unless_more_are_asked_for_and_a_hundred_at_most() {
    for (limit, most) in [(Value::Null, 10), (json!(1_000_000), 100)] {
        at_both_ends(most + 1, async |count| {
            let bundle = Bundle::new(&Options::default());
            bury(&bundle, count).await;
            let request = json!({"action": "dead-letters", "do": "show", "limit": limit});
            let answer = ask(&bundle, request).await;
            let shown = answer["messages"].as_array().unwrap();
            let ids: BTreeSet<&str> = shown.iter().map(|it| it["id"].as_str().unwrap()).collect();
            assert_eq!(ids.len(), shown.len(), "each once");
            assert_eq!(answer["queues"][0]["deadLetters"], count);
            shown.len() < count
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dead_letters_are_sent_again_in_one_go_at_most() {
    at_both_ends(1_001, async |count| {
        let bundle = Bundle::new(&Options::default());
        bury(&bundle, count).await;
        let request = json!({"action": "dead-letters", "do": "redrive"});
        let answer = ask(&bundle, request).await;
        assert_eq!(answer["redriven"], 1_000);
        let left = bundle.changes.dead_letters().len();
        assert_eq!(groups(&bundle).len() + left, count);
        left == 1
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p13_dead_letters_are_looked_at_while_fifteen_seconds_are_left() {
    for (action, field) in [("show", "messages"), ("redrive", "redriven")] {
        at_both_ends(15 * SECOND, async |time| {
            let bundle = Bundle::new(&Options::default());
            bury(&bundle, 3).await;
            let request = json!({"action": "dead-letters", "do": action});
            let answer = ask_within(&bundle, request, time).await.unwrap();
            let done = match &answer[field] {
                Value::Array(messages) => messages.len(),
                Value::Null => 0,
                count => usize::try_from(count.as_u64().unwrap()).unwrap(),
            };
            assert!(done == 0 || done == 3, "{answer:#}");
            done == 3
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_names_two_thousand_entities_at_most() {
    at_both_ends(2_001_u64, async |count| {
        let bundle = Bundle::new(&Options::default());
        let count = i64::try_from(count).unwrap();
        let entities: Vec<String> = names(1..=count).into_iter().collect();
        let request = json!({"action": "replay", "entities": entities});
        let answer = ask_within(&bundle, request, TIME).await;
        let sent = groups(&bundle);
        match answer {
            Ok(_) => assert_eq!(sent, names(1..=count)),
            Err(_) => assert!(sent.is_empty()),
        }
        sent.is_empty()
    })
    .await;
}

/// Companies come first; a go ends after the page with which there are two thousand.
#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_where_it_left_off_over_pages_and_kinds() {
    let bundle = Bundle::new(&Options::default());
    bundle.unsubscribe();
    let since = bundle.clock.now();
    tokio::time::sleep(SECOND).await;
    let mut expected = BTreeSet::new();
    for number in 0..1_100 {
        let firm = bundle.norce.add_company(NewCompany {
            name: Some(format!("Bolaget {number} AB")),
            ..NewCompany::default()
        });
        expected.insert(company(firm).to_string());
        let anna = bundle.norce.add_customer(person(number));
        expected.insert(customer(anna).to_string());
    }
    let request = json!({"action": "replay", "since": since});
    let answers = ask_on(&bundle, request.clone(), "after", TIME).await;
    assert_eq!((answers.len(), sum(&answers, "sent")), (2, 2_200));
    assert!(answers[0]["sent"].as_u64().unwrap() >= 2_000);
    assert_eq!(groups(&bundle), expected);
    // Of one kind.
    let mut of_companies = request;
    of_companies["kind"] = json!("company");
    let answers = ask_on(&bundle, of_companies, "after", TIME).await;
    assert_eq!(sum(&answers, "sent"), 1_100);
}

/// Nothing was checked, so the answer does not say that it is done.
#[tokio::test(start_paused = true)]
async fn p13_a_replay_of_a_time_range_is_begun_while_thirty_seconds_are_left() {
    at_both_ends(30 * SECOND, async |time| {
        let bundle = Bundle::new(&Options::default());
        let since = bundle.clock.now();
        tokio::time::sleep(SECOND).await;
        bundle.norce.add_customer(person(1));
        bundle.norce.settled().await;
        let request = json!({"action": "replay", "since": since, "dryRun": true});
        match ask_within(&bundle, request, time).await {
            Ok(answer) => {
                assert_eq!((&answer["sent"], answer.get("after")), (&json!(1), None));
                true
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Later(_)), "{refusal}");
                false
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn explain_shows_the_events_of_the_last_three_days() {
    at_both_ends(
        TimeDelta::days(3) + TimeDelta::milliseconds(1),
        async |age| {
            let bundle = Bundle::new(&Options::default());
            let number = bundle.norce.add_customer(person(1));
            let subject = customer(number).to_string();
            let text =
                format!(r#"{{"fields":{{"message":"change handled","subject":"{subject}"}}}}"#);
            bundle.logs.change_events.write(bundle.clock.now(), text);
            tokio::time::sleep(age.to_std().unwrap()).await;
            let answer = ask(&bundle, json!({"action": "explain", "id": number})).await;
            answer["last"]["events"].as_array().unwrap().is_empty()
        },
    )
    .await;
}

/// A log whose first page takes some time.
struct Slow {
    takes: Duration,
    pages: usize,
}

#[async_trait]
impl Logs for Slow {
    async fn find(
        &self,
        _: &str,
        _: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<LogPage, LogsError> {
        if after.is_none() {
            tokio::time::sleep(self.takes).await;
        }
        let page: usize = after.map_or(1, |after| after.parse().unwrap());
        Ok(LogPage {
            lines: Vec::new(),
            next: (page < self.pages).then(|| (page + 1).to_string()),
        })
    }
}

async fn is_search_given_up(log: Slow) -> bool {
    let mut bundle = Bundle::new(&Options::default());
    let number = bundle.norce.add_customer(person(1));
    let ports = bundle.operator.ports.as_mut().unwrap();
    ports.logs.truncate(1);
    ports.logs[0].logs = Arc::new(log);
    let answer = ask(&bundle, json!({"action": "explain", "id": number})).await;
    answer["last"].get("incomplete").is_some()
}

#[tokio::test(start_paused = true)]
async fn p13_a_search_in_a_log_takes_ten_seconds_at_most_and_begins_no_page_with_less_than_two() {
    at_both_ends(10 * SECOND + Duration::from_millis(1), async |takes| {
        is_search_given_up(Slow { takes, pages: 1 }).await
    })
    .await;
    at_both_ends(8 * SECOND + Duration::from_millis(1), async |takes| {
        is_search_given_up(Slow { takes, pages: 2 }).await
    })
    .await;
}

/// The checks of a report, by their names, and whether all is well with each.
async fn is_well(bundle: &Bundle, name: &str) -> bool {
    let report = ask(bundle, json!({"action": "doctor"})).await;
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["check"] == name).unwrap();
    check["ok"] == true
}

#[tokio::test(start_paused = true)]
async fn doctor_finds_an_erp_whose_clock_differs_by_more_than_two_minutes() {
    for sign in [1, -1] {
        // HTTP tells whole seconds.
        at_both_ends(121_u64, async |seconds| {
            let bundle = Bundle::new(&Options::default());
            let by = TimeDelta::seconds(sign * i64::try_from(seconds).unwrap());
            let now = bundle.clock.now();
            bundle.erp.configure(|settings| {
                settings.clock = business_central_simulator::Clock::from_fn(move || now + by);
            });
            !is_well(&bundle, "erp client: reachable").await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn doctor_finds_a_pass_that_has_run_for_more_than_a_day() {
    at_both_ends(
        TimeDelta::days(1) + TimeDelta::milliseconds(1),
        async |age| {
            let bundle = Bundle::new(&Options::default());
            let mut run = bundle.pass(PassMode::Delta).await;
            run.id = Uuid::new_v4();
            run.version = 1;
            run.ended = None;
            // The one that has ended is older.
            tokio::time::sleep(SECOND).await;
            run.started = bundle.clock.now();
            assert!(bundle.passes.save(&run).await.unwrap());
            tokio::time::sleep(age.to_std().unwrap()).await;
            !is_well(&bundle, "schedule delta pass").await
        },
    )
    .await;
}

/// An order is the simplest occasion: nothing else changes with it.
async fn order(bundle: &Bundle) {
    bundle.norce.place_order(NewOrder {
        application_id: 1,
        guest: true,
        email: Some("gunnar@example.com".to_owned()),
        items: vec![("P1".to_owned(), 9.9)],
        ..NewOrder::default()
    });
}

#[tokio::test(start_paused = true)]
async fn doctor_misses_an_event_a_quarter_of_an_hour_after_its_occasion() {
    at_both_ends(
        Duration::from_secs(15 * 60) + Duration::from_millis(1),
        async |age| {
            let bundle = Bundle::new(&Options::default());
            let _captured = bundle.logs.capture();
            bundle.unsubscribe();
            order(&bundle).await;
            tokio::time::sleep(age).await;
            !is_well(&bundle, "events about new orders").await
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn doctor_looks_for_events_and_occasions_of_a_day() {
    at_both_ends(24 * HOUR + Duration::from_millis(1), async |age| {
        let bundle = Bundle::new(&Options::default());
        let _captured = bundle.logs.capture();
        bundle.unsubscribe();
        order(&bundle).await;
        tokio::time::sleep(age).await;
        is_well(&bundle, "events about new orders").await
    })
    .await;
}
