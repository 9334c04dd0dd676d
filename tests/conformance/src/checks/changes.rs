//! Changing records.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::checks;
use crate::{
    client::{Answer, Request},
    stage::{Listing, Record, Stage, not_tried},
    verdict::Outcome,
};

checks! {
    Changes,
    a_change_leaves_the_rest: "a field that is absent stays as it is",
    every_change_is_stamped("fields"): "a change of any field changes `version` and `modified`, and is in the listing of changes",
    a_stale_version_is_refused: "a record that has changed since is 412 `changed`, and nothing is done",
    one_of_two_changes_at_the_same_time("conditionalUpdates"): "of changes with the same version at the same time one is made",
    a_change_needs_a_version: "a change without `If-Match` is refused, and nothing is done",
    null_clears: "`null` clears a field, and so does an empty text",
    an_address_is_replaced: "an address is replaced as a whole",
    nothing_changed_is_no_change: "a change to the same values changes neither `version` nor `modified`",
    a_contact_moves: "a contact moves to another organisation, and not to one that does not exist",
}

/// Other values for the fields that the facade writes.
fn other_values(stage: &Stage) -> BTreeMap<&'static str, Value> {
    let pair = stage.numbers.next();
    let values = [
        ("name", json!(stage.name("Other"))),
        ("email", json!(stage.email())),
        ("phone", json!("+46 46 99 88 77")),
        ("mobile", json!("+46 70 999 88 77")),
        ("vatNumber", json!(pair.vat_number)),
        ("organisationNumber", json!(pair.organisation_number)),
        (
            "address",
            json!({
                "line1": "Nygatan 2",
                "postalCode": stage.numbers.postal_code(),
                "city": stage.numbers.city(),
                "country": stage.numbers.country(),
            }),
        ),
    ];
    let values = values.into_iter();
    values.filter(|(field, _)| stage.writes(field)).collect()
}

async fn a_change_leaves_the_rest(stage: &Stage) -> Outcome {
    let made = stage.new_organisation().await?;
    let changed = stage.change(&made, json!({ "name": stage.name("Renamed") }));
    let changed = changed.await?;
    for field in ["email", "phone", "mobile", "address", "code", "kind"] {
        if changed.value[field] != made.value[field] {
            let text = format!("`{field}` was not in the change, and is another one now");
            return Err(changed.answer.fails_after(&[&made.answer], text));
        }
    }
    let read = stage.get(&made).await?;
    match read.value == changed.value {
        true => Ok(()),
        false => {
            let text = "the record differs from the answer to its change";
            Err(read.answer.fails_after(&[&changed.answer], text))
        }
    }
}

async fn every_change_is_stamped(stage: &Stage) -> Outcome {
    let organisation = stage.new_organisation().await?;
    stamped(stage, organisation.clone(), other_values(stage)).await?;
    // An ERP may have no contacts.
    let Ok(contact) = stage.new_contact(&organisation).await else {
        return Ok(());
    };
    let mut values = other_values(stage);
    // Numbers belong to organisations, and a contact often shares its organisation's address.
    values.retain(|field, _| matches!(*field, "name" | "email" | "phone" | "mobile"));
    if stage.writes("title") {
        values.insert("title", json!("Manager"));
    }
    stamped(stage, contact, values).await
}

/// Fails unless each of these changes updates the stamps and puts the record into the listing of changes.
async fn stamped(
    stage: &Stage,
    mut record: Record,
    values: BTreeMap<&'static str, Value>,
) -> Outcome {
    record.modified()?;
    for (field, value) in values {
        stage.wait_after(&record).await;
        let since = stage.time().await?.to_rfc3339();
        let before = record;
        record = stage.change(&before, json!({ field: value })).await?;
        // Customers of this ERP do not have the field.
        if before.value[field].is_null() && record.value[field].is_null() {
            continue;
        }
        for stamp in ["version", "modified"] {
            if record.text(stamp) == before.text(stamp) {
                let text = format!("a change of `{field}` leaves `{stamp}` as it was");
                return Err(record.answer.fails_after(&[&before.answer], text));
            }
        }
        let listing = Listing::of(record.resource).since(since);
        let pages = stage.listed(listing).await?;
        if !pages.iter().any(|page| page.has(record.id())) {
            let text = format!("a change of `{field}` is not in the listing of changes");
            return Err(record.answer.fails(text));
        }
    }
    Ok(())
}

/// Fails unless the record is unchanged.
async fn expect_unchanged(stage: &Stage, record: &Record, answer: &Answer) -> Outcome {
    let now = stage.get(record).await?;
    match now.value == record.value {
        true => Ok(()),
        false => Err(now
            .answer
            .fails_after(&[answer], "the change was refused, and made all the same")),
    }
}

