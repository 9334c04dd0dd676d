//! A request with its caller, and which requests are acts: each act leaves an entry in the activity record.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Value, json};
use shared::{
    activity::{By, Entry, Outcome, Role},
    domain::{ApplicationId, Clock, Code, EntityKind, EntityRef, PassMode, redact},
    http::Deadline,
};
use uuid::Uuid;

use crate::{
    Language, Request,
    actions::{
        binding::BindingRequest,
        dead_letters::{DeadLettersAction, DeadLettersRequest},
        owed::{OwedAction, OwedRequest},
        pass::PassAsked,
        replay::ReplayRequest,
    },
    answer::Answer,
    catalog::{LANGUAGE, WITHIN},
    error::Refusal,
    selector::Selector,
};

/// The maximum number of subjects in an entry: enough for acts by hand. The summary has the number of all.
const MAX_SUBJECTS: usize = 100;
/// The time kept to write the answer when work ends.
const TIME_TO_ANSWER: Duration = Duration::from_secs(2);
/// The member that names the caller.
const BY: &str = "by";
/// The maximum number of characters of a user's identifier or name: OpenID Connect Core 1.0 §2 allows as many for `sub`.
const MAX_NAME_CHARS: usize = 255;

/// A request with its caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The request.
    pub request: Request,
    /// The caller.
    pub by: By,
    /// The role of a user of the console; `None`: the caller has AWS credentials, which AWS has checked.
    pub role: Option<Role>,
    /// The time after which work ends; `None`: with the invocation.
    pub within: Option<Duration>,
    /// Lambda's request id.
    pub id: Option<String>,
}

impl Call {
    /// Reads a request with its optional `within`, in seconds, and its optional `by`, which the console adds:
    /// `{"user":"…","role":"…"}`. Without `by`, the caller has AWS credentials.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn parse(mut text: Value) -> Result<Self, Refusal> {
        let by = text.as_object_mut().and_then(|text| text.remove(BY));
        let user = by.filter(|by| !by.is_null()).map(user).transpose()?;
        let within = text[WITHIN].as_u64().map(Duration::from_secs);
        let (by, role) = match user {
            Some((by, role)) => (by, Some(role)),
            None => (By::aws(), None),
        };
        Ok(Self {
            request: Request::parse(text)?,
            by,
            role,
            within,
            id: None,
        })
    }

    /// The language of the answer: English by default.
    pub fn language(text: &Value) -> Language {
        Language::deserialize(&text[LANGUAGE]).unwrap_or_default()
    }

    /// Whether a request comes from a user of the console.
    pub fn is_of_console(text: &Value) -> bool {
        !text[BY].is_null()
    }

    /// The deadline of the work for it.
    pub(crate) fn deadline(&self, deadline: Deadline) -> Deadline {
        let time = deadline.remaining().saturating_sub(TIME_TO_ANSWER);
        deadline.stopping_after(self.within.unwrap_or(time).min(time))
    }

    /// Checks that the caller's role allows the request.
    pub(crate) fn check_role(&self) -> Result<(), Refusal> {
        let needed = self.request.needed_role();
        match self.role {
            Some(role) if role < needed => Err(Refusal::Role { needed, role }),
            _ => Ok(()),
        }
    }

    /// Whether the request changes anything.
    pub(crate) fn is_act(&self) -> bool {
        Act::of(&self.request).is_some()
    }

    /// The entry in the activity record; `None`: the request changes nothing.
    pub(crate) fn entry(&self, clock: &dyn Clock) -> Option<Entry> {
        let Act {
            did,
            subjects,
            asked,
            because,
        } = Act::of(&self.request)?;
        Some(Entry {
            id: Uuid::new_v4(),
            at: clock.now(),
            by: self.by.clone(),
            request: self.id.clone(),
            did: did.to_owned(),
            subjects,
            asked,
            because: because.map(|because| redact(&because)),
            outcome: Outcome::Started,
        })
    }
}

/// The user and the role in `by`.
fn user(by: Value) -> Result<(By, Role), Refusal> {
    let is_name = |name: &str| !name.is_empty() && name.chars().count() <= MAX_NAME_CHARS;
    let by = serde_json::from_value(by).ok();
    let by = by.filter(|by: &By| is_name(&by.user) && by.name.as_deref().is_none_or(is_name));
    let user = by.and_then(|by| {
        let role = by.role.parse().ok()?;
        Some((by, role))
    });
    user.ok_or_else(|| {
        Refusal::request(
            "`by` is the user of the console: an object with the texts `user` and `role`, which is one of view, act, admin, for example \"by\":{\"user\":\"support-1\",\"role\":\"act\"}",
        )
    })
}

/// The part of an entry that is known before the act begins.
#[derive(Default)]
struct Act {
    did: &'static str,
    subjects: Vec<String>,
    asked: Option<String>,
    because: Option<String>,
}

