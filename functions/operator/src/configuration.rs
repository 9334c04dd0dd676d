use change_events::OrderSettings;
use shared::{
    domain::ApplicationSettings,
    runtime::{
        configuration::{
            Environment, ErpSettings, InboxSettings, NorceSettings, RESOURCE_NAMES_SECRET_ARN,
            RemoteUrl, SyncPolicy, read_erp_events, read_shops,
        },
        context::AwsContext,
    },
};

/// What `operator` reads from its environment. Each setting is optional, because `doctor` has to answer when the configuration
/// is faulty too.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The faults, each with its variable.
    pub faults: Vec<String>,
    /// The configured applications of Norce.
    pub shops: Option<ApplicationSettings>,
    /// How to reach Norce.
    pub norce: Option<NorceSettings>,
    /// How to reach the ERP.
    pub erp: Option<ErpSettings>,
    /// The rules for changes from the shop.
    pub policy: Option<SyncPolicy>,
    /// `EVENT_SECRET_ARN`.
    pub event_secret_arn: Option<String>,
    /// `FINGERPRINT_SECRET_ARN`.
    pub fingerprint_secret_arn: Option<String>,
    /// `CODE_MAPPINGS_TABLE`.
    pub code_mappings_table: Option<String>,
    /// `OWED_TABLE`.
    pub owed_table: Option<String>,
    /// `IMPORT_JOBS_TABLE`.
    pub import_jobs_table: Option<String>,
    /// `PASSES_TABLE`.
    pub passes_table: Option<String>,
    /// `ACTIVITY_TABLE`; `None`: the stack's template is from an earlier version.
    pub activity_table: Option<String>,
    /// `BREAKERS_TABLE`.
    pub breakers_table: Option<String>,
    /// `RECEIVE_EVENTS_LOG_GROUP`.
    pub receive_events_log_group: Option<String>,
    /// `CHANGE_EVENTS_LOG_GROUP`.
    pub change_events_log_group: Option<String>,
    /// Where orders are received; `None`: `ORDER_RECEIVER` is not on, or faulty.
    pub orders: Option<ReceivedOrders>,
    /// `REPORTS_BUCKET`.
    pub reports_bucket: Option<String>,
    /// `CHANGES_QUEUE_URL` and `CHANGES_DEAD_LETTER_QUEUE_URL`.
    pub changes: Option<InboxSettings>,
    /// `IMPORTS_QUEUE_URL` and `IMPORTS_DEAD_LETTER_QUEUE_URL`.
    pub imports: Option<InboxSettings>,
    /// `JOBS_QUEUE_URL` and `JOBS_DEAD_LETTER_QUEUE_URL`.
    pub jobs: Option<InboxSettings>,
    /// `PASSES_QUEUE_URL` and `PASSES_DEAD_LETTER_QUEUE_URL`.
    pub passes: Option<InboxSettings>,
    /// The schedules.
    pub schedules: Schedules,
    /// `ERP_EVENTS_URL`, where `ERP_EVENTS` is on.
    pub erp_events: Option<RemoteUrl>,
    /// `ALARM_TOPIC_ARN`; empty: the alarms have no topic; `None`: the stack's template is from an earlier version.
    pub alarm_topic: Option<String>,
}

/// The settings for received orders.
#[derive(Debug, Clone)]
pub struct ReceivedOrders {
    /// The table of the orders, and the queue that they are forwarded to.
    pub settings: OrderSettings,
    /// `ORDER_SECRET_ARN`.
    pub secret_arn: Option<String>,
    /// `OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL`.
    pub outgoing_dead_letter_queue_url: Option<String>,
}

/// `DELTA_SCHEDULE`, `FULL_SCHEDULE`, `SWEEP_SCHEDULE` and `OWED_SCHEDULE`: the values of the template's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedules {
    /// When delta passes read the ERP's changed records.
    pub delta: Option<String>,
    /// When full passes read all of the ERP's records.
    pub full: Option<String>,
    /// When sweeps look for lost changes in Norce.
    pub sweep: Option<String>,
    /// When owed records are retried.
    pub owed: Option<String>,
}

impl Configuration {
    /// Reads the environment with the names of the stack's resources. If those cannot be read, the first fault has the reason,
    /// and the names are missing.
    pub async fn load(context: &AwsContext, mut environment: Environment<'_>) -> Self {
        match context.resource_names(&mut environment).await {
            Ok(names) => Self::read(environment.with_names(names)),
            Err(error) => {
                environment.fault(
                    RESOURCE_NAMES_SECRET_ARN,
                    format!("{error}; what is not set below is in it"),
                );
                Self::read(environment)
            }
        }
    }

    /// Reads and checks everything, and continues after a fault.
    pub fn read(mut environment: Environment<'_>) -> Self {
        let shops = read_shops(&mut environment);
        Self {
            norce: NorceSettings::read(&mut environment),
            erp: ErpSettings::read(&mut environment, shops.as_ref()),
            shops,
            policy: SyncPolicy::read(&mut environment),
            event_secret_arn: environment.required("EVENT_SECRET_ARN"),
            fingerprint_secret_arn: environment.required("FINGERPRINT_SECRET_ARN"),
            code_mappings_table: environment.required("CODE_MAPPINGS_TABLE"),
            owed_table: environment.required("OWED_TABLE"),
            import_jobs_table: environment.required("IMPORT_JOBS_TABLE"),
            passes_table: environment.required("PASSES_TABLE"),
            reports_bucket: environment.required("REPORTS_BUCKET"),
            breakers_table: environment.required("BREAKERS_TABLE"),
            receive_events_log_group: environment.required("RECEIVE_EVENTS_LOG_GROUP"),
            change_events_log_group: environment.required("CHANGE_EVENTS_LOG_GROUP"),
            activity_table: environment.optional("ACTIVITY_TABLE"),
            orders: ReceivedOrders::read(&mut environment),
            changes: InboxSettings::read(&mut environment, "CHANGES"),
            imports: InboxSettings::read(&mut environment, "IMPORTS"),
            jobs: InboxSettings::read(&mut environment, "JOBS"),
            passes: InboxSettings::read(&mut environment, "PASSES"),
            schedules: Schedules {
                delta: environment.optional("DELTA_SCHEDULE"),
                full: environment.optional("FULL_SCHEDULE"),
                sweep: environment.optional("SWEEP_SCHEDULE"),
                owed: environment.optional("OWED_SCHEDULE"),
            },
            erp_events: read_erp_events(&mut environment, |environment| {
                environment.required("ERP_EVENTS_URL")
            })
            .flatten(),
            alarm_topic: environment.or_empty("ALARM_TOPIC_ARN"),
            // Last: the faults of everything above.
            faults: match environment.finish(Some(())) {
                Ok(()) => Vec::new(),
                Err(error) => error.faults,
            },
        }
    }
}

impl ReceivedOrders {
    fn read(environment: &mut Environment<'_>) -> Option<Self> {
        Some(Self {
            settings: OrderSettings::read(environment).flatten()?,
            secret_arn: environment.required("ORDER_SECRET_ARN"),
            outgoing_dead_letter_queue_url: environment
                .required("OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL"),
        })
    }
}