async fn a_stale_version_is_refused(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    stage.wait_after(&made).await;
    stage
        .change(&made, json!({ "name": stage.name("Renamed") }))
        .await?;
    let changed = stage.get(&made).await?;
    let late = stage.patch(&made, json!({ "name": stage.name("Late") }));
    let late = late.await?.expect_error(412, "changed")?;
    expect_unchanged(stage, &changed, &late).await?;
    // Restoring the old value needs the current version as well.
    let back = json!({ "name": made.value["name"] });
    let late = stage.patch(&made, back).await?;
    late.expect_error(412, "changed")?;
    Ok(())
}

async fn one_of_two_changes_at_the_same_time(stage: &Stage) -> Outcome {
    stage.needs("conditionalUpdates")?;
    for _ in 0..3 {
        let made = stage.new_person().await?;
        let changes = (0..5).map(|_| {
            let request = Request::new(Method::PATCH, made.path())
                .with_body(json!({ "name": stage.name("Renamed") }))
                .with_header("If-Match", made.version());
            stage.client.send(request.once())
        });
        let answers = join_all(changes).await.into_iter();
        let answers = answers.collect::<Outcome<Vec<Answer>>>()?;
        let (changed, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 200);
        let wrong = refused
            .iter()
            .find(|answer| !matches!(answer.status, 412 | 429 | 503));
        if let Some(wrong) = wrong {
            return Err(wrong.fails("expected 200, 412, 429 or 503"));
        }
        if let [.., first, last] = changed.as_slice() {
            return Err(last.fails_after(&[first], "two changes of the same version were made"));
        }
    }
    Ok(())
}

async fn a_change_needs_a_version(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    let made = stage.get(&made).await?;
    let request = Request::new(Method::PATCH, made.path());
    let request = request.with_body(json!({ "name": stage.name("Renamed") }));
    let answer = stage.client.send(request.against_the_contract()).await?;
    // 428 is Precondition Required (RFC 6585).
    let answer = answer.expect(&[400, 412, 428])?;
    expect_unchanged(stage, &made, &answer).await
}

async fn null_clears(stage: &Stage) -> Outcome {
    let mut tried = false;
    for nothing in [Value::Null, json!("")] {
        let record = stage.new_person().await?;
        for field in ["email", "phone", "mobile"] {
            if !stage.writes(field) {
                continue;
            }
            tried = true;
            let read = stage.get(&record).await?;
            let answer = stage.patch(&read, json!({ field: nothing })).await?;
            if answer.status == 422 && answer.body["error"]["field"] == field {
                // The ERP requires a value.
                continue;
            }
            let answer = answer.expect(&[200])?;
            let left = answer.body[field].as_str().unwrap_or_default();
            if !left.is_empty() {
                return Err(answer.fails(format!("{nothing} does not clear `{field}`")));
            }
        }
    }
    match tried {
        true => Ok(()),
        false => not_tried("the facade writes no field that can be cleared"),
    }
}

async fn an_address_is_replaced(stage: &Stage) -> Outcome {
    stage.needs_field("address")?;
    let made = stage.new_person().await?;
    let address = json!({
        "line1": "Nygatan 2",
        "postalCode": stage.numbers.postal_code(),
        "city": stage.numbers.city(),
        "country": stage.numbers.country(),
    });
    let changed = stage.change(&made, json!({ "address": address })).await?;
    let second = changed.value["address"]["line2"].as_str();
    match second.unwrap_or_default() {
        "" => Ok(()),
        _ => {
            let text = "`line2` of the old address is left in the new one";
            Err(changed.answer.fails_after(&[&made.answer], text))
        }
    }
}

async fn nothing_changed_is_no_change(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    stage.wait_after(&made).await;
    for field in ["name", "email", "address"] {
        if !stage.writes(field) {
            continue;
        }
        let same = json!({ field: made.value[field] });
        let answer = stage.change(&made, same).await?;
        if answer.value != made.value {
            let text =
                format!("`{field}` was set to what it is, and the record is another one now");
            return Err(answer.answer.fails_after(&[&made.answer], text));
        }
    }
    Ok(())
}

async fn a_contact_moves(stage: &Stage) -> Outcome {
    let (from, to) = (
        stage.new_organisation().await?,
        stage.new_organisation().await?,
    );
    let contact = stage.new_contact(&from).await?;
    let contact = stage.get(&contact).await?;
    let answer = stage
        .patch(&contact, json!({ "company": "no-such-record" }))
        .await?;
    let refused = answer.expect(&[422])?;
    expect_unchanged(stage, &contact, &refused).await?;
    let moved = stage.patch(&contact, json!({ "company": to.id() })).await?;
    if moved.status == 422 {
        return not_tried("this ERP moves no contacts, and says so with 422");
    }
    let moved = moved.expect(&[200])?;
    match moved.body["company"] == to.id() {
        true => Ok(()),
        false => Err(moved.fails("the contact is not at its new organisation")),
    }
}
