//! Which requests are signed: those to a facade, each sending with a signature of its own, and none to the identity provider.

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use shared::{
    domain::{Clock, Scope},
    erp::{
        Erp,
        http::{HttpErp, HttpErpCredentials, HttpErpSettings, Signer},
    },
    http::{Deadline, Transport, TransportError},
    runtime::{
        configuration::{CommonSettings, ErpSettings},
        resources::Resources,
        secrets::Secrets,
        wiring::Connections,
    },
};
use tests::resources::{MemoryResources, MemorySecrets, environment};

const KEY: &str = "a-signing-key-for-tests-of-signatures";

/// A clock that goes on by ten minutes with each look.
#[derive(Default)]
struct Late(AtomicI64);

impl Clock for Late {
    fn now(&self) -> DateTime<Utc> {
        let looks = self.0.fetch_add(1, Ordering::Relaxed);
        DateTime::from_timestamp(looks * 600, 0).unwrap()
    }
}

/// A facade that answers at the third request, after 503 and 401, and its identity provider.
#[derive(Default)]
struct Reluctant {
    requests: Mutex<Vec<Request<Bytes>>>,
    tokens: Mutex<Vec<Request<Bytes>>>,
}

#[async_trait]
impl Transport for Reluctant {
    async fn send(
        &self,
        request: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let (status, answer) = if request.uri().path() == "/token" {
            self.tokens.lock().unwrap().push(request);
            let token =
                json!({ "access_token": "token", "token_type": "Bearer", "expires_in": 3600 });
            (StatusCode::OK, token)
        } else {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request);
            let answers = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED];
            let status = answers.get(requests.len() - 1);
            let about = json!({ "name": "ERP", "time": "2026-11-27T09:30:00Z", "capabilities": {
                "fields": ["name"], "readable": ["code"], "codeCase": "exact", "conditionalUpdates": true,
                "idempotentCreates": true, "createSettlesAfterSeconds": 60,
            } });
            (status.copied().unwrap_or(StatusCode::OK), about)
        };
        let mut response = Response::new(Bytes::from(answer.to_string()));
        *response.status_mut() = status;
        Ok(response)
    }
}

#[tokio::test(start_paused = true)]
async fn each_sending_has_its_own_signature_and_a_request_for_a_token_has_none() {
    let facade = Arc::new(Reluctant::default());
    let settings = HttpErpSettings {
        base_url: "https://erp.example".parse().unwrap(),
        company: None,
        credentials: HttpErpCredentials::OAuth {
            token_url: "https://login.example/token".parse().unwrap(),
            client_id: "sync".to_owned(),
            client_secret: "s3cret".into(),
        },
        home_country: None,
    };
    let signer = Signer::new(&KEY.into(), Arc::new(Late::default())).unwrap();
    let erp = HttpErp::with_signer(settings, facade.clone(), Some(signer)).unwrap();
    erp.clock(Deadline::after(Duration::from_secs(60)))
        .await
        .unwrap();
    let requests = facade.requests.lock().unwrap();
    let created = requests.iter().map(|request| {
        assert_eq!(request.headers().get_all("signature").iter().count(), 1);
        request.headers()["signature-input"].to_str().unwrap()
    });
    let expected = [0, 600, 1200].map(|created| {
        format!(
            r#"norce=("@method" "@target-uri");created={created};keyid="norce";alg="hmac-sha256""#
        )
    });
    assert_eq!(created.collect::<Vec<_>>(), expected);
    let tokens = facade.tokens.lock().unwrap();
    assert_eq!(tokens.len(), 2);
    for token in tokens.iter() {
        assert!(!token.headers().contains_key("signature"));
    }
}

/// Whether a facade gets signatures with this secret and token endpoint, or why the adapter is not built.
async fn is_signed_with(secret: Value, token_url: &str) -> Result<bool, String> {
    let mut environment = environment(&[
        ("ERP_KIND", "http"),
        ("ERP_BASE_URL", "https://erp.example"),
        ("ERP_TOKEN_URL", token_url),
        ("ERP_COMPANY", "outlet"),
    ]);
    let common = CommonSettings::read(&mut environment).unwrap();
    let settings = ErpSettings::read(&mut environment, Some(&common.shops)).unwrap();
    let facade = Arc::new(Reluctant::default());
    let resources = MemoryResources {
        secrets: Secrets::of(MemorySecrets(HashMap::from([("erp", secret)]))),
        ..MemoryResources::new(facade.clone())
    };
    let connections = Connections::new(&resources, resources.breakers(""));
    let erps = connections.erps(&settings, &common.shops).await;
    let erps = erps.map_err(|error| error.to_string())?;
    // Refused or not, the request is seen.
    let _ = erps[&Scope::Client]
        .clock(Deadline::after(Duration::from_secs(60)))
        .await;
    let requests = facade.requests.lock().unwrap();
    Ok(requests[0].headers().contains_key("signature"))
}

#[tokio::test(start_paused = true)]
async fn the_key_is_in_the_secret_of_the_erp() {
    let key = json!({ "apiKey": "facade-key" });
    let client = json!({ "clientId": "sync", "clientSecret": "s3cret" });
    for (secret, token_url) in [(key, ""), (client, "https://login.example/token")] {
        let with = |signing_key: &str| {
            let mut secret = secret.clone();
            secret["signingKey"] = json!(signing_key);
            secret
        };
        assert_eq!(is_signed_with(secret.clone(), token_url).await, Ok(false));
        assert_eq!(is_signed_with(with(KEY), token_url).await, Ok(true));
        let short = "a-key-that-is-too-short";
        let refused = is_signed_with(with(short), token_url).await.unwrap_err();
        assert!(refused.contains("`signingKey`"), "{refused}");
        assert!(!refused.contains(short), "{refused}");
    }
}
