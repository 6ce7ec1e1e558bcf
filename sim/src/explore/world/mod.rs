//! The world around the engines: time, the order of steps, chance, and the rules that watch.
//!
//! A request's sending and arrival, an operation's effect and its answer, an answer's sending and arrival are
//! steps of their own, because most races live in between (an origin samples its version when it answers, not
//! when the answer arrives). Start at [`World::run`]. What the steps do is in `client`, `origin`, `tier` and
//! `edge`.

pub(in crate::explore) mod body;
pub(in crate::explore) mod client;
pub(in crate::explore) mod decay;
pub(in crate::explore) mod draws;
pub(in crate::explore) mod edge;
pub(in crate::explore) mod feed_log;
pub(in crate::explore) mod form;
pub(in crate::explore) mod index;
pub(in crate::explore) mod operation;
pub(in crate::explore) mod origin;
pub(in crate::explore) mod plan;
pub(in crate::explore) mod posting;
pub(in crate::explore) mod profile;
pub(in crate::explore) mod queue;
pub(in crate::explore) mod silence;
pub(in crate::explore) mod simulated_l3;
pub(in crate::explore) mod tier;
pub(in crate::explore) mod variety;

use crate::explore::{
    campaign::run::{Drain, Drained, Run, Watch},
    campaign::tally::{Tally, WorldFault},
    case::choices::Outcome,
    case::history::History,
    checks::flat::Flat,
    telling::story::Note,
    world::client::Clients,
    world::draws::{DrawSource, Draws, Requests},
    world::edge::EdgeHost,
    world::feed_log::{AskFate, CutOff, Log},
    world::origin::Origin,
    world::plan::{PerMille, Plan},
    world::posting::{Post, PostAnswer},
    world::queue::Queue,
    world::silence::Silence,
    world::simulated_l3::SimulatedL3,
    world::tier::{Fate, Tier},
    world::variety::Wish,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tiergate_engine::{
    Effect, FillId, Input, Instant, OpId, RawConfig, Symbol, TierId,
    durable::Ask,
    feed::{AskId, FeedAsk, FeedTold, Notice},
};
use tiergate_invariants::{
    Abandoned, AloneForAReason, BoundedLanes, BoundedStreams, Breakers, Edge, Fact, Got, Invariants,
    Lifetimes, Limits, NoResurrection, Retries, Sharing, UnderGate, Violation, WantedCopies, What,
};

/// Steps that one request may cause, on average, before the run counts as one that never ends. A body of 20
/// chunks into two tiers, read by a client chunk by chunk, is about 200.
const STEPS_PER_REQUEST_MAX: u64 = 3_000;
/// The longest that anything is served past its lifetime: an object's own windows, or the configuration's.
pub(in crate::explore) const STALE_MAX: Duration = Duration::from_secs(3);
/// The longest that an origin stalls before its head.
pub(in crate::explore) const HEAD_STALL_MAX: Duration = Duration::from_secs(2);
/// So many objects are asked for more than once in the end, to see what is kept.
const KEPT_OBJECTS: usize = 3;
/// By what an age may be too low: each way over the calendar, into a tier and out of it, loses up to a
/// millisecond.
const AGE_ROUNDING: Duration = Duration::from_millis(10);

/// One run of one edge process: an answer meant for an earlier one is for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::explore) struct Life {
    pub edge: u32,
    pub life: u32,
}

