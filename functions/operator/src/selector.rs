//! The customer or company that a request is about.

use serde::Deserialize;
use shared::{
    domain::{ApplicationId, Code, EmailKey, EntityKind, EntityRef, NorceId, Personal, Scope},
    http::Deadline,
    norce::Asked,
};

use crate::{Ports, Refusal};

/// How a person names a customer or a company: in one of four ways.
///
/// The e-mail address is looked up and forgotten; no log, answer or store ever has it (P11).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Selector {
    /// As logs and lists name it: `customer/client/123`.
    pub entity: Option<String>,
    /// Norce's id.
    pub id: Option<NorceId>,
    /// The ERP's code.
    pub code: Option<Code>,
    /// A customer's e-mail address.
    pub email: Option<Personal>,
    /// Customer, unless said otherwise; not with `entity`.
    pub kind: Option<EntityKind>,
    /// The application, in application-unique set-ups; not with `entity`.
    pub application: Option<ApplicationId>,
}

impl Ports {
    /// The one entity that a selector names.
    pub(crate) async fn select(
        &self,
        selector: &Selector,
        deadline: Deadline,
    ) -> Result<EntityRef, Refusal> {
        let kind = selector.kind.unwrap_or(EntityKind::Customer);
        match (
            &selector.entity,
            selector.id,
            &selector.code,
            &selector.email,
        ) {
            (Some(entity), None, None, None) => self.entity(entity),
            (None, Some(id), None, None) => Ok(EntityRef {
                kind,
                scope: self.scope(selector.application)?,
                id,
            }),
            (None, None, Some(code), None) => {
                let scope = self.scope(selector.application)?;
                self.with_code(kind, scope, code, deadline).await
            }
            (None, None, None, Some(email)) => {
                let scope = self.scope(selector.application)?;
                if kind == EntityKind::Company {
                    return Err(Refusal::request(
                        "a company is not looked up by e-mail address: name its id or its code",
                    ));
                }
                let key = EmailKey::parse(email.expose())
                    .ok_or_else(|| Refusal::request("`email` is no e-mail address"))?;
                let norce = &self.change_events.norce;
                let ids = norce.customers_by_email(scope, &key, deadline).await?;
                one(kind, scope, &ids, "this e-mail address")
            }
            _ => Err(Refusal::request(
                "name the customer or company by one of `entity` (customer/client/123), `id`, `code` or `email`, with `kind` (customer, company) and `application` where they are needed",
            )),
        }
    }

    /// An entity by its name, of a register that there is.
    pub(crate) fn entity(&self, name: &str) -> Result<EntityRef, Refusal> {
        let entity: EntityRef = name
            .parse()
            .map_err(|error| Refusal::request(format!("`entity`: {error}")))?;
        self.registers(None)?
            .contains(&entity.scope)
            .then_some(entity)
            .ok_or_else(|| {
                Refusal::request(format!(
                    "there is no register {}: see NORCE_APPLICATIONS",
                    entity.scope
                ))
            })
    }

    /// The registers that are meant: all of them, or an application's.
    pub(crate) fn registers(
        &self,
        application: Option<ApplicationId>,
    ) -> Result<Vec<Scope>, Refusal> {
        match application {
            None => Ok(self.change_events.shops.scopes()),
            Some(_) => Ok(vec![self.scope(application)?]),
        }
    }

    fn scope(&self, application: Option<ApplicationId>) -> Result<Scope, Refusal> {
        let shops = &self.change_events.shops;
        shops.scope(application).ok_or_else(|| {
            let scopes: Vec<String> = shops.scopes().iter().map(ToString::to_string).collect();
            Refusal::request(format!(
                "name the `application`: there are the registers {}",
                scopes.join(", ")
            ))
        })
    }

    /// The entity with a code, in the code mappings or else in Norce.
    async fn with_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
        deadline: Deadline,
    ) -> Result<EntityRef, Refusal> {
        let change_events = &self.change_events;
        if let Some(entity) = change_events.mappings.by_code(kind, scope, code).await? {
            return Ok(entity);
        }
        let asked = [Asked {
            code: code.clone(),
            keys: Vec::new(),
        }];
        let norce = &change_events.norce;
        let looked_up = norce.look_up(kind, scope, &asked, deadline).await?;
        let ids: Vec<NorceId> = looked_up
            .found
            .iter()
            .filter(|found| found.code.as_ref() == Some(code))
            .map(|found| found.id)
            .collect();
        one(kind, scope, &ids, "this code")
    }
}

fn one(kind: EntityKind, scope: Scope, ids: &[NorceId], what: &str) -> Result<EntityRef, Refusal> {
    match ids {
        [id] => Ok(EntityRef {
            kind,
            scope,
            id: *id,
        }),
        [] => Err(Refusal::request(format!(
            "neither Norce nor the code mappings know a {kind} with {what} in register {scope}"
        ))),
        [first, second, ..] => Err(Refusal::request(format!(
            "several have {what}, such as {kind} {first} and {second}: name one by `id`"
        ))),
    }
}
