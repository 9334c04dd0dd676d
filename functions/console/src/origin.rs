//! Accepts only requests that come from our own page.

use aws_lambda_events::http::{
    HeaderMap,
    header::{CONTENT_TYPE, ORIGIN},
};

/// The header that the page sends with every request. The page of another site needs a preflight (CORS) for it,
/// which is never allowed.
pub const PAGE_HEADER: &str = "x-console";

/// Why a request is not accepted as one of our page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign(pub(crate) &'static str);

/// Accepts a request of our own page, by its custom header, its `Origin`, its Fetch Metadata, and its content type, which no form
/// can have. Each of the four has to be there exactly once.
pub(crate) fn check(headers: &HeaderMap, origin: &str) -> Result<(), Foreign> {
    let is = |name: &str, expected: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        value == Some(expected) && values.next().is_none()
    };
    if !is(PAGE_HEADER, "1") {
        return Err(Foreign("the header x-console is missing"));
    }
    if !is(ORIGIN.as_str(), origin) {
        return Err(Foreign("the origin is another one"));
    }
    if !is("sec-fetch-site", "same-origin") {
        return Err(Foreign("it does not come from a page of this origin"));
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media_type = media_type.and_then(|it| it.split(';').next());
    if !media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Foreign("its body is not JSON"));
    }
    Ok(())
}
