//! One short exchange for each clause of the contract, as it should be and broken.

use super::*;
use std::sync::Arc;
use tiergate_engine::{
    Answer, ByteCount, End, Fields, Head, Length, Method, OriginFailure, OriginId, Outcome, Record,
    RecordName, Refusal, Reply, RequestHead, StoredFreshness, StoredKey, Symbol, WallTime,
};

const OP: OpId = OpId(1);
const LATER: OpId = OpId(2);
const FILL: FillId = FillId(7);
const REQUEST: RequestId = RequestId(3);
const WRITER: WriterId = WriterId(4);
const RECORD: RecordId = RecordId(5);
const KEY: StoredKey = StoredKey { target: CacheKey(1), key: CacheKey(1) };
const TIER: TierId = TierId::L2;
const BYTE: Symbol = Symbol { object: 1, version: 1, offset: 0, size: 1 };

/// An exchange: each line passes, but for the last of a broken one.
struct Exchange(Contract);

impl Exchange {
    /// With a local tier that has joined.
    fn new() -> Self {
        let mut exchange = Self(Contract::default());
        exchange.tell(joined()).unwrap();
        exchange
    }

    fn tell(&mut self, input: Input<Symbol>) -> Result<(), String> {
        let told = self.0.on_input(Instant::ZERO, &input).map_err(|violation| violation.detail);
        self.0.on_drained();
        told
    }

    fn hear(&mut self, effect: Effect<Symbol>) -> Result<(), String> {
        self.0.on_effect(&effect).map_err(|violation| violation.detail)
    }
}

fn joined() -> Input<Symbol> {
    Input::TierJoined { tier: TIER, objects: 0, bytes: ByteCount::ZERO }
}

fn request() -> Input<Symbol> {
    let head = RequestHead {
        method: Method::Get,
        authority: "site.example".into(),
        target: "/".into(),
        fields: Fields::new(),
    };
    Input::Request { request: REQUEST, key: KEY.key, origin: OriginId(0), head: Arc::new(head) }
}

fn streamed() -> Effect<Symbol> {
    let reply = Reply {
        head: Arc::new(Head { status: 200, fields: Fields::new() }),
        length: Length::Unknown,
        age: core::time::Duration::ZERO,
        fresh_for: core::time::Duration::ZERO,
        outcome: Outcome::Hit { tier: TIER },
        body: ReplyBody::Streamed,
    };
    Effect::Serve { request: REQUEST, reply }
}

fn pull(op: OpId) -> Effect<Symbol> {
    Effect::Pull { op, fill: FILL }
}

fn body() -> Effect<Symbol> {
    Effect::Body { request: REQUEST, chunk: BYTE }
}

fn open() -> Effect<Symbol> {
    Effect::Open { op: OP, tier: TIER, writer: WRITER, key: KEY, name: RecordName(1) }
}

fn write(op: OpId) -> Effect<Symbol> {
    Effect::Write { op, tier: TIER, writer: WRITER, chunk: BYTE }
}

fn lookup() -> Effect<Symbol> {
    Effect::Lookup { op: OP, tier: TIER, record: RECORD, key: KEY }
}

fn read() -> Effect<Symbol> {
    Effect::Read { op: LATER, tier: TIER, source: ReadSource::Record(RECORD), offset: 0, length_max: 1 }
}

/// Asked, served, demanded, sent, finished; looked up, absent; opened, written, discarded: nothing is open
/// then.
#[test]
fn a_whole_exchange_passes() {
    let mut exchange = Exchange::new();
    exchange.tell(request()).unwrap();
    exchange.hear(lookup()).unwrap();
    exchange.tell(Answer::Absent.to(OP)).unwrap();
    exchange.hear(streamed()).unwrap();
    exchange.tell(Input::Demand { request: REQUEST }).unwrap();
    exchange.hear(body()).unwrap();
    exchange.hear(Effect::Finish { request: REQUEST, end: End::Complete }).unwrap();
    exchange.hear(pull(LATER)).unwrap();
    exchange.tell(Answer::PullEnded.to(LATER)).unwrap();
    assert_eq!(exchange.0.on_end(), Ok(()));
}

