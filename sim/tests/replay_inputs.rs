//! What a simulated edge records can be lived again, alone: the same driver tells the engine the same in
//! both.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiergate-sim"))
        .args(arguments)
        .output()
        .expect("the binary was built for this test")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("the path is plain text")
}

/// The recordings of all edges of one seed of the shipped scenario, with each of their lives.
fn recordings(folder: &Path) -> Vec<PathBuf> {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/two-edges-shared-tier.yaml");
    let output = sim(&["run", plain(&scenario), "--seed", "4", "--record", plain(folder)]);
    assert!(output.status.success(), "{}", text(&output));
    let files = fs::read_dir(folder).expect("it was made").map(|file| file.expect("it is readable").path());
    files.collect()
}

/// Every life of every edge, with crashes and cut links, decides the same when it is told the same.
#[test]
fn a_simulated_edge_is_lived_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = recordings(folder.path());
    assert!(files.len() >= 2, "{files:?}");
    for file in &files {
        let output = sim(&["replay-inputs", plain(file)]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("the same decisions: "), "{}", text(&output));
    }
    let shown = sim(&["replay-inputs", plain(&files[0]), "--show"]);
    assert!(text(&shown).contains("→ Fetch"), "{}", text(&shown));
}

/// A recording that was changed is lived until it differs, and what differs is told; what is no recording is
/// refused.
#[test]
fn what_differs_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = recordings(folder.path());
    let whole = fs::read_to_string(&files[0]).expect("it was just written");
    let changed = folder.path().join("changed");
    let again = |text: &str| {
        fs::write(&changed, text).expect("a folder of ours");
        sim(&["replay-inputs", plain(&changed)])
    };

    let (before, after) = whole.split_once("\"storing\":true").expect("something was stored");
    let output = again(&format!("{before}\"storing\":false{after}"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("another decision on what line "), "{}", text(&output));
    assert!(text(&output).contains("\"storing\":true"), "{}", text(&output));

    // Whoever recorded may have been killed within a line.
    assert!(again(&whole[..whole.len() - 3]).status.success());

    for (text, expected) in [
        ("{}\n".to_owned(), "line 1: this is not the first line of a recording"),
        (
            whole.replacen("\"tiergate_recording\":2", "\"tiergate_recording\":7", 1),
            "line 1: `tiergate_recording` is 7, but this version reads 2",
        ),
        (whole.replacen("\"told\"", "\"tell\"", 1), "line 2: unknown variant `tell`"),
        (whole.replacen("\"window\":", "\"window\":1,\"x\":", 1), "line 1: unknown field `x`"),
    ] {
        let output = again(&text);
        assert_eq!(output.status.code(), Some(2), "{expected}");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains(expected), "{complaint}");
    }
}
