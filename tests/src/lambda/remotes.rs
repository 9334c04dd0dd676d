//! The remotes of the functions on loopback: Norce and Business Central, with the secrets and variables that lead there.

use std::io;

use serde_json::{Value, json};

use super::environment::{self, Variables, every_variable};
use crate::{
    business_central_simulator::{self, BusinessCentralSimulator, Settings},
    norce_simulator::{self, NorceSimulator},
    samples::unlimited_norce,
};

/// The system account of Norce that [`every_variable`] names.
const ACCOUNT: i64 = 17;

/// The simulators, each on a port of its own. They end when this is dropped.
pub struct Remotes {
    /// Norce without limits, whose jobs end at once and whose events reach nobody.
    pub norce: NorceSimulator,
    /// Business Central.
    pub erp: BusinessCentralSimulator,
    /// The addresses of both, without TLS.
    pub addresses: Addresses,
    client: (String, String),
    _servers: (norce_simulator::Server, business_central_simulator::Server),
}

/// The addresses of the remotes, such as `http://127.0.0.1:4711`.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Of Norce.
    pub norce: String,
    /// Of Business Central.
    pub erp: String,
}

impl Remotes {
    /// Serves both. Norce has this OAuth client.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn serve(client_id: &str, client_secret: &str, erp: Settings) -> io::Result<Self> {
        let norce = unlimited_norce(ACCOUNT, client_id, client_secret);
        let erp = BusinessCentralSimulator::new(erp);
        let servers = (norce.serve().await?, erp.serve().await?);
        Ok(Self {
            norce,
            erp,
            addresses: Addresses {
                norce: servers.0.base_url.clone(),
                erp: servers.1.base_url.clone(),
            },
            client: (client_id.to_owned(), client_secret.to_owned()),
            _servers: servers,
        })
    }

    /// The secrets `norce` and `erp`, by name.
    pub fn secrets(&self) -> [(&'static str, Value); 2] {
        let application = &Settings::default().applications[0];
        let (id, secret) = &self.client;
        let norce = json!({ "clientId": id, "clientSecret": secret });
        let erp = json!({
            "clientId": application.client_id,
            "clientSecret": application.client_secret
        });
        [("norce", norce), ("erp", erp)]
    }

    /// Everything that any of the functions reads, for AWS at this address and the remotes at those.
    pub fn variables(&self, aws: &str, addresses: &Addresses) -> Variables {
        let mut variables = every_variable(aws);
        for (name, value) in [
            ("NORCE_BASE_URL", addresses.norce.clone()),
            ("ERP_BASE_URL", self.erp.api_root(&addresses.erp)),
            ("ERP_TOKEN_URL", self.erp.token_url(&addresses.erp)),
            ("ERP_COMPANY", self.erp.companies()[0].to_string()),
        ] {
            environment::set(&mut variables, name, value);
        }
        variables
    }
}
