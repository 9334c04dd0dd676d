use shared::{
    domain::Shops,
    runtime::configuration::{ConfigurationError, Environment, read_shops},
};

/// What `receive-events` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: Shops,
    /// `EVENT_SECRET_ARN`.
    pub event_secret_arn: String,
    /// `CHANGES_QUEUE_URL`.
    pub changes_queue_url: String,
    /// `JOBS_QUEUE_URL`.
    pub jobs_queue_url: String,
    /// How orders are received; `None`: `ORDER_RECEIVER` is not on.
    pub orders: Option<OrderSettings>,
}

/// How orders are received.
#[derive(Debug, Clone)]
pub struct OrderSettings {
    /// `ORDER_SECRET_ARN`.
    pub secret_arn: String,
    /// `ORDERS_TABLE`.
    pub table: String,
}

impl Configuration {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(mut environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        let shops = read_shops(&mut environment);
        let event_secret_arn = environment.required("EVENT_SECRET_ARN");
        let changes_queue_url = environment.required("CHANGES_QUEUE_URL");
        let jobs_queue_url = environment.required("JOBS_QUEUE_URL");
        let receives_orders = environment.or_default("ORDER_RECEIVER", false);
        let orders = receives_orders.is_some_and(|on| on).then(|| {
            let secret_arn = environment.required("ORDER_SECRET_ARN");
            let table = environment.required("ORDERS_TABLE");
            Some(OrderSettings {
                secret_arn: secret_arn?,
                table: table?,
            })
        });
        let configuration = (|| {
            Some(Self {
                shops: shops?,
                event_secret_arn: event_secret_arn?,
                changes_queue_url: changes_queue_url?,
                jobs_queue_url: jobs_queue_url?,
                orders: match orders {
                    None => None,
                    Some(orders) => Some(orders?),
                },
            })
        })();
        environment.finish(configuration)
    }
}
