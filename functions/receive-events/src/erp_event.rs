//! Takes the ERP's posts about records that may have changed or gone: those of Business Central (erp-apis §1.10), and hints
//! of the HTTP contract, which have the secret in the header of Norce's events.
//!
//! | a post … | answer |
//! |---|---|
//! | with the header `x-event-secret` | a hint: 202, 400, 401 or 503, as Norce's events are answered |
//! | with `validationToken` | 200 with the token as text: the handshake of a subscription |
//! | with notifications of which one has the secret | 200 once they are queued (P1) |
//! | with anything else | 429 |
//!
//! Business Central deletes a subscription whose post is answered with anything but 2xx, 408, 429 or 5xx. While a secret is
//! rotated, a post may have one that is not accepted yet or any more; 429 says nothing about it, does not end the
//! subscription, and lets the post come again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HeaderName},
    },
};
use secrecy::ExposeSecret;
use shared::{
    domain::{ErpId, PassMessage},
    erp::{
        business_central::{Notification, read_notifications},
        events::ErpChange,
        http::read_hint,
    },
};
use uuid::Uuid;

use crate::{
    body,
    ports::{ANSWER_WITHIN, ErpEventReceiver, ReceiveEvents, TOO_SLOW},
    secret::{self, SECRET_HEADER},
};

/// The path to which the ERP posts its events.
pub const ERP_EVENTS_PATH: &str = "/erp-events";
/// The query parameter of a handshake.
const VALIDATION_TOKEN: &str = "validationToken";
/// The longest token that is sent back; what one looks like is not documented (erp-apis §1.10).
const MAX_TOKEN_BYTES: usize = 1_024;
/// A post has at most 1,000 notifications of half a kilobyte for each subscription (erp-apis §1.10); more than this no request to
/// Lambda has.
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;
/// Records in one message: few enough to be asked for within an invocation, and about 20 KB of the 1 MiB that SQS takes.
const RECORDS_PER_MESSAGE: usize = 250;

/// The answer to a post, before it is put into HTTP.
#[derive(Debug)]
enum Answer {
    /// A handshake.
    Token(String),
    /// What they say is queued: Business Central expects 200, and a hint is answered as Norce's events are.
    Accepted {
        status: StatusCode,
        records: usize,
        correlation: Uuid,
    },
    /// A hint with the wrong secret.
    WrongSecret,
    /// A hint that cannot be read.
    NeverRight(String),
    /// `ERP_EVENTS` is off.
    NotHere,
    /// Neither a handshake nor a notification with the secret.
    Unauthorised(&'static str),
    /// The secret or the queue does not answer.
    TryAgain(String),
}

impl ReceiveEvents {
    /// Answers a post of the ERP.
    pub(crate) async fn handle_erp_event(
        &self,
        request: &ApiGatewayV2httpRequest,
    ) -> ApiGatewayV2httpResponse {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.erp_event_answer(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Answer::TryAgain(TOO_SLOW.to_owned())));
        let answer = answer.unwrap_or_else(|answer| answer);
        match &answer {
            Answer::Token(_) => tracing::info!("ERP checks the address of a subscription"),
            Answer::Accepted {
                records,
                correlation,
                ..
            } => tracing::info!(records, %correlation, "ERP event accepted"),
            Answer::WrongSecret => {
                tracing::warn!(reason = "wrong secret", "ERP event refused");
            }
            Answer::NeverRight(reason) => tracing::warn!(reason, "ERP event refused"),
            Answer::NotHere => tracing::warn!("ERP event refused: ERP_EVENTS is off"),
            Answer::Unauthorised(reason) => tracing::warn!(reason, "ERP event refused"),
            Answer::TryAgain(reason) => {
                tracing::error!(reason, "could not accept an ERP event; the ERP retries");
            }
        }
        answer.into_response()
    }

    async fn erp_event_answer(&self, request: &ApiGatewayV2httpRequest) -> Result<Answer, Answer> {
        let receiver = self.erp_events.as_ref().ok_or(Answer::NotHere)?;
        if let Some(presented) = request.headers.get(SECRET_HEADER) {
            return self.hint(receiver, presented, request).await;
        }
        if let Some(token) = request.query_string_parameters.first(VALIDATION_TOKEN) {
            return if is_harmless(token) {
                Ok(Answer::Token(token.to_owned()))
            } else {
                Err(Answer::Unauthorised("an invalid validation token"))
            };
        }
        let text = body::read(request, MAX_BODY_BYTES)
            .map_err(|_| Answer::Unauthorised("a body that cannot be read"))?;
        let notifications = read_notifications(&text)
            .map_err(|_| Answer::Unauthorised("a body without notifications"))?;
        let changes = receiver.authentic(notifications).await?;
        self.queue(receiver, changes, StatusCode::OK).await
    }

