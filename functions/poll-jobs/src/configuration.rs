use shared::{
    domain::Shops,
    runtime::configuration::{
        ConfigurationError, Environment, ImportSettings, InboxSettings, NorceSettings, read_shops,
    },
};

/// What `poll-jobs` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: Shops,
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
    pub fn read(mut environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        let shops = read_shops(&mut environment);
        let norce = NorceSettings::read(&mut environment);
        let breakers_table = environment.required("BREAKERS_TABLE");
        let import = ImportSettings::read(&mut environment);
        let fingerprint_secret_arn = environment.required("FINGERPRINT_SECRET_ARN");
        let code_mappings_table = environment.required("CODE_MAPPINGS_TABLE");
        let owed_table = environment.required("OWED_TABLE");
        let import_jobs_table = environment.required("IMPORT_JOBS_TABLE");
        let passes_table = environment.required("PASSES_TABLE");
        let jobs = InboxSettings::read(&mut environment, "JOBS");
        let imports_queue_url = environment.required("IMPORTS_QUEUE_URL");
        let configuration = (|| {
            Some(Self {
                shops: shops?,
                norce: norce?,
                breakers_table: breakers_table?,
                import: import?,
                fingerprint_secret_arn: fingerprint_secret_arn?,
                code_mappings_table: code_mappings_table?,
                owed_table: owed_table?,
                import_jobs_table: import_jobs_table?,
                passes_table: passes_table?,
                jobs: jobs?,
                imports_queue_url: imports_queue_url?,
            })
        })();
        environment.finish(configuration)
    }
}
