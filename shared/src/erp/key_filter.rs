//! What a filter on a key does in an ERP.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::error::ErpError;

/// Values that nobody has: `.invalid` is reserved for that (RFC 2606 §2), and no country's VAT numbers look like this.
pub(super) const NOBODYS_EMAIL: &str = "nobody-has-this@norce-sync.invalid";
pub(super) const NOBODYS_NUMBER: &str = "NOBODYHASTHIS0000000";

/// A field with natural keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyField {
    /// E-mail address.
    Email,
    /// VAT number.
    VatNumber,
}

impl KeyField {
    /// All fields.
    pub const ALL: [Self; 2] = [Self::Email, Self::VatNumber];
}

impl fmt::Display for KeyField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Email => "e-mail address",
            Self::VatNumber => "VAT number",
        })
    }
}

/// The observed effect of a filter on a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterProof {
    /// It returns the records that have the value, and no others.
    Filters,
    /// The ERP refuses the filter.
    Refused,
    /// It returns records that do not have the value.
    Ignored,
    /// It does not return a record that has the value.
    MatchesNothing,
    /// No record has a value to try it with.
    Unknown,
}

impl FilterProof {
    /// The effect as the rest of a sentence: "Business Central refuses a filter on it".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Filters => "filters by it",
            Self::Refused => "refuses a filter on it",
            Self::Ignored => "ignores a filter on it",
            Self::MatchesNothing => "finds nothing by a filter on it",
            Self::Unknown => "has shown no record with one by which its filter could be tried",
        }
    }
}

/// The proofs of this process, by field.
#[derive(Default)]
pub(super) struct Proofs(Mutex<HashMap<KeyField, FilterProof>>);

impl Proofs {
    /// The proof of a field. It is made once; one that is unknown is tried again, until a record has a value.
    pub(super) async fn of(
        &self,
        field: KeyField,
        erp: &str,
        prove: impl Future<Output = Result<FilterProof, ErpError>> + Send,
    ) -> Result<FilterProof, ErpError> {
        let known = self.known().get(&field).copied();
        if let Some(proof) = known {
            return Ok(proof);
        }
        let proof = prove.await?;
        if proof != FilterProof::Unknown {
            tracing::info!(field = %field, proof = ?proof, "{erp} {}", proof.in_words());
            self.known().insert(field, proof);
        }
        Ok(proof)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<KeyField, FilterProof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
