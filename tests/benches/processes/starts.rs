//! From the start of a process to its first request for an event.

use std::time::Duration;

use super::{
    Choice,
    flow::{FLOWS, Flow},
    measurement::{median, megabytes, millis, ratio},
    program::{Language, Program, built},
    programs, started,
};

/// A function that does nothing.
pub(crate) const EMPTY: &str = "empty-function";
/// Starts of each program. They take turns, so that other load on the machine affects all alike.
const STARTS: usize = 21;
/// The words of the flows whose programs are started: the first of each function that has twins.
const WITH_TWINS: [&str; 2] = ["receive", "echo"];

/// The flows whose programs are started.
pub(crate) fn flows() -> impl Iterator<Item = &'static Flow> {
    let first = |word: &&str| FLOWS.iter().find(|flow| flow.word == *word);
    WITH_TWINS.iter().filter_map(first)
}

/// Measures and prints.
pub(crate) async fn measure(languages: &[Language], choice: &Choice) {
    // Before the first event a function calls at most Secrets Manager, which is measured without TLS.
    let stage = choice.stage(false).await;
    let mut all = vec![(EMPTY.to_owned(), Program::ours(EMPTY, &built(), EMPTY))];
    for flow in flows() {
        let mut programs = programs(flow, languages, choice, &stage);
        // `receive-events` finds all names in its variables.
        if flow.function != "receive-events" {
            programs.insert(1, programs[0].with_names_in_secret());
        }
        all.extend(programs.into_iter().map(|program| {
            let name = format!("{}, {}", flow.function, program.name);
            (name, program)
        }));
    }
    let mut samples = vec![(Vec::new(), Vec::new(), Vec::new()); all.len()];
    // An interpreter compiles modules on the first start.
    for (_, program) in &all {
        started(program, &stage).await.end().await.expect("it ends");
    }
    for _ in 0..STARTS {
        for ((_, program), (times, processor, resident)) in all.iter().zip(&mut samples) {
            let mut process = program.start(&stage).await;
            times.push(process.until_ready().await.expect("it is ready"));
            processor.push(process.processor_time_of_threads().expect("it runs"));
            resident.push(process.memory().expect("it runs").resident);
            process.end().await.expect("it ends");
        }
    }
    println!("\nfrom the start of the process to the first request for an event");
    println!(
        "{:<48} {:>9} {:>10} {:>7} {:>11} {:>7} {:>9}",
        "", "size", "start", "ratio", "processor", "ratio", "memory"
    );
    let medians: Vec<(Duration, Duration, u64)> = samples
        .into_iter()
        .map(|(times, processor, resident)| (median(times), median(processor), median(resident)))
        .collect();
    let (first_time, first_processor, _) = medians[0];
    for ((name, program), (time, processor, resident)) in all.iter().zip(medians) {
        println!(
            "{name:<48} {:>9} {:>10} {:>7.2} {:>11} {:>7.2} {:>9}",
            program.size().map_or("".to_owned(), megabytes),
            millis(time),
            ratio(time, first_time),
            millis(processor),
            ratio(processor, first_processor),
            megabytes(resident),
        );
    }
}
