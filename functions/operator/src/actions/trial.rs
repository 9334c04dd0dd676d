//! `trial`: creates one record in the ERP as the functions create records, checks it, and deletes it.

use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        Address, ApplicationId, CountryCode, EntityKind, EntityRef, NorceId, Personal, ShopFields,
    },
    erp::{ErpError, IdempotencyKey, Party, PartyKind, Sale, Trial},
    http::Deadline,
};

use crate::{
    error::Refusal,
    ports::Ports,
    sentence::{self, Sentence, say, words},
};

/// An id that no customer or company of Norce has: the largest of its type.
const NOBODY: i64 = i32::MAX as i64;

/// The request. `catalog.rs` refuses other fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TrialRequest {
    /// A person by default. Templates and fixed values can differ by kind.
    pub kind: Option<EntityKind>,
    /// The country of its address; the home country by default. Templates and fixed values can differ by country.
    pub country: Option<CountryCode>,
    /// The register of one application; needed where there are several.
    pub application: Option<ApplicationId>,
    /// Carries it out; without it, the answer says what would be done.
    pub confirm: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrialAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// Whether the record was created, can be sold to, and was deleted.
    pub succeeded: bool,
    /// What is to be set up or done.
    #[serde(flatten, serialize_with = "sentence::todo")]
    pub todo: Option<Vec<Sentence>>,
}

impl Ports {
    pub(crate) async fn trial(
        &self,
        request: &TrialRequest,
        deadline: Deadline,
    ) -> Result<TrialAnswer, Refusal> {
        let kind = request.kind.unwrap_or(EntityKind::Customer);
        let scopes = self.scopes(request.application)?;
        let [scope] = scopes[..] else {
            return Err(Refusal::request(
                "there are several registers: name the `application` whose ERP company is to be tried",
            ));
        };
        if !request.confirm {
            return Ok(TrialAnswer {
                summary: say!("trial-would", kind, scope),
                succeeded: false,
                todo: None,
            });
        }
        let erp =
            self.change_events.erps.get(&scope).ok_or_else(|| {
                Refusal::request("this register has no ERP company: see ERP_COMPANY")
            })?;
        let capabilities = erp.capabilities(deadline).await;
        let home = capabilities.ok().and_then(|erp| erp.home_country);
        let country = request.country.or(home);
        let (Some(party), Ok(id)) = (party(kind, country), NorceId::try_from(NOBODY)) else {
            return Err(Refusal::request("the record of a trial cannot be made"));
        };
        let entity = EntityRef { kind, scope, id };
        let pattern = self.change_events.policy.code_pattern.as_ref();
        let code = pattern.map(|pattern| pattern.code(kind, id)).transpose();
        let code = code.map_err(|error| Refusal::request(error.to_string()))?;
        let key = IdempotencyKey { entity, code };
        let outcome = erp.trial(&key, &party, deadline).await;
        tracing::info!(%scope, succeeded = outcome.is_ok(), "trial of the ERP carried out");
        Ok(answer(outcome))
    }
}

/// The customer or company of a trial.
fn party(kind: EntityKind, country: Option<CountryCode>) -> Option<Party> {
    let name = Personal::parse("Norce trial, delete")?;
    let kind = match kind {
        EntityKind::Customer => PartyKind::Person,
        EntityKind::Company => PartyKind::Company,
    };
    let address = Address {
        line1: Personal::parse("Trial 1"),
        city: Personal::parse("Trial"),
        country,
        ..Address::default()
    };
    Some(Party {
        kind,
        name,
        email: None,
        phone: None,
        mobile: None,
        title: None,
        organisation_number: None,
        vat_number: None,
        address: Some(address),
        delivery_addresses: None,
        emptied: ShopFields::new(),
        unread: ShopFields::new(),
        gln: None,
        default_country: country,
    })
}

fn answer(outcome: Result<Trial, ErpError>) -> TrialAnswer {
    let trial = match outcome {
        Ok(trial) => trial,
        Err(error) => {
            return TrialAnswer {
                summary: say!("trial-failed", error = words(error.to_string())),
                succeeded: false,
                todo: None,
            };
        }
    };
    let code = &trial.code;
    let mut todo = Vec::new();
    match &trial.sale {
        Sale::Possible => {}
        Sale::Refused(reason) => todo.push(say!("trial-not-sold-to", reason = words(reason))),
        Sale::Unknown(reason) => todo.push(say!("trial-sale-unknown", reason = words(reason))),
    }
    if let Some(reason) = &trial.incomplete {
        todo.push(say!("trial-incomplete", reason = words(reason)));
    }
    if trial.altered {
        todo.push(say!("trial-altered"));
    }
    if let Some(reason) = &trial.left {
        todo.push(say!("trial-left", code, reason = words(reason)));
    }
    TrialAnswer {
        summary: if todo.is_empty() {
            say!("trial-succeeded", code)
        } else {
            say!("trial-found", code, count = todo.len())
        },
        succeeded: todo.is_empty(),
        todo: Some(todo),
    }
}
