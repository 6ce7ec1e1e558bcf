//! The world around the engines: time, the order of steps, chance, and the rules that watch.
//!
//! A request's sending and arrival, an operation's effect and its answer, an answer's sending and arrival are steps of
//! their own, because most races live in between (an origin samples its version when it answers, not when the answer
//! arrives). Start at [`World::run`]. What the steps do is in `client`, `origin`, `tier` and `edge`.

use super::{
    client::Clients,
    edge::EdgeHost,
    hub::{CutOff, Hearing, Log},
    origin::Origin,
    plan::{PerMille, Plan},
    queue::Queue,
    tally::{Tally, Trouble},
    tier::{Fate, Tier},
    variety::Wish,
    vault::Vault,
};
use std::{collections::VecDeque, mem::discriminant, time::Duration};
use tiergate_engine::{
    Effect, FillId, Input, Instant, OpId, Random, Symbol,
    durable::Ask,
    feed::{AskId, FeedAsk, FeedTold, Notice},
};
use tiergate_invariants::{
    Breakers, Edge, Fact, Got, Invariants, Lifetimes, NoResurrection, Retries, UnderGate, Violation, What,
};

/// Steps that one request may cause, on average, before the run counts as one that never ends. A body of 20 chunks into
/// two tiers, read by a client chunk by chunk, is about 200.
const STEPS_PER_REQUEST_MAX: u64 = 3_000;
/// The longest that anything is served past its lifetime: an object's own windows, or the configuration's.
pub(super) const STALE_MAX: Duration = Duration::from_secs(3);
/// The longest that an origin stalls before its head; C6 must allow for it.
pub(super) const HEAD_STALL_MAX: Duration = Duration::from_secs(2);

/// One run of one edge process: an answer meant for an earlier one is for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub edge: u32,
    pub life: u32,
}

/// One thing that happens at one instant. Numbers are places in the tables of asks and objects.
#[derive(Debug)]
pub(super) enum Step {
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
    },
    FromOrigin {
        to: Life,
        fill: FillId,
        input: Input<Symbol>,
        last: bool,
    },
    /// A question to the durable tier is done, and nobody waits for it.
    Late(Ask),
    TierAsked {
        from: Life,
        effect: Effect<Symbol>,
        fate: Fate,
    },
    FromTier {
        to: Life,
        input: Input<Symbol>,
    },
    Publish(usize),
    Purge {
        edge: u32,
        object: usize,
    },
    Wake(Life),
    HubWake(Life),
    LogAsked {
        from: Life,
        id: AskId,
        ask: FeedAsk<Notice>,
        hearing: Hearing,
    },
    FromLog {
        to: Life,
        id: AskId,
        told: FeedTold<Notice>,
    },
    LogLost(CutOff),
    LogFound(CutOff),
    Crash(u32),
    Start(u32),
    Heal,
}

/// The generators, one for each user of chance.
pub(super) struct Chances {
    pub network: Random,
    pub origin: Random,
    pub client: Random,
    pub forms: Random,
    pub variety: Random,
    pub tier: Random,
    pub edge: Random,
    pub feed: Random,
}

/// Everything.
pub(super) struct World {
    pub plan: Plan,
    pub now: Instant,
    pub queue: Queue<Step>,
    pub chances: Chances,
    pub edges: Vec<EdgeHost>,
    pub origin: Origin,
    pub clients: Clients,
    pub tiers: Vec<Tier>,
    /// The durable tier.
    pub vault: Option<Vault>,
    /// The log of the purge feed.
    pub log: Log,
    /// Until then the collector comes round, and the feed is read, by itself.
    pub collect_until: Instant,
    /// Everything has healed, and clients ask one after the other.
    pub is_asking_in_turn: bool,
    pub healed: bool,
    pub tally: Tally,
    rules: Invariants,
    facts_kept: usize,
    recent: VecDeque<Fact>,
    hash: u64,
    broken: Option<Violation>,
}

impl World {
    /// A world at its first instant, which remembers this many facts to show when a rule breaks.
    pub(super) fn new(plan: Plan, facts_kept: usize) -> Self {
        let split = |name| plan.seed.split(name);
        let chances = Chances {
            network: split("network"),
            origin: split("origin"),
            client: split("client"),
            forms: split("forms"),
            variety: split("variety"),
            tier: split("tier"),
            edge: split("edge"),
            feed: split("feed"),
        };
        let half_open_max = Duration::from_millis(plan.care.breaker.probe_ms_max.into()) * 2;
        let slack = HEAD_STALL_MAX + plan.work.latency * 2;
        Self {
            now: Instant::ZERO,
            queue: Queue::new(),
            chances,
            edges: (0..plan.edges).map(|_| EdgeHost::default()).collect(),
            origin: Origin::default(),
            clients: Clients::default(),
            tiers: Tier::all(&plan),
            vault: Vault::of(&plan),
            log: Log::default(),
            collect_until: Instant::ZERO,
            is_asking_in_turn: false,
            healed: false,
            tally: Tally::default(),
            rules: Invariants::all()
                .with(UnderGate::new(plan.gates))
                .with(Lifetimes::new(slack, STALE_MAX))
                .with(NoResurrection::within(plan.config.feed_policy().map(|policy| policy.lease())))
                .with(Breakers::new(half_open_max))
                .with(Retries::new(plan.care.retry)),
            facts_kept,
            recent: VecDeque::new(),
            hash: 0xcbf2_9ce4_8422_2325,
            broken: None,
            plan,
        }
    }

