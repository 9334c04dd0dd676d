use std::sync::Arc;

use futures_util::future::join_all;
use shared::{
    Consistency,
    domain::{EntityKind, EntityRef, FingerprintKey, Scope},
    erp::{ErpId, Resource},
    mappings::{
        Binding, Bound, BoundPage, CodeDelivery, DynamoDbMappings, Known, Mapping, Mappings,
        NewBinding, RecordEntry, RecordMappings, Reservation, Reserved,
    },
};
use tests::memory::MemoryMappings;
use uuid::Uuid;

use crate::{application, code, customer, local, minute, norce_id, suite};

type Store = Arc<dyn RecordMappings>;

fn memory() -> Store {
    Arc::new(MemoryMappings::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(DynamoDbMappings::new(&config, table, key()))
}

fn key() -> FingerprintKey {
    FingerprintKey::new(b"a secret of the stack")
}

suite! {
    what_nobody_has_heard_of_has_no_mapping,
    p2_of_many_reservations_one_is_new,
    p2_a_reservation_stays_as_it_was_made,
    p2_an_expired_reservation_is_taken_over_once,
    only_its_owner_withdraws_a_reservation,
    a_binding_replaces_a_reservation_and_has_two_faces,
    p2_binding_again_changes_nothing,
    binding_again_with_news_takes_them_over_and_stays_confirmed,
    p2_a_bound_entity_is_not_reserved_again,
    p3_of_many_entities_one_gets_a_code,
    p3_of_many_codes_an_entity_gets_one,
    p3_a_taken_code_leaves_no_trace_of_the_attempt,
    a_look_at_both_sides_is_noted_and_leaves_the_delivery_alone,
    a_note_about_another_code_is_refused,
    what_is_confirmed_stays_confirmed,
    p12_a_forgotten_entity_takes_nothing_any_more,
    p12_an_entity_can_be_forgotten_before_it_was_known_and_twice,
    p12_forgetting_wins_against_a_binding_at_the_same_time,
    many_bindings_are_answered_in_their_order,
    more_bindings_than_a_transaction_holds_are_made_and_repeated_without_a_change,
    p3_a_taken_code_among_many_bindings_is_refused_alone,
    p2_an_entity_a_code_or_a_record_that_comes_twice_among_many_is_bound_once,
    p12_a_forgotten_entity_code_or_record_among_many_bindings_is_refused_alone,
    p12_many_bindings_see_what_was_forgotten_since_the_last_batch,
    p12_forgetting_wins_against_many_bindings_at_the_same_time,
    p14_many_bindings_of_several_scopes_keep_apart,
    p14_registers_do_not_see_each_other,
    a_binding_has_a_third_face_by_erp_id,
    many_faces_are_read_in_their_order,
    p2_an_erp_record_is_bound_once,
    p15_a_customer_and_a_company_with_one_id_do_not_share_a_record,
    what_is_known_of_a_record_that_seems_unknown,
    a_renamed_code_moves_the_faces_and_remembers_the_former,
    p3_a_code_is_not_renamed_to_one_that_is_taken,
    what_norce_was_told_is_noted_on_a_bound_record_only,
    an_announced_insert_becomes_a_binding_and_can_be_withdrawn,
    many_mappings_are_read_in_their_order,
    everything_that_is_bound_is_read_page_by_page,
    an_unbound_entity_its_code_and_its_record_are_as_if_never_seen,
    only_the_binding_that_is_named_is_removed,
    a_binding_is_replaced_with_all_its_faces,
    p3_a_binding_is_not_replaced_by_what_is_anothers,
    p12_a_binding_is_not_replaced_by_what_is_forgotten,
    a_record_that_is_gone_is_noted_until_it_is_there_again,
    that_a_record_is_gone_is_noted_on_its_own_binding_and_nothing_else_changes,
    a_binding_moves_to_a_survivor_with_all_its_faces_or_not_at_all,
}

fn reservation(minutes: i64) -> Reservation {
    Reservation {
        token: Uuid::new_v4(),
        since: minute(minutes),
        until: minute(minutes + 5),
        natural_key: Some(key().of(&"a natural key").unwrap()),
    }
}

fn binding(text: &str) -> Binding {
    Binding {
        shop_fingerprint: Some(key().of(&"shop").unwrap()),
        fetched_at: Some(minute(3)),
        ..Binding::new(
            code(text),
            ErpId {
                resource: Resource::Customer,
                id: format!("id of {text}"),
            },
            CodeDelivery::Pending,
        )
    }
}

fn record(text: &str) -> ErpId {
    binding(text).erp_id
}

async fn face(store: &Store, text: &str) -> Option<RecordEntry> {
    let records = [record(text)];
    let faces = store.records(Scope::Client, &records, Consistency::Strong);
    let faces = faces.await.unwrap();
    faces.into_iter().next().unwrap()
}

async fn bind(store: &Store, number: i64, text: &str) {
    let bound = store.bind(customer(number), binding(text)).await.unwrap();
    assert_eq!(bound, Bound::Done);
}

async fn a_binding_has_a_third_face_by_erp_id(store: Store) {
    assert_eq!(face(&store, "C1").await, None);
    bind(&store, 1, "C1").await;
    let mut expected = RecordEntry {
        kind: EntityKind::Customer,
        id: Some(norce_id(1)),
        code: code("C1"),
        erp_fingerprint: None,
        confirmed: false,
        indexed: None,
    };
    assert_eq!(face(&store, "C1").await.as_ref(), Some(&expected));
    let confirmed = CodeDelivery::Confirmed { at: minute(4) };
    for _ in 0..2 {
        assert!(note_delivery(&store, customer(1), "C1", confirmed).await);
    }
    expected.confirmed = true;
    assert_eq!(face(&store, "C1").await.as_ref(), Some(&expected));
    // Binding again, as a pass does that was cut off, changes nothing of it.
    let told = key().of(&"told").unwrap();
    let of = record("C1");
    let noted = store.record_owned(Scope::Client, &of, Some(&told));
    assert!(noted.await.unwrap());
    let again = Binding {
        shop_fingerprint: None,
        fetched_at: None,
        delivery: CodeDelivery::HandedOver { at: minute(9) },
        ..binding("C1")
    };
    assert_eq!(store.bind(customer(1), again).await.unwrap(), Bound::Done);
    expected.erp_fingerprint = Some(told);
    assert_eq!(face(&store, "C1").await.as_ref(), Some(&expected));
    let Some(Mapping::Bound(stored)) = store.get(customer(1)).await.unwrap() else {
        panic!("not bound");
    };
    assert_eq!(stored.fetched_at, Some(minute(3)));
    store.forget(customer(1)).await.unwrap();
    assert_eq!(face(&store, "C1").await, None);
}

async fn many_faces_are_read_in_their_order(store: Store) {
    for number in 1..=3 {
        bind(&store, number, &format!("C{number}")).await;
    }
    // More than one request holds, in any order, and some twice.
    let asked: Vec<ErpId> = (0..250)
        .map(|number| record(&format!("C{}", number % 125)))
        .collect();
    let faces = store.records(Scope::Client, &asked, Consistency::Eventual);
    let faces = faces.await.unwrap();
    assert_eq!(faces.len(), asked.len());
    for (number, face) in faces.into_iter().enumerate() {
        let id = face.and_then(|face| face.id);
        let expected = match number % 125 {
            known @ 1..=3 => Some(norce_id(known as i64)),
            _ => None,
        };
        assert_eq!(id, expected, "{number}");
    }
}

/// Norce counts customers and companies apart.
async fn p15_a_customer_and_a_company_with_one_id_do_not_share_a_record(store: Store) {
    let company = EntityRef {
        kind: EntityKind::Company,
        ..customer(1)
    };
    let bound = store.bind(company, binding("C1")).await.unwrap();
    assert_eq!(bound, Bound::Done);
    let same_record = Binding {
        code: code("P1"),
        ..binding("C1")
    };
    let bound = store.bind(customer(1), same_record.clone()).await.unwrap();
    assert_eq!(bound, Bound::RecordTaken { by: company });
    bind(&store, 1, "P2").await;
    let rebound = store
        .rebind(customer(1), &record("P2"), same_record)
        .await
        .unwrap();
    assert_eq!(rebound, Bound::RecordTaken { by: company });
    let face = face(&store, "C1").await.unwrap();
    assert_eq!((face.kind, face.code), (EntityKind::Company, code("C1")));
}

async fn p2_an_erp_record_is_bound_once(store: Store) {
    bind(&store, 1, "C1").await;
    let other_code = Binding {
        code: code("C2"),
        ..binding("C1")
    };
    let bound = store.bind(customer(2), other_code.clone()).await.unwrap();
    assert_eq!(bound, Bound::RecordTaken { by: customer(1) });
    assert_eq!(store.get(customer(2)).await.unwrap(), None);
    assert_eq!(code_holder(&store, "C2").await, None);
    // Nor does an entity get a second record with its code.
    let other_record = Binding {
        erp_id: record("C9"),
        ..binding("C1")
    };
    let bound = store.bind(customer(1), other_record).await.unwrap();
    assert_eq!(bound, Bound::OtherCode { code: code("C1") });
}

async fn what_is_known_of_a_record_that_seems_unknown(store: Store) {
    for (number, text) in [(1, "C1"), (2, "C2")] {
        bind(&store, number, text).await;
    }
    store.forget(customer(2)).await.unwrap();
    let asked = [
        (record("C1"), code("C1")),
        (record("other"), code("C1")),
        (record("C2"), code("another")),
        (record("another"), code("C2")),
        (record("C3"), code("C3")),
    ];
    let known = store
        .known(EntityKind::Customer, Scope::Client, &asked)
        .await
        .unwrap();
    assert!(matches!(&known[0], Known::Record(face) if face.id == Some(norce_id(1))));
    let rest = [
        Known::Code(norce_id(1)),
        Known::Forgotten,
        Known::Forgotten,
        Known::Nothing,
    ];
    assert_eq!(&known[1..], rest);
}

async fn rename(store: &Store, number: i64, of: &str, from: &str, to: &str) -> Bound {
    let (of, from, to) = (record(of), code(from), code(to));
    let renamed = store.rename(customer(number), &of, &from, &to);
    renamed.await.unwrap()
}

async fn a_renamed_code_moves_the_faces_and_remembers_the_former(store: Store) {
    bind(&store, 1, "C1").await;
    let confirmed = CodeDelivery::Confirmed { at: minute(4) };
    assert!(note_delivery(&store, customer(1), "C1", confirmed).await);
    let stored = async || match store.get(customer(1)).await.unwrap() {
        Some(Mapping::Bound(stored)) => stored,
        other => panic!("{other:?}"),
    };
    for _ in 0..2 {
        assert_eq!(rename(&store, 1, "C1", "C1", "C2").await, Bound::Done);
        assert_eq!(stored().await.former_code, Some(code("C1")));
        assert_eq!(stored().await.delivery, CodeDelivery::Pending);
    }
    assert_eq!(code_holder(&store, "C1").await, None);
    assert_eq!(code_holder(&store, "C2").await, Some(customer(1)));
    let known = face(&store, "C1").await.unwrap();
    assert_eq!((known.code, known.confirmed), (code("C2"), false));
    // Renamed once more before Norce has it: Norce can have the first one only.
    assert_eq!(rename(&store, 1, "C1", "C2", "C3").await, Bound::Done);
    assert_eq!(stored().await.former_code, Some(code("C1")));
    assert_eq!(
        rename(&store, 1, "C1", "C2", "C4").await,
        Bound::OtherCode { code: code("C3") }
    );
    assert!(note_delivery(&store, customer(1), "C3", confirmed).await);
    assert_eq!(stored().await.former_code, None);
    assert!(face(&store, "C1").await.unwrap().confirmed);
    // And back.
    assert_eq!(rename(&store, 1, "C1", "C3", "C1").await, Bound::Done);
    assert_eq!(rename(&store, 1, "C1", "C1", "C3").await, Bound::Done);
    assert_eq!(stored().await.former_code, None);
}

async fn p3_a_code_is_not_renamed_to_one_that_is_taken(store: Store) {
    bind(&store, 1, "C1").await;
    bind(&store, 2, "C2").await;
    assert_eq!(
        rename(&store, 1, "C1", "C1", "C2").await,
        Bound::CodeTaken { by: customer(2) }
    );
    assert_eq!(face(&store, "C1").await.unwrap().code, code("C1"));
    assert_eq!(
        rename(&store, 1, "C9", "C1", "C3").await,
        Bound::OtherCode { code: code("C1") }
    );
    store.forget(customer(2)).await.unwrap();
    assert_eq!(rename(&store, 1, "C1", "C1", "C2").await, Bound::Forgotten);
    assert_eq!(rename(&store, 2, "C2", "C2", "C3").await, Bound::Forgotten);
}

async fn what_norce_was_told_is_noted_on_a_bound_record_only(store: Store) {
    let told = key().of(&"told").unwrap();
    let note = async |fingerprint| {
        let record = record("C1");
        let noted = store.record_owned(Scope::Client, &record, fingerprint);
        noted.await.unwrap()
    };
    assert!(!note(Some(&told)).await);
    bind(&store, 1, "C1").await;
    assert!(note(Some(&told)).await);
    let known = face(&store, "C1").await.unwrap();
    assert_eq!(known.erp_fingerprint.as_ref(), Some(&told));
    assert!(note(None).await);
    assert_eq!(face(&store, "C1").await.unwrap().erp_fingerprint, None);
}

async fn an_announced_insert_becomes_a_binding_and_can_be_withdrawn(store: Store) {
    let told = key().of(&"told").unwrap();
    let announce = async |text: &str| {
        let (record, code) = (record(text), code(text));
        let kind = EntityKind::Customer;
        let announced = store.announce_insert(kind, Scope::Client, &record, &code, Some(&told));
        announced.await.unwrap()
    };
    for text in ["C1", "C1", "C2"] {
        assert!(announce(text).await);
    }
    assert_eq!(face(&store, "C1").await.unwrap().id, None);
    bind(&store, 1, "C1").await;
    let known = face(&store, "C1").await.unwrap();
    assert_eq!(known.id, Some(norce_id(1)));
    assert_eq!(known.erp_fingerprint.as_ref(), Some(&told));
    assert!(!announce("C1").await);
    for text in ["C1", "C2"] {
        let record = record(text);
        let withdrawn = store.withdraw_insert(Scope::Client, &record);
        withdrawn.await.unwrap();
    }
    assert!(face(&store, "C1").await.is_some(), "a binding stays");
    assert_eq!(face(&store, "C2").await, None);
    store.forget(customer(1)).await.unwrap();
    assert!(!announce("C1").await);
}

async fn many_mappings_are_read_in_their_order(store: Store) {
    bind(&store, 2, "C2").await;
    bind(&store, 3, "C3").await;
    store.forget(customer(3)).await.unwrap();
    let reservation = reservation(1);
    store
        .reserve(customer(4), reservation.clone())
        .await
        .unwrap();
    let asked: Vec<EntityRef> = (1..=120).map(customer).collect();
    let mappings = store.get_many(&asked).await.unwrap();
    assert_eq!(mappings.len(), asked.len());
    assert_eq!(mappings[0], None);
    assert!(matches!(&mappings[1], Some(Mapping::Bound(bound)) if bound.code == code("C2")));
    assert_eq!(mappings[2], Some(Mapping::Forgotten));
    assert_eq!(mappings[3], Some(Mapping::Reserved(reservation)));
    assert!(mappings[4..].iter().all(Option::is_none));
}

async fn code_holder(store: &Store, text: &str) -> Option<EntityRef> {
    let code = code(text);
    let holder = store.by_code(EntityKind::Customer, Scope::Client, &code);
    holder.await.unwrap()
}

async fn what_nobody_has_heard_of_has_no_mapping(store: Store) {
    assert_eq!(store.get(customer(1)).await.unwrap(), None);
    assert_eq!(code_holder(&store, "C1").await, None);
}

async fn note_sync(store: &Store, entity: EntityRef, seen: &Binding) -> bool {
    store.record_sync(entity, seen).await.unwrap()
}

async fn note_delivery(
    store: &Store,
    entity: EntityRef,
    text: &str,
    delivery: CodeDelivery,
) -> bool {
    let code = code(text);
    let noted = store.record_delivery(entity, &code, delivery);
    noted.await.unwrap()
}

/// Runs the same thing eight times at once.
async fn eight<T>(work: impl AsyncFn(i64) -> T) -> Vec<T> {
    join_all((1..=8).map(|n| work(n))).await
}

async fn p2_of_many_reservations_one_is_new(store: Store) {
    let outcomes = eight(async |n| {
        let reservation = reservation(n);
        let outcome = store.reserve(customer(1), reservation.clone()).await;
        (reservation, outcome.unwrap())
    })
    .await;
    let new: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == Reserved::New)
        .collect();
    assert_eq!(new.len(), 1);
    let (winner, _) = new[0];
    for (reservation, outcome) in &outcomes {
        if reservation != winner {
            assert_eq!(*outcome, Reserved::Earlier(winner.clone()));
        }
    }
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Reserved(winner.clone()))
    );
}

