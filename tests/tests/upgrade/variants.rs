//! Every variant of everything that is stored or sent, with the version that introduced it. A new variant does not
//! compile until it stands here with its version, and from that version on it needs a fixture.
//!
//! What only `erp-full-pass` knows of a pass in the middle is tested in the same way there (`src/upgrade.rs`).

use std::{collections::BTreeSet, fmt::Debug};

use shared::{
    domain::{
        Breaker, Cause, ChangeMessage, EntityKind, FieldGroup, JobMessage, OrderKey, PassMessage,
        PassMode, Resource, Scope,
    },
    import_jobs::BatchState,
    mappings::{CodeDelivery, Mapping},
    owed::{Reason, Stage, Subject},
};

use crate::v0_2_0::{self as newest, stores};

/// Variants and the versions that brought them.
type Since = &'static [(&'static str, &'static str)];

/// Those that every version up to this one has, and that none of the values is, are missing.
fn missing<T>(
    version: &str,
    values: impl IntoIterator<Item = T>,
    (name, since): (impl Fn(&T) -> &'static str, Since),
) -> Vec<&'static str> {
    let there: BTreeSet<&str> = values.into_iter().map(|value| name(&value)).collect();
    let wanted = since.iter().filter(|(_, of)| number(of) <= number(version));
    wanted
        .map(|(variant, _)| *variant)
        .filter(|variant| !there.contains(variant))
        .collect()
}

/// `0.10.0` comes after `0.9.0`.
fn number(version: &str) -> Vec<u64> {
    version
        .split('.')
        .map(|part| {
            part.parse()
                .unwrap_or_else(|_| panic!("{version} is no version"))
        })
        .collect()
}

/// A function that names the variant of a value, and the list of all of them.
macro_rules! variants {
    ($($since:literal: $pattern:pat),+ $(,)?) => {
        (
            |value: &_| match value {
                $($pattern => stringify!($pattern),)+
            },
            &[$((stringify!($pattern), $since)),+],
        )
    };
}

fn assert_none(what: &str, missing: &[impl Debug]) {
    assert!(
        missing.is_empty(),
        "no fixture of {what} {missing:?}: see tests/fixtures/README.md"
    );
}

/// Whether the values of the newest fixtures are of every variant that the version has.
pub(crate) fn assert_all_are_there(version: &str) {
    assert_changes(version);
    assert_causes(version);
    assert_imports(version);
    assert_jobs(version);
    assert_passes(version);
    assert_mappings(version);
    assert_owed(version);
    assert_breakers(version);
}

fn assert_changes(version: &str) {
    let changes = || newest::changes().into_iter().map(|(_, message)| message);
    let all: (_, Since) = variants! {
        "0.1.0": ChangeMessage::Entity { .. },
        "0.1.0": ChangeMessage::Order { .. },
    };
    assert_none("ChangeMessage", &missing(version, changes(), all));

    let orders = changes().filter_map(|message| match message {
        ChangeMessage::Order { order, .. } => Some(order),
        ChangeMessage::Entity { .. } => None,
    });
    let all: (_, Since) = variants! {
        "0.1.0": OrderKey::Id(_),
        "0.1.0": OrderKey::ClientOrderRef(_),
    };
    assert_none("OrderKey", &missing(version, orders, all));
}

/// Causes are in messages and in owed records.
fn assert_causes(version: &str) {
    let changes = newest::changes().into_iter().map(|(_, message)| message);
    let causes = changes.filter_map(|message| match message {
        ChangeMessage::Entity { cause, .. } => Some(cause),
        ChangeMessage::Order { .. } => None,
    });
    let all = || -> (_, Since) {
        variants! {
            "0.1.0": Cause::Changed,
            "0.1.0": Cause::Ordered,
            "0.1.0": Cause::ContactOfCompany,
        }
    };
    assert_none("Cause", &missing(version, causes, all()));
    let causes = stores::owed().into_iter().filter_map(|owed| owed.cause);
    assert_none("Cause of Owed", &missing(version, causes, all()));
}

fn assert_imports(version: &str) {
    let imports = || newest::imports().into_iter().map(|(_, message)| message);
    let lines = || imports().flat_map(|request| request.lines);
    let kinds = imports().map(|request| request.kind);
    let all: (_, Since) = variants! {
        "0.1.0": EntityKind::Customer,
        "0.1.0": EntityKind::Company,
    };
    assert_none("EntityKind", &missing(version, kinds, all));

    let scopes = imports().map(|request| request.scope);
    let all: (_, Since) = variants! {
        "0.1.0": Scope::Client,
        "0.1.0": Scope::Application(_),
    };
    assert_none("Scope", &missing(version, scopes, all));

    let resources = lines().filter_map(|line| Some(line.record?.resource));
    let all: (_, Since) = variants! {
        "0.1.0": Resource::Customer,
        "0.1.0": Resource::Contact,
    };
    assert_none("Resource", &missing(version, resources, all));

    let groups = lines().flat_map(|line| line.fields.iter().collect::<Vec<_>>());
    let all: (_, Since) = variants! {
        "0.1.0": FieldGroup::Code,
        "0.1.0": FieldGroup::Names,
        "0.1.0": FieldGroup::ContactDetails,
        "0.1.0": FieldGroup::InvoiceAddress,
        "0.1.0": FieldGroup::DeliveryAddresses,
        "0.1.0": FieldGroup::PriceLists,
        "0.1.0": FieldGroup::Active,
        "0.1.0": FieldGroup::Flags,
        "0.1.0": FieldGroup::AdditionalInfo,
        "0.1.0": FieldGroup::CompanyRelations,
        "0.3.0": FieldGroup::OrganisationNumber,
        "0.3.0": FieldGroup::VatNumber,
    };
    assert_none("FieldGroup", &missing(version, groups, all));
}

