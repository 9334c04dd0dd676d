//! Findings over all answers of a run. These checks come last.

use super::checks;
use crate::{
    stage::Stage,
    verdict::{Failure, Outcome, Stop},
};

checks! {
    Answers,
    answers_keep_to_the_contract: "every answer fits its schema",
    errors_have_no_personal_data: "no error repeats a name or an e-mail address",
}

/// One failure of many.
fn all(failures: Vec<Failure>) -> Outcome {
    if failures.is_empty() {
        return Ok(());
    }
    let texts: Vec<&str> = failures.iter().map(|one| one.text.as_str()).collect();
    Err(Stop::Fails(Failure {
        text: texts.join("\n    "),
        exchanges: failures
            .iter()
            .flat_map(|one| one.exchanges.clone())
            .collect(),
    }))
}

async fn answers_keep_to_the_contract(stage: &Stage) -> Outcome {
    all(stage.client.observed().misfits)
}

async fn errors_have_no_personal_data(stage: &Stage) -> Outcome {
    all(stage.client.observed().personal)
}
