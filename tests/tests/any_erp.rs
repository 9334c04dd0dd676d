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
    template::Template,
};

const KEY: &str = "facade-key";
const CONTRACT: &str = include_str!("../../shared/src/erp/http/openapi.yaml");

/// The contract, with the schemas where the validator looks for them.
fn contract() -> Value {
    Template::parse(CONTRACT).unwrap().as_value().clone()
}

/// Checks that a value fits a schema of the contract. Of JSON Schema it knows what the contract uses, and fails for anything
/// else: a library for it would change the features of `serde_json` for everything that is tested here.
fn check(contract: &Value, schema: &Value, value: &Value, place: &str) {
    for (keyword, rule) in schema.as_object().expect(place) {
        let length = || value.as_str().map_or(0, |text| text.chars().count() as u64);
        let items = || value.as_array().into_iter().flatten();
        let members = || value.as_object().into_iter().flatten();
        let fits = match keyword.as_str() {
            "$ref" => {
                check(contract, resolved(contract, schema), value, place);
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_a(value, name)),
                name => is_a(value, name),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => {
                let names = rule.as_array().unwrap().iter();
                names
                    .map(|name| name.as_str().unwrap())
                    .all(|name| value.get(name).is_some())
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(contract, schema, value, &format!("{place}/{name}"));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                for (name, value) in members() {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        check(contract, rule, value, &format!("{place}/{name}"));
                    }
                }
                true
            }
            "items" => {
                for item in items() {
                    check(contract, rule, item, &format!("{place}/items"));
                }
                true
            }
            "allOf" => {
                for schema in rule.as_array().unwrap() {
                    check(contract, schema, value, place);
                }
                true
            }
            // Of these schemas exactly one has the properties, or the type.
            "oneOf" => {
                let fitting = rule.as_array().unwrap().iter().filter(|schema| {
                    let required = schema["required"].as_array().into_iter().flatten();
                    let mut required = required.filter_map(Value::as_str);
                    let schema = resolved(contract, schema);
                    required.all(|name| value.get(name).is_some())
                        && (schema["type"].is_null() || is_a(value, &schema["type"]))
                });
                fitting.count() == 1
            }
            "pattern" => fits_pattern(rule.as_str().unwrap(), value.as_str().unwrap_or_default()),
            "format" => value
                .as_str()
                .unwrap()
                .parse::<chrono::DateTime<chrono::Utc>>()
                .is_ok(),
            "minLength" => length() >= rule.as_u64().unwrap(),
            "maxLength" => length() <= rule.as_u64().unwrap(),
            "minItems" => items().count() as u64 >= rule.as_u64().unwrap(),
            "maxItems" => items().count() as u64 <= rule.as_u64().unwrap(),
            "minProperties" => members().count() as u64 >= rule.as_u64().unwrap(),
            "minimum" => value.as_i64() >= rule.as_i64(),
            "maximum" => value.as_i64() <= rule.as_i64(),
            "description" => true,
            other => panic!("{place}: the check does not know `{other}`"),
        };
        assert!(fits, "{place}: {keyword} {rule} does not hold of {value}");
    }
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

/// The patterns of the contract: one class of characters, with a count.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let inner = pattern
        .strip_prefix("^[")
        .and_then(|rest| rest.strip_suffix('$'));
    let (class, count) = inner
        .and_then(|inner| inner.split_once(']'))
        .expect(pattern);
    let class: Vec<char> = class.chars().collect();
    let has = |c: char| {
        let ranges = class
            .windows(3)
            .any(|it| it[1] == '-' && (it[0]..=it[2]).contains(&c));
        ranges || class.contains(&c) && (c != '-' || class.last() == Some(&'-'))
    };
    let length = text.chars().count();
    let is_long_enough = match count {
        "+" => length > 0,
        "{2}" => length == 2,
        other => panic!("no count {other}"),
    };
    is_long_enough && text.chars().all(has)
}

/// The target of a reference, or the value itself.
fn resolved<'a>(contract: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => contract.pointer(&reference[1..]).expect(reference),
        None => value,
    }
}

/// Every content with its place.
fn contents<'a>(contract: &'a Value, operation: &'a Value, name: &str) -> Vec<(String, &'a Value)> {
    let mut contents = Vec::new();
    let body = &operation["requestBody"]["content"]["application/json"];
    if !body.is_null() {
        contents.push((format!("{name} request"), body));
    }
    for (status, response) in operation["responses"].as_object().unwrap() {
        // It has no body.
        if status == "204" {
            continue;
        }
        let response = resolved(contract, response);
        contents.push((
            format!("{name} {status}"),
            &response["content"]["application/json"],
        ));
    }
    contents
}

#[test]
fn every_operation_has_examples_that_fit_its_schemas() {
    let contract = contract();
    let mut operations = 0;
    for (path, item) in contract["paths"].as_object().unwrap() {
        for method in ["get", "post", "patch", "delete"] {
            let operation = &item[method];
            if operation.is_null() {
                continue;
            }
            operations += 1;
            let name = format!("{method} {path}");
            for (place, content) in contents(&contract, operation, &name) {
                let examples = content["examples"].as_object();
                let examples = examples.unwrap_or_else(|| panic!("{place} has no example"));
                assert!(!examples.is_empty(), "{place} has no example");
                for (example, value) in examples {
                    let place = format!("{place}, {example}");
                    check(&contract, &content["schema"], &value["value"], &place);
                }
            }
        }
    }
    assert_eq!(operations, 8);
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
    request: Option<Value>,
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
        let body = serde_json::from_slice(request.body()).ok();
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
        inner: InProcess::new(Facade::new(inner, KEY).router()),
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

/// The path of the contract that an address is of, and the operation's method.
fn operation(exchange: &Exchange) -> (&'static str, String) {
    let segments: Vec<&str> = exchange.path.trim_matches('/').split('/').collect();
    let path = match segments.as_slice() {
        ["v1", "about"] => "/v1/about",
        ["v1", "search"] => "/v1/search",
        ["v1", _] => "/v1/{resource}",
        ["v1", _, _] => "/v1/{resource}/{id}",
        ["v1", _, _, "block"] => "/v1/{resource}/{id}/block",
        other => panic!("no path of the contract: {other:?}"),
    };
    (path, exchange.method.as_str().to_lowercase())
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

    let contract = contract();
    for exchange in watched.exchanges.lock().unwrap().iter() {
        let (path, method) = operation(exchange);
        let operation = &contract["paths"][path][method.as_str()];
        let status = exchange.status.as_u16().to_string();
        let place = format!("{method} {path} {status}");
        // P11: nothing of a person is in an address.
        assert!(
            !exchange.query.contains('@') && !exchange.path.contains('@'),
            "{place}"
        );
        if let Some(request) = &exchange.request {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            check(&contract, schema, request, &format!("{place} request"));
        }
        let responses = &operation["responses"];
        let response = match &responses[status.as_str()] {
            Value::Null => &responses["default"],
            response => response,
        };
        let schema = &resolved(&contract, response)["content"]["application/json"]["schema"];
        check(&contract, schema, &exchange.answer, &place);
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
    let facade = Facade::new(inner, KEY).router();
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
