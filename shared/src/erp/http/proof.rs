//! What a search by a key does, found out by trying it once: a facade may compare by "contains", fold too much, or not
//! search at all.

use super::{register::Register, search::holds};
use crate::{
    domain::EntityKind,
    erp::{
        ErpError, ErpRecord, FilterProof, KeyField, NaturalKey,
        key_filter::{NOBODYS_EMAIL, NOBODYS_NUMBER},
    },
    http::Deadline,
};

/// Searches a value that a record has: the answer must contain that record, and none without the value. Then searches a
/// value that nobody has: the answer must be empty.
pub(super) async fn try_search(
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
    let with_it = match register.found_by(list, &text, deadline).await {
        Err(ErpError::Refused { .. }) => return Ok(FilterProof::Refused),
        found => found?,
    };
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
            let number = record.fields.vat_number.as_ref()?;
            let key = NaturalKey::Organisation(number.key(record.country())?);
            Some((number.expose().to_owned(), key))
        }
    }
}
