//! A person asks the function `operator` and steers with it, as the README says: with `sam remote invoke`, and with the
//! rights that the template gives that function. Both what was asked and what was answered is kept for people.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    SandboxError, io_error,
    passes::{PRICE_LIST, World},
    quiet::Queues,
};
use crate::{local_aws::sandbox_directory, norce_simulator::CodeList};

/// The function, as the template names it.
const FUNCTION: &str = "Operator";
/// Nothing that is waited for here takes this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions about the same.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Where all of it stands in the end.
const TRANSCRIPT: &str = "operator.txt";
/// Customers whose events are lost, and who are looked at again by hand.
const REPLAYED: usize = 3;

/// What was asked and answered, and what was wrong with it.
#[derive(Default)]
pub(super) struct Conversation {
    turns: Mutex<Vec<(Value, Value)>>,
    faults: Mutex<Vec<String>>,
}

impl Conversation {
    /// Asks something.
    pub(super) async fn ask(
        &self,
        world: &World<'_>,
        request: Value,
    ) -> Result<Value, SandboxError> {
        let answer = self.ask_without_note(world, &request).await?;
        self.note(request, answer.clone());
        Ok(answer)
    }

    async fn ask_without_note(
        &self,
        world: &World<'_>,
        request: &Value,
    ) -> Result<Value, SandboxError> {
        let invoked = world
            .deployment
            .invoke(world.sam, world.aws, FUNCTION, request);
        let answer = invoked.await?;
        if answer["summary"].is_string() {
            return Ok(answer);
        }
        Err(SandboxError::Day(format!(
            "operator was asked {request} and answered {answer}"
        )))
    }

    pub(super) fn note(&self, request: Value, answer: Value) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.push((request, answer));
    }

    /// Asks until it is so, and notes the last answer.
    async fn ask_until(
        &self,
        world: &World<'_>,
        request: Value,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, SandboxError> {
        let start = Instant::now();
        loop {
            let answer = self.ask_without_note(world, &request).await?;
            if is_so(&answer) || start.elapsed() > PATIENCE {
                self.expect(is_so(&answer), &request, &answer);
                self.note(request, answer.clone());
                return Ok(answer);
            }
            sleep(INTERVAL).await;
        }
    }

    pub(super) fn expect(&self, is_so: bool, request: &Value, answer: &Value) {
        if !is_so {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.push(format!(
                "operator was asked {request} and answered {answer}"
            ));
        }
    }

    /// What was not as it should be.
    pub(super) fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    /// Each question, with the summary of its answer.
    pub(super) fn lines(&self) -> Vec<String> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = turns.iter().flat_map(|(request, answer)| {
            let summary = answer["summary"].as_str().unwrap_or_default();
            [format!("> {request}"), format!("  {summary}")]
        });
        lines.collect()
    }

    /// Writes everything down in full.
    pub(super) fn save(&self) -> Result<(), SandboxError> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String = turns
            .iter()
            .map(|(request, answer)| format!("> {request}\n{answer:#}\n\n"))
            .collect();
        let file = sandbox_directory().join(TRANSCRIPT);
        fs::write(&file, text).map_err(io_error(format!("{} cannot be written", file.display())))
    }
}

/// The names of the checks that found a fault.
fn faulty(doctor: &Value) -> Vec<&str> {
    let checks = doctor["checks"].as_array().map(Vec::as_slice);
    let checks = checks.unwrap_or_default().iter();
    checks
        .filter(|check| check["ok"] == false)
        .filter_map(|check| check["check"].as_str())
        .collect()
}

/// How long the ERP has been left alone when a person asks about it: long enough for a few probes.
const LEFT_ALONE_FOR: TimeDelta = TimeDelta::seconds(20);

/// Whether the breaker of the ERP has been open for that long.
fn is_left_alone(status: &Value) -> bool {
    let breakers = status["breakers"].as_array().map(Vec::as_slice);
    let mut breakers = breakers.unwrap_or_default().iter();
    breakers.any(|breaker| {
        let since = breaker["since"].as_str();
        let since: Option<DateTime<Utc>> = since.and_then(|since| since.parse().ok());
        breaker["remote"] == "erp/client"
            && breaker["state"] == "open"
            && since.is_some_and(|since| Utc::now() - since >= LEFT_ALONE_FOR)
    })
}

