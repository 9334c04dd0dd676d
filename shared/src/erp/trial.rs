//! A trial of the ERP's set-up: one record is created as the functions create records, checked, and deleted.

use crate::domain::Code;

/// The findings of a trial that created a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The code that the record got.
    pub code: Code,
    /// Whether the ERP has put other values into it than those that were sent.
    pub altered: bool,
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
