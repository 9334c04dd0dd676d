use shared::{
    domain::Shops,
    runtime::configuration::{
        ConfigurationError, Environment, ErpSettings, ImportSettings, InboxSettings, NorceSettings,
        read_import_options, read_shops,
    },
};

/// What `submit-imports` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which shops there are.
    pub shops: Shops,
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
    pub fn read(mut environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        let shops = read_shops(&mut environment);
        let norce = NorceSettings::read(&mut environment);
        let options = read_import_options(&mut environment);
        let breakers_table = environment.required("BREAKERS_TABLE");
        let erp = ErpSettings::read(&mut environment, shops.as_ref());
        let import = ImportSettings::read(&mut environment);
        let create_accounts = environment.or_default("CREATE_ACCOUNTS", false);
        let fingerprint_secret_arn = environment.required("FINGERPRINT_SECRET_ARN");
        let code_mappings_table = environment.required("CODE_MAPPINGS_TABLE");
        let owed_table = environment.required("OWED_TABLE");
        let import_jobs_table = environment.required("IMPORT_JOBS_TABLE");
        let imports = InboxSettings::read(&mut environment, "IMPORTS");
        let jobs_queue_url = environment.required("JOBS_QUEUE_URL");
        let configuration = (|| {
            Some(Self {
                shops: shops?,
                norce: NorceSettings {
                    imports: options?,
                    ..norce?
                },
                breakers_table: breakers_table?,
                erp: erp?,
                import: import?,
                create_accounts: create_accounts?,
                fingerprint_secret_arn: fingerprint_secret_arn?,
                code_mappings_table: code_mappings_table?,
                owed_table: owed_table?,
                import_jobs_table: import_jobs_table?,
                imports: imports?,
                jobs_queue_url: jobs_queue_url?,
            })
        })();
        environment.finish(configuration)
    }
}