async fn p2_a_reservation_stays_as_it_was_made(store: Store) {
    let first = Reservation {
        natural_key: None,
        ..reservation(0)
    };
    let outcome = store.reserve(customer(1), first.clone()).await.unwrap();
    assert_eq!(outcome, Reserved::New);
    // Also the same token: the first caller may have created a record in between.
    for again in [first.clone(), reservation(9)] {
        let outcome = store.reserve(customer(1), again).await.unwrap();
        assert_eq!(outcome, Reserved::Earlier(first.clone()));
    }
}

async fn p2_an_expired_reservation_is_taken_over_once(store: Store) {
    let expired = reservation(0);
    store.reserve(customer(1), expired.clone()).await.unwrap();
    let outcomes = eight(async |n| {
        let renewed = reservation(10 + n);
        let outcome = store.renew(customer(1), expired.token, renewed.clone());
        (renewed, outcome.await.unwrap())
    })
    .await;
    let winners: Vec<_> = outcomes.iter().filter(|(_, taken)| *taken).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Reserved(winners[0].0.clone()))
    );
    let unknown = store.renew(customer(2), expired.token, reservation(0));
    assert!(!unknown.await.unwrap());
    assert_eq!(store.get(customer(2)).await.unwrap(), None);
}

async fn only_its_owner_withdraws_a_reservation(store: Store) {
    let stored = reservation(0);
    store.reserve(customer(1), stored.clone()).await.unwrap();
    store.release(customer(1), Uuid::new_v4()).await.unwrap();
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Reserved(stored.clone()))
    );
    store.release(customer(1), stored.token).await.unwrap();
    assert_eq!(store.get(customer(1)).await.unwrap(), None);
    // Once more, and once it is bound: nothing happens.
    store.release(customer(1), stored.token).await.unwrap();
    store.reserve(customer(1), stored.clone()).await.unwrap();
    store.bind(customer(1), binding("C1")).await.unwrap();
    store.release(customer(1), stored.token).await.unwrap();
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(binding("C1")))
    );
}

