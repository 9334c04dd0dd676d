//! `commerce/query/2.0` (norce-api §5): OData, read-only, straight from the register.

use std::{borrow::Cow, cmp::Ordering, ops::RangeInclusive};

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use url::form_urlencoded;

use super::{
    Endpoint, Settings,
    odata_filter::{self, Dialect, Filter},
    register::{EntityType, Kind, Navigation, Register, Row, Scalar},
    responses,
};

/// A set that can be read by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntitySet {
    endpoint: Endpoint,
    namespace: &'static str,
    name: &'static str,
    of: EntityType,
    key: &'static [&'static str],
}

impl EntitySet {
    pub(super) const fn namespace(&self) -> &'static str {
        self.namespace
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn of(&self) -> EntityType {
        self.of
    }
}

const fn set(
    endpoint: Endpoint,
    namespace: &'static str,
    name: &'static str,
    of: EntityType,
) -> EntitySet {
    EntitySet {
        endpoint,
        namespace,
        name,
        of,
        key: &["Id"],
    }
}

pub(super) const SETS: [EntitySet; 6] = [
    set(
        Endpoint::Customers,
        "Customers",
        "Customers",
        EntityType::Customer,
    ),
    set(
        Endpoint::Companies,
        "Customers",
        "Companies",
        EntityType::Company,
    ),
    EntitySet {
        key: &["CustomerId", "CompanyId"],
        ..set(
            Endpoint::CustomerCompanies,
            "Customers",
            "CustomerCompanies",
            EntityType::CustomerCompany,
        )
    },
    set(Endpoint::Orders, "Orders", "Orders", EntityType::Order),
    set(
        Endpoint::Applications,
        "Core",
        "Applications",
        EntityType::Application,
    ),
    set(
        Endpoint::Countries,
        "Core",
        "Countries",
        EntityType::Country,
    ),
];

/// The target of a path below `commerce/query/2.0/`.
#[derive(Debug, Clone)]
pub(super) struct Target {
    set: EntitySet,
    key: Option<String>,
    /// A relation of the row with this key.
    navigation: Option<Navigation>,
}

impl Target {
    /// Reads `{Namespace}/{Set}`, `{Namespace}/{Set}(key)` or `{Namespace}/{Set}(key)/{Relation}`, in any case but the relation's.
    pub(super) fn read(path: &str) -> Option<Self> {
        let (namespace, set) = path.split_once('/')?;
        let (set, relation) = match set.split_once('/') {
            Some((set, relation)) => (set, Some(relation)),
            None => (set, None),
        };
        let (name, key) = match set.split_once('(') {
            Some((name, key)) => (name, Some(key.strip_suffix(')')?.to_owned())),
            None => (set, None),
        };
        let set = SETS.into_iter().find(|set| {
            set.namespace.eq_ignore_ascii_case(namespace) && set.name.eq_ignore_ascii_case(name)
        })?;
        let navigation = match relation {
            Some(relation) => Some(set.of.navigation(relation)?),
            None => None,
        };
        Some(Self {
            set,
            key,
            navigation,
        })
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.set.endpoint
    }
}

/// OData's body of an error. That Norce's has this form is an assumption (norce-api §12).
pub(super) fn refusal(status: StatusCode, message: &str) -> Response {
    responses::json(
        status,
        &json!({ "error": { "code": "", "message": message } }),
    )
}

/// Options of a request or of an expanded navigation property.
#[derive(Debug, Default)]
struct Options {
    filter: Option<Filter>,
    select: Option<Vec<usize>>,
    expand: Vec<(Navigation, Options)>,
    order: Vec<(usize, bool)>,
    top: Option<usize>,
    skip: usize,
    /// As they came, for a link to the rest.
    pairs: Vec<(String, String)>,
}

/// Which options a place allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Set,
    Single,
    Nested,
}

struct Reader<'a> {
    settings: &'a Settings,
}

