//! Faults that can be put into the engine on purpose, to see that the net catches them.
//!
//! Those named T, F, A and R are rows of `docs/failures.md`; those named X were found nowhere yet, and are listed there, too.
//! They do nothing unless the crate is built with the feature `plant`, which only the simulator's `prove` and its tests
//! ask for.

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
    T1 "a lane commits while its last chunk still waits"
    T2 "two writers of one key share a name"
    T3 "a fetch that broke off looks like one that ended"
    T4 "a reader who is behind the window goes on where the window begins"
    T5 "a lane that lost a chunk carries on and commits"
    T6 "a client that leaves looks like one that has read it all"
    T7 "a HEAD promotes the body that it did not read"
    T8 "who loses the race for a key in L3 deletes the winner's blob"
    T9 "a reader goes on in whatever record of its key was opened last"
    T10 "a short read counts as all that was asked for"
    T11 "a body that breaks off is told to its readers as whole"
    T12 "the leader's own conditions go along to the origin"
    T13 "the key of a record that a tier found is not compared"
    T14 "what is stored in a byte tier loses a field of its head"
    F1 "a purge does not stop what began before it"
    F2 "a purge does not reach the disk"
    F3 "an older response takes the place of a newer one"
    F4 "a promotion restarts the lifetime"
    F5 "a lifetime of zero is for ever"
    F6 "who was first in L3 has won for ever, expired or not"
    F7 "a weak validator counts as a strong one"
    F9 "what other edges purged is not heeded"
    A1 "what takes another's place adds its size, and the other's stays"
    A3 "a fetch that failed is taken off the count twice"
    A4 "what is larger than the whole tier is let in"
    A5 "a full tier refuses instead of evicting"
    A8 "the window takes whatever comes"
    R1 "a tier that fails a lookup fails the request"
    R2 "the breaker stands before the cache, and hides what is stored"
    R3 "a retry is made at once, whatever its backoff"
    R10 "a purge says that it removed what was not there"
    R11 "a fetch stops counting when its body begins"
    X1 "a gate lets one byte more through"
    X2 "what is exactly as large as a gate is refused"
    X3 "the running total of a body is not held against the gate"
    X4 "what is exactly as old as its lifetime is fresh"
    X5 "a window for stale answers is longer by its first moment"
    X6 "any stale answer stands in for an error"
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
    X19 "a commit whose answer was lost counts as not done"
    X20 "a lease of the feed counts from its answer"
    X21 "a page of the feed counts as all of it"
    X22 "what was trimmed from the feed is not missed"
    X23 "the fast door does not look at the lease"
    X24 "a purge that was heard of does not stop what is under way"
    X25 "a fetch from before the lease is joined"
    X26 "the age of what a tier found is not looked at"
    X27 "all variants of a target have one key"
    X28 "who waits for another variant gets the leader's"
    X29 "a leader is replaced as often as it fails"
    X30 "a leader that is replaced is told nothing"
    X31 "a fetch that is given up is not cancelled"
    X32 "a fetch goes on that nobody waits for"
    X33 "an operation that is given up keeps its permit"
    X34 "a half-open breaker never resolves"
    X35 "what a tier does not have counts as its failure"
    X36 "one attempt more than allowed is made"
    X37 "retries have no budget"
    X38 "Retry-After is not heeded"
    X39 "a lane commits before its last write was acknowledged"
    X40 "an edge that is never to be promoted over is"
    X41 "a promotion is visible before its reader's response has ended"
    X42 "a tier is one byte over before it evicts"
    X44 "a purge lets promotions go on"
    X45 "a fill that a purge has closed can be joined"
    X46 "a purge leaves the variants where they are"
    X47 "a soft purge leaves L0 as it is"
    X48 "a 304 brings back what was purged meanwhile"
    X49 "bans are forgotten over a restart"
    X50 "a ban is acknowledged before the disk has it"
    X51 "a delete that failed counts as done"
    X52 "the loser of a hedged read is not called off"
    X53 "the last byte of a part is left out"
    X54 "an answer that may not be stored is shared"
    X55 "what may not be stored is stored"
    X56 "the window lets go of what a reader still needs"
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
    X67 "who comes late joins a body whose beginning is gone"
    X68 "each attempt has the whole time for an answer"
    X69 "of the bans that cover a response only the oldest counts"
    X70 "the age that a response has when it comes is not counted"
    X71 "a 304 changes no field of what is stored"
    X72 "the fast door answers what is stale"
    X73 "a client that leaves does not close what it read"
    X74 "everybody who is served a stale answer has it revalidated"
    X75 "a key that was found uncacheable once is so for ever"
    X76 "a failure of the origin makes its key uncacheable"
    X77 "a purge does not wait for tiers that are just publishing"
    X78 "a stale record is promoted"
    X79 "what a purge by tag may cover goes on until its head has come, and then on"
    X80 "a second read of a hedged one begins a byte late"
    X81 "a lookup that is late leaves its record open"
    X82 "a local tier is asked before it has joined"
    X83 "a marker is served as if it were a response"
    X84 "rot counts against the breaker of its tier"
    X85 "a purge does not wait for a marker that is just being published"
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

    /// Is it this fault? Never, for nothing can be planted.
    #[cfg(not(feature = "plant"))]
    #[expect(clippy::unused_self, reason = "the other build needs it")]
    pub(crate) const fn is(self, _: Fault) -> bool {
        false
    }
}
