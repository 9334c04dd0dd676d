//! The measured programs: the functions as they are deployed, and their twins.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use sandbox_tools::{
    PYTHON_TWINS, sandbox_directory, target, variables_of_this_package, workspace,
};
use tests::{
    lambda::{
        environment::{self, Variables},
        runtime_api::{FunctionProcess, Output},
    },
    local_aws::Tools,
};
use tokio::process::Command;

const NODE_TWINS: &str = "tests/benches/twins/node";
const MAPPINGS: &str = "CODE_MAPPINGS_TABLE";

/// A program that is a function.
pub(crate) struct Program {
    pub(crate) name: String,
    command: Vec<OsString>,
    directory: PathBuf,
    /// The table of its mappings; `None`: the one that our functions share.
    mappings: Option<String>,
}

impl Program {
    /// A function, in a directory that `cargo lambda` has built.
    pub(crate) fn ours(name: &str, directory: &Path, function: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: vec![directory.join(function).join("bootstrap").into()],
            directory: workspace(),
            mappings: None,
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.mappings.is_none()
    }

    /// The size of a function's binary in bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        let binary = self.command.first().filter(|_| self.is_ours())?;
        Some(fs::metadata(binary).ok()?.len())
    }

    pub(crate) async fn start(&self, variables: &Variables) -> FunctionProcess {
        let mut variables = variables.clone();
        if let Some(mappings) = &self.mappings {
            environment::set(&mut variables, MAPPINGS, mappings);
            // Suppresses warnings about future versions of Python.
            environment::set(&mut variables, "NODE_NO_WARNINGS", "1");
            environment::set(&mut variables, "PYTHONWARNINGS", "ignore");
            // Keeps compiled modules out of the sources.
            let cache = sandbox_directory().join("twins-cache");
            let cache = cache.display().to_string();
            environment::set(&mut variables, "PYTHONPYCACHEPREFIX", cache);
        }
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .current_dir(&self.directory);
        FunctionProcess::run(command, &variables, Output::Discarded)
            .await
            .expect("it starts")
    }
}

/// Where `cargo lambda` puts the functions.
pub(crate) fn built() -> PathBuf {
    target().join("lambda")
}

/// Builds the functions as they are deployed.
pub(crate) async fn build(tools: &Tools, packages: &[&str]) -> io::Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["lambda", "build", "--release", "--locked"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = [tools.bin().to_path_buf()]
        .into_iter()
        .chain(env::split_paths(&path));
    let path = env::join_paths(directories).map_err(io::Error::other)?;
    cargo.env("PATH", path).current_dir(workspace());
    for name in variables_of_this_package() {
        cargo.env_remove(name);
    }
    let status = cargo.status().await?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("cargo lambda build: {status}")))
}

/// A language that the twins are in, ready to run.
pub(crate) struct Language {
    name: &'static str,
    directory: PathBuf,
    /// The interpreter and its arguments before the twin.
    before: Vec<OsString>,
    /// How the runtime names a handler, around the name of the twin.
    around: (&'static str, &'static str),
}

impl Language {
    /// The twin of this name in the language.
    pub(crate) fn twin(&self, twin: &str) -> Program {
        let (before, after) = self.around;
        let handler = format!("{before}{twin}{after}");
        Program {
            name: self.name.to_owned(),
            command: self
                .before
                .iter()
                .cloned()
                .chain([handler.into()])
                .collect(),
            directory: self.directory.clone(),
            mappings: Some(format!("{}-mappings", self.name)),
        }
    }
}

/// The languages of the twins that are available here. Prints which are not.
pub(crate) async fn languages() -> Vec<Language> {
    let found = [("Python", python().await), ("Node", node().await)];
    let ready = found.into_iter().filter_map(|(name, language)| {
        language
            .inspect_err(|reason| println!("the twins in {name} are left out: {reason}"))
            .ok()
    });
    ready.collect()
}

async fn python() -> Result<Language, String> {
    let tools = Tools::twins(|step: &str| println!("{step}")).await;
    let python = tools.map_err(|error| error.to_string())?.program("python3");
    Ok(Language {
        name: "Python",
        directory: workspace().join(PYTHON_TWINS),
        before: vec![python.into(), "-m".into(), "awslambdaric".into()],
        around: ("", ".handler"),
    })
}

/// Node resolves packages next to the sources, so the sources are copied to the installed packages.
async fn node() -> Result<Language, String> {
    let node = in_path("node").ok_or("there is no `node`")?;
    let npm = in_path("npm").ok_or("there is no `npm`")?;
    let directory = sandbox_directory().join("twins-node");
    let manifest = "package.json";
    let text = |error: io::Error| error.to_string();
    fs::create_dir_all(&directory).map_err(text)?;
    let sources = workspace().join(NODE_TWINS);
    let stamp = directory.join("installed.json");
    let wanted = fs::read_to_string(sources.join(manifest)).map_err(text)?;
    for entry in fs::read_dir(&sources).map_err(text)? {
        let entry = entry.map_err(text)?;
        fs::copy(entry.path(), directory.join(entry.file_name())).map_err(text)?;
    }
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(language(node, directory));
    }
    println!("installing the AWS SDK for Node (25 MB, about 10 s; once only)");
    let mut install = Command::new(npm);
    install
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock"])
        .args(["--ignore-scripts", "--loglevel=error"])
        .current_dir(&directory);
    let output = install.output().await.map_err(text)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("npm install failed: {said}"));
    }
    fs::write(&stamp, wanted).map_err(text)?;
    Ok(language(node, directory))
}

fn language(node: PathBuf, directory: PathBuf) -> Language {
    Language {
        name: "Node",
        before: vec![node.into(), directory.join("runtime.mjs").into()],
        directory,
        around: ("./", ".mjs"),
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|program| program.is_file())
}
