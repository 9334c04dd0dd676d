//! Checks the answers of `operator` against its table of sentences: each text is its code's template, filled with its
//! parameters.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a check of tests: what cannot be is to fail loudly"
)]

use operator::SENTENCES;
use serde_json::{Map, Value};

/// Texts that are no sentences of the table, with a member that tells their object from others: words of a remote or of a
/// person as they were stored, lines of a log, names, and what `help` quotes from the catalogue.
const NO_SENTENCES: [(&str, &str); 28] = [
    ("asked", "did"),
    ("because", "did"),
    ("result", "did"),
    ("name", "user"),
    ("user", "role"),
    ("detail", "attempts"),
    ("dismissed", "attempts"),
    ("words", "samples"),
    ("samples", "count"),
    ("subject", "stage"),
    ("subjects", "found"),
    ("subjects", "did"),
    ("said", "function"),
    ("log", "batch"),
    ("body", "ageSeconds"),
    ("reason", "ageSeconds"),
    ("failed", "found"),
    ("found", "failed"),
    ("reason", "group"),
    ("reason", "line"),
    ("record", "group"),
    ("check", "ok"),
    ("does", "action"),
    ("is", "field"),
    ("example", "field"),
    ("example", "does"),
    ("kept", "state"),
    ("kept", "group"),
];

/// The address in the catalogue's example of a request, which a refusal quotes. It is nobody's.
const SAMPLE: &str = "anna@example.com";

/// Holds every sentence of an answer against the table, and every text against being a sentence without a code.
///
/// # Panics
/// When a sentence has no code of the table, its text is not the template filled with its parameters, or a parameter has
/// an `@` (P11).
pub fn check(answer: &Value) {
    match answer {
        Value::Array(items) => items.iter().for_each(check),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| check_member(members, name, value)),
        _ => {}
    }
}

fn check_member(object: &Map<String, Value>, name: &str, value: &Value) {
    if let Some(of) = name.strip_suffix("Said") {
        assert!(object.contains_key(of), "{name} is of nothing: {object:?}");
        return;
    }
    let is_known =
        |(member, beside): &(&str, &str)| *member == name && object.contains_key(*beside);
    match (value, object.get(&format!("{name}Said"))) {
        (Value::String(text), Some(said)) => assert_eq!(*text, english(said)),
        (Value::Array(texts), Some(Value::Array(said))) => {
            let filled: Vec<String> = said.iter().map(english).collect();
            assert_eq!(*texts, filled);
        }
        (_, Some(said)) => panic!("{name} is no text: {said}"),
        (_, None) if NO_SENTENCES.iter().any(is_known) => {}
        (Value::String(text), None) => assert!(
            !text.contains(' '),
            "{name} is a sentence without a code: {text}"
        ),
        (Value::Array(items), None) => items.iter().for_each(|item| match item {
            Value::String(text) => assert!(
                !text.contains(' '),
                "{name} has a sentence without a code: {text}"
            ),
            item => check(item),
        }),
        (value, None) => check(value),
    }
}

/// The English text that a code and its parameters stand for.
fn english(said: &Value) -> String {
    let code = said["code"].as_str().expect("a code");
    let template = SENTENCES.iter().find(|(known, _)| *known == code);
    let (_, template) = template.unwrap_or_else(|| panic!("{code} is not in the table"));
    let params = said["params"].as_object().expect("parameters");
    let names: Vec<&str> = params.keys().map(String::as_str).collect();
    assert_eq!(parameters(template), names, "{code}");
    // Beginning with the last one, so that nothing that a parameter says is taken for another parameter.
    let mut text = (*template).to_owned();
    let mut places: Vec<(usize, &str)> = names
        .iter()
        .flat_map(|name| {
            let param = format!("{{{name}}}");
            let places = template.match_indices(&param);
            places.map(|(place, _)| (place, *name)).collect::<Vec<_>>()
        })
        .collect();
    places.sort_unstable();
    for (place, name) in places.into_iter().rev() {
        text.replace_range(place..place + name.len() + 2, &shown(code, &params[name]));
    }
    match said.get("then") {
        Some(then) => format!("{text} {}", english(then)),
        None => text,
    }
}

fn shown(code: &str, param: &Value) -> String {
    match param {
        Value::String(text) => {
            let is_free = !text.replace(SAMPLE, "").contains('@');
            assert!(is_free, "P11: {code} has {text}");
            text.clone()
        }
        Value::Number(count) => count.to_string(),
        Value::Array(params) => {
            let shown: Vec<String> = params.iter().map(|param| shown(code, param)).collect();
            shown.join(", ")
        }
        clause if clause.get("code").is_some() => english(clause),
        time => duration(time["seconds"].as_u64().expect("seconds")),
    }
}

/// As `3 d 4 h`: the two greatest units, and the first alone below an hour.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The parameters of a template, each once, sorted: lower-case letters in braces.
pub fn parameters(template: &str) -> Vec<&str> {
    let parts = template.split('{').skip(1);
    let names = parts.filter_map(|part| Some(part.split_once('}')?.0));
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase());
    let mut names: Vec<&str> = names.filter(is_name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
