use serde::Serialize;
use shared::{
    breakers::BreakersError, import_jobs::ImportJobsError, mappings::MappingsError,
    norce::NorceError, owed::OwedError, passes::PassesError, queues::QueueError,
    reports::ReportsError,
};
use thiserror::Error;

/// There is no answer. Typed by what the person does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Ask differently.
    #[error("the request cannot be answered: {0}")]
    Request(String),
    /// Correct the set-up.
    #[error(
        "the set-up is faulty: {0}; ask {{\"action\":\"doctor\"}} for every fault and its fix"
    )]
    SetUp(String),
    /// Ask again later.
    #[error("{0}; what was done by then stays done, and asking again does no harm")]
    Later(String),
}

impl Refusal {
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        Self::Request(reason.into())
    }
}

macro_rules! later {
    ($($error:ty),+) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::Later(error.to_string())
            }
        })+
    };
}

later!(
    BreakersError,
    MappingsError,
    OwedError,
    PassesError,
    QueueError,
    ReportsError,
    ImportJobsError,
    NorceError
);

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident($answer:ty)),+ $(,)?) => {
        /// The answer to a request: plain JSON with a `summary`.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Answer {
            $($(#[$doc])* $name($answer)),+
        }

        impl Answer {
            /// The answer in words.
            pub fn summary(&self) -> &str {
                match self {
                    $(Self::$name(answer) => &answer.summary),+
                }
            }
        }

        $(impl From<$answer> for Answer {
            fn from(answer: $answer) -> Self {
                Self::$name(answer)
            }
        })+
    };
}

answers! {
    /// `help`.
    Help(crate::catalog::Help),
    /// `doctor`.
    Doctor(crate::doctor::Report),
    /// `status`.
    Status(crate::status::Status),
    /// `explain`.
    Explain(Box<crate::explain::Explanation>),
    /// `owed`.
    Owed(crate::owed::OwedAnswer),
    /// `replay`.
    Replay(crate::replay::Replayed),
    /// `plan` and `pass`.
    Pass(crate::passes::PassStarted),
    /// `dead-letters`.
    DeadLetters(crate::dead_letters::DeadLettersAnswer),
    /// `jobs`.
    Jobs(crate::jobs::JobsAnswer),
    /// `forget`.
    Forget(crate::forget::ForgetAnswer),
    /// `unbind` and `rebind`.
    Binding(crate::binding::BindingAnswer),
    /// `export-mappings`.
    Export(crate::transfer::Exported),
    /// `import-mappings`.
    Import(crate::transfer::Imported),
}

/// How long something took or has lasted, as a person says it: `3 d 4 h`.
pub(crate) fn in_words(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}
