//! One way to speak HTTP for all remotes: a transport that can be replaced, a deadline, and retries only where a repeat
//! is safe.

mod deadline;
mod oauth;
pub mod odata;
mod retry;
mod transport;

pub use deadline::Deadline;
pub use oauth::{AccessToken, ClientCredentials, TokenError, TokenPolicy, TokenSource};
pub use retry::{HttpClient, Idempotency, RetryPolicy, is_temporary, retry_after};
pub use transport::{
    CaBundle, CaBundleError, ReqwestTransport, Transport, TransportError, TransportSetupError,
};
