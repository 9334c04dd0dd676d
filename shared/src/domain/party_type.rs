//! Persons, companies and contacts: what a customer or company of Norce is in the ERP. Settings can differ between them.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{EntityKind, FieldGroup, FieldGroups, InvalidFieldGroup, Resource};

/// What a customer or company of Norce is in the ERP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyType {
    /// A customer that belongs to no company.
    Person,
    /// A company.
    Company,
    /// A customer that belongs to a company.
    Contact,
}

impl PartyType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Person, Self::Company, Self::Contact];

    /// The type of a record, by its kind in Norce and its place in the ERP.
    pub const fn of(kind: EntityKind, resource: Resource) -> Self {
        match (kind, resource) {
            (_, Resource::Contact) => Self::Contact,
            (EntityKind::Customer, Resource::Customer) => Self::Person,
            (EntityKind::Company, Resource::Customer) => Self::Company,
        }
    }

    /// The word for configuration, messages and logs, in the plural.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "persons",
            Self::Company => "companies",
            Self::Contact => "contacts",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl fmt::Display for PartyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartyTypes {
    /// Customers that are persons.
    pub persons: bool,
    /// Companies.
    pub companies: bool,
    /// Contacts of companies.
    pub contacts: bool,
}

impl PartyTypes {
    /// Every type.
    pub const ALL: Self = Self {
        persons: true,
        companies: true,
        contacts: true,
    };

    /// Whether the type is in the set.
    pub const fn has(self, of: PartyType) -> bool {
        match of {
            PartyType::Person => self.persons,
            PartyType::Company => self.companies,
            PartyType::Contact => self.contacts,
        }
    }

    /// The set of these words; `None` if one is not the word of a type.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let types: Vec<PartyType> = words.map(PartyType::parse).collect::<Option<_>>()?;
        let has = |of| types.contains(&of);
        Some(Self {
            persons: has(PartyType::Person),
            companies: has(PartyType::Company),
            contacts: has(PartyType::Contact),
        })
    }
}

/// `SYNC_KINDS`: what is synchronized at all. Contacts are kept under their companies in the ERP, so that they are not
/// synchronized without these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncKinds(PartyTypes);

impl SyncKinds {
    /// Everything.
    pub const ALL: Self = Self(PartyTypes::ALL);

    /// Whether this type is synchronized.
    pub const fn has(self, of: PartyType) -> bool {
        self.0.has(of)
    }

    /// Whether entities of this kind are synchronized; `None`: it depends on the customer, because persons are and contacts
    /// are not, or the other way round.
    pub const fn has_kind(self, kind: EntityKind) -> Option<bool> {
        let PartyTypes {
            persons,
            companies,
            contacts,
        } = self.0;
        match kind {
            EntityKind::Company => Some(companies),
            EntityKind::Customer if persons == contacts => Some(persons),
            EntityKind::Customer => None,
        }
    }

    /// The types that are switched off.
    pub fn off(self) -> impl Iterator<Item = PartyType> {
        PartyType::ALL.into_iter().filter(move |it| !self.has(*it))
    }
}

impl Default for SyncKinds {
    fn default() -> Self {
        Self::ALL
    }
}

/// A text is no list of kinds that can be synchronized.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSyncKinds {
    /// A word is not known, or there is none.
    #[error("it is a list of `persons`, `companies` and `contacts`")]
    Words,
    /// Contacts without companies.
    #[error(
        "it has `contacts` without `companies`: the ERP keeps a contact under its company, so name `companies` as well, or leave `contacts` out"
    )]
    ContactsAlone,
}

impl FromStr for SyncKinds {
    type Err = InvalidSyncKinds;

    fn from_str(text: &str) -> Result<Self, InvalidSyncKinds> {
        let kinds = PartyTypes::parse(text.split(',').map(str::trim));
        let kinds = kinds.ok_or(InvalidSyncKinds::Words)?;
        if kinds.contacts && !kinds.companies {
            return Err(InvalidSyncKinds::ContactsAlone);
        }
        Ok(Self(kinds))
    }
}

impl fmt::Display for SyncKinds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = PartyType::ALL.into_iter().filter(|it| self.has(*it));
        let words: Vec<&str> = on.map(PartyType::as_str).collect();
        formatter.write_str(&words.join(","))
    }
}

/// `ERP_OWNED_FIELDS`: the groups of fields that the ERP owns, of each type. Written as a list of groups, each for all types
/// or behind one of them: `code,price-lists,companies:names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedFields {
    persons: FieldGroups,
    companies: FieldGroups,
    contacts: FieldGroups,
}

impl OwnedFields {
    /// What the ERP owns unless configured otherwise.
    pub const DEFAULT: Self = Self::all(FieldGroups::ERP_OWNS_BY_DEFAULT);

    /// The same groups of every type.
    pub const fn all(groups: FieldGroups) -> Self {
        Self {
            persons: groups,
            companies: groups,
            contacts: groups,
        }
    }

