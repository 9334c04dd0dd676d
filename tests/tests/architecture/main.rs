//! The rules of `ARCHITECTURE.md` about the sources: no circles between files, arrows that only point down the layers
//! of `shared`, and files and functions of readable length. The lists here name what breaks a rule today; an entry that
//! is no longer needed fails the test.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use sources::{Arrow, Crate, Function, circles};
use tests::documents::root;

/// Lines of a file without its tests.
const MAX_FILE_LINES: usize = 600;
/// Lines of a function of the product.
const MAX_FUNCTION_LINES: usize = 100;
/// Lines of a function of the tests: a story may be longer than a rule.
const MAX_TEST_FUNCTION_LINES: usize = 150;

/// Files that use each other in a circle, by their crates.
const KNOWN_CIRCLES: &[(&str, &[&str])] = &[];

/// Arrows up the layers of `shared`: the file, and the module that it uses.
const KNOWN_ARROWS_UP: &[(&str, &str)] = &[];

/// Files that are too long.
const KNOWN_LONG_FILES: &[&str] = &[];

/// Functions that are too long, with their files.
const KNOWN_LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// Crates that do I/O, or come with a runtime for it: nothing of them is in `domain`.
const IO_CRATES: [&str; 4] = ["http", "lambda_runtime", "reqwest", "tokio"];

fn read(file: &Path) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

fn folders(of: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(of)).unwrap();
    let names = entries.map(|entry| Path::new(of).join(entry.unwrap().file_name()));
    let mut folders: Vec<PathBuf> = names.filter(|it| root().join(it).is_dir()).collect();
    folders.sort();
    folders
}

/// The libraries and programs of the product, by their folders.
static CRATES: LazyLock<Vec<(PathBuf, Crate)>> = LazyLock::new(|| {
    let mut folders = folders("functions");
    folders.push(PathBuf::from("shared"));
    let roots = folders.iter().flat_map(|folder| {
        let roots = ["lib.rs", "main.rs"].map(|name| folder.join("src").join(name));
        let there = roots.into_iter().filter(|file| root().join(file).exists());
        there.map(|file| (folder.join("src"), Crate::read(&file, &read)))
    });
    let crates: Vec<_> = roots.collect();
    assert!(crates.len() > 10, "the crates are somewhere else now");
    crates
});

fn shared() -> &'static Crate {
    let mut crates = CRATES.iter();
    let (_, shared) = crates
        .find(|(folder, _)| folder == Path::new("shared/src"))
        .unwrap();
    shared
}

