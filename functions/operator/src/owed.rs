//! `owed`: what could not be brought across yet. List it, try it again, or leave it as it is.

use std::{cmp::Reverse, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{ApplicationId, Code, EntityKind, Resource, redact},
    owed::{Dismissal, Owed, Reason, Stage, Subject},
};
use uuid::Uuid;

use crate::{Ports, Refusal, answer::in_words};

/// As many are listed unless more are asked for: about what a terminal shows.
const LISTED: usize = 50;
/// As many are listed at most: an answer of Lambda has at most 6 MB, and a record takes about a kilobyte.
const MOST_LISTED: usize = 2_000;
/// As many are tried again in one go at most: the ERP has other work.
const MOST_RETRIED: usize = 500;

/// What is asked for. Every filter that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OwedRequest {
    /// What is done with what the filters leave.
    pub r#do: OwedAction,
    /// One subject, as it is listed: `customer/client/123`.
    pub subject: Option<String>,
    /// One stage.
    pub stage: Option<Stage>,
    /// One class of reasons.
    pub reason: Option<Reason>,
    /// Customers or companies; a record of the ERP counts as what Norce calls its kind only where that is known.
    pub kind: Option<EntityKind>,
    /// One application's, in application-unique set-ups.
    pub application: Option<ApplicationId>,
    /// Dismissed ones only, or others only; nothing: others only.
    pub dismissed: Option<bool>,
    /// How many are listed.
    pub limit: Option<usize>,
    /// Of `dismiss`: why.
    pub because: Option<String>,
}

/// What is done with owed records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwedAction {
    /// They are listed.
    #[default]
    List,
    /// They are looked at as if an event had come.
    Retry,
    /// They are left as they are, until they resolve themselves: neither tried again nor counted by the alarm.
    Dismiss,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedAnswer {
    /// In words.
    pub summary: String,
    /// How many the filters leave.
    pub found: usize,
    /// How many were sent to be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried: Option<usize>,
    /// How many were dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<usize>,
    /// They, the oldest first.
    pub owed: Vec<OwedLine>,
}

/// An owed record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedLine {
    /// What.
    pub subject: String,
    /// Which part of the way.
    pub stage: Stage,
    /// Why, as a class.
    pub reason: Reason,
    /// Why, in words, and what to do.
    pub detail: String,
    /// The code, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Since when.
    pub first: DateTime<Utc>,
    /// When it was last tried.
    pub last: DateTime<Utc>,
    /// How many attempts failed.
    pub attempts: u32,
    /// When it is tried again by itself; nothing: the next pass looks at it, or it is dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<DateTime<Utc>>,
    /// Under which the log tells of the last attempt.
    pub correlation: Uuid,
    /// Why a person has dismissed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<String>,
}

impl From<&Owed> for OwedLine {
    fn from(owed: &Owed) -> Self {
        Self {
            subject: owed.subject.to_string(),
            stage: owed.stage,
            reason: owed.reason,
            detail: owed.detail.clone(),
            code: owed.code.clone(),
            first: owed.first,
            last: owed.last,
            attempts: owed.attempts,
            next_attempt: owed.next_attempt(),
            correlation: owed.correlation,
            dismissed: owed
                .dismissed
                .as_ref()
                .map(|dismissal| dismissal.reason.clone()),
        }
    }
}

impl OwedRequest {
    fn fits(&self, owed: &Owed) -> bool {
        let (kind, application) = match &owed.subject {
            Subject::Entity(entity) => (Some(entity.kind), entity.scope.application()),
            // A contact is a customer of Norce; a customer of the ERP may be either.
            Subject::Record { scope, record } => (
                (record.resource == Resource::Contact).then_some(EntityKind::Customer),
                scope.application(),
            ),
            Subject::Order { application, .. } => (None, Some(*application)),
        };
        self.subject
            .as_ref()
            .is_none_or(|subject| *subject == owed.subject.to_string())
            && self.stage.is_none_or(|stage| stage == owed.stage)
            && self.reason.is_none_or(|reason| reason == owed.reason)
            && self.kind.is_none_or(|wanted| kind == Some(wanted))
            && self
                .application
                .is_none_or(|wanted| application == Some(wanted))
            && self.dismissed.unwrap_or_default() == owed.dismissed.is_some()
    }

    fn has_filter(&self) -> bool {
        self.subject.is_some()
            || self.stage.is_some()
            || self.reason.is_some()
            || self.kind.is_some()
            || self.application.is_some()
    }
}

