//! What a search by a key does, found out by trying it once: a facade may compare by "contains", fold too much, or not
//! search at all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{register::Register, search::holds};
use crate::{
    domain::EntityKind,
    erp::{ErpError, ErpRecord, FilterProof, KeyField, NaturalKey},
    http::Deadline,
};

/// Values that nobody has: `.invalid` is reserved for that (RFC 2606 §2), and no country's VAT numbers look like this.
const NOBODYS_EMAIL: &str = "nobody-has-this@norce-sync.invalid";
const NOBODYS_NUMBER: &str = "NOBODYHASTHIS0000000";

/// The proofs of this process, by field.
#[derive(Default)]
pub(super) struct Proofs(Mutex<HashMap<KeyField, FilterProof>>);

impl Proofs {
    /// The proof of a field, which is made once.
    pub(super) async fn of(
        &self,
        field: KeyField,
        register: &Register,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        let known = self.known().get(&field).copied();
        if let Some(proof) = known {
            return Ok(proof);
        }
        let proof = match try_search(field, register, deadline).await {
            Err(ErpError::Refused { .. }) => FilterProof::Refused,
            proof => proof?,
        };
        // An unknown proof is tried again, until a record has a value.
        if proof != FilterProof::Unknown {
            tracing::info!(field = %field, proof = ?proof, "the facade's search was tried");
            self.known().insert(field, proof);
        }
        Ok(proof)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<KeyField, FilterProof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Searches a value that a record has: the answer must contain that record, and none without the value. Then searches a
/// value that nobody has: the answer must be empty.
async fn try_search(
    field: KeyField,
    register: &Register,
    deadline: Deadline,
) -> Result<FilterProof, ErpError> {
    let (list, nobodys, kind) = match field {
        KeyField::Email => ("emails", NOBODYS_EMAIL, None),
        // A register can begin with more persons than a page has.
        KeyField::VatNumber => ("numbers", NOBODYS_NUMBER, Some(EntityKind::Company)),
    };
    let sample = register.sample(kind, deadline).await?;
    let sample = sample.iter();
    let Some((record, text, key)) = sample
        .filter_map(|record| value(record, field).map(|(text, key)| (record, text, key)))
        .next()
    else {
        return Ok(FilterProof::Unknown);
    };
    let with_it = register.found_by(list, &text, deadline).await?;
    if !with_it.iter().all(|found| holds(found, &key)) {
        return Ok(FilterProof::Ignored);
    }
    if !with_it.iter().any(|found| found.id == record.id) {
        return Ok(FilterProof::MatchesNothing);
    }
    let with_nobodys = register.found_by(list, nobodys, deadline).await?;
    Ok(match with_nobodys.is_empty() {
        true => FilterProof::Filters,
        false => FilterProof::Ignored,
    })
}

/// A text of a record by which it has to be found, and its key. A field with several e-mail addresses is not used.
fn value(record: &ErpRecord, field: KeyField) -> Option<(String, NaturalKey)> {
    match field {
        KeyField::Email => {
            let text = record.fields.email.as_ref()?.expose().to_lowercase();
            let key = NaturalKey::email(&text)?;
            Some((text, key))
        }
        KeyField::VatNumber => {
            let number = record.fields.vat_number.as_ref()?.expose().to_owned();
            let key = record.keys(EntityKind::Company).into_iter().next()?;
            Some((number, key))
        }
    }
}