impl Act {
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Help {}
            | Request::Doctor(_)
            | Request::Status {}
            | Request::Activity(_)
            | Request::Runs(_)
            | Request::History(_)
            | Request::Explain(_)
            | Request::Jobs(_)
            | Request::ExportMappings(_) => None,
            Request::Owed(request) => Self::of_owed(request),
            Request::Replay(request) => Self::of_replay(request),
            Request::Plan(request) => (request.show.is_none())
                .then(|| Self::of_pass("plan", request.mode, request.kind, request.application)),
            Request::Pass(asked) => {
                let PassAsked {
                    mode,
                    kind,
                    application,
                } = *asked;
                Some(Self::of_pass("pass", Some(mode), kind, application))
            }
            Request::DeadLetters(DeadLettersRequest { r#do, queue, .. }) => {
                (*r#do == DeadLettersAction::Redrive).then(|| Self {
                    did: "redrive",
                    asked: words([("queue", json!(queue))]),
                    ..Self::default()
                })
            }
            Request::Trial(request) => request.confirm.then(|| Self {
                did: "trial",
                asked: words([
                    ("kind", json!(request.kind)),
                    ("country", json!(request.country)),
                    ("application", json!(request.application)),
                ]),
                ..Self::default()
            }),
            // The id only: a code would identify a forgotten customer.
            Request::Forget(request) => request.confirm.then(|| Self {
                did: "forget",
                subjects: named(&request.selector, None),
                ..Self::default()
            }),
            Request::Unbind(request) => Self::of_binding("unbind", request),
            Request::Rebind(request) => Self::of_binding("rebind", request),
            Request::ImportMappings(request) => (!request.dry_run).then(|| Self {
                did: "import-mappings",
                asked: words([("from", json!(request.from))]),
                ..Self::default()
            }),
        }
    }

    fn of_owed(request: &OwedRequest) -> Option<Self> {
        let did = match request.r#do {
            OwedAction::List => return None,
            OwedAction::Retry => "retry",
            OwedAction::Dismiss => "dismiss",
            OwedAction::Restore => "restore",
        };
        Some(Self {
            did,
            subjects: request
                .subject
                .iter()
                .chain(&request.subjects)
                .take(MAX_SUBJECTS)
                .map(|subject| redact(subject))
                .collect(),
            asked: words([
                ("group", json!(request.group)),
                // The search words may be a name.
                ("q", json!(request.q.as_ref().map(|_| "…"))),
                ("stage", json!(request.stage)),
                ("reason", json!(request.reason)),
                ("kind", json!(request.kind)),
                ("application", json!(request.application)),
            ]),
            because: request.because.clone(),
        })
    }

    fn of_replay(request: &ReplayRequest) -> Option<Self> {
        let names = request.entity.iter().chain(&request.entities);
        (!request.dry_run).then(|| Self {
            did: "replay",
            subjects: names.take(MAX_SUBJECTS).map(|name| redact(name)).collect(),
            asked: words([
                ("since", json!(request.since)),
                ("until", json!(request.until)),
                ("kind", json!(request.kind)),
                ("application", json!(request.application)),
                ("cause", json!(request.cause)),
            ]),
            because: None,
        })
    }

    fn of_pass(
        did: &'static str,
        mode: Option<PassMode>,
        kind: Option<EntityKind>,
        application: Option<ApplicationId>,
    ) -> Self {
        Self {
            did,
            asked: words([
                ("mode", json!(mode)),
                ("kind", json!(kind)),
                ("application", json!(application)),
            ]),
            ..Self::default()
        }
    }

    fn of_binding(did: &'static str, request: &BindingRequest) -> Option<Self> {
        let selector = &request.selector;
        request.confirm.then(|| Self {
            did,
            subjects: named(selector, selector.code.as_ref()),
            asked: words([
                ("toCode", json!(request.to_code)),
                (
                    "toRecord",
                    json!(request.to_record.as_ref().map(ToString::to_string)),
                ),
                ("application", json!(selector.application)),
            ]),
            because: request.reason.clone(),
        })
    }
}

/// The subject that a selector names, where that is an id, or this code. An e-mail address is never kept (P11).
fn named(selector: &Selector, code: Option<&Code>) -> Vec<String> {
    let kind = selector.kind.unwrap_or(EntityKind::Customer);
    let entity = selector.entity.as_deref();
    let entity = entity.and_then(|entity| entity.parse::<EntityRef>().ok());
    let entity = entity.map(|entity| entity.to_string());
    let id = selector.id.map(|id| format!("{kind} {id}"));
    let code = code.map(|code| redact(&format!("{kind} with code {code}")));
    entity.into_iter().chain(id).chain(code).collect()
}

/// The fields of a request that have a value: `reason=validation kind=customer`.
fn words<const N: usize>(fields: [(&str, Value); N]) -> Option<String> {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    let words = fields.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| redact(&words.join(" ")))
}

/// The subjects and the outcome of an act. The answer may name more subjects than the request.
pub(crate) fn outcome(
    entry: Entry,
    result: &Result<Answer, Refusal>,
    clock: &dyn Clock,
) -> (Vec<String>, Outcome) {
    let at = clock.now();
    match result {
        Err(refusal) => {
            // It may quote the request.
            let reason = redact(&refusal.to_string());
            (entry.subjects, Outcome::Refused { at, reason })
        }
        Ok(answer) => {
            let summary = answer.summary().to_owned();
            let acted = answer.subjects();
            let subjects = match acted.is_empty() {
                true => entry.subjects,
                false => acted.iter().take(MAX_SUBJECTS).cloned().collect(),
            };
            let outcome = match answer.is_done() {
                true => Outcome::Done { at, summary },
                false => Outcome::Refused {
                    at,
                    reason: summary,
                },
            };
            (subjects, outcome)
        }
    }
}
