//! What `tiergate-sim run` promises: determinism, honest exit codes, and one command that shows a broken rule
//! again.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The scenario that ships.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/two-edges-shared-tier.yaml")
}

fn sim(arguments: &[&str]) -> Output {
    // Nothing is written of what fails on purpose, where the test does not ask for it.
    let is_of_bundles = arguments.first() != Some(&"run") || arguments.contains(&"--bundles");
    let quiet: &[&str] = if is_of_bundles { &[] } else { &["--shrink-seconds", "0"] };
    Command::new(env!("CARGO_BIN_EXE_tiergate-sim"))
        .args(arguments)
        .args(quiet)
        .output()
        .expect("the binary was built for this test")
}

fn run(path: &Path, arguments: &[&str]) -> Output {
    let path = path.to_str().expect("the path is plain text");
    sim(&[&["run", path], arguments].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines with each seed's hash.
fn hashes(output: &Output) -> Vec<String> {
    text(output).lines().filter(|line| line.contains("hash ")).map(str::to_owned).collect()
}

/// A scenario of one small file, with `from` in the shipped one replaced by `to`.
fn changed(from: &str, to: &str) -> tempfile::NamedTempFile {
    changed_of(&shipped(), &[(from, to)])
}

fn changed_of(path: &Path, changes: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let mut text = std::fs::read_to_string(path).expect("the scenario is there");
    for (from, to) in changes {
        assert!(text.contains(from), "{} contains `{from}`", path.display());
        text = text.replacen(from, to, 1);
    }
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a temporary file");
    std::fs::write(&file, text).expect("the temporary file is writable");
    file
}

/// Twenty seeds of the shipped scenario break no rule and each of its faults hits: exit code 0. Lived again,
/// side by side in another process and in another order, each seed's log is the same to the byte; no two
/// seeds are alike.
#[test]
fn twenty_seeds_hold_and_are_the_same_in_two_processes_and_side_by_side() {
    let one_by_one = run(&shipped(), &["--seeds", "20", "--hashes", "--jobs", "1"]);
    assert_eq!(one_by_one.status.code(), Some(0), "{}", text(&one_by_one));
    let side_by_side = run(&shipped(), &["--seeds", "20", "--hashes", "--jobs", "4"]);
    let seen = hashes(&one_by_one);
    assert_eq!(seen.len(), 20);
    assert_eq!(seen, hashes(&side_by_side));
    let mut logs: Vec<&str> = seen.iter().filter_map(|line| line.split("hash ").nth(1)).collect();
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(logs.len(), 20, "different seeds make different logs");
}

/// One seed, lived twice in one process (the scenario is named twice), has one hash; `--seed` prints it.
#[test]
fn one_seed_twice_in_one_process_has_one_hash() {
    let path = shipped();
    let path = path.to_str().expect("the path is plain text");
    let output = sim(&["run", path, path, "--seed", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let seen = hashes(&output);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
}

/// Seeds that once showed a broken rule hold, with what each showed. A later change to who sends what moves
/// the moments at which a seed's faults hit, so each is a witness only until then; what they led to has tests
/// of its own where it was mended.
#[test]
fn seeds_that_broke_a_rule_hold_now() {
    // Edge 0 committed an old version to the shared tier after edge 1 had purged it, and edge 1, which a
    // restart had made forget the purge, served it (C7). Mended in the tier: its conformance suite has the
    // promise.
    let found_it = "276";
    // The same, for commits that ask the shared tier about purges: it breaks C7 if the tier does not look.
    let shows_it_since = "465";
    for seed in [found_it, shows_it_since] {
        let output = run(&shipped(), &["--seed", seed]);
        assert_eq!(output.status.code(), Some(0), "seed {seed}: {}", text(&output));
    }
    // A client of HTTP/1.0 was given an interim response of what goes around the cache.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let hints = folder.join("../scenarios/origin/hints-come-before-the-answer.yaml");
    let output = run(&hints, &["--seed", "70"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// A file that is not a scenario: exit code 2, the place on standard error, and nothing was started.
#[test]
fn a_bad_file_starts_nothing() {
    for (from, to, wanted) in [
        ("edges: 2", "edges: 9", "`topology.edges` is 9"),
        ("settle: 10s", "settle: 10s\ninvariants: [C5, X9]", "`invariants` names X9"),
        ("clients: 2", "cleints: 2", "cleints"),
    ] {
        let file = changed(from, to);
        let output = run(file.path(), &[]);
        assert_eq!(output.status.code(), Some(2), "{to}");
        assert_eq!(text(&output), "", "{to}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(wanted) && error.contains(".yaml:"), "{to}: {error}");
    }
    assert_eq!(run(Path::new("no/such/file.yaml"), &[]).status.code(), Some(2));
}

/// A bad file does not keep the good one beside it from being run, and is not forgotten at the end.
#[test]
fn a_bad_file_hides_no_good_one() {
    let bad = changed("edges: 2", "edges: 9");
    let path = |path: &Path| path.to_str().expect("the path is plain text").to_owned();
    let output = sim(&[
        "run",
        &path(bad.path()),
        &path(&shipped()),
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--first-seed",
        "5",
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("two-edges-shared-tier "), "{}", text(&output));
    assert!(text(&output).contains("1 refused"), "{}", text(&output));
}

/// A world in which nobody is served fails though no rule is broken, and says so in a line that needs no
/// knowledge of caches; machines read the same.
#[test]
fn a_world_in_which_nobody_is_served_fails() {
    let file = changed("requests: 200", "requests: 100");
    let all = std::fs::read_to_string(&file).expect("it was just written");
    let begin = all.find("faults:\n").expect("it has faults");
    let end = all.find("faults_until:").expect("it has an end");
    let resets = "faults: {origin_resets: {percent: 100}}\nswarm: all\n";
    std::fs::write(&file, [&all[..begin], resets, &all[end..]].concat()).expect("it is writable");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (junit, json) = (folder.path().join("junit.xml"), folder.path().join("run.json"));
    let written = |path: &Path| path.to_str().expect("the path is plain text").to_owned();
    let output = run(file.path(), &["--seeds", "3", "--junit", &written(&junit), "--json", &written(&json)]);
    let seen = text(&output);
    assert_eq!(output.status.code(), Some(1), "{seen}");
    assert!(seen.contains("TOO FEW SERVED two-edges-shared-tier: "), "{seen}");
    assert!(seen.contains(" requests were answered in full ("), "{seen}");
    assert!(seen.contains(" %), and 50 % were expected to be."), "{seen}");
    assert!(seen.contains(" were told of an error, "), "{seen}");
    assert!(seen.contains("  The fewest in seed ") && seen.contains(" --timeline seed-"), "{seen}");
    assert!(seen.contains("The scenario expects nothing of service by itself"), "{seen}");
    assert!(!seen.contains("BROKEN") && !seen.contains("UNEXPECTED"), "{seen}");

    let junit = std::fs::read_to_string(junit).expect("it was asked for");
    assert!(junit.contains("tests=\"1\"") && junit.contains("failures=\"1\""), "{junit}");
    assert!(junit.contains("message=\"TOO FEW SERVED two-edges-shared-tier: "), "{junit}");
    let json = std::fs::read_to_string(json).expect("it was asked for");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let scenario = &json["scenarios"][0];
    assert_eq!(scenario["verdict"], "failed");
    // Nobody before the faults are over; afterwards, as soon as the origin is asked again.
    assert_eq!(scenario["figures"]["faults"]["whole"], 0.0);
    assert!(scenario["figures"]["healed"]["whole"].as_f64() > Some(0.0), "{scenario:#}");
    assert!(scenario["figures"]["healed"]["recovered_ms"].as_f64() > Some(0.0), "{scenario:#}");
    assert!(scenario["figures"]["whole"]["server_errors"].as_f64() > Some(50.0), "{scenario:#}");
    assert_eq!(scenario["faults"]["origin_resets"]["hit"].as_u64().map(|hit| hit > 0), Some(true));
}

/// What passes is written for machines as well, and a file that is refused is a test in error.
#[test]
fn machines_read_what_passed_and_what_was_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (junit, json) = (folder.path().join("junit.xml"), folder.path().join("run.json"));
    let bad = changed("edges: 2", "edges: 9");
    let path = |path: &Path| path.to_str().expect("the path is plain text").to_owned();
    let (bad, good) = (path(bad.path()), path(&shipped()));
    let output = sim(&["run", &bad, &good, "--seed", "3", "--junit", &path(&junit), "--json", &path(&json)]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let junit = std::fs::read_to_string(junit).expect("it was asked for");
    assert!(junit.contains("tests=\"2\"") && junit.contains("errors=\"1\""), "{junit}");
    assert!(junit.contains("`topology.edges` is 9, but must be 1 to 6"), "{junit}");
    let json = std::fs::read_to_string(json).expect("it was asked for");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["scenarios"][0]["verdict"], "passed");
    assert!(json["refused"][0]["why"].as_str().is_some_and(|why| why.contains("`topology.edges` is 9")));
    let nowhere = run(&shipped(), &["--seed", "3", "--json", &path(&folder.path().join("no/such/file"))]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("`--json` is "), "{nowhere:?}");
}

/// A fault that the scenario asks for and that never hits makes it vacuous, which has an exit code of its
/// own: here nobody asks while the shared tier is slow.
#[test]
fn a_scenario_whose_fault_never_hits_fails() {
    let file = changed("times: 3, for: [50ms, 600ms]", "times: 1, for: [1ms, 1ms]");
    let text_of = std::fs::read_to_string(&file).expect("it was just written");
    std::fs::write(&file, text_of.replace("requests: 200", "requests: 1")).expect("it is writable");
    let output = run(file.path(), &["--seeds", "3"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("VACUOUS two-edges-shared-tier: `faults.shared_tier_slow`"),
        "{}",
        text(&output)
    );
}

/// What a scenario expects of all its seeds fails the run where it does not happen: a disk that is never
/// synced begins empty after each loss of power, so nothing that was stored before is a hit. What it expects
/// of each seed fails that seed.
#[test]
fn a_scenario_whose_expectation_is_not_met_fails() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/disk/hit-on-disk-after-a-restart.yaml");
    let never = ("sync: {every_ms: 100}", "sync: never");
    let output = run(changed_of(&path, &[never]).path(), &["--seeds", "2"]);
    let seen = text(&output);
    assert_eq!(output.status.code(), Some(1), "{seen}");
    let unexpected =
        "UNEXPECTED hit-on-disk-after-a-restart: `expect.hits_l2_recovered` is 0, but at least 100";
    assert!(seen.contains(unexpected), "{seen}");
    assert!(!seen.contains("BROKEN"), "{seen}");

    let too_many = ("hits_l2: {at_least: 20, of: each_seed}", "hits_l2: {at_most: 1, of: each_seed}");
    let output = run(changed_of(&path, &[too_many]).path(), &["--seed", "0"]);
    let seen = text(&output);
    assert_eq!(output.status.code(), Some(1), "{seen}");
    assert!(seen.contains("BROKEN expect by seed 0 of hit-on-disk-after-a-restart"), "{seen}");
    assert!(seen.contains("but at most 1 is expected"), "{seen}");
}

/// Each fault that can be planted in the engine is caught within some seeds, and the command that is printed
/// shows the same rule broken again.
#[cfg(feature = "plant")]
#[test]
fn each_planted_fault_is_found_and_shown_again() {
    for (fault, rule) in [("T3", "C5"), ("T5", "C5"), ("F1", "I3")] {
        let output = run(&shipped(), &["--seeds", "60", "--plant", fault]);
        let seen = text(&output);
        assert_eq!(output.status.code(), Some(1), "{fault} went unseen");
        assert!(seen.contains(&format!("BROKEN {rule} by seed ")), "{fault}: {seen}");
        let command = seen.lines().find_map(|line| line.trim().strip_prefix("see it again: tiergate-sim "));
        let again = sim(&command.expect("a command is printed").split(' ').collect::<Vec<_>>());
        assert_eq!(again.status.code(), Some(1), "{fault}");
        assert!(text(&again).contains(&format!("BROKEN {rule} by seed ")), "{fault}");
    }
}

/// The clients of each theme hold an edge to what the origin's heads say: what makes it use what it has for too
/// long, or ask again too soon, is caught by the first seed of the scenario that is about it.
#[cfg(feature = "plant")]
#[test]
fn heads_of_the_origin_are_held_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/origin");
    for (fault, rule, scenario) in [
        ("X6", "C6", "what-may-be-used-stale-says-so-itself"),
        ("X72", "C6", "what-must-be-asked-about-is"),
        ("X38", "I15", "who-is-told-to-wait-waits"),
    ] {
        let path = folder.join(scenario).with_extension("yaml");
        let output = run(&path, &["--seed", "0", "--plant", fault]);
        assert_eq!(output.status.code(), Some(1), "{fault} went unseen");
        let seen = text(&output);
        assert!(seen.contains(&format!("BROKEN {rule} by seed 0 of {scenario}")), "{fault}: {seen}");
    }
}

/// Without the feature, `--plant` is refused instead of doing nothing.
#[cfg(not(feature = "plant"))]
#[test]
fn a_build_that_plants_nothing_says_so() {
    let output = run(&shipped(), &["--plant", "T3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features plant"));
}

/// A failing seed is written of: a smaller scenario that fails in the same way by itself, what happened in
/// it, and a page. Who makes it smaller by the command gets the same.
#[test]
fn a_failing_seed_becomes_a_bundle() {
    let all = "expect: {answered_percent: {at_least: 100, of: each_seed}}\n";
    let file = changed("requests: 200", "requests: 60");
    let good = std::fs::read_to_string(&file).expect("it was just written");
    std::fs::write(&file, good + all).expect("it is writable");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plain = |path: &Path| path.to_str().expect("the path is plain text").to_owned();
    let bundles = plain(folder.path());
    let json = plain(&folder.path().join("run.json"));
    let output = run(file.path(), &["--seeds", "3", "--bundles", &bundles, "--json", &json]);
    let seen = text(&output);
    assert_eq!(output.status.code(), Some(1), "{seen}");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).expect("it was asked for")).expect("it is JSON");
    let bundle = json["scenarios"][0]["bundle"].as_str().expect("a seed failed").to_owned();
    assert!(seen.contains(&bundle), "{seen}");
    let bundle = PathBuf::from(bundle);

    let case = bundle.join("case.yaml");
    let again = run(&case, &[]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again));
    assert!(text(&again).contains("BROKEN expect by seed "), "{}", text(&again));
    let small = std::fs::read_to_string(&case).expect("it is there");
    let lines_with = |what: &str| small.lines().filter(|line| line.contains(what)).count();
    assert!(
        lines_with("object: ") < 60 && lines_with("{at: ") > 20,
        "fewer requests, and not too few:\n{small}"
    );
    assert!(lines_with(" for: ") + lines_with("answer: ") <= 4, "few faults are left:\n{small}");
    assert!(small.contains("gate: 48KiB"), "the configuration is what it was:\n{small}");
    let report = std::fs::read_to_string(bundle.join("report.txt")).expect("it is there");
    assert!(report.contains("expect is broken: `expect.answered_percent` is "), "{report}");
    assert!(report.contains(&format!("tiergate-sim run {} --seed ", file.path().display())), "{report}");
    assert!(report.contains("gets nothing of /") || report.contains(" break off"), "{report}");
    let page = std::fs::read_to_string(bundle.join("timeline.html")).expect("it is there");
    assert!(page.contains("case.yaml"), "the page has the command");
    let original = std::fs::read_to_string(bundle.join("scenario.yaml")).expect("it is there");
    assert_eq!(original, std::fs::read_to_string(&file).expect("it is there"));

    let seed =
        bundle.file_name().and_then(|name| name.to_str()?.rsplit('-').next()).expect("it ends with the seed");
    let output = plain(&folder.path().join("small.yaml"));
    let shrunk = sim(&["shrink", &plain(file.path()), "--seed", seed, "-o", &output]);
    assert_eq!(shrunk.status.code(), Some(0), "{shrunk:?}");
    let own = std::fs::read_to_string(output).expect("it was written");
    assert!(small.ends_with(&own), "{small}\n{own}");
    let nothing = sim(&["shrink", &plain(&shipped()), "--seed", "0", "-o", &bundles]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("seed 0 breaks nothing"), "{nothing:?}");
}

/// Any seed can be drawn, also one that broke nothing.
#[test]
fn a_seed_that_passes_can_be_drawn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    let output =
        run(&shipped(), &["--seed", "3", "--timeline", page.to_str().expect("the path is plain text")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let page = std::fs::read_to_string(page).expect("it was asked for");
    assert!(page.contains("two-edges-shared-tier.yaml --seed 3"), "it has the command");
    let unsaid = run(&shipped(), &["--seeds", "2", "--timeline", "page.html"]);
    assert_eq!(unsaid.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unsaid.stderr).contains("`--timeline` is of one seed"), "{unsaid:?}");
}
