//! The update of a stack of an earlier version, with work in all of its queues and a pass under way: nothing may be
//! lost.
//!
//! The earlier version is built from its own sources, in a git worktree that is removed afterwards, and without the
//! optimisations of a release: it runs for half a day.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use clap::ValueEnum as _;
use serde_json::json;
use tokio::{process::Command, time::sleep};
use uuid::Uuid;

use super::{
    SandboxError,
    deployment::{self, Deployment, FUNCTIONS},
    erp::ErpKind,
    io_error,
    night::{Api, until},
    passes::World,
    progress,
    quiet::Queues,
};
use crate::{
    local_aws::{Tools, sandbox_directory},
    norce_simulator::{Effect, Endpoint, When},
};

/// What stands for the version that was landed last.
pub(super) const LAST: &str = "last";
/// The file with its commit.
const LAST_VERSION: &str = "tests/fixtures/LAST_VERSION";
/// New customers whose imports Norce does not finish, and as many whose imports it does not take.
const CUSTOMERS: usize = 3;

/// How long Norce asks to wait with an import: short enough that the breaker of Norce stays closed.
const RETRY_AFTER_SECONDS: u32 = 8;

/// The queues that hold work.
const QUEUES: [&str; 4] = ["changes", "imports", "jobs", "passes"];
/// How soon a message comes back whose function was ended by the update. The local AWS ends the processes of a function
/// whose code it replaces in the middle of their work, which AWS does not; the template's minutes are right, and too long
/// here.
const VISIBILITY_SECONDS: u32 = 20;
/// How often that is set, because the update sets it otherwise.
const SHORTENED_EVERY: Duration = Duration::from_secs(1);

/// A worktree that goes when this is dropped, however the build ends.
struct Worktree(PathBuf);

impl Drop for Worktree {
    fn drop(&mut self) {
        // Nothing can be done about a failure from here on; the next one who wants the place removes what is left.
        let _ = std::process::Command::new("git")
            .args(["worktree", "remove", "--force"])
            .arg(&self.0)
            .current_dir(sandbox_tools::workspace())
            .output();
    }
}

