//! The bodies of Norce's notifications (norce-api §6, §4.5).
//!
//! A body does not contain its type: the subscription's URL, or a header that the merchant sets, names it. Unknown fields are
//! ignored. Errors contain names of fields and no values.

use std::{borrow::Cow, str::FromStr};

use serde_json::{Map, Value};
use thiserror::Error;

use super::serde_utils;
use crate::domain::{ApplicationId, JobId, NorceId, Personal, redact};

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

/// A notification.
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

/// A customer changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerChanged {
    /// Norce's id of the client (the merchant).
    pub client_id: i32,
    /// The application, if customers and companies belong to applications ("application-unique").
    pub application: Option<ApplicationId>,
    /// Norce's id of the customer.
    pub customer: NorceId,
    /// The part that changed.
    pub entity_changed: EntityChanged,
}

/// A company changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyChanged {
    /// Norce's id of the client (the merchant).
    pub client_id: i32,
    /// The application, if customers and companies belong to applications ("application-unique").
    pub application: Option<ApplicationId>,
    /// Norce's id of the company.
    pub company: NorceId,
    /// The part that changed.
    pub entity_changed: EntityChanged,
}

/// A job has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCompleted {
    /// Norce's id of the client (the merchant).
    pub client_id: i32,
    /// The application, if the job belongs to one.
    pub application: Option<ApplicationId>,
    /// The job.
    pub job: JobId,
    /// Its status; "should be 2, 3 or 4". A hint: the status is read from the job itself.
    pub status_id: i32,
}

/// An order was placed. The event contains neither the order's id nor the customer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReceived {
    /// Norce's id of the client (the merchant).
    pub client_id: i32,
    /// The application.
    pub application: ApplicationId,
    /// The basket or quotation.
    pub client_order_ref: String,
    /// The sales channel: `WEB`, a marketplace or a till.
    pub source: String,
    /// The customer's contact details.
    pub person: Person,
}

/// An order was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderConfirmed {
    /// Norce's id of the client (the merchant).
    pub client_id: i32,
    /// The application.
    pub application: ApplicationId,
    /// Norce's id of the order.
    pub order_id: i64,
    /// Usually the ERP's number.
    pub order_no: String,
    /// The basket or quotation.
    pub client_order_ref: String,
    /// The sales channel: `WEB`, a marketplace or a till.
    pub source: String,
    /// The customer's contact details.
    pub person: Person,
}

/// Personal data in an event. All fields are optional, and none is used: customers are read from Norce Query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// E-mail address.
    pub email: Option<Personal>,
    /// Mobile telephone.
    pub cell_phone: Option<Personal>,
    /// First name.
    pub first_name: Option<Personal>,
    /// Last name.
    pub last_name: Option<Personal>,
}

macro_rules! entity_changed {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The table of Norce in which the change was made.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EntityChanged {
            $($(#[$doc])* $variant,)*
            /// An unknown table: Norce may add some.
            Other(String),
        }

        impl EntityChanged {
            /// Norce's own name.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            fn read(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(redact(other)),
                }
            }
        }
    };
}

