//! Reading one record.

use reqwest::Method;
use serde_json::json;

use super::checks;
use crate::{
    client::Request,
    stage::{CONTACTS, CUSTOMERS, Record, Stage},
    verdict::Outcome,
};

checks! {
    Records,
    a_record_is_read_as_it_was_answered: "reading shows what the answer to the write showed, with the same `version`",
    an_unknown_id_is_not_found: "every operation on a record that does not exist is answered with 404 `not-found`",
    a_record_is_of_one_resource: "a customer is no contact, and a contact no customer",
}

async fn a_record_is_read_as_it_was_answered(stage: &Stage) -> Outcome {
    let organisation = stage.new_organisation().await?;
    let contact = stage.new_contact(&organisation).await?;
    for made in [stage.new_person().await?, organisation, contact] {
        let read = stage.get(&made).await?;
        if read.value != made.value {
            let text = "the record differs from the answer to its create";
            return Err(read.answer.fails_after(&[&made.answer], text));
        }
    }
    Ok(())
}

async fn an_unknown_id_is_not_found(stage: &Stage) -> Outcome {
    for resource in [CUSTOMERS, CONTACTS] {
        let path = format!("/v1/{resource}/no-such-record");
        let patch =
            Request::new(Method::PATCH, path.clone()).with_body(json!({ "name": "Nobody" }));
        let block = json!({ "extent": "all" });
        for request in [
            Request::get(path.clone()),
            patch.with_header("If-Match", "1"),
            Request::post(format!("{path}/block"), block),
        ] {
            let answer = stage.client.send(request).await?;
            answer.expect_error(404, "not-found")?;
        }
    }
    Ok(())
}

async fn a_record_is_of_one_resource(stage: &Stage) -> Outcome {
    let organisation = stage.new_organisation().await?;
    let contact = stage.new_contact(&organisation).await?;
    let elsewhere = |record: &Record, resource: &str| format!("/v1/{resource}/{}", record.id());
    for (path, record) in [
        (elsewhere(&organisation, CONTACTS), &organisation),
        (elsewhere(&contact, CUSTOMERS), &contact),
    ] {
        let answer = stage.client.send(Request::get(path)).await?;
        // An ERP may use the same ids for both, so that another record has this one.
        let is_other = answer.status == 200 && answer.body["code"] != record.value["code"];
        if !is_other {
            answer.expect_error(404, "not-found")?;
        }
    }
    Ok(())
}