/// Runs git in the workspace, and returns what it says.
async fn git(arguments: &[&str]) -> Result<String, SandboxError> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(sandbox_tools::workspace())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(io_error("git cannot be started"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(SandboxError::Day(format!(
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// The full id of a commit, or an error if it is not in this clone.
pub(super) async fn commit_of(name: &str) -> Result<String, SandboxError> {
    let recorded = sandbox_tools::workspace().join(LAST_VERSION);
    let name = match name {
        LAST => fs::read_to_string(&recorded)
            .map_err(io_error(format!("{} cannot be read", recorded.display())))?,
        name => name.to_owned(),
    };
    let name = name.trim();
    let commit = format!("{name}^{{commit}}");
    let found = git(&["rev-parse", "--verify", "--quiet", &commit]).await;
    found.map_err(|_| {
        SandboxError::Day(format!(
            "the commit {name} is not in this clone, so that there is no earlier version to update from. A shallow clone \
             lacks it: fetch the whole history (`git fetch --unshallow`)"
        ))
    })
}

/// Refuses an ERP that an earlier version's template does not have among the values of `ErpKind`.
pub(super) async fn check_erp(version: &str, erp: ErpKind) -> Result<(), SandboxError> {
    let commit = commit_of(version).await?;
    let template = git(&["show", &format!("{commit}:template.yaml")]).await?;
    let parameter = template.lines().skip_while(|line| *line != "  ErpKind:");
    let mut values = parameter.filter_map(|line| line.trim().strip_prefix("AllowedValues: ["));
    let values = values.next().unwrap_or_default();
    let mut values = values.trim_end_matches(']').split(", ");
    let name = erp
        .to_possible_value()
        .map(|value| value.get_name().to_owned());
    let name = name.unwrap_or_default();
    if values.any(|value| value == name) {
        return Ok(());
    }
    Err(SandboxError::Day(format!(
        "the earlier version {commit} does not know the ERP {name}: choose another one with --erp, or leave out --upgrade-from"
    )))
}

/// Builds the functions of an earlier version. Returns its template, ready to be deployed.
pub(super) async fn build(version: &str, python: &Tools) -> Result<PathBuf, SandboxError> {
    let commit = commit_of(version).await?;
    let built = sandbox_directory().join("previous-build");
    let stamp = built.join("commit.txt");
    if fs::read_to_string(&stamp).is_ok_and(|of| of == commit) {
        return Ok(built.join("template.yaml"));
    }
    if built.exists() {
        fs::remove_dir_all(&built)
            .map_err(io_error(format!("{} cannot be removed", built.display())))?;
    }

    let sources = sandbox_directory().join("previous");
    let path = sources.display().to_string();
    // Left over from a run that was killed.
    drop(Worktree(sources.clone()));
    git(&["worktree", "add", "--force", "--detach", &path, &commit]).await?;
    let _worktree = Worktree(sources.clone());
    // In the same target directory, so that the crates which both versions depend on are there already.
    let target = sandbox_tools::target();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--locked", "--bins"])
        // As this version's profile has it: otherwise the crates are other ones.
        .args(["--config", "profile.dev.package.\"*\".debug=false"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&sources);
    for function in FUNCTIONS {
        cargo.args(["--package", function]);
    }
    let log = sandbox_directory().join("previous-build.log");
    progress::run("cargo build of the earlier version", &mut cargo, &log).await?;

    let template = deployment::pack(&FUNCTIONS, &sources, &built, python).await?;
    let unwritable = io_error(format!("{} cannot be written", stamp.display()));
    fs::write(&stamp, &commit).map_err(unwritable)?;
    Ok(template)
}

/// Keeps the visibility time-outs short during this work, even if an update meanwhile sets them to the values of the
/// template.
pub(super) async fn with_short_visibility<T>(
    queues: &Queues,
    work: impl Future<Output = Result<T, SandboxError>>,
) -> Result<T, SandboxError> {
    let mut of_template = BTreeMap::new();
    let mut work = pin!(work);
    let done = loop {
        for queue in QUEUES {
            let seconds = queues.set_visibility(queue, VISIBILITY_SECONDS).await?;
            if seconds != VISIBILITY_SECONDS {
                of_template.insert(queue, seconds);
            }
        }
        tokio::select! {
            done = &mut work => break done,
            () = sleep(SHORTENED_EVERY) => {}
        }
    };
    for (queue, seconds) in of_template {
        queues.set_visibility(queue, seconds).await?;
    }
    done
}

/// Norce takes no imports and tells nothing of its jobs, while customers order whose codes are on their way: `jobs` and
/// `imports` hold work from now on. Returns the customers.
pub(super) async fn norce_fails(
    world: &World<'_>,
    queues: &Queues,
) -> Result<Vec<i64>, SandboxError> {
    let norce = &world.shop.norce;
    // With another answer it would not be known whether the import was taken, and a poll would find out.
    let too_many = Effect::Status {
        status: 429,
        retry_after: Some(RETRY_AFTER_SECONDS.to_string()),
    };
    let mut customers = Vec::new();
    for (queue, endpoints, effect) in [
        (
            "jobs",
            [Endpoint::JobGet, Endpoint::JobGetLog],
            Effect::status(503),
        ),
        (
            "imports",
            [Endpoint::ImportCustomers, Endpoint::ImportCompanies],
            too_many,
        ),
    ] {
        norce.inject(&endpoints, When::Always, effect);
        for _ in 0..CUSTOMERS {
            let person = world.shop.newcomer();
            let customer = world.shop.register(&person);
            world.shop.order(customer, None, false);
            customers.push(customer);
        }
        holds_work(queues, queue).await?;
    }
    Ok(customers)
}

/// While the ERP is down, a pass begins and waits for it. Returns its run.
pub(super) async fn a_pass_begins(
    world: &World<'_>,
    queues: &Queues,
) -> Result<Uuid, SandboxError> {
    let started = world.start(&json!({"mode": "delta"})).await?;
    let none = || SandboxError::Day("no pass was started".to_owned());
    let run = started.first().copied().ok_or_else(none)?;
    until("the pass is under way", async || {
        Ok(world.run(run).await?.is_some_and(|run| run.ended.is_none()))
    })
    .await?;
    holds_work(queues, "passes").await?;
    Ok(run)
}

async fn holds_work(queues: &Queues, queue: &str) -> Result<(), SandboxError> {
    until(&format!("{queue} holds work"), async || {
        let waiting = queues.waiting().await?;
        Ok(waiting
            .iter()
            .any(|(name, count)| *name == queue && *count > 0))
    })
    .await
}

/// Deploys the template of this version over the stack. What the stack holds has to stay where it is: a table, a queue
/// or an address that is replaced loses what is in it, or nobody finds it any more.
pub(super) async fn update(
    world: &World<'_>,
    queues: &Queues,
    template: &Path,
) -> Result<Deployment, SandboxError> {
    let api = Api::new(world.aws)?;
    let stack = world.deployment.stack();
    for queue in QUEUES {
        holds_work(queues, queue).await?;
    }
    let waiting = queues.waiting().await?;
    let waiting: Vec<String> = waiting
        .iter()
        .map(|(queue, count)| format!("{queue} {count}"))
        .collect();
    progress::detail(&format!("updating with {} waiting", waiting.join(", ")));
    let before = api.resources_of(stack).await?;
    let codes_before = codes(&api, stack).await?;
    let deployment = world
        .deployment
        .update(template, world.sam, world.aws)
        .await?;
    let after = api.resources_of(stack).await?;

    let mut faults = Vec::new();
    let keeps = |kind: &str| {
        [
            "AWS::DynamoDB::Table",
            "AWS::SQS::Queue",
            "AWS::S3::Bucket",
            "AWS::SecretsManager::Secret",
            "AWS::ApiGatewayV2::Api",
        ]
        .contains(&kind)
    };
    let kept = before.iter().filter(|((kind, _), _)| keeps(kind));
    for (name, id) in kept.clone() {
        if after.get(name) != Some(id) {
            let (_, resource) = name;
            let now = after.get(name).map_or("gone", String::as_str);
            faults.push(format!(
                "{resource} was {id} before the update and is {now}"
            ));
        }
    }
    if kept.count() == 0 {
        faults.push("the stack had no tables and no queues before the update".to_owned());
    }
    let codes_after = codes(&api, stack).await?;
    for ((function, before), after) in FUNCTIONS.iter().zip(codes_before).zip(codes_after) {
        if before == after {
            faults.push(format!("{function} has the same code as before the update"));
        }
    }
    match faults.as_slice() {
        [] => Ok(deployment),
        faults => Err(SandboxError::Day(faults.join("\n"))),
    }
}

async fn codes(api: &Api, stack: &str) -> Result<Vec<String>, SandboxError> {
    let mut codes = Vec::new();
    for function in FUNCTIONS {
        codes.push(api.code_of(&format!("{stack}-{function}")).await?);
    }
    Ok(codes)
}

/// The pass that had begun before the update has come to its end after it.
pub(super) async fn the_pass_has_ended(world: &World<'_>, run: Uuid) -> Result<(), SandboxError> {
    let run = world.run(run).await?;
    let ended = run.as_ref().and_then(|run| run.ended.as_ref());
    match ended {
        Some(ended) if ended.failed.is_none() => Ok(()),
        _ => Err(SandboxError::Day(format!(
            "the pass that began before the update has not come to its end: {run:?}"
        ))),
    }
}