async fn a_binding_replaces_a_reservation_and_has_two_faces(store: Store) {
    let deliveries = [
        CodeDelivery::Pending,
        CodeDelivery::HandedOver { at: minute(1) },
        CodeDelivery::Confirmed { at: minute(2) },
        CodeDelivery::Refused { at: minute(3) },
    ];
    for (n, delivery) in (1..).zip(deliveries) {
        let text = format!("Å {n} #/\"code\"");
        let binding = Binding {
            delivery,
            former_code: None,
            ..binding(&text)
        };
        store.reserve(customer(n), reservation(n)).await.unwrap();
        let outcome = store.bind(customer(n), binding.clone()).await.unwrap();
        assert_eq!(outcome, Bound::Done);
        assert_eq!(
            store.get(customer(n)).await.unwrap(),
            Some(Mapping::Bound(binding))
        );
        assert_eq!(code_holder(&store, &text).await, Some(customer(n)));
    }
}

async fn p2_binding_again_changes_nothing(store: Store) {
    let outcomes = eight(async |_| store.bind(customer(1), binding("C1")).await.unwrap()).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Bound::Done));
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(binding("C1")))
    );
    assert_eq!(code_holder(&store, "C1").await, Some(customer(1)));
}

async fn binding_again_with_news_takes_them_over_and_stays_confirmed(store: Store) {
    let confirmed = CodeDelivery::Confirmed { at: minute(7) };
    let old = Binding {
        delivery: confirmed,
        ..binding("C1")
    };
    store.bind(customer(1), old).await.unwrap();
    let news = Binding {
        shop_fingerprint: None,
        former_code: None,
        ..binding("C1")
    };
    let outcome = store.bind(customer(1), news.clone()).await.unwrap();
    assert_eq!(outcome, Bound::Done);
    let merged = Binding {
        delivery: confirmed,
        ..news
    };
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(merged))
    );
}

