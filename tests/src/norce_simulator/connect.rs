//! `commerce/connect/4.0` (norce-api §§3-4): imports as asynchronous jobs, and the jobs themselves.
//!
//! Where the facts are silent the simulator chooses, and says so at the place.

use std::time::Duration;

use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    NorceSimulator, PoisonMode, State,
    events::{Event, EventType},
    import_contract::{CompanyRow, CustomerRow, Header, ImportKind},
    import_rows::{Importer, RowOutcome},
    responses,
};

/// `StatusId` of a job (norce-api §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobStatus {
    /// The data is stored.
    Initialized = 1,
    /// Final. Rows can have failed all the same.
    Succeeded = 2,
    /// Final.
    Failed = 3,
    /// Final: nothing was imported.
    ValidationFailed = 4,
    /// A worker is at it.
    Validating = 5,
    /// It waits for a worker.
    Queued = 6,
}

impl JobStatus {
    /// 2, 3 and 4.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::ValidationFailed
        )
    }
}

/// The course of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSettings {
    /// From the call to the job's end. A job is never done when its call is answered.
    pub delay: Duration,
    /// A random addition of up to so long, so that jobs overtake each other.
    pub delay_jitter: Duration,
    /// Jobs stay `Queued` for ever.
    pub never_finish: bool,
    /// How a job ends of which some rows, not poison, have failed: not in the facts (norce-api §4.3).
    pub status_with_failed_rows: JobStatus,
    /// Whether the number of inserts is called `Insert` as in the OpenAPI description or `Inserts` as in the C#
    /// contract (norce-api §4.2).
    pub inserts_are_called: &'static str,
    /// Whether a row fails whose e-mail address (of a customer) or organisation number (of a company) another entity
    /// has already. `SearchOnlyByCode` allows it always (norce-api §3.2); otherwise the facts are silent.
    pub duplicates_fail: bool,
    /// Whether a row fails that names a price list, a flag or a type of information that Norce does not have. Otherwise it
    /// is imported without that, and with a warning (norce-api §4.4).
    pub unknown_references_fail: bool,
    /// How the log shows the row that an entry is about.
    pub imported_rows: ImportedRows,
    /// Where `Get` and `GetLog` of jobs are.
    pub paths: JobPaths,
}

/// How a job's log shows a row: it is "often null" and "may be truncated" (norce-api §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportedRows {
    /// The value that was sent.
    Whole,
    /// The number of characters of the row.
    Truncated(usize),
    /// Not at all.
    Null,
}

impl ImportedRows {
    fn show(self, row: &Value) -> Option<String> {
        match self {
            Self::Whole => Some(row.to_string()),
            Self::Truncated(length) => Some(row.to_string().chars().take(length).collect()),
            Self::Null => None,
        }
    }
}

/// Where jobs are asked for: the sources have both (norce-api §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPaths {
    /// `4.0/Job/…`.
    Direct,
    /// `4.0/api/Job/…`.
    BelowApi,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(2),
            delay_jitter: Duration::ZERO,
            never_finish: false,
            status_with_failed_rows: JobStatus::Succeeded,
            inserts_are_called: "Insert",
            duplicates_fail: true,
            unknown_references_fail: false,
            imported_rows: ImportedRows::Truncated(120),
            paths: JobPaths::BelowApi,
        }
    }
}

/// A line of a job's log (norce-api §4.4).
#[derive(Debug, Clone, PartialEq)]
pub struct JobLogLine {
    /// 1 information, 2 warning, 3 error.
    pub severity_id: i64,
    /// The event in words.
    pub message: String,
    /// The time of the line.
    pub time: DateTime<Utc>,
    /// The row that was sent.
    pub imported_row: Option<String>,
}

/// `SeverityId` of information.
const INFORMATION: i64 = 1;
/// `SeverityId` of a row of which a part could not be handled.
const WARNING: i64 = 2;
/// `SeverityId` of a row that failed.
const ERROR: i64 = 3;

