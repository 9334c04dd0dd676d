use std::sync::Arc;

use shared::activity::{Activity, ActivityPage, By, DynamoDbActivity, Entry, Outcome};
use tests::memory::MemoryActivity;
use uuid::Uuid;

use crate::{local, minute, suite};

type Store = Arc<dyn Activity>;

fn memory() -> Store {
    Arc::new(MemoryActivity::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(DynamoDbActivity::new(&config, table))
}

suite! {
    an_entry_is_started_and_completed,
    every_page_is_a_part_of_the_record_and_together_they_are_all_of_it,
}

pub(crate) fn entry(minutes: i64) -> Entry {
    Entry {
        id: Uuid::new_v4(),
        at: minute(minutes),
        by: By {
            name: None,
            user: "support-1".to_owned(),
            role: "act".to_owned(),
        },
        request: Some("8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        did: "dismiss".to_owned(),
        subjects: vec!["customer/client/1".to_owned()],
        asked: None,
        because: Some("ticket 4711".to_owned()),
        outcome: Outcome::Started,
    }
}

async fn an_entry_is_started_and_completed(store: Store) {
    let mut entry = entry(0);
    assert_eq!(store.get(entry.id).await.unwrap(), None);
    let done = Outcome::Done {
        at: minute(1),
        summary: "1 dismissed.".to_owned(),
    };
    // What was never begun is not completed.
    assert!(!store.complete(entry.id, &[], &done).await.unwrap());
    assert_eq!(store.get(entry.id).await.unwrap(), None);

    store.start(&entry).await.unwrap();
    assert_eq!(store.get(entry.id).await.unwrap(), Some(entry.clone()));
    for (subjects, outcome) in [
        (vec!["customer/client/2".to_owned()], done),
        (
            Vec::new(),
            Outcome::Refused {
                at: minute(2),
                reason: "no".to_owned(),
            },
        ),
    ] {
        let completed = store.complete(entry.id, &subjects, &outcome).await;
        assert!(completed.unwrap());
        (entry.subjects, entry.outcome) = (subjects, outcome);
        assert_eq!(store.get(entry.id).await.unwrap(), Some(entry.clone()));
    }
}

async fn every_page_is_a_part_of_the_record_and_together_they_are_all_of_it(store: Store) {
    let mut entries: Vec<Entry> = (0..45).map(entry).collect();
    for entry in &entries {
        store.start(entry).await.unwrap();
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let ActivityPage { entries, next } = store.page(after.as_deref()).await.unwrap();
        found.extend(entries);
        after = next;
        if after.is_none() {
            break;
        }
    }
    found.sort_by_key(|entry| entry.id);
    entries.sort_by_key(|entry| entry.id);
    assert_eq!(found, entries);
}
