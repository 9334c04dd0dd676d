//! The catalogue of requests: every action with a description, an example and its fields. `help`, the errors about requests and
//! the tests of the documented requests read it; a field that is not in it is refused.

use std::num::NonZeroU64;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shared::{
    activity::State,
    domain::{
        ApplicationId, Cause, Code, CountryCode, EntityKind, ErpId, NorceId, PassMode, Personal,
    },
    owed::{Reason, Stage},
};
use uuid::Uuid;

use crate::{
    actions::{
        activity::Place,
        dead_letters::DeadLettersAction,
        export_mappings::ExportPlace,
        import_mappings::ImportPlace,
        owed::{OwedAction, Place as OwedPlace},
        replay::time_of,
        runs::Place as RunPlace,
    },
    doctor::Part,
    error::Refusal,
    sentence::Language,
};

/// The field that names the action.
pub(crate) const ACTION: &str = "action";

/// An action.
pub(crate) struct Action {
    /// Its name in a request.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// A complete request, as JSON.
    pub example: &'static str,
    /// Its fields besides `action`, in groups that actions share.
    fields: &'static [&'static [Field]],
}

/// A field of a request.
pub(crate) struct Field {
    /// Its name.
    pub name: &'static str,
    /// The form of its value.
    pub what: &'static str,
    /// An example of a value, as JSON.
    pub sample: &'static str,
    /// Whether the action requires it.
    pub is_required: bool,
    /// Whether a value has this form.
    accepts: fn(&Value) -> bool,
}

impl Action {
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        self.fields.iter().copied().flatten()
    }
}

impl Field {
    const fn new<T: DeserializeOwned>(
        name: &'static str,
        what: &'static str,
        sample: &'static str,
    ) -> Self {
        Self {
            name,
            what,
            sample,
            is_required: false,
            accepts: is_a::<T>,
        }
    }

    const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }
}

fn is_a<T: DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}

const A_COUNT: &str = "a whole number, 0 or greater";
const A_FLAG: &str = "true or false, without quotation marks";

