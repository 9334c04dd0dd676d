//! What version 0.2.0 sends and stores: what 0.1.0 did, and when the order was received that a message or an import line
//! goes back to. What waits stands in 16 items instead of one, which the values do not show.

pub(crate) use super::v0_1_0::{jobs, passes};

use shared::domain::{Cause, ChangeMessage, ImportLine, ImportRequest};

use super::v0_1_0::{self, CORRELATION, code_line, customer, full_line, minute};

fn ordered(line: ImportLine) -> ImportLine {
    ImportLine {
        ordered_at: Some(minute(-2)),
        ..line
    }
}

/// The messages of `changes`.
pub(crate) fn changes() -> Vec<(&'static str, ChangeMessage)> {
    let of_an_order = ChangeMessage::Entity {
        entity: customer(6),
        cause: Cause::Ordered,
        received_at: minute(0),
        ordered_at: Some(minute(-2)),
        correlation: CORRELATION,
    };
    let mut messages = v0_1_0::changes();
    messages.push(("of-an-order", of_an_order));
    messages
}

/// The messages of `imports`.
pub(crate) fn imports() -> Vec<(&'static str, ImportRequest)> {
    let mut messages = v0_1_0::imports();
    let (_, codes) = messages[0].clone();
    let of_orders = ImportRequest {
        alone: false,
        since: None,
        lines: vec![ordered(code_line()), code_line(), ordered(full_line())],
        ..codes
    };
    messages.push(("of-orders", of_orders));
    messages
}

/// The tables.
pub(crate) mod stores {
    pub(crate) use crate::v0_1_0::stores::{
        bindings, breakers, breakers_are_as_they_were, mappings_are_as_they_were,
        orders_are_as_they_were, owed, owed_records_are_as_they_were, passes_are_as_they_were,
        reservation, runs, write_breakers, write_mappings, write_orders, write_owed_records,
        write_passes,
    };

    use chrono::SubsecRound as _;
    use shared::import_jobs::{BatchState, ImportBatch, ImportJobs};
    use uuid::Uuid;

    use super::{ImportLine, code_line, full_line, ordered};
    use crate::v0_1_0::{self, stores};

    /// Whole seconds are kept.
    fn kept(line: ImportLine) -> ImportLine {
        ImportLine {
            ordered_at: line.ordered_at.map(|at| at.trunc_subsecs(0)),
            ..line
        }
    }

    fn of_orders() -> ImportBatch {
        ImportBatch {
            id: Uuid::from_u128(0xb4),
            state: BatchState::Submitting,
            lines: vec![ordered(code_line()), code_line(), ordered(full_line())],
            ..stores::batches().remove(0)
        }
    }

    /// Batches in every state.
    pub(crate) fn batches() -> Vec<ImportBatch> {
        let mut batches = stores::batches();
        batches.push(of_orders());
        batches
    }

    /// Writes what is to be found again.
    pub(crate) async fn write_import_jobs(store: &dyn ImportJobs) {
        stores::write_import_jobs(store).await;
        store.record(&of_orders()).await.unwrap();
    }

    /// What the answers are.
    pub(crate) async fn import_jobs_are_as_they_were(store: &dyn ImportJobs) {
        let of_orders = of_orders();
        let stored = store.get(of_orders.id).await.unwrap().unwrap();
        let lines: Vec<ImportLine> = of_orders.lines.into_iter().map(kept).collect();
        assert_eq!(stored.lines, lines);
        store.settle(of_orders.id).await.unwrap();
        v0_1_0::stores::import_jobs_are_as_they_were(store).await;
    }
}
