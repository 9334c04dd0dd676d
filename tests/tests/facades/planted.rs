//! Faults that real facades have. Each is a layer in front of a facade that keeps to the contract.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, Response, StatusCode},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// States `idempotentCreates`, but ignores the key.
    KeysIgnored,
    /// Stores the key after the record, so that concurrent creates do not see it.
    KeyStoredAfterTheRecord,
    /// `since` is exclusive.
    SinceExclusive,
    /// The zone of `since` is ignored.
    ZoneIgnored,
    /// Pages are offsets into a list sorted by name.
    PagesByOffset,
    /// An unknown cursor is answered with an empty last page.
    UnknownCursorIsTheEnd,
    /// Codes are compared in any case, and `codeCase` is `exact`.
    CodesFolded,
    /// E-mail addresses are compared with "contains".
    EmailsContain,
    /// E-mail addresses are compared by the case of their letters.
    EmailsByCase,
    /// Organisation numbers are compared without normalising.
    NumbersAsWritten,
    /// Blocked records are not found.
    BlockedNotFound,
    /// An outage is answered with 404 and `not-found`.
    OutageIsNotFound,
    /// An outage looks like an empty register.
    OutageIsEmpty,
    /// `If-Match` is ignored.
    VersionIgnored,
    /// The version is compared before the transaction of the change.
    VersionComparedBefore,
    /// `null` is treated as absent.
    NullIgnored,
    /// A new address is merged into the old one.
    AddressMerged,
    /// `time` is from another clock.
    OtherClock,
    /// Reading needs no key.
    ReadsWithoutKey,
    /// Errors contain the request.
    ErrorsRepeat,
    /// Unknown properties are refused.
    UnknownRefused,
    /// Every 404 has the code `not-found`.
    EverythingIsNotFound,
    /// The last page has no `next`.
    NextLeftOut,
    /// The last of several pages has its own cursor as `next`.
    ListingInACircle,
    /// A create is answered without the record's id.
    CreateWithoutId,
    /// A block leaves `version` and `modified` unchanged.
    BlockNotStamped,
    /// The telephone number is in another table, and its change leaves `version` and `modified` unchanged.
    PartNotStamped,
}

/// A facade with a fault.
#[derive(Clone)]
struct Faulty {
    fault: Fault,
    inner: Router,
    memory: Arc<Mutex<Memory>>,
}

/// The state of a faulty facade.
#[derive(Default)]
struct Memory {
    /// The record of each key.
    made: BTreeMap<String, Value>,
    /// The `version` and `modified` that records are returned with.
    stamps: BTreeMap<String, (Value, Value)>,
}

struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: axum::http::HeaderMap,
    body: Value,
}

type Answer = (StatusCode, Value);

pub(crate) fn with_fault(inner: Router, fault: Fault) -> Router {
    let faulty = Faulty {
        fault,
        inner,
        memory: Arc::default(),
    };
    Router::new().fallback(answer).with_state(faulty)
}

async fn answer(State(faulty): State<Faulty>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (status, body) = faulty.answer(asked).await;
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    Response::builder()
        .status(status)
        .body(Body::from(text))
        .unwrap()
}

fn lower(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_lowercase()
}

fn records(answer: &mut Answer) -> Option<&mut Vec<Value>> {
    answer.1.get_mut("records")?.as_array_mut()
}

impl Asked {
    fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        let pair = pairs.find(|(known, _)| known == name)?;
        Some(&pair.1)
    }

    fn is_listing(&self) -> bool {
        self.method == Method::GET && matches!(&*self.path, "/v1/customers" | "/v1/contacts")
    }

    fn is_create(&self) -> bool {
        self.method == Method::POST && matches!(&*self.path, "/v1/customers" | "/v1/contacts")
    }

    fn is_search(&self) -> bool {
        self.path == "/v1/search"
    }

    fn with(&self, method: Method, path: &str, query: &[(&str, &str)], body: Value) -> Self {
        let query = query.iter();
        Self {
            method,
            path: path.to_owned(),
            query: query
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
            headers: self.headers.clone(),
            body,
        }
    }
}

