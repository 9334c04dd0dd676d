use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use shared::{
    Consistency,
    activity::By,
    domain::{Cause, OrderKey},
    http::Deadline,
    owed::{
        Dismissal, DynamoDbOwed, MAX_DETAIL_CHARS, NewOwed, Owed, OwedRecords, Reason, Stage,
        Subject, fold,
    },
};
use tests::memory::MemoryOwed;
use uuid::Uuid;

use crate::{application, code, customer, local, minute, suite};

type Store = Arc<dyn OwedRecords>;

const HOUR: Duration = Duration::from_secs(3_600);

fn memory() -> Store {
    Arc::new(MemoryOwed::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(DynamoDbOwed::new(&config, table))
}

suite! {
    a_failed_attempt_is_on_the_list,
    a_later_attempt_counts_and_replaces_the_reason,
    every_reason_is_read_as_it_was_written_whatever_it_was_before,
    attempts_at_the_same_time_are_all_counted,
    a_repeat_of_the_same_attempt_is_not_counted,
    what_is_resolved_is_off_the_list,
    a_detail_is_cut_at_a_character_and_not_refused_by_the_store,
    each_stage_is_resolved_on_its_own,
    what_was_sent_again_or_dismissed_stays_so,
    a_dismissal_is_taken_back,
    an_order_may_have_any_reference,
    the_list_is_complete_however_long,
    every_page_is_a_part_of_the_list_and_together_they_are_all_of_it,
    a_list_that_takes_too_long_is_read_as_far_as_the_time_goes,
}

fn attempt(subject: Subject, minutes: i64) -> NewOwed {
    NewOwed {
        subject,
        stage: Stage::ToErp,
        reason: Reason::Validation,
        detail: "The currency code is not known. Add it in the ERP.".to_owned(),
        code: Some(code("C1")),
        at: minute(minutes),
        correlation: Uuid::new_v4(),
        cause: Some(Cause::Ordered),
    }
}

async fn list(store: &Store) -> Vec<Owed> {
    let mut list = Vec::new();
    let each = |owed| list.push(owed);
    let (strong, deadline) = (Consistency::Strong, Deadline::after(HOUR));
    let read = fold(store.as_ref(), strong, deadline, Duration::ZERO, each);
    assert!(read.await.unwrap());
    list
}

fn somebody() -> Subject {
    Subject::Entity(customer(1))
}

async fn a_detail_is_cut_at_a_character_and_not_refused_by_the_store(store: Store) {
    let table = [
        (MAX_DETAIL_CHARS, MAX_DETAIL_CHARS, false),
        (MAX_DETAIL_CHARS + 1, MAX_DETAIL_CHARS, true),
        // More than DynamoDB takes as an item.
        (400 * 1_024, MAX_DETAIL_CHARS, true),
    ];
    for (minutes, (given, kept, is_cut)) in (1..).zip(table) {
        let owed = NewOwed {
            detail: "å".repeat(given),
            ..attempt(somebody(), minutes)
        };
        store.put(owed).await.unwrap();
        let owed = store.get(&somebody(), Stage::ToErp).await.unwrap().unwrap();
        assert_eq!(owed.detail.chars().count(), kept, "{given}");
        assert_eq!(owed.detail.ends_with('…'), is_cut, "{given}");
    }
}

async fn a_repeat_of_the_same_attempt_is_not_counted(store: Store) {
    let attempt = attempt(somebody(), 1);
    for _ in 0..3 {
        store.put(attempt.clone()).await.unwrap();
    }
    let owed = store.get(&somebody(), Stage::ToErp).await.unwrap().unwrap();
    assert_eq!(owed.attempts, 1);
}

async fn a_failed_attempt_is_on_the_list(store: Store) {
    assert_eq!(store.get(&somebody(), Stage::ToErp).await.unwrap(), None);
    let attempt = attempt(somebody(), 1);
    store.put(attempt.clone()).await.unwrap();
    let owed = Owed {
        subject: attempt.subject,
        stage: attempt.stage,
        reason: attempt.reason,
        detail: attempt.detail,
        code: attempt.code,
        first: attempt.at,
        last: attempt.at,
        attempts: 1,
        correlation: attempt.correlation,
        cause: Some(Cause::Ordered),
        retried: None,
        dismissed: None,
    };
    let stored = store.get(&somebody(), Stage::ToErp).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&owed));
    assert_eq!(list(&store).await, [owed]);
}

