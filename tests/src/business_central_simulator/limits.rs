//! The operational limits, counted per app registration (erp-apis §1.8).

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::{sync::Semaphore, time::Instant};

use super::Settings;

/// The load of an app registration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Most requests that were in the server at the same time, waiting ones included.
    pub most_at_once: usize,
    /// Requests that were answered with 429.
    pub throttled: usize,
}

#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<String, Usage>);

#[derive(Debug)]
struct Usage {
    recent: VecDeque<Instant>,
    at_once: usize,
    load: Load,
    slots: Arc<Semaphore>,
}

/// Over a limit.
pub(super) struct TooMany;

impl Limits {
    /// Admits a request and returns the slots that it has to wait for, or refuses it. An admitted request must
    /// [`leave`](Self::leave).
    pub(super) fn enter(
        &mut self,
        client_id: &str,
        settings: &Settings,
    ) -> Result<Arc<Semaphore>, TooMany> {
        let usage = self.0.entry(client_id.to_owned()).or_insert_with(|| Usage {
            recent: VecDeque::new(),
            at_once: 0,
            load: Load::default(),
            slots: Arc::new(Semaphore::new(settings.concurrent_requests)),
        });
        let now = Instant::now();
        while usage
            .recent
            .front()
            .is_some_and(|&earliest| now.duration_since(earliest) >= settings.window)
        {
            usage.recent.pop_front();
        }
        let room = settings.concurrent_requests + settings.queued_requests;
        if usage.recent.len() >= settings.requests_per_window || usage.at_once >= room {
            usage.load.throttled += 1;
            return Err(TooMany);
        }
        usage.recent.push_back(now);
        usage.at_once += 1;
        usage.load.most_at_once = usage.load.most_at_once.max(usage.at_once);
        Ok(Arc::clone(&usage.slots))
    }

    pub(super) fn leave(&mut self, client_id: &str) {
        if let Some(usage) = self.0.get_mut(client_id) {
            usage.at_once -= 1;
        }
    }

    pub(super) fn load(&self, client_id: &str) -> Load {
        self.0
            .get(client_id)
            .map_or_else(Load::default, |usage| usage.load)
    }
}
