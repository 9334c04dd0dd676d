//! Listings, also while rows change.

use std::{collections::BTreeSet, time::Duration};

use chrono::{FixedOffset, TimeDelta};
use serde_json::{Value, json};

use super::checks;
use crate::{
    client::Request,
    stage::{CONTACTS, CUSTOMERS, Listing, Page, Record, Stage, not_tried},
    verdict::{Outcome, Stop},
};

checks! {
    Listings,
    every_record_is_listed("readable"): "all records are on the pages of a listing, each as it is read",
    since_is_inclusive: "a record that was changed at the time of `since` is listed",
    since_leaves_out_what_is_older: "a record that was not changed since is not listed",
    since_is_an_instant: "a time in another zone is the same time",
    only_the_kind_is_listed: "`kind` lists persons or organisations only",
    the_limit_is_heeded: "a page has no more records than `limit`, and a limit out of range is 400",
    nothing_slips_while_rows_change: "what exists throughout a listing is on its pages, whatever is changed, made and removed meanwhile",
    a_page_can_be_asked_for_again: "a cursor gives the same page again, because an answer can be lost",
    a_cursor_that_is_none_is_gone: "an unknown cursor gets 410 `cursor-expired`, not an empty last page",
}

/// Overlap with the time before, as passes have it.
const OVERLAP: TimeDelta = TimeDelta::seconds(2);

/// By then, a clock in whole seconds has moved on.
const SECOND: Duration = Duration::from_millis(1_100);

fn has(pages: &[Page], record: &Record) -> bool {
    pages.iter().any(|page| page.has(record.id()))
}

/// A failure, shown with the last page.
fn fails(pages: &[Page], earlier: &Record, text: String) -> Stop {
    match pages.last() {
        Some(page) => page.answer.fails_after(&[&earlier.answer], text),
        None => earlier.answer.fails(text),
    }
}

/// Every group of fields that the facade states as readable.
fn all_fields(stage: &Stage) -> Option<String> {
    let readable = stage.capability("readable").as_array()?.iter();
    let readable: Vec<&str> = readable.filter_map(Value::as_str).collect();
    Some(readable.join(","))
}

/// Whether two representations of a record are equal. A title belongs to no group of fields, so a listing may omit it.
fn is_same(listed: &Value, read: &Value) -> bool {
    let without_title = |record: &Value| {
        let mut record = record.as_object().cloned().unwrap_or_default();
        record.remove("title");
        record
    };
    without_title(listed) == without_title(read)
}

async fn every_record_is_listed(stage: &Stage) -> Outcome {
    let since = (stage.time().await? - OVERLAP).to_rfc3339();
    let organisation = stage.new_organisation().await?;
    let contact = stage.new_contact(&organisation).await?;
    let person = stage.new_person().await?;
    for (resource, made) in [
        (CUSTOMERS, vec![&organisation, &person]),
        (CONTACTS, vec![&contact]),
    ] {
        let everything = Listing::of(resource);
        for listing in [everything.clone(), everything.since(&since)] {
            let listing = Listing {
                fields: all_fields(stage),
                ..listing
            };
            let pages = stage.listed(listing).await?;
            for made in &made {
                if !has(&pages, made) {
                    let text = format!("record {} is not listed", made.id());
                    return Err(fails(&pages, made, text));
                }
                let read = stage.get(made).await?;
                let mut records = pages.iter().flat_map(|page| &page.records);
                if !records.any(|listed| is_same(listed, &read.value)) {
                    let text = format!("record {} differs between the listing and GET", made.id());
                    return Err(fails(&pages, &read, text));
                }
            }
        }
    }
    Ok(())
}

async fn since_is_inclusive(stage: &Stage) -> Outcome {
    let organisation = stage.new_organisation().await?;
    let contact = stage.new_contact(&organisation).await?;
    // A new contact may change the organisation's own stamp.
    for made in [stage.get(&organisation).await?, contact] {
        let modified = made.modified()?.to_rfc3339();
        let listing = Listing::of(made.resource).since(modified.clone());
        let pages = stage.listed(listing).await?;
        if !has(&pages, &made) {
            let text = format!(
                "record {} was changed at {modified}, and is not listed since then",
                made.id()
            );
            return Err(fails(&pages, &made, text));
        }
    }
    Ok(())
}

async fn since_leaves_out_what_is_older(stage: &Stage) -> Outcome {
    let old = stage.new_person().await?;
    let modified = old.modified()?;
    stage.wait_after(&old).await;
    let mut since = stage.time().await?;
    if since <= modified {
        // The facade may truncate its time to whole seconds.
        tokio::time::sleep(SECOND).await;
        since = stage.time().await?;
    }
    if since <= modified {
        return not_tried("`time` is not that of the record's stamp");
    }
    let since = since.to_rfc3339();
    let new = stage.new_person().await?;
    let pages = stage.listed(Listing::of(CUSTOMERS).since(since));
    let pages = pages.await?;
    if has(&pages, &old) {
        let text = format!("record {} is older than `since`, and is listed", old.id());
        return Err(fails(&pages, &old, text));
    }
    match has(&pages, &new) {
        true => Ok(()),
        false => {
            let text = format!(
                "record {} is newer than `since`, and is not listed",
                new.id()
            );
            Err(fails(&pages, &new, text))
        }
    }
}

async fn since_is_an_instant(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    let modified = made.modified()?;
    for hours in [-11, 2, 13] {
        let Some(zone) = FixedOffset::east_opt(hours * 3600) else {
            continue;
        };
        let since = (modified - OVERLAP).with_timezone(&zone).to_rfc3339();
        let pages = stage.listed(Listing::of(CUSTOMERS).since(since.clone()));
        let pages = pages.await?;
        if !has(&pages, &made) {
            let text = format!("record {} is not listed since {since}", made.id());
            return Err(fails(&pages, &made, text));
        }
    }
    Ok(())
}

