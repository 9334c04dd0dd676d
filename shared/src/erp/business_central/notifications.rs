//! The body of Business Central's posts (erp-apis §1.10).

use secrecy::SecretString;
use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

use crate::{
    domain::{ErpId, Resource},
    erp::events::ErpChange,
};

/// One notification of a post.
#[derive(Debug, Clone)]
pub struct Notification {
    /// `clientState`: the secret of its subscription; `None`: it has none.
    pub secret: Option<SecretString>,
    /// What it says; `None`: it is not about customers.
    pub change: Option<ErpChange>,
}

/// The body is not what the API describes. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the body has no list of notifications")]
pub struct InvalidNotifications;

#[derive(Deserialize)]
struct Post {
    value: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(default)]
    client_state: Option<SecretString>,
    #[serde(default)]
    resource: String,
}

/// Reads the body of a post.
///
/// # Errors
/// [`InvalidNotifications`].
pub fn read_notifications(body: &str) -> Result<Vec<Notification>, InvalidNotifications> {
    let post: Post = serde_json::from_str(body).map_err(|_| InvalidNotifications)?;
    let notifications = post.value.into_iter().map(|row| Notification {
        secret: row.client_state,
        change: change(&row.resource),
    });
    Ok(notifications.collect())
}

/// The change of a resource such as `api/v2.0/companies({id})/customers({id})`. Its type is not needed: whether the record
/// is still there, the ERP says when it is asked. A collection has a query instead of an id.
fn change(resource: &str) -> Option<ErpChange> {
    let path = resource.split('?').next()?;
    let (_, path) = path.split_once("companies(")?;
    let (company, path) = path.split_once(")/")?;
    let rest = path.strip_prefix("customers")?;
    let record = match rest {
        "" => None,
        key => {
            let id = key.strip_prefix('(')?.strip_suffix(')')?;
            Some(ErpId {
                resource: Resource::Customer,
                id: Uuid::parse_str(id).ok()?.to_string(),
            })
        }
    };
    Some(ErpChange {
        company: Some(Uuid::parse_str(company).ok()?.to_string()),
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPANY: &str = "b18aed47-c385-49d2-b954-dbdf8ad71780";
    const CUSTOMER: &str = "130bbd17-dbb9-4790-9b12-2b0e9c9d22c3";

    #[test]
    fn a_resource_names_a_company_and_at_most_one_customer() {
        let record = |record| {
            Some(ErpChange {
                company: Some(COMPANY.to_owned()),
                record,
            })
        };
        let customer = ErpId {
            resource: Resource::Customer,
            id: CUSTOMER.to_owned(),
        };
        for (resource, expected) in [
            (
                format!("api/v2.0/companies({COMPANY})/customers({CUSTOMER})"),
                record(Some(customer.clone())),
            ),
            (
                format!(
                    "/api/a/b/v1.0/companies({})/customers({CUSTOMER})",
                    COMPANY.to_uppercase()
                ),
                record(Some(customer)),
            ),
            (
                format!(
                    "/api/v2.0/companies({COMPANY})/customers?$filter=lastDateTimeModified%20gt%202018-10-15T11:00:00Z"
                ),
                record(None),
            ),
            (
                format!("api/v2.0/companies({COMPANY})/items({CUSTOMER})"),
                None,
            ),
            (format!("api/v2.0/companies({COMPANY})/customers(x)"), None),
            (
                format!("api/v2.0/companies({COMPANY})/customersX({CUSTOMER})"),
                None,
            ),
            ("api/v2.0/companies(x)/customers".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(change(&resource), expected, "{resource}");
        }
    }

    #[test]
    fn what_is_no_list_of_notifications_is_refused() {
        for body in ["", "[]", "{}", r#"{"value":{}}"#, r#"{"value":[1]}"#] {
            assert!(read_notifications(body).is_err(), "{body}");
        }
    }
}
