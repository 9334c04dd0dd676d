//! The facade itself: its clock, credentials and paths.

use chrono::TimeDelta;
use serde_json::json;

use super::checks;
use crate::{
    client::{Authorization, Request},
    stage::{CUSTOMERS, Listing, Stage},
    verdict::Outcome,
};

checks! {
    Facade,
    the_clock_stamps_changes: "`time` is the clock that stamps `modified`",
    nobody_reads_without_the_key: "a request with a wrong key, or none, is refused",
    an_unknown_company_is_refused: "an `Erp-Company` that the facade does not have is 403, and no empty register",
    an_unknown_path_is_no_missing_record: "only a missing record is answered with `not-found`",
}

/// ERPs stamp with a precision of a second or better.
const PRECISION: TimeDelta = TimeDelta::seconds(1);

async fn the_clock_stamps_changes(stage: &Stage) -> Outcome {
    let before = stage.time().await?;
    let person = stage.new_person().await?;
    let after = stage.time().await?;
    let modified = person.modified()?;
    let fits = before - PRECISION <= modified && modified <= after + PRECISION;
    match fits {
        true => Ok(()),
        false => Err(person.answer.fails(format!(
            "`time` was {before} before and {after} after the create, and `modified` is {modified}"
        ))),
    }
}

async fn nobody_reads_without_the_key(stage: &Stage) -> Outcome {
    let search = json!({ "resource": CUSTOMERS, "ids": ["1"] });
    for request in [
        Request::get("/v1/about"),
        Listing::of(CUSTOMERS).limit(1).request(None),
        Request::post("/v1/search", search),
    ] {
        for authorization in [Authorization::Missing, Authorization::Wrong] {
            let request = request.clone().with_authorization(authorization);
            let answer = stage.client.send(request).await?;
            let what = format!("{authorization:?} credentials").to_lowercase();
            if !matches!(answer.status, 401 | 403) {
                return Err(answer.fails(format!("{what} are not refused with 401 or 403")));
            }
        }
    }
    Ok(())
}

async fn an_unknown_company_is_refused(stage: &Stage) -> Outcome {
    let person = stage.new_person().await?;
    let search = json!({ "resource": CUSTOMERS, "ids": [person.id()] });
    for request in [
        Request::get("/v1/about"),
        Request::get(person.path()),
        Listing::of(CUSTOMERS).limit(1).request(None),
        Request::post("/v1/search", search),
    ] {
        let request = request.with_header("Erp-Company", "no-such-company");
        stage.client.send(request).await?.expect(&[403])?;
    }
    Ok(())
}

async fn an_unknown_path_is_no_missing_record(stage: &Stage) -> Outcome {
    let person = stage.new_person().await?;
    for path in [
        format!("/v1/nothing/{}", person.id()),
        format!("/v0/customers/{}", person.id()),
        format!("{}/nothing", person.path()),
    ] {
        let answer = stage
            .client
            .send(Request::get(path).against_the_contract())
            .await?;
        if answer.status < 400 {
            return Err(answer.fails("an unknown path is answered as if it existed"));
        }
        if answer.error_code() == Some("not-found") {
            let text = "an unknown path looks like a missing record";
            return Err(answer.fails(text));
        }
    }
    Ok(())
}
