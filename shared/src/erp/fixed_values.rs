//! `ERP_FIXED_VALUES`: values that a merchant's records get in the ERP and that the shop knows nothing of, such as
//! payment terms. They are chosen by kind, country and application, and an adapter turns each into what its ERP stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::domain::{ApplicationId, CountryCode, redact, without_values};

/// The name of the parameter in texts for people.
const PARAMETER: &str = "ErpFixedValues";

/// A field that can have a fixed value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FixedField {
    /// Payment terms.
    PaymentTerms,
    /// Payment method.
    PaymentMethod,
    /// Shipment method.
    ShipmentMethod,
    /// Currency.
    Currency,
    /// Salesperson.
    Salesperson,
    /// Tax area: in countries with VAT, the VAT business posting group.
    TaxArea,
    /// Fiscal position.
    FiscalPosition,
    /// Language of documents and e-mails.
    Lang,
    /// Tags, of which a record can have several.
    Tags,
    /// Price list.
    PriceList,
    /// The dimension with this code.
    Dimension(String),
}

/// The fields by their names in the parameter. Dimensions have names of their own.
const FIELDS: [(&str, FixedField); 10] = [
    ("paymentTerms", FixedField::PaymentTerms),
    ("paymentMethod", FixedField::PaymentMethod),
    ("shipmentMethod", FixedField::ShipmentMethod),
    ("currency", FixedField::Currency),
    ("salesperson", FixedField::Salesperson),
    ("taxArea", FixedField::TaxArea),
    ("fiscalPosition", FixedField::FiscalPosition),
    ("lang", FixedField::Lang),
    ("tags", FixedField::Tags),
    ("priceList", FixedField::PriceList),
];
const DIMENSIONS: &str = "dimensions";

impl fmt::Display for FixedField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Dimension(code) = self {
            return write!(formatter, "{DIMENSIONS}.{code}");
        }
        let name = FIELDS.iter().find(|(_, field)| field == self);
        formatter.write_str(name.map_or(DIMENSIONS, |(name, _)| name))
    }
}

/// The kinds of parties, as the parameter names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FixedKind {
    /// Customers that are persons.
    Persons,
    /// Companies.
    Companies,
    /// Contacts of companies.
    Contacts,
}

impl FixedKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Persons, Self::Companies, Self::Contacts];

    /// The word in the parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Persons => "persons",
            Self::Companies => "companies",
            Self::Contacts => "contacts",
        }
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedValue {
    /// The codes or names that people know: one, or those of all tags.
    pub values: Vec<String>,
    /// Whether an update writes it too, and not only the create.
    pub on_update: bool,
    /// The number of its rule, from 1.
    pub rule: usize,
}

/// The values of one record.
pub type ChosenValues = BTreeMap<FixedField, FixedValue>;

/// A value of the parameter that the ERP does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "rule {rule} of {PARAMETER} sets `{field}` to `{value}`, and {problem}: {fix}, or correct the parameter"
)]
pub struct UnknownValue {
    /// The number of its rule, from 1.
    pub rule: usize,
    /// The field.
    pub field: FixedField,
    /// The value, fit for a log.
    pub value: String,
    /// What is the matter, such as "Odoo has no payment terms of this name".
    pub problem: String,
    /// What can be done in the ERP, such as "make them in Odoo".
    pub fix: String,
}

impl UnknownValue {
    /// The login of a salesperson may be an e-mail address, which is left out.
    pub(super) fn new(
        field: &FixedField,
        fixed: &FixedValue,
        value: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            rule: fixed.rule,
            field: field.clone(),
            value: redact(value),
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// A text is not a valid value of `ERP_FIXED_VALUES`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0}; expected a list of rules such as [{{\"set\":{{\"paymentTerms\":\"30D\"}}}},{{\"when\":{{\"kind\":\"companies\",\"country\":\"DE\"}},\"set\":{{\"taxArea\":\"EU\"}}}}]"
)]
pub struct InvalidFixedValues(String);

/// The rules of the parameter. Of those that match a record, the last one that sets a field decides about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FixedValues {
    rules: Vec<Rule>,
}

/// `{"when":{"kind","country","application"},"set":{…},"also":"update"}`. An empty set of a condition matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    kinds: BTreeSet<FixedKind>,
    countries: BTreeSet<CountryCode>,
    applications: BTreeSet<ApplicationId>,
    set: ChosenValues,
}

