//! The index of the ERP's natural keys, beside the code mappings in one store.

use std::sync::Arc;

use shared::{
    Consistency,
    domain::{EntityKind, FingerprintKey, Scope},
    erp::{ErpId, NaturalKey, Resource},
    mappings::{
        Binding, Bound, CodeDelivery, DynamoDbMappings, NewBinding, RecordEntry, RecordMappings,
        key_index::{Coverage, Holders, KeyIndex, MAX_HOLDERS, RecordKeys},
    },
    record_finder::write,
};
use tests::memory::MemoryMappings;

use crate::{application, code, customer, local, minute, suite};

/// One store that is both.
#[derive(Clone)]
struct Store {
    index: Arc<dyn KeyIndex>,
    mappings: Arc<dyn RecordMappings>,
}

fn memory() -> Store {
    let store = Arc::new(MemoryMappings::default());
    Store {
        index: store.clone(),
        mappings: store,
    }
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = Arc::new(DynamoDbMappings::new(&config, table, key()));
    Store {
        index: store.clone(),
        mappings: store,
    }
}

fn key() -> FingerprintKey {
    FingerprintKey::new(b"a secret of the stack")
}

suite! {
    a_key_that_nobody_was_read_with_has_no_holders,
    a_record_is_found_by_each_of_its_keys,
    a_record_is_not_found_by_a_key_that_it_had_before,
    listing_a_record_again_changes_nothing,
    many_records_that_share_a_key_at_the_same_time_are_all_listed,
    beyond_the_limit_a_key_is_crowded_and_says_so,
    many_records_are_listed_as_each_by_itself,
    many_records_that_share_keys_or_come_twice_are_all_listed,
    the_face_of_a_record_never_says_that_it_is_listed_as_it_was_before,
    p12_a_forgotten_record_among_many_is_not_listed,
    p12_forgetting_wins_against_many_listings_at_the_same_time,
    p14_registers_do_not_see_each_others_keys,
    the_face_of_a_bound_record_says_how_it_is_listed,
    an_entry_outlives_a_binding_an_insert_and_its_withdrawal,
    p12_forgetting_takes_a_record_off_every_list,
    p12_a_forgotten_record_is_not_listed_again,
    p12_forgetting_wins_against_a_listing_at_the_same_time,
    the_index_is_no_part_of_what_is_bound,
    coverage_begins_with_a_full_reading_and_grows_without_gaps,
}

fn email(text: &str) -> NaturalKey {
    NaturalKey::email(text).unwrap()
}

fn vat(text: &str) -> NaturalKey {
    NaturalKey::organisation(text, None).unwrap()
}

fn record(id: &str) -> ErpId {
    ErpId {
        resource: Resource::Customer,
        id: id.to_owned(),
    }
}

fn keys(keys: &[NaturalKey]) -> RecordKeys {
    RecordKeys::new(keys.iter().cloned(), &key()).unwrap()
}

async fn list(store: &Store, id: &str, of: &[NaturalKey]) {
    let (record, keys) = (record(id), keys(of));
    let listed = store.index.set(Scope::Client, &record, &keys);
    listed.await.unwrap();
}

async fn holders_in(store: &Store, scope: Scope, key: &NaturalKey) -> Holders {
    let keys = std::slice::from_ref(key);
    let holders = store.index.holders(scope, keys, Consistency::Strong);
    holders.await.unwrap().remove(0)
}

async fn holders(store: &Store, key: &NaturalKey) -> Vec<ErpId> {
    holders_in(store, Scope::Client, key).await.records
}

async fn entry(store: &Store, id: &str) -> Option<String> {
    let records = [record(id)];
    let entries = store
        .index
        .entries(Scope::Client, &records, Consistency::Strong);
    let entry = entries.await.unwrap().remove(0);
    entry.map(|digest| digest.as_str().to_owned())
}

async fn face(store: &Store, id: &str) -> Option<RecordEntry> {
    let records = [record(id)];
    let faces = store
        .mappings
        .records(Scope::Client, &records, Consistency::Strong);
    faces.await.unwrap().remove(0)
}

async fn bind(store: &Store, number: i64, id: &str) {
    let binding = Binding::new(code(id), record(id), CodeDelivery::Pending);
    let bound = store.mappings.bind(customer(number), binding).await;
    assert_eq!(bound.unwrap(), Bound::Done);
}

