//! The bodies of Norce's notifications (norce-api §6, §4.5).
//!
//! A body does not contain its type: the subscription's URL, or a header that the merchant sets, names it. Only the fields that
//! something acts upon are read: the others may be missing or of any type, because a refused event comes sixteen times and is
//! then dead. Errors contain names of fields and no values.

use std::{borrow::Cow, str::FromStr};

use serde_json::{Map, Value};
use thiserror::Error;

use super::serde_utils;
use crate::domain::{ApplicationId, JobId, NorceId, redact};

/// The notifications that this integration handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A customer, or a record that belongs to it, has changed.
    CustomerChanged,
    /// A company, or a record that belongs to it, has changed.
    CompanyChanged,
    /// A Connect job has ended.
    JobCompleted,
    /// An order was placed.
    OrderReceived,
    /// The ERP has confirmed an order.
    OrderConfirmed,
}

/// The name in logs of a posted order (norce-api §10.1), which is not an event.
pub const POSTED_ORDER: &str = "PostedOrder";

/// Notifications that Norce documents and that this integration ignores (norce-api §6).
const UNUSED: [&str; 17] = [
    "ExportDeliveredEvent",
    "ExternalOrderReceivedEvent",
    "InvoiceCaptureCompletedEvent",
    "OrderCancelledEvent",
    "OrderDeliveredEvent",
    "OrderPartlyDeliveredEvent",
    "OrderPaymentReceivedEvent",
    "OrderReadyForPickupEvent",
    "SkuChangedNotification",
    "SkuOnHandBreakpointNotification",
    "SkuPriceChangedNotification",
    "SkuStockChangedNotification",
    "SubscriptionFailedEvent",
    "SupplierSkuChangedNotification",
    "SupplierSkuOnHandChangedNotification",
    "SupplierSkuPriceChangedNotification",
    "TranslationRequestedNotification",
];

impl EventType {
    /// All notifications.
    pub const ALL: [Self; 5] = [
        Self::CustomerChanged,
        Self::CompanyChanged,
        Self::JobCompleted,
        Self::OrderReceived,
        Self::OrderConfirmed,
    ];

    /// Norce's own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CustomerChanged => "CustomerChangedNotification",
            Self::CompanyChanged => "CompanyChangedNotification",
            Self::JobCompleted => "JobCompletedEvent",
            Self::OrderReceived => "OrderReceivedEvent",
            Self::OrderConfirmed => "OrderConfirmedEvent",
        }
    }
}

/// A notification that this integration ignores.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OtherEvent {
    /// Norce documents it. Norce's own name.
    #[error("nothing here acts upon `{0}`")]
    Documented(&'static str),
    /// It is unknown. The name without personal data.
    #[error("`{0}` is not known")]
    Unknown(String),
}

impl FromStr for EventType {
    type Err = OtherEvent;

    /// Parses a name in any case, with or without a trailing `Notification` or `Event`, with or without separators between
    /// the words, and with `Change` for `Changed`, as on one of Norce's pages (norce-api §6). This includes the paths of the
    /// receiver, such as `customer-changed`.
    fn from_str(text: &str) -> Result<Self, OtherEvent> {
        let stem = stem(text);
        let is_named = |name: &str| self::stem(name) == stem;
        let used = Self::ALL.into_iter().find(|it| is_named(it.name()));
        let documented = || UNUSED.into_iter().find(|name| is_named(name));
        used.ok_or_else(|| match documented() {
            Some(name) => OtherEvent::Documented(name),
            None => OtherEvent::Unknown(redact(text.trim())),
        })
    }
}

/// The normal form of all spellings of a type.
fn stem(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    let letters: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    let ends = ["notification", "event"];
    let stem = ends.into_iter().find_map(|end| letters.strip_suffix(end));
    let stem = stem.unwrap_or(&letters);
    match stem.strip_suffix("changed") {
        Some(what) => format!("{what}change"),
        None => stem.to_owned(),
    }
}

/// A notification, as far as something acts upon it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `CustomerChangedNotification`
    CustomerChanged(CustomerChanged),
    /// `CompanyChangedNotification`
    CompanyChanged(CompanyChanged),
    /// `JobCompletedEvent`
    JobCompleted(JobCompleted),
    /// `OrderReceivedEvent`
    OrderReceived(OrderReceived),
    /// `OrderConfirmedEvent`
    OrderConfirmed(OrderConfirmed),
}

