//! The Norce clients against the Norce simulator, in one process: with a Query that writes ids as numbers, with one that
//! writes them as texts, and with one that writes 0 where a reference names nothing (norce-api §5.1).
#![allow(
    clippy::duplicate_mod,
    clippy::unwrap_used,
    reason = "the suite is there several times, and what its tests share is test code too, but stands outside their functions"
)]

#[path = "suite.rs"]
mod ids_as_numbers;
#[path = "suite.rs"]
mod ids_as_texts;
#[path = "suite.rs"]
mod zeros_for_none;
