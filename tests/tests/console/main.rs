//! The server of the console: sign-in, the permissions of a person, and the answers to everything else.
//!
//! The console runs as API Gateway calls it, with a provider that signs with real keys and an operator that records its
//! requests. The checks are those of its specification.

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
