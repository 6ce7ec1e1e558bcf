//! Keys that left the device a short while ago: 8 bytes each, about as many as the device holds objects.
//!
//! A ghost is a print of its key of 40 bits, so one key in very many passes for another, and the time when it
//! left. Time counts those that leave: a ghost is forgotten when as many have left since as the device holds
//! objects, for who comes back later is no better than a newcomer. Ghosts lie in buckets of 8 in the order of
//! arrival; in a full bucket the oldest gives way. The table is cut into shelves, each of which is fitted to
//! the number of objects on its own, so that no call takes long. Nothing of it is on the device: after a
//! restart there are no ghosts.

use super::index::fold;
use crate::{
    language::{key::StoredKey, units::ByteCount},
    parts::random::Seed,
};
use alloc::{vec, vec::Vec};

/// The shelves, told apart by the print's first byte.
const SHELVES: usize = 256;
/// Ghosts of a bucket: one line of a processor's cache.
const BUCKET: usize = 8;
/// What stands where there is no ghost.
const NONE: u64 = 0;
/// The low bits of a ghost: when it left.
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// So many leave in one unit of that time.
const UNIT: u64 = 16;
/// No ghost is older, so that times are not mixed up when they begin anew.
const AGE_MAX: u64 = TIME / 2;

/// From the oldest to the youngest; what is free lies in front.
type Bucket = [u64; BUCKET];

/// Keys that left.
#[derive(Clone, Debug)]
pub(crate) struct Ghosts {
    shelves: Vec<Vec<Bucket>>,
    /// Mixed into prints, so that nobody outside can choose keys that collide.
    salt: u128,
    /// How many have left so far.
    left: u64,
    /// No ghost is older.
    age_max: u64,
}

impl Ghosts {
    pub(crate) fn new(seed: Seed) -> Self {
        let shelves = vec![Vec::new(); SHELVES];
        Self { shelves, salt: seed.split("ghosts").wide_bits(), left: 0, age_max: 0 }
    }

    /// A key has left a device that holds so many other objects now.
    pub(crate) fn remember(&mut self, key: StoredKey, objects: u64) {
        let print = self.print(key);
        let ghost = self.ghost(print);
        self.left += 1;
        self.age_max = (objects / UNIT).min(AGE_MAX);
        let shelf = self.shelf(print);
        let buckets = fitting(objects);
        // A change of less than an eighth is not worth the work.
        if buckets > shelf.len() + shelf.len() / 8 || buckets < shelf.len() / 2 {
            refit(shelf, buckets);
        }
        let bucket = bucket_of(shelf, print);
        take(bucket, print);
        push(bucket, ghost);
    }

