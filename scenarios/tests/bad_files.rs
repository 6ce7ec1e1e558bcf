//! A wrong scenario file is refused with its file, line, field, value and bound; the shipped ones are read.

use std::{path::Path, time::Duration};
use tiergate_config::SyncPolicy;
use tiergate_scenarios::{Expectation, FaultKind, Figure, Phase, Scope, load_all, parse};

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
  lifetime: [1s, 4s]
  version_every: [100ms, 200ms]
workload:
  requests: 10
  streams: 2
  popularity: zipf
  timeout: 500ms
faults:
  edge_restarts: {times: 1, for: [5ms, 300ms]}
faults_until: 1s
settle: 2s
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
    let rows: [(&str, &str, &[&str]); 35] = [
        ("edges: 2", "edges: 0", &["s.yaml:3:", "`topology.edges` is 0", "1 to 6"]),
        ("edges: 2", "edges: -1", &["s.yaml:3:"]),
        (
            "cache:\n",
            "proxy_protocol: true\ncache:\n",
            &["s.yaml:4:", "`proxy_protocol` is true, but `trusted_proxies` names nobody"],
        ),
        ("edges: 2", "edges: many", &["s.yaml:3: `edges`: ", "many"]),
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
        ("2KiB", "2KiBi", &["s.yaml:10: `size`: ", "2KiBi", "KiB"]),
        ("streams: 2", "streams: 2s", &["s.yaml:17: `streams`: a whole number belongs here"]),
        ("popularity: zipf", "purge_everywhere_percent: -1", &["s.yaml:18: `purge_everywhere_percent`: "]),
        (
            "chunked_percent: 50",
            "chunked_percent: 101",
            &["s.yaml:11:", "`objects.chunked_percent` is 101", "0 to 100"],
        ),
        ("popularity: zipf", "popularity: zip", &["s.yaml:18:", "zip", "zipf"]),
        ("times: 1", "times: 0", &["s.yaml:21:", "`faults.edge_restarts.times` is 0", "1 to 100"]),
        ("settle: 2s", "settle: 1s", &["s.yaml:23:", "`settle` is 1s", "1001ms to 30min"]),
        ("settle: 2s", "settle: 2000", &["s.yaml:23:", "`2000` is no time", "`3s`", "settle: 2000"]),
        ("settle: 2s", "settle: 1500us", &["s.yaml:23:", "`1500us` is no time"]),
        ("settle: 2s", "settle: 3m", &["s.yaml:23:", "`3m` is no time"]),
        ("  l1: {}\n", "  feed: {poll_ms: 0}\n", &["s.yaml:5:", "`cache.feed.poll_ms` is 0", "1 to 600000"]),
        (
            "requests: 10",
            "requests: [{at: 1s, object: 0, odd: 87}]",
            &["s.yaml:16:", "`workload.requests.odd` is 87, but must be 0 to 86"],
        ),
        ("requests: 10", "requests: -5", &["s.yaml:16:", "`-5` is no number of requests"]),
        (
            "edge_restarts: {times: 1",
            "edge_restarts: {at: 1s, times: 1",
            &["s.yaml:21:", "`faults.edge_restarts` is with `times` and `at`", "one of them"],
        ),
        (
            "edge_restarts: {times: 1",
            "edge_restarts: {percent: 5, times: 1",
            &["s.yaml:21:", "`faults.edge_restarts.percent` is present", "it takes times, at, for, edge"],
        ),
        ("lifetime: [1s, 4s]", "lifetime: [1s, 1500ms]", &["s.yaml:13:", "`1500ms` is not in whole seconds"]),
        (
            "lifetime: [1s, 4s]",
            "lifetime: [4s, 1s]",
            &["s.yaml:13:", "`objects.lifetime` is [4s, 1s]", "in order"],
        ),
        ("for: [5ms, 300ms]", "for: [5ms, soon]", &["s.yaml:21: `for`: `soon` is no time"]),
        (
            "objects:\n",
            "limits: {head: 1}\nobjects:\n",
            &["s.yaml:8:", "`limits.head` is 1", "from 256 to 1MiB"],
        ),
        ("edge_restarts: {times: 1", "blobs_fail: {percent: 5, times: 1", &["unless `cache.l3` is there"]),
        (
            "  l1: {}\n",
            "  l2: {}\n",
            &["s.yaml:5:", "`cache.l2.capacity` is 10737418240", "16777216 to 268435456"],
        ),
        ("name: x\n", "", &["s.yaml:1: `name` is missing"]),
        (
            "workload:\n",
            "workload: 7\nworkload_is:\n",
            &["s.yaml:15: `workload`: keys with their values belong here, in `workload: 7`"],
        ),
        ("  timeout: 500ms\n", "", &["`timeout` is missing in what ends here"]),
        ("name: x\n", "name: x\nname: y\n", &["s.yaml:2: `name` is there for the second time, in `name: y`"]),
        (
            "times: 1",
            "times: one",
            &["s.yaml:21: `times`: a whole number belongs here, in `edge_restarts: {times: one"],
        ),
        ("popularity: zipf", "popularity: [zipf]", &["s.yaml:18: `popularity`: a word belongs here"]),
    ];
    for (from, to, wanted) in rows {
        let message = message(from, to);
        for part in wanted {
            assert!(message.contains(part), "`{to}`: no `{part}` in: {message}");
        }
    }
}

