//! Changes to Odoo's partners by its own users and programs.

use std::{num::NonZeroU32, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Request;
use serde_json::{Value, json};
use shared::domain::{Code, ErpId, Resource};
use tests::odoo::Odoo as Server;

use crate::suite::Register;

/// A page of a listing has 500 partners.
const MORE_THAN_TWO_PAGES: usize = 1_200;
/// So many partners in one transaction take Odoo several seconds.
const LONG: usize = 1_500;

/// The partners of a company, through a client that shares nothing with the adapter.
pub(crate) struct Partners {
    pub(crate) server: Arc<Server>,
    pub(crate) company: NonZeroU32,
}

fn number(id: &ErpId) -> i64 {
    id.id.parse().unwrap()
}

impl Partners {
    fn persons(&self, codes: &[Code]) -> Vec<Value> {
        let person = |code: &Code| json!({ "name": "Bo Lund", "ref": code.as_str(), "company_id": self.company });
        codes.iter().map(person).collect()
    }

    async fn create(&self, partners: Vec<Value>) -> Vec<i64> {
        let arguments = json!({ "vals_list": partners });
        let made = self.server.call("res.partner", "create", arguments).await;
        serde_json::from_value(made.unwrap()).unwrap()
    }
}

#[async_trait]
impl Register for Partners {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn more_than_two_pages(&self) -> usize {
        MORE_THAN_TWO_PAGES
    }

    async fn add(&self, codes: &[Code]) -> Vec<ErpId> {
        let made = self.create(self.persons(codes)).await;
        let customer = |id: i64| ErpId {
            resource: Resource::Customer,
            id: id.to_string(),
        };
        made.into_iter().map(customer).collect()
    }

    /// What else there is in the transaction are addresses of a company, which no listing has.
    async fn add_slowly(&self, codes: &[Code]) {
        let company = json!({ "name": "Grossisten AB", "is_company": true, "ref": "GROSSIST", "company_id": self.company });
        let company = self.create(vec![company]).await[0];
        let address = json!({ "parent_id": company, "type": "delivery", "city": "Ystad", "company_id": self.company });
        let mut partners = self.persons(codes);
        partners.resize(LONG, address);
        self.create(partners).await;
    }

    async fn change_phone(&self, id: &ErpId, phone: &str) {
        let values = json!({ "ids": [number(id)], "vals": { "phone": phone } });
        self.server
            .call("res.partner", "write", values)
            .await
            .unwrap();
    }

    async fn salespeople(&self) -> [String; 2] {
        let logins = [1, 2].map(|number| format!("seller.{number}.{}@example.com", self.company));
        let found = json!({ "domain": [["login", "in", logins]], "fields": ["login"] });
        let found = self.server.call("res.users", "search_read", found).await;
        if found.unwrap() == json!([]) {
            let user = |login: &String| {
                json!({ "name": "Seller", "login": login, "company_id": self.company,
                    "company_ids": [[6, 0, [self.company]]] })
            };
            let users = json!({ "vals_list": logins.each_ref().map(user) });
            let made = self.server.call("res.users", "create", users).await;
            made.unwrap();
        }
        logins
    }

    async fn salesperson(&self, of: &ErpId) -> Option<String> {
        let partner = json!([["id", "=", number(of)]]);
        let partner = self.server.partners(partner, &["user_id"]).await.unwrap();
        let user =
            json!({ "domain": [["id", "=", partner[0]["user_id"][0]]], "fields": ["login"] });
        let user = self.server.call("res.users", "search_read", user).await;
        user.unwrap()[0]["login"].as_str().map(str::to_owned)
    }

    async fn change_salesperson(&self, of: &ErpId, to: &str) {
        let user = json!({ "domain": [["login", "=", to]], "fields": ["login"] });
        let user = self.server.call("res.users", "search_read", user).await;
        let values = json!({ "ids": [number(of)], "vals": { "user_id": user.unwrap()[0]["id"] } });
        let written = self.server.call("res.partner", "write", values).await;
        written.unwrap();
    }

    async fn remove(&self, id: &ErpId) {
        let partner = json!({ "ids": [number(id)] });
        let removed = self.server.call("res.partner", "unlink", partner).await;
        removed.unwrap();
    }

    async fn add_delivery_address(&self, of: &ErpId, city: &str) {
        let address = json!({ "parent_id": number(of), "type": "delivery", "city": city, "company_id": self.company });
        self.create(vec![address]).await;
    }
}

/// The methods that change something, of those that the adapter calls.
pub(crate) fn is_write(request: &Request<Bytes>) -> bool {
    let method = request.uri().path().rsplit('/').next();
    method.is_some_and(|method| ["load", "write", "create", "next_by_code"].contains(&method))
}
