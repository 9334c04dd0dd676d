//! `poll-jobs`: follows every import job until each of its lines is settled: confirmed, refused in Norce's own words,
//! submitted again, or given up and owed (P9).
//!
//! Polling is the truth; a `JobCompletedEvent` only makes the look come early. A batch without a job (its caller died,
//! or Norce's answer was lost) is settled by reading back which codes Norce has.

mod configuration;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use shared::{
    domain::{
        Clock, Code, CodeCase, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, ImportLine,
        ImportRequest, JobMessage, NorceId, Scope, Shops,
    },
    http::Deadline,
    import_jobs::{BatchState, ImportBatch, ImportJobs, ImportJobsError},
    mappings::{Binding, Mapping, Mappings, MappingsError},
    norce::{
        Asked, Job, JobId, JobLogEntry, JobStatus, LOOKED_UP_AT_ONCE, NorceError, NorceImports,
        NorceQuery,
    },
    owed::{OwedRecords, Reason},
    passes::{Passes, PassesError},
    queues::{MAX_DELAY, Queue, QueueError},
    runtime::{
        batch::{Handler, Outcome, Received},
        delivery::{self, DeliveryError},
        metrics::{Metric, Metrics},
    },
};
use thiserror::Error;
use uuid::Uuid;

pub use configuration::Configuration;

/// The first wait between two looks at a job; it doubles up to a quarter of an hour.
const FIRST_POLL: Duration = Duration::from_secs(2);
/// After this time the function that submits (time-out one minute) has noted the job, or has died.
const SUBMISSION_ENDS_AFTER: TimeDelta = TimeDelta::minutes(2);
/// The first look is planned before the batch is recorded. So many looks are as long as that function has at most.
const LOOKS_UNTIL_RECORDED: u32 = 6;
/// Lines are submitted again after a quarter of their age: soon at first, rarely when Norce keeps failing.
const RESUBMIT_AFTER_AGE_DIVIDED_BY: u32 = 4;
/// A job that fails as a whole, with one row and without naming it, is submitted again for so long: longer than a restart
/// or a deployment at Norce. Then it is owed, and tried again by itself less often.
const REMOTE_FAULT_OWED_AFTER: Duration = Duration::from_secs(3_600);
/// An open batch that cannot be read for so long, because Norce or a store does not answer, is given up unread: longer
/// than any outage that is only waited out, and as long as SQS keeps a message.
const LONGEST_OUTAGE: Duration = Duration::from_secs(14 * 24 * 3_600);
/// Deliveries of a `JobCompletedEvent`, about a quarter of an hour. By then the batch's own poll has looked.
const DELIVERIES_OF_A_HINT: u32 = 10;
/// Contacts that one row of a company relates: as ids some 12 KB, of the 400 KB that a batch with its other lines may have
/// in DynamoDB.
const CONTACTS_IN_A_ROW: usize = 1_000;
/// Lines of inserts in one message: about 40 KB of the 1 MiB that SQS takes.
const LINES_IN_A_MESSAGE: usize = 100;
/// Lines whose outcome is written at the same time.
const WRITES_AT_ONCE: usize = 16;

/// The use case with everything that it needs.
pub struct PollJobs {
    /// Reads jobs.
    pub norce: Arc<dyn NorceImports>,
    /// Reads back codes.
    pub query: Arc<dyn NorceQuery>,
    /// Which lines went in which job.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// To look again later.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// For lines that are submitted again.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// To confirm codes.
    pub mappings: Arc<dyn Mappings>,
    /// Records that cannot be synced yet.
    pub owed: Arc<dyn OwedRecords>,
    /// Lines that wait for a company.
    pub passes: Arc<dyn Passes>,
    /// Which shops there are: the customers of all of them may wait for a company that they share.
    pub shops: Shops,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// After this time a line without an outcome is owed.
    pub give_up_after: Duration,
    /// What an invocation measures.
    pub metrics: Metrics,
}

/// An import cannot change the name of a login (`AccountField`, norce-api §3.2).
const OTHER_LOGIN: &str = "its contact details were imported from the ERP, and it logs in with an e-mail address other than the one that it has now, because an import cannot change a login name: change it in Norce Admin, and try it again with the operator action `owed`; or dismiss this, if the login is to stay";