impl Ports {
    pub(crate) async fn owed(&self, request: &OwedRequest) -> Result<OwedAnswer, Refusal> {
        let mut found = self.change_events.owed.list().await?;
        found.retain(|owed| request.fits(owed));
        found.sort_by_key(|owed| owed.first);
        let limit = request.limit.unwrap_or(LISTED).min(MOST_LISTED);
        let mut answer = OwedAnswer {
            summary: String::new(),
            found: found.len(),
            retried: None,
            dismissed: None,
            owed: found.iter().take(limit).map(OwedLine::from).collect(),
        };
        answer.summary = match request.r#do {
            OwedAction::List => self.listed(&found, limit),
            OwedAction::Retry => {
                let retried = self.retry(&found).await?;
                answer.retried = Some(retried);
                retried_in_words(&found, retried)
            }
            OwedAction::Dismiss => {
                let dismissed = self.dismiss(request, &found).await?;
                answer.dismissed = Some(dismissed);
                format!(
                    "{dismissed} dismissed: no longer tried again nor counted by the alarm; each leaves the list when it resolves itself."
                )
            }
        };
        Ok(answer)
    }

    fn listed(&self, found: &[Owed], limit: usize) -> String {
        let now = self.change_events.clock.now();
        let Some(oldest) = found.first() else {
            return "Nothing is owed that fits.".to_owned();
        };
        let age = (now - oldest.first).to_std().unwrap_or_default().as_secs();
        let mut reasons: Vec<(usize, Reason)> = Vec::new();
        for owed in found {
            match reasons
                .iter_mut()
                .find(|(_, reason)| *reason == owed.reason)
            {
                Some((count, _)) => *count += 1,
                None => reasons.push((1, owed.reason)),
            }
        }
        reasons.sort_by_key(|(count, _)| Reverse(*count));
        let reasons: Vec<String> = reasons
            .into_iter()
            .map(|(count, reason)| format!("{count} {}", reason.as_str()))
            .collect();
        let rest = match found.len() > limit {
            true => format!(" The oldest {limit} are listed; `limit` shows more."),
            false => String::new(),
        };
        format!(
            "{} owed ({}), the oldest for {}.{rest}",
            found.len(),
            reasons.join(", "),
            in_words(age)
        )
    }

    /// Sends what can be tried again by a message, the oldest first.
    async fn retry(&self, found: &[Owed]) -> Result<usize, Refusal> {
        let now = self.change_events.clock.now();
        let mut retried = 0;
        for owed in found.iter().filter(|owed| owed.is_tried_by_message()) {
            if retried == MOST_RETRIED {
                break;
            }
            let Some(change) = owed.change(now, Uuid::new_v4()) else {
                continue;
            };
            // Sent before it is noted, as the schedule does.
            let changes = &self.change_events.changes;
            changes.send(&[change], Duration::ZERO).await?;
            let list = &self.change_events.owed;
            list.note_retry(&owed.subject, owed.stage, now).await?;
            retried += 1;
        }
        Ok(retried)
    }

    async fn dismiss(&self, request: &OwedRequest, found: &[Owed]) -> Result<usize, Refusal> {
        let because = request.because.as_deref().map(str::trim);
        let Some(because) = because.filter(|because| !because.is_empty()) else {
            return Err(Refusal::request(
                "`dismiss` needs `because`: why it is left as it is, for whoever looks next",
            ));
        };
        if !request.has_filter() {
            return Err(Refusal::request(
                "`dismiss` needs a filter, such as `subject`: everything at once is not dismissed",
            ));
        }
        let dismissal = Dismissal {
            at: self.change_events.clock.now(),
            reason: redact(because),
        };
        let mut dismissed = 0;
        for owed in found {
            let list = &self.change_events.owed;
            if list.dismiss(&owed.subject, owed.stage, &dismissal).await? {
                dismissed += 1;
            }
        }
        Ok(dismissed)
    }
}

fn retried_in_words(found: &[Owed], retried: usize) -> String {
    let left = found.len() - retried;
    let rest = match (left, retried) {
        (0, _) => String::new(),
        (left, MOST_RETRIED) => format!(" {left} more wait: ask again when these are done."),
        (left, _) => format!(" {left} are about the ERP's side, which the next pass looks at."),
    };
    format!("{retried} sent to be tried again; each leaves the list when it succeeds.{rest}")
}
