//! What an event costs as whole processes: the functions as `cargo lambda build --release` builds them, and twins of them in
//! Python and Node (`tests/benches/twins`), side by side in one run and in turns. Processor time, memory and start are those of
//! the function's process alone; the Runtime API, AWS and Norce are stand-ins on loopback, in this process.
//!
//! After `--`: the words `starts`, `receive` and `echo` choose parts, `--beside` with a directory measures the functions there as
//! well (`<function>/bootstrap`), `--built` takes the functions as the last build left them, `--without-twins` leaves out Python and Node, and `--without-session-token` signs with
//! credentials that are shorter than those of a function in AWS.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

mod flow;
#[path = "../measurement/mod.rs"]
mod measurement;
mod program;
mod stage;

use std::{path::PathBuf, time::Duration};

use flow::{ECHO, ECHO_OF_TEN, Flow, RECEIVE};
use measurement::{machine, median, micros, millis};
use program::{Language, Program};
use stage::Stage;
use tests::{lambda::runtime_api::FunctionProcess, local_aws::Tools};

const EMPTY: &str = "empty-function";
/// Starts of each program. They take turns, so that other load on the machine affects all alike.
const STARTS: usize = 21;
/// Rounds of a flow, in each of which every program takes its turn.
const ROUNDS: usize = 15;
/// Events of a program in a round.
const EVENTS: usize = 200;

/// What is to be measured, from the arguments.
struct Choice {
    words: Vec<String>,
    beside: Option<PathBuf>,
}

impl Choice {
    fn read() -> Self {
        let mut arguments = std::env::args().skip(1);
        let mut choice = Self {
            words: Vec::new(),
            beside: None,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--beside" => {
                    let directory = arguments.next().expect("--beside needs a directory");
                    choice.beside = Some(directory.into());
                }
                _ => choice.words.push(argument),
            }
        }
        choice
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|it| it == word)
    }

    /// Whether a part is to be measured: it is named, or none is.
    fn part(&self, name: &str) -> bool {
        self.has(name) || !["starts", "receive", "echo"].iter().any(|it| self.has(it))
    }
}

fn main() {
    let choice = Choice::read();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let say = |step: &str| println!("{step}");
        let tools = Tools::sam(say).await.expect("cargo-lambda is installed");
        let flows = [RECEIVE, ECHO, ECHO_OF_TEN];
        if !choice.has("--built") {
            let packages = ["receive-events", "change-events", EMPTY];
            let built = program::build(&tools, &packages).await;
            built.expect("the functions build");
        }
        let languages = if choice.has("--without-twins") {
            Vec::new()
        } else {
            program::languages().await
        };
        let stage = Stage::new(!choice.has("--without-session-token")).await;
        println!("\n{}", machine());
        if choice.part("starts") {
            starts(&stage, &flows[..2], &languages, &choice).await;
        }
        for flow in &flows {
            if choice.part(flow.word) {
                measure(&stage, flow, &languages, &choice).await;
            }
        }
    });
}

/// The programs of a flow, ours first.
fn programs(flow: &Flow, languages: &[Language], choice: &Choice) -> Vec<Program> {
    let ours = Program::ours("this version", &program::built(), flow.function);
    let beside = choice.beside.as_ref();
    let beside = beside.map(|directory| Program::ours("beside", directory, flow.function));
    let twins = languages.iter().map(|language| language.twin(flow.twin));
    [ours].into_iter().chain(beside).chain(twins).collect()
}

async fn started(program: &Program, stage: &Stage) -> FunctionProcess {
    let mut process = program.start(&stage.environment).await;
    let ready = process.until_ready().await;
    ready.unwrap_or_else(|error| panic!("{}: {error}", program.name));
    process
}

