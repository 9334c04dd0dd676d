//! A check, and how it ends.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use shared::http::Deadline;

use crate::sentence::{self, Sentence, say, words};

/// What a client has for a check, so that it gives up with the remote's own words.
const TIME_OF_A_CHECK: Duration = Duration::from_secs(15);
/// No check takes longer: whatever hangs is a finding too.
const LONGEST_CHECK: Duration = Duration::from_secs(20);

/// Checks of a part that are under way at the same time: few enough for an ERP that answers five requests at once (erp-apis §1.8).
pub(super) const AT_ONCE: usize = 4;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub check: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was seen.
    #[serde(flatten, serialize_with = "sentence::detail")]
    pub detail: Sentence,
    /// What to do, where it is not.
    #[serde(flatten, serialize_with = "sentence::fix")]
    pub fix: Option<Sentence>,
}

/// How a check ended: what was seen, and for a fault the fix.
pub(super) type Finding = Result<Sentence, Box<Fault>>;

pub(super) struct Fault {
    detail: Sentence,
    fix: Sentence,
}

pub(super) fn fault(detail: Sentence, fix: Sentence) -> Box<Fault> {
    Box::new(Fault { detail, fix })
}

impl Check {
    pub(super) fn new(check: impl Into<String>, finding: Finding) -> Self {
        let check = check.into();
        match finding {
            Ok(detail) => Self {
                check,
                ok: true,
                detail,
                fix: None,
            },
            Err(fault) => Self {
                check,
                ok: false,
                detail: fault.detail,
                fix: Some(fault.fix),
            },
        }
    }
}

/// The deadline of a check that begins now.
pub(super) fn of_a_check(deadline: Deadline) -> Deadline {
    Deadline::after(deadline.remaining().min(TIME_OF_A_CHECK))
}

/// A check to be made.
pub(super) struct Planned<'a> {
    check: String,
    work: BoxFuture<'a, Finding>,
}

impl<'a> Planned<'a> {
    pub(super) fn new(
        check: impl Into<String>,
        work: impl Future<Output = Finding> + Send + 'a,
    ) -> Self {
        Self {
            check: check.into(),
            work: Box::pin(work),
        }
    }

    /// Makes the check, as far as there is time for it: one that does not answer in time is a finding.
    pub(super) async fn make(self, deadline: Deadline) -> Check {
        let Self { check, work } = self;
        let time = deadline.remaining().min(LONGEST_CHECK);
        let finding = tokio::time::timeout(time, work).await;
        Check::new(
            check,
            finding.unwrap_or_else(|_| Err(fault(say!("no-answer", time), say!("fix-no-answer")))),
        )
    }
}

pub(super) fn unbuilt<'a>(check: &'static str, reason: &'a str) -> Planned<'a> {
    Planned::new(check, async move {
        Err(fault(
            say!("not-built", words = words(reason)),
            say!("fix-not-built"),
        ))
    })
}
