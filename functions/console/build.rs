//! Puts the page together, compresses it, and names its files by what is in them, so that a browser may keep them for good.

#![allow(clippy::print_stdout, reason = "Cargo reads it")]

#[path = "build/bundle.rs"]
mod bundle;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zopfli::{Format, Options};

/// What the page is made of.
const PAGE: &str = "page";
/// The one file that has the same address always, and names the others.
const DOCUMENT: &str = "index.html";
/// The module that the document loads, with all that it imports.
const ENTRY: &str = "app.js";
/// Where the document names the directory of the others.
const DIRECTORY: &str = "{{assets}}";
/// So many characters of the digest: enough for every release that there will be.
const DIGITS: usize = 16;
/// More gain a few bytes, and a build of the tests takes seconds longer.
const COMPRESSION_ROUNDS: NonZeroU64 = NonZeroU64::MIN.saturating_add(4);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PAGE}");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(PAGE)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or("a file name that is not Unicode")?.to_owned();
        let text = fs::read_to_string(&path)?;
        let text = match name.ends_with(".css") {
            true => bundle::style(&text)?,
            false => text,
        };
        files.insert(name, text);
    }
    let script = bundle::bundle(ENTRY, &mut files)?;
    files.insert(ENTRY.to_owned(), script);

    // One digest for all: the files name each other by relative addresses, and change together.
    let mut digest = Sha256::new();
    for (name, content) in files.iter().filter(|(name, _)| *name != DOCUMENT) {
        digest.update(name.as_bytes());
        digest.update(content);
    }
    let hash = hexadecimal(&digest.finalize());

    let mut table = format!("const HASH: &str = \"{hash}\";\nconst FILES: &[Asset] = &[\n");
    for (name, mut content) in files {
        if name == DOCUMENT {
            content = content.replace(DIRECTORY, &format!("/console/assets/{hash}"));
        }
        write(&out, &name, content.as_bytes())?;
        write(&out, &format!("{name}.gz"), &compressed(&content)?)?;
        let tag = hexadecimal(&Sha256::digest(&content));
        writeln!(
            table,
            "Asset {{ name: {name:?}, tag: \"\\\"{tag}\\\"\", \
             plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")), \
             gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.gz\")) }},"
        )?;
    }
    table += "];\n";
    write(&out, "assets.rs", table.as_bytes())
}

fn compressed(content: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let options = Options {
        iteration_count: COMPRESSION_ROUNDS,
        ..Options::default()
    };
    let mut compressed = Vec::new();
    zopfli::compress(options, Format::Gzip, content.as_bytes(), &mut compressed)?;
    Ok(compressed)
}

fn write(directory: &Path, name: &str, content: &[u8]) -> Result<(), Box<dyn Error>> {
    Ok(fs::write(directory.join(name), content)?)
}

fn hexadecimal(digest: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(DIGITS);
    text
}
