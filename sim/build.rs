//! Says which commit the program is built from, for whoever reads what it wrote of a failure.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TIERGATE_COMMIT");
    // Every commit and checkout writes a line there.
    let log = "../.git/logs/HEAD";
    if Path::new(log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    let given = std::env::var("TIERGATE_COMMIT").ok();
    let commit = given.or_else(asked).unwrap_or_else(|| "of an unknown commit".to_owned());
    println!("cargo::rustc-env=TIERGATE_COMMIT={commit}");
}

/// What git says, where this is built from a clone.
fn asked() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let said = said.trim();
    (output.status.success() && !said.is_empty()).then(|| format!("commit {said}"))
}
