//! The files of the page, which `build.rs` compresses, names and includes in the binary.

use aws_lambda_events::http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY},
};

use crate::answer::Answer;

/// A file of the page.
struct Asset {
    name: &'static str,
    /// The quoted digest of its content.
    tag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The document of all screens, which selects the screen by its address.
const DOCUMENT: &str = "index.html";
/// A file whose address names its content never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Browsers revalidate the document each time; it is sent again when it has changed.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The document.
pub(crate) fn document(headers: &HeaderMap) -> Answer {
    match FILES.iter().find(|file| file.name == DOCUMENT) {
        Some(file) => send(file, headers, ASK_AGAIN),
        None => Answer::not_found(),
    }
}

/// A file by its address below `/console/assets/`: the digest of the whole page and a name. Files of other releases are not
/// found.
pub(crate) fn file(address: &str, headers: &HeaderMap) -> Answer {
    let named = address.split_once('/').filter(|(hash, _)| *hash == HASH);
    let file = named.and_then(|(_, name)| {
        let mut files = FILES.iter();
        files.find(|file| file.name == name && name != DOCUMENT)
    });
    match file {
        Some(file) => send(file, headers, FOREVER),
        None => Answer::not_found(),
    }
}

/// The address of a file.
pub(crate) fn address(name: &str) -> String {
    format!("/console/assets/{HASH}/{name}")
}

/// The files with their compressed sizes in bytes.
pub fn sizes() -> impl Iterator<Item = (&'static str, usize)> {
    FILES.iter().map(|file| (file.name, file.gzip.len()))
}

fn send(file: &Asset, headers: &HeaderMap, keep: HeaderValue) -> Answer {
    let is_known = values(headers, IF_NONE_MATCH.as_str())
        .any(|tag| tag.trim_start_matches("W/") == file.tag || tag == "*");
    let takes_gzip = values(headers, ACCEPT_ENCODING.as_str()).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && quality.trim() != "q=0"
    });
    let mut answer = if is_known {
        Answer::status(304)
    } else if takes_gzip {
        Answer::bytes(200, file.gzip).with(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
    } else {
        Answer::bytes(200, file.plain)
    };
    if !is_known {
        answer = answer.of_type(media_type(file.name));
    }
    answer
        .with(CACHE_CONTROL, keep)
        .with(ETAG, HeaderValue::from_static(file.tag))
        .with(VARY, HeaderValue::from_static("accept-encoding"))
}

/// The items of a header that is a list.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lists = headers.get_all(name).into_iter();
    let lists = lists.filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
