//! Stand-ins on loopback for everything that the functions call: AWS, Norce and Business Central, with and without TLS.

use std::{collections::BTreeMap, mem};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::runtime::configuration::RESOURCE_NAMES_SECRET_ARN;
use tests::{
    business_central_simulator,
    lambda::{
        environment::{self, Variables},
        fake_aws::FakeAws,
        remotes::{Addresses, Remotes},
    },
    local_aws::REGION,
    norce_simulator::NewCustomer,
    samples::resident,
};

use super::tls::Tls;

pub(crate) const EVENT_SECRET: &str = "a-secret-of-the-usual-length-4b1f";
const NORCE_SECRET: &str = "norce-client-secret";
/// The length of the session token, which is signed with every call. AWS documents no length; this is an assumption.
const SESSION_TOKEN_BYTES: usize = 1_000;
/// The default of the parameter `ImportBatchSize`.
const IMPORT_BATCH_SIZE: &str = "500";

/// The secret with the names of the stack's resources.
const NAMES_SECRET: &str = "names";
/// How the variables end that the template has in this secret.
const NAMES: [&str; 4] = ["_QUEUE_URL", "_TABLE", "_BUCKET", "_LOG_GROUP"];

/// Everything that the functions speak to, and the variables that lead there.
pub(crate) struct Stage {
    pub(crate) aws: FakeAws,
    pub(crate) remotes: Remotes,
    pub(crate) tls: Option<Tls>,
    session_token: bool,
}

/// Calls that came to the stand-ins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) aws: usize,
    pub(crate) norce: u64,
    pub(crate) erp: usize,
}

impl Stage {
    /// A stage without customers. With `tls`, everything can be reached over TLS as well.
    pub(crate) async fn new(session_token: bool, tls: bool) -> Self {
        let aws = FakeAws::serve().await.expect("a port");
        let erp = business_central_simulator::Settings {
            requests_per_window: usize::MAX,
            ..business_central_simulator::Settings::default()
        };
        let remotes = Remotes::serve("benchmark", NORCE_SECRET, erp).await;
        let remotes = remotes.expect("a port");
        for (id, secret) in [
            ("event", json!({ "current": EVENT_SECRET })),
            ("fingerprint", json!({ "key": "benchmark" })),
        ]
        .into_iter()
        .chain(remotes.secrets())
        {
            aws.set_secret(id, secret.to_string());
        }
        let tls = match tls {
            true => Some(Tls::serve(&aws, &remotes).await),
            false => None,
        };
        Self {
            aws,
            remotes,
            tls,
            session_token,
        }
    }

    /// The variables of a function that speaks to the stand-ins, over TLS if there is one.
    pub(crate) fn variables(&self, tls: Option<&Tls>) -> Variables {
        let plain = (&self.aws.endpoint, &self.remotes.addresses);
        let (aws, addresses): (&String, &Addresses) =
            tls.map_or(plain, |tls| (&tls.aws, &tls.addresses));
        let mut variables = self.remotes.variables(aws, addresses);
        let queue = |name: &str| format!("{aws}/000000000000/{name}");
        let token = self.session_token.then(|| "t".repeat(SESSION_TOKEN_BYTES));
        for (name, value) in [
            ("CHANGES_QUEUE_URL", queue("changes.fifo")),
            ("IMPORTS_QUEUE_URL", queue("imports")),
            ("JOBS_QUEUE_URL", queue("jobs")),
            ("PASSES_QUEUE_URL", queue("passes")),
            ("IMPORT_BATCH_SIZE", IMPORT_BATCH_SIZE.to_owned()),
            // Lambda sets both, and boto3 reads this one.
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ]
        .into_iter()
        .chain(token.map(|token| ("AWS_SESSION_TOKEN", token)))
        {
            environment::set(&mut variables, name, value);
        }
        variables
    }

    /// Moves the names of the stack's resources from the variables to a secret, as the template has them.
    pub(crate) fn move_names_to_secret(&self, variables: &mut Variables) {
        let is_name = |name: &str| NAMES.iter().any(|ending| name.ends_with(ending));
        let (names, others) = mem::take(variables)
            .into_iter()
            .partition(|(name, _)| is_name(name));
        let names: BTreeMap<String, String> = Variables::into_iter(names).collect();
        self.aws.set_secret(NAMES_SECRET, json!(names).to_string());
        *variables = others;
        environment::set(variables, RESOURCE_NAMES_SECRET_ARN, NAMES_SECRET);
    }

    /// Adds customers to Norce. Their numbers go on from those that are there.
    pub(crate) fn add_customers(&self, count: usize) -> Vec<i64> {
        let first = self.remotes.norce.customers().len();
        (first..first + count)
            .map(|number| self.remotes.norce.add_customer(resident(number)))
            .collect()
    }

    /// Adds customers that both sides have, with the same codes, changed in the ERP on the day before.
    pub(crate) fn add_known_customers(&self, count: usize) {
        let erp = &self.remotes.erp;
        let yesterday: DateTime<Utc> = Utc::now() - TimeDelta::days(1);
        let code = |number: usize| format!("K{number:06}");
        let records: Vec<_> = (0..count)
            .map(|number| {
                let name = format!("Anna Ek {number}");
                let email = format!("anna.{number}@example.com");
                json!({ "number": code(number), "displayName": name, "type": "Person", "email": email })
            })
            .collect();
        erp.add_customers_late(erp.companies()[0], yesterday, &records)
            .expect("the ERP takes them");
        for number in 0..count {
            self.remotes.norce.add_customer(NewCustomer {
                code: Some(code(number)),
                ..resident(number)
            });
        }
    }

    /// How many records the ERP has.
    pub(crate) fn erp_records(&self) -> usize {
        let erp = &self.remotes.erp;
        erp.customers(erp.companies()[0]).len()
    }

    fn norce_calls(&self) -> u64 {
        self.remotes.norce.requests().values().sum()
    }

    /// Begins to count the calls of Norce and the ERP. Those of AWS are counted where its requests are taken.
    pub(crate) fn count(&self) -> Counted {
        self.remotes.erp.forget_requests();
        Counted {
            norce: self.norce_calls(),
        }
    }
}

/// The place where counting began.
pub(crate) struct Counted {
    norce: u64,
}

impl Counted {
    /// The calls since then.
    pub(crate) fn until_now(&self, stage: &Stage) -> Calls {
        Calls {
            aws: 0,
            norce: stage.norce_calls() - self.norce,
            erp: stage.remotes.erp.requests().total(),
        }
    }
}

impl Calls {
    pub(crate) fn add(&mut self, more: Self) {
        self.aws += more.aws;
        self.norce += more.norce;
        self.erp += more.erp;
    }
}
