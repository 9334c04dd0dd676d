use std::num::NonZeroUsize;

use shared::{
    domain::ApplicationSettings,
    read_fields,
    runtime::configuration::{
        ConfigurationError, Environment, ErpSettings, InboxSettings, NorceSettings, SyncPolicy,
        read_erp_concurrency, read_shops,
    },
};

/// What `change-events` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: ApplicationSettings,
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
        let settings = read_fields!(Self {
            table: environment.required("ORDERS_TABLE"),
            outgoing_queue_url: environment.required("OUTGOING_ORDERS_QUEUE_URL"),
        });
        settings.map(Some)
    }
}

impl Configuration {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        environment.read(|environment| {
            read_fields!(Self {
                shops: read_shops(environment),
                norce: NorceSettings::read(environment),
                breakers_table: environment.required("BREAKERS_TABLE"),
                erp: ErpSettings::read(environment, shops.as_ref()),
                policy: SyncPolicy::read(environment),
                concurrency: read_erp_concurrency(environment),
                fingerprint_secret_arn: environment.required("FINGERPRINT_SECRET_ARN"),
                code_mappings_table: environment.required("CODE_MAPPINGS_TABLE"),
                owed_table: environment.required("OWED_TABLE"),
                changes: InboxSettings::read(environment, "CHANGES"),
                imports_queue_url: environment.required("IMPORTS_QUEUE_URL"),
                orders: OrderSettings::read(environment),
            })
        })
    }
}
