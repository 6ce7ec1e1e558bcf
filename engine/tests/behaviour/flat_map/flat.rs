//! The reference: what a cache is to its clients. A map from a target to a version and until when it is
//! fresh; what is not fresh there is whatever the origin publishes now.
//!
//! In a calm world, where every effect is answered at once, that says which version each request gets. In a
//! troubled one the map may have forgotten anything, and the origin may have been asked at any time: then it
//! says which versions are allowed.

use super::Step;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use tiergate_engine::{PurgeMode, Selector};

/// What clients ask for.
pub(super) const TARGETS: [&str; 2] = ["/a/0", "/b/0"];
/// Milliseconds that each step takes, more than births are rounded by.
pub(super) const STEP_MS: u64 = 10;

/// Which tiers there are, and what else is drawn beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) l0: bool,
    pub(super) l1: bool,
    pub(super) l2: bool,
    /// Is every effect answered at once, and is there room for everything?
    pub(super) is_calm: bool,
    /// Does the origin answer when told to, at first?
    pub(super) origin_waits: bool,
}

/// One version of a target. A lifetime of zero: it may not be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edition {
    pub(super) lifetime_s: u64,
    pub(super) length: u64,
    pub(super) is_tagged: bool,
}

/// The map, with all that was ever published.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    pub(super) shape: Shape,
    pub(super) now_ms: u64,
    targets: Vec<Target>,
    /// In a calm world: what the request just made must get.
    pub(super) due: Option<usize>,
}

#[derive(Clone, Debug)]
struct Target {
    /// Every version, with when it was published.
    editions: Vec<(u64, Edition)>,
    /// In memory, gone with a restart.
    near: Option<Kept>,
    /// In the tiers below.
    below: Option<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    version: usize,
    until_ms: u64,
    /// By a purge that is remembered, and did not reach it where it lies.
    barred: Option<PurgeMode>,
}

impl Kept {
    fn is_fresh(self, now_ms: u64) -> bool {
        self.barred.is_none() && now_ms < self.until_ms
    }
}

impl Flat {
    fn new(shape: Shape, first: &[Edition]) -> Self {
        let target = |edition: &Edition| Target { editions: vec![(0, *edition)], near: None, below: None };
        Self { shape, now_ms: 0, targets: first.iter().map(target).collect(), due: None }
    }

    pub(super) fn newest(&self, target: usize) -> usize {
        self.targets[target].editions.len() - 1
    }

    pub(super) fn edition(&self, target: usize, version: usize) -> Edition {
        self.targets[target].editions[version].1
    }

    /// May a request of `asked_ms` that ends now get this version, if nothing from before `floor_ms` may be
    /// used?
    pub(super) fn allows(&self, target: usize, version: usize, asked_ms: u64, floor_ms: u64) -> bool {
        let editions = &self.targets[target].editions;
        let (from, edition) = editions[version];
        let replaced = editions.get(version + 1).map_or(u64::MAX, |(from, _)| *from);
        // The last moment at which the origin can have answered with it.
        let answered = (replaced - STEP_MS).max(from).min(self.now_ms);
        let is_fresh = asked_ms < answered + edition.lifetime_s * 1_000;
        answered >= floor_ms && (answered >= asked_ms || is_fresh)
    }

    /// A request in a calm world: the version that is fresh, or what the origin publishes now, which is then
    /// kept.
    fn ask(&mut self, target: usize) {
        let (now, newest, has_l0, has_below) =
            (self.now_ms, self.newest(target), self.shape.l0, self.shape.l1 || self.shape.l2);
        let edition = self.edition(target, newest);
        let Target { near, below, .. } = &mut self.targets[target];
        let fresh = [*near, *below].into_iter().flatten().find(|kept| kept.is_fresh(now));
        self.due = Some(fresh.map_or(newest, |kept| kept.version));
        if let Some(kept) = fresh {
            // What was found below is copied into memory, with the lifetime that it has left.
            *near = has_l0.then_some(kept);
            return;
        }
        // What is found below and was purged is taken out.
        below.take_if(|kept| kept.barred == Some(PurgeMode::Hard));
        if edition.lifetime_s == 0 {
            return;
        }
        let kept = Kept { version: newest, until_ms: now + edition.lifetime_s * 1_000, barred: None };
        let agrees =
            |stale: &Option<Kept>| edition.is_tagged && stale.is_some_and(|stale| stale.version == newest);
        // A 304 freshens the one copy that was asked about; a body comes into every tier.
        let is_near_freshened = agrees(near);
        *near = has_l0.then_some(kept);
        if !is_near_freshened {
            *below = has_below.then_some(kept);
        }
    }

    fn publish(&mut self, target: usize, edition: Edition) {
        self.targets[target].editions.push((self.now_ms, edition));
    }

