//! What a person reads after a run: one row for each scenario, and for a broken rule all it takes to see it
//! again.

use super::Tested;
use crate::world::Record;
use std::time::Duration;
use tiergate_engine::Fault;
use tiergate_scenarios::FaultKind;

/// The table. Its head is printed before the first row.
pub(super) struct Table;

impl Table {
    pub(super) fn begin() -> Self {
        outln!(
            "{:<28} {:>7} {:>7} {:>10} {:>7} {:>11} {:>9}",
            "scenario",
            "seeds",
            "passed",
            "requests",
            "hits",
            "simulated",
            "seeds/s"
        );
        Self
    }

    /// One scenario, and below it its faults.
    pub(super) fn row(&mut self, tested: &Tested) {
        let passed = tested.seeds - tested.failed.len() as u64;
        outln!(
            "{:<28} {:>7} {:>7} {:>10} {:>6.1}% {:>11} {:>9.1}",
            tested.scenario.name,
            tested.seeds,
            passed,
            tested.requests,
            ratio(tested.hits, tested.requests) * 100.0,
            spell(tested.simulated),
            tested.seeds as f64 / tested.took.as_secs_f64(),
        );
        for (kind, tally) in tested.faults.iter().filter(|(kind, _)| tested.scenario.faults.names(*kind)) {
            outln!(
                "  {:<26} planned {:>6}, armed {:>6}, hit {:>6}",
                kind.as_str(),
                tally.planned,
                tally.armed,
                tally.fired
            );
        }
        for figure in tested.scenario.expect.keys() {
            outln!("  {:<26} {}", figure.as_str(), tested.figures.of(*figure));
        }
    }
}

/// What each seed's log comes to: two runs of one seed must agree.
pub(super) fn hashes(tested: &Tested) {
    for (seed, (facts, hash)) in &tested.logs {
        outln!("  seed {seed}: {facts} facts, hash {}", hash.to_hex());
    }
}

/// A broken rule: scenario, seed, rule, what was seen, what came before, and the command that shows it again.
pub(super) fn failure(tested: &Tested, seed: u64, record: &Record, plant: Option<Fault>) {
    let Some(violation) = &record.violation else {
        return;
    };
    outln!("\nBROKEN {} by seed {seed} of {}", violation.rule, tested.scenario.name);
    outln!("  seen: {}", violation.detail);
    outln!("  the last {} facts:", record.recent.len());
    for line in &record.recent {
        outln!("    {line}");
    }
    if tested.failed.len() > 1 {
        outln!("  {} seeds failed: {}", tested.failed.len(), some(&tested.failed));
    }
    let plant = plant.map_or_else(String::new, |fault| format!(" --plant {}", fault.as_str()));
    outln!("  see it again: tiergate-sim run {} --seed {seed}{plant}\n", tested.path.display());
}

/// The first few failed seeds with their rules.
fn some(failed: &[(u64, &str)]) -> String {
    const SHOWN_MAX: usize = 12;
    let mut text: Vec<String> =
        failed.iter().take(SHOWN_MAX).map(|(seed, rule)| format!("{seed} ({rule})")).collect();
    if failed.len() > SHOWN_MAX {
        text.push("…".to_owned());
    }
    text.join(", ")
}

/// A scenario that asks for a fault and never gets it proves nothing about it.
pub(super) fn vacuous(tested: &Tested, kinds: &[FaultKind]) {
    for kind in kinds {
        outln!(
            "\nVACUOUS {}: `faults.{}` hit in none of {} seeds; run more seeds, or make it hit\n",
            tested.scenario.name,
            kind.as_str(),
            tested.seeds
        );
    }
}

/// Nor does one in which what it expects did not happen.
pub(super) fn unexpected(tested: &Tested, what: &[String]) {
    for what in what {
        outln!("\nUNEXPECTED {}: {what}, of {} seeds\n", tested.scenario.name, tested.seeds);
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn spell(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{:.1} s", time.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}
