//! The copies under way that are made while a tier answers somebody: what C2 and C4 both look at. It judges
//! nothing.
//!
//! Copies into byte tiers are told apart by their names. Those into L0 have none: there a key's copies are
//! all alike.

use crate::{Edge, Fact, What};
use std::collections::BTreeMap;
use tiergate_engine::{
    CacheKey, CopyEvent, End, Event, RecordName, RequestEvent, RequestId, ResidenceEvent, TierId,
};

/// How far the one is whom a promotion reads for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The response goes on.
    Reading(RequestId),
    /// All of it was sent.
    Whole,
    /// It broke off, or its client left.
    Dropped,
}

/// Where a copy goes: the edge, its shard, the tier, the key, and the copy's name there.
type CopyPlace = (Edge, u32, TierId, CacheKey, Option<RecordName>);

/// Each copy's reader.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    copies: BTreeMap<CopyPlace, Vec<Reader>>,
}

impl Readers {
    /// Takes a fact in. When a copy that was made for a reader becomes visible: how the best of those is that
    /// it can be.
    pub(crate) fn observe(&mut self, fact: &Fact) -> Option<(CacheKey, TierId, Reader)> {
        match &fact.what {
            What::Engine { edge, shard, event } => self.on_event(*edge, *shard, event),
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.copies.retain(|(other, ..), _| other != edge);
                None
            }
            _ => None,
        }
    }

    fn on_event(&mut self, edge: Edge, shard: u32, event: &Event) -> Option<(CacheKey, TierId, Reader)> {
        match event {
            Event::Copy(CopyEvent::LaneOpened { tier, key, name, promotes: Some((_, request)) }) => {
                let readers = self.copies.entry((edge, shard, *tier, *key, *name)).or_default();
                readers.push(Reader::Reading(*request));
            }
            Event::Request(RequestEvent::Served { request, end, .. }) => {
                let now = match end {
                    End::Complete => Reader::Whole,
                    End::Aborted(_) => Reader::Dropped,
                };
                let of_edge = self.copies.iter_mut().filter(|((e, s, ..), _)| (*e, *s) == (edge, shard));
                let readers = of_edge.flat_map(|(_, readers)| readers);
                readers
                    .filter(|reader| **reader == Reader::Reading(*request))
                    .for_each(|reader| *reader = now);
            }
            Event::Copy(CopyEvent::LaneDropped { tier, key, name, .. }) => {
                // Of those that have no name one is taken that accuses nobody, for it may be another's.
                self.take((edge, shard, *tier, *key, *name), |reader| match reader {
                    Reader::Dropped => 0,
                    Reader::Reading(_) => 1,
                    Reader::Whole => 2,
                });
            }
            Event::Residence(ResidenceEvent::Stored { tier, key, name, from: Some(from), .. })
                if from != tier =>
            {
                let reader = self.take((edge, shard, *tier, *key, *name), |reader| match reader {
                    Reader::Whole => 0,
                    Reader::Dropped => 1,
                    Reader::Reading(_) => 2,
                })?;
                return Some((*key, *tier, reader));
            }
            _ => {}
        }
        None
    }

    /// Takes a copy out: the one that ranks first.
    fn take(&mut self, place: CopyPlace, rank: impl Fn(&Reader) -> u8) -> Option<Reader> {
        let readers = self.copies.get_mut(&place)?;
        let (first, _) = readers.iter().enumerate().min_by_key(|(_, reader)| rank(reader))?;
        let taken = readers.remove(first);
        if readers.is_empty() {
            self.copies.remove(&place);
        }
        Some(taken)
    }
}