    /// Trouble first, then healing, then the end of everything.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        self.publish_all();
        for edge in 0..self.plan.edges {
            self.start_edge(edge);
        }
        let end = self.plan_asks();
        self.collect_until = end;
        self.plan_crashes(end);
        self.plan_outages(end);
        self.queue.schedule(end, Step::Heal);
        self.run_out()?;
        self.is_asking_in_turn = true;
        for edge in 0..self.plan.edges {
            // Whatever is left alone when the world heals is asked again after this.
            self.now = self.now.after(Duration::from_millis(self.plan.care.breaker.open_ms_max.into()));
            if let Some(policy) = self.plan.config.feed_policy() {
                self.now = self.now.after(policy.lease());
                self.visit_hub(edge);
                self.run_out()?;
            }
            for object in 0..self.origin.objects.len() {
                if let Some(vault) = &mut self.vault {
                    vault.begin_turn();
                }
                self.ask_after_healing(edge, object);
                self.run_out()?;
            }
        }
        self.is_asking_in_turn = false;
        self.settle_vault()?;
        self.settle();
        self.verdict()
    }

    /// One number for all that happened.
    pub(super) fn digest(&self) -> u64 {
        self.hash
    }

    /// The last facts, oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Fact> {
        self.recent.iter()
    }

    pub(super) fn run_out(&mut self) -> Result<(), Violation> {
        let asks = self.clients.asks.len() as u64;
        let budget = STEPS_PER_REQUEST_MAX * (asks + 20);
        while let Some((at, step)) = self.queue.pop() {
            assert!(at >= self.now, "the queue hands out steps in order");
            self.now = at;
            self.tally.steps += 1;
            if self.tally.steps > budget {
                self.breaks("CON6", format!("{budget} steps for {asks} requests, and no end"));
            }
            self.mix(at.as_nanos());
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
            Step::OriginPulled { from, op, fill } => self.on_origin_pulled(from, op, fill),
            Step::FromOrigin { to, fill, input, last } => self.on_from_origin(to, fill, input, last),
            Step::Late(ask) => self.on_late(&ask),
            Step::TierAsked { from, effect, fate } => self.on_tier_asked(from, effect, fate),
            Step::FromTier { to, input } => self.feed(to, input),
            Step::Publish(object) => self.publish(object),
            Step::Purge { edge, object } => self.on_purge(edge, object),
            Step::Wake(life) => self.on_wake(life),
            Step::HubWake(life) => self.on_hub_wake(life),
            Step::LogAsked { from, id, ask, hearing } => self.on_log_asked(from, id, ask, hearing),
            Step::FromLog { to, id, told } => self.on_from_log(to, id, told),
            Step::LogLost(whom) => self.on_log_lost(whom),
            Step::LogFound(whom) => self.on_log_found(whom),
            Step::Crash(edge) => self.crash_edge(edge),
            Step::Start(edge) => self.start_edge(edge),
            Step::Heal => {
                self.healed = true;
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
        self.settle_hubs();
        let held: Vec<String> = self
            .tiers
            .iter()
            .filter_map(Tier::holds)
            .chain(self.vault.as_ref().and_then(Vault::holds))
            .collect();
        if let Some(held) = held.first() {
            self.breaks("CON6", format!("a tier still holds {held}"));
        }
        if let Some(stream) = self.origin.streams.keys().next() {
            self.breaks("O1", format!("a fetch was neither read to its end nor cancelled: {stream:?}"));
        }
    }

    /// Shows a fact to every rule.
    pub(super) fn fact(&mut self, what: What) {
        let fact = Fact { at: self.now, what };
        self.tally.facts += 1;
        self.mix_fact(&fact.what);
        if let Err(violation) = self.rules.observe(&fact) {
            self.broken.get_or_insert(violation);
        }
        if self.recent.len() >= self.facts_kept {
            self.recent.pop_front();
        }
        self.recent.push_back(fact);
    }

    /// The world itself saw a rule broken.
    pub(super) fn breaks(&mut self, rule: &'static str, detail: String) {
        self.broken.get_or_insert(Violation { rule, detail });
    }

    pub(super) fn verdict(&mut self) -> Result<(), Violation> {
        self.broken.take().map_or(Ok(()), Err)
    }

    /// When a message sent now arrives.
    pub(super) fn soon(&mut self) -> Instant {
        let longest = self.plan.work.latency;
        let span = up_to(&mut self.chances.network, longest);
        self.now.after(span)
    }

    /// Does this trouble hit here? Never once the world has healed.
    pub(super) fn hits(
        &mut self,
        rate: PerMille,
        trouble: Trouble,
        chance: fn(&mut Chances) -> &mut Random,
    ) -> bool {
        let hit = !self.healed && rate.0 > 0 && chance(&mut self.chances).chance(rate.0, 1_000);
        if hit {
            self.tally.hit(trouble);
        }
        hit
    }

    fn mix(&mut self, bits: u64) {
        self.hash = (self.hash ^ bits).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// Enough of a fact to tell two histories apart; times are mixed in with each step.
    fn mix_fact(&mut self, what: &What) {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        discriminant(what).hash(&mut hasher);
        match what {
            What::Engine { event, .. } => discriminant(event).hash(&mut hasher),
            What::ClientGot { ask, got, .. } => {
                ask.hash(&mut hasher);
                discriminant(got).hash(&mut hasher);
                if let Got::Whole { spans, .. } = got {
                    for span in spans {
                        (span.of, span.offset, span.length).hash(&mut hasher);
                    }
                }
            }
            What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::Published { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Healed
            | What::Settled { .. } => {}
        }
        self.mix(hasher.finish());
    }
}

/// A span between nothing and `longest`, short ones as likely as long ones.
pub(super) fn up_to(random: &mut Random, longest: Duration) -> Duration {
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX).max(2);
    let scale = 1 + random.below(4);
    Duration::from_nanos(1 + random.below(nanos) / (scale * scale))
}
