//! One world from its beginning to its end: faults until the scenario says so, then healing, then everything
//! must finish.

use super::{
    Order,
    catalogue::Catalogue,
    client,
    disk::{Disk, DiskFault},
    edge,
    log::Log,
    origin,
    schedule::{self, Act},
    shared_tier,
    stage::{EPOCH_S, EdgeSlot, ORIGIN, SHARED_TIER, Stage, client_name, edge_name},
    wire::{Cuts, Link},
    workload,
};
use std::{
    collections::BTreeMap,
    iter::Peekable,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
    vec::IntoIter,
};
use tiergate_engine::{Audit, Config, Fault, Seed};
use tiergate_invariants::{Edge, Violation, What};
use tiergate_scenarios::{Between, FaultKind, Faults, Scenario, Scope, Swarm, Workload};
use turmoil::Sim;

/// Only whole milliseconds agree with the hosts' own clocks.
const TICK: Duration = Duration::from_millis(1);

/// Connections that one host may be asked for within one tick; turmoil panics beyond it.
const CONNECTS_MAX: usize = 1024;

/// One world.
pub(crate) struct World {
    sim: Sim<'static>,
    stage: Arc<Stage>,
    acts: Peekable<IntoIter<(u64, Act)>>,
    /// How many outages lie on each edge.
    edges_down: BTreeMap<u32, u32>,
    /// How many lie on the shared tier.
    shared_tier_down: u32,
    /// How many spells of slowness lie on it.
    shared_tier_slow: u32,
}

impl World {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(order: &Order, log: Arc<Log>) -> Self {
        let scenario = Scenario::clone(&order.scenario);
        let seed = Seed(order.seed);
        let (faults, workload) = swarm(&scenario, seed);
        let horizon_ms = workload::horizon_ms(&scenario);
        let catalogue = Catalogue::draw(&scenario.objects, horizon_ms, &mut seed.split("objects"));
        let streams = workload::draw(&scenario, &workload, &catalogue, &mut seed.split("workload"));
        let acts = schedule::draw(&scenario, &faults, &mut seed.split("faults"));
        for (_, act) in &acts {
            if let Some(kind) = act.begins() {
                log.plan(kind, 1);
            }
        }
        let disks = disks(&scenario, &faults, seed, &log);
        let mut sim = network(&scenario, seed);
        let stage = Arc::new(Stage {
            cache: planted(scenario.cache.clone(), order.plant),
            faults,
            seed,
            cuts: Arc::new(Cuts::new(Arc::clone(&log))),
            log,
            current: Mutex::new(vec![1; scenario.objects.count as usize]),
            catalogue,
            healed: AtomicBool::new(false),
            shared_tier_delay_ms: AtomicU64::new(0),
            shared_tier_slowness_observed: AtomicBool::new(false),
            shared_tier_keys: AtomicU64::new(0),
            disks,
            edges: (0..scenario.topology.edges).map(|_| EdgeSlot::default()).collect(),
            scenario,
            record: order.record.clone(),
        });
        raise_hosts(&mut sim, &stage, streams);
        Self {
            sim,
            stage,
            acts: acts.into_iter().peekable(),
            edges_down: BTreeMap::new(),
            shared_tier_down: 0,
            shared_tier_slow: 0,
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

    /// What its origin serves.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.stage.catalogue
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
        for (number, edge) in (0..).zip(&self.stage.edges) {
            if let Some(open) = edge.audit() {
                self.stage.log.push(What::Settled { edge: Edge(number), open });
            }
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Cut(kind, edge) => self.cut(Link { kind, edge }),
            Act::Mend(kind, edge) => self.mend(Link { kind, edge }),
            Act::StopEdge(edge) => self.stop_edge(edge),
            Act::StartEdge(edge) => self.start_edge(edge),
            Act::Harm(fault, edge) => self.harm(fault, edge),
            Act::Repair(fault, edge) => self.repair(fault, edge),
            Act::Rot { percent, edge } => self.stage.disks[edge as usize].rot(percent),
            Act::StopSharedTier => self.stop_shared_tier(),
            Act::StartSharedTier => self.start_shared_tier(),
            Act::Slow { delay_ms } => {
                self.shared_tier_slow += 1;
                self.stage.log.arm(FaultKind::SharedTierSlow);
                self.stage.shared_tier_slowness_observed.store(false, Ordering::Relaxed);
                self.stage.shared_tier_delay_ms.store(delay_ms, Ordering::Relaxed);
            }
            Act::Quicken => {
                self.shared_tier_slow -= 1;
                if self.shared_tier_slow == 0 {
                    self.stage.shared_tier_delay_ms.store(0, Ordering::Relaxed);
                }
            }
        }
    }

    fn harm(&self, fault: DiskFault, edge: u32) {
        self.stage.disks[edge as usize].begin(fault);
        if fault.kind() == FaultKind::DiskSlow {
            self.stage.log.slow_begins(Edge(edge));
        }
    }

    fn repair(&self, fault: DiskFault, edge: u32) {
        self.stage.disks[edge as usize].end(fault);
        if fault.kind() == FaultKind::DiskSlow {
            self.stage.log.slow_ends(Edge(edge));
        }
    }

    fn cut(&mut self, link: Link) {
        self.stage.log.arm(link.kind);
        if self.stage.cuts.cut(link) {
            self.sim.partition(edge_name(link.edge), far_end(link.kind));
        }
    }

    fn mend(&mut self, link: Link) {
        let is_up = !self.edges_down.contains_key(&link.edge);
        if self.stage.cuts.mend(link) && is_up {
            self.sim.repair(edge_name(link.edge), far_end(link.kind));
        }
    }

