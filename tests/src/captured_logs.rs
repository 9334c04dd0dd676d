//! The logs of the functions in one process, each in a log of its own as CloudWatch has them.

use std::{io, sync::Arc};

use shared::{domain::Clock, logs::MemoryLogs};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// The logs that `operator` searches.
#[derive(Clone)]
pub struct CapturedLogs {
    /// Of `receive-events`.
    pub receive_events: Arc<MemoryLogs>,
    /// Of `change-events`.
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
        tracing::subscriber::set_default(subscriber)
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
