//! A real Odoo 19 with its own PostgreSQL (erp-apis §2.2), for as long as the value lives; and what is written to it, for a
//! proxy in front of it.

mod front;

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

pub use self::front::BehindFront;
use crate::{
    local_aws::{LocalAwsError, Progress, Tools},
    norce_simulator::loopback_client,
};

const RUN_ODOO: &str = include_str!("run_odoo.py");
/// How long it may take to end before it is left to itself; its standard input is closed by then.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Odoo cannot be had, and what to do about it.
#[derive(Debug, Error)]
pub enum OdooError {
    /// Its Python environment.
    #[error(transparent)]
    Tools(#[from] LocalAwsError),
    /// Odoo cannot be installed or does not start.
    #[error("Odoo cannot be had: {0}")]
    Unavailable(String),
}

/// Where it answers, and how to get in.
#[derive(Debug, Clone, Deserialize)]
pub struct Access {
    /// Its address, for API and browser.
    pub url: String,
    /// Its database.
    pub database: String,
    /// The API key of the administrator.
    pub key: String,
    /// The administrator's login, for a browser.
    pub login: String,
    /// The administrator's password.
    pub password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Progress(String),
    Ready(Access),
    Stopped(()),
    Failed(String),
}

/// A running Odoo. It ends, with its database and all that it holds, when this is dropped or this process ends.
#[derive(Debug)]
pub struct Odoo {
    access: Access,
    /// Shares nothing with the adapter's.
    client: reqwest::Client,
    child: Child,
    keeper: Mutex<Option<Keeper>>,
}

/// The pipes to the program that keeps Odoo.
#[derive(Debug)]
struct Keeper {
    /// Odoo runs for as long as this end of the pipe is open.
    lifeline: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Keeper {
    async fn ask(&mut self, line: &[u8]) -> Result<(), OdooError> {
        let asked = self.lifeline.write_all(line).await;
        asked.map_err(|error| OdooError::Unavailable(error.to_string()))
    }
}

/// Downloads outlive the workspace: they are 120 MB, and 1.2 GB unpacked.
fn cache() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("norce-customer-sync")
}

impl Odoo {
    /// Brings one up, empty but for what Odoo itself has. What it needs is fetched the first time.
    ///
    /// # Errors
    /// When it cannot be had here, with what to do.
    pub async fn start(progress: impl Progress + Clone) -> Result<Self, OdooError> {
        let tools = Tools::odoo(progress.clone()).await?;
        let environment = tools.bin().parent().unwrap_or(tools.bin()).to_owned();
        let mut child = Command::new(tools.program("python3"))
            .args(["-c", RUN_ODOO])
            .args([cache(), environment])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| OdooError::Unavailable(error.to_string()))?;
        let (Some(lifeline), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(OdooError::Unavailable("no pipes".to_owned()));
        };
        let mut lines = BufReader::new(output).lines();
        let access = until_ready(&mut lines, &progress).await?;
        Ok(Self {
            access,
            client: client().map_err(OdooError::Unavailable)?,
            child,
            keeper: Mutex::new(Some(Keeper { lifeline, lines })),
        })
    }

    /// Where it answers.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Ends the server and starts it again, in the same place; the database stays.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn restart(&self) -> Result<(), OdooError> {
        self.stop().await?;
        self.start_again().await
    }

    /// Ends the server; the database stays.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> Result<(), OdooError> {
        match self.keeper.lock().await.as_mut() {
            Some(keeper) => {
                keeper.ask(b"stop\n").await?;
                until_stopped(&mut keeper.lines).await
            }
            None => Ok(()),
        }
    }

    /// Starts a stopped server again, in the same place and with what it had.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn start_again(&self) -> Result<(), OdooError> {
        if let Some(keeper) = self.keeper.lock().await.as_mut() {
            keeper.ask(b"start\n").await?;
            until_ready(&mut keeper.lines, &|_: &str| {}).await?;
        }
        Ok(())
    }

    /// Asks Odoo itself, with a client that shares nothing with the adapter.
    ///
    /// # Errors
    /// When it does not answer, or with an error.
    pub async fn call(
        &self,
        model: &str,
        method: &str,
        arguments: Value,
    ) -> Result<Value, OdooError> {
        let unavailable =
            |error: &dyn std::fmt::Display| OdooError::Unavailable(format!("{model}: {error}"));
        let url = format!("{}/json/2/{model}/{method}", self.access.url);
        let request = self
            .client
            .post(url)
            .bearer_auth(&self.access.key)
            .header("content-type", "application/json")
            .body(arguments.to_string());
        let answer = async {
            let answer = request.send().await?.error_for_status()?;
            answer.bytes().await
        };
        let body = answer.await.map_err(|error| unavailable(&error))?;
        serde_json::from_slice(&body).map_err(|error| unavailable(&error))
    }

    /// Partners by Odoo's own search, archived ones included.
    ///
    /// # Errors
    /// When it does not answer, or with an error.
    pub async fn partners(&self, domain: Value, fields: &[&str]) -> Result<Vec<Value>, OdooError> {
        let arguments =
            json!({ "domain": domain, "fields": fields, "context": {"active_test": false} });
        let found = self.call("res.partner", "search_read", arguments).await?;
        Ok(found.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Odoo {
    fn drop(&mut self) {
        drop(self.keeper.get_mut().take());
        let begin = Instant::now();
        while begin.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A client of what runs on this machine.
fn client() -> Result<reqwest::Client, String> {
    let client = loopback_client()?.build();
    client.map_err(|error| error.to_string())
}

async fn until_ready(
    lines: &mut Lines<BufReader<ChildStdout>>,
    progress: &impl Fn(&str),
) -> Result<Access, OdooError> {
    loop {
        match next(lines).await? {
            Line::Progress(text) => progress(&text),
            Line::Ready(access) => return Ok(access),
            Line::Stopped(_) => {}
            Line::Failed(reason) => return Err(OdooError::Unavailable(reason)),
        }
    }
}

async fn until_stopped(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<(), OdooError> {
    loop {
        match next(lines).await? {
            Line::Stopped(_) => return Ok(()),
            Line::Failed(reason) => return Err(OdooError::Unavailable(reason)),
            Line::Progress(_) | Line::Ready(_) => {}
        }
    }
}

/// The next line that is one of ours.
async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Line, OdooError> {
    loop {
        let line = lines.next_line().await;
        let line = line.map_err(|error| OdooError::Unavailable(error.to_string()))?;
        let Some(line) = line else {
            return Err(OdooError::Unavailable("it ended by itself".to_owned()));
        };
        if let Ok(line) = serde_json::from_str(&line) {
            return Ok(line);
        }
    }
}
