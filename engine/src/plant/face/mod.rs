//! Faults at the engine's face: what passes it is lost, doubled or altered.
//!
//! [`Face::enter`] sees each input before the engine does, [`Face::leave`] each effect and event before
//! anybody else. An operation that is kept from the driver is answered here, and one that was answered here
//! early is answered late by the driver, which the engine bears. Without the feature `plant` everything
//! passes, and no state is kept.

#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "a fault meets few of all that pass")]
mod effects;
#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "a fault meets few of all that pass")]
mod events;
#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "a fault meets few of all that pass")]
mod heads;
#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "a fault meets few of all that pass")]
mod inputs;
#[cfg(feature = "plant")]
#[expect(clippy::wildcard_enum_match_arm, reason = "a fault meets few of all that pass")]
mod known;

use crate::{
    config::Config,
    language::{effect::Effect, event::Event, id::Minter, input::Input, time::Instant},
    machine::WakeReason,
};
use alloc::collections::VecDeque;

/// The engine's ways out, and the names that it mints.
pub(crate) struct Out<'a, C> {
    #[cfg_attr(not(feature = "plant"), expect(dead_code, reason = "only a plant alters what leaves"))]
    pub(crate) effects: &'a mut VecDeque<Effect<C>>,
    #[cfg_attr(not(feature = "plant"), expect(dead_code, reason = "only a plant alters what leaves"))]
    pub(crate) events: &'a mut VecDeque<Event>,
    #[cfg_attr(not(feature = "plant"), expect(dead_code, reason = "only a plant asks for anything itself"))]
    pub(crate) ids: &'a mut Minter,
}

/// What stands between an engine and everybody else.
#[cfg(not(feature = "plant"))]
pub(crate) struct Face<C>(core::marker::PhantomData<fn(C)>);

#[cfg(not(feature = "plant"))]
#[expect(clippy::unused_self, reason = "the other build needs it")]
impl<C> Face<C> {
    pub(crate) const fn new(_: &Config) -> Self {
        Self(core::marker::PhantomData)
    }

    /// What the engine is told first.
    pub(crate) fn enter(&mut self, _: Instant, input: Input<C>, _: Out<'_, C>) -> Option<Input<C>> {
        Some(input)
    }

    /// What it is told next.
    pub(crate) fn leave(&mut self, _: Out<'_, C>) -> Option<Input<C>> {
        None
    }

    /// Does anybody hear that it wants to be woken for this?
    pub(crate) const fn wakes(&self, _: WakeReason) -> bool {
        true
    }

    /// What time the fast path goes by.
    pub(crate) const fn fast_path_at(&self, now: Instant) -> Instant {
        now
    }
}

#[cfg(feature = "plant")]
use super::Fault;
#[cfg(feature = "plant")]
use crate::language::chunk::Chunk;
#[cfg(feature = "plant")]
use alloc::vec::Vec;
#[cfg(feature = "plant")]
use core::time::Duration;
#[cfg(feature = "plant")]
use known::Known;

/// What stands between an engine and everybody else.
#[cfg(feature = "plant")]
pub(crate) struct Face<C> {
    fault: Option<Fault>,
    known: Known<C>,
    /// What the engine is still to be told before this step is over.
    told: VecDeque<Input<C>>,
    /// What is asked of the driver beside what the engine asks, after that.
    besides: Vec<Effect<C>>,
    /// How many of the effects and events that wait to be polled were seen here.
    passed: (usize, usize),
}

#[cfg(feature = "plant")]
impl<C: Chunk> Face<C> {
    /// For an engine that was given this configuration.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            fault: config.plant.fault(),
            known: Known::new(config),
            told: VecDeque::new(),
            besides: Vec::new(),
            passed: (0, 0),
        }
    }

    /// What the engine is told first.
    pub(crate) fn enter(&mut self, now: Instant, input: Input<C>, out: Out<'_, C>) -> Option<Input<C>> {
        let Some(fault) = self.fault else { return Some(input) };
        self.known.now = now;
        let asked = self.known.on_input(&input);
        self.alter_input(fault, input, asked, out.effects, out.events);
        self.passed = (out.effects.len(), out.events.len());
        self.told.pop_front()
    }

    /// What it is told next.
    pub(crate) fn leave(&mut self, out: Out<'_, C>) -> Option<Input<C>> {
        let fault = self.fault?;
        let mut events = out.events.split_off(self.passed.1);
        let effects = out.effects.split_off(self.passed.0);
        for event in &events {
            self.known.on_event(event);
        }
        self.alter_events(fault, &mut events);
        self.add(fault, &mut events, &effects, out.ids);
        for effect in effects {
            self.known.on_effect(&effect);
            if let Some(effect) = self.alter_effect(fault, effect, &events, out.ids) {
                out.effects.push_back(effect);
            }
        }
        out.effects.extend(self.besides.drain(..));
        out.events.append(&mut events);
        self.passed = (out.effects.len(), out.events.len());
        self.told.pop_front()
    }

    /// Does anybody hear that it wants to be woken for this?
    pub(crate) fn wakes(&self, reason: WakeReason) -> bool {
        let unheard = match reason {
            // A read that is asked once only is no failure, and no rule counts the rounds of a collector.
            WakeReason::LateRead | WakeReason::Collection => return true,
            WakeReason::LaneStall => Fault::X17,
            WakeReason::Retry => Fault::X15,
            WakeReason::Deadline => Fault::X16,
            WakeReason::Breaker => Fault::X34,
            WakeReason::LeaseRenewal => Fault::X87,
        };
        self.fault != Some(unheard)
    }

    /// What time the fast path goes by.
    pub(crate) fn fast_path_at(&self, now: Instant) -> Instant {
        match self.fault {
            Some(Fault::X72) => Instant::ZERO,
            Some(Fault::X23) => {
                let last = self.known.leased_until.as_nanos().saturating_sub(1);
                now.min(Instant::from_nanos(last))
            }
            _ => now,
        }
    }
}

/// What a planted fault takes for an age that nothing has reached yet.
#[cfg(feature = "plant")]
const NEW: Duration = Duration::ZERO;
