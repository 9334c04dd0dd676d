//! Compresses the page and names its files by what is in them, so that a browser may keep them for good.

#![allow(clippy::print_stdout, reason = "Cargo reads it")]

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// What the page is made of.
const PAGE: &str = "page";
/// The one file that has the same address always, and names the others.
const DOCUMENT: &str = "index.html";
/// Where the document names the directory of the others.
const DIRECTORY: &str = "{{assets}}";
/// So many characters of the digest: enough for every release that there will be.
const DIGITS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PAGE}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    for entry in fs::read_dir(PAGE)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or("a file name that is not Unicode")?.to_owned();
        files.push((name, fs::read(&path)?));
    }
    files.sort();

    // One digest for all: the modules name each other by relative addresses, and change together.
    let mut digest = Sha256::new();
    for (name, content) in files.iter().filter(|(name, _)| name != DOCUMENT) {
        digest.update(name.as_bytes());
        digest.update(content);
    }
    let hash = hexadecimal(&digest.finalize());

    let mut table = format!("const HASH: &str = \"{hash}\";\nconst FILES: &[Asset] = &[\n");
    for (name, mut content) in files {
        if name == DOCUMENT {
            let directory = format!("/console/assets/{hash}");
            content = String::from_utf8(content)?
                .replace(DIRECTORY, &directory)
                .into_bytes();
        }
        write(&out, &name, &content)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        write(&out, &format!("{name}.gz"), &encoder.finish()?)?;
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
