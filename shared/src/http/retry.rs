use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response, StatusCode, header};

use super::{Deadline, Transport, TransportError};

/// Whether a request may be sent again when it is not known what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// A read, or a write that has the same effect however often it is made.
    Idempotent,
    /// A write that has another effect each time. It is sent again only when the remote has certainly not acted.
    NonIdempotent,
}

/// How often and how patiently a call is repeated.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Calls in all, the first one included.
    pub attempts: u32,
    /// The first pause is random between zero and this; it doubles from call to call ("full jitter").
    pub first_pause: Duration,
    /// No pause is longer, unless the remote asks for it with `Retry-After`.
    pub longest_pause: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

impl Default for RetryPolicy {
    /// Short in-call patience: anything longer is the queue's business, where waiting costs nothing.
    fn default() -> Self {
        Self {
            attempts: 3,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
        }
    }
}

/// A transport with retries where a repeat is safe, bounded by a deadline.
#[derive(Clone)]
pub struct HttpClient {
    transport: Arc<dyn Transport>,
    policy: RetryPolicy,
}

impl HttpClient {
    /// A client over a transport.
    pub fn new(transport: Arc<dyn Transport>, policy: RetryPolicy) -> Self {
        Self { transport, policy }
    }

    /// Sends a request until it has an answer that a repeat would not better. The last answer is returned whatever
    /// its status: interpreting it is the caller's part.
    ///
    /// # Errors
    /// When there was no answer at all, or none in time.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, TransportError> {
        let mut attempt = 1;
        loop {
            let timeout = self.policy.timeout.min(deadline.remaining());
            if timeout.is_zero() {
                return Err(TransportError::NotSent("no time is left".to_owned()));
            }
            let outcome = self.transport.send(request.clone(), timeout).await;
            let asked = outcome
                .as_ref()
                .ok()
                .and_then(|response| retry_after(response, Utc::now()));
            if attempt >= self.policy.attempts || !worth_repeating(&outcome, idempotency) {
                return outcome;
            }
            let pause = asked.unwrap_or_else(|| self.pause(attempt));
            // A pause that leaves no time for the call after it only burns the invocation.
            if deadline.remaining() <= pause {
                return outcome;
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    fn pause(&self, attempt: u32) -> Duration {
        let longest = self
            .policy
            .first_pause
            .saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX))
            .min(self.policy.longest_pause);
        longest.mul_f64(fastrand::f64())
    }
}

fn worth_repeating(
    outcome: &Result<Response<Bytes>, TransportError>,
    idempotency: Idempotency,
) -> bool {
    match outcome {
        Err(TransportError::NotSent(_)) => true,
        Err(TransportError::CircuitOpen { .. }) => false,
        Err(TransportError::AnswerLost(_)) => idempotency == Idempotency::Idempotent,
        // 429 is said instead of acting, so that it is safe for any request.
        Ok(response) if response.status() == StatusCode::TOO_MANY_REQUESTS => true,
        Ok(response) => idempotency == Idempotency::Idempotent && is_temporary(response.status()),
    }
}

/// Statuses that say "not now" rather than "not so".
pub fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::LOCKED
        )
}