    /// The groups of a type.
    pub const fn of(self, of: PartyType) -> FieldGroups {
        match of {
            PartyType::Person => self.persons,
            PartyType::Company => self.companies,
            PartyType::Contact => self.contacts,
        }
    }

    /// The groups of any type.
    pub const fn any(self) -> FieldGroups {
        self.persons.union(self.companies).union(self.contacts)
    }

    /// The groups of each type without these.
    #[must_use]
    pub const fn without(self, groups: FieldGroups) -> Self {
        Self {
            persons: self.persons.without(groups),
            companies: self.companies.without(groups),
            contacts: self.contacts.without(groups),
        }
    }
}

impl Default for OwnedFields {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<FieldGroups> for OwnedFields {
    fn from(groups: FieldGroups) -> Self {
        Self::all(groups)
    }
}

/// A text is no list of groups of fields.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidOwnedFields {
    /// The word before a colon is no type.
    #[error(
        "`{0}` is not one of: persons, companies, contacts, before the colon of a group of one kind"
    )]
    Type(String),
    /// A word is no group.
    #[error(transparent)]
    Group(#[from] InvalidFieldGroup),
}

impl FromStr for OwnedFields {
    type Err = InvalidOwnedFields;

    fn from_str(text: &str) -> Result<Self, InvalidOwnedFields> {
        let mut owned = Self::all(FieldGroups::NONE);
        for word in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let (of, group) = match word.split_once(':') {
                None => (None, word),
                Some((of, group)) => match PartyType::parse(of) {
                    Some(of) => (Some(of), group),
                    None => return Err(InvalidOwnedFields::Type(of.to_owned())),
                },
            };
            let group = FieldGroups::of(&[group.parse::<FieldGroup>()?]);
            for (each, groups) in [
                (PartyType::Person, &mut owned.persons),
                (PartyType::Company, &mut owned.companies),
                (PartyType::Contact, &mut owned.contacts),
            ] {
                if of.is_none_or(|of| of == each) {
                    *groups = groups.union(group);
                }
            }
        }
        Ok(owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_kinds_are_a_list_and_contacts_need_their_companies() {
        use InvalidSyncKinds::{ContactsAlone, Words};
        use PartyType::{Company, Contact, Person};
        let cases: [(&str, Result<&[PartyType], InvalidSyncKinds>); 11] = [
            ("persons,companies,contacts", Ok(&[])),
            (" contacts , companies,persons", Ok(&[])),
            ("companies,contacts", Ok(&[Person])),
            ("persons,companies", Ok(&[Contact])),
            ("companies", Ok(&[Person, Contact])),
            ("persons", Ok(&[Company, Contact])),
            ("contacts", Err(ContactsAlone)),
            ("persons,contacts", Err(ContactsAlone)),
            ("", Err(Words)),
            ("companies,", Err(Words)),
            ("company", Err(Words)),
        ];
        for (text, expected) in cases {
            let kinds = text.parse::<SyncKinds>();
            let off = kinds.map(|kinds| kinds.off().collect::<Vec<_>>());
            assert_eq!(off.as_deref().map_err(Clone::clone), expected, "{text:?}");
        }
        assert_eq!(SyncKinds::ALL.to_string().parse(), Ok(SyncKinds::ALL));
    }

    #[test]
    fn only_where_persons_and_contacts_differ_does_it_depend_on_the_customer() {
        let of = |text: &str| {
            let kinds: SyncKinds = text.parse().unwrap();
            [EntityKind::Customer, EntityKind::Company].map(|kind| kinds.has_kind(kind))
        };
        assert_eq!(of("persons,companies,contacts"), [Some(true), Some(true)]);
        assert_eq!(of("companies"), [Some(false), Some(true)]);
        assert_eq!(of("companies,contacts"), [None, Some(true)]);
        assert_eq!(of("persons"), [None, Some(false)]);
    }

    #[test]
    fn a_group_is_owned_of_every_kind_or_of_the_kind_before_its_colon() {
        let cases = [
            ("code,price-lists", ["code,price-lists"; 3]),
            ("", [""; 3]),
            ("companies:names", ["", "names", ""]),
            (
                "code, companies:names ,companies:invoice-address",
                ["code", "code,names,invoice-address", "code"],
            ),
            (
                "names,persons:names,contacts:active",
                ["names", "names", "names,active"],
            ),
        ];
        for (text, expected) in cases {
            let owned: OwnedFields = text.parse().unwrap();
            let of = PartyType::ALL.map(|it| owned.of(it).to_string());
            assert_eq!(of, expected, "{text}");
        }
        for (text, words) in [
            (
                "company:names",
                "`company` is not one of: persons, companies, contacts",
            ),
            ("companies:name", "`name` is not one of: code, names"),
            ("companies: names", "` names` is not one of: code, names"),
            ("companies:", "`` is not one of: code, names"),
            ("code;names", "`code;names` is not one of: code, names"),
        ] {
            let error = text.parse::<OwnedFields>().unwrap_err().to_string();
            assert!(error.starts_with(words), "{text}: {error}");
        }
    }
}