async fn p2_a_bound_entity_is_not_reserved_again(store: Store) {
    store.bind(customer(1), binding("C1")).await.unwrap();
    let outcome = store.reserve(customer(1), reservation(0)).await.unwrap();
    assert_eq!(outcome, Reserved::Bound(binding("C1")));
    let outcome = store.renew(customer(1), Uuid::new_v4(), reservation(0));
    assert!(!outcome.await.unwrap());
}

async fn p3_of_many_entities_one_gets_a_code(store: Store) {
    let outcomes = eight(async |n| {
        let outcome = store.bind(customer(n), binding("C1")).await;
        (customer(n), outcome.unwrap())
    })
    .await;
    let winner = code_holder(&store, "C1").await.unwrap();
    for (entity, outcome) in outcomes {
        let mapping = store.get(entity).await.unwrap();
        if entity == winner {
            assert_eq!(outcome, Bound::Done);
            assert_eq!(mapping, Some(Mapping::Bound(binding("C1"))));
        } else {
            assert_eq!(outcome, Bound::CodeTaken { by: winner });
            assert_eq!(mapping, None);
        }
    }
}

async fn p3_of_many_codes_an_entity_gets_one(store: Store) {
    let outcomes = eight(async |n| {
        let text = format!("C{n}");
        let outcome = store.bind(customer(1), binding(&text)).await;
        (text, outcome.unwrap())
    })
    .await;
    let Some(Mapping::Bound(bound)) = store.get(customer(1)).await.unwrap() else {
        panic!("not bound");
    };
    for (text, outcome) in outcomes {
        if bound.code == code(&text) {
            assert_eq!(outcome, Bound::Done);
            assert_eq!(code_holder(&store, &text).await, Some(customer(1)));
        } else {
            let code = bound.code.clone();
            assert_eq!(outcome, Bound::OtherCode { code });
            assert_eq!(code_holder(&store, &text).await, None);
        }
    }
}

async fn p3_a_taken_code_leaves_no_trace_of_the_attempt(store: Store) {
    store.bind(customer(1), binding("C1")).await.unwrap();
    let reservation = reservation(0);
    store
        .reserve(customer(2), reservation.clone())
        .await
        .unwrap();
    let outcome = store.bind(customer(2), binding("C1")).await.unwrap();
    assert_eq!(outcome, Bound::CodeTaken { by: customer(1) });
    assert_eq!(
        store.get(customer(2)).await.unwrap(),
        Some(Mapping::Reserved(reservation))
    );
    // It has a code of its own, and asks for another's: the answer names its own.
    store.bind(customer(2), binding("C2")).await.unwrap();
    let outcome = store.bind(customer(2), binding("C1")).await.unwrap();
    assert_eq!(outcome, Bound::OtherCode { code: code("C2") });
}

async fn a_look_at_both_sides_is_noted_and_leaves_the_delivery_alone(store: Store) {
    let handed_over = CodeDelivery::HandedOver { at: minute(4) };
    store.bind(customer(1), binding("C1")).await.unwrap();
    assert!(note_delivery(&store, customer(1), "C1", handed_over).await);
    let seen = Binding {
        delivery: CodeDelivery::Pending,
        shop_fingerprint: None,
        former_code: None,
        fetched_at: Some(minute(8)),
        ..binding("C1")
    };
    assert!(note_sync(&store, customer(1), &seen).await);
    let merged = Binding {
        delivery: handed_over,
        ..seen
    };
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(merged))
    );
}

async fn a_note_about_another_code_is_refused(store: Store) {
    let confirmed = CodeDelivery::Confirmed { at: minute(4) };
    store.bind(customer(1), binding("C1")).await.unwrap();
    let reserved = reservation(0);
    store.reserve(customer(2), reserved.clone()).await.unwrap();
    for entity in [customer(1), customer(2), customer(3)] {
        assert!(!note_sync(&store, entity, &binding("C2")).await);
        assert!(!note_delivery(&store, entity, "C2", confirmed).await);
    }
    let known = [
        Some(Mapping::Bound(binding("C1"))),
        Some(Mapping::Reserved(reserved)),
        None,
    ];
    for (n, known) in (1..).zip(known) {
        assert_eq!(store.get(customer(n)).await.unwrap(), known);
    }
}