/// An answer that comes twice, to nothing, or of another kind.
#[test]
fn each_effect_is_answered_once_and_fittingly() {
    let mut exchange = Exchange::new();
    assert!(exchange.tell(Answer::Absent.to(OP)).unwrap_err().contains("never asked"));
    exchange.hear(pull(OP)).unwrap();
    assert!(exchange.tell(Answer::Absent.to(OP)).unwrap_err().contains("does not answer"));
    exchange.hear(pull(LATER)).unwrap();
    exchange.tell(Answer::PullEnded.to(LATER)).unwrap();
    assert!(exchange.tell(Answer::PullEnded.to(LATER)).unwrap_err().contains("answered before"));
}

/// An effect without an answer at the end, unless its fetch was cancelled.
#[test]
fn what_was_never_answered_is_named() {
    let mut exchange = Exchange::new();
    exchange.hear(pull(OP)).unwrap();
    assert!(exchange.0.on_end().unwrap_err().detail.contains("never answered"));
    exchange.hear(Effect::Cancel { fill: FILL }).unwrap();
    assert_eq!(exchange.0.on_end(), Ok(()));
    assert!(exchange.hear(Effect::Cancel { fill: FILL }).is_err());
}

/// Time that goes back, an input before the drain, recovery after a request, a name used twice.
#[test]
fn the_driver_s_part_is_checked() {
    let mut contract = Contract::default();
    let wake = Input::<Symbol>::Wake;
    contract.on_input(Instant::from_nanos(5), &wake).unwrap();
    assert!(contract.on_input(Instant::from_nanos(5), &wake).is_err(), "not drained");
    contract.on_drained();
    assert!(contract.on_input(Instant::from_nanos(4), &wake).is_err(), "time went back");

    let mut exchange = Exchange::new();
    exchange.tell(Input::WallClock { wall: WallTime::from_unix_millis(1) }).unwrap();
    exchange.tell(Input::Recovered { tier: TIER, bans: Vec::new() }).unwrap();
    exchange.tell(request()).unwrap();
    assert!(exchange.tell(request()).is_err(), "a name used twice");
    assert!(exchange.tell(Input::Recovered { tier: TIER, bans: Vec::new() }).is_err());
}

/// A demand before the response, and two at a time.
#[test]
fn a_client_demands_one_chunk_at_a_time() {
    let mut exchange = Exchange::new();
    exchange.tell(request()).unwrap();
    assert!(exchange.tell(Input::Demand { request: REQUEST }).is_err());
    exchange.hear(streamed()).unwrap();
    exchange.tell(Input::Demand { request: REQUEST }).unwrap();
    assert!(exchange.tell(Input::Demand { request: REQUEST }).is_err());
}

/// Two beginnings, a chunk that nobody demanded, two ends, and anything after the client left.
#[test]
fn a_response_begins_and_ends_once() {
    let mut exchange = Exchange::new();
    exchange.tell(request()).unwrap();
    exchange.hear(streamed()).unwrap();
    assert!(exchange.hear(streamed()).is_err(), "begins twice");
    assert!(exchange.hear(body()).is_err(), "not demanded");

    let mut exchange = Exchange::new();
    exchange.tell(request()).unwrap();
    let refusal = Refusal::Origin(OriginFailure::Broken);
    exchange.hear(Effect::Refuse { request: REQUEST, refusal }).unwrap();
    assert!(exchange.hear(Effect::Refuse { request: REQUEST, refusal }).is_err(), "ends twice");

    let mut exchange = Exchange::new();
    exchange.tell(request()).unwrap();
    exchange.hear(streamed()).unwrap();
    exchange.tell(Input::Leave { request: REQUEST }).unwrap();
    assert!(exchange.hear(Effect::Finish { request: REQUEST, end: End::Complete }).is_err(), "it left");
}

/// A write before the open was answered, one beside another, one after a failure; and a writer that is left
/// open.
#[test]
fn writers_make_one_call_at_a_time() {
    let mut exchange = Exchange::new();
    exchange.hear(open()).unwrap();
    assert!(exchange.hear(write(LATER)).is_err(), "not open yet");

    let mut exchange = Exchange::new();
    exchange.hear(open()).unwrap();
    exchange.tell(Answer::Opened.to(OP)).unwrap();
    exchange.hear(write(LATER)).unwrap();
    assert!(exchange.hear(write(OpId(3))).is_err(), "one is under way");

    let mut exchange = Exchange::new();
    exchange.hear(open()).unwrap();
    exchange.tell(Answer::WriteFailed.to(OP)).unwrap();
    assert!(exchange.hear(write(LATER)).is_err(), "it failed");
    assert!(exchange.0.on_end().unwrap_err().detail.contains("never discarded"));
    exchange.hear(Effect::Discard { tier: TIER, writer: WRITER }).unwrap();
    assert_eq!(exchange.0.on_end(), Ok(()));
}

