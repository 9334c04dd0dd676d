//! Reads variables of the environment and collects all faults.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;
use thiserror::Error;

/// All faults of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigurationError {
    /// One sentence for each fault, which names the variable.
    pub faults: Vec<String>,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the configuration has {} fault(s):",
            self.faults.len()
        )?;
        for fault in &self.faults {
            write!(formatter, "\n  - {fault}")?;
        }
        Ok(())
    }
}

/// Looks up the value of a variable.
type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// Reads variables and collects their faults.
pub struct Environment<'a> {
    variable: Lookup<'a>,
    faults: Vec<String>,
}

impl<'a> Environment<'a> {
    /// The environment variables of this process.
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Another source of variables.
    pub fn new(variable: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self {
            variable: Box::new(variable),
            faults: Vec::new(),
        }
    }

    /// Adds the names of the stack's resources as defaults. A variable that is set takes precedence, so that a developer can
    /// use other resources.
    #[must_use]
    pub fn with_names(self, names: ResourceNames) -> Self {
        let variable = self.variable;
        Self {
            variable: Box::new(move |name| {
                variable(name).or_else(|| names.variables.get(name).cloned())
            }),
            faults: self.faults,
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// Adds a fault.
    pub fn fault(&mut self, name: &str, reason: impl fmt::Display) {
        self.faults.push(format!("{name}: {reason}"));
    }

    /// Reads a required variable.
    pub fn required<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(text) = self.text(name) else {
            self.fault(name, "is not set");
            return None;
        };
        self.parsed(name, &text)
    }

    /// Reads an optional variable. An empty one counts as missing.
    pub fn optional<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text(name)?;
        self.parsed(name, &text)
    }

    /// Reads an optional text, for which empty is a value.
    pub fn or_empty(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.trim().to_owned())
    }

    /// Reads a variable with a default, which also replaces an empty value.
    pub fn or_default<T>(&mut self, name: &str, default: T) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match self.text(name) {
            Some(text) => self.parsed(name, &text),
            None => Some(default),
        }
    }

    fn parsed<T>(&mut self, name: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        text.parse()
            .inspect_err(|error| self.fault(name, error))
            .ok()
    }

    /// Reads a whole configuration.
    ///
    /// # Errors
    /// All faults.
    pub fn read<T>(
        mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, ConfigurationError> {
        let configuration = read(&mut self);
        self.finish(configuration)
    }

    /// Returns the configuration if it has no faults.
    ///
    /// # Errors
    /// All faults.
    pub fn finish<T>(self, configuration: Option<T>) -> Result<T, ConfigurationError> {
        match configuration {
            Some(configuration) if self.faults.is_empty() => Ok(configuration),
            _ => Err(ConfigurationError {
                faults: self.faults,
            }),
        }
    }
}

/// An enumeration of the environment, with the texts of its values, each followed by those that earlier versions had.
macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal $(| $former:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text $(| $former)* => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is not one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

/// Builds a struct from fields that are read one after the other. All of them are read, so that every fault is collected; `None`
/// if one cannot be read. A field can use those above it. For functions that return an `Option`.
#[macro_export]
macro_rules! read_fields {
    ($name:ident { $($field:ident: $read:expr),+ $(,)? }) => {{
        $(let $field = $read;)+
        Some($name { $($field: $field?),+ })
    }};
}

/// The variable with the ARN of the secret that holds the names of the stack's resources.
pub const RESOURCE_NAMES_SECRET_ARN: &str = "RESOURCE_NAMES_SECRET_ARN";

/// The names of the stack's queues, tables, log groups, bucket and own secrets, by the variables that can replace them.
///
/// Lambda takes 4 KB of environment variables, measured as the JSON of all names and values
/// (<https://github.com/github-aws-runners/terraform-aws-github-runner/issues/3594> quotes its error), and these would
/// be more than half of that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ResourceNames {
    variables: BTreeMap<String, String>,
}
