//! `submit-imports` and `poll-jobs`: when a job is polled, and when its lines are submitted again or given up.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use chrono::TimeDelta;
use http::StatusCode;
use shared::{
    domain::{
        Clock, EntityKind, ErpId, FieldGroup, FieldGroups, ImportLine, ImportRequest, JobId,
        JobMessage, Resource, Scope,
    },
    http::Deadline,
    import_jobs::{BatchState, ImportBatch, ImportJobs},
    mappings::{Binding, CodeDelivery, Mappings},
    norce::{
        CallError, ImportRow, ImportShape, Job, JobLogEntry, JobStatus, NorceError, NorceImports,
        SubmittedImport,
    },
    owed::Reason,
    passes::Passes,
    queues::Queue,
    runtime::batch::{Handler, Outcome, Received},
};
use tests::{
    bundle::{Bundle, Options, company, id},
    business_central_simulator::Fault,
    limits::at_both_ends,
    norce_simulator::{Effect, Endpoint, NewCompany, When},
    samples::person,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    SECOND,
    batch::{Fate, Fates},
    batch_of, request_of,
};

fn deaf() -> Bundle {
    let bundle = Bundle::new(&Options::default());
    bundle.unsubscribe();
    bundle
}

async fn handle(bundle: &Bundle, message: JobMessage, receive_count: u32) -> Outcome {
    let received = Received {
        message,
        receive_count,
    };
    let deadline = Deadline::after(100 * SECOND);
    bundle.poll_jobs.handle(received, deadline).await
}

async fn look(bundle: &Bundle, batch: Uuid, attempt: u32) -> Outcome {
    handle(bundle, JobMessage::Poll { batch, attempt }, 1).await
}

/// A batch with the code of a customer, recorded now.
async fn recorded(bundle: &Bundle, state: BatchState) -> ImportBatch {
    let number = bundle.norce.add_customer(person(1));
    let now = bundle.clock.now();
    let code = "C1".parse().unwrap();
    let line = ImportLine::code(id(number), code, Uuid::new_v4());
    let batch = batch_of(EntityKind::Customer, line, now);
    bundle.import_jobs.record(&batch).await.unwrap();
    if let BatchState::Submitted { job } = state {
        bundle.import_jobs.submitted(batch.id, job).await.unwrap();
    }
    batch
}

async fn is_settled(bundle: &Bundle, batch: &ImportBatch) -> bool {
    let stored = bundle.import_jobs.get(batch.id).await.unwrap().unwrap();
    stored.state == BatchState::Settled
}

