//! The ports of the function. The modules use some of them each.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shared::{
    breakers::Breakers,
    domain::{
        ApplicationSettings, ChangeMessage, Clock, FingerprintKey, ImportRequest, PassMessage,
        Scope,
    },
    erp::{Erp, same_company},
    http::Deadline,
    mappings::{RecordMappings, key_index::KeyIndex},
    metrics::Metrics,
    norce::NorceQuery,
    owed::OwedRecords,
    passes::Passes,
    queues::{Queue, QueueDepth},
    reports::Reports,
    runtime::{
        resources::Resources,
        wiring::{Common, WiringError},
    },
};

use crate::{
    configuration::{Configuration, PassSettings, synced_groups},
    erp_events::ErpEventKeeper,
    retry::OwedRetry,
};

/// How long a start waits for an ERP that states its capabilities itself. Lambda gives a start ten seconds.
const CAPABILITIES_WITHIN: Duration = Duration::from_secs(3);

/// The use case with its ports.
pub struct ErpFullPass {
    /// Reads Norce.
    pub norce: Arc<dyn NorceQuery>,
    /// The ERP company of each scope.
    pub erps: HashMap<Scope, Arc<dyn Erp>>,
    /// The code mappings.
    pub mappings: Arc<dyn RecordMappings>,
    /// Which records of the ERP hold a natural key.
    pub key_index: Arc<dyn KeyIndex>,
    /// Records that cannot be synced yet.
    pub owed: Arc<dyn OwedRecords>,
    /// Runs, leases and watermarks.
    pub passes: Arc<dyn Passes>,
    /// The store of the plans' reports.
    pub reports: Arc<dyn Reports>,
    /// Lines for Norce.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// The number of messages on the imports queue.
    pub imports_depth: Arc<dyn QueueDepth>,
    /// Entities that `change-events` checks again.
    pub changes: Arc<dyn Queue<ChangeMessage>>,
    /// Further messages of the queue that is handled here.
    pub to_passes: Arc<dyn Queue<PassMessage>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The key of the fingerprints.
    pub fingerprints: FingerprintKey,
    /// The applications and their scopes.
    pub shops: ApplicationSettings,
    /// The settings of a pass.
    pub settings: PassSettings,
    /// Keeps the subscriptions to the ERP's events; `None`: `ERP_EVENTS` is off.
    pub erp_events: Option<ErpEventKeeper>,
    /// The state of the remotes, for the metrics.
    pub breakers: Arc<dyn Breakers>,
    /// The metrics of an invocation.
    pub metrics: Metrics,
}

impl ErpFullPass {
    /// Builds the function.
    ///
    /// # Errors
    /// When a secret cannot be read, a client cannot be built, or the ERP owns fields that cannot be read from it.
    pub async fn build(
        configuration: &Configuration,
        resources: &impl Resources,
    ) -> Result<Self, WiringError> {
        let Configuration { common, pass, .. } = configuration;
        let built = Common::build(common, resources).await?;
        let erps = built
            .connections
            .erps(&configuration.erp, &common.shops)
            .await?;
        let soon = Deadline::after(CAPABILITIES_WITHIN);
        for erp in erps.values() {
            // An ERP that cannot answer now is asked again by each run.
            if let Ok(capabilities) = erp.capabilities(soon).await {
                synced_groups(pass.erp_owns, erp.name(), capabilities)
                    .map_err(|error| WiringError::Erp(error.to_string()))?;
            }
        }
        let imports = &configuration.imports_queue_url;
        Ok(Self {
            norce: built.norce.query,
            erps,
            mappings: built.mappings,
            key_index: built.key_index,
            owed: built.owed,
            passes: resources.passes(&configuration.passes_table),
            reports: resources.reports(&configuration.reports_bucket),
            imports: resources.queue(imports),
            imports_depth: resources.queue_depth::<ImportRequest>(imports),
            changes: resources.queue(&configuration.changes_queue_url),
            to_passes: resources.queue(&configuration.passes.queue_url),
            clock: resources.clock(),
            fingerprints: built.fingerprints,
            shops: common.shops.clone(),
            settings: pass.clone(),
            erp_events: configuration
                .erp_events
                .clone()
                .map(|settings| ErpEventKeeper {
                    settings,
                    secrets: resources.secrets().clone(),
                }),
            breakers: built.breakers,
            metrics: resources.metrics().clone(),
        })
    }

    /// Whether a record of the ERP that is in no scope may be inserted into this one. Nothing is inserted into the shared
    /// scope: which entities Norce matches a row without an `ApplicationKey` with is not documented (norce-api §8). And
    /// where both are kept in one ERP company, nothing says which of them a record belongs to.
    pub(crate) fn takes_new_records(&self, scope: Scope) -> bool {
        if !self.shops.share_some() {
            return true;
        }
        let erp = |scope| self.erps.get(&scope).map(AsRef::as_ref);
        let both = erp(scope).zip(erp(Scope::Client));
        scope != Scope::Client && !both.is_some_and(|(own, shared)| same_company(own, shared))
    }

    pub(crate) fn owed_retry(&self) -> OwedRetry<'_> {
        OwedRetry {
            owed: self.owed.as_ref(),
            changes: self.changes.as_ref(),
            clock: self.clock.as_ref(),
        }
    }
}
