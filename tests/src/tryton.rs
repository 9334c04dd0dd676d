//! A real Tryton behind the facade of `tests/facades/tryton`, and people who work in it, for as long as the value lives.

mod front;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use sandbox_tools::{TRYTON_FACADE, end_of, sandbox_directory, workspace};
use serde_json::Value;
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

pub use self::front::BehindFront;
use crate::local_aws::{LocalAwsError, Progress, Tools};

/// Keeps a program of the facade within the life of the process that started it.
const RUN_TRYTON: &str = include_str!("run_tryton.py");
/// Makes a database where there is none.
const MAKE_DATABASE: &str =
    "import pathlib, sys, database; database.create(pathlib.Path(sys.argv[1]))";
/// How long a program may take to say that it is ready: half a second on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a program may take to end when it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The key that the facade takes.
pub const KEY: &str = "a-key-for-tests-only";

/// Tryton cannot be had, and what to do about it.
#[derive(Debug, Error)]
pub enum TrytonError {
    /// Its Python environment.
    #[error(transparent)]
    Tools(#[from] LocalAwsError),
    /// A program does not do what it is for.
    #[error("Tryton cannot be had: {what}. The end of its log:\n{quoted}")]
    Unavailable {
        /// What went wrong.
        what: String,
        /// The last lines that it has written.
        quoted: String,
    },
    /// What people asked for was refused.
    #[error("Tryton refuses it: {0}")]
    Refused(String),
}

fn unavailable(what: impl Into<String>, log: &Path) -> TrytonError {
    TrytonError::Unavailable {
        what: what.into(),
        quoted: end_of(log),
    }
}

/// How the facade is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most records of a page.
    pub page_size: usize,
    /// The company that requests must name; empty: they name none.
    pub company: String,
    /// `FACADE_SIGNING_KEY`; empty: requests need no signature.
    pub signing_keys: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            page_size: 500,
            company: String::new(),
            signing_keys: String::new(),
        }
    }
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let page_size = self.page_size.to_string();
        let arguments = ["--page-size", &page_size, "--company", &self.company];
        arguments.map(str::to_owned).into()
    }
}

/// A Tryton with a database of its own. Everything of it goes when this is dropped, and its programs also when this
/// process ends in whatever way.
#[derive(Debug)]
pub struct Tryton {
    url: String,
    directory: PathBuf,
    tools: Tools,
    options: Options,
    facade: Mutex<Program>,
    people: Mutex<Program>,
}

/// A program of the facade.
#[derive(Debug)]
struct Program {
    child: Child,
    /// It runs for as long as this end of the pipe is open.
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Tryton {
    /// Starts one with an empty register. What it needs is installed the first time, and the database is made that all
    /// others are a copy of.
    ///
    /// # Errors
    /// When it cannot be had here, with what to do.
    pub async fn start(
        page_size: usize,
        progress: impl Progress + Clone,
    ) -> Result<Self, TrytonError> {
        let options = Options {
            page_size,
            ..Options::default()
        };
        Self::start_with(options, progress).await
    }

    /// The same, with these options.
    ///
    /// # Errors
    /// When it cannot be had here, with what to do.
    pub async fn start_with(
        options: Options,
        progress: impl Progress + Clone,
    ) -> Result<Self, TrytonError> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let tools = Tools::tryton(progress).await?;
        let template = template(&tools).await?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tryton-{}-{number}", std::process::id());
        let directory = sandbox_directory().join(name);
        copy(&template, &directory)
            .map_err(|error| unavailable(format!("a database: {error}"), &directory))?;
        let arguments = options.arguments();
        let commands = ["-".to_owned()];
        let (facade, people) = tokio::join!(
            Program::start(
                &tools,
                "serve",
                &directory,
                &arguments,
                &options.signing_keys
            ),
            Program::start(&tools, "people", &directory, &commands, "")
        );
        let (facade, address) = facade?;
        let (people, _) = people?;
        Ok(Self {
            url: address,
            directory,
            tools,
            options,
            facade: Mutex::new(facade),
            people: Mutex::new(people),
        })
    }

    /// Where the facade answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A shell command, for the root of the workspace, that lists every party.
    pub fn dump_command(&self) -> String {
        let workspace = workspace();
        let shown = |path: &Path| {
            let path = path.strip_prefix(&workspace).unwrap_or(path);
            path.display().to_string()
        };
        let python = shown(&self.tools.program("python3"));
        let directory = shown(&self.directory);
        format!("{python} {TRYTON_FACADE}/people.py {directory} dump")
    }