#[tokio::test(start_paused = true)]
async fn p9_a_batch_without_a_job_is_read_back_two_minutes_after_it_was_recorded() {
    at_both_ends(Duration::from_secs(2 * 60), async |age| {
        let bundle = deaf();
        let batch = recorded(&bundle, BatchState::Submitting).await;
        tokio::time::sleep(age).await;
        assert_eq!(look(&bundle, batch.id, 6).await, Outcome::Done);
        let is_settled = is_settled(&bundle, &batch).await;
        // What Norce does not have is submitted again; or the next look comes.
        assert_eq!(bundle.imports.len(), usize::from(is_settled));
        assert_eq!(bundle.jobs.len(), usize::from(!is_settled));
        is_settled
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p9_a_batch_that_is_not_recorded_is_looked_for_at_six_looks() {
    at_both_ends(6, async |looks| {
        let bundle = deaf();
        assert_eq!(look(&bundle, Uuid::new_v4(), looks).await, Outcome::Done);
        bundle.jobs.is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_next_look_at_a_job_comes_after_a_wait_that_doubles_to_a_quarter_of_an_hour() {
    for (attempt, seconds) in [(0, 2), (1, 4), (8, 512), (9, 900), (u32::MAX, 900)] {
        let bundle = deaf();
        bundle
            .norce
            .configure(|settings| settings.jobs.never_finish = true);
        let batch = recorded(&bundle, BatchState::Submitting).await;
        look(&bundle, batch.id, attempt).await;
        let due = bundle.jobs.next_visible_at().unwrap();
        let wait = Duration::from_secs(seconds);
        assert_eq!(due - Instant::now(), wait, "{attempt}");
    }
}

#[tokio::test(start_paused = true)]
async fn lines_are_submitted_again_after_a_quarter_of_their_age_and_a_quarter_of_an_hour_at_most() {
    for (age, wait) in [(180, 45), (3_599, 899), (3_600, 900), (20 * 3_600, 900)] {
        let bundle = deaf();
        let batch = recorded(&bundle, BatchState::Submitting).await;
        tokio::time::sleep(Duration::from_secs(age)).await;
        look(&bundle, batch.id, 6).await;
        let due = bundle.imports.next_visible_at().unwrap() - Instant::now();
        assert_eq!(due.as_secs(), wait, "{age}");
    }
}

async fn owed(bundle: &Bundle) -> Vec<Reason> {
    let owed = bundle.owed.list().await.unwrap();
    owed.iter().map(|owed| owed.reason).collect()
}

/// What Norce answers, or that it does not.
#[tokio::test(start_paused = true)]
async fn p9_lines_are_owed_after_a_day_and_while_norce_does_not_answer_after_fourteen() {
    let job = BatchState::Submitted { job: JobId(1) };
    let cases = [
        (BatchState::Submitting, 200, 1),
        (job, 404, 1),
        (job, 400, 1),
        (job, 503, 14),
        (job, 429, 14),
    ];
    for (state, status, days) in cases {
        // In minutes: what is repeated within a call takes seconds.
        at_both_ends(days * 24 * 60_u64, async |age| {
            let bundle = deaf();
            let batch = recorded(&bundle, state).await;
            tokio::time::sleep(Duration::from_secs(60 * age)).await;
            if status != 200 {
                bundle
                    .norce
                    .inject(&[Endpoint::JobGet], When::Always, Effect::status(status));
            }
            look(&bundle, batch.id, 100).await;
            match owed(&bundle).await.as_slice() {
                [] => false,
                owed => {
                    assert_eq!(owed, [Reason::TimedOut], "{status}");
                    assert!(is_settled(&bundle, &batch).await);
                    true
                }
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_job_that_cannot_be_looked_at_is_left_to_its_poll_at_the_tenth_delivery() {
    at_both_ends(10, async |deliveries| {
        let bundle = deaf();
        let job = JobId(1);
        recorded(&bundle, BatchState::Submitted { job }).await;
        bundle
            .norce
            .inject(&[Endpoint::JobGet], When::Always, Effect::status(503));
        let completed = JobMessage::Completed { job: job.0 };
        handle(&bundle, completed, deliveries).await == Outcome::Done
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p13_lines_are_submitted_while_ten_seconds_are_left() {
    at_both_ends(10 * SECOND, async |left| {
        let bundle = deaf();
        let number = bundle.norce.add_customer(person(1));
        let line = ImportLine::code(id(number), "C1".parse().unwrap(), Uuid::new_v4());
        let request = request_of(EntityKind::Customer, vec![line]);
        bundle
            .imports
            .send(&[request], Duration::ZERO)
            .await
            .unwrap();
        bundle.submit_within(left).await;
        let is_submitted = bundle.norce.imports().len() == 1;
        // Otherwise it is there for somebody who has time, at once.
        assert_eq!(bundle.imports.receive(1).len(), usize::from(!is_submitted));
        is_submitted
    })
    .await;
}

/// Contacts that wait for a company, of which so many are to be inserted, and so many related.
async fn waiting(bundle: &Bundle, inserts: usize, related: usize) -> Vec<ImportRequest> {
    let number = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    let erp_id = |name: String| ErpId {
        resource: Resource::Contact,
        id: name,
    };
    let organisation = ErpId {
        resource: Resource::Customer,
        id: "organisation".to_owned(),
    };
    let binding = Binding::new(
        "B1".parse().unwrap(),
        organisation.clone(),
        CodeDelivery::Pending,
    );
    let bound = bundle.mappings.bind(company(number), binding).await;
    bound.unwrap();
    let now = bundle.clock.now();
    for contact in 0..inserts + related {
        let is_insert = contact < inserts;
        let number = i64::try_from(contact).unwrap() + 1;
        let line = ImportLine {
            id: (!is_insert).then(|| id(number)),
            code: format!("K{number}").parse().unwrap(),
            fields: FieldGroups::CODE,
            record: Some(erp_id(format!("contact {number}"))),
            company: None,
            contacts: Vec::new(),
            former_companies: Vec::new(),
            ordered_at: None,
            correlation: Uuid::new_v4(),
        };
        let waits = bundle
            .passes
            .wait_for_company(Scope::Client, &organisation, &line, now);
        waits.await.unwrap();
    }
    bundle.norce.change_company(number, |record| {
        record.row.company_code = Some("B1".to_owned())
    });
    // The batch of the company has no job: what Norce has is read back, and it has it.
    let line = ImportLine::code(id(number), "B1".parse().unwrap(), Uuid::new_v4());
    let batch = batch_of(EntityKind::Company, line, now - TimeDelta::hours(1));
    bundle.import_jobs.record(&batch).await.unwrap();
    look(bundle, batch.id, 6).await;
    let messages = bundle.imports.receive(100);
    let requests = messages.iter();
    requests
        .map(|message| serde_json::from_str(&message.body).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn inserts_that_waited_for_their_company_go_a_hundred_in_a_message() {
    at_both_ends(101, async |count| {
        let requests = waiting(&deaf(), count, 0).await;
        let lines: usize = requests.iter().map(|request| request.lines.len()).sum();
        assert_eq!(lines, count);
        requests.len() == 2
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn contacts_that_waited_for_their_company_go_a_thousand_in_a_row() {
    at_both_ends(1_001, async |count| {
        let requests = waiting(&deaf(), 0, count).await;
        let rows = requests.iter().flat_map(|request| &request.lines);
        let contacts: usize = rows.map(|row| row.contacts.len()).sum();
        assert_eq!(contacts, count);
        requests.len() == 2
    })
    .await;
}

/// A line of a customer, alone or with fields that are read from the ERP.
async fn send_line(bundle: &Bundle, kind: EntityKind, number: i64, record: Option<ErpId>) {
    let line = ImportLine {
        fields: match record {
            Some(_) => FieldGroups::of(&[FieldGroup::ContactDetails]),
            None => FieldGroups::CODE,
        },
        record,
        ..ImportLine::code(
            id(number),
            format!("C{number}").parse().unwrap(),
            Uuid::new_v4(),
        )
    };
    let request = request_of(kind, vec![line]);
    bundle
        .imports
        .send(&[request], Duration::ZERO)
        .await
        .unwrap();
}

/// Norce's client, with a bug where customers are imported.
struct Buggy(Arc<dyn NorceImports>);

#[async_trait]
impl NorceImports for Buggy {
    async fn import(
        &self,
        kind: EntityKind,
        scope: Scope,
        shape: ImportShape,
        rows: &[ImportRow],
        deadline: Deadline,
    ) -> Result<SubmittedImport, CallError> {
        assert_eq!(kind, EntityKind::Company, "a bug");
        self.0.import(kind, scope, shape, rows, deadline).await
    }

    async fn job(&self, job: JobId, deadline: Deadline) -> Result<Option<Job>, NorceError> {
        self.0.job(job, deadline).await
    }

    async fn job_log(
        &self,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Vec<JobLogEntry>, NorceError> {
        self.0.job_log(job, deadline).await
    }
}

/// Norce, with a job that succeeded and a log without the rows.
struct Warning(Vec<JobLogEntry>);

#[async_trait]
impl NorceImports for Warning {
    async fn import(
        &self,
        _: EntityKind,
        _: Scope,
        _: ImportShape,
        _: &[ImportRow],
        _: Deadline,
    ) -> Result<SubmittedImport, CallError> {
        panic!("nothing is imported")
    }

    async fn job(&self, job: JobId, _: Deadline) -> Result<Option<Job>, NorceError> {
        Ok(Some(Job {
            id: job,
            status: JobStatus::Succeeded,
            failed: 0,
            total: 0,
            last_updated: None,
        }))
    }

    async fn job_log(&self, _: JobId, _: Deadline) -> Result<Vec<JobLogEntry>, NorceError> {
        Ok(self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn p9_a_detail_has_the_first_warnings_without_a_row_and_the_number_of_the_others() {
    // Each twice, and of the length that the client lets through.
    let warning = |number: usize| JobLogEntry {
        is_error: false,
        is_warning: true,
        message: format!("warning {:>490}", number / 2),
        row: None,
    };
    let mut bundle = deaf();
    bundle.poll_jobs.norce = Arc::new(Warning((0..2_000).map(warning).collect()));
    let line = |number: i64| {
        let code = format!("C{number}").parse().unwrap();
        let code = ImportLine::code(
            id(bundle.norce.add_customer(person(number))),
            code,
            Uuid::new_v4(),
        );
        ImportLine {
            fields: FieldGroups::of(&[FieldGroup::ContactDetails]),
            ..code
        }
    };
    let lines: Vec<ImportLine> = (1..=500).map(line).collect();
    let batch = ImportBatch {
        lines: lines.clone(),
        ..batch_of(EntityKind::Customer, lines[0].clone(), bundle.clock.now())
    };
    bundle.import_jobs.record(&batch).await.unwrap();
    let job = JobId(1);
    bundle.import_jobs.submitted(batch.id, job).await.unwrap();
    assert_eq!(look(&bundle, batch.id, 0).await, Outcome::Done);
    assert!(is_settled(&bundle, &batch).await);
    let owed = bundle.owed.list().await.unwrap();
    assert_eq!(owed.len(), 500);
    for owed in owed {
        let is_named = |number: &usize| owed.detail.contains(&warning(2 * number).message);
        let named: Vec<usize> = (0..1_000).filter(is_named).collect();
        assert_eq!(named, [0, 1, 2]);
        for part in [
            "which of 500 rows",
            "and 997 more",
            "operator action `owed`",
        ] {
            assert!(owed.detail.contains(part), "{}", owed.detail);
        }
        assert!(owed.detail.chars().count() < 2_000, "{}", owed.detail);
    }
}

#[tokio::test(start_paused = true)]
async fn p6_lines_whose_submission_panics_wait_and_their_neighbours_are_submitted() {
    let mut bundle = deaf();
    bundle.submit_imports.norce = Arc::new(Buggy(bundle.submit_imports.norce.clone()));
    let firm = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        ..NewCompany::default()
    });
    let anna = bundle.norce.add_customer(person(1));
    send_line(&bundle, EntityKind::Customer, anna, None).await;
    send_line(&bundle, EntityKind::Company, firm, None).await;
    assert!(bundle.submit_within(100 * SECOND).await);
    assert_eq!(bundle.norce.imports().len(), 1, "the company's");
    assert_eq!(bundle.imports.len(), 1);
    let wait = bundle.imports.next_visible_at().unwrap() - Instant::now();
    assert!(wait >= SECOND && wait <= 2 * SECOND, "{wait:?}");
}

/// Norce is busy: for longest with rows that relate and set nothing.
struct Busy;

#[async_trait]
impl NorceImports for Busy {
    async fn import(
        &self,
        _: EntityKind,
        _: Scope,
        shape: ImportShape,
        _: &[ImportRow],
        _: Deadline,
    ) -> Result<SubmittedImport, CallError> {
        let seconds = match (shape.relations, shape.fields) {
            (false, _) => 60,
            (true, FieldGroups::NONE) => 1_700,
            (true, _) => 1_500,
        };
        Err(CallError::NotDone(NorceError::RetryAfter {
            after: Some(Duration::from_secs(seconds)),
            reason: "busy".to_owned(),
        }))
    }

    async fn job(&self, _: JobId, _: Deadline) -> Result<Option<Job>, NorceError> {
        panic!("nothing was submitted")
    }

    async fn job_log(&self, _: JobId, _: Deadline) -> Result<Vec<JobLogEntry>, NorceError> {
        panic!("nothing was submitted")
    }
}

/// What becomes of a message whose lines are of three shapes, and so become three jobs, while Norce is busy.
async fn fates_of_three_shapes(receive_count: u32) -> (Vec<Fate>, usize) {
    let mut bundle = deaf();
    bundle.submit_imports.norce = Arc::new(Busy);
    let firm = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        ..NewCompany::default()
    });
    let line = |number: i64, fields: FieldGroups, company: Option<i64>| {
        let customer = id(bundle.norce.add_customer(person(number)));
        let code = format!("C{number}").parse().unwrap();
        ImportLine {
            fields,
            company: company.map(id),
            ..ImportLine::code(customer, code, Uuid::new_v4())
        }
    };
    let lines = vec![
        line(1, FieldGroups::CODE, None),
        line(2, FieldGroups::CODE, Some(firm)),
        line(3, FieldGroups::NONE, Some(firm)),
    ];
    let mut record = SqsMessage::default();
    record.message_id = Some("id".to_owned());
    record.receipt_handle = Some("receipt".to_owned());
    let request = request_of(EntityKind::Customer, lines);
    record.body = Some(serde_json::to_string(&request).unwrap());
    let count = ("ApproximateReceiveCount", receive_count.to_string());
    record.attributes.insert(count.0.to_owned(), count.1);
    let mut event = SqsEvent::default();
    event.records.push(record);
    let fates = Fates::default();
    let source = bundle.source("imports", &fates);
    let deadline = Deadline::after(100 * SECOND);
    let response = bundle.submit_imports.handle(&event, source, deadline).await;
    // Each of the three has come to Norce.
    assert_eq!(bundle.jobs.len(), 3);
    (
        fates.0.into_inner().unwrap(),
        response.batch_item_failures.len(),
    )
}

#[tokio::test(start_paused = true)]
async fn p8_a_message_whose_lines_become_several_jobs_is_given_back_or_sent_again_once() {
    let (fates, given_back) = fates_of_three_shapes(1).await;
    assert_eq!(fates, [Fate::WaitsFor(Duration::from_secs(1_700))]);
    assert_eq!(given_back, 1);
    let (fates, given_back) = fates_of_three_shapes(500).await;
    assert_eq!(fates, [Fate::SentAnew { requeues: 1 }]);
    assert_eq!(given_back, 0);
}

#[tokio::test(start_paused = true)]
async fn p8_lines_wait_for_as_long_as_the_erp_asks_while_their_values_are_read() {
    for seconds in [8, 120] {
        let bundle = deaf();
        let anna = bundle.norce.add_customer(person(1));
        let new = serde_json::json!({"displayName": "Anna Ek", "type": "Person"});
        let company = bundle.erp_company();
        let record = bundle.erp.add_customer(company, &new).unwrap();
        let record = ErpId {
            resource: Resource::Customer,
            id: record.id.to_string(),
        };
        let wait = Duration::from_secs(seconds);
        let busy = Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(wait);
        bundle.erp.inject(busy);
        send_line(&bundle, EntityKind::Customer, anna, Some(record)).await;
        assert!(bundle.submit_within(20 * SECOND).await);
        assert!(bundle.norce.imports().is_empty());
        assert_eq!(bundle.owed.list().await.unwrap(), []);
        let due = bundle.imports.next_visible_at().unwrap() - Instant::now();
        assert!(due >= wait - SECOND && due <= wait, "{due:?}");
        // Then they go.
        bundle.erp.clear_faults();
        tokio::time::sleep(due + SECOND).await;
        assert!(bundle.submit_within(100 * SECOND).await);
        assert_eq!(bundle.norce.imports().len(), 1);
    }
}
