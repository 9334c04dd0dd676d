//! `doctor`: is everything as it must be? Each check says what it saw and, where something is wrong, what to do. A check
//! that fails does not stop the others, and a part that could not be built is a failed check.

mod lookups;
mod subscriptions;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use erp_full_pass::told_groups;
use futures_util::{StreamExt, future::BoxFuture, stream};
use serde::Serialize;
use shared::{
    breakers::Breakers,
    domain::{
        Breaker, Clock, EntityKind, EntityRef, FieldGroups, NorceId, PassMode, Registers, Scope,
        Shops, redact,
    },
    erp::{Erp, ErpError, Listing, Resource},
    http::{Deadline, TokenError},
    import_jobs::{BatchState, ImportJobs},
    logs::Logs,
    mappings::Mappings,
    mappings::key_index::KeyIndex,
    norce::{
        JobId, NorceError, NorceImports,
        query::{ListedApplication, QueryClient},
    },
    orders::{OrderRef, Orders},
    owed::{OwedRecords, Stage, Subject},
    passes::Passes,
    reports::Reports,
    runtime::wiring::NorceClients,
};
use uuid::Uuid;

use crate::{
    Schedules, WorkQueue,
    answer::in_words,
    status::{BreakerStatus, LastRun},
};

/// Checks that are under way at the same time: few enough for an ERP that answers five requests at once (erp-apis §1.8).
const AT_ONCE: usize = 4;
/// What a client has for a check, so that it gives up with the remote's own words.
const TIME_OF_A_CHECK: Duration = Duration::from_secs(15);
/// No check takes longer: whatever hangs is a finding too.
const LONGEST_CHECK: Duration = Duration::from_secs(20);
/// An ERP's clock that differs by more moves watermarks past records, because a pass laps a few minutes only.
const MOST_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(2);
/// A pass that has not ended after this time is stuck: it goes on every few minutes, and is given up after a day.
const LONGEST_PASS: TimeDelta = TimeDelta::days(1);
/// A job to ask for while no import is under way.
const ANY_JOB: JobId = JobId(1);
/// What the template has in the place of a schedule that is not wanted.
const DISABLED: &str = "DISABLED";

/// What is examined, as far as it could be built.
pub struct Doctor {
    /// What is wrong with the configuration.
    pub faults: Vec<String>,
    /// The secrets, each with whether it could be read. Never what is in it.
    pub secrets: Vec<Secret>,
    /// Norce, or why there is no client for it.
    pub norce: Result<NorceClients, String>,
    /// The account that imports are made by.
    pub norce_account: Option<i32>,
    /// Where `receive-events` says what came, or why that cannot be looked at.
    pub events: Option<Result<Arc<dyn Logs>, String>>,
    /// Which shops there are.
    pub shops: Option<Shops>,
    /// The ERP company behind each register, or why there is no client for it.
    pub erps: Result<HashMap<Scope, Arc<dyn Erp>>, String>,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: FieldGroups,
    /// Every queue whose address is known.
    pub queues: Vec<WorkQueue>,
    /// The queue to the merchant's order integration, where orders are received.
    pub outgoing_orders: Option<WorkQueue>,
    /// The tables and the bucket, as far as they are known.
    pub stores: Stores,
    /// When passes run.
    pub schedules: Schedules,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// A secret that was looked at.
#[derive(Debug, Clone)]
pub struct Secret {
    /// The variable that names it.
    pub variable: &'static str,
    /// What its text has to be.
    pub form: SecretText,
    /// What is wrong with it.
    pub read: Result<(), String>,
}

/// What the text of a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretText {
    /// A JSON object.
    Json,
    /// Certificates as PEM.
    PemBundle,
}

