//! Faults that can be put into the engine on purpose, to see that the net catches them.
//!
//! Those named T, F, A and R are rows of `docs/failures.md`; those named X were found nowhere yet, and are
//! listed there, too. They do nothing unless the crate is built with the feature `plant`, which only the
//! simulator's `prove` and its tests ask for.
//!
//! Most of them sit at a seam: a bound in the engine's configuration (`bounds`), or what passes its face
//! (`face`). A few sit in a leaf, which asks [`Plant::is`]. A fault that would stand between two lines of a
//! decision is none of these: a test of the engine's behaviour holds it, and `docs/failures.md` names the
//! test.

#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "most faults are none of a bound")]
mod bounds;
mod face;
#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "most faults are none of a clock")]
mod judging;

pub(crate) use face::{Face, Out};

use crate::{
    config::Config,
    language::{record::Freshness, time::Instant},
    rules::reuse,
};

/// One table: a fault's name, and what goes wrong when it is planted.
macro_rules! faults {
    ($($name:ident $text:literal)*) => {
        /// A way in which a cache fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $text] $name,)*
        }

        impl Fault {
            /// Every fault that can be planted.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// Its row in `docs/failures.md`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What goes wrong when it is planted.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    T1 "the write that completes a body is lost, and the body is committed"
    T2 "two writers of one key share a name"
    T3 "a fetch that broke off looks like one that ended"
    T4 "a reader who is behind the window goes on a byte too late"
    T5 "the second chunk of a copy is lost, and the copy is committed"
    T6 "a copy whose reader has left is committed as if it were whole"
    T8 "who loses the race for a key in L3 deletes the winner's blob"
    T9 "a reader goes on in whatever record of its key was opened last"
    T10 "a short read counts as all that was asked for"
    T11 "a body that breaks off is told to its readers as whole"
    T12 "the leader's own conditions go along to the origin"
    T13 "the key of a record that a tier found is not compared"
    T14 "what is stored in a byte tier loses a field of its head"
    F1 "a purge is lost on what is being fetched"
    F2 "a purge does not reach the disk"
    F3 "an older response takes the place of a newer one"
    F4 "a promotion restarts the lifetime"
    F5 "a lifetime of zero is for ever"
    F6 "an entry of L3 that has expired cannot be replaced"
    F7 "a weak validator counts as a strong one"
    F9 "what other edges purged is not heeded"
    A1 "what takes another's place adds its size, and the other's stays"
    A4 "no capacity is heeded"
    A5 "a full tier refuses instead of evicting"
    A8 "the window takes whatever comes"
    R1 "a tier that fails a lookup fails the request"
    R2 "the breaker stands before the cache, and hides what is stored"
    R3 "a retry is made before the moment that was told"
    R10 "a purge says that it removed what was not there"
    R11 "fetches are not counted"
    X1 "a gate lets one byte more through"
    X2 "what is exactly as large as a gate is refused"
    X3 "no gate is heeded"
    X4 "what is exactly as old as its lifetime is fresh"
    X5 "a window for stale answers is longer by its first moment"
    X6 "the window for errors has no end"
    X7 "a ban forgets that births are rounded"
    X8 "a purge that is done is forgotten"
    X9 "a lane takes one chunk more than it may"
    X10 "a fill takes one client more than it may"
    X11 "one fetch more than allowed is made"
    X12 "the calendar stands still between two readings"
    X13 "milliseconds are kept in 32 bits"
    X14 "an age counts from when the head came, not from when it was asked for"
    X15 "nobody is woken for a retry"
    X16 "nobody is woken for a deadline"
    X17 "nobody is woken for a lane that stalls"
    X18 "a swap whose answer was lost counts as lost"
    X19 "what a commit in doubt may have left is not deleted"
    X20 "a lease of the feed counts from its answer"
    X21 "a page of the feed counts as all of it"
    X22 "what was trimmed from the feed is not missed"
    X23 "the fast path does not look at the lease"
    X24 "a purge that was heard of is lost on what is being fetched"
    X25 "a lease of the feed is taken for longer than it is"
    X26 "the age of what a tier found is not looked at"
    X27 "all variants of a target have one key"
    X28 "who waits for another variant gets the leader's"
    X30 "a leader that is replaced is told nothing"
    X31 "a fetch that is given up is not cancelled"
    X32 "a fetch goes on that nobody waits for"
    X34 "nobody is woken for a breaker that is to resolve"
    X35 "what a tier does not have counts as its failure"
    X36 "one attempt more than allowed is made"
    X37 "retries have a budget without an end"
    X38 "Retry-After is not heeded"
    X39 "a lane commits before its last write was acknowledged"
    X40 "an edge that is never to be promoted over is"
    X41 "a promotion is visible before its reader's response has ended"
    X42 "a tier is one byte over before it evicts"
    X44 "a purge is lost on what is being promoted"
    X47 "a soft purge is lost"
    X49 "bans are forgotten over a restart"
    X50 "a ban is acknowledged before the disk has it"
    X51 "a delete that failed counts as done"
    X52 "a read that lost against its double answers the read after it"
    X53 "the last byte of a part is left out"
    X55 "what may not be stored is stored"
    X56 "who has fallen behind the window is broken off"
    X57 "the collector heeds no lease"
    X58 "the edge's clock says what has expired in L3"
    X59 "a purge in L3 of what is not there leaves no trace"
    X60 "the digest of what L3 has is not compared"
    X61 "an object in L3 that is asked for stays for ever"
    X62 "a body shorter than promised is whole"
    X63 "a body longer than promised is whole"
    X64 "what was sent is not counted"
    X65 "a chunk may take for ever"
    X66 "a promotion comes one hit early"
    X68 "a fetch may take for ever until its head comes"
    X69 "of the bans that cover a response only the oldest counts"
    X71 "a 304 changes no field of what is stored"
    X72 "the fast path answers what is stale"
    X73 "a client that leaves does not close what it read"
    X74 "what is being revalidated is asked for once more"
    X75 "a key that was found uncacheable once is so for ever"
    X76 "a failure of the origin makes its key uncacheable"
    X77 "a purge does not wait for tiers that are just publishing"
    X79 "a purge by tag, prefix or of all is lost while a head is awaited"
    X80 "a second read of a hedged one begins a byte late"
    X81 "a lookup that is late leaves its record open"
    X82 "a local tier is asked before it has joined"
    X83 "a marker is served as if it were a response"
    X84 "rot counts against the breaker of its tier"
    X85 "a purge does not wait for a marker that is just being published"
    X86 "a chunk of a response loses its last byte"
    X87 "nobody is woken for a lease that is to be renewed"
    X88 "a response begins twice"
    X89 "the end of a response is lost"
    X90 "the end of a purge is lost"
    X91 "a chunk of a response is lost"
    X92 "a writer that was given up is not discarded"
    X93 "a freshening is lost"
    X94 "a commit is lost, and counts as done"
    X95 "a fetch is cancelled twice"
    X96 "a refusal is lost"
    X97 "no bound is heeded of what is fetched for a part"
    X98 "a part of what arrives begins a byte late"
    X100 "a purge is lost on the answer to a POST that is being stored"
    X101 "the answer to a POST is stored whatever it says it is about"
    X102 "what the stores of L3 are asked may take for ever"
    X103 "a body for a row is published over a purge"
}

/// What was planted: nothing, and no room for it, unless the crate was built to plant faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Plant {
    #[cfg(feature = "plant")]
    fault: Option<Fault>,
}