impl Reader<'_> {
    fn options<'t>(
        &self,
        of: EntityType,
        place: Place,
        depth: usize,
        pairs: impl Iterator<Item = (Cow<'t, str>, Cow<'t, str>)>,
    ) -> Result<Options, String> {
        let mut options = Options::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in pairs {
            if seen.iter().any(|other| *other == name) {
                return Err(format!(
                    "Query option '{name}' was specified more than once"
                ));
            }
            match (name.as_ref(), place) {
                ("$select", _) => {
                    self.has_all(of, value.split(','))?;
                    options.select = Some(select(of, &value)?);
                }
                ("$expand", _) => options.expand = self.expand(of, &value, depth)?,
                ("$filter", Place::Set | Place::Nested) => {
                    let dialect = Dialect {
                        in_operator: self.settings.query_in_operator,
                        navigation_paths: self.settings.query_navigation_paths,
                        any: self.settings.query_any,
                        flag_times: self.settings.query_flag_times,
                    };
                    options.filter = Some(odata_filter::parse(&value, of, dialect)?);
                }
                ("$orderby", Place::Set | Place::Nested) => options.order = order_by(of, &value)?,
                ("$top", Place::Set | Place::Nested) => options.top = Some(count(&name, &value)?),
                ("$skip", Place::Set | Place::Nested) => options.skip = count(&name, &value)?,
                _ => return Err(format!("The query parameter '{name}' is not supported.")),
            }
            let pair = (name.clone().into_owned(), value.into_owned());
            options.pairs.push(pair);
            seen.push(name.into_owned());
        }
        Ok(options)
    }

    fn has_all<'t>(
        &self,
        of: EntityType,
        mut names: impl Iterator<Item = &'t str>,
    ) -> Result<(), String> {
        match names.find(|name| lacks(self.settings, of, name)) {
            Some(name) => Err(no_property(name, of)),
            None => Ok(()),
        }
    }

    fn expand(
        &self,
        of: EntityType,
        text: &str,
        depth: usize,
    ) -> Result<Vec<(Navigation, Options)>, String> {
        if depth >= self.settings.query_expand_depth {
            return Err("The $expand is nested too deeply.".to_owned());
        }
        let mut expanded: Vec<(Navigation, Options)> = Vec::new();
        for item in split(text, ',')? {
            let (name, nested) = match item.split_once('(') {
                Some((name, rest)) => {
                    let nested = rest.strip_suffix(')');
                    (
                        name,
                        Some(nested.ok_or("A bracket of $expand is missing.")?),
                    )
                }
                None => (item, None),
            };
            self.has_all(of, [name].into_iter())?;
            let navigation = of
                .navigation(name.trim())
                .ok_or_else(|| no_property(name, of))?;
            if expanded.iter().any(|(other, _)| *other == navigation) {
                return Err(format!("'{name}' is expanded more than once."));
            }
            let mut pairs = Vec::new();
            for option in split(nested.unwrap_or_default(), ';')? {
                let (name, value) = option
                    .split_once('=')
                    .ok_or_else(|| format!("'{option}' is no option of $expand."))?;
                pairs.push((Cow::Borrowed(name.trim()), Cow::Borrowed(value.trim())));
            }
            let options = self.options(
                navigation.target,
                Place::Nested,
                depth + 1,
                pairs.into_iter(),
            )?;
            expanded.push((navigation, options));
        }
        Ok(expanded)
    }
}

/// Splits at a separator outside brackets and quotes. An empty text has no parts.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut start) = (0_usize, false, 0);
    for (position, character) in text.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("A bracket is closed twice.")?,
            found if found == separator && depth == 0 => {
                parts.push(&text[start..position]);
                start = position + separator.len_utf8();
            }
            _ => {}
        }
    }
    if quoted || depth > 0 {
        return Err("A bracket or a quote is not closed.".to_owned());
    }
    if !text.is_empty() {
        parts.push(&text[start..]);
    }
    Ok(parts)
}

/// Whether this tenant's type lacks the property.
fn lacks(settings: &Settings, of: EntityType, name: &str) -> bool {
    let lacking = &settings.query_lacks;
    !lacking.is_empty() && lacking.contains(&(format!("{of:?}").as_str(), name.trim()))
}

fn no_property(name: &str, of: EntityType) -> String {
    format!("Could not find a property named '{name}' on type '{of:?}'.")
}