/// Why a look at a job came to nothing. All of it is worth another look later.
#[derive(Debug, Error)]
enum PollError {
    #[error(transparent)]
    Norce(#[from] NorceError),
    #[error(transparent)]
    ImportJobs(#[from] ImportJobsError),
    #[error(transparent)]
    Mappings(#[from] MappingsError),
    #[error(transparent)]
    Passes(#[from] PassesError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl PollError {
    fn after(&self) -> Option<Duration> {
        match self {
            Self::Norce(NorceError::RetryAfter { after, .. }) => *after,
            _ => None,
        }
    }

    /// Norce answers, and another look gives the same answer.
    fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Norce(NorceError::Refused { .. } | NorceError::Unreadable(_))
        )
    }
}

/// What a look at a batch showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running,
    Settled,
}

#[async_trait]
impl Handler<JobMessage> for PollJobs {
    async fn handle(&self, received: Received<JobMessage>, deadline: Deadline) -> Outcome {
        let result = match received.message {
            JobMessage::Completed { job } => match self.completed(JobId(job), deadline).await {
                Err(error) if received.receive_count >= DELIVERIES_OF_A_HINT => {
                    tracing::warn!(job, %error, "a completed job could not be looked at; the poll of its batch does it");
                    Ok(())
                }
                result => result,
            },
            JobMessage::Poll { batch, attempt } => self.poll(batch, attempt, deadline).await,
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::RetryAfter {
                at_least: error.after(),
                reason: error.to_string(),
            },
        }
    }
}

impl PollJobs {
    /// Norce says that a job has ended.
    async fn completed(&self, job: JobId, deadline: Deadline) -> Result<(), PollError> {
        match self.import_jobs.by_job(job).await? {
            // Another integration's, or one whose id is not noted yet: the batch's own poll sees to that.
            None => tracing::debug!(%job, "a completed job is not one of ours"),
            Some(batch) => {
                if self.look(&batch, deadline).await? == Progress::Running {
                    tracing::info!(%job, batch = %batch.id, "a job said to be completed is still running");
                }
            }
        }
        Ok(())
    }

    /// Looks at a batch, and plans the next look while it is not settled.
    async fn poll(&self, id: Uuid, attempt: u32, deadline: Deadline) -> Result<(), PollError> {
        let Some(batch) = self.import_jobs.get(id).await? else {
            return match attempt < LOOKS_UNTIL_RECORDED {
                true => self.look_again(id, attempt).await,
                // It was withdrawn, or never came to be.
                false => Ok(()),
            };
        };
        match self.look_or_give_up(&batch, deadline).await {
            Ok(Progress::Settled) => Ok(()),
            Ok(Progress::Running) => self.look_again(id, attempt).await,
            Err(error) if self.age(&batch) >= self.longest_age(&error) => {
                self.give_up_unread(&batch, &error).await
            }
            // The same message waits: in an outage no chain of messages gets longer.
            Err(error) => {
                tracing::warn!(batch = %id, %error, "a batch could not be looked at; the next look comes later");
                Err(error)
            }
        }
    }

    async fn look_or_give_up(
        &self,
        batch: &ImportBatch,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let progress = self.look(batch, deadline).await?;
        if progress == Progress::Settled {
            return Ok(progress);
        }
        let age = (self.clock.now() - batch.recorded_at).to_std();
        self.metrics
            .time(Metric::OpenBatchSeconds, "", age.unwrap_or_default());
        if self.age(batch) >= self.give_up_after {
            return self.give_up(batch, deadline).await;
        }
        Ok(progress)
    }

    /// How old a batch becomes whose looks end with this error.
    fn longest_age(&self, error: &PollError) -> Duration {
        match error.is_lasting() {
            true => self.give_up_after,
            false => self.give_up_after.max(LONGEST_OUTAGE),
        }
    }

