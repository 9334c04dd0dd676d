//! The resources of a stack: queues, tables, secrets and the like, by the names that the configuration has for them.

use std::sync::Arc;

use super::secrets::Secrets;
use crate::{
    breakers::Breakers,
    domain::{Clock, FingerprintKey},
    http::Transport,
    import_jobs::ImportJobs,
    mappings::{RecordMappings, key_index::KeyIndex},
    metrics::Metrics,
    orders::Orders,
    owed::OwedRecords,
    passes::Passes,
    queues::{Message, Queue, QueueDepth},
    reports::Reports,
};

/// The resources that a function is built from: of AWS ([`AwsContext`](super::context::AwsContext)), or in memory in a test.
///
/// It is a bound and never a trait object, so that a function's binary holds the clients of the resources that it uses and
/// no others.
pub trait Resources: Sync {
    /// The time of day.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The metrics of an invocation.
    fn metrics(&self) -> &Metrics;

    /// The secrets, by their ARNs.
    fn secrets(&self) -> &Secrets;

    /// The HTTP client for Norce and the ERP.
    fn transport(&self) -> Arc<dyn Transport>;

    /// The state of the remotes.
    fn breakers(&self, table: &str) -> Arc<dyn Breakers>;

    /// The code mappings, and the index of the ERP's natural keys in the same table.
    fn mappings(
        &self,
        table: &str,
        fingerprints: &FingerprintKey,
    ) -> (Arc<dyn RecordMappings>, Arc<dyn KeyIndex>);

    /// The records that cannot be synced.
    fn owed(&self, table: &str) -> Arc<dyn OwedRecords>;

    /// The import jobs of Norce.
    fn import_jobs(&self, table: &str) -> Arc<dyn ImportJobs>;

    /// The runs of passes.
    fn passes(&self, table: &str) -> Arc<dyn Passes>;

    /// The received orders.
    fn orders(&self, table: &str) -> Arc<dyn Orders>;

    /// The reports of plans.
    fn reports(&self, bucket: &str) -> Arc<dyn Reports>;

    /// The sending end of a queue.
    fn queue<M: Message>(&self, url: &str) -> Arc<dyn Queue<M>>;

    /// The number of messages on a queue.
    fn queue_depth<M: Message>(&self, url: &str) -> Arc<dyn QueueDepth>;
}
