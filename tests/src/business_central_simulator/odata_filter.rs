//! `$filter`, as far as Business Central understands it (erp-apis §1.5).

use std::cmp::Ordering;

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Refused,
    fields::{self, Field, Kind, Record},
};

/// A parsed filter whose fields and literals fit each other.
#[derive(Debug)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Compare(Comparison),
    /// A part that the server does not apply to the rows.
    Constant(bool),
}

#[derive(Debug)]
pub(super) struct Comparison {
    field: &'static Field,
    /// `tolower()` or `toupper()` around the field: case does not count.
    fold: bool,
    operator: Operator,
    literal: Value,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name, a keyword or a literal without quotes.
    Word(String),
    /// A literal in single quotes, its doubled quotes undone.
    Text(String),
    Open,
    Close,
    Comma,
}

impl Filter {
    /// Parses a filter over these fields.
    pub(super) fn parse(text: &str, fields: &'static [Field]) -> Result<Self, Refused> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            position: 0,
            fields,
        };
        let filter = parser.disjunction()?;
        match parser.next() {
            None => Ok(filter),
            Some(token) => Err(unexpected(Some(&token))),
        }
    }

    /// Whether a record passes.
    pub(super) fn matches(&self, record: &Record) -> bool {
        match self {
            Self::And(left, right) => left.matches(record) && right.matches(record),
            Self::Or(left, right) => left.matches(record) || right.matches(record),
            Self::Compare(comparison) => comparison.matches(record),
            Self::Constant(passes) => *passes,
        }
    }

    /// Whether a part of it is about this field.
    pub(super) fn mentions(&self, field: &str) -> bool {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.mentions(field) || right.mentions(field)
            }
            Self::Compare(comparison) => comparison.field.name == field,
            Self::Constant(_) => false,
        }
    }

    /// Whether parts about this field are combined with `or`.
    pub(super) fn chains(&self, field: &str) -> bool {
        match self {
            Self::And(left, right) => left.chains(field) || right.chains(field),
            Self::Or(left, right) => left.mentions(field) || right.mentions(field),
            Self::Compare(_) | Self::Constant(_) => false,
        }
    }

    /// The filter with a constant in the place of every comparison of this field.
    pub(super) fn with_constant(self, field: &str, passes: bool) -> Self {
        match self {
            Self::And(left, right) => Self::And(
                Box::new(left.with_constant(field, passes)),
                Box::new(right.with_constant(field, passes)),
            ),
            Self::Or(left, right) => Self::Or(
                Box::new(left.with_constant(field, passes)),
                Box::new(right.with_constant(field, passes)),
            ),
            Self::Compare(comparison) if comparison.field.name == field => Self::Constant(passes),
            other => other,
        }
    }

    /// A field and the values, in lower case, of which a record that passes has one, as far as the filter shows it at
    /// once: what lets a look-up stay cheap in a large register.
    pub(super) fn candidates(&self) -> Option<(&'static str, Vec<String>)> {
        match self {
            Self::And(left, right) => left.candidates().or_else(|| right.candidates()),
            Self::Or(left, right) => {
                let (field, mut values) = left.candidates()?;
                let (_, others) = right.candidates().filter(|(other, _)| *other == field)?;
                values.extend(others);
                Some((field, values))
            }
            Self::Compare(comparison) => match comparison.operator {
                Operator::Equal => {
                    let value = comparison.literal.as_str()?.to_lowercase();
                    Some((comparison.field.name, vec![value]))
                }
                _ => None,
            },
            Self::Constant(_) => None,
        }
    }

    fn concerns_only(&self, field: &Field) -> bool {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.concerns_only(field) && right.concerns_only(field)
            }
            Self::Compare(comparison) => comparison.field == field,
            Self::Constant(_) => true,
        }
    }

    fn first_field(&self) -> Option<&'static Field> {
        match self {
            Self::And(left, _) | Self::Or(left, _) => left.first_field(),
            Self::Compare(comparison) => Some(comparison.field),
            Self::Constant(_) => None,
        }
    }
}

impl Comparison {
    fn matches(&self, record: &Record) -> bool {
        let value = record.value(self.field.name);
        let ordering = if self.fold {
            folded(value).cmp(&folded(&self.literal))
        } else {
            compare(self.field.kind, value, &self.literal)
        };
        match self.operator {
            Operator::Equal => ordering == Ordering::Equal,
            Operator::NotEqual => ordering != Ordering::Equal,
            Operator::Greater => ordering == Ordering::Greater,
            Operator::GreaterOrEqual => ordering != Ordering::Less,
            Operator::Less => ordering == Ordering::Less,
            Operator::LessOrEqual => ordering != Ordering::Greater,
        }
    }
}

