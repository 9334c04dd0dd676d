//! The query options of a read, and the page that answers it (erp-apis §1.5).

use std::cmp::Ordering;

use http::HeaderMap;
use serde_json::Value;
use url::form_urlencoded;

use super::{
    EmailChains, Refused, Settings, TaxNumberFilter,
    company::Table,
    fields::{self, Field, Record},
    odata_filter::{self, Filter},
};

/// The one navigation property that can be expanded here.
pub(super) const CONTACTS_INFORMATION: &str = "contactsInformation";

/// Navigation properties of a customer that the real server has and the simulator has not (erp-apis §1.2).
const OTHER_NAVIGATION: &[&str] = &[
    "currency",
    "paymentTerm",
    "shipmentMethod",
    "paymentMethod",
    "customerFinancialDetail",
    "picture",
    "defaultDimensions",
    "agedAccountsReceivable",
    "documentAttachments",
];

/// A requested read.
pub(super) struct Query {
    pub(super) select: Vec<&'static Field>,
    pub(super) expand_contacts: bool,
    fields: &'static [Field],
    options: Vec<(String, String)>,
    filter: Option<Filter>,
    order: Vec<(&'static Field, Direction)>,
    top: Option<usize>,
    after: Option<Vec<Value>>,
    page_size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// The answer to a read.
pub(super) struct Page<'a> {
    pub(super) records: Vec<&'a Record>,
    /// The query of the next page; none on the last.
    pub(super) next: Option<String>,
}

impl Query {
    /// Reads the query of a list.
    pub(super) fn of_list(
        raw: Option<&str>,
        headers: &HeaderMap,
        fields: &'static [Field],
        settings: &Settings,
    ) -> Result<Self, Refused> {
        let mut query = Self::parse(raw, fields, true)?;
        query.page_size = preferred_page_size(headers)
            .unwrap_or(settings.page_size)
            .min(settings.page_size);
        let has_version = query
            .options
            .iter()
            .any(|(name, _)| name == "$schemaversion");
        query.filter = match query.filter {
            Some(filter) => Some(answered(filter, fields, settings, has_version)?),
            None => None,
        };
        Ok(query)
    }

    /// Reads the query of a single record: nothing but `$select` and `$expand`.
    pub(super) fn of_single(raw: Option<&str>, fields: &'static [Field]) -> Result<Self, Refused> {
        Self::parse(raw, fields, false)
    }

    fn parse(raw: Option<&str>, fields: &'static [Field], list: bool) -> Result<Self, Refused> {
        let mut query = Self {
            select: fields.iter().collect(),
            expand_contacts: false,
            fields,
            options: Vec::new(),
            filter: None,
            order: Vec::new(),
            top: None,
            after: None,
            page_size: usize::MAX,
        };
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if query.options.iter().any(|(known, _)| *known == name) {
                return Err(Refused::bad_request(format!(
                    "Query option '{name}' was specified more than once."
                )));
            }
            query.read_option(&name, &value, list)?;
            query.options.push((name.into_owned(), value.into_owned()));
        }
        // The last word of every order: a key that no two records share.
        let key = fields
            .iter()
            .find(|field| field.name == "number")
            .or(fields.first());
        query
            .order
            .extend(key.map(|key| (key, Direction::Ascending)));
        Ok(query)
    }

    fn read_option(&mut self, name: &str, value: &str, list: bool) -> Result<(), Refused> {
        match name {
            "$select" => self.select = self.read_select(value)?,
            "$expand" => self.read_expand(value)?,
            "$filter" if list => self.filter = Some(Filter::parse(value, self.fields)?),
            "$orderby" if list => self.order = self.read_order(value)?,
            "$top" if list => {
                let top = value
                    .parse()
                    .map_err(|_| Refused::bad_request("Invalid value for the $top option."))?;
                self.top = Some(top);
            }
            "$skiptoken" if list => {
                let position = position_from(value)
                    .ok_or_else(|| Refused::bad_request("The $skiptoken is not valid."))?;
                self.after = Some(position);
            }
            "$schemaversion" if list && value == "2.1" => {}
            "$skip" | "$count" | "$search" | "$apply" | "$compute" | "$format"
            | "$schemaversion" => {
                return Err(Refused::not_simulated(&format!("the query option {name}")));
            }
            name if name.starts_with('$') => {
                return Err(Refused::bad_request(format!(
                    "The query option '{name}' is not allowed here."
                )));
            }
            // Other names are custom query options, which a server may ignore.
            _ => {}
        }
        Ok(())
    }