async fn a_key_that_nobody_was_read_with_has_no_holders(store: Store) {
    assert_eq!(
        holders_in(&store, Scope::Client, &email("anna@example.com")).await,
        Holders::default()
    );
    assert_eq!(entry(&store, "C1").await, None);
    let none = store
        .index
        .holders(Scope::Client, &[], Consistency::Eventual);
    assert_eq!(none.await.unwrap(), []);
}

async fn a_record_is_found_by_each_of_its_keys(store: Store) {
    let anna = [
        email("anna@example.com"),
        email("ek@example.com"),
        vat("SE556036079301"),
    ];
    list(&store, "C1", &anna).await;
    list(&store, "C2", &anna[2..]).await;
    for key in &anna[..2] {
        assert_eq!(holders(&store, key).await, [record("C1")]);
    }
    assert_eq!(
        holders(&store, &anna[2]).await,
        [record("C1"), record("C2")]
    );
    // More than one request holds, in their order.
    let mut asked: Vec<NaturalKey> = (0..150)
        .map(|number| email(&format!("nobody{number}@example.com")))
        .collect();
    asked.push(anna[0].clone());
    let found = store
        .index
        .holders(Scope::Client, &asked, Consistency::Eventual);
    let found = found.await.unwrap();
    assert!(
        found[..150]
            .iter()
            .all(|found| *found == Holders::default())
    );
    assert_eq!(found[150].records, [record("C1")]);
}

async fn a_record_is_not_found_by_a_key_that_it_had_before(store: Store) {
    let (old, new, kept) = (
        email("old@example.com"),
        email("new@example.com"),
        vat("SE556036079301"),
    );
    list(&store, "C1", &[old.clone(), kept.clone()]).await;
    list(&store, "C2", std::slice::from_ref(&old)).await;
    list(&store, "C1", &[new.clone(), kept.clone()]).await;
    assert_eq!(holders(&store, &old).await, [record("C2")]);
    assert_eq!(holders(&store, &new).await, [record("C1")]);
    assert_eq!(holders(&store, &kept).await, [record("C1")]);
    // The last one leaves, and comes back.
    list(&store, "C2", &[]).await;
    assert_eq!(holders(&store, &old).await, []);
    assert_eq!(entry(&store, "C2").await, None);
    list(&store, "C2", std::slice::from_ref(&old)).await;
    assert_eq!(holders(&store, &old).await, [record("C2")]);
}

async fn listing_a_record_again_changes_nothing(store: Store) {
    let anna = [email("anna@example.com")];
    for _ in 0..3 {
        list(&store, "C1", &anna).await;
        assert_eq!(holders(&store, &anna[0]).await, [record("C1")]);
        let digest = keys(&anna).digest().as_str().to_owned();
        assert_eq!(entry(&store, "C1").await, Some(digest));
    }
}

async fn many_records_that_share_a_key_at_the_same_time_are_all_listed(store: Store) {
    let shared = email("info@example.com");
    let changed = (0..12).map(|number| {
        let own = email(&format!("own{number}@example.com"));
        let id = record(&format!("C{number:02}"));
        (id, keys(&[shared.clone(), own]))
    });
    let changed: Vec<_> = changed.collect();
    let expected: Vec<ErpId> = changed.iter().map(|(id, _)| id.clone()).collect();
    write(store.index.as_ref(), Scope::Client, changed)
        .await
        .unwrap();
    assert_eq!(holders(&store, &shared).await, expected);
}

async fn beyond_the_limit_a_key_is_crowded_and_says_so(store: Store) {
    let shared = email("everybody@example.com");
    for number in 0..MAX_HOLDERS {
        list(
            &store,
            &format!("C{number:03}"),
            std::slice::from_ref(&shared),
        )
        .await;
    }
    let full = holders_in(&store, Scope::Client, &shared).await;
    assert_eq!((full.records.len(), full.crowded), (MAX_HOLDERS, false));
    let own = email("own@example.com");
    list(&store, "one more", &[shared.clone(), own.clone()]).await;
    assert_eq!(holders(&store, &own).await, [record("one more")]);
    // As many as are listed leave, and those that are not remain unknown.
    list(&store, "C000", &[]).await;
    let crowded = holders_in(&store, Scope::Client, &shared).await;
    assert!(crowded.crowded);
    assert_eq!(crowded.records.len(), MAX_HOLDERS - 1);
    // One that is not on the list can leave it.
    list(&store, "one more", std::slice::from_ref(&own)).await;
    list(&store, "one more", &[]).await;
    assert_eq!(holders(&store, &own).await, []);
}

