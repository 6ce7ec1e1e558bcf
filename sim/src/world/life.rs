//! One world from its beginning to its end: faults until the scenario says so, then healing, then everything
//! must finish.

use super::{
    Order,
    catalogue::Catalogue,
    client,
    disk::Disk,
    edge,
    links::{Between, Condition, Links, Trouble},
    log::{Log, Telling},
    origin,
    planted::Planted,
    schedule::{self, Act, Episode},
    shared_tier::{self, StoreFaults},
    stage::{EPOCH_S, EdgeSlot, ORIGIN, SHARED_TIER, Stage, client_name, edge_name},
    workload,
};
use std::{
    collections::BTreeMap,
    iter::Peekable,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
    vec::IntoIter,
};
use tiergate_engine::{Audit, ByteCount, Config, Fault, Seed};
use tiergate_invariants::{Edge, Violation, What};
use tiergate_scenarios::{self as scenarios, FaultKind, Faults, Link, Scenario, Scope, Swarm, Workload};
use tiergate_stores::MemoryBlobs;
use turmoil::Sim;

/// Only whole milliseconds agree with the hosts' own clocks.
const TICK: Duration = Duration::from_millis(1);

/// Connections that one host may be asked for within one tick; turmoil panics beyond it.
const CONNECTS_MAX: usize = 1024;

/// What a seed has drawn before its world began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawn {
    /// What each client does.
    pub clients: Vec<workload::Streams>,
    /// The faults that come at a moment.
    pub episodes: Vec<Episode>,
    /// The kinds of faults that it has, and those that befall answers and operations.
    pub faults: Faults,
}

/// One world.
pub(crate) struct World {
    sim: Sim<'static>,
    stage: Arc<Stage>,
    acts: Peekable<IntoIter<(u64, Act)>>,
    /// How many outages lie on each edge.
    edges_down: BTreeMap<u32, u32>,
    /// How many lie on the shared tier.
    shared_tier_down: u32,
    /// The range of latencies that the seed has drawn.
    latency: [Duration; 2],
    /// What the clients do.
    streams: Vec<workload::Streams>,
}

impl World {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(order: &Order, log: &Arc<Log>) -> Self {
        let scenario = Scenario::clone(&order.scenario);
        let seed = Seed(order.seed);
        let (faults, workload) = swarm(&scenario, seed);
        let horizon_ms = workload::horizon_ms(&scenario);
        let catalogue = Catalogue::draw(&scenario.objects, scenario.has_tls(), horizon_ms, seed);
        let streams = workload::draw(&scenario, &workload, &catalogue, seed);
        let episodes = schedule::draw(&scenario, &faults, seed);
        for episode in &episodes {
            log.plan(episode.kind, 1);
        }
        let acts = schedule::acts(&episodes);
        let disks = disks(&scenario, &faults, seed, log);
        let (mut sim, latency) = network(&scenario, seed);
        let stage = Arc::new(Stage {
            plant: order.plant,
            cache: planted(scenario.cache.clone(), order.plant.and_then(Planted::in_engine)),
            faults,
            seed,
            episodes,
            links: Arc::new(Links::new(Arc::clone(log), seed)),
            blobs: MemoryBlobs::new(),
            store_faults: StoreFaults::new(seed, Arc::clone(log)),
            log: Arc::clone(log),
            current: Mutex::new(vec![1; scenario.objects.count as usize]),
            catalogue,
            healed: AtomicBool::new(false),
            disks,
            edges: (0..scenario.topology.edges).map(|_| EdgeSlot::default()).collect(),
            scenario,
            record: order.record.clone(),
        });
        raise_hosts(&mut sim, &stage, &streams);
        Self {
            sim,
            stage,
            acts: acts.into_iter().peekable(),
            edges_down: BTreeMap::new(),
            shared_tier_down: 0,
            latency,
            streams,
        }
    }