impl Faulty {
    /// The answer of the facade without a fault.
    async fn ask(&self, asked: &Asked) -> Answer {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&asked.query)
            .finish();
        let uri = format!("{}?{query}", asked.path);
        let mut request = Request::builder().method(asked.method.clone()).uri(uri);
        for (name, value) in &asked.headers {
            if name != "content-length" {
                request = request.header(name, value);
            }
        }
        let body = match &asked.body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let response = self.inner.clone().oneshot(request.body(body).unwrap());
        let response = response.await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// All records, over all pages.
    async fn everybody(&self, asked: &Asked, resource: &str) -> Result<Vec<Value>, Answer> {
        let (path, mut everybody) = (format!("/v1/{resource}"), Vec::new());
        let mut cursor = None::<String>;
        loop {
            let query = cursor.iter().map(|it| ("cursor", it.as_str()));
            let query: Vec<_> = query.collect();
            let page = asked.with(Method::GET, &path, &query, Value::Null);
            let mut answer = self.ask(&page).await;
            let Some(records) = records(&mut answer) else {
                return Err(answer);
            };
            everybody.append(records);
            match answer.1["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(everybody),
            }
        }
    }

    async fn answer(&self, mut asked: Asked) -> Answer {
        if let Some(answer) = self.instead(&mut asked).await {
            return answer;
        }
        let mut answer = self.ask(&asked).await;
        self.spoil(&asked, &mut answer);
        answer
    }