fn folded(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

/// Orders two values of a field of this kind.
pub(super) fn compare(kind: Kind, left: &Value, right: &Value) -> Ordering {
    match kind {
        Kind::Decimal => left
            .as_f64()
            .unwrap_or_default()
            .total_cmp(&right.as_f64().unwrap_or_default()),
        Kind::Boolean => left.as_bool().cmp(&right.as_bool()),
        // With different numbers of decimals the texts would not order as the times do.
        Kind::DateTime => instant(left).cmp(&instant(right)),
        _ => left.as_str().cmp(&right.as_str()),
    }
}

fn instant(value: &Value) -> Option<DateTime<chrono::FixedOffset>> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok()
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    fields: &'static [Field],
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.position).cloned();
        self.position += 1;
        token
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.position), Some(Token::Word(next)) if next == word);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), Refused> {
        let token = self.next();
        if token.as_ref() == Some(wanted) {
            Ok(())
        } else {
            Err(unexpected(token.as_ref()))
        }
    }

    fn disjunction(&mut self) -> Result<Filter, Refused> {
        let mut left = self.conjunction()?;
        while self.take_word("or") {
            let right = self.conjunction()?;
            let field = left.first_field();
            let is_of_one_field =
                field.is_some_and(|field| left.concerns_only(field) && right.concerns_only(field));
            if !is_of_one_field {
                return Err(Refused::bad_request(
                    "Filters on different fields cannot be combined with OR.",
                ));
            }
            left = Filter::Or(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Filter, Refused> {
        let mut left = self.term()?;
        while self.take_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Filter, Refused> {
        match self.next() {
            Some(Token::Open) => {
                let inner = self.disjunction()?;
                self.expect(&Token::Close)?;
                Ok(inner)
            }
            Some(Token::Word(word)) => self.comparison(&word).map(Filter::Compare),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn comparison(&mut self, word: &str) -> Result<Comparison, Refused> {
        let (field, fold) = match word {
            "tolower" | "toupper" => {
                self.expect(&Token::Open)?;
                let Some(Token::Word(name)) = self.next() else {
                    return Err(unexpected(None));
                };
                let field = fields::find(self.fields, &name)?;
                if !matches!(
                    field.kind,
                    Kind::Code(_) | Kind::Text(_) | Kind::UpperText(_)
                ) {
                    return Err(Refused::bad_request(format!(
                        "The function '{word}' needs a text."
                    )));
                }
                // Nested calls need `$schemaversion=2.1`, which nothing here asks for.
                self.expect(&Token::Close)?;
                (field, true)
            }
            "startswith" | "endswith" | "contains" | "not" => {
                return Err(Refused::not_simulated(&format!("'{word}' in a filter")));
            }
            name => (fields::find(self.fields, name)?, false),
        };
        let operator = match self.next() {
            Some(Token::Word(operator)) => match operator.as_str() {
                "eq" => Operator::Equal,
                "ne" => Operator::NotEqual,
                "gt" => Operator::Greater,
                "ge" => Operator::GreaterOrEqual,
                "lt" => Operator::Less,
                "le" => Operator::LessOrEqual,
                other => {
                    return Err(Refused::bad_request(format!(
                        "The operator '{other}' is not supported in a filter."
                    )));
                }
            },
            other => return Err(unexpected(other.as_ref())),
        };
        let literal = self.next();
        Ok(Comparison {
            field,
            fold,
            operator,
            literal: literal_for(field, literal.as_ref())?,
        })
    }
}

/// The literal as a value of the field. Texts have quotes; numbers, GUIDs and times have none.
fn literal_for(field: &Field, token: Option<&Token>) -> Result<Value, Refused> {
    let incompatible = || {
        Refused::bad_request(format!(
            "The literal does not have the type of the property '{}'.",
            field.name
        ))
    };
    let bare = || match token {
        Some(Token::Word(word)) => Ok(word.as_str()),
        _ => Err(incompatible()),
    };
    let quoted = || match token {
        Some(Token::Text(text)) => Ok(text.as_str()),
        _ => Err(incompatible()),
    };
    let within = |text: &str, maximum| {
        if fields::length(text) > maximum {
            Err(Refused::filter_error(field.name))
        } else {
            Ok(Value::from(text))
        }
    };
    match field.kind {
        Kind::Code(maximum) => within(&quoted()?.trim().to_uppercase(), maximum),
        Kind::Text(maximum) | Kind::UpperText(maximum) => within(quoted()?, maximum),
        Kind::Enumeration(members) => fields::member(members, quoted()?)
            .map(Value::from)
            .ok_or_else(incompatible),
        Kind::Decimal => bare()?
            .parse::<f64>()
            .map(Value::from)
            .map_err(|_| incompatible()),
        Kind::Boolean => bare()?
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| incompatible()),
        Kind::Guid => Uuid::try_parse(bare()?)
            .map(|id| Value::from(id.to_string()))
            .map_err(|_| incompatible()),
        Kind::Date => chrono::NaiveDate::parse_from_str(bare()?, "%Y-%m-%d")
            .map(|date| Value::from(date.to_string()))
            .map_err(|_| incompatible()),
        Kind::DateTime => DateTime::parse_from_rfc3339(bare()?)
            .map(|time| Value::from(time.to_rfc3339()))
            .map_err(|_| incompatible()),
    }
}

fn unexpected(token: Option<&Token>) -> Refused {
    Refused::bad_request(match token {
        Some(Token::Word(word)) => format!("Syntax error in the filter at '{word}'."),
        Some(_) => "Syntax error in the filter.".to_owned(),
        None => "The filter ends too early.".to_owned(),
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, Refused> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => {}
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '\'' => {
                let mut literal = String::new();
                loop {
                    match letters.next() {
                        Some('\'') if letters.next_if_eq(&'\'').is_some() => literal.push('\''),
                        Some('\'') => break,
                        Some(other) => literal.push(other),
                        None => {
                            return Err(Refused::bad_request(
                                "There is an unterminated string literal in the filter.",
                            ));
                        }
                    }
                }
                tokens.push(Token::Text(literal));
            }
            letter => {
                let mut word = String::from(letter);
                while let Some(next) = letters.next_if(|&next| {
                    !next.is_whitespace() && !matches!(next, '(' | ')' | ',' | '\'')
                }) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}
