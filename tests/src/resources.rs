//! The resources of a stack in memory. The same constructors build the functions from them as from AWS's.

#![allow(
    clippy::expect_used,
    reason = "a harness of tests: what cannot be set up is to fail loudly"
)]

use std::{any::Any, collections::HashMap, sync::Arc};

use crate::memory::{
    MemoryBreakers, MemoryImportJobs, MemoryMappings, MemoryOrders, MemoryOwed, MemoryPasses,
    MemoryReports,
};
use async_trait::async_trait;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::{
    breakers::Breakers,
    domain::{Clock, FingerprintKey, SystemClock},
    http::Transport,
    import_jobs::ImportJobs,
    mappings::{RecordMappings, key_index::KeyIndex},
    metrics::Metrics,
    orders::Orders,
    owed::OwedRecords,
    passes::Passes,
    queues::{Message, Queue, QueueDepth},
    reports::Reports,
    runtime::{
        configuration::Environment,
        resources::Resources,
        secrets::{SecretError, SecretStore, SecretValue, Secrets},
    },
};
use uuid::Uuid;

/// The OAuth client for Norce: its id and secret.
pub const NORCE_CLIENT: (&str, &str) = ("norce-sync", "norce-client-secret");
/// The OAuth client for Business Central: its id and secret.
pub const ERP_CLIENT: (&str, &str) = ("norce-sync", "business-central-secret");
/// The key of the fingerprints.
pub const FINGERPRINT_KEY: &str = "key of the tests";
/// The system account of Norce that imports are made by.
pub const ACCOUNT: i32 = 17;

/// The resources of a stack in memory. A test replaces those that it works with.
pub struct MemoryResources {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The metrics of all functions.
    pub metrics: Metrics,
    /// The secrets.
    pub secrets: Secrets,
    /// The way to Norce and the ERP.
    pub transport: Arc<dyn Transport>,
    /// The state of the remotes.
    pub breakers: Arc<dyn Breakers>,
    /// The code mappings.
    pub mappings: Arc<dyn RecordMappings>,
    /// The index of natural keys.
    pub key_index: Arc<dyn KeyIndex>,
    /// The owed records.
    pub owed: Arc<dyn OwedRecords>,
    /// The import jobs.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// The runs of passes.
    pub passes: Arc<dyn Passes>,
    /// The received orders.
    pub orders: Arc<dyn Orders>,
    /// The reports of plans.
    pub reports: Arc<dyn Reports>,
    /// The queues by their URLs: [`Self::with_queue`].
    pub queues: HashMap<String, Box<dyn Any + Send + Sync>>,
    /// The numbers of messages on them: [`Self::with_depth`].
    pub depths: HashMap<String, Arc<dyn QueueDepth>>,
}

impl MemoryResources {
    /// Empty stores, no queues, and the usual secrets.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        let mappings = Arc::new(MemoryMappings::default());
        Self {
            clock: Arc::new(SystemClock),
            metrics: Metrics::default(),
            secrets: Secrets::of(usual_secrets()),
            transport,
            breakers: Arc::new(MemoryBreakers::default()),
            mappings: mappings.clone(),
            key_index: mappings,
            owed: Arc::new(MemoryOwed::default()),
            import_jobs: Arc::new(MemoryImportJobs::default()),
            passes: Arc::new(MemoryPasses::default()),
            orders: Arc::new(MemoryOrders::default()),
            reports: Arc::new(MemoryReports::default()),
            queues: HashMap::new(),
            depths: HashMap::new(),
        }
    }

    /// With this queue under the URL that [`environment`] has for it.
    #[must_use]
    pub fn with_queue<M: Message>(mut self, url: &str, queue: Arc<dyn Queue<M>>) -> Self {
        self.queues.insert(url.to_owned(), Box::new(queue));
        self
    }

    /// With the number of messages on a queue.
    #[must_use]
    pub fn with_depth(mut self, url: &str, depth: Arc<dyn QueueDepth>) -> Self {
        self.depths.insert(url.to_owned(), depth);
        self
    }
}

impl Resources for MemoryResources {
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn transport(&self) -> Arc<dyn Transport> {
        self.transport.clone()
    }

    fn breakers(&self, _: &str) -> Arc<dyn Breakers> {
        self.breakers.clone()
    }

    fn mappings(
        &self,
        _: &str,
        _: &FingerprintKey,
    ) -> (Arc<dyn RecordMappings>, Arc<dyn KeyIndex>) {
        (self.mappings.clone(), self.key_index.clone())
    }

    fn owed(&self, _: &str) -> Arc<dyn OwedRecords> {
        self.owed.clone()
    }

    fn import_jobs(&self, _: &str) -> Arc<dyn ImportJobs> {
        self.import_jobs.clone()
    }

