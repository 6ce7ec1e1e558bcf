//! `tiergate-sim run`: scenarios times seeds, on all cores; a table of what held, and for what did not, how
//! to see it again.

mod bundle;
mod case;
mod deployed;
mod document;
mod pool;
pub(crate) mod prove;
mod report;
mod shrink;

pub use bundle::shrink_scenario;

use crate::timeline::Timeline;
use crate::world::{Figures, Order, Planted, Record, Tallies, Tells, rule_ids};
use clap::Args;
use deployed::Deployed;
use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};
use tiergate_scenarios::{
    FaultKind, Figure, LoadError, Loaded, Phase, Scenario, ScenarioFile, Scope, load_all,
};

/// What `run` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all held; 1 a rule was broken, or what a scenario expects did not come; 2 a \
    file or an argument is wrong (the good files are run all the same); 3 nothing was broken, but a fault that a \
    scenario asks for never hit, so that it proves nothing."
)]
pub struct RunArgs {
    /// Scenario files, or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// A proxy's file: what it says of `cache`, of `storage.l2.sync` and of how clients are treated takes the
    /// place of what the scenarios say.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many seeds of each scenario.
    #[arg(long, value_name = "COUNT", default_value = "20")]
    seeds: NonZeroU64,
    /// The first of them.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first_seed: u64,
    /// Only this seed; prints a hash of all that happened.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first_seed"])]
    seed: Option<u64>,
    /// How many seeds to live at a time. Default: one for each core.
    #[arg(long, value_name = "COUNT")]
    jobs: Option<NonZeroUsize>,
    /// Puts a known fault into the edges, to see that a rule catches it. Needs a build with the feature
    /// `plant`.
    #[arg(long, value_name = "FAULT", value_parser = Planted::named)]
    plant: Option<Planted>,
    /// How many of the last facts to show of a seed that broke a rule.
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    facts: usize,
    /// Record what each edge of the one seed is told, and decides, into this folder, for `replay-inputs`.
    #[arg(long, value_name = "FOLDER", requires = "seed")]
    record: Option<PathBuf>,
    /// Also writes what came of it into this file, as JUnit has it: one test case for each scenario.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also writes what came of it into this file, as JSON: every figure, every fault, every failed seed.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws the one seed, whatever comes of it, as a page in this file.
    #[arg(long, value_name = "FILE", requires = "seed")]
    timeline: Option<PathBuf>,
    /// Where a failing seed is written of, in a folder of its own: the scenario, the same made small, what
    /// happened in it, and a page that draws it.
    #[arg(long, value_name = "FOLDER", default_value = tiergate_scenarios::BUNDLES)]
    bundles: PathBuf,
    /// How long a failing seed of a scenario is made smaller for, at most, in seconds. 0: nothing is written
    /// of failing seeds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    shrink_seconds: u64,
    /// Prints a hash of all that happened for each seed, to compare machines, builds and runs.
    #[arg(long)]
    hashes: bool,
}

/// One scenario and what came of its seeds.
struct Tested {
    path: PathBuf,
    /// What it says, with the sections of `config` if there is one.
    text: String,
    /// The proxy's file that it is run with.
    config: Option<PathBuf>,
    scenario: Arc<Scenario>,
    seeds: u64,
    /// Failed seeds with the rule that each broke, in order.
    failed: Vec<(u64, &'static str)>,
    /// The failed seed with the lowest number, in full.
    shown: Option<(u64, Record)>,
    /// Of each seed, in order: how many facts, and a hash over them.
    logs: BTreeMap<u64, (u64, blake3::Hash)>,
    requests: u64,
    faults: Tallies,
    figures: Figures,
    simulated: Duration,
    took: Duration,
    /// How many of a hundred were answered in the seed in which the fewest were, and which that is.
    fewest: Option<(f64, u64)>,
    /// All that happened in the seed that was lived last, where it is drawn.
    drawn: Option<Timeline>,
    /// Where it is written of the seed that is shown.
    bundle: Option<PathBuf>,
    /// Were seeds run by name? They have only some of the faults, and do not stand for all.
    is_single: bool,
}

/// What came of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// A rule was broken, or what is expected did not come.
    Failed,
    /// A fault never hit.
    Vacuous,
}

