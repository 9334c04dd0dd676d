//! The notes of a dry run.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sentence::Sentence;

/// What a dry run would do, in sentences without personal data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Sentence>>>);

impl Notes {
    pub(super) fn note(&self, what: Sentence) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A repeated action changes nothing.
        if !notes.contains(&what) {
            notes.push(what);
        }
    }

    /// Takes all notes, in order.
    pub(crate) fn take(&self) -> Vec<Sentence> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
