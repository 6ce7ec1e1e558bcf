//! Who leaves the device, and where an object is written: S3-FIFO (SOSP 2023) by segments.
//!
//! The device holds two logs. What is new goes to the newcomers, a tenth of the device. Their oldest segment
//! is reclaimed first: an object that was used is written again at the end of the main log, the others leave
//! and are remembered as ghosts. A key that comes back while its ghost lasts goes to the main log at once. In
//! the main log, a use buys one more lap.
//!
//! ```text
//!  new key ──▶ newcomers ──used──▶ main ──used: one use less──╮
//!                  ╰──not──▶ ghost ──comes back──▶ main ◀─────╯
//!                                     ╰──not used──▶ leaves
//! ```
//!
//! Only pure functions stand here, and the numbers they need. [`Store`](super::Store) obeys them on a device
//! and `LogIndex` over sizes, so that both decide alike. The ghosts are in `ghosts.rs`.

/// One of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    /// What came a short while ago.
    Newcomer,
    /// What was used since it came, or came back.
    Main,
}

/// Uses of an object are counted up to here.
pub(crate) const USES_MAX: u32 = 3;

/// The newcomers' part of the segments is one in so many.
const NEWCOMERS_ONE_IN: u32 = 10;
/// The newcomers' segments, whatever the device: one takes appends, one waits to be reclaimed.
const NEWCOMERS_MIN: u32 = 2;

/// Segments that are free when nothing is to be reclaimed: one for the next turn of either stream, one for
/// what a reclaim moves, and one that only a recovery takes, which must have where to write before it can
/// empty anything. An append that needs a segment waits while only the last two are free.
pub(crate) const FREE_SEGMENTS: u32 = 3;

/// An object of a key that is being written, as it stands on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Where its record is.
    pub(crate) stream: Stream,
    /// Since it was written.
    pub(crate) uses: u32,
}

/// Where a new object of a key is written, all blocks of it. Asked when its first block is written.
/// `replaced` is what it replaces; a key that is held in the main log, or was used, has proved itself, as has
/// a ghost.
pub(crate) const fn stream_of(replaced: Option<Replaced>, is_ghost: bool) -> Stream {
    match replaced {
        Some(Replaced { stream: Stream::Main, .. }) => Stream::Main,
        Some(Replaced { stream: Stream::Newcomer, uses }) if uses > 0 => Stream::Main,
        Some(Replaced { stream: Stream::Newcomer, .. }) | None if is_ghost => Stream::Main,
        Some(Replaced { stream: Stream::Newcomer, .. }) | None => Stream::Newcomer,
    }
}

/// What becomes of an object whose segment is reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written again at the end of the main log, and counts as used so often.
    Moves {
        /// Since it was written there.
        uses: u32,
    },
    /// It leaves, and its key is remembered among the ghosts.
    BecomesGhost,
    /// It leaves.
    Leaves,
}

/// What becomes of an object in a segment of `stream` that is reclaimed. `has_room`: all of its sectors fit
/// into what is left of the reclaim's [`budget`]. Who was used and finds no room may come back to the main
/// log.
pub(crate) const fn fate(stream: Stream, uses: u32, has_room: bool) -> Fate {
    match (stream, uses) {
        (Stream::Newcomer, 0) => Fate::BecomesGhost,
        (Stream::Main, 0) => Fate::Leaves,
        (Stream::Newcomer | Stream::Main, _) if !has_room => Fate::BecomesGhost,
        (Stream::Newcomer, _) => Fate::Moves { uses: 0 },
        (Stream::Main, _) => Fate::Moves { uses: uses - 1 },
    }
}

/// Sectors that one reclaim moves at most, of a segment that has so many. Less than all, so that each reclaim
/// gains room, whatever was used. Half of them costs 0.3 points of byte misses against three quarters, and
/// saves a twentieth of the bytes written (means over five traces, docs/performance.md).
pub(crate) const fn budget(sectors: u32) -> u32 {
    sectors / 2
}

/// The segments of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    /// Those that can be reclaimed.
    pub(crate) sealed: u32,
    /// All, with the one that takes appends.
    pub(crate) all: u32,
}

