//! `owed`: lists, retries, dismisses and restores the records that cannot be synced yet.

mod fix;
mod groups;
mod line;

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use change_events::ChangeEvents;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    Consistency,
    activity::By,
    domain::{ApplicationId, EntityKind, Resource, redact},
    erp::resend_all_marker,
    http::Deadline,
    mappings::Mapping,
    owed::{Dismissal, Earliest, Owed, Reason, Stage, Subject, fold},
};
use uuid::Uuid;

use self::groups::{Groups, OwedGroup};
pub(crate) use self::line::OwedLine;
use crate::{
    error::Refusal,
    ports::StackPorts,
    sentence::{self, Sentence, say, words},
};

/// Records listed by default: about what a terminal shows.
const LISTED: usize = 50;
/// The maximum number of records listed: an answer of Lambda has at most 6 MB, and a record takes about 2 KB with its fix.
const MAX_LISTED: usize = 2_000;
/// The maximum number of records that one request retries: the ERP has other work.
const MAX_RETRIED: usize = 500;
/// The maximum number of records that one request dismisses: each is a write of about 10 ms.
const MAX_DISMISSED: usize = 2_000;
/// The time kept for acting when reading a long list stops: enough for the maximum number of retries or dismissals.
const TIME_TO_ACT: Duration = Duration::from_secs(30);
/// The time that must be left to act on another record: the AWS clients give up after a few seconds.
const TIME_FOR_ONE: Duration = Duration::from_secs(10);

/// The request. All given filters must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OwedRequest {
    /// What to do with the matching records.
    pub r#do: OwedAction,
    /// Records of one subject, as it is listed: `customer/client/123`.
    pub subject: Option<String>,
    /// Records of one stage.
    pub stage: Option<Stage>,
    /// Records with one class of reasons.
    pub reason: Option<Reason>,
    /// Customers or companies; a record of the ERP matches only where its kind in Norce is known.
    pub kind: Option<EntityKind>,
    /// Records of one application, in application-unique set-ups.
    pub application: Option<ApplicationId>,
    /// Whether the records are dismissed; by default they are not, except with `restore`.
    pub dismissed: Option<bool>,
    /// Records of any of these subjects.
    pub subjects: Vec<String>,
    /// Words that must all be in the code, the subject or the detail, in any case.
    pub q: Option<String>,
    /// Records of one group, by its id.
    pub group: Option<Uuid>,
    /// Lists groups instead of records.
    pub groups: bool,
    /// The number of records or groups to list.
    pub limit: Option<usize>,
    /// Where the previous answer stopped.
    pub cursor: Option<Place>,
    /// For an act: the `asOf` of the list that it is based on.
    pub as_of: Option<DateTime<Utc>>,
    /// For an act: the `found` of the list that it is based on.
    pub expected: Option<usize>,
    /// For `dismiss`: the reason.
    pub because: Option<String>,
}

/// A place in the list, which is ordered by age: the last record that was listed or acted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// When it was first owed.
    pub first: DateTime<Utc>,
    /// Its subject.
    pub subject: String,
    /// Its stage.
    pub stage: Stage,
}

impl Place {
    fn of(owed: &Owed) -> Self {
        Self {
            first: owed.first,
            subject: owed.subject.to_string(),
            stage: owed.stage,
        }
    }
}

/// What to do with owed records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwedAction {
    /// List them.
    #[default]
    List,
    /// Check them again as if an event had come.
    Retry,
    /// Dismiss them: they are neither retried nor counted by the alarm until they are resolved.
    Dismiss,
    /// Withdraw their dismissals: they are retried and counted again.
    Restore,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The number of matching records.
    pub found: usize,
    /// When the list was read: the `asOf` of acts that are based on it.
    pub as_of: DateTime<Utc>,
    /// The number of retried records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried: Option<usize>,
    /// The number of dismissed records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<usize>,
    /// The number of restored records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<usize>,
    /// The subjects that were retried, dismissed or restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// With `groups`: the groups, the largest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<OwedGroup>>,
    /// The records, the oldest first.
    pub owed: Vec<OwedLine>,
    /// The `cursor` of the next request; absent at the end of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Place>,
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
        let subject = owed.subject.to_string();
        self.subject.as_ref().is_none_or(|it| *it == subject)
            && (self.subjects.is_empty() || self.subjects.contains(&subject))
            && self
                .q
                .as_ref()
                .is_none_or(|words| has(owed, &subject, words))
            && self.group.is_none_or(|group| groups::is_of(owed, group))
            && self.stage.is_none_or(|stage| stage == owed.stage)
            && self.reason.is_none_or(|reason| reason == owed.reason)
            && self.kind.is_none_or(|wanted| kind == Some(wanted))
            && self
                .application
                .is_none_or(|wanted| application == Some(wanted))
            && self.are_dismissed() == owed.dismissed.is_some()
    }

    fn are_dismissed(&self) -> bool {
        let default = self.r#do == OwedAction::Restore;
        self.dismissed.unwrap_or(default)
    }

    fn has_filter(&self) -> bool {
        self.subject.is_some()
            || self.stage.is_some()
            || self.reason.is_some()
            || !self.subjects.is_empty()
            || self.q.is_some()
            || self.group.is_some()
            || self.kind.is_some()
            || self.application.is_some()
    }
}

