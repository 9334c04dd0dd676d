//! The AWS SDK, set up once: time-outs, the variables of a function's environment, and the HTTP client that everything else
//! goes through.
//!
//! A function finds its region and the credentials of its role in variables, so that nothing is searched for: `aws-config`, which
//! also knows profiles, container roles and single sign-on, would be a sixth of a binary and a tenth of a start. The SDK's own HTTP
//! client reads the system's root certificates when it is made, which takes longer than all else at a cold start together, and would
//! be a second HTTP and TLS stack (`tests/benches/README.md`).

use std::{fmt, sync::Arc, time::Duration};

use aws_sdk_sqs::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, timeout::TimeoutConfig,
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
use aws_types::{
    SdkConfig,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use bytes::Bytes;
use thiserror::Error;

use crate::http::{Transport, TransportError};

/// A single try of a call within the region answers in milliseconds; what takes this long is lost.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// All tries together. It stays below the four seconds in which `receive-events` answers (Norce waits for five, norce-api
/// §6), so that a queue which does not answer is named as the reason for a 5xx. CloudWatch Logs has longer ones.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_500);

/// A variable that Lambda sets, and that is missing.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0} is not set. Lambda gives a function its region and credentials in AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. To run it elsewhere, set them; `aws configure export-credentials --format env` prints the credentials of a profile"
)]
pub struct MissingVariable(&'static str);

/// The SDK's configuration for a function, from its environment.
///
/// # Errors
/// When the region or the credentials are missing.
pub fn load(transport: Arc<dyn Transport>) -> Result<SdkConfig, MissingVariable> {
    configure(transport, |name: &str| std::env::var(name).ok())
}

/// The SDK's configuration, from variables with the SDK's own names. `AWS_ENDPOINT_URL` (also for a single service, as
/// `AWS_ENDPOINT_URL_SQS`), `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT` are honoured (AWS SDKs and Tools Reference
/// Guide, "Settings reference").
///
/// # Errors
/// When the region or the credentials are missing.
pub fn configure(
    transport: Arc<dyn Transport>,
    variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<SdkConfig, MissingVariable> {
    let optional = |name: &str| variable(name).filter(|value| !value.is_empty());
    let required = |name: &'static str| optional(name).ok_or(MissingVariable(name));
    let is_on = |name: &str| optional(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let region = required("AWS_REGION")?;
    let (id, key) = (
        required("AWS_ACCESS_KEY_ID")?,
        required("AWS_SECRET_ACCESS_KEY")?,
    );
    // They are as old as the process: nobody can change its variables.
    let credentials = Credentials::new(id, key, optional("AWS_SESSION_TOKEN"), None, "environment");
    let timeouts = TimeoutConfig::builder()
        .read_timeout(ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"))
        .timeout_config(timeouts)
        .http_client(SdkTransport {
            transport,
            timeout: ATTEMPT_TIMEOUT,
        });
    config.set_endpoint_url(optional("AWS_ENDPOINT_URL"));
    Ok(config.service_config(OfServices(variable)).build())
}

/// Variables of single services, such as `AWS_ENDPOINT_URL_SQS`.
struct OfServices<V>(V);

impl<V> fmt::Debug for OfServices<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OfServices")
    }
}

impl<V: Fn(&str) -> Option<String> + Send + Sync> LoadServiceConfig for OfServices<V> {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        (self.0)(&format!("{}_{service}", key.env())).filter(|value| !value.is_empty())
    }
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

    /// The variables of a function, and one more.
    fn variables(another: (&str, &str)) -> impl Fn(&str) -> Option<String> + Send + Sync + use<> {
        let another = (another.0.to_owned(), another.1.to_owned());
        move |name: &str| {
            if name == another.0 {
                return Some(another.1.clone());
            }
            let value = match name {
                "AWS_REGION" => "eu-north-1",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "key",
                _ => return None,
            };
            Some(value.to_owned())
        }
    }

    const NO_OTHER: (&str, &str) = ("", "");

    /// Where a queue's address is asked for with these variables.
    async fn asked_at(another: (&str, &str)) -> String {
        let answer = r#"{"QueueUrl":"https://sqs.example/1/q"}"#;
        let script = Arc::new(Script {
            answers: Mutex::new(VecDeque::from([Ok(answer)])),
            asked: Mutex::default(),
        });
        let config = configure(script.clone(), variables(another)).unwrap();
        let url = aws_sdk_sqs::Client::new(&config)
            .get_queue_url()
            .queue_name("q");
        url.send().await.unwrap();
        let asked = script.asked.lock().unwrap();
        asked[0].split(' ').nth(1).unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn variables_of_the_sdk_say_where_a_service_is() {
        for (another, expected) in [
            (NO_OTHER, "https://sqs.eu-north-1.amazonaws.com/"),
            (
                ("AWS_REGION", "eu-west-1"),
                "https://sqs.eu-west-1.amazonaws.com/",
            ),
            (
                ("AWS_ENDPOINT_URL", ""),
                "https://sqs.eu-north-1.amazonaws.com/",
            ),
            (
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
                "http://127.0.0.1:1/",
            ),
            (
                ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:2"),
                "http://127.0.0.1:2/",
            ),
            (
                ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:3"),
                "https://sqs.eu-north-1.amazonaws.com/",
            ),
            (
                ("AWS_USE_FIPS_ENDPOINT", "true"),
                "https://sqs-fips.eu-north-1.amazonaws.com/",
            ),
            (
                ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE"),
                "https://sqs.eu-north-1.api.aws/",
            ),
        ] {
            assert_eq!(asked_at(another).await, expected, "{another:?}");
        }
    }

    #[test]
    fn a_function_without_region_or_credentials_does_not_start() {
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let error = configure(Arc::new(Slow), variables((name, ""))).unwrap_err();
            assert_eq!(error, MissingVariable(name));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_may_take_longer_to_search_than_anything_else_may_take() {
        let config = configure(Arc::new(Slow), variables(NO_OTHER)).unwrap();
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
        let config = configure(script.clone(), variables(NO_OTHER)).unwrap();
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