fn select(of: EntityType, text: &str) -> Result<Vec<usize>, String> {
    text.split(',')
        .map(|name| {
            let name = name.trim();
            of.find(name).ok_or_else(|| no_property(name, of))
        })
        .collect()
}

/// Positions of the properties, and whether the order is descending.
fn order_by(of: EntityType, text: &str) -> Result<Vec<(usize, bool)>, String> {
    text.split(',')
        .map(|item| {
            let mut words = item.split_whitespace();
            let name = words.next().unwrap_or_default();
            let index = of.find(name).ok_or_else(|| no_property(name, of))?;
            match (words.next(), words.next()) {
                (None | Some("asc"), None) => Ok((index, false)),
                (Some("desc"), None) => Ok((index, true)),
                _ => Err(format!("'{item}' is no order.")),
            }
        })
        .collect()
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| format!("The value '{text}' of '{name}' is no count."))
}

/// Answers a GET. `base` is the address at which the caller sees the simulator.
pub(super) fn answer(
    register: &Register,
    settings: &Settings,
    base: &str,
    target: &Target,
    query: &str,
) -> Response {
    let place = if target.key.is_some() {
        Place::Single
    } else {
        Place::Set
    };
    let pairs = form_urlencoded::parse(query.as_bytes());
    let reader = Reader { settings };
    if let (Some(key), Some(navigation)) = (&target.key, target.navigation) {
        return match reader.options(navigation.target, Place::Nested, 1, pairs) {
            Ok(nested) => rest(
                register,
                settings,
                base,
                (target.set, key),
                (navigation, nested),
            ),
            Err(message) => refusal(StatusCode::BAD_REQUEST, &message),
        };
    }
    let options = match reader.options(target.set.of, place, 0, pairs) {
        Ok(options) => options,
        Err(message) => return refusal(StatusCode::BAD_REQUEST, &message),
    };
    match &target.key {
        Some(key) => single(register, settings, base, (target.set, key), &options),
        None => list(register, settings, base, target.set, &options),
    }
}

fn single(
    register: &Register,
    settings: &Settings,
    base: &str,
    (set, key): (EntitySet, &str),
    options: &Options,
) -> Response {
    match row_of(register, set, key) {
        Ok(row) => responses::json(
            StatusCode::OK,
            &Value::Object(model(register, settings, base, set.of, row, options)),
        ),
        Err(refusal) => *refusal,
    }
}

fn row_of<'a>(register: &'a Register, set: EntitySet, key: &str) -> Result<Row<'a>, Box<Response>> {
    let Some(key) = key_values(set, key) else {
        let refusal = refusal(StatusCode::BAD_REQUEST, "The key is not valid.");
        return Err(Box::new(refusal));
    };
    let found = rows(register, set.of, key[0]..=key[0]).find(|row| {
        let matches = |(name, value): (&&str, &i64)| {
            let index = set.of.find(name);
            index.map(|index| row.value(index)) == Some(Scalar::Integer(*value))
        };
        set.key.iter().zip(&key).all(matches)
    });
    found.ok_or_else(|| {
        let refusal = refusal(StatusCode::NOT_FOUND, "The resource was not found.");
        Box::new(refusal)
    })
}

/// A page of a relation, to which a link in an expanded row leads.
fn rest(
    register: &Register,
    settings: &Settings,
    base: &str,
    (set, key): (EntitySet, &str),
    (navigation, nested): (Navigation, Options),
) -> Response {
    let row = match row_of(register, set, key) {
        Ok(row) => row,
        Err(refusal) => return *refusal,
    };
    let options = Options {
        select: Some(Vec::new()),
        expand: vec![(navigation, nested)],
        ..Options::default()
    };
    let mut model = model(register, settings, base, set.of, row, &options);
    let mut envelope = Map::new();
    let rows = model.remove(navigation.name).unwrap_or_default();
    envelope.insert("value".to_owned(), rows);
    if let Some(next) = model.remove(&format!("{}{NEXT_LINK}", navigation.name)) {
        envelope.insert(NEXT_LINK.to_owned(), next);
    }
    responses::json(StatusCode::OK, &Value::Object(envelope))
}

const NEXT_LINK: &str = "@odata.nextLink";

