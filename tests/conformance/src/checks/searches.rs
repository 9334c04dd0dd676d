//! Searches: every record with the value, and no other.

use serde_json::{Value, json};

use super::checks;
use crate::{
    client::Request,
    stage::{CONTACTS, CUSTOMERS, Record, Stage, new_record, not_tried},
    verdict::Outcome,
};

checks! {
    Searches,
    ids_are_found: "records are found by their ids, each once, and unknown ids are ignored",
    codes_are_compared_as_stated("codeCase"): "a code is compared as `codeCase` says, and never by a prefix",
    emails_are_found_in_any_case: "an e-mail address is found in any case of letters and without blanks around it",
    emails_are_compared_exactly: "an e-mail address is not found by a substring, a pattern, or a letter with another accent",
    all_holders_are_found: "every record with an e-mail address is found: persons, organisations and blocked ones",
    numbers_are_found_in_any_spelling: "an organisation is found by the letters and digits of its VAT number or organisation number",
    numbers_are_compared_exactly: "a number is not found by a substring",
    a_search_is_of_one_resource: "customers and contacts are searched separately, and `kind` and `company` narrow the search",
    a_search_takes_a_hundred_values: "a hundred values are taken, and more are 400",
    a_search_has_one_list: "a search with no list of values, or two, is 400",
}

async fn ids_are_found(stage: &Stage) -> Outcome {
    let (one, two) = (stage.new_person().await?, stage.new_organisation().await?);
    let ids = json!([one.id(), "no-such-record", two.id(), one.id()]);
    let search = json!({ "resource": CUSTOMERS, "ids": ids });
    let answer = stage.expect_found(search, &[&one, &two], "ids").await?;
    let records = answer.body["records"].as_array();
    for made in [&one, &two] {
        let read = stage.get(made).await?;
        let mut records = records.into_iter().flatten();
        let is_same = records.any(|found| found["version"] == read.value["version"]);
        if !is_same {
            return Err(answer.fails_after(&[&read.answer], "a search shows another version"));
        }
    }
    Ok(())
}

async fn codes_are_compared_as_stated(stage: &Stage) -> Outcome {
    let mut values = stage.person();
    values["code"] = json!(stage.code());
    let made = stage.create(CUSTOMERS, &values).await?;
    let code = made.text("code").to_owned();
    let find = |codes: Vec<String>| json!({ "resource": CUSTOMERS, "codes": codes });
    stage
        .expect_found(find(vec![code.clone()]), &[&made], "the code itself")
        .await?;
    let half = code.chars().count().div_ceil(2);
    let half: String = code.chars().take(half).collect();
    let parts = ["%", "*", ".*"].map(|any| format!("{half}{any}"));
    let parts = parts.into_iter().chain([format!("{code}0")]);
    stage
        .expect_found(find(parts.collect()), &[], "patterns and longer codes")
        .await?;
    let other = match code.to_lowercase() == code {
        true => code.to_uppercase(),
        false => code.to_lowercase(),
    };
    if other == code {
        return not_tried("the code has no letters; give --code-prefix");
    }
    let folds = stage.capability("codeCase") == "ignored";
    let due: &[&Record] = if folds { &[&made] } else { &[] };
    let stated = stage.capability("codeCase");
    let promise = format!("{code} as {other}, where `codeCase` is {stated}");
    stage.expect_found(find(vec![other]), due, &promise).await?;
    Ok(())
}

async fn emails_are_found_in_any_case(stage: &Stage) -> Outcome {
    stage.needs_field("email")?;
    let made = stage.new_person().await?;
    let email = made.text("email").to_owned();
    let mut capital = stage.person();
    capital["email"] = json!(stage.email().replace("anna", "Anna.EK"));
    let capital_made = stage.create(CUSTOMERS, &capital).await?;
    let sent = capital["email"].as_str().unwrap_or_default();
    for (spelling, due) in [
        (email.clone(), &made),
        (email.to_uppercase(), &made),
        (format!(" {email} "), &made),
        (sent.to_lowercase(), &capital_made),
        (sent.to_owned(), &capital_made),
    ] {
        let search = json!({ "resource": CUSTOMERS, "emails": [spelling] });
        stage
            .expect_found(search, &[due], "the e-mail address")
            .await?;
    }
    Ok(())
}

async fn emails_are_compared_exactly(stage: &Stage) -> Outcome {
    stage.needs_field("email")?;
    let made = stage.new_person().await?;
    let email = made.text("email").to_owned();
    let (local, domain) = email.split_once('@').unwrap_or((&email, ""));
    let parts = [
        format!("{local}@{}", without_last(domain)),
        format!("x{email}"),
        email.chars().skip(1).collect(),
        format!("{local}%"),
        format!("{local}*"),
        email.replacen('a', "_", 1),
        email.replacen('n', "?", 1),
        email.replacen('a', "å", 1),
    ];
    let search = json!({ "resource": CUSTOMERS, "emails": parts });
    let promise = "substrings, patterns and another accent";
    stage.expect_found(search, &[], promise).await?;
    Ok(())
}

fn without_last(text: &str) -> String {
    let length = text.chars().count();
    text.chars().take(length.saturating_sub(1)).collect()
}