/// Lists many records, each by an address of its own and these keys.
async fn list_many(store: &Store, ids: &[String], of: &[NaturalKey]) {
    let records = ids.iter().map(|id| {
        let own = email(&format!("{id}@example.com"));
        let all: Vec<NaturalKey> = of.iter().cloned().chain([own]).collect();
        (record(id), keys(&all))
    });
    let records: Vec<(ErpId, RecordKeys)> = records.collect();
    let listed = store.index.set_many(Scope::Client, &records);
    listed.await.unwrap();
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("c{number}")).collect()
}

async fn many_records_are_listed_as_each_by_itself(store: Store) {
    list_many(&store, &[], &[]).await;
    // One has an entry already, and one has no keys.
    let former = [email("former@example.com")];
    list(&store, "c7", &former).await;
    for _ in 0..2 {
        list_many(&store, &names(120), &[]).await;
        for id in names(120) {
            let own = email(&format!("{id}@example.com"));
            assert_eq!(holders(&store, &own).await, [record(&id)]);
            let digest = keys(&[own]).digest().as_str().to_owned();
            assert_eq!(entry(&store, &id).await, Some(digest));
        }
        assert_eq!(holders(&store, &former[0]).await, []);
    }
    let nothing = [(record("c1"), keys(&[])), (record("c200"), keys(&[]))];
    let listed = store.index.set_many(Scope::Client, &nothing);
    listed.await.unwrap();
    for (id, _) in nothing {
        assert_eq!(entry(&store, &id.id).await, None);
    }
    assert_eq!(holders(&store, &email("c1@example.com")).await, []);
}

async fn many_records_that_share_keys_or_come_twice_are_all_listed(store: Store) {
    let shared = email("office@example.com");
    let mut ids = names(6);
    ids.push("c3".to_owned());
    list_many(&store, &ids, std::slice::from_ref(&shared)).await;
    let all: Vec<ErpId> = names(6).iter().map(|id| record(id)).collect();
    assert_eq!(holders(&store, &shared).await, all);
    for id in names(6) {
        let own = email(&format!("{id}@example.com"));
        assert_eq!(holders(&store, &own).await, [record(&id)]);
    }
}

async fn the_face_of_a_record_never_says_that_it_is_listed_as_it_was_before(store: Store) {
    let indexed = async |id: &str| face(&store, id).await.unwrap().indexed;
    // Bound together: the index alone says how it is listed.
    let bindings = ["c1", "c2"].map(|id| NewBinding {
        entity: customer(if id == "c1" { 1 } else { 2 }),
        binding: Binding::new(code(id), record(id), CodeDelivery::Pending),
    });
    list(&store, "c1", &[email("former@example.com")]).await;
    let bound = store.mappings.bind_many(&bindings).await.unwrap();
    assert_eq!(bound, [Bound::Done, Bound::Done]);
    assert_eq!(indexed("c1").await, None);
    // Listed together: the same, or as it is listed now.
    list_many(&store, &names(2), &[]).await;
    for id in names(2) {
        let own = keys(&[email(&format!("{id}@example.com"))]);
        let said = indexed(&id).await;
        assert!(said.is_none() || said.as_ref() == Some(own.digest()));
    }
    list(&store, "c2", &[email("new@example.com")]).await;
    let new = keys(&[email("new@example.com")]);
    assert_eq!(indexed("c2").await.as_ref(), Some(new.digest()));
    list_many(&store, &names(2), &[]).await;
    let own = keys(&[email("c2@example.com")]);
    assert_eq!(indexed("c2").await.as_ref(), Some(own.digest()));
}

