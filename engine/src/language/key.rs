//! The one function that names stored responses.
//!
//! Lookups, fills, purges and prewarming all come through here (failure F8: objects stored under keys that no
//! lookup used). A key has 128 bits and travels inside every stored record, so that a collision is seen, not
//! served (T13).

use crate::parts::table::{Name, fold};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What names a stored response.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CacheKey(#[serde(with = "crate::language::recording::hex")] pub u128);

impl CacheKey {
    /// The key of the representation at `authority` (host and port, in lower case) and `target` (path and
    /// query).
    ///
    /// Each part goes in with its length before it, so that no two pairs of parts read alike.
    pub fn of(authority: &str, target: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [authority, target] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let (first, _) =
            digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes, of which 16 are taken");
        Self(u128::from_le_bytes(*first))
    }
}

impl Name for CacheKey {
    /// One wide multiplication of the salted key's halves.
    fn hash(self, salt: u128) -> u64 {
        let mixed = self.0 ^ salt;
        #[expect(clippy::cast_possible_truncation, reason = "each half is taken by itself")]
        let (low, high) = (mixed as u64, (mixed >> 64) as u64);
        fold(low, high | 1)
    }
}

/// Under which key a response is stored, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StoredKey {
    /// What was asked for. A purge of it reaches everything that is stored for it.
    pub target: CacheKey,
    /// The response's own: the same, or that of one variant of the target.
    pub key: CacheKey,
}

impl StoredKey {
    /// Of what a target has beside its variants.
    pub const fn plain(target: CacheKey) -> Self {
        Self { target, key: target }
    }

    /// Before and behind all others, for ranges.
    pub(crate) const FIRST: Self = Self { target: CacheKey(0), key: CacheKey(0) };
    pub(crate) const LAST: Self = Self { target: CacheKey(u128::MAX), key: CacheKey(u128::MAX) };

    /// Is it one variant's of the target?
    pub fn is_variant(self) -> bool {
        self.key != self.target
    }
}

impl fmt::Display for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_variant() { write!(f, "{} of {}", self.key, self.target) } else { self.key.fmt(f) }
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
