//! `unbind` and `rebind`: a person corrects which ERP record a customer or a company is.

use change_events::{RecordName, Verdict};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{ApplicationId, Cause, Code, EntityKind, EntityRef, ErpId, NorceId, Personal, redact},
    http::Deadline,
};

use crate::{
    Ports, Refusal,
    dry::dry,
    explain::{Now, in_words},
    whom::Whom,
};

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UnbindRequest {
    /// As in [`Whom`].
    pub entity: Option<String>,
    /// As in [`Whom`].
    pub id: Option<NorceId>,
    /// As in [`Whom`].
    pub code: Option<Code>,
    /// As in [`Whom`].
    pub email: Option<Personal>,
    /// As in [`Whom`].
    pub kind: Option<EntityKind>,
    /// As in [`Whom`].
    pub application: Option<ApplicationId>,
    /// Without this it is only said what would be done.
    pub confirm: bool,
    /// Why, for the log; required with `confirm`.
    pub reason: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RebindRequest {
    /// As in [`Whom`].
    pub entity: Option<String>,
    /// As in [`Whom`].
    pub id: Option<NorceId>,
    /// As in [`Whom`]: the code by which the entity is known until now.
    pub code: Option<Code>,
    /// As in [`Whom`].
    pub email: Option<Personal>,
    /// As in [`Whom`].
    pub kind: Option<EntityKind>,
    /// As in [`Whom`].
    pub application: Option<ApplicationId>,
    /// The code of the ERP record that the entity is to be.
    pub to_code: Option<Code>,
    /// The same record by its immutable id, as `export-mappings` writes it in `erp`.
    pub to_record: Option<ErpId>,
    /// Without this it is only said what would be done.
    pub confirm: bool,
    /// Why, for the log; required with `confirm`.
    pub reason: Option<String>,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingAnswer {
    /// In words.
    pub summary: String,
    /// The customer or company.
    pub entity: String,
    /// Whether it was done.
    pub done: bool,
    /// What would be done, where it was not confirmed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<String>,
    /// What would happen afterwards if an event came.
    pub now: Now,
}

/// The reason of a confirmed request, as it may be logged.
fn reason(confirm: bool, reason: Option<&str>) -> Result<Option<String>, Refusal> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    match (confirm, reason) {
        (false, _) => Ok(None),
        (true, Some(reason)) => Ok(Some(redact(reason))),
        (true, None) => Err(Refusal::request(
            "say why in `reason`, for whoever reads the log later",
        )),
    }
}

/// What was done, in words.
fn done(verdict: Verdict) -> Result<String, Refusal> {
    match verdict {
        Verdict::Done(words) => Ok(words),
        Verdict::Owed { detail, .. } => Err(Refusal::Request(detail)),
        Verdict::Later(reason) => Err(Refusal::Later(reason)),
    }
}

impl Ports {
    pub(crate) async fn unbind(
        &self,
        request: &UnbindRequest,
        deadline: Deadline,
    ) -> Result<BindingAnswer, Refusal> {
        let reason = reason(request.confirm, request.reason.as_deref())?;
        let whom = Whom {
            entity: request.entity.clone(),
            id: request.id,
            code: request.code.clone(),
            email: request.email.clone(),
            kind: request.kind,
            application: request.application,
        };
        let entity = self.whom(&whom, deadline).await?;
        let Some(reason) = reason else {
            let (dry, notes) = dry(&self.change_events);
            let what = done(dry.unbind_by_hand(entity).await)?;
            let would = notes.take();
            let outcome = in_words(dry.look_at(entity, Cause::Changed, deadline).await);
            let now = Now {
                outcome,
                would: notes.take(),
            };
            return Ok(only_asked(entity, &what, would, now));
        };
        let what = done(self.change_events.unbind_by_hand(entity).await)?;
        tracing::info!(subject = %entity, what, reason, "unbound by hand");
        self.changed(entity, &what, deadline).await
    }

    pub(crate) async fn rebind(
        &self,
        request: &RebindRequest,
        deadline: Deadline,
    ) -> Result<BindingAnswer, Refusal> {
        let reason = reason(request.confirm, request.reason.as_deref())?;
        let to = match (&request.to_code, &request.to_record) {
            (Some(code), None) => RecordName::Code(code.clone()),
            (None, Some(record)) => RecordName::Id(record.clone()),
            _ => {
                return Err(Refusal::request(
                    "name the ERP record by one of `toCode` and `toRecord` ({\"resource\":\"customer\",\"id\":\"…\"})",
                ));
            }
        };
        let whom = Whom {
            entity: request.entity.clone(),
            id: request.id,
            code: request.code.clone(),
            email: request.email.clone(),
            kind: request.kind,
            application: request.application,
        };
        let entity = self.whom(&whom, deadline).await?;
        let Some(reason) = reason else {
            let (dry, notes) = dry(&self.change_events);
            let what = done(dry.rebind_by_hand(entity, &to, deadline).await)?;
            let would = notes.take();
            let outcome = in_words(dry.look_at(entity, Cause::Changed, deadline).await);
            let now = Now {
                outcome,
                would: notes.take(),
            };
            return Ok(only_asked(entity, &what, would, now));
        };
        let what = done(
            self.change_events
                .rebind_by_hand(entity, &to, deadline)
                .await,
        )?;
        tracing::info!(subject = %entity, what, reason, "bound by hand");
        self.changed(entity, &what, deadline).await
    }

    /// The answer to what was done, with what happens next.
    async fn changed(
        &self,
        entity: EntityRef,
        what: &str,
        deadline: Deadline,
    ) -> Result<BindingAnswer, Refusal> {
        let (dry, notes) = dry(&self.change_events);
        let outcome = in_words(dry.look_at(entity, Cause::Changed, deadline).await);
        Ok(BindingAnswer {
            summary: format!("{entity}: {what}. If an event came now: {outcome}."),
            entity: entity.to_string(),
            done: true,
            would: Vec::new(),
            now: Now {
                outcome,
                would: notes.take(),
            },
        })
    }
}

fn only_asked(entity: EntityRef, what: &str, would: Vec<String>, now: Now) -> BindingAnswer {
    BindingAnswer {
        summary: format!(
            "{entity} would be {what}, and at the next event: {}. It is done with \"confirm\":true and a \"reason\".",
            now.outcome
        ),
        entity: entity.to_string(),
        done: false,
        would,
        now,
    }
}