    async fn look_again(&self, id: Uuid, attempt: u32) -> Result<(), PollError> {
        // A message of its own for each look: the number of looks is not bounded by the queue's receive count, but by
        // the age at which the batch is given up.
        let next = JobMessage::Poll {
            batch: id,
            attempt: attempt.saturating_add(1),
        };
        Ok(self.jobs.send(&[next], poll_delay(attempt)).await?)
    }

    /// Looks at a batch and settles what can be settled.
    async fn look(&self, batch: &ImportBatch, deadline: Deadline) -> Result<Progress, PollError> {
        match batch.state {
            BatchState::Settled => Ok(Progress::Settled),
            BatchState::Submitting
                if self.clock.now() < batch.recorded_at + SUBMISSION_ENDS_AFTER =>
            {
                Ok(Progress::Running)
            }
            BatchState::Submitting => {
                tracing::warn!(batch = %batch.id, "a batch has no job; what Norce has is read back");
                let rest = self
                    .confirm_what_norce_has(batch, batch.lines.clone(), deadline)
                    .await?;
                self.submit_again(batch, rest, true).await?;
                self.settled(batch).await
            }
            BatchState::Submitted { job } => match self.norce.job(job, deadline).await? {
                Some(Job {
                    status: JobStatus::Running,
                    ..
                }) => Ok(Progress::Running),
                Some(job) => self.ended(batch, &job, deadline).await,
                None => {
                    tracing::warn!(batch = %batch.id, %job, "Norce does not know the job; what Norce has is read back");
                    let rest = self
                        .confirm_what_norce_has(batch, batch.lines.clone(), deadline)
                        .await?;
                    self.submit_again(batch, rest, true).await?;
                    self.settled(batch).await
                }
            },
        }
    }

    /// Settles the lines of a job that has ended.
    async fn ended(
        &self,
        batch: &ImportBatch,
        job: &Job,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let succeeded = job.status == JobStatus::Succeeded;
        // Of codes alone Query tells more than the log. Anything else can be imported in part, which only the log says.
        let log =
            if succeeded && job.failed == 0 && batch.lines.iter().all(ImportLine::is_code_only) {
                Vec::new()
            } else {
                self.norce.job_log(job.id, deadline).await?
            };
        let told = Told::of(&batch.lines, &log);
        if succeeded && told.refused.len() >= job.failed as usize {
            self.refuse_rows(batch, job, &told).await?;
            return self.carried_out(batch, job, &told, deadline).await;
        }
        if told.refused.is_empty()
            && let [line] = batch.lines.as_slice()
        {
            return self.failed_alone(batch, job, line, &log, deadline).await;
        }
        self.refuse_rows(batch, job, &told).await?;
        let halve = told.refused.is_empty();
        let rest = told.taken.into_iter().cloned().collect();
        let rest = self.confirm_what_norce_has(batch, rest, deadline).await?;
        self.submit_again(batch, rest, halve).await?;
        self.settled(batch).await
    }

    async fn refuse_rows(
        &self,
        batch: &ImportBatch,
        job: &Job,
        told: &Told<'_>,
    ) -> Result<(), PollError> {
        for (line, message) in &told.refused {
            let detail = format!("Norce refused the row (job {}): {message}", job.id);
            self.refuse(batch, line, Reason::Validation, &detail)
                .await?;
        }
        Ok(())
    }

    /// Norce says that it has carried lines out: they are confirmed once it shows them, and owed if it never does.
    async fn carried_out(
        &self,
        batch: &ImportBatch,
        job: &Job,
        told: &Told<'_>,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let taken: Vec<ImportLine> = told.taken.iter().copied().cloned().collect();
        let (shown, unseen) = self.shown(batch, taken, deadline).await?;
        let mut hidden = self.confirm(batch, shown, told, deadline).await?;
        hidden.extend(unseen);
        if hidden.is_empty() {
            return self.settled(batch).await;
        }
        if self.age(batch) >= self.give_up_after {
            let detail = format!(
                "Norce says that job {} has imported the row, and does not show what it said: see what removes it in Norce, another integration or a rule there; the next change or pass submits it again",
                job.id
            );
            for line in &hidden {
                self.refuse(batch, line, Reason::TimedOut, &detail).await?;
            }
            return self.settled(batch).await;
        }
        tracing::info!(batch = %batch.id, job = %job.id, lines = hidden.len(), "Norce does not show yet what it has imported");
        if hidden.len() == batch.lines.len() {
            return Ok(Progress::Running);
        }
        self.look_again_at(batch, job, hidden).await?;
        self.settled(batch).await
    }