async fn what_is_confirmed_stays_confirmed(store: Store) {
    store.bind(customer(1), binding("C1")).await.unwrap();
    let handed_over = CodeDelivery::HandedOver { at: minute(1) };
    let refused = CodeDelivery::Refused { at: minute(2) };
    let confirmed = CodeDelivery::Confirmed { at: minute(3) };
    let later = CodeDelivery::Confirmed { at: minute(4) };
    for (note, stored) in [
        (handed_over, handed_over),
        (refused, refused),
        (confirmed, confirmed),
        (CodeDelivery::Pending, confirmed),
        (handed_over, confirmed),
        (refused, confirmed),
        (later, confirmed),
    ] {
        assert!(note_delivery(&store, customer(1), "C1", note).await);
        let expected = Binding {
            delivery: stored,
            ..binding("C1")
        };
        assert_eq!(
            store.get(customer(1)).await.unwrap(),
            Some(Mapping::Bound(expected))
        );
    }
}

async fn p12_a_forgotten_entity_takes_nothing_any_more(store: Store) {
    let reserved = reservation(0);
    store.reserve(customer(1), reserved.clone()).await.unwrap();
    store.bind(customer(2), binding("C2")).await.unwrap();
    for entity in [customer(1), customer(2)] {
        store.forget(entity).await.unwrap();
        assert_eq!(store.get(entity).await.unwrap(), Some(Mapping::Forgotten));
        let outcome = store.reserve(entity, reservation(1)).await.unwrap();
        assert_eq!(outcome, Reserved::Forgotten);
        let renewed = store.renew(entity, reserved.token, reservation(1));
        assert!(!renewed.await.unwrap());
        store.release(entity, reserved.token).await.unwrap();
        for text in ["C2", "C3"] {
            let outcome = store.bind(entity, binding(text)).await.unwrap();
            assert_eq!(outcome, Bound::Forgotten);
        }
        assert!(!note_sync(&store, entity, &binding("C2")).await);
        assert!(!note_delivery(&store, entity, "C2", CodeDelivery::Pending).await);
        assert_eq!(store.get(entity).await.unwrap(), Some(Mapping::Forgotten));
    }
    for text in ["C2", "C3"] {
        assert_eq!(code_holder(&store, text).await, None);
    }
    // Nobody else gets the code either, and a code that nobody had is free.
    let outcome = store.bind(customer(4), binding("C2")).await.unwrap();
    assert_eq!(outcome, Bound::Forgotten);
    assert_eq!(store.get(customer(4)).await.unwrap(), None);
    let outcome = store.bind(customer(4), binding("C3")).await.unwrap();
    assert_eq!(outcome, Bound::Done);
}

async fn p12_an_entity_can_be_forgotten_before_it_was_known_and_twice(store: Store) {
    for _ in 0..2 {
        store.forget(customer(1)).await.unwrap();
        assert_eq!(
            store.get(customer(1)).await.unwrap(),
            Some(Mapping::Forgotten)
        );
    }
    store.bind(customer(2), binding("C2")).await.unwrap();
    eight(async |_| store.forget(customer(2)).await.unwrap()).await;
    assert_eq!(
        store.get(customer(2)).await.unwrap(),
        Some(Mapping::Forgotten)
    );
}

async fn p12_forgetting_wins_against_a_binding_at_the_same_time(store: Store) {
    eight(async |n| {
        let text = format!("C{n}");
        let confirmed = CodeDelivery::Confirmed { at: minute(n) };
        let (bound, forgotten, _) = tokio::join!(
            store.bind(customer(n), binding(&text)),
            store.forget(customer(n)),
            note_delivery(&store, customer(n), &text, confirmed),
        );
        assert!(matches!(bound.unwrap(), Bound::Done | Bound::Forgotten));
        forgotten.unwrap();
        assert_eq!(
            store.get(customer(n)).await.unwrap(),
            Some(Mapping::Forgotten)
        );
        assert_eq!(code_holder(&store, &text).await, None);
    })
    .await;
}

fn new(number: i64, text: &str) -> NewBinding {
    NewBinding {
        entity: customer(number),
        binding: binding(text),
    }
}

async fn bind_many(store: &Store, bindings: &[NewBinding]) -> Vec<Bound> {
    store.bind_many(bindings).await.unwrap()
}

/// The entity is bound to this code and record, with all three entries.
async fn assert_bound(store: &Store, number: i64, text: &str) {
    let stored = store.get(customer(number)).await.unwrap();
    assert_eq!(stored, Some(Mapping::Bound(binding(text))));
    assert_eq!(code_holder(store, text).await, Some(customer(number)));
    let face = face(store, text).await.unwrap();
    assert_eq!((face.id, face.code), (Some(norce_id(number)), code(text)));
}

async fn many_bindings_are_answered_in_their_order(store: Store) {
    assert_eq!(bind_many(&store, &[]).await, []);
    bind(&store, 1, "C1").await;
    bind(&store, 4, "C4").await;
    store.reserve(customer(5), reservation(0)).await.unwrap();
    store.forget(customer(3)).await.unwrap();
    let other_record = NewBinding {
        binding: Binding {
            code: code("C8"),
            ..binding("C4")
        },
        ..new(8, "C8")
    };
    let bindings = [
        new(2, "C1"),
        new(3, "C3"),
        new(4, "C9"),
        new(5, "C5"),
        new(1, "C1"),
        new(6, "C6"),
        other_record,
        new(7, "C7"),
    ];
    let expected = [
        Bound::CodeTaken { by: customer(1) },
        Bound::Forgotten,
        Bound::OtherCode { code: code("C4") },
        Bound::Done,
        Bound::Done,
        Bound::Done,
        Bound::RecordTaken { by: customer(4) },
        Bound::Done,
    ];
    assert_eq!(bind_many(&store, &bindings).await, expected);
    for (number, text) in [(1, "C1"), (4, "C4"), (5, "C5"), (6, "C6"), (7, "C7")] {
        assert_bound(&store, number, text).await;
    }
    // One by itself as well.
    assert_eq!(bind_many(&store, &[new(9, "C9")]).await, [Bound::Done]);
    assert_bound(&store, 9, "C9").await;
}

async fn more_bindings_than_a_transaction_holds_are_made_and_repeated_without_a_change(
    store: Store,
) {
    let bindings: Vec<NewBinding> = (1..=75)
        .map(|number| new(number, &format!("C{number}")))
        .collect();
    for _ in 0..2 {
        let answers = bind_many(&store, &bindings).await;
        assert_eq!(answers, vec![Bound::Done; bindings.len()]);
        for number in [1, 33, 34, 66, 67, 75] {
            assert_bound(&store, number, &format!("C{number}")).await;
        }
    }
    let mut page = store.bound(None).await.unwrap();
    assert_eq!(page.bound.len(), bindings.len());
    page.bound.sort_by_key(|(entity, _)| entity.id);
    let expected = bindings.into_iter().map(|new| (new.entity, new.binding));
    assert_eq!(page.bound, expected.collect::<Vec<_>>());
}

