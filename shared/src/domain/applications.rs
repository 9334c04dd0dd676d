use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

use super::{ApplicationId, Scope};

/// One application (shop) of the client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Application {
    /// Norce's id, used in Query and in events.
    pub id: ApplicationId,
    /// Norce's key, used in imports.
    pub key: Uuid,
    /// The ERP company behind it, in application-unique set-ups; `None`: `ERP_COMPANY`.
    pub erp_company: Option<String>,
}

/// `NORCE_APPLICATIONS`: at least one; the first is the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applications {
    default: Application,
    others: Vec<Application>,
}

/// A scope's application is not configured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("application {0} is not in NORCE_APPLICATIONS")]
pub struct UnknownApplication(pub ApplicationId);

impl Applications {
    /// The default application and the others.
    pub fn new(default: Application, others: Vec<Application>) -> Self {
        Self { default, others }
    }

    /// The first one: the one in whose name a call is made where a register belongs to none.
    pub fn default_application(&self) -> &Application {
        &self.default
    }

    /// All of them, the default one first.
    pub fn iter(&self) -> impl Iterator<Item = &Application> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// The application of a scope: for a shared register, the default one.
    ///
    /// # Errors
    /// When the scope's application is not configured.
    pub fn of(&self, scope: Scope) -> Result<&Application, UnknownApplication> {
        match scope {
            Scope::Client => Ok(&self.default),
            Scope::Application(id) => self
                .iter()
                .find(|application| application.id == id)
                .ok_or(UnknownApplication(id)),
        }
    }
}

/// A text is no list of applications.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; expected JSON like [{{\"id\":1,\"key\":\"<uuid>\",\"erpCompany\":\"…\"}}]")]
pub struct InvalidApplications(String);

impl FromStr for Applications {
    type Err = InvalidApplications;

    fn from_str(text: &str) -> Result<Self, InvalidApplications> {
        let all: Vec<Application> =
            serde_json::from_str(text).map_err(|error| InvalidApplications(error.to_string()))?;
        for (index, application) in all.iter().enumerate() {
            if all
                .iter()
                .skip(index + 1)
                .any(|other| other.id == application.id || other.key == application.key)
            {
                return Err(InvalidApplications(format!(
                    "application {} is listed twice",
                    application.id
                )));
            }
        }
        let mut all = all.into_iter();
        match all.next() {
            Some(default) => Ok(Self::new(default, all.collect())),
            None => Err(InvalidApplications("the list is empty".to_owned())),
        }
    }
}

/// The registers of customers and companies of a client: Norce's client setting "Customers by application".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registers {
    /// One for all applications (client-unique).
    #[default]
    Client,
    /// One for each application (application-unique).
    Applications,
    /// One for each application, and one of those that Norce shares between all applications: the customers and companies
    /// without an `ApplicationId`.
    ApplicationsAndShared,
}

/// A text names no registers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `false`, `true` or `with-shared`")]
pub struct InvalidRegisters;

impl FromStr for Registers {
    type Err = InvalidRegisters;

    fn from_str(text: &str) -> Result<Self, InvalidRegisters> {
        match text {
            "false" => Ok(Self::Client),
            "true" => Ok(Self::Applications),
            "with-shared" => Ok(Self::ApplicationsAndShared),
            _ => Err(InvalidRegisters),
        }
    }
}

/// Which shops there are, and whether each has a register of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationSettings {
    /// `NORCE_APPLICATIONS`.
    pub applications: Applications,
    /// `CUSTOMERS_BY_APPLICATION`.
    pub registers: Registers,
}

impl ApplicationSettings {
    /// Every register that there is.
    pub fn scopes(&self) -> Vec<Scope> {
        let applications = || {
            let ids = self.applications.iter().map(|application| application.id);
            ids.map(Scope::Application)
        };
        match self.registers {
            Registers::Client => vec![Scope::Client],
            Registers::Applications => applications().collect(),
            Registers::ApplicationsAndShared => applications().chain([Scope::Client]).collect(),
        }
    }