    /// Lines of a job that need another look become a batch of their own, so that the others are settled once. Its look is
    /// planned before it is recorded, and its id is always the same, so that a crash anywhere only repeats that.
    async fn look_again_at(
        &self,
        batch: &ImportBatch,
        job: &Job,
        lines: Vec<ImportLine>,
    ) -> Result<(), PollError> {
        let rest = ImportBatch {
            id: Uuid::new_v5(&batch.id, b"lines that Norce does not show yet"),
            lines,
            state: BatchState::Submitting,
            ..batch.clone()
        };
        self.look_again(rest.id, 0).await?;
        self.import_jobs.record(&rest).await?;
        Ok(self.import_jobs.submitted(rest.id, job.id).await?)
    }

    /// The only row of a job failed, or the job failed before it came to its row.
    async fn failed_alone(
        &self,
        batch: &ImportBatch,
        job: &Job,
        line: &ImportLine,
        log: &[JobLogEntry],
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let rest = vec![line.clone()];
        let rest = self.confirm_what_norce_has(batch, rest, deadline).await?;
        if rest.is_empty() {
            return self.settled(batch).await;
        }
        let words = words(job, log);
        // A job that names no row has failed by itself: Norce's fault, which mostly passes.
        let is_of_norce = job.status == JobStatus::Failed;
        if is_of_norce && self.age(batch) < REMOTE_FAULT_OWED_AFTER {
            self.submit_again(batch, rest, false).await?;
            return self.settled(batch).await;
        }
        let reason = if is_of_norce {
            Reason::RemoteFault
        } else {
            Reason::Validation
        };
        self.refuse(batch, line, reason, &words).await?;
        self.settled(batch).await
    }

    /// The configured time is over: what Norce does not have now is owed.
    async fn give_up(
        &self,
        batch: &ImportBatch,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let rest = self
            .confirm_what_norce_has(batch, batch.lines.clone(), deadline)
            .await?;
        self.owe(batch, &rest).await?;
        self.settled(batch).await
    }

    /// What Norce has cannot be read, and will not be: every line is owed. Where Norce has it after all, the next look
    /// at the entity resolves that.
    async fn give_up_unread(
        &self,
        batch: &ImportBatch,
        error: &PollError,
    ) -> Result<(), PollError> {
        let days = self.age(batch).as_secs() / (24 * 3_600);
        tracing::error!(batch = %batch.id, days, %error, lines = batch.lines.len(), "a batch is given up, because its outcome cannot be read from Norce: its lines are owed and tried again");
        let detail = format!(
            "what became of the import cannot be read from Norce ({error}): mend that; the code is submitted again by itself, other fields by the next pass"
        );
        for line in &batch.lines {
            self.refuse(batch, line, Reason::TimedOut, &detail).await?;
        }
        self.settled(batch).await?;
        Ok(())
    }

    async fn owe(&self, batch: &ImportBatch, lines: &[ImportLine]) -> Result<(), PollError> {
        let hours = self.give_up_after.as_secs() / 3_600;
        for line in lines {
            let detail = format!(
                "Norce has not finished the import in {hours} h: look at its integration status in Norce Admin; the next change or pass submits the code again"
            );
            self.refuse(batch, line, Reason::TimedOut, &detail).await?;
        }
        Ok(())
    }

