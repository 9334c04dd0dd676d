//! The API of the page: passes each request to `operator`, with the user and the role.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shared::{domain::without_values, http::Deadline};

use crate::{
    answer::{Answer, FaultKind},
    operator::{LONGEST_WAIT, OperatorError},
    ports::Console,
    session::Session,
};

/// The largest request. Most have some hundred bytes; the longest continues an import of mappings, and lists the companies that
/// were rejected so far.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The time that must be left to call `operator`: a short answer takes as long after a cold start.
const TIME_FOR_AN_ANSWER: Duration = Duration::from_secs(2);

/// Members that the server sets.
const OURS: [&str; 3] = ["action", "by", "within"];

/// The actions that are answered here: all but `help`, which is for the command line.
pub const ACTIONS: [&str; 18] = [
    "activity",
    "dead-letters",
    "doctor",
    "explain",
    "export-mappings",
    "forget",
    "history",
    "import-mappings",
    "jobs",
    "owed",
    "pass",
    "plan",
    "rebind",
    "replay",
    "runs",
    "status",
    "trial",
    "unbind",
];

impl Console {
    /// Answers a request of the page. `action` is the last part of its address.
    pub(crate) async fn answer(
        &self,
        action: &str,
        body: Option<&str>,
        session: &Session,
        deadline: Deadline,
    ) -> Answer {
        let answer = match body {
            _ if action == "session" => self.describe(session),
            Some(body) => self.ask(action, body, session, deadline).await,
            None => Answer::fault(
                FaultKind::Request,
                "The request is too large: name fewer records.",
            ),
        };
        // Only the action: the other fields may name a person.
        let (role, status) = (session.role.as_str(), answer.status_code());
        let action = ACTIONS.iter().find(|known| **known == action);
        tracing::info!(action, role, status, "request of the page answered");
        answer
    }

    /// What the page needs to know about its user.
    fn describe(&self, session: &Session) -> Answer {
        let about = json!({
            "name": session.name,
            "role": session.role,
            "expires": session.expires,
            "stack": self.stack,
        });
        Answer::json(200, about.to_string())
    }

    async fn ask(&self, action: &str, body: &str, session: &Session, deadline: Deadline) -> Answer {
        let mut request: Map<String, Value> = match serde_json::from_str(body) {
            Ok(request) => request,
            Err(error) => {
                let message = format!(
                    "The request is not a JSON object: {}.",
                    without_values(&error)
                );
                return Answer::fault(FaultKind::Request, &message);
            }
        };
        if let Some(name) = OURS.iter().find(|name| request.contains_key(**name)) {
            let message = format!("The member `{name}` is set by the server: leave it out.");
            return Answer::fault(FaultKind::Request, &message);
        }
        if !ACTIONS.contains(&action) {
            return Answer::fault(FaultKind::Refused, "The page offers no such action.");
        }
        request.insert("action".to_owned(), action.into());
        request.insert(
            "by".to_owned(),
            json!({ "user": session.subject, "name": session.name, "role": session.role }),
        );
        if !deadline.allows(TIME_FOR_AN_ANSWER) {
            return Answer::fault(
                FaultKind::Later,
                "The console took too long to start. Nothing was done: try again.",
            );
        }
        let within = deadline.remaining().min(LONGEST_WAIT);
        // Without it, `operator` could continue after the page has shown a time-out.
        let seconds = within.saturating_sub(TIME_FOR_AN_ANSWER).as_secs().max(1);
        request.insert("within".to_owned(), seconds.into());
        match self.operator.ask(&Value::Object(request), within).await {
            Ok(answer) => Answer::json(200, answer),
            Err(error) => fault(&error),
        }
    }
}

fn fault(error: &OperatorError) -> Answer {
    match error {
        OperatorError::Request(message) => Answer::fault(FaultKind::Request, message),
        OperatorError::Role(message) => Answer::fault(FaultKind::Role, message),
        OperatorError::SetUp(message) => Answer::fault(FaultKind::SetUp, message),
        OperatorError::Later(message) => Answer::fault(FaultKind::Later, message),
        OperatorError::NotCalled(reason) => {
            tracing::error!(reason, "the function operator could not be called");
            Answer::fault(
                FaultKind::Later,
                "The function operator could not be called. Nothing was done: try again in a minute.",
            )
        }
        OperatorError::NoAnswer => {
            tracing::error!("the function operator did not answer in time");
            Answer::fault_with(
                FaultKind::Later,
                504,
                "The function operator did not answer in time. What was asked may have been done: look at the records before you try again.",
            )
        }
        OperatorError::Failed => {
            tracing::error!("the function operator failed; its log has the reason");
            Answer::fault_with(
                FaultKind::Later,
                502,
                "The function operator failed. A part of what was asked may have been done: look at the records, then try again. If it fails again, its log group says why.",
            )
        }
    }
}
