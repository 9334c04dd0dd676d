//! The tables: what wrote them, through the ports, and what the ports answer. Afterwards the items are worked on, because
//! a condition that names an attribute by another name than the item has would refuse, or would not.

use std::collections::BTreeMap;

use shared::{
    Consistency,
    breakers::Breakers,
    domain::{
        Breaker, Cause, EntityKind, EntityRef, Fingerprint, JobId, OrderKey, PassMode, Resource,
        Scope,
    },
    import_jobs::{BatchState, ImportBatch, ImportJobs},
    mappings::{
        Binding, Bound, CodeDelivery, Known, Mapping, Mappings, RecordEntry, RecordMappings,
        Reservation, Reserved,
    },
    orders::{OrderRef, Orders, Parties, Party, Received},
    owed::{Dismissal, NewOwed, OwedRecords, Reason, Stage, Subject},
    passes::{Cost, Counts, Ended, Lease, LeaseKey, Passes, Run},
};
use uuid::Uuid;

use super::{
    CORRELATION, application, code, code_line, company, contacts_line, customer, full_line, id,
    insert_line, minute, record, shop,
};
use shared::domain::OrderText;

const JOB: JobId = JobId(4711);

fn fingerprint(text: &str) -> Fingerprint {
    Fingerprint::from(text.repeat(16))
}

// --- Code mappings ----------------------------------------------------------------------------------------------------

/// A reservation whose record has a natural key.
pub(crate) fn reservation() -> Reservation {
    Reservation {
        token: Uuid::from_u128(0x1),
        since: minute(0),
        until: minute(5),
        natural_key: Some(fingerprint("beef")),
    }
}

/// And one whose record has none.
pub(crate) fn bare_reservation() -> Reservation {
    Reservation {
        natural_key: None,
        ..reservation()
    }
}

/// Bindings by the number of their customer, one for each state of a delivery.
pub(crate) fn bindings() -> Vec<(EntityRef, Binding)> {
    let binding = |number: i64, delivery| Binding {
        shop_fingerprint: Some(fingerprint("cafe")),
        fetched_at: Some(minute(1)),
        ..Binding::new(
            code(&format!("C{number:03}")),
            record(Resource::Customer, number.unsigned_abs().into()),
            delivery,
        )
    };
    vec![
        (
            customer(11),
            Binding {
                shop_fingerprint: None,
                fetched_at: None,
                ..binding(11, CodeDelivery::Pending)
            },
        ),
        (
            customer(12),
            binding(12, CodeDelivery::HandedOver { at: minute(2) }),
        ),
        (
            customer(13),
            binding(13, CodeDelivery::Confirmed { at: minute(3) }),
        ),
        (
            customer(14),
            binding(14, CodeDelivery::Refused { at: minute(4) }),
        ),
        (
            company(15),
            binding(15, CodeDelivery::Confirmed { at: minute(5) }),
        ),
    ]
}

/// A customer whose ERP record has a new code that Norce does not have yet.
fn renamed() -> EntityRef {
    customer(16)
}

fn forgotten() -> EntityRef {
    customer(17)
}

/// Writes what is to be found again.
pub(crate) async fn write_mappings(store: &dyn RecordMappings) {
    for (entity, reservation) in [
        (customer(1), reservation()),
        (customer(2), bare_reservation()),
    ] {
        let reserved = store.reserve(entity, reservation).await.unwrap();
        assert_eq!(reserved, Reserved::New);
    }
    for (entity, binding) in bindings() {
        assert_eq!(store.bind(entity, binding).await.unwrap(), Bound::Done);
    }
    let erp_id = record(Resource::Contact, 16);
    for entity in [renamed(), forgotten()] {
        let record = match entity == renamed() {
            true => erp_id.clone(),
            false => record(Resource::Customer, 17),
        };
        let delivery = CodeDelivery::Confirmed { at: minute(6) };
        let binding = Binding::new(code(&format!("C{:03}", entity.id)), record, delivery);
        assert_eq!(store.bind(entity, binding).await.unwrap(), Bound::Done);
    }
    let (from, to) = (code("C016"), code("R016"));
    let renaming = store.rename(renamed(), &erp_id, &from, &to).await;
    assert_eq!(renaming.unwrap(), Bound::Done);
    store.forget(forgotten()).await.unwrap();
    let (owned, inserted) = (fingerprint("feed"), record(Resource::Customer, 18));
    let noted = store
        .record_owned(Scope::Client, &record(Resource::Customer, 13), Some(&owned))
        .await;
    assert!(noted.unwrap());
    let announced = store
        .announce_insert(
            EntityKind::Customer,
            Scope::Client,
            &inserted,
            &code("C018"),
            Some(&owned),
        )
        .await;
    assert!(announced.unwrap());
}

