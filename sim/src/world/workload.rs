//! What the clients of one run will do, all of it drawn before the world starts.

use super::{
    body::LANGUAGES,
    catalogue::{Catalogue, between, percent},
};
use tiergate_engine::{ByteCount, Random, Seed};
use tiergate_scenarios::{
    ADMIN_REQUESTS, Between, Millis, ODD_REQUESTS, Popularity, PurgeOf, Request, Requests, Scenario, Workload,
};
use tiergate_tiers::http_head::Scheme;

/// One request to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Not before this time.
    pub at_ms: u64,
    pub edge: u32,
    pub object: u32,
    /// In which language it wants the body.
    pub language: u8,
    /// Over HTTP/2?
    pub is_http2: bool,
    /// Over TLS?
    pub is_tls: bool,
    /// Does it go to the admin listener?
    pub is_admins: bool,
    /// Is it a purge that every edge is sent at once?
    pub is_everywhere: bool,
    /// What it wants.
    pub wants: Wants,
    /// How its client reads.
    pub reads: Reads,
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The object.
    Body,
    /// Its head.
    Head,
    /// These bytes of it, the first and the last.
    Range(u64, u64),
    /// The object, unless what the client has got last is still right.
    WhatChanged,
    /// To change it.
    Post,
    /// What the odd request with this number says.
    Odd(u8),
    /// What the request with this number says to the admin listener.
    Admin(u8),
    /// To purge it, or what it stands for.
    Purge(PurgeOf),
}

/// What a client does with its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It reads all of it at once.
    AtOnce,
    /// It pauses this long before each piece.
    Slowly { pause_ms: u64 },
    /// It goes away once it has this many bytes.
    UntilItLeaves { after_bytes: u64 },
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

/// The streams of one client: in each, one request after the other.
pub(crate) type Streams = Vec<Vec<Job>>;

/// What every client does.
pub(crate) fn draw(scenario: &Scenario, shape: &Workload, catalogue: &Catalogue, seed: Seed) -> Vec<Streams> {
    match &shape.requests {
        Requests::Drawn(count) => drawn(scenario, shape, *count, catalogue, &mut seed.split("workload")),
        Requests::Given(requests) => given(scenario, requests),
    }
}

/// What a file has request by request. Those without a stream have one each, behind the others.
fn given(scenario: &Scenario, requests: &[Request]) -> Vec<Streams> {
    let mut clients: Vec<Streams> = vec![Vec::new(); scenario.topology.clients as usize];
    for request in requests {
        let streams = &mut clients[request.client as usize];
        let needed = request.stream.map_or(0, |stream| stream as usize + 1);
        streams.resize_with(streams.len().max(needed), Vec::new);
        let job = Job::of(request);
        if let Some(stream) = request.stream {
            streams[stream as usize].push(job);
        }
    }
    for request in requests.iter().filter(|request| request.stream.is_none()) {
        clients[request.client as usize].push(vec![Job::of(request)]);
    }
    for stream in clients.iter_mut().flatten() {
        stream.sort_by_key(|job| job.at_ms);
    }
    clients
}

fn drawn(
    scenario: &Scenario,
    shape: &Workload,
    count: u32,
    catalogue: &Catalogue,
    random: &mut Random,
) -> Vec<Streams> {
    let until_ms = horizon_ms(scenario);
    let popularity = Shares::new(shape.popularity, scenario.objects.count);
    let herds: Vec<Herd> = (0..=count * u32::from(shape.herd_percent) / 100 / HERD_SIZE)
        .map(|_| Herd { at_ms: random.below(until_ms), object: popularity.draw(random) })
        .collect();
    let publications: Vec<(u64, u32)> = catalogue
        .publications()
        .into_iter()
        .filter(|(at_ms, ..)| (1..until_ms).contains(at_ms))
        .map(|(at_ms, object, _)| (at_ms, object))
        .collect();

    let mut clients: Vec<Streams> =
        vec![vec![Vec::new(); shape.streams as usize]; scenario.topology.clients as usize];
    for _ in 0..count {
        let (wants, reads) = habit(scenario, shape, random);
        let (at_ms, object) =
            if matches!(wants, Wants::Purge(_)) && !publications.is_empty() && random.chance(1, 2) {
                // Whoever publishes also purges what changed, a moment later.
                let (at_ms, object) = publications[index(random, publications.len())];
                (at_ms + random.below(30), object)
            } else if percent(random, shape.herd_percent) {
                let herd = &herds[index(random, herds.len())];
                (herd.at_ms + random.below(3), herd.object)
            } else {
                (random.below(until_ms), popularity.draw(random))
            };
        let place = index(random, clients.len() * shape.streams as usize);
        let (client, stream) = (place / shape.streams as usize, place % shape.streams as usize);
        let edge = u32::try_from(random.below(scenario.topology.edges.into())).expect("below a u32");
        let language = u8::try_from(random.below(u64::from(LANGUAGES))).expect("there are three");
        let is_http2 = percent(random, shape.http2_percent);
        let mut job = Job {
            at_ms: BEGIN_MS + at_ms,
            edge,
            object,
            language,
            is_http2,
            is_tls: shape.tls_percent > 0 && percent(random, shape.tls_percent),
            is_admins: shape.admin_percent > 0 && percent(random, shape.admin_percent),
            is_everywhere: matches!(wants, Wants::Purge(_))
                && shape.purge_everywhere_percent > 0
                && percent(random, shape.purge_everywhere_percent),
            wants,
            reads,
        };
        if job.is_admins && !matches!(wants, Wants::Purge(_)) {
            job.wants = Wants::Admin(u8::try_from(index(random, ADMIN_REQUESTS)).expect("some dozens"));
        }
        clients[client][stream].push(job);
    }
    for stream in clients.iter_mut().flatten() {
        stream.sort_by_key(|job| job.at_ms);
    }
    clients
}

