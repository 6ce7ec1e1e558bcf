//! Lives the seeds of one scenario side by side, and says how far it is.

use super::Tested;
use crate::world::{Order, Record, simulate};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Where no terminal shows a bar, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Lives these seeds, `jobs` at a time, and counts what comes of them.
#[expect(clippy::disallowed_methods, reason = "how fast seeds are lived is measured outside of every world")]
pub(super) fn live(tested: &mut Tested, order: &Order, seeds: &[u64], jobs: NonZeroUsize) {
    let began = Instant::now();
    let mut progress = Progress::begin(&order.scenario.name, seeds.len() as u64);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, results) = mpsc::channel::<(u64, Record)>();
        for _ in 0..jobs.get() {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    let order = Order { seed: *seed, ..order.clone() };
                    let record = simulate(&order);
                    if sender.send((order.seed, record)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (seed, record) in results {
            tested.take(seed, record);
            progress.step(tested.seeds, tested.failed.len());
        }
    });
    progress.end();
    tested.took = began.elapsed();
}

/// How far it is, on standard error.
enum Progress {
    /// A bar, for people.
    Bar(ProgressBar),
    /// A line now and then, for logs.
    Lines { name: String, count: u64, last: Instant },
}

#[expect(clippy::disallowed_methods, reason = "a person waits outside of every world")]
impl Progress {
    fn begin(name: &str, count: u64) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines { name: name.to_owned(), count, last: Instant::now() };
        }
        let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} seeds, {msg}, {eta} left")
            .expect("the template's keys exist");
        let bar = ProgressBar::new(count).with_style(style).with_prefix(name.to_owned());
        bar.set_message("0 failed");
        Self::Bar(bar)
    }

    fn step(&mut self, done: u64, failed: usize) {
        match self {
            Self::Bar(bar) => {
                bar.set_message(format!("{failed} failed"));
                bar.set_position(done);
            }
            Self::Lines { name, count, last } => {
                if last.elapsed() >= LINE_EVERY {
                    eprintln!("{name}: {done} of {count} seeds, {failed} failed");
                    *last = Instant::now();
                }
            }
        }
    }

    fn end(self) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines { .. } => {}
        }
    }
}
