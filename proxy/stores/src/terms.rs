//! The terms that all edges share which share an index.
//!
//! How long a purge is remembered, a lease holds, an object and an unnamed blob stay: each of these is kept
//! by one edge and relied on by the others, so edges with different ones could bring back what was purged, or
//! delete what is read. The first edge that reaches an index writes its terms there, in a row of their own,
//! and every other one compares, once in its life: see [`Agreeing`].

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};
use tiergate_driver::{FoundRow, IndexStore, Row, StoreError, TierError, Written};
use tiergate_engine::{CacheKey, RawDurableTier, WallTime, durable::Version};

/// What the row begins with.
const LAYOUT: &str = "tiergate l3 terms 1";
/// The end of the year 9999: the row stays.
const FOR_EVER: WallTime = WallTime::from_unix_millis(253_402_300_799_000);
/// More edges than would ever start at once and write: each of them can be beaten to it once.
const TRIES_MAX: u32 = 64;

/// Terms, as a configuration names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedTerms([(&'static str, u32); 6]);

impl SharedTerms {
    /// Those of a configured L3.
    pub const fn of(tier: &RawDurableTier) -> Self {
        Self([
            ("lease_ms", tier.lease_ms),
            ("fetch_ms_max", tier.fetch_ms_max),
            ("idle_s", tier.idle_s),
            ("total_s", tier.total_s),
            ("grace_s", tier.grace_s),
            ("linger_ms", tier.linger_ms),
        ])
    }

    /// The row's value: a line for each, for people who look into their store.
    fn encode(self) -> String {
        let line = |(name, value)| format!("\n{name} {value}");
        self.0.into_iter().map(line).fold(LAYOUT.to_owned(), |text, line| text + &line)
    }

    /// The first that another edge has otherwise, or why what is written is none.
    fn compare(self, written: &[u8]) -> Result<(), Disagreement> {
        let unreadable = || Disagreement::Unreadable;
        let text = std::str::from_utf8(written).map_err(|_not_text| unreadable())?;
        let mut lines = text.lines();
        if lines.next() != Some(LAYOUT) {
            return Err(unreadable());
        }
        for (name, ours) in self.0 {
            let theirs = lines.next().and_then(|line| line.split_once(' '));
            let theirs = theirs.filter(|(other, _)| *other == name).and_then(|(_, value)| value.parse().ok());
            let theirs: u32 = theirs.ok_or_else(unreadable)?;
            if theirs != ours {
                return Err(Disagreement::Other { name, ours, theirs });
            }
        }
        if lines.next().is_some() { Err(unreadable()) } else { Ok(()) }
    }
}

/// Why an edge may not use an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// The edges that use it have another value.
    Other {
        /// Of what, as in `cache.l3`.
        name: &'static str,
        /// This edge's.
        ours: u32,
        /// The others'.
        theirs: u32,
    },
    /// Another release has written its terms there.
    Unreadable,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { name, ours, theirs } => write!(
                f,
                "`cache.l3.{name}` is {ours} here and {theirs} at the edges that share the index: write {theirs}; \
                 or stop all of them, and start one with `storage.l3.terms: replace`"
            ),
            Self::Unreadable => write!(
                f,
                "the edges that share the index are of another release, which keeps its terms otherwise: start that \
                 release; or stop all of them, and start one with `storage.l3.terms: replace`"
            ),
        }
    }
}

/// What became of the comparison.
#[derive(Debug)]
pub enum NotAgreed {
    /// The others have other terms: this edge must not use the index.
    Disagreement(Disagreement),
    /// The index did not say. It is asked again before it is used.
    Unknown(StoreError),
}

/// An index that is used only once its edges agree. Until that is known, everything that is asked of it asks
/// for the terms first, and fails where they differ, or cannot be read.
#[derive(Debug)]
pub struct Agreeing<I> {
    index: I,
    /// None where nobody shares it.
    terms: Option<(SharedTerms, Replacing)>,
    /// Set once, and then everything goes straight to the index.
    agreed: AtomicBool,
}

/// What to do with other terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replacing {
    /// Refuse to use the index.
    #[default]
    No,
    /// Write ours in their place. For the first edge that is started after all were stopped.
    Yes,
}

impl<I: IndexStore> Agreeing<I> {
    /// An index that edges share.
    pub const fn new(index: I, terms: SharedTerms, replacing: Replacing) -> Self {
        Self { index, terms: Some((terms, replacing)), agreed: AtomicBool::new(false) }
    }

    /// An index of this process alone: there is nobody to agree with.
    pub const fn alone(index: I) -> Self {
        Self { index, terms: None, agreed: AtomicBool::new(true) }
    }

    /// The index itself.
    pub const fn index(&self) -> &I {
        &self.index
    }

    /// Compares the terms, or writes them where there are none. The index's own time limits bound it.
    ///
    /// # Errors
    /// The others have other terms, or the index did not answer.
    pub async fn agree(&self) -> Result<(), NotAgreed> {
        // Those who come meanwhile do the same: none waits for another that may wait for a store that is
        // away.
        if let Some((terms, replacing)) = self.terms
            && !self.agreed.load(Ordering::Relaxed)
        {
            self.settle(terms, replacing).await?;
            self.agreed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn settle(&self, terms: SharedTerms, replacing: Replacing) -> Result<(), NotAgreed> {
        for _ in 0..TRIES_MAX {
            let FoundRow { row, now } = self.index.get(key()).await.map_err(NotAgreed::Unknown)?;
            let differs = match &row {
                Some(row) => match (terms.compare(&row.value), replacing) {
                    (Ok(()), _) => return Ok(()),
                    (Err(differs), Replacing::No) => return Err(NotAgreed::Disagreement(differs)),
                    (Err(_), Replacing::Yes) => Some(row.version),
                },
                None => None,
            };
            let version = Version(differs.map_or(0, |version| version.0 + 1).max(now.as_unix_millis()));
            let value = terms.encode().into();
            let ours = Row { version, value, expires: FOR_EVER, droppable: FOR_EVER };
            let written = match differs {
                Some(expected) => self.index.cas_update(key(), expected, ours).await,
                None => self.index.put_new(key(), ours).await,
            };
            match written.map_err(NotAgreed::Unknown)? {
                Written::Done { .. } => return Ok(()),
                Written::Refused => {}
            }
        }
        Err(NotAgreed::Unknown(TierError::Failed("the terms of the index change all the time".to_owned())))
    }

    async fn agreed(&self) -> Result<&I, StoreError> {
        match self.agree().await {
            Ok(()) => Ok(&self.index),
            Err(NotAgreed::Disagreement(differs)) => Err(TierError::Failed(differs.to_string())),
            Err(NotAgreed::Unknown(error)) => Err(error),
        }
    }
}

/// No request has this key: no host's name has blanks.
fn key() -> CacheKey {
    CacheKey::of("the terms of the durable tier", "")
}

impl<I: IndexStore> IndexStore for Agreeing<I> {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        self.agreed().await?.get(key).await
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        self.agreed().await?.put_new(key, row).await
    }

    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        self.agreed().await?.cas_update(key, expected, row).await
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        self.agreed().await?.touch(key, version, expires, droppable).await
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        self.agreed().await?.delete(key, version).await
    }
}

#[cfg(test)]
mod tests;
