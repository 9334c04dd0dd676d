use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use shared::{
    StoreError,
    domain::{EntityRef, OrderText, Scope},
    orders::{
        DynamoDbOrders, MAX_ORDER_BYTES, OrderRef, Orders, Parties, Party, RETENTION, Received,
        StoredOrder,
    },
};
use tests::memory::MemoryOrders;

use crate::{application, customer, local, minute, norce_id, suite};

/// A store, and when it lets an order go: what the table's time-to-live attribute says.
#[async_trait::async_trait]
trait Expiring: Orders {
    async fn expires(&self, key: &OrderRef) -> Option<i64>;
}

type Store = Arc<dyn Expiring>;

#[async_trait::async_trait]
impl Expiring for MemoryOrders {
    async fn expires(&self, key: &OrderRef) -> Option<i64> {
        MemoryOrders::expires(self, key).map(|at| at.timestamp())
    }
}

struct Aws {
    orders: DynamoDbOrders,
    config: aws_types::SdkConfig,
    table: String,
}

#[async_trait::async_trait]
impl Expiring for Aws {
    async fn expires(&self, key: &OrderRef) -> Option<i64> {
        let items = local::scan(&self.config, &self.table).await;
        let pk = format!("order#{key}");
        let item = items.iter().find(|item| item["pk"].as_s().unwrap() == &pk);
        let expires = item?.get("expires_at")?;
        Some(expires.as_n().unwrap().parse().unwrap())
    }
}

macro_rules! through {
    ($(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;)*) => {
        #[async_trait::async_trait]
        impl Orders for Aws {
            $(async fn $name(&self $(, $argument: $type)*) -> Result<$result, StoreError> {
                self.orders.$name($($argument),*).await
            })*
        }
    };
}

through! {
    async fn receive(&self, key: &OrderRef, order: &OrderText, at: DateTime<Utc>) -> Received;
    async fn get(&self, key: &OrderRef) -> Option<StoredOrder>;
    async fn set_parties(&self, key: &OrderRef, revision: uuid::Uuid, parties: &Parties) -> bool;
    async fn set_forwarded(&self, key: &OrderRef, revision: uuid::Uuid, at: DateTime<Utc>) -> bool;
    async fn discard(&self, key: &OrderRef, revision: uuid::Uuid, at: DateTime<Utc>) -> bool;
    async fn wait_for(&self, entity: EntityRef, key: &OrderRef, at: DateTime<Utc>) -> ();
    async fn waiting_for(&self, entity: EntityRef) -> Vec<OrderRef>;
    async fn stop_waiting(&self, entity: EntityRef, keys: &[OrderRef]) -> ();
}

