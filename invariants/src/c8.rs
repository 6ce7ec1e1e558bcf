//! C8: what may not be stored is not stored.
//!
//! It checks each `Stored` against what the world says of the key's versions: when a version with the stored length
//! exists, one of that length must be storable; when none has it, some version must be. It does not know which version
//! was stored, so it cannot tell two of one length apart; and it says nothing of keys that the world never published.

use crate::{Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{ByteCount, CacheKey, Event, TierId};

/// The rule.
#[derive(Debug, Default)]
pub struct OnlyStorable {
    versions: BTreeMap<CacheKey, Vec<Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    length: u64,
    storable: bool,
}

impl OnlyStorable {
    fn on_stored(&self, tier: TierId, key: CacheKey, length: ByteCount) -> Result<(), Violation> {
        let Some(versions) = self.versions.get(&key) else {
            return Ok(());
        };
        let alike: Vec<&Known> = versions.iter().filter(|known| known.length == length.0).collect();
        let allowed = if alike.is_empty() {
            versions.iter().any(|known| known.storable)
        } else {
            alike.iter().any(|known| known.storable)
        };
        if allowed {
            return Ok(());
        }
        Err(Violation {
            rule: "C8",
            detail: format!(
                "{} stored {key} with {} bytes, but no version it can be may be stored",
                tier.as_str(),
                length.0
            ),
        })
    }
}

impl Invariant for OnlyStorable {
    fn id(&self) -> &'static str {
        "C8"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Published { key, length, storable, .. } => {
                self.versions.entry(*key).or_default().push(Known { length: *length, storable: *storable });
                Ok(())
            }
            What::Engine { event: Event::Stored { tier, key, length, .. }, .. } => {
                self.on_stored(*tier, *key, *length)
            }
            What::Engine { .. }
            | What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::ClientGot { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Healed
            | What::Settled { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, OTHER, stored};

    /// Storable keys, unknown keys, and a storable version among others pass.
    #[test]
    fn what_may_be_stored_passes() {
        let mut history = History::of(OnlyStorable::default());
        history.published(KEY, 1, 100, false).unwrap();
        history.published(KEY, 2, 200, true).unwrap();
        assert_eq!(history.event(stored(TierId::L0, KEY, 200, 210)), Ok(()));
        assert_eq!(history.event(stored(TierId::L0, OTHER, 5, 5)), Ok(()));
    }

    /// A version that may not be stored is named, alone or among others.
    #[test]
    fn what_may_not_be_stored_is_named() {
        let mut history = History::of(OnlyStorable::default());
        history.published(KEY, 1, 100, false).unwrap();
        assert_eq!(history.event(stored(TierId::L2, KEY, 100, 110)), Err("C8"));
        assert_eq!(history.event(stored(TierId::L2, KEY, 60, 70)), Err("C8"));
        history.published(KEY, 2, 200, true).unwrap();
        assert_eq!(history.event(stored(TierId::L0, KEY, 100, 110)), Err("C8"));
    }
}
