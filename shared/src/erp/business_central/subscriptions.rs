//! The subscription to the changes of a company's customers (erp-apis §1.10). Contacts cannot be subscribed to.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{BusinessCentral, error::Failure};
use crate::{
    erp::{
        ErpError,
        answer::parse,
        events::{EventSubscriptions, Subscription},
    },
    http::Deadline,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(rename = "@odata.etag")]
    etag: String,
    subscription_id: String,
    #[serde(default)]
    notification_url: String,
    #[serde(default)]
    resource: String,
    expiration_date_time: DateTime<Utc>,
    #[serde(default)]
    client_state: Option<SecretString>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wanted<'a> {
    notification_url: &'a str,
    resource: &'a str,
    client_state: &'a str,
}

impl<'a> Wanted<'a> {
    fn new(address: &'a Url, resource: &'a str, secret: &'a SecretString) -> Self {
        Self {
            notification_url: address.as_str(),
            resource,
            client_state: secret.expose_secret(),
        }
    }
}

impl From<Row> for Subscription {
    fn from(row: Row) -> Self {
        Self {
            id: row.subscription_id,
            version: row.etag,
            ends: row.expiration_date_time,
            // Blank where it is hidden.
            secret: row
                .client_state
                .filter(|state| !state.expose_secret().is_empty()),
        }
    }
}

impl BusinessCentral {
    /// The customers of the company, as a subscription names them: the path of their address from `/api` on.
    fn subscribed(&self) -> Result<String, ErpError> {
        let url = self.records.client.url("customers");
        match url.path().find("/api/") {
            Some(at) => Ok(url.path()[at..].to_owned()),
            None => Err(ErpError::Unreadable(
                "the path of ERP_BASE_URL has no /api/, from which on a subscription names a resource"
                    .to_owned(),
            )),
        }
    }
}

#[async_trait]
impl EventSubscriptions for BusinessCentral {
    async fn find(
        &self,
        address: &Url,
        deadline: Deadline,
    ) -> Result<Option<Subscription>, ErpError> {
        let client = &self.records.client;
        let resource = self.subscribed()?.to_ascii_lowercase();
        let url = client.root_url("subscriptions");
        let mut pages = client.list::<Row>(url, &[], deadline);
        let mut last: Option<Subscription> = None;
        while let Some(rows) = pages.next().await? {
            for row in rows {
                // With or without a slash, or the whole address.
                let of_company = row.resource.to_ascii_lowercase();
                let is_ours = of_company.ends_with(resource.trim_start_matches('/'))
                    && row.notification_url == address.as_str();
                let row = Subscription::from(row);
                if is_ours && last.as_ref().is_none_or(|last| last.ends < row.ends) {
                    last = Some(row);
                }
            }
        }
        Ok(last)
    }

    async fn subscribe(
        &self,
        address: &Url,
        secret: &SecretString,
        deadline: Deadline,
    ) -> Result<Subscription, ErpError> {
        let client = &self.records.client;
        let resource = self.subscribed()?;
        let wanted = Wanted::new(address, &resource, secret);
        let url = client.root_url("subscriptions");
        let response = client.post(&url, &wanted, deadline).await?;
        written(&response, StatusCode::CREATED, secret)
    }

    async fn renew(
        &self,
        subscription: &Subscription,
        address: &Url,
        secret: &SecretString,
        deadline: Deadline,
    ) -> Result<Subscription, ErpError> {
        let client = &self.records.client;
        let resource = self.subscribed()?;
        let wanted = Wanted::new(address, &resource, secret);
        let url = client.root_url(&format!("subscriptions('{}')", plain(&subscription.id)?));
        let response = client
            .patch(&url, &subscription.version, &wanted, deadline)
            .await?;
        written(&response, StatusCode::OK, secret)
    }
}

/// The subscription in the answer to a write, which has this status if it succeeded.
fn written(
    response: &Response<Bytes>,
    success: StatusCode,
    secret: &SecretString,
) -> Result<Subscription, ErpError> {
    if response.status() != success {
        let mask = [("clientState", secret.expose_secret())];
        return Err(Failure::of(response, &mask).into());
    }
    parse::<Row>(response).map(Into::into)
}

/// An id that does not change the path of an address.
fn plain(id: &str) -> Result<&str, ErpError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !id.is_empty() && id.bytes().all(is_plain) {
        Ok(id)
    } else {
        Err(ErpError::Unreadable(
            "the id of a subscription has characters that are in no id".to_owned(),
        ))
    }
}
