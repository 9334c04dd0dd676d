//! A map whose eventually consistent reads can be as late as DynamoDB's may be.

use std::{collections::HashMap, hash::Hash, time::Duration};

use shared::Consistency;
use tokio::time::Instant;

/// A map that can remember what was under a key before it was written, so that an eventually consistent read answers as
/// it would have some time ago.
#[derive(Debug)]
pub(super) struct LaggingMap<K, V> {
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
    pub(super) fn set_lag(&mut self, lag: Duration) {
        self.lag = lag;
    }

    fn remember(&mut self, key: &K) {
        if self.lag > Duration::ZERO {
            let earlier = self.now.get(key).cloned();
            let writes = self.before.entry(key.clone()).or_default();
            writes.push((Instant::now(), earlier));
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.now.get(key)
    }

    /// What a read of this consistency finds.
    pub(super) fn read(&self, key: &K, consistency: Consistency) -> Option<&V> {
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
    pub(super) fn read_all(&self, consistency: Consistency) -> impl Iterator<Item = (&K, &V)> {
        let gone = self
            .before
            .keys()
            .filter(|key| !self.now.contains_key(*key));
        let keys = self.now.keys().chain(gone);
        keys.filter_map(move |key| Some((key, self.read(key, consistency)?)))
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.remember(key);
        self.now.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remember(&key);
        self.now.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
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
