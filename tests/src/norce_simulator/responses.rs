use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, headers, body.to_string()).into_response()
}

/// The body of a Connect error. That it has the form of ASP.NET's is an assumption (norce-api §12).
pub(super) fn message(status: StatusCode, message: &str) -> Response {
    json(status, &serde_json::json!({ "Message": message }))
}

/// What a proxy in front of Norce gives.
pub(super) fn html(status: StatusCode) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html")];
    let body =
        format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
    (status, headers, body).into_response()
}

/// An answer that breaks off, so that the server closes the connection; in-process, reading the body fails.
pub(super) fn closed() -> Response {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let body = stream::once(async move { Err::<bytes::Bytes, _>(broken) });
    Response::new(Body::from_stream(body))
}

pub(super) fn has_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(wanted))
}
