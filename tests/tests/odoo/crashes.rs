//! The create flow, cut off at every call, with a real Odoo.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use shared::{
    erp::{Erp, odoo::Odoo},
    http::Transport,
};
use tests::odoo::Odoo as Running;

use crate::{
    create_flow::{self, Begins, Held, Server},
    settings,
};

/// A server of its own, which is restarted.
struct Restartable(Arc<Running>);

#[async_trait]
impl Server for Restartable {
    fn erp(&self, transport: Arc<dyn Transport>) -> Arc<dyn Erp> {
        Arc::new(Odoo::new(settings(&self.0), transport).unwrap())
    }

    fn least_posts(&self) -> usize {
        5
    }

    async fn restart(&self) {
        self.0.restart().await.unwrap();
    }

    async fn held(&self, begins: Begins<'_>) -> Vec<Held> {
        let domain = match begins {
            Begins::Email(text) => json!([["email", "=like", format!("{text}%")]]),
            Begins::Name(text) => json!([["name", "=like", format!("{text}%")]]),
        };
        let fields = ["ref", "is_company", "parent_id"];
        let found = self.0.partners(domain, &fields).await.unwrap();
        let held = |partner: serde_json::Value| Held {
            id: partner["id"].to_string(),
            code: partner["ref"].as_str().unwrap_or_default().to_owned(),
            is_organisation: partner["is_company"] == true,
            company: partner["parent_id"].get(0).map(ToString::to_string),
        };
        found.into_iter().map(held).collect()
    }
}

pub(crate) async fn p2_one_partner_wherever_the_work_is_cut_off(server: &Arc<Running>) {
    let server: Arc<dyn Server> = Arc::new(Restartable(server.clone()));
    create_flow::p2_one_record_wherever_the_work_is_cut_off(&server).await;
}