/// One thing that happens at one instant. Numbers are places in the tables of asks and objects. What comes of
/// a fault says which it `brings`.
#[derive(Debug)]
pub(in crate::explore) enum Step {
    Ask(usize),
    Arrive(usize),
    Demand(usize),
    GoAway(usize),
    Left(usize, Life),
    Got(usize, Got),
    /// `known` is the validator that came with the request.
    OriginAsked {
        from: Life,
        op: OpId,
        fill: FillId,
        object: usize,
        wish: Wish,
        known: Option<Vec<u8>>,
    },
    OriginPulled {
        from: Life,
        op: OpId,
        fill: FillId,
        brings: Option<WorldFault>,
    },
    FromOrigin {
        to: Life,
        fill: FillId,
        input: Input<Symbol>,
        last: bool,
        brings: Option<WorldFault>,
    },
    /// A question to the durable tier is done, and nobody waits for it.
    Late(Ask),
    TierAsked {
        from: Life,
        effect: Effect<Symbol>,
        fate: Fate,
        brings: Option<WorldFault>,
    },
    FromTier {
        to: Life,
        input: Input<Symbol>,
        brings: Option<WorldFault>,
    },
    PostAsked(Post),
    PostAnswered(Post, Box<PostAnswer>),
    Publish(usize),
    Purge {
        edge: u32,
        object: usize,
    },
    Wake(Life),
    FeedWake(Life),
    LogAsked {
        from: Life,
        id: AskId,
        ask: FeedAsk<Notice>,
        fate: AskFate,
        is_slow: bool,
    },
    FromLog {
        to: Life,
        id: AskId,
        told: FeedTold<Notice>,
        brings: Option<WorldFault>,
    },
    LogLost(CutOff),
    LogFound(CutOff),
    FellSilent(Silence),
    SpokeAgain(Silence),
    Crash(u32),
    Start(u32),
    Join(Life),
    Heal,
}

/// The streams, one for each user of chance.
pub(in crate::explore) struct Chances {
    pub requests: Requests,
    pub network: Draws,
    pub edition: Draws,
    pub origin: Draws,
    pub client: Draws,
    pub variety: Draws,
    pub tier: Draws,
    pub edge: Draws,
    pub feed: Draws,
    pub silence: Draws,
}

impl Chances {
    pub(in crate::explore) fn of(source: &DrawSource) -> Self {
        let stream = |name| Draws::of(source, name);
        Self {
            requests: Requests::of(source),
            network: stream("network"),
            edition: stream("edition"),
            origin: stream("origin"),
            client: stream("client"),
            variety: stream("variety"),
            tier: stream("tier"),
            edge: stream("edge"),
            feed: stream("feed"),
            silence: stream("silence"),
        }
    }

    /// What the request that is being planned draws from.
    pub(in crate::explore) fn request(&mut self) -> &mut Draws {
        &mut self.requests.draws
    }

    /// What was drawn on the way, where that is kept.
    pub(in crate::explore) fn kept(&mut self) -> BTreeMap<String, Vec<Outcome>> {
        self.streams().map(|(name, draws)| (name.to_owned(), draws.kept())).into()
    }

    /// How much that is, in the order of the streams' names.
    pub(in crate::explore) fn drawn(&mut self) -> Vec<usize> {
        self.streams().map(|(_, draws)| draws.count()).into()
    }

