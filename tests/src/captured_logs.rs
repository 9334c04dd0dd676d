//! Captured logs of the functions in one process: as text, or one log per function as CloudWatch has them.

use std::{
    io,
    sync::{Arc, Mutex, Once, PoisonError},
};

use crate::memory::MemoryLogs;
use shared::domain::Clock;
use tracing::subscriber::DefaultGuard;
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;

/// Gives what this thread logs to the subscriber until the guard goes.
///
/// `tracing` remembers for the whole process whether anyone is interested in a line. A thread without a subscriber that
/// reaches a line first would have it remembered as one of interest to nobody, and a test on another thread would
/// capture nothing. So every thread has a subscriber that is interested in all of them and writes none.
fn capture(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    static EVERYWHERE: Once = Once::new();
    EVERYWHERE.call_once(|| {
        // Refused only where a whole process logs to a subscriber of its own, which serves as well.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    });
    tracing::subscriber::set_default(subscriber)
}

/// Everything that one thread logs, as text.
#[derive(Debug, Clone, Default)]
pub struct CapturedText(Arc<Mutex<Vec<u8>>>);

impl CapturedText {
    /// Keeps the lines of this level and above that this thread logs until the guard goes.
    pub fn capture(&self, level: Level) -> DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        capture(subscriber)
    }

    /// The lines so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for CapturedText {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The logs that `operator` searches.
#[derive(Clone)]
pub struct CapturedLogs {
    /// The log of `receive-events`.
    pub receive_events: Arc<MemoryLogs>,
    /// The log of `change-events`.
    pub change_events: Arc<MemoryLogs>,
    clock: Arc<dyn Clock>,
}

impl CapturedLogs {
    /// Empty logs.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            receive_events: Arc::default(),
            change_events: Arc::default(),
            clock,
        }
    }

    /// Writes what this thread logs into them until the guard goes.
    pub fn capture(&self) -> DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(self.clone())
            .finish();
        capture(subscriber)
    }
}

impl MakeWriter<'_> for CapturedLogs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A line comes whole.
impl io::Write for CapturedLogs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let logs = [
            ("receive_events", &self.receive_events),
            ("change_events", &self.change_events),
        ];
        for (function, log) in logs {
            if text.contains(&format!(r#""target":"{function}"#)) {
                log.write(self.clock.now(), text.as_str());
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
