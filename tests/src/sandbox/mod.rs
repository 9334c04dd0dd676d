//! The sandbox: the real functions and the real template on a local AWS, between a simulated Norce and an ERP, and a day
//! in the shop. It ends with a table of what was synchronised, and with success only if both sides are as they should
//! be: by their own records, not by the functions' logs.
//!
//! ```text
//! mod          what is started, in which order, and what becomes of it
//! deployment   build and deploy with SAM
//! package      archives of the functions, and the template that names them
//! artifacts    the same for a release, with checksums
//! shop         the two worlds and the people in them
//! erp          the ERP, whichever it is: a simulated Business Central, a real Odoo, or a real Tryton behind a facade
//! short        a short day: one of everything, told as it happens
//! day          the long day: what happens in the shop
//! night        what a day rarely brings: a queue that refuses, functions that die, nonsense on a queue
//! passes       the next day: what the scheduled passes repair
//! orders       orders that Norce posts, and the queue of the merchant's order integration
//! operator     what a person asks, and steers
//! support      the users of the console
//! metrics      the dashboard, as text
//! register     a large register, and a full pass over it
//! logs         what the functions write to their logs, at any level
//! own_register countries and vendors as a merchant's register has them
//! outcome      what came of it: the table, and the verdict
//! page         the same as a page to look at
//! upgrade      a stack of an earlier version, updated at noon
//! quiet        waiting until nothing is under way
//! watch        `cargo lambda watch` in place of the deployed functions
//! progress     what a person sees meanwhile
//! ```

pub mod artifacts;
mod day;
mod deployment;
mod erp;
mod logs;
mod metrics;
mod night;
mod operator;
mod orders;
mod outcome;
mod own_register;
mod package;
mod page;
mod passes;
mod progress;
mod quiet;
mod register;
mod shop;
mod short;
mod support;
mod upgrade;
mod watch;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use aws_sdk_dynamodb::error::DisplayErrorContext;
use thiserror::Error;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};

use self::{
    deployment::{Deployment, EVENT_SECRET, Remotes, STACK, environment_file, towards, with_tools},
    erp::ErpKind,
    logs::LogLevel,
    outcome::Outcome,
    passes::World,
    shop::Shop,
    support::SupportDesk,
    watch::{Watch, Watching},
};
use crate::local_aws::{LocalAws, LocalAwsError, Tools, sandbox_directory};

/// The options of the sandbox.
#[derive(Debug, clap::Parser)]
#[command(
    name = "cargo sandbox",
    about = "Runs the integration on this machine and plays a day in the shop",
    long_about = "Runs the integration on this machine: the real functions and the real template on a local AWS, \
                  between a simulated Norce and a simulated ERP, or a real one. Plays a day in the shop and ends with a \
                  table of what was synchronised. The exit code is 0 only if both sides are as they should be."
)]
pub struct Options {
    /// The ERP on the other side
    #[arg(long, value_enum, default_value_t)]
    erp: ErpKind,
    /// Leave everything running after the day, with addresses and example commands, until Enter or Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Send the invocations to `cargo lambda watch`, so that code reloads as it is edited; implies --keep
    #[arg(long)]
    watch: bool,
    /// Instead of the day: seed the ERP with so many customers and run a full pass over them, twice
    #[arg(long, value_name = "NUMBER")]
    customers: Option<usize>,
    /// Deploy an earlier version in the morning and update the stack to this one at noon, with work in every queue;
    /// without a commit, the version of tests/fixtures/LAST_VERSION
    #[arg(
        long,
        value_name = "COMMIT",
        num_args = 0..=1,
        default_missing_value = upgrade::LAST,
        conflicts_with_all = ["watch", "customers"]
    )]
    upgrade_from: Option<String>,
    /// What is played: a minute with one of everything, or everything
    #[arg(long, value_enum, default_value_t)]
    day: Day,
    /// Build the functions as they are deployed, with `sam build`, which takes minutes more
    #[arg(long)]
    release: bool,
    /// Deploy the package in this directory, which `cargo artifacts` has made, in place of a build
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["watch", "release"])]
    package: Option<PathBuf>,
    /// What the functions write to their logs: the template's LogLevel
    #[arg(long, value_enum, default_value_t)]
    log_level: LogLevel,
}

/// The days that the sandbox can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Day {
    /// One of everything, told as it happens
    #[default]
    Short,
    /// Everything that a day in the shop can bring, and what it rarely brings
    Long,
}