async fn only_the_kind_is_listed(stage: &Stage) -> Outcome {
    let since = (stage.time().await? - OVERLAP).to_rfc3339();
    let (person, organisation) = (stage.new_person().await?, stage.new_organisation().await?);
    for (kind, wanted, other) in [
        ("person", &person, &organisation),
        ("organisation", &organisation, &person),
    ] {
        let listing = Listing {
            kind: Some(kind),
            ..Listing::of(CUSTOMERS).since(&since)
        };
        let pages = stage.listed(listing).await?;
        if !has(&pages, wanted) || has(&pages, other) {
            let (wanted_id, other_id) = (wanted.id(), other.id());
            let text = format!(
                "expected `kind={kind}` to list record {wanted_id} and not record {other_id}"
            );
            return Err(fails(&pages, wanted, text));
        }
    }
    Ok(())
}

async fn the_limit_is_heeded(stage: &Stage) -> Outcome {
    let since = (stage.time().await? - OVERLAP).to_rfc3339();
    for _ in 0..3 {
        stage.new_person().await?;
    }
    for limit in [1, 2, 500] {
        let listing = Listing::of(CUSTOMERS).since(&since).limit(limit);
        let page = stage.page(&listing, None).await?;
        if page.records.len() > limit as usize {
            return Err(page.answer.fails("more records than the limit"));
        }
    }
    for limit in [0, 501] {
        let request = Listing::of(CUSTOMERS).limit(limit).request(None);
        let answer = stage.client.send(request.against_the_contract()).await?;
        answer.expect(&[400])?;
    }
    Ok(())
}

/// Between two pages, changes a record that was listed and one that was not, in the fields that a listing might be sorted by.
async fn nothing_slips_while_rows_change(stage: &Stage) -> Outcome {
    let since = (stage.time().await? - OVERLAP).to_rfc3339();
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(stage.new_person().await?);
    }
    let whole = stage.listed(Listing::of(CUSTOMERS).limit(500)).await;
    let is_small = whole.is_ok_and(|pages| pages.len() == 1);
    let listings = [
        Some(Listing::of(CUSTOMERS).since(&since).limit(2)),
        is_small.then(|| Listing::of(CUSTOMERS).limit(2)),
    ];
    for listing in listings.into_iter().flatten() {
        slips(stage, &listing, &mut made).await?;
    }
    Ok(())
}

async fn slips(stage: &Stage, listing: &Listing, made: &mut Vec<Record>) -> Outcome {
    let mut pages = Vec::new();
    let mut cursor = None;
    // Read until a test record was listed, which can then be removed.
    let seen = loop {
        let page = stage.page(listing, cursor.as_deref()).await?;
        cursor.clone_from(&page.next);
        pages.push(page);
        let seen = made.iter().position(|record| has(&pages, record));
        match (seen, &cursor) {
            (Some(seen), _) => break seen,
            (None, None) => {
                return Err(fails(
                    &pages,
                    &made[0],
                    "no new record is listed".to_owned(),
                ));
            }
            (None, Some(_)) => {}
        }
    };
    let seen = made.remove(seen);
    if stage.can_remove() {
        stage.remove(&seen).await?.expect(&[204])?;
    } else {
        let name = json!({ "name": format!("Ö {}", stage.name("Last")) });
        stage.change(&stage.get(&seen).await?, name).await?;
    }
    // Sorted by name or by time, the last unlisted record would now come first or last.
    let unseen: Vec<&Record> = made.iter().filter(|record| !has(&pages, record)).collect();
    if let Some(last) = unseen.last() {
        let name = json!({ "name": format!("A {}", stage.name("First")) });
        stage.change(&stage.get(last).await?, name).await?;
    }
    stage.new_person().await?;
    if let Some(next) = cursor {
        pages.extend(stage.pages(listing, Some(next)).await?);
    }
    let ids: BTreeSet<&str> = made.iter().map(Record::id).collect();
    let mut slipped = ids
        .iter()
        .filter(|id| !pages.iter().any(|page| page.has(id)));
    match slipped.next() {
        None => Ok(()),
        Some(id) => {
            let text = format!(
                "record {id} existed throughout the listing, and is on none of its {} pages",
                pages.len()
            );
            let answers: Vec<_> = pages.iter().map(|page| &page.answer).collect();
            let (last, earlier) = answers.split_last().unwrap_or((&answers[0], &[]));
            Err(last.fails_after(earlier, text))
        }
    }
}

async fn a_page_can_be_asked_for_again(stage: &Stage) -> Outcome {
    let since = (stage.time().await? - OVERLAP).to_rfc3339();
    for _ in 0..5 {
        stage.new_person().await?;
    }
    let listing = Listing::of(CUSTOMERS).since(since).limit(2);
    let first = stage.page(&listing, None).await?;
    let Some(cursor) = first.next else {
        return Err(first.answer.fails("five records are on a page of two"));
    };
    let one = stage.page(&listing, Some(&cursor)).await?;
    let again = stage.page(&listing, Some(&cursor)).await?;
    match one.records == again.records {
        true => Ok(()),
        false => {
            let text = "the same cursor gives another page the second time";
            Err(again.answer.fails_after(&[&one.answer], text))
        }
    }
}

async fn a_cursor_that_is_none_is_gone(stage: &Stage) -> Outcome {
    for cursor in ["no-such-cursor", "eyJwYWdlIjozfQ=="] {
        let request: Request = Listing::of(CUSTOMERS).limit(2).request(Some(cursor));
        let answer = stage.client.send(request).await?;
        answer.expect_error(410, "cursor-expired")?;
    }
    Ok(())
}
