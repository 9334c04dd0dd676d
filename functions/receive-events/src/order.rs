//! Takes the orders that Norce posts to an order receiver (norce-api §10.1).
//!
//! Norce waits for the answer and has no other copy on its way, so that "OK" is said only once the order is stored and a
//! message about it is queued (P1). The message names the order; the order itself stays in its table.

use std::time::Duration;

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;
use shared::{
    domain::{ApplicationId, ChangeMessage, OrderKey, OrderText},
    norce::{events::POSTED_ORDER, order_request::OrderRequest},
    orders::{MAX_ORDER_BYTES, OrderRef, Received},
};
use uuid::Uuid;

use crate::{
    body::{self, UnreadableBody},
    ports::{ANSWER_WITHIN, ReceiveEvents, TOO_SLOW},
    secret::{self, Credentials},
};

/// The path to which Norce posts orders.
pub const ORDERS_PATH: &str = "/orders";

/// The answer, before it is written as HTTP.
#[derive(Debug)]
enum Answer {
    Received { subject: String, correlation: Uuid },
    AlreadyForwarded { subject: String, same: bool },
    NotHere,
    Unauthorised,
    NeverRight { status: StatusCode, reason: String },
    TryAgain(String),
}

/// Norce's `OrderResponse` (norce-api §10.1).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderResponse<'a> {
    status_code: &'static str,
    description: &'a str,
    has_erp_order_no: bool,
    erp_order_no: &'static str,
}

impl ReceiveEvents {
    /// Answers the post of an order.
    pub(crate) async fn handle_order(
        &self,
        request: &ApiGatewayV2httpRequest,
    ) -> ApiGatewayV2httpResponse {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.order_answer(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Answer::TryAgain(TOO_SLOW.to_owned())));
        let answer = answer.unwrap_or_else(|answer| answer);
        match &answer {
            Answer::Received {
                subject,
                correlation,
            } => tracing::info!(event = POSTED_ORDER, subject, %correlation, "order received"),
            Answer::AlreadyForwarded {
                subject,
                same: true,
            } => tracing::info!(subject, "order was already forwarded"),
            Answer::AlreadyForwarded {
                subject,
                same: false,
            } => tracing::warn!(
                subject,
                "order was already forwarded, and what differs now is not taken"
            ),
            Answer::NotHere => tracing::warn!("order refused: ORDER_RECEIVER is not on"),
            Answer::Unauthorised => tracing::warn!("order refused: wrong or no credentials"),
            Answer::NeverRight { reason, .. } => tracing::warn!(reason, "order refused"),
            Answer::TryAgain(reason) => {
                tracing::error!(reason, "could not accept an order; Norce retries")
            }
        }
        answer.into_response()
    }

    async fn order_answer(&self, request: &ApiGatewayV2httpRequest) -> Result<Answer, Answer> {
        let receiver = self.orders.as_ref().ok_or(Answer::NotHere)?;
        let presented = credentials(&request.headers).ok_or(Answer::Unauthorised)?;
        match secret::verify(receiver.secrets.as_ref(), &presented).await {
            Ok(true) => {}
            Ok(false) => return Err(Answer::Unauthorised),
            Err(error) => return Err(Answer::TryAgain(error.to_string())),
        }
        let text = text(request)?;
        let order = OrderRequest::read(&text).map_err(|error| bad(error.to_string()))?;
        let application = self.application_of(order.application_key)?;
        let key = OrderRef {
            application,
            client_order_ref: order.client_order_ref,
        };
        let received_at = self.clock.now();
        let correlation = Uuid::new_v4();
        let message = ChangeMessage::Order {
            order: OrderKey::ClientOrderRef(key.client_order_ref.clone()),
            application,
            received_at,
            correlation,
        };
        let subject = message.group();
        let order = OrderText::new(text);
        let stored = receiver.orders.receive(&key, &order, received_at).await;
        let stored = stored.map_err(|error| Answer::TryAgain(error.to_string()))?;
        if let Received::Forwarded { same } = stored {
            return Ok(Answer::AlreadyForwarded { subject, same });
        }
        // Also for a post that says nothing new: the one before may have ended between these two steps.
        let queued = self.changes.send(&[message], Duration::ZERO).await;
        queued.map_err(|error| Answer::TryAgain(error.to_string()))?;
        Ok(Answer::Received {
            subject,
            correlation,
        })
    }

    /// The shop of an order. The contract leaves the key optional (norce-api §10.1); with one shop there is no question.
    fn application_of(&self, key: Option<Uuid>) -> Result<ApplicationId, Answer> {
        let applications = &self.shops.applications;
        match key {
            Some(key) => {
                let known = applications.iter().find(|known| known.key == key);
                let known = known.map(|application| application.id);
                known.ok_or_else(|| bad(format!("application {key} is not in NORCE_APPLICATIONS")))
            }
            None if applications.iter().count() == 1 => Ok(applications.default_application().id),
            None => Err(bad(
                "the field `Header.ApplicationKey` is missing, and there are several applications"
                    .to_owned(),
            )),
        }
    }
}

/// The user name and the password of Basic authentication (RFC 7617 §2).
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (username, password) = decoded.split_at(colon);
    Some(Credentials {
        username: username.to_vec(),
        password: password.iter().skip(1).copied().collect(),
    })
}

/// The order's text, if it is one that can be kept. It is what is forwarded: without the byte order mark and in UTF-8, as
/// JSON is written between systems (RFC 8259 §8.1).
fn text(request: &ApiGatewayV2httpRequest) -> Result<String, Answer> {
    let content_type = request.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let body = body::read(request, MAX_ORDER_BYTES);
    let is_xml = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("xml"))
        || body
            .as_ref()
            .is_ok_and(|body| body.trim_ascii_start().starts_with('<'));
    if is_xml {
        return Err(Answer::NeverRight {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            reason: "the order is XML: choose the endpoint type REST (recommended), with JSON, in Norce Admin"
                .to_owned(),
        });
    }
    body.map_err(|error| match error {
        UnreadableBody::TooLong { .. } => Answer::NeverRight {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            reason: error.to_string(),
        },
        other => bad(other.to_string()),
    })
}

fn bad(reason: String) -> Answer {
    Answer::NeverRight {
        status: StatusCode::BAD_REQUEST,
        reason,
    }
}

impl Answer {
    fn into_response(self) -> ApiGatewayV2httpResponse {
        let (status, description) = match &self {
            Self::Received { .. } => (StatusCode::OK, "The order is received."),
            Self::AlreadyForwarded { .. } => (StatusCode::OK, "The order was received before."),
            Self::NotHere => (
                StatusCode::NOT_FOUND,
                "orders are not received here: ORDER_RECEIVER is not on",
            ),
            Self::Unauthorised => (
                StatusCode::UNAUTHORIZED,
                "the user name or the password is missing or wrong",
            ),
            Self::NeverRight { status, reason } => (*status, reason.as_str()),
            // The reason is for our log; the caller only needs to know that it may come again.
            Self::TryAgain(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the order could not be stored: send it again",
            ),
        };
        let body = OrderResponse {
            status_code: if status.is_success() { "OK" } else { "Failed" },
            description,
            has_erp_order_no: false,
            erp_order_no: "",
        };
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(status.as_u16());
        let headers = &mut response.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"orders\", charset=\"UTF-8\""),
            );
        }
        response.body = serde_json::to_string(&body).ok().map(Body::Text);
        response
    }
}
