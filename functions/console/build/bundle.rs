//! Puts the modules of the page into one file: each file that a browser asks for is an invocation of the function, of which
//! only a few run at a time, and one file is compressed better than many.
//!
//! This is no parser. It takes the modules as they are written here, line by line, and refuses everything else, so that what
//! it cannot read ends the build instead of the page. Each module becomes a function that returns its exports, so that its
//! names stay its own.

use std::collections::{BTreeMap, BTreeSet};

/// The module that is the table of words: `export const WORDS = { "key": ["English", "Swedish"], … };`
const WORDS: &str = "words.js";
/// The languages of the table.
const LANGUAGES: usize = 2;

/// A module, read.
#[derive(Default)]
struct Module {
    /// The modules that it imports, each with the names.
    imports: Vec<(String, String)>,
    /// What it exports.
    exports: Vec<String>,
    /// Its lines without imports, `export`, comments and leading blanks.
    body: String,
}

/// Takes the entry module and everything that it imports out of the files, and returns them as one module.
///
/// # Errors
/// With the file and the line that is written in another way than expected here.
pub(crate) fn bundle(entry: &str, files: &mut BTreeMap<String, String>) -> Result<String, String> {
    let mut modules = BTreeMap::new();
    let mut wanted = vec![entry.to_owned()];
    while let Some(name) = wanted.pop() {
        if modules.contains_key(&name) {
            continue;
        }
        let text = files.remove(&name);
        let text = text.ok_or_else(|| format!("{name}: there is no such module"))?;
        let text = if name == WORDS { words(&text)? } else { text };
        let module = read(&text).map_err(|fault| format!("{name}: {fault}"))?;
        wanted.extend(module.imports.iter().map(|(from, _)| from.clone()));
        modules.insert(name, module);
    }
    for (name, module) in &modules {
        for (from, names) in &module.imports {
            let exports = &modules[from].exports;
            let mut names = names.split(", ");
            if let Some(missing) = names.find(|name| !exports.iter().any(|it| it == name)) {
                return Err(format!("{name}: {from} exports no `{missing}`"));
            }
        }
    }
    let mut bundle = Bundle {
        modules: &modules,
        entry,
        begun: BTreeSet::new(),
        written: BTreeSet::new(),
        text: String::new(),
    };
    bundle.write(entry)?;
    match files.keys().find(|name| name.ends_with(".js")) {
        Some(name) => Err(format!("{name}: nothing imports it")),
        None => Ok(bundle.text),
    }
}

/// The modules as one text.
struct Bundle<'a> {
    modules: &'a BTreeMap<String, Module>,
    entry: &'a str,
    /// Modules whose imports are written, or being written.
    begun: BTreeSet<&'a str>,
    written: BTreeSet<&'a str>,
    text: String,
}

impl<'a> Bundle<'a> {
    /// Writes a module after what it imports.
    fn write(&mut self, name: &'a str) -> Result<(), String> {
        if self.written.contains(name) {
            return Ok(());
        }
        if !self.begun.insert(name) {
            return Err(format!("{name}: it imports itself, by way of others"));
        }
        let Module {
            imports,
            exports,
            body,
        } = &self.modules[name];
        for (from, _) in imports {
            self.write(from)?;
        }
        let imports: String = imports
            .iter()
            .map(|(from, names)| format!("const {{ {names} }} = {};\n", variable(from)))
            .collect();
        // The entry may wait (`await`), which a function would have to be asked to.
        self.text += &match name == self.entry {
            true => format!("{imports}{body}"),
            false => format!(
                "const {} = (() => {{\n{imports}{body}return {{ {} }};\n}})();\n",
                variable(name),
                exports.join(", ")
            ),
        };
        self.written.insert(name);
        Ok(())
    }
}

/// The variable of a module's exports.
fn variable(name: &str) -> String {
    format!("${}", name.trim_end_matches(".js").replace('-', "_"))
}

fn read(text: &str) -> Result<Module, String> {
    let mut module = Module::default();
    for line in lines(text)? {
        if let Some(rest) = line.text.strip_prefix("import ") {
            let import = import(rest).ok_or_else(|| line.fault())?;
            module.imports.push(import);
            continue;
        }
        let mut code = line.text;
        if let Some(exported) = code.strip_prefix("export ") {
            let name = exported_name(exported).filter(|_| line.is_top);
            module.exports.push(name.ok_or_else(|| line.fault())?);
            code = exported;
        }
        module.body.push_str(code);
        module.body.push('\n');
    }
    Ok(module)
}

