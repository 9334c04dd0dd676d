//! Requests with an OAuth token, for the adapters whose ERP wants one.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};

use super::{ErpError, answer::CallError};
use crate::http::{Deadline, HttpClient, Idempotency, TokenError, TokenPolicy, TokenSource};

/// Tokens are valid for about an hour; renewing them a minute early costs little.
pub(super) const TOKEN_POLICY: TokenPolicy = TokenPolicy {
    early: Duration::from_secs(60),
    back_off: Duration::from_secs(20),
    timeout: Duration::from_secs(10),
};

/// Sends a request with a token. When the answer is 401, which means that nothing was done, it is sent once more with a new
/// token.
pub(super) async fn send_with_token(
    tokens: &TokenSource,
    http: &HttpClient,
    mut request: Request<Bytes>,
    idempotency: Idempotency,
    deadline: Deadline,
) -> Result<Response<Bytes>, CallError> {
    let mut renewed = false;
    loop {
        let token = tokens.token(deadline).await;
        let token = token.map_err(|error| CallError::NotDone(no_token(error)))?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, token.authorization());
        let response = http.send(request.clone(), idempotency, deadline).await?;
        if response.status() != StatusCode::UNAUTHORIZED || renewed {
            return Ok(response);
        }
        tokens.invalidate(&token).await;
        renewed = true;
    }
}

/// The error of a call for which there is no token.
fn no_token(error: TokenError) -> ErpError {
    match error {
        TokenError::RetryAfter { after, reason } => ErpError::RetryAfter {
            after,
            reason: format!("the identity provider cannot answer now: {reason}"),
        },
        TokenError::Refused { reason } => ErpError::Authentication { reason },
        // It says nothing about the request, which was not sent: a proxy's page must not be taken for a refusal.
        error @ TokenError::Unreadable(_) => ErpError::RetryAfter {
            after: None,
            reason: format!("{error}; check ERP_TOKEN_URL"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_token_is_retried_and_says_nothing_about_the_request() {
        let unreadable = TokenError::Unreadable("HTTP 200 without a token".to_owned());
        let error = no_token(unreadable);
        assert!(matches!(&error, ErpError::RetryAfter { .. }), "{error}");
        assert!(error.to_string().contains("ERP_TOKEN_URL"), "{error}");
    }
}