    /// Every stream but that of the requests, by name.
    fn streams(&mut self) -> [(&'static str, &mut Draws); 9] {
        let Self { requests: _, network, edition, origin, client, variety, tier, edge, feed, silence } = self;
        [
            ("client", client),
            ("edge", edge),
            ("edition", edition),
            ("feed", feed),
            ("network", network),
            ("origin", origin),
            ("silence", silence),
            ("tier", tier),
            ("variety", variety),
        ]
    }
}

/// Everything.
pub(in crate::explore) struct World {
    pub plan: Plan,
    pub now: Instant,
    pub queue: Queue<Step>,
    pub chances: Chances,
    pub edges: Vec<EdgeHost>,
    pub origin: Origin,
    pub clients: Clients,
    pub tiers: Vec<Tier>,
    /// The durable tier.
    pub simulated_l3: Option<SimulatedL3>,
    /// The log of the purge feed.
    pub log: Log,
    /// Stores that do not answer now.
    pub silences: Vec<Silence>,
    /// Until then the collector comes round, and the feed is read, by itself.
    pub collect_until: Instant,
    /// Everything has healed, and clients ask one after the other.
    pub is_asking_in_turn: bool,
    pub healed: bool,
    pub tally: Tally,
    rules: Invariants,
    /// What a calm life is compared with.
    pub flat: Option<Flat>,
    facts_kept: usize,
    recent: VecDeque<Fact>,
    /// In which order an engine is drained.
    pub drain: Drain,
    /// Asks that came at an exact moment.
    pub sharp: u32,
    /// Room for what comes out of it, kept from one input to the next.
    pub drained: Drained,
    pub watch: Watch,
    /// All that happened, if a digest of it is wanted.
    pub history: Option<History>,
    /// What the story says beside the facts.
    pub notes: Vec<Note>,
    broken: Option<Violation>,
}

/// Every rule, told what it must know of this world.
fn rules(plan: &Plan) -> Invariants {
    let RawConfig { fill, collapse, resilience, promotion, .. } = &plan.raw;
    let half_open_max = Duration::from_millis(resilience.breaker.probe_ms_max.into()) * 2;
    let count = |count: u32| usize::try_from(count).expect("32 bits fit");
    let edges = [
        ((TierId::L1, TierId::L0), promotion.l1_to_l0),
        ((TierId::L2, TierId::L0), promotion.l2_to_l0),
        ((TierId::L2, TierId::L1), promotion.l2_to_l1),
        ((TierId::L3, TierId::L0), promotion.l3_to_l0),
        ((TierId::L3, TierId::L1), promotion.l3_to_l1),
        ((TierId::L3, TierId::L2), promotion.l3_to_l2),
    ];
    let shares = plan.has_l1 || plan.config.durable_terms().is_some();
    let sharing = if shares { Sharing::Any } else { Sharing::Nothing };
    Invariants::all()
        .with(UnderGate::new(plan.gates))
        .with(Lifetimes::new(AGE_ROUNDING, STALE_MAX))
        .with(NoResurrection::within(plan.config.feed_policy().map(|policy| policy.lease()), sharing))
        .with(Breakers::new(half_open_max))
        .with(Retries::new(resilience.retry))
        .with(BoundedLanes::new(count(fill.lane_chunks_max)))
        .with(BoundedStreams::new(fill.window.0))
        .with(Limits::new(count(collapse.fills_max), count(collapse.waiters_max)))
        .with(AloneForAReason::new(Duration::from_secs(collapse.uncacheable_s.into())))
        .with(Abandoned::new(fill.on_abandon, fill.on_range_max))
        .with(WantedCopies::new(edges))
}

impl World {
    /// A world at its first instant, which remembers this many facts to show when a rule breaks.
    pub(in crate::explore) fn new(plan: Plan, chances: Chances, run: Run) -> Self {
        let rules = rules(&plan);
        Self {
            now: Instant::ZERO.after(plan.clock),
            queue: Queue::new(),
            chances,
            edges: (0..plan.edges).map(|_| EdgeHost::default()).collect(),
            origin: Origin::default(),
            clients: Clients::default(),
            tiers: Tier::all(&plan),
            simulated_l3: SimulatedL3::of(&plan),
            log: Log::default(),
            silences: Vec::new(),
            collect_until: Instant::ZERO,
            is_asking_in_turn: false,
            healed: false,
            tally: Tally::of(&plan),
            rules,
            flat: plan.calm.map(|calm| Flat::new(calm.rule, calm.is_exact)),
            facts_kept: run.facts_kept,
            recent: VecDeque::new(),
            drain: run.drain,
            sharp: 0,
            drained: Drained::default(),
            watch: run.watch,
            history: run.digest.then(History::default),
            notes: Vec::new(),
            broken: None,
            plan,
        }
    }