/// Runs the subcommand.
pub fn run(args: RunArgs) -> ExitCode {
    let Loaded { mut scenarios, mut refused } = load_all(&args.paths, &rule_ids());
    let deployed = match args.config.as_deref().map(Deployed::load).transpose() {
        Ok(deployed) => deployed,
        Err(error) => return refuse(&error),
    };
    if let Some(deployed) = &deployed {
        let applied = scenarios.into_iter().map(|file| deployed.apply(file));
        (scenarios, refused) = applied.fold((Vec::new(), refused), |(mut good, mut bad), applied| {
            match applied {
                Ok(file) => good.push(file),
                Err(error) => bad.push(error),
            }
            (good, bad)
        });
        if let Some(note) = &deployed.note {
            eprintln!("note: {note}");
        }
    }
    for error in &refused {
        eprintln!("error: {error}");
    }
    let (first, count) = match args.seed {
        Some(seed) => (seed, 1),
        None => (args.first_seed, args.seeds.get()),
    };
    let Some(end) = first.checked_add(count) else {
        return refuse("the last seed would be beyond 2^64");
    };
    for (option, is_there) in [("--record", args.record.is_some()), ("--timeline", args.timeline.is_some())] {
        if is_there && args.seed.is_none() {
            return refuse(&format!("`{option}` is of one seed: `--seed` says which"));
        }
    }
    if let Some(folder) = &args.record
        && let Err(error) = std::fs::create_dir_all(folder)
    {
        return refuse(&format!("`--record` is {}, which cannot be made: {error}", folder.display()));
    }
    let record: Option<Arc<Path>> = args.record.as_deref().map(Arc::from);
    let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);

    let mut table = report::Table::begin(&scenarios);
    let mut all = Vec::new();
    for ScenarioFile { path, text, scenario } in scenarios {
        let kept = scenario.seeds.clone().filter(|_| args.seed.is_none());
        let is_single = args.seed.is_some() || kept.is_some();
        let seeds = kept.unwrap_or_else(|| (first..end).collect());
        let (plant, facts, record) = (args.plant, args.facts, record.clone());
        let tells = if args.timeline.is_some() { Tells::Always } else { Tells::OfBroken };
        let order = Order { scenario: Arc::new(scenario), seed: first, plant, facts, tells, record };
        let mut tested = Tested::new(path, text, Arc::clone(&order.scenario));
        tested.config.clone_from(&args.config);
        tested.is_single = is_single;
        pool::live(&mut tested, &order, &seeds, jobs);
        if let Err(error) = write_of(&args, &mut tested) {
            return refuse(&error);
        }
        table.row(&tested);
        if args.seed.is_some() || args.hashes {
            report::hashes(&tested);
        }
        report::shortcomings(&tested, args.plant);
        all.push(tested);
    }
    for (option, file, text) in [
        ("--junit", &args.junit, document::junit as fn(&[Tested], &[LoadError], Option<Planted>) -> String),
        ("--json", &args.json, document::json),
    ] {
        if let Some(file) = file
            && let Err(error) = std::fs::write(file, text(&all, &refused, args.plant))
        {
            return refuse(&format!("`{option}` is {}, which cannot be written: {error}", file.display()));
        }
    }
    let verdicts: Vec<_> = all.iter().map(Tested::verdict).collect();
    report::sum(&verdicts, refused.len());
    ExitCode::from(match () {
        () if verdicts.contains(&Verdict::Failed) => 1,
        () if !refused.is_empty() => 2,
        () if verdicts.contains(&Verdict::Vacuous) => 3,
        () => 0,
    })
}

/// Writes what is wanted of single seeds.
fn write_of(args: &RunArgs, tested: &mut Tested) -> Result<(), String> {
    if let (Some(file), Some(timeline), Some(seed)) = (&args.timeline, &tested.drawn, args.seed) {
        let page = bundle::page(timeline, seed, &report::again(tested, seed, args.plant), args.plant);
        let cannot = |error| format!("`--timeline` is {}, which cannot be written: {error}", file.display());
        std::fs::write(file, page).map_err(cannot)?;
    }
    if args.shrink_seconds > 0 {
        let time_max = Duration::from_secs(args.shrink_seconds);
        let written = bundle::write(&args.bundles, tested, args.plant, time_max);
        let cannot =
            |error| format!("`--bundles` is {}, which cannot be written to: {error}", args.bundles.display());
        tested.bundle = written.map_err(cannot)?;
    }
    Ok(())
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(2)
}

impl Tested {
    /// Nothing yet.
    fn new(path: PathBuf, text: String, scenario: Arc<Scenario>) -> Self {
        Self {
            path,
            text,
            config: None,
            scenario,
            seeds: 0,
            failed: Vec::new(),
            shown: None,
            logs: BTreeMap::new(),
            requests: 0,
            faults: Tallies::default(),
            figures: Figures::default(),
            simulated: Duration::ZERO,
            took: Duration::ZERO,
            fewest: None,
            drawn: None,
            bundle: None,
            is_single: false,
        }
    }

    /// Takes in what came of one seed, in any order.
    fn take(&mut self, seed: u64, record: Record) {
        self.drawn.clone_from(&record.timeline);
        self.seeds += 1;
        self.logs.extend(record.hash.map(|hash| (seed, (record.facts, hash))));
        self.requests += record.requests;
        self.simulated += record.simulated;
        self.faults.add(&record.faults);
        self.figures.merge(&record.figures);
        let answered = record.figures.of(Phase::Whole, Figure::AnsweredPercent);
        if self.fewest.is_none_or(|fewest| (answered, seed) < fewest) {
            self.fewest = Some((answered, seed));
        }
        if let Some(violation) = &record.violation {
            self.failed.push((seed, violation.rule));
            self.failed.sort_unstable();
            if self.shown.as_ref().is_none_or(|(shown, _)| seed < *shown) {
                self.shown = Some((seed, record));
            }
        }
    }

    /// Faults that the scenario asks for and that never hit.
    fn vacuous(&self) -> Vec<FaultKind> {
        let asked = self.faults.iter().filter(|(kind, _)| self.scenario.faults.names(*kind));
        asked.filter(|(_, tally)| tally.fired == 0 && !self.is_single).map(|(kind, _)| kind).collect()
    }

    /// What is not as the scenario expects it of all seeds.
    fn unexpected(&self) -> Vec<String> {
        if self.is_single {
            return Vec::new();
        }
        self.figures.unexpected(&self.scenario.expect, Scope::AllSeeds)
    }

    fn verdict(&self) -> Verdict {
        match (self.failed.is_empty() && self.unexpected().is_empty(), self.vacuous().is_empty()) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::Vacuous,
            (true, true) => Verdict::Passed,
        }
    }
}
