use std::num::NonZeroUsize;

use shared::{
    read_fields,
    runtime::configuration::{
        CommonSettings, ConfigurationError, Environment, ErpSettings, InboxSettings, SyncPolicy,
        read_erp_concurrency,
    },
};

/// What `change-events` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The settings that the functions with code mappings share.
    pub common: CommonSettings,
    /// How to reach the ERP.
    pub erp: ErpSettings,
    /// What to do with what comes from the shop.
    pub policy: SyncPolicy,
    /// `ERP_CONCURRENCY`.
    pub concurrency: NonZeroUsize,
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
                common: CommonSettings::read(environment),
                erp: ErpSettings::read(environment, common.as_ref().map(|common| &common.shops)),
                policy: SyncPolicy::read(environment),
                concurrency: read_erp_concurrency(environment),
                changes: InboxSettings::read(environment, "CHANGES"),
                imports_queue_url: environment.required("IMPORTS_QUEUE_URL"),
                orders: OrderSettings::read(environment),
            })
        })
    }
}
