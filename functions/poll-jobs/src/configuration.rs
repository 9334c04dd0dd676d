use shared::{
    domain::ApplicationSettings,
    read_fields,
    runtime::configuration::{
        ConfigurationError, Environment, ImportSettings, InboxSettings, NorceSettings, read_shops,
    },
};

/// What `poll-jobs` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: ApplicationSettings,
    /// How to reach Norce.
    pub norce: NorceSettings,
    /// `BREAKERS_TABLE`: the remotes to which calls are paused.
    pub breakers_table: String,
    /// When to give up.
    pub import: ImportSettings,
    /// `FINGERPRINT_SECRET_ARN`: the tombstones of the mappings are keyed hashes.
    pub fingerprint_secret_arn: String,
    /// `CODE_MAPPINGS_TABLE`.
    pub code_mappings_table: String,
    /// `OWED_TABLE`.
    pub owed_table: String,
    /// `IMPORT_JOBS_TABLE`.
    pub import_jobs_table: String,
    /// `PASSES_TABLE`.
    pub passes_table: String,
    /// `JOBS_QUEUE_URL` and `JOBS_DEAD_LETTER_QUEUE_URL`.
    pub jobs: InboxSettings,
    /// `IMPORTS_QUEUE_URL`.
    pub imports_queue_url: String,
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
                import: ImportSettings::read(environment),
                fingerprint_secret_arn: environment.required("FINGERPRINT_SECRET_ARN"),
                code_mappings_table: environment.required("CODE_MAPPINGS_TABLE"),
                owed_table: environment.required("OWED_TABLE"),
                import_jobs_table: environment.required("IMPORT_JOBS_TABLE"),
                passes_table: environment.required("PASSES_TABLE"),
                jobs: InboxSettings::read(environment, "JOBS"),
                imports_queue_url: environment.required("IMPORTS_QUEUE_URL"),
            })
        })
    }
}
