//! One URL for several facades with a company each, and the writes that pass through it.

use std::collections::BTreeMap;

use http::{Method, StatusCode, request::Parts};
use serde_json::{Value, json};

use crate::front::{Behind, CarriedOut};

const COMPANY: &str = "erp-company";
const VERSION: &str = "/v1/";
const BLOCK: &str = "block";
const SEARCH: &str = "search";

/// Facades behind a [`Front`](crate::front::Front).
#[derive(Debug)]
pub struct BehindFront {
    companies: BTreeMap<String, String>,
}

impl BehindFront {
    /// Companies, and the address of the facade of each. The one without a name is for requests that name none.
    pub fn new(companies: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            companies: companies.into_iter().collect(),
        }
    }
}

impl Behind for BehindFront {
    /// An unknown company is refused as the contract requires. An empty register would be filled with new records.
    fn address(&self, request: &Parts) -> Result<&str, (StatusCode, Value)> {
        let company = request.headers.get(COMPANY).map(|company| company.to_str());
        let company = company.transpose().ok().map(Option::unwrap_or_default);
        let address = company.and_then(|company| self.companies.get(company));
        let message = "The facade has no such company.";
        let error = json!({ "error": { "code": "unknown-company", "message": message } });
        let address = address.map(String::as_str);
        address.ok_or((StatusCode::FORBIDDEN, error))
    }

    fn carried_out(
        &self,
        request: &Parts,
        _: &[u8],
        status: StatusCode,
        answer: &[u8],
    ) -> Option<CarriedOut> {
        let path = request.uri.path().strip_prefix(VERSION)?;
        let path: Vec<&str> = path.split('/').collect();
        let creates = match (&request.method, path.as_slice(), status) {
            // A repeat is answered with 200 and the earlier record.
            (&Method::POST, [resource], StatusCode::CREATED) => *resource != SEARCH,
            (&Method::PATCH, [_, _], StatusCode::OK) => false,
            (&Method::POST, [_, _, BLOCK], StatusCode::OK) => false,
            _ => return None,
        };
        let answer: Value = serde_json::from_slice(answer).ok()?;
        Some(CarriedOut {
            creates,
            ids: vec![answer["id"].as_str()?.to_owned()],
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: Method, path: &str, company: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(company) = company {
            request = request.header("Erp-Company", company);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn behind(companies: &[&str]) -> BehindFront {
        let address = |company: &&str| ((*company).to_owned(), format!("http://{company}"));
        BehindFront::new(companies.iter().map(address))
    }

    #[test]
    fn a_company_that_nobody_has_is_refused() {
        let reached = |companies: &[&str], named: Option<&str>| {
            let request = parts(Method::GET, "/v1/customers", named);
            let behind = behind(companies);
            let address = behind.address(&request).map(str::to_owned);
            address.map_err(|(status, _)| status)
        };
        let two = ["shop", "outlet"];
        assert_eq!(reached(&two, Some("outlet")).unwrap(), "http://outlet");
        assert_eq!(reached(&two, Some("Outlet")), Err(StatusCode::FORBIDDEN));
        assert_eq!(reached(&two, None), Err(StatusCode::FORBIDDEN));
        assert_eq!(reached(&[""], None).unwrap(), "http://");
        assert_eq!(reached(&[""], Some("shop")), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn what_was_carried_out_is_told_by_the_answer() {
        let seen = |method: Method, path: &str, status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            let request = parts(method, path, None);
            let write = behind(&[""]).carried_out(&request, b"", status, br#"{"id":"7"}"#);
            write.map(|write| (write.creates, write.ids))
        };
        let of_seven = |creates| Some((creates, vec!["7".to_owned()]));
        assert_eq!(seen(Method::POST, "/v1/customers", 201), of_seven(true));
        assert_eq!(seen(Method::POST, "/v1/customers", 200), None);
        assert_eq!(seen(Method::POST, "/v1/customers", 422), None);
        assert_eq!(seen(Method::POST, "/v1/search", 200), None);
        assert_eq!(seen(Method::PATCH, "/v1/contacts/7", 200), of_seven(false));
        assert_eq!(seen(Method::PATCH, "/v1/contacts/7", 412), None);
        assert_eq!(
            seen(Method::POST, "/v1/customers/7/block", 200),
            of_seven(false)
        );
        assert_eq!(seen(Method::GET, "/v1/customers/7", 200), None);
    }
}
