//! The outcome of a change as a sentence.

use change_events::{Done, Failure};

use crate::sentence::{Sentence, say};

/// The outcome of a change as a clause. Each kind of outcome has a code; its words are those of `change-events`.
pub(crate) fn verdict(result: Result<Done, Failure>) -> Sentence {
    match result {
        Ok(Done {
            switched_off: Some(kinds),
            ..
        }) => say!("now-switched-off", kinds),
        Ok(Done { outcome, words, .. }) => {
            let words = &*words;
            match outcome {
                "created" => say!("now-created", words),
                "bound" => say!("now-bound", words),
                "updated" => say!("now-updated", words),
                "unchanged" => say!("now-unchanged", words),
                "forgotten" => say!("now-forgotten", words),
                "nothing" => say!("now-nothing", words),
                _ => say!("words", words),
            }
        }
        Err(Failure::Owed { reason, detail }) => say!("now-owed", reason, words = detail),
        Err(Failure::Later { reason, .. }) => say!("now-later", words = reason),
    }
}
