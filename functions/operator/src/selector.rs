//! The customer or company that a request names.

use serde::Deserialize;
use shared::{
    domain::{
        ApplicationId, ApplicationSettings, Code, EmailKey, EntityKind, EntityRef, NorceId,
        Personal, Scope,
    },
    http::Deadline,
    norce::LookupKey,
};

use crate::{
    error::Refusal,
    ports::Ports,
    sentence::{Sentence, say},
};

/// Names a customer or company in one of four ways. `catalog.rs` refuses other fields.
///
/// The e-mail address is looked up and forgotten; no log, answer or store ever has it (P11).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Its name in logs and lists: `customer/client/123`.
    pub entity: Option<String>,
    /// Norce's id.
    pub id: Option<NorceId>,
    /// The ERP's code.
    pub code: Option<Code>,
    /// A customer's e-mail address.
    pub email: Option<Personal>,
    /// Customer by default; not with `entity`.
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
            (None, Some(id), None, None) => {
                self.with_id(kind, selector.application, id, deadline).await
            }
            (None, None, Some(code), None) => {
                let scopes = self.scopes(selector.application)?;
                self.with_code(kind, &scopes, code, deadline).await
            }
            (None, None, None, Some(email)) => {
                let scopes = self.scopes(selector.application)?;
                if kind == EntityKind::Company {
                    return Err(Refusal::request(
                        "a company is not looked up by e-mail address: name its id or its code",
                    ));
                }
                let key = EmailKey::parse(email.expose())
                    .ok_or_else(|| Refusal::request("`email` is no e-mail address"))?;
                let norce = &self.change_events.norce;
                let mut hits = Vec::new();
                for scope in &scopes {
                    hits.extend(norce.customers_by_email(*scope, &key, deadline).await?);
                }
                only(hits, "this e-mail address", || {
                    say!("nobody-with-email", scope = scopes)
                })
            }
            _ => Err(Refusal::request(
                "name the customer or company by one of `entity` (customer/client/123), `id`, `code` or `email`, with `kind` (customer, company) and `application` where they are needed",
            )),
        }
    }

    /// Parses the name of an entity in a configured scope.
    pub(crate) fn entity(&self, name: &str) -> Result<EntityRef, Refusal> {
        let entity: EntityRef = name
            .parse()
            .map_err(|error| Refusal::request(format!("`entity`: {error}")))?;
        self.scopes(None)?
            .contains(&entity.scope)
            .then_some(entity)
            .ok_or_else(|| {
                Refusal::request(format!(
                    "there is no scope {}: see NORCE_APPLICATIONS",
                    entity.scope
                ))
            })
    }

    /// All scopes, or the scope of an application.
    pub(crate) fn scopes(&self, application: Option<ApplicationId>) -> Result<Vec<Scope>, Refusal> {
        let shops = &self.change_events.shops;
        match application {
            None => Ok(shops.scopes()),
            Some(application) => Ok(vec![scope_of(shops, application)?]),
        }
    }

    /// The entity with an id of Norce, which is unique in the client.
    async fn with_id(
        &self,
        kind: EntityKind,
        application: Option<ApplicationId>,
        id: NorceId,
        deadline: Deadline,
    ) -> Result<EntityRef, Refusal> {
        let scopes = self.scopes(application)?;
        if let [scope] = scopes[..] {
            return Ok(EntityRef { kind, scope, id });
        }
        let norce = &self.change_events.norce;
        for scope in &scopes {
            if !norce.codes(kind, *scope, &[id], deadline).await?.is_empty() {
                let scope = *scope;
                return Ok(EntityRef { kind, scope, id });
            }
        }
        // Norce may no longer have it.
        for scope in &scopes {
            let scope = *scope;
            let entity = EntityRef { kind, scope, id };
            if self.change_events.mappings.get(entity).await?.is_some() {
                return Ok(entity);
            }
        }
        let nobody = say!("nobody-with-id", kind, id, scope = scopes);
        Err(Refusal::Request(nobody.then(other_kind_by_id(kind, id))))
    }

    /// The entity with a code, in the code mappings or else in Norce.
    async fn with_code(
        &self,
        kind: EntityKind,
        scopes: &[Scope],
        code: &Code,
        deadline: Deadline,
    ) -> Result<EntityRef, Refusal> {
        let change_events = &self.change_events;
        let mut hits = Vec::new();
        for scope in scopes {
            hits.extend(change_events.mappings.by_code(kind, *scope, code).await?);
        }
        if hits.is_empty() {
            let asked = [LookupKey {
                code: code.clone(),
                keys: Vec::new(),
            }];
            for scope in scopes {
                let looked_up = change_events.norce.look_up(kind, *scope, &asked, deadline);
                let found = looked_up.await?.found.into_iter();
                let found = found.filter(|found| found.code.as_ref() == Some(code));
                hits.extend(found.map(|found| EntityRef {
                    kind,
                    scope: *scope,
                    id: found.id,
                }));
            }
        }
        only(hits, "this code", || {
            // The code is not repeated: a person may have written anything (P11).
            say!("nobody-with-code", kind, scope = scopes)
                .then(say!("other-kind-by-code", kind = other(kind)))
                .then(say!("plan-finds"))
        })
    }
}

/// What to try if the kind is wrong.
pub(crate) fn other_kind_by_id(kind: EntityKind, id: NorceId) -> Sentence {
    say!("other-kind-by-id", kind = other(kind), id)
}

const fn other(kind: EntityKind) -> EntityKind {
    match kind {
        EntityKind::Customer => EntityKind::Company,
        EntityKind::Company => EntityKind::Customer,
    }
}

/// The only hit of a search.
fn only(
    mut hits: Vec<EntityRef>,
    by: &str,
    nobody: impl FnOnce() -> Sentence,
) -> Result<EntityRef, Refusal> {
    hits.sort();
    hits.dedup();
    match hits[..] {
        [entity] => Ok(entity),
        [] => Err(Refusal::Request(nobody())),
        [first, second, ..] => Err(Refusal::Request(say!("several-with", by, first, second))),
    }
}

/// The scope of an application.
pub(crate) fn scope_of(
    shops: &ApplicationSettings,
    application: ApplicationId,
) -> Result<Scope, Refusal> {
    shops.scope(Some(application)).ok_or_else(|| {
        Refusal::request(format!(
            "application {application} is not in NORCE_APPLICATIONS: there are the {}",
            scopes(&shops.scopes())
        ))
    })
}

/// Scopes as a text: `scope client`, `scopes app-1, app-2`.
pub(crate) fn scopes(scopes: &[Scope]) -> String {
    let names: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [name] => format!("scope {name}"),
        names => format!("scopes {}", names.join(", ")),
    }
}