entity_changed! {
    /// An account (login).
    ApplicationAccount = "tApplicationAccount",
    /// The customer itself.
    Customer = "tClientCustomer",
    /// An address of a customer.
    CustomerAddress = "tClientCustomerAddress",
    /// A division of a customer.
    CustomerDivision = "tClientCustomerDivision",
    /// A flag of a customer.
    CustomerFlag = "tClientCustomerFlag",
    /// Additional information of a customer.
    CustomerInfo = "tClientCustomerInfo",
    /// A price list of a customer.
    CustomerPriceList = "tClientCustomerPriceList",
    /// The company itself.
    Company = "tClientCompany",
    /// An address of a company.
    CompanyAddress = "tClientCompanyAddress",
    /// A delivery method of a company.
    CompanyDeliveryMethod = "tClientCompanyDeliveryMethod",
    /// A discount of a company.
    CompanyDiscount = "tClientCompanyDiscount",
    /// A division of a company.
    CompanyDivision = "tClientCompanyDivision",
    /// A flag of a company.
    CompanyFlag = "tClientCompanyFlag",
    /// Additional information of a company.
    CompanyInfo = "tClientCompanyInfo",
    /// A payment method of a company.
    CompanyPaymentMethod = "tClientCompanyPaymentMethod",
    /// A price list of a company.
    CompanyPriceList = "tClientCompanyPriceList",
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
                client_id: body.required("ClientId", INT)?,
                application: body.optional("ApplicationId", APPLICATION)?,
                customer: body.required("CustomerId", NORCE_ID)?,
                entity_changed: EntityChanged::read(&body.required("EntityChanged", TEXT)?),
            }),
            EventType::CompanyChanged => Self::CompanyChanged(CompanyChanged {
                client_id: body.required("ClientId", INT)?,
                application: body.optional("ApplicationId", APPLICATION)?,
                company: body.required("CompanyId", NORCE_ID)?,
                entity_changed: EntityChanged::read(&body.required("EntityChanged", TEXT)?),
            }),
            EventType::JobCompleted => Self::JobCompleted(JobCompleted {
                client_id: body.required("ClientId", INT)?,
                application: body.optional("ApplicationId", APPLICATION)?,
                job: JobId(body.required("JobId", LONG)?),
                status_id: body.required("StatusId", INT)?,
            }),
            EventType::OrderReceived => Self::OrderReceived(OrderReceived {
                client_id: body.required("ClientId", INT)?,
                application: body.required("ApplicationId", APPLICATION)?,
                client_order_ref: body.required("ClientOrderRef", TEXT)?,
                source: body.required("Source", TEXT)?,
                person: body.person(),
            }),
            EventType::OrderConfirmed => Self::OrderConfirmed(OrderConfirmed {
                client_id: body.required("ClientId", INT)?,
                application: body.required("ApplicationId", APPLICATION)?,
                order_id: body.required("OrderId", LONG)?,
                order_no: body.required("OrderNo", TEXT)?,
                client_order_ref: body.required("ClientOrderRef", TEXT)?,
                source: body.required("Source", TEXT)?,
                person: body.person(),
            }),
        })
    }
}

