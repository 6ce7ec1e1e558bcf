//! Failures shrink: the same broken rule with far less around it, and a story to read.
#![cfg(feature = "plant")]

use std::{
    path::Path,
    process::{Command, Output},
};
use tiergate_engine::Fault;
use tiergate_sim::explore::{Budget, Case, Run, Shrunk, run_seed, shrink};

/// Enough for these cases to come down to a few requests, and few enough for a debug build.
const BUDGET: Budget = Budget { attempts: 3_000, time: None };

/// The first seed that a planted fault makes break a rule.
fn failed(fault: Fault) -> Case {
    let run = Run { fault: Some(fault), ..Run::of(60) };
    let seed = (0..300).find(|seed| run_seed(*seed, run).is_err());
    Case::of_seed(seed.unwrap_or_else(|| panic!("{fault:?} was not caught")), run)
}

/// What breaks with a planted fault breaks the same rule with at most six requests, replays from its file,
/// and shrinks to the same case again.
#[test]
fn planted_faults_shrink() {
    for fault in [Fault::T3, Fault::T5, Fault::F1] {
        let case = failed(fault);
        let Shrunk { case: smaller, .. } = shrink(&case, BUDGET, |_| {});
        assert_eq!(smaller.rule(), case.rule(), "{fault:?}");
        assert!(smaller.requests() <= 6, "{fault:?}: {} requests", smaller.requests());
        let read = Case::of_text(&smaller.to_text()).expect("it was just written");
        assert_eq!(read.replay(), Ok(()), "{fault:?}");
        let Shrunk { case: again, .. } = shrink(&case, BUDGET, |_| {});
        assert_eq!(again, smaller, "{fault:?}");
    }
}

fn sim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_tiergate-sim");
    Command::new(program).args(arguments).output().expect("the binary was built for this test")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are plain text")
}

/// The whole way on the command line: caught, kept, shrunk, replayed, told.
#[test]
fn a_failure_is_kept_shrunk_and_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (kept, smaller) = (folder.path().join("kept.json"), folder.path().join("smaller.json"));
    let caught = sim(&["prove", "--plant", "T3", "--requests", "60", "--case", text(&kept)]);
    assert!(String::from_utf8_lossy(&caught.stdout).contains("tiergate-sim shrink"), "{caught:?}");
    let shrunk = sim(&["shrink", text(&kept), "-o", text(&smaller), "--attempts", "300"]);
    assert_eq!(shrunk.status.code(), Some(0), "{shrunk:?}");
    let told = sim(&["replay-case", text(&smaller), "--story"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for wanted in
        ["clients", "origin", "asks edge 0 for /", "will break off after", " is broken: ", "the same "]
    {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}
