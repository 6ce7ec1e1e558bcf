//! How fast seeds run, and what watching them costs: the same seeds with every rule watching, and with none.

use crate::explore::{
    campaign::cpu_time,
    campaign::run::{Failure, Run, Watch, run_seed},
};
use std::{fmt, time::Duration};

/// Seeds that run one way before the same ones run the other way: often enough that both see the same
/// machine.
const TURN: u64 = 8;

/// What was measured.
#[derive(Default)]
pub(in crate::explore) struct Speed {
    seeds: u64,
    replies: u64,
    /// Steps and facts.
    happened: u64,
    watched: Duration,
    alone: Duration,
}

impl Speed {
    /// Runs these seeds, each twice.
    ///
    /// # Errors
    /// A rule was broken; or why nothing can be measured.
    pub(in crate::explore) fn of(seeds: impl Iterator<Item = u64>, run: Run) -> Result<Self, SpeedError> {
        let (mut speed, mut seeds) = (Self::default(), seeds.peekable());
        while seeds.peek().is_some() {
            let turn: Vec<u64> = seeds.by_ref().take(TURN as usize).collect();
            let began = cpu_time().ok_or(SpeedError::NoClock)?;
            for seed in &turn {
                let passed = run_seed(*seed, run).map_err(SpeedError::Broken)?;
                speed.replies += passed.replies;
                speed.happened += passed.tally.steps + passed.tally.facts;
            }
            let between = cpu_time().ok_or(SpeedError::NoClock)?;
            for seed in &turn {
                run_seed(*seed, Run { watch: Watch::Nobody, ..run }).map_err(SpeedError::Broken)?;
            }
            let ended = cpu_time().ok_or(SpeedError::NoClock)?;
            speed.seeds += turn.len() as u64;
            speed.watched += between.saturating_sub(began);
            speed.alone += ended.saturating_sub(between);
        }
        Ok(speed)
    }
}

/// Why there is no speed.
pub(in crate::explore) enum SpeedError {
    /// The system does not tell what time a thread spent on a processor.
    NoClock,
    /// A run ended early.
    Broken(Box<Failure>),
}

impl fmt::Display for SpeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClock => f.write_str("this system does not tell a thread's time on the processor"),
            Self::Broken(failure) => failure.fmt(f),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
        let (watched, alone) = (rate(self.replies, self.watched), rate(self.replies, self.alone));
        writeln!(
            f,
            "{} seeds, {} replies, {:.1} steps and facts for each",
            self.seeds,
            self.replies,
            self.happened as f64 / self.replies.max(1) as f64
        )?;
        writeln!(f, "with every rule watching: {watched:.0} replies per CPU-s")?;
        writeln!(f, "with none:                {alone:.0} replies per CPU-s")?;
        write!(f, "the rules take {:.0} % of the time", 100.0 * (1.0 - watched / alone))
    }
}
