//! A wrong scenario file is refused with its file, line, field, value and bound; the shipped ones are read.

use std::path::Path;
use tiergate_scenarios::{load_all, parse};

const GOOD: &str = "name: x
description: d
topology: {edges: 2, clients: 1}
cache:
  l1: {}
  fill:
    lane_chunks_max: 2
objects:
  count: 3
  size: [0, 2KiB]
  chunked_percent: 50
  not_storable_percent: 10
  lifetime_s: [1, 4]
  version_every_ms: [100, 200]
workload:
  requests: 10
  streams: 2
  popularity: zipf
  timeout_ms: 500
faults:
  edge_restarts: {times: 1, for_ms: [5, 300]}
faults_until_ms: 1000
settle_ms: 2000
";

/// The message for the good file with `from` replaced by `to`.
fn message(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the good file contains `{from}`");
    match parse(Path::new("s.yaml"), &GOOD.replacen(from, to, 1)) {
        Ok(_) => panic!("`{to}` instead of `{from}` was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Each row breaks one thing; the message names where it stands and what it may be.
#[test]
fn each_mistake_names_line_field_value_and_bound() {
    let rows: [(&str, &str, &[&str]); 14] = [
        ("edges: 2", "edges: 0", &["s.yaml:3:", "`topology.edges` is 0", "1 to 6"]),
        ("edges: 2", "edges: -1", &["s.yaml:3:"]),
        ("edges: 2", "edges: many", &["s.yaml:3:", "many"]),
        ("edges: 2", "edgse: 2", &["s.yaml:3:", "edgse", "edges"]),
        (
            "lane_chunks_max: 2",
            "lane_chunks_max: 0",
            &["s.yaml:7:", "`cache.fill.lane_chunks_max` is 0", "1 to 65536"],
        ),
        ("lane_chunks_max: 2", "lane_chunk: 2", &["s.yaml:7:", "lane_chunk", "lane_chunks_max"]),
        (
            "size: [0, 2KiB]",
            "size: [3KiB, 2KiB]",
            &["s.yaml:10:", "`objects.size` is [3072, 2048]", "in order"],
        ),
        ("2KiB", "2KiBi", &["s.yaml:10:", "2KiBi", "KiB"]),
        (
            "chunked_percent: 50",
            "chunked_percent: 101",
            &["s.yaml:11:", "`objects.chunked_percent` is 101", "0 to 100"],
        ),
        ("popularity: zipf", "popularity: zip", &["s.yaml:18:", "zip", "zipf"]),
        ("times: 1", "times: 0", &["s.yaml:21:", "`faults.edge_restarts.times` is 0", "1 to 100"]),
        ("settle_ms: 2000", "settle_ms: 1000", &["s.yaml:23:", "`settle_ms` is 1000", "1001 to 600000"]),
        ("  l1: {}\n", "  l2: {}\n", &["s.yaml:5:", "`cache.l2` is present", "absent"]),
        ("name: x\n", "", &["name"]),
    ];
    for (from, to, wanted) in rows {
        let message = message(from, to);
        for part in wanted {
            assert!(message.contains(part), "`{to}`: no `{part}` in: {message}");
        }
    }
}

/// A fault that nothing in the world could feel is a mistake in the file, not a run that fails at its end.
#[test]
fn a_fault_of_the_shared_tier_needs_one() {
    let without = GOOD.replacen("  l1: {}\n", "", 1);
    let text = without.replacen("edge_restarts", "shared_tier_restarts", 1);
    let message = parse(Path::new("s.yaml"), &text).expect_err("no tier to restart").to_string();
    assert!(message.contains("s.yaml:20: `faults.shared_tier_restarts` is present"), "{message}");
}

/// Every file that ships is read.
#[test]
fn the_shipped_scenarios_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let scenarios = load_all(&[folder]).expect("every shipped file is a scenario");
    let names: Vec<&str> = scenarios.iter().map(|(_, scenario)| scenario.name.as_str()).collect();
    assert!(names.contains(&"two-edges-shared-tier"), "{names:?}");
}