    fn read_select(&self, value: &str) -> Result<Vec<&'static Field>, Refused> {
        value
            .split(',')
            .map(|name| fields::find(self.fields, name.trim()))
            .collect()
    }

    fn read_expand(&mut self, value: &str) -> Result<(), Refused> {
        for name in value.split(',').map(str::trim) {
            if !fields::is_customer(self.fields) {
                return Err(Refused::not_simulated(&format!("$expand={name} here")));
            }
            match name {
                CONTACTS_INFORMATION => self.expand_contacts = true,
                other if OTHER_NAVIGATION.contains(&other) => {
                    return Err(Refused::not_simulated(&format!("$expand={other}")));
                }
                other => {
                    return Err(Refused::bad_request(format!(
                        "Could not find a navigation property named '{other}'."
                    )));
                }
            }
        }
        Ok(())
    }

    fn read_order(&self, value: &str) -> Result<Vec<(&'static Field, Direction)>, Refused> {
        let part = |part: &str| {
            let mut words = part.split_whitespace();
            let field = fields::find(self.fields, words.next().unwrap_or_default())?;
            let direction = match (words.next(), words.next()) {
                (None | Some("asc"), None) => Direction::Ascending,
                (Some("desc"), None) => Direction::Descending,
                _ => return Err(Refused::bad_request("Syntax error in the $orderby option.")),
            };
            Ok((field, direction))
        };
        value.split(',').map(part).collect()
    }

    /// The page of a table that was asked for. Large tables are read through their indexes.
    pub(super) fn page_of<'a>(&self, table: &'a Table) -> Page<'a> {
        let candidates = self.filter.as_ref().and_then(Filter::candidates);
        if let Some((field, values)) = candidates
            && let Some(records) = table.having(field, &values)
        {
            return self.page(records.into_iter());
        }
        match (self.order.as_slice(), self.after.as_deref()) {
            ([(field, Direction::Ascending)], after) if field.name == "number" => {
                let after = after.and_then(|position| position.first()?.as_str());
                let most = self.most().saturating_add(1);
                self.page(
                    table
                        .after(after.unwrap_or_default())
                        .filter(|record| self.passes(record))
                        .take(most),
                )
            }
            _ => self.page(table.iter()),
        }
    }

    /// The page of these records that was asked for.
    pub(super) fn page<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Page<'a> {
        let mut records: Vec<&Record> = records
            .filter(|record| self.passes(record))
            .filter(|record| {
                self.after
                    .as_ref()
                    .is_none_or(|after| self.is_after(record, after))
            })
            .collect();
        records.sort_by(|left, right| self.compare_with(left, |_, field| right.value(field.name)));
        let wanted = self.top.unwrap_or(usize::MAX);
        let more = records.len().min(wanted) > self.page_size;
        records.truncate(self.most());
        let next = records
            .last()
            .filter(|_| more)
            .map(|last| self.next_query(last, wanted));
        Page { records, next }
    }

    fn passes(&self, record: &Record) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.matches(record))
    }

    /// The most records that a page has.
    fn most(&self) -> usize {
        self.top.unwrap_or(usize::MAX).min(self.page_size)
    }

    fn position_of(&self, record: &Record) -> Vec<Value> {
        self.order
            .iter()
            .map(|(field, _)| record.value(field.name).clone())
            .collect()
    }

    fn is_after(&self, record: &Record, position: &[Value]) -> bool {
        let at = |index| position.get(index).unwrap_or(&Value::Null);
        self.compare_with(record, |index, _| at(index)) == Ordering::Greater
    }

    /// Compares a record with other values of the fields that the order names.
    fn compare_with<'v>(
        &self,
        record: &Record,
        other: impl Fn(usize, &'static Field) -> &'v Value,
    ) -> Ordering {
        self.order
            .iter()
            .enumerate()
            .map(|(index, &(field, direction))| {
                let value = record.value(field.name);
                let ordering = odata_filter::compare(field.kind, value, other(index, field));
                match direction {
                    Direction::Ascending => ordering,
                    Direction::Descending => ordering.reverse(),
                }
            })
            .find(|ordering| *ordering != Ordering::Equal)
            .unwrap_or(Ordering::Equal)
    }

    fn next_query(&self, last: &Record, wanted: usize) -> String {
        let encode = |value: &str| {
            form_urlencoded::byte_serialize(value.as_bytes())
                .collect::<String>()
                .replace('+', "%20")
        };
        let mut next = String::new();
        for (name, value) in &self.options {
            match name.as_str() {
                "$skiptoken" => {}
                "$top" => next.push_str(&format!("$top={}&", wanted - self.page_size)),
                name => next.push_str(&format!("{name}={}&", encode(value))),
            }
        }
        next + "$skiptoken=" + &token_for(&self.position_of(last))
    }
}

/// The filter as this environment applies it, or why it does not (erp-apis §1.5).
fn answered(
    filter: Filter,
    fields: &'static [Field],
    settings: &Settings,
    has_version: bool,
) -> Result<Filter, Refused> {
    let refuses_chains = match settings.email_chains {
        EmailChains::Answered => false,
        EmailChains::WithSchemaVersion => !has_version,
        EmailChains::Refused => true,
    };
    if refuses_chains && filter.chains("email") {
        return Err(Refused::bad_request(
            "A filter on 'email' cannot be combined with OR.",
        ));
    }
    if !fields::is_customer(fields) || !filter.mentions(TAX_NUMBER) {
        return Ok(filter);
    }
    match settings.tax_number_filter {
        TaxNumberFilter::Filters => Ok(filter),
        TaxNumberFilter::Ignored => Ok(filter.with_constant(TAX_NUMBER, true)),
        TaxNumberFilter::MatchesNothing => Ok(filter.with_constant(TAX_NUMBER, false)),
        TaxNumberFilter::Refused => Err(Refused::bad_request(format!(
            "The property '{TAX_NUMBER}' cannot be used in a filter."
        ))),
    }
}

/// The property of a customer that is not a field of its table.
const TAX_NUMBER: &str = "taxRegistrationNumber";

/// `Prefer: odata.maxpagesize=N`. A preference that cannot be read is no error.
fn preferred_page_size(headers: &HeaderMap) -> Option<usize> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| preference.trim().strip_prefix("odata.maxpagesize="))
        .and_then(|size| size.parse().ok())
        .filter(|&size| size > 0)
}

/// A position in the order as an opaque token, in hexadecimal so that it needs no escapes.
fn token_for(position: &[Value]) -> String {
    Value::from(position)
        .to_string()
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn position_from(token: &str) -> Option<Vec<Value>> {
    let bytes: Option<Vec<u8>> = (0..token.len())
        .step_by(2)
        .map(|start| u8::from_str_radix(token.get(start..start + 2)?, 16).ok())
        .collect();
    serde_json::from_slice(&bytes?).ok()
}