/// Whether a record contains each of these words.
fn has(owed: &Owed, subject: &str, words: &str) -> bool {
    let code = owed.code.as_ref().map(ToString::to_string);
    let code = code.unwrap_or_default();
    let text = format!("{subject}\n{code}\n{}", owed.detail).to_lowercase();
    words
        .to_lowercase()
        .split_whitespace()
        .all(|word| text.contains(word))
}

/// The records that match the filters.
struct Matches {
    /// The number of matching records.
    count: usize,
    /// How many of them come after the cursor.
    ahead: usize,
    /// How many of those can be acted on.
    actable: usize,
    /// How many of the chosen ones were handled.
    handled: usize,
    /// How many of all were added after the `asOf` of the request.
    newer: usize,
    groups: Option<Groups>,
    by_reason: HashMap<Reason, usize>,
    /// The oldest records, to be listed.
    listed: Vec<Owed>,
    /// The oldest records to act on, up to the maximum of one request.
    chosen: Vec<Owed>,
    /// Whether there was time to read the whole list.
    complete: bool,
}

impl StackPorts {
    pub(crate) async fn owed(
        &self,
        request: &OwedRequest,
        by: By,
        change_events: Option<&ChangeEvents>,
        deadline: Deadline,
    ) -> Result<OwedAnswer, Refusal> {
        let dismissal = self.dismissal(request, by)?;
        let limit = request.limit.unwrap_or(LISTED).min(MAX_LISTED);
        let as_of = self.clock.now();
        let mut found = self.matches(request, limit, deadline).await?;
        if request.r#do != OwedAction::List {
            request.check_growth(&found)?;
        }
        let groups = found.groups.take().map(Groups::into_vec);
        let subjects = match request.r#do {
            OwedAction::List => Vec::new(),
            OwedAction::Retry => self.retry(change_events, &mut found, deadline).await?,
            OwedAction::Dismiss | OwedAction::Restore => {
                self.set(dismissal.as_ref(), &mut found, deadline).await?
            }
        };
        let count = subjects.len();
        let summary = match request.r#do {
            OwedAction::List => match &groups {
                Some(groups) => grouped(&found, groups),
                None => self.listed(&found, limit),
            },
            OwedAction::Retry => retried_in_words(&found, count),
            OwedAction::Dismiss => say!("owed-dismissed", count).then(rest(&found, count)),
            OwedAction::Restore => say!("owed-restored", count).then(rest(&found, count)),
        };
        let count_of = |action| (request.r#do == action).then_some(count);
        let incomplete = (!found.complete).then(|| say!("owed-incomplete"));
        let (last, goes_on) = match request.r#do {
            OwedAction::List => (found.listed.last(), found.ahead > found.listed.len()),
            _ => {
                let last = found.handled.checked_sub(1);
                let last = last.and_then(|last| found.chosen.get(last));
                (last, found.actable > found.handled)
            }
        };
        Ok(OwedAnswer {
            summary: summary.then(incomplete),
            found: found.count,
            as_of,
            retried: count_of(OwedAction::Retry),
            dismissed: count_of(OwedAction::Dismiss),
            restored: count_of(OwedAction::Restore),
            subjects,
            owed: found.listed.iter().map(OwedLine::from).collect(),
            groups: groups.map(|groups| groups.into_iter().take(limit).collect()),
            cursor: last.filter(|_| goes_on).map(Place::of),
        })
    }

    async fn matches(
        &self,
        request: &OwedRequest,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Matches, Refusal> {
        let most = match request.r#do {
            OwedAction::List => 0,
            OwedAction::Retry => MAX_RETRIED,
            OwedAction::Dismiss | OwedAction::Restore => MAX_DISMISSED,
        };
        let is_chosen = |owed: &Owed| {
            request.r#do != OwedAction::Retry
                || owed.is_tried_by_message()
                || owed.stage == Stage::FieldsToNorce
        };
        let (mut count, mut ahead, mut actable, mut newer) = (0, 0, 0, 0);
        let mut groups = request.groups.then(Groups::default);
        let limit = if request.groups { 0 } else { limit };
        let mut by_reason: HashMap<Reason, usize> = HashMap::new();
        let (mut listed, mut chosen) = (Earliest::new(limit), Earliest::new(most));
        let each = |owed: Owed| {
            if !request.fits(&owed) {
                return;
            }
            count += 1;
            *by_reason.entry(owed.reason).or_default() += 1;
            newer += usize::from(request.as_of.is_some_and(|as_of| owed.first > as_of));
            if let Some(groups) = &mut groups {
                groups.count(&owed);
            }
            let place = Place::of(&owed);
            if request
                .cursor
                .as_ref()
                .is_some_and(|cursor| place <= *cursor)
            {
                return;
            }
            ahead += 1;
            if most > 0 && is_chosen(&owed) {
                actable += 1;
                chosen.push(place.clone(), owed.clone());
            }
            listed.push(place, owed);
        };
        let list = self.owed.as_ref();
        // The caller may just have dismissed a record.
        let strong = Consistency::Strong;
        let complete = fold(list, strong, deadline, TIME_TO_ACT, each).await?;
        Ok(Matches {
            count,
            ahead,
            actable,
            handled: 0,
            newer,
            groups,
            by_reason,
            listed: listed.into_vec(),
            chosen: chosen.into_vec(),
            complete,
        })
    }

    fn listed(&self, found: &Matches, limit: usize) -> Sentence {
        let now = self.clock.now();
        let Some(oldest) = found.listed.first() else {
            return match found.count {
                0 => say!("owed-none"),
                count => say!("owed-not-shown", count),
            };
        };
        let age = (now - oldest.first).to_std().unwrap_or_default();
        let mut reasons: Vec<(Reason, usize)> = found
            .by_reason
            .iter()
            .map(|(reason, count)| (*reason, *count))
            .collect();
        reasons.sort_by_key(|(reason, count)| (Reverse(*count), reason.as_str()));
        let reasons: Vec<Sentence> = reasons
            .into_iter()
            .map(|(reason, count)| say!("owed-of-reason", count, reason))
            .collect();
        let rest = (found.ahead > limit).then(|| say!("owed-some-listed", limit));
        say!("owed-listed", count = found.count, reasons, age).then(rest)
    }

    /// Retries the chosen records, the oldest first.
    async fn retry(
        &self,
        change_events: Option<&ChangeEvents>,
        found: &mut Matches,
        deadline: Deadline,
    ) -> Result<Vec<String>, Refusal> {
        let change_events = change_events.ok_or_else(|| {
            Refusal::Later(words(
                "nothing was retried, because the clients were not built",
            ))
        })?;
        let now = self.clock.now();
        let mut retried = Vec::new();
        for owed in &found.chosen {
            if !deadline.allows(TIME_FOR_ONE) {
                break;
            }
            found.handled += 1;
            if owed.is_tried_by_message()
                && let Some(change) = owed.change(now, Uuid::new_v4())
            {
                // Sent before it is recorded, as the schedule does.
                let changes = &change_events.changes;
                changes.send(&[change], Duration::ZERO).await?;
            } else if !resend_with_next_pass(change_events, &owed.subject).await? {
                continue;
            }
            let list = &self.owed;
            list.note_retry(&owed.subject, owed.stage, now).await?;
            retried.push(owed.subject.to_string());
        }
        Ok(retried)
    }

    /// The dismissal that the request asks for, if it does.
    fn dismissal(&self, request: &OwedRequest, by: By) -> Result<Option<Dismissal>, Refusal> {
        let word = match request.r#do {
            OwedAction::List | OwedAction::Retry => return Ok(None),
            OwedAction::Dismiss => "dismiss",
            OwedAction::Restore => "restore",
        };
        if !request.has_filter() {
            return Err(Refusal::request(format!(
                "`{word}` needs a filter, such as `subject`: it does not change all records at once"
            )));
        }
        if request.are_dismissed() != (request.r#do == OwedAction::Restore) {
            return Err(Refusal::request(format!(
                "`{word}` and `dismissed` contradict each other: leave `dismissed` out"
            )));
        }
        if request.r#do == OwedAction::Restore {
            return Ok(None);
        }
        let because = request.because.as_deref().map(str::trim);
        let because = because.filter(|because| !because.is_empty());
        let because = because.ok_or_else(|| {
            Refusal::request(
                "`dismiss` needs `because`: the reason, for the next person who looks at the record",
            )
        })?;
        Ok(Some(Dismissal {
            at: self.clock.now(),
            reason: redact(because),
            by: Some(by),
        }))
    }

    /// Dismisses the chosen records, or withdraws their dismissals. Returns their subjects.
    async fn set(
        &self,
        dismissal: Option<&Dismissal>,
        found: &mut Matches,
        deadline: Deadline,
    ) -> Result<Vec<String>, Refusal> {
        let list = &self.owed;
        let mut changed = Vec::new();
        for Owed { subject, stage, .. } in &found.chosen {
            if !deadline.allows(TIME_FOR_ONE) {
                break;
            }
            found.handled += 1;
            let is_there = match dismissal {
                Some(dismissal) => list.dismiss(subject, *stage, dismissal).await?,
                None => list.restore(subject, *stage).await?,
            };
            if is_there {
                changed.push(subject.to_string());
            }
        }
        Ok(changed)
    }
}

