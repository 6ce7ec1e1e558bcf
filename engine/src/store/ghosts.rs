//! Keys that left the device a short while ago: 8 bytes each, about as many as the device holds objects.
//!
//! A ghost is a print of its key of 64 bits, so one key in very many passes for another. Prints lie in
//! buckets of 8 in the order of arrival; in a full bucket the oldest gives way. The table is cut into
//! shelves, each of which is fitted to the number of objects on its own, so that no call takes long. Nothing
//! of it is on the device: after a restart there are no ghosts.

use super::index::fold;
use crate::{key::StoredKey, random::Seed, units::ByteCount};
use alloc::{vec, vec::Vec};

/// The shelves, told apart by the print's first byte.
const SHELVES: usize = 256;
/// Ghosts of a bucket: one line of a processor's cache.
const BUCKET: usize = 8;
/// What stands where there is no ghost.
const NONE: u64 = 0;

/// From the oldest to the youngest; what is free lies in front.
type Bucket = [u64; BUCKET];

/// Keys that left.
#[derive(Clone, Debug)]
pub(crate) struct Ghosts {
    shelves: Vec<Vec<Bucket>>,
    /// Mixed into prints, so that nobody outside can choose keys that collide.
    salt: u128,
}

impl Ghosts {
    pub(crate) fn new(seed: Seed) -> Self {
        let shelves = vec![Vec::new(); SHELVES];
        Self { shelves, salt: seed.split("ghosts").wide_bits() }
    }

    /// A key leaves a device that holds so many objects.
    pub(crate) fn remember(&mut self, key: StoredKey, objects: u64) {
        let print = self.print(key);
        let shelf = self.shelf(print);
        let buckets = fitting(objects);
        // A change of less than an eighth is not worth the work.
        if buckets > shelf.len() + shelf.len() / 8 || buckets < shelf.len() / 2 {
            refit(shelf, buckets);
        }
        push(bucket_of(shelf, print), print);
    }

    pub(crate) fn contains(&mut self, key: StoredKey) -> bool {
        let print = self.print(key);
        let shelf = self.shelf(print);
        !shelf.is_empty() && bucket_of(shelf, print).contains(&print)
    }

    /// The key is held again.
    pub(crate) fn forget(&mut self, key: StoredKey) {
        let print = self.print(key);
        let shelf = self.shelf(print);
        if !shelf.is_empty() {
            take(bucket_of(shelf, print), print);
        }
    }

    /// All of them are forgotten.
    pub(crate) fn clear(&mut self) {
        self.shelves.fill(Vec::new());
    }

    /// What the table has taken from the allocator.
    #[cfg_attr(not(test), allow(dead_code, reason = "the store reports it once it has two streams"))]
    pub(crate) fn allocated(&self) -> ByteCount {
        let buckets: usize = self.shelves.iter().map(Vec::capacity).sum();
        ByteCount((buckets * size_of::<Bucket>() + SHELVES * size_of::<Vec<Bucket>>()) as u64)
    }

    fn shelf(&mut self, print: u64) -> &mut Vec<Bucket> {
        &mut self.shelves[usize::from(print.to_be_bytes()[0])]
    }

    fn print(&self, key: StoredKey) -> u64 {
        let target = fold(self.salt, key.target);
        // The key of a target without variants is the target's: it must not take its print away.
        let own = fold(self.salt.rotate_left(64), key.key);
        mix(target ^ own.rotate_left(32)).max(NONE + 1)
    }
}

/// How many buckets a shelf has for so many objects on the device: 7 ghosts for 8 of them, at least one
/// bucket.
fn fitting(objects: u64) -> usize {
    let buckets = objects * 7 / 8 / (SHELVES * BUCKET) as u64;
    usize::try_from(buckets).unwrap_or(usize::MAX).max(1)
}

/// Where a ghost lies. Grows with the print, so that shelves of any size keep one order.
fn bucket_of(shelf: &mut [Bucket], print: u64) -> &mut Bucket {
    let within = u128::from(print << 8);
    let bucket = usize::try_from((within * shelf.len() as u128) >> 64);
    &mut shelf[bucket.expect("a share of the buckets is one of them")]
}

fn refit(shelf: &mut Vec<Bucket>, buckets: usize) {
    let old = core::mem::replace(shelf, vec![[NONE; BUCKET]; buckets]);
    for print in old.into_iter().flatten().filter(|print| *print != NONE) {
        push(bucket_of(shelf, print), print);
    }
}

fn push(bucket: &mut Bucket, print: u64) {
    take(bucket, print);
    bucket.copy_within(1.., 0);
    bucket[BUCKET - 1] = print;
}

fn take(bucket: &mut Bucket, print: u64) {
    if let Some(at) = bucket.iter().position(|ghost| *ghost == print) {
        bucket.copy_within(..at, 1);
        bucket[0] = NONE;
    }
}

/// The finish of SplitMix64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::CacheKey;

    fn key(number: u64) -> StoredKey {
        StoredKey::plain(CacheKey(u128::from(number) << 3))
    }

    /// A ghost is known until it is forgotten, by its own key and not by another variant's.
    #[test]
    fn a_ghost_is_known_until_it_is_forgotten() {
        let mut ghosts = Ghosts::new(Seed(4));
        let variant = StoredKey { key: CacheKey(9), ..key(1) };
        assert!(!ghosts.contains(key(1)));
        ghosts.forget(key(1));
        ghosts.remember(key(1), 1);
        assert!(ghosts.contains(key(1)) && !ghosts.contains(variant) && !ghosts.contains(key(2)));
        ghosts.forget(key(1));
        assert!(!ghosts.contains(key(1)));
    }

    /// In one bucket the oldest gives way, where being remembered again makes young.
    #[test]
    fn the_oldest_of_a_bucket_gives_way() {
        let mut bucket = [NONE; BUCKET];
        for print in (1..=8).chain([1, 9]) {
            push(&mut bucket, print);
        }
        assert_eq!(bucket, [3, 4, 5, 6, 7, 8, 1, 9]);
        take(&mut bucket, 6);
        assert_eq!(bucket, [NONE, 3, 4, 5, 7, 8, 1, 9]);
    }

    /// Nearly all of the last quarter as many keys as objects are remembered, nothing of those long before,
    /// in 8 bytes an object; also after the number of objects has grown and shrunk.
    #[test]
    fn about_as_many_are_remembered_as_there_are_objects() {
        let mut ghosts = Ghosts::new(Seed(7));
        let mut left = 0;
        for objects in [50_000, 400_000, 60_000_u64] {
            for _ in 0..4 * objects {
                left += 1;
                ghosts.remember(key(left), objects);
            }
            let known = |ghosts: &mut Ghosts, from: u64| {
                (from..from + objects / 4).filter(|number| ghosts.contains(key(*number))).count() as f64
                    / (objects / 4) as f64
            };
            let (young, old) =
                (known(&mut ghosts, left - objects / 4 + 1), known(&mut ghosts, left - 3 * objects));
            assert!(young > 0.98 && old < 0.01, "{objects} objects: {young} of the young, {old} of the old");
            let each = ghosts.allocated().0 as f64 / objects as f64;
            assert!(each <= 8.0 * 1.1, "{objects} objects: {each} bytes");
        }
    }
}