/// What the answers are.
pub(crate) async fn mappings_are_as_they_were(store: &dyn Mappings) {
    let (owned, kind, scope) = (fingerprint("feed"), EntityKind::Customer, Scope::Client);
    for (entity, expected) in [
        (customer(1), Mapping::Reserved(reservation())),
        (customer(2), Mapping::Reserved(bare_reservation())),
        (forgotten(), Mapping::Forgotten),
    ] {
        assert_eq!(store.get(entity).await.unwrap(), Some(expected));
    }
    for (entity, binding) in bindings() {
        let is_confirmed = matches!(binding.delivery, CodeDelivery::Confirmed { .. });
        let faces = store
            .records(
                entity.scope,
                std::slice::from_ref(&binding.erp_id),
                Consistency::Strong,
            )
            .await;
        let face = RecordEntry {
            kind: entity.kind,
            id: Some(entity.id),
            code: binding.code.clone(),
            erp_fingerprint: (entity == customer(13)).then(|| owned.clone()),
            confirmed: is_confirmed,
            indexed: None,
        };
        assert_eq!(faces.unwrap(), [Some(face)]);
        let by_code = store.by_code(entity.kind, entity.scope, &binding.code);
        assert_eq!(by_code.await.unwrap(), Some(entity));
        let mapping = store.get(entity).await.unwrap();
        assert_eq!(mapping, Some(Mapping::Bound(binding)));
    }
    let Some(Mapping::Bound(binding)) = store.get(renamed()).await.unwrap() else {
        panic!("not bound");
    };
    assert_eq!(
        (binding.code, binding.former_code, binding.delivery),
        (code("R016"), Some(code("C016")), CodeDelivery::Pending)
    );
    let of = |resource, number: u128, text: &str| (record(resource, number), code(text));
    let known = store
        .known(
            kind,
            scope,
            &[
                // The record and the code that were forgotten, each with something unknown.
                of(Resource::Customer, 17, "NEW1"),
                of(Resource::Customer, 0xff, "C017"),
                of(Resource::Customer, 18, "C018"),
                of(Resource::Customer, 0xfe, "C012"),
                of(Resource::Customer, 0xfd, "NEW2"),
            ],
        )
        .await;
    let announced = RecordEntry {
        kind,
        id: None,
        code: code("C018"),
        erp_fingerprint: Some(owned),
        confirmed: false,
        indexed: None,
    };
    assert_eq!(
        known.unwrap(),
        [
            Known::Forgotten,
            Known::Forgotten,
            Known::Record(announced),
            Known::Code(id(12)),
            Known::Nothing,
        ]
    );
    let mut bound = store.bound(None).await.unwrap().bound;
    bound.sort_by_key(|(entity, _)| entity.id);
    let bound: Vec<i64> = bound.iter().map(|(it, _)| it.id.into()).collect();
    assert_eq!(bound, [11, 12, 13, 14, 15, 16]);

    // They are worked on as if this version had written them.
    let reserved = store.reserve(customer(1), bare_reservation()).await;
    assert_eq!(reserved.unwrap(), Reserved::Earlier(reservation()));
    let token = Uuid::from_u128(0x2);
    let taken_over = Reservation {
        token,
        ..reservation()
    };
    let renewed = store.renew(customer(1), reservation().token, taken_over);
    assert!(renewed.await.unwrap());
    store.release(customer(1), token).await.unwrap();
    assert_eq!(store.get(customer(1)).await.unwrap(), None);
    for (number, erp_id, text) in [
        (2, record(Resource::Customer, 2), "C002"),
        (18, record(Resource::Customer, 18), "C018"),
    ] {
        let binding = Binding {
            code: code(text),
            erp_id,
            ..bindings().remove(1).1
        };
        let bound = store.bind(customer(number), binding).await;
        assert_eq!(bound.unwrap(), Bound::Done, "{number}");
    }
    let confirmed = CodeDelivery::Confirmed { at: minute(9) };
    for (number, text) in [(12, "C012"), (14, "C014"), (16, "R016")] {
        let code = code(text);
        let noted = store.record_delivery(customer(number), &code, confirmed);
        assert!(noted.await.unwrap(), "{number}");
        let mapping = store.get(customer(number)).await.unwrap();
        let Some(Mapping::Bound(binding)) = mapping else {
            panic!("{number} is not bound");
        };
        assert_eq!((binding.delivery, binding.former_code), (confirmed, None));
    }
    store.forget(customer(13)).await.unwrap();
    let mapping = store.get(customer(13)).await.unwrap();
    assert_eq!(mapping, Some(Mapping::Forgotten));
    let again = bindings().remove(2).1;
    let bound = store.bind(customer(99), again).await;
    assert_eq!(bound.unwrap(), Bound::Forgotten);
}

