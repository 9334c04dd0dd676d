//! `unbind` and `rebind`: a person corrects which ERP record a customer or company is bound to.

use change_events::{ChangeEvents, Failure, RecordName};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{Cause, Code, EntityRef, ErpId, redact},
    http::Deadline,
};

use super::explain::Now;
use crate::{
    dry::dry,
    error::Refusal,
    ports::Ports,
    selector::Selector,
    sentence::{self, Sentence, say, words},
    verdict::verdict,
};

/// The request. Only `rebind` names a record. `catalog.rs` refuses other fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BindingRequest {
    /// The customer or company; a code is the one by which it has been known until now.
    #[serde(flatten)]
    pub selector: Selector,
    /// The code of the ERP record to bind to.
    pub to_code: Option<Code>,
    /// The same record by its immutable id, as `export-mappings` writes it in `erp`.
    pub to_record: Option<ErpId>,
    /// Makes the change; without it, the answer says what would change.
    pub confirm: bool,
    /// Why, for the log; required with `confirm`.
    pub reason: Option<String>,
}

impl BindingRequest {
    /// The reason of a confirmed request, redacted for the log; `None`: not confirmed.
    fn confirmed(&self) -> Result<Option<String>, Refusal> {
        let reason = self.reason.as_deref().map(str::trim);
        match (self.confirm, reason.filter(|reason| !reason.is_empty())) {
            (false, _) => Ok(None),
            (true, Some(reason)) => Ok(Some(redact(reason))),
            (true, None) => Err(Refusal::request(
                "`reason` is missing: say why, for the log",
            )),
        }
    }
}

/// The change to make.
enum Correction {
    Unbind,
    Rebind(RecordName),
}

impl Correction {
    async fn make(
        &self,
        change_events: &ChangeEvents,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<String, Refusal> {
        let by_hand = change_events.by_hand(deadline);
        let result = match self {
            Self::Unbind => by_hand.unbind(entity).await,
            Self::Rebind(to) => by_hand.rebind(entity, to).await,
        };
        match result {
            Ok(done) => Ok(done.words.into_owned()),
            Err(Failure::Owed { detail, .. }) => Err(Refusal::Request(words(detail))),
            Err(Failure::Later { reason, .. }) => Err(Refusal::Later(words(reason))),
        }
    }
}

/// The answer to `unbind` and `rebind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The customer or company.
    pub entity: String,
    /// Whether it was done.
    pub done: bool,
    /// What would be done, without confirmation.
    #[serde(flatten, serialize_with = "sentence::would")]
    pub would: Option<Vec<Sentence>>,
    /// What the next event would lead to.
    pub now: Now,
}

impl Ports {
    pub(crate) async fn unbind(
        &self,
        request: &BindingRequest,
        deadline: Deadline,
    ) -> Result<BindingAnswer, Refusal> {
        if request.to_code.is_some() || request.to_record.is_some() {
            return Err(Refusal::request(
                "`unbind` names no other record: use `rebind` with `toCode` or `toRecord`",
            ));
        }
        self.correct(request, &Correction::Unbind, deadline).await
    }

    pub(crate) async fn rebind(
        &self,
        request: &BindingRequest,
        deadline: Deadline,
    ) -> Result<BindingAnswer, Refusal> {
        let to = match (&request.to_code, &request.to_record) {
            (Some(code), None) => RecordName::Code(code.clone()),
            (None, Some(record)) => RecordName::Id(record.clone()),
            _ => {
                return Err(Refusal::request(
                    "name the ERP record by one of `toCode` and `toRecord` ({\"resource\":\"customer\",\"id\":\"…\"})",
                ));
            }
        };
        self.correct(request, &Correction::Rebind(to), deadline)
            .await
    }

    async fn correct(
        &self,
        request: &BindingRequest,
        correction: &Correction,
        deadline: Deadline,
    ) -> Result<BindingAnswer, Refusal> {
        let reason = request.confirmed()?;
        let entity = self.select(&request.selector, deadline).await?;
        let (dry, notes) = dry(&self.change_events);
        let (words, would) = match &reason {
            Some(reason) => {
                let what = correction.make(&self.change_events, entity, deadline);
                let what = what.await?;
                tracing::info!(subject = %entity, what, reason, "binding corrected by hand");
                (what, None)
            }
            None => {
                let what = correction.make(&dry, entity, deadline).await?;
                (what, Some(notes.take()))
            }
        };
        let outcome = verdict(dry.look_at(entity, Cause::Changed, deadline).await);
        let summary = match &reason {
            Some(_) => say!("binding-corrected", entity, words, now = outcome),
            None => say!("binding-would", entity, words, now = outcome),
        };
        Ok(BindingAnswer {
            summary,
            entity: entity.to_string(),
            done: reason.is_some(),
            would,
            now: Now {
                outcome,
                would: notes.take(),
            },
        })
    }
}