    fn passes(&self, _: &str) -> Arc<dyn Passes> {
        self.passes.clone()
    }

    fn orders(&self, _: &str) -> Arc<dyn Orders> {
        self.orders.clone()
    }

    fn reports(&self, _: &str) -> Arc<dyn Reports> {
        self.reports.clone()
    }

    fn queue<M: Message>(&self, url: &str) -> Arc<dyn Queue<M>> {
        let queue = self.queues.get(url).expect("a queue with this URL");
        let queue = queue.downcast_ref::<Arc<dyn Queue<M>>>();
        queue.expect("a queue of these messages").clone()
    }

    fn queue_depth<M: Message>(&self, url: &str) -> Arc<dyn QueueDepth> {
        let depth = self.depths.get(url).expect("a queue with this URL");
        depth.clone()
    }
}

/// Secrets in memory, by their ARNs.
pub struct MemorySecrets(pub HashMap<&'static str, Value>);

#[async_trait]
impl SecretStore for MemorySecrets {
    async fn current(&self, arn: &str) -> Result<SecretValue, SecretError> {
        let secret = self.0.get(arn).ok_or_else(|| SecretError::Unavailable {
            arn: arn.to_owned(),
            reason: "there is no such secret".to_owned(),
        })?;
        Ok(SecretValue {
            text: Some(secret.to_string().into()),
            version: None,
        })
    }
}

/// The secrets that [`environment`] names.
pub fn usual_secrets() -> MemorySecrets {
    let client = |(id, secret): (&str, &str)| json!({ "clientId": id, "clientSecret": secret });
    MemorySecrets(HashMap::from([
        ("norce", client(NORCE_CLIENT)),
        ("erp", client(ERP_CLIENT)),
        ("fingerprints", json!({ "key": FINGERPRINT_KEY })),
        ("events", json!({ "current": "event-secret" })),
    ]))
}

/// The variables that the functions need, with the names of resources in memory: one application, and Business Central.
const VARIABLES: &[(&str, &str)] = &[
    ("NORCE_BASE_URL", "http://norce.localhost"),
    ("NORCE_SCOPE", "prod"),
    ("NORCE_SECRET_ARN", "norce"),
    ("NORCE_ACCOUNT_ID", "17"),
    ("ERP_KIND", "business-central"),
    ("ERP_BASE_URL", "http://erp.localhost"),
    ("ERP_TOKEN_URL", "http://erp.localhost/token"),
    ("ERP_SECRET_ARN", "erp"),
    ("ERP_COMPANY", "00000000-0000-0000-0000-0000000000b1"),
    ("EVENT_SECRET_ARN", "events"),
    ("FINGERPRINT_SECRET_ARN", "fingerprints"),
    ("BREAKERS_TABLE", "breakers"),
    ("CODE_MAPPINGS_TABLE", "mappings"),
    ("OWED_TABLE", "owed"),
    ("IMPORT_JOBS_TABLE", "import-jobs"),
    ("PASSES_TABLE", "passes"),
    ("ORDERS_TABLE", "orders"),
    ("REPORTS_BUCKET", "reports"),
    ("CHANGES_QUEUE_URL", "changes"),
    ("CHANGES_DEAD_LETTER_QUEUE_URL", "dead-changes"),
    ("IMPORTS_QUEUE_URL", "imports"),
    ("IMPORTS_DEAD_LETTER_QUEUE_URL", "dead-imports"),
    ("JOBS_QUEUE_URL", "jobs"),
    ("JOBS_DEAD_LETTER_QUEUE_URL", "dead-jobs"),
    ("PASSES_QUEUE_URL", "passes"),
    ("PASSES_DEAD_LETTER_QUEUE_URL", "dead-passes"),
    ("OUTGOING_ORDERS_QUEUE_URL", "outgoing-orders"),
    ("ORDER_SECRET_ARN", "orders"),
    ("ERP_EVENT_SECRET_ARN", "erp-events"),
];

/// The environment of a function whose resources are in memory, with other values for some variables.
pub fn environment(other: &[(&str, &str)]) -> Environment<'static> {
    let application = json!([{ "id": 1, "key": Uuid::from_u128(1) }]).to_string();
    let usual = VARIABLES.iter().copied();
    let usual = usual.chain([("NORCE_APPLICATIONS", application.as_str())]);
    let all = usual.chain(other.iter().copied());
    let all: HashMap<String, String> = all
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Environment::new(move |name| all.get(name).cloned())
}

/// The output of a constructor that waits for nothing, because its resources are in memory.
///
/// # Panics
/// When it does wait, or fails.
pub fn built<T, E: std::fmt::Display>(construction: impl Future<Output = Result<T, E>>) -> T {
    let built = construction.now_or_never().expect("nothing to wait for");
    let built = built.map_err(|error| error.to_string());
    built.expect("a function")
}