/// Mistakes of several sections are told together, in the order of their lines.
#[test]
fn several_mistakes_are_told_at_once() {
    let text = GOOD
        .replacen("chunked_percent: 50", "chunked_percent: 101", 1)
        .replacen("edges: 2", "edges: 9", 1)
        .replacen("times: 1", "times: 0", 1);
    let message = parse(Path::new("s.yaml"), &text).expect_err("three mistakes").to_string();
    let lines: Vec<_> = message.lines().collect();
    let [topology, objects, faults] = lines[..] else { panic!("{message}") };
    assert!(topology.starts_with("s.yaml:3: `topology.edges` is 9"), "{message}");
    assert!(objects.starts_with("s.yaml:11: `objects.chunked_percent` is 101"), "{message}");
    assert!(faults.starts_with("s.yaml:21: `faults.edge_restarts.times` is 0"), "{message}");
}

/// A fault that nothing in the world could feel is a mistake in the file, not a run that fails at its end.
#[test]
fn a_fault_of_the_shared_tier_needs_one() {
    let without = GOOD.replacen("  l1: {}\n", "", 1);
    let text = without.replacen("edge_restarts", "shared_tier_restarts", 1);
    let message = parse(Path::new("s.yaml"), &text).expect_err("no tier to restart").to_string();
    assert!(message.contains("s.yaml:20: `faults.shared_tier_restarts` is present"), "{message}");
}

const WITH_DISK: &str = "name: x
description: d
topology: {edges: 1, clients: 1}
cache:
  l2: {capacity: 16MiB}
storage: {l2: {sync: {every_ms: 100}}}
disk_latency: [0s, 3ms]
objects:
  count: 3
  size: [0, 2KiB]
  chunked_percent: 50
  not_storable_percent: 10
  lifetime: [1s, 4s]
  version_every: [100ms, 200ms]
workload:
  requests: 10
  streams: 2
  popularity: zipf
  timeout: 500ms
faults:
  disk_slow: {times: 1, for: [5ms, 300ms], delay: [1ms, 90ms]}
  disk_errors: {times: 2, for: [5ms, 300ms], percent: 50}
  disk_full: {times: 3, for: [5ms, 300ms]}
  disk_rot: {times: 4, percent: 10}
  disk_sync_fails: {percent: 20}
  disk_short_reads: {percent: 30}
faults_until: 1s
settle: 2s
expect:
  hits_l2: {at_least: 1, of: each_seed}
  broken: {at_most: 0}
";

