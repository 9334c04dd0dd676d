use std::num::NonZeroUsize;

use shared::{
    domain::Shops,
    runtime::configuration::{
        ConfigurationError, Environment, ErpSettings, InboxSettings, NorceSettings, SyncPolicy,
        read_erp_concurrency, read_shops,
    },
};

/// What `change-events` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: Shops,
    /// How to reach Norce.
    pub norce: NorceSettings,
    /// `BREAKERS_TABLE`: the remotes to which calls are paused.
    pub breakers_table: String,
    /// How to reach the ERP.
    pub erp: ErpSettings,
    /// What to do with what comes from the shop.
    pub policy: SyncPolicy,
    /// `ERP_CONCURRENCY`.
    pub concurrency: NonZeroUsize,
    /// `FINGERPRINT_SECRET_ARN`.
    pub fingerprint_secret_arn: String,
    /// `CODE_MAPPINGS_TABLE`.
    pub code_mappings_table: String,
    /// `OWED_TABLE`.
    pub owed_table: String,
    /// `CHANGES_QUEUE_URL` and `CHANGES_DEAD_LETTER_QUEUE_URL`.
    pub changes: InboxSettings,
    /// `IMPORTS_QUEUE_URL`.
    pub imports_queue_url: String,
    /// Where orders are and go; `None`: `ORDER_RECEIVER` is not on.
    pub orders: Option<OrderSettings>,
}

/// Where orders are and go.
#[derive(Debug, Clone)]
pub struct OrderSettings {
    /// `ORDERS_TABLE`.
    pub table: String,
    /// `OUTGOING_ORDERS_QUEUE_URL`.
    pub outgoing_queue_url: String,
}

impl OrderSettings {
    /// Reads them; outside `None`: they are faulty, inside: `ORDER_RECEIVER` is not on.
    pub fn read(environment: &mut Environment<'_>) -> Option<Option<Self>> {
        if !environment.or_default("ORDER_RECEIVER", false)? {
            return Some(None);
        }
        let table = environment.required("ORDERS_TABLE");
        let outgoing_queue_url = environment.required("OUTGOING_ORDERS_QUEUE_URL");
        Some(Some(Self {
            table: table?,
            outgoing_queue_url: outgoing_queue_url?,
        }))
    }
}

impl Configuration {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(mut environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        let shops = read_shops(&mut environment);
        let norce = NorceSettings::read(&mut environment);
        let breakers_table = environment.required("BREAKERS_TABLE");
        let erp = ErpSettings::read(&mut environment, shops.as_ref());
        let policy = SyncPolicy::read(&mut environment);
        let concurrency = read_erp_concurrency(&mut environment);
        let fingerprint_secret_arn = environment.required("FINGERPRINT_SECRET_ARN");
        let code_mappings_table = environment.required("CODE_MAPPINGS_TABLE");
        let owed_table = environment.required("OWED_TABLE");
        let changes = InboxSettings::read(&mut environment, "CHANGES");
        let imports_queue_url = environment.required("IMPORTS_QUEUE_URL");
        let orders = OrderSettings::read(&mut environment);
        let configuration = (|| {
            Some(Self {
                shops: shops?,
                norce: norce?,
                breakers_table: breakers_table?,
                erp: erp?,
                policy: policy?,
                concurrency: concurrency?,
                fingerprint_secret_arn: fingerprint_secret_arn?,
                code_mappings_table: code_mappings_table?,
                owed_table: owed_table?,
                changes: changes?,
                imports_queue_url: imports_queue_url?,
                orders: orders?,
            })
        })();
        environment.finish(configuration)
    }
}
