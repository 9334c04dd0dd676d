//! The Norce clients against the Norce simulator, in one process: once with a Query that writes ids as numbers, and once with
//! one that writes them as texts (norce-api §5.1).
#![allow(
    clippy::duplicate_mod,
    clippy::unwrap_used,
    reason = "the suite is there twice, and what its tests share is test code too, but stands outside their functions"
)]

#[path = "suite.rs"]
mod ids_as_numbers;
#[path = "suite.rs"]
mod ids_as_texts;
