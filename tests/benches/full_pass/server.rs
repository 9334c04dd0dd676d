//! An ERP and a Norce that answer at once, in a process of their own: their rows are made from their numbers, so that
//! there can be any number of them.
//!
//! The ERP's API root names how many customers it has: `/v2.0/{customers}/prod/api/v2.0/`. Each is a person with an
//! e-mail address and a number; Norce has the same people under the same numbers, but for one in
//! [`WITHOUT_CODE_EVERY`], whom it has without any.

use std::{fmt::Write as _, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;
use url::form_urlencoded;
use uuid::Uuid;

/// Of so many customers one has no code in Norce.
pub(crate) const WITHOUT_CODE_EVERY: u64 = 100;
/// Records of a page, as the client prefers them.
const PAGE: u64 = 500;
/// Ids of the ERP count up from here.
const FIRST_ID: u128 = 0x5d11_5c9c_44e3_4a11_8b43_0000_0000_0000;

/// The ERP's id of a customer.
pub(crate) fn erp_id(number: u64) -> Uuid {
    Uuid::from_u128(FIRST_ID + u128::from(number))
}

/// The customer that has an id of the ERP.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    let id = Uuid::parse_str(id).ok()?.as_u128();
    id.checked_sub(FIRST_ID)?.try_into().ok()
}

/// The code of a customer.
pub(crate) fn code(number: u64) -> String {
    format!("C{number:07}")
}

/// Serves until the program ends; `delay` is how long the ERP takes to answer. The address is printed.
pub(crate) async fn serve(delay: Duration) {
    let router = Router::new().fallback(move |uri: Uri| async move {
        if uri.path().ends_with("/customers") && !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        answer(&uri)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    // Otherwise an answer waits up to 40 ms for the acknowledgement of its first part.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router).await.expect("a server");
}

fn answer(uri: &Uri) -> Response {
    let path = uri.path();
    if path.ends_with("/token") {
        return json(
            r#"{"access_token":"instant","token_type":"Bearer","expires_in":3600}"#.into(),
        );
    }
    let options: Vec<(String, String)> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let option = |name: &str| {
        options
            .iter()
            .find(|(option, _)| option == name)
            .map(|(_, value)| value.as_str())
    };
    if path.ends_with("/Customers/Customers") {
        return json(found_in_norce(option("$filter").unwrap_or_default()));
    }
    let filter = option("$filter");
    // The sample by which it is found out that a filter on e-mail addresses filters.
    if path.ends_with("/customers")
        && filter == Some("type eq 'Person'")
        && option("$top").is_some()
    {
        return json(rows(std::iter::once(1)));
    }
    if !path.ends_with("/customers") || (option("$top").is_some() && filter.is_none()) {
        return json(r#"{"value":[]}"#.into());
    }
    if let Some(filter) = option("$filter") {
        return json(rows(asked_for(filter).into_iter()));
    }
    let customers: u64 = path
        .trim_start_matches("/v2.0/")
        .split('/')
        .next()
        .and_then(|customers| customers.parse().ok())
        .unwrap_or_default();
    let first: u64 = option("$skiptoken")
        .and_then(|token| token.parse().ok())
        .unwrap_or_default();
    let end = customers.min(first + PAGE);
    let mut body = rows(first..end);
    if end < customers {
        body.pop();
        let query = uri.query().unwrap_or_default();
        let query = query.split("&$skiptoken=").next().unwrap_or_default();
        let _ = write!(
            body,
            r#","@odata.nextLink":"{path}?{query}&$skiptoken={end}"}}"#
        );
    }
    json(body)
}

/// The customers whose numbers or addresses stand in a filter.
fn asked_for(filter: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = filter
        .split('\'')
        .skip(1)
        .step_by(2)
        .filter_map(|literal| {
            let digits = literal
                .strip_prefix('C')
                .or_else(|| literal.strip_prefix("kund.")?.strip_suffix("@example.com"));
            digits?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn rows(numbers: impl Iterator<Item = u64>) -> String {
    let mut body = String::from(r#"{"value":["#);
    for (place, number) in numbers.enumerate() {
        if place > 0 {
            body.push(',');
        }
        let _ = write!(
            body,
            r#"{{"@odata.etag":"W/\"JzIw{number:012}MDsn\"","id":"{}","number":"{}","type":"Person","email":"kund.{number}@example.com","taxRegistrationNumber":"","blocked":" ","lastModifiedDateTime":"2026-11-01T12:00:00.123Z"}}"#,
            erp_id(number),
            code(number),
        );
    }
    body.push_str("]}");
    body
}

fn found_in_norce(filter: &str) -> String {
    let mut body = String::from(r#"{"value":["#);
    for (place, number) in asked_for(filter).into_iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        let code = if number.is_multiple_of(WITHOUT_CODE_EVERY) {
            "null".to_owned()
        } else {
            format!("\"{}\"", code(number))
        };
        let _ = write!(
            body,
            r#"{{"Id":{},"CustomerCode":{code},"EmailAddress":"kund.{number}@example.com","IsActive":true,"IsForgotten":false,"ApplicationId":null}}"#,
            number + 1,
        );
    }
    body.push_str("]}");
    body
}

fn json(body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, headers, Body::from(body)).into_response()
}