impl OwedRequest {
    /// Refuses an act that is based on a list that has grown since.
    fn check_growth(&self, found: &Matches) -> Result<(), Refusal> {
        if self.as_of.is_none() && self.expected.is_none() {
            return Ok(());
        }
        if !found.complete {
            return Err(Refusal::Later(say!("owed-unread")));
        }
        let expected = self.expected.unwrap_or(found.count);
        if found.count <= expected && found.newer == 0 {
            return Ok(());
        }
        let (count, newer) = (found.count, found.newer);
        let expected = self.expected.unwrap_or(count - newer);
        Err(Refusal::Request(say!("owed-grown", count, expected, newer)))
    }
}

fn grouped(found: &Matches, groups: &[OwedGroup]) -> Sentence {
    let Some(largest) = groups.first() else {
        return say!("owed-none");
    };
    let (count, groups) = (found.count, groups.len());
    let (most, reason) = (largest.count, largest.reason);
    let words = largest.words.as_deref().unwrap_or("of all kinds");
    say!("owed-grouped", count, groups, most, reason, words)
}

fn rest(found: &Matches, done: usize) -> Option<Sentence> {
    let left = found.ahead.saturating_sub(done);
    (left > 0).then(|| say!("more-fit", left))
}

/// Makes the next full pass send the ERP's values of an entity to Norce again; `false`: it has no ERP record.
async fn resend_with_next_pass(
    change_events: &ChangeEvents,
    subject: &Subject,
) -> Result<bool, Refusal> {
    let mappings = &change_events.mappings;
    let Subject::Entity(entity) = subject else {
        return Ok(false);
    };
    let Some(Mapping::Bound(binding)) = mappings.get(*entity).await? else {
        return Ok(false);
    };
    let scope = entity.scope;
    let records = [binding.erp_id.clone()];
    let faces = mappings.records(scope, &records, Consistency::Strong);
    let face = faces.await?.into_iter().flatten().next();
    let again = resend_all_marker(face.and_then(|face| face.erp_fingerprint).as_ref());
    mappings
        .record_owned(scope, &binding.erp_id, Some(&again))
        .await?;
    Ok(true)
}

fn retried_in_words(found: &Matches, retried: usize) -> Sentence {
    let left = found.ahead.saturating_sub(retried);
    let rest = match left {
        0 => None,
        left if retried == MAX_RETRIED || retried < found.chosen.len() => {
            Some(say!("retry-more", left))
        }
        left => Some(say!("retry-left-to-pass", left)),
    };
    let sent = found.chosen.iter().take(retried);
    let sent = sent.filter(|owed| owed.stage == Stage::FieldsToNorce);
    let count = sent.count();
    let by_pass = (count > 0).then(|| say!("retry-by-pass", count));
    say!("owed-retried", count = retried)
        .then(by_pass)
        .then(rest)
}
