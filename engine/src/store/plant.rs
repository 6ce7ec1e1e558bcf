//! Faults that can be put into the store on purpose, to see that its tests catch them.
//!
//! They do nothing unless the crate is built with the feature `plant`, which only the simulator's `prove` and
//! its tests ask for.

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $row:literal),* $(,)?) => {
        /// A way in which stores really failed, or ours might.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum StoreFault {
            $($(#[doc = $doc])+ $name),*
        }

        impl StoreFault {
            /// Every fault that can be planted.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its row in `docs/failures.md`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $row),*
                }
            }

            /// What goes wrong when it is planted.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii()),*
                }
            }
        }
    };
}

faults! {
    /// a block is taken for whole without a look at its checksum
    TrustsPayload = "S1",
    /// a block of an earlier lap of its segment passes
    TrustsLap = "S2",
    /// a short read is filled up with zeros
    FillsUp = "S3",
    /// a deletion is acknowledged before it is durable
    DeletesEarly = "S4",
    /// a segment is overwritten before what was written after it is durable
    TurnsEarly = "S5",
    /// a segment takes blocks before its header is durable
    SettlesEarly = "S6",
    /// a sync that failed is tried again, and believed
    SyncsAgain = "S7",
    /// a sync counts for what was written after it began
    SyncsForLate = "S8",
    /// recovery prefers what is older
    PrefersOld = "S9",
    /// recovery overlooks deletions
    OverlooksGraves = "S10",
    /// recovery counts a record whose body is not all there
    CountsTorn = "S11",
    /// what an object took that was replaced still counts
    KeepsCount = "S12",
    /// a purge does not stop what is being written
    PurgesStored = "S13",
    /// an older head takes a younger one's place
    FreshensBack = "S14",
    /// an object that is moved takes the place of what superseded it
    MovesBack = "S15",
    /// a segment is reclaimed though objects begin in it that end elsewhere
    ForgetsBegun = "S16",
    /// a tombstone is not written again when its segment is reclaimed
    DropsTombstones = "S17",
    /// an object that leaves lets the older one come back that it had replaced
    UnhidesOlder = "S18",
    /// who has an object open is not told where it was moved
    LeavesReaders = "S19",
}

/// Which fault was planted, if any. Without the feature, none and at no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Planted(#[cfg(feature = "plant")] Option<StoreFault>);

impl Planted {
    /// Nothing.
    #[cfg(feature = "plant")]
    pub(super) const NONE: Self = Self(None);
    /// Nothing.
    #[cfg(not(feature = "plant"))]
    pub(super) const NONE: Self = Self();

    /// Was it this one?
    #[cfg(feature = "plant")]
    pub(super) fn is(self, fault: StoreFault) -> bool {
        self.0 == Some(fault)
    }

    /// Was it this one? Never.
    #[cfg(not(feature = "plant"))]
    pub(super) const fn is(self, _: StoreFault) -> bool {
        false
    }
}

#[cfg(feature = "plant")]
impl super::Store {
    /// This store, that nothing was done with yet, with a fault planted on purpose.
    #[must_use]
    pub fn with_fault(mut self, fault: StoreFault) -> Self {
        self.planted = Planted(Some(fault));
        self
    }
}