async fn p12_a_forgotten_record_among_many_is_not_listed(store: Store) {
    bind(&store, 1, "c2").await;
    store.mappings.forget(customer(1)).await.unwrap();
    list_many(&store, &names(3), &[]).await;
    for (id, is_listed) in [("c1", true), ("c2", false), ("c3", true)] {
        let own = email(&format!("{id}@example.com"));
        assert_eq!(holders(&store, &own).await.len(), usize::from(is_listed));
        assert_eq!(entry(&store, id).await.is_some(), is_listed);
    }
}

async fn p12_forgetting_wins_against_many_listings_at_the_same_time(store: Store) {
    for requests_later in 0..5 {
        let ids: Vec<String> = (0..60).map(|n| format!("r{requests_later}-{n}")).collect();
        let number = 1 + requests_later;
        bind(&store, number, &ids[30]).await;
        let listing = async {
            for _ in 0..requests_later {
                let read = store.index.coverage(Scope::Client, EntityKind::Company);
                read.await.unwrap();
            }
            list_many(&store, &ids, &[]).await;
        };
        let forgetting = store.mappings.forget(customer(number));
        let (forgotten, ()) = futures_util::future::join(forgetting, listing).await;
        forgotten.unwrap();
        for (place, id) in ids.iter().enumerate() {
            let own = email(&format!("{id}@example.com"));
            assert_eq!(holders(&store, &own).await.len(), usize::from(place != 30));
            assert_eq!(entry(&store, id).await.is_some(), place != 30);
        }
    }
}

async fn p14_registers_do_not_see_each_others_keys(store: Store) {
    let anna = email("anna@example.com");
    let scopes = [1, 2].map(|number| Scope::Application(application(number)));
    let (of, own) = (record("C1"), keys(std::slice::from_ref(&anna)));
    let listed = store.index.set(scopes[0], &of, &own);
    listed.await.unwrap();
    let (first, second) = (
        holders_in(&store, scopes[0], &anna).await,
        holders_in(&store, scopes[1], &anna).await,
    );
    assert_eq!(first.records, [record("C1")]);
    assert_eq!(second, Holders::default());
    assert_eq!(holders(&store, &anna).await, []);
}

async fn the_face_of_a_bound_record_says_how_it_is_listed(store: Store) {
    let anna = [email("anna@example.com")];
    list(&store, "C1", &anna).await;
    assert_eq!(face(&store, "C1").await, None, "no face is made");
    bind(&store, 1, "C1").await;
    let indexed = async |id: &str| face(&store, id).await.unwrap().indexed;
    assert_eq!(indexed("C1").await.as_ref(), Some(keys(&anna).digest()));
    // The face of one that was not listed before says so.
    bind(&store, 2, "C2").await;
    assert_eq!(indexed("C2").await, None);
    list(&store, "C2", &anna).await;
    assert_eq!(indexed("C2").await.as_ref(), Some(keys(&anna).digest()));
    // And it stays when the face is written.
    let confirmed = CodeDelivery::Confirmed { at: minute(4) };
    let (entity, text) = (customer(1), code("C1"));
    let noted = store.mappings.record_delivery(entity, &text, confirmed);
    assert!(noted.await.unwrap());
    let of = record("C1");
    let told = key().of(&"told").unwrap();
    let noted = store.mappings.record_owned(Scope::Client, &of, Some(&told));
    assert!(noted.await.unwrap());
    assert_eq!(indexed("C1").await.as_ref(), Some(keys(&anna).digest()));
    let new = [email("new@example.com")];
    list(&store, "C1", &new).await;
    assert_eq!(indexed("C1").await.as_ref(), Some(keys(&new).digest()));
    // A record without keys is known to have none.
    list(&store, "C1", &[]).await;
    assert_eq!(indexed("C1").await.as_ref(), Some(keys(&[]).digest()));
}

async fn an_entry_outlives_a_binding_an_insert_and_its_withdrawal(store: Store) {
    let anna = [email("anna@example.com")];
    list(&store, "C1", &anna).await;
    let (of, text) = (record("C1"), code("C1"));
    let kind = EntityKind::Customer;
    let announced = store
        .mappings
        .announce_insert(kind, Scope::Client, &of, &text, None);
    assert!(announced.await.unwrap());
    let withdrawn = store.mappings.withdraw_insert(Scope::Client, &of);
    withdrawn.await.unwrap();
    bind(&store, 1, "C1").await;
    assert_eq!(holders(&store, &anna[0]).await, [of]);
    list(&store, "C1", &[]).await;
    assert_eq!(holders(&store, &anna[0]).await, []);
}

