//! The console's server: who gets in, what a person may do, and what becomes of everything else.
//!
//! The console runs as API Gateway calls it, with a provider that signs with real keys and an operator that notes what it is
//! asked. The checks are those of its specification.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and sizes are to be read"
)]

mod answers;
mod operator;
mod origin;
mod page;
mod roles;
mod sealing;
mod sign_in;
