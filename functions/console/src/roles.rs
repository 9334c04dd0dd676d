//! The role of a person. `operator` decides what a role may do.

use std::{collections::BTreeMap, str::FromStr};

use serde_json::Value;
pub use shared::activity::Role;

/// The roles by the values of the provider's claim.
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
            let role: Role = role.parse()?;
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
    /// The highest role that a claim gives: a list of values, or one value. Values that are not in the map give none.
    pub fn role_of(&self, claim: Option<&Value>) -> Option<Role> {
        let values: &[Value] = match claim? {
            Value::Array(values) => values,
            value => std::slice::from_ref(value),
        };
        let values = values.iter().filter_map(Value::as_str);
        values.filter_map(|value| self.0.get(value)).max().copied()
    }
}
