//! `cargo artifacts`: everything that a deployment needs, for those who have the SAM CLI and no Rust.
//!
//! ```text
//! norce-customer-sync-0.2.0-x86_64/
//!   README.md        how to deploy it
//!   template.yaml    as in the sources, for the processor of these functions
//!   samconfig.toml   an example of two environments
//!   functions/       an archive of each function
//!   conformance      tries a facade in front of an ERP
//!   sbom/            what each of these programs is made of, in CycloneDX
//!   SHA256SUMS       checksums of all of it
//! norce-customer-sync-0.2.0-x86_64.zip
//! norce-customer-sync-0.2.0-x86_64.zip.sha256
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use sandbox_tools::{target, workspace};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::{
    SandboxError,
    deployment::{self, every_function},
    io_error,
    package::{self, Compression, replace, unwritable},
    progress, shown,
};
use crate::local_aws::{Tools, sandbox_directory};

/// The tool that lists what a program is made of, and its version.
const CYCLONEDX: [&str; 2] = ["cargo-cyclonedx", "0.5.9"];
/// The prefix of the names of the files.
const NAME: &str = "norce-customer-sync";

/// The program for teams that write a facade.
const CONFORMANCE: &str = "conformance";

/// What is built.
fn every_program() -> impl Iterator<Item = &'static str> {
    every_function().chain([CONFORMANCE])
}

/// The options of `cargo artifacts`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "cargo artifacts",
    about = "Builds what is deployed with the SAM CLI alone, into target/artifacts"
)]
pub struct Options {
    /// The processor of the functions; another one than this machine's needs its Rust target
    #[arg(long, value_enum, default_value_t)]
    architecture: Architecture,
}

/// A processor, as the template names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Architecture {
    /// Intel and AMD
    #[cfg_attr(not(target_arch = "aarch64"), default)]
    #[value(name = "x86_64")]
    X86,
    /// Graviton
    #[cfg_attr(target_arch = "aarch64", default)]
    #[value(name = "arm64")]
    Arm,
}

impl Architecture {
    fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }

    /// As Rust has it.
    fn target(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm => "aarch64-unknown-linux-gnu",
        }
    }
}

