//! `tiergate-sim replay-case` and `tiergate-sim shrink`: what is done with case files.

use crate::explore::{
    campaign::run::Failure,
    case::shrink::{Budget, Progress, Shrunk, shrink},
    case::{Case, CaseError},
    telling::story,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// `tiergate-sim replay-case`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayCaseArgs {
    /// The case.
    file: PathBuf,
    /// Print what happens, one line for each event.
    #[arg(long)]
    story: bool,
}

/// `tiergate-sim shrink`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShrinkArgs {
    /// The case, or a scenario (`.yaml`).
    pub(crate) file: PathBuf,
    /// Where the smaller case goes, or the smaller scenario.
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// Of a scenario: the seed that breaks a rule.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Of a scenario: what is planted in it.
    #[arg(long, value_name = "FAULT")]
    pub(crate) plant: Option<String>,
    /// Stop after so many runs.
    #[arg(long, default_value_t = 20_000)]
    attempts: u64,
    /// Stop after so many seconds. Without this, the same case shrinks to the same.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Print what happens in the smaller case, one line for each event.
    #[arg(long)]
    pub(crate) story: bool,
}

impl ShrinkArgs {
    /// Is a scenario to be made smaller, and not what `explore` kept?
    pub fn is_of_scenario(&self) -> bool {
        self.file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    }
}

/// Lives a case again. 0: all happened as it was recorded, 1: it did not, 2: this is no case.
pub fn replay_case(args: ReplayCaseArgs) -> ExitCode {
    let case = match read(&args.file) {
        Ok(case) => case,
        Err(error) => return refuse(&error),
    };
    quiet_panics();
    let (now, world) = case.again();
    if args.story {
        out!("{}", story::tell(&now, &world));
    }
    match case.compare(&now) {
        Ok(()) => {
            let rule = case.rule().map_or("no rule is broken".to_owned(), |rule| format!("{rule} is broken"));
            outln!("the same {} steps, digest {:016x}; {rule}", case.steps(), case.digest());
            ExitCode::SUCCESS
        }
        Err(divergence) => {
            out!("{divergence}");
            ExitCode::FAILURE
        }
    }
}

/// Shrinks a case. 0: the smaller one was written, 2: this is no case, or it breaks no rule.
pub fn shrink_case(args: ShrinkArgs) -> ExitCode {
    let case = match read(&args.file) {
        Ok(case) => case,
        Err(error) => return refuse(&error),
    };
    if args.seed.is_some() || args.plant.is_some() {
        return refuse("`--seed` and `--plant` are of a scenario: a case holds its own");
    }
    if case.rule().is_none() {
        return refuse(&format!("{}: it broke no rule, so there is nothing to keep", args.file.display()));
    }
    quiet_panics();
    let (now, _) = case.again();
    if now.rule() != case.rule() {
        return refuse(&format!(
            "{}: it does not break its rule any more; see replay-case",
            args.file.display()
        ));
    }
    let budget = Budget { attempts: args.attempts, time: args.seconds.map(Duration::from_secs) };
    let bar = indicatif::ProgressBar::new_spinner();
    let Shrunk { case: smaller, attempts, is_cut_short } = shrink(&now, budget, |progress: &Progress| {
        bar.set_message(format!(
            "{} runs: {} requests, {} outcomes",
            progress.attempts, progress.requests, progress.chosen
        ));
        bar.tick();
    });
    bar.finish_and_clear();
    if let Err(error) = write(&args.output, &smaller) {
        return refuse(&error);
    }
    if args.story {
        let (now, world) = smaller.again();
        out!("{}", story::tell(&now, &world));
    }
    let end = if is_cut_short { "the budget is spent" } else { "nothing is left to leave out" };
    outln!(
        "{} requests and {} steps became {} and {} in {attempts} runs; {end}: {}",
        now.requests(),
        now.steps(),
        smaller.requests(),
        smaller.steps(),
        args.output.display()
    );
    ExitCode::SUCCESS
}

/// Writes a failure as a case, and says what to do with it.
pub(in crate::explore) fn keep(file: &Path, failure: &Failure) {
    let case = Case::of_seed(failure.seed, failure.run);
    let name = file.display();
    match write(file, &case) {
        Ok(()) => {
            outln!("kept as {name}; to make it small: tiergate-sim shrink {name} -o smaller.json --story")
        }
        Err(error) => eprintln!("error: the case is not kept: {error}"),
    }
}

fn write(file: &Path, case: &Case) -> Result<(), String> {
    fs::write(file, case.to_text()).map_err(|error| format!("{}: {error}", file.display()))
}

fn read(file: &Path) -> Result<Case, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Case::of_text(&text).map_err(|error: CaseError| format!("{}: {error}", file.display()))
}

/// A case may break an assertion of the engine, again and again. That is what it shows, and no crash of ours.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(2)
}