/// A job (norce-api §4.2).
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// Its id.
    pub id: i64,
    /// Its status.
    pub status: JobStatus,
    /// Rows in all.
    pub totals: usize,
    /// Rows of any table that were made.
    pub inserts: usize,
    /// Rows of any table that were changed.
    pub updates: usize,
    /// Rows that failed.
    pub fail: usize,
    /// When it was stored.
    pub start: DateTime<Utc>,
    /// When it ended.
    pub stop: Option<DateTime<Utc>>,
    /// When it last changed.
    pub last_updated: DateTime<Utc>,
    /// Its log.
    pub log: Vec<JobLogLine>,
}

/// An import call that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportCall {
    /// Customers or companies.
    pub kind: ImportKind,
    /// The job that carries it out.
    pub job: i64,
    /// `X-StormConnect-Header` of the request.
    pub header: Value,
    /// The rows, as they came.
    pub rows: Vec<Value>,
    /// The application header, if there was one.
    pub application: Option<String>,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// The rows of an import in their types.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Customers(Vec<CustomerRow>),
    Companies(Vec<CompanyRow>),
}

/// The work of a worker.
struct Work {
    job: i64,
    header: Header,
    rows: Rows,
    raw: Vec<Value>,
    /// The faults found by the validation; with any of them nothing is imported.
    invalid: Vec<(usize, String)>,
}

/// Answers `Customer/ImportCustomers` or `Customer/ImportCompanies`.
pub(super) fn import(
    simulator: &NorceSimulator,
    kind: ImportKind,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let refuse = |message: &str| responses::message(StatusCode::BAD_REQUEST, message);
    if !responses::has_media_type(headers, "application/json") {
        return responses::message(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The simulator takes JSON only.",
        );
    }
    let Some(raw_header) = headers.get("X-StormConnect-Header") else {
        return refuse("The header X-StormConnect-Header is missing.");
    };
    let Ok(raw_header) = serde_json::from_slice::<Value>(raw_header.as_bytes()) else {
        return refuse("The header X-StormConnect-Header is not JSON.");
    };
    let header = match Header::read(kind, &raw_header) {
        Ok(header) => header,
        Err(message) => return refuse(&message),
    };
    let raw = match rows_of(body) {
        Ok(rows) => rows,
        Err(message) => return refuse(&message),
    };
    let rows = match kind {
        ImportKind::Customers => typed(&raw).map(Rows::Customers),
        ImportKind::Companies => typed(&raw).map(Rows::Companies),
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(message) => return refuse(&message),
    };
    let now = simulator.now();
    let mut state = simulator.state();
    if !state.register.system_accounts.contains(&header.account_id) {
        return refuse("AccountId is no known account.");
    }
    if raw.is_empty() || state.settings.max_rows.is_some_and(|most| raw.len() > most) {
        return refuse("The number of rows is not allowed.");
    }
    let notes = header.notes(kind, &raw);
    state.contract_notes.extend(notes);
    let invalid = invalid_rows(&state, kind, &raw);
    let is_refused = |row| {
        let mut poison = state.poison.iter();
        poison.any(|poison| poison.mode == PoisonMode::NoJob && poison.rows.contains(row))
    };
    if raw.iter().any(is_refused) {
        return import_answer(None, raw.len(), &invalid);
    }
    state.last_job += 1;
    let job = state.last_job;
    state.jobs.insert(
        job,
        JobRecord {
            id: job,
            status: JobStatus::Initialized,
            totals: raw.len(),
            inserts: 0,
            updates: 0,
            fail: 0,
            start: now,
            stop: None,
            last_updated: now,
            log: Vec::new(),
        },
    );
    state.imports.push(ImportCall {
        kind,
        job,
        header: raw_header,
        rows: raw.clone(),
        application: super::application_header(headers).map(str::to_owned),
        at: now,
    });
    drop(state);
    let answer = import_answer(Some(job), raw.len(), &invalid);
    simulator.start(Work {
        job,
        header,
        rows,
        raw,
        invalid,
    });
    answer
}

