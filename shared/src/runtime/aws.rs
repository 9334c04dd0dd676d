//! The AWS SDK, set up once: one TLS provider, time-outs, and the SDK's own environment variables honoured, so that
//! the same binary runs on a local AWS.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// A single try of a call within the region answers in milliseconds; what takes this long is lost.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// All tries together. It stays below Norce's five seconds for an event (norce-api §6), so that a queue which does not
/// answer becomes a 5xx and not a broken connection.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(3_500);

/// The SDK's configuration, from the environment.
pub async fn load() -> SdkConfig {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .load()
        .await
}
