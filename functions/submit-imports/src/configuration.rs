use shared::{
    read_fields,
    runtime::configuration::{
        CommonSettings, ConfigurationError, Environment, ErpSettings, ImportSettings, InboxSettings,
    },
};

/// What `submit-imports` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The settings that the functions with code mappings share.
    pub common: CommonSettings,
    /// How to reach the ERP, whose values some lines carry.
    pub erp: ErpSettings,
    /// Batch size.
    pub import: ImportSettings,
    /// `CREATE_ACCOUNTS`: customers that are inserted in Norce get a login for each of their shops.
    pub create_accounts: bool,
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
                common: CommonSettings::read_for_imports(environment),
                erp: ErpSettings::read(environment, common.as_ref().map(|common| &common.shops)),
                import: ImportSettings::read(environment),
                create_accounts: environment.or_default("CREATE_ACCOUNTS", false),
                import_jobs_table: environment.required("IMPORT_JOBS_TABLE"),
                imports: InboxSettings::read(environment, "IMPORTS"),
                jobs_queue_url: environment.required("JOBS_QUEUE_URL"),
            })
        })
    }
}