async fn p3_a_taken_code_among_many_bindings_is_refused_alone(store: Store) {
    bind(&store, 100, "C20").await;
    bind(&store, 101, "C40").await;
    let bindings: Vec<NewBinding> = (1..=50)
        .map(|number| new(number, &format!("C{number}")))
        .collect();
    let answers = bind_many(&store, &bindings).await;
    for (number, answer) in (1..).zip(answers) {
        let holder = match number {
            20 => 100,
            40 => 101,
            _ => {
                assert_eq!(answer, Bound::Done);
                assert_bound(&store, number, &format!("C{number}")).await;
                continue;
            }
        };
        let by = customer(holder);
        assert_eq!(answer, Bound::CodeTaken { by });
        assert_eq!(store.get(customer(number)).await.unwrap(), None);
        assert_bound(&store, holder, &format!("C{number}")).await;
    }
}

async fn p2_an_entity_a_code_or_a_record_that_comes_twice_among_many_is_bound_once(store: Store) {
    let same_record = NewBinding {
        binding: Binding {
            code: code("C9"),
            ..binding("C1")
        },
        ..new(4, "C9")
    };
    let same_code = NewBinding {
        binding: Binding {
            erp_id: record("C8"),
            ..binding("C2")
        },
        ..new(5, "C2")
    };
    let bindings = [
        new(1, "C1"),
        new(2, "C2"),
        new(1, "C1"),
        new(1, "C3"),
        same_record,
        same_code,
        new(6, "C6"),
    ];
    let expected = [
        Bound::Done,
        Bound::Done,
        Bound::Done,
        Bound::OtherCode { code: code("C1") },
        Bound::RecordTaken { by: customer(1) },
        Bound::CodeTaken { by: customer(2) },
        Bound::Done,
    ];
    assert_eq!(bind_many(&store, &bindings).await, expected);
    for (number, text) in [(1, "C1"), (2, "C2"), (6, "C6")] {
        assert_bound(&store, number, text).await;
    }
    for number in [4, 5] {
        assert_eq!(store.get(customer(number)).await.unwrap(), None);
    }
}

async fn p12_a_forgotten_entity_code_or_record_among_many_bindings_is_refused_alone(store: Store) {
    bind(&store, 1, "C1").await;
    store.forget(customer(1)).await.unwrap();
    let (mut by_code, mut by_record) = (new(2, "C1"), new(3, "C3"));
    by_code.binding.erp_id = record("C2");
    by_record.binding.erp_id = record("C1");
    let bindings = [new(1, "C4"), new(5, "C5"), by_code, by_record, new(6, "C6")];
    let expected = [
        Bound::Forgotten,
        Bound::Done,
        Bound::Forgotten,
        Bound::Forgotten,
        Bound::Done,
    ];
    for _ in 0..2 {
        assert_eq!(bind_many(&store, &bindings).await, expected);
    }
    for number in [2, 3] {
        assert_eq!(store.get(customer(number)).await.unwrap(), None);
    }
    let forgotten = store.get(customer(1)).await.unwrap();
    assert_eq!(forgotten, Some(Mapping::Forgotten));
}

/// Nobody was forgotten when the first ones were bound; somebody was since.
async fn p12_many_bindings_see_what_was_forgotten_since_the_last_batch(store: Store) {
    let of = |numbers: std::ops::RangeInclusive<i64>| -> Vec<NewBinding> {
        numbers
            .map(|number| new(number, &format!("C{number}")))
            .collect()
    };
    assert_eq!(bind_many(&store, &of(1..=2)).await, vec![Bound::Done; 2]);
    store.forget(customer(20)).await.unwrap();
    let answers = bind_many(&store, &of(3..=40)).await;
    for (number, answer) in (3..).zip(answers) {
        if number == 20 {
            assert_eq!(answer, Bound::Forgotten);
        } else {
            assert_eq!(answer, Bound::Done);
            assert_bound(&store, number, &format!("C{number}")).await;
        }
    }
    assert_eq!(code_holder(&store, "C20").await, None);
    assert_eq!(face(&store, "C20").await, None);
}

async fn p12_forgetting_wins_against_many_bindings_at_the_same_time(store: Store) {
    let bindings: Vec<NewBinding> = (1..=80)
        .map(|number| new(number, &format!("C{number}")))
        .collect();
    let forget = async |number: i64| store.forget(customer(10 * number)).await.unwrap();
    let (answers, _) = tokio::join!(bind_many(&store, &bindings), eight(forget));
    for (number, answer) in (1..).zip(answers) {
        let text = format!("C{number}");
        if number % 10 > 0 {
            assert_eq!(answer, Bound::Done);
            assert_bound(&store, number, &text).await;
            continue;
        }
        assert!(matches!(answer, Bound::Done | Bound::Forgotten));
        let stored = store.get(customer(number)).await.unwrap();
        assert_eq!(stored, Some(Mapping::Forgotten));
        assert_eq!(code_holder(&store, &text).await, None);
        assert_eq!(face(&store, &text).await, None);
    }
}

async fn p14_many_bindings_of_several_scopes_keep_apart(store: Store) {
    let of = |number, shop| NewBinding {
        entity: EntityRef::customer(Scope::Application(application(shop)), norce_id(number)),
        ..new(number, "C1")
    };
    store.bind(of(1, 1).entity, binding("C1")).await.unwrap();
    store.forget(of(1, 1).entity).await.unwrap();
    let mut bindings = Vec::new();
    for shop in 1..=3 {
        bindings.extend([of(2, shop), of(1, shop)]);
    }
    bindings[2].binding = binding("C2");
    bindings[4].binding = binding("C2");
    let answers = bind_many(&store, &bindings).await;
    let expected = [
        Bound::Forgotten,
        Bound::Forgotten,
        Bound::Done,
        Bound::Done,
        Bound::Done,
        Bound::Done,
    ];
    assert_eq!(answers, expected);
}

