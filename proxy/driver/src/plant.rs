//! Faults that can be put into the driver on purpose, to see that the model checkers find them.
//!
//! Each is a plausible mistake about what another thread does meanwhile; on one thread none of them shows.
//! They do nothing outside of `models`.

/// A way to get the shared memory wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The fast path looks under the lock, and takes what it saw under the lock again.
    LooksTwice,
    /// A client opens its inbox after the engine was told of its request.
    LateInbox,
    /// A client finds its inbox empty in one turn and leaves its waker in the next.
    LateWaker,
    /// A writer or record is closed while a tier call for it is under way.
    ClosesAtOnce,
    /// A pull that its fetch did not take is forgotten.
    ForgetsPull,
    /// The timer reads what it is to sleep for, and then marks as seen whatever was set meanwhile.
    LateAlarm,
    /// What an engine tells is shown when its shard's lock is free again, by whoever comes to it.
    ShowsLate,
    /// The feed's lock is free between taking a step out of the feed and telling the shards of it.
    TellsUnlocked,
}

#[cfg(all(test, any(loom, shuttle)))]
impl Fault {
    /// Every fault that can be planted.
    pub(crate) const ALL: [Self; 8] = [
        Self::LooksTwice,
        Self::LateInbox,
        Self::LateWaker,
        Self::ClosesAtOnce,
        Self::ForgetsPull,
        Self::LateAlarm,
        Self::ShowsLate,
        Self::TellsUnlocked,
    ];
}

/// Was this fault planted? Never, outside of a model.
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use crate::models::is_planted;
