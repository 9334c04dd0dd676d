//! Norce: Identity, Connect, Query and the applications.

use shared::{
    domain::{ApplicationId, EntityKind, JobId, Registers},
    http::{Deadline, TokenError},
    norce::{
        NorceError, NorceImports,
        query::{ListedApplication, QueryClient},
    },
    runtime::wiring::NorceClients,
};

use super::{
    check::{Fault, Finding, Planned, check_deadline, fault, unbuilt},
    ports::Doctor,
};
use crate::{
    actions::jobs::job_of,
    sentence::{Sentence, say, words},
};

/// The job to read while no import is under way.
const ANY_JOB: JobId = JobId(1);

impl Doctor {
    pub(super) fn norce_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let norce = match &self.norce {
            Ok(norce) => norce,
            Err(reason) => return vec![unbuilt("norce", reason)],
        };
        vec![
            Planned::new("norce identity", async move {
                let token = norce
                    .tokens
                    .token(check_deadline(deadline))
                    .await
                    .map_err(identity_fault)?;
                drop(token);
                Ok(say!("norce-answers"))
            }),
            Planned::new("norce connect", async move {
                norce
                    .connect
                    .ping(check_deadline(deadline))
                    .await
                    .map_err(|error| {
                        norce_fault(&error, "Connect's customer imports and jobs (Job/Ping)")
                    })?;
                Ok(say!("norce-answers"))
            }),
            Planned::new("norce query", async move {
                let listed = norce
                    .query
                    .applications(check_deadline(deadline))
                    .await
                    .map_err(|error| {
                        norce_fault(
                            &error,
                            "Query's customers, companies, orders, countries and applications",
                        )
                    })?;
                self.applications(&listed)
            }),
            Planned::new("norce rows", rows(&norce.query, deadline)),
            Planned::new("norce job", async move { self.job(norce, deadline).await }),
            Planned::new("norce registers", async move {
                self.shared_entities(&norce.query, deadline).await
            }),
        ]
    }

    /// Reads a job, which needs another right than importing.
    async fn job(&self, norce: &NorceClients, deadline: Deadline) -> Finding {
        let open = match &self.stores.import_jobs {
            Some(import_jobs) => import_jobs.open().await.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut jobs = open.iter().rev().filter_map(job_of);
        let job = jobs.next().unwrap_or(ANY_JOB);
        let found = norce.connect.job(job, check_deadline(deadline)).await;
        let found =
            found.map_err(|error| norce_fault(&error, "Connect's jobs (Job/Get, Job/GetLog)"))?;
        Ok(match (found, norce.connect.job_path()) {
            (Some(_), Some(path)) => say!("norce-jobs-at", path),
            _ => say!("norce-jobs-allowed"),
        })
    }

    /// Whether Norce has customers or companies without an application, which belong to no scope.
    async fn shared_entities(&self, norce: &QueryClient, deadline: Deadline) -> Finding {
        let is_by_application = self
            .shops
            .as_ref()
            .is_some_and(|shops| shops.registers == Registers::Applications);
        if !is_by_application {
            return Ok(say!("norce-scopes"));
        }
        for kind in [EntityKind::Customer, EntityKind::Company] {
            let has_shared = norce.has_shared(kind, check_deadline(deadline)).await;
            if has_shared.map_err(|error| norce_fault(&error, "Query's customers and companies"))? {
                return Err(fault(
                    say!("without-application", kind),
                    say!("fix-without-application"),
                ));
            }
        }
        Ok(say!("norce-scopes"))
    }

    /// Compares the configured applications with those that Norce lists.
    fn applications(&self, listed: &[ListedApplication]) -> Finding {
        let Some(shops) = &self.shops else {
            return Ok(say!("norce-answers"));
        };
        let mut wrong = Vec::new();
        for application in shops.applications.iter() {
            let id = application.id;
            match listed.iter().find(|listed| listed.id == id) {
                None => wrong.push(say!("application-unknown", application = id)),
                // A key that is not listed cannot be compared.
                Some(ListedApplication { key: Some(key), .. }) if *key != application.key => {
                    wrong.push(say!("application-key", application = id, key));
                }
                Some(_) => {}
            }
        }
        if wrong.is_empty() {
            return Ok(say!("norce-query-answers"));
        }
        let applications: Vec<ApplicationId> = listed.iter().map(|listed| listed.id).collect();
        Err(fault(
            say!("applications-differ", wrong, applications),
            say!("fix-applications"),
        ))
    }
}

fn identity_fault(error: TokenError) -> Box<Fault> {
    let fix = match error {
        TokenError::Refused { .. } => say!("fix-norce-credentials"),
        TokenError::RetryAfter { .. } => say!(
            "fix-remote-down",
            remote = "Norce",
            parameter = "NorceBaseUrl"
        ),
        TokenError::Unreadable(_) => say!("fix-norce-address"),
    };
    fault(words(error), fix)
}

/// Reads a row of each kind as the functions do, and compares the fields with Query's metadata.
async fn rows(query: &QueryClient, deadline: Deadline) -> Finding {
    let refused = query.try_rows(check_deadline(deadline)).await;
    let undescribed = query.undescribed(check_deadline(deadline)).await;
    // Rows count for more than the metadata, which may be missing.
    let undescribed = undescribed.unwrap_or_default();
    match (refused, undescribed) {
        (Ok(refused), undescribed) => {
            let metadata = match undescribed.as_deref() {
                None => say!("metadata-none"),
                Some([]) => say!("metadata-complete"),
                Some(fields) => say!("metadata-without", fields),
            };
            let fields = read(refused);
            Ok(say!("norce-rows", fields, metadata))
        }
        (Err(error @ NorceError::Refused { .. }), Some(names)) if !names.is_empty() => Err(fault(
            words(error),
            say!("fix-norce-fields", fields = names),
        )),
        (Err(error), _) => Err(norce_fault(
            &error,
            "Query's customers, companies, orders and countries, with their fields",
        )),
    }
}

fn read(refused: Vec<(&'static str, &'static str)>) -> Sentence {
    if refused.is_empty() {
        return say!("fields-complete");
    }
    let fields = refused.into_iter();
    let fields: Vec<String> = fields
        .map(|(set, part)| format!("{part} of {set}"))
        .collect();
    say!("fields-without", fields)
}

fn norce_fault(error: &NorceError, resources: &str) -> Box<Fault> {
    let fix = match error {
        NorceError::Authentication { .. } => say!("fix-norce-rights", resources),
        NorceError::Configuration(_) => say!("fix-norce-application"),
        NorceError::RetryAfter { .. } => say!(
            "fix-remote-down",
            remote = "Norce",
            parameter = "NorceBaseUrl"
        ),
        NorceError::Refused { .. } | NorceError::Unreadable(_) => {
            say!("fix-norce-resources", resources)
        }
    };
    fault(words(error), fix)
}