/// While the ERP is down: what waits for it, and what the matter is.
pub(super) async fn during_the_outage(
    world: &World<'_>,
    conversation: &Conversation,
) -> Result<(), SandboxError> {
    conversation
        .ask_until(world, json!({"action": "status"}), |status| {
            is_left_alone(status)
                && status["queues"][0]["waiting"].as_u64() > Some(0)
                && status["queues"][0]["deadLetters"] == 0
        })
        .await?;
    let request = json!({"action": "doctor"});
    let doctor = conversation.ask(world, request.clone()).await?;
    let faulty = faulty(&doctor);
    let is_so = faulty.contains(&"erp client: reachable") && faulty.contains(&"table breakers");
    conversation.expect(is_so, &request, &doctor);
    Ok(())
}

/// Whoever is in the day's way: a customer that the ERP refuses, and one whose code Norce cannot import.
pub(super) struct InTheWay {
    /// The one that the ERP refuses.
    pub(super) refused: i64,
    /// The one whose code cannot be imported.
    pub(super) poisoned: i64,
    /// The one whose data were removed without a word.
    pub(super) scrambled: i64,
    /// The one with a price list that Norce does not have, where the ERP has price lists.
    pub(super) warned: Option<i64>,
}

/// After the day: what is owed is looked at and cleared, lost events are made up for, and everything else is asked once.
pub(super) async fn play(
    world: &World<'_>,
    queues: &Queues,
    conversation: &Conversation,
    in_the_way: &InTheWay,
) -> Result<(), SandboxError> {
    let asked = async |request: Value, is_so: &dyn Fn(&Value) -> bool| {
        let answer = conversation.ask(world, request.clone()).await?;
        conversation.expect(is_so(&answer), &request, &answer);
        Ok::<_, SandboxError>(answer)
    };
    let shop = world.shop;

    // Whether events come is seen from logs that say what happens.
    let has_information = world.log_level.has_information();
    asked(json!({"action": "doctor"}), &|doctor| {
        let mut faulty = faulty(doctor);
        faulty.retain(|check| has_information || !check.starts_with("events about"));
        faulty.is_empty()
            && doctor["checks"].as_array().is_some_and(|checks| {
                let mut details = checks.iter().filter_map(|check| check["detail"].as_str());
                details.any(|detail| detail.contains("it refuses Flags of Customers/Companies"))
            })
    })
    .await?;

    // A poison customer: the ERP's rule goes, and what is owed is tried again at once.
    let refused = format!("customer/client/{}", in_the_way.refused);
    let poisoned = format!("customer/client/{}", in_the_way.poisoned);
    let found = 3 + u64::from(in_the_way.warned.is_some());
    asked(json!({"action": "owed"}), &|owed| owed["found"] == found).await?;
    let explain = json!({"action": "explain", "entity": refused});
    asked(explain.clone(), &|explained| {
        explained["owed"][0]["reason"] == "validation"
            && explained["last"]["events"]
                .as_array()
                .is_some_and(|events| !has_information || !events.is_empty())
    })
    .await?;
    shop.erp.refuse_nothing().await?;
    let retry = json!({"action": "owed", "do": "retry", "subject": refused});
    asked(retry, &|retried| retried["retried"] == 1).await?;
    world.quiet(queues).await?;
    asked(explain, &|explained| {
        explained["mapping"]["state"] == "bound" && explained["owed"] == json!([])
    })
    .await?;
    let dismiss = json!({
        "action": "owed", "do": "dismiss", "subject": poisoned,
        "because": "Norce's support looks into it, ticket 4711",
    });
    asked(dismiss, &|dismissed| dismissed["dismissed"] == 1).await?;

    // A warning of Norce's: the price list is made there, and the next full pass sends the row again.
    if let Some(id) = in_the_way.warned {
        let warned = format!("customer/client/{id}");
        asked(json!({"action": "owed", "reason": "warned"}), &|owed| {
            let detail = owed["owed"][0]["detail"].as_str();
            owed["found"] == 1 && detail.is_some_and(|detail| detail.contains(PRICE_LIST))
        })
        .await?;
        shop.norce.add_code(CodeList::PriceLists, PRICE_LIST, 4_711);
        let retry = json!({"action": "owed", "do": "retry", "subject": warned});
        asked(retry, &|retried| retried["retried"] == 1).await?;
        asked(json!({"action": "pass", "mode": "full"}), &|pass| {
            pass["runs"].as_array().is_some_and(|it| it.len() == 1)
        })
        .await?;
        world.quiet(queues).await?;
        let customer = shop.norce.customer(id);
        if customer.is_none_or(|customer| customer.details.price_lists.is_empty()) {
            let detail = format!("customer {id} was warned about and does not have its price list");
            return Err(SandboxError::Day(detail));
        }
        asked(json!({"action": "owed", "reason": "warned"}), &|owed| {
            owed["found"] == 0
        })
        .await?;
    }

    // Lost events are made up for.
    let since = Utc::now();
    let lost: Vec<_> = shop
        .norce
        .customers()
        .into_iter()
        .filter(|customer| {
            let row = &customer.row;
            row.customer_code.is_some() && row.is_active && !row.is_forgotten
        })
        .take(REPLAYED)
        .collect();
    let set = |chance| {
        shop.norce
            .configure(|settings| settings.events.drop_chance = chance);
    };
    set(1.0);
    let phone = |place: usize| format!("08-333 00 {place:02}");
    for (place, customer) in lost.iter().enumerate() {
        shop.norce.change_customer(customer.row.id, |customer| {
            customer.row.phone_number = Some(phone(place));
        });
    }
    set(0.0);
    let replay = json!({"action": "replay", "since": since, "kind": "customer"});
    asked(replay, &|replayed| replayed["sent"] == REPLAYED).await?;
    world.quiet(queues).await?;
    let register = shop.erp_register().await?;
    for (place, customer) in lost.iter().enumerate() {
        let record = register.with_code(customer.row.customer_code.as_deref().unwrap_or_default());
        let phones: Vec<&str> = record.iter().map(|it| it.details.phone.as_str()).collect();
        if phones != [phone(place)] {
            let id = customer.row.id;
            return Err(SandboxError::Day(format!(
                "the change of customer {id} was replayed, and the ERP has {phones:?}"
            )));
        }
    }

    // What can never be handled.
    queues.send_to_changes("{").await?;
    let count = json!({"action": "dead-letters"});
    conversation
        .ask_until(world, count.clone(), |dead| {
            dead["queues"][0]["deadLetters"] == 1
        })
        .await?;
    let show = json!({"action": "dead-letters", "do": "show", "queue": "changes"});
    asked(show, &|shown| {
        shown["messages"][0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("not a message of this queue"))
    })
    .await?;
    let redrive = json!({"action": "dead-letters", "do": "redrive", "queue": "changes"});
    asked(redrive, &|redriven| redriven["redriven"] == 1).await?;
    conversation
        .ask_until(world, count, |dead| dead["queues"][0]["deadLetters"] == 1)
        .await?;
    queues.take_dead_changes().await?;

    asked(json!({"action": "jobs"}), &|jobs| jobs["jobs"] == json!([])).await?;
    asked(json!({"action": "plan", "mode": "delta"}), &|plan| {
        plan["reports"].as_array().is_some_and(|it| it.len() == 1)
    })
    .await?;
    world.quiet(queues).await?;
    asked(json!({"action": "pass", "mode": "sweep"}), &|pass| {
        pass["runs"].as_array().is_some_and(|it| it.len() == 1)
    })
    .await?;
    world.quiet(queues).await?;

    // Mappings go out and come back.
    let exported = asked(json!({"action": "export-mappings"}), &|exported| {
        exported["lines"].as_u64() > Some(0) && exported.get("next").is_none()
    })
    .await?;
    let import = json!({"action": "import-mappings", "from": exported["into"], "dryRun": true});
    asked(import, &|imported| {
        imported["unchanged"] == exported["lines"]
            && [
                &imported["bound"],
                &imported["conflicts"],
                &imported["invalid"],
            ]
            .iter()
            .all(|count| **count == 0)
    })
    .await?;

    // The one whose data are gone was to be forgotten.
    let forget = json!({"action": "forget", "id": in_the_way.scrambled, "confirm": true});
    asked(forget, &|done| done["forgotten"] == true).await?;

    // Somebody asks by telephone to be forgotten.
    let customer = lost.last().map(|customer| customer.row.id);
    let mut forget = json!({"action": "forget", "id": customer});
    asked(forget.clone(), &|asked| asked["forgotten"] == false).await?;
    forget["confirm"] = json!(true);
    asked(forget, &|done| done["forgotten"] == true).await?;
    asked(json!({"action": "explain", "id": customer}), &|explained| {
        explained["mapping"]["state"] == "forgotten"
    })
    .await?;
    asked(json!({"action": "status"}), &|status| {
        status["owed"]["owed"] == json!({}) && status["queues"][0]["waiting"] == 0
    })
    .await?;
    Ok(())
}