fn rust_files(of: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(of)).unwrap() {
        let path = of.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Fails with what breaks the rule and is not known, and with what is known and no longer breaks it.
fn assert_known<T: Ord + std::fmt::Debug>(
    rule: &str,
    found: &BTreeMap<T, String>,
    known: impl IntoIterator<Item = T>,
) {
    let known: BTreeSet<T> = known.into_iter().collect();
    let unneeded = known.iter().filter(|entry| !found.contains_key(entry));
    let unneeded = unneeded.map(|entry| format!("no longer needed in the list: {entry:?}"));
    let new = found.iter().filter(|(entry, _)| !known.contains(entry));
    let new = new.map(|(entry, detail)| format!("{entry:?}: {detail}"));
    let faults: Vec<String> = unneeded.chain(new).collect();
    assert!(faults.is_empty(), "{rule}\n{}", faults.join("\n"));
}

/// The arrows of a circle, one for each pair of files.
fn described(circle: &BTreeSet<PathBuf>, arrows: &BTreeSet<Arrow>) -> String {
    let mut pairs: BTreeMap<(&PathBuf, &PathBuf), Vec<&str>> = BTreeMap::new();
    for arrow in arrows {
        if circle.contains(&arrow.from) && circle.contains(&arrow.to) {
            let by = pairs.entry((&arrow.from, &arrow.to)).or_default();
            by.push(&arrow.by);
        }
    }
    let pairs = pairs.into_iter().map(|((from, to), by)| {
        let first = by.first().copied().unwrap_or_default();
        format!("\n    {} -> {} by {first}", from.display(), to.display())
    });
    pairs.collect()
}

#[test]
fn no_files_of_a_crate_use_each_other_in_a_circle() {
    let mut found = BTreeMap::new();
    for (folder, sources) in CRATES.iter() {
        let arrows = sources.arrows();
        for circle in circles(&arrows) {
            let names = circle.iter().map(|file| {
                let file = file.strip_prefix(folder).unwrap_or(file);
                text(file)
            });
            let names: BTreeSet<String> = names.collect();
            found.insert((text(folder), names), described(&circle, &arrows));
        }
    }
    let known = KNOWN_CIRCLES.iter().map(|(folder, files)| {
        let files = files.iter().map(ToString::to_string);
        (format!("{folder}/src"), files.collect())
    });
    assert_known("files in a circle", &found, known);
}

/// The layers of `shared` from the top, as `ARCHITECTURE.md` draws them.
fn layers() -> Vec<BTreeSet<String>> {
    let document = read(Path::new("ARCHITECTURE.md")).unwrap();
    let (_, section) = document.split_once("\n## Layers\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let drawing = section.lines().filter(|line| line.starts_with("    "));
    let drawing: Vec<&str> = drawing.collect();
    let modules: BTreeSet<String> = top_modules();
    let layers = drawing.join("\n");
    let layers = layers.split('▼').map(|layer| {
        let words = layer.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let words = words.filter(|word| modules.contains(*word));
        words.map(str::to_owned).collect()
    });
    layers.collect()
}

fn top_modules() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("shared/src")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .filter(|name| name != "lib")
        .collect()
}

/// The module of `shared` that a file belongs to.
fn top_module(file: &Path) -> String {
    let inside = file.strip_prefix("shared/src").unwrap();
    let first = inside.components().next().unwrap();
    let first = first.as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn every_arrow_of_shared_points_down_the_layers_that_are_drawn() {
    let layers = layers();
    let layer = |module: &str| {
        let places = layers.iter().enumerate();
        let places = places.filter(|(_, layer)| layer.contains(module));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        match places[..] {
            [place] => place,
            _ => {
                panic!("`{module}` has to be in one layer of ARCHITECTURE.md, and is in {places:?}")
            }
        }
    };
    for module in top_modules() {
        layer(&module);
    }
    let mut found = BTreeMap::new();
    let arrows = shared().arrows();
    assert!(arrows.len() > 500, "the arrows are no longer seen");
    for Arrow { from, to, by } in arrows {
        if from == Path::new("shared/src/lib.rs") {
            continue;
        }
        let (user, used) = (top_module(&from), top_module(&to));
        if layer(&user) > layer(&used) {
            found.insert((text(&from), used), by);
        }
    }
    let known = KNOWN_ARROWS_UP.iter();
    let known = known.map(|(file, module)| ((*file).to_owned(), (*module).to_owned()));
    assert_known("arrows up the layers", &found, known);
}

#[test]
fn domain_uses_no_crate_that_does_input_or_output() {
    let mut found = BTreeMap::new();
    for (file, name) in shared().crates() {
        let is_io = IO_CRATES.contains(&name.as_str()) || name.starts_with("aws_");
        if is_io && file.starts_with("shared/src/domain") {
            found.insert((text(&file), name), String::new());
        }
    }
    assert_known("I/O in the domain", &found, []);
}

/// `DisplayErrorContext` and `{:?}` of an error of the AWS SDK print the answer, which may be a secret (P11):
/// `shared::aws::explain` says what there is to say.
#[test]
fn p11_no_source_of_the_product_prints_what_aws_has_answered() {
    let mut files = Vec::new();
    rust_files(Path::new("functions"), &mut files);
    rust_files(Path::new("shared"), &mut files);
    assert!(files.len() > 200, "the files are no longer seen");
    let mut found = BTreeMap::new();
    for file in files {
        if read(&file).unwrap().contains("DisplayErrorContext") {
            found.insert(text(&file), String::new());
        }
    }
    assert_known("answers of AWS in a text", &found, []);
}

#[test]
fn no_file_is_longer_than_can_be_read() {
    let mut found = BTreeMap::new();
    for (_, sources) in CRATES.iter() {
        for (file, lines) in &sources.lines {
            if *lines > MAX_FILE_LINES {
                found.insert(text(file), format!("{lines} lines"));
            }
        }
    }
    let known = KNOWN_LONG_FILES.iter().map(ToString::to_string);
    assert_known("files that are too long", &found, known);
}

#[test]
fn no_function_is_longer_than_can_be_read() {
    let mut files = Vec::new();
    rust_files(Path::new("tests"), &mut files);
    let of_tests = files.iter().flat_map(|file| {
        let text = read(file).unwrap();
        Crate::functions_of_tests(file, &text)
    });
    let of_tests: Vec<Function> = of_tests.collect();
    let of_product = CRATES.iter().flat_map(|(_, sources)| &sources.functions);
    let functions: Vec<&Function> = of_product.chain(&of_tests).collect();
    assert!(functions.len() > 3_000, "the functions are no longer seen");
    let mut found = BTreeMap::new();
    for function in functions {
        let limit = if function.of_tests {
            MAX_TEST_FUNCTION_LINES
        } else {
            MAX_FUNCTION_LINES
        };
        if function.lines > limit {
            let key = (text(&function.file), function.name.clone());
            found.insert(key, format!("{} lines", function.lines));
        }
    }
    let known = KNOWN_LONG_FUNCTIONS.iter();
    let known = known.map(|(file, name)| ((*file).to_owned(), (*name).to_owned()));
    assert_known("functions that are too long", &found, known);
}

/// The circles of a crate whose files are these.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let read = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned())
    };
    let sources = Crate::read(Path::new("lib.rs"), &read);
    let circles = circles(&sources.arrows());
    let names = circles.iter().map(|it| it.iter().map(|file| text(file)));
    names.map(Iterator::collect).collect()
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let both = vec![vec!["a.rs".to_owned(), "b.rs".to_owned()]];
    let declares = ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;\n");
    for (case, a, b) in [
        (
            "imports",
            "use crate::b::B;\npub struct A(B);",
            "use super::a::A;\npub struct B(A);",
        ),
        (
            "paths",
            "pub struct A(crate::b::B);",
            "pub struct B(super::a::A);",
        ),
        (
            "re-exports",
            "use crate::B;\npub struct A(B);",
            "use crate::A;\npub struct B(A);",
        ),
        (
            "a module",
            "use crate::b;\npub struct A(b::B);",
            "use crate::a;\npub struct B(a::A);",
        ),
        (
            "a group",
            "use crate::{b::{B as C}};\npub struct A(C);",
            "use super::a::{self};\npub struct B(a::A);",
        ),
        (
            "a macro",
            "pub struct A;\nsay!(crate::b::B);",
            "pub struct B;\nfn b() { say!({ crate::a::A }) }",
        ),
        (
            "a method",
            "use crate::b::B;\nimpl B { pub fn a(&self) {} }\npub struct A;",
            "pub struct B;\nimpl B { fn b(&self) { self.a(); } }",
        ),
        (
            "a method of a parameter",
            "use crate::b::B;\nimpl B { pub fn a(&self) {} }\npub struct A;",
            "pub struct B;\nfn b(of: &B) { of.a(); }",
        ),
    ] {
        let found = circles_of(&[declares, ("a.rs", a), ("b.rs", b)]);
        assert_eq!(found, both, "{case}");
    }
}

