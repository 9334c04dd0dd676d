//! Look-ups. A facade finds every holder of a value; the answer is compared with the question all the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    register::{Register, segment},
    wire::Found,
};
use crate::{
    domain::{Code, EmailKey, EntityKind, FieldGroup, FieldGroups, OrganisationKey},
    erp::{
        ErpError, ErpId, ErpRecord, Listing, MAX_HOLDERS, NaturalKey, PartyKind, RecordPage,
        Resource, mask::Mask,
    },
    http::Deadline,
};

/// Values in one search (`maxItems` of the contract).
const VALUES_BATCH_SIZE: usize = 100;

/// The conditions of a search besides its values.
struct Scope<'a> {
    resource: Resource,
    kind: Option<&'static str>,
    company: Option<&'a str>,
    fields: FieldGroups,
}

impl Scope<'_> {
    const fn of(resource: Resource) -> Self {
        Self {
            resource,
            kind: None,
            company: None,
            fields: FieldGroups::NONE,
        }
    }
}

impl Register {
    pub(super) async fn with_codes(
        &self,
        resource: Resource,
        codes: &[&Code],
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let case = self.capabilities(deadline).await?.code_case;
        let texts = codes.iter().map(|code| code.as_str().to_owned()).collect();
        let scope = Scope::of(resource);
        let found = self.search(&scope, "codes", texts, &[], deadline).await?;
        let mut found = found.all()?;
        found.retain(|record| codes.iter().any(|code| record.code.is(code, case)));
        Ok(found)
    }

    pub(super) async fn with_ids(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let mut all = RecordPage::default();
        for resource in [Resource::Customer, Resource::Contact] {
            let of_resource = ids.iter().filter(|id| id.resource == resource);
            let texts: Vec<String> = of_resource.map(|id| id.id.clone()).collect();
            let asked: BTreeSet<&String> = texts.iter().collect();
            let scope = Scope {
                fields,
                ..Scope::of(resource)
            };
            let found = self.search(&scope, "ids", texts.clone(), &[], deadline);
            let mut found = found.await?;
            found.records.retain(|record| asked.contains(&record.id.id));
            all.append(found);
        }
        Ok(all)
    }

