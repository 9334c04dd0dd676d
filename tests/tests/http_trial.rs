//! `trial` with `ErpKind=http` creates and removes one record through the contract, and touches no other. The suite of the adapters also
//! runs it through a facade over the simulated Business Central, and `http_erp` over a real Tryton.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use shared::{
    domain::{EntityRef, NorceId, Scope},
    erp::{
        Erp, ErpError, IdempotencyKey, PartyKind, Sale, Trial,
        http::{HttpErp, HttpErpCredentials, HttpErpSettings},
    },
    http::{Deadline, Transport, TransportError},
};
use tests::{
    bundle::{Bundle, Options},
    facade::{Facade, SimulatedCompany},
    in_process::InProcess,
    samples,
};

/// What a facade answers to a removal.
#[derive(Debug, Clone, Copy)]
enum Removal {
    /// It removes the record.
    Done,
    /// It removes the record, and the answer is lost.
    Lost,
    /// It answers with this status and body.
    Answer(u16, &'static str),
}

/// A facade with room for one record.
struct OneRecord {
    capabilities: Value,
    may_write: Option<bool>,
    removal: Mutex<Removal>,
    record: Mutex<Option<Value>>,
    /// Methods and paths.
    requests: Mutex<Vec<String>>,
}

impl OneRecord {
    fn new(capabilities: &Value) -> Self {
        let mut stated = json!({
            "fields": ["name"], "readable": ["code"], "codeCase": "exact", "conditionalUpdates": true,
            "idempotentCreates": true, "createSettlesAfterSeconds": 60,
        });
        for (name, value) in capabilities.as_object().unwrap() {
            stated[name] = value.clone();
        }
        Self {
            capabilities: stated,
            may_write: None,
            removal: Mutex::new(Removal::Done),
            record: Mutex::default(),
            requests: Mutex::default(),
        }
    }

    fn with_record(self, key: &str, name: &str) -> Self {
        *self.record.lock().unwrap() = Some(record(key, name));
        self
    }

    fn answering(self, removal: Removal) -> Self {
        *self.removal.lock().unwrap() = removal;
        self
    }

    fn create(&self, request: &Request<Bytes>) -> (u16, Value) {
        let key = request.headers()["idempotency-key"].to_str().unwrap();
        let wanted: Value = serde_json::from_slice(request.body()).unwrap();
        let mut there = self.record.lock().unwrap();
        match there.as_ref() {
            Some(record) if record["key"] == key => (200, record.clone()),
            Some(_) => (409, error("code-taken")),
            None => {
                let made = record(key, wanted["name"].as_str().unwrap());
                (201, there.insert(made).clone())
            }
        }
    }

    fn remove(&self) -> Result<(u16, Bytes), TransportError> {
        let removal = {
            let mut removal = self.removal.lock().unwrap();
            std::mem::replace(&mut *removal, Removal::Done)
        };
        if let Removal::Answer(status, body) = removal {
            return Ok((status, Bytes::from_static(body.as_bytes())));
        }
        let removed = self.record.lock().unwrap().take();
        match (removal, removed) {
            (Removal::Lost, _) => Err(TransportError::AnswerLost("reset".to_owned())),
            (_, Some(_)) => Ok((204, Bytes::new())),
            (_, None) => Ok((404, error("not-found").to_string().into())),
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The key is not part of the contract, and the adapter ignores it.
fn record(key: &str, name: &str) -> Value {
    json!({ "id": "7", "code": "P1", "version": "1", "kind": "person", "blocked": false, "name": name, "key": key })
}

fn error(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "" } })
}

#[async_trait]
impl Transport for OneRecord {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let asked = format!("{} {}", request.method(), request.uri().path());
        self.requests.lock().unwrap().push(asked.clone());
        let (status, body) = match asked.as_str() {
            "GET /v1/about" => {
                let mut about = json!({ "name": "ERP", "time": "2026-11-27T09:30:00Z", "capabilities": self.capabilities });
                if let Some(may) = self.may_write {
                    about["mayWrite"] = json!(may);
                }
                (200, about.to_string().into())
            }
            "POST /v1/customers" => {
                let (status, answer) = self.create(&request);
                (status, answer.to_string().into())
            }
            "DELETE /v1/customers/7" => {
                assert!(request.body().is_empty());
                self.remove()?
            }
            other => panic!("{other}"),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }
}

async fn trial(facade: &Arc<OneRecord>) -> Result<Trial, ErpError> {
    trial_of(facade.clone(), PartyKind::Person).await
}

async fn trial_of(facade: Arc<dyn Transport>, kind: PartyKind) -> Result<Trial, ErpError> {
    let settings = HttpErpSettings {
        base_url: "https://erp.example".parse().unwrap(),
        company: None,
        credentials: HttpErpCredentials::Key("facade-key".into()),
        home_country: None,
    };
    let erp = HttpErp::new(settings, facade).unwrap();
    let key = IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(1).unwrap()),
        code: Some("P1".parse().unwrap()),
    };
    let party = samples::party(kind, "Trial");
    erp.trial(&key, &party, Deadline::after(Duration::from_secs(60)))
        .await
}

