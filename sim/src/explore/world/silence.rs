//! Stores that fall silent: L3's index, its blob store, or the log of the purge feed.
//!
//! For a while, or until the world heals, one kind of call, or every one, gets no answer at all. What was
//! asked is done all the same, or done late, or never. An answer that was not given then is never given.

use crate::explore::{
    campaign::tally::WorldFault,
    world::operation::failure,
    world::simulated_l3::SimulatedL3,
    world::tier::SLOW_MAX,
    world::{Life, Step, World, up_to, within},
};
use std::time::Duration;
use tiergate_engine::{Effect, Input, Instant, Symbol, durable::Ask, feed::FeedAsk};

/// The longest silence that ends before the world heals: longer than most deadlines.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// A store that may fall silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Store {
    Index,
    Blobs,
    Feed,
}

/// What a store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Call {
    ReadRow,
    SwapRow,
    TouchRow,
    OpenBlob,
    ReadBlob,
    BeginBlob,
    AppendToBlob,
    FinishBlob,
    DeleteBlob,
    ListBlobs,
    AppendNotice,
    ReadNotices,
}

/// A store that does not answer, and which of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) struct Silence {
    store: Store,
    /// None: all of them.
    call: Option<Call>,
}

/// How often each store falls silent.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::explore) struct Silences {
    pub index: u64,
    pub blobs: u64,
    pub feed: u64,
}

impl Silences {
    pub(in crate::explore) const fn of_l3(self) -> u64 {
        self.index + self.blobs
    }
}

impl Store {
    const fn calls(self) -> &'static [Call] {
        match self {
            Self::Index => &[Call::ReadRow, Call::SwapRow, Call::TouchRow],
            Self::Blobs => &[
                Call::OpenBlob,
                Call::ReadBlob,
                Call::BeginBlob,
                Call::AppendToBlob,
                Call::FinishBlob,
                Call::DeleteBlob,
                Call::ListBlobs,
            ],
            Self::Feed => &[Call::AppendNotice, Call::ReadNotices],
        }
    }

    pub(in crate::explore) const fn fault(self) -> WorldFault {
        match self {
            Self::Index => WorldFault::IndexSilent,
            Self::Blobs => WorldFault::BlobsSilent,
            Self::Feed => WorldFault::FeedSilent,
        }
    }
}

impl Call {
    pub(in crate::explore) const fn of_feed<N>(ask: &FeedAsk<N>) -> Self {
        match ask {
            FeedAsk::Append { .. } => Self::AppendNotice,
            FeedAsk::Read { .. } => Self::ReadNotices,
        }
    }

    /// What L3's stores are asked by an effect; nothing, where it wants no answer.
    fn of_l3(effect: &Effect<Symbol>) -> Option<Self> {
        Some(match effect {
            Effect::Durable { ask: Ask::Read { .. }, .. } => Self::ReadRow,
            Effect::Durable { ask: Ask::Swap { .. }, .. } => Self::SwapRow,
            Effect::Durable { ask: Ask::Touch { .. }, .. } => Self::TouchRow,
            Effect::Durable { ask: Ask::Delete { .. }, .. } => Self::DeleteBlob,
            Effect::Durable { ask: Ask::List { .. }, .. } => Self::ListBlobs,
            Effect::Durable { ask: Ask::Open { .. }, .. } | Effect::OpenBlob { .. } => Self::OpenBlob,
            Effect::Read { .. } => Self::ReadBlob,
            Effect::Open { .. } => Self::BeginBlob,
            Effect::Write { .. } => Self::AppendToBlob,
            Effect::Commit { .. } => Self::FinishBlob,
            _ => return None,
        })
    }
}

impl Silence {
    fn covers(self, call: Call) -> bool {
        self.store.calls().contains(&call) && self.call.is_none_or(|silent| silent == call)
    }
}

impl World {
    /// When each store falls silent, some times before `end`, and whether it speaks again before the world
    /// heals.
    pub(in crate::explore) fn plan_silences(&mut self, end: Instant) {
        let Silences { index, blobs, feed } = self.plan.faults.silences;
        let has_l3 = self.simulated_l3.is_some();
        let has_feed = self.plan.config.feed_policy().is_some();
        let planned =
            [(Store::Index, index, has_l3), (Store::Blobs, blobs, has_l3), (Store::Feed, feed, has_feed)];
        for (store, count, is_there) in planned {
            for _ in 0..if is_there { count } else { 0 } {
                let random = &mut self.chances.silence;
                let at = self.now.after(within(random, end.since(self.now)));
                let calls = store.calls();
                let drawn = usize::try_from(random.below(1 + calls.len() as u64)).expect("a few fit usize");
                let silence = Silence { store, call: drawn.checked_sub(1).map(|place| calls[place]) };
                let speaks_again = random.chance(1, 2);
                let span = up_to(random, SILENCE_MAX);
                self.queue.schedule(at, Step::FellSilent(silence));
                if speaks_again {
                    self.queue.schedule(at.after(span), Step::SpokeAgain(silence));
                }
            }
        }
    }

    pub(in crate::explore) fn on_fell_silent(&mut self, silence: Silence) {
        self.tally.count(silence.store.fault()).armed += 1;
        self.silences.push(silence);
    }

    pub(in crate::explore) fn on_spoke_again(&mut self, silence: Silence) {
        if let Some(place) = self.silences.iter().position(|other| *other == silence) {
            self.silences.remove(place);
        }
    }

    /// Does a call get no answer now? Then this counts.
    pub(in crate::explore) fn is_unanswered(&mut self, call: Call) -> bool {
        let silent = self.silences.iter().find(|silence| !self.healed && silence.covers(call));
        let Some(store) = silent.map(|silence| silence.store) else { return false };
        self.tally.count(store.fault()).fired += 1;
        true
    }

    /// L3 was asked, and does not answer: is that so? Whether it does what it was asked is another matter.
    pub(in crate::explore) fn is_l3_silent(&mut self, from: Life, effect: &Effect<Symbol>) -> bool {
        let Some(call) = Call::of_l3(effect) else { return false };
        if !self.is_unanswered(call) {
            return false;
        }
        if let Some(Input::Answer { op, .. }) = failure(effect) {
            self.expect_no_answer(from, op);
        }
        match (self.chances.silence.below(3), effect) {
            (0, _) => {}
            (1, Effect::Durable { ask, .. }) => {
                self.tally.count(WorldFault::DurableLate).armed += 1;
                let at = self.now.after(up_to(&mut self.chances.silence, SLOW_MAX));
                self.queue.schedule(at, Step::Late(ask.clone()));
            }
            _ => {
                let now = self.index_now();
                let done = self.simulated_l3.as_mut().map(|l3: &mut SimulatedL3| l3.apply(from, effect, now));
                if let Some(Err((rule, detail))) = done {
                    self.breaks(rule, detail);
                }
            }
        }
        true
    }
}
