//! An ERP behind a certificate of the company's own authority (`ERP_CA_SECRET_ARN`).

use std::time::Duration;

use axum::{Router, routing::get};
use bytes::Bytes;
use rcgen::{DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use shared::http::{CaBundle, CaBundleError, ReqwestTransport, Transport, TransportError};
use tests::lambda::{
    environment,
    runtime_api::{FunctionProcess, Output},
};

use crate::{
    authority::Authority,
    stage::{Stage, binary, change, change_event},
};

/// Long enough for a handshake on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

fn new_authority() -> Authority {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "An authority of the tests");
    Authority::named(name)
}

async fn get_from(transport: &ReqwestTransport, address: &str) -> Result<u16, TransportError> {
    let request = http::Request::get(address).body(Bytes::new()).unwrap();
    let answer = transport.send(request, TIMEOUT).await?;
    Ok(answer.status().as_u16())
}

fn bundle(authorities: &[&Authority]) -> CaBundle {
    let pem: String = authorities
        .iter()
        .map(|authority| authority.pem.as_str())
        .collect();
    pem.parse().unwrap()
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_reached_with_its_certificate_only() {
    let (authority, other) = (new_authority(), new_authority());
    let router = Router::new().route("/", get(async || "here"));
    let server = authority.serve(router).await.unwrap();
    let port = server.port;
    let address = format!("https://localhost:{port}/");

    let trusting = ReqwestTransport::trusting(&bundle(&[&other, &authority])).unwrap();
    assert_eq!(get_from(&trusting, &address).await, Ok(200));
    // The certificate is for another name.
    let by_number = format!("https://127.0.0.1:{port}/");
    for (transport, address) in [
        (ReqwestTransport::new().unwrap(), &address),
        (
            ReqwestTransport::trusting(&bundle(&[&other])).unwrap(),
            &address,
        ),
        (trusting, &by_number),
    ] {
        let refused = get_from(&transport, address).await;
        assert!(
            matches!(refused, Err(TransportError::NotSent(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn what_is_not_a_bundle_of_certificates_is_refused_with_the_place() {
    let pem = new_authority().pem;
    let half = &pem[..pem.len() / 2];
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = KeyPair::generate().unwrap().serialize_pem();
    for (text, expected) in [
        (String::new(), CaBundleError::Empty),
        ("garbage".to_owned(), CaBundleError::Empty),
        (key.clone(), CaBundleError::Empty),
        (half.to_owned(), CaBundleError::Unreadable { number: 1 }),
        (
            format!("{pem}{nonsense}"),
            CaBundleError::Unreadable { number: 2 },
        ),
    ] {
        let error = text.parse::<CaBundle>().unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("AAAA"), "{error}");
    }
    // Comments and other blocks are passed over, as tools write them.
    assert!(format!("# our CA\n{key}{pem}").parse::<CaBundle>().is_ok());
}

/// Runs an event through a function; what it answered.
async fn run(
    function: &str,
    environment: &environment::Variables,
    event: Vec<u8>,
) -> Result<Value, Value> {
    let process = FunctionProcess::start(&binary(function), environment, Output::Discarded).await;
    let mut process = process.unwrap();
    let answered = process.invoke(event).await.unwrap();
    process.end().await.unwrap();
    answered.answer
}

fn with(
    environment: &environment::Variables,
    variables: &[(&str, &str)],
) -> environment::Variables {
    let mut environment = environment.clone();
    for (name, value) in variables {
        environment::set(&mut environment, name, *value);
    }
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_trusts_the_authority_for_the_erp_and_for_no_other_remote() {
    let stage = Stage::new().await;
    let authority = new_authority();
    let erp_server = authority.serve(stage.erp.router()).await.unwrap();
    let norce_server = authority.serve(stage.norce.router()).await.unwrap();
    stage.aws.set_secret("erp-ca", &authority.pem);
    let base = format!("https://localhost:{}", erp_server.port);
    let (api, token) = (stage.erp.api_root(&base), stage.erp.token_url(&base));
    let erp = [
        ("ERP_BASE_URL", api.as_str()),
        ("ERP_TOKEN_URL", token.as_str()),
    ];
    let ca = ("ERP_CA_SECRET_ARN", "erp-ca");
    let company = stage.erp.companies()[0];
    let waits = |answer: &Value| answer["batchItemFailures"].as_array().unwrap().len() == 1;

    let without = with(&stage.environment, &erp);
    let event = change_event(change(stage.add_customer()));
    assert!(waits(&run("change-events", &without, event).await.unwrap()));
    assert!(stage.erp.customers(company).is_empty());
    // The failed handshake has opened a breaker.
    stage.aws.empty_tables();

    let with_ca = with(&without, &[ca]);
    let event = change_event(change(stage.add_customer()));
    assert!(!waits(
        &run("change-events", &with_ca, event).await.unwrap()
    ));
    assert_eq!(stage.erp.customers(company).len(), 1);

    let norce = format!("https://localhost:{}", norce_server.port);
    let norce = with(&with_ca, &[("NORCE_BASE_URL", norce.as_str())]);
    let before: u64 = stage.norce.requests().values().sum();
    let event = change_event(change(stage.add_customer()));
    assert!(waits(&run("change-events", &norce, event).await.unwrap()));
    assert_eq!(stage.norce.requests().values().sum::<u64>(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_no_bundle_is_named_by_the_functions_and_by_the_doctor() {
    let stage = Stage::new().await;
    stage.aws.set_secret("erp-ca", "canary");
    let environment = with(&stage.environment, &[("ERP_CA_SECRET_ARN", "erp-ca")]);
    let event = change_event(change(1));
    let error = run("change-events", &environment, event).await.unwrap_err();
    let error = error["errorMessage"].as_str().unwrap();
    assert!(error.contains("erp-ca is not a PEM bundle"), "{error}");
    assert!(!error.contains("canary"), "{error}");

    let doctor = json!({ "action": "doctor" }).to_string().into_bytes();
    let check = |report: &Value| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|check| check["check"] == "secret ERP_CA_SECRET_ARN");
        check.cloned()
    };
    let report = run("operator", &environment, doctor.clone()).await.unwrap();
    let found = check(&report).unwrap();
    assert_eq!(found["ok"], false, "{found}");
    assert!(
        found["fix"].as_str().unwrap().contains("BEGIN CERTIFICATE"),
        "{found}"
    );

    stage.aws.set_secret("erp-ca", new_authority().pem);
    let report = run("operator", &environment, doctor.clone()).await.unwrap();
    assert_eq!(check(&report).unwrap()["ok"], true);
    let report = run("operator", &stage.environment, doctor).await.unwrap();
    assert_eq!(check(&report), None);
}
