//! `subscriptions` to the customers of a company, and the notifications of what has changed (erp-apis §1.10).
//!
//! The posts of several subscriptions are not put together, which the real server may do.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::{Method, StatusCode, header, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::sleep};
use uuid::Uuid;

use super::{
    BusinessCentralSimulator, Environment, Refused, api::Resource, authentication::has_media_type,
    company::Change,
};

/// How long a subscription lives unless it is renewed.
const LIFE: TimeDelta = TimeDelta::days(3);
/// How long changes are gathered, from the first of them.
pub const GATHERING: Duration = Duration::from_secs(30);
/// More changes than this are one notification of the collection.
const MAX_NOTIFICATIONS: usize = 1_000;
const MAX_CLIENT_STATE: usize = 2_048;
/// How long the server waits for an answer; not documented.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// "Several retries are attempted over the next 36 hours": these add up to that.
const RETRIES: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(12 * 3_600),
    Duration::from_secs(18 * 3_600 + 49 * 60),
];

/// Delivers posts to the receiver. Any function from an address and a body to a status and a body implements it.
#[async_trait]
pub trait NotificationSink: Send + Sync {
    /// Posts, and returns the status and the body of the answer.
    ///
    /// # Errors
    /// Why there was no answer.
    async fn post(&self, url: String, body: Bytes) -> Result<(u16, String), String>;
}

#[async_trait]
impl<F, Answer> NotificationSink for F
where
    F: Fn(String, Bytes) -> Answer + Send + Sync,
    Answer: Future<Output = Result<(u16, String), String>> + Send,
{
    async fn post(&self, url: String, body: Bytes) -> Result<(u16, String), String> {
        self(url, body).await
    }
}

/// A subscription, for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Its id.
    pub id: String,
    /// The company whose customers it is about.
    pub company: Uuid,
    /// Where its notifications are posted to.
    pub notification_url: String,
    /// What they carry.
    pub client_state: String,
    /// When it ends.
    pub ends: DateTime<Utc>,
}

#[derive(Debug)]
struct Subscription {
    record: SubscriptionRecord,
    resource: String,
    revision: u64,
    pending: BTreeMap<Uuid, (Change, DateTime<Utc>)>,
    /// The time of the first change that is pending.
    first: Option<DateTime<Utc>>,
    wake: Arc<Notify>,
}

/// The subscriptions of all companies.
#[derive(Default)]
pub(super) struct Subscriptions {
    rows: Vec<Subscription>,
    revision: u64,
    sink: Option<Arc<dyn NotificationSink>>,
    posts: Vec<Value>,
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.rows).finish()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    notification_url: Option<String>,
    resource: Option<String>,
    client_state: Option<String>,
}

impl Subscription {
    fn etag(&self) -> String {
        format!("W/\"JzIw{:012}MDsn\"", self.revision)
    }

