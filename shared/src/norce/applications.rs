use uuid::Uuid;

use super::NorceError;
use crate::domain::{ApplicationId, Scope};

/// A shop, by both of its names: Query and events know the number, imports the key (norce-api §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application {
    /// The number.
    pub id: ApplicationId,
    /// `ApplicationKey` of imports.
    pub key: Uuid,
}

/// The configured applications. There is always one: the default.
#[derive(Debug, Clone)]
pub struct Applications {
    default: Application,
    others: Vec<Application>,
}

impl Applications {
    /// The default application and the others.
    pub fn new(default: Application, others: impl IntoIterator<Item = Application>) -> Self {
        Self {
            default,
            others: others.into_iter().collect(),
        }
    }

    /// The first one of the configuration.
    pub fn default_application(&self) -> Application {
        self.default
    }

    /// The application in whose name a call is made: the scope's, or the default where a register belongs to none.
    ///
    /// # Errors
    /// [`NorceError::Configuration`] when the scope's application is not configured.
    pub fn of(&self, scope: Scope) -> Result<Application, NorceError> {
        let Some(id) = scope.application() else {
            return Ok(self.default);
        };
        std::iter::once(&self.default)
            .chain(&self.others)
            .find(|application| application.id == id)
            .copied()
            .ok_or_else(|| {
                NorceError::Configuration(format!("application {id} is not in NORCE_APPLICATIONS"))
            })
    }
}
