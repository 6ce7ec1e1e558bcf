//! Whether the server wants requests: not before its local tiers have joined, and not while it drains.
//!
//! It takes requests all the same. This is what a load balancer is told, which can send them elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tiergate_engine::TierId;

/// Whether the server wants requests.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Local tiers times shards that have not joined yet.
    joining: AtomicU32,
    drains: AtomicBool,
}

/// What a load balancer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Requests are welcome.
    Yes,
    /// A local tier is not known yet: what it holds would be fetched again.
    TierJoins,
    /// The server is about to end.
    Drains,
}

impl Readiness {
    /// Of a server whose shards all wait for these tiers.
    pub fn awaiting(tiers: impl Iterator<Item = TierId>, shards: u32) -> Self {
        let tiers = tiers.fold(0_u32, |count, _| count + 1);
        Self { joining: AtomicU32::new(tiers.saturating_mul(shards)), drains: AtomicBool::new(false) }
    }

    /// A local tier has joined one shard. Says whether that was the last one.
    pub fn joined(&self) -> bool {
        let one_less = |joining: u32| joining.checked_sub(1);
        self.joining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1)
    }

    /// The server drains from now on.
    pub fn drains(&self) {
        self.drains.store(true, Ordering::Relaxed);
    }

    /// Now.
    pub fn now(&self) -> Ready {
        if self.drains.load(Ordering::Relaxed) {
            Ready::Drains
        } else if self.joining.load(Ordering::Relaxed) > 0 {
            Ready::TierJoins
        } else {
            Ready::Yes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server is ready once its last shard has the disk, and not any more once it drains.
    #[test]
    fn a_server_is_ready_between_joining_and_draining() {
        let readiness = Readiness::awaiting([TierId::L2].into_iter(), 2);
        assert_eq!(readiness.now(), Ready::TierJoins);
        assert!(!readiness.joined());
        assert_eq!(readiness.now(), Ready::TierJoins);
        assert!(readiness.joined());
        assert_eq!(readiness.now(), Ready::Yes);
        readiness.drains();
        assert_eq!(readiness.now(), Ready::Drains);
        assert_eq!(Readiness::awaiting(std::iter::empty(), 8).now(), Ready::Yes);
    }
}