    fn purge(&mut self, target: usize, selector: &Selector, mode: PurgeMode) {
        let Target { near, below, .. } = &mut self.targets[target];
        match (selector, mode) {
            (Selector::Key(_), PurgeMode::Hard) => (*near, *below) = (None, None),
            (_, PurgeMode::Hard) => {
                *near = None;
                bar(below, PurgeMode::Hard);
            }
            (_, PurgeMode::Soft) => {
                bar(near, PurgeMode::Soft);
                bar(below, PurgeMode::Soft);
            }
        }
    }

    /// What is only remembered is forgotten by an edge without a disk.
    fn restart(&mut self) {
        for target in &mut self.targets {
            target.near = None;
            if let Some(kept) = target.below.as_mut().filter(|_| !self.shape.l2) {
                kept.barred = None;
            }
        }
    }
}

fn bar(kept: &mut Option<Kept>, mode: PurgeMode) {
    if let Some(kept) = kept.as_mut().filter(|kept| kept.barred != Some(PurgeMode::Hard)) {
        kept.barred = Some(mode);
    }
}

/// Is the target, by its place among [`TARGETS`], among what the selector names?
pub(super) fn covers(selector: &Selector, target: usize) -> bool {
    match selector {
        Selector::Key(key) => *key == crate::rig::key(TARGETS[target]),
        Selector::Tag(tag) => tag.as_str() == super::tag_of(target),
        Selector::Prefix(_) => TARGETS[target].starts_with(super::PREFIX),
        Selector::All => true,
    }
}

impl ReferenceStateMachine for Flat {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let tiers = (any::<bool>(), any::<bool>(), any::<bool>());
        let tiers = tiers.prop_map(|(l0, l1, l2)| (l0 || !(l1 || l2), l1, l2));
        let first = prop::collection::vec(edition(), TARGETS.len());
        (any::<bool>(), any::<bool>(), tiers, first)
            .prop_map(|(is_calm, waits, (l0, l1, l2), first)| {
                Flat::new(Shape { l0, l1, l2, is_calm, origin_waits: waits && !is_calm }, &first)
            })
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let target = 0..TARGETS.len();
        let calm = prop_oneof![
            12 => target.clone().prop_map(|target| Step::Ask { target, is_slow: false }),
            2 => (target.clone(), edition()).prop_map(|(target, edition)| Step::Publish { target, edition }),
            3 => pause().prop_map(|ms| Step::PassTime { ms }),
            3 => (super::selector(), mode(), prop::option::weighted(0.7, edition()))
                .prop_map(|(selector, mode, edition)| Step::Purge { selector, mode, edition }),
            1 => Just(Step::Restart),
        ];
        if state.shape.is_calm {
            return calm.boxed();
        }
        let place = any::<prop::sample::Index>;
        prop_oneof![
            8 => calm,
            2 => target.prop_map(|target| Step::Ask { target, is_slow: true }),
            2 => place().prop_map(|client| Step::Read { client }),
            1 => place().prop_map(|client| Step::Leave { client }),
            1 => any::<bool>().prop_map(|waits| Step::OriginWaits { waits }),
            3 => (place(), super::origin_way()).prop_map(|(fetch, way)| Step::OriginAnswers { fetch, way }),
            2 => (place(), any::<bool>()).prop_map(|(fetch, is_whole)| Step::OriginEnds { fetch, is_whole }),
            2 => (any::<bool>(), super::tier_mood()).prop_map(|(first, mood)| Step::TierTurns { first, mood }),
            6 => (any::<bool>(), place()).prop_map(|(first, place)| Step::TierAnswers { first, place }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.now_ms += STEP_MS;
        state.due = None;
        match step {
            Step::Ask { target, .. } if state.shape.is_calm => state.ask(*target),
            Step::Publish { target, edition } => state.publish(*target, *edition),
            Step::PassTime { ms } => state.now_ms += ms,
            Step::Purge { selector, mode, edition } => {
                for target in (0..TARGETS.len()).filter(|target| covers(selector, *target)) {
                    if let Some(edition) = edition {
                        state.publish(target, *edition);
                    }
                    state.purge(target, selector, *mode);
                }
            }
            Step::Restart => state.restart(),
            Step::Ask { .. }
            | Step::Read { .. }
            | Step::Leave { .. }
            | Step::OriginWaits { .. }
            | Step::OriginAnswers { .. }
            | Step::OriginEnds { .. }
            | Step::TierTurns { .. }
            | Step::TierAnswers { .. } => {}
        }
        state
    }
}

fn edition() -> impl Strategy<Value = Edition> {
    (0_u64..5, 1_u64..60, any::<bool>()).prop_map(|(lifetime_s, length, is_tagged)| Edition {
        lifetime_s,
        length,
        is_tagged: is_tagged && lifetime_s > 0,
    })
}

/// Any pause, or one after which what was fetched in the step before it is just as old as its lifetime.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0_u64..700).prop_map(|steps| steps * STEP_MS),
        (1_u64..5).prop_map(|seconds| seconds * 1_000 - 2 * STEP_MS),
    ]
}

fn mode() -> impl Strategy<Value = PurgeMode> {
    prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)]
}
