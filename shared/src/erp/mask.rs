use std::cmp::Reverse;

use crate::domain::redact;

/// A value shorter than this is no help in telling a person, and taking it out would tear the message to pieces.
const SHORTEST_MASKED: usize = 3;

/// Values that may be repeated in a message and must not stay in it, each with what it is called instead.
pub(super) type Mask<'a> = [(&'a str, &'a str)];

/// A remote's message without personal data: what was sent is replaced by the name of its field.
pub(super) fn masked(message: &str, mask: &Mask<'_>) -> String {
    let mut mask: Vec<_> = mask
        .iter()
        .filter(|(_, value)| value.chars().count() >= SHORTEST_MASKED)
        .collect();
    // A longer value goes first, so that none is torn by another one inside it.
    mask.sort_by_key(|(_, value)| Reverse(value.len()));
    let masked = mask
        .iter()
        .fold(message.to_owned(), |message, (name, value)| {
            message.replace(value, &format!("[{name}]"))
        });
    redact(&masked)
}
