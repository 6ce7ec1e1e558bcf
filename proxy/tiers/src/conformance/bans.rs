//! What a tier promises that keeps bans over a restart: run on the real disk here, on the imitated one by the
//! simulator.

use std::future::Future;
use tiergate_driver::TierError;
use tiergate_engine::{BANS_MAX, Ban, CacheKey, Prefix, PurgeMode, Selector, Tag, WallTime};

/// A tier, through the lives of the processes that use it.
pub trait KeepsBans {
    /// Stores a ban.
    fn store(&mut self, ban: &Ban) -> impl Future<Output = Result<(), TierError>>;
    /// The process has crashed, and another one has started: what does it find?
    fn restart(&mut self) -> impl Future<Output = Vec<Ban>>;
}

/// Runs the suite on a tier that holds no bans.
///
/// # Panics
/// The tier breaks a promise.
pub async fn bans_conformance(tier: &mut impl KeepsBans) {
    assert_eq!(tier.restart().await, []);
    what_was_stored_is_found(tier).await;
    the_newer_of_two_counts(tier).await;
    what_is_kept_is_bounded(tier).await;
}

fn at(millis: u64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

fn tag(number: u64, mode: PurgeMode, millis: u64) -> Ban {
    let tag = Tag::new(&format!("t{number}")).expect("letters and a number");
    Ban { selector: Selector::Tag(tag), mode, at: at(millis) }
}

/// Bans of every kind come back as they were, in their order, after one restart and after another, with more
/// between them.
async fn what_was_stored_is_found(tier: &mut impl KeepsBans) {
    let prefix = Prefix::new("conformance.example", "/a?\u{e9}").expect("a prefix");
    let selectors =
        [Selector::Key(CacheKey(7)), tag(0, PurgeMode::Soft, 0).selector, Selector::Prefix(prefix)];
    let mut stored = Vec::new();
    for (place, selector) in (1..).zip(selectors) {
        for mode in [PurgeMode::Soft, PurgeMode::Hard] {
            stored.push(Ban { selector: selector.clone(), mode, at: at(place) });
            assert_eq!(tier.store(stored.last().expect("it was just put there")).await, Ok(()));
        }
        assert_eq!(tier.restart().await, stored);
    }
    assert_eq!(tier.restart().await, stored);
}

/// A newer ban of the same in the same mode takes the older one's place, again and again; an older one
/// changes no newer.
async fn the_newer_of_two_counts(tier: &mut impl KeepsBans) {
    for millis in 10..30 {
        assert_eq!(tier.store(&tag(1, PurgeMode::Hard, millis)).await, Ok(()));
    }
    assert_eq!(tier.store(&tag(1, PurgeMode::Hard, 3)).await, Ok(()));
    let found = tier.restart().await;
    let of_it: Vec<_> =
        found.iter().filter(|ban| ban.selector == tag(1, PurgeMode::Hard, 0).selector).collect();
    assert!(of_it.contains(&&tag(1, PurgeMode::Hard, 29)), "{of_it:?}");
    assert!(of_it.len() <= 2, "{of_it:?}");
}

/// However many bans are stored, a bounded number comes back, and nothing that was purged is forgotten.
async fn what_is_kept_is_bounded(tier: &mut impl KeepsBans) {
    let more = 2 * BANS_MAX as u64 + 100;
    let mode = |number| if number % 3 == 0 { PurgeMode::Soft } else { PurgeMode::Hard };
    let bans: Vec<Ban> = (0..more).map(|number| tag(100 + number, mode(number), 1_000 + number)).collect();
    for ban in &bans {
        assert_eq!(tier.store(ban).await, Ok(()));
    }
    let found = tier.restart().await;
    assert!(found.len() <= BANS_MAX + 2, "{} bans", found.len());
    for ban in &bans {
        let is_said = found.iter().any(|kept| {
            let same = kept.selector == ban.selector || kept.selector == Selector::All;
            same && kept.mode == ban.mode && ban.at <= kept.at
        });
        assert!(is_said, "{ban:?} is forgotten");
    }
    let newest = bans.last().expect("there are many");
    assert!(found.contains(newest), "{newest:?} has grown");
}