async fn a_later_attempt_counts_and_replaces_the_reason(store: Store) {
    store.put(attempt(somebody(), 1)).await.unwrap();
    let later = NewOwed {
        reason: Reason::Conflict,
        detail: "Two customers have this number.".to_owned(),
        code: None,
        correlation: Uuid::from_u128(8),
        cause: None,
        ..attempt(somebody(), 30)
    };
    store.put(later.clone()).await.unwrap();
    let owed = Owed {
        subject: later.subject,
        stage: later.stage,
        reason: later.reason,
        detail: later.detail,
        code: None,
        first: minute(1),
        last: minute(30),
        attempts: 2,
        correlation: later.correlation,
        cause: None,
        retried: None,
        dismissed: None,
    };
    assert_eq!(list(&store).await, [owed]);
}

async fn every_reason_is_read_as_it_was_written_whatever_it_was_before(store: Store) {
    let reasons = Reason::ALL.into_iter().chain(Reason::ALL.into_iter().rev());
    for (minutes, reason) in (1..).zip(reasons) {
        let attempt = NewOwed {
            reason,
            ..attempt(somebody(), minutes)
        };
        store.put(attempt).await.unwrap();
        let owed = store.get(&somebody(), Stage::ToErp).await.unwrap();
        assert_eq!(owed.unwrap().reason, reason);
        assert_eq!(list(&store).await[0].reason, reason);
    }
}

/// 0.2.0 reads the list while a stack is updated: a reason that it does not know would keep it from all of them.
#[tokio::test]
async fn no_record_has_a_reason_that_an_earlier_version_cannot_read() {
    const OF_0_2_0: [&str; 7] = [
        "validation",
        "conflict",
        "missing-prerequisite",
        "ambiguous",
        "remote-fault",
        "timed-out",
        "forgotten",
    ];
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = DynamoDbOwed::new(&config, &table);
    for (number, reason) in (1..).zip(Reason::ALL) {
        let attempt = NewOwed {
            reason,
            ..attempt(Subject::Entity(customer(number)), 1)
        };
        store.put(attempt).await.unwrap();
    }
    let client = aws_sdk_dynamodb::Client::new(&config);
    let items = client.scan().table_name(&table).send().await.unwrap();
    let items = items.items.unwrap();
    assert_eq!(items.len(), Reason::ALL.len());
    for item in items {
        let reason = item["reason"].as_s().unwrap();
        assert!(OF_0_2_0.contains(&reason.as_str()), "{reason}");
    }
}

async fn attempts_at_the_same_time_are_all_counted(store: Store) {
    join_all((1..=8).map(|n| store.put(attempt(somebody(), n))))
        .await
        .into_iter()
        .collect::<Result<(), _>>()
        .unwrap();
    let owed = store.get(&somebody(), Stage::ToErp).await.unwrap().unwrap();
    assert_eq!(owed.attempts, 8);
}

async fn what_is_resolved_is_off_the_list(store: Store) {
    store.put(attempt(somebody(), 1)).await.unwrap();
    assert!(store.is_listed(&somebody(), Stage::ToErp).await.unwrap());
    assert!(store.resolve(&somebody(), Stage::ToErp).await.unwrap());
    assert!(!store.is_listed(&somebody(), Stage::ToErp).await.unwrap());
    assert!(!store.resolve(&somebody(), Stage::ToErp).await.unwrap());
    assert_eq!(list(&store).await, []);
    // A new record starts from the beginning.
    store.put(attempt(somebody(), 9)).await.unwrap();
    let owed = store.get(&somebody(), Stage::ToErp).await.unwrap().unwrap();
    assert_eq!((owed.first, owed.attempts), (minute(9), 1));
}

async fn each_stage_is_resolved_on_its_own(store: Store) {
    for stage in [Stage::ToErp, Stage::CodeToNorce] {
        let owed = NewOwed {
            stage,
            ..attempt(somebody(), 1)
        };
        store.put(owed).await.unwrap();
    }
    assert_eq!(list(&store).await.len(), 2);
    assert!(store.resolve(&somebody(), Stage::ToErp).await.unwrap());
    assert_eq!(store.get(&somebody(), Stage::ToErp).await.unwrap(), None);
    let other = store.get(&somebody(), Stage::CodeToNorce).await.unwrap();
    assert_eq!(other.unwrap().stage, Stage::CodeToNorce);
}