// --- Import jobs ------------------------------------------------------------------------------------------------------

/// Batches in every state.
pub(crate) fn batches() -> Vec<ImportBatch> {
    let batch = |number: u128, state| ImportBatch {
        id: Uuid::from_u128(number),
        kind: EntityKind::Customer,
        scope: Scope::Client,
        lines: vec![code_line(), full_line(), insert_line()],
        state,
        recorded_at: minute(0),
        since: minute(-30),
    };
    vec![
        batch(0xb1, BatchState::Submitting),
        ImportBatch {
            kind: EntityKind::Company,
            scope: shop(),
            lines: vec![contacts_line()],
            recorded_at: minute(1),
            ..batch(0xb2, BatchState::Submitted { job: JOB })
        },
        ImportBatch {
            lines: Vec::new(),
            recorded_at: minute(2),
            ..batch(0xb3, BatchState::Settled)
        },
    ]
}

/// Writes what is to be found again.
pub(crate) async fn write_import_jobs(store: &dyn ImportJobs) {
    for batch in batches() {
        let lines = match batch.state {
            BatchState::Settled => vec![code_line()],
            _ => batch.lines.clone(),
        };
        let recorded = ImportBatch {
            lines,
            ..batch.clone()
        };
        store.record(&recorded).await.unwrap();
        match batch.state {
            BatchState::Submitting => {}
            BatchState::Submitted { job } => store.submitted(batch.id, job).await.unwrap(),
            BatchState::Settled => {
                store.submitted(batch.id, JobId(4712)).await.unwrap();
                store.settle(batch.id).await.unwrap();
            }
        }
    }
}

/// What the answers are.
pub(crate) async fn import_jobs_are_as_they_were(store: &dyn ImportJobs) {
    let [submitting, submitted, settled] = batches().try_into().unwrap();
    for batch in [&submitting, &submitted, &settled] {
        let stored = store.get(batch.id).await.unwrap();
        assert_eq!(stored.as_ref(), Some(batch));
    }
    let by_job = store.by_job(JOB).await.unwrap();
    assert_eq!(by_job.as_ref(), Some(&submitted));
    let by_job = store.by_job(JobId(4712)).await.unwrap();
    assert_eq!(by_job.as_ref(), Some(&settled));
    let open = store.open().await.unwrap();
    assert_eq!(open, [submitting.clone(), submitted.clone()]);

    store.submitted(submitting.id, JobId(4713)).await.unwrap();
    let job = store.by_job(JobId(4713)).await.unwrap();
    assert_eq!(job.map(|batch| batch.id), Some(submitting.id));
    for batch in [submitting, submitted] {
        store.settle(batch.id).await.unwrap();
        let stored = store.get(batch.id).await.unwrap().unwrap();
        assert_eq!((stored.state, stored.lines), (BatchState::Settled, vec![]));
    }
    assert_eq!(store.open().await.unwrap(), []);
}

// --- Passes -----------------------------------------------------------------------------------------------------------

const ERP: LeaseKey = LeaseKey {
    scope: Scope::Client,
    sweep: false,
};

fn sweep() -> LeaseKey {
    LeaseKey {
        scope: shop(),
        sweep: true,
    }
}

