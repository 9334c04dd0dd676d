//! Checks a facade against the HTTP contract of an ERP (`shared/src/erp/http/openapi.yaml`), with test records that it creates and
//! removes. It depends on the contract only, not on the integration or an ERP.

mod checks;
mod cleanup;
mod client;
mod connection;
pub mod contract;
mod numbers;
mod signature;
mod stage;
mod verdict;

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt as _, future::BoxFuture};
use serde_json::Value;

pub use client::{Credentials, Exchange, Target, Unusable};
pub use verdict::{Checked, Failure, Left, Part, Report, Stop};

use checks::Check;
use client::Client;
use stage::Stage;

/// Stops or starts the ERP. `Err`: why it failed.
pub type Switch = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How the ERP behind a facade is made unavailable.
pub struct Outage {
    /// Stops it.
    pub begin: Switch,
    /// Starts it.
    pub end: Switch,
}

/// How a facade is checked.
pub struct Options {
    /// A part of the name of every test record, unique to the run.
    pub mark: String,
    /// The prefix of requested codes. A letter in it lets the case of codes be checked.
    pub code_prefix: String,
    /// The domain of all e-mail addresses.
    pub email_domain: String,
    /// Run only the checks with this in their name, and those of all answers.
    pub only: Option<String>,
    /// How the ERP is stopped; `None`: outages are not checked.
    pub outage: Option<Outage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mark: token(LETTERS, 6).to_lowercase(),
            code_prefix: "T".to_owned(),
            // Reserved for examples (RFC 2606 §3).
            email_domain: "example.com".to_owned(),
            only: None,
            outage: None,
        }
    }
}

/// Checks a facade. `progress` is called after every check. When `stop` completes, the current check is cancelled and the test
/// records are removed.
///
/// # Errors
/// When the facade cannot be reached, or an option is invalid. Wrong answers are part of the report.
pub async fn run(
    target: &Target,
    mut options: Options,
    mut progress: impl FnMut(&Checked),
    stop: impl Future<Output = ()>,
) -> Result<Report, Unusable> {
    let only = options.only.take();
    let checks = chosen(only.as_deref())?;
    // A prefix of digits is for an ERP whose codes have no letters.
    let has_letters = options.code_prefix.chars().any(char::is_alphabetic);
    let alphabet = if has_letters { LETTERS } else { DIGITS };
    options.code_prefix.push_str(&token(alphabet, 4));
    let client = Client::new(target, &options.mark).await?;
    let stage = match Stage::new(client, options).await {
        Ok(stage) if stage.is_read_only() => return Err(Unusable::ReadOnly),
        Ok(stage) => stage,
        Err(Stop::Fails(failure)) if failure.is_without_answer() => {
            return Err(Unusable::NoAnswer(failure.text));
        }
        Err(stop) => return Ok(unanswered(stop, progress)),
    };
    let mut checked = Vec::new();
    let mut stop = std::pin::pin!(stop);
    let mut is_stopped = false;
    for (name, check) in checks {
        // A panic is a bug in the suite, but the test records must still be removed.
        let run = AssertUnwindSafe((check.run)(&stage)).catch_unwind();
        let outcome = tokio::select! {
            biased;
            () = &mut stop => {
                is_stopped = true;
                break;
            }
            outcome = run => outcome.unwrap_or_else(|_| Err(Stop::Fails(panicked()))),
        };
        let done = Checked {
            part: check.part,
            name,
            promise: check.promise,
            capabilities: check.capabilities,
            outcome,
        };
        progress(&done);
        checked.push(done);
        if stage.client.is_gone() {
            let gone = gone();
            progress(&gone);
            checked.push(gone);
            break;
        }
    }
    let left = stage.clean_up().await;
    let observed = stage.client.observed();
    Ok(Report {
        erp: stage.erp().to_owned(),
        mark: stage.mark().to_owned(),
        capabilities: stage.capabilities().clone(),
        checks: checked,
        is_stopped,
        left,
        requests: observed.requests,
        mistakes: observed.mistakes,
    })
}

/// The checks with this in their name, and those of all answers.
fn chosen(only: Option<&str>) -> Result<Vec<(String, &'static Check)>, Unusable> {
    let only = only.map(|only| only.replace('_', "-").to_lowercase());
    let named = || checks::all().map(|check| (check.name.replace('_', "-"), check));
    let is_chosen = |name: &str| only.as_ref().is_none_or(|only| name.contains(only));
    if !named().any(|(name, _)| is_chosen(&name)) {
        let names: Vec<String> = named().map(|(name, _)| name).collect();
        return Err(Unusable::NoSuchCheck {
            only: only.unwrap_or_default(),
            names: names.join(", "),
        });
    }
    let chosen = named().filter(|(name, check)| check.part == Part::Answers || is_chosen(name));
    Ok(chosen.collect())
}

/// The report where `about` failed: every other check depends on it.
fn unanswered(stop: Stop, mut progress: impl FnMut(&Checked)) -> Report {
    let about = Checked {
        part: Part::Facade,
        name: "about-is-answered".to_owned(),
        promise: "`GET /v1/about` says what the facade can do",
        capabilities: &[],
        outcome: Err(stop),
    };
    progress(&about);
    Report {
        erp: "the facade".to_owned(),
        mark: String::new(),
        capabilities: Value::Null,
        checks: vec![about],
        is_stopped: false,
        left: Vec::new(),
        requests: 1,
        mistakes: Vec::new(),
    }
}

/// The failure that ends a run early.
fn gone() -> Checked {
    let text = "several requests in a row were not answered; the remaining checks were skipped";
    Checked {
        part: Part::Facade,
        name: "the-facade-goes-on-answering".to_owned(),
        promise: "the facade answers",
        capabilities: &[],
        outcome: Err(Stop::Fails(Failure::without_exchange(text.to_owned()))),
    }
}

fn panicked() -> Failure {
    let text = "the suite itself panicked, as shown above; please report it";
    Failure::without_exchange(text.to_owned())
}

/// Letters and digits that cannot be confused.
const LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Digits alone.
const DIGITS: &str = "0123456789";

/// A random text of these letters.
fn token(alphabet: &str, length: usize) -> String {
    let letters = alphabet.as_bytes();
    let letter = |_| char::from(letters[fastrand::usize(..letters.len())]);
    (0..length).map(letter).collect()
}
