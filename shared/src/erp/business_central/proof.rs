//! What a filter on a natural key does, found out by trying it: `taxRegistrationNumber` is no field of the table, and
//! what a filter on it does is not documented (erp-apis §1.5).

use super::{
    formats::{EMAIL, TAX_REGISTRATION_NUMBER},
    record::{Row, selected},
    records::Records,
    search::EMAIL_IN_ANY_CASE,
};
use crate::{
    domain::Countries,
    erp::{
        ErpError, FilterProof, KeyField, NaturalKey, Resource,
        key_filter::{NOBODYS_EMAIL, NOBODYS_NUMBER},
        mask::Mask,
    },
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

/// Records among which one with a value is searched: a page of a look-up.
const SAMPLE_SIZE: u32 = 100;

/// Searches a value that a record has: the answer must contain that record, and none without the value. Then searches a
/// value that nobody has: the answer must be empty.
pub(super) async fn try_filter(
    field: KeyField,
    records: &Records,
    deadline: Deadline,
) -> Result<FilterProof, ErpError> {
    let (of_type, nobodys) = match field {
        KeyField::Email => (Filter::eq("type", "Person"), NOBODYS_EMAIL),
        KeyField::VatNumber => (Filter::eq("type", "Company"), NOBODYS_NUMBER),
    };
    let sample = first_rows(records, of_type, &[], deadline).await?;
    let Some((id, text, key)) = sample
        .iter()
        .find_map(|row| sample_of(row, field, &records.countries))
    else {
        return Ok(FilterProof::Unknown);
    };
    let filter = |text: &str| match field {
        KeyField::Email => Filter::eq(EMAIL_IN_ANY_CASE, text),
        KeyField::VatNumber => Filter::eq(TAX_REGISTRATION_NUMBER.name, text),
    };
    let mask = [("key", text.as_str())];
    let with_it = match first_rows(records, filter(&text), &mask, deadline).await {
        Ok(rows) => rows,
        Err(ErpError::Refused { .. }) => return Ok(FilterProof::Refused),
        Err(error) => return Err(error),
    };
    if !with_it
        .iter()
        .all(|row| row.has_key(&key, &records.countries))
    {
        return Ok(FilterProof::Ignored);
    }
    if !with_it.iter().any(|row| row.id() == Some(id)) {
        return Ok(FilterProof::MatchesNothing);
    }
    match first_rows(records, filter(nobodys), &[], deadline).await {
        Ok(rows) if rows.is_empty() => Ok(FilterProof::Filters),
        Ok(_) => Ok(FilterProof::Ignored),
        Err(ErpError::Refused { .. }) => Ok(FilterProof::Refused),
        Err(error) => Err(error),
    }
}

/// The first customers that match a filter.
async fn first_rows(
    records: &Records,
    filter: Filter,
    mask: &Mask<'_>,
    deadline: Deadline,
) -> Result<Vec<Row>, ErpError> {
    let customer = Resource::Customer;
    let options = Options::new().select(selected(customer));
    let url = records.url(customer, options.filter(filter).top(SAMPLE_SIZE));
    let mut pages = records.client.list(url, mask, deadline);
    Ok(pages.next().await?.unwrap_or_default())
}

/// A record's id, the text in the field, and its key. A field with several e-mail addresses is not used. The text is in
/// lower case for a filter that ignores case.
fn sample_of<'a>(
    row: &'a Row,
    field: KeyField,
    countries: &Countries,
) -> Option<(&'a str, String, NaturalKey)> {
    let (text, key) = match field {
        KeyField::Email => {
            let text = row.email()?.to_lowercase();
            let key = NaturalKey::email(&text).filter(|_| EMAIL.holds(&text))?;
            (text, key)
        }
        KeyField::VatNumber => {
            let text = row.tax_registration_number()?.to_owned();
            (
                text,
                row.number_key(countries).map(NaturalKey::Organisation)?,
            )
        }
    };
    Some((row.id()?, text, key))
}
