//! Stand-ins on loopback for everything that the functions call: AWS, Norce with customers, and Business Central.

use serde_json::json;
use tests::{
    business_central_simulator::{self, BusinessCentralSimulator},
    lambda::{
        environment::{self, Variables, every_variable},
        fake_aws::FakeAws,
    },
    local_aws::REGION,
    norce_simulator::{self, NorceSimulator},
    samples::{resident, unlimited_norce},
};

pub(crate) const EVENT_SECRET: &str = "a-secret-of-the-usual-length-4b1f";
const NORCE_SECRET: &str = "norce-client-secret";
const ACCOUNT: i64 = 17;
/// Few, because the simulators slow down with more.
const CUSTOMERS: usize = 100;
/// The length of the session token, which is signed with every call. AWS documents no length; this is an assumption.
const SESSION_TOKEN_BYTES: usize = 1_000;

/// Everything that the functions speak to, and the variables that lead there.
pub(crate) struct Stage {
    pub(crate) aws: FakeAws,
    pub(crate) norce: NorceSimulator,
    pub(crate) erp: BusinessCentralSimulator,
    pub(crate) environment: Variables,
    pub(crate) customers: Vec<i64>,
    _servers: (norce_simulator::Server, business_central_simulator::Server),
}

impl Stage {
    pub(crate) async fn new(session_token: bool) -> Self {
        let aws = FakeAws::serve().await.expect("a port");
        let norce = unlimited_norce(ACCOUNT, "benchmark", NORCE_SECRET);
        let erp = BusinessCentralSimulator::new(business_central_simulator::Settings {
            requests_per_window: usize::MAX,
            ..business_central_simulator::Settings::default()
        });
        let norce_server = norce.serve().await.expect("a port");
        let erp_server = erp.serve().await.expect("a port");
        let application = &business_central_simulator::Settings::default().applications[0];
        for (id, secret) in [
            ("event", json!({ "current": EVENT_SECRET })),
            ("fingerprint", json!({ "key": "benchmark" })),
            (
                "norce",
                json!({ "clientId": "benchmark", "clientSecret": NORCE_SECRET }),
            ),
            (
                "erp",
                json!({
                    "clientId": application.client_id,
                    "clientSecret": application.client_secret
                }),
            ),
        ] {
            aws.set_secret(id, secret.to_string());
        }
        let mut variables = every_variable(&aws.endpoint);
        let queue = format!("{}/000000000000/changes.fifo", aws.endpoint);
        let token = session_token.then(|| "t".repeat(SESSION_TOKEN_BYTES));
        for (name, value) in [
            ("NORCE_BASE_URL", norce_server.base_url.clone()),
            ("ERP_BASE_URL", erp.api_root(&erp_server.base_url)),
            ("ERP_TOKEN_URL", erp.token_url(&erp_server.base_url)),
            ("ERP_COMPANY", erp.companies()[0].to_string()),
            ("CHANGES_QUEUE_URL", queue),
            // Lambda sets both, and boto3 reads this one.
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ]
        .into_iter()
        .chain(token.map(|token| ("AWS_SESSION_TOKEN", token)))
        {
            environment::set(&mut variables, name, value);
        }
        let customers = (0..CUSTOMERS)
            .map(|number| norce.add_customer(resident(number)))
            .collect();
        Self {
            aws,
            norce,
            erp,
            environment: variables,
            customers,
            _servers: (norce_server, erp_server),
        }
    }

    /// Norce's requests so far.
    pub(crate) fn norce_calls(&self) -> u64 {
        self.norce.requests().values().sum()
    }
}