/// A run that has ended, with something in every field, one that failed, and one that has just begun. What the pass
/// itself writes down in between is among the fixtures of passes in the middle.
pub(crate) fn runs() -> Vec<Run> {
    let ended = Run {
        id: Uuid::from_u128(0x51),
        mode: PassMode::Full,
        kind: Some(EntityKind::Company),
        scope: shop(),
        dry_run: false,
        started: minute(0),
        progressed: minute(2),
        ended: Some(Ended {
            at: minute(3),
            failed: None,
        }),
        counts: Counts {
            seen: 1,
            unchanged: 2,
            bound: 3,
            codes: 4,
            renamed: 5,
            fields: 6,
            inserted: 7,
            waiting: 8,
            conflicts: 9,
            gone: 0,
            skipped: BTreeMap::from([("not in Norce".to_owned(), 10)]),
            queued: 11,
            forgotten: 12,
        },
        cost: Cost {
            invocations: 1,
            pages: 2,
            erp_calls: 3,
            query_calls: 4,
            mapping_reads: 5,
            mapping_read_requests: 6,
            mapping_writes: 7,
            index_writes: 0,
            import_lines: 8,
            erp_wait_ms: 9,
            norce_wait_ms: 10,
            duration_ms: 11,
        },
        watermarks_before: BTreeMap::from([(EntityKind::Company, minute(-60))]),
        watermark_after: Some(minute(0)),
        version: 1,
        work: None,
    };
    vec![
        Run {
            id: Uuid::from_u128(0x52),
            mode: PassMode::Delta,
            kind: None,
            ended: Some(Ended {
                at: minute(3),
                failed: Some("the ERP does not answer".to_owned()),
            }),
            ..ended.clone()
        },
        Run {
            id: Uuid::from_u128(0x53),
            mode: PassMode::Sweep,
            kind: None,
            scope: Scope::Client,
            ended: None,
            counts: Counts::default(),
            cost: Cost::default(),
            watermarks_before: BTreeMap::new(),
            watermark_after: None,
            work: Some("{\"its\":\"work\"}".to_owned()),
            ..ended.clone()
        },
        ended,
    ]
}

fn working() -> Lease {
    Lease {
        run: Uuid::from_u128(0x51),
        invocation: Some(Uuid::from_u128(0x1)),
        until: minute(5),
    }
}

fn between() -> Lease {
    Lease {
        run: Uuid::from_u128(0x52),
        invocation: None,
        until: minute(30),
    }
}

/// Writes what is to be found again.
pub(crate) async fn write_passes(store: &dyn Passes) {
    for run in runs() {
        assert!(store.save(&run).await.unwrap());
    }
    let taken = store.lease(ERP, working(), minute(0)).await.unwrap();
    assert_eq!(taken, Ok(()));
    let invocation = Uuid::from_u128(0x2);
    let lease = Lease {
        invocation: Some(invocation),
        ..between()
    };
    let taken = store.lease(sweep(), lease, minute(0)).await.unwrap();
    assert_eq!(taken, Ok(()));
    let keep = Some(between().until);
    store.release(sweep(), invocation, keep).await.unwrap();
    for (key, kind) in [(ERP, EntityKind::Customer), (sweep(), EntityKind::Company)] {
        store.advance(key, kind, minute(7)).await.unwrap();
    }
    let organisation = record(Resource::Customer, 0xc1);
    for line in [full_line(), insert_line()] {
        let waits = store.wait_for_company(Scope::Client, &organisation, &line, minute(0));
        assert!(waits.await.unwrap());
    }
}

