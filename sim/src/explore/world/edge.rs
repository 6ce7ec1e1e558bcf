//! The edges: each an engine and the driver's part around it, started, crashed and started again.

use crate::explore::{
    campaign::run::Watch,
    campaign::tally::WorldFault,
    checks::remote_purges::RemotePurges,
    world::origin::{CHECKED, Object, group_tag, own_tag},
    world::{Life, Step, World, up_to, within},
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tiergate_engine::{
    Answer, Audit, CacheKey, Effect, Engine, Fields, Head, Input, Instant, OpId, Prefix, PurgeId, PurgeMode,
    PurgeOutcome, Seed, Selector, Symbol, Tag, TierId, WakeReason,
    feed::{Feed, Notice, Ticket},
};
use tiergate_invariants::{Contract, Edge, Version, Violation, What};

/// The calendar at the run's first instant. It does not jump in this world, for C6 would see ghosts.
pub(in crate::explore) const CALENDAR: u64 = 1_700_000_000_000;

/// The longest that a local tier takes until it can be asked.
const JOIN_MAX: Duration = Duration::from_secs(2);

/// Lives of an edge that may end at a moment of our choice.
const SHARP_LIVES_MAX: u32 = 6;

/// Where an engine lives.
#[derive(Default)]
pub(in crate::explore) struct EdgeHost {
    /// None between a crash and the next start.
    pub engine: Option<Engine<Symbol>>,
    /// What its driver and it owe each other.
    contract: Contract,
    /// What the last 304 that it got bears in `CHECKED`.
    pub checked: Option<Vec<u8>>,
    life: u32,
    /// When the next wake is scheduled.
    wake_at: Option<Instant>,
    /// Its view of the purge feed, and when that is to be woken.
    pub feed_client: Option<Feed<Notice>>,
    pub feed_wake_at: Option<Instant>,
    /// What it applied of it.
    pub remote_purges: Option<RemotePurges>,
    purges: BTreeMap<PurgeId, Purge>,
    purges_asked: u64,
    /// The last soft purge of each object that it has confirmed and remembers: when it was asked for, and the
    /// newest version then.
    pub softened: BTreeMap<usize, (Instant, Version)>,
    /// What was last purged, over its lives.
    pub purged: VecDeque<usize>,
}

/// A purge that is not over.
struct Purge {
    mode: PurgeMode,
    /// What must be gone, or stale, once it is confirmed, and the newest version of each when it was asked
    /// for.
    covered: Vec<(usize, Version)>,
    asked_at: Instant,
    /// Its notice, while that is on its way to the other edges.
    ticket: Option<Ticket>,
    is_done: bool,
    has_failed: bool,
    /// The key that is purged hard, if it is one, and how often L3 had been purged of it before.
    raised: Option<(CacheKey, u64)>,
    /// Commits in the local tier until then, if there is one.
    commits: Option<u64>,
}

impl World {
    /// The edge's process as it is now, or was last.
    pub(in crate::explore) fn life(&self, edge: u32) -> Life {
        Life { edge, life: self.edges[edge as usize].life }
    }

    /// When each crash happens, some time before `end`.
    pub(in crate::explore) fn plan_crashes(&mut self, end: Instant) {
        for _ in 0..self.plan.faults.crashes {
            let edge = self.chances.edge.below(u64::from(self.plan.edges));
            let at = self.now.after(within(&mut self.chances.edge, end.since(self.now)));
            let edge = u32::try_from(edge).expect("edges are counted in u32");
            self.queue.schedule(at, Step::Crash(edge));
        }
    }

    pub(in crate::explore) fn start_edge(&mut self, edge: u32) {
        let host = &mut self.edges[edge as usize];
        host.life += 1;
        let seed = self.plan.seed.split(&format!("engine {edge} {}", host.life)).bits();
        host.engine = Some(Engine::new(self.plan.config.clone(), Seed(seed), self.now));
        host.contract = Contract::default();
        let life = self.life(edge);
        let (feed_client, remote_purges) = self.new_feed_client(Seed(seed)).unzip();
        (self.edges[edge as usize].feed_client, self.edges[edge as usize].remote_purges) =
            (feed_client, remote_purges);
        self.fact(What::EdgeStarted { edge: Edge(edge) });
        let wall = self.wall();
        self.feed(life, Input::WallClock { wall });
        if self.plan.has_l2 {
            let place = self.tier_place(edge, TierId::L2);
            let tier = TierId::L2;
            let bans = self.tiers[place].recover_bans();
            self.feed(life, Input::Recovered { tier, bans });
            let late = self.plan.faults.tier_joins_late;
            if self.hits(late, WorldFault::JoinedLate, |chances| &mut chances.edge) {
                let at = self.now.after(up_to(&mut self.chances.edge, JOIN_MAX));
                self.tiers[place].joins_at = Some(at);
                self.queue.schedule(at, Step::Join(life));
            } else {
                self.join_tier(life);
            }
        }
        self.drive_feed(edge);
        self.ask_after_start(edge);
    }

    /// The local tier of an edge can be asked from now on.
    pub(in crate::explore) fn join_tier(&mut self, life: Life) {
        if life != self.life(life.edge) || self.edges[life.edge as usize].engine.is_none() {
            return; // It was not ready before the crash, and will be after the next start.
        }
        let tier = TierId::L2;
        let place = self.tier_place(life.edge, tier);
        self.tiers[place].joins_at = None;
        let (objects, bytes) = self.tiers[place].contents();
        self.feed(life, Input::TierJoined { tier, objects, bytes });
    }

    /// An edge may crash while a tier is about to publish or to remove something for it, for that is where
    /// much is in doubt.
    fn crash_sharply(&mut self, from: Life, effect: &Effect<Symbol>) {
        let matters =
            matches!(effect, Effect::Commit { .. } | Effect::StoreBan { .. } | Effect::Delete { .. });
        if !matters || self.healed || self.plan.faults.crashes == 0 || from.life > SHARP_LIVES_MAX {
            return;
        }
        if self.chances.edge.chance(1, 30) {
            let at = self.now.after(up_to(&mut self.chances.edge, self.plan.work.latency));
            self.queue.schedule(at, Step::Crash(from.edge));
        }
    }

    pub(in crate::explore) fn crash_edge(&mut self, edge: u32) {
        self.tally.count(WorldFault::Crashed).armed += 1;
        let host = &mut self.edges[edge as usize];
        let Some(engine) = host.engine.take() else {
            return; // It is down already.
        };
        host.wake_at = None;
        (host.feed_client, host.remote_purges) = (None, None);
        host.feed_wake_at = None;
        host.purges.clear();
        if !self.plan.has_l2 {
            host.softened.clear();
        }
        let count = self.tally.count(WorldFault::Crashed);
        count.fired += 1;
        count.observed += u64::from(!engine.audit().is_idle());
        self.fact(What::EdgeCrashed { edge: Edge(edge) });
        self.break_clients(edge);
        self.drop_streams(edge);
        self.crash_tiers(edge);
        let down = up_to(&mut self.chances.edge, Duration::from_secs(2));
        self.queue.schedule(self.now.after(down), Step::Start(edge));
    }

    pub(in crate::explore) fn on_purge(&mut self, edge: u32, object: usize) {
        let host = &mut self.edges[edge as usize];
        if host.engine.is_none() {
            return;
        }
        host.purges_asked += 1;
        let purge = PurgeId(host.purges_asked);
        self.tally.count(WorldFault::Purged).fired += 1;
        let (selector, mode) = self.draw_selector(object);
        let covered = self.covered(&selector);
        self.purge_flat(&selector);
        for (object, _) in covered.iter().filter(|_| mode == PurgeMode::Hard) {
            let key = self.origin.objects[*object].key;
            self.fact(What::PurgeAsked { edge: Edge(edge), purge: Some(purge), key });
        }
        let ticket = self.tell_others(edge, selector.clone(), mode);
        let raised = match (&selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => Some((*key, self.raised(*key))),
            _ => None,
        };
        let local = self.plan.has_l2.then(|| self.tier_place(edge, TierId::L2));
        let commits = local.map(|place| self.tiers[place].commits);
        let (asked_at, is_done, has_failed) = (self.now, false, false);
        let open = Purge { mode, covered, asked_at, ticket, is_done, has_failed, raised, commits };
        self.edges[edge as usize].purges.insert(purge, open);
        let life = self.life(edge);
        self.feed(life, Input::Purge { purge, selector, mode });
        self.drive_feed(edge);
    }

    /// A purge that nobody asked for but the answer to a POST. What is published is not older than what that
    /// brings, and may be younger: so it covers no version, and its tiers must have done it all the same.
    pub(in crate::explore) fn open_own_purge(&mut self, edge: u32, key: CacheKey) -> PurgeId {
        let raised = Some((key, self.raised(key)));
        let local = self.plan.has_l2.then(|| self.tier_place(edge, TierId::L2));
        let commits = local.map(|place| self.tiers[place].commits);
        let (covered, ticket, is_done, has_failed) = (Vec::new(), None, false, false);
        let (mode, asked_at) = (PurgeMode::Hard, self.now);
        let host = &mut self.edges[edge as usize];
        host.purges_asked += 1;
        let purge = PurgeId(host.purges_asked);
        let open = Purge { mode, covered, asked_at, ticket, is_done, has_failed, raised, commits };
        host.purges.insert(purge, open);
        purge
    }

    /// A purge that is about this object, too. An edge without a disk forgets all but those of one key when
    /// it crashes, unless the feed tells it anew.
    fn draw_selector(&mut self, object: usize) -> (Selector, PurgeMode) {
        let shares = self.plan.has_l1 || self.simulated_l3.is_some();
        let forgets = self.plan.faults.crashes != 0
            && shares
            && !self.plan.has_l2
            && self.plan.config.feed_policy().is_none();
        let random = &mut self.chances.edge;
        let mode = if random.chance(1, 4) { PurgeMode::Soft } else { PurgeMode::Hard };
        let tag = |text: String| Selector::Tag(Tag::new(&text).expect("letters and a number"));
        let selector = match random.below(8) {
            4 if !forgets => tag(own_tag(object)),
            5 if !forgets => tag(group_tag(object)),
            6 if !forgets => Selector::Prefix(Prefix::new("origin", &format!("/{object}")).expect("a path")),
            7 if !forgets => Selector::All,
            _ => Selector::Key(self.origin.objects[object].key),
        };
        (selector, mode)
    }

    /// Of a flat map, a soft purge takes out what it covers, too: it is not fresh any more.
    fn purge_flat(&mut self, selector: &Selector) {
        if self.flat.is_some() {
            for (object, _) in self.covered(selector) {
                let key = self.origin.objects[object].key;
                self.flat.iter_mut().for_each(|flat| flat.purge(key));
            }
        }
    }

    /// Which objects must be gone afterwards.
    fn covered(&self, selector: &Selector) -> Vec<(usize, Version)> {
        let is_covered = |object: usize| match selector {
            Selector::Key(key) => self.origin.objects[object].key == *key,
            Selector::Tag(tag) => [own_tag(object), group_tag(object)].iter().any(|own| own == tag.as_str()),
            Selector::Prefix(_) => {
                let Object { key, plain, .. } = &self.origin.objects[object];
                let untagged = Head { status: 200, fields: Fields::new() };
                selector.covers(*key, &plain.authority, &plain.target, &untagged)
            }
            Selector::All => true,
        };
        let objects = 0..self.origin.objects.len();
        objects.filter(|object| is_covered(*object)).map(|object| (object, self.newest(object))).collect()
    }

    fn on_purge_done(&mut self, edge: u32, purge: PurgeId, report: &[(TierId, PurgeOutcome)]) {
        let Some(open) = self.edges[edge as usize].purges.get_mut(&purge).filter(|open| !open.is_done) else {
            return self.breaks("CON6", format!("{purge:?} ended twice or never began"));
        };
        open.is_done = true;
        open.has_failed |= report.iter().any(|(_, outcome)| match outcome {
            PurgeOutcome::Failed => true,
            PurgeOutcome::Removed(_)
            | PurgeOutcome::RemovedUnseen
            | PurgeOutcome::Staled(_)
            | PurgeOutcome::Barred
            | PurgeOutcome::Absent => false,
        });
        let (raised, commits) = (open.raised, open.commits);
        let is_kept = report.contains(&(TierId::L2, PurgeOutcome::Failed));
        if let (Some((key, _)), Some(commits), false) = (raised, commits, is_kept)
            && self.tiers[self.tier_place(edge, TierId::L2)].holds_from(key, commits)
        {
            self.breaks("I3", format!("{purge:?} is done, and what was stored in L2 before it lies there"));
        }
        let confirms = |(tier, outcome): &(TierId, PurgeOutcome)| {
            *tier == TierId::L3 && *outcome != PurgeOutcome::Failed
        };
        if let Some((key, before)) = raised.filter(|_| report.iter().any(confirms))
            && self.raised(key) == before
        {
            self.breaks(
                "C7",
                format!("{purge:?} left no trace in L3: what began before it can be stored there"),
            );
        }
        self.end_purge(edge, purge);
    }

    /// The other edges were told of a purge, or not.
    pub(in crate::explore) fn on_told_others(&mut self, edge: u32, ticket: Ticket, is_told: bool) {
        let mut open = self.edges[edge as usize].purges.iter_mut();
        let Some((purge, open)) = open.find(|(_, open)| open.ticket == Some(ticket)) else {
            return self.breaks("CON6", format!("{ticket:?} was answered twice or never asked for"));
        };
        let purge = *purge;
        open.ticket = None;
        open.has_failed |= !is_told;
        self.end_purge(edge, purge);
    }

    /// A purge is over once its tiers and the feed have answered.
    fn end_purge(&mut self, edge: u32, purge: PurgeId) {
        let purges = &mut self.edges[edge as usize].purges;
        if purges.get(&purge).is_none_or(|open| !open.is_done || open.ticket.is_some()) {
            return;
        }
        let open = purges.remove(&purge).expect("it was just found");
        if !open.has_failed {
            for (object, newest_when_asked) in open.covered {
                if open.mode == PurgeMode::Soft {
                    self.on_softened(edge, object, open.asked_at, newest_when_asked);
                    continue;
                }
                self.on_purged(edge, object);
                self.fact(What::PurgeConfirmed {
                    edge: Edge(edge),
                    key: self.origin.objects[object].key,
                    newest_when_asked,
                    asked_at: open.asked_at,
                });
            }
        }
    }

    /// What an engine asked for gets no answer.
    pub(in crate::explore) fn expect_no_answer(&mut self, of: Life, op: OpId) {
        if self.life(of.edge) == of {
            self.edges[of.edge as usize].contract.on_silence(op);
        }
    }

    /// Has the edge ended everything that it owed, and its driver too?
    pub(in crate::explore) fn check_contract(&mut self, edge: u32) {
        if let Err(Violation { rule, detail }) = self.edges[edge as usize].contract.on_end() {
            self.breaks(rule, detail);
        }
    }

    /// What the engine of an edge that runs holds open.
    ///
    /// # Panics
    /// When the edge is down: every crash is followed by a start, long before anything is settled.
    pub(in crate::explore) fn audit(&self, edge: u32) -> Audit {
        let engine = self.edges[edge as usize].engine.as_ref();
        engine.expect("every crash is followed by a start").audit()
    }

    pub(in crate::explore) fn on_wake(&mut self, life: Life) {
        // One that an earlier one has overtaken must not plan another, or they would grow in number for ever.
        let host = &mut self.edges[life.edge as usize];
        if host.life == life.life && host.wake_at.is_some_and(|at| at <= self.now) {
            host.wake_at = None;
        }
        // A deadline may be off by now. The collector is not to come round for it: a run ends.
        if self.collect_until <= self.now && self.life(life.edge) == life {
            let wanted = self.wanted_wake(life.edge);
            if wanted.is_none_or(|at| self.now < at) {
                return self.schedule_wake(life, wanted);
            }
        }
        self.feed(life, Input::Wake);
    }

    /// Hands an input to an engine and does what it asks. What is meant for an earlier life is for nobody.
    pub(in crate::explore) fn feed(&mut self, to: Life, input: Input<Symbol>) {
        if self.life(to.edge) != to {
            return;
        }
        let EdgeHost { engine: Some(engine), contract, checked, .. } = &mut self.edges[to.edge as usize]
        else {
            return;
        };
        if let (Input::Request { .. }, true) = (&input, self.plan.has_l2) {
            let place = usize::from(self.plan.has_l1) + to.edge as usize;
            self.tally.count(WorldFault::JoinedLate).observed +=
                u64::from(self.tiers[place].joins_at.is_some());
        }
        self.tally.received(&input);
        if let Input::Answer { answer: Answer::Head { head }, .. } = &input
            && head.status == 304
        {
            *checked = head.fields.only(CHECKED).map(<[u8]>::to_vec);
        }
        let is_watched = self.watch == Watch::AllRules;
        let mut drained = std::mem::take(&mut self.drained);
        let mut kept = if is_watched { contract.on_input(self.now, &input) } else { Ok(()) };
        engine.handle(self.now, input);
        self.drain.all_of(engine, &mut drained);
        if is_watched {
            for effect in &drained.effects {
                kept = kept.and_then(|()| contract.on_effect(effect));
            }
            contract.on_drained();
        }
        let wants_wake = engine.poll_wake().is_some();
        // Counting from the tables checks every total against its parts; now and then is enough to find who
        // broke one.
        let audit = (is_watched && self.tally.steps.is_multiple_of(16)).then(|| engine.audit());
        if let Err(Violation { rule, detail }) = kept {
            self.breaks(rule, detail);
        }
        for event in drained.events.drain(..) {
            self.feel_event(&event);
            self.check_durable(to, &event);
            self.check_retry(to, &event);
            self.check_after_remote_purge(to.edge, &event);
            self.fact(What::Engine { edge: Edge(to.edge), shard: 0, event });
        }
        if let Some(open) = audit {
            if open.timers > 0 && !wants_wake {
                self.breaks("L2", format!("edge {} has timers, and wants no wake: {open:?}", to.edge));
            }
            self.fact(What::Audited { edge: Edge(to.edge), open });
        }
        for effect in drained.effects.drain(..) {
            self.tally.asked(&effect);
            self.run_effect(to, effect);
        }
        self.drained = drained;
        let wake = self.wanted_wake(to.edge);
        self.schedule_wake(to, wake);
    }

    /// When an edge's engine is to be woken, if it runs.
    fn wanted_wake(&self, edge: u32) -> Option<Instant> {
        let (at, reason) = self.edges[edge as usize].engine.as_ref()?.poll_wake()?;
        match reason {
            // The collector comes round for ever; a run ends.
            WakeReason::Collection => (at < self.collect_until || self.audit(edge).timers > 0).then_some(at),
            _ => Some(at),
        }
    }

    fn schedule_wake(&mut self, to: Life, wake: Option<Instant>) {
        let host = &mut self.edges[to.edge as usize];
        if let Some(at) = wake
            && host.wake_at.is_none_or(|scheduled| at < scheduled)
        {
            let at = at.max(self.now);
            host.wake_at = Some(at);
            self.queue.schedule(at, Step::Wake(to));
        }
        let rate = self.plan.style.idle_wakes;
        if !self.healed && rate.0 > 0 && self.chances.edge.chance(rate.0, 1_000) {
            self.queue.schedule(self.now, Step::Wake(to));
        }
    }

    fn run_effect(&mut self, from: Life, effect: Effect<Symbol>) {
        match effect {
            Effect::Fetch { op, fill, head, .. } => self.on_fetch(from, op, fill, &head),
            Effect::Pull { op, fill } => self.on_pull(from, op, fill),
            Effect::Adopt { fill } => self.on_adopt(from, fill),
            Effect::Cancel { fill } => {
                self.origin.streams.remove(&(from, fill));
            }
            Effect::Durable { .. }
            | Effect::OpenBlob { .. }
            | Effect::Lookup { .. }
            | Effect::Read { .. }
            | Effect::Release { .. }
            | Effect::Open { .. }
            | Effect::Write { .. }
            | Effect::Commit { .. }
            | Effect::Discard { .. }
            | Effect::Freshen { .. }
            | Effect::StoreBan { .. }
            | Effect::Delete { .. } => {
                self.crash_sharply(from, &effect);
                self.ask_tier(from, effect);
            }
            Effect::Serve { request, reply } => self.on_serve(request, reply),
            Effect::Body { request, chunk } => self.on_body(request, chunk),
            Effect::Finish { request, end } => self.on_finish(request, end),
            Effect::Pass { request, .. } => self.on_pass(request),
            Effect::Refuse { request, refusal } => self.on_refuse(request, refusal),
            Effect::PurgeDone { purge, report } => self.on_purge_done(from.edge, purge, &report),
        }
    }
}