/// The stores, as far as their names are known.
#[derive(Clone, Default)]
pub struct Stores {
    /// The code mappings.
    pub mappings: Option<Arc<dyn Mappings>>,
    /// The index of natural keys, in the same table.
    pub key_index: Option<Arc<dyn KeyIndex>>,
    /// The owed records.
    pub owed: Option<Arc<dyn OwedRecords>>,
    /// The import jobs.
    pub import_jobs: Option<Arc<dyn ImportJobs>>,
    /// The passes.
    pub passes: Option<Arc<dyn Passes>>,
    /// The reports.
    pub reports: Option<Arc<dyn Reports>>,
    /// The breakers.
    pub breakers: Option<Arc<dyn Breakers>>,
    /// The orders, where they are received.
    pub orders: Option<Arc<dyn Orders>>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// In words.
    pub summary: String,
    /// Every check.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub check: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How a check ended: what was seen, and for a fault the fix.
type Finding = Result<String, Fault>;

struct Fault {
    detail: String,
    fix: String,
}

fn fault(detail: impl ToString, fix: impl Into<String>) -> Fault {
    Fault {
        detail: redact(&detail.to_string()),
        fix: fix.into(),
    }
}

impl Check {
    fn new(check: impl Into<String>, finding: Finding) -> Self {
        let check = check.into();
        match finding {
            Ok(detail) => Self {
                check,
                ok: true,
                detail,
                fix: None,
            },
            Err(Fault { detail, fix }) => Self {
                check,
                ok: false,
                detail,
                fix: Some(fix),
            },
        }
    }
}

/// The deadline of a check that begins now.
fn of_a_check(deadline: Deadline) -> Deadline {
    Deadline::after(deadline.remaining().min(TIME_OF_A_CHECK))
}

/// A check to be made.
struct Planned<'a> {
    check: String,
    work: BoxFuture<'a, Finding>,
}

impl<'a> Planned<'a> {
    fn new(check: impl Into<String>, work: impl Future<Output = Finding> + Send + 'a) -> Self {
        Self {
            check: check.into(),
            work: Box::pin(work),
        }
    }

    async fn make(self) -> Check {
        let Self { check, work } = self;
        let finding = tokio::time::timeout(LONGEST_CHECK, work).await;
        Check::new(
            check,
            finding.unwrap_or_else(|_| {
                Err(fault(
                    format!("no answer within {} s", LONGEST_CHECK.as_secs()),
                    "See whether it is up, and whether this function may reach it over the network.",
                ))
            }),
        )
    }
}

