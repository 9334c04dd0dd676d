//! `forget`: forgets a customer by hand (P12), by the rule that `change-events` applies when Norce forgets one.

use serde::{Deserialize, Serialize};
use shared::{domain::EntityKind, http::Deadline};

use crate::{
    dry::dry,
    error::Refusal,
    ports::Ports,
    selector::Selector,
    sentence::{self, Sentence, say},
    verdict::verdict,
};

/// The request. `catalog.rs` refuses other fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForgetRequest {
    /// The customer.
    #[serde(flatten)]
    pub selector: Selector,
    /// Forgets the customer, which cannot be undone; without it, the answer says what would change.
    pub confirm: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForgetAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The customer.
    pub entity: String,
    /// Whether the customer was forgotten.
    pub forgotten: bool,
    /// What would be done, without confirmation.
    #[serde(flatten, serialize_with = "sentence::would")]
    pub would: Option<Vec<Sentence>>,
}

impl Ports {
    pub(crate) async fn forget(
        &self,
        request: &ForgetRequest,
        deadline: Deadline,
    ) -> Result<ForgetAnswer, Refusal> {
        let entity = self.select(&request.selector, deadline).await?;
        if entity.kind != EntityKind::Customer {
            return Err(Refusal::request(
                "a company is not forgotten: Norce forgets customers only",
            ));
        }
        if !request.confirm {
            let (dry, notes) = dry(&self.change_events);
            let now = verdict(dry.forget_by_hand(entity, deadline).await);
            return Ok(ForgetAnswer {
                summary: say!("forget-would", entity, now),
                entity: entity.to_string(),
                forgotten: false,
                would: Some(notes.take()),
            });
        }
        let outcome = self.change_events.forget_by_hand(entity, deadline).await;
        let forgotten = outcome.is_ok();
        tracing::info!(subject = %entity, forgotten, "request to forget a customer by hand handled");
        Ok(ForgetAnswer {
            summary: say!("forget-done", entity, now = verdict(outcome)),
            entity: entity.to_string(),
            forgotten,
            would: None,
        })
    }
}
