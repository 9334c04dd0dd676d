//! Norce Connect: imports of codes and fields, and the jobs that carry them out (norce-api §3, §4).

mod fields;
mod jobs;
mod rows;

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde::Serialize;
use uuid::Uuid;

pub use self::rows::ImportOptions;

use self::{
    fields::{ImportHeader, fields_that_are_set},
    jobs::{JobAnswer, LogAnswer, submitted},
    rows::{Row, row_of},
};
use super::{
    CallError, ImportRow, ImportShape, Job, JobLogEntry, NorceApi, NorceError, NorceImports,
    SubmittedImport,
    api::{read, request},
    serde_utils,
};
use crate::{
    domain::{Applications, EntityKind, JobId, Scope, UnknownApplication},
    http::{Deadline, Idempotency},
};

const IMPORT_CUSTOMERS: &str = "commerce/connect/4.0/Customer/ImportCustomers";
const IMPORT_COMPANIES: &str = "commerce/connect/4.0/Customer/ImportCompanies";
const JOB_PING: &str = "commerce/connect/4.0/Job/Ping";
/// Where `Get` and `GetLog` of jobs may be. The sources have both (norce-api §1); the one that answers is used.
const JOB_PATHS: [&str; 2] = ["commerce/connect/4.0/api/Job", "commerce/connect/4.0/Job"];
/// No path has answered yet.
const NOT_KNOWN: usize = JOB_PATHS.len();

/// The batch header of an import travels as an HTTP header, in JSON (norce-api §3.1).
const IMPORT_HEADER: &str = "x-stormconnect-header";

/// Norce Connect of one tenant.
pub struct ConnectClient {
    api: NorceApi,
    account: i32,
    applications: Applications,
    options: ImportOptions,
    /// The place in [`JOB_PATHS`] that answers here.
    job_path: AtomicUsize,
}

impl ConnectClient {
    /// A client that imports as a system account (its id in Norce Admin).
    pub fn new(
        api: NorceApi,
        account: i32,
        applications: Applications,
        options: ImportOptions,
    ) -> Self {
        Self {
            api,
            account,
            applications,
            options,
            job_path: AtomicUsize::new(NOT_KNOWN),
        }
    }

    /// Checks that Connect answers and accepts the credentials.
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

    /// The path of the jobs, once one has answered.
    pub fn job_path(&self) -> Option<&'static str> {
        JOB_PATHS
            .get(self.job_path.load(Ordering::Relaxed))
            .copied()
    }

    /// Reads a job; `None` if there is none. A path that does not exist answers 404 as well, so both are tried until one has
    /// returned a job.
    async fn get_job(
        &self,
        method: &str,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Option<Response<Bytes>>, NorceError> {
        let application = self.applications.default_application().id;
        let known = self.job_path.load(Ordering::Relaxed);
        let paths = JOB_PATHS.iter().enumerate();
        for (place, path) in paths.filter(|(place, _)| known == NOT_KNOWN || known == *place) {
            let mut url = self.api.url(&format!("{path}/{method}"))?;
            url.query_pairs_mut().append_pair("id", &job.to_string());
            match self.api.get(&url, application, deadline).await {
                Err(NorceError::Refused { status: 404, .. }) => {}
                answer => {
                    let answer = answer?;
                    self.job_path.store(place, Ordering::Relaxed);
                    return Ok(Some(answer));
                }
            }
        }
        Ok(None)
    }

    /// The header and the rows of an import.
    fn import_of<'a>(
        &'a self,
        kind: EntityKind,
        scope: Scope,
        shape: ImportShape,
        rows: &'a [ImportRow],
    ) -> Result<(ImportHeader, Vec<Row<'a>>), UnknownApplication> {
        let application_key = self.applications.of(scope)?.key;
        let by_application = scope.application().is_some();
        let accounts: Vec<Uuid> = match scope.application() {
            _ if !shape.accounts => Vec::new(),
            Some(_) => vec![application_key],
            None => self.applications.iter().map(|it| it.key).collect(),
        };
        // The contract requires the key in every company row, even if it is not set.
        let sent = by_application || kind == EntityKind::Company;
        let rows = rows.iter().map(|row| {
            let mut row = row_of(kind, shape, row, &accounts, &self.options);
            row.application_key = sent.then_some(application_key);
            row
        });
        let rows = rows.collect();
        let mut header = ImportHeader {
            account_id: self.account,
            ..ImportHeader::default()
        };
        let (customer_fields, company_fields) = (
            &mut header.customer_fields_that_are_set,
            &mut header.company_fields_that_are_set,
        );
        let (own, related) = match kind {
            EntityKind::Customer => (customer_fields, company_fields),
            EntityKind::Company => (company_fields, customer_fields),
        };
        *own = fields_that_are_set(kind, shape);
        if by_application {
            own.push("ApplicationKey");
        }
        if shape.relations {
            // Related rows are matched by their ids, and nothing of them is set (norce-api §3.2).
            related.push("Id");
        }
        if shape.accounts {
            // An existing account is never changed.
            header.account_fields_that_are_set.push("StatusCreateOnly");
            if !self.options.account_roles.is_empty() {
                header.account_fields_that_are_set.push("RolesCreateOnly");
            }
        }
        Ok((header, rows))
    }
}

#[async_trait]
impl NorceImports for ConnectClient {
    async fn import(
        &self,
        kind: EntityKind,
        scope: Scope,
        shape: ImportShape,
        rows: &[ImportRow],
        deadline: Deadline,
    ) -> Result<SubmittedImport, CallError> {
        let prepared = || {
            let application = self.applications.of(scope)?;
            let (header, rows) = self.import_of(kind, scope, shape, rows)?;
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
        let request = prepared().map_err(CallError::NotDone)?;
        // A repeat would set the same codes, but as a second job that nothing polls.
        let response = self
            .api
            .send(request, Idempotency::NonIdempotent, deadline)
            .await?;
        submitted(&response)
    }

    async fn job(&self, job: JobId, deadline: Deadline) -> Result<Option<Job>, NorceError> {
        let Some(response) = self.get_job("Get", job, deadline).await? else {
            return Ok(None);
        };
        let answer: Option<JobAnswer> = read(format_args!("job {job}"), &response)?;
        Ok(answer.map(|answer| answer.job(job)))
    }

    async fn job_log(
        &self,
        job: JobId,
        deadline: Deadline,
    ) -> Result<Vec<JobLogEntry>, NorceError> {
        let Some(response) = self.get_job("GetLog", job, deadline).await? else {
            return Ok(Vec::new());
        };
        let what = format!("log of job {job}");
        let log: Option<serde_utils::OneOrMany<LogAnswer>> = read(what, &response)?;
        let entries = log
            .map(serde_utils::OneOrMany::into_vec)
            .unwrap_or_default();
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
