//! The values that can be parameters of sentences.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use shared::{
    activity::Role,
    domain::{
        ApplicationId, Code, EntityKind, EntityRef, ErpId, JobId, NorceId, PartyField, PartyType,
        PassMode, Resource, Scope,
    },
    erp::KeyField,
    owed::{Reason, Stage, Subject},
};
use uuid::Uuid;

use super::types::{Param, Sentence};

/// A value that can be a parameter.
pub(crate) trait Parameter {
    /// The parameter.
    fn param(&self) -> Param;
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
    PartyType,
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
