//! The tap: one shard's events, shown to the rules of `invariants/` while the server runs.
//!
//! The rules that simulation checks in every world are checked here in the real one, as far as they need no
//! more than events and bounded memory. They run on a thread of their own: a shard only puts a copy of each
//! event into a bounded queue. A tap that cannot keep up has lost sight of its shard and ends; the server
//! does not wait for it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};
use tiergate_engine::{ByteCount, Event, Instant, RawConfig, RequestEvent};
use tiergate_invariants::{
    Breakers, DroppedLanes, Edge, ExactAccounts, Fact, Gates, Invariant, Retries, UnderGate, What,
};

/// Events that may wait to be checked.
const QUEUE_MAX: usize = 1 << 16;

/// How long the rules rest once they have seen all there is. A thread that waited for each event would be
/// woken for most of them, and waking it costs the shard more than the event.
const REST: Duration = Duration::from_millis(10);

/// How late a timer may be on a machine that is busy.
const TIMER_LATE_MAX: Duration = Duration::from_secs(60);

/// What a tap has seen, for the log.
#[derive(Debug, Default)]
pub struct TapCounts {
    checked: AtomicU64,
    is_blind: AtomicBool,
    broken: Mutex<BTreeMap<&'static str, u64>>,
}

impl TapCounts {
    /// Events that were shown to every rule.
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// Has it ended, because events came faster than they could be checked?
    pub fn is_blind(&self) -> bool {
        self.is_blind.load(Ordering::Relaxed)
    }

    /// How often each rule was broken, by its id. A rule that was broken is not checked further: what it
    /// knows is no longer so.
    pub fn broken(&self) -> BTreeMap<&'static str, u64> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One shard's tap.
#[derive(Debug)]
pub struct Tap {
    shard: u32,
    /// Was anything asked for? Before that nobody waits, and recovery may tell more than the queue holds.
    has_begun: AtomicBool,
    events: SyncSender<(Instant, Event)>,
    counts: Arc<TapCounts>,
}

impl Tap {
    /// Watches a shard that runs on this configuration, from its beginning. Its thread ends with the tap.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn start(shard: u32, config: &RawConfig) -> io::Result<Self> {
        let (tap, check, waiting) = Self::new(shard, config, QUEUE_MAX);
        thread::Builder::new().name("tap".to_owned()).spawn(move || check.run(&waiting, REST))?;
        Ok(tap)
    }

    fn new(shard: u32, config: &RawConfig, queue: usize) -> (Self, Check, Receiver<(Instant, Event)>) {
        let (events, waiting) = sync_channel(queue);
        let counts = Arc::new(TapCounts::default());
        let check = Check::new(shard, config, Arc::clone(&counts));
        (Self { shard, has_begun: AtomicBool::new(false), events, counts }, check, waiting)
    }

    /// Shows it an event. Never waits, once something was asked for.
    pub fn show(&self, shard: u32, now: Instant, event: &Event) {
        if shard != self.shard || self.counts.is_blind() {
            return;
        }
        if matches!(event, Event::Request(RequestEvent::Requested { .. })) {
            self.has_begun.store(true, Ordering::Relaxed);
        }
        let seen = if self.has_begun.load(Ordering::Relaxed) {
            self.events.try_send((now, *event)).is_ok()
        } else {
            self.events.send((now, *event)).is_ok()
        };
        if !seen {
            self.counts.is_blind.store(true, Ordering::Relaxed);
            tracing::warn!(
                shard,
                "the tap could not keep up with its shard: its rules are no longer checked"
            );
        }
    }

    /// What it has seen.
    pub fn counts(&self) -> &Arc<TapCounts> {
        &self.counts
    }
}

/// The other end.
struct Check {
    shard: u32,
    rules: Vec<Box<dyn Invariant>>,
    counts: Arc<TapCounts>,
}

