//! The Odoo adapter against a real Odoo 19. Where none can be had, the tests say so and pass, unless `REQUIRE_ODOO` is
//! set, as it is in `.ci/run`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and what is skipped is to be seen"
)]

#[path = "conformance/suite.rs"]
mod suite;

use std::sync::Arc;

use serde_json::json;
use shared::{
    erp::{
        ExtraFields,
        odoo::{Odoo, OdooSettings},
    },
    http::ReqwestTransport,
};
use suite::{Faults, Subject};
use tests::odoo::Odoo as Server;

async fn server() -> Option<Server> {
    match Server::start(|step: &str| eprintln!("{step}")).await {
        Ok(server) => Some(server),
        Err(error) if std::env::var_os("REQUIRE_ODOO").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn subject(server: &Server) -> Subject {
    let access = server.access();
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let faults = Arc::new(Faults::around(transport));
    let settings = OdooSettings {
        base_url: access.url.parse().unwrap(),
        database: access.database.clone(),
        api_key: access.key.clone().into(),
        code_field: "ref".to_owned(),
        code_sequence: None,
        extra_fields: ExtraFields::default(),
    };
    let erp = Odoo::new(settings, faults.clone()).unwrap();
    Subject::new(Arc::new(erp), faults)
}

#[tokio::test]
async fn odoo_does_what_every_erp_must() {
    let Some(mut server) = server().await else {
        return;
    };
    let subject = subject(&server);
    suite::run(&subject).await;
    // Odoo's own view of it: no code twice, and each of our external ids leads to one partner.
    let partners = server
        .partners(json!([["ref", "!=", false]]), &["ref"])
        .await
        .unwrap();
    let mut codes: Vec<&str> = partners
        .iter()
        .filter_map(|it| it["ref"].as_str())
        .collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count, "a code stands twice");
    assert!(count > 20, "{count}");
    let names = json!({ "domain": [["module", "=", "norce"]], "fields": ["res_id"] });
    let names = server
        .call("ir.model.data", "search_read", names)
        .await
        .unwrap();
    assert_eq!(names.as_array().map(Vec::len), Some(count));
    // It is all there after a restart.
    server.restart().await.unwrap();
    let after = server
        .partners(json!([["ref", "!=", false]]), &["ref"])
        .await
        .unwrap();
    assert_eq!(after.len(), count);
}
