//! The process is killed under load, again and again, and every answer after that must be right.
//!
//! Bodies prove themselves: each is drawn from its object's number and version. The origin knows the newest
//! version of each object; a purge raises it first, and once the purge was acknowledged, no older version may
//! be served by this process or a later one. `KILL_ROUNDS=200 cargo test -p tiergate --test server kill` runs
//! more rounds than the test command does.

use crate::harness::{Asked, End, Origin, Response, Server, Site, respond};
use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};
use tiergate_engine::{Random, Seed};

const ROUNDS: u64 = 10;
const OBJECTS: u64 = 60;
const GROUPS: u64 = 6;
const CLIENTS: u64 = 4;
/// Answers that are read in a round before the process is killed, at least and at most.
const ANSWERS: (u64, u64) = (20, 250);
const CACHE: &str = "cache: { l0: null, l2: { capacity: 32MiB } }\n";

/// What the origin and the clients know of each object.
struct Truth {
    /// The version that the origin has.
    newest: Vec<AtomicU64>,
    /// The oldest that may still be served.
    oldest: Vec<AtomicU64>,
    /// Answers that were read in this round.
    answers: AtomicU64,
    is_killed: AtomicBool,
}

/// From a few bytes to more than a block of the log.
fn size(object: u64) -> usize {
    let mut random = Seed(object).split("size");
    let most = [300, 5_000, 70_000, 1_200_000][usize::try_from(object % 4).expect("below four")];
    usize::try_from(random.below(most)).expect("it is small")
}

fn body(object: u64, version: u64) -> Vec<u8> {
    let mut body = format!("{object} {version}\n").into_bytes();
    let mut random = Seed(object << 32 | version).split("body");
    let length = body.len() + size(object);
    while body.len() < length {
        body.extend_from_slice(&random.bits().to_le_bytes());
    }
    body.truncate(length);
    body
}

/// The version that a body says it is of.
fn version(object: u64, body: &[u8]) -> Option<u64> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    let (number, version) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (number == object.to_string()).then(|| version.parse().ok())?
}

impl Truth {
    fn new() -> Self {
        let versions = || (0..OBJECTS).map(|_| AtomicU64::new(1)).collect();
        Self {
            newest: versions(),
            oldest: versions(),
            answers: AtomicU64::new(0),
            is_killed: AtomicBool::new(false),
        }
    }

    fn answer(&self, asked: &Asked, stream: &mut TcpStream) {
        let object: u64 = asked.target[1..].parse().expect("clients ask for numbers");
        let version = self.newest[object as usize].load(Ordering::SeqCst);
        let body = body(object, version);
        let fields = format!("Cache-Control: max-age=36000\r\nSurrogate-Key: g{}\r\n", object % GROUPS);
        respond(stream, &fields, body.len(), &body);
    }

    /// Is this an answer that may be given to a question that came when `oldest` was the oldest version
    /// allowed?
    fn judge(&self, object: u64, oldest: u64, response: &Response) {
        assert_eq!(response.head.status, 200, "object {object}: {response:?}");
        let status = response.cache_status();
        let found = version(object, &response.body);
        let found = found.unwrap_or_else(|| panic!("object {object} has another's body: {status}"));
        assert!(response.body == body(object, found), "object {object} is not whole: {status}");
        assert!(found >= oldest, "object {object} of version {found} was purged up to {oldest}: {status}");
    }

    /// Asks for an object. Says what came, unless the process was killed meanwhile.
    fn get(&self, server: &Server, object: u64) -> Option<Response> {
        let oldest = self.oldest[object as usize].load(Ordering::SeqCst);
        let response = server.try_request("GET", &format!("/{object}"), "");
        match response {
            Some(response) if response.end == End::Whole => {
                self.judge(object, oldest, &response);
                Some(response)
            }
            Some(_) | None => {
                assert!(self.is_killed.load(Ordering::SeqCst), "a living server broke off object {object}");
                None
            }
        }
    }

    /// Purges an object, or all of a group. Only what was acknowledged counts.
    fn purge(&self, server: &Server, object: u64, more: &str) {
        let group = (0..OBJECTS).filter(|other| other % GROUPS == object % GROUPS);
        let objects: Vec<u64> = if more.is_empty() { vec![object] } else { group.collect() };
        let raised: Vec<u64> = objects
            .iter()
            .map(|object| self.newest[*object as usize].fetch_add(1, Ordering::SeqCst) + 1)
            .collect();
        let Some(response) = server.try_request("PURGE", &format!("/{object}"), more) else { return };
        let said = String::from_utf8_lossy(&response.body).into_owned();
        if response.end == End::Whole && response.head.status == 200 && !said.contains("failed") {
            for (object, version) in objects.iter().zip(raised) {
                self.oldest[*object as usize].fetch_max(version, Ordering::SeqCst);
            }
        }
    }

    fn load(&self, server: &Server, mut random: Random) {
        while !self.is_killed.load(Ordering::SeqCst) {
            let object = random.below(OBJECTS);
            match random.below(40) {
                0 => self.purge(server, object, &format!("Surrogate-Key: g{}\r\n", object % GROUPS)),
                1..4 => self.purge(server, object, ""),
                _ => drop(self.get(server, object)),
            }
            self.answers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// One life of the process. Says how many objects it found on its disk.
fn live(site: &Site, config: &str, truth: &Arc<Truth>, random: &mut Random) -> u64 {
    let server = site.start(config);
    truth.is_killed.store(false, Ordering::SeqCst);
    truth.answers.store(0, Ordering::SeqCst);
    let mut hits = 0;
    for object in 0..OBJECTS {
        let response = truth.get(&server, object).expect("nobody has killed it yet");
        hits += u64::from(response.cache_status().ends_with("detail=l2"));
    }
    let answers = ANSWERS.0 + random.below(ANSWERS.1 - ANSWERS.0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (truth, server) = (Arc::clone(truth), &server);
                let random = Seed(random.bits() ^ client).split("client");
                scope.spawn(move || truth.load(server, random))
            })
            .collect();
        // A client that found a fault has ended.
        while truth.answers.load(Ordering::SeqCst) < answers
            && clients.iter().all(|client| !client.is_finished())
        {
            thread::yield_now();
        }
        truth.is_killed.store(true, Ordering::SeqCst);
        server.signal("KILL");
    });
    assert_eq!(server.wait().code(), None, "it was killed");
    hits
}

/// Ten times, or as often as `KILL_ROUNDS` says: bodies are whole and of a version that was not purged, and
/// the disk is found again.
#[test]
fn kill_under_load_never_shows() {
    let rounds = std::env::var("KILL_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("KILL_ROUNDS is a number"));
    let truth = Arc::new(Truth::new());
    let origin = {
        let truth = Arc::clone(&truth);
        Origin::start(move |asked, stream| truth.answer(asked, stream))
    };
    let site = Site::new();
    let mut random = Seed(2_026).split("kill");
    let mut hits = 0;
    for round in 0..rounds {
        let io = if round % 2 == 0 { "auto" } else { "pool" };
        let config = site.config(origin.address, &format!("io: {io}"), CACHE);
        let found = live(&site, &config, &truth, &mut random);
        assert!(round > 0 || found == 0, "nothing was stored before");
        hits += found;
    }
    assert!(hits > 0, "no object was found after a restart, so nothing was shown");
    println!("{rounds} rounds, {hits} hits of {} after a restart", (rounds - 1) * OBJECTS);
}
