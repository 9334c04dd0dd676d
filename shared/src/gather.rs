//! Reads that are made at the same moment become one request.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

/// The values found, by key. Those of a joint read are shared by its calls.
type Found<K, V, E> = Result<Arc<HashMap<K, V>>, E>;

/// Reads keys of one group, each once, by as few requests as possible.
type Read<G, K, V, E> = Arc<dyn Fn(G, Vec<K>) -> BoxFuture<'static, Found<K, V, E>> + Send + Sync>;

/// The rounds that are not sent yet.
type Open<G, K, V, E> = Arc<Mutex<HashMap<G, Round<K, V, E>>>>;

/// Gathers the keys of concurrent calls and reads those of each group together.
///
/// The messages of a batch are handled concurrently and take the same steps, so that their reads coincide. A round is sent
/// once every task that can run has run; it never waits for the answer to another round. As without gathering, what a call
/// returns was read after the call was made. If a joint read panics, or fails in a way that one of its keys may have caused,
/// each of its calls is repeated alone, so that no call fails because of another one's key (P6).
pub(crate) struct Gather<G, K, V, E> {
    read: Read<G, K, V, E>,
    may_be_of_a_key: fn(&E) -> bool,
    open: Open<G, K, V, E>,
}

/// Calls that are answered together.
struct Round<K, V, E> {
    gathered: Arc<Mutex<Gathered<K>>>,
    /// `None`: the read panicked.
    answer: Shared<BoxFuture<'static, Option<Found<K, V, E>>>>,
}

struct Gathered<K> {
    keys: Vec<K>,
    calls: usize,
}

