use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use shared::{
    domain::{EntityKind, ImportLine, JobId, Scope},
    import_jobs::{BatchState, DynamoDbImportJobs, ImportBatch, ImportJobs},
};
use tests::memory::MemoryImportJobs;
use uuid::Uuid;

use crate::{application, code, local, minute, norce_id, suite};

type Store = Arc<dyn ImportJobs>;

fn memory() -> Store {
    Arc::new(MemoryImportJobs::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(DynamoDbImportJobs::new(&config, table))
}

suite! {
    p9_a_batch_is_there_before_its_job_is_known,
    a_batch_is_found_by_its_job,
    p9_the_largest_batch_fits,
    recording_again_changes_nothing,
    p9_a_settled_batch_stays_settled_and_has_no_lines,
    a_batch_that_norce_did_not_take_can_be_withdrawn,
    p9_a_batch_that_has_its_job_cannot_be_withdrawn,
    what_is_not_there_is_not_made,
    noting_the_job_and_settling_at_the_same_time_ends_settled,
    what_is_not_settled_is_listed_the_oldest_first,
}

/// Kept in whole seconds.
fn ordered_at() -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(minute(7).timestamp(), 0)
}

fn line(id: i64, text: &str) -> ImportLine {
    ImportLine {
        // Of every second one, it is known when it was ordered.
        ordered_at: ordered_at().filter(|_| id % 2 == 1),
        ..ImportLine::code(norce_id(id), code(text), Uuid::new_v4())
    }
}

fn batch() -> ImportBatch {
    ImportBatch {
        id: Uuid::new_v4(),
        kind: EntityKind::Company,
        scope: Scope::Application(application(3)),
        lines: vec![line(1, "C1"), line(2, "Å \"2\" [,]")],
        state: BatchState::Submitting,
        recorded_at: minute(0),
        since: minute(0),
    }
}

fn with_state(batch: &ImportBatch, state: BatchState) -> ImportBatch {
    ImportBatch {
        state,
        ..batch.clone()
    }
}

fn settled(batch: &ImportBatch) -> ImportBatch {
    ImportBatch {
        lines: Vec::new(),
        ..with_state(batch, BatchState::Settled)
    }
}

const JOB: JobId = JobId(9_876_543_210);

async fn p9_a_batch_is_there_before_its_job_is_known(store: Store) {
    let batch = batch();
    assert_eq!(store.get(batch.id).await.unwrap(), None);
    store.record(&batch).await.unwrap();
    assert_eq!(store.get(batch.id).await.unwrap(), Some(batch));
    assert_eq!(store.by_job(JOB).await.unwrap(), None);
}

async fn a_batch_is_found_by_its_job(store: Store) {
    let (one, other) = (batch(), batch());
    for batch in [&one, &other] {
        store.record(batch).await.unwrap();
    }
    // Twice: the caller may have been cut off after the first time.
    for _ in 0..2 {
        store.submitted(one.id, JOB).await.unwrap();
        let submitted = with_state(&one, BatchState::Submitted { job: JOB });
        let found = store.by_job(JOB).await.unwrap();
        assert_eq!(found.as_ref(), Some(&submitted));
        assert_eq!(store.get(one.id).await.unwrap(), Some(submitted));
    }
    assert_eq!(store.get(other.id).await.unwrap(), Some(other));
}

async fn p9_the_largest_batch_fits(store: Store) {
    let longest = "\u{1F600}".repeat(50);
    let lines = (0..500).map(|n| line(i64::from(i32::MAX) - n, &longest));
    let batch = ImportBatch {
        lines: lines.collect(),
        ..batch()
    };
    store.record(&batch).await.unwrap();
    assert_eq!(store.get(batch.id).await.unwrap(), Some(batch));
}

async fn recording_again_changes_nothing(store: Store) {
    let batch = batch();
    store.record(&batch).await.unwrap();
    store.submitted(batch.id, JOB).await.unwrap();
    let different = ImportBatch {
        lines: vec![line(9, "C9")],
        recorded_at: minute(9),
        ..batch.clone()
    };
    store.record(&different).await.unwrap();
    let stored = store.get(batch.id).await.unwrap();
    let submitted = with_state(&batch, BatchState::Submitted { job: JOB });
    assert_eq!(stored, Some(submitted));
}

async fn p9_a_settled_batch_stays_settled_and_has_no_lines(store: Store) {
    let batch = batch();
    store.record(&batch).await.unwrap();
    store.submitted(batch.id, JOB).await.unwrap();
    for _ in 0..2 {
        store.settle(batch.id).await.unwrap();
        assert_eq!(store.get(batch.id).await.unwrap(), Some(settled(&batch)));
        assert_eq!(store.by_job(JOB).await.unwrap(), Some(settled(&batch)));
        store.submitted(batch.id, JOB).await.unwrap();
        store.record(&batch).await.unwrap();
        store.withdraw(batch.id).await.unwrap();
    }
    assert_eq!(store.get(batch.id).await.unwrap(), Some(settled(&batch)));
}

