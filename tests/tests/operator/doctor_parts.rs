//! `doctor` in parts and within a time limit.

use std::{collections::BTreeSet, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use shared::{
    erp::odoo::Odoo,
    http::{Transport, TransportError},
};
use tests::bundle::{Bundle, Options};
use tokio::time::Instant;

use super::{odoo_settings, summary};

/// A remote that never answers.
struct Silent;

#[async_trait]
impl Transport for Silent {
    async fn send(
        &self,
        _: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        pending().await
    }
}

const PARTS: [&str; 5] = ["norce", "erp", "aws", "events", "schedules"];

fn names(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let names = checks.map(|check| check["check"].as_str().unwrap().to_owned());
    names.collect()
}

#[tokio::test(start_paused = true)]
async fn each_check_is_in_one_part_and_the_parts_are_all_of_it() {
    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    let whole = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    let mut of_parts = Vec::new();
    for part in PARTS {
        let request = json!({"action": "doctor", "part": part});
        let report = bundle.ask(request).await.unwrap();
        let names = names(&report);
        assert!(!names.is_empty(), "{part}");
        assert_eq!(
            summary(&report),
            format!("All {} checks are well.", names.len())
        );
        of_parts.extend(names);
    }
    let whole = names(&whole);
    assert_eq!(of_parts.len(), whole.len());
    assert_eq!(BTreeSet::from_iter(of_parts), BTreeSet::from_iter(whole));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_in_time_is_a_finding_and_holds_up_no_other_part() {
    for seconds in [1, 10, 25] {
        let mut bundle = Bundle::new(&Options::default());
        let erps = bundle.operator.doctor.erps.as_mut().unwrap();
        for stuck in erps.values_mut() {
            *stuck = Arc::new(Odoo::new(odoo_settings(), Arc::new(Silent)).unwrap());
        }
        let began = Instant::now();
        let request = json!({"action": "doctor", "within": seconds});
        let report = bundle.ask(request).await.unwrap();
        assert!(began.elapsed() <= Duration::from_secs(seconds), "{seconds}");
        for check in report["checks"].as_array().unwrap() {
            let name = check["check"].as_str().unwrap();
            // Odoo is known to filter, its fields are configuration, and there is no fixed value to look up.
            let is_known = ["owned fields", "filters", "fixed values"]
                .iter()
                .any(|known| name.ends_with(known));
            let asks_the_erp = name.starts_with("erp ") && !is_known;
            if asks_the_erp {
                assert_eq!(check["ok"], false, "{seconds}: {check:#}");
                assert!(!check["fix"].as_str().unwrap().is_empty());
            } else if !name.starts_with("index of keys") && !name.starts_with("erp ") {
                assert_eq!(check["ok"], true, "{seconds}: {check:#}");
            }
        }
    }
}
