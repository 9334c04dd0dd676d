//! How recent a read of a store must be, and a map for the stores in memory that can answer as late as DynamoDB may.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// How recent a read must be, in DynamoDB's terms (Amazon DynamoDB Developer Guide, "Read consistency").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The answer reflects every write that succeeded before the read.
    Strong,
    /// The answer may miss the latest writes, and the read costs half. Only for reads whose caller says why a stale answer
    /// does no harm.
    Eventual,
}

/// A map that can remember what was under a key before it was written, so that an eventually consistent read answers as
/// it would have some time ago.
#[derive(Debug)]
pub(crate) struct LaggingMap<K, V> {
    now: HashMap<K, V>,
    /// The writes of each key, the oldest first: when, and what was there before. Kept only where there is a lag.
    before: HashMap<K, Vec<(Instant, Option<V>)>>,
    lag: Duration,
}

impl<K, V> Default for LaggingMap<K, V> {
    fn default() -> Self {
        Self {
            now: HashMap::new(),
            before: HashMap::new(),
            lag: Duration::ZERO,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> LaggingMap<K, V> {
    /// From now on, eventually consistent reads do not see the writes of the last `lag`.
    pub(crate) fn set_lag(&mut self, lag: Duration) {
        self.lag = lag;
    }

    fn remember(&mut self, key: &K) {
        if self.lag > Duration::ZERO {
            let earlier = self.now.get(key).cloned();
            let writes = self.before.entry(key.clone()).or_default();
            writes.push((Instant::now(), earlier));
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.now.get(key)
    }

    /// What a read of this consistency finds.
    pub(crate) fn read(&self, key: &K, consistency: Consistency) -> Option<&V> {
        let unseen = self.before.get(key).and_then(|writes| {
            let mut writes = writes.iter();
            writes.find(|(written, _)| written.elapsed() < self.lag)
        });
        match (consistency, unseen) {
            (Consistency::Eventual, Some((_, earlier))) => earlier.as_ref(),
            (Consistency::Eventual, None) | (Consistency::Strong, _) => self.now.get(key),
        }
    }

    /// Everything that reads of this consistency find.
    pub(crate) fn read_all(&self, consistency: Consistency) -> impl Iterator<Item = (&K, &V)> {
        let gone = self
            .before
            .keys()
            .filter(|key| !self.now.contains_key(*key));
        let keys = self.now.keys().chain(gone);
        keys.filter_map(move |key| Some((key, self.read(key, consistency)?)))
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.remember(key);
        self.now.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.remember(&key);
        self.now.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.remember(key);
        self.now.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_eventual_read_answers_as_things_were_and_a_strong_one_as_they_are() {
        let lag = Duration::from_secs(2);
        let mut map = LaggingMap::default();
        map.insert("key", 1);
        map.set_lag(lag);
        map.insert("key", 2);
        tokio::time::advance(lag / 2).await;
        map.insert("key", 3);
        map.insert("new", 1);
        let both = |map: &LaggingMap<&str, i32>, key| {
            [Consistency::Eventual, Consistency::Strong].map(|it| map.read(&key, it).copied())
        };
        assert_eq!(both(&map, "key"), [Some(1), Some(3)]);
        assert_eq!(both(&map, "new"), [None, Some(1)]);
        tokio::time::advance(lag / 2).await;
        assert_eq!(both(&map, "key"), [Some(2), Some(3)]);
        tokio::time::advance(lag / 2).await;
        assert_eq!(both(&map, "key"), [Some(3), Some(3)]);
        map.remove(&"key");
        assert_eq!(both(&map, "key"), [Some(3), None]);
        let all = |it| map.read_all(it).map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(all(Consistency::Strong), ["new"]);
        assert_eq!(all(Consistency::Eventual).len(), 2);
    }
}
