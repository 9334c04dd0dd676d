//! What version 0.1.0 sent and stored. The values are what its fixtures mean: a field that a later version adds has here
//! the value that stands for its absence.

pub(crate) mod stores;

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::{
    ApplicationId, Cause, ChangeMessage, Code, EntityKind, EntityRef, ErpId, FieldGroup,
    FieldGroups, ImportLine, ImportRequest, JobMessage, NorceId, OrderKey, PassMessage, PassMode,
    Resource, Scope,
};
use uuid::Uuid;

/// A moment, some minutes after an arbitrary one, with a fraction of a second that has to survive.
pub(crate) fn minute(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_424_400, 123_456_789).unwrap() + TimeDelta::minutes(minutes)
}

pub(crate) fn id(id: i64) -> NorceId {
    NorceId::try_from(id).unwrap()
}

pub(crate) fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// The register of an application.
pub(crate) fn shop() -> Scope {
    Scope::Application(application())
}

pub(crate) fn application() -> ApplicationId {
    ApplicationId::try_from(2).unwrap()
}

pub(crate) fn customer(number: i64) -> EntityRef {
    EntityRef::customer(Scope::Client, id(number))
}

pub(crate) fn company(number: i64) -> EntityRef {
    EntityRef::company(shop(), id(number))
}

pub(crate) fn record(resource: Resource, number: u128) -> ErpId {
    ErpId {
        resource,
        id: Uuid::from_u128(number).to_string(),
    }
}

pub(crate) const CORRELATION: Uuid = Uuid::from_u128(0xc0);

fn entity(entity: EntityRef, cause: Cause) -> ChangeMessage {
    ChangeMessage::Entity {
        entity,
        cause,
        received_at: minute(0),
        ordered_at: None,
        correlation: CORRELATION,
    }
}

fn order(order: OrderKey) -> ChangeMessage {
    ChangeMessage::Order {
        order,
        application: application(),
        received_at: minute(0),
        correlation: CORRELATION,
    }
}

/// The messages of `changes`.
pub(crate) fn changes() -> Vec<(&'static str, ChangeMessage)> {
    vec![
        ("changed", entity(customer(1), Cause::Changed)),
        ("ordered", entity(company(2), Cause::Ordered)),
        ("contact", entity(customer(3), Cause::ContactOfCompany)),
        ("order-by-id", order(OrderKey::Id(4))),
        (
            "order-by-reference",
            order(OrderKey::ClientOrderRef("basket å 5".to_owned())),
        ),
    ]
}

/// A line of a bare code.
pub(crate) fn code_line() -> ImportLine {
    ImportLine::code(id(1), code("C001"), CORRELATION)
}

/// All groups that there were.
fn groups() -> FieldGroups {
    let numbers = FieldGroups::of(&[FieldGroup::OrganisationNumber, FieldGroup::VatNumber]);
    FieldGroups::of(&FieldGroup::ALL).without(numbers)
}

/// A line that says everything that a line can say of a customer.
pub(crate) fn full_line() -> ImportLine {
    ImportLine {
        id: Some(id(2)),
        fields: groups(),
        record: Some(record(Resource::Contact, 0xe2)),
        company: Some(id(7)),
        ..code_line()
    }
}

/// A line of a record that Norce does not have.
pub(crate) fn insert_line() -> ImportLine {
    ImportLine {
        id: None,
        code: code("C003"),
        fields: FieldGroups::of(&[FieldGroup::Code, FieldGroup::Names]),
        record: Some(record(Resource::Customer, 0xe3)),
        ..code_line()
    }
}

/// A line that only adds contacts to a company.
pub(crate) fn contacts_line() -> ImportLine {
    ImportLine {
        id: Some(id(8)),
        fields: FieldGroups::NONE,
        contacts: vec![id(1), id(2)],
        ..code_line()
    }
}

/// The messages of `imports`.
pub(crate) fn imports() -> Vec<(&'static str, ImportRequest)> {
    let codes = ImportRequest {
        kind: EntityKind::Customer,
        scope: Scope::Client,
        lines: vec![code_line()],
        alone: false,
        since: None,
    };
    vec![
        (
            "alone",
            ImportRequest {
                alone: true,
                since: Some(minute(-30)),
                ..codes.clone()
            },
        ),
        (
            "everything",
            ImportRequest {
                lines: vec![code_line(), full_line(), insert_line()],
                ..codes.clone()
            },
        ),
        (
            "companies",
            ImportRequest {
                kind: EntityKind::Company,
                scope: shop(),
                lines: vec![contacts_line()],
                ..codes.clone()
            },
        ),
        ("codes", codes),
    ]
}

/// The messages of `jobs`.
pub(crate) fn jobs() -> Vec<(&'static str, JobMessage)> {
    vec![
        (
            "poll",
            JobMessage::Poll {
                batch: Uuid::from_u128(0xba),
                attempt: 3,
            },
        ),
        ("completed", JobMessage::Completed { job: 4711 }),
    ]
}

fn start(mode: PassMode, scope: Scope, kind: Option<EntityKind>, dry_run: bool) -> PassMessage {
    PassMessage::Start {
        run: Uuid::from_u128(0x4),
        scope,
        mode,
        kind,
        dry_run,
    }
}

/// The messages of `passes`. Those of plans that go on are among the fixtures of passes in the middle.
pub(crate) fn passes() -> Vec<(&'static str, PassMessage)> {
    let customers = Some(EntityKind::Customer);
    vec![
        ("delta", start(PassMode::Delta, Scope::Client, None, false)),
        (
            "full-plan",
            start(PassMode::Full, Scope::Client, customers, true),
        ),
        ("sweep", start(PassMode::Sweep, shop(), None, false)),
        (
            "continue",
            PassMessage::Continue {
                run: Uuid::from_u128(0x4),
            },
        ),
        (
            "continue-plan",
            PassMessage::ContinuePlan {
                run: "{\"its\":\"record\"}".to_owned(),
            },
        ),
    ]
}
