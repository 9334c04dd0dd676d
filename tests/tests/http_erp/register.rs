//! Changes to Tryton's parties by people, and Tryton's own view of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request};
use serde_json::{Value, json};
use shared::domain::{Code, ErpId, Resource};
use tests::tryton::Tryton;

use crate::suite::Register;

/// Less than the contract's 500, so that a few parties are many pages.
pub(crate) const PAGE_SIZE: usize = 50;
/// How long a transaction takes that takes long. SQLite lets nobody else write meanwhile.
const LONG: Duration = Duration::from_secs(2);

/// The parties, through Tryton's own models, which are not the facade's.
pub(crate) struct Parties {
    pub(crate) tryton: Arc<Tryton>,
}

impl Parties {
    async fn say(&self, command: String) -> String {
        self.tryton.people(&command).await.unwrap()
    }

    async fn add_for(&self, codes: &[Code], duration: Duration) -> Vec<ErpId> {
        let person = |code: &Code| json!({ "name": "Bo Lund", "norce_kind": "person", "code": code.as_str() });
        let persons: Value = codes.iter().map(person).collect();
        let command = format!("add-many {} {persons}", duration.as_secs());
        let ids = self.say(command).await;
        let customer = |id: &str| ErpId {
            resource: Resource::Customer,
            id: id.to_owned(),
        };
        ids.split(' ').map(customer).collect()
    }

    /// The subdivisions that the suite names. Tryton takes no others.
    pub(crate) async fn add_regions(&self) {
        let region = json!({ "country": "SE", "code": "SE-AB", "name": "Stockholm" });
        self.say(format!("add-subdivision {region}")).await;
    }
}

#[async_trait]
impl Register for Parties {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn more_than_two_pages(&self) -> usize {
        PAGE_SIZE * 5 / 2
    }

    async fn add(&self, codes: &[Code]) -> Vec<ErpId> {
        self.add_for(codes, Duration::ZERO).await
    }

    async fn add_slowly(&self, codes: &[Code]) {
        self.add_for(codes, LONG).await;
    }

    async fn change_phone(&self, id: &ErpId, phone: &str) {
        let phone = json!({ "phone": phone });
        self.say(format!("change {} {phone}", id.id)).await;
    }

    async fn salespeople(&self) -> [String; 2] {
        ["AH".to_owned(), "JD".to_owned()]
    }

    async fn salesperson(&self, _: &ErpId) -> Option<String> {
        None
    }

    async fn change_salesperson(&self, _: &ErpId, _: &str) {
        panic!("a party has no salesperson");
    }

    async fn remove(&self, id: &ErpId) {
        self.say(format!("remove {}", id.id)).await;
    }

    /// Tryton's parties have none.
    fn has_titles(&self) -> bool {
        false
    }
}

/// A look-up is a POST as well.
pub(crate) fn is_write(request: &Request<Bytes>) -> bool {
    request.method() != Method::GET && !request.uri().path().ends_with("/search")
}

/// Tryton's own view of what a check has left: no code twice, and each key on one party.
pub(crate) async fn assert_one_party_each(tryton: &Tryton) {
    let parties = tryton.parties().await.unwrap();
    for field in ["code", "norce_key"] {
        let values = parties.iter().filter_map(|party| party[field].as_str());
        let values: Vec<&str> = values.collect();
        let different: BTreeSet<&&str> = values.iter().collect();
        assert_eq!(different.len(), values.len(), "a {field} stands twice");
    }
}
