use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt as _, stream};
use shared::{
    domain::{EntityKind, ErpId, FieldGroups, ImportLine, PassMode, Resource, Scope},
    passes::{Cost, Counts, DynamoDbPasses, Lease, LeaseKey, OwedSample, Passes, Run, RunFilter},
};
use tests::memory::MemoryPasses;
use uuid::Uuid;

use crate::{application, code, local, minute, norce_id, suite};

type Store = Arc<dyn Passes>;

fn memory() -> Store {
    Arc::new(MemoryPasses::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(DynamoDbPasses::new(&config, table))
}

suite! {
    one_run_at_a_time_has_the_lease,
    a_lease_is_kept_between_two_invocations_of_its_run,
    a_lease_ends_by_itself,
    a_run_is_saved_on_top_of_the_save_before_only,
    the_last_run_of_each_mode_and_scope_is_found,
    the_newest_runs_are_listed_without_where_they_go_on,
    a_sample_stands_for_its_quarter_of_an_hour,
    p7_a_watermark_never_moves_back,
    lines_wait_for_their_company_until_they_are_told_to_go,
    a_company_may_have_thousands_of_contacts_that_wait,
}

pub(crate) const ERP: LeaseKey = LeaseKey {
    scope: Scope::Client,
    sweep: false,
};

pub(crate) fn lease(run: u128, invocation: u128, until: i64) -> Lease {
    Lease {
        run: Uuid::from_u128(run),
        invocation: Some(Uuid::from_u128(invocation)),
        until: minute(until),
    }
}

async fn one_run_at_a_time_has_the_lease(store: Store) {
    let first = lease(1, 10, 5);
    assert_eq!(store.holder(ERP, minute(0)).await.unwrap(), None);
    assert_eq!(store.lease(ERP, first, minute(0)).await.unwrap(), Ok(()));
    let second = lease(2, 20, 5);
    assert_eq!(store.holder(ERP, minute(1)).await.unwrap(), Some(first));
    assert_eq!(store.holder(ERP, minute(5)).await.unwrap(), None);
    assert_eq!(
        store.lease(ERP, second, minute(1)).await.unwrap(),
        Err(first)
    );
    // The same run, delivered twice.
    let twice = lease(1, 11, 6);
    assert_eq!(
        store.lease(ERP, twice, minute(1)).await.unwrap(),
        Err(first)
    );
    // Another register, and the other side of this one.
    for key in [
        LeaseKey {
            scope: Scope::Application(application(2)),
            ..ERP
        },
        LeaseKey { sweep: true, ..ERP },
    ] {
        assert_eq!(store.lease(key, second, minute(1)).await.unwrap(), Ok(()));
    }
    store.release(ERP, Uuid::from_u128(20), None).await.unwrap();
    assert_eq!(
        store.lease(ERP, second, minute(1)).await.unwrap(),
        Err(first)
    );
    store.release(ERP, Uuid::from_u128(10), None).await.unwrap();
    assert_eq!(store.lease(ERP, second, minute(1)).await.unwrap(), Ok(()));
}

async fn a_lease_is_kept_between_two_invocations_of_its_run(store: Store) {
    let first = lease(1, 10, 5);
    assert_eq!(store.lease(ERP, first, minute(0)).await.unwrap(), Ok(()));
    let invocation = Uuid::from_u128(10);
    store
        .release(ERP, invocation, Some(minute(30)))
        .await
        .unwrap();
    let held = store.lease(ERP, lease(2, 20, 40), minute(6)).await.unwrap();
    assert_eq!(held.unwrap_err().invocation, None);
    let next = lease(1, 11, 12);
    assert_eq!(store.lease(ERP, next, minute(7)).await.unwrap(), Ok(()));
}

async fn a_lease_ends_by_itself(store: Store) {
    assert_eq!(
        store.lease(ERP, lease(1, 10, 5), minute(0)).await.unwrap(),
        Ok(())
    );
    let second = lease(2, 20, 15);
    assert!(store.lease(ERP, second, minute(4)).await.unwrap().is_err());
    assert_eq!(store.lease(ERP, second, minute(5)).await.unwrap(), Ok(()));
    // The one that was thought dead takes nothing away.
    store.release(ERP, Uuid::from_u128(10), None).await.unwrap();
    assert!(
        store
            .lease(ERP, lease(3, 30, 15), minute(6))
            .await
            .unwrap()
            .is_err()
    );
}

pub(crate) fn run(id: u128) -> Run {
    Run {
        id: Uuid::from_u128(id),
        mode: PassMode::Delta,
        kind: Some(EntityKind::Company),
        scope: Scope::Application(application(2)),
        dry_run: false,
        started: minute(1),
        progressed: minute(2),
        ended: None,
        counts: Counts {
            seen: 7,
            skipped: BTreeMap::from([("not in Norce".to_owned(), 3)]),
            ..Counts::default()
        },
        cost: Cost::default(),
        watermarks_before: BTreeMap::from([(EntityKind::Company, minute(0))]),
        watermark_after: Some(minute(1)),
        version: 1,
        work: Some("x".repeat(200_000)),
    }
}

async fn a_run_is_saved_on_top_of_the_save_before_only(store: Store) {
    let mut run = run(1);
    assert_eq!(store.run(run.id).await.unwrap(), None);
    run.version = 2;
    assert!(
        !store.save(&run).await.unwrap(),
        "there is no first version"
    );
    run.version = 1;
    assert!(store.save(&run).await.unwrap());
    assert!(!store.save(&run).await.unwrap());
    assert_eq!(store.run(run.id).await.unwrap().as_ref(), Some(&run));
    run.version = 2;
    run.work = None;
    assert!(store.save(&run).await.unwrap());
    let mut late = run.clone();
    late.counts.seen = 99;
    assert!(!store.save(&late).await.unwrap());
    assert_eq!(store.run(run.id).await.unwrap(), Some(run));
}

/// Beside other items, and in whatever order they are stored: more than a page of DynamoDB's, because each has 200 KB.
async fn the_last_run_of_each_mode_and_scope_is_found(store: Store) {
    let modes = [PassMode::Delta, PassMode::Full, PassMode::Sweep];
    let of = |id: u128, mode, scope, started| Run {
        mode,
        scope,
        started: minute(started),
        ..run(id)
    };
    let shop = Scope::Application(2.try_into().unwrap());
    let mut expected = Vec::new();
    let mut id = 0;
    for (place, mode) in modes.into_iter().enumerate() {
        let place = i64::try_from(place).unwrap();
        // The latest is neither the first nor the last that is stored.
        for (scope, last) in [(Scope::Client, 20 + place), (shop, 10 + place)] {
            for started in [last - 5, last, last - 3] {
                id += 1;
                let run = of(id, mode, scope, started);
                assert!(store.save(&run).await.unwrap());
                if started == last {
                    expected.push((last, run.id));
                }
            }
        }
    }
    let key = LeaseKey { sweep: true, ..ERP };
    store
        .advance(key, EntityKind::Customer, minute(1))
        .await
        .unwrap();
    let runs = store.last_runs().await.unwrap();
    let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
    expected.sort_unstable_by_key(|(last, _)| std::cmp::Reverse(*last));
    let expected: Vec<Uuid> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, expected);
}

