//! What an answer says, in English and as data: a code with named parameters, for other languages and for tools.
//!
//! ```text
//! table     every sentence: its code and its English template
//! template  what a template has, checked when the code is compiled
//! types     a sentence, and a parameter of one: a clause is a sentence too
//! param     the values that can be parameters
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
mod types;

use shared::domain::redact;

pub use self::{
    language::Language,
    swedish::SWEDISH,
    table::SENTENCES,
    types::{Param, Sentence},
};
pub(crate) use self::{member::*, param::Parameter, template::template};

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
