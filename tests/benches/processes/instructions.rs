//! The instructions of an event, counted by Valgrind. They are the same whatever else the machine does, so that differences of a
//! hundredth can be seen; they are no time: the system's share is not in them, and instructions that Valgrind does not know,
//! such as those for SHA-256, are replaced by others, because the libraries ask the processor what it can do.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};
use sandbox_tools::target;

use super::{
    Choice,
    flow::{Flow, Scene},
    measurement::machine,
    program::{Program, in_path},
    programs,
    stage::Stage,
    started,
};

/// Events of the shorter run, at least. The longer one has three times as many, so that what both have in common, such as
/// the start and the first connections, is not in the difference.
const FEW: usize = 50;
const TIMES: usize = 3;

/// Counts and prints. `false`: there is no Valgrind, which is printed.
pub(crate) async fn are_counted(choice: &Choice) -> bool {
    let Some(valgrind) = in_path("valgrind") else {
        println!("instructions are not counted: there is no `valgrind`");
        return false;
    };
    println!(
        "\ninstructions of the process for an event, by Callgrind; {}",
        machine()
    );
    println!(
        "{:<70} {:>16} {:>12} {:>7}",
        "", "", "instructions", "ratio"
    );
    for flow in choice.flows() {
        let stage = choice.stage(choice.tls() && flow.has_tls()).await;
        let mut scene = Scene::open(flow, &stage).await;
        let mut first = None;
        for program in programs(flow, &[], choice, &stage) {
            let mut process = started(&program, &stage).await;
            scene.prepare(&program, &mut process).await;
            process.end().await.expect("it ends");
            let (few, many) = (events(flow), TIMES * events(flow));
            let less = count(&valgrind, &stage, &mut scene, &program, few).await;
            let more = count(&valgrind, &stage, &mut scene, &program, many).await;
            let each = more.saturating_sub(less) as f64 / (many - few) as f64;
            let ratio = each / *first.get_or_insert(each);
            println!(
                "{:<70} {:>16} {each:>12.0} {ratio:>7.3}",
                flow.title, program.name
            );
        }
    }
    true
}

/// The events of the shorter run: whole invocations.
fn events(flow: &Flow) -> usize {
    FEW.next_multiple_of(flow.batch)
}

/// The instructions of a process from its start to its end, with this many events.
async fn count(
    valgrind: &Path,
    stage: &Stage,
    scene: &mut Scene<'_>,
    program: &Program,
    events: usize,
) -> u64 {
    let directory = target().join("callgrind");
    fs::create_dir_all(&directory).expect("a directory");
    let (profile, log) = (directory.join("profile"), directory.join("log"));
    let option =
        |name: &str, path: &PathBuf| -> OsString { format!("--{name}={}", path.display()).into() };
    let counted = program.behind(vec![
        valgrind.into(),
        "--tool=callgrind".into(),
        option("callgrind-out-file", &profile),
        option("log-file", &log),
    ]);
    let mut process = started(&counted, stage).await;
    scene.run(&counted, &mut process, events).await;
    let id = i32::try_from(process.id().expect("it runs")).expect("an id");
    let id = Pid::from_raw(id).expect("an id");
    // A killed Valgrind writes nothing.
    kill_process(id, Signal::TERM).expect("it runs");
    process.until_ended().await.expect("it ends");
    let log = fs::read_to_string(&log).expect("Valgrind writes a log");
    collected(&log).unwrap_or_else(|| panic!("Valgrind does not say what it counted: {log}"))
}

/// The total in a log of Callgrind: `==1== Collected : 429170`.
fn collected(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.split_once("Collected :"));
    line?.1.trim().parse().ok()
}