/// Whose oldest segment is reclaimed next; nobody's if none is sealed. `segments` is how many the device has.
pub(crate) const fn reclaimed_next(newcomers: Segments, main: Segments, segments: u32) -> Option<Stream> {
    let is_over = newcomers.all > newcomers_share(segments);
    match (newcomers.sealed > 0, main.sealed > 0) {
        (true, false) => Some(Stream::Newcomer),
        (true, true) if is_over => Some(Stream::Newcomer),
        (true | false, true) => Some(Stream::Main),
        (false, false) => None,
    }
}

/// The segments that newcomers may have while there is something in the main log to reclaim instead.
const fn newcomers_share(segments: u32) -> u32 {
    let share = segments / NEWCOMERS_ONE_IN;
    if share < NEWCOMERS_MIN { NEWCOMERS_MIN } else { share }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn replaced(stream: Stream, uses: u32) -> Option<Replaced> {
        Some(Replaced { stream, uses })
    }

    /// Main takes what came back, what replaces an object of its own, and what replaces a newcomer that was
    /// used.
    #[test]
    fn only_what_proved_itself_is_written_to_main() {
        for (replaced, is_ghost, stream) in [
            (None, false, Stream::Newcomer),
            (None, true, Stream::Main),
            (replaced(Stream::Newcomer, 0), false, Stream::Newcomer),
            (replaced(Stream::Newcomer, 0), true, Stream::Main),
            (replaced(Stream::Newcomer, 1), false, Stream::Main),
            (replaced(Stream::Main, 0), false, Stream::Main),
            (replaced(Stream::Main, 3), true, Stream::Main),
        ] {
            assert_eq!(stream_of(replaced, is_ghost), stream, "{replaced:?}, a ghost: {is_ghost}");
        }
    }

    /// A newcomer needs one use to move and starts anew in main; there each lap costs a use. Without room
    /// nobody moves.
    #[test]
    fn use_buys_a_move_and_a_lap_costs_a_use() {
        let newcomer = [0, 1, 3].map(|uses| fate(Stream::Newcomer, uses, true));
        assert_eq!(newcomer, [Fate::BecomesGhost, Fate::Moves { uses: 0 }, Fate::Moves { uses: 0 }]);
        let main = [0, 1, 3].map(|uses| fate(Stream::Main, uses, true));
        assert_eq!(main, [Fate::Leaves, Fate::Moves { uses: 0 }, Fate::Moves { uses: 2 }]);
        let cramped = [0, 3].map(|uses| fate(Stream::Newcomer, uses, false));
        assert_eq!(cramped, [Fate::BecomesGhost, Fate::BecomesGhost]);
        let cramped = [0, 3].map(|uses| fate(Stream::Main, uses, false));
        assert_eq!(cramped, [Fate::Leaves, Fate::BecomesGhost]);
    }

    /// Newcomers give way where they have more than a tenth, or where main has nothing to give.
    #[test]
    fn newcomers_are_reclaimed_above_their_share() {
        let segments = |sealed, all| Segments { sealed, all };
        for (newcomers, main, stream) in [
            (segments(10, 11), segments(80, 81), Some(Stream::Newcomer)),
            (segments(9, 10), segments(80, 81), Some(Stream::Main)),
            (segments(9, 10), segments(0, 1), Some(Stream::Newcomer)),
            (segments(0, 40), segments(1, 2), Some(Stream::Main)),
            (segments(0, 1), segments(0, 1), None),
        ] {
            assert_eq!(reclaimed_next(newcomers, main, 100), stream, "{newcomers:?}, {main:?}");
        }
        assert_eq!([3, 16, 19, 20, 30, 100].map(newcomers_share), [2, 2, 2, 2, 3, 10]);
    }

    /// Every reclaim gains at least half a segment, and moves something wherever a segment holds something.
    #[test]
    fn a_reclaim_moves_less_than_it_frees() {
        for sectors in [16, 17, 100, 16_384] {
            assert!((1..=sectors / 2).contains(&budget(sectors)), "{sectors} sectors");
        }
    }
}
