//! The AWS SDK, set up once: time-outs, the SDK's own environment variables honoured so that the same binary runs on a
//! local AWS, and the HTTP client that everything else goes through.
//!
//! The SDK's own HTTP client reads the system's root certificates when it is made, which takes longer than all else at
//! a cold start together (`tests/benches/README.md`), and would be a second HTTP and TLS stack in every binary.

use std::{fmt, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig,
    environment::EnvironmentVariableCredentialsProvider, timeout::TimeoutConfig,
};
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
/// All tries together. It stays below the four seconds in which `receive-events` answers (Norce waits for five, norce-api
/// §6), so that a queue which does not answer is named as the reason for a 5xx. CloudWatch Logs has longer ones.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_500);

/// The SDK's configuration, from the environment, over a transport.
pub async fn load(transport: Arc<dyn Transport>) -> SdkConfig {
    let variable = |name: &str| std::env::var(name).ok();
    from_environment(loader(transport), variable).load().await
}

/// Takes the region and the credentials from the variables in which Lambda gives them to a function. The SDK's own chains look
/// there first as well, but not before they have built what looks everywhere else, which takes a tenth of a start's processor
/// time (`tests/benches/README.md`). Where a variable is missing, the chain stays.
fn from_environment(
    loader: ConfigLoader,
    variable: impl Fn(&str) -> Option<String>,
) -> ConfigLoader {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let loader = match set("AWS_REGION") {
        Some(region) => loader.region(Region::new(region)),
        None => loader,
    };
    let has_keys = set("AWS_ACCESS_KEY_ID").is_some() && set("AWS_SECRET_ACCESS_KEY").is_some();
    if has_keys {
        loader.credentials_provider(EnvironmentVariableCredentialsProvider::new())
    } else {
        loader
    }
}

/// The same before it is loaded, so that a region and credentials can be given.
pub fn loader(transport: Arc<dyn Transport>) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .read_timeout(ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(SdkTransport {
            transport,
            timeout: ATTEMPT_TIMEOUT,
        })
        .timeout_config(timeouts)
}

/// A transport as the SDK wants it.
#[derive(Clone)]
struct SdkTransport {
    transport: Arc<dyn Transport>,
    /// How long one try may take: the client's read time-out.
    timeout: Duration,
}

impl fmt::Debug for SdkTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SdkTransport")
    }
}

impl HttpClient for SdkTransport {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Self {
            transport: self.transport.clone(),
            timeout: settings.read_timeout().unwrap_or(self.timeout),
        })
    }
}

impl HttpConnector for SdkTransport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { transport, timeout } = self.clone();
        HttpConnectorFuture::new(async move { send(transport.as_ref(), request, timeout).await })
    }
}

async fn send(
    transport: &dyn Transport,
    request: HttpRequest,
    timeout: Duration,
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
        .send(request, timeout)
        .await
        .map_err(|error| match error {
            // The SDK tries both again: its own operations can be repeated.
            TransportError::NotSent(_) | TransportError::CircuitOpen { .. } => {
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
    use aws_sdk_sqs::config::Credentials;
    use chrono::DateTime;

    use super::*;
    use crate::logs::{CloudWatchLogs, Logs};

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

    /// Takes five seconds for every answer, if it is given them.
    struct Slow;

    #[async_trait]
    impl Transport for Slow {
        async fn send(
            &self,
            _: http::Request<Bytes>,
            timeout: Duration,
        ) -> Result<http::Response<Bytes>, TransportError> {
            let answer = tokio::time::sleep(Duration::from_secs(5));
            match tokio::time::timeout(timeout, answer).await {
                Ok(()) => Ok(http::Response::new(Bytes::from_static(b"{}"))),
                Err(_) => Err(TransportError::AnswerLost("time-out".to_owned())),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_region_and_the_credentials_come_from_the_variables_of_a_function() {
        let variables = |name: &str| {
            let value = match name {
                "AWS_REGION" => "eu-north-1",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "key",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = from_environment(loader(Arc::new(Slow)), variables)
            .load()
            .await;
        assert_eq!(config.region(), Some(&Region::new("eu-north-1")));
        let provider = config.credentials_provider().unwrap();
        let text = format!("{provider:?}");
        assert!(
            text.contains("EnvironmentVariableCredentialsProvider"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_may_take_longer_to_search_than_anything_else_may_take() {
        let config = loader(Arc::new(Slow))
            .region(Region::new("eu-north-1"))
            .credentials_provider(Credentials::new("id", "key", None, None, "test"))
            .load()
            .await;
        let logs = CloudWatchLogs::new(&config, "/aws/lambda/receive-events");
        let found = logs.find("customer/client/1", DateTime::UNIX_EPOCH, None);
        assert_eq!(found.await.unwrap().lines, []);
        let start = tokio::time::Instant::now();
        let url = aws_sdk_sqs::Client::new(&config)
            .get_queue_url()
            .queue_name("q");
        assert!(url.send().await.is_err());
        assert!(start.elapsed() <= OPERATION_TIMEOUT);
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
