use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    CompanySettings, Entity, Refused,
    fields::{self, Changes, Field, Record},
    refusals::{Candidate, Refusals},
};

/// The data of one company. Nothing is shared between companies (P14).
#[derive(Debug)]
pub(super) struct Company {
    pub(super) settings: CompanySettings,
    pub(super) customers: Table,
    pub(super) contacts: Table,
    /// "Contact Business Relation": which contact stands for a customer.
    pub(super) relations: BTreeMap<Uuid, Uuid>,
    pub(super) default_dimensions: Vec<Record>,
    /// Open sales quotes, each with its customer.
    pub(super) quotes: BTreeMap<Uuid, Uuid>,
    revision: u64,
    /// Customers that have changed, for the subscriptions.
    pub(super) changed: Vec<(Uuid, Change)>,
}

/// Who writes: the API or a person in the ERP. A person in the ERP is not bound by *Manual Nos.* here, so that tests can lay out any register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    Api { same_key_status: http::StatusCode },
    Person,
}

/// What happened to a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Updated,
    Deleted,
}

impl Change {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// The context of a write.
pub(super) struct Write<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) author: Author,
    pub(super) refusals: &'a Refusals,
}

impl Company {
    pub(super) fn new(settings: CompanySettings) -> Self {
        Self {
            settings,
            customers: Table::new(&fields::EXTENDED_CUSTOMER, "Customer"),
            contacts: Table::new(fields::CONTACT, "Contact"),
            relations: BTreeMap::new(),
            default_dimensions: Vec::new(),
            quotes: BTreeMap::new(),
            revision: 0,
            changed: Vec::new(),
        }
    }

    pub(super) fn insert(
        &mut self,
        entity: Entity,
        changes: Changes,
        write: &Write<'_>,
    ) -> Result<Uuid, Refused> {
        match entity {
            Entity::Customers => {
                let id = self.insert_customer(changes, write)?;
                self.changed.push((id, Change::Created));
                Ok(id)
            }
            Entity::Contacts => self.insert_contact(changes, write),
            _ => Err(Refused::method_not_allowed()),
        }
    }

    pub(super) fn modify(
        &mut self,
        entity: Entity,
        id: Uuid,
        changes: Changes,
        write: &Write<'_>,
    ) -> Result<(), Refused> {
        match entity {
            Entity::Customers => {
                self.modify_customer(id, changes, write)?;
                self.changed.push((id, Change::Updated));
                Ok(())
            }
            Entity::Contacts => self.modify_contact(id, changes, write),
            _ => Err(Refused::method_not_allowed()),
        }
    }

    pub(super) fn delete(&mut self, entity: Entity, id: Uuid) -> Result<(), Refused> {
        match entity {
            Entity::Customers => {
                self.delete_customer(id)?;
                self.changed.push((id, Change::Deleted));
                Ok(())
            }
            Entity::Contacts => self.delete_contact(id),
            _ => Err(Refused::method_not_allowed()),
        }
    }

    pub(super) fn table(&self, entity: Entity) -> Result<&Table, Refused> {
        match entity {
            Entity::Customers => Ok(&self.customers),
            Entity::Contacts => Ok(&self.contacts),
            _ => Err(Refused::method_not_allowed()),
        }
    }

    pub(super) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    pub(super) fn check_refusals(
        &self,
        entity: Entity,
        record: &Record,
        write: &Write<'_>,
    ) -> Result<(), Refused> {
        // A person at the ERP's own screen is there to set the scene, not to be refused.
        if write.author == Author::Person {
            return Ok(());
        }
        write.refusals.check(&Candidate {
            company: self.settings.id,
            entity,
            number: record.text("number").to_owned(),
            display_name: record.text("displayName").to_owned(),
            email: record.text("email").to_owned(),
        })
    }
}

/// One table with its primary key, the number.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) fields: &'static [Field],
    pub(super) name: &'static str,
    rows: BTreeMap<Uuid, Record>,
    by_number: BTreeMap<String, Uuid>,
    /// In lower case, as everything in here.
    by_email: BTreeMap<String, BTreeSet<Uuid>>,
}

impl Table {
    fn new(fields: &'static [Field], name: &'static str) -> Self {
        Self {
            fields,
            name,
            rows: BTreeMap::new(),
            by_number: BTreeMap::new(),
            by_email: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, id: Uuid) -> Result<&Record, Refused> {
        self.rows.get(&id).ok_or_else(Refused::record_not_found)
    }

    pub(super) fn with_number(&self, number: &str) -> Option<&Record> {
        self.by_number.get(number).and_then(|id| self.rows.get(id))
    }

    pub(super) fn holds(&self, number: &str) -> bool {
        self.by_number.contains_key(number)
    }

    /// All records in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_number.values().filter_map(|id| self.rows.get(id))
    }

    /// The records whose number comes after this one, in their order.
    pub(super) fn after(&self, number: &str) -> impl Iterator<Item = &Record> {
        self.by_number
            .range::<str, _>((Bound::Excluded(number), Bound::Unbounded))
            .filter_map(|(_, id)| self.rows.get(id))
    }

    /// The records among which those are that have one of these values, whatever its case; `None` where there is no
    /// index.
    pub(super) fn having(&self, field: &str, values: &[String]) -> Option<Vec<&Record>> {
        let mut ids = BTreeSet::new();
        for value in values {
            match field {
                "id" => ids.extend(Uuid::try_parse(value)),
                "number" => ids.extend(self.by_number.get(&value.to_uppercase())),
                "email" => ids.extend(self.by_email.get(value).into_iter().flatten()),
                _ => return None,
            }
        }
        Some(ids.iter().filter_map(|id| self.rows.get(id)).collect())
    }

    /// Puts a record in, new or changed, renamed or not.
    pub(super) fn put(&mut self, record: Record) {
        let id = record.id();
        if self.rows.contains_key(&id) {
            let _ = self.remove(id);
        }
        self.by_number.insert(record.text("number").to_owned(), id);
        self.by_email
            .entry(record.text("email").to_lowercase())
            .or_default()
            .insert(id);
        self.rows.insert(id, record);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Result<Record, Refused> {
        let record = self
            .rows
            .remove(&id)
            .ok_or_else(Refused::record_not_found)?;
        self.by_number.remove(record.text("number"));
        if let Some(ids) = self.by_email.get_mut(&record.text("email").to_lowercase()) {
            ids.remove(&id);
        }
        Ok(record)
    }

    /// Refuses a number that another record has.
    pub(super) fn check_free(&self, number: &str, author: Author) -> Result<(), Refused> {
        if !self.holds(number) {
            return Ok(());
        }
        let status = match author {
            Author::Api { same_key_status } => same_key_status,
            Author::Person => http::StatusCode::BAD_REQUEST,
        };
        Err(Refused::same_key_exists(status, self.name, number))
    }
}

/// The number of a new record: the one that was asked for, if the series allows it, or the next of the series.
pub(super) fn number_for(
    asked: &str,
    table: &Table,
    series: &mut super::NumberSeries,
    author: Author,
) -> Result<String, Refused> {
    if asked.is_empty() {
        return Ok(series.draw(|number| table.holds(number)));
    }
    table.check_free(asked, author)?;
    if !series.manual && author != Author::Person {
        return Err(Refused::dialog(
            "You may not enter numbers manually. If you want to enter numbers manually, please activate Manual Nos. in No. Series.",
        ));
    }
    Ok(asked.to_owned())
}
