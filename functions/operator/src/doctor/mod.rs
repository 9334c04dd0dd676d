//! `doctor`: checks the configuration, the remotes and the resources. Each check has a finding and, for a fault, a fix. A check
//! that fails does not stop the others, and a part that could not be built is a failed check. `setup` lists what is left to do
//! after the first deployment.

mod aws;
mod check;
mod erp;
mod events;
mod lookups;
mod norce;
mod ports;
mod schedules;
mod seen;
mod setup;

use futures_util::{StreamExt, future::join_all, stream};
use serde::{Deserialize, Serialize};
use shared::{domain::PartyType, http::Deadline};

pub use self::{
    check::Check,
    ports::{Doctor, Secret, SecretText, Stores},
    setup::{SetupPoint, SetupState},
};
use self::{
    check::{CHECK_CONCURRENCY, Finding, Planned, fault},
    seen::Seen,
};
use crate::sentence::{self, Sentence, say, words};

/// The request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DoctorRequest {
    /// One part only; without it, all parts.
    pub part: Option<Part>,
}

/// A part of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Identity, Connect, Query and the applications.
    Norce,
    /// The ERP of each scope, and the look-up of its records.
    Erp,
    /// The configuration, secrets, queues, tables and the bucket.
    Aws,
    /// Whether Norce's events come.
    Events,
    /// The schedules and the last passes.
    Schedules,
}

/// The findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// Every check.
    pub checks: Vec<Check>,
    /// The points of the set-up in their order; absent where only a part was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<Vec<SetupPoint>>,
}

impl Doctor {
    /// Runs the checks. The parts run concurrently, so that one that hangs does not delay the others.
    pub async fn examine(&self, asked: DoctorRequest, deadline: Deadline) -> Report {
        let seen = Seen::default();
        let parts = self.planned(deadline, &seen).into_iter();
        let parts = parts.filter(|(part, _)| asked.part.is_none_or(|asked| asked == *part));
        // In a fixed order, so that two reports can be compared.
        let made = join_all(parts.map(|(_, planned)| {
            stream::iter(planned)
                .map(move |planned| planned.make(deadline))
                .buffered(CHECK_CONCURRENCY)
                .collect::<Vec<Check>>()
        }));
        let mut checks = Vec::new();
        if asked.part.is_none_or(|part| part == Part::Aws) {
            checks.push(Check::new("configuration", self.configuration()));
            checks.extend(self.secrets.iter().map(Secret::check));
        }
        checks.extend(made.await.into_iter().flatten());
        let faulty: Vec<&str> = checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.check.as_str())
            .collect();
        let summary = match faulty.as_slice() {
            [] => say!("doctor-well", checks = checks.len()),
            faulty => say!(
                "doctor-faults",
                faults = faulty.len(),
                checks = checks.len(),
                check = faulty
            ),
        };
        let setup = match asked.part {
            None => Some(self.setup(&checks, &seen, deadline).await),
            Some(_) => None,
        };
        let is_well = checks.iter().all(|check| check.ok);
        let left = setup
            .as_deref()
            .and_then(|points| setup::left(points, is_well));
        Report {
            summary: summary.then(left),
            checks,
            setup,
        }
    }

    /// Every check that calls a remote or AWS.
    fn planned<'a>(&'a self, deadline: Deadline, seen: &'a Seen) -> Vec<(Part, Vec<Planned<'a>>)> {
        let mut erp = self.erp_checks(deadline);
        erp.extend(self.lookup_checks(deadline));
        let mut aws = self.queue_checks();
        aws.extend(self.store_checks());
        vec![
            (Part::Norce, self.norce_checks(deadline)),
            (Part::Events, self.event_checks(deadline, seen)),
            (Part::Erp, erp),
            (Part::Aws, aws),
            (Part::Schedules, self.schedule_checks(seen)),
        ]
    }

    fn configuration(&self) -> Finding {
        match self.faults.as_slice() {
            [] => {
                let off: Vec<PartyType> = self.sync_kinds.off().collect();
                Ok(match off.as_slice() {
                    [] => say!("readable"),
                    kinds => say!("readable-switched-off", kinds),
                })
            }
            faults => Err(fault(words(faults.join("; ")), say!("fix-configuration"))),
        }
    }
}

impl Secret {
    fn check(&self) -> Check {
        let variable = self.variable;
        let form = match self.form {
            SecretText::Json => "JSON",
            SecretText::PemBundle => {
                "the ERP's CA certificates as plain text, from -----BEGIN CERTIFICATE----- on"
            }
        };
        let finding = match &self.read {
            Ok(()) => Ok(say!("readable")),
            Err(reason) => Err(fault(words(reason), say!("fix-secret", variable, form))),
        };
        Check::new(format!("secret {variable}"), finding)
    }
}
