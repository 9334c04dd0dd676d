//! The AWS SDK, set up once: time-outs, the variables of a function's environment, and the HTTP client that everything else
//! goes through.
//!
//! A function finds its region and the credentials of its role in variables, so that nothing is searched for: `aws-config`, which
//! also knows profiles, container roles and single sign-on, would be a tenth of a binary and of a start. The SDK's own HTTP
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

/// The variable with an address instead of those of AWS.
const ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";

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
/// Guide, "Service-specific endpoints", "Dual-stack and FIPS endpoints").
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
    // No expiry: new credentials can only be in the variables of a new process.
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
    config.set_endpoint_url(optional(ENDPOINT_URL));
    Ok(config.service_config(ServiceEndpoints(variable)).build())
}

/// The addresses of single services, in variables such as `AWS_ENDPOINT_URL_SQS`.
struct ServiceEndpoints<V>(V);

impl<V> fmt::Debug for ServiceEndpoints<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServiceEndpoints")
    }
}

impl<V: Fn(&str) -> Option<String> + Send + Sync> LoadServiceConfig for ServiceEndpoints<V> {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        // S3 asks for settings of its own as well.
        if key.env() != ENDPOINT_URL {
            return None;
        }
        let service = key.service_id().to_uppercase().replace(' ', "_");
        (self.0)(&format!("{ENDPOINT_URL}_{service}")).filter(|value| !value.is_empty())
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

    type Answer = Result<&'static str, TransportError>;

    /// Gives prepared answers and remembers what was asked.
    struct Script {
        answers: Mutex<VecDeque<Answer>>,
        asked: Mutex<Vec<http::Request<Bytes>>>,
    }

    impl Script {
        fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
            Self {
                answers: Mutex::new(answers.into_iter().collect()),
                asked: Mutex::default(),
            }
        }
    }

    #[async_trait]
    impl Transport for Script {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, TransportError> {
            assert!(request.headers().contains_key("authorization"));
            self.asked.lock().unwrap().push(request);
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

    type Variables = &'static [(&'static str, &'static str)];

    /// The variables of a function, and others.
    fn variables(others: Variables) -> impl Fn(&str) -> Option<String> + Send + Sync + use<> {
        const OF_FUNCTION: Variables = &[
            ("AWS_REGION", "eu-north-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
        ];
        move |name: &str| {
            let mut all = others.iter().chain(OF_FUNCTION);
            let (_, value) = all.find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        }
    }

    /// Where a queue's address and a secret are asked for with these variables, and the token that is sent.
    async fn asked_with(others: Variables) -> [(String, Option<String>); 2] {
        let script = Arc::new(Script::answering([
            Ok(r#"{"QueueUrl":"https://sqs.example/1/q"}"#),
            Ok(r#"{"SecretString":"{}"}"#),
        ]));
        let config = configure(script.clone(), variables(others)).unwrap();
        let sqs = aws_sdk_sqs::Client::new(&config);
        sqs.get_queue_url().queue_name("q").send().await.unwrap();
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let secret = secrets.get_secret_value().secret_id("s");
        secret.send().await.unwrap();
        let asked = script.asked.lock().unwrap();
        [0, 1].map(|place| {
            let request: &http::Request<Bytes> = &asked[place];
            let token = request.headers().get("x-amz-security-token");
            let token = token.map(|token| token.to_str().unwrap().to_owned());
            (request.uri().to_string(), token)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn variables_of_the_sdk_say_where_a_service_is() {
        const SQS: &str = "https://sqs.eu-north-1.amazonaws.com/";
        const SECRETS: &str = "https://secretsmanager.eu-north-1.amazonaws.com/";
        const LOCAL: (&str, &str) = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        let cases: [(Variables, [&str; 2]); 11] = [
            (&[], [SQS, SECRETS]),
            (
                &[("AWS_REGION", "eu-west-1")],
                [
                    "https://sqs.eu-west-1.amazonaws.com/",
                    "https://secretsmanager.eu-west-1.amazonaws.com/",
                ],
            ),
            (&[("AWS_ENDPOINT_URL", "")], [SQS, SECRETS]),
            (&[LOCAL], ["http://127.0.0.1:1/"; 2]),
            (
                &[LOCAL, ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:2")],
                ["http://127.0.0.1:2/", "http://127.0.0.1:1/"],
            ),
            (
                &[LOCAL, ("AWS_ENDPOINT_URL_SQS", "")],
                ["http://127.0.0.1:1/"; 2],
            ),
            (
                &[("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:3")],
                [SQS, "http://127.0.0.1:3/"],
            ),
            (
                &[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:4")],
                [SQS, SECRETS],
            ),
            (&[("AWS_USE_FIPS_ENDPOINT", "false")], [SQS, SECRETS]),
            (
                &[("AWS_USE_FIPS_ENDPOINT", "true")],
                [
                    "https://sqs-fips.eu-north-1.amazonaws.com/",
                    "https://secretsmanager-fips.eu-north-1.amazonaws.com/",
                ],
            ),
            (
                &[("AWS_USE_DUALSTACK_ENDPOINT", "TRUE")],
                [
                    "https://sqs.eu-north-1.api.aws/",
                    // The SDK's rules have no other address for it.
                    SECRETS,
                ],
            ),
        ];
        for (variables, expected) in cases {
            let asked = asked_with(variables).await;
            assert_eq!(asked.map(|(address, _)| address), expected, "{variables:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_call_has_the_session_token_of_the_role() {
        for (variables, expected) in [
            (&[("AWS_SESSION_TOKEN", "token")][..], Some("token")),
            (&[("AWS_SESSION_TOKEN", "")], None),
            (&[], None),
        ] {
            for (_, token) in asked_with(variables).await {
                assert_eq!(token.as_deref(), expected, "{variables:?}");
            }
        }
    }

    #[test]
    fn a_function_without_region_or_credentials_does_not_start() {
        let missing: [Variables; 3] = [
            &[("AWS_REGION", "")],
            &[("AWS_ACCESS_KEY_ID", "")],
            &[("AWS_SECRET_ACCESS_KEY", "")],
        ];
        for variable in missing {
            let error = configure(Arc::new(Slow), variables(variable)).unwrap_err();
            assert_eq!(error, MissingVariable(variable[0].0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_may_take_longer_to_search_than_anything_else_may_take() {
        let config = configure(Arc::new(Slow), variables(&[])).unwrap();
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
        let script = Arc::new(Script::answering([
            Err(TransportError::NotSent("no connection".to_owned())),
            Err(TransportError::AnswerLost("the body broke off".to_owned())),
            Ok(r#"{"QueueUrl":"https://sqs.example/1/q"}"#),
        ]));
        let config = configure(script.clone(), variables(&[])).unwrap();
        let answer = aws_sdk_sqs::Client::new(&config)
            .get_queue_url()
            .queue_name("q")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.queue_url(), Some("https://sqs.example/1/q"));
        let asked = script.asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        for request in asked.iter() {
            assert_eq!(request.method(), "POST");
            assert_eq!(request.uri(), "https://sqs.eu-north-1.amazonaws.com/");
            assert_eq!(request.headers()["x-amz-target"], "AmazonSQS.GetQueueUrl");
            assert_eq!(request.body(), r#"{"QueueName":"q"}"#);
        }
    }
}