    /// Applies the fault to a request. Returns an answer if the fault replaces that of the facade.
    async fn instead(&self, asked: &mut Asked) -> Option<Answer> {
        match self.fault {
            Fault::KeyStoredAfterTheRecord if asked.is_create() => {
                return Some(self.remembering(asked).await);
            }
            Fault::ZoneIgnored => {
                for (name, value) in &mut asked.query {
                    if name == "since" {
                        *value = format!("{}Z", &value[..19]);
                    }
                }
            }
            Fault::PagesByOffset if asked.is_listing() => return self.by_offset(asked).await,
            Fault::EmailsContain if asked.is_search() => return self.containing(asked).await,
            Fault::VersionIgnored if asked.method == Method::PATCH => self.catch_up(asked).await,
            Fault::VersionComparedBefore if asked.method == Method::PATCH => {
                let now = asked.with(Method::GET, &asked.path, &[], Value::Null);
                let (_, record) = self.ask(&now).await;
                let seen = asked.headers.get("if-match");
                if seen.is_none_or(|seen| record["version"] != seen.to_str().unwrap()) {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                // By now, no other change holds the lock.
                for _ in 0..5 {
                    self.catch_up(asked).await;
                    let answer = self.ask(asked).await;
                    if answer.0 != StatusCode::PRECONDITION_FAILED {
                        return Some(answer);
                    }
                }
            }
            Fault::NullIgnored if asked.method == Method::PATCH => {
                let changes = asked.body.as_object_mut().unwrap();
                changes.retain(|_, value| !value.is_null() && value != "");
                if changes.is_empty() {
                    let now = asked.with(Method::GET, &asked.path, &[], Value::Null);
                    return Some(self.ask(&now).await);
                }
            }
            Fault::AddressMerged
                if asked.method == Method::PATCH && asked.body["address"].is_object() =>
            {
                let now = asked.with(Method::GET, &asked.path, &[], Value::Null);
                let (_, record) = self.ask(&now).await;
                for (part, value) in record["address"].as_object().into_iter().flatten() {
                    if asked.body["address"][part].is_null() {
                        asked.body["address"][part] = value.clone();
                    }
                }
            }
            Fault::ReadsWithoutKey if asked.method == Method::GET => {
                let key = format!("Bearer {}", crate::KEY);
                asked.headers.insert("authorization", key.parse().unwrap());
            }
            Fault::UnknownRefused if !asked.body["ofALaterVersion"].is_null() => {
                let message = "ofALaterVersion is not known.";
                return Some(error(StatusCode::BAD_REQUEST, "bad-request", message));
            }
            _ => {}
        }
        None
    }

    /// Applies the fault to an answer.
    fn spoil(&self, asked: &Asked, answer: &mut Answer) {
        let is_down = answer.0 == StatusCode::SERVICE_UNAVAILABLE;
        match self.fault {
            Fault::KeysIgnored | Fault::KeyStoredAfterTheRecord if asked.path == "/v1/about" => {
                answer.1["capabilities"]["idempotentCreates"] = json!(true);
            }
            Fault::CodesFolded if asked.path == "/v1/about" => {
                answer.1["capabilities"]["codeCase"] = json!("exact");
            }
            Fault::OtherClock if asked.path == "/v1/about" => {
                answer.1["time"] = json!("2026-11-27T01:00:00.000Z");
            }
            Fault::SinceExclusive => {
                if let (Some(since), Some(records)) = (asked.query("since"), records(answer)) {
                    let since: chrono::DateTime<chrono::Utc> = since.parse().unwrap();
                    records
                        .retain(|record| record["modified"].as_str().unwrap().parse() != Ok(since));
                }
            }
            Fault::UnknownCursorIsTheEnd if answer.0 == StatusCode::GONE => {
                *answer = (StatusCode::OK, json!({ "records": [], "next": null }));
            }
            Fault::EmailsByCase if asked.body["emails"].is_array() => {
                if let Some(records) = records(answer) {
                    let emails = asked.body["emails"].as_array().unwrap();
                    records.retain(|record| emails.contains(&record["email"]));
                }
            }
            Fault::NumbersAsWritten if asked.body["numbers"].is_array() => {
                if let Some(records) = records(answer) {
                    let numbers = asked.body["numbers"].as_array().unwrap();
                    records.retain(|record| numbers.contains(&record["vatNumber"]));
                }
            }
            Fault::BlockedNotFound if asked.is_search() => {
                if let Some(records) = records(answer) {
                    records.retain(|record| record["blocked"] == false);
                }
            }
            Fault::OutageIsNotFound if is_down => {
                *answer = error(
                    StatusCode::NOT_FOUND,
                    "not-found",
                    "There is no such record.",
                );
            }
            Fault::OutageIsEmpty if is_down && (asked.is_search() || asked.is_listing()) => {
                *answer = (StatusCode::OK, json!({ "records": [], "next": null }));
            }
            Fault::ErrorsRepeat if answer.1["error"].is_object() => {
                answer.1["error"]["message"] = json!(format!("Refused: {}", asked.body));
            }
            Fault::EverythingIsNotFound if answer.0 == StatusCode::NOT_FOUND => {
                *answer = error(StatusCode::NOT_FOUND, "not-found", "There is nothing.");
            }
            Fault::NextLeftOut if answer.1["next"].is_null() => {
                if let Some(page) = answer.1.as_object_mut() {
                    page.remove("next");
                }
            }
            Fault::ListingInACircle if answer.1["next"].is_null() => {
                if let (Some(cursor), true) = (asked.query("cursor"), asked.is_listing()) {
                    answer.1["next"] = json!(cursor);
                }
            }
            Fault::CreateWithoutId if asked.is_create() => {
                if let Some(record) = answer.1.as_object_mut() {
                    record.remove("id");
                }
            }
            Fault::PartNotStamped | Fault::BlockNotStamped => self.stamp(asked, answer),
            _ => {}
        }
    }

    /// Stores the key of a create after the record.
    async fn remembering(&self, asked: &Asked) -> Answer {
        let key = asked.headers.get("idempotency-key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let made = key.as_ref().and_then(|key| {
            let memory = self.memory.lock().unwrap();
            memory.made.get(key).cloned()
        });
        if let Some(made) = made {
            let path = format!("{}/{}", asked.path, made.as_str().unwrap());
            return self
                .ask(&asked.with(Method::GET, &path, &[], Value::Null))
                .await;
        }
        let answer = self.ask(asked).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Some(key) = key.filter(|_| answer.0 == StatusCode::CREATED) {
            let mut memory = self.memory.lock().unwrap();
            memory.made.insert(key, answer.1["id"].clone());
        }
        answer
    }

