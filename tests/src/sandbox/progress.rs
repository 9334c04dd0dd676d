//! The output of the sandbox: a line when a step begins, one now and then while it lasts, and one with its duration
//! when it is done.
#![expect(
    clippy::print_stdout,
    reason = "the sandbox is a program for a person at a terminal"
)]

use std::{
    fmt, io,
    path::Path,
    process::Stdio,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    fs::File,
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::Command,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::SandboxError;
use sandbox_tools::variables_of_this_package;

/// The interval of the progress lines of a long step.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The shown length of a line of a build.
const SHOWN_CHARS: usize = 90;
/// The shown lines of a failed step's output.
const QUOTED_LINES: usize = 25;

/// Prints a line.
pub(super) fn line(text: impl fmt::Display) {
    println!("{text}");
}

/// Prints a line of a step that is under way.
pub(super) fn detail(text: &str) {
    println!("    {text}");
}

/// What has happened, when since the first of it, and whether it is a step.
static CHRONICLE: LazyLock<(Instant, Mutex<Vec<Happened>>)> =
    LazyLock::new(|| (Instant::now(), Mutex::default()));

type Happened = (Duration, bool, String);

/// Everything that has happened so far.
pub(super) fn chronicle() -> Vec<Happened> {
    let (_, happened) = &*CHRONICLE;
    let happened = happened.lock().unwrap_or_else(PoisonError::into_inner);
    happened.clone()
}

fn note(is_step: bool, text: String) {
    let (since, happened) = &*CHRONICLE;
    let mut happened = happened.lock().unwrap_or_else(PoisonError::into_inner);
    happened.push((since.elapsed(), is_step, text));
}

/// Prints what has just happened in a step.
pub(super) fn told(text: impl fmt::Display) {
    println!("    {text}");
    note(false, text.to_string());
}

/// Does a step, shown with its duration.
pub(super) async fn step<T, E>(
    title: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    println!("▸ {title}");
    note(true, title.to_owned());
    let start = Instant::now();
    let outcome = work.await;
    let mark = if outcome.is_ok() { '✓' } else { '✗' };
    println!("{mark} {title} ({})", duration(start.elapsed()));
    outcome
}

/// A duration the way people read it.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Runs a program to its end, its output in a log file, its latest line shown now and then.
pub(super) async fn run(what: &str, command: &mut Command, log: &Path) -> Result<(), SandboxError> {
    let io_error = |source: io::Error| SandboxError::Io {
        what: what.to_owned(),
        source,
    };
    for name in variables_of_this_package() {
        command.env_remove(name);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(io_error)?;
    let (sender, mut lines) = mpsc::unbounded_channel();
    if let Some(output) = child.stdout.take() {
        tokio::spawn(forward(output, sender.clone()));
    }
    if let Some(errors) = child.stderr.take() {
        tokio::spawn(forward(errors, sender));
    }

    let mut file = File::create(log).await.map_err(io_error)?;
    let start = Instant::now();
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.tick().await;
    let mut text = Vec::new();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => {
                    file.write_all(format!("{line}\n").as_bytes()).await.map_err(io_error)?;
                    text.push(line);
                }
                None => break,
            },
            _ = heartbeat.tick() => {
                let latest = text.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
                let latest: String = latest.unwrap_or("…").chars().take(SHOWN_CHARS).collect();
                println!("    {:>8}  {latest}", duration(start.elapsed()));
            }
        }
    }
    file.flush().await.map_err(io_error)?;
    let status = child.wait().await.map_err(io_error)?;
    if status.success() {
        return Ok(());
    }
    Err(SandboxError::Step {
        what: what.to_owned(),
        status: status.to_string(),
        log: log.display().to_string(),
        quoted: text[text.len().saturating_sub(QUOTED_LINES)..].join("\n"),
    })
}

async fn forward(output: impl AsyncRead + Unpin, sender: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if sender.send(line).is_err() {
            return;
        }
    }
}
