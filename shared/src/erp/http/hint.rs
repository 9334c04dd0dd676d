//! What an ERP behind a facade posts when something has changed (`webhooks` of the contract).

use serde::Deserialize;
use thiserror::Error;

use super::wire::is_id;
use crate::{
    domain::{ErpId, Resource},
    erp::events::ErpChange,
};

/// The body is no hint of the contract. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the body is not {{\"resource\":\"customers\",\"id\":\"…\"}}; the resource is customers or contacts, and without an id anything may have changed"
)]
pub struct InvalidHint;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Customers,
    Contacts,
}

#[derive(Deserialize)]
struct Body {
    resource: Name,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    company: Option<String>,
}

/// Reads the body of a post.
///
/// # Errors
/// [`InvalidHint`].
pub fn read_hint(body: &str) -> Result<ErpChange, InvalidHint> {
    let body: Body = serde_json::from_str(body).map_err(|_| InvalidHint)?;
    let resource = match body.resource {
        Name::Customers => Resource::Customer,
        Name::Contacts => Resource::Contact,
    };
    if body.id.as_deref().is_some_and(|id| !is_id(id)) {
        return Err(InvalidHint);
    }
    Ok(ErpChange {
        company: body.company,
        record: body.id.map(|id| ErpId { resource, id }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_a_record_or_none() {
        let hint = read_hint(r#"{"resource":"contacts","id":"17","company":"outlet","more":1}"#);
        let record = ErpId {
            resource: Resource::Contact,
            id: "17".to_owned(),
        };
        let expected = ErpChange {
            company: Some("outlet".to_owned()),
            record: Some(record),
        };
        assert_eq!(hint, Ok(expected));
        let hint = read_hint(r#"{"resource":"customers"}"#).unwrap();
        assert_eq!((hint.company, hint.record), (None, None));
        for body in [
            "",
            "{}",
            r#"{"resource":"orders","id":"1"}"#,
            r#"{"resource":"customers","id":"../about"}"#,
            r#"{"resource":"customers","id":""}"#,
            r#"{"resource":"customers","id":17}"#,
        ] {
            assert_eq!(read_hint(body), Err(InvalidHint), "{body}");
        }
    }
}
