//! How a person fixes an owed record, by its reason and stage. What is specific to one record is in its `detail`.

use shared::owed::{Reason, Stage};

use crate::sentence::{Sentence, say};

/// How to fix it.
pub(super) fn fix(reason: Reason, stage: Stage) -> Sentence {
    match (reason, stage) {
        (Reason::Validation, Stage::ToErp) => say!("fix-refused-by-erp"),
        (Reason::Validation, Stage::CodeToNorce | Stage::FieldsToNorce) => {
            say!("fix-refused-by-norce")
        }
        (Reason::Conflict, _) => say!("fix-conflict"),
        (Reason::MissingPrerequisite, _) => say!("fix-missing"),
        (Reason::Ambiguous, _) => say!("fix-ambiguous"),
        (Reason::RemoteFault, _) => say!("fix-remote-fault"),
        (Reason::TimedOut, Stage::ToErp) => say!("fix-timed-out"),
        (Reason::TimedOut, Stage::CodeToNorce | Stage::FieldsToNorce) => {
            say!("fix-import-timed-out")
        }
        (Reason::Forgotten, _) => say!("fix-forgotten"),
        (Reason::Warned, _) => say!("fix-warned"),
    }
}