    /// Ticks until everything has come to its end, a rule is broken, or `settle_ms` is over.
    ///
    /// # Errors
    /// A host ended with an error.
    pub(crate) fn live(&mut self) -> turmoil::Result {
        let faults_until = Duration::from_millis(self.stage.scenario.faults_until_ms);
        let settle = Duration::from_millis(self.stage.scenario.settle_ms);
        loop {
            let now = self.elapsed();
            self.stage.log.set_now(now);
            while let Some((_, act)) = self.acts.next_if(|(at_ms, _)| Duration::from_millis(*at_ms) <= now) {
                self.act(act);
            }
            if now >= faults_until && !self.stage.is_healed() {
                self.stage.healed.store(true, Ordering::Relaxed);
                for disk in &self.stage.disks {
                    disk.heal();
                }
                self.stage.store_faults.heal();
                self.stage.log.push(What::Healed);
            }
            let clients_are_done = self.sim.step()?;
            if self.stage.log.is_broken() {
                return Ok(());
            }
            if clients_are_done && self.stage.is_healed() && self.is_quiet() {
                break;
            }
            if now >= settle {
                if !clients_are_done {
                    self.stage.log.fail(Violation {
                        rule: "CON6",
                        detail: "a client still waits when everything should have ended".to_owned(),
                    });
                }
                break;
            }
        }
        self.settle();
        Ok(())
    }

    /// Fails a world that broke no rule and yet is not as its scenario expects each to be.
    pub(crate) fn expect(&self) {
        let unexpected = self.stage.log.figures().unexpected(&self.stage.scenario.expect, Scope::EachSeed);
        if let Some(detail) = unexpected.into_iter().next() {
            self.stage.log.fail(Violation { rule: "expect", detail });
        }
    }

