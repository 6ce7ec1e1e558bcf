//! One seed is one history in every process.

use std::process::{Command, Stdio};

/// Some seeds of `explore`: two processes that run at the same time print the same digests.
#[test]
fn two_processes_live_the_same_histories() {
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_tiergate-sim"))
            .args(["explore", "--seeds", "8", "--requests", "60", "--digests"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test")
    };
    let digests = [start(), start()].map(|process| {
        let output = process.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| line.contains(" digest "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(digests[0].len(), 8, "{digests:?}");
    assert_eq!(digests[0], digests[1]);
}
