//! One file for each action: its request, its answer, and what it does.

pub(crate) mod activity;
pub(crate) mod binding;
pub(crate) mod dead_letters;
pub(crate) mod explain;
pub(crate) mod export_mappings;
pub(crate) mod forget;
pub(crate) mod help;
pub(crate) mod history;
pub(crate) mod import_mappings;
pub(crate) mod jobs;
pub(crate) mod owed;
pub(crate) mod pass;
pub(crate) mod plan;
pub(crate) mod replay;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod trial;
