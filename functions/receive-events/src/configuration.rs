use shared::{
    domain::ApplicationSettings,
    read_fields,
    runtime::configuration::{ConfigurationError, Environment, read_erp_events, read_shops},
};

/// What `receive-events` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: ApplicationSettings,
    /// `EVENT_SECRET_ARN`.
    pub event_secret_arn: String,
    /// `CHANGES_QUEUE_URL`.
    pub changes_queue_url: String,
    /// `JOBS_QUEUE_URL`.
    pub jobs_queue_url: String,
    /// How orders are received; `None`: `ORDER_RECEIVER` is not on.
    pub orders: Option<OrderSettings>,
    /// How the ERP's events are received; `None`: `ERP_EVENTS` is off.
    pub erp_events: Option<ErpEventSettings>,
}

/// How the ERP's events are received.
#[derive(Debug, Clone)]
pub struct ErpEventSettings {
    /// `ERP_EVENT_SECRET_ARN`.
    pub secret_arn: String,
    /// `PASSES_QUEUE_URL`.
    pub passes_queue_url: String,
}

impl ErpEventSettings {
    fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            secret_arn: environment.required("ERP_EVENT_SECRET_ARN"),
            passes_queue_url: environment.required("PASSES_QUEUE_URL"),
        })
    }
}

/// How orders are received.
#[derive(Debug, Clone)]
pub struct OrderSettings {
    /// `ORDER_SECRET_ARN`.
    pub secret_arn: String,
    /// `ORDERS_TABLE`.
    pub table: String,
}

impl OrderSettings {
    /// Reads them; outside `None`: they are faulty, inside: `ORDER_RECEIVER` is not on.
    fn read(environment: &mut Environment<'_>) -> Option<Option<Self>> {
        if !environment.or_default("ORDER_RECEIVER", false)? {
            return Some(None);
        }
        let settings = read_fields!(Self {
            secret_arn: environment.required("ORDER_SECRET_ARN"),
            table: environment.required("ORDERS_TABLE"),
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
                event_secret_arn: environment.required("EVENT_SECRET_ARN"),
                changes_queue_url: environment.required("CHANGES_QUEUE_URL"),
                jobs_queue_url: environment.required("JOBS_QUEUE_URL"),
                orders: OrderSettings::read(environment),
                erp_events: read_erp_events(environment, ErpEventSettings::read),
            })
        })
    }
}
