//! OData v4 queries built from values (norce-api §5.1, erp-apis §1.5). Field names come from the code, values from
//! anywhere: a value is always a [`Literal`] and never part of a text that is pasted together.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use thiserror::Error;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use crate::domain::{ApplicationId, NorceId};

/// A value in a query. `Display` writes it as OData wants it; `Debug` shows no text, because that may be personal.
#[derive(Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text, quoted.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A GUID, unquoted.
    Guid(Uuid),
    /// A moment, unquoted and in UTC.
    Instant(DateTime<Utc>),
    /// The literal `null`.
    Null,
}

impl Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "'{}'", text.replace('\'', "''")),
            Self::Integer(number) => number.fmt(formatter),
            Self::Boolean(truth) => truth.fmt(formatter),
            Self::Guid(guid) => guid.fmt(formatter),
            Self::Instant(instant) => {
                formatter.write_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            Self::Null => formatter.write_str("null"),
        }
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str("[text]"),
            literal => Display::fmt(literal, formatter),
        }
    }
}

macro_rules! literal_from {
    ($($from:ty => |$value:ident| $literal:expr;)*) => {
        $(impl From<$from> for Literal {
            fn from($value: $from) -> Self {
                $literal
            }
        })*
    };
}

literal_from! {
    &str => |text| Self::Text(text.to_owned());
    String => |text| Self::Text(text);
    i32 => |number| Self::Integer(number.into());
    i64 => |number| Self::Integer(number);
    bool => |truth| Self::Boolean(truth);
    Uuid => |guid| Self::Guid(guid);
    DateTime<Utc> => |instant| Self::Instant(instant);
    NorceId => |id| Self::Integer(id.into());
    ApplicationId => |id| Self::Integer(id.into());
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Condition);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Compare {
        field: &'static str,
        operator: &'static str,
        value: Literal,
    },
    Join {
        word: &'static str,
        parts: Vec<Filter>,
    },
    Any {
        relation: &'static str,
        filter: Box<Filter>,
    },
}

/// What the rows of a relation are called within [`Filter::any`].
const ROW: &str = "row";

impl Filter {
    fn compare(field: &'static str, operator: &'static str, value: impl Into<Literal>) -> Self {
        Self(Condition::Compare {
            field,
            operator,
            value: value.into(),
        })
    }

    /// `field eq value`
    pub fn eq(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::compare(field, "eq", value)
    }

    /// `field gt value`
    pub fn gt(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::compare(field, "gt", value)
    }

    /// `field lt value`
    pub fn lt(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::compare(field, "lt", value)
    }

    /// `field ge value`
    pub fn ge(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::compare(field, "ge", value)
    }

    /// `field ne value`
    pub fn ne(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::compare(field, "ne", value)
    }

    /// `field eq null`
    pub fn is_null(field: &'static str) -> Self {
        Self::compare(field, "eq", Literal::Null)
    }

    /// `field` has one of the values, as a chain of `or` over the one field: Business Central knows no `in`
    /// (erp-apis §1.5) and Norce's is not documented. `None` when there are no values, because then no row fits.
    pub fn any_of<V: Into<Literal>>(
        field: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> Option<Self> {
        values
            .into_iter()
            .map(|value| Self::eq(field, value))
            .reduce(Self::or)
    }

    /// At least one row of a relation fits (OData 4.0, part 2, 5.1.1.10.1). The filter is one over those rows and holds no
    /// `any` itself.
    pub fn any(relation: &'static str, filter: Self) -> Self {
        let filter = Box::new(filter);
        Self(Condition::Any { relation, filter })
    }

    /// Matches rows that fulfil both conditions.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.join("and", other)
    }

    /// Matches rows that fulfil this condition, the other, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.join("or", other)
    }

    /// Chains of one word stay flat, so that a long one does not nest as deep as it is long.
    fn join(self, word: &'static str, other: Self) -> Self {
        let mut parts = match self.0 {
            Condition::Join { word: same, parts } if same == word => parts,
            condition => vec![Self(condition)],
        };
        parts.push(other);
        Self(Condition::Join { word, parts })
    }
}