    /// Power loss: first nobody hears the edge any more, so that what its remains send while they are torn
    /// down is lost.
    fn stop_edge(&mut self, edge: u32) {
        let outages = self.edges_down.entry(edge).or_default();
        *outages += 1;
        if *outages > 1 {
            return;
        }
        let name = edge_name(edge);
        self.stage.log.arm(FaultKind::EdgeRestarts);
        self.stage.log.fire(FaultKind::EdgeRestarts);
        self.stage.log.push(What::EdgeCrashed { edge: Edge(edge) });
        // At once, so that what its remains do while they are torn down changes nothing on it.
        if let Some(disk) = self.stage.disks.get(edge as usize) {
            disk.lose_power();
        }
        for other in others(&self.stage.scenario, edge) {
            self.sim.partition(name.as_str(), other);
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
            disk.power_on();
        }
        let name = edge_name(edge);
        self.sim.bounce(name.as_str());
        for other in others(&self.stage.scenario, edge) {
            self.sim.repair(name.as_str(), other);
        }
        for kind in [FaultKind::PartitionOrigin, FaultKind::PartitionSharedTier] {
            if self.stage.cuts.is_cut(Link { kind, edge }) {
                self.sim.partition(name.as_str(), far_end(kind));
            }
        }
    }

    /// A killed process: its peers see their connections end.
    fn stop_shared_tier(&mut self) {
        self.shared_tier_down += 1;
        if self.shared_tier_down > 1 {
            return;
        }
        self.stage.log.arm(FaultKind::SharedTierRestarts);
        // Only a store that held something can lose it.
        if self.stage.shared_tier_keys.swap(0, Ordering::Relaxed) > 0 {
            self.stage.log.fire(FaultKind::SharedTierRestarts);
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

/// The host at the other end of a link that this fault cuts.
fn far_end(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::PartitionSharedTier | FaultKind::SharedTierRestarts | FaultKind::SharedTierSlow => {
            SHARED_TIER
        }
        FaultKind::PartitionOrigin
        | FaultKind::OriginStalls
        | FaultKind::OriginTruncates
        | FaultKind::OriginResets
        | FaultKind::EdgeRestarts
        | FaultKind::DiskSlow
        | FaultKind::DiskErrors
        | FaultKind::DiskFull
        | FaultKind::DiskRot
        | FaultKind::DiskSyncFails
        | FaultKind::DiskShortReads => ORIGIN,
    }
}

/// Every host but this edge.
fn others(scenario: &Scenario, edge: u32) -> Vec<String> {
    let edges = (0..scenario.topology.edges).filter(|other| *other != edge).map(edge_name);
    let clients = (0..scenario.topology.clients).map(client_name);
    let tier = scenario.has_shared_tier().then(|| SHARED_TIER.to_owned());
    edges.chain(clients).chain(tier).chain([ORIGIN.to_owned()]).collect()
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
    let (mut faults, mut workload) = (scenario.faults, scenario.workload);
    if scenario.swarm == Swarm::All {
        return (faults, workload);
    }
    let has = |name: &str| seed.split(name).chance(1, 2);
    for kind in FaultKind::ALL {
        if !has(kind.as_str()) {
            faults.forget(kind);
        }
    }
    for (name, percent) in [
        ("herd_percent", &mut workload.herd_percent),
        ("leave_percent", &mut workload.leave_percent),
        ("slow_percent", &mut workload.slow_percent),
        ("purge_percent", &mut workload.purge_percent),
    ] {
        if !has(name) {
            *percent = 0;
        }
    }
    (faults, workload)
}

fn network(scenario: &Scenario, seed: Seed) -> Sim<'static> {
    let mut chance = seed.split("network");
    let Between(least, most) = scenario.latency_ms;
    let least_drawn = least + chance.below(most - least + 1);
    let most_drawn = least_drawn + chance.below(most - least_drawn + 1);
    turmoil::Builder::new()
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S))
        .rng_seed(chance.bits())
        .tick_duration(TICK)
        .tcp_capacity(CONNECTS_MAX)
        .enable_random_order()
        .min_message_latency(Duration::from_millis(least_drawn))
        .max_message_latency(Duration::from_millis(most_drawn))
        // The world ends itself; this is only the net below it.
        .simulation_duration(Duration::from_millis(scenario.settle_ms) + Duration::from_secs(60))
        .build()
}

fn raise_hosts(sim: &mut Sim<'static>, stage: &Arc<Stage>, streams: Vec<Vec<workload::Job>>) {
    let host = Arc::clone(stage);
    sim.host(ORIGIN, move || origin::run(Arc::clone(&host)));
    if stage.scenario.has_shared_tier() {
        let host = Arc::clone(stage);
        sim.host(SHARED_TIER, move || shared_tier::run(Arc::clone(&host)));
    }
    for edge in 0..stage.scenario.topology.edges {
        let host = Arc::clone(stage);
        sim.host(edge_name(edge), move || edge::run(Arc::clone(&host), edge));
    }
    let mut streams = streams.into_iter();
    for client in 0..stage.scenario.topology.clients {
        let own = streams.by_ref().take(stage.scenario.workload.streams as usize).collect();
        sim.client(client_name(client), client::run(Arc::clone(stage), own));
    }
}

/// The configuration with a fault put into the engine on purpose.
fn planted(cache: Config, plant: Option<Fault>) -> Config {
    #[cfg(feature = "plant")]
    if let Some(fault) = plant {
        return cache.with_fault(fault);
    }
    assert!(plant.is_none(), "the command line refuses to plant without the feature `plant`");
    cache
}
