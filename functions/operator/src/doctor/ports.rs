//! What is examined.

use std::{collections::HashMap, sync::Arc};

use shared::{
    activity::Activity,
    breakers::Breakers,
    domain::{ApplicationSettings, Clock, FieldGroups, Scope},
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

use crate::{Schedules, WorkQueue};

/// What is examined, as far as it could be built.
pub struct Doctor {
    /// What is wrong with the configuration.
    pub faults: Vec<String>,
    /// The secrets, each with whether it could be read. Never what is in it.
    pub secrets: Vec<Secret>,
    /// Norce, or why there is no client for it.
    pub norce: Result<NorceClients, String>,
    /// The account that imports are made by.
    pub norce_account: Option<i32>,
    /// Where `receive-events` says what came, or why that cannot be looked at.
    pub events: Option<Result<Arc<dyn Logs>, String>>,
    /// Where `change-events` says what became of changes, or why that cannot be looked at.
    pub changes: Option<Result<Arc<dyn Logs>, String>>,
    /// Which shops there are.
    pub shops: Option<ApplicationSettings>,
    /// The ERP company behind each register, or why there is no client for it.
    pub erps: Result<HashMap<Scope, Arc<dyn Erp>>, String>,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: FieldGroups,
    /// Every queue whose address is known.
    pub queues: Vec<WorkQueue>,
    /// The queue to the merchant's order integration, where orders are received.
    pub outgoing_orders: Option<WorkQueue>,
    /// The tables and the bucket, as far as they are known.
    pub stores: Stores,
    /// When passes run.
    pub schedules: Schedules,
    /// The SNS topic that the alarms notify; empty: nobody is notified; `None`: the stack's template does not say.
    pub alarm_topic: Option<String>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// A secret that was looked at.
#[derive(Debug, Clone)]
pub struct Secret {
    /// The variable that names it.
    pub variable: &'static str,
    /// What its text has to be.
    pub form: SecretText,
    /// What is wrong with it.
    pub read: Result<(), String>,
}

/// What the text of a secret is.
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
