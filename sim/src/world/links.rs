//! The links between an edge and the others, what is wrong with each at the moment, and whether anybody has
//! noticed.
//!
//! The network itself drops, delays and holds what is sent; here it is seen that somebody sent. A fault that
//! nobody observes proves nothing.

use super::log::Log;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_engine::{Random, Seed};
use tiergate_scenarios::{Direction, FaultKind, Link};

/// How long a lost piece takes until it is sent again: the least that Linux waits (`TCP_RTO_MIN`).
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// One edge's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Between {
    pub edge: u32,
    pub link: Link,
}

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The edge.
    Edge,
    /// Whom it leads to.
    Far,
}

/// What is wrong with a link for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// What is sent this way is lost.
    Cut(Direction),
    /// All arrives so many milliseconds later.
    Delay(u64),
    /// So many of a hundred pieces are lost at first.
    Loss(u8),
    /// No more than so many bytes in a second.
    Slow(u64),
    /// Nothing moves, and nothing is lost.
    Hold,
}

/// A trouble that lasts.
#[derive(Debug)]
struct Lasting {
    episode: usize,
    kind: FaultKind,
    trouble: Trouble,
    is_observed: bool,
}

/// What the network has to do about a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub is_cut_out: bool,
    pub is_cut_in: bool,
    pub is_held: bool,
    pub delay_ms: u64,
}

/// Every link that something is wrong with.
#[derive(Debug)]
pub(crate) struct Links {
    log: Arc<Log>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    lasting: BTreeMap<Between, Vec<Lasting>>,
    /// Which pieces are lost.
    chance: Random,
}

impl Links {
    /// Nothing is wrong.
    pub(crate) fn new(log: Arc<Log>, seed: Seed) -> Self {
        let inner = Inner { lasting: BTreeMap::new(), chance: seed.split("what links lose") };
        Self { log, inner: Mutex::new(inner) }
    }

    /// A trouble begins on a link. Returns what the network has to do.
    pub(crate) fn begin(
        &self,
        between: Between,
        episode: usize,
        kind: FaultKind,
        trouble: Trouble,
    ) -> Condition {
        let mut inner = self.lock();
        let lasting = inner.lasting.entry(between).or_default();
        lasting.push(Lasting { episode, kind, trouble, is_observed: false });
        condition(lasting)
    }

    /// It ends.
    pub(crate) fn end(&self, between: Between, episode: usize) -> Condition {
        let mut inner = self.lock();
        let lasting = inner.lasting.entry(between).or_default();
        lasting.retain(|one| one.episode != episode);
        condition(lasting)
    }

    /// What the network has to do about a link now.
    pub(crate) fn condition(&self, between: Between) -> Condition {
        self.lock().lasting.get(&between).map(|lasting| condition(lasting)).unwrap_or_default()
    }

    /// One end sends `bytes`. Returns how long it has to wait before them.
    pub(crate) fn send(&self, between: Between, end: End, bytes: usize) -> Duration {
        let mut inner = self.lock();
        let Inner { lasting, chance } = &mut *inner;
        let mut wait = Duration::ZERO;
        let mut seen = Vec::new();
        for one in lasting.get_mut(&between).into_iter().flatten() {
            let hits = match (one.trouble, end) {
                (Trouble::Cut(Direction::Out), End::Far) | (Trouble::Cut(Direction::In), End::Edge) => false,
                (Trouble::Cut(_) | Trouble::Delay(_) | Trouble::Hold, _) => true,
                (Trouble::Loss(percent), _) => {
                    let is_lost = chance.chance(percent.into(), 100);
                    wait += if is_lost { SENT_AGAIN_AFTER } else { Duration::ZERO };
                    is_lost
                }
                (Trouble::Slow(bytes_per_second), _) => {
                    let millis = (bytes as u64).saturating_mul(1_000) / bytes_per_second;
                    wait += Duration::from_millis(millis);
                    millis > 0
                }
            };
            if hits && !one.is_observed {
                self.log.fire_episode(one.kind, one.episode);
                seen.push(one.episode);
            }
        }
        // It may be the same on other links.
        for one in lasting.values_mut().flatten().filter(|one| seen.contains(&one.episode)) {
            one.is_observed = true;
        }
        wait
    }

    /// Somebody connects: whichever way is cut, nothing comes of it.
    pub(crate) fn connect(&self, between: Between) {
        self.send(between, End::Edge, 0);
        self.send(between, End::Far, 0);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn condition(lasting: &[Lasting]) -> Condition {
    let mut all = Condition::default();
    for one in lasting {
        match one.trouble {
            Trouble::Cut(direction) => {
                all.is_cut_out |= direction != Direction::In;
                all.is_cut_in |= direction != Direction::Out;
            }
            Trouble::Delay(delay_ms) => all.delay_ms = all.delay_ms.max(delay_ms),
            Trouble::Hold => all.is_held = true,
            Trouble::Loss(_) | Trouble::Slow(_) => {}
        }
    }
    all
}
