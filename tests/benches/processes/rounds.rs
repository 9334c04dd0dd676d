//! The processor time of events, in rounds in which every program takes its turn.

use std::{mem, time::Duration};

use tests::lambda::runtime_api::FunctionProcess;

use super::{
    Choice,
    flow::{Flow, Scene},
    measurement::{machine, median, megabytes, micros, ratio},
    program::{Language, Program},
    programs,
    stage::{Calls, Stage},
    started,
};

/// The figures of a program in a flow.
#[derive(Default)]
struct Figures {
    processor: Vec<Duration>,
    calls: Calls,
    events: usize,
}

/// Puts a new process in the place of one, and warms it up. A process spreads its calls to the ERP over time once it has made
/// some hundreds at once. After the pauses between them an event takes up to half as much processor time again, presumably
/// because what runs meanwhile takes the processor's caches.
async fn renew(
    scene: &mut Scene<'_>,
    program: &Program,
    process: &mut FunctionProcess,
    stage: &Stage,
) {
    let former = mem::replace(process, started(program, stage).await);
    former.end().await.expect("it ends");
    scene.run(program, process, scene.flow().events).await;
}

/// Measures a flow and prints.
pub(crate) async fn measure(flow: &Flow, languages: &[Language], choice: &Choice) {
    let stage = choice.stage(choice.tls() && flow.has_tls()).await;
    let mut scene = Scene::open(flow, &stage).await;
    let programs = programs(flow, languages, choice, &stage);
    let mut processes = Vec::with_capacity(programs.len());
    for program in &programs {
        let mut process = started(program, &stage).await;
        scene.prepare(program, &mut process).await;
        scene.run(program, &mut process, flow.events).await;
        processes.push(process);
    }
    let mut figures: Vec<Figures> = programs.iter().map(|_| Figures::default()).collect();
    let events = u32::try_from(flow.events).unwrap_or(u32::MAX);
    for _ in 0..choice.rounds {
        for ((program, process), figures) in programs.iter().zip(&mut processes).zip(&mut figures) {
            if flow.calls_erp() {
                renew(&mut scene, program, process, &stage).await;
            }
            let cost = scene.run(program, process, flow.events).await;
            figures.processor.push(cost.processor / events);
            figures.calls.add(cost.calls);
            figures.events += flow.events;
        }
    }
    println!("\n{}; {}", flow.title, machine());
    println!(
        "{:<32} {:>11} {:>17} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9}",
        "", "processor", "from … to", "ratio", "AWS", "Norce", "ERP", "memory", "peak"
    );
    let ours = median(figures[0].processor.clone());
    for ((program, process), figures) in programs.iter().zip(processes).zip(figures) {
        let memory = process.memory().expect("it runs");
        let range = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e6);
        let (lowest, highest) = (
            range(figures.processor.iter().min()),
            range(figures.processor.iter().max()),
        );
        let each = |calls: f64| calls / figures.events as f64;
        let processor = median(figures.processor);
        println!(
            "{:<32} {:>11} {:>17} {:>7.2} {:>7.2} {:>7.2} {:>7.2} {:>9} {:>9}",
            program.name,
            micros(processor),
            format!("{lowest:.1} … {highest:.1}"),
            ratio(processor, ours),
            each(figures.calls.aws as f64),
            each(figures.calls.norce as f64),
            each(figures.calls.erp as f64),
            megabytes(memory.resident),
            megabytes(memory.peak),
        );
        process.end().await.expect("it ends");
    }
}
