use shared::{
    read_fields,
    runtime::configuration::{
        CommonSettings, ConfigurationError, Environment, ImportSettings, InboxSettings,
    },
};

/// What `poll-jobs` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The settings that the functions with code mappings share.
    pub common: CommonSettings,
    /// When to give up.
    pub import: ImportSettings,
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
                common: CommonSettings::read(environment),
                import: ImportSettings::read(environment),
                import_jobs_table: environment.required("IMPORT_JOBS_TABLE"),
                passes_table: environment.required("PASSES_TABLE"),
                jobs: InboxSettings::read(environment, "JOBS"),
                imports_queue_url: environment.required("IMPORTS_QUEUE_URL"),
            })
        })
    }
}
