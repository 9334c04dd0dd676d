//! What an event costs as whole processes: the functions as `cargo lambda build --release` builds them, and twins of them in
//! Python and Node (`tests/benches/twins`), side by side in one run and in turns. Processor time, memory and start are those of
//! the function's process alone; the Runtime API, AWS and Norce are stand-ins on loopback, in this process.
//!
//! After `--`, words choose parts: `starts`, and those of the flows in `flow.rs`; none: all of them. The options:
//!
//! * `--built` takes the functions as the last build left them;
//! * `--beside` with a directory measures the functions there as well (`<function>/bootstrap`);
//! * `--without-twins` leaves out Python and Node;
//! * `--rounds` with a number measures so many rounds of every flow;
//! * `--tls` measures every program once more, with TLS to AWS, Norce and the ERP;
//! * `--instructions` counts instructions of our functions under Valgrind in place of rounds;
//! * `--without-session-token` signs with credentials that are shorter than those of a function in AWS.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

#[path = "../../tests/binaries/authority.rs"]
mod authority;
mod flow;
mod instructions;
#[path = "../measurement/mod.rs"]
mod measurement;
mod program;
mod rounds;
mod stage;
mod starts;
mod tls;

use std::{collections::BTreeSet, path::PathBuf};

use flow::{FLOWS, Flow};
use measurement::machine;
use program::{Language, Program};
use stage::Stage;
use tests::{lambda::runtime_api::FunctionProcess, local_aws::Tools};

/// The word of the part that measures starts.
const STARTS: &str = "starts";
/// Rounds of a flow, in each of which every program takes its turn.
const ROUNDS: usize = 15;

/// What is to be measured, from the arguments.
struct Choice {
    words: Vec<String>,
    beside: Option<PathBuf>,
    rounds: usize,
}

impl Choice {
    fn read() -> Self {
        let mut arguments = std::env::args().skip(1);
        let mut choice = Self {
            words: Vec::new(),
            beside: None,
            rounds: ROUNDS,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--beside" => {
                    choice.beside = Some(measurement::beside(arguments.next()));
                }
                "--rounds" => {
                    let rounds = arguments.next().and_then(|number| number.parse().ok());
                    choice.rounds = rounds.expect("--rounds needs a number");
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
        let mut parts = FLOWS.iter().map(|flow| flow.word).chain([STARTS]);
        self.has(name) || !parts.any(|it| self.has(it))
    }

    /// The chosen flows.
    fn flows(&self) -> impl Iterator<Item = &'static Flow> {
        FLOWS.iter().filter(|flow| self.part(flow.word))
    }

    /// A stage. Each flow has one of its own, so that none is slowed down by what another left behind.
    async fn stage(&self, tls: bool) -> Stage {
        Stage::new(!self.has("--without-session-token"), tls).await
    }

    /// Whether programs are measured with TLS as well.
    fn tls(&self) -> bool {
        self.has("--tls")
    }
}

fn main() {
    let choice = Choice::read();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        if !choice.has("--built") {
            let say = |step: &str| println!("{step}");
            let tools = Tools::sam(say).await.expect("cargo-lambda is installed");
            let built = program::build(&tools, &functions(&choice)).await;
            built.expect("the functions build");
        }
        if choice.has("--instructions") && instructions::are_counted(&choice).await {
            return;
        }
        let languages = if choice.has("--without-twins") {
            Vec::new()
        } else {
            program::languages().await
        };
        println!("\n{}", machine());
        if choice.part(STARTS) {
            starts::measure(&languages, &choice).await;
        }
        for flow in choice.flows() {
            rounds::measure(flow, &languages, &choice).await;
        }
    });
}

/// The functions that are measured, or send what others begin with.
fn functions(choice: &Choice) -> Vec<&'static str> {
    let mut all = BTreeSet::from(["change-events", "submit-imports"]);
    let mut flows: Vec<_> = choice.flows().collect();
    if choice.part(STARTS) {
        all.insert(starts::EMPTY);
        flows.extend(starts::flows());
    }
    all.extend(flows.iter().map(|flow| flow.function));
    all.extend(flows.iter().filter_map(|flow| flow.calls_alone));
    all.into_iter().collect()
}

/// The versions of our function in a flow, this one first, and the function that only makes its calls.
fn versions(flow: &Flow, choice: &Choice) -> impl Iterator<Item = Program> {
    let ours = Program::ours("this version", &program::built(), flow.function);
    let beside = choice.beside.as_ref();
    let beside = beside.map(|directory| Program::ours("beside", directory, flow.function));
    let calls_alone = flow.calls_alone;
    let calls_alone =
        calls_alone.map(|function| Program::ours("its calls alone", &program::built(), function));
    [ours]
        .into_iter()
        .chain(beside.filter(Program::exists))
        .chain(calls_alone)
}

/// The programs of a flow, ours first.
fn programs(flow: &Flow, languages: &[Language], choice: &Choice, stage: &Stage) -> Vec<Program> {
    let twins = flow.twins.iter().flat_map(|twin| {
        let twins = languages.iter().map(|language| language.twin(*twin));
        twins.collect::<Vec<_>>()
    });
    let plain = versions(flow, choice).chain(twins);
    let with_tls = plain.flat_map(|program| {
        let over_tls = stage.tls.as_ref().map(|tls| program.over_tls(tls));
        let over_tls = over_tls.map(|program| program.expect("a function can be copied"));
        [program].into_iter().chain(over_tls)
    });
    with_tls.collect()
}

async fn started(program: &Program, stage: &Stage) -> FunctionProcess {
    let mut process = program.start(stage).await;
    let ready = process.until_ready().await;
    ready.unwrap_or_else(|error| panic!("{}: {error}", program.name));
    process
}
