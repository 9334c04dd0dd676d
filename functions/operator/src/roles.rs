//! The role that a user of the console needs for each request. Callers with AWS credentials need none.

use shared::activity::Role;

use crate::{
    Request,
    actions::{dead_letters::DeadLettersAction, owed::OwedAction, replay::ReplayRequest},
};

/// The maximum number of entities that the role `act` may replay by name: about as many as a person has looked at. More need the
/// role `admin`, as a time range does.
pub const MAX_NAMED: usize = 100;

impl Request {
    /// The lowest role that may make it.
    pub fn needed_role(&self) -> Role {
        match self {
            Self::Help {}
            | Self::Doctor(_)
            | Self::Status {}
            | Self::Explain(_)
            | Self::Activity(_)
            | Self::Runs(_)
            | Self::History(_)
            | Self::Jobs(_) => Role::View,
            Self::Owed(request) => match request.r#do {
                OwedAction::List => Role::View,
                OwedAction::Retry | OwedAction::Dismiss | OwedAction::Restore => Role::Act,
            },
            Self::DeadLetters(request) => match request.r#do {
                DeadLettersAction::Count => Role::View,
                // Reading bodies is for people who act on them.
                DeadLettersAction::Show => Role::Act,
                DeadLettersAction::Redrive => Role::Admin,
            },
            Self::Replay(request) => of_replay(request),
            Self::Plan(request) if request.show.is_some() => Role::View,
            Self::Plan(_)
            | Self::Pass(_)
            | Self::Trial(_)
            | Self::Forget(_)
            | Self::Unbind(_)
            | Self::Rebind(_)
            | Self::ExportMappings(_)
            | Self::ImportMappings(_) => Role::Admin,
        }
    }
}

/// Entities by name are those that the person has seen; anything else is a time range.
fn of_replay(request: &ReplayRequest) -> Role {
    let ReplayRequest {
        entity,
        entities,
        since,
        until,
        kind,
        application,
        after,
        cause: _,
        dry_run: _,
    } = request;
    let is_range = since.is_some()
        || until.is_some()
        || kind.is_some()
        || application.is_some()
        || after.is_some();
    let named = usize::from(entity.is_some()) + entities.len();
    match !is_range && (1..=MAX_NAMED).contains(&named) {
        true => Role::Act,
        false => Role::Admin,
    }
}
