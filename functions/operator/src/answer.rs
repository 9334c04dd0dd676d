//! The answers of all actions.

use serde::Serialize;

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident($answer:ty)),+ $(,)?) => {
        /// The answer to a request: plain JSON with a `summary`.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Answer {
            $($(#[$doc])* $name($answer)),+
        }

        impl Answer {
            /// The summary of the answer.
            pub fn summary(&self) -> &str {
                match self {
                    $(Self::$name(answer) => answer.summary.as_str()),+
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
    Help(crate::actions::help::Help),
    /// `doctor`.
    Doctor(crate::doctor::Report),
    /// `status`.
    Status(crate::actions::status::Status),
    /// `explain`.
    Explain(Box<crate::actions::explain::Explanation>),
    /// `activity`.
    Activity(crate::actions::activity::ActivityAnswer),
    /// `owed`.
    Owed(crate::actions::owed::OwedAnswer),
    /// `replay`.
    Replay(crate::actions::replay::Replayed),
    /// `runs`.
    Runs(crate::actions::runs::RunsAnswer),
    /// `history`.
    History(crate::actions::history::HistoryAnswer),
    /// `plan` with `show`.
    Plan(crate::actions::plan::PlanShown),
    /// `plan` and `pass`.
    Pass(crate::actions::pass::PassStarted),
    /// `dead-letters`.
    DeadLetters(crate::actions::dead_letters::DeadLettersAnswer),
    /// `jobs`.
    Jobs(crate::actions::jobs::JobsAnswer),
    /// `trial`.
    Trial(crate::actions::trial::TrialAnswer),
    /// `forget`.
    Forget(crate::actions::forget::ForgetAnswer),
    /// `unbind` and `rebind`.
    Binding(crate::actions::binding::BindingAnswer),
    /// `export-mappings`.
    Export(crate::actions::export_mappings::Exported),
    /// `import-mappings`.
    Import(crate::actions::import_mappings::Imported),
}

impl Answer {
    /// The subjects that were acted on, if the answer names them.
    pub(crate) fn subjects(&self) -> &[String] {
        match self {
            Self::Owed(answer) => &answer.subjects,
            Self::Forget(answer) => std::slice::from_ref(&answer.entity),
            Self::Binding(answer) => std::slice::from_ref(&answer.entity),
            _ => &[],
        }
    }

    /// Whether the request was carried out: an answer may say why it was not.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Forget(answer) => answer.forgotten,
            Self::Binding(answer) => answer.done,
            // Whatever it found.
            Self::Trial(answer) => answer.todo.is_some(),
            _ => true,
        }
    }
}
