//! `tiergate-sim replay-inputs`: lives again what a recorded shard was told, and says whether it decides the
//! same.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::BufReader,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tiergate_engine::{Effect, Input, Instant, Outcome};
use tiergate_invariants::{Contract, Edge, Fact, Invariants, What};
use tiergate_recording::{Header, Incoming, Life, Lived, Reader, Step};

/// `tiergate-sim replay-inputs`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayInputsArgs {
    /// The recording.
    file: PathBuf,
    /// Print each thing that the engine was told, and under it what it asks for.
    #[arg(long)]
    show: bool,
}

/// Lives a recording again. 0: the same decisions, 1: others, or a broken rule, 2: this is no recording.
pub fn run(args: ReplayInputsArgs) -> ExitCode {
    let named = |wrong: String| format!("{}: {wrong}", args.file.display());
    let (mut reader, mut replay) = match open(&args.file) {
        Ok(opened) => opened,
        Err(wrong) => {
            eprintln!("{}", named(wrong));
            return ExitCode::from(2);
        }
    };
    // A panic is told as a decision is.
    std::panic::set_hook(Box::new(|_| {}));
    loop {
        let step = match reader.step() {
            Ok(Some(step)) => step,
            Ok(None) => break,
            Err(error) => {
                eprintln!("{}", named(error.to_string()));
                return ExitCode::from(2);
            }
        };
        match replay.step(&step) {
            Ok(lived) if args.show => out!("{}", tell(&step, &lived)),
            Ok(_) => {}
            Err(why) => {
                outln!("{why}");
                return ExitCode::FAILURE;
            }
        }
    }
    outln!("{}", replay.summary());
    ExitCode::SUCCESS
}

fn open(path: &Path) -> Result<(Reader<BufReader<File>>, Replay), String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let (header, reader) = Reader::open(BufReader::new(file)).map_err(|error| error.to_string())?;
    let life = Life::begin(&header).map_err(|error| format!("line 1: cache: {error}"))?;
    outln!("shard {} of {}, recorded by tiergate {}", header.shard, header.shards, header.version);
    if header.version != env!("CARGO_PKG_VERSION") {
        outln!("note: this is {}, and may decide otherwise", env!("CARGO_PKG_VERSION"));
    }
    Ok((reader, Replay::of(&header, life)))
}

/// A recording being lived again, with rules watching.
struct Replay {
    life: Life,
    shard: u32,
    contract: Contract,
    rules: Invariants,
    counts: Counts,
}

/// What was lived.
#[derive(Default)]
struct Counts {
    steps: u64,
    effects: u64,
    looks: u64,
    /// Looks that found something.
    hits: u64,
    requests: u64,
    /// Of these, by where the answer came from.
    answers: BTreeMap<&'static str, u64>,
}

impl Replay {
    fn of(header: &Header, life: Life) -> Self {
        let mut rules = Invariants::all();
        let start = Fact { at: header.at, what: What::EdgeStarted { edge: Edge(0) } };
        rules.observe(&start).expect("an edge that starts breaks no rule");
        Self { life, shard: header.shard, contract: Contract::default(), rules, counts: Counts::default() }
    }

    /// Lives one step.
    ///
    /// # Errors
    /// It decides otherwise than was recorded, panics, or breaks a rule: what is to be said of it.
    fn step(&mut self, step: &Step) -> Result<Lived, String> {
        let at_line = |what: String| format!("line {}: {what}", step.line);
        let lived = catch_unwind(AssertUnwindSafe(|| self.life.live(&step.incoming)));
        let lived = lived.map_err(|panic| {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            at_line(format!("the engine panics: {why}\n  told: {:?}", step.incoming))
        })?;
        step.compare(&lived).map_err(|difference| difference.to_string())?;
        self.watch(step, &lived).map_err(|violation| at_line(format!("a rule is broken: {violation}")))?;
        self.counts.add(step, &lived);
        Ok(lived)
    }

    fn watch(&mut self, step: &Step, lived: &Lived) -> Result<(), tiergate_invariants::Violation> {
        let Incoming::Told { at, input } = &step.incoming else { return Ok(()) };
        self.contract.on_input(*at, input)?;
        lived.asked.iter().try_for_each(|effect| self.contract.on_effect(effect))?;
        self.contract.on_drained();
        lived.events.iter().try_for_each(|event| {
            let what = What::Engine { edge: Edge(0), shard: self.shard, event: *event };
            self.rules.observe(&Fact { at: *at, what })
        })
    }

    fn summary(&self) -> String {
        let Counts { steps, effects, looks, hits, requests, answers } = &self.counts;
        let mut text = format!("the same decisions: {effects} effects of {steps} steps\n");
        let _ = writeln!(text, "  fast path  {looks} looks, {hits} of them fresh hits");
        let _ = write!(text, "  requests   {requests}");
        for (from, count) in answers {
            let _ = write!(text, ", {count} {from}");
        }
        let open = self.life.engine().audit();
        if !open.is_idle() {
            let _ = write!(text, "\nwhen the recording ends, not everything has: {open:?}");
        }
        text
    }
}

impl Counts {
    fn add(&mut self, step: &Step, lived: &Lived) {
        self.steps += 1;
        self.effects += lived.asked.len() as u64;
        match &step.incoming {
            Incoming::Looked(_) => {
                self.looks += 1;
                self.hits += u64::from(lived.found);
            }
            Incoming::Told { input, .. } => {
                self.requests += u64::from(matches!(input, Input::Request { .. }));
            }
        }
        for effect in &lived.asked {
            if let Some(from) = answer(effect) {
                *self.answers.entry(from).or_default() += 1;
            }
        }
    }
}

/// Where an answer comes from, if this is one.
fn answer<C>(effect: &Effect<C>) -> Option<&'static str> {
    match effect {
        Effect::Serve { reply, .. } => Some(match reply.outcome {
            Outcome::Hit { .. } => "hits",
            Outcome::Stale { .. } => "stale",
            Outcome::Revalidated { .. } => "revalidated",
            Outcome::Miss { collapsed: true, .. } => "collapsed",
            Outcome::Miss { collapsed: false, .. } => "misses",
        }),
        Effect::Pass { .. } => Some("passed"),
        Effect::Refuse { .. } => Some("refused"),
        _ => None,
    }
}

fn tell(step: &Step, lived: &Lived) -> String {
    let mut text = String::new();
    let seconds = |at: Instant| at.as_nanos() as f64 / 1e9;
    let _ = match &step.incoming {
        Incoming::Told { at, input } => writeln!(text, "{:>14.6}  {input:?}", seconds(*at)),
        Incoming::Looked(look) => {
            let found = if lived.found { "a fresh hit" } else { "nothing" };
            writeln!(text, "{:>14.6}  a look for {}: {found}", seconds(look.at), look.key)
        }
    };
    for effect in &lived.asked {
        let _ = writeln!(text, "{:>14}  → {effect:?}", "");
    }
    text
}
