//! A facade of the HTTP contract over a real Odoo: the conformance suite over HTTP (`cargo conformance`).

use std::{num::NonZeroU32, sync::Arc};

use conformance::{Options, Target};
use shared::{
    erp::odoo::{Odoo, OdooSettings},
    http::ReqwestTransport,
};
use tests::{
    facade::{Facade, Served},
    odoo::Odoo as Server,
};

const KEY: &str = "facade-key";

pub(crate) async fn the_conformance_suite_holds(server: &Arc<Server>, company: NonZeroU32) {
    let settings = OdooSettings {
        company: Some(company),
        ..crate::settings(server)
    };
    let erp = Odoo::new(settings, Arc::new(ReqwestTransport::new().unwrap())).unwrap();
    // Odoo 19 has one telephone number for a partner, and its GLN comes with an app.
    let facade = Facade::new(Arc::new(erp), KEY).lacking(&["mobile", "gln"]);
    let served = Served::open(facade.router()).await.unwrap();
    let target = Target::with_key(served.url().parse().unwrap(), KEY);
    let report =
        conformance::run(&target, Options::default(), |_| {}, std::future::pending()).await;
    let report = report.unwrap();
    assert!(report.failed().is_empty(), "{}", report.failures());
    assert!(report.mistakes.is_empty(), "{:?}", report.mistakes);
}