    /// What is told of it.
    pub(crate) fn telling(&self, order: &Order) -> Telling<'_> {
        Telling {
            scenario: &self.stage.scenario,
            names: &self.stage.catalogue,
            episodes: &self.stage.episodes,
            facts: order.facts,
            tells: order.tells,
        }
    }

    /// What its seed has drawn.
    pub(crate) fn drawn(&self) -> Drawn {
        Drawn {
            clients: self.streams.clone(),
            episodes: self.stage.episodes.clone(),
            faults: self.stage.faults.clone(),
        }
    }

    /// How long it has lived.
    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    fn is_quiet(&self) -> bool {
        self.stage.edges.iter().all(|edge| edge.audit() == Some(Audit::default()))
    }

    /// Tells what each edge still holds open.
    fn settle(&self) {
        self.stage.log.end();
        for (number, edge) in (0..).zip(&self.stage.edges) {
            self.stage.check_access_log(number, true);
            if let Some(open) = edge.audit() {
                self.stage.log.push(What::Settled { edge: Edge(number), open });
            }
        }
    }

    fn act(&mut self, act: Act) {
        let stage = Arc::clone(&self.stage);
        match act {
            Act::Begin(number) => self.begin(number, &stage.episodes[number]),
            Act::End(number) => self.end(number, &stage.episodes[number]),
        }
    }

    fn begin(&mut self, number: usize, episode: &Episode) {
        if let Some((between, trouble)) = episode.trouble() {
            self.stage.log.arm(episode.kind);
            let condition = self.stage.links.begin(between, number, episode.kind, trouble);
            self.apply(between, condition);
            return;
        }
        let edge = episode.edge.unwrap_or(0);
        if episode.kind == FaultKind::EdgePauses {
            self.stage.log.arm(episode.kind);
            self.stage.edges[edge as usize].pause(episode.to_ms);
            for link in links(&self.stage.scenario) {
                let between = Between { edge, link };
                let condition = self.stage.links.begin(between, number, episode.kind, Trouble::Hold);
                self.apply(between, condition);
            }
            return;
        }
        if let Some(fault) = episode.disk_fault() {
            self.stage.disks[edge as usize].begin(fault);
            if episode.kind == FaultKind::DiskSlow {
                self.stage.log.slow_begins(Edge(edge));
            }
            return;
        }
        if episode.kind == FaultKind::DiskRot {
            self.stage.disks[edge as usize].rot(episode.percent);
            return;
        }
        self.stage.log.arm(episode.kind);
        match episode.kind {
            FaultKind::EdgeRestarts | FaultKind::EdgeRedeploys => self.stop_edge(number, edge, episode),
            FaultKind::ClockAhead | FaultKind::ClockBack => {
                let sign = if episode.kind == FaultKind::ClockAhead { 1 } else { -1 };
                let by_ms = i64::try_from(episode.amount).expect("at most a minute");
                self.stage.edges[edge as usize].jump(sign * by_ms);
                self.stage.log.fire_episode(episode.kind, number);
            }
            FaultKind::SharedTierRestarts => self.stop_shared_tier(number),
            kind => self.stage.store_faults.begin(number, kind, episode.amount, episode.percent),
        }
    }

    fn end(&mut self, number: usize, episode: &Episode) {
        if let Some((between, _)) = episode.trouble() {
            let condition = self.stage.links.end(between, number);
            self.apply(between, condition);
            return;
        }
        let edge = episode.edge.unwrap_or(0);
        if episode.kind == FaultKind::EdgePauses {
            for link in links(&self.stage.scenario) {
                let between = Between { edge, link };
                let condition = self.stage.links.end(between, number);
                self.apply(between, condition);
            }
            return;
        }
        if let Some(fault) = episode.disk_fault() {
            self.stage.disks[edge as usize].end(fault);
            if episode.kind == FaultKind::DiskSlow {
                self.stage.log.slow_ends(Edge(edge));
            }
            return;
        }
        match episode.kind {
            FaultKind::EdgeRestarts | FaultKind::EdgeRedeploys => self.start_edge(edge),
            FaultKind::SharedTierRestarts => self.start_shared_tier(),
            _ => self.stage.store_faults.end(number),
        }
    }

    /// Makes the network as the links of an edge are.
    fn apply(&self, between: Between, condition: Condition) {
        let is_down = self.edges_down.contains_key(&between.edge);
        let [least, most] = self.latency.map(|latency| latency + Duration::from_millis(condition.delay_ms));
        let edge = edge_name(between.edge);
        for far in far_ends(&self.stage.scenario, between.link) {
            let (edge, far) = (edge.as_str(), far.as_str());
            self.sim.set_link_latency(edge, far, least);
            self.sim.set_link_max_message_latency(edge, far, most);
            // Either makes both ways whole before some are cut.
            if condition.is_held {
                self.sim.hold(edge, far)
            } else {
                self.sim.release(edge, far)
            }
            if condition.is_cut_out || is_down {
                self.sim.partition_oneway(edge, far);
            }
            if condition.is_cut_in || is_down {
                self.sim.partition_oneway(far, edge);
            }
        }
    }

    /// First nobody hears the edge any more, so that what its remains send while they are torn down is lost.
    fn stop_edge(&mut self, number: usize, edge: u32, episode: &Episode) {
        let outages = self.edges_down.entry(edge).or_default();
        *outages += 1;
        if *outages > 1 {
            return;
        }
        let name = edge_name(edge);
        self.stage.log.fire_episode(episode.kind, number);
        self.stage.log.push(What::EdgeCrashed { edge: Edge(edge) });
        // At once, so that what its remains do while they are torn down changes nothing on it.
        if let Some(disk) = self.stage.disks.get(edge as usize) {
            if episode.kind == FaultKind::EdgeRestarts {
                disk.lose_power();
            } else {
                disk.end_use();
            }
        }
        if episode.kind == FaultKind::EdgeRedeploys && episode.amount > 0 {
            self.stage.edges[edge as usize].give(ByteCount(episode.amount));
        }
        for far in links(&self.stage.scenario).flat_map(|link| far_ends(&self.stage.scenario, link)) {
            self.sim.partition(name.as_str(), far);
        }
        self.stage.edges[edge as usize].stop();
        self.sim.crash(name);
    }

    fn start_edge(&mut self, edge: u32) {
        let Some(outages) = self.edges_down.get_mut(&edge) else {
            return;
        };
        *outages -= 1;
        if *outages > 0 {
            return;
        }
        self.edges_down.remove(&edge);
        if let Some(disk) = self.stage.disks.get(edge as usize) {
            disk.start();
        }
        let name = edge_name(edge);
        self.sim.bounce(name.as_str());
        for link in links(&self.stage.scenario) {
            let between = Between { edge, link };
            self.apply(between, self.stage.links.condition(between));
        }
    }

    /// A killed process: its peers see their connections end.
    fn stop_shared_tier(&mut self, number: usize) {
        self.shared_tier_down += 1;
        if self.shared_tier_down > 1 {
            return;
        }
        // Only a store that held something can lose it.
        if self.stage.store_faults.forget_keys() > 0 {
            self.stage.log.fire_episode(FaultKind::SharedTierRestarts, number);
        }
        self.sim.crash(SHARED_TIER);
    }

    fn start_shared_tier(&mut self) {
        self.shared_tier_down -= 1;
        if self.shared_tier_down == 0 {
            self.sim.bounce(SHARED_TIER);
        }
    }
}

