//! The body of a post as text, whatever API Gateway and whoever posted have wrapped it in.
//!
//! API Gateway puts the chunks of a body together and hands on as base64 what it does not take for text, such as a body with
//! a `Content-Encoding`. JSON is UTF-8 (RFC 8259 §8.1), but a byte order mark, UTF-16 and ISO 8859-1 are common enough
//! among senders that write text files.

use std::io::Read as _;

use aws_lambda_events::{
    apigw::ApiGatewayV2httpRequest,
    http::{
        HeaderMap, HeaderName,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::read::MultiGzDecoder;
use thiserror::Error;

/// The first bytes of what gzip has compressed (RFC 1952 §2.3.1). No text begins with them.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a body cannot be read. None of its words is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum UnreadableBody {
    /// It is longer than anything that is expected.
    #[error("the body has {bytes} bytes; at most {limit} are taken")]
    TooLong { bytes: usize, limit: usize },
    /// It would be, once it is unpacked.
    #[error("the body has more than {limit} bytes once it is unpacked; at most {limit} are taken")]
    TooLongUnpacked { limit: usize },
    /// The gateway says that it is base64.
    #[error("the body is not base64, as the gateway says it is")]
    NotBase64,
    /// It begins as gzip does, or the header says that it is.
    #[error("the body is not gzip, as its beginning or the header Content-Encoding says it is")]
    NotGzip,
    /// Compressed in another way.
    #[error("the body is compressed in another way than gzip, as the header Content-Encoding says")]
    OtherEncoding,
    /// Not the text that it should be.
    #[error("the body is not UTF-8")]
    NotText,
}

/// The body as text, without a byte order mark. `limit`: how many bytes it may have, packed and unpacked.
pub(crate) fn read(
    request: &ApiGatewayV2httpRequest,
    limit: usize,
) -> Result<String, UnreadableBody> {
    let text = request.body.as_deref().unwrap_or_default();
    let sent = if request.is_base64_encoded {
        BASE64.decode(text).map_err(|_| UnreadableBody::NotBase64)?
    } else {
        text.as_bytes().to_vec()
    };
    let bytes = sent.len();
    if bytes > limit {
        return Err(UnreadableBody::TooLong { bytes, limit });
    }
    let encoding = header(&request.headers, &CONTENT_ENCODING);
    let unpacked = match encoding.as_str() {
        _ if sent.starts_with(&GZIP) => unpack(&sent, limit)?,
        // Something on the way has unpacked it and left the header.
        "gzip" | "x-gzip" if std::str::from_utf8(&sent).is_ok_and(|text| text.contains('{')) => {
            sent
        }
        "gzip" | "x-gzip" => return Err(UnreadableBody::NotGzip),
        "" | "identity" => sent,
        _ => return Err(UnreadableBody::OtherEncoding),
    };
    decode(unpacked, charset(&header(&request.headers, &CONTENT_TYPE)))
}

/// A header in lower case; empty where there is none.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnreadableBody> {
    let mut unpacked = Vec::new();
    // One byte more than is taken, so that a small body that would fill the memory ends there.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed)
        .take(most)
        .read_to_end(&mut unpacked)
        .map_err(|_| UnreadableBody::NotGzip)?;
    if unpacked.len() > limit {
        return Err(UnreadableBody::TooLongUnpacked { limit });
    }
    Ok(unpacked)
}

/// The parameter `charset` of a content type.
fn charset(content_type: &str) -> &str {
    content_type
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim() == "charset")
        .map_or("", |(_, value)| value.trim().trim_matches('"'))
}

/// A byte order mark goes before what the header says.
fn decode(bytes: Vec<u8>, charset: &str) -> Result<String, UnreadableBody> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        text.ok_or(UnreadableBody::NotText)
    };
    match (bytes.as_slice(), charset) {
        ([0xef, 0xbb, 0xbf, text @ ..], _) => {
            String::from_utf8(text.to_vec()).map_err(|_| UnreadableBody::NotText)
        }
        ([0xff, 0xfe, text @ ..], _) => utf16(text, u16::from_le_bytes),
        ([0xfe, 0xff, text @ ..], _) | (text, "utf-16be") => utf16(text, u16::from_be_bytes),
        (text, "utf-16le") => utf16(text, u16::from_le_bytes),
        _ => String::from_utf8(bytes).or_else(|error| match charset {
            // Each byte is the character of that number.
            "iso-8859-1" | "latin1" => Ok(error.into_bytes().into_iter().map(char::from).collect()),
            _ => Err(UnreadableBody::NotText),
        }),
    }
}