async fn all_holders_are_found(stage: &Stage) -> Outcome {
    stage.needs_field("email")?;
    let email = stage.email();
    let mut holders = Vec::new();
    for (values, spelling) in [
        (stage.person(), email.clone()),
        (stage.person(), email.to_uppercase()),
        (stage.organisation(), email.clone()),
    ] {
        let mut values: Value = values;
        values["email"] = json!(spelling);
        let answer = stage.post(CUSTOMERS, &stage.key(), &values).await?;
        if answer.status == 422 && !holders.is_empty() {
            return not_tried("this ERP does not allow duplicate e-mail addresses (422)");
        }
        let answer = answer.expect(&[201])?;
        holders.push(crate::stage::record(CUSTOMERS, answer));
    }
    // Not every ERP can block a record.
    stage.block(&holders[0], "all").await.ok();
    let all: Vec<&Record> = holders.iter().collect();
    let search = json!({ "resource": CUSTOMERS, "emails": [email, email.to_uppercase()] });
    stage
        .expect_found(search, &all, "all holders, one of them blocked")
        .await?;
    let persons = json!({ "resource": CUSTOMERS, "kind": "person", "emails": [email] });
    stage
        .expect_found(persons, &all[..2], "all persons among them")
        .await?;
    Ok(())
}

/// A new organisation with a number in this field, and the number.
async fn with_number(stage: &Stage, field: &str) -> Outcome<(Record, String)> {
    let pair = stage.numbers.next();
    let number = match field {
        "vatNumber" => pair.vat_number,
        _ => pair.organisation_number,
    };
    let mut values = stage.organisation();
    values[field] = json!(number);
    let answer = stage.post(CUSTOMERS, &stage.key(), &values).await?;
    if answer.status == 422 {
        let country = stage.numbers.country();
        return not_tried(format!(
            "the ERP refuses {number} of {country} in `{field}` alone"
        ));
    }
    let record = new_record(CUSTOMERS, answer)?;
    Ok((record, number))
}

/// The fields of numbers that the facade writes.
fn number_fields(stage: &Stage) -> Outcome<Vec<&'static str>> {
    let fields = ["vatNumber", "organisationNumber"].into_iter();
    let fields: Vec<_> = fields.filter(|field| stage.writes(field)).collect();
    match fields.is_empty() {
        true => not_tried("the facade writes no numbers of organisations"),
        false => Ok(fields),
    }
}

async fn numbers_are_found_in_any_spelling(stage: &Stage) -> Outcome {
    for field in number_fields(stage)? {
        let (made, number) = with_number(stage, field).await?;
        let plain: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
        let middle = plain.len() / 2;
        for spelling in [
            number.clone(),
            plain.clone(),
            plain.to_lowercase(),
            format!("{} {}", &plain[..middle], &plain[middle..]),
            format!("{}-{}", &plain[..middle], &plain[middle..]),
        ] {
            let promise = format!("{number} of `{field}`, spelled {spelling}");
            let search = json!({ "resource": CUSTOMERS, "numbers": [spelling] });
            stage.expect_found(search, &[&made], &promise).await?;
        }
    }
    Ok(())
}

async fn numbers_are_compared_exactly(stage: &Stage) -> Outcome {
    for field in number_fields(stage)? {
        let (made, number) = with_number(stage, field).await?;
        let plain: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
        let parts = [
            plain[1..].to_owned(),
            plain[..plain.len() - 1].to_owned(),
            format!("{plain}0"),
            format!("{}%", &plain[..4]),
        ];
        let promise = format!("parts of {number}, which record {} has", made.id());
        let search = json!({ "resource": CUSTOMERS, "numbers": parts });
        stage.expect_found(search, &[], &promise).await?;
    }
    Ok(())
}

async fn a_search_is_of_one_resource(stage: &Stage) -> Outcome {
    stage.needs_field("email")?;
    let (one, two) = (
        stage.new_organisation().await?,
        stage.new_organisation().await?,
    );
    let email = stage.email();
    let mut at_one = stage.contact(&one);
    at_one["email"] = json!(email);
    let at_one = stage.create(CONTACTS, &at_one).await?;
    let mut at_two = stage.contact(&two);
    at_two["email"] = json!(email);
    let at_two = stage.create(CONTACTS, &at_two).await?;
    let mut person = stage.person();
    person["email"] = json!(email);
    let person = stage.create(CUSTOMERS, &person).await?;
    for (search, due, promise) in [
        (
            json!({ "resource": CUSTOMERS, "emails": [email] }),
            vec![&person],
            "the customer",
        ),
        (
            json!({ "resource": CONTACTS, "emails": [email] }),
            vec![&at_one, &at_two],
            "both contacts",
        ),
        (
            json!({ "resource": CONTACTS, "company": one.id(), "emails": [email] }),
            vec![&at_one],
            "the contact of this organisation",
        ),
        (
            json!({ "resource": CUSTOMERS, "kind": "organisation", "emails": [email] }),
            vec![],
            "no organisation",
        ),
    ] {
        stage.expect_found(search, &due, promise).await?;
    }
    Ok(())
}

async fn a_search_takes_a_hundred_values(stage: &Stage) -> Outcome {
    let made = stage.new_person().await?;
    let values = |count: usize| {
        let nobody = (1..count).map(|number| format!("no-such-record-{number}"));
        let ids: Vec<String> = nobody.chain([made.id().to_owned()]).collect();
        json!({ "resource": CUSTOMERS, "ids": ids })
    };
    stage
        .expect_found(values(100), &[&made], "one of a hundred")
        .await?;
    let request = Request::post("/v1/search", values(101)).against_the_contract();
    stage.client.send(request).await?.expect(&[400])?;
    Ok(())
}

async fn a_search_has_one_list(stage: &Stage) -> Outcome {
    for search in [
        json!({ "resource": CUSTOMERS }),
        json!({ "resource": CUSTOMERS, "ids": [] }),
        json!({ "resource": CUSTOMERS, "ids": ["1"], "codes": ["1"] }),
        json!({ "resource": "nothing", "ids": ["1"] }),
        json!({ "ids": ["1"] }),
    ] {
        let request = Request::post("/v1/search", search).against_the_contract();
        stage.client.send(request).await?.expect(&[400])?;
    }
    Ok(())
}
