use change_events::OrderSettings;
use shared::{
    domain::{ApplicationSettings, FieldGroups},
    runtime::{
        configuration::{
            ConfigurationError, Environment, ErpSettings, InboxSettings, NorceSettings,
            RESOURCE_NAMES_SECRET_ARN, SyncPolicy, read_erp_owns, read_shops,
        },
        context::AwsContext,
    },
};

/// What `operator` reads from its environment, each part as far as it could be read: `doctor` has to answer when the
/// configuration is faulty too.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// What is wrong, one sentence per fault, each naming its variable.
    pub faults: Vec<String>,
    /// Which shops there are.
    pub shops: Option<ApplicationSettings>,
    /// How to reach Norce.
    pub norce: Option<NorceSettings>,
    /// How to reach the ERP.
    pub erp: Option<ErpSettings>,
    /// What to do with what comes from the shop.
    pub policy: Option<SyncPolicy>,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: Option<FieldGroups>,
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
    /// `ACTIVITY_TABLE`; `None`: the stack's template is of an earlier version.
    pub activity_table: Option<String>,
    /// `BREAKERS_TABLE`.
    pub breakers_table: Option<String>,
    /// `RECEIVE_EVENTS_LOG_GROUP`: the log of that function.
    pub receive_events_log_group: Option<String>,
    /// `CHANGE_EVENTS_LOG_GROUP`: the log of that function.
    pub change_events_log_group: Option<String>,
    /// Where orders are and go; `None`: `ORDER_RECEIVER` is not on, or faulty.
    pub orders: Option<OrderSettings>,
    /// `ORDER_SECRET_ARN`, where orders are received.
    pub order_secret_arn: Option<String>,
    /// `OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL`, where orders are received.
    pub outgoing_orders_dead_letter_queue_url: Option<String>,
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
    /// `ALARM_TOPIC_ARN`, which is empty where the alarms notify nobody; `None`: the stack's template is of an earlier version.
    pub alarm_topic: Option<String>,
}

/// `DELTA_SCHEDULE`, `FULL_SCHEDULE`, `SWEEP_SCHEDULE` and `OWED_SCHEDULE`, as the template's parameters have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedules {
    /// When the ERP's changed records are walked over.
    pub delta: Option<String>,
    /// When all of the ERP's records are walked over.
    pub full: Option<String>,
    /// When Norce is asked for lost changes.
    pub sweep: Option<String>,
    /// When what is owed is tried again.
    pub owed: Option<String>,
}

impl Configuration {
    /// Reads the environment with the names of the stack's resources. Where those cannot be read, the first fault says
    /// why, and the names are missing.
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

    /// Reads and checks everything, and goes on after a fault.
    pub fn read(mut environment: Environment<'_>) -> Self {
        let shops = read_shops(&mut environment);
        let norce = NorceSettings::read(&mut environment);
        let erp = ErpSettings::read(&mut environment, shops.as_ref());
        let policy = SyncPolicy::read(&mut environment);
        let erp_owns = match &policy {
            Some(policy) => Some(policy.erp_owns),
            // Its fault, if there is one, is noted already.
            None => read_erp_owns(&mut Environment::new(|_| None)),
        };
        let mut required = |name: &str| environment.required(name);
        let event_secret_arn = required("EVENT_SECRET_ARN");
        let fingerprint_secret_arn = required("FINGERPRINT_SECRET_ARN");
        let code_mappings_table = required("CODE_MAPPINGS_TABLE");
        let owed_table = required("OWED_TABLE");
        let import_jobs_table = required("IMPORT_JOBS_TABLE");
        let passes_table = required("PASSES_TABLE");
        let reports_bucket = required("REPORTS_BUCKET");
        let breakers_table = required("BREAKERS_TABLE");
        let receive_events_log_group = required("RECEIVE_EVENTS_LOG_GROUP");
        let change_events_log_group = required("CHANGE_EVENTS_LOG_GROUP");
        let activity_table = environment.optional("ACTIVITY_TABLE");
        let orders = OrderSettings::read(&mut environment).flatten();
        let mut of_orders = |name: &str| orders.as_ref().and_then(|_| environment.required(name));
        let order_secret_arn = of_orders("ORDER_SECRET_ARN");
        let outgoing_orders_dead_letter_queue_url =
            of_orders("OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL");
        let mut inbox = |name: &str| InboxSettings::read(&mut environment, name);
        let (changes, imports) = (inbox("CHANGES"), inbox("IMPORTS"));
        let (jobs, passes) = (inbox("JOBS"), inbox("PASSES"));
        let schedules = Schedules {
            delta: environment.optional("DELTA_SCHEDULE"),
            full: environment.optional("FULL_SCHEDULE"),
            sweep: environment.optional("SWEEP_SCHEDULE"),
            owed: environment.optional("OWED_SCHEDULE"),
        };
        let alarm_topic = environment.or_empty("ALARM_TOPIC_ARN");
        let faults = match environment.finish(Some(())) {
            Ok(()) => Vec::new(),
            Err(ConfigurationError { faults }) => faults,
        };
        Self {
            faults,
            shops,
            norce,
            erp,
            policy,
            erp_owns,
            event_secret_arn,
            fingerprint_secret_arn,
            code_mappings_table,
            owed_table,
            import_jobs_table,
            passes_table,
            activity_table,
            breakers_table,
            receive_events_log_group,
            change_events_log_group,
            orders,
            order_secret_arn,
            outgoing_orders_dead_letter_queue_url,
            reports_bucket,
            changes,
            imports,
            jobs,
            passes,
            schedules,
            alarm_topic,
        }
    }
}
