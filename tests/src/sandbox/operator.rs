//! A person asks the function `operator` and acts through it, as the README describes: with `sam remote invoke`, and
//! with the rights that the template gives that function. The transcript of requests and answers is kept for people.

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
use crate::{
    local_aws::sandbox_directory,
    norce_simulator::{CodeList, CustomerRecord},
};

/// The function, as the template names it.
const FUNCTION: &str = "Operator";
/// Longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// The time between two requests of the same kind.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// The file of the transcript.
const TRANSCRIPT: &str = "operator.txt";
/// Customers whose events are lost, and which a person replays.
const REPLAYED: usize = 3;

/// The requests and answers, and the faults in them.
#[derive(Default)]
pub(super) struct Conversation {
    turns: Mutex<Vec<(Value, Value)>>,
    faults: Mutex<Vec<String>>,
}

impl Conversation {
    /// Sends a request, and notes the answer.
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

    /// Repeats a request until the answer is as expected, and notes the last one.
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

    /// The answers that were not as expected.
    pub(super) fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    /// Each request, with the summary of its answer.
    pub(super) fn lines(&self) -> Vec<String> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = turns.iter().flat_map(|(request, answer)| {
            let summary = answer["summary"].as_str().unwrap_or_default();
            [format!("> {request}"), format!("  {summary}")]
        });
        lines.collect()
    }

    /// Writes the transcript.
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

/// How long calls to the ERP have been paused when a person asks about it: long enough for a few probes.
const PAUSED_FOR: TimeDelta = TimeDelta::seconds(20);

/// Whether the breaker of the ERP has been open for that long.
fn is_paused(status: &Value) -> bool {
    let breakers = status["breakers"].as_array().map(Vec::as_slice);
    let mut breakers = breakers.unwrap_or_default().iter();
    breakers.any(|breaker| {
        let since = breaker["since"].as_str();
        let since: Option<DateTime<Utc>> = since.and_then(|since| since.parse().ok());
        breaker["remote"] == "erp/client"
            && breaker["state"] == "open"
            && since.is_some_and(|since| Utc::now() - since >= PAUSED_FOR)
    })
}

