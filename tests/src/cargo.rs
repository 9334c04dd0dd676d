//! What Cargo tells the programs that it runs.

/// The variables by which Cargo has told this program about its own package. Where it runs Cargo in turn, they are taken away: build
/// scripts, such as that of `ring`, would take them for a change, and half of the crates would be compiled again.
pub fn variables_of_this_package() -> impl Iterator<Item = String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}
