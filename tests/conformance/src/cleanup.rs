//! Removing the test records of a run, and no other record.

use std::sync::PoisonError;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::Request,
    stage::{CONTACTS, CUSTOMERS, Listing, Stage},
    verdict::Left,
};

impl Stage {
    /// Removes the test records, or blocks them if the facade cannot remove records. A record without the mark in its name is not
    /// touched. Returns the records that are left.
    pub(crate) async fn clean_up(&self) -> Vec<Left> {
        self.end_outage().await;
        for resource in [CUSTOMERS, CONTACTS] {
            self.remember_listed(resource).await;
        }
        let mut made = {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.clone()
        };
        // Contacts before their organisations, and the last first.
        made.reverse();
        made.sort_by_key(|(resource, _)| *resource == CUSTOMERS);
        let mut left = Vec::new();
        for (resource, id) in made {
            if let Some(why) = self.clear(resource, &id).await {
                let record = format!("{resource}/{id}");
                left.push(Left { record, why });
            }
        }
        left
    }

    /// Takes note of all test records in the listing: a create may have failed after it stored the record.
    async fn remember_listed(&self, resource: &'static str) {
        let listing = Listing {
            since: Some(self.began.clone()),
            fields: Some("names".to_owned()),
            ..Listing::of(resource)
        };
        let pages = self.listed(listing).await.unwrap_or_default();
        for record in pages.iter().flat_map(|page| &page.records) {
            if self.is_ours(record) {
                self.remember_id(resource, &record["id"]);
            }
        }
    }

    fn is_ours(&self, record: &Value) -> bool {
        let name = record["name"].as_str().unwrap_or_default();
        name.to_lowercase().contains(&self.mark().to_lowercase())
    }

    /// Removes or blocks a test record. Returns why it is left, if it is.
    async fn clear(&self, resource: &'static str, id: &str) -> Option<String> {
        let path = format!("/v1/{resource}/{id}");
        let answer = match self.client.send(Request::get(path.clone())).await {
            Ok(answer) => answer,
            Err(_) => return Some("it cannot be read".to_owned()),
        };
        if answer.status != 200 {
            let is_gone = answer.status == 404 && answer.error_code() == Some("not-found");
            return (!is_gone).then(|| format!("reading it is answered with {}", answer.status));
        }
        if !self.is_ours(&answer.body) {
            return Some("not touched, because the mark is not in its name".to_owned());
        }
        let removal = if self.can_remove() {
            let removal = self.client.send(Request::new(Method::DELETE, path.clone()));
            match removal.await {
                Ok(answer) if answer.status == 204 => return None,
                Ok(answer) if answer.error_code() == Some("not-found") => return None,
                Ok(answer) => format!("its removal is answered with {}", answer.status),
                Err(_) => "its removal is not answered".to_owned(),
            }
        } else {
            "the facade does not state `deletes`".to_owned()
        };
        let body = json!({ "extent": "all" });
        let block = self
            .client
            .send(Request::post(format!("{path}/block"), body));
        let is_blocked = block.await.is_ok_and(|answer| answer.status == 200);
        let blocked = if is_blocked { "blocked" } else { "not blocked" };
        Some(format!("{blocked}, and {removal}"))
    }
}
