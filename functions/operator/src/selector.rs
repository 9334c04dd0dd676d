//! The customer or company that a request is about.

use serde::Deserialize;
use shared::{
    domain::{
        ApplicationId, Code, EmailKey, EntityKind, EntityRef, NorceId, Personal, Scope, Shops,
    },
    http::Deadline,
    norce::Asked,
};

use crate::{error::Refusal, ports::Ports};

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
            (None, Some(id), None, None) => {
                self.with_id(kind, selector.application, id, deadline).await
            }
            (None, None, Some(code), None) => {
                let registers = self.registers(selector.application)?;
                self.with_code(kind, &registers, code, deadline).await
            }
            (None, None, None, Some(email)) => {
                let registers = self.registers(selector.application)?;
                if kind == EntityKind::Company {
                    return Err(Refusal::request(
                        "a company is not looked up by e-mail address: name its id or its code",
                    ));
                }
                let key = EmailKey::parse(email.expose())
                    .ok_or_else(|| Refusal::request("`email` is no e-mail address"))?;
                let norce = &self.change_events.norce;
                let mut hits = Vec::new();
                for scope in &registers {
                    hits.extend(norce.customers_by_email(*scope, &key, deadline).await?);
                }
                only(hits, "this e-mail address", || {
                    nobody_with_email(&registers)
                })
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
                    "there is no scope {}: see NORCE_APPLICATIONS",
                    entity.scope
                ))
            })
    }

    /// The registers that are meant: all of them, or an application's.
    pub(crate) fn registers(
        &self,
        application: Option<ApplicationId>,
    ) -> Result<Vec<Scope>, Refusal> {
        let shops = &self.change_events.shops;
        match application {
            None => Ok(shops.scopes()),
            Some(application) => Ok(vec![scope_of(shops, application)?]),
        }
    }

    /// The entity with an id of Norce's, which is unique in the client.
    async fn with_id(
        &self,
        kind: EntityKind,
        application: Option<ApplicationId>,
        id: NorceId,
        deadline: Deadline,
    ) -> Result<EntityRef, Refusal> {
        let registers = self.registers(application)?;
        if let [scope] = registers[..] {
            return Ok(EntityRef { kind, scope, id });
        }
        let norce = &self.change_events.norce;
        for scope in &registers {
            if !norce.codes(kind, *scope, &[id], deadline).await?.is_empty() {
                let scope = *scope;
                return Ok(EntityRef { kind, scope, id });
            }
        }
        // Norce may have it no more.
        for scope in &registers {
            let scope = *scope;
            let entity = EntityRef { kind, scope, id };
            if self.change_events.mappings.get(entity).await?.is_some() {
                return Ok(entity);
            }
        }
        Err(Refusal::request(format!(
            "no {kind} has id {id}. Searched: Norce and the code mappings, {}; the ERP does not know Norce's ids. Compare the id in Norce Admin. {}",
            scopes(&registers),
            other_kind(kind, "id", &id.to_string()),
        )))
    }

    /// The entity with a code, in the code mappings or else in Norce.
    async fn with_code(
        &self,
        kind: EntityKind,
        registers: &[Scope],
        code: &Code,
        deadline: Deadline,
    ) -> Result<EntityRef, Refusal> {
        let change_events = &self.change_events;
        let mut hits = Vec::new();
        for scope in registers {
            hits.extend(change_events.mappings.by_code(kind, *scope, code).await?);
        }
        if !hits.is_empty() {
            return only(hits, "this code", String::new);
        }
        let asked = [Asked {
            code: code.clone(),
            keys: Vec::new(),
        }];
        for scope in registers {
            let looked_up = change_events.norce.look_up(kind, *scope, &asked, deadline);
            let found = looked_up.await?.found;
            let found = found.into_iter();
            let found = found.filter(|found| found.code.as_ref() == Some(code));
            hits.extend(found.map(|found| EntityRef {
                kind,
                scope: *scope,
                id: found.id,
            }));
        }
        only(hits, "this code", || nobody_with_code(kind, registers))
    }
}

/// What to try where the kind may be wrong. A code may be anything that a person wrote, and is not repeated (P11).
pub(crate) fn other_kind(kind: EntityKind, by: &str, value: &str) -> String {
    let (other, kind) = match kind {
        EntityKind::Customer => ("a company", "company"),
        EntityKind::Company => ("a customer", "customer"),
    };
    format!(
        "If it may be {other}: {{\"action\":\"explain\",\"kind\":\"{kind}\",\"{by}\":{value}}}."
    )
}

/// The only hit of a search.
fn only(
    mut hits: Vec<EntityRef>,
    by: &str,
    nobody: impl FnOnce() -> String,
) -> Result<EntityRef, Refusal> {
    hits.sort();
    hits.dedup();
    match hits[..] {
        [entity] => Ok(entity),
        [] => Err(Refusal::Request(nobody())),
        [first, second, ..] => Err(Refusal::request(format!(
            "several have {by}, such as {first} and {second}: name one by `entity`"
        ))),
    }
}

fn nobody_with_email(registers: &[Scope]) -> String {
    format!(
        "no customer has this e-mail address. Searched: Norce, {}; the code mappings and the ERP are not searched by e-mail address. Compare the address with the customer's in Norce Admin, or name the customer by `id`, `code` or `entity`.",
        scopes(registers)
    )
}

fn nobody_with_code(kind: EntityKind, registers: &[Scope]) -> String {
    format!(
        "no {kind} has this code. Searched: the code mappings and Norce, {}; the ERP is not searched. {} If the record is in the ERP only, {{\"action\":\"plan\",\"mode\":\"full\"}} says which customer or company it fits.",
        scopes(registers),
        other_kind(kind, "code", "\"<code>\"")
    )
}

/// The scope of an application.
pub(crate) fn scope_of(shops: &Shops, application: ApplicationId) -> Result<Scope, Refusal> {
    shops.scope(Some(application)).ok_or_else(|| {
        Refusal::request(format!(
            "application {application} is not in NORCE_APPLICATIONS: there are the {}",
            scopes(&shops.scopes())
        ))
    })
}

/// Scopes in words: `scope client`, `scopes app-1, app-2`.
pub(crate) fn scopes(scopes: &[Scope]) -> String {
    let names: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [name] => format!("scope {name}"),
        names => format!("scopes {}", names.join(", ")),
    }
}
