//! Look-ups of many records in one request: the filter, and how many records Norce takes in one.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    domain::{EntityKind, NaturalKey, OrganisationKey},
    http::odata::Filter,
    norce::{LOOKUP_BATCH_SIZE, LookupKey, NorceError},
};

/// How many records one request asks about. The length of filter that Norce accepts is not documented: ASP.NET's OData
/// refuses trees of more than 100 nodes by default, and servers and proxies limit URLs. A request that is refused for its
/// length is halved, and the client remembers the size that was accepted.
pub(super) struct Batch(AtomicUsize);

/// Accepted by ASP.NET's default: an id or a code takes four nodes, and one to join it.
const SMALLEST_BATCH: usize = 10;

/// Values by which a record is looked up on average, its code and one spelling of an address: the size of a batch was
/// measured with these. A company has more values, so fewer companies fit into one request.
const VALUES_OF_ONE: usize = 2;

impl Default for Batch {
    fn default() -> Self {
        Self(AtomicUsize::new(LOOKUP_BATCH_SIZE))
    }
}

impl Batch {
    pub(super) fn size(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The first records, as many as fit into one request.
    pub(super) fn of<'a>(&self, asked: &'a [LookupKey]) -> &'a [LookupKey] {
        let most = self.size();
        let mut values = most * VALUES_OF_ONE;
        let takes = |asked: &LookupKey| 1 + asked.keys.iter().map(values_of).sum::<usize>();
        let fitting = asked.iter().take(most).take_while(|asked| {
            let left = values.checked_sub(takes(asked));
            values = left.unwrap_or_default();
            left.is_some()
        });
        let fitting = fitting.count().max(1);
        asked.get(..fitting).unwrap_or(asked)
    }

    /// Whether a request that was refused may be accepted with fewer records; the next batches are smaller then.
    pub(super) fn shrinks(&self, asked: usize, error: &NorceError) -> bool {
        let too_long = matches!(
            error,
            NorceError::Refused {
                status: 400 | 404 | 413 | 414 | 431,
                ..
            }
        );
        if !too_long || asked <= SMALLEST_BATCH {
            return false;
        }
        let size = (asked / 2).max(SMALLEST_BATCH);
        self.0.fetch_min(size, Ordering::Relaxed);
        tracing::warn!(
            asked,
            size,
            "Norce Query refused a long filter; fewer records are asked about at once"
        );
        true
    }
}

/// Records with one of the codes, or one of the natural keys in any spelling.
pub(super) fn asked_filter(kind: EntityKind, asked: &[LookupKey]) -> Option<Filter> {
    let code = match kind {
        EntityKind::Customer => "CustomerCode",
        EntityKind::Company => "CompanyCode",
    };
    let codes = Filter::any_of(code, asked.iter().map(|asked| asked.code.as_str()));
    let keys = || asked.iter().flat_map(|asked| &asked.keys);
    let emails = keys().filter_map(|key| match key {
        NaturalKey::Email(email) if kind == EntityKind::Customer => Some(email.spellings()),
        _ => None,
    });
    let emails = Filter::any_of("EmailAddress", emails.flatten());
    let numbers = keys().filter_map(|key| match key {
        NaturalKey::Organisation(key) if kind == EntityKind::Company => Some(key),
        _ => None,
    });
    let numbers = number_filter(numbers, &[]);
    [codes, emails, numbers]
        .into_iter()
        .flatten()
        .reduce(Filter::or)
}

/// Companies with one of these numbers in any spelling. `bare`: numbers in letters and digits.
pub(super) fn number_filter<'a>(
    keys: impl Iterator<Item = &'a OrganisationKey> + Clone,
    bare: &[&str],
) -> Option<Filter> {
    let bare_digits = bare.iter().map(|number| {
        let digits = number.chars().filter(char::is_ascii_digit);
        digits.collect::<String>()
    });
    let digits = keys
        .clone()
        .flat_map(OrganisationKey::digits)
        .chain(bare_digits);
    let spellings = keys
        .flat_map(OrganisationKey::spellings)
        .chain(bare.iter().map(|number| (*number).to_owned()));
    [
        Filter::any_of("NormalizedOrganizationNo", distinct(digits)),
        Filter::any_of("VatNo", distinct(spellings)),
    ]
    .into_iter()
    .flatten()
    .reduce(Filter::or)
}

fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    values.filter(|value| seen.insert(value.clone())).collect()
}

/// How many values the filter for a key has.
fn values_of(key: &NaturalKey) -> usize {
    match key {
        NaturalKey::Email(email) => email.spellings().len(),
        NaturalKey::Organisation(key) => key.spellings().len() + key.digits().len(),
    }
}
