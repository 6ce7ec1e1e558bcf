//! What purges leave to be remembered: a [`Ban`] says what was purged and when, and [`Bans`] are those in
//! force.
//!
//! No byte tier can be asked what a tag or a prefix covers, so what a tier finds later is judged by its
//! birth. The same list is kept by the engine and, over a restart, by a local tier.

use crate::{
    language::{
        head::Head,
        key::CacheKey,
        record::Freshness,
        selector::{PurgeMode, Selector, TargetUri},
        time::{BIRTH_ROUNDING, Instant, WallTime},
    },
    plant::{Fault, Plant},
};
use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Bans remembered one by one; older ones count for everything. Each lookup in a byte tier that finds
/// something reads them all, and a site that purges more often than this within the life of its objects has
/// little to gain from a cache.
pub const BANS_MAX: usize = 256;

/// What was made before `at`, and is covered, is not used as it is any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// What is covered.
    pub selector: Selector,
    /// What happens to it.
    pub mode: PurgeMode,
    /// When it was purged, on the calendar.
    pub at: WallTime,
}

/// What the bans say of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Banned {
    /// Nothing.
    No,
    /// It is stale from this age on.
    Stale(Duration),
    /// It is not used any more.
    Gone,
}

/// The bans in force, oldest first: at most [`BANS_MAX`], and one of everything for each mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    /// In place of those that were forgotten.
    everything: Vec<Ban>,
    listed: VecDeque<Ban>,
}

impl Bans {
    /// What they say of a response that a tier has under `target`, and that was asked for at `uri`.
    pub(crate) fn judge(
        &self,
        target: CacheKey,
        uri: &TargetUri,
        head: &Head,
        freshness: &Freshness,
        (now, wall): (Instant, WallTime),
        plant: Plant,
    ) -> Banned {
        let born = freshness.born(now, wall);
        let rounding = if plant.is(Fault::X7) { Duration::ZERO } else { BIRTH_ROUNDING };
        let covering = (self.iter())
            .filter(|ban| born <= ban.at.after(rounding))
            .filter(|ban| ban.selector.covers(target, &uri.authority, &uri.target, head));
        let mut banned = Banned::No;
        for ban in covering.take(if plant.is(Fault::X69) { 1 } else { usize::MAX }) {
            match ban.mode {
                PurgeMode::Hard => return Banned::Gone,
                PurgeMode::Soft => {
                    let then = freshness.age(now).saturating_sub(wall.since(ban.at));
                    let age_then = then.min(freshness.lifetime);
                    banned = match banned {
                        Banned::Stale(earlier) => Banned::Stale(earlier.min(age_then)),
                        Banned::No | Banned::Gone => Banned::Stale(age_then),
                    };
                }
            }
        }
        banned
    }

    /// Takes in a newer one.
    pub fn push(&mut self, ban: Ban) {
        // The newer of two about the same says it all, but for a calendar that was set back.
        self.listed.retain(|old| !ban.says(old));
        self.listed.push_back(ban);
        if self.listed.len() > BANS_MAX
            && let Some(oldest) = self.listed.pop_front()
        {
            match self.everything.iter_mut().find(|ban| ban.mode == oldest.mode) {
                Some(ban) => ban.at = ban.at.max(oldest.at),
                None => self.everything.push(Ban { selector: Selector::All, ..oldest }),
            }
        }
    }

    /// Is one among them that says what `ban` does?
    pub fn say(&self, ban: &Ban) -> bool {
        self.iter().any(|own| own.says(ban))
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.everything.iter().chain(&self.listed)
    }
}

impl Ban {
    /// Does this one make `other` superfluous?
    fn says(&self, other: &Self) -> bool {
        self.selector == other.selector && self.mode == other.mode && other.at <= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::key::CacheKey;

    fn ban(number: u64, mode: PurgeMode, at: u64) -> Ban {
        Ban { selector: Selector::Key(CacheKey(number.into())), mode, at: WallTime::from_unix_millis(at) }
    }

    /// A newer ban of the same takes the older one's uri; another mode, or an older time, does not.
    #[test]
    fn the_newer_of_two_about_the_same_stays() {
        let mut bans = Bans::default();
        for ban in [ban(1, PurgeMode::Hard, 5), ban(1, PurgeMode::Soft, 6), ban(1, PurgeMode::Hard, 7)] {
            bans.push(ban);
        }
        let expected = [ban(1, PurgeMode::Soft, 6), ban(1, PurgeMode::Hard, 7)];
        assert_eq!(bans.iter().cloned().collect::<Vec<_>>(), expected);
        assert!(bans.say(&ban(1, PurgeMode::Hard, 7)));
        assert!(!bans.say(&ban(1, PurgeMode::Hard, 8)));
        assert!(!bans.say(&ban(2, PurgeMode::Hard, 1)));
    }

    /// What does not fit counts for everything, in its mode, until its time; taking in what is in force
    /// changes nothing.
    #[test]
    fn the_oldest_count_for_everything() {
        let mut bans = Bans::default();
        for number in 0..2 + BANS_MAX as u64 {
            let mode = if number == 0 { PurgeMode::Soft } else { PurgeMode::Hard };
            bans.push(ban(number, mode, 100 + number));
        }
        let all = |mode, at| Ban { selector: Selector::All, mode, at: WallTime::from_unix_millis(at) };
        let first: Vec<_> = bans.iter().take(3).cloned().collect();
        assert_eq!(
            first,
            [all(PurgeMode::Soft, 100), all(PurgeMode::Hard, 101), ban(2, PurgeMode::Hard, 102)]
        );
        let mut again = Bans::default();
        for ban in bans.iter() {
            again.push(ban.clone());
        }
        assert_eq!(again, bans);
    }
}
