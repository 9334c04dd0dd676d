//! The downloads of the sandbox and the tests: Python virtual environments with the programs that they use, below
//! `target/sandbox/`. Nothing is installed elsewhere. An error names whatever else is missing and says how to get it.

use std::{
    env, error, fmt,
    fs::{self, File},
    hash::{DefaultHasher, Hasher as _},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How much of a log an error quotes.
const QUOTED_LINES: usize = 15;

/// Why something could not be installed, and what to do about it.
#[derive(Debug)]
pub enum InstallError {
    /// No Python that could make a virtual environment.
    NoPython {
        /// The names that were tried.
        tried: String,
    },
    /// No C compiler.
    NoCompiler,
    /// No server of PostgreSQL.
    NoPostgresql,
    /// A step of an installation failed.
    Step {
        /// What was being done.
        step: String,
        /// How the process ended.
        status: String,
        /// The whole output.
        log: String,
        /// Its last lines.
        quoted: String,
    },
    /// The machine refused something.
    Io {
        /// What was being done.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPython { tried } => write!(
                f,
                "no Python 3.10 or newer with the modules `venv` and `ensurepip` was found (tried {tried}). Install it, \
                 for example with `sudo apt install python3 python3-venv`, or name one in the environment variable PYTHON"
            ),
            Self::NoCompiler => write!(
                f,
                "no C compiler was found. Install one, for example with `sudo apt install gcc libc6-dev`, or name one in the \
                 environment variable CC"
            ),
            Self::NoPostgresql => write!(
                f,
                "PostgreSQL's server is missing, which Odoo needs. Install it, for example with `sudo apt install postgresql`"
            ),
            Self::Step {
                step,
                status,
                log,
                quoted,
            } => write!(
                f,
                "{step} failed ({status}). Check the network and pip's configuration (`python3 -m pip config list`), then \
                 run again. The end of {log}:\n{quoted}"
            ),
            Self::Io { what, source } => write!(
                f,
                "{what}: {source}. Check that the disk has room and that the directory belongs to you"
            ),
        }
    }
}

impl error::Error for InstallError {}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> InstallError {
    let what = what.into();
    move |source| InstallError::Io { what, source }
}

/// Where environments, logs and temporary files are: `target/sandbox/` of the workspace.
pub fn sandbox_directory() -> PathBuf {
    let directory = target().join("sandbox");
    // Without `..`, where it can be had: the path is shown to people and written into the environments.
    match fs::create_dir_all(&directory).and_then(|()| directory.canonicalize()) {
        Ok(canonical) => canonical,
        Err(_) => directory,
    }
}

