//! What a job and its log say about its lines.

use std::collections::HashSet;

use shared::{
    domain::ImportLine,
    norce::{Job, JobLogEntry, JobStatus},
};

/// So many different messages of a log are repeated in the detail of a line. A log has thousands of them where a setting is
/// wrong in Norce, and every line of a job may be owed with the same ones.
const REPEATED_MESSAGES: usize = 3;

/// What a job's log says about its lines.
#[derive(Default)]
pub(crate) struct RowResults<'l> {
    /// Rows that failed, with Norce's words.
    pub(crate) refused: Vec<(&'l ImportLine, &'l str)>,
    /// The lines that Norce imported.
    pub(crate) taken: Vec<&'l ImportLine>,
    /// Warnings about a row, and those of which Norce does not say which row they are about. An error that names no
    /// row counts as one: whether a job that has succeeded can have it is not documented (norce-api §4.3), and to
    /// refuse a row for it would be a guess.
    pub(crate) warnings: Vec<(Option<&'l ImportLine>, &'l str)>,
}

impl<'l> RowResults<'l> {
    pub(crate) fn of(lines: &'l [ImportLine], log: &'l [JobLogEntry]) -> Self {
        let mut results = Self::default();
        for line in lines {
            let mut errors = log.iter().filter(|entry| entry.is_error);
            match errors.find(|entry| is_about(entry, line)) {
                Some(entry) => results.refused.push((line, &entry.message)),
                None => results.taken.push(line),
            }
        }
        // A bare code cannot be carried out in part.
        let mut full = results.taken.iter().filter(|line| !line.is_code_only());
        let only = full.next().filter(|_| full.next().is_none());
        let is_of_no_row =
            |entry: &JobLogEntry| entry.is_error && !lines.iter().any(|line| is_about(entry, line));
        let warnings = log
            .iter()
            .filter(|entry| entry.is_warning || is_of_no_row(entry));
        let warnings = warnings.map(|entry| {
            let named = results.taken.iter().find(|line| is_about(entry, line));
            (named.or(only).copied(), entry.message.as_str())
        });
        results.warnings = warnings.collect();
        results
    }

    /// What Norce left out of a line, in words; `None`: nothing.
    pub(crate) fn warning(&self, line: &ImportLine) -> Option<String> {
        let mut own: Vec<&str> = Vec::new();
        let mut of_any: Vec<&str> = Vec::new();
        for (about, words) in &self.warnings {
            match about {
                Some(about) if *about == line => own.push(words),
                Some(_) => {}
                None if line.is_code_only() => {}
                None => of_any.push(words),
            }
        }
        let rows = self
            .taken
            .iter()
            .filter(|line| !line.is_code_only())
            .count();
        let advice = "correct that, and try it again with the operator action `owed`; the next full pass then sends the row again";
        match (own.is_empty(), of_any.is_empty()) {
            (true, true) => None,
            (false, _) => Some(format!(
                "Norce imported the row except for a part of it: {}; {advice}",
                repeated(own)
            )),
            (true, false) => Some(format!(
                "Norce imported a part of a row only, and does not say which of {rows} rows it is: {}; {advice}",
                repeated(of_any)
            )),
        }
    }
}

/// Messages in one text: each of them once, the first few, and how many more there are.
fn repeated(mut messages: Vec<&str>) -> String {
    let mut known = HashSet::new();
    messages.retain(|message| known.insert(*message));
    let first = messages.iter().take(REPEATED_MESSAGES);
    let first = first.copied().collect::<Vec<_>>().join("; ");
    match messages.len().saturating_sub(REPEATED_MESSAGES) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

fn is_about(entry: &JobLogEntry, line: &ImportLine) -> bool {
    entry
        .row
        .as_ref()
        .is_some_and(|row| match (&row.id, &row.code) {
            (Some(id), _) => Some(*id) == line.id,
            (None, Some(code)) => *code == line.code,
            (None, None) => false,
        })
}

/// Why a job failed, in Norce's words.
pub(crate) fn words(job: &Job, log: &[JobLogEntry]) -> String {
    let errors = log.iter().filter(|entry| entry.is_error);
    let said: Vec<&str> = errors.map(|entry| entry.message.as_str()).collect();
    let said = if said.is_empty() {
        "its log says nothing".to_owned()
    } else {
        repeated(said)
    };
    let status = match job.status {
        JobStatus::ValidationFailed => "failed validation",
        _ => "failed",
    };
    format!("Norce's job {} {status}: {said}", job.id)
}