    /// Faults first, then healing, then the end of everything.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub(in crate::explore) fn run(&mut self) -> Result<(), Violation> {
        self.publish_all();
        for edge in 0..self.plan.edges {
            self.start_edge(edge);
        }
        let end = self.plan_asks();
        self.collect_until = end;
        self.plan_crashes(end);
        self.plan_outages(end);
        self.plan_silences(end);
        self.queue.schedule(end, Step::Heal);
        self.run_out()?;
        self.is_asking_in_turn = true;
        // Where all was calm nothing had to heal.
        let hurt = if self.plan.calm.is_some() { 0 } else { self.plan.edges };
        for edge in 0..hurt {
            // Whatever is left alone when the world heals is asked again after this.
            self.now =
                self.now.after(Duration::from_millis(self.plan.raw.resilience.breaker.open_ms_max.into()));
            if let Some(policy) = self.plan.config.feed_policy() {
                self.now = self.now.after(policy.lease());
                self.drive_feed(edge);
                self.run_out()?;
            }
            for object in 0..self.origin.objects.len() {
                // The first answer may teach the edge what it stores of the second, and the third is what it
                // stored.
                let turns: &[u32] = if object < KEPT_OBJECTS { &[0, 1] } else { &[0] };
                for asks_again in turns {
                    if let Some(simulated_l3) = &mut self.simulated_l3 {
                        simulated_l3.begin_turn();
                    }
                    self.ask_after_healing(edge, object, *asks_again);
                    self.run_out()?;
                }
            }
        }
        self.is_asking_in_turn = false;
        self.settle_l3()?;
        self.settle();
        self.verdict()
    }

    /// The last facts, oldest first.
    pub(in crate::explore) fn recent(&self) -> impl Iterator<Item = &Fact> {
        self.recent.iter()
    }

    pub(in crate::explore) fn run_out(&mut self) -> Result<(), Violation> {
        let asks = self.clients.asks.len() as u64;
        let budget = STEPS_PER_REQUEST_MAX * (asks + 20);
        while let Some((at, step)) = self.queue.pop() {
            assert!(at >= self.now, "the queue hands out steps in order");
            self.now = at;
            self.tally.steps += 1;
            if self.tally.steps > budget {
                self.breaks("CON6", format!("{budget} steps for {asks} requests, and no end"));
            }
            if let Some(history) = &mut self.history {
                history.step(at, &step, self.chances.drawn());
            }
            self.step(step);
            self.verdict()?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(ask) => self.on_ask(ask),
            Step::Arrive(ask) => self.on_arrive(ask),
            Step::Demand(ask) => self.on_demand(ask),
            Step::GoAway(ask) => self.on_go_away(ask),
            Step::Left(ask, life) => self.on_left(ask, life),
            Step::Got(ask, got) => self.on_got(ask, got),
            Step::OriginAsked { from, op, fill, object, wish, known } => {
                self.on_origin_asked(from, op, fill, (object, wish), known.as_deref());
            }
            Step::OriginPulled { from, op, fill, brings } => self.on_origin_pulled(from, op, fill, brings),
            Step::FromOrigin { to, fill, input, last, brings } => {
                self.on_from_origin(to, fill, input, last, brings);
            }
            Step::Late(ask) => self.on_late(&ask),
            Step::TierAsked { from, effect, fate, brings } => self.on_tier_asked(from, effect, fate, brings),
            Step::FromTier { to, input, brings } => {
                self.observe_fault(to, brings);
                self.feed(to, input);
            }
            Step::PostAsked(post) => self.on_post_asked(post),
            Step::PostAnswered(post, answer) => self.on_post_answered(post, *answer),
            Step::Publish(object) => self.publish(object),
            Step::Purge { edge, object } => self.on_purge(edge, object),
            Step::Wake(life) => self.on_wake(life),
            Step::FeedWake(life) => self.on_feed_wake(life),
            Step::LogAsked { from, id, ask, fate, is_slow } => {
                self.on_log_asked(from, id, ask, fate, is_slow);
            }
            Step::FromLog { to, id, told, brings } => self.on_from_log(to, id, told, brings),
            Step::LogLost(whom) => self.on_log_lost(whom),
            Step::LogFound(whom) => self.on_log_found(whom),
            Step::FellSilent(silence) => self.on_fell_silent(silence),
            Step::SpokeAgain(silence) => self.on_spoke_again(silence),
            Step::Crash(edge) => self.crash_edge(edge),
            Step::Start(edge) => self.start_edge(edge),
            Step::Join(life) => self.join_tier(life),
            Step::Heal => {
                self.healed = true;
                self.simulated_l3.iter_mut().for_each(SimulatedL3::heal);
                self.fact(What::Healed);
            }
        }
    }

