//! What the doctor checks.

use std::{collections::HashMap, sync::Arc};

use shared::{
    activity::Activity,
    breakers::Breakers,
    domain::{ApplicationSettings, Clock, OwnedFields, Scope, SyncKinds},
    erp::Erp,
    import_jobs::ImportJobs,
    logs::Logs,
    mappings::{Mappings, key_index::KeyIndex},
    orders::Orders,
    owed::OwedRecords,
    passes::Passes,
    reports::Reports,
    runtime::wiring::NorceClients,
};
use url::Url;

use crate::{Schedules, WorkQueue};

/// Everything that the doctor checks, as far as it could be built.
pub struct Doctor {
    /// The faults of the configuration.
    pub faults: Vec<String>,
    /// The secrets, each with whether it could be read. Never their values.
    pub secrets: Vec<Secret>,
    /// The clients of Norce, or why there are none.
    pub norce: Result<NorceClients, String>,
    /// The account that imports run under.
    pub norce_account: Option<i32>,
    /// The log of `receive-events`, or why it cannot be searched.
    pub events: Option<Result<Arc<dyn Logs>, String>>,
    /// The log of `change-events`, or why it cannot be searched.
    pub changes: Option<Result<Arc<dyn Logs>, String>>,
    /// The configured applications of Norce.
    pub shops: Option<ApplicationSettings>,
    /// The ERP company behind each scope, or why there are no clients.
    pub erps: Result<HashMap<Scope, Arc<dyn Erp>>, String>,
    /// `SYNC_KINDS`.
    pub sync_kinds: SyncKinds,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: OwnedFields,
    /// Every queue whose address is known.
    pub queues: Vec<WorkQueue>,
    /// The queue to the merchant's order integration, where orders are received.
    pub outgoing_orders: Option<WorkQueue>,
    /// The tables and the bucket.
    pub stores: Stores,
    /// The schedules of the passes.
    pub schedules: Schedules,
    /// Where the ERP posts its events to; `None`: `ERP_EVENTS` is off.
    pub erp_events: Option<Url>,
    /// The SNS topic of the alarms; empty: they have none; `None`: the stack's template does not tell.
    pub alarm_topic: Option<String>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// A secret and whether it could be read.
#[derive(Debug, Clone)]
pub struct Secret {
    /// The variable that names it.
    pub variable: &'static str,
    /// The form of its text.
    pub form: SecretText,
    /// Why it could not be read.
    pub read: Result<(), String>,
}

/// The form of the text of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretText {
    /// A JSON object.
    Json,
    /// Certificates as PEM.
    PemBundle,
}

/// The stores, as far as their names are known.
#[derive(Clone, Default)]
pub struct Stores {
    /// The code mappings.
    pub mappings: Option<Arc<dyn Mappings>>,
    /// The index of natural keys, in the same table.
    pub key_index: Option<Arc<dyn KeyIndex>>,
    /// The owed records.
    pub owed: Option<Arc<dyn OwedRecords>>,
    /// The import jobs.
    pub import_jobs: Option<Arc<dyn ImportJobs>>,
    /// The passes.
    pub passes: Option<Arc<dyn Passes>>,
    /// The reports.
    pub reports: Option<Arc<dyn Reports>>,
    /// The breakers.
    pub breakers: Option<Arc<dyn Breakers>>,
    /// The activity record, where the stack has its table.
    pub activity: Option<Arc<dyn Activity>>,
    /// The orders, where they are received.
    pub orders: Option<Arc<dyn Orders>>,
}
