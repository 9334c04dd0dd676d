use std::{fmt, sync::Arc};

use uuid::Uuid;

use super::{Entity, Refused};

/// The part of a record that a merchant's own rule checks before a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The company that it is written to.
    pub company: Uuid,
    /// Customers or contacts.
    pub entity: Entity,
    /// Its number; empty when the series will give one.
    pub number: String,
    /// Its name.
    pub display_name: String,
    /// Its e-mail address.
    pub email: String,
}

type Rule = Arc<dyn Fn(&Candidate) -> bool + Send + Sync>;

/// Rules by which the ERP refuses records, as extensions of a merchant do.
#[derive(Default)]
pub(super) struct Refusals(Vec<Rule>);

impl Refusals {
    pub(super) fn add(&mut self, rule: impl Fn(&Candidate) -> bool + Send + Sync + 'static) {
        self.0.push(Arc::new(rule));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn check(&self, candidate: &Candidate) -> Result<(), Refused> {
        if self.0.iter().any(|rule| rule(candidate)) {
            return Err(Refused::dialog(
                "The record does not meet a rule of this company and cannot be saved.",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Refusals({})", self.0.len())
    }
}
