//! The writes to Odoo's JSON API. Only those of partners are recorded.

use http::{StatusCode, request::Parts};
use serde_json::Value;

use crate::front::{Behind, CarriedOut};

const PARTNERS: &str = "/json/2/res.partner/";
/// Imports under an external id; the integration creates with it.
const LOAD: &str = "load";

/// Odoo behind a [`Front`](crate::front::Front).
#[derive(Debug)]
pub struct BehindFront {
    url: String,
}

impl BehindFront {
    /// The Odoo at this URL.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }
}

impl Behind for BehindFront {
    fn address(&self, _: &Parts) -> Result<&str, (StatusCode, Value)> {
        Ok(&self.url)
    }

    fn carried_out(
        &self,
        request: &Parts,
        body: &[u8],
        status: StatusCode,
        answer: &[u8],
    ) -> Option<CarriedOut> {
        let method = request.uri.path().strip_prefix(PARTNERS)?;
        let ids = written(method, body, answer).filter(|_| status == StatusCode::OK)?;
        Some(CarriedOut {
            creates: [LOAD, "create"].contains(&method),
            ids: ids.iter().map(i64::to_string).collect(),
        })
    }
}

/// The partners that a call has written, if it has; `load` says in its answer whether it has done anything
/// (erp-apis §2.4).
fn written(method: &str, body: &[u8], answer: &[u8]) -> Option<Vec<i64>> {
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    let ids = match method {
        LOAD => json(answer)?["ids"].take(),
        "create" => json(answer)?,
        "write" | "unlink" => json(body)?["ids"].take(),
        _ => return None,
    };
    Some(ids.as_array()?.iter().filter_map(Value::as_i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_out_is_told_by_the_answer() {
        let seen = |method: &str, body: &str, answer: &str| {
            written(method, body.as_bytes(), answer.as_bytes())
        };
        assert_eq!(seen("load", "{}", r#"{"ids":[7]}"#), Some(vec![7]));
        assert_eq!(seen("load", "{}", r#"{"ids":false,"messages":[]}"#), None);
        assert_eq!(seen("create", "{}", "[8,9]"), Some(vec![8, 9]));
        assert_eq!(seen("write", r#"{"ids":[7]}"#, "true"), Some(vec![7]));
        assert_eq!(seen("search_read", r#"{"ids":[7]}"#, "[]"), None);
    }
}