fn assert_jobs(version: &str) {
    let jobs = newest::jobs().into_iter().map(|(_, message)| message);
    let all: (_, Since) = variants! {
        "0.1.0": JobMessage::Poll { .. },
        "0.1.0": JobMessage::Completed { .. },
    };
    assert_none("JobMessage", &missing(version, jobs, all));

    let states = stores::batches().into_iter().map(|batch| batch.state);
    let all: (_, Since) = variants! {
        "0.1.0": BatchState::Submitting,
        "0.1.0": BatchState::Submitted { .. },
        "0.1.0": BatchState::Settled,
    };
    assert_none("BatchState", &missing(version, states, all));
}

fn assert_passes(version: &str) {
    let passes = || newest::passes().into_iter().map(|(_, message)| message);
    let all: (_, Since) = variants! {
        "0.1.0": PassMessage::Start { .. },
        "0.1.0": PassMessage::Continue { .. },
        "0.1.0": PassMessage::ContinuePlan { .. },
        // Sent only where `ErpEvents` is on, which no version before has.
        "0.3.0": PassMessage::ErpChanged { .. },
    };
    assert_none("PassMessage", &missing(version, passes(), all));

    let modes = || -> (_, Since) {
        variants! {
            "0.1.0": PassMode::Delta,
            "0.1.0": PassMode::Full,
            "0.1.0": PassMode::Sweep,
        }
    };
    let started = passes().filter_map(|message| match message {
        PassMessage::Start { mode, .. } => Some(mode),
        PassMessage::Continue { .. }
        | PassMessage::ContinuePlan { .. }
        | PassMessage::ErpChanged { .. } => None,
    });
    assert_none("PassMode", &missing(version, started, modes()));
    let runs = stores::runs().into_iter().map(|run| run.mode);
    assert_none("PassMode of Run", &missing(version, runs, modes()));
}

fn assert_mappings(version: &str) {
    let deliveries = stores::bindings()
        .into_iter()
        .map(|(_, binding)| binding.delivery);
    let all: (_, Since) = variants! {
        "0.1.0": CodeDelivery::Pending,
        "0.1.0": CodeDelivery::HandedOver { .. },
        "0.1.0": CodeDelivery::Confirmed { .. },
        "0.1.0": CodeDelivery::Refused { .. },
    };
    assert_none("CodeDelivery", &missing(version, deliveries, all));

    let mappings = [
        Mapping::Reserved(stores::reservation()),
        Mapping::Bound(stores::bindings().remove(0).1),
        // `stores::write_mappings` forgets somebody.
        Mapping::Forgotten,
    ];
    let all: (_, Since) = variants! {
        "0.1.0": Mapping::Reserved(_),
        "0.1.0": Mapping::Bound(_),
        "0.1.0": Mapping::Forgotten,
    };
    assert_none("Mapping", &missing(version, mappings, all));
}

fn assert_owed(version: &str) {
    let owed = stores::owed;
    let subjects = owed().into_iter().map(|owed| owed.subject);
    let all: (_, Since) = variants! {
        "0.1.0": Subject::Entity(_),
        "0.1.0": Subject::Record { .. },
        "0.1.0": Subject::Order { .. },
    };
    assert_none("Subject", &missing(version, subjects, all));

    let stages = owed().into_iter().map(|owed| owed.stage);
    let all: (_, Since) = variants! {
        "0.1.0": Stage::ToErp,
        "0.1.0": Stage::CodeToNorce,
        "0.1.0": Stage::FieldsToNorce,
    };
    assert_none("Stage", &missing(version, stages, all));

    let reasons = owed().into_iter().map(|owed| owed.reason);
    let all: (_, Since) = variants! {
        "0.1.0": Reason::Validation,
        "0.1.0": Reason::Conflict,
        "0.1.0": Reason::MissingPrerequisite,
        "0.1.0": Reason::Ambiguous,
        "0.1.0": Reason::RemoteFault,
        "0.1.0": Reason::TimedOut,
        "0.1.0": Reason::Forgotten,
        // Written beside a class that 0.2.0 knows; the variant itself is in no item.
        "0.3.0": Reason::Warned,
    };
    assert_none("Reason", &missing(version, reasons, all));
}

fn assert_breakers(version: &str) {
    let breakers = stores::breakers().into_iter().map(|(_, breaker)| breaker);
    let all: (_, Since) = variants! {
        "0.1.0": Breaker::Closed,
        "0.1.0": Breaker::Open { .. },
        "0.1.0": Breaker::Probing { .. },
        "0.1.0": Breaker::Recovering { .. },
    };
    assert_none("Breaker", &missing(version, breakers, all));
}
