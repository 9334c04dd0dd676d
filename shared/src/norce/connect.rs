//! Norce Connect: imports of codes, and the jobs that carry them out (norce-api §3, §4).

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    ImportError, ImportedRow, Job, JobId, JobLogEntry, JobStatus, NorceApi, NorceError,
    NorceImports, SubmittedImport,
    api::{read, request},
    lenient,
};
use crate::{
    domain::{Applications, Code, EntityKind, ImportLine, NorceId, Scope, redact},
    http::{Deadline, Safety},
};

const IMPORT_CUSTOMERS: &str = "commerce/connect/4.0/Customer/ImportCustomers";
const IMPORT_COMPANIES: &str = "commerce/connect/4.0/Customer/ImportCompanies";
// Legacy Storm has these below `/4.0/api/`; Norce Commerce's own base does not (norce-api §1).
const JOB_GET: &str = "commerce/connect/4.0/Job/Get";
const JOB_LOG: &str = "commerce/connect/4.0/Job/GetLog";
const JOB_PING: &str = "commerce/connect/4.0/Job/Ping";

/// The batch header of an import travels as an HTTP header, in JSON (norce-api §3.1).
const IMPORT_HEADER: &str = "x-stormconnect-header";

/// As many words of a synchronous validation as a person reads; a batch that is wrong repeats itself.
const MAX_MESSAGES: usize = 20;

/// Norce Connect of one tenant.
pub struct ConnectClient {
    api: NorceApi,
    account: i32,
    applications: Applications,
}

impl ConnectClient {
    /// A client that imports in the name of a system account (its id in Norce Admin).
    pub fn new(api: NorceApi, account: i32, applications: Applications) -> Self {
        Self {
            api,
            account,
            applications,
        }
    }

    /// Whether Connect is there and lets us in.
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn ping(&self, deadline: Deadline) -> Result<(), NorceError> {
        let url = self.api.url(JOB_PING)?;
        self.api
            .get(&url, self.applications.default_application().id, deadline)
            .await?;
        Ok(())
    }

    async fn get_job(
        &self,
        path: &str,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, NorceError> {
        let mut url = self.api.url(path)?;
        url.query_pairs_mut().append_pair("id", &job.to_string());
        self.api
            .get(&url, self.applications.default_application().id, deadline)
            .await
    }
}

/// `X-StormConnect-Header`: the account, and exactly the fields that the rows are there to set (norce-api §3.2).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImportHeader {
    account_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_fields_that_are_set: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company_fields_that_are_set: Option<Vec<&'static str>>,
}

/// A customer or a company with the bare minimum: what it is matched by, and its code.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    application_key: Option<Uuid>,
    id: NorceId,
    code: &'a Code,
}

/// A header and a body that fit each other.
fn import(
    kind: EntityKind,
    scope: Scope,
    account: i32,
    application_key: Uuid,
    lines: &[ImportLine],
) -> (ImportHeader, Vec<Row<'_>>) {
    let by_application = scope.application().is_some();
    let mut fields = vec!["Id", "Code"];
    if by_application {
        fields.push("ApplicationKey");
    }
    // The contract requires the key in every company row, also where it is not to be set.
    let sent = by_application || kind == EntityKind::Company;
    let rows = lines
        .iter()
        .map(|line| Row {
            application_key: sent.then_some(application_key),
            id: line.id,
            code: &line.code,
        })
        .collect();
    let (customers, companies) = match kind {
        EntityKind::Customer => (Some(fields), None),
        EntityKind::Company => (None, Some(fields)),
    };
    let header = ImportHeader {
        account_id: account,
        customer_fields_that_are_set: customers,
        company_fields_that_are_set: companies,
    };
    (header, rows)
}

#[async_trait]
impl NorceImports for ConnectClient {
    async fn import(
        &self,
        kind: EntityKind,
        scope: Scope,
        lines: &[ImportLine],
        deadline: Deadline,
    ) -> Result<SubmittedImport, ImportError> {
        let prepared = || {
            let application = self.applications.of(scope)?;
            let (header, rows) = import(kind, scope, self.account, application.key, lines);
            let path = match kind {
                EntityKind::Customer => IMPORT_CUSTOMERS,
                EntityKind::Company => IMPORT_COMPANIES,
            };
            let url = self.api.url(path)?;
            let mut request = request(Method::POST, &url, application.id, json(&rows)?)?;
            let headers = request.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            headers.insert(IMPORT_HEADER, header_value(&header)?);
            Ok(request)
        };
        let request = prepared().map_err(ImportError::NotTaken)?;
        // A repeat would set the same codes, but as a second job that nobody follows.
        let response = self.api.send(request, Safety::Once, deadline).await?;
        submitted(&response).map_err(ImportError::Unknown)
    }

