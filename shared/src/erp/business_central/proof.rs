//! What a filter on a natural key does, found out by trying it. `taxRegistrationNumber` is no field of the table, and what
//! a filter on it does is documented nowhere (erp-apis §1.5).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{
    BusinessCentral, EMAIL_IN_ANY_CASE,
    formats::{EMAIL, TAX_REGISTRATION_NUMBER},
    record::{Row, entity_set, selected},
};
use crate::{
    erp::{ErpError, FilterProof, KeyField, NaturalKey, Resource},
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

/// Records among which one with a value is looked for: a page of a look-up.
const SAMPLE: u32 = 100;

/// Values that nobody has: `.invalid` is reserved for that (RFC 2606 §2), and no country's VAT numbers look like this.
const NOBODYS_EMAIL: &str = "nobody-has-this@norce-sync.invalid";
const NOBODYS_NUMBER: &str = "NOBODYHASTHIS0000000";

/// What was found out, once for each process.
#[derive(Default)]
pub(super) struct Proofs(Mutex<HashMap<KeyField, FilterProof>>);

impl Proofs {
    fn get(&self, field: KeyField) -> Option<FilterProof> {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.get(&field).copied()
    }

    fn put(&self, field: KeyField, proof: FilterProof) {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(field, proof);
    }
}

impl BusinessCentral {
    pub(super) async fn prove_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        if let Some(proof) = self.proofs.get(field) {
            return Ok(proof);
        }
        let proof = self.try_filter(field, deadline).await?;
        // The first record with a value is waited for.
        if proof != FilterProof::Unknown {
            tracing::info!(field = %field, proof = ?proof, "Business Central {}", proof.in_words());
            self.proofs.put(field, proof);
        }
        Ok(proof)
    }

    /// Asks for a value that a record has: the record must come, and none without the value. Asks for one that nobody
    /// has: none may come.
    async fn try_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        let of_type = match field {
            KeyField::Email => Filter::eq("type", "Person"),
            KeyField::VatNumber => Filter::eq("type", "Company"),
        };
        let sample = self.first_rows(of_type, &[], deadline).await?;
        let Some((id, text, key)) = sample.iter().find_map(|row| sample_of(row, field)) else {
            return Ok(FilterProof::Unknown);
        };
        let filter = |text: &str| match field {
            KeyField::Email => Filter::eq(EMAIL_IN_ANY_CASE, text),
            KeyField::VatNumber => Filter::eq(TAX_REGISTRATION_NUMBER.name, text),
        };
        let mask = [("key", text.as_str())];
        let with_it = match self.first_rows(filter(&text), &mask, deadline).await {
            Ok(rows) => rows,
            Err(ErpError::Refused { .. }) => return Ok(FilterProof::Refused),
            Err(error) => return Err(error),
        };
        if !with_it.iter().all(|row| row.has_key(&key)) {
            return Ok(FilterProof::Ignored);
        }
        if !with_it.iter().any(|row| row.id() == Some(id)) {
            return Ok(FilterProof::MatchesNothing);
        }
        let nobodys = match field {
            KeyField::Email => NOBODYS_EMAIL,
            KeyField::VatNumber => NOBODYS_NUMBER,
        };
        Ok(
            match self.first_rows(filter(nobodys), &[], deadline).await {
                Ok(rows) if rows.is_empty() => FilterProof::Filters,
                Ok(_) => FilterProof::Ignored,
                Err(ErpError::Refused { .. }) => FilterProof::Refused,
                Err(error) => return Err(error),
            },
        )
    }

    /// The first customers that pass a filter.
    async fn first_rows(
        &self,
        filter: Filter,
        mask: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let customer = Resource::Customer;
        let options = Options::new().select(selected(customer));
        let options = options.filter(filter).top(SAMPLE);
        let url = options.apply(self.client.url(entity_set(customer)));
        let mut pages = self.client.list::<Row>(url, mask, deadline);
        Ok(pages.next().await?.unwrap_or_default())
    }
}

/// A record's id, the text in the field, and its key. A filter that compares without regard to case is asked in lower
/// case, and only one address is a value.
fn sample_of(row: &Row, field: KeyField) -> Option<(&str, String, NaturalKey)> {
    let (text, key) = match field {
        KeyField::Email => {
            let text = row.email()?.to_lowercase();
            let key = NaturalKey::email(&text).filter(|_| EMAIL.holds(&text))?;
            (text, key)
        }
        KeyField::VatNumber => {
            let text = row.tax_registration_number()?.to_owned();
            (text, row.number_key().map(NaturalKey::Organisation)?)
        }
    };
    Some((row.id()?, text, key))
}