/// A parser of a value, and a description of what it expects.
type Read<T> = (fn(&Value) -> Option<T>, &'static str);

const INT: Read<i32> = (
    |value| serde_utils::whole_number(value)?.try_into().ok(),
    "a whole number of 32 bits",
);
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

struct Body(Map<String, Value>);

impl Body {
    fn optional<T>(
        &self,
        field: &'static str,
        (read, expected): Read<T>,
    ) -> Result<Option<T>, InvalidEvent> {
        match serde_utils::field(&self.0, field) {
            None => Ok(None),
            Some(Value::String(empty)) if empty.trim().is_empty() => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(InvalidEvent::Wrong { field, expected }),
            },
        }
    }

    fn required<T>(&self, field: &'static str, read: Read<T>) -> Result<T, InvalidEvent> {
        self.optional(field, read)?
            .ok_or(InvalidEvent::Missing(field))
    }

    /// Nothing of this is used, so an invalid value does not make the event invalid.
    fn person(&self) -> Person {
        let personal = |field| {
            serde_utils::field(&self.0, field)
                .and_then(serde_utils::text)
                .and_then(Personal::parse)
        };
        Person {
            email: personal("Email"),
            cell_phone: personal("CellPhone"),
            first_name: personal("FirstName"),
            last_name: personal("LastName"),
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn a_customer_change_is_read() {
        let body = r#"{"ClientId":1006,"ApplicationId":2,"CustomerId":5,"EntityChanged":"tClientCustomerAddress","New":1}"#;
        assert_eq!(
            parse(EventType::CustomerChanged, body),
            Ok(Event::CustomerChanged(CustomerChanged {
                client_id: 1006,
                application: Some(application(2)),
                customer: 5.try_into().unwrap(),
                entity_changed: EntityChanged::CustomerAddress,
            }))
        );
    }

    #[test]
    fn a_company_change_of_a_table_that_is_not_known_is_read() {
        let body = r#"{"ClientId":1006,"CompanyId":8,"EntityChanged":"tClientCompanyFuture"}"#;
        let Ok(Event::CompanyChanged(event)) = parse(EventType::CompanyChanged, body) else {
            panic!("not read");
        };
        assert_eq!((event.application, event.company.get()), (None, 8));
        assert_eq!(event.entity_changed.name(), "tClientCompanyFuture");
    }

    #[test]
    fn an_order_is_read_and_p11_its_person_is_not_shown() {
        let body = r#"{"ClientId":1006,"ApplicationId":1,"ClientOrderRef":"123456","Email":"anna@example.com",
            "CellPhone":"+46701234567","FirstName":"Anna","LastName":"Ek","Source":"WEB"}"#;
        let event = parse(EventType::OrderReceived, body).unwrap();
        insta::assert_debug_snapshot!(event, @r#"
        OrderReceived(
            OrderReceived {
                client_id: 1006,
                application: ApplicationId(
                    1,
                ),
                client_order_ref: "123456",
                source: "WEB",
                person: Person {
                    email: Some(
                        [personal],
                    ),
                    cell_phone: Some(
                        [personal],
                    ),
                    first_name: Some(
                        [personal],
                    ),
                    last_name: Some(
                        [personal],
                    ),
                },
            },
        )
        "#);
        let Event::OrderReceived(event) = event else {
            panic!("not an order");
        };
        assert_eq!(event.person.email, Personal::parse("anna@example.com"));
    }

    #[test]
    fn confirmed_orders_and_jobs_are_read() {
        let body = r#"{"ClientId":1,"ApplicationId":1,"OrderId":9876543210,"OrderNo":"S-1","ClientOrderRef":7,"Source":"WEB"}"#;
        let Ok(Event::OrderConfirmed(confirmed)) = parse(EventType::OrderConfirmed, body) else {
            panic!("not read");
        };
        assert_eq!(
            (confirmed.order_id, &*confirmed.client_order_ref),
            (9_876_543_210, "7")
        );
        let body = r#"{"clientId":1,"applicationId":null,"jobId":"55","statusId":2}"#;
        assert_eq!(
            parse(EventType::JobCompleted, body),
            Ok(Event::JobCompleted(JobCompleted {
                client_id: 1,
                application: None,
                job: JobId(55),
                status_id: 2,
            }))
        );
    }

    #[test]
    fn a_number_is_read_as_a_text_and_as_a_number() {
        let numbers = [
            r#"{"ClientId":1,"ApplicationId":2,"OrderId":77,"OrderNo":"8","ClientOrderRef":"9","Source":"WEB"}"#,
            r#"{"ClientId":"1","ApplicationId":" 2","OrderId":"77","OrderNo":8,"ClientOrderRef":9,"Source":"WEB"}"#,
        ];
        let [as_numbers, as_texts] =
            numbers.map(|body| parse(EventType::OrderConfirmed, body).unwrap());
        assert_eq!(as_numbers, as_texts);
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
            customer(r#"{"ClientId":1,"EntityChanged":"tClientCustomer"}"#),
            customer(r#"{"ClientId":1,"CustomerId":null,"EntityChanged":"tClientCustomer"}"#),
            customer(r#"{"ClientId":1,"CustomerId":"anna","EntityChanged":"tClientCustomer"}"#),
            customer(r#"{"ClientId":1,"CustomerId":0,"EntityChanged":"tClientCustomer"}"#),
            customer(
                r#"{"ClientId":1,"CustomerId":99999999999,"EntityChanged":"tClientCustomer"}"#,
            ),
            customer(r#"{"ClientId":1,"CustomerId":5,"EntityChanged":" "}"#),
            customer(r#"{"ClientId":1,"CustomerId":5,"EntityChanged":[]}"#),
            customer(r#"{"ClientId":1.5,"CustomerId":5,"EntityChanged":"t"}"#),
            order(r#"{"ClientId":1,"ClientOrderRef":"7","Source":"WEB"}"#),
            order(r#"{"ClientId":1,"ApplicationId":-4,"ClientOrderRef":"7","Source":"WEB"}"#),
        ];
        insta::assert_snapshot!(reasons.join("\n"), @"
        the body is not JSON (line 1, column 0)
        the body is not JSON (line 1, column 1)
        the body is not a JSON object
        the field `ClientId` is missing
        the field `CustomerId` is missing
        the field `CustomerId` is missing
        the field `CustomerId` is not an id
        the field `CustomerId` is not an id
        the field `CustomerId` is not an id
        the field `EntityChanged` is missing
        the field `EntityChanged` is not a text
        the field `ClientId` is not a whole number of 32 bits
        the field `ApplicationId` is missing
        the field `ApplicationId` is not the id of an application
        ");
    }

    #[test]
    fn a_strange_person_does_not_make_an_order_invalid() {
        let body = r#"{"ClientId":1,"ApplicationId":1,"ClientOrderRef":"7","Source":"WEB","Email":{},"CellPhone":46701234567}"#;
        let Ok(Event::OrderReceived(order)) = parse(EventType::OrderReceived, body) else {
            panic!("not read");
        };
        assert_eq!(order.person.email, None);
        assert_eq!(order.person.cell_phone, Personal::parse("46701234567"));
    }
}