impl Job {
    fn of(request: &Request) -> Self {
        let reads = match (request.leaves_after, request.pauses) {
            (Some(after), _) => Reads::UntilItLeaves { after_bytes: after.0 },
            (None, Some(Millis(pause_ms))) => Reads::Slowly { pause_ms },
            (None, None) => Reads::AtOnce,
        };
        let wants = match (request.purge, request.range) {
            (Some(what), _) => Wants::Purge(what),
            (None, Some((first, last))) => Wants::Range(first, last),
            (None, None) if request.odd.is_some() => Wants::Odd(request.odd.unwrap_or_default()),
            (None, None) if request.admin.is_some() => Wants::Admin(request.admin.unwrap_or_default()),
            (None, None) if request.head => Wants::Head,
            (None, None) if request.post => Wants::Post,
            (None, None) if request.conditional => Wants::WhatChanged,
            (None, None) => Wants::Body,
        };
        Self {
            at_ms: request.at.0,
            edge: request.edge,
            object: request.object,
            language: request.language,
            is_http2: request.http2,
            is_tls: request.tls,
            is_admins: request.admin.is_some(),
            is_everywhere: request.everywhere,
            wants,
            reads,
        }
    }

    /// Of its URL.
    pub(crate) const fn scheme(self) -> Scheme {
        if self.is_tls { Scheme::Https } else { Scheme::Http }
    }

    /// The same in letters.
    pub(crate) const fn scheme_name(self) -> &'static str {
        match self.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// Is it an odd one?
    pub(crate) const fn is_odd(self) -> bool {
        matches!(self.wants, Wants::Odd(_))
    }

    /// The same as a file has it.
    pub(crate) fn as_request(self, client: u32, stream: u32) -> Request {
        Request {
            at: Millis(self.at_ms),
            client,
            stream: Some(stream),
            edge: self.edge,
            object: self.object,
            leaves_after: match self.reads {
                Reads::UntilItLeaves { after_bytes } => Some(ByteCount(after_bytes)),
                Reads::AtOnce | Reads::Slowly { .. } => None,
            },
            pauses: match self.reads {
                Reads::Slowly { pause_ms } => Some(Millis(pause_ms)),
                Reads::AtOnce | Reads::UntilItLeaves { .. } => None,
            },
            purge: if let Wants::Purge(what) = self.wants { Some(what) } else { None },
            everywhere: self.is_everywhere,
            head: self.wants == Wants::Head,
            range: if let Wants::Range(first, last) = self.wants { Some((first, last)) } else { None },
            conditional: self.wants == Wants::WhatChanged,
            post: self.wants == Wants::Post,
            odd: if let Wants::Odd(number) = self.wants { Some(number) } else { None },
            admin: match self.wants {
                Wants::Admin(number) => Some(number),
                _ => self.is_admins.then_some(0),
            },
            http2: self.is_http2,
            tls: self.is_tls,
            language: self.language,
        }
    }
}

/// Until when requests begin: somewhat beyond the faults, so that what they left behind is asked for.
pub(crate) fn horizon_ms(scenario: &Scenario) -> u64 {
    scenario.faults_until_ms + scenario.faults_until_ms / 4
}

fn habit(scenario: &Scenario, shape: &Workload, random: &mut Random) -> (Wants, Reads) {
    let most = scenario.objects.size.1.0;
    if percent(random, shape.purge_percent) {
        let what = shape.purges[index(random, shape.purges.len())];
        return (Wants::Purge(what), Reads::AtOnce);
    }
    if percent(random, shape.odd_percent) {
        let number = u8::try_from(index(random, ODD_REQUESTS)).expect("there are some dozens");
        return (Wants::Odd(number), Reads::AtOnce);
    }
    let wants = if percent(random, shape.head_percent) {
        Wants::Head
    } else if percent(random, shape.range_percent) {
        let first = random.below(most + 1);
        Wants::Range(first, first + random.below(most + 1))
    } else if percent(random, shape.conditional_percent) {
        Wants::WhatChanged
    } else if percent(random, shape.post_percent) {
        Wants::Post
    } else {
        Wants::Body
    };
    let reads = if percent(random, shape.leave_percent) {
        Reads::UntilItLeaves { after_bytes: random.below(most + 1) }
    } else if percent(random, shape.slow_percent) {
        Reads::Slowly { pause_ms: between(random, Between(1, 60)) }
    } else {
        Reads::AtOnce
    };
    (wants, reads)
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