/// Where the rest of a relation is (OData JSON Format 4.0, 4.5.5). Only rows of sets have an address.
fn link_to_rest(
    base: &str,
    of: EntityType,
    row: Row<'_>,
    (navigation, nested): (Navigation, &Options),
    skip: usize,
) -> Option<String> {
    let set = SETS.into_iter().find(|set| set.of == of)?;
    let Scalar::Integer(id) = row.value(of.find("Id")?) else {
        return None;
    };
    let pairs = nested.pairs.iter();
    let query = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
    let query = next_query(query, skip);
    let (namespace, name, relation) = (set.namespace, set.name, navigation.name);
    let root = format!("{base}/commerce/query/2.0/{namespace}");
    Some(format!("{root}/{name}({id})/{relation}?{query}"))
}

/// `5`, or `CustomerId=1,CompanyId=2` in any order.
fn key_values(set: EntitySet, text: &str) -> Option<Vec<i64>> {
    if let [_] = set.key
        && !text.contains('=')
    {
        return Some(vec![text.trim().parse().ok()?]);
    }
    let named: Vec<(&str, &str)> = text
        .split(',')
        .map(|part| part.split_once('='))
        .collect::<Option<_>>()?;
    if named.len() != set.key.len() {
        return None;
    }
    let value = |name: &&str| {
        let (_, value) = named.iter().find(|(found, _)| found.trim() == *name)?;
        value.trim().parse().ok()
    };
    set.key.iter().map(value).collect()
}

/// The rows of a set in the order of their keys, from those whose first key is within the range.
fn rows(
    register: &Register,
    of: EntityType,
    keys: RangeInclusive<i64>,
) -> Box<dyn Iterator<Item = Row<'_>> + '_> {
    if keys.is_empty() {
        return Box::new(std::iter::empty());
    }
    match of {
        EntityType::Customer => Box::new(
            register
                .customers
                .range(keys)
                .map(|(_, row)| Row::Customer(row)),
        ),
        EntityType::Company => Box::new(
            register
                .companies
                .range(keys)
                .map(|(_, row)| Row::Company(row)),
        ),
        EntityType::CustomerCompany => {
            let range = (*keys.start(), i64::MIN)..=(*keys.end(), i64::MAX);
            let relations = register.relations.range(range);
            Box::new(relations.map(|(_, row)| Row::CustomerCompany(row)))
        }
        EntityType::Order => {
            let now = Instant::now();
            let orders = register.orders.range(keys);
            Box::new(
                orders
                    .filter(move |(_, order)| order.visible_from.is_none_or(|from| from <= now))
                    .map(|(_, row)| Row::Order(row)),
            )
        }
        EntityType::Application => Box::new(
            register
                .applications
                .range(keys)
                .map(|(_, row)| Row::Application(row)),
        ),
        EntityType::Country => Box::new(
            register
                .countries
                .range(keys)
                .map(|(_, row)| Row::Country(row)),
        ),
        // The others can be reached by $expand only (norce-api §5.1).
        _ => Box::new(std::iter::empty()),
    }
}

fn list(
    register: &Register,
    settings: &Settings,
    base: &str,
    set: EntitySet,
    options: &Options,
) -> Response {
    let first_key = set.key[0];
    let keys = options
        .filter
        .as_ref()
        .map_or(i64::MIN..=i64::MAX, |filter| filter.keys(first_key));
    let is_shown = |row: &Row<'_>| match row {
        Row::Customer(customer) => !settings.query_hides.contains(&customer.row.id),
        _ => true,
    };
    let shown = rows(register, set.of, keys).filter(is_shown);
    let passing = shown.filter(|row| {
        options
            .filter
            .as_ref()
            .is_none_or(|filter| filter.accepts(register, *row))
    });
    // A `$top` above the page size is silently cut down to it (norce-api §5.1).
    let page = options
        .top
        .map_or(settings.page_size, |top| top.min(settings.page_size));
    let wanted = page.saturating_add(1);
    let by_key = match options.order.as_slice() {
        [] => true,
        [(index, false)] => set.of.find(first_key) == Some(*index) && set.key.len() == 1,
        _ => false,
    };
    let mut found: Vec<Row<'_>> = if by_key {
        passing.skip(options.skip).take(wanted).collect()
    } else {
        let mut all: Vec<Row<'_>> = passing.collect();
        sort(&mut all, &options.order);
        all.into_iter().skip(options.skip).take(wanted).collect()
    };
    let more = found.len() > page && options.top.is_none();
    found.truncate(page);
    let values: Vec<Value> = found
        .into_iter()
        .map(|row| Value::Object(model(register, settings, base, set.of, row, options)))
        .collect();
    let root = format!("{base}/commerce/query/2.0/{}", set.namespace);
    let mut envelope = Map::new();
    envelope.insert(
        "@odata.context".to_owned(),
        format!("{root}/$metadata#{}", set.name).into(),
    );
    envelope.insert("value".to_owned(), values.into());
    if more {
        let pairs = options.pairs.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
        let next = next_query(pairs, options.skip + page);
        envelope.insert(
            NEXT_LINK.to_owned(),
            format!("{root}/{}?{next}", set.name).into(),
        );
    }
    responses::json(StatusCode::OK, &Value::Object(envelope))
}