impl Doctor {
    /// Makes every check.
    pub async fn examine(&self, deadline: Deadline) -> Report {
        let mut checks = vec![Check::new("configuration", self.configuration())];
        checks.extend(self.secrets.iter().map(Secret::check));
        let planned = self
            .norce_checks(deadline)
            .into_iter()
            .chain(self.event_checks(deadline))
            .chain(self.erp_checks(deadline))
            .chain(self.lookup_checks(deadline))
            .chain(self.queue_checks())
            .chain(self.outgoing_checks())
            .chain(self.store_checks())
            .chain(self.schedule_checks());
        // In their order, so that two reports can be compared.
        let made: Vec<Check> = stream::iter(planned.map(Planned::make))
            .buffered(AT_ONCE)
            .collect()
            .await;
        checks.extend(made);
        let faulty: Vec<&str> = checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.check.as_str())
            .collect();
        let summary = match faulty.as_slice() {
            [] => format!("All {} checks are well.", checks.len()),
            faulty => format!(
                "{} of {} checks found a fault: {}. Each says what to do.",
                faulty.len(),
                checks.len(),
                faulty.join(", ")
            ),
        };
        Report { summary, checks }
    }

    fn configuration(&self) -> Finding {
        match self.faults.as_slice() {
            [] => Ok("every variable can be read".to_owned()),
            faults => Err(fault(
                faults.join("; "),
                "Correct these parameters of the stack (the README lists them) and deploy it again.",
            )),
        }
    }

    fn norce_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
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

    fn erp_checks(&self, deadline: Deadline) -> Vec<Planned<'_>> {
        let erps = match &self.erps {
            Ok(erps) => erps,
            Err(reason) => return vec![unbuilt("erp", reason)],
        };
        let mut scopes: Vec<(&Scope, &Arc<dyn Erp>)> = erps.iter().collect();
        scopes.sort_by_key(|(scope, _)| **scope);
        scopes
            .into_iter()
            .flat_map(|(scope, erp)| {
                let scope = *scope;
                [
                    Planned::new(format!("erp {scope}: reachable"), async move {
                        self.erp_clock(erp.as_ref(), deadline).await
                    }),
                    Planned::new(
                        format!("erp {scope}: customers can be read"),
                        self.erp_listing(erp.as_ref(), Resource::Customer, deadline),
                    ),
                    Planned::new(
                        format!("erp {scope}: contacts can be read"),
                        self.erp_listing(erp.as_ref(), Resource::Contact, deadline),
                    ),
                    Planned::new(format!("erp {scope}: records can be written"), async move {
                        may_write(erp.as_ref(), deadline).await
                    }),
                    Planned::new(format!("erp {scope}: owned fields"), async move {
                        let told = told_groups(self.erp_owns, erp.as_ref()).map_err(|error| {
                            fault(
                                error,
                                "Take these groups out of ErpOwnedFields, or name their fields in ErpExtraFields.",
                            )
                        })?;
                        Ok(format!("it is asked for: {told}"))
                    }),
                ]
            })
            .collect()
    }

    async fn erp_clock(&self, erp: &dyn Erp, deadline: Deadline) -> Finding {
        let name = erp.capabilities().name;
        let Some(theirs) = erp.clock(of_a_check(deadline)).await.map_err(erp_fault)? else {
            return Ok(format!("{name} answers; it does not tell its time"));
        };
        let difference = (theirs - self.clock.now()).abs();
        if difference > MOST_CLOCK_DIFFERENCE {
            return Err(fault(
                format!(
                    "{name} answers, but its clock differs by {} s",
                    difference.num_seconds()
                ),
                "Set the ERP server's clock: watermarks are taken from it.",
            ));
        }
        Ok(format!("{name} answers, and its clock agrees"))
    }

    async fn erp_listing(&self, erp: &dyn Erp, resource: Resource, deadline: Deadline) -> Finding {
        let fields = told_groups(self.erp_owns, erp).unwrap_or(FieldGroups::CODE);
        let listing = Listing {
            resource,
            kind: None,
            // What changed lately: one page is read, and it is a small one.
            since: Some(self.clock.now()),
            fields,
        };
        let page = erp
            .page(&listing, None, of_a_check(deadline))
            .await
            .map_err(erp_fault)?;
        Ok(format!(
            "they can be listed ({} changed just now)",
            page.records.len()
        ))
    }

    fn queue_checks(&self) -> Vec<Planned<'_>> {
        let check = |queue: &'static str, what| format!("queue {queue}: {what}");
        self.queues
            .iter()
            .flat_map(|queue| {
                let name = queue.name;
                [
                    Planned::new(check(name, "reachable"), async move {
                        let depth = queue.depth.depth().await.map_err(|error| {
                            aws_fault(error, "queue", &format!("{}_QUEUE_URL", name.to_uppercase()))
                        })?;
                        Ok(format!("{depth} messages wait"))
                    }),
                    Planned::new(check(name, "no dead letters"), async move {
                        let dead = queue.dead_letters.count().await.map_err(|error| {
                            aws_fault(error, "queue", &format!("{}_DEAD_LETTER_QUEUE_URL", name.to_uppercase()))
                        })?;
                        if dead == 0 {
                            return Ok("there are none".to_owned());
                        }
                        Err(fault(
                            format!("{dead} messages could not be handled"),
                            format!(
                                "Look at them with {{\"action\":\"dead-letters\",\"queue\":\"{name}\",\"do\":\"show\"}}; when the reason is mended, send them again with \"do\":\"redrive\"."
                            ),
                        ))
                    }),
                ]
            })
            .collect()
    }

    /// The queue of orders is read by somebody else, and nobody here may look into it.
    fn outgoing_checks(&self) -> Vec<Planned<'_>> {
        let Some(WorkQueue {
            depth,
            dead_letters,
            ..
        }) = &self.outgoing_orders
        else {
            return Vec::new();
        };
        vec![
            Planned::new("queue outgoing orders: reachable", async move {
                let depth = depth.depth().await;
                let depth = depth
                    .map_err(|error| aws_fault(error, "queue", "OUTGOING_ORDERS_QUEUE_URL"))?;
                Ok(format!("{depth} orders wait for the order integration"))
            }),
            Planned::new("queue outgoing orders: no dead letters", async move {
                let dead = dead_letters.count().await.map_err(|error| {
                    aws_fault(error, "queue", "OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL")
                })?;
                if dead == 0 {
                    return Ok("there are none".to_owned());
                }
                Err(fault(
                    format!("{dead} orders could not be handled by the order integration"),
                    "Mend the merchant's order integration, then send them again with `aws sqs start-message-move-task`.",
                ))
            }),
        ]
    }

    /// Each store is asked for something that is not there.
    fn store_checks(&self) -> Vec<Planned<'_>> {
        let Stores {
            mappings,
            key_index: _,
            owed,
            import_jobs,
            passes,
            reports,
            breakers,
            orders,
        } = &self.stores;
        let nobody = NorceId::try_from(i64::from(i32::MAX))
            .ok()
            .map(|id| EntityRef::customer(Scope::Client, id));
        let nothing = Uuid::nil();
        let mut checks = Vec::new();
        if let (Some(mappings), Some(nobody)) = (mappings, nobody) {
            checks.push(Planned::new("table code mappings", async move {
                let read = mappings.get(nobody).await;
                read.map_err(|error| aws_fault(error, "table", "CODE_MAPPINGS_TABLE"))?;
                Ok("it can be read".to_owned())
            }));
        }
        if let (Some(owed), Some(nobody)) = (owed, nobody) {
            checks.push(Planned::new("table owed records", async move {
                let read = owed.get(&Subject::Entity(nobody), Stage::ToErp).await;
                read.map_err(|error| aws_fault(error, "table", "OWED_TABLE"))?;
                Ok("it can be read".to_owned())
            }));
        }
        if let Some(import_jobs) = import_jobs {
            checks.push(Planned::new("table import jobs", async move {
                let read = import_jobs.get(nothing).await;
                read.map_err(|error| aws_fault(error, "table", "IMPORT_JOBS_TABLE"))?;
                Ok("it can be read".to_owned())
            }));
        }
        if let Some(passes) = passes {
            checks.push(Planned::new("table passes", async move {
                let read = passes.run(nothing).await;
                read.map_err(|error| aws_fault(error, "table", "PASSES_TABLE"))?;
                Ok("it can be read".to_owned())
            }));
        }
        if let Some(reports) = reports {
            checks.push(Planned::new("bucket reports", async move {
                let read = reports.list("mappings/", None).await;
                read.map_err(|error| aws_fault(error, "bucket", "REPORTS_BUCKET"))?;
                Ok("it can be listed".to_owned())
            }));
        }
        if let Some(breakers) = breakers {
            checks.push(Planned::new("table breakers", async move {
                let list = breakers.list().await;
                let list = list.map_err(|error| aws_fault(error, "table", "BREAKERS_TABLE"))?;
                self.left_alone(list)
            }));
        }
        if let (Some(orders), Some(shops)) = (orders, &self.shops) {
            let nothing = OrderRef {
                application: shops.applications.default_application().id,
                client_order_ref: "none".to_owned(),
            };
            checks.push(Planned::new("table orders", async move {
                let read = orders.get(&nothing).await;
                read.map_err(|error| aws_fault(error, "table", "ORDERS_TABLE"))?;
                Ok("it can be read".to_owned())
            }));
        }
        checks
    }

    /// Whether a remote is left alone by the functions; the checks of the remotes themselves ask them all the same.
    fn left_alone(&self, breakers: Vec<(String, Breaker)>) -> Finding {
        let now = self.clock.now();
        let statuses = breakers
            .into_iter()
            .map(|(remote, breaker)| BreakerStatus::new(remote, &breaker, now));
        let open: Vec<String> = statuses
            .filter(BreakerStatus::is_open)
            .map(|breaker| breaker.in_words(now))
            .collect();
        if open.is_empty() {
            return Ok("it can be read, and no calls are paused".to_owned());
        }
        Err(fault(
            open.join("; "),
            "See whether that remote is up: its own checks say more. It is probed every few minutes at most, work waits in the queues meanwhile and goes on by itself.",
        ))
    }

    fn schedule_checks(&self) -> Vec<Planned<'_>> {
        let Schedules {
            delta,
            full,
            sweep,
            owed,
        } = &self.schedules;
        let mut checks = vec![
            Planned::new(
                "schedule delta pass",
                self.schedule(delta, "DeltaSchedule", Some(PassMode::Delta)),
            ),
            Planned::new(
                "schedule sweep",
                self.schedule(sweep, "SweepSchedule", Some(PassMode::Sweep)),
            ),
            Planned::new(
                "schedule owed records",
                self.schedule(owed, "OwedSchedule", None),
            ),
        ];
        // The one that is usually not wanted.
        if full.as_deref().is_some_and(|full| full != DISABLED) {
            let check = self.schedule(full, "FullSchedule", Some(PassMode::Full));
            checks.push(Planned::new("schedule full pass", check));
        }
        checks
    }

    /// A schedule is on, and its last pass did what it should.
    async fn schedule(
        &self,
        expression: &Option<String>,
        parameter: &'static str,
        mode: Option<PassMode>,
    ) -> Finding {
        let expression = match expression.as_deref() {
            Some(expression) if expression != DISABLED => expression,
            _ => {
                return Err(fault(
                    "it is switched off, so that nothing repairs what events did not bring across",
                    format!("Set {parameter}, for example to rate(1 day), unless that is meant."),
                ));
            }
        };
        let (Some(mode), Some(passes)) = (mode, &self.stores.passes) else {
            return Ok(expression.to_owned());
        };
        let last = passes
            .last_runs()
            .await
            .map_err(|error| aws_fault(error, "table", "PASSES_TABLE"))?;
        let now = self.clock.now();
        let mut of_mode = last
            .iter()
            .map(LastRun::from)
            .filter(|run| run.mode == mode)
            .peekable();
        if of_mode.peek().is_none() {
            return Ok(format!("{expression}; none has run yet"));
        }
        let mut ended: Option<DateTime<Utc>> = None;
        for run in of_mode {
            if let Some(reason) = run.failed {
                return Err(fault(
                    format!("the last one over {} failed: {reason}", run.scope),
                    format!(
                        "Mend the reason, then run it again: {{\"action\":\"pass\",\"mode\":\"{mode}\"}}."
                    ),
                ));
            }
            match run.ended {
                None if now - run.started > LONGEST_PASS => {
                    return Err(fault(
                        format!("the one over {} has run since {}", run.scope, run.started),
                        "See the log of erp-full-pass, and whether the queue `passes` is being read.",
                    ));
                }
                at => ended = ended.max(at),
            }
        }
        Ok(match ended {
            None => format!("{expression}; one is under way"),
            Some(at) => {
                let ago = (now - at).to_std().unwrap_or_default().as_secs();
                format!("{expression}; the last one ended {} ago", in_words(ago))
            }
        })
    }
}