    /// Takes a hint of the HTTP contract.
    async fn hint(
        &self,
        receiver: &ErpEventReceiver,
        presented: &HeaderValue,
        request: &ApiGatewayV2httpRequest,
    ) -> Result<Answer, Answer> {
        match secret::verify(receiver.secrets.as_ref(), presented.as_bytes()).await {
            Ok(true) => {}
            Ok(false) => return Err(Answer::WrongSecret),
            Err(error) => return Err(Answer::TryAgain(error.to_string())),
        }
        let never_right = |error: &dyn std::fmt::Display| Answer::NeverRight(error.to_string());
        let text = body::read(request, MAX_BODY_BYTES).map_err(|error| never_right(&error))?;
        let change = read_hint(&text).map_err(|error| never_right(&error))?;
        self.queue(receiver, vec![change], StatusCode::ACCEPTED)
            .await
    }

    /// Queues changes, which are answered with this status then.
    async fn queue(
        &self,
        receiver: &ErpEventReceiver,
        changes: Vec<ErpChange>,
        status: StatusCode,
    ) -> Result<Answer, Answer> {
        let correlation = Uuid::new_v4();
        let received_at = self.clock.now();
        let batches = batches(changes);
        let records = batches.iter().map(|(_, records)| records.len()).sum();
        let messages = batches
            .into_iter()
            .map(|(company, records)| PassMessage::ErpChanged {
                company,
                records,
                received_at,
                correlation,
            });
        let messages: Vec<PassMessage> = messages.collect();
        let sent = receiver.passes.send(&messages, Duration::ZERO).await;
        sent.map_err(|error| Answer::TryAgain(error.to_string()))?;
        Ok(Answer::Accepted {
            status,
            records,
            correlation,
        })
    }
}

impl ErpEventReceiver {
    /// The changes in the notifications that carry the secret. The others are dropped: a post may be of several subscriptions.
    async fn authentic(&self, notifications: Vec<Notification>) -> Result<Vec<ErpChange>, Answer> {
        let mut changes = Vec::new();
        let mut is_authentic = false;
        for notification in notifications {
            let Some(presented) = &notification.secret else {
                continue;
            };
            let presented = presented.expose_secret().as_bytes();
            match secret::verify(self.secrets.as_ref(), presented).await {
                Ok(true) => {
                    is_authentic = true;
                    changes.extend(notification.change);
                }
                Ok(false) => {}
                Err(error) => return Err(Answer::TryAgain(error.to_string())),
            }
        }
        if is_authentic {
            Ok(changes)
        } else {
            Err(Answer::Unauthorised("wrong or no secret"))
        }
    }
}

/// What each message is about: some records of a company, or none where there are too many to name them.
fn batches(changes: Vec<ErpChange>) -> Vec<(Option<String>, Vec<ErpId>)> {
    let mut batches = Vec::new();
    let mut named: BTreeMap<Option<String>, Vec<ErpId>> = BTreeMap::new();
    let changes: BTreeSet<ErpChange> = changes.into_iter().collect();
    for ErpChange { company, record } in changes {
        match record {
            Some(record) => named.entry(company).or_default().push(record),
            None => batches.push((company, Vec::new())),
        }
    }
    for (company, records) in named {
        let records = records.chunks(RECORDS_PER_MESSAGE);
        batches.extend(records.map(|records| (company.clone(), records.to_vec())));
    }
    batches
}

/// Whether a text can be sent back without a browser taking it for more than that.
fn is_harmless(token: &str) -> bool {
    let is_plain =
        |byte: u8| byte == b' ' || (byte.is_ascii_graphic() && !b"<>\"'`&\\".contains(&byte));
    !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(is_plain)
}

impl Answer {
    fn into_response(self) -> ApiGatewayV2httpResponse {
        let (status, body) = match self {
            Self::Token(token) => (StatusCode::OK, token),
            Self::Accepted { status, .. } => (status, String::new()),
            Self::WrongSecret => (StatusCode::UNAUTHORIZED, String::new()),
            Self::NeverRight(reason) => (StatusCode::BAD_REQUEST, reason),
            Self::NotHere => (StatusCode::NOT_FOUND, String::new()),
            Self::Unauthorised(_) => (StatusCode::TOO_MANY_REQUESTS, String::new()),
            Self::TryAgain(_) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        };
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(status.as_u16());
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers.insert(CONTENT_TYPE, plain);
        response.headers.insert(
            HeaderName::from_static("x-content-type-options"),
            HeaderValue::from_static("nosniff"),
        );
        response.body = Some(Body::Text(body));
        response
    }
}