    async fn job(&self, job: JobId, deadline: Deadline) -> Result<Option<Job>, NorceError> {
        let response = match self.get_job(JOB_GET, job, deadline).await {
            Err(NorceError::Refused { status: 404, .. }) => return Ok(None),
            response => response?,
        };
        let answer: Option<JobAnswer> = read(format_args!("job {job}"), &response)?;
        Ok(answer.map(|answer| answer.job(job)))
    }

    async fn job_log(
        &self,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Vec<JobLogEntry>, NorceError> {
        let response = self.get_job(JOB_LOG, job, deadline).await?;
        let what = format!("log of job {job}");
        let log: Option<lenient::OneOrMany<LogAnswer>> = read(what, &response)?;
        let entries = log.map(lenient::OneOrMany::into_vec).unwrap_or_default();
        Ok(entries.into_iter().map(LogAnswer::entry).collect())
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, NorceError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        NorceError::Configuration(format!("the import cannot be written: {error}"))
    })
}

fn header_value(value: &ImportHeader) -> Result<HeaderValue, NorceError> {
    HeaderValue::from_maybe_shared(json(value)?)
        .map_err(|_| NorceError::Configuration("the import header cannot be written".to_owned()))
}

/// `JobResponse` (norce-api §3.6).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImportAnswer {
    #[serde(default, deserialize_with = "lenient::number")]
    job_id: Option<i64>,
    validation_summary: Option<ValidationSummary>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ValidationSummary {
    messages: Option<Vec<String>>,
}

fn submitted(response: &Response<Bytes>) -> Result<SubmittedImport, NorceError> {
    let answer: ImportAnswer = read("the answer to an import", response)?;
    let messages: Vec<String> = answer
        .validation_summary
        .and_then(|summary| summary.messages)
        .unwrap_or_default()
        .iter()
        .take(MAX_MESSAGES)
        .map(|message| redact(message))
        .collect();
    // What a call is answered whose rows all fail the synchronous validation is not documented (norce-api §14).
    match answer.job_id.filter(|id| *id > 0) {
        Some(id) => Ok(SubmittedImport {
            job: JobId(id),
            messages,
        }),
        None if messages.is_empty() => {
            let reason = "the answer to an import names no job";
            Err(NorceError::Unreadable(reason.to_owned()))
        }
        None => Err(NorceError::Unreadable(format!(
            "the answer to an import names no job; Norce says: {}",
            messages.join("; ")
        ))),
    }
}

/// `JobDto` (norce-api §4.2). `Insert` or `Inserts` and `Updates` count rows of Norce's own tables, which says nothing
/// about ours: they are not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JobAnswer {
    #[serde(default, deserialize_with = "lenient::number")]
    status_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient::number")]
    totals: Option<i64>,
    #[serde(default, deserialize_with = "lenient::number")]
    fail: Option<i64>,
    last_updated: Option<String>,
}

impl JobAnswer {
    fn job(self, id: JobId) -> Job {
        let count = |number: Option<i64>| number.and_then(|it| it.try_into().ok()).unwrap_or(0);
        Job {
            id,
            status: match self.status_id {
                Some(2) => JobStatus::Succeeded,
                Some(3) => JobStatus::Failed,
                Some(4) => JobStatus::ValidationFailed,
                _ => JobStatus::Running,
            },
            failed: count(self.fail),
            total: count(self.totals),
            last_updated: self.last_updated.as_deref().and_then(lenient::instant),
        }
    }
}

/// `JobLogDto` (norce-api §4.4).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogAnswer {
    #[serde(default, deserialize_with = "lenient::number")]
    severity_id: Option<i64>,
    message: Option<String>,
    imported_row: Option<Value>,
}

/// `SeverityId` of an error.
const ERROR: i64 = 3;

impl LogAnswer {
    fn entry(self) -> JobLogEntry {
        JobLogEntry {
            is_error: self.severity_id == Some(ERROR),
            message: redact(&self.message.unwrap_or_default()),
            row: self.imported_row.as_ref().and_then(imported_row),
        }
    }
}

/// The row that a log line is about. Norce calls it a text; how our row looks in it is not documented, so that a JSON
/// object, in whatever case its names are, is all that is understood.
fn imported_row(row: &Value) -> Option<ImportedRow> {
    let parsed: Value;
    let fields = match row {
        Value::String(text) => {
            parsed = serde_json::from_str(text).ok()?;
            parsed.as_object()?
        }
        row => row.as_object()?,
    };
    let field = |name| lenient::field(fields, name);
    let id = field("Id")
        .and_then(lenient::whole_number)
        .and_then(|id| NorceId::try_from(id).ok());
    let code = field("Code")
        .and_then(lenient::text)
        .and_then(|code| code.parse().ok());
    (id.is_some() || code.is_some()).then_some(ImportedRow { id, code })
}
