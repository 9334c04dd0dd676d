use shared::{
    domain::ApplicationSettings,
    read_fields,
    runtime::configuration::{
        ConfigurationError, Environment, ErpSettings, ImportSettings, InboxSettings, NorceSettings,
        read_shops,
    },
};

/// What `submit-imports` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: ApplicationSettings,
    /// How to reach Norce.
    pub norce: NorceSettings,
    /// `BREAKERS_TABLE`: the remotes to which calls are paused.
    pub breakers_table: String,
    /// How to reach the ERP, whose values some lines carry.
    pub erp: ErpSettings,
    /// Batch size.
    pub import: ImportSettings,
    /// `CREATE_ACCOUNTS`: customers that are inserted in Norce get a login for each of their shops.
    pub create_accounts: bool,
    /// `FINGERPRINT_SECRET_ARN`: the tombstones of the mappings are keyed hashes.
    pub fingerprint_secret_arn: String,
    /// `CODE_MAPPINGS_TABLE`.
    pub code_mappings_table: String,
    /// `OWED_TABLE`.
    pub owed_table: String,
    /// `IMPORT_JOBS_TABLE`.
    pub import_jobs_table: String,
    /// `IMPORTS_QUEUE_URL` and `IMPORTS_DEAD_LETTER_QUEUE_URL`.
    pub imports: InboxSettings,
    /// `JOBS_QUEUE_URL`.
    pub jobs_queue_url: String,
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
                norce: NorceSettings::read_for_imports(environment),
                breakers_table: environment.required("BREAKERS_TABLE"),
                erp: ErpSettings::read(environment, shops.as_ref()),
                import: ImportSettings::read(environment),
                create_accounts: environment.or_default("CREATE_ACCOUNTS", false),
                fingerprint_secret_arn: environment.required("FINGERPRINT_SECRET_ARN"),
                code_mappings_table: environment.required("CODE_MAPPINGS_TABLE"),
                owed_table: environment.required("OWED_TABLE"),
                import_jobs_table: environment.required("IMPORT_JOBS_TABLE"),
                imports: InboxSettings::read(environment, "IMPORTS"),
                jobs_queue_url: environment.required("JOBS_QUEUE_URL"),
            })
        })
    }
}