/// What one virtual environment of Python holds. MiniStack and the SAM CLI pin different versions of boto3, so that one
/// environment cannot hold both (local-aws.md).
#[derive(Debug)]
pub struct Environment {
    name: &'static str,
    packages: &'static [&'static str],
    /// A directory of the workspace that the packages are named relative to, and what in it they are made of: when that
    /// changes, the environment is made again.
    sources: Option<(&'static str, &'static [&'static str])>,
    /// What to expect, from the measurements in local-aws.md.
    cost: &'static str,
}

/// The local AWS.
pub static MINISTACK: Environment = Environment {
    name: "ministack",
    // The translator is what lets MiniStack apply the SAM transform. It brings boto3, which reads the dashboard.
    packages: &["ministack==1.5.33", "aws-sam-translator"],
    sources: None,
    cost: "110 MB, about 10 s",
};

/// The SAM CLI (`sam`), `cargo-lambda` and `cfn-lint`.
pub static SAM: Environment = Environment {
    name: "sam",
    packages: &["aws-sam-cli==1.170.0", "cargo-lambda==1.9.2", "cfn-lint"],
    sources: None,
    cost: "790 MB, about half a minute",
};

/// axe-core (MPL-2.0), which looks for what keeps people from reading a page. Of the package only its script is used, and
/// that needs nothing else.
pub static AXE_CORE: Environment = Environment {
    name: "axe-core",
    packages: &["--no-deps", "axe-playwright-python==0.1.8"],
    sources: None,
    cost: "20 MB, a few seconds",
};

/// What Odoo 19 needs (erp-apis §2.2).
pub static ODOO: Environment = Environment {
    name: "odoo",
    packages: &[
        "asn1crypto",
        "Babel",
        "cbor2",
        "chardet",
        "cryptography",
        "python-dateutil",
        "docutils",
        "geoip2",
        "gevent",
        "greenlet",
        "idna",
        "Jinja2",
        "libsass",
        "lxml",
        "lxml_html_clean",
        "MarkupSafe",
        "num2words",
        "ofxparse",
        "openpyxl",
        "pyOpenSSL",
        "Pillow",
        "polib",
        "psutil",
        "psycopg2-binary",
        "pypdf",
        "pytz",
        "qrcode",
        "reportlab",
        "requests",
        "rjsmin",
        "pyserial",
        "python-stdnum",
        "urllib3",
        "pyusb",
        "vobject",
        "Werkzeug<3.1",
        "xlrd",
        "XlsxWriter",
        "xlwt",
        "zeep",
        "freezegun",
        "python-magic",
        "passlib",
        "setuptools",
    ],
    sources: None,
    cost: "400 MB, about 25 s",
};

/// The facade over Tryton, of the workspace.
pub const TRYTON_FACADE: &str = "tests/facades/tryton";

/// Tryton, what the facade in front of it needs, and what the tests of the facade need besides.
pub static TRYTON: Environment = Environment {
    name: "tryton",
    packages: &["--requirement", "requirements-test.txt"],
    // What makes a database is here because the environment keeps one.
    sources: Some((
        TRYTON_FACADE,
        &[
            "requirements.txt",
            "requirements-test.txt",
            "norce",
            "database.py",
        ],
    )),
    cost: "170 MB, about a quarter of a minute",
};

/// The Python twins of the benchmarks.
pub const PYTHON_TWINS: &str = "tests/benches/twins/python";

/// What the Python twins of the benchmarks run with.
pub static TWINS: Environment = Environment {
    name: "twins",
    packages: &["--requirement", "requirements.txt"],
    sources: Some((PYTHON_TWINS, &["requirements.txt"])),
    cost: "60 MB, about 10 s",
};

impl Environment {
    /// Makes the environment if it is not there yet, and returns the directory of its programs. What takes long is said to
    /// `progress` when it begins.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub fn install(&self, progress: &dyn Fn(&str)) -> Result<PathBuf, InstallError> {
        let sandbox = sandbox_directory();
        let environment = sandbox.join(self.name);
        let bin = environment.join("bin");
        let _lock = self.lock(&sandbox, progress)?;

        // Scripts of an environment name its directory, so that one that was moved is made again as well.
        let stamp_file = environment.join("installed.txt");
        let mut stamp = format!("{}\n{}\n", self.packages.join("\n"), environment.display());
        if let Some((directory, sources)) = self.sources {
            let state = state_of(&workspace().join(directory), sources)?;
            stamp.push_str(&format!("{state:016x}\n"));
        }
        let is_there = bin.join("python3").exists()
            && fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp);
        if is_there {
            return Ok(bin);
        }

        let python = find_python()?;
        let packages = match self.packages {
            packages @ ([_] | [_, _] | [_, _, _]) => packages.join(" "),
            packages => format!("{} packages for {}", packages.len(), self.name),
        };
        progress(&format!(
            "installing {packages} into {} ({}; once only)",
            environment.display(),
            self.cost
        ));
        if environment.exists() {
            let what = format!("{} cannot be removed", environment.display());
            fs::remove_dir_all(&environment).map_err(io_error(what))?;
        }
        let log = sandbox.join(format!("{}-install.log", self.name));
        run(
            "making a Python virtual environment",
            Command::new(python).args(["-m", "venv"]).arg(&environment),
            &log,
        )?;
        run(
            &format!("installing {packages}"),
            Command::new(bin.join("python3"))
                // Python compiles a module when it is first used. Compiling all of them here took 20 of 78 s.
                .args(["-m", "pip", "install", "--no-input", "--no-compile"])
                .args(["--disable-pip-version-check", "--progress-bar", "off"])
                .args(self.packages)
                .current_dir(workspace().join(self.sources.map_or("", |(directory, _)| directory))),
            &log,
        )?;
        fs::write(&stamp_file, stamp).map_err(io_error(format!(
            "{} cannot be written",
            stamp_file.display()
        )))?;
        Ok(bin)
    }

    /// Held while the environment is looked at or made, so that two processes do not make it at the same time.
    fn lock(&self, sandbox: &Path, progress: &dyn Fn(&str)) -> Result<File, InstallError> {
        let path = sandbox.join(format!("{}.lock", self.name));
        let what = format!("{} cannot be locked", path.display());
        let file = File::create(&path).map_err(io_error(what.as_str()))?;
        if file.try_lock().is_err() {
            progress(&format!("waiting while {} is being installed", self.name));
            file.lock().map_err(io_error(what))?;
        }
        Ok(file)
    }
}