/// A customer, or a record that belongs to it, has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerChanged {
    /// The application, if customers and companies belong to applications ("application-unique").
    pub application: Option<ApplicationId>,
    /// Norce's id of the customer.
    pub customer: NorceId,
}

/// A company, or a record that belongs to it, has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyChanged {
    /// The application, if customers and companies belong to applications ("application-unique").
    pub application: Option<ApplicationId>,
    /// Norce's id of the company.
    pub company: NorceId,
}

/// A job has ended. Its status is read from the job itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCompleted {
    /// The job.
    pub job: JobId,
}

/// An order was placed. The event contains neither the order's id nor the customer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReceived {
    /// The application.
    pub application: ApplicationId,
    /// The basket or quotation.
    pub client_order_ref: String,
}

/// An order was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderConfirmed {
    /// The application.
    pub application: ApplicationId,
    /// Norce's id of the order.
    pub order_id: i64,
}

/// A body that is not this event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidEvent {
    /// Not JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line of the error.
        line: usize,
        /// The column of the error.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A required field is missing, null or empty.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field has an invalid value.
    #[error("the field `{field}` is not {expected}")]
    Wrong {
        /// The field.
        field: &'static str,
        /// The expected value.
        expected: &'static str,
    },
}

impl Event {
    /// Parses the body of an event.
    ///
    /// # Errors
    /// [`InvalidEvent`], naming the field.
    pub fn parse(event_type: EventType, body: &[u8]) -> Result<Self, InvalidEvent> {
        let body: Value = serde_json::from_slice(body).map_err(|error| InvalidEvent::NotJson {
            line: error.line(),
            column: error.column(),
        })?;
        let Value::Object(fields) = body else {
            return Err(InvalidEvent::NotAnObject);
        };
        let body = Body(fields);
        Ok(match event_type {
            EventType::CustomerChanged => Self::CustomerChanged(CustomerChanged {
                application: body.application()?,
                customer: body.required("CustomerId", NORCE_ID)?,
            }),
            EventType::CompanyChanged => Self::CompanyChanged(CompanyChanged {
                application: body.application()?,
                company: body.required("CompanyId", NORCE_ID)?,
            }),
            EventType::JobCompleted => Self::JobCompleted(JobCompleted {
                job: JobId(body.required("JobId", LONG)?),
            }),
            EventType::OrderReceived => Self::OrderReceived(OrderReceived {
                application: body.required_application()?,
                client_order_ref: body.required("ClientOrderRef", TEXT)?,
            }),
            EventType::OrderConfirmed => Self::OrderConfirmed(OrderConfirmed {
                application: body.required_application()?,
                order_id: body.required("OrderId", LONG)?,
            }),
        })
    }
}