async fn p14_registers_do_not_see_each_other(store: Store) {
    let id = norce_id(1);
    let shop = |n| Scope::Application(application(n));
    let entities = [
        EntityRef::customer(Scope::Client, id),
        EntityRef::customer(shop(1), id),
        EntityRef::customer(shop(11), id),
        EntityRef::company(Scope::Client, id),
        EntityRef::company(shop(1), id),
    ];
    // The same codes everywhere, and the same ids in every ERP company; only within one is a record either a person or an
    // organisation.
    let of = |entity: EntityRef| Binding {
        erp_id: record(entity.kind.as_str()),
        ..binding("C1")
    };
    for entity in entities {
        assert_eq!(store.get(entity).await.unwrap(), None);
        let outcome = store.bind(entity, of(entity)).await.unwrap();
        assert_eq!(outcome, Bound::Done);
        let code = code("C1");
        let holder = store.by_code(entity.kind, entity.scope, &code);
        assert_eq!(holder.await.unwrap(), Some(entity));
    }
    store.forget(entities[1]).await.unwrap();
    for entity in [entities[0], entities[2], entities[3], entities[4]] {
        assert_eq!(
            store.get(entity).await.unwrap(),
            Some(Mapping::Bound(of(entity)))
        );
    }
}

/// P11, P12: what is left in the table of somebody who is forgotten can be traced by nobody without the key.
#[tokio::test]
async fn p12_nothing_of_a_forgotten_entity_is_left_in_the_table() {
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = DynamoDbMappings::new(&config, &table, key());
    let entity = customer(987_654_321);
    let binding = binding("CODE-OF-SOMEBODY");
    store.reserve(entity, reservation(0)).await.unwrap();
    store.bind(entity, binding.clone()).await.unwrap();
    assert_eq!(local::scan(&config, &table).await.len(), 3);

    store.forget(entity).await.unwrap();
    let mut items = local::scan(&config, &table).await;
    // How many were forgotten.
    items.retain(|item| item["pk"].as_s().unwrap() != "forgets#client");
    assert_eq!(items.len(), 3);
    for item in items {
        assert_eq!(item.keys().collect::<Vec<_>>(), ["pk"]);
        let key = item["pk"].as_s().unwrap();
        let hash = key.strip_prefix("forgotten#").unwrap();
        assert_eq!(hash.len(), 64);
        assert!(hash.chars().all(|c| c.is_ascii_hexdigit()));
    }
    let other_key = FingerprintKey::new(b"another secret");
    let other = DynamoDbMappings::new(&config, &table, other_key);
    assert_eq!(other.get(entity).await.unwrap(), None);
}

async fn everything_that_is_bound_is_read_page_by_page(store: Store) {
    assert_eq!(store.bound(None).await.unwrap(), BoundPage::default());
    let mut sent = Vec::new();
    for number in 1..=120 {
        let entity = EntityRef {
            kind: if number % 2 == 0 {
                EntityKind::Customer
            } else {
                EntityKind::Company
            },
            scope: if number % 3 == 0 {
                Scope::Client
            } else {
                Scope::Application(application(2))
            },
            id: norce_id(number),
        };
        let binding = binding(&format!("C#{number}"));
        store.bind(entity, binding.clone()).await.unwrap();
        sent.push((entity, binding));
    }
    store.reserve(customer(500), reservation(0)).await.unwrap();
    store.forget(sent.remove(0).0).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let BoundPage { bound, next } = store.bound(after.as_deref()).await.unwrap();
        found.extend(bound);
        after = next;
        if after.is_none() {
            break;
        }
    }
    found.sort_by_key(|(entity, _)| entity.id);
    assert_eq!(found, sent);
}

async fn an_unbound_entity_its_code_and_its_record_are_as_if_never_seen(store: Store) {
    bind(&store, 1, "C1").await;
    assert!(store.unbind(customer(1), &record("C1")).await.unwrap());
    assert_eq!(store.get(customer(1)).await.unwrap(), None);
    assert_eq!(code_holder(&store, "C1").await, None);
    assert_eq!(face(&store, "C1").await, None);
    let asked = [(record("C1"), code("C1"))];
    let known = store.known(EntityKind::Customer, Scope::Client, &asked);
    assert_eq!(known.await.unwrap(), [Known::Nothing]);
    // Repeating it changes nothing, and the next entity can take code and record.
    assert!(!store.unbind(customer(1), &record("C1")).await.unwrap());
    bind(&store, 2, "C1").await;
    let outcome = store.reserve(customer(1), reservation(0)).await.unwrap();
    assert_eq!(outcome, Reserved::New);
}

async fn only_the_binding_that_is_named_is_removed(store: Store) {
    bind(&store, 1, "C1").await;
    assert!(!store.unbind(customer(1), &record("C2")).await.unwrap());
    assert!(!store.unbind(customer(2), &record("C1")).await.unwrap());
    let held = reservation(0);
    store.reserve(customer(3), held.clone()).await.unwrap();
    assert!(!store.unbind(customer(3), &record("C1")).await.unwrap());
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(binding("C1")))
    );
    assert_eq!(code_holder(&store, "C1").await, Some(customer(1)));
    assert_eq!(
        face(&store, "C1").await.unwrap().id,
        Some(norce_id(1)),
        "no face of it went"
    );
    assert_eq!(
        store.get(customer(3)).await.unwrap(),
        Some(Mapping::Reserved(held))
    );
}

/// A binding to this code and this record.
fn bound_to(text: &str, of: &str) -> Binding {
    Binding {
        erp_id: record(of),
        delivery: CodeDelivery::Confirmed { at: minute(5) },
        former_code: Some(code("C1")),
        ..binding(text)
    }
}

async fn a_binding_is_replaced_with_all_its_faces(store: Store) {
    // Another code and another record, the same code and another record, and the same record with another code.
    for (number, (text, of)) in (1..).zip([("D1", "D1"), ("C2", "D2"), ("D3", "C3")]) {
        let before = format!("C{number}");
        bind(&store, number, &before).await;
        let from = record(&before);
        for _ in 0..2 {
            let outcome = store.rebind(customer(number), &from, bound_to(text, of));
            assert_eq!(outcome.await.unwrap(), Bound::Done);
        }
        assert_eq!(
            store.get(customer(number)).await.unwrap(),
            Some(Mapping::Bound(bound_to(text, of)))
        );
        assert_eq!(code_holder(&store, text).await, Some(customer(number)));
        let expected = RecordEntry {
            kind: EntityKind::Customer,
            id: Some(norce_id(number)),
            code: code(text),
            erp_fingerprint: None,
            confirmed: true,
            indexed: None,
        };
        assert_eq!(face(&store, of).await, Some(expected));
        if text != before {
            assert_eq!(code_holder(&store, &before).await, None);
        }
        if of != before {
            assert_eq!(face(&store, &before).await, None);
        }
    }
    // What was left behind is free.
    bind(&store, 9, "C1").await;
}