    /// The page at an offset into a list sorted by name.
    async fn by_offset(&self, asked: &Asked) -> Option<Answer> {
        let offset = match asked.query("cursor") {
            None => 0,
            Some(cursor) => match cursor.parse::<usize>() {
                Ok(offset) => offset,
                Err(_) => return None,
            },
        };
        let limit: usize = asked.query("limit").unwrap_or("500").parse().ok()?;
        if !(1..=500).contains(&limit) {
            return None;
        }
        let mut query: Vec<(&str, &str)> = Vec::new();
        for name in ["since", "kind", "fields"] {
            query.extend(asked.query(name).map(|value| (name, value)));
        }
        let fields = "names,code,contact-details,invoice-address,active,company-relations";
        if asked.query("fields").is_none() {
            query.push(("fields", fields));
        }
        let all = asked.with(Method::GET, &asked.path, &query, Value::Null);
        let mut answer = self.ask(&all).await;
        let all = records(&mut answer)?;
        all.sort_by_key(|record| lower(&record["name"]));
        let page: Vec<Value> = all.iter().skip(offset).take(limit).cloned().collect();
        let next = (offset + limit < all.len()).then(|| (offset + limit).to_string());
        Some((answer.0, json!({ "records": page, "next": next })))
    }

    async fn containing(&self, asked: &Asked) -> Option<Answer> {
        let emails = asked.body["emails"].as_array()?;
        let resource = asked.body["resource"].as_str()?;
        let everybody = match self.everybody(asked, resource).await {
            Ok(everybody) => everybody,
            Err(answer) => return Some(answer),
        };
        let found = everybody.into_iter().filter(|record| {
            let has = lower(&record["email"]);
            let fits = |name: &str| asked.body[name].is_null() || asked.body[name] == record[name];
            fits("kind") && fits("company") && emails.iter().any(|it| has.contains(&lower(it)))
        });
        let found: Vec<Value> = found.collect();
        Some((StatusCode::OK, json!({ "records": found })))
    }

    /// Replaces `If-Match` with the current version.
    async fn catch_up(&self, asked: &mut Asked) {
        let now = asked.with(Method::GET, &asked.path, &[], Value::Null);
        let (_, record) = self.ask(&now).await;
        if let (Some(version), true) = (
            record["version"].as_str(),
            asked.headers.contains_key("if-match"),
        ) {
            asked.headers.insert("if-match", version.parse().unwrap());
        }
    }

    /// Returns the stamps from before a change of the telephone number, or before a block.
    fn stamp(&self, asked: &Asked, answer: &mut Answer) {
        let mut memory = self.memory.lock().unwrap();
        let (_, record) = answer;
        let Some(id) = record["id"].as_str().map(str::to_owned) else {
            return;
        };
        let stamps = (record["version"].clone(), record["modified"].clone());
        let is_part = match self.fault {
            Fault::BlockNotStamped => asked.path.ends_with("/block"),
            _ => asked.method == Method::PATCH && !asked.body["phone"].is_null(),
        };
        match memory.stamps.get(&id) {
            Some((version, modified)) if is_part => {
                record["version"] = version.clone();
                record["modified"] = modified.clone();
            }
            _ => {
                memory.stamps.insert(id, stamps);
            }
        }
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let error = json!({ "error": { "code": code, "message": message } });
    (status, error)
}
