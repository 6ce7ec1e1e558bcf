//! The face of the engine.

use crate::{
    chunk::Chunk, config::Config, effect::Effect, event::Event, input::Input, key::CacheKey,
    memory::Resident, random::Seed, time::Instant,
};
use alloc::sync::Arc;

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    /// A lane may have stalled.
    LaneStall,
}

/// What an engine holds open at one moment. All zero once everything has ended (CON6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Requests without an end.
    pub requests: usize,
    /// Effects without an answer.
    pub operations: usize,
    /// Fetches under way, lookups included.
    pub flights: usize,
    /// Records being written.
    pub writers: usize,
    /// Records open for reading.
    pub records: usize,
    /// Purges without an end.
    pub purges: usize,
    /// Bytes of bodies in progress held in memory.
    pub window_bytes: u64,
}

/// One slice of the key space: every decision about it.
///
/// **The drain rule.** One [`Engine::handle`], then [`Engine::poll_effect`] and [`Engine::poll_event`] until both are
/// empty, then the next `handle`. **The answer rule.** Each effect with an `op` is answered once.
pub struct Engine<C: Chunk> {
    _chunk: core::marker::PhantomData<C>,
}

impl<C: Chunk> Engine<C> {
    /// An empty engine.
    pub fn new(_config: Config, _seed: Seed, _now: Instant) -> Self {
        unreachable!()
    }
    /// The only way in.
    ///
    /// # Panics
    /// When the driver broke the drain rule or the answer rule.
    pub fn handle(&mut self, _now: Instant, _input: Input<C>) {
        unreachable!()
    }
    /// The next piece of work for the driver.
    pub fn poll_effect(&mut self) -> Option<Effect<C>> {
        unreachable!()
    }
    /// The next fact for whoever watches.
    pub fn poll_event(&mut self) -> Option<Event> {
        unreachable!()
    }
    /// When to call `handle` with [`Input::Wake`], and why.
    pub fn poll_wake(&self) -> Option<(Instant, WakeReason)> {
        unreachable!()
    }
    /// The fast door: a fresh L0 hit. It queues nothing, allocates nothing and copies nothing; it counts as a use.
    ///
    /// `None` means "ask properly", with [`Input::Request`].
    ///
    /// `fields` are the request's, with names in lower case.
    pub fn fresh_hit<'f>(
        &mut self,
        _now: Instant,
        _key: CacheKey,
        _method: crate::head::Method,
        _fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<&Arc<Resident<C>>> {
        unreachable!()
    }
    /// What is open now, counted from the tables themselves.
    ///
    /// # Panics
    /// When a total does not equal the sum of its parts.
    pub fn audit(&self) -> Audit {
        unreachable!()
    }
}
