//! Creating records, also where answers are lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::checks;
use crate::{
    client::{Answer, Request},
    numbers,
    stage::{CONTACTS, CUSTOMERS, Stage, new_record, not_tried, record},
    verdict::Outcome,
};

checks! {
    Creates,
    records_are_created: "a person, an organisation and a contact are created",
    values_are_kept("fields"): "a new record has the values that were sent",
    a_requested_code_is_kept: "a new record has the code that was requested",
    a_code_is_given_once: "a code that another record has is refused with 409 `code-taken`, and nothing is made",
    one_record_for_each_key("idempotentCreates"): "a repeat with the same key is answered with the record, whatever its values are",
    one_record_for_a_key_at_the_same_time("idempotentCreates"): "creates with the same key at the same time make one record",
    one_record_where_the_answer_is_lost("idempotentCreates"): "a create whose connection breaks off makes one record together with its repeat",
    other_keys_are_other_records: "keys that only look alike make a record each",
    one_record_for_each_code: "without `idempotentCreates`, a repeat with the same code makes no second record",
    a_company_that_does_not_exist_is_refused: "a contact of an organisation that does not exist is refused with 422 and the field `company`",
    requests_against_the_contract_make_nothing: "a request that does not keep to the contract is 400, and nothing is made",
    properties_that_are_not_known_are_ignored: "a property of a later minor version does no harm",
}

/// When connections are closed, in milliseconds after the request: before the facade has read it, and while it works.
const BREAKS: [u64; 4] = [1, 5, 20, 60];

/// By then, even a distant facade has received a request whose connection was closed.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// The digits at the end of a telephone number that stay the same with or without a country code.
const SUBSCRIBER: usize = 6;

/// The letters and digits of a value, in lower case: ERPs format telephone numbers and organisation numbers in their own way.
fn plain(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let plain = text.chars().filter(|c| c.is_alphanumeric());
    plain.collect::<String>().to_lowercase()
}

/// If this check fails, many others are skipped.
async fn records_are_created(stage: &Stage) -> Outcome {
    let person = stage.post(CUSTOMERS, &stage.key(), &stage.person()).await?;
    person.expect(&[201])?;
    let values = stage.organisation();
    let organisation = stage.post(CUSTOMERS, &stage.key(), &values).await?;
    let organisation = match organisation.status {
        // Some ERPs require a number for every organisation.
        422 => {
            let values = stage.with_numbers(values);
            stage.post(CUSTOMERS, &stage.key(), &values).await?
        }
        _ => organisation,
    };
    let organisation = new_record(CUSTOMERS, organisation)?;
    let contact = stage.contact(&organisation);
    let contact = stage.post(CONTACTS, &stage.key(), &contact).await?;
    match contact.error_code() {
        Some("no-contacts") if contact.status == 422 => Ok(()),
        _ => contact.expect(&[201]).map(drop),
    }
}

async fn values_are_kept(stage: &Stage) -> Outcome {
    let organisation = stage.new_organisation().await?;
    let mut company = stage.with_numbers(stage.organisation());
    if stage.writes("gln") {
        company["gln"] = json!(numbers::gln());
    }
    let mut sent = vec![(CUSTOMERS, stage.person()), (CUSTOMERS, company)];
    // An ERP may have no contacts.
    if stage.new_contact(&organisation).await.is_ok() {
        sent.push((CONTACTS, stage.contact(&organisation)));
    }
    // Some fields exist for contacts only, and some for customers only.
    let mut lost = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for (resource, values) in sent {
        let answer = stage.post(resource, &stage.key(), &values).await?;
        let answer = answer.expect(&[201])?;
        for (field, sent) in values.as_object().into_iter().flatten() {
            let stored = &answer.body[field];
            if is_kept(field, sent, stored) {
                kept.insert(field.clone());
            } else if stored.is_null() {
                lost.insert(field.clone(), answer.clone());
            } else {
                return Err(answer.fails(format!("`{field}` is {stored} and not {sent}")));
            }
        }
    }
    match lost.iter().find(|(field, _)| !kept.contains(*field)) {
        None => Ok(()),
        Some((field, answer)) => {
            let text =
                format!("`about` lists `{field}` as writable, but the new record does not have it");
            Err(answer.fails(text))
        }
    }
}

/// Whether the value was stored, in whatever format the ERP uses.
fn is_kept(field: &str, sent: &Value, stored: &Value) -> bool {
    match field {
        "kind" | "company" => stored == sent,
        "address" => address_is_kept(sent, stored),
        "code" => true,
        // With or without the country code.
        "phone" | "mobile" => {
            let (sent, stored) = (plain(sent), plain(stored));
            stored.ends_with(&sent[sent.len().saturating_sub(SUBSCRIBER)..])
        }
        _ => plain(stored) == plain(sent),
    }
}

