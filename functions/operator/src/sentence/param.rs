//! The parameters of sentences.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use shared::{
    activity::Role,
    domain::{
        ApplicationId, Code, EntityKind, EntityRef, ErpId, JobId, NorceId, PartyField, PassMode,
        Resource, Scope,
    },
    erp::KeyField,
    owed::{Reason, Stage, Subject},
};
use uuid::Uuid;

use super::Sentence;

/// A parameter of a sentence. None is personal (P11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Param {
    /// A count: a number.
    Count(u64),
    /// An id, a code, a name, a word of the API, or the words of a remote: a text. A time is RFC 3339 in UTC.
    Text(String),
    /// How long something took or has lasted: `{"seconds":7200}`.
    Time {
        /// Whole seconds.
        seconds: u64,
    },
    /// A clause of the sentence, with a code of its own.
    Clause(Sentence),
    /// Several, which the text lists with commas.
    List(Vec<Self>),
}

/// What can be a parameter.
pub(crate) trait Parameter {
    /// Its form.
    fn param(&self) -> Param;
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

/// How long something took or has lasted, as a person says it: `3 d 4 h`.
pub(super) fn in_words(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

impl Parameter for Param {
    fn param(&self) -> Param {
        self.clone()
    }
}

impl Parameter for Sentence {
    fn param(&self) -> Param {
        Param::Clause(self.clone())
    }
}

impl Parameter for Duration {
    fn param(&self) -> Param {
        let seconds = self.as_secs();
        Param::Time { seconds }
    }
}

impl Parameter for DateTime<Utc> {
    fn param(&self) -> Param {
        Param::Text(self.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl<T: Parameter> Parameter for [T] {
    fn param(&self) -> Param {
        Param::List(self.iter().map(Parameter::param).collect())
    }
}

impl<T: Parameter> Parameter for Vec<T> {
    fn param(&self) -> Param {
        self.as_slice().param()
    }
}

impl<T: Parameter + ?Sized> Parameter for &T {
    fn param(&self) -> Param {
        (*self).param()
    }
}

macro_rules! counts {
    ($($count:ty),+) => {
        $(impl Parameter for $count {
            fn param(&self) -> Param {
                Param::Count(u64::try_from(*self).unwrap_or_default())
            }
        })+
    };
}

counts!(u32, u64, usize, i64);

macro_rules! texts {
    ($($text:ty),+ $(,)?) => {
        $(impl Parameter for $text {
            fn param(&self) -> Param {
                Param::Text(self.to_string())
            }
        })+
    };
}

texts!(
    str,
    String,
    ApplicationId,
    Code,
    EntityKind,
    EntityRef,
    ErpId,
    JobId,
    KeyField,
    NorceId,
    PartyField,
    PassMode,
    Resource,
    Role,
    Scope,
    Subject,
    Uuid,
);

impl Parameter for Reason {
    fn param(&self) -> Param {
        self.as_str().param()
    }
}

impl Parameter for Stage {
    fn param(&self) -> Param {
        self.as_str().param()
    }
}