#[test]
fn what_is_no_circle_is_not_taken_for_one() {
    let none: Vec<Vec<String>> = Vec::new();
    for (case, lib, a, b) in [
        (
            "a parent that re-exports",
            "mod a;\nmod b;\npub use a::A;\npub struct Of;",
            "use super::Of;\npub struct A(Of);",
            "pub struct B;",
        ),
        (
            "one way",
            "mod a;\nmod b;",
            "use crate::b::B;\npub struct A(B);",
            "pub struct B;",
        ),
        (
            "tests",
            "mod a;\nmod b;",
            "use crate::b::B;\npub struct A(B);",
            "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; fn of(a: A) {} }",
        ),
        (
            "another crate",
            "mod a;\nmod b;",
            "use b::B;\npub struct A(B);",
            "use a::A;\npub struct B(A);",
        ),
    ] {
        let found = circles_of(&[("lib.rs", lib), ("a.rs", a), ("b.rs", b)]);
        assert_eq!(found, none, "{case}");
    }
    let used = "mod a;\npub use a::A;\npub struct Of;\nfn of(a: A) {}";
    let found = circles_of(&[
        ("lib.rs", used),
        ("a.rs", "use super::Of;\npub struct A(Of);"),
    ]);
    assert_eq!(
        found,
        [["a.rs", "lib.rs"]],
        "a parent that uses what it re-exports"
    );
}