/// A read before the lookup was answered or after the release, and a second release.
#[test]
fn records_are_read_while_they_are_open() {
    let mut exchange = Exchange::new();
    exchange.hear(lookup()).unwrap();
    assert!(exchange.hear(read()).is_err(), "not found yet");
    exchange.hear(Effect::Release { tier: TIER, record: RECORD }).unwrap();
    exchange.tell(Answer::LookupFailed.to(OP)).unwrap();
    assert!(exchange.hear(read()).is_err(), "released");
    assert!(exchange.hear(Effect::Release { tier: TIER, record: RECORD }).is_err(), "released twice");
}

/// What a silent store was asked counts as answered, but what it may still open is to be released.
#[test]
fn what_a_silent_store_may_open_is_released() {
    let mut exchange = Exchange::new();
    exchange.hear(lookup()).unwrap();
    assert!(exchange.0.on_end().unwrap_err().detail.contains("never answered"));
    exchange.0.on_silence(OP);
    assert!(exchange.0.on_end().unwrap_err().detail.contains("never released"));
    exchange.hear(Effect::Release { tier: TIER, record: RECORD }).unwrap();
    assert_eq!(exchange.0.on_end(), Ok(()));
    assert!(exchange.tell(Answer::LookupFailed.to(OP)).is_err(), "it was said never to come");
}

/// A lookup or a new record in a local tier before it has joined, and a second joining.
#[test]
fn a_local_tier_is_asked_once_it_has_joined() {
    for effect in [lookup(), open()] {
        let mut contract = Contract::default();
        assert!(contract.on_effect(&effect).is_err(), "{effect:?}");
    }
    assert!(Exchange::new().tell(joined()).is_err());
}

/// An id that was minted before.
#[test]
fn ids_are_minted_once() {
    let mut exchange = Exchange::new();
    exchange.hear(pull(LATER)).unwrap();
    assert!(exchange.hear(pull(OP)).is_err());
    assert!(exchange.hear(pull(LATER)).is_err());
}

/// A purge of a key waits for what a tier is just publishing of it, and for nothing else.
#[test]
fn a_purge_that_does_not_wait_for_a_commit_is_named() {
    let record = Record {
        key: KEY.key,
        target: KEY.target,
        name: RecordName(1),
        head: Arc::new(Head { status: 200, fields: Fields::new() }),
        length: ByteCount(0),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(0),
            age_then: core::time::Duration::ZERO,
            lifetime: core::time::Duration::ZERO,
        },
    };
    let record = Arc::new(record);
    for (key, is_answered, passes) in
        [(KEY.target, true, true), (KEY.target, false, false), (CacheKey(2), false, true)]
    {
        let mut exchange = Exchange::new();
        exchange.hear(open()).unwrap();
        exchange.tell(Answer::Opened.to(OP)).unwrap();
        let commit = Effect::Commit { op: LATER, tier: TIER, writer: WRITER, record: Arc::clone(&record) };
        exchange.hear(commit).unwrap();
        let (purge, mode) = (PurgeId(1), PurgeMode::Hard);
        exchange.tell(Input::Purge { purge, selector: Selector::Key(key), mode }).unwrap();
        if is_answered {
            exchange.tell(Answer::Committed.to(LATER)).unwrap();
        }
        let done = exchange.hear(Effect::PurgeDone { purge, report: Vec::new() });
        assert_eq!(done.is_ok(), passes, "{key} {is_answered}: {done:?}");
    }
}

/// Only what was just told of is adopted, and once.
#[test]
fn only_what_was_told_of_is_adopted() {
    let Input::Request { key, origin, head: request, .. } = request() else { unreachable!("it is one") };
    let response = Arc::new(Head { status: 200, fields: Fields::new() });
    let (purge, sent) = (PurgeId(1), (Instant::ZERO, WallTime::default()));
    let told = Input::AnsweredAround { purge, key, origin, request, response, sent };
    let adopts = || Effect::Adopt { fill: FILL };
    let mut exchange = Exchange::new();
    assert!(exchange.hear(adopts()).is_err());
    exchange.tell(told.clone()).unwrap();
    exchange.hear(adopts()).unwrap();
    assert!(exchange.hear(adopts()).is_err());
    assert!(exchange.tell(told).is_err(), "the purge has a name of its own");
    exchange.tell(Input::Wake).unwrap();
    assert!(exchange.hear(adopts()).is_err());
}
