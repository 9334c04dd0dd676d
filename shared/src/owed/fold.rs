//! Reading a list of any length in little memory.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use chrono::{DateTime, Utc};

use super::{Owed, OwedRecords};
use crate::{Consistency, StoreError, http::Deadline};

/// The time that must be left for another page: a read takes a fraction of a second, and when DynamoDB throttles, the
/// client gives up after a few seconds.
const TIME_FOR_A_PAGE: Duration = Duration::from_secs(5);

/// Passes every record of the list to `each`, page by page, so that the list may be larger than memory. `false` if it stopped
/// early, because `deadline` left less time than `reserve`, which the caller needs afterwards.
///
/// Sequential, at about 1,500 records of 0.7 KB a page: a million records are some 700 requests.
///
/// # Errors
/// [`StoreError`] if a page cannot be read.
pub async fn fold(
    list: &dyn OwedRecords,
    consistency: Consistency,
    deadline: Deadline,
    reserve: Duration,
    mut each: impl FnMut(Owed) + Send,
) -> Result<bool, StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = list.page(after.as_deref(), consistency).await?;
        page.owed.into_iter().for_each(&mut each);
        match page.next {
            None => return Ok(true),
            Some(_) if !deadline.allows(reserve + TIME_FOR_A_PAGE) => return Ok(false),
            next => after = next,
        }
    }
}

/// Keeps the earliest of any number of values, up to a limit, by a time or another key.
#[derive(Debug)]
pub struct Earliest<T, K: Ord = DateTime<Utc>> {
    limit: usize,
    /// The latest of the kept values is on top.
    kept: BinaryHeap<Keyed<T, K>>,
}

#[derive(Debug)]
struct Keyed<T, K>(K, T);

impl<T, K: Ord> PartialEq for Keyed<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T, K: Ord> Eq for Keyed<T, K> {}

impl<T, K: Ord> PartialOrd for Keyed<T, K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, K: Ord> Ord for Keyed<T, K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T, K: Ord> Earliest<T, K> {
    /// At most `limit` values.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BinaryHeap::new(),
        }
    }

    /// Keeps a value if it is among the earliest so far.
    pub fn push(&mut self, at: K, value: T) {
        self.kept.push(Keyed(at, value));
        if self.kept.len() > self.limit {
            self.kept.pop();
        }
    }

    /// The kept values, the earliest first.
    pub fn into_vec(self) -> Vec<T> {
        let sorted = self.kept.into_sorted_vec();
        sorted.into_iter().map(|Keyed(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_many_are_kept_in_their_order() {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap_or_default();
        for limit in [0, 1, 3, 200] {
            let mut earliest = Earliest::new(limit);
            for second in (0..100).map(|step| step * 37 % 100) {
                earliest.push(at(second), second);
            }
            let expected: Vec<i64> = (0..100).take(limit).collect();
            assert_eq!(earliest.into_vec(), expected);
        }
    }
}
