//! What would be done.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sentence::Sentence;

/// What would be done, in words without personal data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Sentence>>>);

impl Notes {
    pub(super) fn note(&self, what: Sentence) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is done twice changes nothing the second time.
        if !notes.contains(&what) {
            notes.push(what);
        }
    }

    /// Everything, in its order.
    pub(crate) fn take(&self) -> Vec<Sentence> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
