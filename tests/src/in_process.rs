//! A simulator as the transport of a client, without a socket between them.

use std::time::Duration;

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
};
use bytes::Bytes;
use http::{Request, Response};
use shared::http::{Transport, TransportError};
use tower::ServiceExt;

use crate::business_central_simulator::ANSWER_LOST;

/// Sends every request to one router, whatever its host.
#[derive(Debug, Clone)]
pub struct InProcess(Router);

impl InProcess {
    /// A transport to this router.
    pub fn new(router: Router) -> Self {
        Self(router)
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let lost = |why: &str| TransportError::AnswerLost(why.to_owned());
        // A server goes on with its work when the client hangs up.
        let answer = tokio::spawn(self.0.clone().oneshot(request.map(Body::from)));
        let Ok(response) = tokio::time::timeout(timeout, answer)
            .await
            .map_err(|_| lost("time-out"))?
            .map_err(|_| lost("the server broke down"))?;
        if response.headers().contains_key(ANSWER_LOST) {
            return Err(lost("the connection failed"));
        }
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .map_err(|_| lost("the body broke off"))?;
        Ok(Response::from_parts(parts, body))
    }
}
