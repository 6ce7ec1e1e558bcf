//! A sweep prints what a replay of each of its cells would, and options say what may stand in them.

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::NamedTempFile;
use tiergate_engine::Seed;

fn sim(file: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiergate-sim"))
        .arg("replay")
        .arg(file)
        .args(options)
        .output()
        .expect("the binary was built for this test")
}

fn json(file: &Path, options: &[&str]) -> Value {
    let output = sim(file, &[options, &["--json", "--quiet"]].concat());
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("what is printed is JSON")
}

/// A table of 2,000 requests for up to 200 objects, of 100 bytes and more, each always as large as it was
/// first.
fn trace() -> (NamedTempFile, u64) {
    let mut random = Seed(5).split("trace");
    let (mut text, mut sizes) = ("time_s,key,size\n".to_owned(), [0; 200]);
    for time_s in 0..2_000 {
        let object = random.below(200).min(random.below(200));
        let size = 100 + object * object % 977;
        sizes[usize::try_from(object).expect("there are 200")] = size;
        text += &format!("{time_s},{object},{size}\n");
    }
    let file = tempfile::Builder::new().suffix(".csv").tempfile().expect("the system has a temporary folder");
    fs::write(file.path(), text).expect("a file that was just made can be written");
    (file, sizes.iter().sum())
}

/// Each cell has the miss ratios of a replay of its own; a part of the bytes of all objects is what it says.
/// What is said of the other tier and of the objective holds in every cell.
#[test]
fn a_sweep_is_a_replay_of_each_cell() {
    let (file, bytes_of_objects) = trace();
    let file = file.path();
    let percent_10 = (bytes_of_objects / 10).to_string();
    let others: [(&str, &[&str]); 3] = [
        ("l0", &[]),
        ("l0", &["--l0-objective", "bytes", "--l2", "50KiB", "--l2-counts", "bodies"]),
        ("l2", &["--l0", "2000", "--l2-counts", "bodies"]),
    ];
    for (tier, others) in others {
        let (policies, of_sweep) = match tier {
            "l0" => (&["lru", "ghost_gdsf"][..], &["--policies", "lru,ghost_gdsf"][..]),
            _ => (&["log"][..], &[][..]),
        };
        let swept = [&["--sweep", tier, "--capacities", "5000,10%"], of_sweep, others].concat();
        let sweep = json(file, &swept);
        assert_eq!(sweep["tier"], tier);
        let cells = sweep["cells"].as_array().expect("a list of cells");
        let expected: Vec<_> = ["5000", &percent_10]
            .into_iter()
            .flat_map(|capacity| policies.iter().map(move |policy| (capacity, *policy)))
            .collect();
        assert_eq!(cells.len(), expected.len());
        for (cell, (capacity, policy)) in cells.iter().zip(expected) {
            let (of_tier, of_policy) = (format!("--{tier}"), ["--l0-policy", policy]);
            let of_policy = if tier == "l0" { &of_policy[..] } else { &[] };
            let alone = json(file, &[&[of_tier.as_str(), capacity], of_policy, others].concat());
            assert_eq!(cell["capacity"].to_string(), capacity);
            assert_eq!(cell["policy"], policy);
            for ratio in ["miss_ratio", "byte_miss_ratio"] {
                assert_eq!(cell[ratio], alone[ratio], "{ratio} of {policy} at {capacity} beside {others:?}");
            }
        }
    }
}

/// The objective that an option names is the one that is replayed; without one L0 spares requests.
#[test]
fn an_objective_is_what_its_option_says() {
    let (file, _) = trace();
    let misses = |objective: &[&str]| {
        json(file.path(), &[&["--l0", "9000", "--l0-policy", "gdsf"], objective].concat())["miss_ratio"]
            .as_f64()
    };
    let [of_requests, of_bytes] =
        ["requests", "bytes"].map(|objective| misses(&["--l0-objective", objective]));
    assert_eq!(misses(&[]), of_requests);
    assert!(of_requests < of_bytes);
}

/// The table for people has a row for each capacity, and every policy if none is named.
#[test]
fn a_sweep_prints_two_tables() {
    let (file, _) = trace();
    let output = sim(file.path(), &["--sweep", "l0", "--capacities", "9KB,30%"]);
    let text = String::from_utf8(output.stdout).expect("what is printed is text");
    let head = "| capacity | lru | sieve | s3fifo | wtinylfu | gdsf | ghost_gdsf |";
    assert_eq!(text.lines().filter(|line| *line == head).count(), 2, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("| 9,000 | 0.")).count(), 2, "{text}");
}

/// What is wrong is said with the option, the value and what may stand there, and ends with exit code 2.
#[test]
fn a_wrong_option_says_what_may_stand_there() {
    let (file, _) = trace();
    let cases: [(&[&str], &[&str]); 10] = [
        (&["--l0-objective", "speed"], &["--l0-objective", "`speed`", "requests or bytes"]),
        (&["--l2", "1GiB", "--l2-objective", "bytes"], &["`--l2-objective`", "L2 is decided by its log"]),
        (&["--l2", "1GiB", "--l2-policy", "lru"], &["`--l2-policy`", "L2 is decided by its log"]),
        (&["--l2", "1MiB"], &["l2: capacity is 1048576", "at least 16 MiB", "`--l2-counts bodies`"]),
        (&["--l2-counts", "bodies"], &["`--l2-counts` needs l2, which is off", "`--l2`"]),
        (&["--sweep", "l2", "--policies", "lru"], &["`--policies`", "`--sweep l2`", "decided by its log"]),
        (&["--sweep", "l0", "--policies", "lru,mru"], &["--policies", "`mru`", "s3fifo"]),
        (&["--sweep", "l0", "--capacities", "0%"], &["--capacities", "`0%`", "above 0% and at most 100%"]),
        (&["--sweep", "l0", "--l0", "5"], &["`--l0` cannot be given with `--sweep l0`", "--capacities"]),
        (&["--policies", "lru"], &["--sweep"]),
    ];
    for (options, expected) in cases {
        let output = sim(file.path(), options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        for part in expected {
            assert!(said.contains(part), "{options:?} must name {part}: {said}");
        }
    }
}