impl Check {
    fn new(shard: u32, config: &RawConfig, counts: Arc<TapCounts>) -> Self {
        let l0 = config.l0.as_ref().map_or(ByteCount::ZERO, |tier| tier.gate);
        let l1 = config.l1.as_ref().map_or(ByteCount::ZERO, |tier| tier.gate);
        let half_open_max =
            Duration::from_millis(config.resilience.breaker.probe_ms_max.into()) * 2 + TIMER_LATE_MAX;
        let rules: Vec<Box<dyn Invariant>> = vec![
            Box::new(UnderGate::new(Gates { l0, l1 })),
            Box::new(DroppedLanes::default()),
            Box::new(ExactAccounts::of_sums()),
            Box::new(Breakers::new(half_open_max)),
            Box::new(Retries::new(config.resilience.retry)),
        ];
        let mut check = Self { shard, rules, counts };
        check.observe(&Fact { at: Instant::ZERO, what: What::EdgeStarted { edge: Edge(0) } });
        check
    }

    fn run(mut self, waiting: &Receiver<(Instant, Event)>, rest: Duration) {
        while let Ok(first) = waiting.recv() {
            for (at, event) in std::iter::once(first).chain(waiting.try_iter()) {
                if self.counts.is_blind() {
                    return;
                }
                self.observe(&Fact { at, what: What::Engine { edge: Edge(0), shard: self.shard, event } });
                self.counts.checked.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(rest);
        }
    }

    fn observe(&mut self, fact: &Fact) {
        let (shard, counts) = (self.shard, &self.counts);
        self.rules.retain_mut(|rule| match rule.observe(fact) {
            Ok(()) => true,
            Err(violation) => {
                tracing::error!(shard, %violation, "a rule is broken; please report this, with a `recording` if there is one");
                let mut broken = counts.broken.lock().unwrap_or_else(PoisonError::into_inner);
                *broken.entry(violation.rule).or_default() += 1;
                false
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiergate_engine::{CacheKey, RequestId, ResidenceEvent, TierId};

    const KEY: CacheKey = CacheKey(1);

    fn stored(tier: TierId, length: u64) -> Event {
        let length = ByteCount(length);
        ResidenceEvent::Stored {
            tier,
            key: KEY,
            name: None,
            length,
            size: length,
            age: Duration::ZERO,
            from: None,
        }
        .into()
    }

    /// Shows events to a tap of a small L0, and lets it check them all.
    fn watch(events: &[Event]) -> (u64, BTreeMap<&'static str, u64>) {
        let (tap, check, waiting) = Tap::new(0, &RawConfig::default(), QUEUE_MAX);
        for event in events {
            tap.show(0, Instant::ZERO, event);
            tap.show(1, Instant::ZERO, event);
        }
        let counts = Arc::clone(tap.counts());
        drop(tap);
        check.run(&waiting, Duration::ZERO);
        (counts.checked(), counts.broken())
    }

    /// What holds is counted; what does not is counted by its rule, once, and the other rules go on.
    #[test]
    fn a_broken_rule_is_counted_and_the_others_go_on() {
        let asked = Event::Request(RequestEvent::Requested { request: RequestId(1), key: KEY });
        assert_eq!(watch(&[stored(TierId::L0, 5), asked]), (2, BTreeMap::new()));
        let huge = stored(TierId::L0, 3 << 20);
        let resident = Event::Residence(ResidenceEvent::Resident {
            tier: TierId::L0,
            bytes: ByteCount(1),
            objects: 1,
            capacity: ByteCount::UNLIMITED,
        });
        let (checked, broken) = watch(&[huge, huge, asked, huge, resident]);
        assert_eq!((checked, broken), (5, BTreeMap::from([("M1", 1), ("M4", 1), ("M5", 1)])));
    }

    /// A tap that is shown more than it can take lets go, and nobody waits for it.
    #[test]
    fn a_tap_that_falls_behind_ends() {
        let (tap, check, waiting) = Tap::new(0, &RawConfig::default(), 1);
        let asked = Event::Request(RequestEvent::Requested { request: RequestId(1), key: KEY });
        tap.show(0, Instant::ZERO, &asked);
        assert!(!tap.counts().is_blind());
        tap.show(0, Instant::ZERO, &asked);
        assert!(tap.counts().is_blind());
        check.run(&waiting, Duration::ZERO);
        assert_eq!(tap.counts().checked(), 0);
    }
}
