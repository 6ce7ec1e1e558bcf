//! What is resident in L0, and under which keys a target's variants lie there. Every change is told, with the
//! sum.
//!
//! It knows nothing of requests, fetches or purges under way: it is asked, told to keep, and told to take
//! out.

use super::{context::Context, variants::Variants};
use crate::{
    config::MemoryTier,
    language::{
        chunk::Chunk,
        effect::PurgeOutcome,
        event::{CopyEvent, Event, ResidenceEvent},
        head::{Fields, Head, Method, RequestHead},
        id::TierId,
        key::{CacheKey, StoredKey},
        reason::{LaneEnd, Rejection, Removal},
        resident::Resident,
        selector::{PurgeMode, Selector, TargetUri},
        time::{Instant, WallTime},
        units::ByteCount,
    },
    parts::{
        random::Random,
        space::{Left, Space},
    },
    plant::{Fault, Plant},
    rules::{self, Share, reuse, vary},
};
use alloc::{borrow::Cow, boxed::Box, sync::Arc, vec::Vec};

/// What L0 has for a request.
pub(super) enum FromMemory<C> {
    /// A response that may be used as it is.
    Usable(Arc<Resident<C>>),
    /// A stale one that may be used while it is revalidated in the background.
    UsableMeanwhile(Arc<Resident<C>>),
    /// One that may be used if the origin agrees.
    AskFirst(Arc<Resident<C>>),
    /// One that may not be used for requests with credentials, which this is.
    Withheld,
    /// Nothing.
    Absent,
}

/// L0.
pub(super) struct Residence<C> {
    memory: Option<Space<Arc<Resident<C>>>>,
    variants: Variants,
}

impl<C: Chunk> Residence<C> {
    pub(super) fn new(l0: Option<MemoryTier>, salts: &mut Random) -> Self {
        let memory = l0.map(|l0| Space::new(l0.capacity, l0.eviction, l0.objective, salts));
        Self { memory, variants: Variants::default() }
    }

    /// The key under which a request for `target` with these fields is answered.
    pub(super) fn key_for(&self, target: CacheKey, ask: &RequestHead) -> CacheKey {
        self.key_of(target, &ask.fields)
    }

    /// The same, by the fields alone.
    pub(super) fn key_of(&self, target: CacheKey, fields: &Fields) -> CacheKey {
        self.variants.key_for(target, fields)
    }

    /// On which names the responses of `target` depend, as far as is known.
    pub(super) fn names_of(&self, target: CacheKey) -> &[Box<str>] {
        self.variants.names_of(target)
    }

    /// All that is here of `target`.
    pub(super) fn of(&self, target: CacheKey) -> Vec<(StoredKey, Arc<Resident<C>>)> {
        let Some(memory) = &self.memory else { return Vec::new() };
        let found = |key| memory.find(key).map(|slot| Arc::clone(memory.value(slot)));
        let keys = self.variants.of(target).into_iter();
        keys.filter_map(|key| Some((StoredKey { target, key }, found(key)?))).collect()
    }

    /// A response for `target` depends on these names; `ask` is the request that it answers, `head` its own.
    /// Says under which key it may be stored, if there is room for one more variant.
    pub(super) fn file(
        &mut self,
        target: CacheKey,
        names: &[Box<str>],
        ask: &RequestHead,
        head: &Head,
    ) -> Option<CacheKey> {
        self.variants.learn(target, names, &ask.fields, head)
    }

    /// A tier has a marker that says on which names responses for `target` depend.
    pub(super) fn on_marker(&mut self, target: CacheKey, names: &[Box<str>], tier: TierId, now: Instant) {
        self.variants.learn_names(target, names);
        self.variants.on_marked(target, names, tier, now);
    }

    /// The names with which a target is to be marked in a tier, if it may not be marked there yet.
    pub(super) fn names_to_mark(
        &mut self,
        target: CacheKey,
        tier: TierId,
        now: Instant,
    ) -> Option<Vec<Box<str>>> {
        self.variants.names_to_mark(target, tier, now)
    }

    /// A marker will not be there.
    pub(super) fn on_unmarked(&mut self, target: CacheKey, tier: TierId) {
        self.variants.on_unmarked(target, tier);
    }

    /// A purged target: nothing is known of what its responses depend on.
    pub(super) fn forget_variants(&mut self, target: CacheKey) {
        self.variants.forget(target);
    }

