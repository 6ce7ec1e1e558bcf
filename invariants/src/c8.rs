//! C8: what may not be stored is not stored, nor given to anybody but whom the origin answered.
//!
//! It checks each `Stored` against what the world says of the key's versions: when a version with the stored
//! length exists, one of that length must be storable; when none has it, some version must be. And of a
//! version that may not be stored, no edge has more whole answers for its clients than the origin gave it. It
//! does not know which version was stored, so it cannot tell two of one length apart; it cannot tell whose an
//! empty body is; and it says nothing of keys that the world never published.

use crate::{Edge, Fact, Got, Invariant, Span, Version, Violation, What};
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{ByteCount, CacheKey, Event, ResidenceEvent, TierId};

/// The rule.
#[derive(Debug, Default)]
pub struct OnlyStorable {
    versions: BTreeMap<CacheKey, Vec<Known>>,
    /// Versions that may not be stored.
    unstorable: BTreeSet<(CacheKey, Version)>,
    /// How often the origin has answered an edge with such a version, less what its clients got of it.
    answers: BTreeMap<(Edge, CacheKey, Version), u64>,
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

    fn on_got(&mut self, ask: u64, edge: Edge, key: CacheKey, spans: &[Span]) -> Result<(), Violation> {
        let Some(version) = spans.iter().find_map(|span| span.of).map(|(_, version)| version) else {
            return Ok(());
        };
        if !self.unstorable.contains(&(key, version)) {
            return Ok(());
        }
        match self.answers.get_mut(&(edge, key, version)) {
            Some(left @ 1..) => {
                *left -= 1;
                Ok(())
            }
            Some(0) | None => Err(Violation {
                rule: "C8",
                detail: format!(
                    "ask {ask} got version {} of {key}, which may not be stored, and the origin gave edge {} \
                     fewer of it than its clients got",
                    version.0, edge.0
                ),
            }),
        }
    }
}

impl Invariant for OnlyStorable {
    fn id(&self) -> &'static str {
        "C8"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Published { key, version, length, storable, .. } => {
                if !*storable {
                    self.unstorable.insert((*key, *version));
                }
                self.versions.entry(*key).or_default().push(Known { length: *length, storable: *storable });
                Ok(())
            }
            What::Engine {
                event: Event::Residence(ResidenceEvent::Stored { tier, key, length, .. }),
                ..
            } => self.on_stored(*tier, *key, *length),
            What::OriginAnswered { edge, key, version } => {
                if self.unstorable.contains(&(*key, *version)) {
                    *self.answers.entry((*edge, *key, *version)).or_default() += 1;
                }
                Ok(())
            }
            What::ClientGot { ask, edge, key, got: Got::Whole { spans, .. } } => {
                self.on_got(*ask, *edge, *key, spans)
            }
            What::ClientGot { .. }
            | What::Engine { .. }
            | What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::ClientAsked { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed
            | What::Settled { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, OTHER, span, stored};

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

    /// Each client has an answer of its own; a second one for one answer is named, and what may be stored is
    /// shared.
    #[test]
    fn an_answer_for_one_is_not_shared() {
        let mut history = History::of(OnlyStorable::default());
        history.published(KEY, 1, 100, false).unwrap();
        history.published(OTHER, 1, 100, true).unwrap();
        history.answered(KEY, 1).unwrap();
        history.answered(OTHER, 1).unwrap();
        let mut got = |ask, key| history.whole(ask, key, 200, None, vec![span(key, 1, 0, 100)]);
        assert_eq!([got(1, KEY), got(2, OTHER), got(3, OTHER)], [Ok(()); 3]);
        assert_eq!(got(4, KEY), Err("C8"));
    }
}
