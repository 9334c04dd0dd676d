//! An unavailable ERP. Checked only where the suite can stop the ERP.

use std::time::Duration;

use serde_json::json;

use super::checks;
use crate::{
    Outage,
    client::{Answer, Request},
    stage::{CUSTOMERS, Listing, Stage, record},
    verdict::{Failure, Outcome, Stop},
};

checks! {
    Outages,
    an_outage_is_no_answer_about_records: "while the ERP is unavailable, no record is `not-found`, and no listing or search is empty",
    work_goes_on_after_an_outage: "after the outage records are unchanged, and a create is carried out once",
}

/// How long the ERP may take to start.
const TO_RETURN: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_secs(2);

fn outage(stage: &Stage) -> Outcome<&Outage> {
    let outage = stage.outage.as_ref();
    outage.ok_or_else(|| {
        let text =
            "it needs --stop-erp and --start-erp, shell commands that stop and start the ERP";
        Stop::NotTried(text.to_owned())
    })
}

/// Stops the ERP, awaits `asked`, and starts the ERP again whatever the outcome.
async fn during<T>(
    stage: &Stage,
    outage: &Outage,
    asked: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    stage.begin_outage(outage).await?;
    let outcome = asked.await;
    if let Some(stop) = stage.end_outage().await {
        return outcome.and(Err(stop));
    }
    let give_up = tokio::time::Instant::now() + TO_RETURN;
    while tokio::time::Instant::now() < give_up {
        let asked = Listing::of(CUSTOMERS).limit(1).request(None).once();
        let answer = stage.client.send(asked).await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            return outcome;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let text = format!("the ERP is not back after {} s", TO_RETURN.as_secs());
    outcome.and(Err(Stop::Fails(Failure::without_exchange(text))))
}

/// Fails unless the answer reports an outage. No answer at all reports one as well.
fn says_that_it_is_down(answer: Result<Answer, Stop>) -> Outcome {
    match answer {
        Ok(answer) if answer.status >= 500 || answer.status == 429 => Ok(()),
        Ok(answer) => Err(answer
            .fails("the ERP is stopped, but the answer does not report an outage: expected 503")),
        Err(_) => Ok(()),
    }
}

async fn an_outage_is_no_answer_about_records(stage: &Stage) -> Outcome {
    let outage = outage(stage)?;
    let made = stage.new_person().await?;
    let search = json!({ "resource": CUSTOMERS, "ids": [made.id()] });
    let asked = async {
        for request in [
            Request::get(made.path()),
            Listing::of(CUSTOMERS).request(None),
            Request::post("/v1/search", search),
            stage.create_request(CUSTOMERS, &stage.key(), &stage.person()),
            Request::new(reqwest::Method::PATCH, made.path())
                .with_body(json!({ "name": stage.name("Renamed") }))
                .with_header("If-Match", made.version()),
            Request::post(format!("{}/block", made.path()), json!({ "extent": "all" })),
        ] {
            says_that_it_is_down(stage.client.send(request.once()).await)?;
        }
        Ok(())
    };
    during(stage, outage, asked).await
}

async fn work_goes_on_after_an_outage(stage: &Stage) -> Outcome {
    let outage = outage(stage)?;
    let made = stage.new_person().await?;
    let (key, values) = (stage.key(), stage.person());
    let create = stage.create_request(CUSTOMERS, &key, &values);
    // The outcome does not matter: the repeat below decides.
    let asked = async { Ok(stage.client.send(create.once()).await.ok()) };
    during(stage, outage, asked).await?;
    let read = stage.get(&made).await?;
    if read.value != made.value {
        let text = "the record is another one after the outage";
        return Err(read.answer.fails_after(&[&made.answer], text));
    }
    let repeat = stage.post(CUSTOMERS, &key, &values).await?;
    let repeat = repeat.expect(&[200, 201])?;
    let created = record(CUSTOMERS, repeat);
    let email = &values["email"];
    if email.is_string() {
        let search = json!({ "resource": CUSTOMERS, "emails": [email] });
        let due = [&created];
        let found = stage.expect_found(search, &due, "the create of the outage");
        found.await.map_err(|stop| match stop {
            Stop::Fails(Failure { exchanges, .. }) => Stop::Fails(Failure {
                text: "the create during the outage and its repeat made two records".to_owned(),
                exchanges,
            }),
            other => other,
        })?;
    }
    Ok(())
}