impl Rule {
    fn has_kind(&self, kind: FixedKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

impl FixedValues {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules for a register that belongs to this application, or to none.
    #[must_use]
    pub fn of_application(&self, application: Option<ApplicationId>) -> Self {
        let rules = self.rules.iter().filter(|rule| {
            rule.applications.is_empty()
                || application.is_some_and(|application| rule.applications.contains(&application))
        });
        let rules = rules.map(|rule| Rule {
            applications: BTreeSet::new(),
            ..rule.clone()
        });
        Self {
            rules: rules.collect(),
        }
    }

    /// The values of a record of this kind and country.
    pub fn choose(&self, kind: FixedKind, country: Option<CountryCode>) -> ChosenValues {
        let mut chosen = ChosenValues::new();
        for rule in &self.rules {
            let is_of_country = rule.countries.is_empty()
                || country.is_some_and(|country| rule.countries.contains(&country));
            if rule.has_kind(kind) && is_of_country && rule.applications.is_empty() {
                chosen.extend(rule.set.clone());
            }
        }
        chosen
    }

    /// Every value of every rule.
    pub fn all(&self) -> impl Iterator<Item = (&FixedField, &FixedValue)> {
        self.rules.iter().flat_map(|rule| &rule.set)
    }

    /// The first value that could never be written: no kind of its rule has the field in the ERP, or its application has
    /// no register of its own. `takes` says whether the ERP has a field for a kind.
    ///
    /// # Errors
    /// The place and the reason.
    pub fn check(
        &self,
        erp: &str,
        takes: fn(&FixedField, FixedKind) -> bool,
        applications: Option<&BTreeSet<ApplicationId>>,
    ) -> Result<(), String> {
        for (number, rule) in (1..).zip(&self.rules) {
            for field in rule.set.keys() {
                let possible = |kind: &FixedKind| takes(field, *kind);
                if !FixedKind::ALL.iter().any(possible) {
                    return Err(format!(
                        "rule {number}: `set.{field}` cannot be set in {erp}, which takes {}",
                        names_taken(takes)
                    ));
                }
                if !rule.kinds.is_empty() && !rule.kinds.iter().any(possible) {
                    let kinds: Vec<&str> = rule.kinds.iter().map(|kind| kind.as_str()).collect();
                    return Err(format!(
                        "rule {number}: `set.{field}` cannot be set for {} in {erp}",
                        kinds.join(" and ")
                    ));
                }
            }
            let strange = applications.and_then(|known| rule.applications.difference(known).next());
            if let Some(application) = strange {
                return Err(format!(
                    "rule {number}: application {application} has no customers of its own: `when.application` takes the applications of NORCE_APPLICATIONS, and only with CUSTOMERS_BY_APPLICATION"
                ));
            }
        }
        Ok(())
    }
}

fn names_taken(takes: fn(&FixedField, FixedKind) -> bool) -> String {
    let dimensions = (DIMENSIONS, FixedField::Dimension(String::new()));
    let fields = FIELDS.into_iter().chain([dimensions]);
    let taken = fields.filter(|(_, field)| FixedKind::ALL.iter().any(|kind| takes(field, *kind)));
    let names: Vec<&str> = taken.map(|(name, _)| name).collect();
    names.join(", ")
}

impl FromStr for FixedValues {
    type Err = InvalidFixedValues;

    fn from_str(text: &str) -> Result<Self, InvalidFixedValues> {
        let rules: Vec<Value> = serde_json::from_str(text)
            .map_err(|error| InvalidFixedValues(without_values(&error)))?;
        let rules = (1..).zip(&rules).map(|(number, rule)| {
            read_rule(number, rule)
                .map_err(|reason| InvalidFixedValues(format!("rule {number}: {reason}")))
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }
}

fn read_rule(number: usize, rule: &Value) -> Result<Rule, String> {
    let rule = object(rule, "it")?;
    only(rule, &["when", "set", "also"], "")?;
    let nothing = Map::new();
    let when = match rule.get("when") {
        Some(when) => object(when, "`when`")?,
        None => &nothing,
    };
    only(when, &["kind", "country", "application"], "when.")?;
    let on_update = match rule.get("also") {
        None => false,
        Some(also) if also == "update" => true,
        Some(_) => return Err("`also` can only be \"update\"".to_owned()),
    };
    let set = rule.get("set").ok_or("it has no `set`")?;
    let set = read_set(object(set, "`set`")?, number, on_update)?;
    Ok(Rule {
        kinds: one_or_many(when, "kind", |kind| {
            let kinds = FixedKind::ALL.into_iter();
            let kind = kind.as_str();
            kinds
                .into_iter()
                .find(|it| Some(it.as_str()) == kind)
                .ok_or("takes persons, companies and contacts")
        })?,
        countries: one_or_many(when, "country", |country| {
            let country = country.as_str().and_then(|country| country.parse().ok());
            country.ok_or("takes two-letter country codes such as \"DE\"")
        })?,
        applications: one_or_many(when, "application", |application| {
            let id = application.as_i64();
            id.and_then(|id| ApplicationId::try_from(id).ok())
                .ok_or("takes ids of applications as numbers")
        })?,
        set,
    })
}

fn read_set(
    set: &Map<String, Value>,
    rule: usize,
    on_update: bool,
) -> Result<ChosenValues, String> {
    if set.is_empty() {
        return Err("`set` is empty".to_owned());
    }
    let fixed = |values| FixedValue {
        values,
        on_update,
        rule,
    };
    let mut chosen = ChosenValues::new();
    for (name, value) in set {
        if name == DIMENSIONS {
            let dimensions = object(value, "`set.dimensions`")?;
            for (code, value) in dimensions {
                let place = format!("set.dimensions.{code}");
                if code.trim().is_empty() {
                    return Err("`set.dimensions` has a dimension without a code".to_owned());
                }
                let field = FixedField::Dimension(code.trim().to_uppercase());
                chosen.insert(field, fixed(vec![one_text(value, &place)?]));
            }
            continue;
        }
        let Some((_, field)) = FIELDS.into_iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "`set.{}` is unknown: it can be {}, {DIMENSIONS}",
                redact(name),
                known.join(", ")
            ));
        };
        let place = format!("set.{name}");
        let values = match value {
            Value::Array(tags) if field == FixedField::Tags && !tags.is_empty() => {
                let tags = tags.iter().map(|tag| one_text(tag, &place));
                tags.collect::<Result<_, _>>()?
            }
            _ if field == FixedField::Tags => {
                return Err(format!("`{place}` takes a list of names"));
            }
            value => vec![one_text(value, &place)?],
        };
        chosen.insert(field, fixed(values));
    }
    Ok(chosen)
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{place} is not an object"))
}

fn only(object: &Map<String, Value>, known: &[&str], place: &str) -> Result<(), String> {
    let strange = object.keys().find(|key| !known.contains(&key.as_str()));
    strange.map_or(Ok(()), |key| {
        Err(format!(
            "`{place}{}` is unknown: it can be {}",
            redact(key),
            known.join(", ")
        ))
    })
}

/// A condition: one value, or a list of them. A missing one matches everything, and an empty list would match nothing.
fn one_or_many<T: Ord>(
    when: &Map<String, Value>,
    name: &str,
    read: impl Fn(&Value) -> Result<T, &'static str>,
) -> Result<BTreeSet<T>, String> {
    let values = match when.get(name) {
        None => return Ok(BTreeSet::new()),
        Some(Value::Array(values)) if values.is_empty() => {
            return Err(format!("`when.{name}` is empty"));
        }
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    let values = values.iter().map(read);
    values
        .collect::<Result<_, _>>()
        .map_err(|reason| format!("`when.{name}` {reason}"))
}

fn one_text(value: &Value, place: &str) -> Result<String, String> {
    let text = value.as_str().map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(format!("`{place}` takes a code or a name as a text"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> FixedValues {
        text.parse().unwrap()
    }

    fn set(fixed: &FixedValues, kind: FixedKind, country: Option<&str>) -> Vec<String> {
        let chosen = fixed.choose(kind, country.map(|country| country.parse().unwrap()));
        let chosen = chosen.into_iter();
        let text = |(field, value): (FixedField, FixedValue)| {
            let update = if value.on_update { " on update" } else { "" };
            format!("{field}={}{update}", value.values.join("+"))
        };
        chosen.map(text).collect()
    }

    #[test]
    fn the_last_rule_that_matches_decides_field_by_field() {
        let fixed = values(
            r#"[{"set":{"paymentTerms":" 30D ","currency":"SEK","dimensions":{"department":"SHOP","AREA":"10"}}},
                {"when":{"kind":"companies"},"set":{"paymentTerms":"14D"}},
                {"when":{"kind":["persons","companies"],"country":["DE","at"]},"set":{"currency":"EUR","dimensions":{"DEPARTMENT":"EU"}},"also":"update"},
                {"when":{"application":2},"set":{"tags":["B2B","Web"]}}]"#,
        );
        let shared = fixed.of_application(None);
        let base = ["dimensions.AREA=10", "dimensions.DEPARTMENT=SHOP"];
        let expect = |chosen: Vec<String>, first: &[&str], dimensions: &[&str]| {
            assert_eq!(chosen, [first, dimensions].concat());
        };
        expect(
            set(&shared, FixedKind::Persons, Some("SE")),
            &["paymentTerms=30D", "currency=SEK"],
            &base,
        );
        expect(
            set(&shared, FixedKind::Companies, None),
            &["paymentTerms=14D", "currency=SEK"],
            &base,
        );
        expect(
            set(&shared, FixedKind::Companies, Some("AT")),
            &["paymentTerms=14D", "currency=EUR on update"],
            &["dimensions.AREA=10", "dimensions.DEPARTMENT=EU on update"],
        );
        let second = fixed.of_application(ApplicationId::try_from(2).ok());
        let chosen = set(&second, FixedKind::Contacts, None);
        assert!(chosen.contains(&"tags=B2B+Web".to_owned()), "{chosen:?}");
        let third = fixed.of_application(ApplicationId::try_from(3).ok());
        assert_eq!(third, shared);
    }

    #[test]
    fn a_fault_names_its_place_and_what_it_can_be() {
        for (text, place) in [
            ("{}", "invalid type: map"),
            ("[1]", "rule 1: it is not an object"),
            (
                r#"[{"set":{"currency":"SEK"}},{}]"#,
                "rule 2: it has no `set`",
            ),
            (r#"[{"set":{}}]"#, "rule 1: `set` is empty"),
            (
                r#"[{"set":{"currency":"SEK"},"then":1}]"#,
                "rule 1: `then` is unknown: it can be when, set, also",
            ),
            (
                r#"[{"when":{"land":"SE"},"set":{"currency":"SEK"}}]"#,
                "rule 1: `when.land` is unknown: it can be kind, country, application",
            ),
            (
                r#"[{"when":{"kind":"firms"},"set":{"currency":"SEK"}}]"#,
                "rule 1: `when.kind` takes persons, companies and contacts",
            ),
            (
                r#"[{"when":{"kind":[]},"set":{"currency":"SEK"}}]"#,
                "rule 1: `when.kind` is empty",
            ),
            (
                r#"[{"when":{"country":"Sweden"},"set":{"currency":"SEK"}}]"#,
                "rule 1: `when.country` takes two-letter country codes",
            ),
            (
                r#"[{"when":{"application":"2"},"set":{"currency":"SEK"}}]"#,
                "rule 1: `when.application` takes ids",
            ),
            (
                r#"[{"set":{"curency":"SEK"}}]"#,
                "rule 1: `set.curency` is unknown: it can be paymentTerms",
            ),
            (
                r#"[{"set":{"currency":""}}]"#,
                "rule 1: `set.currency` takes a code or a name",
            ),
            (
                r#"[{"set":{"currency":12}}]"#,
                "rule 1: `set.currency` takes a code or a name",
            ),
            (
                r#"[{"set":{"tags":"B2B"}}]"#,
                "rule 1: `set.tags` takes a list of names",
            ),
            (
                r#"[{"set":{"tags":[]}}]"#,
                "rule 1: `set.tags` takes a list of names",
            ),
            (
                r#"[{"set":{"dimensions":"SHOP"}}]"#,
                "rule 1: `set.dimensions` is not an object",
            ),
            (
                r#"[{"set":{"dimensions":{"DEPARTMENT":1}}}]"#,
                "rule 1: `set.dimensions.DEPARTMENT` takes a code",
            ),
            (
                r#"[{"set":{"currency":"SEK"},"also":"create"}]"#,
                "rule 1: `also` can only be \"update\"",
            ),
        ] {
            let fault = text.parse::<FixedValues>().unwrap_err().to_string();
            assert!(fault.starts_with(place), "{text}: {fault}");
            assert!(fault.contains("expected a list of rules"), "{fault}");
        }
        assert!(values("[]").is_empty());
    }

    #[test]
    fn a_value_that_could_never_be_written_is_refused_at_the_start() {
        fn takes(field: &FixedField, kind: FixedKind) -> bool {
            *field == FixedField::Currency && kind != FixedKind::Contacts
        }
        let check = |text: &str, applications: &[i64]| {
            let applications = applications
                .iter()
                .map(|id| ApplicationId::try_from(*id).unwrap());
            let applications = applications.collect();
            values(text).check("Business Central", takes, Some(&applications))
        };
        assert_eq!(check(r#"[{"set":{"currency":"SEK"}}]"#, &[]), Ok(()));
        let lang = check(r#"[{"set":{"currency":"SEK","lang":"sv_SE"}}]"#, &[]);
        assert_eq!(
            lang.unwrap_err(),
            "rule 1: `set.lang` cannot be set in Business Central, which takes currency"
        );
        let contacts = check(
            r#"[{"when":{"kind":"contacts"},"set":{"currency":"SEK"}}]"#,
            &[],
        );
        assert!(contacts.unwrap_err().contains("for contacts"));
        let of_two = r#"[{"when":{"application":[1,2]},"set":{"currency":"SEK"}}]"#;
        assert_eq!(check(of_two, &[1, 2]), Ok(()));
        let strange = check(of_two, &[1]).unwrap_err();
        assert!(strange.starts_with("rule 1: application 2"), "{strange}");
    }

    #[test]
    fn p11_an_unknown_value_shows_no_login_that_is_an_address() {
        let fixed = FixedValue {
            values: Vec::new(),
            on_update: false,
            rule: 3,
        };
        let field = FixedField::Salesperson;
        let unknown = UnknownValue::new(
            &field,
            &fixed,
            "anna.ek@example.com",
            "Odoo has no user with this login",
            "make the user there",
        );
        let text = unknown.to_string();
        assert_eq!(
            text,
            "rule 3 of ErpFixedValues sets `salesperson` to `[e-mail]`, and Odoo has no user with this login: make the user there, or correct the parameter"
        );
    }

    proptest! {
        /// The last matching rule wins, whatever stands before it.
        #[test]
        fn the_last_matching_rule_wins(
            rules in proptest::collection::vec((0_usize..4, 0_usize..4, 0_i64..4, 0_usize..3, any::<bool>()), 0..12),
            kind in 0_usize..3, country in 0_usize..4, application in 0_i64..4,
        ) {
            const COUNTRIES: [&str; 3] = ["SE", "DE", "NO"];
            const NAMES: [&str; 3] = ["currency", "paymentTerms", "taxArea"];
            let texts = rules.iter().enumerate().map(|(number, (kind, country, application, field, update))| {
                let mut when = Map::new();
                if let Some(kind) = FixedKind::ALL.get(*kind) {
                    when.insert("kind".to_owned(), kind.as_str().into());
                }
                if let Some(country) = COUNTRIES.get(*country) {
                    when.insert("country".to_owned(), (*country).into());
                }
                if *application > 0 {
                    when.insert("application".to_owned(), (*application).into());
                }
                let mut rule = serde_json::json!({ "when": when, "set": { NAMES[*field]: number.to_string() } });
                if *update {
                    rule["also"] = "update".into();
                }
                rule
            });
            let text = Value::Array(texts.collect()).to_string();
            let fixed = values(&text).of_application(ApplicationId::try_from(application).ok());
            let place = COUNTRIES.get(country).map(|it| it.parse().unwrap());
            let chosen = fixed.choose(FixedKind::ALL[kind], place);
            for (name, field) in FIELDS {
                let last = rules.iter().enumerate().rev().find(|(_, rule)| {
                    NAMES[rule.3] == name
                        && (rule.0 == 3 || rule.0 == kind)
                        && (rule.1 == 3 || rule.1 == country)
                        && (rule.2 == 0 || rule.2 == application)
                });
                let expected = last.map(|(number, rule)| (number.to_string(), rule.4, number + 1));
                let got = chosen.get(&field).map(|it| (it.values[0].clone(), it.on_update, it.rule));
                prop_assert_eq!(got, expected, "{}", name);
            }
        }
    }
}
