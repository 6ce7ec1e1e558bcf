//! What the clients of one run will do, all of it drawn before the world starts.

use super::catalogue::{Catalogue, between, percent};
use tiergate_engine::Random;
use tiergate_scenarios::{Between, Popularity, Scenario, Workload};

/// One request to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Not before this time.
    pub at_ms: u64,
    pub edge: u32,
    pub object: u32,
    /// What the client is like.
    pub habit: Habit,
}

/// What a client does with its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It reads all of it at once.
    Reads,
    /// It pauses this long before each piece.
    ReadsSlowly { pause_ms: u64 },
    /// It goes away once it has this many bytes.
    Leaves { after_bytes: u64 },
    /// It does not want the object but asks to purge it.
    Purges,
}

/// A moment at which many ask for one object.
struct Herd {
    at_ms: u64,
    object: u32,
}

/// Requests that meet in one herd, on average.
const HERD_SIZE: u32 = 8;

/// Nobody asks earlier: hosts come up within the first ticks, in any order.
const BEGIN_MS: u64 = 10;

/// Draws every stream of every client: `streams` lists for the first client, then for the next.
pub(crate) fn draw(
    scenario: &Scenario,
    shape: &Workload,
    catalogue: &Catalogue,
    random: &mut Random,
) -> Vec<Vec<Job>> {
    let until_ms = horizon_ms(scenario);
    let popularity = Shares::new(shape.popularity, scenario.objects.count);
    let herds: Vec<Herd> = (0..=shape.requests * u32::from(shape.herd_percent) / 100 / HERD_SIZE)
        .map(|_| Herd { at_ms: random.below(until_ms), object: popularity.draw(random) })
        .collect();
    let publications: Vec<(u64, u32)> = catalogue
        .publications()
        .into_iter()
        .filter(|(at_ms, ..)| (1..until_ms).contains(at_ms))
        .map(|(at_ms, object, _)| (at_ms, object))
        .collect();

    let count = scenario.topology.clients * shape.streams;
    let mut streams = vec![Vec::new(); count as usize];
    for _ in 0..shape.requests {
        let habit = habit(scenario, shape, random);
        let (at_ms, object) = if habit == Habit::Purges && !publications.is_empty() && random.chance(1, 2) {
            // Whoever publishes also purges what changed, a moment later.
            let (at_ms, object) = publications[index(random, publications.len())];
            (at_ms + random.below(30), object)
        } else if percent(random, shape.herd_percent) {
            let herd = &herds[index(random, herds.len())];
            (herd.at_ms + random.below(3), herd.object)
        } else {
            (random.below(until_ms), popularity.draw(random))
        };
        let stream = index(random, streams.len());
        streams[stream].push(Job {
            at_ms: BEGIN_MS + at_ms,
            edge: u32::try_from(random.below(scenario.topology.edges.into())).expect("below a u32"),
            object,
            habit,
        });
    }
    for stream in &mut streams {
        stream.sort_by_key(|job| job.at_ms);
    }
    streams
}

/// Until when requests begin: somewhat beyond the faults, so that what they left behind is asked for.
pub(crate) fn horizon_ms(scenario: &Scenario) -> u64 {
    scenario.faults_until_ms + scenario.faults_until_ms / 4
}

fn habit(scenario: &Scenario, shape: &Workload, random: &mut Random) -> Habit {
    let most = scenario.objects.size.1.0;
    if percent(random, shape.purge_percent) {
        Habit::Purges
    } else if percent(random, shape.leave_percent) {
        Habit::Leaves { after_bytes: random.below(most + 1) }
    } else if percent(random, shape.slow_percent) {
        Habit::ReadsSlowly { pause_ms: between(random, Between(1, 60)) }
    } else {
        Habit::Reads
    }
}

fn index(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).expect("below a usize")
}

/// Each object's share of the requests, summed up to it.
struct Shares(Vec<u64>);

impl Shares {
    fn new(popularity: Popularity, count: u32) -> Self {
        let mut sum = 0;
        let shares = (1..=count).map(|rank| {
            sum += match popularity {
                Popularity::Even => 1 << 20,
                // A square root is exact to the last bit on every machine (IEEE 754 section 5.4.1).
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 10485 and 1048576"
                )]
                Popularity::Mild => (f64::from(1 << 20) / f64::from(rank).sqrt()) as u64,
                Popularity::Zipf => (1 << 20) / u64::from(rank),
            };
            sum
        });
        Self(shares.collect())
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let total = *self.0.last().expect("a scenario has at least one object");
        let drawn = random.below(total);
        u32::try_from(self.0.partition_point(|sum| *sum <= drawn)).expect("as many as objects")
    }
}
