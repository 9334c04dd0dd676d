//! Removing records, where the facade can.

use serde_json::json;

use super::checks;
use crate::{
    client::Request,
    stage::{CUSTOMERS, Listing, Stage, new_record},
    verdict::Outcome,
};

checks! {
    Removals,
    a_removed_record_is_gone("deletes"): "a removed record is `not-found`, and searches and listings omit it",
    an_id_is_never_used_again("deletes"): "a record that is made after a removal has another id",
    a_removed_record_is_created_again("deletes"): "a repeat with the key of a removed record makes one, or says why not",
    an_organisation_with_contacts_is_in_use("deletes"): "an organisation with contacts is not removed",
}

async fn a_removed_record_is_gone(stage: &Stage) -> Outcome {
    stage.needs("deletes")?;
    let made = stage.new_person().await?;
    let since = made.modified()?.to_rfc3339();
    stage.remove(&made).await?.expect(&[204])?;
    let read = stage.client.send(Request::get(made.path())).await?;
    read.expect_error(404, "not-found")?;
    for (what, value) in [("ids", "id"), ("codes", "code"), ("emails", "email")] {
        if made.value[value].is_string() {
            let search = json!({ "resource": CUSTOMERS, what: [made.value[value]] });
            stage.expect_found(search, &[], "a removed record").await?;
        }
    }
    let pages = stage.listed(Listing::of(CUSTOMERS).since(since));
    if pages.await?.iter().any(|page| page.has(made.id())) {
        return Err(made.answer.fails("the removed record is listed"));
    }
    let again = stage.remove(&made).await?;
    again.expect_error(404, "not-found")?;
    Ok(())
}

async fn an_id_is_never_used_again(stage: &Stage) -> Outcome {
    stage.needs("deletes")?;
    let made = stage.new_person().await?;
    stage.remove(&made).await?.expect(&[204])?;
    let next = stage.new_person().await?;
    match next.id() == made.id() {
        false => Ok(()),
        true => {
            let text = "the next record has the id of the removed one";
            Err(next.answer.fails_after(&[&made.answer], text))
        }
    }
}

async fn a_removed_record_is_created_again(stage: &Stage) -> Outcome {
    stage.needs("deletes")?;
    let (key, values) = (stage.key(), stage.person());
    let made = stage.post(CUSTOMERS, &key, &values).await?;
    let made = new_record(CUSTOMERS, made)?;
    stage.remove(&made).await?.expect(&[204])?;
    let again = stage.post(CUSTOMERS, &key, &values).await?;
    let again = again.expect(&[201, 409, 422])?;
    match again.body["id"] == made.id() {
        false => Ok(()),
        true => Err(again.fails_after(&[&made.answer], "the record that was removed is answered")),
    }
}

async fn an_organisation_with_contacts_is_in_use(stage: &Stage) -> Outcome {
    stage.needs("deletes")?;
    let organisation = stage.new_organisation().await?;
    let contact = stage.new_contact(&organisation).await?;
    let answer = stage.remove(&organisation).await?;
    if answer.status == 204 {
        let text = "the organisation of a contact was removed";
        return Err(answer.fails_after(&[&contact.answer], text));
    }
    answer.expect_error(409, "in-use")?;
    stage.get(&organisation).await?;
    Ok(())
}