/// The key of the trial's entity.
const KEY: &str = "customer/client/1";

#[tokio::test(start_paused = true)]
async fn a_record_is_created_compared_and_removed() {
    let facade = Arc::new(OneRecord::new(&json!({ "deletes": true })));
    let found = trial(&facade).await.unwrap();
    assert_eq!((found.code.as_str(), found.altered), ("P1", false));
    assert_eq!((found.incomplete, found.left), (None, None));
    // The contract has no orders.
    assert!(matches!(found.sale, Sale::Unknown(_)), "{:?}", found.sale);
    assert_eq!(*facade.record.lock().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn without_the_capability_or_the_right_nothing_is_created() {
    for without in [json!({}), json!({ "deletes": false })] {
        let facade = Arc::new(OneRecord::new(&without));
        let refused = trial(&facade).await.unwrap_err();
        assert!(refused.to_string().contains("`deletes`"), "{refused}");
        assert_eq!(facade.requests(), ["GET /v1/about"]);
    }
    let facade = Arc::new(OneRecord {
        may_write: Some(false),
        ..OneRecord::new(&json!({ "deletes": true }))
    });
    let refused = trial(&facade).await.unwrap_err();
    let is_right =
        matches!(&refused, ErpError::Authentication { reason } if reason.contains("mayWrite"));
    assert!(is_right, "{refused}");
    assert_eq!(facade.requests(), ["GET /v1/about"]);
}

/// An earlier trial was interrupted before the removal. The key identifies its record.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_trial_has_left_is_removed() {
    let deletes = json!({ "deletes": true });
    for (name, is_altered) in [("Trial", false), ("TRIAL AB", true)] {
        let facade = Arc::new(OneRecord::new(&deletes).with_record(KEY, name));
        let found = trial(&facade).await.unwrap();
        assert_eq!((found.altered, found.left), (is_altered, None));
        assert_eq!(*facade.record.lock().unwrap(), None);
    }
}

/// A record that was not created with the trial's key may belong to a customer.
#[tokio::test(start_paused = true)]
async fn the_record_of_somebody_else_is_not_removed() {
    for (idempotent, key) in [(true, "customer/client/2"), (false, KEY)] {
        let capabilities = json!({ "deletes": true, "idempotentCreates": idempotent });
        let facade = Arc::new(OneRecord::new(&capabilities).with_record(key, "Trial"));
        trial(&facade).await.unwrap_err();
        assert!(facade.record.lock().unwrap().is_some(), "{idempotent}");
        let removals = facade.requests().into_iter();
        let mut removals = removals.filter(|asked| asked.starts_with(Method::DELETE.as_str()));
        assert_eq!(removals.next(), None, "{idempotent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_whose_answer_is_lost_is_repeated() {
    let facade = OneRecord::new(&json!({ "deletes": true })).answering(Removal::Lost);
    let facade = Arc::new(facade);
    let found = trial(&facade).await.unwrap();
    assert_eq!(found.left, None);
    let removals = facade.requests().into_iter();
    let removals = removals.filter(|asked| asked.starts_with(Method::DELETE.as_str()));
    assert_eq!(removals.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_left_is_said() {
    for (status, body, says) in [
        (
            409,
            r#"{"error":{"code":"in-use","message":"There are invoices."}}"#,
            "in-use: There are invoices.",
        ),
        (
            422,
            r#"{"error":{"code":"protected","message":"No."}}"#,
            "protected",
        ),
        (405, "", "405"),
        // A proxy's page does not confirm a removal, and neither does a 404 without `not-found`.
        (200, "<html>", "200"),
        (404, "<html>", "404"),
    ] {
        let facade = OneRecord::new(&json!({ "deletes": true }));
        let facade = Arc::new(facade.answering(Removal::Answer(status, body)));
        let found = trial(&facade).await.unwrap();
        let left = found.left.unwrap();
        assert!(left.contains(says), "{status}: {left}");
    }
}

/// Business Central makes a contact for each customer.
#[tokio::test(start_paused = true)]
async fn what_the_erp_makes_beside_the_record_goes_with_it() {
    for kind in [PartyKind::Person, PartyKind::Company] {
        let bundle = Bundle::new(&Options {
            code_pattern: Some("{kind}{id}"),
            ..Options::default()
        });
        let (simulator, company) = (bundle.erp.clone(), bundle.erp_company());
        let erp = bundle.change_events.erps[&Scope::Client].clone();
        let facade = Facade::new(erp, "facade-key").with_removal(SimulatedCompany {
            simulator: simulator.clone(),
            company,
        });
        let facade = Arc::new(InProcess::new(facade.router()));
        let found = trial_of(facade, kind).await.unwrap();
        assert_eq!(found.left, None);
        assert_eq!(simulator.requests().carried_out().count(), 1, "the create");
        assert_eq!(simulator.customers(company), []);
        assert_eq!(simulator.contacts(company), []);
    }
}