async fn the_newest_runs_are_listed_without_where_they_go_on(store: Store) {
    let mut saved = Vec::new();
    for number in 1..=9_u8 {
        let run = Run {
            // Several of the same time, so that the time alone is no place.
            started: minute(i64::from(number / 3)),
            mode: [PassMode::Delta, PassMode::Sweep][usize::from(number % 2)],
            work: Some("a place".to_owned()),
            version: 1,
            ..run(number.into())
        };
        assert!(store.save(&run).await.unwrap());
        saved.push(Run { work: None, ..run });
    }
    saved.sort_by_key(|run| std::cmp::Reverse((run.started, run.id)));
    let all = RunFilter::default();
    assert_eq!(store.runs(&all, 100).await.unwrap(), saved);
    assert_eq!(store.runs(&all, 4).await.unwrap(), saved[..4]);
    let rest = RunFilter {
        after: Some((saved[3].started, saved[3].id)),
        ..all.clone()
    };
    assert_eq!(store.runs(&rest, 100).await.unwrap(), saved[4..]);
    for filter in [
        RunFilter {
            mode: Some(PassMode::Sweep),
            ..all.clone()
        },
        RunFilter {
            since: minute(2),
            ..all.clone()
        },
        RunFilter {
            scope: Some(Scope::Application(application(7))),
            ..all
        },
    ] {
        let expected = saved.iter().filter(|run| {
            run.started >= filter.since
                && filter.mode.is_none_or(|mode| mode == run.mode)
                && filter.scope.is_none_or(|scope| scope == run.scope)
        });
        let expected: Vec<Run> = expected.cloned().collect();
        assert_eq!(store.runs(&filter, 100).await.unwrap(), expected);
    }
}