/// A parser of a value, and a description of what it expects.
type Read<T> = (fn(&Value) -> Option<T>, &'static str);

const LONG: Read<i64> = (serde_utils::whole_number, "a whole number");
const TEXT: Read<String> = (
    |value| serde_utils::text(value).map(Cow::into_owned),
    "a text",
);
const APPLICATION: Read<ApplicationId> = (
    |value| serde_utils::whole_number(value)?.try_into().ok(),
    "the id of an application",
);
const NORCE_ID: Read<NorceId> = (
    |value| serde_utils::whole_number(value)?.try_into().ok(),
    "an id",
);

const APPLICATION_ID: &str = "ApplicationId";

struct Body(Map<String, Value>);

impl Body {
    fn required<T>(
        &self,
        field: &'static str,
        (read, expected): Read<T>,
    ) -> Result<T, InvalidEvent> {
        let is_empty =
            |value: &Value| matches!(value, Value::String(text) if text.trim().is_empty());
        let value = serde_utils::field(&self.0, field).filter(|value| !is_empty(value));
        let value = value.ok_or(InvalidEvent::Missing(field))?;
        read(value).ok_or(InvalidEvent::Wrong { field, expected })
    }

    /// The application that an event names, if it names one.
    fn application(&self) -> Result<Option<ApplicationId>, InvalidEvent> {
        match serde_utils::field(&self.0, APPLICATION_ID) {
            Some(value) if !serde_utils::names_none(value) => self.required_application().map(Some),
            _ => Ok(None),
        }
    }

    fn required_application(&self) -> Result<ApplicationId, InvalidEvent> {
        self.required(APPLICATION_ID, APPLICATION)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event_type: EventType, body: &str) -> Result<Event, InvalidEvent> {
        Event::parse(event_type, body.as_bytes())
    }

    fn application(id: i64) -> ApplicationId {
        id.try_into().unwrap()
    }

    #[test]
    fn a_type_is_known_in_every_spelling() {
        let spellings: [(&str, &[&str]); 5] = [
            (
                "CustomerChangedNotification",
                &[
                    "CustomerChangeNotification",
                    "customer-changed",
                    "customer-change",
                    "Customer_Changed",
                    "CustomerChanged",
                    "CustomerChangedEvent",
                    " CUSTOMERCHANGENOTIFICATION ",
                ],
            ),
            (
                "CompanyChangedNotification",
                &[
                    "CompanyChangeNotification",
                    "company-changed",
                    "companychange",
                ],
            ),
            (
                "JobCompletedEvent",
                &["job-completed", "JobCompletedNotification"],
            ),
            ("OrderReceivedEvent", &[" order-received ", "OrderReceived"]),
            ("OrderConfirmedEvent", &["order-confirmed"]),
        ];
        for (event_type, (name, others)) in EventType::ALL.into_iter().zip(spellings) {
            assert_eq!(event_type.name(), name);
            let cases = [name.to_owned(), name.to_lowercase(), name.to_uppercase()];
            let cases = cases.iter().map(String::as_str);
            for spelling in cases.chain(others.iter().copied()) {
                assert_eq!(spelling.parse(), Ok(event_type), "{spelling}");
            }
        }
        let other = |name: &str| name.parse::<EventType>().unwrap_err();
        for name in UNUSED {
            assert_eq!(other(&name.to_lowercase()), OtherEvent::Documented(name));
        }
        assert_eq!(
            other("order-cancelled"),
            OtherEvent::Documented("OrderCancelledEvent")
        );
        // A part of a name is not a name.
        for unknown in [
            "",
            "Customer",
            "CustomersChanged",
            "Changed",
            "customer-changed-not",
            "Event",
        ] {
            assert_eq!(other(unknown), OtherEvent::Unknown(unknown.to_owned()));
        }
        assert_eq!(
            other("a@b.se\nforged"),
            OtherEvent::Unknown("[e-mail] forged".to_owned())
        );
    }

    #[test]
    fn a_number_is_read_as_a_text_and_as_a_number() {
        let body = r#"{"ClientId":1,"ApplicationId":" 2","OrderId":"9876543210"}"#;
        let confirmed = OrderConfirmed {
            application: application(2),
            order_id: 9_876_543_210,
        };
        let event = parse(EventType::OrderConfirmed, body);
        assert_eq!(event, Ok(Event::OrderConfirmed(confirmed)));
        let received = OrderReceived {
            application: application(1),
            client_order_ref: "7".to_owned(),
        };
        let body = r#"{"applicationId":1,"clientOrderRef":7}"#;
        let event = parse(EventType::OrderReceived, body);
        assert_eq!(event, Ok(Event::OrderReceived(received)));
        let event = parse(EventType::JobCompleted, r#"{"jobId":"55"}"#);
        let job = JobCompleted { job: JobId(55) };
        assert_eq!(event, Ok(Event::JobCompleted(job)));
    }

    /// Every field that norce-api §6 documents, and whether it is used.
    fn documented(event_type: EventType) -> Vec<(&'static str, Value, bool)> {
        let order = |used: (&'static str, Value), other: [(&'static str, Value); 2]| {
            let people = ["Email", "CellPhone", "FirstName", "LastName"];
            let people = people.map(|field| (field, json!("x"), false));
            let mut fields = vec![
                ("ClientId", json!(1), false),
                ("ApplicationId", json!(2), true),
                ("Source", json!("WEB"), false),
                (used.0, used.1, true),
            ];
            fields.extend(other.map(|(field, value)| (field, value, false)));
            fields.extend(people);
            fields
        };
        let entity = |id: &'static str| {
            vec![
                ("ClientId", json!(1), false),
                (id, json!(5), true),
                ("EntityChanged", json!("tClientCustomer"), false),
            ]
        };
        match event_type {
            EventType::CustomerChanged => entity("CustomerId"),
            EventType::CompanyChanged => entity("CompanyId"),
            EventType::JobCompleted => vec![
                ("ClientId", json!(1), false),
                ("ApplicationId", json!(2), false),
                ("JobId", json!(55), true),
                ("StatusId", json!(2), false),
            ],
            EventType::OrderReceived => order(
                ("ClientOrderRef", json!("7")),
                [("New", json!(1)), ("OrderNo", json!("8"))],
            ),
            EventType::OrderConfirmed => order(
                ("OrderId", json!(77)),
                [("ClientOrderRef", json!("7")), ("OrderNo", json!("8"))],
            ),
        }
    }

    #[test]
    fn a_field_that_nothing_uses_changes_nothing_whatever_it_holds() {
        let strange = [
            json!(null),
            json!(""),
            json!(" "),
            json!({}),
            json!([]),
            json!(true),
        ];
        for event_type in EventType::ALL {
            let fields = documented(event_type);
            let read = |field: &str, value: Option<&Value>| {
                let mut body: Map<String, Value> = Map::new();
                for (name, value, _) in &fields {
                    body.insert((*name).to_owned(), value.clone());
                }
                match value {
                    Some(value) => body.insert(field.to_owned(), value.clone()),
                    None => body.remove(field),
                };
                parse(event_type, &Value::Object(body).to_string())
            };
            let whole = read("Unknown", None);
            assert!(whole.is_ok(), "{event_type:?}: {whole:?}");
            for (field, _, is_used) in &fields {
                let values = strange.iter().map(Some).chain([None]);
                for value in values {
                    let event = read(field, value);
                    let case = format!("{event_type:?}, {field}: {value:?}: {event:?}");
                    match is_used {
                        true => assert!(event.unwrap_err().to_string().contains(field), "{case}"),
                        false => assert_eq!(event, whole, "{case}"),
                    }
                }
            }
        }
    }

    #[test]
    fn an_entity_of_no_application_is_one_whose_application_is_missing_null_empty_or_0() {
        let none = [json!(null), json!(""), json!(" "), json!(0), json!("0")];
        let bodies = none.map(|none| json!({"CompanyId": 8, "ApplicationId": none}));
        for body in bodies.into_iter().chain([json!({"CompanyId": 8})]) {
            let company = CompanyChanged {
                application: None,
                company: 8.try_into().unwrap(),
            };
            let event = parse(EventType::CompanyChanged, &body.to_string());
            assert_eq!(event, Ok(Event::CompanyChanged(company)), "{body}");
        }
        let body = r#"{"CustomerId":5,"ApplicationId":2}"#;
        let customer = CustomerChanged {
            application: Some(application(2)),
            customer: 5.try_into().unwrap(),
        };
        let event = parse(EventType::CustomerChanged, body);
        assert_eq!(event, Ok(Event::CustomerChanged(customer)));
    }

    #[test]
    fn what_can_never_be_right_is_told_by_its_field_and_never_by_its_value() {
        let reason = |event_type, body| parse(event_type, body).unwrap_err().to_string();
        let customer = |body| reason(EventType::CustomerChanged, body);
        let order = |body| reason(EventType::OrderReceived, body);
        let reasons = [
            customer(""),
            customer("anna@example.com"),
            customer("[]"),
            customer("{}"),
            customer(r#"{"CustomerId":null}"#),
            customer(r#"{"CustomerId":"anna"}"#),
            customer(r#"{"CustomerId":0}"#),
            customer(r#"{"CustomerId":99999999999}"#),
            customer(r#"{"CustomerId":5,"ApplicationId":"anna"}"#),
            order(r#"{"ClientOrderRef":"7"}"#),
            order(r#"{"ApplicationId":-4,"ClientOrderRef":"7"}"#),
            order(r#"{"ApplicationId":1,"ClientOrderRef":[]}"#),
        ];
        insta::assert_snapshot!(reasons.join("\n"), @"
        the body is not JSON (line 1, column 0)
        the body is not JSON (line 1, column 1)
        the body is not a JSON object
        the field `CustomerId` is missing
        the field `CustomerId` is missing
        the field `CustomerId` is not an id
        the field `CustomerId` is not an id
        the field `CustomerId` is not an id
        the field `ApplicationId` is not the id of an application
        the field `ApplicationId` is missing
        the field `ApplicationId` is not the id of an application
        the field `ClientOrderRef` is not a text
        ");
    }
}