/// `{ a, b } from "./x.js";`
fn import(rest: &str) -> Option<(String, String)> {
    let (names, from) = rest.strip_prefix("{ ")?.split_once(" } from \"./")?;
    let is_plain = names.split(", ").all(|name| name.chars().all(is_of_name));
    is_plain.then_some((from.strip_suffix("\";")?.to_owned(), names.to_owned()))
}

/// The name of a declaration.
fn exported_name(code: &str) -> Option<String> {
    let code = code.strip_prefix("async ").unwrap_or(code);
    let kinds = ["function ", "const ", "class "];
    let rest = kinds.iter().find_map(|kind| code.strip_prefix(kind))?;
    let name: String = rest.chars().take_while(|sign| is_of_name(*sign)).collect();
    (!name.is_empty()).then_some(name)
}

fn is_of_name(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// A line with something in it.
struct Line<'a> {
    number: usize,
    is_top: bool,
    text: &'a str,
}

impl Line<'_> {
    fn fault(&self) -> String {
        format!(
            "line {} is written in a way that the build does not know",
            self.number
        )
    }
}

/// The lines without the blanks around them and without comments, which stand on lines of their own.
fn lines(text: &str) -> Result<Vec<Line<'_>>, String> {
    let mut lines = Vec::new();
    let mut is_comment = false;
    for (at, whole) in text.lines().enumerate() {
        let text = whole.trim();
        let line = Line {
            number: at + 1,
            is_top: whole.starts_with(|first: char| !first.is_whitespace()),
            text,
        };
        is_comment |= text.starts_with("/*");
        if is_comment || text.is_empty() || text.starts_with("//") {
            if is_comment && text.contains("*/") {
                is_comment = false;
                if !text.ends_with("*/") {
                    return Err(line.fault());
                }
            }
            continue;
        }
        // The blanks of a text that goes on in the next line are a part of it.
        if text.matches('`').count() % 2 == 1 {
            return Err(line.fault());
        }
        lines.push(line);
    }
    Ok(lines)
}

/// The table of words by columns, which are compressed better than rows, as the same module.
fn words(text: &str) -> Result<String, String> {
    let fault =
        |at: &str| format!("{WORDS}: {at} is not of the form \"key\": [\"English\", \"Swedish\"],");
    let mut columns = vec![String::new(); LANGUAGES + 1];
    let (_, mut rest) = text.split_once("{\n").ok_or_else(|| fault("it"))?;
    let mut keys = BTreeSet::new();
    loop {
        rest = rest.trim_start();
        if rest.trim_end() == "};" {
            break;
        }
        let (key, mut row) = quoted(rest).ok_or_else(|| fault("the last entry"))?;
        if !keys.insert(key) {
            return Err(format!("{WORDS}: `{key}` is there twice"));
        }
        columns[0] += &format!("{key}\\n");
        for (column, before) in columns[1..].iter_mut().zip([": [", ", "]) {
            let word = row.strip_prefix(before).and_then(quoted);
            let (word, after) = word.ok_or_else(|| fault(key))?;
            *column += &format!("{word}\\n");
            row = after;
        }
        rest = row.strip_prefix("],").ok_or_else(|| fault(key))?;
    }
    let columns = columns.join("\", \"");
    Ok(format!(
        "export const WORDS = ((keys, ...languages) => Object.fromEntries(keys.map((key, at) => [key, languages.map((words) => words[at])])))(...[\"{columns}\"].map((text) => text.split(\"\\n\")));"
    ))
}

/// A text in quotation marks with something in it and nothing that had to be written as something else, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.strip_prefix('"')?.split_once('"')?;
    let is_plain = !word.is_empty() && !word.contains(['\\', '`']);
    is_plain.then_some((word, rest))
}

fn joined(lines: &[Line<'_>]) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + line.text + "\n")
}

/// A style sheet without comments and leading blanks.
///
/// # Errors
/// As [`bundle`].
pub(crate) fn style(text: &str) -> Result<String, String> {
    Ok(joined(&lines(text)?))
}
