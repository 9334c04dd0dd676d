//! A facade of the HTTP contract over a real Odoo: what a stranger says about it (`cargo conformance`).

use std::{num::NonZeroU32, sync::Arc};

use conformance::{Credentials, Options, Target};
use shared::{
    erp::odoo::{Odoo, OdooSettings},
    http::ReqwestTransport,
};
use tests::{facade::Facade, odoo::Odoo as Server};
use tokio::net::TcpListener;

const KEY: &str = "facade-key";

pub(crate) async fn the_conformance_suite_holds(server: &Arc<Server>, company: NonZeroU32) {
    let settings = OdooSettings {
        company: Some(company),
        ..crate::settings(server)
    };
    let erp = Odoo::new(settings, Arc::new(ReqwestTransport::new().unwrap())).unwrap();
    // Odoo 19 has one telephone number for a partner, and its GLN comes with an app.
    let facade = Facade::new(Arc::new(erp), KEY).lacking(&["mobile", "gln"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, facade.router()).await });
    let target = Target {
        url: url.parse().unwrap(),
        credentials: Credentials::Key(KEY.to_owned()),
        company: None,
        signing_key: None,
        certificate_authority: None,
    };
    let report =
        conformance::run(&target, Options::default(), |_| {}, std::future::pending()).await;
    serving.abort();
    let report = report.unwrap();
    assert!(report.failed().is_empty(), "{}", report.failures());
    assert!(report.mistakes.is_empty(), "{:?}", report.mistakes);
}