/// What the answers are.
pub(crate) async fn passes_are_as_they_were(store: &dyn Passes) {
    for run in runs() {
        let stored = store.run(run.id).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&run));
    }
    let mut stored = store.last_runs().await.unwrap();
    stored.sort_by_key(|run| run.id);
    let mut expected = runs();
    expected.sort_by_key(|run| run.id);
    assert_eq!(stored, expected);
    for (key, kind, at) in [
        (ERP, EntityKind::Customer, Some(minute(7))),
        (ERP, EntityKind::Company, None),
        (sweep(), EntityKind::Company, Some(minute(7))),
    ] {
        assert_eq!(store.watermark(key, kind).await.unwrap(), at);
    }
    let stranger = Lease {
        run: Uuid::from_u128(0x99),
        invocation: Some(Uuid::from_u128(0x98)),
        until: minute(60),
    };
    for (key, holder) in [(ERP, working()), (sweep(), between())] {
        let refused = store.lease(key, stranger, minute(1)).await.unwrap();
        assert_eq!(refused, Err(holder));
    }
    let organisation = record(Resource::Customer, 0xc1);
    let waiting = store.waiting_for_company(Scope::Client, &organisation);
    let mut waiting = waiting.await.unwrap();
    waiting.sort_by_key(|line| line.code.as_str().to_owned());
    assert_eq!(waiting, [full_line(), insert_line()]);

    for mut run in runs() {
        run.version += 1;
        assert!(store.save(&run).await.unwrap());
        assert!(!store.save(&run).await.unwrap());
    }
    // The run between two invocations goes on, and an invocation that died gives way when its time is over.
    let next = Lease {
        invocation: Some(Uuid::from_u128(0x3)),
        ..between()
    };
    let taken = store.lease(sweep(), next, minute(1)).await.unwrap();
    assert_eq!(taken, Ok(()));
    let taken = store.lease(ERP, stranger, minute(6)).await.unwrap();
    assert_eq!(taken, Ok(()));
    let customers = EntityKind::Customer;
    for (to, then) in [(minute(6), minute(7)), (minute(8), minute(8))] {
        store.advance(ERP, customers, to).await.unwrap();
        let watermark = store.watermark(ERP, customers).await.unwrap();
        assert_eq!(watermark, Some(then));
    }
    // Lines that an earlier version let wait go on, and those that wait now are found beside them.
    let (line, at) = (code_line(), minute(1));
    let waits = store.wait_for_company(Scope::Client, &organisation, &line, at);
    assert!(waits.await.unwrap());
    let stop = [full_line()];
    store
        .stop_waiting(Scope::Client, &organisation, &stop, minute(2))
        .await
        .unwrap();
    let waiting = store.waiting_for_company(Scope::Client, &organisation);
    let mut waiting = waiting.await.unwrap();
    waiting.sort_by_key(|line| line.code.as_str().to_owned());
    assert_eq!(waiting, [code_line(), insert_line()]);
    store
        .stop_waiting(Scope::Client, &organisation, &waiting, minute(3))
        .await
        .unwrap();
    let waiting = store.waiting_for_company(Scope::Client, &organisation);
    assert_eq!(waiting.await.unwrap(), []);
}

// --- Owed records -----------------------------------------------------------------------------------------------------

/// Owed records with every reason, stage, subject and cause.
pub(crate) fn owed() -> Vec<NewOwed> {
    let owed = |subject, stage, reason| NewOwed {
        subject,
        stage,
        reason,
        detail: format!("why it is {}", reason.as_str()),
        code: None,
        at: minute(0),
        correlation: CORRELATION,
        cause: None,
    };
    let of = |number| Subject::Entity(customer(number));
    let order = |order| Subject::Order {
        order,
        application: application(),
    };
    vec![
        NewOwed {
            cause: Some(Cause::Ordered),
            ..owed(of(1), Stage::ToErp, Reason::Validation)
        },
        NewOwed {
            cause: Some(Cause::Changed),
            ..owed(of(2), Stage::ToErp, Reason::Ambiguous)
        },
        NewOwed {
            cause: Some(Cause::ContactOfCompany),
            ..owed(
                Subject::Entity(company(3)),
                Stage::ToErp,
                Reason::MissingPrerequisite,
            )
        },
        NewOwed {
            code: Some(code("C004")),
            ..owed(of(4), Stage::CodeToNorce, Reason::TimedOut)
        },
        owed(of(5), Stage::ToErp, Reason::Forgotten),
        NewOwed {
            code: Some(code("C006")),
            ..owed(
                Subject::Record {
                    scope: Scope::Client,
                    record: record(Resource::Contact, 6),
                },
                Stage::FieldsToNorce,
                Reason::Conflict,
            )
        },
        owed(order(OrderKey::Id(7)), Stage::ToErp, Reason::RemoteFault),
        owed(
            order(OrderKey::ClientOrderRef("basket å 8".to_owned())),
            Stage::ToErp,
            Reason::TimedOut,
        ),
    ]
}

fn dismissal() -> Dismissal {
    Dismissal {
        at: minute(20),
        reason: "Norce's support looks into it".to_owned(),
        by: None,
    }
}

/// Writes what is to be found again: the first one has failed twice and was sent to be tried again, the second one is
/// dismissed.
pub(crate) async fn write_owed_records(store: &dyn OwedRecords) {
    let list = owed();
    for owed in &list {
        store.put(owed.clone()).await.unwrap();
    }
    let again = NewOwed {
        at: minute(10),
        correlation: Uuid::from_u128(0xc1),
        ..list[0].clone()
    };
    store.put(again).await.unwrap();
    let [first, second] = [&list[0], &list[1]];
    let noted = store.note_retry(&first.subject, first.stage, minute(15));
    assert!(noted.await.unwrap());
    let dismissed = store
        .dismiss(&second.subject, second.stage, &dismissal())
        .await;
    assert!(dismissed.unwrap());
}

