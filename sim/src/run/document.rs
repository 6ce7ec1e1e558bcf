//! What machines read after a run: JUnit's XML for what shows tests, JSON for everything else.

use super::{Tested, Verdict, report};
use crate::world::Planted;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Map, Value, json};
use tiergate_scenarios::{Figure, LoadError, Phase};

/// One test case for each scenario, and one in error for each file that is none.
pub(super) fn junit(all: &[Tested], refused: &[LoadError], plant: Option<Planted>) -> String {
    let mut suite = TestSuite::new("scenarios");
    for tested in all {
        let (failures, vacuous) = (report::failures(tested, plant), report::vacuous(tested));
        let status = match (tested.verdict(), failures.first().or(vacuous.first())) {
            (Verdict::Failed, Some(first)) => failed(NonSuccessKind::Failure, "failed", first, &failures),
            (Verdict::Vacuous, Some(first)) => failed(NonSuccessKind::Failure, "vacuous", first, &vacuous),
            (Verdict::Passed | Verdict::Failed | Verdict::Vacuous, _) => TestCaseStatus::success(),
        };
        let mut case = TestCase::new(tested.scenario.name.as_str(), status);
        case.set_classname(tested.path.display().to_string()).set_time(tested.took);
        suite.add_test_case(case);
    }
    for error in refused {
        let told = error.to_string();
        let status = failed(NonSuccessKind::Error, "refused", &told, std::slice::from_ref(&told));
        let mut case = TestCase::new(error.path().display().to_string(), status);
        case.set_classname(error.path().display().to_string());
        suite.add_test_case(case);
    }
    let mut report = Report::new("tiergate-sim run");
    report.add_test_suite(suite);
    report.to_string().expect("text without control bytes is XML")
}

fn failed(kind: NonSuccessKind, of_type: &str, first: &str, all: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let line = first.lines().next().unwrap_or_default();
    status.set_type(of_type).set_message(line).set_description(all.join("\n\n"));
    status
}

/// Everything that a run counted.
pub(super) fn json(all: &[Tested], refused: &[LoadError], plant: Option<Planted>) -> String {
    let refused: Vec<_> = refused
        .iter()
        .map(|error| json!({"file": error.path().display().to_string(), "why": error.to_string()}))
        .collect();
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "planted": plant.map(Planted::as_str),
        "scenarios": all.iter().map(|tested| scenario(tested, plant)).collect::<Vec<_>>(),
        "refused": refused,
    });
    format!("{document:#}\n")
}

fn scenario(tested: &Tested, plant: Option<Planted>) -> Value {
    let verdict = match tested.verdict() {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Vacuous => "vacuous",
    };
    let failed = tested.failed.iter().map(|(seed, rule)| json!({"seed": seed, "rule": rule}));
    let first = tested.shown.as_ref().and_then(|(seed, record)| {
        let violation = record.violation.as_ref()?;
        let again = report::again(tested, *seed, plant);
        let (rule, seen) = (violation.rule, &violation.detail);
        Some(json!({"seed": seed, "rule": rule, "seen": seen, "facts": record.recent, "again": again}))
    });
    let faults: Map<String, Value> = tested
        .faults
        .iter()
        .filter(|(kind, _)| tested.scenario.faults.names(*kind))
        .map(|(kind, tally)| {
            let counts = json!({"planned": tally.planned, "armed": tally.armed, "hit": tally.fired});
            (kind.as_str().to_owned(), counts)
        })
        .collect();
    json!({
        "name": tested.scenario.name,
        "file": tested.path.display().to_string(),
        "verdict": verdict,
        "seeds": tested.seeds,
        "bundle": tested.bundle.as_ref().map(|folder| folder.display().to_string()),
        "failed": failed.collect::<Vec<_>>(),
        "first_failure": first,
        "unexpected": tested.unexpected(),
        "vacuous": tested.vacuous().into_iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "requests": tested.requests,
        "figures": {
            "whole": figures(tested, Phase::Whole),
            "faults": figures(tested, Phase::Faults),
            "healed": figures(tested, Phase::Healed),
        },
        "faults": faults,
        "simulated_s": report::seconds(tested.simulated),
        "took_s": report::seconds(tested.took),
    })
}

fn figures(tested: &Tested, phase: Phase) -> Map<String, Value> {
    let of = |figure: Figure| (figure.as_str().to_owned(), json!(tested.figures.of(phase, figure)));
    Figure::ALL.into_iter().map(of).collect()
}
