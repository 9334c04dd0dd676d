//! Reads that are made at the same moment become one request.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

/// The values found, by key. Those of a joint read are shared by its calls.
type Found<K, V, E> = Result<Arc<HashMap<K, V>>, E>;

/// Reads keys, each once, by as few requests as possible.
type Read<K, V, E> = Arc<dyn Fn(Vec<K>) -> BoxFuture<'static, Found<K, V, E>> + Send + Sync>;

/// Gathers the keys of concurrent calls and reads them together.
///
/// The messages of a batch are handled side by side and take the same steps, so that their calls meet. A call is sent as soon as
/// every task that can run has run, and never waits for an answer to another one. As without gathering, what it returns was read
/// after it was made. If a joint read fails, each of its calls is repeated alone, so that no call fails because of another
/// one's key (P6).
pub(crate) struct Gather<K, V, E> {
    read: Read<K, V, E>,
    open: Arc<Mutex<Option<Round<K, V, E>>>>,
}

/// Calls that are answered together.
struct Round<K, V, E> {
    gathered: Arc<Mutex<Gathered<K>>>,
    answer: Shared<BoxFuture<'static, Found<K, V, E>>>,
}

struct Gathered<K> {
    keys: Vec<K>,
    calls: usize,
}

impl<K, V, E> Gather<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Gathers calls for `read`.
    pub(crate) fn new<F>(read: impl Fn(Vec<K>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
    {
        let read = move |keys| read(keys).map(|found| found.map(Arc::new)).boxed();
        Self {
            read: Arc::new(read),
            open: Arc::default(),
        }
    }

    /// Reads keys, together with those of the calls that are made at the same moment. The answer may have keys of these calls,
    /// too.
    pub(crate) async fn call(&self, keys: Vec<K>) -> Found<K, V, E> {
        let (gathered, answer) = {
            let mut open = lock(&self.open);
            let round = open.get_or_insert_with(|| self.begin());
            lock(&round.gathered).add(&keys);
            (round.gathered.clone(), round.answer.clone())
        };
        match answer.await {
            Err(_) if lock(&gathered).calls > 1 => (self.read)(keys).await,
            answer => answer,
        }
    }

    fn begin(&self) -> Round<K, V, E> {
        let gathered = Arc::new(Mutex::new(Gathered {
            keys: Vec::new(),
            calls: 0,
        }));
        let (of_round, read) = (gathered.clone(), self.read.clone());
        // Weak, because a round whose calls were all dropped stays open.
        let open = Arc::downgrade(&self.open);
        let answer = async move {
            // A task that is spawned now runs after all that can run already. Yielding would not do: each call polls this.
            let _ = tokio::spawn(async {}).await;
            // Later calls are another round.
            if let Some(open) = open.upgrade() {
                lock(&open).take();
            }
            let keys = mem::take(&mut lock(&of_round).keys);
            read(keys).await
        };
        Round {
            gathered,
            answer: answer.boxed().shared(),
        }
    }
}

impl<K: Clone + PartialEq> Gathered<K> {
    fn add(&mut self, keys: &[K]) {
        self.calls += 1;
        for key in keys {
            if !self.keys.contains(key) {
                self.keys.push(key.clone());
            }
        }
    }
}

impl<K, V, E> Clone for Gather<K, V, E> {
    fn clone(&self) -> Self {
        Self {
            read: self.read.clone(),
            open: self.open.clone(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    /// Reads that take a second, with what each was asked for.
    #[derive(Clone, Default)]
    struct Reads(Arc<Mutex<Vec<Vec<u8>>>>);

    const REFUSED: u8 = 13;

    impl Reads {
        fn gather(&self) -> Gather<u8, usize, String> {
            let reads = self.clone();
            Gather::new(move |keys: Vec<u8>| {
                let reads = reads.clone();
                async move {
                    let number = {
                        let mut reads = reads.0.lock().unwrap();
                        reads.push(keys.clone());
                        reads.len()
                    };
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if keys.contains(&REFUSED) {
                        return Err("refused".to_owned());
                    }
                    Ok(keys.into_iter().map(|key| (key, number)).collect())
                }
            })
        }

        fn take(&self) -> Vec<Vec<u8>> {
            mem::take(&mut self.0.lock().unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_made_at_the_same_moment_are_one_read_of_each_key() {
        let reads = Reads::default();
        let gather = reads.gather();
        let calls = [vec![1, 2], vec![3], vec![2, 4]].map(|keys| gather.call(keys));
        for found in join_all(calls).await {
            assert_eq!(found.unwrap().len(), 4);
        }
        assert_eq!(reads.take(), [[1, 2, 3, 4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_never_answered_by_a_read_that_began_before_it() {
        let reads = Reads::default();
        let gather = reads.gather();
        let later = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            gather.call(vec![1]).await
        };
        let (first, second) = futures_util::join!(gather.call(vec![1]), later);
        assert_eq!((first.unwrap()[&1], second.unwrap()[&1]), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn p6_a_key_that_fails_a_joint_read_fails_its_own_call_alone() {
        let reads = Reads::default();
        let gather = reads.gather();
        let calls = [1, REFUSED, 2].map(|key| gather.call(vec![key]));
        let found = join_all(calls).await;
        assert_eq!(
            found.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(reads.take().len(), 4);
        // A call that is alone is not repeated.
        assert!(gather.call(vec![REFUSED]).await.is_err());
        assert_eq!(reads.take().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn p13_a_call_that_is_cut_off_does_not_hold_up_the_others() {
        let reads = Reads::default();
        let gather = reads.gather();
        let cut_off = tokio::time::timeout(Duration::from_millis(500), gather.call(vec![1]));
        let (cut_off, other) = futures_util::join!(cut_off, gather.call(vec![2]));
        assert!(cut_off.is_err());
        assert_eq!(other.unwrap()[&2], 1);
        // Also when nobody is left who waits.
        let cut_off = tokio::time::timeout(Duration::ZERO, gather.call(vec![3]));
        assert!(cut_off.await.is_err());
        assert!(gather.call(vec![4]).await.unwrap().contains_key(&4));
    }
}