    /// The register that an event of this application is about; `None`: the application is not ours.
    ///
    /// In a client-unique set-up an event may still name an application (an order always does): the register is the
    /// client's all the same.
    pub fn scope(&self, application: Option<ApplicationId>) -> Option<Scope> {
        self.register_of(application.map(i64::from))
    }

    /// The register that a row of Norce Query with this `ApplicationId` belongs to; `None`: to none of ours.
    pub fn register_of(&self, application: Option<i64>) -> Option<Scope> {
        match (self.registers, application) {
            (Registers::Client, _) | (Registers::ApplicationsAndShared, None) => {
                Some(Scope::Client)
            }
            (Registers::Applications, None) => None,
            (_, Some(id)) => self
                .applications
                .iter()
                .map(|known| known.id)
                .find(|known| i64::from(*known) == id)
                .map(Scope::Application),
        }
    }

    /// The registers that a shop of this register sees: its own, and then the shared one.
    pub fn seen_from(&self, scope: Scope) -> Vec<Scope> {
        match self.registers {
            Registers::ApplicationsAndShared if scope != Scope::Client => {
                vec![scope, Scope::Client]
            }
            _ => vec![scope],
        }
    }

    /// The registers whose shops see this one: the shared one is seen from all of them.
    pub fn that_see(&self, scope: Scope) -> Vec<Scope> {
        match self.registers {
            Registers::ApplicationsAndShared if scope == Scope::Client => self.scopes(),
            _ => vec![scope],
        }
    }

    /// Whether an entity may be of another register than the one that it was named in.
    pub fn share_some(&self) -> bool {
        self.registers == Registers::ApplicationsAndShared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"[{"id":1,"key":"00000000-0000-0000-0000-000000000001"},
        {"id":2,"key":"00000000-0000-0000-0000-000000000002","erpCompany":"B"}]"#;

    #[test]
    fn the_first_application_is_the_default_and_none_is_listed_twice() {
        let applications: Applications = TWO.parse().unwrap();
        assert_eq!(applications.default_application().id.get(), 1);
        let twice = TWO.replace("\"id\":2", "\"id\":1");
        for nonsense in ["[]", "{}", "x", &twice, r#"[{"id":0,"key":"x"}]"#] {
            assert!(nonsense.parse::<Applications>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn p14_an_event_of_a_foreign_application_has_no_scope() {
        let id = |id: i64| ApplicationId::try_from(id).unwrap();
        let mut shops = ApplicationSettings {
            applications: TWO.parse().unwrap(),
            registers: Registers::Applications,
        };
        assert_eq!(shops.scope(Some(id(2))), Some(Scope::Application(id(2))));
        assert_eq!(shops.scope(Some(id(3))), None);
        assert_eq!(shops.scope(None), None);
        shops.registers = Registers::Client;
        assert_eq!(shops.scope(Some(id(3))), Some(Scope::Client));
    }

    #[test]
    fn customers_of_no_application_have_a_register_where_some_are_shared() {
        let id = |id: i64| ApplicationId::try_from(id).unwrap();
        let shops = ApplicationSettings {
            applications: TWO.parse().unwrap(),
            registers: "with-shared".parse().unwrap(),
        };
        let one = Scope::Application(id(1));
        assert_eq!(
            shops.scopes(),
            [one, Scope::Application(id(2)), Scope::Client]
        );
        assert_eq!(shops.scope(None), Some(Scope::Client));
        assert_eq!(shops.scope(Some(id(1))), Some(one));
        assert_eq!(shops.scope(Some(id(3))), None);
        assert_eq!(shops.seen_from(one), [one, Scope::Client]);
        assert_eq!(shops.seen_from(Scope::Client), [Scope::Client]);
        assert_eq!(shops.that_see(Scope::Client), shops.scopes());
        assert_eq!(shops.that_see(one), [one]);
    }
}
