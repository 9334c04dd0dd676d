//! The commit of the sources, and the files that change with it. Git reports both, so that worktrees and packed references need
//! no code here.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The digits of a commit: unique in a repository of millions of objects.
const DIGITS: &str = "--short=12";

/// The commit that is checked out; `None`: there is no Git, no repository, or no commit in it.
pub(crate) fn commit(sources: &Path) -> Option<String> {
    git(sources, &["rev-parse", "--verify", DIGITS, "HEAD"])
}

/// The files that change when another commit is checked out: `HEAD`, the reference that it names, and the packed references. For a
/// reference without a file of its own, the directory where Git would create that file. Missing files are left out, because Cargo
/// rebuilds every time for a watched file that does not exist.
pub(crate) fn watched(sources: &Path) -> Vec<PathBuf> {
    let place = |name: &str| {
        let path = git(sources, &["rev-parse", "--git-path", name])?;
        Some(sources.join(path))
    };
    let reference = git(sources, &["symbolic-ref", "--quiet", "HEAD"]);
    let reference = reference.and_then(|reference| place(&reference));
    let reference = reference.and_then(|file| {
        let mut there = file.ancestors().filter(|path| path.exists());
        there.next().map(Path::to_path_buf)
    });
    let others = ["HEAD", "packed-refs"].into_iter().filter_map(place);
    let others = others.filter(|path| path.exists());
    others.chain(reference).collect()
}

fn git(sources: &Path, arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git")
        .arg("-C")
        .arg(sources)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let text = text.trim();
    (answer.status.success() && !text.is_empty()).then(|| text.to_owned())
}
