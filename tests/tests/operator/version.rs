//! The version that `status` reports, and how the build finds the commit.

#[path = "../../../functions/operator/build/commit.rs"]
mod commit;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tests::bundle::{Bundle, Options};
use uuid::Uuid;

use commit::{commit, watched};

#[tokio::test(start_paused = true)]
async fn status_reports_the_version_and_the_commit_where_the_build_knows_it() {
    let bundle = Bundle::new(&Options::default());
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    // That of the workspace, which is the tests' too.
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    // A build of the tests asks Git nothing, so that a commit costs no compilation.
    let expected = option_env!("BUILD_COMMIT").map_or(Value::Null, Value::from);
    assert_eq!(status.get("commit"), Some(&expected));
}

/// A directory that is gone in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("operator-commit-{}", Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        // As Git says it.
        Self(path.canonicalize().unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs Git where it is installed, without the user's settings.
fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let identity = [
        "-c",
        "user.name=Tests",
        "-c",
        "user.email=tests@example.com",
    ];
    let answer = Command::new("git")
        .args(identity)
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(answer.status.success(), "git {arguments:?}");
    Some(text.trim().to_owned())
}

fn new_commit(directory: &Path) {
    git(
        directory,
        &["commit", "--quiet", "--allow-empty", "-m", "x"],
    );
}

/// The modification time and the content of each watched file: a change of either makes Cargo rebuild.
fn fingerprint(sources: &Path) -> Vec<(PathBuf, std::time::SystemTime, Vec<u8>)> {
    let files = watched(sources).into_iter();
    let files = files.map(|path| {
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let content = fs::read(&path).unwrap_or_default();
        (path, time, content)
    });
    files.collect()
}

/// Whatever moves `HEAD` moves a watched file, and nothing that is watched is missing.
fn expect_seen(sources: &Path, moved: &str, how: impl FnOnce()) {
    let before = (commit(sources), fingerprint(sources));
    how();
    let files = before.1.iter();
    let mut changed = files.filter(|(path, time, content)| {
        let now = fs::metadata(path).and_then(|file| file.modified());
        now.is_ok_and(|now| now != *time) || fs::read(path).unwrap_or_default() != *content
    });
    assert!(changed.next().is_some(), "{moved}: {before:?}");
    assert_ne!(commit(sources), before.0, "{moved}");
    assert!(watched(sources).iter().all(|path| path.exists()), "{moved}");
}

#[test]
fn the_build_finds_the_commit_and_builds_again_when_another_one_is_checked_out() {
    let directory = Directory::new();
    let root = directory.0.as_path();
    // Without a repository, or without Git, nothing is known and nothing is watched.
    assert_eq!((commit(root), watched(root)), (None, Vec::new()));
    if git(root, &["init", "--quiet"]).is_none() {
        return;
    }
    assert_eq!(commit(root), None, "nothing is committed yet");
    let sources = root.join("functions/operator");
    fs::create_dir_all(&sources).unwrap();
    expect_seen(&sources, "the first commit", || new_commit(root));
    let full = git(root, &["rev-parse", "HEAD"]).unwrap();
    assert_eq!(commit(&sources).as_deref(), Some(&full[..12]));
    expect_seen(&sources, "a commit", || new_commit(root));
    git(root, &["pack-refs", "--all"]);
    expect_seen(&sources, "a commit after packing", || new_commit(root));
    expect_seen(&sources, "a detached head", || {
        git(root, &["checkout", "--quiet", "--detach", "HEAD~1"]);
    });
    expect_seen(&sources, "a commit on it", || new_commit(root));
    // A worktree has a `HEAD` of its own, and the references of its repository.
    let other = Directory::new();
    let tree = other.0.join("tree");
    let place = tree.to_str().unwrap();
    git(
        root,
        &["worktree", "add", "--quiet", "-b", "deep/branch", place],
    );
    expect_seen(&tree, "a commit in a worktree", || new_commit(&tree));
    let here = fingerprint(&tree);
    new_commit(root);
    assert_eq!(fingerprint(&tree), here, "another worktree moved");
}
