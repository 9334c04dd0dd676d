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

/// Which shops there are, and whether each has a register of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shops {
    /// `NORCE_APPLICATIONS`.
    pub applications: Applications,
    /// `CUSTOMERS_BY_APPLICATION`: application-unique instead of client-unique.
    pub by_application: bool,
}

impl Shops {
    /// Every register that there is.
    pub fn scopes(&self) -> Vec<Scope> {
        if self.by_application {
            self.applications
                .iter()
                .map(|application| Scope::Application(application.id))
                .collect()
        } else {
            vec![Scope::Client]
        }
    }

    /// The register that an event of this application is about; `None`: the application is not ours.
    ///
    /// In a client-unique set-up an event may still name an application (an order always does): the register is the
    /// client's all the same.
    pub fn scope(&self, application: Option<ApplicationId>) -> Option<Scope> {
        match application {
            _ if !self.by_application => Some(Scope::Client),
            Some(id) => self
                .applications
                .iter()
                .any(|known| known.id == id)
                .then_some(Scope::Application(id)),
            None => None,
        }
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
        let mut shops = Shops {
            applications: TWO.parse().unwrap(),
            by_application: true,
        };
        assert_eq!(shops.scope(Some(id(2))), Some(Scope::Application(id(2))));
        assert_eq!(shops.scope(Some(id(3))), None);
        assert_eq!(shops.scope(None), None);
        shops.by_application = false;
        assert_eq!(shops.scope(Some(id(3))), Some(Scope::Client));
    }
}
