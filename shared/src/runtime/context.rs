//! The process of a function in AWS: its environment and the resources of its stack.

use std::sync::{Arc, OnceLock};

use aws_types::SdkConfig;

use super::{
    configuration::{Environment, InboxSettings, RESOURCE_NAMES_SECRET_ARN, ResourceNames},
    resources::Resources,
    secrets::{SecretError, Secrets},
    wiring::WiringError,
};
use crate::{
    aws::{Database, sdk},
    breakers::{Breakers, DynamoDbBreakers},
    domain::{Clock, FingerprintKey, SystemClock},
    http::{ReqwestTransport, Transport},
    import_jobs::{DynamoDbImportJobs, ImportJobs},
    mappings::{DynamoDbMappings, RecordMappings, key_index::KeyIndex},
    metrics::Metrics,
    orders::{DynamoDbOrders, Orders},
    owed::{DynamoDbOwed, OwedRecords},
    passes::{DynamoDbPasses, Passes},
    queues::{Message, Queue, QueueDepth, Sqs, SqsInbox, SqsQueue},
    reports::{Reports, S3Reports},
};

/// The process of a function in AWS.
pub struct AwsContext {
    /// The SDK's configuration.
    pub aws: SdkConfig,
    /// Secrets Manager.
    pub secrets: Secrets,
    /// The HTTP client of the process, which the SDK uses as well.
    pub transport: Arc<dyn Transport>,
    /// The metrics of an invocation.
    pub metrics: Metrics,
    /// `STACK_NAME`: the name of the stack, a dimension of the metrics.
    pub stack: String,
    /// Created with the first table, so that a program without tables does not contain the client: 0.4 MB.
    database: OnceLock<Database>,
    /// Created with the first queue, likewise.
    sqs: OnceLock<Sqs>,
}

/// Each call takes at most 3.5 seconds. Lambda gives a function ten seconds to start, and starts one that needs longer again
/// with its invocation, which has the function's own time-out (aws §1): a minute where there is a queue, half of which this
/// leaves.
const ATTEMPTS_AT_START: u32 = 8;

impl AwsContext {
    /// Reads the SDK's configuration from the environment; nothing is sent.
    ///
    /// # Errors
    /// When the HTTP client cannot be built, or Lambda's own variables are missing.
    pub fn load() -> Result<Self, WiringError> {
        let transport: Arc<dyn Transport> = Arc::new(ReqwestTransport::new()?);
        let aws = sdk::load(transport.clone())?;
        let stack = std::env::var("STACK_NAME").unwrap_or_default();
        Ok(Self::new(aws, transport, stack))
    }

    /// The process with a configuration of the SDK, an HTTP client, and the name of its stack.
    pub fn new(aws: SdkConfig, transport: Arc<dyn Transport>, stack: String) -> Self {
        Self {
            secrets: Secrets::new(&aws),
            aws,
            transport,
            metrics: Metrics::default(),
            stack,
            database: OnceLock::new(),
            sqs: OnceLock::new(),
        }
    }

    /// The environment of this process with the names of the stack's resources.
    ///
    /// # Errors
    /// When the secret with the names cannot be read.
    pub async fn environment(&self) -> Result<Environment<'static>, WiringError> {
        let mut environment = Environment::of_process();
        let names = self.resource_names(&mut environment).await?;
        Ok(environment.with_names(names))
    }

    /// The names of the stack's resources; none where `RESOURCE_NAMES_SECRET_ARN` is not set, because the names are then
    /// variables themselves.
    ///
    /// # Errors
    /// When the secret cannot be read, or is not an object of texts.
    pub async fn resource_names(
        &self,
        environment: &mut Environment<'_>,
    ) -> Result<ResourceNames, WiringError> {
        match environment.optional::<String>(RESOURCE_NAMES_SECRET_ARN) {
            Some(arn) => Ok(self.names_in(&arn).await?),
            None => Ok(ResourceNames::default()),
        }
    }

    /// Reads the secret with the names, and again while Secrets Manager does not answer: when a function fails to start,
    /// the messages of its batch stay hidden for the queue's whole visibility time-out.
    async fn names_in(&self, arn: &str) -> Result<ResourceNames, SecretError> {
        for _ in 1..ATTEMPTS_AT_START {
            match self.secrets.get(arn).await {
                Err(SecretError::Unavailable { reason, .. }) => {
                    tracing::warn!(
                        reason,
                        "the secret with the names of resources cannot be read; reading it again"
                    );
                }
                read => return read,
            }
        }
        self.secrets.get(arn).await
    }

    /// DynamoDB. All stores share it, so that their concurrent reads become one request.
    pub fn database(&self) -> Database {
        self.database
            .get_or_init(|| Database::new(&self.aws))
            .clone()
    }

    /// SQS, for all queues.
    pub fn sqs(&self) -> Sqs {
        self.sqs.get_or_init(|| Sqs::from(&self.aws)).clone()
    }

    /// The receiving end of a queue.
    pub fn inbox(&self, settings: &InboxSettings) -> SqsInbox {
        SqsInbox::new(
            self.sqs(),
            &settings.queue_url,
            &settings.dead_letter_queue_url,
        )
    }
}

impl Resources for AwsContext {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
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

    fn breakers(&self, table: &str) -> Arc<dyn Breakers> {
        Arc::new(DynamoDbBreakers::new(self.database(), table))
    }

    fn mappings(
        &self,
        table: &str,
        fingerprints: &FingerprintKey,
    ) -> (Arc<dyn RecordMappings>, Arc<dyn KeyIndex>) {
        let mappings = DynamoDbMappings::new(self.database(), table, fingerprints.clone());
        let mappings = Arc::new(mappings);
        (mappings.clone(), mappings)
    }

    fn owed(&self, table: &str) -> Arc<dyn OwedRecords> {
        Arc::new(DynamoDbOwed::new(self.database(), table))
    }

    fn import_jobs(&self, table: &str) -> Arc<dyn ImportJobs> {
        Arc::new(DynamoDbImportJobs::new(self.database(), table))
    }

    fn passes(&self, table: &str) -> Arc<dyn Passes> {
        Arc::new(DynamoDbPasses::new(self.database(), table))
    }

    fn orders(&self, table: &str) -> Arc<dyn Orders> {
        Arc::new(DynamoDbOrders::new(self.database(), table))
    }

    fn reports(&self, bucket: &str) -> Arc<dyn Reports> {
        Arc::new(S3Reports::new(&self.aws, bucket))
    }

    fn queue<M: Message>(&self, url: &str) -> Arc<dyn Queue<M>> {
        Arc::new(SqsQueue::new(self.sqs(), url))
    }

    fn queue_depth<M: Message>(&self, url: &str) -> Arc<dyn QueueDepth> {
        Arc::new(SqsQueue::<M>::new(self.sqs(), url))
    }
}