const KIND: Field = Field::new::<EntityKind>("kind", "one of customer, company", r#""company""#);
const APPLICATION: Field = Field::new::<ApplicationId>(
    "application",
    "the whole number of an application in Norce",
    "1",
);
const MODE: Field = Field::new::<PassMode>("mode", "one of delta, full, sweep", r#""delta""#);
#[rustfmt::skip]
const ENTITY: Field = Field::new::<String>("entity", "a customer or company as lists and logs name it: a text", r#""customer/client/1001""#);
#[rustfmt::skip]
const SUBJECT: Field = Field::new::<String>("subject", "a subject as the list names it: a text", r#""customer/client/1001""#);
const LIMIT: Field = Field::new::<usize>("limit", A_COUNT, "50");
const DRY_RUN: Field = Field::new::<bool>("dryRun", A_FLAG, "true");
const CONFIRM: Field = Field::new::<bool>("confirm", A_FLAG, "true");
#[rustfmt::skip]
const NAMED: &[Field] = &[
    ENTITY,
    Field::new::<NorceId>("id", "Norce's id: a whole number, 1 or greater, without quotation marks", "1001"),
    Field::new::<Code>("code", "the ERP's code: a text", r#""C00042""#),
    Field::new::<Personal>("email", "a customer's e-mail address: a text", r#""anna@example.com""#),
    APPLICATION,
];
#[rustfmt::skip]
const CORRECTION: &[Field] = &[
    KIND,
    CONFIRM,
    Field::new::<String>("reason", "the reason, for the log: a text", r#""C00017 is another customer's""#),
];

/// The field with the time that the answer may take, in seconds.
pub(crate) const WITHIN: &str = "within";
/// The field with the language of the answer.
pub(crate) const LANGUAGE: &str = "language";

/// Fields that every action has.
#[rustfmt::skip]
pub(crate) static EVERYWHERE: [Field; 2] = [
    Field::new::<NonZeroU64>(WITHIN, "the seconds after which work ends: a whole number, 1 or greater", "25"),
    Field::new::<Language>(LANGUAGE, "one of en, sv", r#""sv""#),
];

/// Every action, with one field in each line.
#[rustfmt::skip]
pub(crate) const ACTIONS: &[Action] = &[
    Action {
        name: "help",
        does: "every action with a description, an example and its fields",
        example: r#"{"action":"help"}"#,
        fields: &[],
    },
    Action {
        name: "doctor",
        does: "checks the whole set-up, and lists what is left to set up; each fault has a fix",
        example: r#"{"action":"doctor"}"#,
        fields: &[&[Field::new::<Part>("part", "one of norce, erp, aws, events, schedules", r#""erp""#)]],
    },
    Action {
        name: "status",
        does: "waiting messages, owed records, imports under way, the last passes, and the deployed version",
        example: r#"{"action":"status"}"#,
        fields: &[],
    },
    Action {
        name: "explain",
        does: "one customer or company: what is known about it, and what an event would lead to now",
        example: r#"{"action":"explain","entity":"customer/client/1001"}"#,
        fields: &[NAMED, &[KIND]],
    },
    Action {
        name: "owed",
        does: "records that cannot be synced yet: list, retry, dismiss or restore them",
        example: r#"{"action":"owed","reason":"validation"}"#,
        fields: &[&[
            Field::new::<OwedAction>("do", "one of list, retry, dismiss, restore", r#""retry""#),
            SUBJECT,
            Field::new::<Stage>("stage", "one of to-erp, code-to-norce, fields-to-norce", r#""to-erp""#),
            Field::new::<Reason>("reason", "one of validation, conflict, missing-prerequisite, ambiguous, remote-fault, timed-out, forgotten, warned", r#""validation""#),
            KIND,
            APPLICATION,
            Field::new::<bool>("dismissed", A_FLAG, "true"),
            Field::new::<Vec<String>>("subjects", "a list of subjects as the list names them", r#"["customer/client/1001","customer/client/1002"]"#),
            Field::new::<String>("q", "words of the reason, or parts of a code or subject: a text", r#""price list""#),
            Field::new::<Uuid>("group", "the `group` of a listed group: a text", r#""3cefbd4a-8d46-43a1-bc90-68f3b420c056""#),
            Field::new::<bool>("groups", A_FLAG, "true"),
            LIMIT,
            Field::new::<OwedPlace>("cursor", "where the previous answer stopped: its `cursor`", r#"{"first":"2026-11-24T00:00:00Z","subject":"customer/client/1001","stage":"to-erp"}"#),
            Field::new::<DateTime<Utc>>("asOf", "the `asOf` of the list that the act is based on: a time", r#""2026-11-24T00:00:00Z""#),
            Field::new::<usize>("expected", "the `found` of the list that the act is based on: a whole number, 0 or greater", "12"),
            Field::new::<String>("because", "the reason of the dismissal: a text", r#""Norce's support looks into it, ticket 4711""#),
        ]],
    },
    Action {
        name: "activity",
        does: "what people did, with who and why, the newest first",
        example: r#"{"action":"activity","did":"dismiss"}"#,
        fields: &[&[
            Field::new::<String>("user", "the name of a user: a text", r#""aws""#),
            Field::new::<String>("did", "one of retry, dismiss, restore, replay, plan, pass, redrive, trial, forget, unbind, rebind, import-mappings", r#""retry""#),
            SUBJECT,
            Field::new::<State>("state", "one of started, done, refused", r#""refused""#),
            LIMIT,
            Field::new::<Place>("cursor", "where the previous answer stopped: its `cursor`", r#"{"at":"2026-11-24T00:00:00Z","id":"3cefbd4a-8d46-43a1-bc90-68f3b420c056"}"#),
        ]],
    },
    Action {
        name: "replay",
        does: "check entities as if an event had come",
        example: r#"{"action":"replay","entity":"customer/client/1001"}"#,
        fields: &[&[
            ENTITY,
            Field::new::<Vec<String>>("entities", "a list of such names", r#"["customer/client/1001","company/client/7"]"#),
            Field { accepts: time_of, ..Field::new::<String>("since", "a time by Norce's clock", r#""2026-11-24T00:00:00Z""#) },
            Field { accepts: time_of, ..Field::new::<String>("until", "a time by Norce's clock", r#""2026-11-24T06:00:00Z""#) },
            KIND,
            APPLICATION,
            Field::new::<Cause>("cause", "one of changed, ordered, contact-of-company", r#""ordered""#),
            Field::new::<String>("after", "where the previous answer stopped: its `after`", r#""customer/client/1001""#),
            DRY_RUN,
        ]],
    },
    Action {
        name: "runs",
        does: "the passes of the last 30 days, the newest first",
        example: r#"{"action":"runs","mode":"delta"}"#,
        fields: &[&[
            MODE,
            APPLICATION,
            LIMIT,
            Field::new::<RunPlace>("cursor", "where the previous answer stopped: its `cursor`", r#"{"started":"2026-11-24T00:00:00Z","run":"3cefbd4a-8d46-43a1-bc90-68f3b420c056"}"#),
        ]],
    },
    Action {
        name: "history",
        does: "the number of owed records, every 15 minutes",
        example: r#"{"action":"history","hours":24}"#,
        fields: &[&[Field::new::<u32>("hours", A_COUNT, "168")]],
    },
    Action {
        name: "plan",
        does: "make a report of what a pass would do; with `show`, the summary and the first lines of one",
        example: r#"{"action":"plan","mode":"full"}"#,
        fields: &[&[
            MODE,
            KIND,
            APPLICATION,
            Field::new::<Uuid>("show", "the id of a plan: its `run`, a text", r#""3cefbd4a-8d46-43a1-bc90-68f3b420c056""#),
            LIMIT,
        ]],
    },
    Action {
        name: "pass",
        does: "start a pass",
        example: r#"{"action":"pass","mode":"delta"}"#,
        fields: &[&[MODE.required(), KIND, APPLICATION]],
    },
    Action {
        name: "dead-letters",
        does: "messages that could not be handled: count, show or redrive them",
        example: r#"{"action":"dead-letters","do":"show","queue":"changes"}"#,
        fields: &[&[
            Field::new::<DeadLettersAction>("do", "one of count, show, redrive", r#""show""#),
            Field::new::<String>("queue", "one of changes, imports, jobs, passes", r#""changes""#),
            LIMIT,
        ]],
    },
    Action {
        name: "jobs",
        does: "imports under way, with their state in Norce",
        example: r#"{"action":"jobs"}"#,
        fields: &[&[
            Field::new::<i64>("job", "Norce's id of a job: a whole number", "123"),
            LIMIT,
        ]],
    },
    Action {
        name: "trial",
        does: "create a customer in the ERP, check that it can be sold to, and delete it; without `confirm` it says what it would do",
        example: r#"{"action":"trial","confirm":true}"#,
        fields: &[&[
            KIND,
            Field::new::<CountryCode>("country", "an ISO country code: two letters", r#""SE""#),
            APPLICATION,
            CONFIRM,
        ]],
    },
    Action {
        name: "forget",
        does: "forget a customer as if Norce had said so; without `confirm` it says what it would do",
        example: r#"{"action":"forget","entity":"customer/client/1001"}"#,
        fields: &[NAMED, &[CONFIRM]],
    },
    Action {
        name: "unbind",
        does: "remove the binding of a customer or company to its ERP record; without `confirm` it says what it would do",
        example: r#"{"action":"unbind","entity":"customer/client/1001"}"#,
        fields: &[NAMED, CORRECTION],
    },
    Action {
        name: "rebind",
        does: "bind a customer or company to another ERP record; without `confirm` it says what it would do",
        example: r#"{"action":"rebind","entity":"customer/client/1001","toCode":"C00042"}"#,
        fields: &[
            NAMED,
            CORRECTION,
            &[
                Field::new::<Code>("toCode", "the code of the other ERP record: a text", r#""C00042""#),
                Field::new::<ErpId>("toRecord", "the other ERP record: an object with `resource` (customer, contact) and `id`", r#"{"resource":"customer","id":"098b7432-6b84-4f1c-9e10-ad2028d2e605"}"#),
            ],
        ],
    },
    Action {
        name: "export-mappings",
        does: "write the code mappings to the reports bucket",
        example: r#"{"action":"export-mappings"}"#,
        fields: &[&[Field::new::<ExportPlace>("next", "where the previous answer stopped: its `next`", r#"{"export":"3cefbd4a-8d46-43a1-bc90-68f3b420c056","part":2,"after":"…"}"#)]],
    },
    Action {
        name: "import-mappings",
        does: "bind customers and companies as files in the reports bucket say, where Norce and the ERP agree",
        example: r#"{"action":"import-mappings","from":"mappings/seed.jsonl","dryRun":true}"#,
        fields: &[&[
            Field::new::<String>("from", "a key, or a prefix of several keys, in the reports bucket: a text", r#""mappings/seed.jsonl""#).required(),
            Field::new::<ImportPlace>("next", "where the previous answer stopped: its `next`", r#"{"key":"mappings/seed.jsonl","line":100,"kind":"company"}"#),
            DRY_RUN,
        ]],
    },
];

/// Checks a request: its action, every field, and the required fields. Errors repeat no values, and no names that are not in
/// the table: they may be e-mail addresses (P11).
pub(crate) fn check(request: &Map<String, Value>) -> Result<(), Refusal> {
    let action = action(request)?;
    for (name, value) in request.iter().filter(|(name, _)| *name != ACTION) {
        let mut fields = action.fields().chain(&EVERYWHERE);
        let field = fields.find(|field| field.name == name);
        let field = field.ok_or_else(|| unknown_field(action, name))?;
        let is_left_out = value.is_null() && !field.is_required;
        if !is_left_out && !(field.accepts)(value) {
            return Err(Refusal::request(format!(
                "`{}` of `{}` is {}, for example \"{}\":{}",
                field.name, action.name, field.what, field.name, field.sample
            )));
        }
    }
    let mut required = action.fields().filter(|field| field.is_required);
    match required.find(|field| !request.contains_key(field.name)) {
        None => Ok(()),
        Some(field) => Err(Refusal::request(format!(
            "`{}` needs `{}`, {}, for example {}",
            action.name, field.name, field.what, action.example
        ))),
    }
}

fn action(request: &Map<String, Value>) -> Result<&'static Action, Refusal> {
    const ALL: &str = "{\"action\":\"help\"} says what each of them does";
    let names = ACTIONS.iter().map(|action| action.name);
    let listed = listed(names.clone());
    let Some(Value::String(asked)) = request.get(ACTION) else {
        return Err(Refusal::request(format!(
            "`action` is missing, or is no text: it is one of {listed}, for example {{\"action\":\"status\"}}; {ALL}"
        )));
    };
    let found = ACTIONS.iter().find(|action| action.name == asked);
    found.ok_or_else(|| {
        Refusal::request(format!(
            "there is no such `action`.{} The actions are {listed}; {ALL}",
            meant(closest(asked, names))
        ))
    })
}

fn unknown_field(action: &Action, name: &str) -> Refusal {
    let names = action.fields().map(|field| field.name);
    if names.clone().next().is_none() {
        return Refusal::request(format!(
            "`{}` has no fields besides `action`: {}",
            action.name, action.example
        ));
    }
    Refusal::request(format!(
        "`{}` has no field of that name.{} Its fields are {}, for example {}",
        action.name,
        meant(closest(name, names.clone())),
        listed(names),
        action.example
    ))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn meant(closest: Option<&str>) -> String {
    match closest {
        Some(name) => format!(" Did you mean `{name}`?"),
        None => String::new(),
    }
}

/// The most similar name, if at most every third letter differs. Case and punctuation are ignored.
fn closest(written: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let letters = |text: &str| -> Vec<char> {
        let text = text.chars().filter(|letter| letter.is_alphanumeric());
        text.flat_map(char::to_lowercase)
            .take(MAX_COMPARED)
            .collect()
    };
    let written = letters(written);
    names
        .map(|name| (edits(&written, &letters(name)), name))
        .filter(|(edits, name)| edits * 3 <= name.len().max(written.len()))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// The number of letters compared: more than any name has.
const MAX_COMPARED: usize = 40;

/// The Levenshtein distance.
fn edits(one: &[char], other: &[char]) -> usize {
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut left = row + 1;
        let mut line = vec![left];
        for (column, theirs) in other.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != theirs);
            left = replaced.min(above[column + 1] + 1).min(left + 1);
            line.push(left);
        }
        above = line;
    }
    above.last().copied().unwrap_or_default()
}