/// Of a disk, of its faults and of what is expected, each mistake is named in the same way; without the
/// mistakes, it is read.
#[test]
fn mistakes_about_disks_and_expectations_are_named() {
    let scenario = parse(Path::new("s.yaml"), WITH_DISK).expect("it is a scenario");
    assert_eq!(scenario.disk.sync, SyncPolicy::Every(Duration::from_millis(100)));
    assert!(FaultKind::ALL.iter().filter(|kind| scenario.faults.names(**kind)).count() == 6);
    let hits = Expectation { at_least: Some(1.0), at_most: None, of: Scope::EachSeed };
    assert_eq!(scenario.expect.of(Phase::Whole, Figure::HitsL2), Some(hits));
    assert!(!scenario.expects_service_by_default);
    let two_in_order = "one or two of `at_least` (more than 0) and `at_most`, in order";
    let rows: [(&str, &str, &str); 20] = [
        ("16MiB", "257MiB", "s.yaml:5: `cache.l2.capacity` is 269484032, but must be 16777216 to 268435456"),
        (
            "every_ms: 100",
            "every_ms: 0",
            "s.yaml:6: `storage.l2.sync.every_ms` is 0, but must be from 10 to 3600000",
        ),
        ("{every_ms: 100}", "sometimes", "sometimes"),
        ("{l2: {sync", "{l2: {sinc", "sinc"),
        ("[0s, 3ms]", "[0s, 1001ms]", "s.yaml:7: `disk_latency` is [0s, 1001ms]"),
        (
            "disk_slow: {times: 1",
            "disk_slow: {times: 0",
            "s.yaml:21: `faults.disk_slow.times` is 0, but must be 1 to 100",
        ),
        ("delay: [1ms, 90ms]", "delay: [0s, 90ms]", "s.yaml:21: `faults.disk_slow.delay` is [0s, 90ms]"),
        (
            "disk_errors: {times: 2",
            "disk_errors: {times: 101",
            "s.yaml:22: `faults.disk_errors.times` is 101",
        ),
        ("percent: 50}", "percent: 0}", "s.yaml:22: `faults.disk_errors.percent` is 0, but must be 1 to 100"),
        (
            "disk_full: {times: 3, for: [5ms",
            "disk_full: {times: 3, for: [0s",
            "s.yaml:23: `faults.disk_full.for`",
        ),
        ("disk_rot: {times: 4", "disk_rot: {times: 0", "s.yaml:24: `faults.disk_rot.times` is 0"),
        (
            "percent: 10}",
            "percent: 101}",
            "s.yaml:24: `faults.disk_rot.percent` is 101, but must be 1 to 100",
        ),
        (
            "percent: 20}",
            "percent: 0}",
            "s.yaml:25: `faults.disk_sync_fails.percent` is 0, but must be 1 to 100",
        ),
        ("percent: 30}", "percent: 0}", "s.yaml:26: `faults.disk_short_reads.percent` is 0"),
        (
            "hits_l2:",
            "hits_l1:",
            "s.yaml:30: `expect.hits_l1` is present, but must be absent, unless `cache.l1` is there",
        ),
        ("hits_l2:", "hits:", "hits"),
        ("at_least: 1", "at_least: 0", two_in_order),
        ("at_least: 1", "at_least: 2, at_most: 1", two_in_order),
        ("at_least: 1, ", "", "s.yaml:30: `expect.hits_l2` is at_least absent, at_most absent"),
        ("of: each_seed", "of: a_seed", "a_seed"),
    ];
    for (from, to, wanted) in rows {
        assert!(WITH_DISK.contains(from), "the good file contains `{from}`");
        let error = parse(Path::new("s.yaml"), &WITH_DISK.replacen(from, to, 1));
        let message = error.expect_err(to).to_string();
        assert!(message.contains(wanted), "`{to}`: no `{wanted}` in: {message}");
    }
}

/// So is a disk, or what could only be of a disk, where there is no L2.
#[test]
fn a_disk_needs_a_tier_that_uses_it() {
    let without = WITH_DISK.replacen("  l2: {capacity: 16MiB}", "  l1: {}", 1);
    let refused = |text: &str| parse(Path::new("s.yaml"), text).expect_err("it has no L2").to_string();
    assert!(
        refused(&without).contains("`faults.disk_slow` is present, but must be absent, unless `cache.l2`")
    );
    let (begin, end) =
        (without.find("faults:").expect("it is there"), without.find("faults_until").expect("it is"));
    let without_faults = [&without[..begin], &without[end..]].concat();
    assert!(refused(&without_faults).contains("`expect.hits_l2` is present"));
    let end = without_faults.find("expect:").expect("it is there");
    assert!(refused(&without_faults[..end]).contains("s.yaml:6: `storage.l2` is present"));
    let shared = WITH_DISK.replacen("storage: {", "storage: {l1: memcached, ", 1);
    assert!(refused(&shared).contains("`storage.l1` is present, but must be absent, unless `cache.l1`"));
}