/// The tools that are fetched first.
const TOOLS: &str = "Local AWS, SAM and cargo-lambda";

/// Why the sandbox could not do its work.
#[derive(Debug, Error)]
enum SandboxError {
    #[error(transparent)]
    LocalAws(#[from] LocalAwsError),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{what} failed ({status}). All of it is in {log}; the end:\n{quoted}")]
    Step {
        what: String,
        status: String,
        log: String,
        quoted: String,
    },
    #[error("the deployed stack lacks {0}")]
    NoOutput(String),
    #[error("{what}: {reason}")]
    Aws { what: String, reason: String },
    #[error("{0}")]
    Day(String),
    #[error("interrupted")]
    Interrupted,
}

impl SandboxError {
    fn aws(what: &str, error: impl std::error::Error) -> Self {
        Self::Aws {
            what: what.to_owned(),
            reason: DisplayErrorContext(error).to_string(),
        }
    }
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> SandboxError {
    let what = what.into();
    move |source| SandboxError::Io { what, source }
}

/// Runs the sandbox from beginning to end, and takes everything down however it ends.
pub async fn run(options: Options) -> ExitCode {
    let start = Instant::now();
    let verdict = match SandboxLock::take() {
        Ok(_lock) => {
            let up = tokio::select! {
                up = session(&options) => up,
                () = interruption() => Err(SandboxError::Interrupted),
            };
            match up {
                Ok(up) => {
                    if options.keeps() {
                        tokio::select! {
                            () = wait_for_the_end() => {}
                            () = up.remove_rules() => {}
                        }
                    }
                    Ok(up.is_good)
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    let took = progress::duration(start.elapsed());
    match verdict {
        Ok(true) => {
            progress::line(format_args!("\nEverything is as it should be ({took})."));
            ExitCode::SUCCESS
        }
        Ok(false) => {
            progress::line(format_args!(
                "\nNot everything is as it should be ({took})."
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            progress::line(format_args!("\n{error}"));
            match error {
                SandboxError::Interrupted => ExitCode::from(ENDED_BY_SIGINT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The exit status that shells give a program which SIGINT ended: 128 and the signal's number.
const ENDED_BY_SIGINT: u8 = 130;

impl Options {
    fn keeps(&self) -> bool {
        self.keep || self.watch
    }

    /// The update of a stack is a part of the long day.
    fn day(&self) -> Day {
        match self.upgrade_from {
            Some(_) => Day::Long,
            None => self.day,
        }
    }

    /// A large register is about how quick the functions are.
    fn builds_release(&self) -> bool {
        self.release || self.customers.is_some()
    }
}

/// What runs for as long as this lives, and the outcome of the day.
struct Up {
    is_good: bool,
    _watching: Option<Watching>,
    _aws: LocalAws,
    shop: Shop,
    support: Option<SupportDesk>,
}

impl Up {
    /// The ERP's administrator takes its rules away, as often as that is asked for.
    async fn remove_rules(&self) {
        let Some(support) = &self.support else {
            return std::future::pending().await;
        };
        loop {
            support.rule_removed().await;
            if let Err(error) = self.shop.erp.refuse_nothing().await {
                progress::line(error);
            }
        }
    }
}

/// Only one sandbox at a time: they would build and deploy over each other.
struct SandboxLock(#[expect(dead_code, reason = "held for as long as the sandbox runs")] File);

impl SandboxLock {
    fn take() -> Result<Self, SandboxError> {
        let path = sandbox_directory().join("sandbox.lock");
        let file =
            File::create(&path).map_err(io_error(format!("{} cannot be made", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(_) => Err(SandboxError::Day(
                "another sandbox is running in this workspace; end it first".to_owned(),
            )),
        }
    }
}

async fn session(options: &Options) -> Result<Up, SandboxError> {
    // First, because it says at once what is missing, before minutes of installing and building.
    if let Some(package) = &options.package {
        deployment::of_package(package)?;
    }
    if let Some(version) = &options.upgrade_from {
        upgrade::check_erp(version, options.erp).await?;
    }
    let shop = {
        let posts_at_once = if options.watch {
            watch::POSTS_AT_ONCE
        } else {
            Semaphore::MAX_PERMITS
        };
        let opening = Shop::open(options.erp, posts_at_once);
        progress::step(options.erp.opening(), opening).await?
    };
    let tools = async {
        let tools = tokio::try_join!(
            Tools::ministack(progress::detail),
            Tools::sam(progress::detail)
        );
        Ok::<_, SandboxError>(tools?)
    };
    let (ministack, sam, template) = if options.watch {
        let (ministack, sam) = progress::step(TOOLS, tools).await?;
        (ministack, sam, deployment::stand_ins()?)
    } else if let Some(package) = &options.package {
        let (ministack, sam) = progress::step(TOOLS, tools).await?;
        (ministack, sam, deployment::of_package(package)?)
    } else if options.builds_release() {
        let (ministack, sam) = progress::step(TOOLS, tools).await?;
        let built = progress::step("Building the functions", deployment::build_release(&sam));
        let template = built.await?;
        (ministack, sam, template)
    } else {
        // The one waits for the network, the other for the processors.
        let both = async { tokio::try_join!(tools, deployment::build()) };
        let title = format!("{TOOLS}; building the functions");
        let ((ministack, sam), ()) = progress::step(&title, both).await?;
        let packed = progress::step("Packing the functions", deployment::packed(&sam));
        let template = packed.await?;
        (ministack, sam, template)
    };

    let first_template = match &options.upgrade_from {
        Some(version) => {
            progress::step("Building an earlier version", upgrade::build(version, &sam)).await?
        }
        None => template.clone(),
    };

    // `cargo lambda watch` has nothing that runs the console.
    let support = if options.watch {
        None
    } else {
        Some(SupportDesk::open().await?)
    };
    let watch = if options.watch {
        Some(Watch::reserve()?)
    } else {
        None
    };
    let proxies = watch.as_ref().map(Watch::proxies).unwrap_or_default();
    let proxies: Vec<_> = proxies
        .iter()
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    let aws = progress::step("Starting the local AWS, IAM enforced", async {
        LocalAws::start(&ministack, "ministack", &proxies).await
    })
    .await?;
    let deployment = progress::step("Deploying template.yaml", async {
        let remotes = Remotes {
            console: support.as_ref().map(SupportDesk::provider),
            ..shop.remotes()
        };
        Deployment::create(
            STACK,
            &first_template,
            &sam,
            &aws,
            &remotes,
            options.log_level,
        )
        .await
    })
    .await?;
    let watching = match &watch {
        Some(watch) => {
            Some(progress::step("Starting cargo lambda watch", watch.start(&sam)).await?)
        }
        None => None,
    };

    let world = World {
        shop: &shop,
        aws: &aws,
        deployment: &deployment,
        sam: &sam,
        log_level: options.log_level,
    };
    let is_good = match options.customers {
        Some(customers) => {
            let played = register::play(&world, customers).await;
            save_logs(&sam, &aws).await;
            played?
        }
        None => {
            let outcome = match options.day() {
                Day::Long => {
                    let plan = day::Plan {
                        template: &template,
                        with_night: !options.watch,
                        updates: options.upgrade_from.is_some(),
                        log_level: options.log_level,
                        support: support.as_ref(),
                    };
                    day::play(&shop, &aws, &deployment, &sam, &plan).await
                }
                Day::Short => short::play(&world, support.as_ref()).await,
            };
            // The logs help most where the day went wrong.
            save_logs(&sam, &aws).await;
            show(outcome, options.keeps())?
        }
    };
    metrics::show(STACK, &ministack, &aws).await?;
    if options.keeps() {
        describe(&shop, &aws, &deployment, watch.as_ref())?;
        // A shop that only has a register posts no events.
        let support = support.as_ref().filter(|_| options.customers.is_none());
        invite(&shop, &deployment, support).await?;
    }
    Ok(Up {
        is_good,
        _watching: watching,
        _aws: aws,
        shop,
        support,
    })
}

/// Shows what came of a day, and whether everything is as it should be. Of a sandbox that is kept, a fault is no end.
fn show(outcome: Result<Outcome, SandboxError>, keeps: bool) -> Result<bool, SandboxError> {
    match outcome {
        Ok(outcome) => {
            outcome.print();
            let page = outcome.page().save()?;
            progress::line(format_args!("\nThe day as a page: {}", shown(&page)));
            Ok(outcome.is_good())
        }
        Err(error) if keeps => {
            progress::line(format_args!("\n{error}"));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Ctrl-C, or the polite request to end.
async fn interruption() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Enter or an interruption, whichever comes first. Without a terminal only the interruption counts.
async fn wait_for_the_end() {
    use io::IsTerminal as _;
    let enter = async {
        if io::stdin().is_terminal() {
            // A thread of its own: a read of the terminal cannot be cancelled, and must not hold up the runtime.
            let (sender, receiver) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let mut line = String::new();
                let _ = io::stdin().read_line(&mut line);
                let _ = sender.send(());
            });
            let _ = receiver.await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = enter => {}
        () = interruption() => {}
    }
}

/// What the functions logged, one file each, for a look afterwards. A failure to get it is no reason to fail.
async fn save_logs(sam: &Tools, aws: &LocalAws) {
    for function in deployment::every_function() {
        let group = format!("/aws/lambda/{STACK}-{function}");
        let mut command = Command::new(sam.program("sam"));
        command.args(["logs", "--cw-log-group", &group]);
        let log = sandbox_directory().join(format!("{function}.log"));
        let output = towards(with_tools(&mut command, sam), aws)
            .kill_on_drop(true)
            .output()
            .await;
        if let Ok(output) = output {
            let _ = std::fs::write(log, output.stdout);
        }
    }
}

/// A path as it is typed in the workspace.
fn shown(path: &Path) -> String {
    let workspace = sandbox_tools::workspace();
    let path = path.strip_prefix(&workspace).unwrap_or(path);
    path.display().to_string()
}

fn describe(
    shop: &Shop,
    aws: &LocalAws,
    deployment: &Deployment,
    watch: Option<&Watch>,
) -> Result<(), SandboxError> {
    let environment = shown(&environment_file());
    let logs = shown(&sandbox_directory());
    let bin = shown(&sandbox_directory().join("sam").join("bin"));
    let url = deployment.event_url()?;
    let customer = shop.some_customer();
    progress::line(format_args!(
        "
The sandbox is up.

  events     {url}/customer-changed
  norce      {norce}
  erp        {erp}
  local aws  {aws} (region {region}, key and secret `{key}`)
  logs       {logs}/<function>.log (of the day), {ministack} (of the local AWS)
  operator   {logs}/operator.txt (what was asked and answered in the day)
  dashboard  {logs}/{STACK}-dashboard.txt (what the CloudWatch dashboard shows of it)

Send an event (customer {customer} is in the shop):

  curl -i '{url}/customer-changed' -H 'content-type: application/json' \\
    -H 'x-event-secret: {EVENT_SECRET}' \\
    -d '{{\"ClientId\":{client},\"CustomerId\":{customer},\"EntityChanged\":\"tClientCustomer\"}}'
",
        norce = shop.remotes().norce_base_url,
        erp = shop.remotes().erp.base_url,
        aws = aws.endpoint(),
        region = crate::local_aws::REGION,
        key = crate::local_aws::ROOT_KEY,
        client = shop.client_id(),
        ministack = shown(aws.log()),
    ));
    if let Some(for_people) = shop.erp.for_people() {
        progress::line(format_args!("{for_people}.\n"));
    }
    let invoke = "cargo lambda invoke change-events --invoke-address 127.0.0.1";
    let sample = "--data-file tests/events/change-events-customer.json";
    match watch {
        Some(watch) => progress::line(format_args!(
            "Invocations go to `cargo lambda watch` (log: {logs}/watch.log): edit a function, and the next event runs the
new code. One by hand:

  export PATH=\"$PWD/{bin}:$PATH\"
  {invoke} --invoke-port {port} {sample}
",
            port = watch.port(),
        )),
        None => progress::line(format_args!(
            "Run the functions from the source, reloaded as you edit them, and invoke one from another terminal:

  export PATH=\"$PWD/{bin}:$PATH\"
  cargo lambda watch --invoke-address 127.0.0.1 --env-file {environment}
  {invoke} {sample}
"
        )),
    }
    Ok(())
}

/// Leaves something to do in the console, and says how to end.
async fn invite(
    shop: &Shop,
    deployment: &Deployment,
    support: Option<&SupportDesk>,
) -> Result<(), SandboxError> {
    if let Some(support) = support {
        support.know(deployment)?;
        let refused = support::refused_customer(shop).await?;
        progress::line(format_args!(
            "Customer {id} has ordered and is not in the ERP. Find out why in the console, as a support person would: {url}
(sign in as view, act or admin). The ERP's administrator is at {administrator}.
",
            id = refused.id,
            url = deployment.output("ConsoleUrl")?,
            administrator = support.administrator(),
        ));
    }
    progress::line("Enter or Ctrl-C ends it.");
    Ok(())
}
