//! Which requests of a browser come from our own page.

use aws_lambda_events::http::{
    HeaderMap,
    header::{CONTENT_TYPE, ORIGIN},
};

/// The header that the page sends with every request. Another site's page cannot without asking first (CORS), and is
/// never allowed to.
pub const PAGE_HEADER: &str = "x-console";

/// Why a request is not taken for one of our page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign(pub(crate) &'static str);

/// Takes a request that our own page has sent: by its own header, by the origin that the browser names, by what the browser
/// says of where the request comes from (Fetch Metadata), and by its type, which no form can have. All four have to be
/// there, once each.
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
