//! The create flow, cut off at every call, with the facade over Tryton.

use std::sync::Arc;

use async_trait::async_trait;
use shared::{
    erp::{
        Erp,
        http::{HttpErp, HttpErpCredentials},
    },
    http::Transport,
};
use tests::tryton::{KEY, Tryton};

use crate::{
    create_flow::{self, Begins, Held, Server},
    settings,
};

/// A facade of its own, which is restarted.
struct Restartable(Arc<Tryton>);

#[async_trait]
impl Server for Restartable {
    fn erp(&self, transport: Arc<dyn Transport>) -> Arc<dyn Erp> {
        let credentials = HttpErpCredentials::Key(KEY.into());
        Arc::new(HttpErp::new(settings(&self.0, credentials), transport).unwrap())
    }

    fn least_posts(&self) -> usize {
        2
    }

    async fn restart(&self) {
        self.0.restart().await.unwrap();
    }

    async fn held(&self, begins: Begins<'_>) -> Vec<Held> {
        let (field, text) = match begins {
            Begins::Email(text) => ("email", text),
            Begins::Name(text) => ("name", text),
        };
        let parties = self.0.parties().await.unwrap().into_iter();
        let held = parties.filter(|party| {
            let value = party[field].as_str();
            value.is_some_and(|value| value.starts_with(text))
        });
        held.map(|party| Held {
            id: party["id"].to_string(),
            code: party["code"].as_str().unwrap_or_default().to_owned(),
            is_organisation: party["norce_kind"] == "organisation",
            company: party["norce_company"].as_i64().map(|id| id.to_string()),
        })
        .collect()
    }
}

pub(crate) async fn p2_one_party_wherever_the_work_is_cut_off(tryton: &Arc<Tryton>) {
    let server: Arc<dyn Server> = Arc::new(Restartable(tryton.clone()));
    create_flow::p2_one_record_wherever_the_work_is_cut_off(&server).await;
}
