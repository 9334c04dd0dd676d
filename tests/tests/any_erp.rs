//! Any ERP behind a facade of the HTTP contract: the contract itself, and the flows through it, in one process and on paused
//! time. The conformance suite runs through a facade in `conformance` and `http_erp`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use conformance::contract::{Body, Contract, Operation};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use shared::{
    domain::{EntityRef, FieldGroups, NorceId, PassMode, Scope},
    erp::{
        CreateOutcome, Cursor, Erp, ErpError, ErpId, FilterProof, IdempotencyKey, KeyField,
        Listing, PartyKind, Resource,
        http::{HttpErp, HttpErpCredentials, HttpErpSettings},
    },
    http::{Deadline, Transport, TransportError},
};
use tests::{
    bundle::{Bundle, Options, UNTIL_AGAIN},
    facade::Facade,
    in_process::InProcess,
    norce_simulator::NewCompany,
    samples::{order_of, order_of_company, person},
};

const KEY: &str = "facade-key";

#[test]
fn every_operation_has_examples_that_fit_its_schemas() {
    let contract = Contract::published().unwrap();
    let operations: Vec<_> = contract.operations().collect();
    assert_eq!(operations.len(), 8);
    for Body { place, media } in operations.iter().flat_map(Operation::bodies) {
        let examples = media["examples"].as_object();
        let examples = examples.unwrap_or_else(|| panic!("{place} has no example"));
        assert!(!examples.is_empty(), "{place} has no example");
        for (example, value) in examples {
            let place = format!("{place}, {example}");
            let misfits = contract.misfits(&media["schema"], &value["value"], &place);
            assert!(misfits.is_empty(), "{misfits:?}");
        }
    }
}

/// Requests of the adapter and answers of the facade on the way between them.
struct Watched {
    inner: InProcess,
    is_down: AtomicBool,
    exchanges: Mutex<Vec<Exchange>>,
}

struct Exchange {
    method: Method,
    path: String,
    query: String,
    request: Value,
    status: StatusCode,
    answer: Value,
}

#[async_trait]
impl Transport for Watched {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(TransportError::NotSent("the facade is down".to_owned()));
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let body = serde_json::from_slice(request.body()).unwrap_or_default();
        let response = self.inner.send(request, timeout).await?;
        self.exchanges.lock().unwrap().push(Exchange {
            method,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            request: body,
            status: response.status(),
            answer: serde_json::from_slice(response.body()).unwrap_or_default(),
        });
        Ok(response)
    }
}

fn adapter(credentials: HttpErpCredentials, transport: Arc<dyn Transport>) -> HttpErp {
    let settings = HttpErpSettings {
        base_url: "https://erp.example".parse().unwrap(),
        company: Some("outlet".to_owned()),
        credentials,
        home_country: None,
    };
    HttpErp::new(settings, transport).unwrap()
}

/// A bundle whose ERP is behind a facade.
fn behind_a_facade(options: &Options) -> (Bundle, Arc<Watched>) {
    let mut bundle = Bundle::new(options);
    let inner = bundle.change_events.erps[&Scope::Client].clone();
    let watched = Arc::new(Watched {
        inner: InProcess::new(Facade::new(inner, KEY).of_company("outlet").router()),
        is_down: AtomicBool::new(false),
        exchanges: Mutex::default(),
    });
    let erp: Arc<dyn Erp> = Arc::new(adapter(
        HttpErpCredentials::Key(KEY.into()),
        watched.clone(),
    ));
    bundle.submit_imports.erps = [(Scope::Client, erp.clone())].into();
    bundle.full_pass.erps = [(Scope::Client, erp.clone())].into();
    bundle.change_events.erps = [(Scope::Client, erp)].into();
    (bundle, watched)
}