impl Filter {
    /// `of`: what stands before the name of a field.
    fn write(&self, formatter: &mut fmt::Formatter<'_>, of: &str) -> fmt::Result {
        match &self.0 {
            Condition::Compare {
                field,
                operator,
                value,
            } => write!(formatter, "{of}{field} {operator} {value}"),
            Condition::Any { relation, filter } => {
                write!(formatter, "{of}{relation}/any({ROW}:")?;
                filter.write(formatter, &format!("{ROW}/"))?;
                formatter.write_str(")")
            }
            Condition::Join { word, parts } => {
                for (place, part) in parts.iter().enumerate() {
                    if place > 0 {
                        write!(formatter, " {word} ")?;
                    }
                    let is_joined = matches!(part.0, Condition::Join { .. });
                    formatter.write_str(if is_joined { "(" } else { "" })?;
                    part.write(formatter, of)?;
                    formatter.write_str(if is_joined { ")" } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, "")
    }
}

/// The options of a query, of the whole or of an expanded relation.
#[derive(Debug, Clone, Default)]
pub struct Options {
    select: Vec<Cow<'static, str>>,
    filter: Option<Filter>,
    expand: Vec<(&'static str, Options)>,
    order_by: Option<&'static str>,
    top: Option<u32>,
    schema_version: Option<&'static str>,
    optional: Vec<&'static str>,
}

impl Options {
    /// Everything, as it comes.
    pub fn new() -> Self {
        Self::default()
    }

    /// These fields only.
    #[must_use]
    pub fn select(mut self, fields: &[&'static str]) -> Self {
        self.select
            .extend(fields.iter().map(|field| Cow::Borrowed(*field)));
        self
    }

    /// These fields too, whose names are configured.
    #[must_use]
    pub fn select_also<'a>(mut self, fields: impl Iterator<Item = &'a str>) -> Self {
        self.select
            .extend(fields.map(|field| Cow::Owned(field.to_owned())));
        self
    }

    /// Rows that fit only. A second filter narrows the first.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter {
            Some(earlier) => earlier.and(filter),
            None => filter,
        });
        self
    }

    /// Related rows with them, with options of their own.
    #[must_use]
    pub fn expand(mut self, relation: &'static str, options: Options) -> Self {
        self.expand.push((relation, options));
        self
    }

    /// Marks fields and related rows that a server may not have: they can be [left out](Self::without). A field of related
    /// rows is `Relation/Field`.
    #[must_use]
    pub fn optionally(mut self, names: &[&'static str]) -> Self {
        self.optional.extend(names);
        self
    }

    /// The fields and related rows that can be left out.
    pub fn optional(&self) -> &[&'static str] {
        &self.optional
    }

    /// The same without a field or related rows.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if let Some((relation, field)) = name.split_once('/') {
            for (_, options) in self.expand.iter_mut().filter(|(it, _)| *it == relation) {
                options.select.retain(|selected| selected != field);
            }
        }
        self.select.retain(|field| field != name);
        self.expand.retain(|(relation, _)| *relation != name);
        self.optional.retain(|optional| *optional != name);
        self
    }

    /// The fields that are selected.
    pub fn selected(&self) -> impl Iterator<Item = &str> {
        self.select.iter().map(Cow::as_ref)
    }

    /// The related rows, with their options.
    pub fn expanded(&self) -> impl Iterator<Item = (&'static str, &Self)> {
        self.expand
            .iter()
            .map(|(relation, options)| (*relation, options))
    }

    /// What rows look like, of whichever rows they are.
    #[must_use]
    pub fn shape(&self) -> Self {
        Self {
            select: self.select.clone(),
            expand: self.expand.clone(),
            schema_version: self.schema_version,
            optional: self.optional.clone(),
            ..Self::default()
        }
    }

