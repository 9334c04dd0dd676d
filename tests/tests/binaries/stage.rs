//! The surroundings of the functions on loopback: AWS, Norce and Business Central.

use std::path::Path;

use chrono::Utc;
use serde_json::json;
use shared::domain::{Cause, ChangeMessage};
use tests::{
    bundle::customer,
    business_central_simulator::{self, BusinessCentralSimulator},
    lambda::{environment::Variables, fake_aws::FakeAws, payloads::sqs_event, remotes::Remotes},
    norce_simulator::{NewAddress, NewCustomer, NorceSimulator},
};
use uuid::Uuid;

/// The secret of Norce's events.
pub(crate) const EVENT_SECRET: &str = "canary-event-secret-4b1f";
/// The OAuth secret of Norce.
pub(crate) const NORCE_SECRET: &str = "canary-norce-secret";
/// The key of the console.
pub(crate) const CONSOLE_KEY: &str = "canary-console-key";

/// Everything that the functions speak to, and the variables that lead there.
pub(crate) struct Stage {
    pub(crate) aws: FakeAws,
    pub(crate) norce: NorceSimulator,
    pub(crate) erp: BusinessCentralSimulator,
    pub(crate) environment: Variables,
    _remotes: Remotes,
}

impl Stage {
    /// Norce with its limits off and jobs that end at once; nobody listens to its events.
    pub(crate) async fn new() -> Self {
        let aws = FakeAws::serve().await.unwrap();
        let settings = business_central_simulator::Settings::default();
        let remotes = Remotes::serve("functions", NORCE_SECRET, settings).await;
        let remotes = remotes.unwrap();
        for (id, text) in [
            ("event", json!({ "current": EVENT_SECRET })),
            ("fingerprint", json!({ "key": "canary-fingerprint-key" })),
            ("console-key", json!({ "key": CONSOLE_KEY })),
        ]
        .into_iter()
        .chain(remotes.secrets())
        {
            aws.set_secret(id, text.to_string());
        }
        Self {
            environment: remotes.variables(&aws.endpoint, &remotes.addresses),
            aws,
            norce: remotes.norce.clone(),
            erp: remotes.erp.clone(),
            _remotes: remotes,
        }
    }

    /// A customer whose every personal field can be searched for.
    pub(crate) fn add_customer(&self) -> i64 {
        self.norce.add_customer(NewCustomer {
            email: Some("canary.first@example.com".to_owned()),
            first_name: Some("Kanarine".to_owned()),
            last_name: Some("Fogelström".to_owned()),
            phone: Some("08-765 43 21".to_owned()),
            invoice_address: Some(NewAddress {
                line1: Some("Vogelgatan 8".to_owned()),
                zip_code: Some("123 45".to_owned()),
                city: Some("Burstaden".to_owned()),
                country_code: Some("SE".to_owned()),
                ..NewAddress::default()
            }),
            ..NewCustomer::default()
        })
    }
}

/// The message about a customer with an order.
pub(crate) fn change(id: i64) -> ChangeMessage {
    ChangeMessage::Entity {
        entity: customer(id),
        cause: Cause::Ordered,
        received_at: Utc::now(),
        ordered_at: Some(Utc::now()),
        correlation: Uuid::new_v4(),
    }
}

/// An invocation of `change-events` with this message.
pub(crate) fn change_event(message: ChangeMessage) -> Vec<u8> {
    sqs_event(&[message], |message| Some(message.group())).unwrap()
}

/// A program of the functions.
pub(crate) fn binary(function: &str) -> std::path::PathBuf {
    directory().join(function)
}

/// Where the functions' binaries are, built once.
fn directory() -> &'static Path {
    use std::{path::PathBuf, sync::LazyLock};
    use tests::lambda::binaries::{Build, FUNCTIONS, build};
    static DIRECTORY: LazyLock<PathBuf> =
        LazyLock::new(|| build(&FUNCTIONS, Build::LikeTest(env!("CARGO_CRATE_NAME"))).unwrap());
    &DIRECTORY
}
