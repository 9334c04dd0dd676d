//! Writes that meet other writes of the same items.

use std::future::Future;

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::CancellationReason,
};

use super::item::Item;
use crate::aws::pause;

/// Attempts of a transaction that conflicts with another one, or of a read that is answered in part: about two seconds of
/// pauses on average, longer than any transaction takes.
pub(super) const ATTEMPTS: u32 = 10;

/// Which writes were refused because their conditions did not hold, in the order of all writes.
pub(crate) struct Refusals(Vec<Option<Item>>);

impl Refusals {
    /// The refusal of a single write, and the item on which its condition failed.
    pub(super) fn of_one(item: Item) -> Self {
        Self(vec![Some(item)])
    }

    /// The item on which the condition of the `index`-th write failed, empty if there is none.
    pub(crate) fn take(&mut self, index: usize) -> Option<Item> {
        self.0.get_mut(index).and_then(Option::take)
    }

    /// Whether the condition of the `index`-th write failed.
    pub(crate) fn has(&self, index: usize) -> bool {
        matches!(self.0.get(index), Some(Some(_)))
    }
}

/// The errors of a write of a single item that another write is changing: a transaction, or a write in another Region of a
/// global table (Amazon DynamoDB API Reference, "UpdateItem", "Errors"). Nothing is written. The SDK does not repeat
/// these, which it regards as the caller's fault, unlike throttling
/// (`ProvisionedThroughputExceededException`, `RequestLimitExceeded`, `ThrottlingException`), `TransactionInProgressException`
/// and everything with a status of 5xx (`InternalServerError`), which it repeats (`aws-runtime`, `retries::classifiers`).
const DISTURBED: [&str; 2] = [
    "TransactionConflictException",
    "ReplicatedWriteConflictException",
];

/// Writes a single item, and retries while another write is changing it. Every write outside transactions uses this.
pub(super) async fn until_undisturbed<T, E, F>(
    call: impl Fn() -> F,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut attempt = 1;
    loop {
        let outcome = call().await;
        let code = outcome
            .as_ref()
            .err()
            .and_then(|error| error.as_service_error());
        let code = code.and_then(ProvideErrorMetadata::code);
        if attempt == ATTEMPTS || !code.is_some_and(|code| DISTURBED.contains(&code)) {
            return outcome;
        }
        pause(attempt).await;
        attempt += 1;
    }
}

/// The meaning of the reasons of a cancelled transaction.
pub(super) enum Verdict {
    Refused(Refusals),
    Again,
    Failed,
}

pub(super) fn verdict(reasons: &[CancellationReason]) -> Verdict {
    let mut refusals = Vec::with_capacity(reasons.len());
    let (mut refused, mut again) = (false, false);
    for reason in reasons {
        let refusal = match reason.code() {
            None | Some("None") => None,
            Some("ConditionalCheckFailed") => {
                refused = true;
                Some(reason.item().cloned().unwrap_or_default())
            }
            Some("TransactionConflict" | "ProvisionedThroughputExceeded" | "ThrottlingError") => {
                again = true;
                None
            }
            Some(_) => return Verdict::Failed,
        };
        refusals.push(refusal);
    }
    match (again, refused) {
        // The other transaction may change the outcome of the condition.
        (true, _) => Verdict::Again,
        (false, true) => Verdict::Refused(Refusals(refusals)),
        (false, false) => Verdict::Failed,
    }
}

/// The codes of the reasons, without their messages: those of validation errors may quote data.
pub(super) fn codes(reasons: &[CancellationReason]) -> String {
    let codes: Vec<&str> = reasons
        .iter()
        .filter_map(CancellationReason::code)
        .collect();
    format!("transaction cancelled [{}]", codes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).build()
    }

    #[test]
    fn a_conflict_outweighs_a_condition_because_it_may_change_it() {
        let conflict = [
            reason("ConditionalCheckFailed"),
            reason("TransactionConflict"),
        ];
        assert!(matches!(verdict(&conflict), Verdict::Again));
        let refused = [reason("None"), reason("ConditionalCheckFailed")];
        match verdict(&refused) {
            Verdict::Refused(refusals) => {
                assert!(!refusals.has(0));
                assert!(refusals.has(1));
            }
            _ => panic!("not refused"),
        }
        assert!(matches!(
            verdict(&[reason("ValidationError")]),
            Verdict::Failed
        ));
    }
}
