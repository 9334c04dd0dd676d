//! The sentences of answers, in English and as data: a code with named parameters, for other languages and for tools.
//!
//! ```text
//! table     every sentence: its code and its English template
//! template  templates and their parameters, checked at compile time
//! types     a sentence and its parameters; a clause is both
//! param     the values that can be parameters
//! language  translates an answer; `swedish`: the Swedish sentences
//! member    a field of an answer: its text, and beside it the code with the parameters
//! ```
//!
//! `say!` makes a sentence from its code and its parameters, and the English text from the template in the table, so that the
//! text and the parameters cannot contradict each other. The compiler checks that a code is in the table and has exactly these
//! parameters.

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

/// The words of a remote, or of a part of this project whose texts have no codes. They are not translated.
pub(crate) fn words(words: impl ToString) -> Sentence {
    let words = redact(&words.to_string());
    say!("words", words)
}