/// `JobResponse`. Norce's values of `StatusCode` are not in the facts.
fn import_answer(job: Option<i64>, rows: usize, invalid: &[(usize, String)]) -> Response {
    let messages: Vec<&str> = invalid
        .iter()
        .map(|(_, message)| message.as_str())
        .collect();
    let answer = json!({
        "StatusCode": if job.is_some() { "OK" } else { "Failed" },
        "Description": "",
        "JobId": job.map(|job| job.to_string()),
        "ValidationSummary": {
            "NrOfItemsInTotal": rows,
            "NrOfValidationFailures": messages.len(),
            "Messages": messages,
        },
    });
    responses::json(StatusCode::OK, &answer)
}

/// A JSON array of rows, or rows one after the other (norce-api §3.1).
fn rows_of(body: &[u8]) -> Result<Vec<Value>, String> {
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        match value {
            Ok(Value::Array(values)) if rows.is_empty() => rows = values,
            Ok(row @ Value::Object(_)) => rows.push(row),
            Ok(_) => return Err("The body is no array of objects.".to_owned()),
            Err(error) => return Err(format!("The body is not JSON: {error}.")),
        }
    }
    if rows.iter().all(Value::is_object) {
        Ok(rows)
    } else {
        Err("The body is no array of objects.".to_owned())
    }
}

/// Unknown properties and wrong types are refused. How Norce takes them is not in the facts; a client that sends what
/// the contract does not have is wrong either way.
fn typed<T: serde::de::DeserializeOwned>(raw: &[Value]) -> Result<Vec<T>, String> {
    raw.iter()
        .enumerate()
        .map(|(index, row)| {
            T::deserialize(row).map_err(|error| format!("Row {}: {error}.", index + 1))
        })
        .collect()
}

/// The validation of the whole, before anything is imported (norce-api §3.6).
fn invalid_rows(state: &State, kind: ImportKind, raw: &[Value]) -> Vec<(usize, String)> {
    let mut invalid = Vec::new();
    for (index, row) in raw.iter().enumerate() {
        // `ApplicationKey` is required by the OpenAPI description of a company (norce-api §3.5).
        if kind == ImportKind::Companies && row.get("ApplicationKey").is_none_or(Value::is_null) {
            let message = format!("Row {}: ApplicationKey is required.", index + 1);
            invalid.push((index, message));
        }
        let poison = state.poison.iter().find(|poison| {
            let is_found = matches!(poison.mode, PoisonMode::ValidationFails | PoisonMode::NoJob);
            is_found && poison.rows.contains(row)
        });
        if let Some(poison) = poison {
            invalid.push((index, poison.message.clone()));
        }
    }
    invalid
}

impl NorceSimulator {
    fn start(&self, work: Work) {
        let activity = self.begin_activity();
        let simulator = self.clone();
        tokio::spawn(async move {
            let (delay, stuck) = {
                let mut state = simulator.state();
                let jitter = state.settings.jobs.delay_jitter.mul_f64(state.random.f64());
                let jobs = &state.settings.jobs;
                (jobs.delay + jitter, jobs.never_finish)
            };
            simulator.set_status(work.job, JobStatus::Queued);
            if !stuck {
                sleep(delay / 2).await;
                simulator.set_status(work.job, JobStatus::Validating);
                sleep(delay / 2).await;
                simulator.carry_out(&work);
            }
            drop(activity);
        });
    }

    fn set_status(&self, job: i64, status: JobStatus) {
        let now = self.now();
        if let Some(job) = self.state().jobs.get_mut(&job) {
            job.status = status;
            job.last_updated = now;
        }
    }