async fn starts(stage: &Stage, flows: &[Flow], languages: &[Language], choice: &Choice) {
    let mut all = vec![(
        EMPTY.to_owned(),
        Program::ours(EMPTY, &program::built(), EMPTY),
    )];
    for flow in flows {
        let programs = programs(flow, languages, choice);
        all.extend(programs.into_iter().map(|program| {
            let name = format!("{}, {}", flow.function, program.name);
            (name, program)
        }));
    }
    let mut samples = vec![(Vec::new(), Vec::new(), Vec::new()); all.len()];
    // An interpreter compiles modules on the first start.
    for (_, program) in &all {
        started(program, stage).await.end().await.expect("it ends");
    }
    for _ in 0..STARTS {
        for ((_, program), (times, processor, resident)) in all.iter().zip(&mut samples) {
            let mut process = program.start(&stage.environment).await;
            times.push(process.until_ready().await.expect("it is ready"));
            processor.push(process.processor_time_of_threads().expect("it runs"));
            resident.push(process.memory().expect("it runs").resident);
            process.end().await.expect("it ends");
        }
    }
    println!("\nfrom the start of the process to the first request for an event");
    println!(
        "{:<32} {:>9} {:>10} {:>7} {:>11} {:>7} {:>9}",
        "", "size", "start", "ratio", "processor", "ratio", "memory"
    );
    let medians: Vec<(Duration, Duration, u64)> = samples
        .into_iter()
        .map(|(times, processor, resident)| (median(times), median(processor), median(resident)))
        .collect();
    let (first_time, first_processor, _) = medians[0];
    for ((name, program), (time, processor, resident)) in all.iter().zip(medians) {
        println!(
            "{name:<32} {:>9} {:>10} {:>7.2} {:>11} {:>7.2} {:>9}",
            program.size().map_or("".to_owned(), megabytes),
            millis(time),
            ratio(time, first_time),
            millis(processor),
            ratio(processor, first_processor),
            megabytes(resident),
        );
    }
}

/// The figures of a program in a flow.
#[derive(Default)]
struct Figures {
    processor: Vec<Duration>,
    aws_calls: usize,
    norce_calls: u64,
    events: usize,
}

async fn measure(stage: &Stage, flow: &Flow, languages: &[Language], choice: &Choice) {
    let programs = programs(flow, languages, choice);
    let mut processes = Vec::with_capacity(programs.len());
    for program in &programs {
        let mut process = started(program, stage).await;
        flow.prepare(stage, program, &mut process).await;
        flow.run(stage, program, &mut process, EVENTS).await;
        processes.push(process);
    }
    let mut figures: Vec<Figures> = programs.iter().map(|_| Figures::default()).collect();
    for _ in 0..ROUNDS {
        for ((program, process), figures) in programs.iter().zip(&mut processes).zip(&mut figures) {
            stage.aws.take_requests();
            let norce_before = stage.norce_calls();
            let before = process.processor_time_of_threads().expect("it runs");
            flow.run(stage, program, process, EVENTS).await;
            let after = process.processor_time_of_threads().expect("it runs");
            let events = u32::try_from(EVENTS).unwrap_or(u32::MAX);
            figures
                .processor
                .push(after.saturating_sub(before) / events);
            figures.aws_calls += stage.aws.take_requests().len();
            figures.norce_calls += stage.norce_calls() - norce_before;
            figures.events += EVENTS;
        }
    }
    println!("\n{}; {}", flow.title, machine());
    println!(
        "{:<32} {:>11} {:>17} {:>7} {:>10} {:>12} {:>9} {:>9}",
        "", "processor", "from … to", "ratio", "AWS calls", "Norce calls", "memory", "peak"
    );
    let ours = median(figures[0].processor.clone());
    for ((program, process), figures) in programs.iter().zip(processes).zip(figures) {
        let memory = process.memory().expect("it runs");
        let (lowest, highest) = (
            figures.processor.iter().min().copied().unwrap_or_default(),
            figures.processor.iter().max().copied().unwrap_or_default(),
        );
        let processor = median(figures.processor);
        println!(
            "{:<32} {:>11} {:>17} {:>7.2} {:>10.2} {:>12.2} {:>9} {:>9}",
            program.name,
            micros(processor),
            format!(
                "{:.0} … {:.0}",
                lowest.as_secs_f64() * 1e6,
                highest.as_secs_f64() * 1e6
            ),
            ratio(processor, ours),
            each(figures.aws_calls as f64, figures.events),
            each(figures.norce_calls as f64, figures.events),
            megabytes(memory.resident),
            megabytes(memory.peak),
        );
        process.end().await.expect("it ends");
    }
}

fn ratio(time: Duration, first: Duration) -> f64 {
    time.as_secs_f64() / first.as_secs_f64()
}

fn each(calls: f64, events: usize) -> f64 {
    calls / events as f64
}

/// Millions of bytes.
fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
