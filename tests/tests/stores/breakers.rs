use std::sync::Arc;

use futures_util::future::join_all;
use shared::{
    breakers::{Breakers, DynamoDbBreakers},
    domain::Breaker,
};
use tests::memory::MemoryBreakers;

use crate::{local, minute, suite};

type Store = Arc<dyn Breakers>;

fn memory() -> Store {
    Arc::new(MemoryBreakers::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let table = local::table(&config).await;
    Arc::new(DynamoDbBreakers::new(&config, table))
}

suite! {
    a_breaker_is_closed_until_it_is_opened,
    only_one_of_many_opens_or_probes,
    each_remote_has_its_own,
}

fn open(minutes: i64) -> Breaker {
    Breaker::opened(minute(minutes), None)
}

async fn a_breaker_is_closed_until_it_is_opened(store: Store) {
    assert_eq!(store.get("erp/client").await.unwrap(), Breaker::Closed);
    assert_eq!(store.list().await.unwrap(), []);
    // What is not as it was seen stays.
    assert!(
        !store
            .replace("erp/client", &open(1), &open(2))
            .await
            .unwrap()
    );
    assert_eq!(store.get("erp/client").await.unwrap(), Breaker::Closed);
    for (seen, next) in [
        (Breaker::Closed, open(1)),
        (open(1), Breaker::Recovering { since: minute(3) }),
        (Breaker::Recovering { since: minute(3) }, Breaker::Closed),
        (Breaker::Closed, open(9)),
    ] {
        assert!(store.replace("erp/client", &seen, &next).await.unwrap());
        assert_eq!(store.get("erp/client").await.unwrap(), next);
    }
}

async fn only_one_of_many_opens_or_probes(store: Store) {
    let next: Vec<Breaker> = (1..=8).map(open).collect();
    let attempts = next
        .iter()
        .map(|next| store.replace("erp/client", &Breaker::Closed, next));
    let won: Vec<bool> = join_all(attempts)
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(store.get("erp/client").await.unwrap(), next[winner]);
}

async fn each_remote_has_its_own(store: Store) {
    let closed = Breaker::Closed;
    for (remote, minutes) in [("erp/app-1", 1), ("norce/app-1", 2)] {
        assert!(
            store
                .replace(remote, &closed, &open(minutes))
                .await
                .unwrap()
        );
    }
    assert_eq!(store.get("erp/app-2").await.unwrap(), closed);
    let mut all = store.list().await.unwrap();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let expected = [("erp/app-1", 1), ("norce/app-1", 2)];
    let expected = expected.map(|(remote, minutes)| (remote.to_owned(), open(minutes)));
    assert_eq!(all, expected);
}
