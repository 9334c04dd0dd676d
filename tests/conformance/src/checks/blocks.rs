//! Blocking records.

use chrono::TimeDelta;
use serde_json::json;

use super::checks;
use crate::{
    client::Request,
    stage::{CUSTOMERS, Listing, Stage},
    verdict::Outcome,
};

checks! {
    Blocks,
    a_blocked_record_is_closed: "`all` closes a record, which is read, listed and found as before",
    a_repeat_of_a_block_changes_nothing: "a record that is blocked already keeps its `version`",
    an_extent_is_invoice_or_all: "`invoice` is taken, and an unknown extent is 400",
}

async fn a_blocked_record_is_closed(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    stage.wait_after(&made).await;
    let blocked = stage.block(&made, "all").await?;
    if blocked.value["blocked"] != true {
        return Err(blocked.answer.fails("the record is not blocked"));
    }
    for stamp in ["version", "modified"] {
        if blocked.value[stamp] == made.value[stamp] && made.value[stamp].is_string() {
            let text = format!("the block leaves `{stamp}` as it was");
            return Err(blocked.answer.fails_after(&[&made.answer], text));
        }
    }
    let read = stage.get(&made).await?;
    if read.value["blocked"] != true {
        return Err(read
            .answer
            .fails("the record is not blocked when it is read"));
    }
    let search = json!({ "resource": CUSTOMERS, "ids": [made.id()] });
    stage
        .expect_found(search, &[&made], "a blocked record")
        .await?;
    let since = (read.modified()? - TimeDelta::seconds(2)).to_rfc3339();
    let pages = stage.listed(Listing::of(CUSTOMERS).since(since));
    match pages.await?.iter().any(|page| page.has(made.id())) {
        true => Ok(()),
        false => Err(blocked.answer.fails("the blocked record is not listed")),
    }
}

async fn a_repeat_of_a_block_changes_nothing(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    let blocked = stage.block(&made, "all").await?;
    stage.wait_after(&blocked).await;
    let again = stage.block(&made, "all").await?;
    match again.value == blocked.value {
        true => Ok(()),
        false => {
            let text = "blocking a blocked record changed it";
            Err(again.answer.fails_after(&[&blocked.answer], text))
        }
    }
}

async fn an_extent_is_invoice_or_all(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    stage.block(&made, "invoice").await?;
    let body = json!({ "extent": "nothing" });
    let request = Request::post(format!("{}/block", made.path()), body);
    let answer = stage.client.send(request.against_the_contract()).await?;
    answer.expect(&[400])?;
    Ok(())
}