    fn to_json(&self) -> Value {
        json!({
            "@odata.etag": self.etag(),
            "subscriptionId": self.record.id,
            "notificationUrl": self.record.notification_url,
            "resource": self.resource,
            "userId": Uuid::from_u128(1),
            "clientState": self.record.client_state,
            "expirationDateTime": self.record.ends.to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    }

    /// The body of a post with everything that is pending.
    fn take_notifications(&mut self) -> Option<Value> {
        let pending = std::mem::take(&mut self.pending);
        let first = self.first.take()?;
        let notification = |resource: String, change: &str, at: DateTime<Utc>| {
            json!({
                "subscriptionId": self.record.id,
                "clientState": self.record.client_state,
                "expirationDateTime": self.record.ends.to_rfc3339_opts(SecondsFormat::Secs, true),
                "resource": resource,
                "changeType": change,
                "lastModifiedDateTime": at.to_rfc3339_opts(SecondsFormat::Millis, true),
            })
        };
        let resource = self.resource.trim_start_matches('/');
        if pending.len() > MAX_NOTIFICATIONS {
            let since = (first - TimeDelta::seconds(1)).to_rfc3339_opts(SecondsFormat::Secs, true);
            let all = format!("/{resource}?$filter=lastDateTimeModified%20gt%20{since}");
            return Some(json!({ "value": [notification(all, "collection", first)] }));
        }
        let each = pending
            .into_iter()
            .map(|(id, (change, at))| notification(format!("{resource}({id})"), change.word(), at));
        Some(json!({ "value": each.collect::<Vec<_>>() }))
    }
}

impl Environment {
    /// Takes what has changed to the subscriptions. Called after every write.
    pub(super) fn gather_changes(&mut self) {
        let now = self.settings.clock.now();
        for company in &mut self.companies {
            let changed = std::mem::take(&mut company.changed);
            let of_company = |row: &&mut Subscription| row.record.company == company.settings.id;
            for row in self.subscriptions.rows.iter_mut().filter(of_company) {
                for &(id, change) in &changed {
                    let change = match (row.pending.get(&id), change) {
                        (Some((Change::Created, _)), Change::Updated) => Change::Created,
                        (_, change) => change,
                    };
                    row.pending.insert(id, (change, now));
                    row.first.get_or_insert(now);
                    row.wake.notify_one();
                }
            }
        }
    }

    fn remove_expired_subscriptions(&mut self) {
        let now = self.settings.clock.now();
        let rows = &mut self.subscriptions.rows;
        rows.retain(|row| row.record.ends > now);
    }

    fn subscription(&mut self, id: &str) -> Result<&mut Subscription, Refused> {
        self.remove_expired_subscriptions();
        let mut rows = self.subscriptions.rows.iter_mut();
        rows.find(|row| row.record.id == id)
            .ok_or_else(Refused::record_not_found)
    }

    /// The company of a resource, which may be relative or absolute.
    fn subscribed_company(&self, resource: &str) -> Result<Uuid, Refused> {
        let refused = || Refused::bad_request("The resource does not support webhooks.");
        let path = resource
            .split_once("api/v2.0/companies(")
            .ok_or_else(refused)?
            .1;
        let (company, set) = path.split_once(")/").ok_or_else(refused)?;
        let company = Uuid::parse_str(company).map_err(|_| refused())?;
        let is_there = self.companies.iter().any(|it| it.settings.id == company);
        if !is_there {
            return Err(Refused::company_not_found());
        }
        if set == "customers" {
            Ok(company)
        } else {
            Err(refused())
        }
    }
}

impl BusinessCentralSimulator {
    /// Where the handshakes and notifications of subscriptions go; without one nobody answers.
    pub fn post_notifications_to(&self, sink: Arc<dyn NotificationSink>) {
        self.lock().subscriptions.sink = Some(sink);
    }

    /// The subscriptions that have not ended.
    pub fn subscriptions(&self) -> Vec<SubscriptionRecord> {
        let mut environment = self.lock();
        environment.remove_expired_subscriptions();
        let rows = environment.subscriptions.rows.iter();
        rows.map(|row| row.record.clone()).collect()
    }

    /// Ends every subscription.
    pub fn drop_subscriptions(&self) {
        self.lock().subscriptions.rows.clear();
    }

    /// Gives every subscription another `clientState`, as if it had been made with that.
    pub fn set_client_state(&self, client_state: &str) {
        for row in &mut self.lock().subscriptions.rows {
            client_state.clone_into(&mut row.record.client_state);
        }
    }

    /// The bodies of the notifications that were posted, including repeated ones.
    pub fn notifications(&self) -> Vec<Value> {
        self.lock().subscriptions.posts.clone()
    }

    pub(super) async fn handle_subscriptions(
        &self,
        id: Option<&str>,
        parts: &Parts,
        body: &Bytes,
    ) -> Response {
        let outcome = match (&parts.method, id) {
            (&Method::GET, None) => {
                let mut environment = self.lock();
                environment.remove_expired_subscriptions();
                let rows = environment.subscriptions.rows.iter();
                let rows: Vec<Value> = rows.map(Subscription::to_json).collect();
                Ok((StatusCode::OK, json!({ "value": rows })))
            }
            (&Method::GET, Some(id)) => {
                let mut environment = self.lock();
                let row = environment.subscription(id);
                row.map(|row| (StatusCode::OK, row.to_json()))
            }
            (&Method::POST, None) => self.subscribe(parts, body).await,
            (&Method::PATCH, Some(id)) => self.renew(id, parts, body).await,
            (&Method::DELETE, Some(id)) => {
                let mut environment = self.lock();
                let there = environment.subscription(id).map(|_| ());
                let rows = &mut environment.subscriptions.rows;
                rows.retain(|row| row.record.id != id);
                there.map(|()| (StatusCode::NO_CONTENT, Value::Null))
            }
            _ => Err(Refused::method_not_allowed()),
        };
        let response = match outcome {
            Ok((status, Value::Null)) => status.into_response(),
            Ok((status, body)) => (status, Json(body)).into_response(),
            Err(refused) => refused.into_response(),
        };
        let (resource, status) = (Resource::Subscriptions, response.status());
        self.log_write(resource, &parts.method, body, status, None);
        response
    }

    async fn subscribe(&self, parts: &Parts, body: &Bytes) -> Result<(StatusCode, Value), Refused> {
        let fields = read(parts, body)?;
        let missing = |name| Refused::bad_request(format!("{name} must be provided."));
        let url = fields
            .notification_url
            .ok_or_else(|| missing("notificationUrl"))?;
        let resource = fields.resource.ok_or_else(|| missing("resource"))?;
        let company = self.lock().subscribed_company(&resource)?;
        self.shake_hands(&url).await?;
        let mut environment = self.lock();
        let ends = environment.settings.clock.now() + LIFE;
        let subscriptions = &mut environment.subscriptions;
        subscriptions.revision += 1;
        let wake = Arc::new(Notify::new());
        let row = Subscription {
            record: SubscriptionRecord {
                id: Uuid::new_v4().simple().to_string(),
                company,
                notification_url: url,
                client_state: fields.client_state.unwrap_or_default(),
                ends,
            },
            resource,
            revision: subscriptions.revision,
            pending: BTreeMap::new(),
            first: None,
            wake: wake.clone(),
        };
        let answer = row.to_json();
        tokio::spawn(self.clone().post_changes(row.record.id.clone(), wake));
        subscriptions.rows.push(row);
        Ok((StatusCode::CREATED, answer))
    }

    async fn renew(
        &self,
        id: &str,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<(StatusCode, Value), Refused> {
        let presented = parts.headers.get(header::IF_MATCH);
        let presented = presented
            .and_then(|etag| etag.to_str().ok())
            .ok_or_else(|| Refused::invalid_etag("The If-Match header is required."))?;
        let fields = read(parts, body)?;
        let url = {
            let mut environment = self.lock();
            if let Some(resource) = &fields.resource {
                environment.subscribed_company(resource)?;
            }
            let row = environment.subscription(id)?;
            if presented != "*" && presented != row.etag() {
                return Err(Refused::entity_changed());
            }
            let url = fields.notification_url;
            url.unwrap_or_else(|| row.record.notification_url.clone())
        };
        self.shake_hands(&url).await?;
        let mut environment = self.lock();
        let ends = environment.settings.clock.now() + LIFE;
        environment.subscriptions.revision += 1;
        let revision = environment.subscriptions.revision;
        let row = environment.subscription(id)?;
        row.revision = revision;
        row.record.ends = ends;
        row.record.notification_url = url;
        if let Some(state) = fields.client_state {
            row.record.client_state = state;
        }
        Ok((StatusCode::OK, row.to_json()))
    }

    /// The handshake: the answer is 200 with the token as body, and nothing else.
    async fn shake_hands(&self, url: &str) -> Result<(), Refused> {
        let token = Uuid::new_v4().to_string();
        let url = format!("{url}?validationToken={token}");
        match self.post(url, Bytes::new()).await {
            Some((200, body)) if body == token => Ok(()),
            _ => Err(Refused::dialog(
                "The notification URL did not return the validation token.",
            )),
        }
    }

    async fn post(&self, url: String, body: Bytes) -> Option<(u16, String)> {
        let sink = self.lock().subscriptions.sink.clone()?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, sink.post(url, body));
        answer.await.ok()?.ok()
    }

    /// Posts the changes of a subscription for as long as it lives.
    async fn post_changes(self, id: String, wake: Arc<Notify>) {
        loop {
            wake.notified().await;
            sleep(GATHERING).await;
            let (url, body) = {
                let mut environment = self.lock();
                let Ok(row) = environment.subscription(&id) else {
                    return;
                };
                let Some(body) = row.take_notifications() else {
                    continue;
                };
                (row.record.notification_url.clone(), body)
            };
            for wait in [Duration::ZERO].into_iter().chain(RETRIES) {
                sleep(wait).await;
                self.lock().subscriptions.posts.push(body.clone());
                let bytes = Bytes::from(body.to_string());
                match self.post(url.clone(), bytes).await {
                    Some((200..300, _)) => break,
                    None | Some((408 | 429 | 500..600, _)) => {}
                    Some(_) => {
                        let mut environment = self.lock();
                        let rows = &mut environment.subscriptions.rows;
                        rows.retain(|row| row.record.id != id);
                        return;
                    }
                }
            }
        }
    }
}

fn read(parts: &Parts, body: &Bytes) -> Result<Fields, Refused> {
    if !has_media_type(&parts.headers, "application/json") {
        return Err(Refused::status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let fields: Fields = serde_json::from_slice(body)
        .map_err(|_| Refused::bad_request("The body is not a subscription."))?;
    if fields
        .client_state
        .as_ref()
        .is_some_and(|state| state.chars().count() > MAX_CLIENT_STATE)
    {
        return Err(Refused::too_long(
            MAX_CLIENT_STATE + 1,
            MAX_CLIENT_STATE,
            "",
        ));
    }
    Ok(fields)
}
