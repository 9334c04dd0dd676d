//! Input of `sam deploy` without a build: an archive of each function, and the template that names the archives.

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures_util::future::try_join_all;
use tokio::process::Command;

use super::{SandboxError, io_error};
use crate::local_aws::Tools;

/// Packs files, with Python's own library.
const ARCHIVE: &str = include_str!("archive.py");

/// The compression of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// For a deployment on this machine: 2 s for functions without optimization, in place of 12 s.
    Fast,
    /// For downloads.
    Small,
}

impl Compression {
    /// As zlib has it.
    fn level(self) -> &'static str {
        match self {
            Self::Fast => "1",
            Self::Small => "9",
        }
    }
}

/// Writes a template, and the archives of the functions that it has, into a directory. Each function is given by its name and
/// its program. Returns the path of the template.
pub(super) async fn write(
    template: &str,
    functions: &[(&str, PathBuf)],
    directory: &Path,
    compression: Compression,
    python: &Tools,
) -> Result<PathBuf, SandboxError> {
    let archives = directory.join("functions");
    fs::create_dir_all(&archives).map_err(unwritable(&archives))?;
    let mut packaged = template.to_owned();
    for (function, _) in functions {
        let source = format!("CodeUri: functions/{function}\n");
        let archive = format!("CodeUri: functions/{function}.zip\n");
        packaged = replace(&packaged, &source, &archive)?;
    }
    try_join_all(functions.iter().map(async |(function, program)| {
        let archive = archives.join(format!("{function}.zip"));
        pack(program, "bootstrap", &archive, compression, python).await
    }))
    .await?;
    let path = directory.join("template.yaml");
    fs::write(&path, packaged).map_err(unwritable(&path))?;
    Ok(path)
}

/// Packs a program or a directory into an archive, under a name.
pub(super) async fn pack(
    path: &Path,
    name: &str,
    archive: &Path,
    compression: Compression,
    python: &Tools,
) -> Result<(), SandboxError> {
    let packed = Command::new(python.program("python3"))
        .args(["-c", ARCHIVE])
        .arg(archive)
        .arg(compression.level())
        .arg(path)
        .arg(name)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(io_error("Python cannot be started"))?;
    if packed.status.success() {
        return Ok(());
    }
    Err(SandboxError::Step {
        what: format!("packing {}", path.display()),
        status: packed.status.to_string(),
        log: "its output".to_owned(),
        quoted: String::from_utf8_lossy(&packed.stderr).into_owned(),
    })
}

/// Replaces a text that has to be there.
pub(super) fn replace(text: &str, what: &str, with: &str) -> Result<String, SandboxError> {
    if text.contains(what) {
        return Ok(text.replace(what, with));
    }
    Err(SandboxError::Day(format!(
        "`{}` was expected, and is not there",
        what.trim()
    )))
}

/// The error of a file that cannot be written.
pub(super) fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> SandboxError + use<> {
    io_error(format!("{} cannot be written", path.display()))
}
