//! `tiergate-sim run`: scenarios times seeds, on all cores; a table of what held, and for what did not, how
//! to see it again.

mod document;
mod pool;
mod report;

use crate::world::{Figures, Order, Record, Tallies, rule_ids};
use clap::Args;
use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};
use tiergate_engine::Fault;
use tiergate_scenarios::{FaultKind, LoadError, Loaded, Scenario, Scope, load_all};

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
    /// Puts a known fault into the engine, to see that a rule catches it. Needs a build with the feature
    /// `plant`.
    #[arg(long, value_name = "FAULT", value_parser = fault)]
    plant: Option<Fault>,
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
    /// Prints a hash of all that happened for each seed, to compare machines, builds and runs.
    #[arg(long)]
    hashes: bool,
}

fn fault(name: &str) -> Result<Fault, String> {
    if !cfg!(feature = "plant") {
        return Err("this build plants no faults: build it with `--features plant`".to_owned());
    }
    let known = Fault::ALL.map(Fault::as_str).join(", ");
    Fault::ALL
        .into_iter()
        .find(|fault| fault.as_str() == name)
        .ok_or_else(|| format!("no such fault; there are {known}"))
}

/// One scenario and what came of its seeds.
struct Tested {
    path: PathBuf,
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
    /// Was one seed run by itself? It has only some of the faults, and does not stand for all.
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
    let Loaded { scenarios, refused } = load_all(&args.paths, &rule_ids());
    for error in &refused {
        eprintln!("error: {error}");
    }
    let (first, count) = match args.seed {
        Some(seed) => (seed, NonZeroU64::MIN),
        None => (args.first_seed, args.seeds),
    };
    if first.checked_add(count.get()).is_none() {
        return refuse("the last seed would be beyond 2^64");
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
    for (path, scenario) in scenarios {
        let (plant, facts, record) = (args.plant, args.facts, record.clone());
        let order = Order { scenario: Arc::new(scenario), seed: first, plant, facts, record };
        let mut tested = pool::live(path, &order, count.get(), jobs);
        tested.is_single = args.seed.is_some();
        table.row(&tested);
        if args.seed.is_some() || args.hashes {
            report::hashes(&tested);
        }
        report::shortcomings(&tested, args.plant);
        all.push(tested);
    }
    for (option, file, text) in [
        ("--junit", &args.junit, document::junit as fn(&[Tested], &[LoadError], Option<Fault>) -> String),
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

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(2)
}

impl Tested {
    /// Nothing yet.
    fn new(path: PathBuf, scenario: Arc<Scenario>) -> Self {
        Self {
            path,
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
            is_single: false,
        }
    }

    /// Takes in what came of one seed, in any order.
    fn take(&mut self, seed: u64, record: Record) {
        self.seeds += 1;
        self.logs.extend(record.hash.map(|hash| (seed, (record.facts, hash))));
        self.requests += record.requests;
        self.simulated += record.simulated;
        self.faults.add(&record.faults);
        self.figures.merge(&record.figures);
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