/// What is expected of a phase has its own place; of service, something always is.
#[test]
fn phases_have_their_own_expectations() {
    let text = WITH_DISK.replace(
        "  broken: {at_most: 0}\n",
        "  healed:\n    answered_percent: {at_least: 99.5}\n    hits_l2: {at_least: 3}\n  faults: {stale_answers: {at_most: 7}}\n",
    );
    let scenario = parse(Path::new("s.yaml"), &text).expect("it is a scenario");
    let least = |phase, figure| scenario.expect.of(phase, figure).and_then(|expected| expected.at_least);
    assert_eq!(least(Phase::Healed, Figure::AnsweredPercent), Some(99.5));
    assert_eq!(
        (least(Phase::Healed, Figure::HitsL2), least(Phase::Whole, Figure::HitsL2)),
        (Some(3.0), Some(1.0))
    );
    assert_eq!(scenario.expect.of(Phase::Faults, Figure::StaleAnswers).and_then(|of| of.at_most), Some(7.0));
    for (from, to, wanted) in [
        (
            "99.5",
            "101",
            "s.yaml:32: `expect.healed.answered_percent` is at_least 101, at_most absent, but must be",
        ),
        ("99.5", ".nan", "`expect.healed.answered_percent` is at_least NaN"),
        (
            "answered_percent",
            "answerd_percent",
            "no figure is called `answerd_percent`: there are answered_percent, ",
        ),
        ("  healed:", "  heeled:", "no figure is called `heeled`"),
        ("faults: {stale", "hits_l2: {at_most: 1}\n  faults: {stale", "hits_l2"),
    ] {
        assert!(text.contains(from), "{from}");
        let message = parse(Path::new("s.yaml"), &text.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(message.contains(wanted), "`{to}`: no `{wanted}` in: {message}");
    }
    // A bound that holds where nobody is served expects no service.
    for (expect, is_by_default) in [
        ("broken: {at_most: 0}", true),
        ("whole: {at_most: 5}", true),
        ("latency_p99_ms: {at_most: 5}", true),
        ("whole: {at_least: 5}", false),
        ("unanswered: {at_most: 5}", false),
        ("answered_percent: {at_most: 5}", false),
    ] {
        let text = format!("{GOOD}expect: {{{expect}}}\n");
        let scenario = parse(Path::new("s.yaml"), &text).expect("it is a scenario");
        assert_eq!(scenario.expects_service_by_default, is_by_default, "{expect}");
    }
    let scenario = parse(Path::new("s.yaml"), GOOD).expect("it is a scenario");
    assert!(scenario.expects_service_by_default);
    let served = scenario.expect.of(Phase::Whole, Figure::AnsweredPercent);
    assert_eq!(served.and_then(|served| served.at_least), Some(50.0));
}

/// A file that is empty, and a rule that does not stand, are told as such; neither hides the other, nor the
/// good one beside them.
#[test]
fn one_bad_file_hides_no_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let theme = folder.path().join("theme");
    std::fs::create_dir(&theme).expect("a folder of ours");
    let write = |name: &str, text: &str| std::fs::write(theme.join(name), text).expect("a file of ours");
    write("a.yaml", "# nothing yet\n");
    write("b.yaml", &GOOD.replace("settle: 2s\n", "settle: 2s\ninvariants: [C5, C99]\n"));
    write("c.yaml", GOOD);
    write("notes.txt", "not a scenario");
    // What was written of failures is none of what is to be run.
    let bundle = folder.path().join(tiergate_scenarios::BUNDLES).join("x-7");
    std::fs::create_dir_all(&bundle).expect("a folder of ours");
    std::fs::write(bundle.join("case.yaml"), GOOD).expect("a file of ours");
    let loaded = load_all(&[folder.path().to_owned()], &["C5", "M1"]);
    assert_eq!(loaded.scenarios.len(), 1);
    let told: Vec<String> = loaded.refused.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("a.yaml:1: the file is empty"), "{told:?}");
    assert!(told[1].contains("b.yaml:24: `invariants` names C99, but may name only C5, M1"), "{told:?}");
    assert_eq!(told.len(), 2);
    let kept = load_all(&[bundle], &["C5"]);
    assert_eq!(kept.scenarios.len(), 1, "who names it runs it");
    let nothing = load_all(&[theme.join("none")], &[]);
    assert_eq!((nothing.scenarios.len(), nothing.refused.len()), (0, 1));
}

/// Every file that ships is read, and asks for every rule.
#[test]
fn the_shipped_scenarios_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let loaded = load_all(&[folder], &[]);
    assert!(loaded.refused.is_empty(), "{:?}", loaded.refused);
    let names: Vec<&str> = loaded.scenarios.iter().map(|file| file.scenario.name.as_str()).collect();
    assert!(names.contains(&"two-edges-shared-tier"), "{names:?}");
}