/// An ERP may join parts of an address.
fn address_is_kept(sent: &Value, kept: &Value) -> bool {
    let parts = |address: &Value| -> Vec<String> {
        let parts = address.as_object().into_iter().flatten();
        parts.map(|(_, part)| plain(part)).collect()
    };
    let kept = parts(kept).join(" ");
    parts(sent).iter().all(|part| kept.contains(part))
}

async fn a_requested_code_is_kept(stage: &Stage) -> Outcome {
    let mut values = stage.person();
    let code = stage.code();
    values["code"] = json!(code);
    let answer = stage.post(CUSTOMERS, &stage.key(), &values).await?;
    if stage.is_idempotent() && answer.status == 422 && answer.body["error"]["field"] == "code" {
        return not_tried("this ERP gives codes itself, or others than these (--code-prefix)");
    }
    let answer = answer.expect(&[201])?;
    match answer.body["code"] == code.as_str() {
        true => Ok(()),
        false => Err(answer.fails(format!("the record has another code than {code}"))),
    }
}

async fn a_code_is_given_once(stage: &Stage) -> Outcome {
    let mut first = stage.person();
    let code = stage.code();
    first["code"] = json!(code);
    let first = stage.create(CUSTOMERS, &first).await?;
    let mut second = stage.person();
    second["code"] = json!(code);
    let answer = stage.post(CUSTOMERS, &stage.key(), &second).await?;
    answer.expect_error(409, "code-taken")?;
    let search = json!({ "resource": CUSTOMERS, "codes": [code] });
    stage.expect_found(search, &[&first], "the code").await?;
    expect_holders(stage, &second, 0).await
}

/// Fails unless exactly `due` records have the e-mail address in `values`.
async fn expect_holders(stage: &Stage, values: &Value, due: usize) -> Outcome {
    let Some(email) = values["email"].as_str() else {
        return Ok(());
    };
    let (found, answer) = stage.search(CUSTOMERS, "emails", &[email]).await?;
    match found.len() == due {
        true => Ok(()),
        false => {
            let text = format!("expected {due} records with this e-mail address, found {found:?}");
            Err(answer.fails(text))
        }
    }
}

async fn one_record_for_each_key(stage: &Stage) -> Outcome {
    stage.needs("idempotentCreates")?;
    let organisation = stage.new_organisation().await?;
    for (resource, first, other) in [
        (CUSTOMERS, stage.person(), stage.person()),
        (CUSTOMERS, stage.organisation(), stage.organisation()),
        (
            CONTACTS,
            stage.contact(&organisation),
            stage.contact(&organisation),
        ),
    ] {
        let key = stage.key();
        let made = stage.post(resource, &key, &first).await?;
        let made = made.expect(&[201])?;
        for values in [&first, &other] {
            let repeat = stage.post(resource, &key, values).await?;
            if repeat.status != 200 || repeat.body["id"] != made.body["id"] {
                let text = format!(
                    "a repeat with the same key is not answered with 200 and record {}",
                    made.body["id"]
                );
                return Err(repeat.fails_after(&[&made], text));
            }
        }
        if resource == CUSTOMERS {
            expect_holders(stage, &other, 0).await?;
        }
        // The key is valid for as long as the record exists, also after the record was changed.
        let made = record(resource, made);
        let changed = stage.change(&made, json!({ "name": stage.name("Renamed") }));
        let changed = changed.await?;
        let repeat = stage.post(resource, &key, &first).await?;
        if repeat.body["version"] != changed.value["version"] {
            let text = "a repeat after a change is not answered with the record as it is";
            return Err(repeat.fails_after(&[&changed.answer], text));
        }
    }
    Ok(())
}

async fn one_record_for_a_key_at_the_same_time(stage: &Stage) -> Outcome {
    let values = stage.person();
    let key = stage.key();
    // A 429 or 503 counts as an answer here, so that the five requests stay concurrent.
    let creates = (0..5).map(|_| {
        let request = stage.create_request(CUSTOMERS, &key, &values).once();
        stage.client.send(request)
    });
    let answers = join_all(creates).await.into_iter();
    let answers = answers.collect::<Outcome<Vec<Answer>>>()?;
    let made = answers.iter().filter(|answer| answer.status < 300);
    let ids: BTreeSet<&str> = made
        .inspect(|answer| stage.remember(CUSTOMERS, answer))
        .filter_map(|answer| answer.body["id"].as_str())
        .collect();
    if ids.len() != 1 {
        let all: Vec<&Answer> = answers.iter().collect();
        let (last, earlier) = all.split_last().unwrap_or((&all[0], &[]));
        return Err(last.fails_after(earlier, format!("they made {} records: {ids:?}", ids.len())));
    }
    expect_holders(stage, &values, 1).await
}