async fn a_batch_that_norce_did_not_take_can_be_withdrawn(store: Store) {
    let batch = batch();
    store.record(&batch).await.unwrap();
    for _ in 0..2 {
        store.withdraw(batch.id).await.unwrap();
        assert_eq!(store.get(batch.id).await.unwrap(), None);
    }
}

async fn p9_a_batch_that_has_its_job_cannot_be_withdrawn(store: Store) {
    let batch = batch();
    store.record(&batch).await.unwrap();
    store.submitted(batch.id, JOB).await.unwrap();
    store.withdraw(batch.id).await.unwrap();
    let submitted = with_state(&batch, BatchState::Submitted { job: JOB });
    assert_eq!(store.get(batch.id).await.unwrap(), Some(submitted));
}

async fn what_is_not_there_is_not_made(store: Store) {
    let unknown = Uuid::new_v4();
    store.submitted(unknown, JOB).await.unwrap();
    store.settle(unknown).await.unwrap();
    store.withdraw(unknown).await.unwrap();
    assert_eq!(store.get(unknown).await.unwrap(), None);
    assert_eq!(store.by_job(JOB).await.unwrap(), None);
}

async fn noting_the_job_and_settling_at_the_same_time_ends_settled(store: Store) {
    for n in 0..8 {
        let batch = batch();
        store.record(&batch).await.unwrap();
        let (noted, done) =
            tokio::join!(store.submitted(batch.id, JobId(n)), store.settle(batch.id));
        noted.and(done).unwrap();
        assert_eq!(store.get(batch.id).await.unwrap(), Some(settled(&batch)));
    }
}

#[tokio::test]
async fn only_what_is_settled_expires() {
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = DynamoDbImportJobs::new(&config, &table);
    let (open, done) = (batch(), batch());
    for (job, batch) in [(JobId(1), &open), (JobId(2), &done)] {
        store.record(batch).await.unwrap();
        store.submitted(batch.id, job).await.unwrap();
    }
    store.settle(done.id).await.unwrap();

    let in_thirty_days = minute(30 * 24 * 60).timestamp().to_string();
    let items = local::scan(&config, &table).await;
    let expiries: BTreeMap<&str, Option<&str>> = items
        .iter()
        .map(|item| {
            let expiry = item.get("expires_at");
            let expiry = expiry.map(|expiry| expiry.as_n().unwrap().as_str());
            (item["pk"].as_s().unwrap().as_str(), expiry)
        })
        .collect();
    let [open, done] = [open.id, done.id].map(|id| format!("batch#{id}"));
    let expected = BTreeMap::from([
        (open.as_str(), None),
        ("job#1", None),
        (done.as_str(), Some(in_thirty_days.as_str())),
        ("job#2", Some(in_thirty_days.as_str())),
    ]);
    assert_eq!(expiries, expected);
}

/// An item may have 400 KB; the largest batch stays below a third of that.
#[tokio::test]
async fn the_largest_batch_is_far_below_the_limit() {
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = DynamoDbImportJobs::new(&config, &table);
    let longest = "\u{1F600}".repeat(50);
    let lines = (0..500).map(|n| ImportLine {
        ordered_at: ordered_at(),
        ..line(i64::from(i32::MAX) - n, &longest)
    });
    let batch = ImportBatch {
        lines: lines.collect(),
        ..batch()
    };
    store.record(&batch).await.unwrap();
    let items = local::scan(&config, &table).await;
    let bytes = |attribute: &str| items[0][attribute].as_s().unwrap().len();
    let bytes = bytes("lines") + bytes("ordered");
    assert!(bytes <= 132 * 1000, "{bytes}");
}

async fn what_is_not_settled_is_listed_the_oldest_first(store: Store) {
    assert_eq!(store.open().await.unwrap(), []);
    let at = |minutes| ImportBatch {
        recorded_at: minute(minutes),
        ..batch()
    };
    let (young, old, done) = (at(9), at(1), at(3));
    for batch in [&young, &old, &done] {
        store.record(batch).await.unwrap();
    }
    store.submitted(old.id, JobId(1)).await.unwrap();
    store.submitted(done.id, JobId(2)).await.unwrap();
    store.settle(done.id).await.unwrap();
    let old = with_state(&old, BatchState::Submitted { job: JobId(1) });
    assert_eq!(store.open().await.unwrap(), [old, young]);
}
