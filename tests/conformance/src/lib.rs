//! Tries whether a facade keeps to the HTTP contract of an ERP (`shared/src/erp/http/openapi.yaml`), on records that it makes and
//! removes. It knows the contract, and neither the integration nor any ERP.

mod checks;
mod client;
pub mod contract;
mod numbers;
mod signature;
mod stage;
mod verdict;

use futures_util::future::BoxFuture;
use serde_json::Value;

pub use client::{Credentials, Exchange, Target, Unusable};
pub use verdict::{Checked, Failure, Part, Report, Stop};

use client::Client;
use stage::Stage;

/// Takes the ERP away, or brings it back. `Err`: why it cannot.
pub type Switch = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How the ERP behind a facade is made unavailable.
pub struct Outage {
    /// Takes it away.
    pub begin: Switch,
    /// Brings it back.
    pub end: Switch,
}

/// How a facade is tried.
pub struct Options {
    /// Codes that are requested begin with this. With a letter, so that the case of codes can be tried.
    pub code_prefix: String,
    /// Only checks with this in their name; those of all answers come along.
    pub only: Option<String>,
    /// How the ERP is made unavailable; `None`: outages are not tried.
    pub outage: Option<Outage>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            code_prefix: "T".to_owned(),
            only: None,
            outage: None,
        }
    }
}

/// Tries a facade. `progress` gets every check when it is done.
///
/// # Errors
/// When the facade cannot be asked at all. That it does not answer as it should is part of the report.
pub async fn run(
    target: &Target,
    options: Options,
    mut progress: impl FnMut(&Checked),
) -> Result<Report, Unusable> {
    let mark = token(6).to_lowercase();
    let code_prefix = format!("{}{}", options.code_prefix, token(4));
    let client = Client::new(target, &mark).await?;
    let stage = match Stage::new(client, mark, code_prefix, options.outage).await {
        Ok(stage) => stage,
        Err(Stop::Fails(failure)) if failure.is_without_answer() => {
            return Err(Unusable::NoAnswer(failure.text));
        }
        Err(stop) => return Ok(unanswered(stop, progress)),
    };
    let mut checked = Vec::new();
    for check in checks::all() {
        let name = check.name.replace('_', "-");
        let only = options.only.as_deref();
        if check.part != Part::Answers && only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let outcome = (check.run)(&stage).await;
        let done = Checked {
            part: check.part,
            name,
            promise: check.promise,
            capabilities: check.capabilities,
            outcome,
        };
        progress(&done);
        checked.push(done);
    }
    let left = stage.strike().await;
    let observed = stage.client.observed();
    Ok(Report {
        erp: stage.erp().to_owned(),
        mark: stage.mark().to_owned(),
        capabilities: stage.capabilities().clone(),
        checks: checked,
        left,
        requests: observed.requests,
        mistakes: observed.mistakes,
    })
}

/// Without `about` nothing else can be tried.
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
        left: Vec::new(),
        requests: 1,
        mistakes: Vec::new(),
    }
}

/// Letters and digits that tell this run from others.
fn token(length: usize) -> String {
    let letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789".as_bytes();
    let letter = |_| char::from(letters[fastrand::usize(..letters.len())]);
    (0..length).map(letter).collect()
}