async fn p3_a_binding_is_not_replaced_by_what_is_anothers(store: Store) {
    bind(&store, 1, "C1").await;
    bind(&store, 2, "C2").await;
    let from = record("C1");
    let rebind = async |entity, binding| store.rebind(entity, &from, binding).await.unwrap();
    assert_eq!(
        rebind(customer(1), bound_to("C2", "D1")).await,
        Bound::CodeTaken { by: customer(2) }
    );
    assert_eq!(
        rebind(customer(1), bound_to("D1", "C2")).await,
        Bound::RecordTaken { by: customer(2) }
    );
    // Not from the record that was seen.
    assert_eq!(
        rebind(customer(2), bound_to("D1", "D1")).await,
        Bound::OtherCode { code: code("C2") }
    );
    assert_eq!(
        rebind(customer(3), bound_to("D1", "D1")).await,
        Bound::Forgotten
    );
    for (number, text) in [(1, "C1"), (2, "C2")] {
        assert_eq!(
            store.get(customer(number)).await.unwrap(),
            Some(Mapping::Bound(binding(text)))
        );
        assert_eq!(code_holder(&store, text).await, Some(customer(number)));
    }
    assert_eq!(code_holder(&store, "D1").await, None);
    assert_eq!(face(&store, "D1").await, None);
}

async fn p12_a_binding_is_not_replaced_by_what_is_forgotten(store: Store) {
    bind(&store, 1, "C1").await;
    bind(&store, 2, "C2").await;
    store.forget(customer(2)).await.unwrap();
    for (entity, binding) in [
        (customer(1), bound_to("C2", "D1")),
        (customer(1), bound_to("D1", "C2")),
        (customer(2), bound_to("D1", "D1")),
    ] {
        let outcome = store.rebind(entity, &record("C1"), binding).await;
        assert_eq!(outcome.unwrap(), Bound::Forgotten);
    }
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(binding("C1")))
    );
    // An announced insert is nobody's yet, and what Norce was told of it stays noted.
    let told = key().of(&"told").unwrap();
    let (of, code) = (record("D4"), code("D4"));
    let announced =
        store.announce_insert(EntityKind::Customer, Scope::Client, &of, &code, Some(&told));
    assert!(announced.await.unwrap());
    let from = record("C1");
    let outcome = store.rebind(customer(1), &from, bound_to("D4", "D4"));
    assert_eq!(outcome.await.unwrap(), Bound::Done);
    let face = face(&store, "D4").await.unwrap();
    assert_eq!(
        (face.id, face.erp_fingerprint),
        (Some(norce_id(1)), Some(told))
    );
}

async fn a_record_that_is_gone_is_noted_until_it_is_there_again(store: Store) {
    bind(&store, 1, "C1").await;
    for gone_at in [Some(minute(7)), None] {
        let seen = Binding {
            gone_at,
            replaced_code: gone_at.map(|_| code("C0")),
            ..binding("C1")
        };
        assert!(store.record_sync(customer(1), &seen).await.unwrap());
        assert_eq!(
            store.get(customer(1)).await.unwrap(),
            Some(Mapping::Bound(seen))
        );
    }
}

async fn that_a_record_is_gone_is_noted_on_its_own_binding_and_nothing_else_changes(store: Store) {
    bind(&store, 1, "C1").await;
    store.forget(customer(2)).await.unwrap();
    for (entity, of) in [(1, "C2"), (2, "C1"), (3, "C1")] {
        let of = record(of);
        let gone = store.record_gone(customer(entity), &of, minute(7));
        assert!(!gone.await.unwrap(), "{entity} {of:?}");
    }
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(binding("C1")))
    );
    // The first time stays.
    for at in [7, 8] {
        let of = record("C1");
        let gone = store.record_gone(customer(1), &of, minute(at));
        assert!(gone.await.unwrap());
        let seen = Binding {
            gone_at: Some(minute(7)),
            ..binding("C1")
        };
        assert_eq!(
            store.get(customer(1)).await.unwrap(),
            Some(Mapping::Bound(seen))
        );
    }
}

async fn a_binding_moves_to_a_survivor_with_all_its_faces_or_not_at_all(store: Store) {
    bind(&store, 1, "C1").await;
    bind(&store, 2, "C2").await;
    store.reserve(customer(3), reservation(0)).await.unwrap();
    store.forget(customer(4)).await.unwrap();
    let company = EntityRef::company(Scope::Client, norce_id(5));
    let elsewhere = EntityRef::customer(Scope::Application(application(1)), norce_id(5));
    let binding_of_another = binding("C2");
    for (to, moved) in [
        (customer(2), binding("C1")),
        (customer(3), binding("C1")),
        (customer(4), binding("C1")),
        (company, binding("C1")),
        (elsewhere, binding("C1")),
        (customer(5), binding_of_another),
    ] {
        assert!(!store.take_over(customer(1), to, moved).await.unwrap());
    }
    assert_eq!(
        store.get(customer(1)).await.unwrap(),
        Some(Mapping::Bound(binding("C1")))
    );
    assert_eq!(code_holder(&store, "C1").await, Some(customer(1)));

    let told = key().of(&"told").unwrap();
    let of = record("C1");
    let noted = store.record_owned(Scope::Client, &of, Some(&told));
    assert!(noted.await.unwrap());
    let moved = Binding {
        former_code: Some(code("C0")),
        ..binding("C1")
    };
    let outcome = store.take_over(customer(1), customer(5), moved.clone());
    assert!(outcome.await.unwrap());
    assert_eq!(store.get(customer(1)).await.unwrap(), None);
    assert_eq!(
        store.get(customer(5)).await.unwrap(),
        Some(Mapping::Bound(moved.clone()))
    );
    assert_eq!(code_holder(&store, "C1").await, Some(customer(5)));
    let face = face(&store, "C1").await.unwrap();
    assert_eq!((face.id, face.confirmed), (Some(norce_id(5)), false));
    assert_eq!(face.erp_fingerprint, Some(told));
    // Once only.
    let again = store.take_over(customer(1), customer(5), moved);
    assert!(!again.await.unwrap());
}