    pub(crate) fn contains(&mut self, key: StoredKey) -> bool {
        let (now, age_max, print) = (self.time(), self.age_max, self.print(key));
        let shelf = self.shelf(print);
        if shelf.is_empty() {
            return false;
        }
        let is_it = |ghost: &&u64| **ghost != NONE && is_of(**ghost, print);
        let found = bucket_of(shelf, print).iter().find(is_it);
        found.is_some_and(|ghost| now.wrapping_sub(ghost & TIME) & TIME <= age_max)
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
    pub(crate) fn allocated(&self) -> ByteCount {
        let buckets: usize = self.shelves.iter().map(Vec::capacity).sum();
        ByteCount((buckets * size_of::<Bucket>() + SHELVES * size_of::<Vec<Bucket>>()) as u64)
    }

    fn shelf(&mut self, print: u64) -> &mut Vec<Bucket> {
        &mut self.shelves[shelf_of(print)]
    }

    const fn time(&self) -> u64 {
        (self.left / UNIT) & TIME
    }

    /// It leaves now.
    const fn ghost(&self, print: u64) -> u64 {
        print | self.time()
    }

    /// 40 bits, as many zeros as a time has below them, and never all of them zeros.
    fn print(&self, key: StoredKey) -> u64 {
        let target = fold(self.salt, key.target);
        // The key of a target without variants is the target's: it must not take its print away.
        let own = fold(self.salt.rotate_left(64), key.key);
        (mix(target ^ own.rotate_left(32)) & !TIME).max(TIME + 1)
    }
}

const fn is_of(ghost: u64, print: u64) -> bool {
    ghost >> TIME_BITS == print >> TIME_BITS
}

fn shelf_of(print: u64) -> usize {
    usize::from(print.to_be_bytes()[0])
}

/// How many buckets a shelf has for so many objects on the device: 7 ghosts for 8 of them, at least one
/// bucket.
fn fitting(objects: u64) -> usize {
    let buckets = (objects * 7 / 8).div_ceil((SHELVES * BUCKET) as u64);
    usize::try_from(buckets).unwrap_or(usize::MAX).max(1)
}

/// Where a ghost lies. Grows with the print, so that shelves of any size keep one order.
fn bucket_of(shelf: &mut [Bucket], print: u64) -> &mut Bucket {
    let within = u128::from((print & !TIME) << 8);
    let bucket = usize::try_from((within * shelf.len() as u128) >> 64);
    &mut shelf[bucket.expect("a share of the buckets is one of them")]
}

fn refit(shelf: &mut Vec<Bucket>, buckets: usize) {
    let old = core::mem::replace(shelf, vec![[NONE; BUCKET]; buckets]);
    for ghost in old.into_iter().flatten().filter(|ghost| *ghost != NONE) {
        push(bucket_of(shelf, ghost), ghost);
    }
}

fn push(bucket: &mut Bucket, ghost: u64) {
    bucket.copy_within(1.., 0);
    bucket[BUCKET - 1] = ghost;
}

fn take(bucket: &mut Bucket, print: u64) {
    if let Some(at) = bucket.iter().position(|ghost| is_of(*ghost, print)) {
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
    use crate::language::key::CacheKey;

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
        ghosts.remember(key(1), 100);
        assert!(ghosts.contains(key(1)) && !ghosts.contains(variant) && !ghosts.contains(key(2)));
        ghosts.forget(key(1));
        assert!(!ghosts.contains(key(1)));
        ghosts.remember(key(1), 100);
        ghosts.clear();
        assert!(!ghosts.contains(key(1)));
    }

    /// In one bucket the oldest gives way.
    #[test]
    fn the_oldest_of_a_bucket_gives_way() {
        let ghost = |number: u64| number << TIME_BITS;
        let mut bucket = [NONE; BUCKET];
        for number in 1..=9 {
            push(&mut bucket, ghost(number));
        }
        assert_eq!(bucket, [2, 3, 4, 5, 6, 7, 8, 9].map(ghost));
        take(&mut bucket, ghost(6));
        assert_eq!(bucket, [NONE >> TIME_BITS, 2, 3, 4, 5, 7, 8, 9].map(ghost));
    }

    /// Remembered again, a key is young again and there once.
    #[test]
    fn who_leaves_again_is_young_again() {
        let mut ghosts = Ghosts::new(Seed(4));
        for number in 0..1_000 {
            ghosts.remember(key(number % 200), 1_000);
        }
        assert!((0..200).all(|number| ghosts.contains(key(number))));
        (0..200).for_each(|number| ghosts.forget(key(number)));
        assert!(ghosts.shelves.iter().flatten().flatten().all(|ghost| *ghost == NONE));
    }

    /// Nearly all of the last quarter as many keys as objects are remembered, none of those before as many as
    /// there are objects, in 8 bytes an object; also after the number of objects has grown and shrunk, and
    /// when time begins anew.
    #[test]
    fn as_many_are_remembered_as_there_are_objects() {
        let mut ghosts = Ghosts::new(Seed(7));
        let mut left = 0;
        ghosts.left = (UNIT << TIME_BITS) - 1_000_000;
        for objects in [50_000, 400_000, 60_000_u64] {
            for _ in 0..4 * objects {
                left += 1;
                ghosts.remember(key(left), objects);
            }
            let mut known = |from: u64| {
                let keys = from..from + objects / 4;
                keys.filter(|number| ghosts.contains(key(*number))).count() as f64 / (objects / 4) as f64
            };
            let young = known(left - objects / 4 + 1);
            let middle = known(left - objects + 2 * UNIT);
            let old = known(left - objects * 5 / 4 - UNIT);
            assert!(young > 0.98, "{objects} objects: {young} of the young are remembered");
            assert!((0.3..0.9).contains(&middle), "{objects} objects: {middle} of the older are remembered");
            assert!(old == 0.0, "{objects} objects: {old} of the old are remembered");
            let each = ghosts.allocated().0 as f64 / objects as f64;
            assert!(each <= 8.0 * 1.1, "{objects} objects: {each} bytes");
        }
    }
}
