use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An order as it was posted: JSON, kept to the byte, because whoever reads it next expects what Norce wrote.
///
/// It is about people from end to end, so that `Debug` shows nothing of it (P11).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderText(String);

impl OrderText {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call this only to read it, to store it or to hand it on.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Stands for this very text: another text has another revision. A hash, which tells nothing of the people.
    pub fn revision(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, self.0.as_bytes())
    }
}

impl fmt::Debug for OrderText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[order]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_debug_shows_nothing_and_a_revision_stands_for_one_text() {
        let order = OrderText::new(r#"{"Email":"anna@example.com"}"#);
        assert_eq!(format!("{order:?}"), "[order]");
        assert_eq!(order.revision(), order.clone().revision());
        assert_ne!(order.revision(), OrderText::new("{}").revision());
    }
}