/// The longest wait that is honoured. RFC 9110 §10.2.3 knows none, and a maintenance page that asks for a day, or a date
/// with a wrong year, would keep every function away from a remote that has long been up again. A remote that is still closed
/// after an hour says so again.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// `Retry-After`, in either of its two forms (RFC 9110 §10.2.3); an hour at most.
pub fn retry_after<B>(response: &Response<B>, now: DateTime<Utc>) -> Option<Duration> {
    let value = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let asked = if is_number {
        // The number may have any length.
        value
            .parse()
            .map_or(LONGEST_RETRY_AFTER, Duration::from_secs)
    } else {
        let at = DateTime::parse_from_rfc2822(value).ok()?;
        (at.with_timezone(&Utc) - now).to_std().ok()?
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use tokio::time::Instant;

    use super::*;

    /// Answers from a script and remembers when it was asked.
    struct Script {
        answers: Mutex<Vec<Result<Response<Bytes>, TransportError>>>,
        calls: Mutex<Vec<Instant>>,
    }

    #[async_trait]
    impl Transport for Script {
        async fn send(
            &self,
            _: Request<Bytes>,
            _: Duration,
        ) -> Result<Response<Bytes>, TransportError> {
            self.calls.lock().unwrap().push(Instant::now());
            self.answers.lock().unwrap().remove(0)
        }
    }

    fn status(code: u16) -> Result<Response<Bytes>, TransportError> {
        Ok(Response::builder().status(code).body(Bytes::new()).unwrap())
    }

    fn lost() -> Result<Response<Bytes>, TransportError> {
        Err(TransportError::AnswerLost("reset".to_owned()))
    }

    async fn run(
        answers: Vec<Result<Response<Bytes>, TransportError>>,
        idempotency: Idempotency,
        time: Duration,
    ) -> (Result<u16, TransportError>, Vec<Instant>) {
        let script = Arc::new(Script {
            answers: Mutex::new(answers),
            calls: Mutex::default(),
        });
        let client = HttpClient::new(script.clone(), RetryPolicy::default());
        let request = Request::builder()
            .uri("http://127.0.0.1/")
            .body(Bytes::new())
            .unwrap();
        let outcome = client
            .send(request, idempotency, Deadline::after(time))
            .await;
        let calls = script.calls.lock().unwrap().clone();
        (outcome.map(|response| response.status().as_u16()), calls)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn p2_a_write_is_never_repeated_when_its_answer_was_lost() {
        let (outcome, calls) = run(
            vec![lost(), status(200)],
            Idempotency::NonIdempotent,
            MINUTE,
        )
        .await;
        assert!(matches!(outcome, Err(TransportError::AnswerLost(_))));
        assert_eq!(calls.len(), 1);
        let (outcome, calls) = run(
            vec![status(503), status(200)],
            Idempotency::NonIdempotent,
            MINUTE,
        )
        .await;
        assert_eq!((outcome.unwrap(), calls.len()), (503, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_repeated_and_so_is_what_was_never_sent() {
        let (outcome, calls) = run(
            vec![lost(), status(503), status(200)],
            Idempotency::Idempotent,
            MINUTE,
        )
        .await;
        assert_eq!((outcome.unwrap(), calls.len()), (200, 3));
        let not_sent = Err(TransportError::NotSent("refused".to_owned()));
        let (outcome, calls) = run(
            vec![not_sent, status(429), status(201)],
            Idempotency::NonIdempotent,
            MINUTE,
        )
        .await;
        assert_eq!((outcome.unwrap(), calls.len()), (201, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_is_returned_when_the_attempts_are_used_up() {
        let answers = vec![status(500), status(502), status(503), status(200)];
        let (outcome, calls) = run(answers, Idempotency::Idempotent, MINUTE).await;
        assert_eq!((outcome.unwrap(), calls.len()), (503, 3));
    }

    fn busy(retry_after: &str) -> Result<Response<Bytes>, TransportError> {
        let response = Response::builder()
            .status(429)
            .header("retry-after", retry_after);
        Ok(response.body(Bytes::new()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_to_the_second() {
        let (outcome, calls) = run(
            vec![busy("7"), status(200)],
            Idempotency::Idempotent,
            MINUTE,
        )
        .await;
        assert_eq!(outcome.unwrap(), 200);
        assert_eq!(calls[1] - calls[0], Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn p13_no_pause_outlasts_the_deadline() {
        let start = Instant::now();
        let (outcome, calls) = run(
            vec![busy("61"), status(200)],
            Idempotency::Idempotent,
            MINUTE,
        )
        .await;
        assert_eq!((outcome.unwrap(), calls.len()), (429, 1));
        assert_eq!(start.elapsed(), Duration::ZERO);
        let (outcome, calls) =
            run(vec![status(200)], Idempotency::Idempotent, Duration::ZERO).await;
        assert!(matches!(outcome, Err(TransportError::NotSent(_))));
        assert!(calls.is_empty());
    }

    #[test]
    fn retry_after_may_be_a_number_or_a_date_and_is_honoured_up_to_an_hour() {
        let hour = Some(3_600);
        let numbers = [u64::from(u32::MAX), i64::MAX as u64, u64::MAX].map(|n| n.to_string());
        let longer_than_u64 = "9".repeat(100);
        let mut table = vec![
            ("0", Some(0)),
            ("30", Some(30)),
            (" 30 ", Some(30)),
            ("3599", Some(3_599)),
            ("3600", hour),
            ("3601", hour),
            ("86400", hour),
            (longer_than_u64.as_str(), hour),
            ("Mon, 23 Nov 2026 10:00:30 GMT", Some(30)),
            ("Mon, 23 Nov 2026 11:00:00 GMT", hour),
            ("Mon, 23 Nov 2026 11:00:01 GMT", hour),
            ("Tue, 24 Nov 2026 10:00:00 GMT", hour),
            ("Fri, 31 Dec 9999 23:59:59 GMT", hour),
            // The past, and what is neither.
            ("Mon, 23 Nov 2026 09:59:59 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
        ];
        table.extend(numbers.iter().map(|number| (number.as_str(), hour)));
        for (value, expected) in table {
            let response = Response::builder().header("retry-after", value);
            let now = "2026-11-23T10:00:00Z".parse().unwrap();
            let after = retry_after(&response.body(()).unwrap(), now);
            assert_eq!(after, expected.map(Duration::from_secs), "{value}");
        }
    }
}
