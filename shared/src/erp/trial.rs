//! A trial of the ERP's set-up: one record is created as the functions create records, checked, and deleted.

use std::time::Duration;

use thiserror::Error;

use crate::{domain::Code, http::Deadline};

/// The time that is kept for the deletion of what a trial created: a few requests, and a retry.
const TIME_TO_DELETE: Duration = Duration::from_secs(15);
/// The least time for everything before it.
const TIME_TO_CREATE: Duration = Duration::from_secs(5);

/// The findings of a trial that created a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The code that the record got.
    pub code: Code,
    /// Whether the ERP has put other values into it than those that were sent.
    pub altered: bool,
    /// Why what a create leaves could not be written.
    pub incomplete: Option<String>,
    /// Whether it can be sold to.
    pub sale: Sale,
    /// Why the record could not be deleted; a person has to do it.
    pub left: Option<String>,
}

/// Whether a record can be sold to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sale {
    /// A sales document for it was created and deleted.
    Possible,
    /// The ERP refuses a sales document for it, with these words.
    Refused(String),
    /// Not known, for this reason.
    Unknown(String),
}

/// There is not enough time for a trial and its deletion.
#[derive(Debug, Error)]
#[error("a trial takes {} s or more, and nothing was created", (TIME_TO_CREATE + TIME_TO_DELETE).as_secs())]
pub(super) struct TooLittleTime;

/// The deadline of everything before the deletion.
///
/// # Errors
/// There is not enough time for both, and nothing was created.
pub(super) fn before_deletion(deadline: Deadline) -> Result<Deadline, TooLittleTime> {
    let time = deadline.remaining().saturating_sub(TIME_TO_DELETE);
    if time < TIME_TO_CREATE {
        return Err(TooLittleTime);
    }
    Ok(deadline.stopping_after(time))
}