async fn a_sample_stands_for_its_quarter_of_an_hour(store: Store) {
    let sample = |minutes, owed| OwedSample {
        at: minute(minutes),
        owed,
        dismissed: 1,
        oldest_seconds: 7,
    };
    // An arbitrary moment is in the middle of a quarter; two quarters of 15 minutes are two samples.
    for (minutes, owed) in [(0, 1), (15, 2), (30, 3), (30, 4), (600, 5)] {
        store.note_owed(&sample(minutes, owed)).await.unwrap();
    }
    let samples = async |from, to| store.owed_samples(minute(from), minute(to)).await.unwrap();
    let expected = [sample(0, 1), sample(15, 2), sample(30, 4), sample(600, 5)];
    assert_eq!(samples(0, 600).await, expected);
    assert_eq!(samples(1, 599).await, expected[1..3]);
    assert_eq!(samples(601, 900).await, []);
    // Runs are not mistaken for samples, nor samples for runs.
    assert_eq!(store.runs(&RunFilter::default(), 10).await.unwrap(), []);
    assert_eq!(store.last_runs().await.unwrap(), []);
}

async fn p7_a_watermark_never_moves_back(store: Store) {
    let watermark = async |kind| store.watermark(ERP, kind).await.unwrap();
    assert_eq!(watermark(EntityKind::Customer).await, None);
    for minutes in [5, 9, 7] {
        let to = minute(minutes);
        store.advance(ERP, EntityKind::Customer, to).await.unwrap();
    }
    assert_eq!(watermark(EntityKind::Customer).await, Some(minute(9)));
    assert_eq!(watermark(EntityKind::Company).await, None);
}

fn erp_id(id: &str) -> ErpId {
    ErpId {
        resource: Resource::Contact,
        id: id.to_owned(),
    }
}

async fn lines_wait_for_their_company_until_they_are_told_to_go(store: Store) {
    let company = ErpId {
        resource: Resource::Customer,
        id: "bolaget".to_owned(),
    };
    let line = |text: &str, id: Option<i64>| ImportLine {
        id: id.map(norce_id),
        fields: FieldGroups::NONE,
        record: Some(erp_id(text)),
        ..ImportLine::code(norce_id(1), code(text), Uuid::from_u128(7))
    };
    let waiting = async || {
        let lines = store.waiting_for_company(Scope::Client, &company).await;
        lines.unwrap()
    };
    assert_eq!(waiting().await, []);
    let (one, two) = (line("C1", None), line("C2", Some(5)));
    for line in [&one, &two, &one] {
        let noted = store.wait_for_company(Scope::Client, &company, line, minute(0));
        assert!(noted.await.unwrap());
    }
    assert_eq!(waiting().await, [one.clone(), two.clone()]);
    let other = store
        .waiting_for_company(Scope::Application(application(1)), &company)
        .await;
    assert_eq!(other.unwrap(), []);
    // One has changed since it was read, and still waits.
    let changed = line("C2", Some(6));
    let noted = store.wait_for_company(Scope::Client, &company, &changed, minute(1));
    assert!(noted.await.unwrap());
    let gone = [one, two];
    let ended = store.stop_waiting(Scope::Client, &company, &gone, minute(2));
    ended.await.unwrap();
    assert_eq!(waiting().await, [changed]);
}