    /// The fast path: a fresh response, or what conditions and a range leave of it. It counts as a use.
    /// `wall` is what the calendar says.
    pub(super) fn fresh<'f>(
        &mut self,
        (now, wall): (Instant, WallTime),
        key: CacheKey,
        method: Method,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<Cow<'_, Arc<Resident<C>>>> {
        let conditions = rules::fast_path_conditions(method, fields)?;
        let memory = self.memory.as_mut()?;
        let slot = memory.find(key)?;
        let resident = memory.value(slot);
        if !resident.staleness.is_usable(&resident.freshness, now) {
            return None;
        }
        memory.on_used(slot);
        let resident = memory.value(slot);
        if conditions.is_empty() {
            return Some(Cow::Borrowed(resident));
        }
        let TargetUri { authority, target } = resident.uri.clone();
        let ask = RequestHead { method, authority, target, fields: conditions };
        let received = wall.before(now.since(resident.freshness.as_of));
        let (head, length) = (&resident.head, resident.length.0);
        Some(match rules::share(&ask, head, length, received, wall, || 0) {
            Share::Whole => Cow::Borrowed(resident),
            Share::Pieces(head, pieces) => Cow::Owned(Arc::new(resident.share(head, &pieces))),
        })
    }

    /// Looks in L0. An answer that is used counts as a use. Where nothing is stored in the very words of a
    /// request, a fresh response in the language that it likes best will do.
    pub(super) fn look(&mut self, cx: &Context<C>, at: StoredKey, ask: &RequestHead) -> FromMemory<C> {
        match self.look_under(cx, at.key, ask) {
            FromMemory::Absent => {}
            found @ (FromMemory::Usable(_)
            | FromMemory::UsableMeanwhile(_)
            | FromMemory::AskFirst(_)
            | FromMemory::Withheld) => return found,
        }
        match self.in_language(at.target, ask).map(|variant| self.look_under(cx, variant, ask)) {
            Some(FromMemory::Usable(resident)) => FromMemory::Usable(resident),
            // The origin is asked in the request's own words.
            Some(
                FromMemory::UsableMeanwhile(_)
                | FromMemory::AskFirst(_)
                | FromMemory::Withheld
                | FromMemory::Absent,
            )
            | None => FromMemory::Absent,
        }
    }

    /// The variant here that is in the language which this request likes best.
    fn in_language(&self, target: CacheKey, ask: &RequestHead) -> Option<CacheKey> {
        let (variant, language) = self.variants.in_language(target, &ask.fields)?;
        let memory = self.memory.as_ref()?;
        let head = &memory.value(memory.find(variant)?).head;
        (vary::language_of(head) == Some(language)).then_some(variant)
    }

    fn look_under(&mut self, cx: &Context<C>, key: CacheKey, ask: &RequestHead) -> FromMemory<C> {
        let Some(memory) = &self.memory else { return FromMemory::Absent };
        let Some(slot) = memory.find(key) else { return FromMemory::Absent };
        let resident = Arc::clone(memory.value(slot));
        let stored = resident.staleness.stored(&resident.freshness, cx.now);
        let stored = cx.trust.in_stored(cx.config.plant.misjudged(stored, &resident.freshness, cx.now));
        let Some(memory) = &mut self.memory else { return FromMemory::Absent };
        match reuse::usable(&cx.config.policy, &ask.fields, &stored) {
            reuse::Use::Serve => {
                memory.on_used(slot);
                FromMemory::Usable(resident)
            }
            reuse::Use::ServeAndRevalidate => {
                memory.on_used(slot);
                FromMemory::UsableMeanwhile(resident)
            }
            reuse::Use::Revalidate => FromMemory::AskFirst(resident),
            reuse::Use::Withheld => FromMemory::Withheld,
        }
    }

    /// Makes a response visible in L0, in place of any older one.
    pub(super) fn store(
        &mut self,
        cx: &mut Context<C>,
        at: StoredKey,
        resident: Resident<C>,
        from: Option<TierId>,
    ) {
        let (key, tier) = (at.key, TierId::L0);
        let (length, age) = (resident.length, resident.freshness.age(cx.now));
        let size = cx.config.cost(length, &resident.head);
        let Some(memory) = &mut self.memory else { return };
        let now = cx.now;
        let is_overtaken = memory
            .find(key)
            .is_some_and(|slot| memory.value(slot).freshness.age(now) < resident.freshness.age(now));
        if is_overtaken && !cx.config.is_planted(Fault::F3) {
            return cx.event(CopyEvent::LaneDropped { tier, key, name: None, why: LaneEnd::Superseded });
        }
        let plant = cx.config.plant;
        if !fits(memory, key, size, plant) {
            return cx.event(CopyEvent::Rejected { tier, key, why: Rejection::OverCapacity });
        }
        let (variants, events) = (&mut self.variants, &mut cx.events);
        make_room(memory, key, size, |left, why| {
            variants.on_left(left.key);
            events.push_back(Event::Residence(ResidenceEvent::Removed {
                tier,
                key: left.key,
                size: left.size,
                why,
            }));
        });
        memory.insert(key, size, Arc::new(resident));
        self.variants.on_stored(at);
        cx.event(ResidenceEvent::Stored { tier, key, name: None, length, size, age, from });
        self.tell_resident(cx);
    }

    /// Takes a key out of L0.
    pub(super) fn remove(&mut self, cx: &mut Context<C>, key: CacheKey, why: Removal) -> Option<ByteCount> {
        let left = self.memory.as_mut()?.remove(key)?;
        self.variants.on_left(key);
        cx.event(ResidenceEvent::Removed { tier: TierId::L0, key, size: left.size, why });
        self.tell_resident(cx);
        Some(left.size)
    }

    /// Takes a target out under every key that it has here, and says what that was; none, where there is no
    /// L0.
    pub(super) fn purge(&mut self, cx: &mut Context<C>, target: CacheKey) -> Option<PurgeOutcome> {
        let stored = self.variants.of(target);
        self.memory.as_ref()?;
        let sizes: Vec<_> =
            stored.into_iter().filter_map(|key| self.remove(cx, key, Removal::Purged)).collect();
        let sum = sizes.into_iter().reduce(|sum: ByteCount, size| sum.plus(size.0));
        Some(sum.map_or(PurgeOutcome::Absent, PurgeOutcome::Removed))
    }

    /// Takes out what a target has here that was purged elsewhere, by when it was born.
    pub(super) fn purge_born(
        &mut self,
        cx: &mut Context<C>,
        target: CacheKey,
        is_purged: impl Fn(WallTime) -> bool,
    ) {
        let (now, wall) = (cx.now, cx.wall());
        for key in self.variants.of(target) {
            let born = self
                .memory
                .as_ref()
                .and_then(|memory| memory.find(key).map(|slot| memory.value(slot).freshness.born(now, wall)));
            if born.is_some_and(&is_purged) {
                self.remove(cx, key, Removal::Purged);
            }
        }
    }

    /// Does to everything in L0 that is covered what the purge says.
    pub(super) fn sweep(
        &mut self,
        cx: &mut Context<C>,
        selector: &Selector,
        mode: PurgeMode,
    ) -> Option<PurgeOutcome> {
        let memory = self.memory.as_ref()?;
        let covered = |(key, resident): &(CacheKey, &Arc<Resident<C>>)| {
            let TargetUri { authority, target } = &resident.uri;
            selector.covers(self.variants.at(*key).target, authority, target, &resident.head)
        };
        let keys: Vec<_> = memory.iter().filter(covered).map(|(key, _)| key).collect();
        let mut sum: Option<ByteCount> = None;
        for key in keys {
            let size = match mode {
                PurgeMode::Hard => self.remove(cx, key, Removal::Purged),
                PurgeMode::Soft => self.stale(cx, key),
            };
            sum = size.map_or(sum, |size| Some(sum.unwrap_or(ByteCount::ZERO).plus(size.0)));
        }
        Some(match (sum, mode) {
            (None, _) => PurgeOutcome::Absent,
            (Some(sum), PurgeMode::Hard) => PurgeOutcome::Removed(sum),
            (Some(sum), PurgeMode::Soft) => PurgeOutcome::Staled(sum),
        })
    }

    /// Cuts the lifetime of a resident response to its age.
    fn stale(&mut self, cx: &mut Context<C>, key: CacheKey) -> Option<ByteCount> {
        let now = cx.now;
        let memory = self.memory.as_mut()?;
        let slot = memory.find(key)?;
        let resident = Arc::make_mut(memory.value_mut(slot));
        resident.freshness.lifetime = resident.freshness.lifetime.min(resident.freshness.age(now));
        let size = cx.config.cost(resident.length, &resident.head);
        cx.event(ResidenceEvent::Staled { tier: TierId::L0, key, size });
        Some(size)
    }
    /// Is the sum that of the objects? A bug of ours, if not.
    pub(super) fn audit(&self) {
        if let Some(memory) = &self.memory {
            assert_eq!(memory.recount(), memory.used(), "L0's sum is not that of its objects");
        }
    }

    fn tell_resident(&self, cx: &mut Context<C>) {
        let Some(memory) = &self.memory else { return };
        let (bytes, objects, capacity) = (memory.used(), memory.len(), memory.capacity());
        cx.event(ResidenceEvent::Resident { tier: TierId::L0, bytes, objects, capacity });
    }
}

/// Could an object of this size ever fit?
fn fits<T>(space: &Space<T>, key: CacheKey, size: ByteCount, plant: Plant) -> bool {
    if plant.is(Fault::A5) && space.find(key).is_none() && space.used().plus(size.0) > space.capacity() {
        return false;
    }
    space.fits(size)
}

/// Takes out what `key` had, and victims until an object of `size`, which fits the space as such, fits beside
/// the rest.
fn make_room<T>(
    space: &mut Space<T>,
    key: CacheKey,
    size: ByteCount,
    mut on_left: impl FnMut(Left, Removal),
) {
    if let Some(replaced) = space.remove_replaced(key) {
        on_left(replaced, Removal::Replaced);
    }
    while let Some(victim) = space.evict_for(key, size) {
        on_left(victim, Removal::Capacity);
    }
}