    /// Reads back: lines that Norce has carried out are confirmed; the others are returned, and with them those of which
    /// only the job could tell.
    async fn confirm_what_norce_has(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        deadline: Deadline,
    ) -> Result<Vec<ImportLine>, PollError> {
        let ids: Vec<NorceId> = lines
            .iter()
            .filter(|line| line.is_code_only())
            .filter_map(|line| line.id)
            .collect();
        let codes: HashMap<NorceId, Option<Code>> = if ids.is_empty() {
            HashMap::new()
        } else {
            let codes = self.query.codes(batch.kind, batch.scope, &ids, deadline);
            codes.await?.into_iter().collect()
        };
        let is_there = |line: &ImportLine| match line.id {
            // Inserted or not: its code tells.
            None => true,
            Some(id) => {
                line.is_code_only()
                    && codes
                        .get(&id)
                        .is_some_and(|code| code.as_ref() == Some(&line.code))
            }
        };
        let (there, mut missing): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_there);
        let told = Told::default();
        missing.extend(self.confirm(batch, there, &told, deadline).await?);
        Ok(missing)
    }

    /// Lines that Norce shows as carried out, and the others. Fields other than the code and relations are not compared:
    /// only the ERP has their values. An insert is looked up by its code when it is confirmed. A line whose entity has
    /// another code by now is left out: a later line speaks for that.
    async fn shown(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        deadline: Deadline,
    ) -> Result<(Vec<ImportLine>, Vec<ImportLine>), PollError> {
        let (kind, scope) = (batch.kind, batch.scope);
        let ids: Vec<NorceId> = lines.iter().filter_map(|line| line.id).collect();
        let codes = self.query.codes(kind, scope, &ids, deadline).await?;
        let codes: HashMap<NorceId, Option<Code>> = codes.into_iter().collect();
        let contacts: Vec<NorceId> = lines.iter().flat_map(contacts_of).collect();
        let relations = match contacts.is_empty() {
            true => HashMap::new(),
            false => self.query.relations(scope, &contacts, deadline).await?,
        };
        let is_related = |customer: NorceId, company: NorceId| {
            let companies = relations.get(&customer);
            companies.is_some_and(|companies| companies.iter().any(|it| it.company == company))
        };
        let is_shown = |line: &ImportLine| {
            let Some(id) = line.id else {
                return true;
            };
            let has_code = codes.get(&id).is_some_and(|code| {
                !line.fields.has(FieldGroup::Code)
                    || code
                        .as_ref()
                        .is_some_and(|code| code.is(&line.code, CodeCase::Ignored))
            });
            let has_company = line.company.is_none_or(|company| is_related(id, company));
            let has_left = |company: &NorceId| !is_related(id, *company);
            let has_left = line.former_companies.iter().all(has_left);
            has_code
                && has_company
                && has_left
                && line.contacts.iter().all(|contact| is_related(*contact, id))
        };
        let (shown, unseen): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_shown);
        Ok((shown, self.still_meant(batch, unseen).await?))
    }

    /// Lines whose code is still the one that the entity is bound to.
    async fn still_meant(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
    ) -> Result<Vec<ImportLine>, PollError> {
        let entities: Vec<EntityRef> = lines
            .iter()
            .filter_map(|line| delivery::entity(batch, line))
            .collect();
        let mappings = self.mappings.get_many(&entities).await?;
        let is_meant = |(line, mapping): &(ImportLine, Option<Mapping>)| match mapping {
            Some(Mapping::Bound(binding)) => binding.code == line.code,
            Some(Mapping::Reserved(_) | Mapping::Forgotten) | None => false,
        };
        // Only lines of entities come here: an insert counts as shown.
        let lines = lines.into_iter().zip(mappings).filter(is_meant);
        Ok(lines.map(|(line, _)| line).collect())
    }

    /// Notes that Norce has carried lines out, and what of them it has not. Inserts that it does not have after all are
    /// returned.
    async fn confirm(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        told: &Told<'_>,
        deadline: Deadline,
    ) -> Result<Vec<ImportLine>, PollError> {
        let now = self.clock.now();
        let (mappings, owed) = (self.mappings.as_ref(), self.owed.as_ref());
        let (inserts, updates): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.id.is_none());
        let other_logins = self.other_logins(batch, &updates, deadline).await?;
        for some in updates.chunks(WRITES_AT_ONCE) {
            let writes = some
                .iter()
                .map(|line| delivery::confirm(mappings, owed, batch, line, now));
            try_join_all(writes).await?;
            for line in some {
                if let Some(entity) = delivery::entity(batch, line) {
                    self.warn(batch, line, entity, told).await?;
                    if other_logins.contains(&entity.id) {
                        delivery::warn(mappings, owed, batch, line, entity, OTHER_LOGIN, now)
                            .await?;
                    }
                }
            }
            self.count_confirmed(some, now);
        }
        let mut missing = Vec::new();
        let mut confirmed = updates.len();
        let mut companies: Vec<NorceId> = updates
            .iter()
            .filter(|line| line.fields.has(FieldGroup::Code))
            .filter_map(|line| line.id)
            .collect();
        if !inserts.is_empty() {
            let ids = self.ids_by_code(batch, &inserts, deadline).await?;
            for line in inserts {
                match ids.get(&line.code) {
                    Some(id) => {
                        delivery::inserted(mappings, owed, batch, &line, *id, now).await?;
                        let entity = EntityRef {
                            kind: batch.kind,
                            scope: batch.scope,
                            id: *id,
                        };
                        self.warn(batch, &line, entity, told).await?;
                        self.count_confirmed(std::slice::from_ref(&line), now);
                        companies.push(*id);
                        confirmed += 1;
                    }
                    None => missing.push(line),
                }
            }
        }
        if batch.kind == EntityKind::Company {
            self.end_waiting(batch, &companies).await?;
        }
        if confirmed > 0 {
            tracing::info!(batch = %batch.id, lines = confirmed, "lines confirmed");
        }
        Ok(missing)
    }

    /// Of lines that set an e-mail address, the customers that log in with another one.
    async fn other_logins(
        &self,
        batch: &ImportBatch,
        lines: &[ImportLine],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, PollError> {
        if batch.kind != EntityKind::Customer {
            return Ok(Vec::new());
        }
        let set_email = |line: &&ImportLine| line.fields.has(FieldGroup::ContactDetails);
        let customers = lines.iter().filter(set_email);
        let customers: Vec<NorceId> = customers.filter_map(|line| line.id).collect();
        if customers.is_empty() {
            return Ok(Vec::new());
        }
        let logins = self
            .query
            .with_another_login(batch.scope, &customers, deadline);
        Ok(logins.await?)
    }

    /// Owes what Norce has left out of a line.
    async fn warn(
        &self,
        batch: &ImportBatch,
        line: &ImportLine,
        entity: EntityRef,
        told: &Told<'_>,
    ) -> Result<(), PollError> {
        let Some(detail) = told.warning(line) else {
            return Ok(());
        };
        self.metrics.count(Metric::ImportLines, "warned");
        tracing::warn!(%entity, code = %line.code, detail, correlation = %line.correlation, "Norce imported a row with a warning");
        if line.is_code_only() {
            // Norce shows the code, and there was nothing else.
            return Ok(());
        }
        let (mappings, owed, now) = (self.mappings.as_ref(), self.owed.as_ref(), self.clock.now());
        Ok(delivery::warn(mappings, owed, batch, line, entity, &detail, now).await?)
    }

    fn count_confirmed(&self, lines: &[ImportLine], now: DateTime<Utc>) {
        let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.metrics.record(Metric::ImportLines, "confirmed", count);
        let ordered = lines.iter().filter_map(|line| line.ordered_at);
        for time in ordered.filter_map(|at| (now - at).to_std().ok()) {
            self.metrics.time(Metric::OrderToCodeSeconds, "", time);
        }
    }

    /// Norce's ids of records that were inserted, by their codes; of a code that it has twice, none.
    async fn ids_by_code(
        &self,
        batch: &ImportBatch,
        lines: &[ImportLine],
        deadline: Deadline,
    ) -> Result<HashMap<Code, NorceId>, PollError> {
        let mut ids: HashMap<Code, Option<NorceId>> = HashMap::new();
        for lines in lines.chunks(LOOKED_UP_AT_ONCE) {
            let asked: Vec<Asked> = lines
                .iter()
                .map(|line| Asked {
                    code: line.code.clone(),
                    keys: Vec::new(),
                })
                .collect();
            let look_up = self
                .query
                .look_up(batch.kind, batch.scope, &asked, deadline)
                .await?;
            for found in look_up.found.into_iter().filter(|found| !found.forgotten) {
                if let Some(code) = found.code {
                    ids.entry(code)
                        .and_modify(|id| *id = None)
                        .or_insert(Some(found.id));
                }
            }
        }
        Ok(ids
            .into_iter()
            .filter_map(|(code, id)| Some((code, id?)))
            .collect())
    }

    /// Norce has these companies now: lines that waited for them go on their way. Sent before the waiting ends, so that
    /// a crash in between repeats what changes nothing.
    async fn end_waiting(
        &self,
        batch: &ImportBatch,
        companies: &[NorceId],
    ) -> Result<(), PollError> {
        let entities: Vec<EntityRef> = companies
            .iter()
            .map(|id| EntityRef::company(batch.scope, *id))
            .collect();
        let mappings = self.mappings.get_many(&entities).await?;
        for (company, mapping) in entities.into_iter().zip(mappings) {
            let Some(Mapping::Bound(Binding { erp_id, code, .. })) = mapping else {
                continue;
            };
            for scope in self.shops.that_see(batch.scope) {
                self.send_waiting(scope, company, &erp_id, &code).await?;
            }
        }
        Ok(())
    }

    /// Sends the lines of a register that wait for a company.
    async fn send_waiting(
        &self,
        scope: Scope,
        company: EntityRef,
        erp_id: &ErpId,
        code: &Code,
    ) -> Result<(), PollError> {
        let waiting = self.passes.waiting_for_company(scope, erp_id).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let request = |kind, scope, lines| ImportRequest {
            kind,
            scope,
            lines,
            alone: false,
            since: None,
        };
        let (inserts, contacts): (Vec<_>, Vec<_>) =
            waiting.iter().cloned().partition(|line| line.id.is_none());
        let mut requests = Vec::new();
        for contacts in contacts.chunks(CONTACTS_IN_A_ROW) {
            let Some(first) = contacts.first() else {
                continue;
            };
            // One row of the company relates many of them.
            let line = ImportLine {
                id: Some(company.id),
                code: code.clone(),
                fields: FieldGroups::NONE,
                record: None,
                company: None,
                contacts: contacts.iter().filter_map(|line| line.id).collect(),
                former_companies: Vec::new(),
                ordered_at: None,
                correlation: first.correlation,
            };
            requests.push(request(EntityKind::Company, company.scope, vec![line]));
        }
        for inserts in inserts.chunks(LINES_IN_A_MESSAGE) {
            let lines = inserts.iter().cloned().map(|line| ImportLine {
                company: Some(company.id),
                ..line
            });
            requests.push(request(EntityKind::Customer, scope, lines.collect()));
        }
        self.imports.send(&requests, Duration::ZERO).await?;
        self.passes
            .stop_waiting(scope, erp_id, &waiting, self.clock.now())
            .await?;
        tracing::info!(%company, %scope, lines = waiting.len(), "lines no longer wait for their company");
        Ok(())
    }

    async fn refuse(
        &self,
        batch: &ImportBatch,
        line: &ImportLine,
        reason: Reason,
        detail: &str,
    ) -> Result<(), PollError> {
        let (mappings, owed) = (self.mappings.as_ref(), self.owed.as_ref());
        delivery::refuse(
            mappings,
            owed,
            batch,
            line,
            reason,
            detail,
            self.clock.now(),
        )
        .await?;
        let result = match reason {
            Reason::TimedOut => "timed-out",
            _ => "refused",
        };
        self.metrics.count(Metric::ImportLines, result);
        let entity = delivery::entity(batch, line).map(|entity| entity.to_string());
        tracing::warn!(entity, code = %line.code, reason = reason.as_str(), detail, correlation = %line.correlation, "code is owed");
        Ok(())
    }

    /// Submits lines again as jobs of their own: as one, or, where nothing told which row is to blame, in halves, so
    /// that a poison row is alone in the end (P9). Lines that are too old by now are given up instead.
    async fn submit_again(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        halve: bool,
    ) -> Result<(), PollError> {
        if lines.is_empty() {
            return Ok(());
        }
        let age = self.age(batch);
        if age >= self.give_up_after {
            return self.owe(batch, &lines).await;
        }
        let delay = (age / RESUBMIT_AFTER_AGE_DIVIDED_BY).min(MAX_DELAY);
        tracing::info!(batch = %batch.id, lines = lines.len(), halve, delay_ms = delay.as_millis(), "lines are submitted again");
        let requests = if halve {
            delivery::halves(batch, &lines)
        } else {
            vec![delivery::again(batch, lines)]
        };
        Ok(self.imports.send(&requests, delay).await?)
    }

    fn age(&self, batch: &ImportBatch) -> Duration {
        (self.clock.now() - batch.since)
            .to_std()
            .unwrap_or_default()
    }

    /// Last of all, so that a crash before it only repeats what changes nothing.
    async fn settled(&self, batch: &ImportBatch) -> Result<Progress, PollError> {
        self.import_jobs.settle(batch.id).await?;
        Ok(Progress::Settled)
    }
}