/// What the answers are.
pub(crate) async fn owed_records_are_as_they_were(store: &dyn OwedRecords) {
    for (place, owed) in owed().into_iter().enumerate() {
        let stored = store.get(&owed.subject, owed.stage).await.unwrap().unwrap();
        let (attempts, last, correlation) = match place {
            0 => (2, minute(10), Uuid::from_u128(0xc1)),
            _ => (1, minute(0), CORRELATION),
        };
        assert_eq!(stored.subject, owed.subject);
        assert_eq!(
            (stored.stage, stored.reason, stored.cause),
            (owed.stage, owed.reason, owed.cause)
        );
        assert_eq!((stored.detail, stored.code), (owed.detail, owed.code));
        assert_eq!((stored.first, stored.last), (minute(0), last));
        assert_eq!(
            (stored.attempts, stored.correlation),
            (attempts, correlation)
        );
        assert_eq!(stored.retried, (place == 0).then(|| minute(15)));
        assert_eq!(stored.dismissed, (place == 1).then(dismissal));
    }
    let list = owed();
    let page = store.page(None, Consistency::Strong).await.unwrap();
    assert_eq!((page.owed.len(), page.next), (list.len(), None));
    let again = |owed: &NewOwed| NewOwed {
        at: minute(30),
        correlation: Uuid::from_u128(0xc2),
        ..owed.clone()
    };
    for owed in &list {
        // The same attempt once more, and a new one.
        let (subject, stage) = (&owed.subject, owed.stage);
        let before = store.get(subject, stage).await.unwrap().unwrap();
        let repeated = NewOwed {
            correlation: before.correlation,
            ..again(owed)
        };
        store.put(repeated).await.unwrap();
        let stored = store.get(subject, stage).await.unwrap().unwrap();
        assert_eq!(stored, before);
        store.put(again(owed)).await.unwrap();
        let stored = store.get(subject, stage).await.unwrap().unwrap();
        assert_eq!((stored.first, stored.last), (minute(0), minute(30)));
        assert_eq!(stored.attempts, before.attempts + 1);
        assert_eq!(stored.dismissed, before.dismissed);
        assert!(store.note_retry(subject, stage, minute(31)).await.unwrap());
        assert!(store.dismiss(subject, stage, &dismissal()).await.unwrap());
        assert!(store.resolve(subject, stage).await.unwrap());
        assert_eq!(store.get(subject, stage).await.unwrap(), None);
    }
}

// --- Orders -----------------------------------------------------------------------------------------------------------

fn order_ref(reference: &str) -> OrderRef {
    OrderRef {
        application: application(),
        client_order_ref: reference.to_owned(),
    }
}

fn text(reference: &str) -> OrderText {
    OrderText::new(format!(
        "{{ \"ClientOrderRef\":\"{reference}\", \"Price\":1.10 }}"
    ))
}

fn parties() -> Parties {
    Parties {
        buyer: Party {
            company: Some(company(1)),
            customer: Some(customer(2)),
        },
        payer: Party {
            company: None,
            customer: Some(customer(3)),
        },
    }
}

/// Every state of an order: received, with its parties, forwarded, and discarded because its customer is forgotten. The references
/// are those of the fixtures.
const ORDERS: [&str; 4] = ["received", "led", "handed on", "let go å"];

/// Writes what is to be found again.
pub(crate) async fn write_orders(store: &dyn Orders) {
    for reference in ORDERS {
        let (key, text) = (order_ref(reference), text(reference));
        let revision = text.revision();
        let received = store.receive(&key, &text, minute(0)).await.unwrap();
        assert_eq!(received, Received::Stored);
        if reference == "received" {
            continue;
        }
        assert!(store.set_parties(&key, revision, &parties()).await.unwrap());
        if reference == "led" {
            for entity in parties().entities() {
                store.wait_for(entity, &key, minute(1)).await.unwrap();
            }
        }
        if reference == "handed on" {
            assert!(
                store
                    .set_forwarded(&key, revision, minute(2))
                    .await
                    .unwrap()
            );
        }
        if reference == "let go å" {
            let entity = customer(2);
            store.wait_for(entity, &key, minute(1)).await.unwrap();
            assert!(store.discard(&key, revision, minute(3)).await.unwrap());
        }
    }
}