fn memory() -> Store {
    Arc::new(MemoryOrders::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(Aws {
        orders: DynamoDbOrders::new(&config, &table),
        config,
        table,
    })
}

suite! {
    an_order_is_kept_to_the_byte,
    the_same_post_again_changes_nothing,
    another_post_replaces_an_order_that_waits,
    a_forwarded_order_stays_as_it_was_and_expires,
    nothing_is_said_of_a_revision_that_was_replaced,
    what_is_let_go_is_let_go_once,
    orders_are_told_apart_by_shop_and_reference,
    the_longest_order_fits,
    orders_wait_for_an_entity_until_they_do_not,
}

fn key(reference: &str) -> OrderRef {
    OrderRef {
        application: application(1),
        client_order_ref: reference.to_owned(),
    }
}

fn order(note: &str) -> OrderText {
    OrderText::new(format!(
        "{{ \"Note\":\"å \\u00e5 {note}\",\n\"Price\" : 1.10 }}"
    ))
}

fn parties() -> Parties {
    let company = EntityRef::company(Scope::Client, norce_id(9));
    Parties {
        buyer: Party {
            company: Some(company),
            customer: Some(customer(1)),
        },
        payer: Party {
            company: Some(company),
            customer: None,
        },
    }
}

async fn an_order_is_kept_to_the_byte(store: Store) {
    assert_eq!(store.get(&key("1")).await.unwrap(), None);
    let received = store.receive(&key("1"), &order("a"), minute(1)).await;
    assert_eq!(received.unwrap(), Received::Stored);
    let stored = StoredOrder {
        order: order("a"),
        received_at: minute(1),
        parties: None,
        forwarded_at: None,
    };
    assert_eq!(store.get(&key("1")).await.unwrap(), Some(stored));
    assert_eq!(store.expires(&key("1")).await, None);
}

async fn the_same_post_again_changes_nothing(store: Store) {
    for minutes in [1, 2] {
        let received = store.receive(&key("1"), &order("a"), minute(minutes)).await;
        assert_eq!(received.unwrap(), Received::Stored);
    }
    let stored = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!((stored.order, stored.received_at), (order("a"), minute(1)));
}

async fn another_post_replaces_an_order_that_waits(store: Store) {
    store
        .receive(&key("1"), &order("a"), minute(1))
        .await
        .unwrap();
    let revision = order("a").revision();
    assert!(
        store
            .set_parties(&key("1"), revision, &parties())
            .await
            .unwrap()
    );
    let stored = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!(stored.parties, Some(parties()));
    store
        .receive(&key("1"), &order("b"), minute(2))
        .await
        .unwrap();
    let stored = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!((stored.order, stored.parties), (order("b"), None));
}

async fn a_forwarded_order_stays_as_it_was_and_expires(store: Store) {
    store
        .receive(&key("1"), &order("a"), minute(1))
        .await
        .unwrap();
    let revision = order("a").revision();
    for minutes in [2, 3] {
        let forwarded = store
            .set_forwarded(&key("1"), revision, minute(minutes))
            .await;
        assert!(forwarded.unwrap());
    }
    for (text, same) in [("a", true), ("b", false)] {
        let received = store.receive(&key("1"), &order(text), minute(4)).await;
        assert_eq!(received.unwrap(), Received::Forwarded { same });
    }
    let stored = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!(
        (stored.order, stored.forwarded_at),
        (order("a"), Some(minute(3)))
    );
    let expires = store.expires(&key("1")).await;
    assert_eq!(expires, Some((minute(3) + RETENTION).timestamp()));
}

async fn nothing_is_said_of_a_revision_that_was_replaced(store: Store) {
    store
        .receive(&key("1"), &order("b"), minute(1))
        .await
        .unwrap();
    let before = order("a").revision();
    let key = key("1");
    assert!(!store.set_parties(&key, before, &parties()).await.unwrap());
    assert!(!store.set_forwarded(&key, before, minute(2)).await.unwrap());
    assert!(!store.discard(&key, before, minute(2)).await.unwrap());
    let stored = store.get(&key).await.unwrap().unwrap();
    assert_eq!((stored.parties, stored.forwarded_at), (None, None));
    let nowhere = self::key("2");
    assert!(
        !store
            .set_forwarded(&nowhere, before, minute(2))
            .await
            .unwrap()
    );
    assert_eq!(store.get(&nowhere).await.unwrap(), None);
}

async fn what_is_let_go_is_let_go_once(store: Store) {
    store
        .receive(&key("1"), &order("a"), minute(1))
        .await
        .unwrap();
    for minutes in [2, 3] {
        let revision = order("a").revision();
        let gone = store.discard(&key("1"), revision, minute(minutes)).await;
        assert!(gone.unwrap());
    }
    let expires = store.expires(&key("1")).await;
    assert_eq!(expires, Some((minute(2) + RETENTION).timestamp()));
    let stored = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!(stored.forwarded_at, None);
}

async fn orders_are_told_apart_by_shop_and_reference(store: Store) {
    let long = "ö/#\n".repeat(1_000);
    let keys = [
        key("1"),
        key("11"),
        key(&long),
        key(&format!("{long}!")),
        OrderRef {
            application: application(2),
            ..key("1")
        },
    ];
    for (index, key) in keys.iter().enumerate() {
        let text = order(&index.to_string());
        store.receive(key, &text, minute(1)).await.unwrap();
    }
    for (index, key) in keys.iter().enumerate() {
        let stored = store.get(key).await.unwrap().unwrap();
        assert_eq!(stored.order, order(&index.to_string()));
    }
}

async fn the_longest_order_fits(store: Store) {
    let longest = OrderText::new(format!("\"{}\"", "x".repeat(MAX_ORDER_BYTES - 2)));
    let received = store.receive(&key("1"), &longest, minute(1)).await;
    assert_eq!(received.unwrap(), Received::Stored);
    let revision = longest.revision();
    assert!(
        store
            .set_parties(&key("1"), revision, &parties())
            .await
            .unwrap()
    );
    assert!(
        store
            .set_forwarded(&key("1"), revision, minute(2))
            .await
            .unwrap()
    );
    let stored = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!(stored.order, longest);
}

async fn orders_wait_for_an_entity_until_they_do_not(store: Store) {
    let somebody = customer(1);
    assert_eq!(store.waiting_for(somebody).await.unwrap(), []);
    for reference in ["1", "2", "2", "3"] {
        let key = key(reference);
        store.wait_for(somebody, &key, minute(1)).await.unwrap();
    }
    let first = key("1");
    let wait = store.wait_for(customer(2), &first, minute(1));
    wait.await.unwrap();
    let mut waiting = store.waiting_for(somebody).await.unwrap();
    waiting.sort_by(|a, b| a.client_order_ref.cmp(&b.client_order_ref));
    assert_eq!(waiting, [key("1"), key("2"), key("3")]);
    let both = [key("1"), key("3")];
    store.stop_waiting(somebody, &both).await.unwrap();
    assert_eq!(store.waiting_for(somebody).await.unwrap(), [key("2")]);
    assert_eq!(store.waiting_for(customer(2)).await.unwrap(), [key("1")]);
}

/// Under the key of an earlier version, all in one item.
#[tokio::test]
async fn orders_that_an_earlier_version_let_wait_are_found() {
    let config = local::config().await;
    let table = local::table(&config).await;
    let store = DynamoDbOrders::new(&config, &table);
    let (old, new) = (key("1"), key("2"));
    let text = AttributeValue::S;
    let order = HashMap::from([
        ("application".to_owned(), AttributeValue::N("1".to_owned())),
        ("client_order_ref".to_owned(), text("1".to_owned())),
    ]);
    assert_eq!(old.application, application(1));
    let put = aws_sdk_dynamodb::Client::new(&config).put_item();
    put.table_name(&table)
        .item("pk", text("waiting#customer/client/1".to_owned()))
        .item(format!("order-{old}"), AttributeValue::M(order))
        .send()
        .await
        .unwrap();
    store.wait_for(customer(1), &new, minute(0)).await.unwrap();
    let mut waiting = store.waiting_for(customer(1)).await.unwrap();
    waiting.sort_by(|a, b| a.client_order_ref.cmp(&b.client_order_ref));
    assert_eq!(waiting, [old, new]);
    store.stop_waiting(customer(1), &waiting).await.unwrap();
    assert_eq!(store.waiting_for(customer(1)).await.unwrap(), []);
}
