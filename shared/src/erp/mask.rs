//! Personal data in the messages of a remote.

use std::cmp::Reverse;

use crate::domain::redact;

/// A shorter value identifies nobody, and masking it would make the message unreadable.
const SHORTEST_MASKED: usize = 3;

/// Values that a message may repeat and must not contain, each behind the name that replaces it.
pub(super) type Mask<'a> = [(&'a str, &'a str)];

/// A remote's message without personal data: values that were sent are replaced by the names of their fields.
pub(super) fn masked(message: &str, mask: &Mask<'_>) -> String {
    let mut mask: Vec<_> = mask
        .iter()
        .filter(|(_, value)| value.chars().count() >= SHORTEST_MASKED)
        .collect();
    // Longer values first, so that none is broken up by a shorter one inside it.
    mask.sort_by_key(|(_, value)| Reverse(value.len()));
    let masked = mask
        .iter()
        .fold(message.to_owned(), |message, (name, value)| {
            message.replace(value, &format!("[{name}]"))
        });
    redact(&masked)
}
