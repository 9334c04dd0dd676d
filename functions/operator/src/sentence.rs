//! What an answer says, in English and as data: a code with named parameters, for other languages and for tools.
//!
//! ```text
//! table     every sentence: its code and its English template
//! template  what a template has, checked when the code is compiled
//! param     the parameters
//! language  the same sentences in another language; `swedish`: every one of them
//! member    a field of an answer that says something: its text, and beside it the code and the parameters
//! ```
//!
//! `say!` makes a sentence from its code and its parameters, and the English text from the table's template, so that the
//! text and the parameters cannot contradict each other. That a code is in the table and has exactly these parameters is
//! checked when the code is compiled.

mod language;
mod member;
mod param;
mod swedish;
mod table;
mod template;

use serde::{Serialize, Serializer, ser::SerializeMap};
use shared::domain::redact;

use self::template::fill;
pub use self::{language::Language, param::Param, swedish::SWEDISH, table::SENTENCES};
pub(crate) use self::{member::*, param::Parameter, template::template};

/// A sentence with its stable code. In an answer the member `<name>` is its English text, and `<name>Said` beside it has
/// `code`, `params`, and in `then` the sentence that follows in the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    code: &'static str,
    params: Vec<(&'static str, Param)>,
    then: Option<Box<Self>>,
    text: String,
}

/// Makes the [`Sentence`] of a code: `say!("jobs-listed", imports, lines, age = in_seconds)`.
macro_rules! say {
    (@param $name:ident) => { $crate::sentence::Parameter::param(&$name) };
    (@param $name:ident = $value:expr) => { $crate::sentence::Parameter::param(&$value) };
    ($code:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {{
        const TEMPLATE: &str = $crate::sentence::template($code, &[$(stringify!($name)),*]);
        $crate::sentence::Sentence::new(
            $code,
            TEMPLATE,
            vec![$((stringify!($name), say!(@param $name $(= $value)?))),*],
        )
    }};
}
pub(crate) use say;

/// The words of a remote, or of a part of this project whose texts have no codes: they stay as they are in every language.
pub(crate) fn words(words: impl ToString) -> Sentence {
    let words = redact(&words.to_string());
    say!("words", words)
}

impl Sentence {
    pub(crate) fn new(
        code: &'static str,
        template: &str,
        params: Vec<(&'static str, Param)>,
    ) -> Self {
        // That every parameter is there was checked when the code was compiled.
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

    /// The same, with another sentence after it in the same text, if there is one.
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
