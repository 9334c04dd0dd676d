//! The variables of the functions.

use serde_json::json;
use uuid::Uuid;

use crate::{
    console::ORIGIN,
    local_aws::{REGION, ROOT_KEY},
};

/// Variables, by name.
pub type Variables = Vec<(String, String)>;

/// Sets a variable, whether it was there or not.
pub fn set(variables: &mut Variables, name: &str, value: impl Into<String>) {
    variables.retain(|(known, _)| known != name);
    variables.push((name.to_owned(), value.into()));
}

/// Everything that any of the functions reads, for Business Central behind an address of AWS where nothing but AWS is
/// reached. The secrets are named `norce`, `erp`, `event`, `fingerprint`, `console-client` and `console-key`.
pub fn every_variable(aws: &str) -> Variables {
    let applications = json!([{ "id": 1, "key": Uuid::from_u128(1) }]).to_string();
    let company = Uuid::from_u128(0xb1).to_string();
    [
        ("AWS_ACCESS_KEY_ID", ROOT_KEY),
        ("AWS_SECRET_ACCESS_KEY", ROOT_KEY),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", aws),
        ("STACK_NAME", "shop"),
        ("NORCE_BASE_URL", "http://localhost:9"),
        ("NORCE_SCOPE", "prod"),
        ("NORCE_SECRET_ARN", "norce"),
        ("NORCE_ACCOUNT_ID", "17"),
        ("NORCE_APPLICATIONS", &applications),
        ("ERP_KIND", "business-central"),
        ("ERP_BASE_URL", "http://localhost:9"),
        ("ERP_TOKEN_URL", "http://localhost:9"),
        ("ERP_SECRET_ARN", "erp"),
        ("ERP_COMPANY", &company),
        ("CREATE_IN_ERP", "always"),
        // A line is a job, so that the poller has as many jobs to look after.
        ("IMPORT_BATCH_SIZE", "1"),
        ("EVENT_SECRET_ARN", "event"),
        ("FINGERPRINT_SECRET_ARN", "fingerprint"),
        ("CODE_MAPPINGS_TABLE", "code-mappings"),
        ("BREAKERS_TABLE", "breakers"),
        ("ACTIVITY_TABLE", "activity"),
        ("OWED_TABLE", "owed"),
        ("IMPORT_JOBS_TABLE", "import-jobs"),
        ("PASSES_TABLE", "passes"),
        ("REPORTS_BUCKET", "reports"),
        ("RECEIVE_EVENTS_LOG_GROUP", "receive-events"),
        ("CHANGE_EVENTS_LOG_GROUP", "change-events"),
        ("CONSOLE_URL", ORIGIN),
        ("CONSOLE_ISSUER", "http://localhost:9"),
        ("CONSOLE_CLIENT_SECRET_ARN", "console-client"),
        ("CONSOLE_KEY_SECRET_ARN", "console-key"),
        ("OPERATOR_FUNCTION", "operator"),
        (
            "CHANGES_QUEUE_URL",
            "http://localhost:9/000000000000/changes.fifo",
        ),
        (
            "CHANGES_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead.fifo",
        ),
        (
            "IMPORTS_QUEUE_URL",
            "http://localhost:9/000000000000/imports",
        ),
        (
            "IMPORTS_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead",
        ),
        ("JOBS_QUEUE_URL", "http://localhost:9/000000000000/jobs"),
        ("PASSES_QUEUE_URL", "http://localhost:9/000000000000/passes"),
        (
            "PASSES_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead",
        ),
        (
            "JOBS_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead",
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
