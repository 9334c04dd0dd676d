//! The documents of the project.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What has no documents of ours.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// A document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Where it is, from the root of the workspace.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    sandbox_tools::workspace()
}

/// Every document in Markdown, by its path.
///
/// # Errors
/// When one cannot be read.
pub fn documents() -> io::Result<Vec<Document>> {
    let mut documents = Vec::new();
    collect(&root(), Path::new(""), &mut documents)?;
    documents.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(documents)
}

fn collect(root: &Path, below: &Path, documents: &mut Vec<Document>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !LEFT_OUT.iter().any(|name| path.ends_with(name)) {
                collect(root, &path, documents)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(root.join(&path))?;
            documents.push(Document { path, text });
        }
    }
    Ok(())
}

/// The anchor that GitHub gives a heading.
pub fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|character| character.is_alphanumeric() || [' ', '-', '_'].contains(character));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

impl Document {
    /// The anchors of its headings.
    pub fn anchors(&self) -> impl Iterator<Item = String> {
        let headings = self.lines_outside_code();
        let headings = headings.filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim()))
    }

    /// The lines that are no code.
    pub fn lines_outside_code(&self) -> impl Iterator<Item = &str> {
        let mut is_code = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence
        })
    }

    /// The commands that it shows: the lines of its blocks of shell, comments left out.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let mut is_shell = false;
        let lines = self.text.lines().filter(move |line| {
            let line = line.trim_start();
            if line.starts_with("```") {
                is_shell = line == "```sh";
                return false;
            }
            is_shell
        });
        let commands = lines.map(|line| line.split(" #").next().unwrap_or_default().trim());
        commands.filter(|command| !command.is_empty() && !command.starts_with('#'))
    }
}
