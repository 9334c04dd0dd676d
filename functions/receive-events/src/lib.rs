//! `receive-events`: takes Norce's event posts, its orders ([`OrderReceiver`]) and the ERP's events
//! ([`ErpEventReceiver`]). It authenticates, checks, puts a message on a queue, and answers.
//!
//! Norce waits five seconds for an answer, takes any 20x for delivered and tries everything else again for about 22
//! hours (norce-api §6). So the answer is 202 only once the queue has the message (P1), and nothing slow happens here. A type
//! of event that nothing here acts upon is answered with 202 as well: it would come sixteen times and be refused each time.
//! The message holds ids only: what an event says about a person goes no further.

mod body;
mod configuration;
mod erp_event;
mod order;
mod ports;
mod secret;

use std::time::Duration;

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
};
use serde::Serialize;
use shared::{
    StoreError,
    domain::{
        ApplicationId, Cause, ChangeMessage, EntityKind, EntityRef, JobMessage, NorceId, OrderKey,
    },
    metrics::Metric,
    norce::events::{Event, EventType, OtherEvent},
};
use uuid::Uuid;

use crate::ports::TOO_SLOW;

pub use configuration::{Configuration, ErpEventSettings, OrderSettings};
pub use erp_event::ERP_EVENTS_PATH;
pub use order::ORDERS_PATH;
pub use ports::{ANSWER_WITHIN, ErpEventReceiver, OrderReceiver, ReceiveEvents};
pub use secret::{Accepted, CachedSecret, SECRET_HEADER};

/// The header in which a subscription may name its event type, after Norce's own sample receiver (norce-api §6).
pub const TYPE_HEADER: &str = "x-norce-event-type";
/// The query parameter in which a subscription may name its event type.
pub const TYPE_PARAMETER: &str = "norceEventType";
/// Norce's events are a few hundred bytes; this is generous and keeps nonsense out of the queues.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The answer to a post, before it is put into HTTP.
#[derive(Debug)]
enum Answer {
    Accepted {
        event: EventType,
        what: String,
        correlation: Uuid,
    },
    /// Of a type that nothing acts upon.
    Ignored(OtherEvent),
    Unauthorised,
    NeverRight(String),
    TryAgain(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum AnswerBody<'a> {
    Accepted { subject: &'a str, correlation: Uuid },
    Ignored(&'a str),
    Error(&'a str),
}

impl ReceiveEvents {
    /// Answers one post.
    pub async fn handle(&self, request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let (response, ignored) = match path(request) {
            ORDERS_PATH => (self.handle_order(request).await, false),
            ERP_EVENTS_PATH => (self.handle_erp_event(request).await, false),
            _ => {
                let answer = self.handle_event(request).await;
                let ignored = matches!(answer, Answer::Ignored(_));
                (answer.into_response(), ignored)
            }
        };
        let answer = match response.status_code {
            _ if ignored => "ignored",
            200..300 => "accepted",
            // A post of the ERP without the secret is answered with 429.
            401 | 429 => "unauthorised",
            400..500 => "refused",
            _ => "failed",
        };
        self.metrics.count(Metric::Posts, answer);
        response
    }

    async fn handle_event(&self, request: &ApiGatewayV2httpRequest) -> Answer {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.answer(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Answer::TryAgain(TOO_SLOW.to_owned())));
        let answer = answer.unwrap_or_else(|answer| answer);
        match &answer {
            Answer::Accepted {
                event,
                what,
                correlation,
            } => {
                // `operator` looks for these lines.
                tracing::info!(event = event.name(), subject = what, %correlation, "event accepted")
            }
            Answer::Ignored(OtherEvent::Unknown(event)) => tracing::warn!(
                event,
                "event ignored: its type is not known; if it is about customers, companies, orders or jobs, correct the address or the type of its subscription in Norce Admin"
            ),
            Answer::Ignored(OtherEvent::Documented(event)) => tracing::info!(
                event,
                "event ignored: nothing acts upon its type; its subscription can be switched off in Norce Admin"
            ),
            Answer::Unauthorised => tracing::warn!("event refused: wrong or no secret"),
            Answer::NeverRight(reason) => tracing::warn!(reason, "event refused"),
            Answer::TryAgain(reason) => {
                tracing::error!(reason, "could not accept an event; Norce retries")
            }
        }
        answer
    }

    async fn answer(&self, request: &ApiGatewayV2httpRequest) -> Result<Answer, Answer> {
        self.authenticate(&request.headers).await?;
        // Before the body: of a type that nothing acts upon it may be anything.
        let event_type = event_type(request)?;
        let body = body::read(request, MAX_BODY_BYTES)
            .map_err(|error| Answer::NeverRight(error.to_string()))?;
        let event = Event::parse(event_type, body.as_bytes())
            .map_err(|error| Answer::NeverRight(error.to_string()))?;
        let correlation = Uuid::new_v4();
        let what = self.enqueue(event, correlation).await?;
        Ok(Answer::Accepted {
            event: event_type,
            what,
            correlation,
        })
    }

    /// Lets in whoever knows the secret.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let presented = headers
            .get(SECRET_HEADER)
            .map(HeaderValue::as_bytes)
            .ok_or(Answer::Unauthorised)?;
        match secret::verify(self.secrets.as_ref(), presented).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Answer::Unauthorised),
            Err(error) => Err(Answer::TryAgain(error.to_string())),
        }
    }