/// What the answers are.
pub(crate) async fn orders_are_as_they_were(store: &dyn Orders) {
    for reference in ORDERS {
        let stored = store.get(&order_ref(reference)).await.unwrap().unwrap();
        assert_eq!(stored.order, text(reference));
        assert_eq!(stored.received_at, minute(0));
        assert_eq!(stored.parties, (reference != "received").then(parties));
        let forwarded = (reference == "handed on").then(|| minute(2));
        assert_eq!(stored.forwarded_at, forwarded);
    }
    let sorted = |mut waiting: Vec<OrderRef>| {
        waiting.sort_by(|a, b| a.client_order_ref.cmp(&b.client_order_ref));
        waiting
    };
    let (led, let_go) = (order_ref("led"), order_ref("let go å"));
    for (entity, expected) in [
        (company(1), vec![led.clone()]),
        (customer(2), vec![led.clone(), let_go.clone()]),
        (customer(3), vec![led.clone()]),
        (customer(4), vec![]),
    ] {
        let waiting = store.waiting_for(entity).await.unwrap();
        assert_eq!(sorted(waiting), expected);
    }

    // Posted once more, a forwarded order stays as it was; another one takes the new text.
    let forwarded = store
        .receive(&order_ref("handed on"), &text("handed on"), minute(9))
        .await;
    assert_eq!(forwarded.unwrap(), Received::Forwarded { same: true });
    let key = order_ref("received");
    let revision = text("received").revision();
    assert!(store.set_parties(&key, revision, &parties()).await.unwrap());
    assert!(
        store
            .set_forwarded(&key, revision, minute(9))
            .await
            .unwrap()
    );
    let again = store.receive(&led, &text("led anew"), minute(9)).await;
    assert_eq!(again.unwrap(), Received::Stored);
    let stored = store.get(&led).await.unwrap().unwrap();
    assert_eq!((stored.received_at, stored.parties), (minute(0), None));
    let stale = store
        .set_forwarded(&led, text("led").revision(), minute(9))
        .await;
    assert!(!stale.unwrap());

    // Those that wait go on, also beside those that this version lets wait.
    let entity = customer(2);
    store.wait_for(entity, &key, minute(9)).await.unwrap();
    let stop = std::slice::from_ref(&led);
    store.stop_waiting(entity, stop).await.unwrap();
    let waiting = store.waiting_for(entity).await.unwrap();
    assert_eq!(sorted(waiting), [let_go.clone(), key.clone()]);
    store.stop_waiting(entity, &[let_go, key]).await.unwrap();
    assert_eq!(store.waiting_for(entity).await.unwrap(), []);
}

// --- Breakers ---------------------------------------------------------------------------------------------------------

/// Breakers in every state.
pub(crate) fn breakers() -> Vec<(&'static str, Breaker)> {
    vec![
        ("erp/client", Breaker::Closed),
        (
            "norce/app-1",
            Breaker::Open {
                since: minute(0),
                probe_at: minute(1),
                probes: 2,
            },
        ),
        (
            "norce/app-2",
            Breaker::Probing {
                since: minute(0),
                until: minute(3),
                probes: 3,
            },
        ),
        ("erp/app-2", Breaker::Recovering { since: minute(0) }),
    ]
}

/// Writes what is to be found again.
pub(crate) async fn write_breakers(store: &dyn Breakers) {
    for (remote, breaker) in breakers() {
        let replaced = store.replace(remote, &Breaker::Closed, &breaker).await;
        assert!(replaced.unwrap());
    }
}

/// What the answers are. A state is compared as a whole: it has to be written as it was read.
pub(crate) async fn breakers_are_as_they_were(store: &dyn Breakers) {
    let mut list = store.list().await.unwrap();
    list.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut expected: Vec<(String, Breaker)> = breakers()
        .into_iter()
        .map(|(remote, breaker)| (remote.to_owned(), breaker))
        .collect();
    expected.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(list, expected);
    for (remote, breaker) in breakers() {
        let seen = store.get(remote).await.unwrap();
        assert_eq!(seen, breaker);
        let next = Breaker::Recovering { since: minute(9) };
        let replaced = store.replace(remote, &seen, &next).await;
        assert!(replaced.unwrap(), "{remote}");
    }
}