    /// Ends the facade in the middle of what it does, and starts it again in the same place; the database stays.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&self) -> Result<(), TrytonError> {
        self.stop().await;
        self.start_again().await
    }

    /// Kills the facade. `people.py` keeps working.
    pub async fn stop(&self) {
        self.facade.lock().await.end();
    }

    /// Starts a stopped facade on the same port, with the same database.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&self) -> Result<(), TrytonError> {
        let mut facade = self.facade.lock().await;
        let port = self.url.rsplit(':').next().unwrap_or_default();
        let mut arguments = self.options.arguments();
        arguments.extend(["--port", port].map(str::to_owned));
        let (tools, directory, keys) = (&self.tools, &self.directory, &self.options.signing_keys);
        let started = Program::start(tools, "serve", directory, &arguments, keys);
        (*facade, _) = started.await?;
        Ok(())
    }

    /// Every party as Tryton's own models have it.
    ///
    /// # Errors
    /// When Tryton does not answer.
    pub async fn parties(&self) -> Result<Vec<Value>, TrytonError> {
        self.dump("dump").await
    }

    /// The parties with these ids, as Tryton's own models have them.
    ///
    /// # Errors
    /// When Tryton does not answer, or does not have one of them.
    pub async fn parties_with(&self, ids: &str) -> Result<Vec<Value>, TrytonError> {
        self.dump(&format!("dump {ids}")).await
    }

    async fn dump(&self, command: &str) -> Result<Vec<Value>, TrytonError> {
        let parties = self.people(command).await?;
        let parties = parties.split('\t').filter(|party| !party.is_empty());
        let parties: Result<Vec<Value>, _> = parties.map(serde_json::from_str).collect();
        parties.map_err(|error| TrytonError::Refused(error.to_string()))
    }

    /// What people do in Tryton: a command of `people.py`, and its answer.
    ///
    /// # Errors
    /// When Tryton refuses it, or does not answer.
    pub async fn people(&self, command: &str) -> Result<String, TrytonError> {
        let mut people = self.people.lock().await;
        people.say(command).await?;
        let answer = people.next_line().await?;
        match answer.split_once(' ') {
            Some(("ok", text)) => Ok(text.to_owned()),
            _ => Err(TrytonError::Refused(answer)),
        }
    }
}

impl Drop for Tryton {
    #[expect(clippy::print_stderr, reason = "a failed test shows what was logged")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", end_of(&self.facade.get_mut().log));
        }
        self.facade.get_mut().end();
        self.people.get_mut().end();
        // Nothing can be done about a failure from here on.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Program {
    /// Starts a program over a database, and returns it with what it says behind "ready".
    async fn start(
        tools: &Tools,
        module: &str,
        directory: &Path,
        options: &[String],
        signing_keys: &str,
    ) -> Result<(Self, String), TrytonError> {
        let log = directory.join(format!("{module}.log"));
        let cannot_start =
            |error: io::Error| unavailable(format!("{module}.py cannot be started: {error}"), &log);
        let output = File::create(&log).map_err(cannot_start)?;
        let mut child = python(tools)
            .args(["-c", RUN_TRYTON, module])
            .arg(directory)
            .args(options)
            .env("FACADE_KEY", KEY)
            .env("FACADE_SIGNING_KEY", signing_keys)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot_start)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(unavailable("no pipes", &log));
        };
        let lines = BufReader::new(output).lines();
        let mut program = Self {
            child,
            input,
            lines,
            log,
        };
        let ready = tokio::time::timeout(START_TIMEOUT, program.next_line()).await;
        let slow = |_| unavailable(format!("{module}.py does not start"), &program.log);
        let ready = ready.map_err(slow)??;
        match ready.strip_prefix("ready") {
            Some(rest) => Ok((program, rest.trim().to_owned())),
            None => Err(unavailable(ready, &program.log)),
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), TrytonError> {
        let said = self.input.write_all(format!("{line}\n").as_bytes()).await;
        said.map_err(|error| unavailable(error.to_string(), &self.log))
    }

    async fn next_line(&mut self) -> Result<String, TrytonError> {
        let line = self.lines.next_line().await;
        let line = line.map_err(|error| unavailable(error.to_string(), &self.log))?;
        line.ok_or_else(|| unavailable("it ended by itself", &self.log))
    }

    /// Ends this very process, and waits for it.
    fn end(&mut self) {
        let begin = Instant::now();
        // It may have ended by itself.
        let _ = self.child.start_kill();
        while begin.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs the tests of the facade itself. `Err`: what they say.
///
/// # Errors
/// When they cannot be run, or fail.
pub async fn test_facade(progress: impl Progress) -> Result<(), TrytonError> {
    let tools = Tools::tryton(progress).await?;
    let output = python(&tools)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"])
        .output()
        .await;
    let nowhere = Path::new("");
    let output = output.map_err(|error| unavailable(error.to_string(), nowhere))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(TrytonError::Unavailable {
            what: "the tests of its facade fail".to_owned(),
            quoted: String::from_utf8_lossy(&output.stdout).into_owned(),
        }),
    }
}

/// Python in the directory of the facade.
fn python(tools: &Tools) -> Command {
    let mut python = Command::new(tools.program("python3"));
    python
        .current_dir(workspace().join(TRYTON_FACADE))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// The database that others are copies of, made if it is not there yet. It goes with the environment.
async fn template(tools: &Tools) -> Result<PathBuf, TrytonError> {
    let environment = tools.bin().parent().unwrap_or(tools.bin());
    let template = environment.join("database");
    let log = environment.join("database.log");
    let cannot = |error: io::Error| unavailable(format!("the database: {error}"), &log);
    let lock = File::create(environment.join("database.lock")).map_err(cannot)?;
    let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
    // Until the end of this function: two processes do not make it at the same time.
    let _lock = locked.map_err(io::Error::other).flatten().map_err(cannot)?;
    if template.join("complete").exists() {
        return Ok(template);
    }
    let output = File::create(&log).map_err(cannot)?;
    let errors = output.try_clone().map_err(cannot)?;
    let made = python(tools)
        .args(["-c", MAKE_DATABASE])
        .arg(&template)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .await
        .map_err(cannot)?;
    match made.success() {
        true => Ok(template),
        false => Err(unavailable("its database cannot be made", &log)),
    }
}

/// Copies the files of a directory.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