    async fn enqueue(&self, event: Event, correlation: Uuid) -> Result<String, Answer> {
        match event {
            Event::CustomerChanged(event) => {
                self.enqueue_entity(
                    EntityKind::Customer,
                    event.customer,
                    event.application,
                    correlation,
                )
                .await
            }
            Event::CompanyChanged(event) => {
                self.enqueue_entity(
                    EntityKind::Company,
                    event.company,
                    event.application,
                    correlation,
                )
                .await
            }
            Event::OrderReceived(event) => {
                let order = OrderKey::ClientOrderRef(event.client_order_ref);
                self.enqueue_order(order, event.application, correlation)
                    .await
            }
            Event::OrderConfirmed(event) => {
                self.enqueue_order(OrderKey::Id(event.order_id), event.application, correlation)
                    .await
            }
            Event::JobCompleted(event) => {
                let job = event.job.0;
                sent(
                    self.jobs
                        .send(&[JobMessage::Completed { job }], Duration::ZERO)
                        .await,
                )?;
                Ok(format!("job/{job}"))
            }
        }
    }

    async fn enqueue_entity(
        &self,
        kind: EntityKind,
        id: NorceId,
        application: Option<ApplicationId>,
        correlation: Uuid,
    ) -> Result<String, Answer> {
        let scope = self
            .shops
            .scope(application)
            .ok_or_else(|| foreign(application))?;
        let entity = EntityRef { kind, scope, id };
        let received_at = self.clock.now();
        self.send(ChangeMessage::Entity {
            entity,
            cause: Cause::Changed,
            received_at,
            ordered_at: None,
            correlation,
        })
        .await
    }

    async fn enqueue_order(
        &self,
        order: OrderKey,
        application: ApplicationId,
        correlation: Uuid,
    ) -> Result<String, Answer> {
        self.shops
            .scope(Some(application))
            .ok_or_else(|| foreign(Some(application)))?;
        let received_at = self.clock.now();
        self.send(ChangeMessage::Order {
            order,
            application,
            received_at,
            correlation,
        })
        .await
    }

    async fn send(&self, message: ChangeMessage) -> Result<String, Answer> {
        let subject = message.group();
        sent(self.changes.send(&[message], Duration::ZERO).await)?;
        Ok(subject)
    }
}

fn sent(result: Result<(), StoreError>) -> Result<(), Answer> {
    result.map_err(|error| Answer::TryAgain(error.to_string()))
}

fn foreign(application: Option<ApplicationId>) -> Answer {
    Answer::NeverRight(match application {
        Some(id) => format!("application {id} is not in NORCE_APPLICATIONS"),
        None => "ApplicationId is missing, and CUSTOMERS_BY_APPLICATION is `true`: set it to `with-shared` if all applications share some customers".to_owned(),
    })
}

fn path(request: &ApiGatewayV2httpRequest) -> &str {
    let path = request.raw_path.as_deref().unwrap_or_default();
    path.trim_end_matches('/')
}

/// The event type: from the path, else from the header, else from the query.
fn event_type(request: &ApiGatewayV2httpRequest) -> Result<EventType, Answer> {
    let from_path = path(request)
        .rsplit_once("/events/")
        .map(|(_, name)| name.to_owned());
    let from_header = || {
        request
            .headers
            .get(TYPE_HEADER)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let from_query = || {
        let parameters = request.query_string_parameters.iter();
        parameters
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(TYPE_PARAMETER))
            .map(|(_, value)| value.to_owned())
    };
    let name = from_path.or_else(from_header).or_else(from_query).ok_or_else(|| {
        Answer::NeverRight(format!(
            "the event type is missing: post to /events/{{type}}, or name it in the header {TYPE_HEADER} or the query parameter {TYPE_PARAMETER}"
        ))
    })?;
    name.parse().map_err(Answer::Ignored)
}

impl Answer {
    fn into_response(self) -> ApiGatewayV2httpResponse {
        let (status, body) = match &self {
            Self::Accepted {
                what, correlation, ..
            } => (
                StatusCode::ACCEPTED,
                AnswerBody::Accepted {
                    subject: what,
                    correlation: *correlation,
                },
            ),
            Self::Ignored(_) => (
                StatusCode::ACCEPTED,
                AnswerBody::Ignored("nothing here acts upon events of this type"),
            ),
            Self::Unauthorised => (
                StatusCode::UNAUTHORIZED,
                AnswerBody::Error("the header x-event-secret is missing or wrong"),
            ),
            Self::NeverRight(reason) => (StatusCode::BAD_REQUEST, AnswerBody::Error(reason)),
            // The reason is for our log; the caller only needs to know that it may come again.
            Self::TryAgain(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                AnswerBody::Error("the event could not be stored: send it again"),
            ),
        };
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(status.as_u16());
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.body = serde_json::to_string(&body).ok().map(Body::Text);
        response
    }
}