    /// In rising order of a field.
    #[must_use]
    pub fn order_by(mut self, field: &'static str) -> Self {
        self.order_by = Some(field);
        self
    }

    /// No more rows than this.
    #[must_use]
    pub fn top(mut self, rows: u32) -> Self {
        self.top = Some(rows);
        self
    }

    /// In the dialect of this version of the server's schemas.
    #[must_use]
    pub fn schema_version(mut self, version: &'static str) -> Self {
        self.schema_version = Some(version);
        self
    }

    /// The options in their own words, not encoded.
    fn parts(&self) -> Vec<(&'static str, String)> {
        let expand = self.expand.iter().map(|(relation, options)| {
            let parts: Vec<_> = options
                .parts()
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            if parts.is_empty() {
                (*relation).to_owned()
            } else {
                format!("{relation}({})", parts.join(";"))
            }
        });
        let expand: Vec<_> = expand.collect();
        [
            (
                "$select",
                (!self.select.is_empty()).then(|| self.select.join(",")),
            ),
            ("$filter", self.filter.as_ref().map(Filter::to_string)),
            ("$expand", (!expand.is_empty()).then(|| expand.join(","))),
            ("$orderby", self.order_by.map(str::to_owned)),
            ("$top", self.top.map(|top| top.to_string())),
            ("$schemaversion", self.schema_version.map(str::to_owned)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// The address with these options as its query.
    pub fn apply(&self, mut url: Url) -> Url {
        let parts: Vec<_> = self
            .parts()
            .into_iter()
            .map(|(name, value)| format!("{name}={}", encode(&value)))
            .collect();
        url.set_query((!parts.is_empty()).then(|| parts.join("&")).as_deref());
        url
    }
}

/// Percent-encoded. A space is `%20`: `+` means a space in forms only, and not every OData server reads forms.
fn encode(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub value: Vec<T>,
    /// Where the next page is.
    #[serde(rename = "@odata.nextLink")]
    pub next_link: Option<String>,
}

/// A link to the next page that must not be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the link to the next page leads to another host, where a token must not go")]
pub struct ForeignLink;

/// Where the next page is, if the token may go there: at the same origin as the page itself.
///
/// # Errors
/// [`ForeignLink`] for everything else, such as another scheme, host or port, or credentials in the link.
pub fn next_page(page: &Url, link: &str) -> Result<Url, ForeignLink> {
    let next = page.join(link).map_err(|_| ForeignLink)?;
    let same =
        next.origin() == page.origin() && next.username().is_empty() && next.password().is_none();
    same.then_some(next).ok_or(ForeignLink)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(options: &Options) -> Vec<(String, String)> {
        let url = options.apply("https://x.example/Set".parse().unwrap());
        url.query_pairs().into_owned().collect()
    }

    #[test]
    fn literals_are_written_as_odata_wants_them() {
        let at: DateTime<Utc> = "2026-11-23T10:00:00+01:00".parse().unwrap();
        let guid: Uuid = "3F2504E0-4F89-11D3-9A0C-0305E82C3301".parse().unwrap();
        let filter = Filter::eq("Text", "O'Brien")
            .and(Filter::ge("Updated", at))
            .and(Filter::eq("Key", guid))
            .and(Filter::eq("IsActive", true))
            .and(Filter::gt("Id", -1))
            .and(Filter::is_null("Code"));
        insta::assert_snapshot!(filter, @"Text eq 'O''Brien' and Updated ge 2026-11-23T09:00:00Z and Key eq 3f2504e0-4f89-11d3-9a0c-0305e82c3301 and IsActive eq true and Id gt -1 and Code eq null");
    }

    #[test]
    fn and_and_or_keep_their_grouping() {
        let (a, b, c) = (Filter::eq("A", 1), Filter::eq("B", 2), Filter::eq("C", 3));
        let grouped = a.clone().or(b.clone()).and(c.clone());
        assert_eq!(grouped.to_string(), "(A eq 1 or B eq 2) and C eq 3");
        let grouped = c.and(a.or(b));
        assert_eq!(grouped.to_string(), "C eq 3 and (A eq 1 or B eq 2)");
    }

    #[test]
    fn any_of_is_a_chain_of_or_over_one_field() {
        let filter = Filter::any_of("Id", [3, 5, 8]).unwrap();
        assert_eq!(filter.to_string(), "Id eq 3 or Id eq 5 or Id eq 8");
        assert_eq!(Filter::any_of::<i32>("Id", []), None);
    }

    #[test]
    fn options_nest_and_are_encoded() {
        let options = Options::new()
            .select(&["Id", "Name"])
            .filter(Filter::eq("Name", "Å & co; 100 %+"))
            .filter(Filter::eq("IsActive", true))
            .expand(
                "Companies",
                Options::new()
                    .select(&["CompanyId"])
                    .expand("Company", Options::new().select(&["IsActive"])),
            )
            .expand("Flags", Options::new())
            .order_by("Id")
            .top(2);
        insta::assert_snapshot!(
            options.apply("https://x.example/Set?old=1".parse().unwrap()),
            @"https://x.example/Set?$select=Id%2CName&$filter=Name%20eq%20%27%C3%85%20%26%20co%3B%20100%20%25%2B%27%20and%20IsActive%20eq%20true&$expand=Companies%28%24select%3DCompanyId%3B%24expand%3DCompany%28%24select%3DIsActive%29%29%2CFlags&$orderby=Id&$top=2"
        );
        insta::assert_snapshot!(
            decoded(&options)[2].1,
            @"Companies($select=CompanyId;$expand=Company($select=IsActive)),Flags"
        );
    }

    #[test]
    fn p11_debug_shows_no_text() {
        let filter = Filter::eq("EmailAddress", "anna@example.com").and(Filter::eq("Id", 7));
        let debug = format!("{filter:?}");
        assert!(!debug.contains("anna") && debug.contains('7'), "{debug}");
    }

    #[test]
    fn a_token_goes_to_the_pages_own_origin_only() {
        let page: Url = "https://x.example/query/2.0/Set?$top=5".parse().unwrap();
        for same in [
            "https://x.example/query/2.0/Set?$skip=500",
            "https://x.example:443/query/2.0/Set?$skip=500",
            "Set?$skip=500",
            "/query/2.0/Set?$skip=500",
        ] {
            let next = next_page(&page, same).unwrap();
            assert_eq!(next.as_str(), "https://x.example/query/2.0/Set?$skip=500");
        }
        for foreign in [
            "https://x.example.evil.example/Set",
            "//evil.example/Set",
            "http://x.example/Set",
            "https://x.example:8443/Set",
            "https://user:pass@x.example/Set",
            "javascript:alert(1)",
            "https://",
        ] {
            assert_eq!(next_page(&page, foreign), Err(ForeignLink), "{foreign}");
        }
    }

    /// The text of a quoted literal, read as OData reads it, and what follows it.
    fn unquote(literal: &str) -> Option<(String, &str)> {
        let mut rest = literal.strip_prefix('\'')?;
        let mut text = String::new();
        loop {
            let (part, after) = rest.split_once('\'')?;
            text.push_str(part);
            match after.strip_prefix('\'') {
                Some(after) => {
                    text.push('\'');
                    rest = after;
                }
                None => return Some((text, after)),
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_quoting_and_encoding(text in any::<String>(), quotes in "[' )(;,]*") {
            let text = text + &quotes;
            let options = Options::new()
                .filter(Filter::eq("Name", text.as_str()))
                .filter(Filter::eq("Id", 1));
            let parts = decoded(&options);
            prop_assert_eq!(parts.len(), 1);
            let literal = parts[0].1.strip_prefix("Name eq ").unwrap();
            prop_assert_eq!(unquote(literal), Some((text, " and Id eq 1")));
        }
    }
}
