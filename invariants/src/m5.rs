//! M5: what a tier says it holds is what it stored and did not remove, and never more than its capacity.
//!
//! It checks L0, each edge and shard on its own: every `Removed` must match a `Stored` of that key and size;
//! at every `Resident` the bytes and objects must equal the sums, and the bytes must be within the capacity.
//! A start empties an edge.
//!
//! Where memory is short it may be told to keep the sums alone: then it does not see that something was
//! removed that was never stored. It does not check the tiers below, which keep their own accounts (L2's are
//! checked with its store, in `sim/tests/disk.rs`), nor between a change and its `Resident`.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{ByteCount, CacheKey, Event, ResidenceEvent, TierId};

/// The rule.
#[derive(Debug, Default)]
pub struct ExactAccounts {
    accounts: BTreeMap<(Edge, u32), Account>,
    only_sums: bool,
}

impl ExactAccounts {
    /// The rule without the list of what is stored: its memory does not grow with what a tier holds.
    pub fn of_sums() -> Self {
        Self { only_sums: true, ..Self::default() }
    }
}

/// What one tier of one shard must hold.
#[derive(Debug, Default)]
struct Account {
    bytes: u64,
    objects: u64,
    /// The sizes under each key that was seen to be stored. Usually one: a replacement may show before or
    /// after.
    sizes: BTreeMap<CacheKey, Vec<u64>>,
}

impl Account {
    fn on_stored(&mut self, key: CacheKey, size: ByteCount, only_sums: bool) {
        self.bytes = self.bytes.saturating_add(size.0);
        self.objects += 1;
        if !only_sums {
            self.sizes.entry(key).or_default().push(size.0);
        }
    }

    fn on_removed(&mut self, key: CacheKey, size: ByteCount, only_sums: bool) -> Result<(), String> {
        if only_sums {
            let left = self.bytes.checked_sub(size.0).zip(self.objects.checked_sub(1));
            (self.bytes, self.objects) =
                left.ok_or_else(|| format!("removed {key} with {} bytes, more than it held", size.0))?;
            return Ok(());
        }
        let sizes = self.sizes.entry(key).or_default();
        let Some(place) = sizes.iter().position(|other| *other == size.0) else {
            return Err(format!("removed {key} with {} bytes, which it did not hold", size.0));
        };
        sizes.remove(place);
        if sizes.is_empty() {
            self.sizes.remove(&key);
        }
        self.objects -= 1;
        self.bytes -= size.0;
        Ok(())
    }

    fn on_resident(&mut self, bytes: ByteCount, objects: u64, capacity: ByteCount) -> Result<(), String> {
        if (bytes.0, objects) != (self.bytes, self.objects) {
            return Err(format!(
                "says it holds {} bytes in {objects} objects; stored less removed is {} in {}",
                bytes.0, self.bytes, self.objects
            ));
        }
        if bytes > capacity {
            return Err(format!("holds {} bytes, over its capacity of {}", bytes.0, capacity.0));
        }
        Ok(())
    }
}

impl ExactAccounts {
    fn on_event(&mut self, edge: Edge, shard: u32, event: &Event) -> Result<(), Violation> {
        match event {
            Event::Residence(event) => self.on_residence(edge, shard, event).map_err(|detail| Violation {
                rule: "M5",
                detail: format!("edge {} shard {shard} {} {detail}", edge.0, TierId::L0.as_str()),
            }),
            Event::Request(_)
            | Event::Fetch(_)
            | Event::Copy(_)
            | Event::Resilience(_)
            | Event::Purge(_)
            | Event::Durable(_) => Ok(()),
        }
    }

    fn on_residence(&mut self, edge: Edge, shard: u32, event: &ResidenceEvent) -> Result<(), String> {
        let account = self.accounts.entry((edge, shard)).or_default();
        match event {
            ResidenceEvent::Stored { tier: TierId::L0, key, size, .. } => {
                account.on_stored(*key, *size, self.only_sums);
                Ok(())
            }
            ResidenceEvent::Removed { tier: TierId::L0, key, size, .. } => {
                account.on_removed(*key, *size, self.only_sums)
            }
            ResidenceEvent::Resident { tier: TierId::L0, bytes, objects, capacity } => {
                account.on_resident(*bytes, *objects, *capacity)
            }
            ResidenceEvent::Stored { .. }
            | ResidenceEvent::Removed { .. }
            | ResidenceEvent::Resident { .. }
            | ResidenceEvent::Freshened { .. }
            | ResidenceEvent::Staled { .. } => Ok(()),
        }
    }
}

impl Invariant for ExactAccounts {
    fn id(&self) -> &'static str {
        "M5"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, shard, event } => self.on_event(*edge, *shard, event),
            What::EdgeStarted { edge } => {
                self.accounts.retain(|(other, _), _| other != edge);
                Ok(())
            }
            What::EdgeCrashed { .. }
            | What::Published { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::ClientGot { .. }
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
    use crate::history::{History, KEY, OTHER, removed, resident, stored};

    const L0: TierId = TierId::L0;

    fn history() -> History {
        History::of(ExactAccounts::default())
    }

    /// Storing, replacing in either order, removing and restarting, with true sums all along.
    #[test]
    fn true_sums_pass() {
        let mut history = history();
        for event in [
            stored(L0, KEY, 90, 100),
            resident(L0, 100, 1, 250),
            stored(L0, KEY, 110, 120),
            removed(L0, KEY, 100),
            resident(L0, 120, 1, 250),
            stored(L0, OTHER, 100, 110),
            resident(L0, 230, 2, 250),
            removed(L0, KEY, 120),
            removed(L0, OTHER, 110),
            resident(L0, 0, 0, 250),
        ] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        history.show(What::EdgeStarted { edge: Edge(0) }).unwrap();
        for event in
            [stored(L0, KEY, 70, 80), resident(L0, 80, 1, 250), removed(L0, KEY, 80), resident(L0, 0, 0, 250)]
        {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
    }

    fn breaks(events: &[Event]) {
        let mut history = history();
        let (last, before) = events.split_last().expect("a history has events");
        for event in before {
            assert_eq!(history.event(*event), Ok(()), "{event:?}");
        }
        assert_eq!(history.event(*last), Err("M5"), "{last:?}");
    }

    /// Bytes or objects that do not add up, in each direction.
    #[test]
    fn a_wrong_sum_is_named() {
        breaks(&[stored(L0, KEY, 90, 100), resident(L0, 99, 1, 250)]);
        breaks(&[stored(L0, KEY, 90, 100), resident(L0, 100, 2, 250)]);
        breaks(&[stored(L0, KEY, 90, 100), stored(L0, KEY, 90, 100), resident(L0, 100, 1, 250)]);
    }

    /// More than the tier may hold.
    #[test]
    fn more_than_the_capacity_is_named() {
        breaks(&[stored(L0, KEY, 90, 300), resident(L0, 300, 1, 250)]);
    }

    /// A removal of what is not there, or twice, or with another size.
    #[test]
    fn a_removal_of_nothing_is_named() {
        breaks(&[removed(L0, KEY, 100)]);
        breaks(&[stored(L0, KEY, 90, 100), removed(L0, KEY, 90)]);
        breaks(&[stored(L0, KEY, 90, 100), removed(L0, KEY, 100), removed(L0, KEY, 100)]);
    }
}