    fn carry_out(&self, work: &Work) {
        let now = self.now();
        let mut events = Vec::new();
        {
            let mut guard = self.state();
            let state = &mut *guard;
            let outcome = if work.invalid.is_empty() {
                carry_out_rows(state, work, now)
            } else {
                validation_failure(work, state.settings.jobs.imported_rows)
            };
            if state.settings.events.echo_of_imports {
                events.extend(outcome.events);
            }
            if state.settings.events.job_completed {
                events.push(
                    Event::new(EventType::JobCompleted, state.register.client_id)
                        .with_some("ApplicationId", outcome.application)
                        .with("JobId", work.job)
                        .with("StatusId", outcome.status as i64),
                );
            }
            if let Some(job) = state.jobs.get_mut(&work.job) {
                job.status = outcome.status;
                job.inserts = outcome.inserts;
                job.updates = outcome.updates;
                job.fail = outcome.fail;
                job.stop = Some(now);
                job.last_updated = now;
                job.log = outcome
                    .log
                    .into_iter()
                    .map(|(severity_id, message, imported_row)| JobLogLine {
                        severity_id,
                        message,
                        time: now,
                        imported_row,
                    })
                    .collect();
            }
        }
        self.raise(events);
    }
}

struct Outcome {
    status: JobStatus,
    inserts: usize,
    updates: usize,
    fail: usize,
    log: Vec<(i64, String, Option<String>)>,
    events: Vec<Event>,
    application: Option<i64>,
}

impl Outcome {
    fn new(status: JobStatus) -> Self {
        Self {
            status,
            inserts: 0,
            updates: 0,
            fail: 0,
            log: Vec::new(),
            events: Vec::new(),
            application: None,
        }
    }

    fn failed(&mut self, row: Option<String>, message: &str) {
        self.fail += 1;
        self.log.push((ERROR, message.to_owned(), row));
    }

    /// A log has two entries at least: the job's beginning and its end.
    fn ended(mut self, rows: usize) -> Self {
        let begun = (INFORMATION, format!("{rows} rows to import"), None);
        self.log.insert(0, begun);
        let summary = format!("{rows} rows, {} failed", self.fail);
        self.log.push((INFORMATION, summary, None));
        self
    }
}

fn validation_failure(work: &Work, rows: ImportedRows) -> Outcome {
    let mut outcome = Outcome::new(JobStatus::ValidationFailed);
    for (index, message) in &work.invalid {
        outcome.failed(rows.show(&work.raw[*index]), message);
    }
    outcome.ended(work.raw.len())
}

fn carry_out_rows(state: &mut State, work: &Work, now: DateTime<Utc>) -> Outcome {
    let poison = state.poison.clone();
    let poison_of = |row: &Value| poison.iter().find(|poison| poison.rows.contains(row));
    let whole = work
        .raw
        .iter()
        .filter_map(&poison_of)
        .find(|poison| poison.mode == PoisonMode::JobFails);
    if let Some(poison) = whole {
        let mut outcome = Outcome::new(JobStatus::Failed);
        outcome.fail = work.raw.len();
        outcome.log.push((ERROR, poison.message.clone(), None));
        return outcome.ended(work.raw.len());
    }
    let mut outcome = Outcome::new(JobStatus::Succeeded);
    let jobs = state.settings.jobs.clone();
    let by_application = state.settings.customers_by_application;
    let mut importer = Importer {
        register: &mut state.register,
        header: &work.header,
        by_application,
        duplicates_fail: jobs.duplicates_fail,
        unknown_references_fail: jobs.unknown_references_fail,
        now,
        warnings: Vec::new(),
    };
    for (index, raw) in work.raw.iter().enumerate() {
        let poison = poison_of(raw);
        if poison.is_some_and(|poison| poison.mode == PoisonMode::RowVanishes) {
            outcome.updates += 1;
            continue;
        }
        let is_imported = |mode| matches!(mode, PoisonMode::RowWarns | PoisonMode::RowErrsUnnamed);
        if let Some(poison) = poison.filter(|poison| !is_imported(poison.mode)) {
            outcome.failed(jobs.imported_rows.show(raw), &poison.message);
            if poison.mode == PoisonMode::RowFailsJobFails {
                outcome.status = JobStatus::Failed;
            }
            continue;
        }
        importer.warnings.clear();
        let done = match &work.rows {
            Rows::Customers(rows) => importer.customer(&rows[index]),
            Rows::Companies(rows) => importer.company(&rows[index]),
        };
        let done = done.map(|outcome| RowOutcome {
            warnings: std::mem::take(&mut importer.warnings),
            ..outcome
        });
        match done {
            Ok(RowOutcome {
                inserts,
                updates,
                events,
                application,
                notes,
                warnings,
            }) => {
                outcome.inserts += inserts;
                outcome.updates += updates;
                let show = || jobs.imported_rows.show(raw);
                let warnings = warnings.into_iter();
                let warnings = warnings.map(|message| (WARNING, message, show()));
                outcome.log.extend(warnings);
                outcome.log.extend(poison.map(|poison| match poison.mode {
                    PoisonMode::RowErrsUnnamed => (ERROR, poison.message.clone(), None),
                    _ => (WARNING, poison.message.clone(), show()),
                }));
                outcome.events.extend(events);
                outcome.application = outcome.application.or(application);
                state.contract_notes.extend(notes);
            }
            Err(message) => {
                outcome.failed(jobs.imported_rows.show(raw), &message);
                if outcome.status == JobStatus::Succeeded {
                    outcome.status = jobs.status_with_failed_rows;
                }
            }
        }
    }
    outcome.ended(work.raw.len())
}

