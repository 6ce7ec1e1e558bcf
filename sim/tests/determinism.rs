//! One seed is one history: in two processes, in a debug and in a release build, today and tomorrow.
//!
//! `golden/` holds what some seeds come to, as a release build wrote it; these tests are a debug build. A
//! change that is meant to change histories writes it anew with `scripts/golden`; one that is not has found
//! its bug here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    fs::read_to_string(&path).unwrap_or_else(|_| panic!("nothing is pinned for {name}: run scripts/golden"))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate-sim"));
    command.args(arguments).stdout(Stdio::piped());
    command
}

/// The lines of its output that contain `wanted`.
fn lines(command: &mut Command, wanted: &str) -> String {
    let output = command.output().expect("the binary was built for this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(wanted)).map(|line| format!("{line}\n")).collect()
}

/// Seeds of `explore`: two processes at the same time, and a release build, say the same.
#[test]
fn explored_seeds_are_the_same_everywhere() {
    let arguments = ["explore", "--seeds", "8", "--requests", "60", "--digests"];
    let other = command(&arguments).spawn().expect("the binary was built for this test");
    let mine = lines(&mut command(&arguments), " digest ");
    let other = other.wait_with_output().expect("it ends");
    let others = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(others.starts_with(&mine), "{others}\n{mine}");
    assert_eq!(mine, golden("explore"));
}

/// Every scenario in a folder and those below it.
fn find(folder: &Path, scenarios: &mut Vec<PathBuf>) {
    for file in fs::read_dir(folder).expect("the scenarios are there") {
        let path = file.expect("it is readable").path();
        if path.is_dir() {
            find(&path, scenarios);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            scenarios.push(path);
        }
    }
}

/// Seeds of every scenario that ships.
#[test]
fn scenarios_are_the_same_in_every_build() {
    let mut scenarios = Vec::new();
    find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios"), &mut scenarios);
    assert!(!scenarios.is_empty());
    for path in scenarios {
        let (name, path) =
            (path.file_stem().expect("it ends with .yaml"), path.to_str().expect("it is plain text"));
        let seeds = ["0", "1", "2"].map(|seed| lines(&mut command(&["run", path, "--seed", seed]), " hash "));
        assert_eq!(seeds.concat(), golden(&name.to_string_lossy()), "{path}");
    }
}