/// Builds the artifacts, and says where they are.
pub async fn run(options: &Options) -> ExitCode {
    let start = Instant::now();
    match build(options.architecture).await {
        Ok(archive) => {
            let took = progress::duration(start.elapsed());
            progress::line(format_args!("\n{} ({took})", shown(&archive)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            progress::line(format_args!("\n{error}"));
            ExitCode::FAILURE
        }
    }
}

async fn build(architecture: Architecture) -> Result<PathBuf, SandboxError> {
    let tools = progress::step("SAM and cargo-lambda", async {
        Tools::sam(progress::detail).await
    })
    .await?;
    let arm64 = architecture == Architecture::Arm;
    let building = deployment::cargo_lambda_build(&tools, arm64, every_program());
    progress::step("Building the functions as they are deployed", building).await?;

    let version = env!("CARGO_PKG_VERSION");
    let name = format!("{NAME}-{version}-{}", architecture.name());
    let directory = target().join("artifacts").join(&name);
    if directory.exists() {
        let what = format!("{} cannot be removed", directory.display());
        fs::remove_dir_all(&directory).map_err(io_error(what))?;
    }
    progress::step("Packing them", async {
        let programs = target().join("lambda");
        let functions: Vec<_> = every_function()
            .map(|function| (function, programs.join(function).join("bootstrap")))
            .collect();
        let template = for_architecture(&read("template.yaml")?, architecture)?;
        package::write(
            &template,
            &functions,
            &directory,
            Compression::Small,
            &tools,
        )
        .await?;
        let conformance = directory.join(CONFORMANCE);
        fs::copy(programs.join(CONFORMANCE).join("bootstrap"), &conformance)
            .map_err(unwritable(&conformance))?;
        place(&directory, "README.md", &read("functions/PACKAGE.md")?)?;
        place(&directory, "LICENSE", &read("LICENSE")?)?;
        let example = example(&read("samconfig.toml")?, architecture)?;
        place(&directory, "samconfig.toml", &example)
    })
    .await?;
    let listing = list_components(&directory, architecture);
    progress::step("Listing what they are made of", listing).await?;

    let sums = checksums(&directory)?;
    place(&directory, "SHA256SUMS", &sums)?;
    archive(&directory, &name, &tools).await
}

/// The template takes no other processor than the one that the functions were built for.
fn for_architecture(template: &str, architecture: Architecture) -> Result<String, SandboxError> {
    let name = architecture.name();
    let any = "    AllowedValues: [x86_64, arm64]\n    Default: x86_64\n";
    let this = format!("    AllowedValues: [{name}]\n    Default: {name}\n");
    let template = replace(template, any, &this)?;
    let either = "\"must be x86_64 or arm64.\"";
    let only = format!("\"must be {name}: the functions of this package are built for it.\"");
    replace(&template, either, &only)
}

/// The example of `samconfig.toml` without what a build needs.
fn example(samconfig: &str, architecture: Architecture) -> Result<String, SandboxError> {
    let built = "`sam build --config-env stage && sam deploy --config-env stage`";
    let text = replace(samconfig, built, "`sam deploy --config-env stage`")?;
    let lines = text.lines().filter_map(|line| match line {
        line if line.starts_with("# Needs `rustup") => None,
        line if line.starts_with("Architecture = ") => {
            Some(format!("Architecture = \"{}\"", architecture.name()))
        }
        line => Some(line.to_owned()),
    });
    Ok(lines.map(|line| line + "\n").collect())
}

/// Lists the components of each program, as CycloneDX has it.
async fn list_components(directory: &Path, architecture: Architecture) -> Result<(), SandboxError> {
    let root = sandbox_directory().join("cargo-cyclonedx");
    let mut install = Command::new("cargo");
    let [tool, version] = CYCLONEDX;
    // It runs for a second: without optimization it is built sooner.
    install
        .args(["install", "--quiet", "--locked", "--debug", tool])
        .args(["--version", version, "--root"])
        .arg(&root);
    let log = sandbox_directory().join("cargo-cyclonedx-install.log");
    progress::run("cargo install cargo-cyclonedx", &mut install, &log).await?;

    let mut list = Command::new(root.join("bin").join(tool));
    list.args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
        .args(["--target", architecture.target(), "--no-build-deps"])
        .args(["--override-filename", SBOM])
        .current_dir(workspace());
    let log = sandbox_directory().join("cargo-cyclonedx.log");
    progress::run(tool, &mut list, &log).await?;

    // It writes beside the manifest of every package, with the places of the sources on this machine.
    let here = format!("path+file://{}/", workspace().display());
    let boms = directory.join("sbom");
    fs::create_dir_all(&boms).map_err(unwritable(&boms))?;
    for manifest in manifests()? {
        let written = manifest.join(format!("{SBOM}.json"));
        let Ok(text) = fs::read_to_string(&written) else {
            continue;
        };
        fs::remove_file(&written).map_err(unwritable(&written))?;
        let package = manifest.file_name().unwrap_or_default();
        if let Some(program) = every_program().find(|program| *program == package) {
            let text = text.replace(&here, "");
            place(&boms, &format!("{program}.cdx.json"), &text)?;
        }
    }
    Ok(())
}

/// The name of a list beside a manifest, for a moment.
const SBOM: &str = "sbom-of-cargo-artifacts";

/// The folders of the packages of the workspace.
fn manifests() -> Result<Vec<PathBuf>, SandboxError> {
    let workspace = workspace();
    let functions = workspace.join("functions");
    let what = format!("{} cannot be read", functions.display());
    let entries = fs::read_dir(&functions).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut manifests: Vec<_> = entries
        .map_err(io_error(what))?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    manifests.extend(
        [
            "shared",
            "tests",
            "tests/benches/empty-function",
            "tests/benches/one-call-function",
            "tests/conformance",
            "tests/tools",
        ]
        .map(|at| workspace.join(at)),
    );
    Ok(manifests)
}

fn read(file: &str) -> Result<String, SandboxError> {
    let path = workspace().join(file);
    fs::read_to_string(&path).map_err(io_error(format!("{} cannot be read", path.display())))
}

fn place(directory: &Path, name: &str, text: &str) -> Result<(), SandboxError> {
    let path = directory.join(name);
    fs::write(&path, text).map_err(unwritable(&path))
}

/// The checksums of all files, as `sha256sum --check` reads them.
fn checksums(directory: &Path) -> Result<String, SandboxError> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    let unreadable = || io_error(format!("{} cannot be read", directory.display()));
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).map_err(unreadable())? {
            let path = entry.map_err(unreadable())?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let lines = files.iter().map(|file| {
        let name = file.strip_prefix(directory).unwrap_or(file);
        Ok(format!("{}  {}\n", checksum(file)?, name.display()))
    });
    lines.collect()
}

fn checksum(file: &Path) -> Result<String, SandboxError> {
    let bytes = fs::read(file).map_err(io_error(format!("{} cannot be read", file.display())))?;
    let digest = Sha256::digest(&bytes);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Packs the directory, and writes the checksum beside the archive.
async fn archive(directory: &Path, name: &str, tools: &Tools) -> Result<PathBuf, SandboxError> {
    let archive = directory.with_file_name(format!("{name}.zip"));
    package::pack(directory, name, &archive, Compression::Small, tools).await?;
    let sum = archive.with_file_name(format!("{name}.zip.sha256"));
    let line = format!("{}  {name}.zip\n", checksum(&archive)?);
    fs::write(&sum, line).map_err(unwritable(&sum))?;
    Ok(archive)
}
