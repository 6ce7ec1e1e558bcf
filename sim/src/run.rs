//! `tiergate-sim run`: scenarios times seeds, on all cores; a table of what held, and for what did not, how
//! to see it again.

mod pool;
mod report;

use crate::world::{Figures, Order, Record, Tallies, rules};
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
use tiergate_scenarios::{FaultKind, Scenario, Scope, load_all};

/// What `run` is told.
#[derive(Debug, Args)]
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
    hits: u64,
    faults: Tallies,
    figures: Figures,
    simulated: Duration,
    took: Duration,
}

/// Runs the subcommand.
pub fn run(args: RunArgs) -> ExitCode {
    let scenarios = match load_all(&args.paths) {
        Ok(scenarios) => scenarios,
        Err(error) => return refuse(&error.to_string()),
    };
    for (path, scenario) in &scenarios {
        if let Err(unknown) = rules(scenario) {
            return refuse(&format!(
                "{}: `invariants` names {unknown}, but must name rules that stand",
                path.display()
            ));
        }
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

    let mut all_held = true;
    let mut table = report::Table::begin();
    for (path, scenario) in scenarios {
        let (plant, facts, record) = (args.plant, args.facts, record.clone());
        let order = Order { scenario: Arc::new(scenario), seed: first, plant, facts, record };
        let tested = pool::live(path, &order, count.get(), jobs);
        table.row(&tested);
        if args.seed.is_some() || args.hashes {
            report::hashes(&tested);
        }
        if let Some((seed, record)) = &tested.shown {
            report::failure(&tested, *seed, record, args.plant);
        }
        // One seed has only some of the faults.
        let vacuous = if args.seed.is_some() { Vec::new() } else { tested.vacuous() };
        report::vacuous(&tested, &vacuous);
        // Nor does it stand for all of them.
        let unexpected = if args.seed.is_some() { Vec::new() } else { tested.unexpected() };
        report::unexpected(&tested, &unexpected);
        all_held &= tested.failed.is_empty() && vacuous.is_empty() && unexpected.is_empty();
    }
    if all_held { ExitCode::SUCCESS } else { ExitCode::from(1) }
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
            hits: 0,
            faults: Tallies::default(),
            figures: Figures::default(),
            simulated: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    /// Takes in what came of one seed, in any order.
    fn take(&mut self, seed: u64, record: Record) {
        self.seeds += 1;
        self.logs.extend(record.hash.map(|hash| (seed, (record.facts, hash))));
        self.requests += record.requests;
        self.hits += record.hits;
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
        asked.filter(|(_, tally)| tally.fired == 0).map(|(kind, _)| kind).collect()
    }

    /// What is not as the scenario expects it of all seeds.
    fn unexpected(&self) -> Vec<String> {
        self.figures.unexpected(&self.scenario.expect, Scope::AllSeeds)
    }
}