fn job_of<'a>(state: &'a State, query: &str) -> Result<&'a JobRecord, (StatusCode, &'static str)> {
    let id = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name.eq_ignore_ascii_case("id"))
        .and_then(|(_, value)| value.parse::<i64>().ok());
    let Some(id) = id else {
        let message = "The parameter id is missing or no number.";
        return Err((StatusCode::BAD_REQUEST, message));
    };
    // What Norce answers for a job that it does not know is not in the facts.
    let unknown = (StatusCode::NOT_FOUND, "There is no such job.");
    state.jobs.get(&id).ok_or(unknown)
}

fn time(time: DateTime<Utc>) -> Value {
    time.to_rfc3339_opts(SecondsFormat::Millis, true).into()
}

/// Answers `Job/Get`.
pub(super) fn job(state: &State, now: DateTime<Utc>, query: &str) -> Response {
    let job = match job_of(state, query) {
        Ok(job) => job,
        Err((status, message)) => return responses::message(status, message),
    };
    let running = (job.stop.unwrap_or(now) - job.start)
        .num_milliseconds()
        .max(0);
    let seconds = running / 1000;
    let mut answer = json!({
        "JobId": job.id,
        "StatusId": job.status as i64,
        "StorageName": format!("imports/{}.json", job.id),
        "Totals": job.totals,
        "Updates": job.updates,
        "Fail": job.fail,
        "Start": time(job.start),
        "Stop": job.stop.map(time),
        "LastUpdated": time(job.last_updated),
        "IsFinished": job.status.is_final(),
        "RunTime": format!(
            "{:02}:{:02}:{:02}.{:03}0000",
            seconds / 3600, seconds / 60 % 60, seconds % 60, running % 1000
        ),
    });
    answer[state.settings.jobs.inserts_are_called] = job.inserts.into();
    responses::json(StatusCode::OK, &answer)
}

/// Answers `Job/GetLog`.
pub(super) fn job_log(state: &State, query: &str) -> Response {
    let job = match job_of(state, query) {
        Ok(job) => job,
        Err((status, message)) => return responses::message(status, message),
    };
    let lines: Vec<Value> = job
        .log
        .iter()
        .map(|line| {
            json!({
                "SeverityId": line.severity_id,
                "Message": line.message,
                "TimeStamp": time(line.time),
                "ImportedRow": line.imported_row,
            })
        })
        .collect();
    responses::json(StatusCode::OK, &lines.into())
}
