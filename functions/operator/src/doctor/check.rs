//! A check and its finding.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use shared::http::Deadline;

use crate::sentence::{self, Sentence, say, words};

/// The time of a client for a check: it gives up before the check does, and reports the remote's own words.
const TIME_OF_A_CHECK: Duration = Duration::from_secs(15);
/// The longest time of a check; a check that takes longer is a fault.
const LONGEST_CHECK: Duration = Duration::from_secs(20);

/// Concurrent checks of a part: few enough for an ERP that answers five requests at the same time (erp-apis §1.8).
pub(super) const CHECK_CONCURRENCY: usize = 4;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The name of the check.
    pub check: String,
    /// Whether it passed.
    pub ok: bool,
    /// The finding.
    #[serde(flatten, serialize_with = "sentence::detail")]
    pub detail: Sentence,
    /// How to fix a fault.
    #[serde(flatten, serialize_with = "sentence::fix")]
    pub fix: Option<Sentence>,
}

/// The finding of a check, and for a fault the fix.
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
pub(super) fn check_deadline(deadline: Deadline) -> Deadline {
    Deadline::after(deadline.remaining().min(TIME_OF_A_CHECK))
}

/// A check that has not run yet.
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

    /// Runs the check. One that does not end in time is a fault.
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