/// The wait before the next look, from 2 s to 15 min.
fn poll_delay(attempt: u32) -> Duration {
    FIRST_POLL
        .saturating_mul(1 << attempt.min(16))
        .min(MAX_DELAY)
}

/// Customers whose relation to a company a line makes.
fn contacts_of(line: &ImportLine) -> impl Iterator<Item = NorceId> {
    let own = line
        .id
        .filter(|_| line.company.is_some() || !line.former_companies.is_empty());
    own.into_iter().chain(line.contacts.iter().copied())
}

/// What a job's log says about its lines.
#[derive(Default)]
struct Told<'l> {
    /// Rows that failed, with Norce's words.
    refused: Vec<(&'l ImportLine, &'l str)>,
    /// The others.
    taken: Vec<&'l ImportLine>,
    /// Warnings about a row, and those of which Norce does not say which row they are about.
    warnings: Vec<(Option<&'l ImportLine>, &'l str)>,
}

impl<'l> Told<'l> {
    fn of(lines: &'l [ImportLine], log: &'l [JobLogEntry]) -> Self {
        let mut told = Self::default();
        for line in lines {
            let mut errors = log.iter().filter(|entry| entry.is_error);
            match errors.find(|entry| is_about(entry, line)) {
                Some(entry) => told.refused.push((line, &entry.message)),
                None => told.taken.push(line),
            }
        }
        // A bare code cannot be carried out in part.
        let mut full = told.taken.iter().filter(|line| !line.is_code_only());
        let only = full.next().filter(|_| full.next().is_none());
        let warnings = log.iter().filter(|entry| entry.is_warning).map(|entry| {
            let named = told.taken.iter().find(|line| is_about(entry, line));
            (named.or(only).copied(), entry.message.as_str())
        });
        told.warnings = warnings.collect();
        told
    }

    /// What Norce left out of a line, in words; `None`: nothing.
    fn warning(&self, line: &ImportLine) -> Option<String> {
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
                own.join("; ")
            )),
            (true, false) => Some(format!(
                "Norce imported a part of a row only, and does not say which of {rows} rows it is: {}; {advice}",
                of_any.join("; ")
            )),
        }
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

fn words(job: &Job, log: &[JobLogEntry]) -> String {
    let errors = log.iter().filter(|entry| entry.is_error);
    let said: Vec<&str> = errors.map(|entry| entry.message.as_str()).collect();
    let said = if said.is_empty() {
        "its log says nothing".to_owned()
    } else {
        said.join("; ")
    };
    let status = match job.status {
        JobStatus::ValidationFailed => "failed validation",
        _ => "failed",
    };
    format!("Norce's job {} {status}: {said}", job.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_from_every_two_seconds_to_every_quarter_of_an_hour() {
        assert_eq!(poll_delay(0), Duration::from_secs(2));
        assert_eq!(poll_delay(3), Duration::from_secs(16));
        assert_eq!(poll_delay(u32::MAX), Duration::from_secs(15 * 60));
    }
}
