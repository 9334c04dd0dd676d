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
        environment,
        runtime_api::{FunctionProcess, Output},
    },
    local_aws::Tools,
};
use tokio::process::Command;

use super::{stage::Stage, tls::Tls};

const NODE_TWINS: &str = "tests/benches/twins/node";
const MAPPINGS: &str = "CODE_MAPPINGS_TABLE";

/// A program that is a function.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    command: Vec<OsString>,
    directory: PathBuf,
    /// The table of its mappings; `None`: the one that our functions share.
    mappings: Option<String>,
    /// Whether it speaks to the stand-ins over TLS.
    tls: bool,
    /// Whether the names of the stack's resources are in a secret.
    names_in_secret: bool,
}

impl Program {
    /// A function, in a directory that `cargo lambda` has built.
    pub(crate) fn ours(name: &str, directory: &Path, function: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: vec![directory.join(function).join("bootstrap").into()],
            directory: workspace(),
            mappings: None,
            tls: false,
            names_in_secret: false,
        }
    }

    /// The same with the names of the stack's resources in a secret, as the template deploys all functions but `receive-events`
    /// and the console.
    pub(crate) fn with_names_in_secret(&self) -> Self {
        Self {
            name: format!("{}, deployed", self.name),
            names_in_secret: true,
            ..self.clone()
        }
    }

    /// The same over TLS. A function is copied for that.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub(crate) fn over_tls(&self, tls: &Tls) -> io::Result<Self> {
        let mut program = self.clone();
        program.name = format!("{}, TLS", self.name);
        program.tls = true;
        match &self.mappings {
            Some(mappings) => program.mappings = Some(format!("{mappings}-tls")),
            None => {
                let binary = Path::new(&self.command[0]);
                let copy = tls.trusting(binary, &format!("{}-{}", self.name, file_of(binary)))?;
                program.command = vec![copy.into()];
            }
        }
        Ok(program)
    }

    /// The same behind another program, such as a profiler.
    pub(crate) fn behind(&self, before: Vec<OsString>) -> Self {
        let mut program = self.clone();
        program.command = before.into_iter().chain(program.command).collect();
        program
    }

    /// Whether it is there: another version may lack a function.
    pub(crate) fn exists(&self) -> bool {
        Path::new(&self.command[0]).exists()
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.mappings.is_none()
    }

    /// The size of a function's binary in bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        let binary = self.command.first().filter(|_| self.is_ours())?;
        Some(fs::metadata(binary).ok()?.len())
    }

    pub(crate) async fn start(&self, stage: &Stage) -> FunctionProcess {
        let tls = stage.tls.as_ref().filter(|_| self.tls);
        let mut variables = stage.variables(tls);
        if let Some(mappings) = &self.mappings {
            environment::set(&mut variables, MAPPINGS, mappings);
            // Suppresses warnings about future versions of Python.
            environment::set(&mut variables, "NODE_NO_WARNINGS", "1");
            environment::set(&mut variables, "PYTHONWARNINGS", "ignore");
            // Keeps compiled modules out of the sources.
            let cache = sandbox_directory().join("twins-cache");
            let cache = cache.display().to_string();
            environment::set(&mut variables, "PYTHONPYCACHEPREFIX", cache);
            if let Some(tls) = tls {
                tls.set_trust(&mut variables);
            }
        }
        if self.names_in_secret {
            stage.move_names_to_secret(&mut variables);
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

/// A name for a copy of a function: that of the directory that `cargo lambda` makes for it.
fn file_of(binary: &Path) -> String {
    let directory = binary.parent().and_then(Path::file_name);
    directory.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
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
    /// The twin in the language: what its name adds to that of the language, and the name of its source.
    pub(crate) fn twin(&self, (suffix, twin): (&str, &str)) -> Program {
        let (before, after) = self.around;
        let handler = format!("{before}{twin}{after}");
        Program {
            name: format!("{}{suffix}", self.name),
            command: self
                .before
                .iter()
                .cloned()
                .chain([handler.into()])
                .collect(),
            directory: self.directory.clone(),
            mappings: Some(format!("{}-{twin}-mappings", self.name)),
            tls: false,
            names_in_secret: false,
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

/// Where a program is installed.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|program| program.is_file())
}