async fn may_write(erp: &dyn Erp, deadline: Deadline) -> Finding {
    let name = erp.capabilities().name;
    match erp
        .may_write(of_a_check(deadline))
        .await
        .map_err(erp_fault)?
    {
        Some(true) => Ok("they may be created and changed".to_owned()),
        None => Ok(format!("{name} does not tell before a record is written")),
        Some(false) => Err(fault(
            format!("{name} does not let these credentials create and change records"),
            "Odoo: give the key's user the right to create contacts.",
        )),
    }
}

impl Secret {
    fn check(&self) -> Check {
        let text = match self.form {
            SecretText::Json => "correct its JSON",
            SecretText::PemBundle => {
                "store the ERP's CA certificates as its plain text, from -----BEGIN CERTIFICATE----- on"
            }
        };
        let finding = match &self.read {
            Ok(()) => Ok("it can be read and has the right form".to_owned()),
            Err(reason) => Err(fault(
                reason,
                format!(
                    "Make the secret, or {text}, in Secrets Manager; a secret under a KMS key of your own also needs kms:Decrypt for the functions' roles. {} names it.",
                    self.variable
                ),
            )),
        };
        Check::new(format!("secret {}", self.variable), finding)
    }
}

fn unbuilt<'a>(check: &'static str, reason: &'a str) -> Planned<'a> {
    Planned::new(check, async move {
        Err(fault(
            format!("it could not be looked at: {reason}"),
            "Correct the configuration or the secret first: the checks above name the fault.",
        ))
    })
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

/// What rows of Query have here.
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

fn erp_fault(error: ErpError) -> Fault {
    let fix = match error {
        ErpError::Authentication { .. } => {
            "Check the secret of ErpSecretArn and the rights in the ERP. Business Central: the app under \"Microsoft Entra applications\" is enabled and has permission sets for customers and contacts. Odoo: the key's user may create contacts."
        }
        ErpError::RetryAfter { .. } => {
            "See whether the ERP is up and ErpBaseUrl (and ErpTokenUrl) are right; work waits in the queues meanwhile."
        }
        ErpError::Refused { .. } | ErpError::Unreadable(_) | ErpError::CursorExpired => {
            "Check ErpBaseUrl, ErpCompany and ErpExtraFields: the address, the company or a field may not be there."
        }
    };
    fault(error, fix)
}

fn aws_fault(error: impl ToString, what: &str, name: &str) -> Fault {
    fault(
        error,
        format!(
            "See whether the {what} of {name} is there and the role of this function may use it; deploying the template again restores both."
        ),
    )
}