async fn p12_forgetting_takes_a_record_off_every_list(store: Store) {
    let (own, shared) = (email("anna@example.com"), email("info@example.com"));
    list(&store, "C1", &[own.clone(), shared.clone()]).await;
    list(&store, "C2", std::slice::from_ref(&shared)).await;
    // Bound after it was listed, and never listed since.
    bind(&store, 1, "C1").await;
    for _ in 0..2 {
        store.mappings.forget(customer(1)).await.unwrap();
        assert_eq!(holders(&store, &own).await, []);
        assert_eq!(holders(&store, &shared).await, [record("C2")]);
        assert_eq!(entry(&store, "C1").await, None);
    }
}

async fn p12_a_forgotten_record_is_not_listed_again(store: Store) {
    let anna = email("anna@example.com");
    bind(&store, 1, "C1").await;
    store.mappings.forget(customer(1)).await.unwrap();
    list(&store, "C1", std::slice::from_ref(&anna)).await;
    assert_eq!(holders(&store, &anna).await, []);
    assert_eq!(entry(&store, "C1").await, None);
}

async fn p12_forgetting_wins_against_a_listing_at_the_same_time(store: Store) {
    let anna = email("anna@example.com");
    // A listing that begins so many requests after the forgetting: one of them reads before the tombstone is there and
    // writes after it.
    for (number, requests_later) in (1..).zip([0, 1, 2, 3, 4].repeat(4)) {
        let id = format!("C{number}");
        bind(&store, number, &id).await;
        let listing = async {
            for _ in 0..requests_later {
                let read = store.index.coverage(Scope::Client, EntityKind::Company);
                read.await.unwrap();
            }
            list(&store, &id, std::slice::from_ref(&anna)).await;
        };
        let forgetting = store.mappings.forget(customer(number));
        let (forgotten, ()) = futures_util::future::join(forgetting, listing).await;
        forgotten.unwrap();
        assert_eq!(holders(&store, &anna).await, [], "{requests_later}");
        assert_eq!(entry(&store, &id).await, None, "{requests_later}");
    }
}

async fn the_index_is_no_part_of_what_is_bound(store: Store) {
    list(&store, "C1", &[email("anna@example.com")]).await;
    bind(&store, 1, "C1").await;
    let covered = store
        .index
        .cover(Scope::Client, EntityKind::Customer, None, minute(1));
    covered.await.unwrap();
    let mut bound = Vec::new();
    let mut after = None;
    loop {
        let page = store.mappings.bound(after.as_deref()).await.unwrap();
        bound.extend(page.bound.into_iter().map(|(entity, _)| entity));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(bound, [customer(1)]);
}

async fn coverage_begins_with_a_full_reading_and_grows_without_gaps(store: Store) {
    let (company, person) = (EntityKind::Company, EntityKind::Customer);
    let coverage = async |kind| {
        let coverage = store.index.coverage(Scope::Client, kind);
        coverage.await.unwrap()
    };
    let cover = async |since: Option<i64>, until: i64| {
        let covered = store
            .index
            .cover(Scope::Client, company, since.map(minute), minute(until));
        covered.await.unwrap();
        let coverage = coverage(company).await;
        coverage.map(|Coverage { whole_at, until }| (whole_at, until))
    };
    let at = |whole, until| Some((minute(whole), minute(until)));
    // A delta makes nothing whole.
    assert_eq!(cover(Some(0), 10).await, None);
    assert_eq!(cover(None, 20).await, at(20, 20));
    assert_eq!(coverage(person).await, None);
    // It joins on, or overlaps.
    assert_eq!(cover(Some(20), 30).await, at(20, 30));
    assert_eq!(cover(Some(25), 40).await, at(20, 40));
    // Between 40 and 41 something may have changed.
    assert_eq!(cover(Some(41), 50).await, at(20, 40));
    // Nothing goes back.
    assert_eq!(cover(Some(10), 35).await, at(20, 40));
    assert_eq!(cover(None, 39).await, at(20, 40));
    assert_eq!(cover(None, 60).await, at(60, 60));
}