/// A number that is another one when one of these files, or a file below one of these directories, has changed.
fn state_of(directory: &Path, sources: &[&str]) -> Result<u64, InstallError> {
    let mut state = DefaultHasher::new();
    let mut waiting: Vec<PathBuf> = sources
        .iter()
        .map(|source| directory.join(source))
        .collect();
    while let Some(path) = waiting.pop() {
        let unreadable = || io_error(format!("{} cannot be read", path.display()));
        if !path.is_dir() {
            state.write(path.as_os_str().as_encoded_bytes());
            state.write(&fs::read(&path).map_err(unreadable())?);
            continue;
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path).map_err(unreadable())? {
            entries.push(entry.map_err(unreadable())?.path());
        }
        // What Python makes of a module while it runs does not count.
        entries.retain(|entry| !entry.ends_with("__pycache__"));
        entries.sort();
        waiting.extend(entries);
    }
    Ok(state.finish())
}

/// Finds a Python that can make the environments.
///
/// # Errors
/// When there is none.
pub fn find_python() -> Result<String, InstallError> {
    let named = env::var("PYTHON").ok();
    let usual = [
        "python3",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
    ];
    let candidates: Vec<String> = named.into_iter().chain(usual.map(str::to_owned)).collect();
    let is_fit = |python: &&String| {
        Command::new(python)
            .arg("-c")
            .arg("import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let found = candidates.iter().find(is_fit).cloned();
    found.ok_or_else(|| InstallError::NoPython {
        tried: candidates.join(", "),
    })
}

/// Runs one step of an installation to its end, its output in a log file.
fn run(step: &str, command: &mut Command, log: &Path) -> Result<(), InstallError> {
    let unwritable = || io_error(format!("{} cannot be written", log.display()));
    let output = File::create(log).map_err(unwritable())?;
    let errors = output.try_clone().map_err(unwritable())?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .map_err(io_error(format!("{step} cannot be started")))?;
    if status.success() {
        return Ok(());
    }
    Err(InstallError::Step {
        step: step.to_owned(),
        status: status.to_string(),
        log: log.display().to_string(),
        quoted: end_of(log),
    })
}

/// The last lines of a log, as an error quotes them.
pub fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}

/// Whether there is a C compiler, which `ring` is compiled with.
///
/// # Errors
/// When there is none.
pub fn find_c_compiler() -> Result<(), InstallError> {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let found = Command::new(compiler)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err(InstallError::NoCompiler),
    }
}

/// Whether there is a server of PostgreSQL. Debian does not put it on the path.
///
/// # Errors
/// When there is none.
pub fn find_postgresql() -> Result<(), InstallError> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let of_debian = versions.flatten().map(|version| version.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = of_debian.chain(env::split_paths(&path));
    match places.any(|place| place.join("initdb").exists()) {
        true => Ok(()),
        false => Err(InstallError::NoPostgresql),
    }
}

/// The simulators need no optimization for a shop of this size, and are compiled a minute sooner without.
const PROFILE: &str = "profile.dev.package.tests.opt-level=0";

/// The command that builds the sandbox, and the functions in the same profile: what they have in common is compiled once.
pub fn build(with_functions: bool) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--locked", "--config", PROFILE])
        .args(["--package", "tests", "--bin", "sandbox"])
        .current_dir(workspace());
    if with_functions {
        for function in functions() {
            cargo.args(["--package", &function, "--bin", &function]);
        }
    }
    for variable in variables_of_this_package() {
        cargo.env_remove(variable);
    }
    cargo
}

/// The functions, by the names of their packages.
pub fn functions() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("functions"));
    let mut functions: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    functions.sort();
    functions
}

/// The variables with which Cargo describes this program's own package. A program that runs Cargo removes them: build scripts, such
/// as that of `ring`, would take them for a change and make Cargo compile half of the crates again.
pub fn variables_of_this_package() -> impl Iterator<Item = String> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}

/// The workspace.
pub fn workspace() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    directory.canonicalize().unwrap_or(directory)
}

/// Where Cargo builds. A relative `CARGO_TARGET_DIR` starts at the workspace, where the builds are run.
pub fn target() -> PathBuf {
    workspace().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_says_what_to_do() {
        let log = sandbox_directory().join("step-that-fails.log");
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; echo no matching distribution >&2; exit 1"]);
        let text = run("installing x", &mut command, &log)
            .unwrap_err()
            .to_string();
        assert!(text.contains("installing x failed"), "{text}");
        assert!(text.ends_with("100\nno matching distribution"), "{text}");
        assert!(!text.contains("\n80\n"), "{text}");
    }
}