    pub(super) async fn with_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let company = match kind {
            PartyKind::Contact { company } => company.as_ref().map(|company| company.id.as_str()),
            PartyKind::Person | PartyKind::Company => None,
        };
        let is_contact = kind.resource() == Resource::Contact;
        // A contact has the number of its organisation, and is looked for among the people of one organisation.
        if is_contact && (company.is_none() || matches!(key, NaturalKey::Organisation(_))) {
            return Ok(Vec::new());
        }
        let of_kind = match kind.is_organisation() {
            true => "organisation",
            false => "person",
        };
        let scope = Scope {
            kind: Some(of_kind).filter(|_| !is_contact),
            company,
            ..Scope::of(kind.resource())
        };
        let found = self
            .with_keys(&scope, std::slice::from_ref(key), deadline)
            .await?;
        let mut found = found.all()?;
        found.retain(|record| {
            let is_of_company = company
                .is_none_or(|company| record.company.as_ref().is_some_and(|it| it.0 == company));
            record.organisation == kind.is_organisation() && is_of_company && holds(record, key)
        });
        found.truncate(MAX_HOLDERS);
        Ok(found)
    }

    pub(super) async fn holders(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for resource in Resource::of(kind) {
            let scope = Scope::of(*resource);
            let found = self.with_keys(&scope, keys, deadline).await?;
            for record in &found.records {
                if is_of_kind(record, kind) {
                    let held = keys.iter().filter(|key| holds(record, key));
                    holders.extend(held.map(|key| (key.clone(), record.id.clone())));
                }
            }
            if found.unusable.is_empty() {
                continue;
            }
            // Which keys these hold, only a search by each of them tells. Each counts as a holder, so that no key is taken for
            // one that nobody else has.
            for key in keys {
                let found = self
                    .with_keys(&scope, std::slice::from_ref(key), deadline)
                    .await?;
                let unusable = found.unusable.into_iter().filter_map(|record| record.id);
                holders.extend(unusable.map(|id| (key.clone(), id)));
            }
        }
        Ok(holders)
    }

    pub(super) async fn other_holders(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        let case = self.capabilities(deadline).await?.code_case;
        let codes: Vec<&Code> = records.iter().map(|(_, code)| code).collect();
        let mut holders = Vec::new();
        for resource in Resource::of(kind) {
            let found = self.with_codes(*resource, &codes, deadline).await?;
            for record in found.iter().filter(|record| is_of_kind(record, kind)) {
                let rivals = records
                    .iter()
                    .filter(|(id, code)| *id != record.id && record.code.is(code, case));
                holders.extend(rivals.map(|(_, code)| (code.clone(), record.id.clone())));
            }
        }
        Ok(holders)
    }

    async fn with_keys(
        &self,
        scope: &Scope<'_>,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let (mut emails, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for key in keys {
            match key {
                NaturalKey::Email(email) => emails.extend(EmailKey::spellings(email)),
                NaturalKey::Organisation(number) => numbers.extend(spellings(number)),
            }
        }
        let mut all = RecordPage::default();
        for (list, values) in [("emails", emails), ("numbers", numbers)] {
            let values: Vec<String> = values.into_iter().collect();
            let hidden = values.clone();
            let mask: Vec<(&str, &str)> =
                hidden.iter().map(|value| ("key", value.as_str())).collect();
            let found = self.search(scope, list, values, &mask, deadline).await?;
            for record in found.records {
                if !all.records.iter().any(|known| known.id == record.id) {
                    all.records.push(record);
                }
            }
            all.unusable.extend(found.unusable);
        }
        Ok(all)
    }

    /// Every record with one of these values. `list` is the property of the request with the values.
    async fn search(
        &self,
        scope: &Scope<'_>,
        list: &str,
        values: Vec<String>,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let capabilities = self.capabilities(deadline).await?;
        let mut all = RecordPage::default();
        for values in values.chunks(VALUES_BATCH_SIZE) {
            let mut body = Map::from_iter([
                ("resource".to_owned(), json!(segment(scope.resource))),
                (list.to_owned(), json!(values)),
            ]);
            if let Some(kind) = scope.kind {
                body.insert("kind".to_owned(), json!(kind));
            }
            if let Some(company) = scope.company {
                body.insert("company".to_owned(), json!(company));
            }
            if !scope.fields.is_empty() {
                let groups: Vec<&str> = scope.fields.iter().map(FieldGroup::as_str).collect();
                body.insert("fields".to_owned(), json!(groups));
            }
            let body = Value::Object(body);
            let found: Found = self.client.ask(&["search"], &body, mask, deadline).await?;
            let found = found.into_page(scope.resource, capabilities);
            all.append(found);
        }
        Ok(all)
    }

    /// The first customers of a listing, of a kind or of both, as a sample.
    pub(super) async fn sample(
        &self,
        kind: Option<EntityKind>,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let listing = Listing {
            resource: Resource::Customer,
            kind,
            since: None,
            fields: FieldGroups::NONE,
        };
        Ok(self.page(&listing, None, deadline).await?.records)
    }

    /// The customers that a facade finds by a text, whatever they have.
    pub(super) async fn found_by(
        &self,
        list: &str,
        text: &str,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let scope = Scope::of(Resource::Customer);
        let mask = [("key", text)];
        let found = self.search(&scope, list, vec![text.to_owned()], &mask, deadline);
        found.await?.all()
    }
}

/// The spellings of a number by letters and digits alone.
fn spellings(number: &OrganisationKey) -> impl Iterator<Item = String> {
    let spellings = number.spellings().into_iter();
    spellings.map(|spelling| {
        let kept = spelling.chars().filter(char::is_ascii_alphanumeric);
        kept.collect::<String>().to_uppercase()
    })
}

/// Whether a record has this key.
pub(super) fn holds(record: &ErpRecord, key: &NaturalKey) -> bool {
    let kind = match key {
        NaturalKey::Email(_) => EntityKind::Customer,
        NaturalKey::Organisation(_) => EntityKind::Company,
    };
    record.keys(kind).contains(key)
}

fn is_of_kind(record: &ErpRecord, kind: EntityKind) -> bool {
    record.id.resource == Resource::Contact || record.organisation == (kind == EntityKind::Company)
}