/// Far more than one item of DynamoDB holds.
async fn a_company_may_have_thousands_of_contacts_that_wait(store: Store) {
    const CONTACTS: usize = 5_000;
    /// Writes that are under way at the same time.
    const AT_ONCE: usize = 50;
    let (company, client) = (organisation(), Scope::Client);
    let line = |number: usize| ImportLine {
        id: None,
        fields: FieldGroups::CODE,
        record: Some(erp_id(&Uuid::from_u128(number as u128).to_string())),
        ..ImportLine::code(norce_id(1), code(&format!("C{number:05}")), Uuid::nil())
    };
    let waiting = async || {
        let lines = store.waiting_for_company(client, &company).await;
        lines.unwrap()
    };
    stream::iter(0..CONTACTS)
        .for_each_concurrent(AT_ONCE, async |number| {
            let line = line(number);
            let noted = store.wait_for_company(client, &company, &line, minute(0));
            assert!(noted.await.unwrap());
        })
        .await;
    let lines = waiting().await;
    let mut codes: Vec<String> = lines.iter().map(|line| line.code.to_string()).collect();
    codes.sort();
    let all: Vec<String> = (0..CONTACTS)
        .map(|number| format!("C{number:05}"))
        .collect();
    assert_eq!(codes, all);
    let (rest, gone) = lines.split_at(7);
    let ended = store.stop_waiting(client, &company, gone, minute(1));
    ended.await.unwrap();
    assert_eq!(waiting().await, rest);
}

fn organisation() -> ErpId {
    ErpId {
        resource: Resource::Customer,
        id: "bolaget".to_owned(),
    }
}

/// Under the key of an earlier version, all in one item that never expired.
#[tokio::test]
async fn lines_that_an_earlier_version_let_wait_go_on_their_way() {
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = DynamoDbPasses::new(&config, &table);
    let client = aws_sdk_dynamodb::Client::new(&config);
    let line = |text: &str| ImportLine {
        record: Some(erp_id(text)),
        ..ImportLine::code(norce_id(1), code(text), Uuid::nil())
    };
    let (key, text) = ("waiting#client#customer#bolaget", AttributeValue::S);
    let name = |line: &ImportLine| format!("line {}", line.record.as_ref().unwrap());
    let [one, two, new] = ["C1", "C2", "C3"].map(line);
    let stored = |line: &ImportLine| text(serde_json::to_string(line).unwrap());
    let put = client.put_item().table_name(&table);
    let put = put.item("pk", text(key.to_owned()));
    let put = put.item(name(&one), stored(&one));
    put.item(name(&two), stored(&two)).send().await.unwrap();
    let (scope, company) = (Scope::Client, organisation());
    let noted = store.wait_for_company(scope, &company, &new, minute(0));
    assert!(noted.await.unwrap());
    let waiting = async || store.waiting_for_company(scope, &company).await.unwrap();
    assert_eq!(waiting().await, [one.clone(), two.clone(), new.clone()]);
    let gone = [one, new];
    let ended = store.stop_waiting(scope, &company, &gone, minute(1));
    ended.await.unwrap();
    assert_eq!(waiting().await, std::slice::from_ref(&two));
    let gone = [two];
    let ended = store.stop_waiting(scope, &company, &gone, minute(2));
    ended.await.unwrap();
    assert_eq!(waiting().await, []);
    for item in local::scan(&config, &table).await {
        let expires = item["expires_at"].as_n().unwrap().parse::<i64>().unwrap();
        assert!(expires > minute(0).timestamp(), "{item:?}");
    }
}
