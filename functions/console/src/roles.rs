//! Who may do what.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a person may do; each role may do what the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Read, search and export.
    View,
    /// Also try again, dismiss, and replay entities by name.
    Act,
    /// Also what concerns many records, or cannot be undone.
    Admin,
}

impl Role {
    /// All of them, from the least.
    pub const ALL: [Self; 3] = [Self::View, Self::Act, Self::Admin];

    /// The role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Act => "act",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which values of the provider's claim give which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleMap(BTreeMap<String, Role>);

impl Default for RoleMap {
    /// Each role by its own name.
    fn default() -> Self {
        Self(Role::ALL.map(|role| (role.to_string(), role)).into())
    }
}

impl FromStr for RoleMap {
    type Err = String;

    /// Reads a list such as `Console.Read=view,Console.Act=act`. Several values may give the same role.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = BTreeMap::new();
        for pair in text.split(',') {
            let (value, role) = pair
                .rsplit_once('=')
                .ok_or_else(|| format!("`{pair}` is not of the form value=role"))?;
            let (value, role) = (value.trim(), role.trim());
            let known = Role::ALL.into_iter().find(|known| known.as_str() == role);
            let role = known.ok_or_else(|| format!("`{role}` is not one of: view, act, admin"))?;
            if value.is_empty() {
                return Err(format!("no value gives the role {role}"));
            }
            if roles.insert(value.to_owned(), role).is_some() {
                return Err(format!("`{value}` is there twice"));
            }
        }
        Ok(Self(roles))
    }
}

impl RoleMap {
    /// The highest role that a claim gives: a list of values, or one value. What is not in the map gives none.
    pub fn role_of(&self, claim: Option<&Value>) -> Option<Role> {
        let values: &[Value] = match claim? {
            Value::Array(values) => values,
            value => std::slice::from_ref(value),
        };
        let values = values.iter().filter_map(Value::as_str);
        values.filter_map(|value| self.0.get(value)).max().copied()
    }
}

/// So many entities may be replayed by name with the role `act`: about what a person has looked at. More than that is a
/// replay of a time range, for which the role is `admin`.
pub const MOST_NAMED: usize = 100;

/// The actions that the page sends.
pub const ACTIONS: [&str; 17] = [
    "activity",
    "doctor",
    "history",
    "runs",
    "status",
    "explain",
    "owed",
    "replay",
    "plan",
    "pass",
    "dead-letters",
    "jobs",
    "forget",
    "unbind",
    "rebind",
    "export-mappings",
    "import-mappings",
];

/// The role that a request to `operator` needs; `None`: it is none that the page sends.
///
/// Of an action that both reads and acts, `do` says which it is, and a `do` that is not known here is refused here.
pub fn needed(action: &str, body: &Map<String, Value>) -> Option<Role> {
    let what = match body.get("do") {
        None => "",
        Some(what) => what.as_str()?,
    };
    match (action, what) {
        (
            "activity" | "doctor" | "history" | "runs" | "status" | "explain" | "jobs"
            | "export-mappings",
            "",
        ) => Some(Role::View),
        ("owed", "" | "list") => Some(Role::View),
        ("owed", "retry" | "dismiss" | "restore") => Some(Role::Act),
        ("dead-letters", "" | "count") => Some(Role::View),
        // Bodies of messages are there to be acted upon.
        ("dead-letters", "show") => Some(Role::Act),
        ("dead-letters", "redrive") => Some(Role::Admin),
        ("replay", "") => Some(role_for_replay(body)),
        ("plan" | "pass" | "forget" | "unbind" | "rebind" | "import-mappings", "") => {
            Some(Role::Admin)
        }
        _ => None,
    }
}

/// Entities by name are what the person has seen. Everything else is a time range, or may be one day.
fn role_for_replay(body: &Map<String, Value>) -> Role {
    let is_by_name = body
        .keys()
        .all(|member| matches!(member.as_str(), "entity" | "entities" | "cause" | "dryRun"));
    let one = usize::from(body.contains_key("entity"));
    let several = match body.get("entities") {
        None => Some(0),
        Some(entities) => entities.as_array().map(Vec::len),
    };
    match several {
        Some(several) if is_by_name && (1..=MOST_NAMED).contains(&(one + several)) => Role::Act,
        _ => Role::Admin,
    }
}
