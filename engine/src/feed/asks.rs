//! What the feed asks of the log that edges share, and what it is told.

use crate::language::time::WallTime;
use alloc::vec::Vec;

/// A place in the log. They rise and may leave places out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before every entry.
    pub const START: Self = Self(0);
}

/// One life of one edge, drawn at random so that no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedOrigin(pub u128);

/// One notice of one origin, minted by its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One ask, minted by the feed. It is answered once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What the feed wants done. Each is answered with exactly one [`FeedTold`].
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedAsk<N> {
    /// Add an entry behind all others, unless one of this origin and ticket is there. It must not become
    /// visible before entries with smaller sequences. Answer `Appended` or `Failed`.
    Append {
        origin: FeedOrigin,
        /// Which of theirs.
        ticket: Ticket,
        /// What to tell the others.
        notice: N,
    },
    /// Read entries in their order, as the log is now: a replica that may lag is not good enough. Answer
    /// `Entries`, at most as many as fit one answer, or `Failed`.
    Read {
        /// Begin behind this one.
        after: Sequence,
    },
}

/// The answer to a [`FeedAsk`].
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedTold<N> {
    /// The entry lies in the log, by this ask or an earlier one.
    Appended { sequence: Sequence },
    /// What the log holds.
    Entries {
        /// What it holds no more, if anything. A log that was lost goes on above the sequences it had,
        /// trimmed.
        trimmed: Option<Trimmed>,
        /// The next entries, oldest first; all of them, or at least one.
        entries: Vec<FeedEntry<N>>,
        /// The last that was ever appended, whether it is among `entries` or not.
        newest: Sequence,
    },
    /// No answer, or a failure: an append was done, was not done, or is done later.
    Failed,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedEntry<N> {
    /// Its place.
    pub sequence: Sequence,
    /// Who appended it.
    pub origin: FeedOrigin,
    /// Which of theirs it is.
    pub ticket: Ticket,
    /// What they purged.
    pub notice: N,
}

/// What a log holds no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trimmed {
    /// The last entry that was trimmed.
    pub through: Sequence,
    /// No notice among those trimmed was made later than this.
    pub at: WallTime,
}
