//! `$filter`: read, checked against the entity type, and evaluated. Nothing is guessed: what the grammar or the types
//! do not allow is refused with the reason.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::register::{EntityType, Kind, Register, Row, Scalar};

/// The one property that is compared regardless of case. That the database's collation ignores case is an assumption;
/// clients must be right with it and without it.
const CASE_IGNORED: &str = "EmailAddress";
/// Deeper nesting is refused rather than followed until the stack ends.
const DEEPEST: usize = 64;

/// The extensions beyond the facts that a filter may use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dialect {
    /// `Id in (1,2)`: OData 4.01, not seen on Norce.
    pub(super) in_operator: bool,
    /// `Buyer/EmailAddress eq 'x'`: not seen on Norce.
    pub(super) navigation_paths: bool,
    /// `Addresses/any(a:a/City eq 'x')`: OData 4.0, not seen on Norce.
    pub(super) any: bool,
    /// The times of flags, which are not documented.
    pub(super) flag_times: bool,
}

/// A checked filter.
#[derive(Debug, Clone)]
pub(super) struct Filter(Expression);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn mirrored(self) -> Self {
        match self {
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            same => same,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Contains,
    StartsWith,
    EndsWith,
    ToLower,
}

impl Function {
    fn read(word: &str) -> Option<(Self, usize)> {
        Some(match word {
            "contains" => (Self::Contains, 2),
            "startswith" => (Self::StartsWith, 2),
            "endswith" => (Self::EndsWith, 2),
            "tolower" => (Self::ToLower, 1),
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
enum Expression {
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    In(Box<Self>, Vec<Self>),
    /// Many equalities of one text in one go; the texts are folded where the flag says so.
    OneOf(Box<Self>, bool, HashSet<String>),
    Call(Function, Vec<Self>),
    /// At least one of the rows that a navigation property leads to passes.
    Any(&'static str, Box<Self>),
    /// The navigation properties on the way, and the property's position and name.
    Property(Vec<&'static str>, usize, &'static str),
    Literal(Literal),
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    Guid(Uuid),
    Time(DateTime<Utc>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Literal(Literal),
    Open,
    Close,
    Comma,
    Slash,
    Colon,
}

/// Reads and checks a filter.
///
/// # Errors
/// Why it is refused, in one sentence.
pub(super) fn parse(text: &str, on: EntityType, dialect: Dialect) -> Result<Filter, String> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err("the filter is empty".to_owned());
    }
    let mut parser = Parser {
        tokens,
        next: 0,
        on,
        variable: None,
        dialect,
    };
    let (expression, kind) = parser.disjunction(0)?;
    if let Some(token) = parser.peek() {
        return Err(format!("syntax error: {token:?} is not expected there"));
    }
    expect_boolean(kind, "the filter")?;
    Ok(Filter(expression.gathered()))
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(' ');
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let after = &rest[first.len_utf8()..];
        match first {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '/' => tokens.push(Token::Slash),
            ':' => tokens.push(Token::Colon),
            '\'' => {
                let (value, left) = quoted(after)?;
                tokens.push(Token::Literal(Literal::Text(value)));
                rest = left;
                continue;
            }
            _ => {
                // A name ends at a colon, a time does not.
                let others = if first.is_ascii_alphabetic() {
                    "_-.+"
                } else {
                    "_-.:+"
                };
                let is_end = |character: char| {
                    !(character.is_ascii_alphanumeric() || others.contains(character))
                };
                let length = rest.find(is_end).unwrap_or(rest.len());
                if length == 0 {
                    return Err(format!("syntax error: `{first}` is not expected there"));
                }
                tokens.push(word(&rest[..length])?);
                rest = &rest[length..];
                continue;
            }
        }
        rest = after;
    }
}

/// The text up to the closing quote, doubled quotes undone, and what follows it.
fn quoted(mut rest: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    loop {
        let Some(quote) = rest.find('\'') else {
            return Err("a text is not closed".to_owned());
        };
        value.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('\'') {
            Some(left) => {
                value.push('\'');
                rest = left;
            }
            None => return Ok((value, rest)),
        }
    }
}

fn word(text: &str) -> Result<Token, String> {
    let literal = match text {
        "null" => Some(Literal::Null),
        "true" => Some(Literal::Boolean(true)),
        "false" => Some(Literal::Boolean(false)),
        _ => None,
    };
    if let Some(literal) = literal {
        return Ok(Token::Literal(literal));
    }
    let starts_a_name = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if starts_a_name && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(Token::Word(text.to_owned()));
    }
    // Only the hyphenated form of 36 characters is a guid in OData.
    if text.len() == 36
        && let Ok(guid) = text.parse()
    {
        return Ok(Token::Literal(Literal::Guid(guid)));
    }
    if !text.starts_with('+')
        && let Ok(number) = text.parse()
    {
        return Ok(Token::Literal(Literal::Integer(number)));
    }
    if text.contains('T') && text.ends_with('Z') {
        return DateTime::parse_from_rfc3339(text)
            .map(|time| Token::Literal(Literal::Time(time.to_utc())))
            .map_err(|_| format!("`{text}` is no UTC date and time"));
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && text.chars().any(|c| c.is_ascii_digit())
        && let Ok(number) = text.parse::<f64>()
    {
        return Ok(Token::Literal(Literal::Number(number)));
    }
    Err(format!("`{text}` is neither a name nor a literal"))
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    on: EntityType,
    /// The name of a row within `any`.
    variable: Option<String>,
    dialect: Dialect,
}

/// The type of an expression; `None` is the type of `null`, which is compatible with every other.
type Type = Option<Kind>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn took(&mut self, token: &Token) -> bool {
        let taken = self.peek() == Some(token);
        if taken {
            self.next += 1;
        }
        taken
    }

    fn took_word(&mut self, word: &str) -> bool {
        let taken = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        if taken {
            self.next += 1;
        }
        taken
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        if self.took(token) {
            Ok(())
        } else {
            Err(format!("syntax error: {token:?} is missing"))
        }
    }

    fn disjunction(&mut self, depth: usize) -> Result<(Expression, Type), String> {
        let (mut left, kind) = self.conjunction(depth)?;
        let mut result = kind;
        while self.took_word("or") {
            expect_boolean(result, "the left side of `or`")?;
            let (right, kind) = self.conjunction(depth)?;
            expect_boolean(kind, "the right side of `or`")?;
            left = Expression::Or(Box::new(left), Box::new(right));
            result = Some(Kind::Boolean);
        }
        Ok((left, result))
    }

    fn conjunction(&mut self, depth: usize) -> Result<(Expression, Type), String> {
        let (mut left, kind) = self.comparison(depth)?;
        let mut result = kind;
        while self.took_word("and") {
            expect_boolean(result, "the left side of `and`")?;
            let (right, kind) = self.comparison(depth)?;
            expect_boolean(kind, "the right side of `and`")?;
            left = Expression::And(Box::new(left), Box::new(right));
            result = Some(Kind::Boolean);
        }
        Ok((left, result))
    }

    fn comparison(&mut self, depth: usize) -> Result<(Expression, Type), String> {
        let (left, left_kind) = self.unary(depth)?;
        let Some(Token::Word(word)) = self.peek() else {
            return Ok((left, left_kind));
        };
        if word == "in" {
            self.next += 1;
            return self.membership(left, left_kind, depth);
        }
        let Some(comparison) = Comparison::read(word) else {
            return Ok((left, left_kind));
        };
        self.next += 1;
        let (right, right_kind) = self.unary(depth)?;
        expect_comparable(left_kind, right_kind)?;
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if !equality && [left_kind, right_kind].contains(&Some(Kind::Boolean)) {
            return Err("true and false have no order".to_owned());
        }
        let compared = Expression::Compare(comparison, Box::new(left), Box::new(right));
        Ok((compared, Some(Kind::Boolean)))
    }

    fn membership(
        &mut self,
        left: Expression,
        kind: Type,
        depth: usize,
    ) -> Result<(Expression, Type), String> {
        if !self.dialect.in_operator {
            return Err("the operator `in` is not supported".to_owned());
        }
        self.expect(&Token::Open)?;
        let mut members = Vec::new();
        loop {
            let (member, member_kind) = self.unary(depth)?;
            expect_comparable(kind, member_kind)?;
            members.push(member);
            if !self.took(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::Close)?;
        Ok((Expression::In(Box::new(left), members), Some(Kind::Boolean)))
    }

    fn unary(&mut self, depth: usize) -> Result<(Expression, Type), String> {
        if depth > DEEPEST {
            return Err("the filter is nested too deeply".to_owned());
        }
        if self.took_word("not") {
            let (inner, kind) = self.unary(depth + 1)?;
            expect_boolean(kind, "what follows `not`")?;
            return Ok((Expression::Not(Box::new(inner)), Some(Kind::Boolean)));
        }
        match self.take() {
            Some(Token::Open) => {
                let inner = self.disjunction(depth + 1)?;
                self.expect(&Token::Close)?;
                Ok(inner)
            }
            Some(Token::Literal(literal)) => {
                let kind = literal.kind();
                Ok((Expression::Literal(literal), kind))
            }
            Some(Token::Word(word)) if self.peek() == Some(&Token::Open) => {
                self.call(&word, depth + 1)
            }
            Some(Token::Word(word)) => self.property(word),
            Some(token) => Err(format!("syntax error: {token:?} is not expected there")),
            None => Err("the filter ends too early".to_owned()),
        }
    }

    fn call(&mut self, name: &str, depth: usize) -> Result<(Expression, Type), String> {
        let (function, arity) =
            Function::read(name).ok_or_else(|| format!("unknown function `{name}`"))?;
        self.expect(&Token::Open)?;
        let mut arguments = Vec::new();
        loop {
            let (argument, kind) = self.unary(depth)?;
            if kind != Some(Kind::Text) {
                return Err(format!("`{name}` takes texts only"));
            }
            arguments.push(argument);
            if !self.took(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::Close)?;
        if arguments.len() != arity {
            return Err(format!("`{name}` takes {arity} arguments"));
        }
        let kind = if function == Function::ToLower {
            Kind::Text
        } else {
            Kind::Boolean
        };
        Ok((Expression::Call(function, arguments), Some(kind)))
    }

    fn property(&mut self, first: String) -> Result<(Expression, Type), String> {
        let mut on = self.on;
        let mut path = Vec::new();
        let mut name = first;
        if let Some(variable) = self.variable.clone() {
            // What is outside can be named in OData; whether on Norce is not in the facts.
            if variable != name || !self.took(&Token::Slash) {
                return Err(format!("`{name}` is not `{variable}/…`"));
            }
            let Some(Token::Word(next)) = self.take() else {
                return Err("a property is missing after `/`".to_owned());
            };
            name = next;
        }
        while self.took(&Token::Slash) {
            if path.is_empty() && self.took_word("any") {
                return self.any(&name);
            }
            let navigation = on
                .navigation(&name)
                .filter(|navigation| !navigation.many && self.dialect.navigation_paths)
                .ok_or_else(|| format!("`{name}` cannot be followed in a filter"))?;
            path.push(navigation.name);
            on = navigation.target;
            let Some(Token::Word(next)) = self.take() else {
                return Err("a property is missing after `/`".to_owned());
            };
            name = next;
        }
        let index = on
            .find(&name)
            .ok_or_else(|| format!("Could not find a property named '{name}' on type '{on:?}'."))?;
        let is_flag = matches!(on, EntityType::CustomerFlag | EntityType::CompanyFlag);
        if is_flag && !self.dialect.flag_times && ["Created", "Updated"].contains(&name.as_str()) {
            return Err(format!(
                "Could not find a property named '{name}' on type '{on:?}'."
            ));
        }
        let property = &on.properties()[index];
        let expression = Expression::Property(path, index, on.name_of(property));
        Ok((expression, Some(property.kind)))
    }
}

impl Parser {
    /// `any(row:condition)` over the rows of a navigation property; `any` is read.
    fn any(&mut self, name: &str) -> Result<(Expression, Type), String> {
        let navigation = self.on.navigation(name);
        let navigation = navigation
            .filter(|navigation| navigation.many && self.dialect.any && self.variable.is_none())
            .ok_or_else(|| format!("`any` cannot be asked of `{name}`"))?;
        self.expect(&Token::Open)?;
        let Some(Token::Word(variable)) = self.take() else {
            return Err("`any` names no row".to_owned());
        };
        self.expect(&Token::Colon)?;
        let outside = std::mem::replace(&mut self.on, navigation.target);
        self.variable = Some(variable);
        let (condition, kind) = self.disjunction(1)?;
        self.on = outside;
        self.variable = None;
        expect_boolean(kind, "what `any` asks")?;
        self.expect(&Token::Close)?;
        let any = Expression::Any(navigation.name, Box::new(condition));
        Ok((any, Some(Kind::Boolean)))
    }
}

fn expect_boolean(kind: Type, what: &str) -> Result<(), String> {
    if kind == Some(Kind::Boolean) {
        Ok(())
    } else {
        Err(format!("{what} is no condition"))
    }
}

fn expect_comparable(left: Type, right: Type) -> Result<(), String> {
    let numeric = |kind| matches!(kind, Kind::Integer | Kind::Number);
    match (left, right) {
        (Some(left), Some(right)) if left != right && !(numeric(left) && numeric(right)) => Err(
            format!("a value of type {left:?} cannot be compared with one of type {right:?}"),
        ),
        _ => Ok(()),
    }
}

impl Literal {
    fn kind(&self) -> Type {
        Some(match self {
            Self::Null => return None,
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Guid(_) => Kind::Guid,
            Self::Time(_) => Kind::Time,
        })
    }

    fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Boolean(value) => Scalar::Boolean(*value),
            Self::Integer(value) => Scalar::Integer(*value),
            Self::Number(value) => Scalar::Number(*value),
            Self::Text(value) => Scalar::Text(Cow::Borrowed(value)),
            Self::Guid(value) => Scalar::Guid(*value),
            Self::Time(value) => Scalar::Time(*value),
        }
    }
}

impl Filter {
    /// Whether a row passes. A row for which the filter is neither true nor false (a function of `null`) does not.
    pub(super) fn accepts(&self, register: &Register, row: Row<'_>) -> bool {
        self.0.truth(register, row) == Some(true)
    }

    /// The integer keys that can pass at all, as far as the filter shows it at once: what lets a read by key stay
    /// cheap in a large register.
    pub(super) fn keys(&self, key: &str) -> RangeInclusive<i64> {
        self.0.keys(key)
    }
}

const ALL_KEYS: RangeInclusive<i64> = i64::MIN..=i64::MAX;

impl Expression {
    /// The same filter, with the equalities of a disjunction gathered: a look-up of a hundred customers has two hundred
    /// of them, and a large register would be read that often.
    fn gathered(self) -> Self {
        match self {
            Self::Or(left, right) => {
                let mut equalities: BTreeMap<(usize, bool), (Self, HashSet<String>)> =
                    BTreeMap::new();
                let mut others = Vec::new();
                let mut parts = vec![*left, *right];
                while let Some(part) = parts.pop() {
                    match part {
                        Self::Or(left, right) => parts.extend([*left, *right]),
                        Self::Compare(Comparison::Equal, left, right) => {
                            match (left.own_text(), *right) {
                                (Some(key), Self::Literal(Literal::Text(text))) => {
                                    let text = if left.ignores_case() {
                                        text.to_lowercase()
                                    } else {
                                        text
                                    };
                                    let (_, texts) = equalities
                                        .entry(key)
                                        .or_insert_with(|| (*left, HashSet::new()));
                                    texts.insert(text);
                                }
                                (_, right) => others.push(Self::Compare(
                                    Comparison::Equal,
                                    left,
                                    Box::new(right),
                                )),
                            }
                        }
                        other => others.push(other.gathered()),
                    }
                }
                let equalities = equalities.into_values().map(|(of, texts)| {
                    let fold = of.ignores_case();
                    Self::OneOf(Box::new(of), fold, texts)
                });
                equalities
                    .chain(others)
                    .reduce(|left, right| Self::Or(Box::new(left), Box::new(right)))
                    .unwrap_or(Self::Literal(Literal::Boolean(false)))
            }
            Self::And(left, right) => {
                Self::And(Box::new(left.gathered()), Box::new(right.gathered()))
            }
            other => other,
        }
    }

    /// Which property of the row itself this is, and whether in lower case.
    fn own_text(&self) -> Option<(usize, bool)> {
        match self {
            Self::Property(path, index, _) if path.is_empty() => Some((*index, false)),
            Self::Call(Function::ToLower, arguments) => match arguments.as_slice() {
                [Self::Property(path, index, _)] if path.is_empty() => Some((*index, true)),
                _ => None,
            },
            _ => None,
        }
    }

    fn truth(&self, register: &Register, row: Row<'_>) -> Option<bool> {
        match self {
            Self::Or(left, right) => match left.truth(register, row) {
                Some(true) => Some(true),
                unsure => match (unsure, right.truth(register, row)) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            },
            Self::And(left, right) => match left.truth(register, row) {
                Some(false) => Some(false),
                unsure => match (unsure, right.truth(register, row)) {
                    (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                },
            },
            Self::Not(inner) => inner.truth(register, row).map(|truth| !truth),
            Self::Compare(comparison, left, right) => {
                let fold = left.ignores_case() || right.ignores_case();
                let left = folded(left.scalar(register, row), fold);
                let right = folded(right.scalar(register, row), fold);
                Some(compare(*comparison, &left, &right))
            }
            Self::In(left, members) => {
                let fold = left.ignores_case();
                let left = folded(left.scalar(register, row), fold);
                Some(members.iter().any(|member| {
                    let member = folded(member.scalar(register, row), fold);
                    compare(Comparison::Equal, &left, &member)
                }))
            }
            Self::OneOf(of, fold, texts) => Some(match folded(of.scalar(register, row), *fold) {
                Scalar::Text(text) => texts.contains(text.as_ref()),
                _ => false,
            }),
            Self::Any(relation, condition) => {
                let rows = register.related(row, relation);
                let mut rows = rows.into_iter();
                Some(rows.any(|row| condition.truth(register, row) == Some(true)))
            }
            Self::Call(Function::ToLower, _) => None,
            Self::Call(function, arguments) => {
                let fold = arguments.iter().any(Self::ignores_case);
                let mut texts = arguments
                    .iter()
                    .map(|argument| folded(argument.scalar(register, row), fold));
                let (Some(Scalar::Text(text)), Some(Scalar::Text(part))) =
                    (texts.next(), texts.next())
                else {
                    return None;
                };
                Some(match function {
                    Function::Contains => text.contains(part.as_ref()),
                    Function::StartsWith => text.starts_with(part.as_ref()),
                    _ => text.ends_with(part.as_ref()),
                })
            }
            Self::Property(..) | Self::Literal(_) => match self.scalar(register, row) {
                Scalar::Boolean(value) => Some(value),
                _ => None,
            },
        }
    }

    fn scalar<'a>(&'a self, register: &'a Register, row: Row<'a>) -> Scalar<'a> {
        match self {
            Self::Literal(literal) => literal.scalar(),
            Self::Property(path, index, _) => {
                let mut row = row;
                for step in path {
                    match register.related(row, step).first() {
                        Some(next) => row = *next,
                        None => return Scalar::Null,
                    }
                }
                row.value(*index)
            }
            Self::Call(Function::ToLower, arguments) => match arguments.first() {
                Some(argument) => folded(argument.scalar(register, row), true),
                None => Scalar::Null,
            },
            condition => condition
                .truth(register, row)
                .map_or(Scalar::Null, Scalar::Boolean),
        }
    }

    fn ignores_case(&self) -> bool {
        matches!(self, Self::Property(_, _, CASE_IGNORED))
    }

    fn keys(&self, key: &str) -> RangeInclusive<i64> {
        match self {
            Self::And(left, right) => {
                let (left, right) = (left.keys(key), right.keys(key));
                *left.start().max(right.start())..=*left.end().min(right.end())
            }
            Self::Or(left, right) => {
                let (left, right) = (left.keys(key), right.keys(key));
                if left.is_empty() {
                    right
                } else if right.is_empty() {
                    left
                } else {
                    *left.start().min(right.start())..=*left.end().max(right.end())
                }
            }
            Self::Compare(comparison, left, right) => match (left.as_ref(), right.as_ref()) {
                (Self::Property(path, _, name), Self::Literal(Literal::Integer(value)))
                    if path.is_empty() && *name == key =>
                {
                    keys_beside(*comparison, *value)
                }
                (Self::Literal(Literal::Integer(value)), Self::Property(path, _, name))
                    if path.is_empty() && *name == key =>
                {
                    keys_beside(comparison.mirrored(), *value)
                }
                _ => ALL_KEYS,
            },
            _ => ALL_KEYS,
        }
    }
}

fn keys_beside(comparison: Comparison, value: i64) -> RangeInclusive<i64> {
    match comparison {
        Comparison::Equal => value..=value,
        Comparison::NotEqual => ALL_KEYS,
        Comparison::Greater => value.saturating_add(1)..=i64::MAX,
        Comparison::GreaterOrEqual => value..=i64::MAX,
        Comparison::Less => i64::MIN..=value.saturating_sub(1),
        Comparison::LessOrEqual => i64::MIN..=value,
    }
}

fn folded(scalar: Scalar<'_>, fold: bool) -> Scalar<'_> {
    match scalar {
        Scalar::Text(text) if fold => Scalar::Text(Cow::Owned(text.to_lowercase())),
        same => same,
    }
}

/// OData: `null` equals `null` only, and has no order.
fn compare(comparison: Comparison, left: &Scalar<'_>, right: &Scalar<'_>) -> bool {
    let order = order(left, right);
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        _ if *left == Scalar::Null => false,
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
    }
}

/// The order of two values of one type; `None` when one of them is `null` and the other is not.
pub(super) fn order(left: &Scalar<'_>, right: &Scalar<'_>) -> Option<Ordering> {
    match (left, right) {
        (Scalar::Null, Scalar::Null) => Some(Ordering::Equal),
        (Scalar::Boolean(left), Scalar::Boolean(right)) => Some(left.cmp(right)),
        (Scalar::Integer(left), Scalar::Integer(right)) => Some(left.cmp(right)),
        (Scalar::Number(left), Scalar::Number(right)) => left.partial_cmp(right),
        // Norce's ids and amounts are far below 2^53.
        (Scalar::Integer(left), Scalar::Number(right)) => (*left as f64).partial_cmp(right),
        (Scalar::Number(left), Scalar::Integer(right)) => left.partial_cmp(&(*right as f64)),
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        (Scalar::Guid(left), Scalar::Guid(right)) => Some(left.cmp(right)),
        (Scalar::Time(left), Scalar::Time(right)) => Some(left.cmp(right)),
        _ => None,
    }
}
