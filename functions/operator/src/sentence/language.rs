//! An answer in another language than English.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    member::SAID,
    swedish::{SWEDISH, WORDS},
    template::fill,
    types::in_words,
};

/// A language of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// English: the language of all texts.
    #[default]
    En,
    /// Swedish.
    Sv,
}

impl Language {
    /// Translates an answer: replaces each text that has a code beside it. The words of a remote, and texts without a code, stay
    /// as they are.
    pub fn say(self, answer: &mut Value) {
        if self == Self::Sv {
            translate(answer);
        }
    }
}

fn translate(answer: &mut Value) {
    match answer {
        Value::Array(items) => items.iter_mut().for_each(translate),
        Value::Object(members) => {
            let said: Vec<(String, Value)> = members
                .iter()
                .filter_map(|(name, said)| {
                    Some((name.strip_suffix(SAID)?.to_owned(), swedish_of(said)?))
                })
                .collect();
            members.extend(said);
            members.values_mut().for_each(translate);
        }
        _ => {}
    }
}

/// The Swedish text of a code with its parameters, or of each in a list.
fn swedish_of(said: &Value) -> Option<Value> {
    match said {
        Value::Array(all) => all.iter().map(swedish_of).collect(),
        Value::Object(said) => Some(sentence(said)?.into()),
        _ => None,
    }
}

/// The text of a sentence; `None`: it is not in the table.
fn sentence(said: &Map<String, Value>) -> Option<String> {
    let code = said.get("code")?.as_str()?;
    let params = said.get("params")?.as_object()?;
    let (_, template) = SWEDISH.iter().find(|(known, _)| *known == code)?;
    let mut text = fill(template, |name, text| {
        text.push_str(&shown(name, params.get(name)?)?);
        Some(())
    })?;
    if let Some(then) = said.get("then") {
        text.push(' ');
        text.push_str(&sentence(then.as_object()?)?);
    }
    Some(text)
}

fn shown(name: &str, param: &Value) -> Option<String> {
    match param {
        Value::Array(all) => {
            let all: Option<Vec<String>> = all.iter().map(|one| shown(name, one)).collect();
            Some(all?.join(", "))
        }
        Value::Object(time) if time.contains_key("seconds") => {
            Some(in_words(time["seconds"].as_u64()?))
        }
        Value::Object(clause) => sentence(clause),
        Value::String(text) => {
            let mut words = WORDS.iter();
            let word = words.find(|(of, value, _)| *of == name && value == text);
            Some(word.map_or_else(|| text.clone(), |(_, _, word)| (*word).to_owned()))
        }
        other => Some(other.to_string()),
    }
}
