//! Runs on paused time: single ones, and those in which chance decides, each repeatable by its seed.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "for suites of tests: a failure is to be loud, with the seed"
)]

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Runs work on paused time: time moves on at once when everything waits for it.
///
/// # Panics
/// When the machine has no room for a runtime.
pub fn on_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread");
    runtime.block_on(work)
}

/// Plays one run for each seed, on all cores. A failed run prints the command that repeats it.
///
/// Three environment variables change what is played: `FAULT_SEED` plays that seed only, `FAULT_FIRST` is the first seed
/// (0), and `FAULT_RUNS` replaces `runs`.
///
/// # Panics
/// With the panic of the run that failed, and when a variable is not a number.
pub fn play(suite: &str, runs: u64, run: impl Fn(u64) + Sync) {
    if let Some(seed) = number("FAULT_SEED") {
        run(seed);
        return;
    }
    let runs = number("FAULT_RUNS").unwrap_or(runs);
    let first = number("FAULT_FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let one = || {
            while let seed = next.fetch_add(1, Ordering::Relaxed)
                && seed < first + runs
            {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                    eprintln!("to repeat: FAULT_SEED={seed} cargo test -p tests --test {suite}");
                    resume_unwind(panic);
                }
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        for thread in all {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
