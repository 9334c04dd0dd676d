//! A sentence and its parameters, which can be sentences themselves.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::template::fill;

/// A sentence with its stable code. In an answer the member `<name>` is its English text, and `<name>Said` beside it has
/// `code`, `params`, and in `then` the sentence that follows in the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    code: &'static str,
    params: Vec<(&'static str, Param)>,
    then: Option<Box<Self>>,
    text: String,
}

/// A parameter of a sentence. None is personal (P11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Param {
    /// A number.
    Count(u64),
    /// A text: an id, a code, a name, a word of the API, or the words of a remote. A time is RFC 3339 in UTC.
    Text(String),
    /// A duration: `{"seconds":7200}`.
    Time {
        /// Whole seconds.
        seconds: u64,
    },
    /// A clause of the sentence, with a code of its own.
    Clause(Sentence),
    /// A list, which the text separates with commas.
    List(Vec<Self>),
}

impl Sentence {
    pub(crate) fn new(
        code: &'static str,
        template: &str,
        params: Vec<(&'static str, Param)>,
    ) -> Self {
        // The compiler has checked that every parameter is there.
        let text = fill(template, |wanted, text| {
            let (_, param) = params.iter().find(|(name, _)| *name == wanted)?;
            param.write(text);
            Some(())
        });
        let text = text.unwrap_or_default();
        Self {
            code,
            params,
            then: None,
            text,
        }
    }

    /// Appends another sentence to the same text, if there is one.
    pub(crate) fn then(mut self, next: impl Into<Option<Self>>) -> Self {
        let Some(next) = next.into() else {
            return self;
        };
        self.text.push(' ');
        self.text.push_str(&next.text);
        self.then = Some(Box::new(match self.then {
            Some(earlier) => earlier.then(next),
            None => next,
        }));
        self
    }

    /// Whether this is the sentence of a code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The English text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Sentence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Params<'a>(&'a [(&'static str, Param)]);
        impl Serialize for Params<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, param)| (name, param)))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.code)?;
        map.serialize_entry("params", &Params(&self.params))?;
        if let Some(then) = &self.then {
            map.serialize_entry("then", then)?;
        }
        map.end()
    }
}

impl Param {
    pub(super) fn write(&self, text: &mut String) {
        match self {
            Self::Count(count) => text.push_str(&count.to_string()),
            Self::Text(words) => text.push_str(words),
            Self::Time { seconds } => text.push_str(&in_words(*seconds)),
            Self::Clause(clause) => text.push_str(&clause.text),
            Self::List(params) => {
                for (index, param) in params.iter().enumerate() {
                    if index > 0 {
                        text.push_str(", ");
                    }
                    param.write(text);
                }
            }
        }
    }
}

/// A duration as a text: `3 d 4 h`.
pub(super) fn in_words(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}