impl Plant {
    /// This fault.
    #[cfg(feature = "plant")]
    pub(crate) const fn of(fault: Fault) -> Self {
        Self { fault: Some(fault) }
    }

    /// Is it this fault?
    #[cfg(feature = "plant")]
    pub(crate) fn is(self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The fault, if there is one.
    #[cfg(feature = "plant")]
    pub(crate) const fn fault(self) -> Option<Fault> {
        self.fault
    }

    /// The configuration that an engine runs on when it was given this one.
    #[cfg(feature = "plant")]
    pub(crate) fn bounds(self, config: Config) -> Config {
        match self.fault {
            Some(fault) => bounds::of(fault, config),
            None => config,
        }
    }

    /// What it makes of a stored response's age and times.
    #[cfg(feature = "plant")]
    pub(crate) fn misjudged(
        self,
        stored: reuse::Stored,
        freshness: &Freshness,
        now: Instant,
    ) -> reuse::Stored {
        match self.fault {
            Some(fault) => judging::of(fault, stored, freshness, now),
            None => stored,
        }
    }
}

/// What nothing planted comes to.
#[cfg(not(feature = "plant"))]
#[expect(clippy::unused_self, reason = "the other build needs it")]
impl Plant {
    /// Is it this fault? Never, for nothing can be planted.
    pub(crate) const fn is(self, _: Fault) -> bool {
        false
    }

    /// The configuration that an engine runs on when it was given this one: the same.
    pub(crate) const fn bounds(self, config: Config) -> Config {
        config
    }

    /// What a stored response's age and times are.
    pub(crate) const fn misjudged(self, stored: reuse::Stored, _: &Freshness, _: Instant) -> reuse::Stored {
        stored
    }
}
