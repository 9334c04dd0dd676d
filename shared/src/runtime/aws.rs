//! The AWS SDK, set up once: time-outs, the SDK's own environment variables honoured so that the same binary runs on a
//! local AWS, and the HTTP client that everything else goes through.
//!
//! The SDK's own HTTP client reads the system's root certificates when it is made, which takes longer than all else at
//! a cold start together (`tests/benches/README.md`), and would be a second HTTP and TLS stack in every binary.

use std::{fmt, sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig, timeout::TimeoutConfig};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use crate::http::{Transport, TransportError};

/// A single try of a call within the region answers in milliseconds; what takes this long is lost.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// All tries together. It stays below Norce's five seconds for an event (norce-api §6), so that a queue which does not
/// answer becomes a 5xx and not a broken connection.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_500);

/// The SDK's configuration, from the environment, over a transport.
pub async fn load(transport: Arc<dyn Transport>) -> SdkConfig {
    loader(transport).load().await
}

fn loader(transport: Arc<dyn Transport>) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(SdkTransport(transport))
        .timeout_config(timeouts)
}

/// A transport as the SDK wants it.
#[derive(Clone)]
struct SdkTransport(Arc<dyn Transport>);

impl fmt::Debug for SdkTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SdkTransport")
    }
}

impl HttpClient for SdkTransport {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for SdkTransport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = self.0.clone();
        HttpConnectorFuture::new(async move { send(transport.as_ref(), request).await })
    }
}

async fn send(
    transport: &dyn Transport,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body
        .bytes()
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| ConnectorError::user("a body that is a stream is not sent".into()))?;
    let request = http::Request::from_parts(parts, body);
    let response = transport
        .send(request, ATTEMPT_TIMEOUT)
        .await
        .map_err(|error| match error {
            // The SDK tries both again: its own operations can be repeated.
            TransportError::NotSent(_) | TransportError::Held { .. } => {
                ConnectorError::io(error.into()).never_connected()
            }
            TransportError::AnswerLost(_) => ConnectorError::io(error.into()),
        })?;
    HttpResponse::try_from(response.map(SdkBody::from))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use async_trait::async_trait;
    use aws_sdk_sqs::config::{Credentials, Region};

    use super::*;

    /// Gives prepared answers and remembers what was asked.
    struct Script {
        answers: Mutex<VecDeque<Result<&'static str, TransportError>>>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Transport for Script {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, TransportError> {
            let target = &request.headers()["x-amz-target"];
            let (method, uri) = (request.method(), request.uri());
            let body = String::from_utf8_lossy(request.body());
            let asked = format!("{method} {uri} {} {body}", target.to_str().unwrap());
            assert!(request.headers().contains_key("authorization"));
            self.asked.lock().unwrap().push(asked);
            let answer = self.answers.lock().unwrap().pop_front().unwrap()?;
            Ok(http::Response::new(Bytes::from_static(answer.as_bytes())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_connection_fails_or_breaks_is_made_again() {
        let script = Arc::new(Script {
            answers: Mutex::new(VecDeque::from([
                Err(TransportError::NotSent("no connection".to_owned())),
                Err(TransportError::AnswerLost("the body broke off".to_owned())),
                Ok(r#"{"QueueUrl":"https://sqs.example/1/q"}"#),
            ])),
            asked: Mutex::default(),
        });
        let config = loader(script.clone())
            .region(Region::new("eu-north-1"))
            .credentials_provider(Credentials::new("id", "key", None, None, "test"))
            .load()
            .await;
        let answer = aws_sdk_sqs::Client::new(&config)
            .get_queue_url()
            .queue_name("q")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.queue_url(), Some("https://sqs.example/1/q"));
        let asked = script.asked.lock().unwrap();
        let expected = concat!(
            "POST https://sqs.eu-north-1.amazonaws.com/ AmazonSQS.GetQueueUrl ",
            r#"{"QueueName":"q"}"#
        );
        assert_eq!(*asked, [expected; 3]);
    }
}