    fn settle(&mut self) {
        for edge in 0..self.plan.edges {
            let open = self.audit(edge);
            self.check_contract(edge);
            self.fact(What::Settled { edge: Edge(edge), open });
        }
        self.settle_feeds();
        let held: Vec<String> = self
            .tiers
            .iter()
            .filter_map(Tier::holds)
            .chain(self.simulated_l3.as_ref().and_then(SimulatedL3::holds))
            .collect();
        if let Some(held) = held.first() {
            self.breaks("CON6", format!("a tier still holds {held}"));
        }
        if let Some(stream) = self.origin.streams.keys().next() {
            self.breaks("O1", format!("a fetch was neither read to its end nor cancelled: {stream:?}"));
        }
    }

    /// Shows a fact to every rule.
    pub(in crate::explore) fn fact(&mut self, what: What) {
        let fact = Fact { at: self.now, what };
        self.tally.facts += 1;
        if let Some(history) = &mut self.history {
            history.mix(&fact.what);
        }
        let flat = self.flat.as_mut().map_or(Ok(()), |flat| flat.observe(&fact));
        if self.watch == Watch::AllRules
            && let Err(violation) = self.rules.observe(&fact).and(flat)
        {
            self.broken.get_or_insert(violation);
        }
        if self.recent.len() >= self.facts_kept {
            self.recent.pop_front();
        }
        self.recent.push_back(fact);
    }

    /// The world itself saw a rule broken.
    pub(in crate::explore) fn breaks(&mut self, rule: &'static str, detail: String) {
        self.broken.get_or_insert(Violation { rule, detail });
    }

    pub(in crate::explore) fn verdict(&mut self) -> Result<(), Violation> {
        self.broken.take().map_or(Ok(()), Err)
    }

    /// How long the run takes so far.
    pub(in crate::explore) fn elapsed(&self) -> Duration {
        self.now.since(Instant::ZERO.after(self.plan.clock))
    }

    /// When a message sent now arrives.
    pub(in crate::explore) fn soon(&mut self) -> Instant {
        let longest = self.plan.work.latency;
        let span = up_to(&mut self.chances.network, longest);
        self.now.after(span)
    }

    /// Does this fault hit here? Never once the world has healed.
    pub(in crate::explore) fn hits(
        &mut self,
        rate: PerMille,
        fault: WorldFault,
        chance: fn(&mut Chances) -> &mut Draws,
    ) -> bool {
        let hit = self.is_meant(rate, fault, chance);
        self.tally.count(fault).fired += u64::from(hit);
        hit
    }

    /// Is it meant to hit here, or when what it needs is there?
    pub(in crate::explore) fn is_meant(
        &mut self,
        rate: PerMille,
        fault: WorldFault,
        chance: fn(&mut Chances) -> &mut Draws,
    ) -> bool {
        let is_armed = !self.healed && rate.0 > 0;
        self.tally.count(fault).armed += u64::from(is_armed);
        is_armed && chance(&mut self.chances).chance(rate.0, 1_000)
    }
}

/// A span between nothing and `longest`, short ones as likely as long ones.
pub(in crate::explore) fn up_to(draws: &mut Draws, longest: Duration) -> Duration {
    let longest = nanos(longest).max(2);
    let scale = 1 + draws.below(4);
    Duration::from_nanos(1 + draws.below(longest) / (scale * scale))
}

/// Some moment of a span that is not empty.
pub(in crate::explore) fn within(draws: &mut Draws, span: Duration) -> Duration {
    Duration::from_nanos(draws.below(nanos(span)))
}

pub(in crate::explore) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