async fn one_record_where_the_answer_is_lost(stage: &Stage) -> Outcome {
    stage.needs_field("email")?;
    for milliseconds in BREAKS {
        let values = stage.person();
        let key = stage.key();
        let request = stage.create_request(CUSTOMERS, &key, &values);
        let request = request.abandoned_after(Duration::from_millis(milliseconds));
        // The facade may have answered before the connection was closed.
        if let Ok(answer) = stage.client.send(request).await {
            stage.remember(CUSTOMERS, &answer);
        }
        let repeat = stage.post(CUSTOMERS, &key, &values).await?;
        match stage.is_idempotent() {
            true => repeat.expect(&[200, 201])?,
            false => repeat.expect(&[201, 409])?,
        };
        // A request in flight may still arrive.
        tokio::time::sleep(UNDER_WAY).await;
        expect_holders(stage, &values, 1).await?;
        let (found, _) = stage
            .search(
                CUSTOMERS,
                "emails",
                &[values["email"].as_str().unwrap_or_default()],
            )
            .await?;
        for id in found {
            let made = stage
                .client
                .send(Request::get(format!("/v1/{CUSTOMERS}/{id}")));
            stage.remember(CUSTOMERS, &made.await?);
        }
    }
    Ok(())
}

async fn other_keys_are_other_records(stage: &Stage) -> Outcome {
    let key = stage.key();
    let mut seen = Vec::<Answer>::new();
    for other in [
        key.clone(),
        format!("{key}0"),
        key.replace("customer/", "company/"),
        key.replace("/client/", "/app-1/"),
    ] {
        let answer = stage.post(CUSTOMERS, &other, &stage.person()).await?;
        // An ERP may derive codes from the numbers in the keys.
        if answer.status == 422 && answer.body["error"]["field"] == "code" {
            continue;
        }
        let answer = answer.expect(&[201])?;
        let same = seen
            .iter()
            .find(|seen| seen.body["id"] == answer.body["id"]);
        if let Some(same) = same {
            return Err(answer.fails_after(&[same], "two keys made one record"));
        }
        seen.push(answer);
    }
    Ok(())
}

async fn one_record_for_each_code(stage: &Stage) -> Outcome {
    if stage.is_idempotent() {
        return not_tried("the facade states `idempotentCreates`");
    }
    let values = stage.person();
    let key = stage.key();
    let made = stage.post(CUSTOMERS, &key, &values).await?;
    let made = new_record(CUSTOMERS, made)?;
    let repeat = stage.post(CUSTOMERS, &key, &values).await?;
    let repeat = repeat.expect_error(409, "code-taken")?;
    let shown = &repeat.body["record"];
    if !shown.is_null() && shown["id"] != made.value["id"] {
        return Err(repeat.fails("`record` is another record than the one with the code"));
    }
    expect_holders(stage, &values, 1).await
}

async fn a_company_that_does_not_exist_is_refused(stage: &Stage) -> Outcome {
    let organisation = stage.new_organisation().await?;
    let mut values = stage.contact(&organisation);
    values["company"] = json!("no-such-record");
    let answer = stage.post(CONTACTS, &stage.key(), &values).await?;
    let answer = answer.expect(&[422])?;
    match answer.body["error"]["field"] == "company" {
        true => Ok(()),
        false => Err(answer.fails("the error does not name the field `company`")),
    }
}

async fn requests_against_the_contract_make_nothing(stage: &Stage) -> Outcome {
    let sound = stage.person();
    let without = |field: &str| {
        let mut values = sound.clone();
        if let Some(values) = values.as_object_mut() {
            values.remove(field);
        }
        values
    };
    let with = |field: &str, value: Value| {
        let mut values = sound.clone();
        values[field] = value;
        values
    };
    let key = stage.key();
    for (what, values) in [
        ("no name", without("name")),
        ("an empty name", with("name", json!(""))),
        ("no kind", without("kind")),
        ("an unknown kind", with("kind", json!("robot"))),
        ("a number for a name", with("name", json!(17))),
        ("a list", json!([])),
    ] {
        let request = stage.create_request(CUSTOMERS, &key, &values);
        let answer = stage.client.send(request.against_the_contract()).await?;
        stage.remember(CUSTOMERS, &answer);
        if answer.status != 400 {
            return Err(answer.fails(format!("{what} is not refused with 400")));
        }
    }
    let without_key = Request::post(format!("/v1/{CUSTOMERS}"), sound.clone());
    let answer = stage
        .client
        .send(without_key.against_the_contract())
        .await?;
    stage.remember(CUSTOMERS, &answer);
    if answer.status != 400 {
        return Err(answer.fails("a create without an `Idempotency-Key` is not refused with 400"));
    }
    expect_holders(stage, &sound, 0).await
}

async fn properties_that_are_not_known_are_ignored(stage: &Stage) -> Outcome {
    let mut values = stage.person();
    values["ofALaterVersion"] = json!({ "anything": true });
    let answer = stage.post(CUSTOMERS, &stage.key(), &values).await?;
    let made = new_record(CUSTOMERS, answer)?;
    let changes = json!({ "name": stage.name("Renamed"), "ofALaterVersion": [1] });
    stage.change(&made, changes).await?;
    let search = json!({ "resource": CUSTOMERS, "ids": [made.id()], "ofALaterVersion": 1 });
    stage.expect_found(search, &[&made], "the id").await?;
    Ok(())
}
