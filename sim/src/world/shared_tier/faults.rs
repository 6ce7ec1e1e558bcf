//! What is wrong with the shared tier's server at the moment.

use crate::world::log::Log;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tiergate_engine::{Random, Seed};
use tiergate_scenarios::FaultKind;

/// What is wrong with the shared tier at the moment.
pub(crate) struct StoreFaults {
    log: Arc<Log>,
    state: Mutex<StoreState>,
}

struct StoreState {
    lasting: Vec<StoreFault>,
    /// Which commands and keys are hit.
    chance: Random,
    /// How many keys it holds.
    keys: u64,
}

struct StoreFault {
    episode: usize,
    kind: FaultKind,
    amount: u64,
    percent: u8,
    is_observed: bool,
}

impl StoreFaults {
    fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is wrong.
    pub(crate) fn new(seed: Seed, log: Arc<Log>) -> Self {
        let chance = seed.split("what befalls the shared tier");
        Self { log, state: Mutex::new(StoreState { lasting: Vec::new(), chance, keys: 0 }) }
    }

    /// A fault begins.
    pub(crate) fn begin(&self, episode: usize, kind: FaultKind, amount: u64, percent: u8) {
        self.lock().lasting.push(StoreFault { episode, kind, amount, percent, is_observed: false });
    }

    /// It ends; one that lasts no time goes on until it has befallen.
    pub(crate) fn end(&self, episode: usize) {
        let is_over = |one: &StoreFault| one.episode == episode && one.kind != FaultKind::SharedTierEvicts;
        self.lock().lasting.retain(|one| !is_over(one));
    }

    /// Does a fault of this kind hit what is done now? Its amount if so.
    pub(crate) fn hits(&self, kind: FaultKind) -> Option<u64> {
        let mut state = self.lock();
        let StoreState { lasting, chance, .. } = &mut *state;
        let of_kind = lasting.iter_mut().filter(|one| one.kind == kind);
        let mut hit = None;
        for one in of_kind {
            if one.percent == 0 || chance.chance(one.percent.into(), 100) {
                hit = hit.max(Some(one.amount));
                if !one.is_observed {
                    one.is_observed = true;
                    self.log.fire_episode(kind, one.episode);
                }
            }
        }
        hit
    }

    /// Which of `count` keys are dropped now, if any have to be: each once for each fault.
    pub(crate) fn evicted(&self, count: usize) -> Vec<bool> {
        let mut state = self.lock();
        let StoreState { lasting, chance, .. } = &mut *state;
        let mut dropped = vec![false; count];
        lasting.retain(|one| {
            if one.kind != FaultKind::SharedTierEvicts || count == 0 {
                return true;
            }
            for key in &mut dropped {
                *key |= chance.chance(one.percent.into(), 100);
            }
            if dropped.contains(&true) {
                self.log.fire_episode(one.kind, one.episode);
            }
            false
        });
        dropped
    }

    /// Nothing befalls it any more, nor what found nothing to drop so far.
    pub(crate) fn heal(&self) {
        self.lock().lasting.clear();
    }

    /// It holds so many keys.
    pub(crate) fn holds(&self, keys: u64) {
        self.lock().keys = keys;
    }

    /// It holds nothing any more. Returns how many keys it held.
    pub(crate) fn forget_keys(&self) -> u64 {
        std::mem::take(&mut self.lock().keys)
    }
}