impl Drop for World {
    /// Drivers are let go while their hosts still stand.
    fn drop(&mut self) {
        for edge in &self.stage.edges {
            edge.stop();
        }
    }
}

/// The links that an edge has.
fn links(scenario: &Scenario) -> impl Iterator<Item = Link> {
    let store = scenario.has_store().then_some(Link::SharedTier);
    [Link::Origin, Link::Clients].into_iter().chain(store)
}

/// The hosts at the other end of a link.
fn far_ends(scenario: &Scenario, link: Link) -> Vec<String> {
    match link {
        Link::Origin => vec![ORIGIN.to_owned()],
        Link::SharedTier => vec![SHARED_TIER.to_owned()],
        Link::Clients => (0..scenario.topology.clients).map(client_name).collect(),
    }
}

/// A disk for each edge, if they have some.
fn disks(scenario: &Scenario, faults: &Faults, seed: Seed, log: &Arc<Log>) -> Vec<Arc<Disk>> {
    let disk = |edge| {
        let name = format!("disk of edge {edge}");
        Arc::new(Disk::new(&name, seed, scenario.disk.latency_ms, faults, Arc::clone(log)))
    };
    let edges = if scenario.has_disks() { scenario.topology.edges } else { 0 };
    (0..edges).map(disk).collect()
}

/// Which faults and habits this seed has. Each is drawn by its own name: a new one moves none of the others.
fn swarm(scenario: &Scenario, seed: Seed) -> (Faults, Workload) {
    let (mut faults, mut workload) = (scenario.faults.clone(), scenario.workload.clone());
    if scenario.swarm == Swarm::All {
        return (faults, workload);
    }
    let has = |name: &str| seed.split(name).chance(1, 2);
    for kind in FaultKind::ALL {
        if !has(kind.as_str()) {
            faults.forget(kind);
        }
    }
    for (name, _) in scenario.workload.percents() {
        if !has(name) {
            workload.forget(name);
        }
    }
    (faults, workload)
}

fn network(scenario: &Scenario, seed: Seed) -> (Sim<'static>, [Duration; 2]) {
    let mut chance = seed.split("network");
    let scenarios::Between(least, most) = scenario.latency_ms;
    let least_drawn = least + chance.below(most - least + 1);
    let most_drawn = least_drawn + chance.below(most - least_drawn + 1);
    let latency = [least_drawn, most_drawn].map(Duration::from_millis);
    let sim = turmoil::Builder::new()
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S))
        .rng_seed(chance.bits())
        .tick_duration(TICK)
        .tcp_capacity(CONNECTS_MAX)
        .enable_random_order()
        .min_message_latency(latency[0])
        .max_message_latency(latency[1])
        // The world ends itself; this is only the net below it.
        .simulation_duration(Duration::from_millis(scenario.settle_ms) + Duration::from_secs(60))
        .build();
    (sim, latency)
}

fn raise_hosts(sim: &mut Sim<'static>, stage: &Arc<Stage>, streams: &[workload::Streams]) {
    let host = Arc::clone(stage);
    sim.host(ORIGIN, move || origin::run(Arc::clone(&host)));
    if stage.scenario.has_store() {
        let host = Arc::clone(stage);
        sim.host(SHARED_TIER, move || shared_tier::run(Arc::clone(&host)));
    }
    for edge in 0..stage.scenario.topology.edges {
        let host = Arc::clone(stage);
        sim.host(edge_name(edge), move || edge::run(Arc::clone(&host), edge));
    }
    for (client, own) in (0..).zip(streams) {
        sim.client(client_name(client), client::run(Arc::clone(stage), own.clone()));
    }
}

/// The configuration with a fault put into the engine on purpose.
pub(super) fn planted(cache: Config, plant: Option<Fault>) -> Config {
    #[cfg(feature = "plant")]
    if let Some(fault) = plant {
        return cache.with_fault(fault);
    }
    assert!(plant.is_none(), "the command line refuses to plant without the feature `plant`");
    cache
}