async fn what_was_sent_again_or_dismissed_stays_so(store: Store) {
    let dismissal = Dismissal {
        at: minute(40),
        reason: "Closed in the ERP on purpose.".to_owned(),
        by: None,
    };
    let subject = somebody();
    // What is not on the list does not come onto it.
    assert!(
        !store
            .note_retry(&subject, Stage::ToErp, minute(1))
            .await
            .unwrap()
    );
    assert!(
        !store
            .dismiss(&subject, Stage::ToErp, &dismissal)
            .await
            .unwrap()
    );
    assert_eq!(list(&store).await, []);
    store.put(attempt(subject.clone(), 1)).await.unwrap();
    let get = async || store.get(&subject, Stage::ToErp).await.unwrap().unwrap();
    assert_eq!(get().await.next_attempt(), Some(minute(16)));
    assert!(
        store
            .note_retry(&subject, Stage::ToErp, minute(20))
            .await
            .unwrap()
    );
    assert_eq!(get().await.next_attempt(), Some(minute(35)));
    store.put(attempt(subject.clone(), 21)).await.unwrap();
    assert_eq!(get().await.next_attempt(), Some(minute(21 + 30)));
    assert!(
        store
            .dismiss(&subject, Stage::ToErp, &dismissal)
            .await
            .unwrap()
    );
    store.put(attempt(subject.clone(), 50)).await.unwrap();
    let owed = get().await;
    assert_eq!(
        (owed.next_attempt(), owed.dismissed),
        (None, Some(dismissal.clone()))
    );
    assert_eq!(
        (owed.attempts, owed.first, owed.last),
        (3, minute(1), minute(50))
    );
}

async fn a_dismissal_is_taken_back(store: Store) {
    let dismissal = Dismissal {
        at: minute(40),
        reason: "Closed in the ERP on purpose.".to_owned(),
        by: Some(By {
            name: None,
            user: "support-1".to_owned(),
            role: "act".to_owned(),
        }),
    };
    let subject = somebody();
    assert!(!store.restore(&subject, Stage::ToErp).await.unwrap());
    assert_eq!(list(&store).await, []);
    store.put(attempt(subject.clone(), 1)).await.unwrap();
    let before = store.get(&subject, Stage::ToErp).await.unwrap();
    let dismissed = store.dismiss(&subject, Stage::ToErp, &dismissal).await;
    assert!(dismissed.unwrap());
    let owed = store.get(&subject, Stage::ToErp).await.unwrap().unwrap();
    assert_eq!(owed.dismissed, Some(dismissal));
    assert!(store.restore(&subject, Stage::ToErp).await.unwrap());
    assert_eq!(store.get(&subject, Stage::ToErp).await.unwrap(), before);
}

async fn an_order_may_have_any_reference(store: Store) {
    let order = |reference: &str, shop| Subject::Order {
        order: OrderKey::ClientOrderRef(reference.to_owned()),
        application: application(shop),
    };
    // Longer than a key may be, and one that differs at its very end.
    let long = "å\n".repeat(2000);
    let subjects = [
        order(&long, 1),
        order(&format!("{long}!"), 1),
        order(&long, 2),
        order("", 1),
        Subject::Order {
            order: OrderKey::Id(5),
            application: application(1),
        },
        order("5", 1),
    ];
    for subject in &subjects {
        store.put(attempt(subject.clone(), 1)).await.unwrap();
    }
    assert_eq!(list(&store).await.len(), subjects.len());
    for subject in &subjects {
        let owed = store.get(subject, Stage::ToErp).await.unwrap().unwrap();
        assert_eq!((&owed.subject, owed.attempts), (subject, 1));
        assert!(store.resolve(subject, Stage::ToErp).await.unwrap());
    }
}

const RECORDS: i64 = 400;

/// A page of a scan ends at 1 MB, and this is more.
async fn put_several_pages(store: &Store) {
    for n in 1..=RECORDS {
        let owed = NewOwed {
            // The longest there is, in characters of four bytes.
            detail: "𝄞".repeat(MAX_DETAIL_CHARS),
            ..attempt(Subject::Entity(customer(n)), n)
        };
        store.put(owed).await.unwrap();
    }
}

async fn the_list_is_complete_however_long(store: Store) {
    put_several_pages(&store).await;
    let mut firsts: Vec<_> = list(&store).await.iter().map(|owed| owed.first).collect();
    firsts.sort();
    assert_eq!(firsts, (1..=RECORDS).map(minute).collect::<Vec<_>>());
}

async fn every_page_is_a_part_of_the_list_and_together_they_are_all_of_it(store: Store) {
    put_several_pages(&store).await;
    let (mut sizes, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(after.as_deref(), Consistency::Strong).await;
        let page = page.unwrap();
        sizes.push(page.owed.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(sizes.len() >= 3, "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 400);
    assert!(sizes.iter().all(|size| *size <= 150), "{sizes:?}");
}

async fn a_list_that_takes_too_long_is_read_as_far_as_the_time_goes(store: Store) {
    put_several_pages(&store).await;
    let mut read = 0;
    let each = |_| read += 1;
    let time = Duration::from_secs(60);
    let (strong, deadline) = (Consistency::Strong, Deadline::after(time));
    let is_all = fold(store.as_ref(), strong, deadline, time, each).await;
    assert!(!is_all.unwrap());
    assert!(read > 0 && read < RECORDS, "{read}");
}