impl<G, K, V, E> Gather<G, K, V, E>
where
    G: Clone + Eq + Hash + Send + 'static,
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Gathers calls for `read`. `may_be_of_a_key`: whether fewer keys may avoid an error.
    pub(crate) fn new<F>(
        read: impl Fn(G, Vec<K>) -> F + Send + Sync + 'static,
        may_be_of_a_key: fn(&E) -> bool,
    ) -> Self
    where
        F: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
    {
        let read = move |group, keys| {
            let found = read(group, keys);
            found.map(|found| found.map(Arc::new)).boxed()
        };
        Self {
            read: Arc::new(read),
            may_be_of_a_key,
            open: Arc::default(),
        }
    }

    /// Reads keys of a group together with those of the calls that are made at the same moment. The answer may contain the
    /// keys of these calls, too.
    pub(crate) async fn call(&self, group: G, keys: Vec<K>) -> Found<K, V, E> {
        let (gathered, answer) = {
            let mut open = lock(&self.open);
            let round = open
                .entry(group.clone())
                .or_insert_with(|| self.begin(group.clone()));
            lock(&round.gathered).add(&keys);
            (round.gathered.clone(), round.answer.clone())
        };
        match answer.await {
            Some(Err(error)) if (self.may_be_of_a_key)(&error) && lock(&gathered).calls > 1 => {
                (self.read)(group, keys).await
            }
            Some(answer) => answer,
            None => (self.read)(group, keys).await,
        }
    }

    fn begin(&self, group: G) -> Round<K, V, E> {
        let gathered = Arc::new(Mutex::new(Gathered {
            keys: Vec::new(),
            calls: 0,
        }));
        let (of_round, read) = (gathered.clone(), self.read.clone());
        // Weak, because a round whose calls were all dropped stays open.
        let open = Arc::downgrade(&self.open);
        let answer = async move {
            // A task that is spawned now runs after every task that can run already. Yielding is not enough, because each
            // call polls this future.
            let _ = tokio::spawn(async {}).await;
            // Later calls are another round.
            if let Some(open) = open.upgrade() {
                lock(&open).remove(&group);
            }
            let keys = mem::take(&mut lock(&of_round).keys);
            read(group, keys).await
        };
        // A panic in a shared future would leave the other calls waiting until their deadline.
        let answer = AssertUnwindSafe(answer).catch_unwind().map(Result::ok);
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

impl<G, K, V, E> Clone for Gather<G, K, V, E> {
    fn clone(&self) -> Self {
        Self {
            read: self.read.clone(),
            may_be_of_a_key: self.may_be_of_a_key,
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
    const PANICS: u8 = 14;
    const BUSY: u8 = 15;
    const HANGS: u8 = 16;

    impl Reads {
        fn gather(&self) -> Gather<u8, u8, usize, &'static str> {
            let reads = self.clone();
            let read = move |_, keys: Vec<u8>| {
                let reads = reads.clone();
                async move {
                    let number = {
                        let mut reads = reads.0.lock().unwrap();
                        reads.push(keys.clone());
                        reads.len()
                    };
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    for key in &keys {
                        match *key {
                            REFUSED => return Err("refused"),
                            BUSY => return Err("busy"),
                            PANICS => panic!("a key"),
                            HANGS => std::future::pending().await,
                            _ => {}
                        }
                    }
                    Ok(keys.into_iter().map(|key| (key, number)).collect())
                }
            };
            Gather::new(read, |error| *error == "refused")
        }

        fn take(&self) -> Vec<Vec<u8>> {
            mem::take(&mut self.0.lock().unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_made_at_the_same_moment_are_one_read_of_each_key() {
        let reads = Reads::default();
        let gather = reads.gather();
        let calls = [vec![1, 2], vec![3], vec![2, 4]].map(|keys| gather.call(0, keys));
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
            gather.call(0, vec![1]).await
        };
        let (first, second) = futures_util::join!(gather.call(0, vec![1]), later);
        assert_eq!((first.unwrap()[&1], second.unwrap()[&1]), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn p6_a_key_that_fails_a_joint_read_fails_its_own_call_alone() {
        let reads = Reads::default();
        let gather = reads.gather();
        let calls = [1, REFUSED, 2].map(|key| gather.call(0, vec![key]));
        let found = join_all(calls).await;
        assert_eq!(
            found.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(reads.take().len(), 4);
        // A call that is alone is not repeated.
        assert!(gather.call(0, vec![REFUSED]).await.is_err());
        assert_eq!(reads.take().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn p6_a_key_at_which_a_joint_read_panics_costs_its_own_call_alone() {
        let reads = Reads::default();
        let gather = reads.gather();
        let calls = [1, PANICS, 2].map(|key| gather.call(0, vec![key]));
        let calls = calls.map(|call| AssertUnwindSafe(call).catch_unwind());
        let found = join_all(calls).await;
        let is_found = |found: &std::thread::Result<_>| matches!(found, Ok(Ok(_)));
        assert_eq!(
            found.iter().map(is_found).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn p8_an_error_that_no_key_can_have_caused_is_not_repeated() {
        let reads = Reads::default();
        let gather = reads.gather();
        let calls = [1, BUSY, 2].map(|key| gather.call(0, vec![key]));
        assert!(join_all(calls).await.iter().all(Result::is_err));
        assert_eq!(reads.take().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn p14_a_group_does_not_wait_for_another_one() {
        let reads = Reads::default();
        let gather = reads.gather();
        let hangs = gather.call(1, vec![HANGS]);
        let calls = join_all([1, 2].map(|key| gather.call(2, vec![key])));
        tokio::select! {
            _ = hangs => panic!("it is answered"),
            found = calls => assert!(found.iter().all(Result::is_ok)),
        }
        let mut reads = reads.take();
        reads.sort_unstable();
        assert_eq!(reads, [vec![1, 2], vec![HANGS]]);
    }

    #[tokio::test(start_paused = true)]
    async fn p13_a_call_that_is_cut_off_does_not_hold_up_the_others() {
        let reads = Reads::default();
        let gather = reads.gather();
        let cut_off = tokio::time::timeout(Duration::from_millis(500), gather.call(0, vec![1]));
        let (cut_off, other) = futures_util::join!(cut_off, gather.call(0, vec![2]));
        assert!(cut_off.is_err());
        assert_eq!(other.unwrap()[&2], 1);
        // The same when every call of a round is cut off.
        let cut_off = tokio::time::timeout(Duration::ZERO, gather.call(0, vec![3]));
        assert!(cut_off.await.is_err());
        assert!(gather.call(0, vec![4]).await.unwrap().contains_key(&4));
    }
}