/// While the ERP is down: `status` shows what waits for it, and `doctor` names the fault.
pub(super) async fn during_the_outage(
    world: &World<'_>,
    conversation: &Conversation,
) -> Result<(), SandboxError> {
    conversation
        .ask_until(world, json!({"action": "status"}), |status| {
            is_paused(status)
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

/// Customers that the day leaves with something for a person to do.
pub(super) struct InTheWay {
    /// The ERP refuses it.
    pub(super) refused: i64,
    /// Norce cannot import its code.
    pub(super) poisoned: i64,
    /// Norce removed its data without saying that it is forgotten.
    pub(super) scrambled: i64,
    /// Its price list is not in Norce; `None`: the ERP has no price lists.
    pub(super) warned: Option<i64>,
}

/// A person at `operator` after the day.
struct Operator<'a> {
    world: &'a World<'a>,
    queues: &'a Queues,
    conversation: &'a Conversation,
}

/// After the day: owed records are read and cleared, lost events are made up for, and everything else is asked once.
pub(super) async fn play(
    world: &World<'_>,
    queues: &Queues,
    conversation: &Conversation,
    in_the_way: &InTheWay,
) -> Result<(), SandboxError> {
    let operator = Operator {
        world,
        queues,
        conversation,
    };
    operator.asks_the_doctor().await?;
    operator.clears_what_is_owed(in_the_way).await?;
    if let Some(id) = in_the_way.warned {
        operator.clears_the_warning_about(id).await?;
    }
    let replayed = operator.replays_lost_events().await?;
    operator.handles_a_dead_letter().await?;
    operator.starts_a_plan_and_a_sweep().await?;
    operator.exports_and_imports_mappings().await?;
    let on_request = replayed.last().map(|customer| customer.row.id);
    operator.forgets(in_the_way.scrambled, on_request).await
}

impl Operator<'_> {
    /// Asks, and notes a fault unless the answer is as it should be.
    async fn ask(
        &self,
        request: Value,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, SandboxError> {
        let conversation = self.conversation;
        let answer = conversation.ask(self.world, request.clone()).await?;
        conversation.expect(is_so(&answer), &request, &answer);
        Ok(answer)
    }

    async fn asks_the_doctor(&self) -> Result<(), SandboxError> {
        // Only logs at the level INFO show whether events arrive.
        let has_information = self.world.log_level.has_information();
        self.ask(json!({"action": "doctor"}), |doctor| {
            let mut faulty = faulty(doctor);
            faulty.retain(|check| has_information || !check.starts_with("events about"));
            faulty.is_empty()
                && doctor["checks"].as_array().is_some_and(|checks| {
                    let mut details = checks.iter().filter_map(|check| check["detail"].as_str());
                    details.any(|detail| detail.contains("it refuses Flags of Customers/Companies"))
                })
        })
        .await?;
        Ok(())
    }

    /// The ERP's rule goes, and the customer that it refused is tried again at once; the one whose code Norce cannot import
    /// is dismissed.
    async fn clears_what_is_owed(&self, in_the_way: &InTheWay) -> Result<(), SandboxError> {
        let has_information = self.world.log_level.has_information();
        let refused = format!("customer/client/{}", in_the_way.refused);
        let poisoned = format!("customer/client/{}", in_the_way.poisoned);
        let found = 3 + u64::from(in_the_way.warned.is_some());
        self.ask(json!({"action": "owed"}), |owed| owed["found"] == found)
            .await?;
        let explain = json!({"action": "explain", "entity": refused});
        self.ask(explain.clone(), |explained| {
            explained["owed"][0]["reason"] == "validation"
                && explained["last"]["events"]
                    .as_array()
                    .is_some_and(|events| !has_information || !events.is_empty())
        })
        .await?;
        self.world.shop.erp.refuse_nothing().await?;
        let retry = json!({"action": "owed", "do": "retry", "subject": refused});
        self.ask(retry, |retried| retried["retried"] == 1).await?;
        self.world.quiet(self.queues).await?;
        self.ask(explain, |explained| {
            explained["mapping"]["state"] == "bound" && explained["owed"] == json!([])
        })
        .await?;
        let dismiss = json!({
            "action": "owed", "do": "dismiss", "subject": poisoned,
            "because": "Norce's support looks into it, ticket 4711",
        });
        self.ask(dismiss, |dismissed| dismissed["dismissed"] == 1)
            .await?;
        Ok(())
    }

    /// Norce warned about a price list that it does not have: it is made there, and the next full pass sends the row again.
    async fn clears_the_warning_about(&self, id: i64) -> Result<(), SandboxError> {
        let norce = &self.world.shop.norce;
        let warned = format!("customer/client/{id}");
        self.ask(json!({"action": "owed", "reason": "warned"}), |owed| {
            let detail = owed["owed"][0]["detail"].as_str();
            owed["found"] == 1 && detail.is_some_and(|detail| detail.contains(PRICE_LIST))
        })
        .await?;
        norce.add_code(CodeList::PriceLists, PRICE_LIST, 4_711);
        let retry = json!({"action": "owed", "do": "retry", "subject": warned});
        self.ask(retry, |retried| retried["retried"] == 1).await?;
        self.ask(json!({"action": "pass", "mode": "full"}), |pass| {
            pass["runs"].as_array().is_some_and(|it| it.len() == 1)
        })
        .await?;
        self.world.quiet(self.queues).await?;
        let customer = norce.customer(id);
        if customer.is_none_or(|customer| customer.details.price_lists.is_empty()) {
            let detail = format!("customer {id} was warned about and does not have its price list");
            return Err(SandboxError::Day(detail));
        }
        self.ask(json!({"action": "owed", "reason": "warned"}), |owed| {
            owed["found"] == 0
        })
        .await?;
        Ok(())
    }

    /// Customers change while Norce posts no events, and are then replayed. Returns them as they were before.
    async fn replays_lost_events(&self) -> Result<Vec<CustomerRecord>, SandboxError> {
        let shop = self.world.shop;
        let since = Utc::now();
        let customers = shop.norce.customers().into_iter();
        let lost = customers.filter(|customer| {
            let row = &customer.row;
            row.customer_code.is_some() && row.is_active && !row.is_forgotten
        });
        let lost: Vec<_> = lost.take(REPLAYED).collect();
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
        self.ask(replay, |replayed| replayed["sent"] == REPLAYED)
            .await?;
        self.world.quiet(self.queues).await?;
        let register = shop.erp_register().await?;
        for (place, customer) in lost.iter().enumerate() {
            let code = customer.row.customer_code.as_deref();
            let record = register.with_code(code.unwrap_or_default());
            let phones: Vec<&str> = record.iter().map(|it| it.details.phone.as_str()).collect();
            if phones != [phone(place)] {
                let id = customer.row.id;
                return Err(SandboxError::Day(format!(
                    "the change of customer {id} was replayed, and the ERP has {phones:?}"
                )));
            }
        }
        Ok(lost)
    }

    /// A message that can never be handled: it is a dead letter, also after it was sent again.
    async fn handles_a_dead_letter(&self) -> Result<(), SandboxError> {
        self.queues.send_to_changes("{").await?;
        let count = json!({"action": "dead-letters"});
        let is_dead = |dead: &Value| dead["queues"][0]["deadLetters"] == 1;
        let conversation = self.conversation;
        conversation
            .ask_until(self.world, count.clone(), is_dead)
            .await?;
        let show = json!({"action": "dead-letters", "do": "show", "queue": "changes"});
        self.ask(show, |shown| {
            shown["messages"][0]["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("not a message of this queue"))
        })
        .await?;
        let redrive = json!({"action": "dead-letters", "do": "redrive", "queue": "changes"});
        self.ask(redrive, |redriven| redriven["redriven"] == 1)
            .await?;
        conversation.ask_until(self.world, count, is_dead).await?;
        self.queues.take_dead_changes().await?;
        Ok(())
    }

    async fn starts_a_plan_and_a_sweep(&self) -> Result<(), SandboxError> {
        self.ask(json!({"action": "jobs"}), |jobs| jobs["jobs"] == json!([]))
            .await?;
        self.ask(json!({"action": "plan", "mode": "delta"}), |plan| {
            plan["reports"].as_array().is_some_and(|it| it.len() == 1)
        })
        .await?;
        self.world.quiet(self.queues).await?;
        self.ask(json!({"action": "pass", "mode": "sweep"}), |pass| {
            pass["runs"].as_array().is_some_and(|it| it.len() == 1)
        })
        .await?;
        self.world.quiet(self.queues).await
    }

    async fn exports_and_imports_mappings(&self) -> Result<(), SandboxError> {
        let export = json!({"action": "export-mappings"});
        let exported = self
            .ask(export, |exported| {
                exported["lines"].as_u64() > Some(0) && exported.get("next").is_none()
            })
            .await?;
        let import = json!({"action": "import-mappings", "from": exported["into"], "dryRun": true});
        self.ask(import, |imported| {
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
        Ok(())
    }

    /// Forgets the customer whose data Norce removed without saying so, and one that asks for it by telephone. Nothing is
    /// owed and nothing waits after that.
    async fn forgets(&self, scrambled: i64, on_request: Option<i64>) -> Result<(), SandboxError> {
        let forget = json!({"action": "forget", "id": scrambled, "confirm": true});
        self.ask(forget, |done| done["forgotten"] == true).await?;
        let mut forget = json!({"action": "forget", "id": on_request});
        self.ask(forget.clone(), |asked| asked["forgotten"] == false)
            .await?;
        forget["confirm"] = json!(true);
        self.ask(forget, |done| done["forgotten"] == true).await?;
        let explain = json!({"action": "explain", "id": on_request});
        self.ask(explain, |explained| {
            explained["mapping"]["state"] == "forgotten"
        })
        .await?;
        self.ask(json!({"action": "status"}), |status| {
            status["owed"]["owed"] == json!({}) && status["queues"][0]["waiting"] == 0
        })
        .await?;
        Ok(())
    }
}