fn with_codes() -> Options {
    Options {
        code_pattern: Some("{kind}{id}"),
        ..Options::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_flows_work_through_a_facade_and_keep_to_the_contract() {
    let (bundle, watched) = behind_a_facade(&with_codes());
    let anna = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(anna));
    let company = bundle.norce.add_company(NewCompany {
        name: Some("Ek Bygg AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    bundle.norce.place_order(order_of_company(company));
    bundle.run_until_quiet().await;
    assert_eq!(bundle.customer_code(anna), Some(format!("P{anna}")));

    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-77 66 55".to_owned());
    });
    bundle.run_until_quiet().await;
    let erp_company = bundle.erp_company();
    let customers = bundle.erp.customers(erp_company);
    let phones: BTreeSet<&str> = customers
        .iter()
        .map(|it| it.phone_number.as_str())
        .collect();
    assert!(phones.contains("08-77 66 55"), "{phones:?}");

    // A customer that is in both, and has no code in Norce.
    let bo = bundle.norce.add_customer(person(2));
    let email = bundle
        .norce
        .customer(bo)
        .unwrap()
        .row
        .email_address
        .unwrap();
    let there = json!({ "number": "BO", "displayName": "Bo", "type": "Person", "email": email });
    bundle.erp.add_customer(erp_company, &there).unwrap();
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_eq!(bundle.customer_code(bo), Some("BO".to_owned()));

    let contract = Contract::published().unwrap();
    for exchange in watched.exchanges.lock().unwrap().iter() {
        let (method, path) = (exchange.method.as_str(), exchange.path.as_str());
        let operation = contract.operation(method, path).expect(path);
        // P11: nothing of a person is in an address.
        assert!(
            !exchange.query.contains('@') && !path.contains('@'),
            "{method} {path}"
        );
        let mut misfits = operation.misfits_of_request(&exchange.request);
        misfits.extend(operation.misfits_of_answer(exchange.status.as_u16(), &exchange.answer));
        assert!(misfits.is_empty(), "{misfits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p8_while_the_facade_is_down_work_waits_also_that_of_a_process_that_starts_then() {
    let (bundle, watched) = behind_a_facade(&with_codes());
    watched.is_down.store(true, Ordering::Relaxed);
    let anna = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(anna));
    bundle.run_for(Duration::from_secs(20 * 60)).await;
    assert_eq!(bundle.customer_code(anna), None);
    watched.is_down.store(false, Ordering::Relaxed);
    bundle.quiet_within(UNTIL_AGAIN).await;
    assert_eq!(bundle.customer_code(anna), Some(format!("P{anna}")));
}

#[tokio::test(start_paused = true)]
async fn fields_that_the_facade_does_not_show_cannot_be_owned_by_the_erp() {
    let (bundle, _) = behind_a_facade(&with_codes());
    let erp = &bundle.full_pass.erps[&Scope::Client];
    let soon = Deadline::after(Duration::from_secs(60));
    let capabilities = erp.capabilities(soon).await.unwrap();
    let owns: FieldGroups = "code,names,flags".parse().unwrap();
    let refused = erp_full_pass::synced_groups(owns.into(), erp.name(), capabilities).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("ERP_OWNED_FIELDS") && refused.contains("flags"),
        "{refused}"
    );
    assert!(!refused.contains("names"), "{refused}");
}

/// A facade that gives one answer to everything but `about`.
struct Answering(&'static str, StatusCode, Value);

#[async_trait]
impl Transport for Answering {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let Self(idempotent, status, answer) = self;
        let (status, answer) = match request.uri().path() {
            "/v1/about" => (StatusCode::OK, about(idempotent.parse().unwrap())),
            _ => (*status, answer.clone()),
        };
        let mut response = Response::new(Bytes::from(answer.to_string()));
        *response.status_mut() = status;
        Ok(response)
    }
}

fn about(idempotent: bool) -> Value {
    json!({
        "name": "ERP", "time": "2026-11-27T09:30:00Z",
        "capabilities": {
            "fields": ["name"], "readable": ["code"], "codeCase": "exact", "conditionalUpdates": true,
            "idempotentCreates": idempotent, "createSettlesAfterSeconds": 60,
        },
    })
}

fn answering(idempotent: &'static str, status: StatusCode, answer: Value) -> HttpErp {
    let facade = Arc::new(Answering(idempotent, status, answer));
    adapter(HttpErpCredentials::Key(KEY.into()), facade)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

#[tokio::test(start_paused = true)]
async fn p15_a_record_that_the_create_may_not_have_made_is_not_taken_for_ours() {
    let organisation = json!({ "id": "7", "code": "K7", "version": "1", "kind": "organisation", "blocked": false, "name": "Ek" });
    let person = json!({ "id": "7", "code": "K7", "version": "1", "kind": "person", "blocked": false, "name": "Ek" });
    for (idempotent, record, is_ours) in [
        ("true", &person, true),
        ("true", &organisation, false),
        ("false", &person, false),
    ] {
        let erp = answering(idempotent, StatusCode::OK, record.clone());
        let key = IdempotencyKey {
            entity: EntityRef::customer(Scope::Client, NorceId::try_from(1).unwrap()),
            code: None,
        };
        let party = tests::samples::party(PartyKind::Person, "Ek");
        let outcome = erp.create(&key, &party, soon()).await.unwrap();
        let is_there = matches!(outcome, CreateOutcome::AlreadyThere(_));
        assert_eq!(is_there, is_ours, "{idempotent} {record}: {outcome:?}");
        assert!(is_there || matches!(outcome, CreateOutcome::Ambiguous { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_of_the_contract_ends_nothing_and_makes_nothing_look_gone() {
    let listing = Listing {
        resource: Resource::Customer,
        kind: None,
        since: None,
        fields: FieldGroups::NONE,
    };
    // A page whose `next` has another name is not the last one.
    let erp = answering(
        "true",
        StatusCode::OK,
        json!({ "records": [], "nextCursor": "2" }),
    );
    let page = erp.page(&listing, None, soon()).await;
    assert!(matches!(page, Err(ErpError::Unreadable(_))), "{page:?}");
    let id = ErpId {
        resource: Resource::Customer,
        id: "7".to_owned(),
    };
    for (status, code) in [(410, "gone"), (404, "no-route")] {
        let answer = json!({ "error": { "code": code, "message": "" } });
        let erp = answering("true", StatusCode::from_u16(status).unwrap(), answer);
        let read = erp.get(&id, soon()).await;
        assert!(
            matches!(read, Err(ErpError::Unreadable(_))),
            "{status}: {read:?}"
        );
    }
    let expired = json!({ "error": { "code": "cursor-expired", "message": "" } });
    let erp = answering("true", StatusCode::GONE, expired);
    let page = erp
        .page(&listing, Some(&Cursor("2".to_owned())), soon())
        .await;
    assert_eq!(page, Err(ErpError::CursorExpired));
}

#[tokio::test(start_paused = true)]
async fn a_facade_that_cannot_search_by_numbers_is_not_relied_upon() {
    let (bundle, _) = behind_a_facade(&with_codes());
    let there = json!({ "displayName": "Ek AB", "type": "Company", "taxRegistrationNumber": "SE556036079301" });
    bundle
        .erp
        .add_customer(bundle.erp_company(), &there)
        .unwrap();
    let inner = bundle.change_events.erps[&Scope::Client].clone();
    let facade = Facade::new(inner, KEY).of_company("outlet").router();
    let refusing = Arc::new(RefusingSearch(InProcess::new(facade)));
    let erp = adapter(HttpErpCredentials::Key(KEY.into()), refusing);
    let proof = erp.key_filter(KeyField::VatNumber, soon()).await;
    assert_eq!(proof, Ok(FilterProof::Refused));
}

/// A facade that refuses every search.
struct RefusingSearch(InProcess);

#[async_trait]
impl Transport for RefusingSearch {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        if !request.uri().path().ends_with("/search") {
            return self.0.send(request, timeout).await;
        }
        let mut response = Response::new(Bytes::from_static(
            br#"{"error":{"code":"not-searchable","message":"Numbers are not indexed."}}"#,
        ));
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        Ok(response)
    }
}

/// A facade that takes the second token of its identity provider, and for one company only.
#[derive(Default)]
struct WantsToken {
    tokens: AtomicU32,
}

#[async_trait]
impl Transport for WantsToken {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
        let (status, answer) = if request.uri().path() == "/token" {
            let form = std::str::from_utf8(request.body()).unwrap();
            assert_eq!(
                form,
                "client_id=sync&client_secret=s3cret&grant_type=client_credentials"
            );
            let number = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
            let token = json!({ "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 3600 });
            (StatusCode::OK, token)
        } else if header("authorization") != Some("Bearer token-2") {
            let error = json!({ "error": { "code": "unauthorized", "message": "" } });
            (StatusCode::UNAUTHORIZED, error)
        } else {
            assert_eq!(header("erp-company"), Some("outlet"));
            (StatusCode::OK, about(true))
        };
        let mut response = Response::new(Bytes::from(answer.to_string()));
        *response.status_mut() = status;
        Ok(response)
    }
}

#[tokio::test(start_paused = true)]
async fn an_oauth_token_that_is_refused_is_replaced_once() {
    let facade = Arc::new(WantsToken::default());
    let credentials = HttpErpCredentials::OAuth {
        token_url: "https://login.example/token".parse().unwrap(),
        client_id: "sync".to_owned(),
        client_secret: "s3cret".into(),
    };
    let erp = adapter(credentials, facade.clone());
    let capabilities = erp.capabilities(soon()).await.unwrap();
    assert!(capabilities.creates_are_idempotent);
    erp.clock(soon()).await.unwrap();
    assert_eq!(facade.tokens.load(Ordering::Relaxed), 2);
}