/// The same options with another `$skip`.
fn next_query<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>, skip: usize) -> String {
    let mut next = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if name != "$skip" {
            next.append_pair(name, value);
        }
    }
    next.append_pair("$skip", &skip.to_string());
    // As OData services write it: options with their dollar sign, and spaces not as plus signs.
    next.finish().replace("%24", "$").replace('+', "%20")
}

/// By the wanted order, then stably by key. `null` comes first, as in SQL Server.
fn sort(rows: &mut [Row<'_>], order: &[(usize, bool)]) {
    rows.sort_by(|left, right| {
        for (index, descending) in order {
            let (left, right) = (left.value(*index), right.value(*index));
            let ascending = odata_filter::order(&left, &right)
                .unwrap_or_else(|| (left != Scalar::Null).cmp(&(right != Scalar::Null)));
            let ordering = if *descending {
                ascending.reverse()
            } else {
                ascending
            };
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        Ordering::Equal
    });
}

fn model(
    register: &Register,
    settings: &Settings,
    base: &str,
    of: EntityType,
    row: Row<'_>,
    options: &Options,
) -> Map<String, Value> {
    let mut model = Map::new();
    for (index, property) in of.properties().iter().enumerate() {
        let selected = options
            .select
            .as_ref()
            .is_none_or(|select| select.contains(&index));
        if selected {
            let name = of.name_of(property);
            if lacks(settings, of, name) {
                continue;
            }
            let value = match row.value(index) {
                Scalar::Null
                    if settings.zero_for_none
                        && property.kind == Kind::Integer
                        && name.ends_with("Id") =>
                {
                    Scalar::Integer(0)
                }
                value => value,
            };
            let value = match value {
                Scalar::Integer(number) if settings.query_integers_as_text => {
                    number.to_string().into()
                }
                value => value.to_json(),
            };
            model.insert(name.to_owned(), value);
        }
    }
    for (navigation, nested) in &options.expand {
        let mut related: Vec<Row<'_>> = register
            .related(row, navigation.name)
            .into_iter()
            .filter(|row| {
                nested
                    .filter
                    .as_ref()
                    .is_none_or(|filter| filter.accepts(register, *row))
            })
            .collect();
        sort(&mut related, &nested.order);
        let page = nested.top.or(settings.query_expanded_page_size);
        let page = page.unwrap_or(usize::MAX);
        if navigation.many
            && nested.top.is_none()
            && related.len().saturating_sub(nested.skip) > page
            && let Some(link) =
                link_to_rest(base, of, row, (*navigation, nested), nested.skip + page)
        {
            model.insert(format!("{}{NEXT_LINK}", navigation.name), link.into());
        }
        let related = related.into_iter().skip(nested.skip).take(page);
        let mut models = related.map(|row| {
            let of = navigation.target;
            Value::Object(self::model(register, settings, base, of, row, nested))
        });
        let value = if navigation.many {
            Value::Array(models.collect())
        } else {
            models.next().unwrap_or(Value::Null)
        };
        model.insert(navigation.name.to_owned(), value);
    }
    model
}
