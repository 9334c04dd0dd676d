//! Norce: Identity, Connect, Query and the applications.

use shared::{
    domain::{EntityKind, Registers},
    http::{Deadline, TokenError},
    import_jobs::BatchState,
    norce::{
        JobId, NorceError, NorceImports,
        query::{ListedApplication, QueryClient},
    },
    runtime::wiring::NorceClients,
};

use super::{
    Doctor,
    check::{Fault, Finding, Planned, fault, of_a_check, unbuilt},
};

/// A job to ask for while no import is under way.
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
                    .token(of_a_check(deadline))
                    .await
                    .map_err(identity_fault)?;
                drop(token);
                Ok("a token was given".to_owned())
            }),
            Planned::new("norce connect", async move {
                norce
                    .connect
                    .ping(of_a_check(deadline))
                    .await
                    .map_err(|error| {
                        norce_fault(&error, "Connect's customer imports and jobs (Job/Ping)")
                    })?;
                Ok("Connect answers".to_owned())
            }),
            Planned::new("norce query", async move {
                let listed = norce
                    .query
                    .applications(of_a_check(deadline))
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

    /// Asks for a job, which the right to import does not include.
    async fn job(&self, norce: &NorceClients, deadline: Deadline) -> Finding {
        let open = match &self.stores.import_jobs {
            Some(import_jobs) => import_jobs.open().await.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut jobs = open.iter().rev().filter_map(|batch| match batch.state {
            BatchState::Submitted { job } => Some(job),
            BatchState::Submitting | BatchState::Settled => None,
        });
        let job = jobs.next().unwrap_or(ANY_JOB);
        let found = norce.connect.job(job, of_a_check(deadline)).await;
        let found =
            found.map_err(|error| norce_fault(&error, "Connect's jobs (Job/Get, Job/GetLog)"))?;
        Ok(match (found, norce.connect.job_path()) {
            (Some(_), Some(path)) => format!("jobs are asked for at {path}"),
            _ => format!("jobs may be asked for; Norce does not know job {job}"),
        })
    }

    /// Customers and companies that Norce shares between applications are in nobody's register unless they have their own.
    async fn shared_entities(&self, norce: &QueryClient, deadline: Deadline) -> Finding {
        let is_by_application = self
            .shops
            .as_ref()
            .is_some_and(|shops| shops.registers == Registers::Applications);
        if !is_by_application {
            return Ok("every customer and company has a register".to_owned());
        }
        for (kind, entities) in [
            (EntityKind::Customer, "customers"),
            (EntityKind::Company, "companies"),
        ] {
            let has_shared = norce.has_shared(kind, of_a_check(deadline)).await;
            if has_shared.map_err(|error| norce_fault(&error, "Query's customers and companies"))? {
                return Err(fault(
                    format!(
                        "Norce has {entities} that belong to no application, and they are not synchronized"
                    ),
                    "Set CustomersByApplication=with-shared, and ErpCompany to the ERP company that they are kept in, or give them an application in Norce.",
                ));
            }
        }
        Ok("every customer and company belongs to an application".to_owned())
    }

    /// Compares the configured applications with those that Norce lists.
    fn applications(&self, listed: &[ListedApplication]) -> Finding {
        let Some(shops) = &self.shops else {
            return Ok(format!(
                "Query answers, and lists {} applications",
                listed.len()
            ));
        };
        let mut wrong = Vec::new();
        for application in shops.applications.iter() {
            let id = application.id;
            match listed.iter().find(|listed| listed.id == id) {
                None => wrong.push(format!("Norce has no application {id}")),
                // A key that is not listed cannot be compared.
                Some(ListedApplication { key: Some(key), .. }) if *key != application.key => {
                    wrong.push(format!("application {id} has another key in Norce ({key})"));
                }
                Some(_) => {}
            }
        }
        if wrong.is_empty() {
            return Ok("Query answers, and has the configured applications".to_owned());
        }
        let ids: Vec<String> = listed.iter().map(|listed| listed.id.to_string()).collect();
        Err(fault(
            format!("{} (it has {})", wrong.join("; "), ids.join(", ")),
            "Correct the ids and keys in NorceApplications: Norce Admin → Settings → Applications has both.",
        ))
    }
}

fn identity_fault(error: TokenError) -> Fault {
    let fix = match error {
        TokenError::Refused { .. } => {
            "Compare clientId and clientSecret in the secret of NorceSecretArn with Norce Admin → Settings → Users → OAuth, and NorceScope with the environment."
        }
        TokenError::RetryAfter { .. } => {
            "See whether NorceBaseUrl is right and Norce is up; work waits in the queues meanwhile."
        }
        TokenError::Unreadable(_) => {
            "See whether NorceBaseUrl is Norce's address: something else seems to answer."
        }
    };
    fault(error, fix)
}

/// Reads a row of each kind as the functions read it, and compares the fields with Query's description of itself.
async fn rows(query: &QueryClient, deadline: Deadline) -> Finding {
    let refused = query.try_rows(of_a_check(deadline)).await;
    let undescribed = query.undescribed(of_a_check(deadline)).await;
    // What a row shows is worth more than a description, which may be missing.
    let undescribed = undescribed.unwrap_or_default();
    match (refused, undescribed) {
        (Ok(refused), undescribed) => {
            let described = match undescribed.as_deref() {
                None => "it has no `$metadata` to compare with".to_owned(),
                Some([]) => "its `$metadata` has all of them".to_owned(),
                Some(names) => format!("its `$metadata` does not have {}", names.join(", ")),
            };
            Ok(format!("{}; {described}", read_in_words(refused)))
        }
        (Err(error @ NorceError::Refused { .. }), Some(names)) if !names.is_empty() => Err(fault(
            &error,
            format!(
                "Query does not have {}, by its own `$metadata`, and nothing works without what it refuses: report it to the project with this line and the version of the stack.",
                names.join(", ")
            ),
        )),
        (Err(error), _) => Err(norce_fault(
            &error,
            "Query's customers, companies, orders and countries, with their fields",
        )),
    }
}

fn read_in_words(refused: Vec<(&'static str, &'static str)>) -> String {
    if refused.is_empty() {
        return "Query has every field that is read".to_owned();
    }
    let refused: Vec<String> = refused
        .into_iter()
        .map(|(set, part)| format!("{part} of {set}"))
        .collect();
    format!(
        "Query has the fields that are needed; it refuses {}, and the functions leave that out",
        refused.join(", ")
    )
}

fn norce_fault(error: &NorceError, resources: &str) -> Fault {
    let fix = match error {
        NorceError::Authentication { .. } => format!(
            "Give the OAuth client the resources of {resources}, for every application, in Norce Admin → Settings → Users → OAuth; if `norce identity` fails as well, mend that first."
        ),
        NorceError::Configuration(_) => {
            "Correct NorceApplications so that it lists this application.".to_owned()
        }
        NorceError::RetryAfter { .. } => {
            "See whether Norce is up and NorceBaseUrl is right; work waits in the queues meanwhile."
                .to_owned()
        }
        NorceError::Refused { .. } | NorceError::Unreadable(_) => format!(
            "See whether NorceBaseUrl is Norce's address, and whether the OAuth client may use {resources}."
        ),
    };
    fault(error, fix)
}
