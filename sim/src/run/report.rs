//! What a person reads after a run: one row for each scenario, and for what did not hold all it takes to
//! understand it and to see it again.

use super::{Tested, Verdict};
use crate::world::{Planted, Record};
use std::time::Duration;
use tiergate_scenarios::{Figure, Phase, ScenarioFile, spelled};

/// The table. Its head is printed before the first row.
pub(super) struct Table {
    /// How wide the names are.
    names: usize,
}

impl Table {
    pub(super) fn begin(scenarios: &[ScenarioFile]) -> Self {
        let names = scenarios.iter().map(|file| file.scenario.name.len()).max().unwrap_or(0).max(24);
        if !scenarios.is_empty() {
            outln!(
                "{:<names$} {:>6} {:>6} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} {:>9} {:>7}",
                "scenario",
                "seeds",
                "passed",
                "requests",
                "answered",
                "hits",
                "origin",
                "p50, ms",
                "p99, ms",
                "timed out",
                "seeds/s"
            );
        }
        Self { names }
    }

    /// One scenario, and below it its faults and what it expects.
    pub(super) fn row(&mut self, tested: &Tested) {
        let passed = tested.seeds - tested.failed.len() as u64;
        let names = self.names;
        let of = |figure| tested.figures.of(Phase::Whole, figure);
        outln!(
            "{:<names$} {:>6} {:>6} {:>9} {:>8}% {:>5}% {:>8} {:>8} {:>8} {:>9} {:>7.1}",
            tested.scenario.name,
            tested.seeds,
            passed,
            tested.requests,
            tenth(of(Figure::AnsweredPercent)),
            tenth(of(Figure::HitPercent)),
            of(Figure::OriginRequests),
            of(Figure::LatencyP50Ms),
            of(Figure::LatencyP99Ms),
            of(Figure::TimedOut),
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
        for (phase, figure, _) in tested.scenario.expect.iter() {
            let name = phase.as_str().map_or_else(String::new, |phase| format!("{phase}."));
            let note = if tested.scenario.expects_service_by_default && figure == Figure::AnsweredPercent {
                ", and at least 50 by default: it expects nothing else of service"
            } else {
                ""
            };
            let name = name + figure.as_str();
            outln!("  {name:<26} {}{note}", spelled(tested.figures.of(phase, figure)));
        }
    }
}

/// A share with one digit behind the point, cut, so that 99.99 is not told as 100.
fn tenth(percent: f64) -> String {
    format!("{:.1}", (percent * 10.0).floor() / 10.0)
}

/// What each seed's log comes to: two runs of one seed must agree.
pub(super) fn hashes(tested: &Tested) {
    for (seed, (facts, hash)) in &tested.logs {
        outln!("  seed {seed}: {facts} facts, hash {}", hash.to_hex());
    }
}

/// What did not hold.
pub(super) fn shortcomings(tested: &Tested, plant: Option<Planted>) {
    for told in failures(tested, plant).into_iter().chain(vacuous(tested)) {
        outln!("\n{told}\n");
    }
}

/// Each thing that failed, in words: the broken rule of the lowest seed, and what was expected in vain.
pub(super) fn failures(tested: &Tested, plant: Option<Planted>) -> Vec<String> {
    let broken = tested.shown.as_ref().map(|(seed, record)| broken(tested, *seed, record, plant));
    let unserved = unserved(tested);
    let is_said = |what: &String| unserved.is_some() && what.starts_with("`expect.answered_percent`");
    let unexpected: Vec<_> = tested
        .unexpected()
        .into_iter()
        .filter(|what| !is_said(what))
        .map(|what| format!("UNEXPECTED {}: {what}, of {} seeds", tested.scenario.name, tested.seeds))
        .collect();
    unserved.into_iter().chain(broken).chain(unexpected).collect()
}

/// That too few were served, in a line for whoever knows nothing of caches.
fn unserved(tested: &Tested) -> Option<String> {
    let figures = &tested.figures;
    let of = |figure| figures.of(Phase::Whole, figure);
    let least = tested.scenario.expect.of(Phase::Whole, Figure::AnsweredPercent)?.at_least?;
    let percent = of(Figure::AnsweredPercent);
    if percent >= least || tested.is_single {
        return None;
    }
    let asked = of(Figure::Whole) + of(Figure::Broken) + of(Figure::Unanswered);
    let line = format!(
        "TOO FEW SERVED {}: {} of {asked} requests were answered in full ({} %), and {} % were expected to be.\n  \
         {} clients waited {} ms in vain, {} were told of an error, {} saw their response break off.{}",
        tested.scenario.name,
        of(Figure::Whole),
        spelled(percent),
        spelled(least),
        of(Figure::TimedOut),
        tested.scenario.workload.timeout_ms,
        of(Figure::ServerErrors),
        of(Figure::Broken),
        fewest(tested),
    );
    let how = "\n  The scenario expects nothing of service by itself, so half is expected: `expect.answered_percent` \
               says what you expect.";
    Some(if tested.scenario.expects_service_by_default { line + how } else { line })
}

/// Which seed shows it best.
fn fewest(tested: &Tested) -> String {
    let Some((percent, seed)) = tested.fewest else { return String::new() };
    let again = again(tested, seed, None);
    format!("\n  The fewest in seed {seed} ({} %): {again} --timeline seed-{seed}.html", spelled(percent))
}

/// A broken rule: scenario, seed, rule, what was seen, what came before, and the command that shows it again.
fn broken(tested: &Tested, seed: u64, record: &Record, plant: Option<Planted>) -> String {
    let Some(violation) = &record.violation else { return String::new() };
    let mut lines = vec![
        format!("BROKEN {} by seed {seed} of {}", violation.rule, tested.scenario.name),
        format!("  seen: {}", violation.detail),
        "  what led to it:".to_owned(),
    ];
    lines.extend(record.recent.iter().map(|line| format!("    {line}")));
    if tested.failed.len() > 1 {
        lines.push(format!("  {} seeds failed: {}", tested.failed.len(), some(&tested.failed)));
    }
    lines.push(format!("  see it again: {}", again(tested, seed, plant)));
    if let Some(bundle) = &tested.bundle {
        lines.push(format!("  the same made small, and a page that draws it: {}", bundle.display()));
    }
    lines.join("\n")
}

/// The command that shows a seed again.
pub(super) fn again(tested: &Tested, seed: u64, plant: Option<Planted>) -> String {
    let config = tested.config.as_deref().map(|file| format!(" --config {}", file.display()));
    let (file, config) = (tested.path.display(), config.unwrap_or_default());
    format!("tiergate-sim run {file}{config} --seed {seed}{}", planted(plant))
}

/// What a command says of a planted fault.
pub(super) fn planted(plant: Option<Planted>) -> String {
    plant.map_or_else(String::new, |fault| format!(" --plant {}", fault.as_str()))
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
pub(super) fn vacuous(tested: &Tested) -> Vec<String> {
    let told = tested.vacuous().into_iter().map(|kind| {
        format!(
            "VACUOUS {}: `faults.{}` hit in none of {} seeds; run more seeds, or make it hit",
            tested.scenario.name,
            kind.as_str(),
            tested.seeds
        )
    });
    told.collect()
}

/// The last line: how many of what, where more than one scenario was run, or a file was refused.
pub(super) fn sum(verdicts: &[Verdict], refused: usize) {
    if verdicts.len() + refused < 2 {
        return;
    }
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    outln!(
        "\n{} passed, {} failed, {} vacuous, {refused} refused",
        count(Verdict::Passed),
        count(Verdict::Failed),
        count(Verdict::Vacuous)
    );
}

/// A time of a world, or of ours.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
