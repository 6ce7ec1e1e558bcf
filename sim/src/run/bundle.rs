//! What is written of a failing seed for people: a folder with the scenario as it was, the same made small,
//! what happened in it, and a page that shows it.

use super::{
    Tested,
    case::Case,
    report,
    shrink::{self, Progress, Shrunk},
};
use crate::{
    explore::ShrinkArgs,
    timeline::Timeline,
    world::{Order, Planted, Record, Tells, rule_ids, simulate},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tiergate_scenarios::ScenarioFile;

/// The commit that this program was built from, as far as that was known.
pub(super) const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), ", ", env!("TIERGATE_COMMIT"));

/// Writes the bundle of a scenario's first failing seed below `folder`, if a seed failed. Returns where.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write(
    folder: &Path,
    tested: &Tested,
    plant: Option<Planted>,
    time_max: Duration,
) -> io::Result<Option<PathBuf>> {
    let Some((seed, record)) = &tested.shown else { return Ok(None) };
    let seed = *seed;
    let text = &tested.text;
    let folder = folder.join(format!("{}-{seed}", tested.scenario.name));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("scenario.yaml"), text)?;
    let shrunk = shrunk(&tested.scenario.name, text, seed, record, plant, time_max);
    let told = shrunk.as_ref().map_or(record, |shrunk| &shrunk.record);
    let case = folder.join("case.yaml");
    let command = match &shrunk {
        Some(shrunk) => {
            fs::write(&case, head(tested, seed, plant) + &shrunk.case.text())?;
            format!("tiergate-sim run {}{}", case.display(), report::planted(plant))
        }
        None => report::again(tested, seed, plant),
    };
    if let Some(timeline) = &told.timeline {
        fs::write(folder.join("timeline.html"), page(timeline, seed, &command, plant))?;
    }
    fs::write(folder.join("report.txt"), told_of(tested, seed, record, shrunk.as_ref(), plant, &command))?;
    Ok(Some(folder))
}

/// The page of a run.
pub(super) fn page(timeline: &Timeline, seed: u64, command: &str, plant: Option<Planted>) -> String {
    let mut timeline = timeline.clone();
    timeline.seed = seed;
    command.clone_into(&mut timeline.command);
    timeline.version = format!("tiergate-sim {BUILD}");
    timeline.planted = plant.map(|fault| format!("{}: {}", fault.as_str(), fault.describe()));
    timeline.page()
}

/// What a case says of itself before it begins.
fn head(tested: &Tested, seed: u64, plant: Option<Planted>) -> String {
    let rule = tested.failed.first().map_or("", |(_, rule)| rule);
    format!(
        "# {rule} breaks here as in seed {seed} of {}{}; tiergate-sim {BUILD}.\n",
        tested.path.display(),
        report::planted(plant)
    )
}

/// Makes a failing seed of a scenario file small, and writes it. 0: it is written, 2: it cannot be.
pub fn shrink_scenario(args: ShrinkArgs) -> ExitCode {
    match shrink_file(&args) {
        Ok(told) => {
            outln!("{told}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn shrink_file(args: &ShrinkArgs) -> Result<String, String> {
    let file = args.file.display();
    let plant =
        args.plant.as_deref().map(Planted::named).transpose().map_err(|why| format!("`--plant`: {why}"))?;
    let loaded = tiergate_scenarios::load(&args.file, &rule_ids()).map_err(|error| error.to_string())?;
    let ScenarioFile { text, scenario, .. } = loaded;
    let kept = scenario.seeds.as_ref().and_then(|seeds| seeds.first()).copied();
    let seed =
        args.seed.or(kept).ok_or_else(|| format!("{file}: `--seed` is absent, but says which seed fails"))?;
    let name = scenario.name.clone();
    let scenario = Arc::new(scenario);
    let record = simulate(&Order { scenario, seed, plant, facts: 0, tells: Tells::OfBroken, record: None });
    if record.violation.is_none() {
        return Err(format!("{file}: seed {seed} breaks nothing, so there is nothing to keep"));
    }
    let time_max = Duration::from_secs(args.seconds.unwrap_or(3_600));
    let shrunk = shrunk(&name, &text, seed, &record, plant, time_max);
    let shrunk =
        shrunk.ok_or_else(|| format!("{file}: seed {seed} breaks its rule no more once it is pinned"))?;
    let output = args.output.display();
    fs::write(&args.output, shrunk.case.text()).map_err(|error| format!("{output}: {error}"))?;
    let mut told = if args.story { shrunk.record.recent.join("\n") + "\n" } else { String::new() };
    let end = if shrunk.is_cut_short { "the time is over" } else { "nothing is left to leave out" };
    let (from, to, runs) = (record.requests, shrunk.case.requests(), shrunk.runs);
    told += &format!("{from} requests became {to} in {runs} worlds; {end}: {output}");
    Ok(told)
}

/// Makes the failing seed small, and says on a terminal how far it is.
fn shrunk(
    name: &str,
    text: &str,
    seed: u64,
    record: &Record,
    plant: Option<Planted>,
    time_max: Duration,
) -> Option<Shrunk> {
    let (violation, drawn) = (record.violation.as_ref()?, record.drawn.as_ref()?);
    let mut case = Case::of(text).ok()?;
    case.pin(seed, drawn, record);
    let style = ProgressStyle::with_template("{prefix} {spinner} {msg}").expect("the template's keys exist");
    let bar = ProgressBar::new_spinner().with_style(style).with_prefix(format!("shrinking {name}"));
    let shrunk = shrink::shrink(case, seed, plant, violation, time_max, &mut |progress: &Progress| {
        let Progress { runs, requests, faults } = progress;
        bar.set_message(format!("{runs} worlds: {requests} requests and {faults} faults are left"));
        bar.tick();
    });
    bar.finish_and_clear();
    shrunk
}

fn told_of(
    tested: &Tested,
    seed: u64,
    record: &Record,
    shrunk: Option<&Shrunk>,
    plant: Option<Planted>,
    command: &str,
) -> String {
    let mut lines = vec![format!("{} of {}, seed {seed}", tested.scenario.name, tested.path.display())];
    lines.push(format!("tiergate-sim {BUILD}"));
    lines.extend(plant.map(|fault| format!("planted: {}, {}", fault.as_str(), fault.describe())));
    lines.push(format!("see it again: {}", report::again(tested, seed, plant)));
    if let Some(shrunk) = shrunk {
        lines.push(format!("the same made small: {command}"));
        let (requests, spent) =
            (shrunk.case.requests(), if shrunk.is_cut_short { "; its time was over" } else { "" });
        lines
            .push(format!("{} requests became {requests} in {} worlds{spent}", record.requests, shrunk.runs));
    }
    let told = shrunk.map_or(record, |shrunk| &shrunk.record);
    if let Some(violation) = &told.violation {
        lines.push(String::new());
        lines.push(format!("{} is broken: {}", violation.rule, violation.detail));
        lines.extend(
            tiergate_invariants::promise(violation.rule)
                .map(|promise| format!("{}: {promise}", violation.rule)),
        );
        lines.push(String::new());
        lines.extend(told.recent.iter().cloned());
    }
    lines.join("\n") + "\n"
}
