//! What every [`ByteTier`] promises, as one suite: run on the real tiers here, and on imitated ones by the
//! simulator.
//!
//! Start at [`conformance`]. Each promise is a function of its own; they use different keys, so they may run
//! on one tier in any order. Failures (rot, crashes, an unreachable server) are each tier's own tests. What
//! is kept over a restart beside records is in `bans`.

mod bans;

pub use bans::{KeepsBans, bans_conformance};

use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tiergate_driver::{ByteTier, Found, Handle, TierError};
use tiergate_engine::{
    ByteCount, CacheKey, Fields, Freshening, Head, ReadSource, Record, RecordId, RecordName, StoredFreshness,
    StoredKey, WallTime, WriterId,
};

/// The shard that the suite's handles are of.
const SHARD: u32 = 3;

/// Runs the whole suite on a tier that holds nothing of what it uses.
///
/// # Panics
/// The tier breaks a promise.
pub async fn conformance(tier: &impl ByteTier) {
    tier.join().await;
    what_was_committed_is_read_back(tier).await;
    an_uncommitted_record_is_invisible(tier).await;
    a_discarded_record_is_gone(tier).await;
    a_writer_reads_what_was_acknowledged(tier).await;
    an_open_record_stays_what_it_was(tier).await;
    a_delete_removes_what_it_names(tier).await;
    a_purge_closes_the_writers_before_it(tier).await;
    variants_are_stored_beside_each_other(tier).await;
    a_purge_reaches_every_variant(tier).await;
    a_freshening_changes_the_head_alone(tier).await;
    a_freshening_makes_nothing(tier).await;
    a_late_freshening_changes_nothing(tier).await;
    an_empty_body_is_a_body(tier).await;
    every_key_has_a_place_of_its_own(tier).await;
    a_large_body_comes_back_from_every_offset(tier).await;
    writers_of_one_key_do_not_mix(tier).await;
    a_commit_must_fit_what_was_written(tier).await;
    handles_that_are_not_open_are_refused(tier).await;
}

/// One object of the suite: its ids and keys follow from `number`, its body from `number` and `length`.
#[derive(Clone, Copy)]
struct Object {
    number: u64,
    key: StoredKey,
    length: usize,
}

impl Object {
    fn new(number: u64, length: usize) -> Self {
        Self {
            number,
            key: StoredKey::plain(CacheKey::of("conformance.example", &format!("/{number}"))),
            length,
        }
    }

    /// One variant of the target.
    fn variant(self, number: u64, length: usize) -> Self {
        let key = CacheKey::of("variant.example", &format!("/{number}"));
        Self { number, key: StoredKey { key, ..self.key }, length }
    }

    /// Another version for the same key.
    fn version(self, number: u64, length: usize) -> Self {
        Self { number, length, ..self }
    }

    fn name(self) -> RecordName {
        // All sixteen bytes of a name differ between objects, the first two as well.
        RecordName(u128::from(self.number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    fn writer(self) -> Handle<WriterId> {
        Handle { shard: SHARD, id: WriterId(self.number) }
    }

    fn handle(self) -> Handle<RecordId> {
        Handle { shard: SHARD, id: RecordId(self.number) }
    }

    fn written(self) -> Handle<ReadSource> {
        Handle { shard: SHARD, id: ReadSource::Writer(self.writer().id) }
    }

    fn recorded(self) -> Handle<ReadSource> {
        Handle { shard: SHARD, id: ReadSource::Record(self.handle().id) }
    }

    /// Bytes without a short period, so that no piece passes for another.
    fn body(self) -> Bytes {
        let mut state = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..self.length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    }

    fn record(self) -> Arc<Record> {
        let mut fields = Fields::from_iter([("content-encoding", "gzip"), ("vary", ""), ("vary", "x")]);
        fields.push("x-bytes", &[0x80, b' ', 0xff]);
        Arc::new(Record {
            key: self.key.key,
            target: self.key.target,
            name: self.name(),
            head: Arc::new(Head { status: 203, fields }),
            length: ByteCount(self.length as u64),
            freshness: StoredFreshness {
                as_of: WallTime::from_unix_millis(1_700_000_000_000 + self.number),
                age_then: Duration::from_millis(1_500),
                lifetime: Duration::from_secs(3_600),
            },
        })
    }

    /// The record as a 304 that came this much later leaves it.
    fn freshened(self, later_s: u64) -> Arc<Record> {
        let record = Record::clone(&self.record());
        let mut head = Head::clone(&record.head);
        head.fields.push("x-freshened", later_s.to_string().as_bytes());
        let as_of = record.freshness.as_of.after(Duration::from_secs(later_s));
        let freshness = StoredFreshness { as_of, ..record.freshness };
        Arc::new(Record { head: Arc::new(head), freshness, ..record })
    }

    /// Opens a writer and writes the body in chunks of `chunk` bytes.
    async fn write(self, tier: &impl ByteTier, chunk: usize) {
        let opened = tier.open(self.writer(), self.key, self.name()).await;
        assert_eq!(opened, Ok(()));
        let body = self.body();
        for begin in (0..body.len()).step_by(chunk) {
            let chunk = body.slice(begin..body.len().min(begin + chunk));
            assert_eq!(tier.write(self.writer(), chunk).await, Ok(()));
        }
    }

    async fn store(self, tier: &impl ByteTier) {
        self.write(tier, 50_000).await;
        assert_eq!(tier.commit(self.writer(), self.record()).await, Ok(()));
        tier.discard(self.writer());
    }

    /// Looks up what is current, expects this object, and compares every byte.
    async fn expect(self, tier: &impl ByteTier) {
        self.open(tier, &self.record()).await;
        let body = read_all(tier, self.recorded(), self.length, 70_000).await;
        assert!(body == self.body(), "the body of object {} changed", self.number);
        tier.release(self.handle());
    }

    /// Looks up what is current and expects this record, and this body where the tier brings it along.
    async fn open(self, tier: &impl ByteTier, expected: &Record) {
        let found = tier.lookup(self.handle(), self.key).await;
        let Ok(Some(Found { record, body })) = found else {
            panic!("object {} was not found: {found:?}", self.number);
        };
        assert_eq!(record, *expected);
        assert!(
            body.is_none_or(|body| body == self.body()),
            "another body than {}'s came along",
            self.number
        );
    }

    async fn expect_absent(self, tier: &impl ByteTier) {
        assert_eq!(tier.lookup(self.handle(), self.key).await, Ok(None));
        tier.release(self.handle());
    }
}

/// Reads from byte 0 to `length`, at most `step` bytes at a time.
async fn read_all(tier: &impl ByteTier, source: Handle<ReadSource>, length: usize, step: u64) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < length {
        let piece = tier.read(source, body.len() as u64, step).await;
        let piece = piece.unwrap_or_else(|error| panic!("reading {source:?} at {}: {error}", body.len()));
        assert!((1..=step).contains(&(piece.len() as u64)), "a read of {} bytes", piece.len());
        body.extend_from_slice(&piece);
    }
    assert_eq!(body.len(), length, "reads went past the end");
    body
}

/// A committed record comes back whole: key, name, head, freshness and body.
pub async fn what_was_committed_is_read_back(tier: &impl ByteTier) {
    let object = Object::new(1, 1_000);
    object.expect_absent(tier).await;
    object.store(tier).await;
    object.expect(tier).await;
    object.expect(tier).await;
}

/// Before its commit, a record cannot be looked up, neither by key nor by name; after it, it can.
pub async fn an_uncommitted_record_is_invisible(tier: &impl ByteTier) {
    let object = Object::new(20, 300_000);
    object.write(tier, 100_000).await;
    object.expect_absent(tier).await;
    assert_eq!(tier.commit(object.writer(), object.record()).await, Ok(()));
    tier.discard(object.writer());
    object.expect(tier).await;
}

/// A writer that is discarded leaves nothing to look up, and the record before it stays. Discarding what was
/// never opened does nothing.
pub async fn a_discarded_record_is_gone(tier: &impl ByteTier) {
    let kept = Object::new(30, 10);
    kept.store(tier).await;
    let object = kept.version(31, 300_000);
    object.write(tier, 100_000).await;
    tier.discard(object.writer());
    kept.expect(tier).await;
    let committed = tier.commit(object.writer(), object.record()).await;
    assert!(committed.is_err(), "a discarded writer committed");
    tier.discard(Object::new(32, 0).writer());
}

/// Bytes can be read from a writer as soon as their write was acknowledged, before the commit and after it,
/// and not beyond them.
pub async fn a_writer_reads_what_was_acknowledged(tier: &impl ByteTier) {
    let object = Object::new(40, 700_000);
    assert_eq!(tier.open(object.writer(), object.key, object.name()).await, Ok(()));
    let body = object.body();
    for begin in (0..body.len()).step_by(90_001) {
        let end = body.len().min(begin + 90_001);
        assert_eq!(tier.write(object.writer(), body.slice(begin..end)).await, Ok(()));
        let read = read_all(tier, object.written(), end, 120_000).await;
        assert!(read == body[..end], "the first {end} bytes changed");
        let beyond = tier.read(object.written(), end as u64, 1).await;
        assert!(beyond.is_err(), "a byte was read that was not written: {beyond:?}");
    }
    assert_eq!(tier.commit(object.writer(), object.record()).await, Ok(()));
    let read = read_all(tier, object.written(), body.len(), 120_000).await;
    assert!(read == body, "the body changed with the commit");
    tier.discard(object.writer());
    object.expect(tier).await;
}

/// A record that is open stays the same to its last byte while a newer one takes its place and is deleted
/// (failure T9).
pub async fn an_open_record_stays_what_it_was(tier: &impl ByteTier) {
    let old = Object::new(50, 600_000);
    old.store(tier).await;
    old.open(tier, &old.record()).await;
    let first = tier.read(old.recorded(), 0, 10).await;
    assert_eq!(first, Ok(old.body().slice(..10)));
    let new = old.version(51, 500_000);
    new.store(tier).await;
    new.expect(tier).await;
    assert_eq!(tier.delete(old.key, None).await, Ok(true));
    let read = read_all(tier, old.recorded(), old.length, 70_000).await;
    assert!(read == old.body(), "the open record changed");
    tier.release(old.handle());
}

/// A delete by name removes that record only, a delete without one whatever is current; each says what it
/// saw.
pub async fn a_delete_removes_what_it_names(tier: &impl ByteTier) {
    let object = Object::new(60, 100);
    assert_eq!(tier.delete(object.key, None).await, Ok(false));
    assert_eq!(tier.delete(object.key, Some(object.name())).await, Ok(false));
    object.store(tier).await;
    let other = Object::new(61, 0);
    assert_eq!(tier.delete(object.key, Some(other.name())).await, Ok(false));
    object.expect(tier).await;
    assert_eq!(tier.delete(object.key, Some(object.name())).await, Ok(true));
    object.expect_absent(tier).await;
    assert_eq!(tier.delete(object.key, Some(object.name())).await, Ok(false));

    let again = object.version(62, 200);
    again.store(tier).await;
    assert_eq!(tier.delete(object.key, None).await, Ok(true));
    again.expect_absent(tier).await;
    assert_eq!(tier.delete(object.key, None).await, Ok(false));
    let last = object.version(63, 300);
    last.store(tier).await;
    last.expect(tier).await;
}

/// After a purge of its key, a writer that was opened before publishes nothing, whether it has written all, a
/// part or nothing; what it wrote can still be read from it. A writer that is opened after the purge
/// publishes, and so does one during which a record was deleted by name (failure F1).
pub async fn a_purge_closes_the_writers_before_it(tier: &impl ByteTier) {
    let stored = Object::new(64, 100);
    stored.store(tier).await;
    let lengths = [0, 100, 300_000];
    let before: Vec<Object> =
        (65..).zip(lengths).map(|(number, length)| stored.version(number, length)).collect();
    for object in &before {
        object.write(tier, 50_000).await;
    }
    assert_eq!(tier.delete(stored.key, None).await, Ok(true));
    let after = stored.version(68, 200);
    after.write(tier, 50_000).await;
    for object in &before {
        let committed = tier.commit(object.writer(), object.record()).await;
        assert!(committed.is_err(), "object {} was published after its purge", object.number);
        object.expect_absent(tier).await;
        let read = read_all(tier, object.written(), object.length, 70_000).await;
        assert!(read == object.body(), "writer {} lost what it wrote", object.number);
    }
    assert_eq!(tier.commit(after.writer(), after.record()).await, Ok(()));
    for object in &before {
        tier.discard(object.writer());
    }
    tier.discard(after.writer());
    after.expect(tier).await;

    let newer = stored.version(69, 300);
    newer.write(tier, 50_000).await;
    assert_eq!(tier.delete(after.key, Some(after.name())).await, Ok(true));
    assert_eq!(tier.commit(newer.writer(), newer.record()).await, Ok(()));
    tier.discard(newer.writer());
    newer.expect(tier).await;
}

/// Variants of a target, and what lies under its own key, are each stored, found, superseded and deleted by
/// name alone.
pub async fn variants_are_stored_beside_each_other(tier: &impl ByteTier) {
    let plain = Object::new(200, 10);
    let (one, two) = (plain.variant(201, 300), plain.variant(202, 300_000));
    for object in [plain, one, two] {
        object.store(tier).await;
    }
    for object in [plain, one, two] {
        object.expect(tier).await;
    }
    let newer = one.version(203, 400);
    newer.store(tier).await;
    for object in [plain, newer, two] {
        object.expect(tier).await;
    }
    assert_eq!(tier.delete(newer.key, Some(newer.name())).await, Ok(true));
    newer.expect_absent(tier).await;
    for object in [plain, two] {
        object.expect(tier).await;
    }
}

/// A purge of a target removes every variant of it, and nothing of a variant that was opened before it is
/// published after it; other targets keep theirs (C7, F1).
pub async fn a_purge_reaches_every_variant(tier: &impl ByteTier) {
    let plain = Object::new(210, 10);
    let (one, two) = (plain.variant(211, 300), plain.variant(212, 300_000));
    let other = Object::new(213, 0).variant(214, 10);
    for object in [plain, one, two, other] {
        object.store(tier).await;
    }
    let before = one.version(215, 500);
    before.write(tier, 50_000).await;
    assert_eq!(tier.delete(plain.key, None).await, Ok(true));
    let committed = tier.commit(before.writer(), before.record()).await;
    assert!(committed.is_err(), "a variant was published after its target's purge");
    tier.discard(before.writer());
    for object in [plain, one, two, before] {
        object.expect_absent(tier).await;
        object.expect_absent(tier).await;
    }
    other.expect(tier).await;

    let after = one.version(216, 600);
    after.store(tier).await;
    after.expect(tier).await;
    two.expect_absent(tier).await;
    // Also when nothing lies under the target's own key.
    tier.delete(plain.key, None).await.expect("the tier is well");
    after.expect_absent(tier).await;
}

/// A freshened record has the new head and freshness, and its body as before; who had it open reads on.
pub async fn a_freshening_changes_the_head_alone(tier: &impl ByteTier) {
    for length in [0, 300_000] {
        let object = Object::new(100 + length as u64, length);
        object.store(tier).await;
        object.open(tier, &object.record()).await;
        for later_s in [1, 5] {
            let freshened = object.freshened(later_s);
            assert_eq!(tier.freshen(Arc::clone(&freshened)).await, Ok(Freshening::Done));
            let handle = object.version(object.number + 1, length).handle();
            let found = tier.lookup(handle, object.key).await.map(|found| found.map(|found| found.record));
            assert_eq!(found, Ok(Some((*freshened).clone())));
            let source = Handle { shard: SHARD, id: ReadSource::Record(handle.id) };
            let read = read_all(tier, source, length, 100_000).await;
            assert!(read == object.body(), "the body of {} changed", object.number);
            tier.release(handle);
        }
        let read = read_all(tier, object.recorded(), length, 100_000).await;
        assert!(read == object.body(), "an open record of {} changed", object.number);
        tier.release(object.handle());
    }
}

/// What is not there, was deleted, purged or superseded is not freshened, and does not come back by it
/// (failures F1, F2).
pub async fn a_freshening_makes_nothing(tier: &impl ByteTier) {
    let never = Object::new(110, 100);
    assert_eq!(tier.freshen(never.freshened(1)).await, Ok(Freshening::Absent));
    never.expect_absent(tier).await;
    let [deleted, purged] = [Object::new(111, 100), Object::new(112, 100)];
    for (object, by_name) in [(deleted, Some(deleted.name())), (purged, None)] {
        object.store(tier).await;
        assert_eq!(tier.freshen(object.freshened(1)).await, Ok(Freshening::Done));
        assert_eq!(tier.delete(object.key, by_name).await, Ok(true));
        assert_eq!(tier.freshen(object.freshened(2)).await, Ok(Freshening::Absent));
        object.expect_absent(tier).await;
        object.expect_absent(tier).await;
    }
    // The older one may still be there by its name; what is current is another record's.
    let older = Object::new(113, 100);
    older.store(tier).await;
    let newer = older.version(114, 200);
    newer.store(tier).await;
    let freshened = tier.freshen(older.freshened(1)).await;
    assert!(matches!(freshened, Ok(Freshening::Absent | Freshening::Done)), "{freshened:?}");
    newer.expect(tier).await;
}

/// A freshening that comes late takes nothing from a newer one (failure F3), and one of another body is
/// refused.
pub async fn a_late_freshening_changes_nothing(tier: &impl ByteTier) {
    let object = Object::new(120, 1_000);
    object.store(tier).await;
    let newer = object.freshened(9);
    assert_eq!(tier.freshen(Arc::clone(&newer)).await, Ok(Freshening::Done));
    assert_eq!(tier.freshen(object.freshened(5)).await, Ok(Freshening::Overtaken));
    assert_eq!(tier.freshen(object.record()).await, Ok(Freshening::Overtaken));
    let other = Record { length: ByteCount(1_001), ..(*object.freshened(20)).clone() };
    let refused = tier.freshen(Arc::new(other)).await;
    assert!(refused.is_err(), "{refused:?}");
    object.open(tier, &newer).await;
    tier.release(object.handle());
}

/// A record without a body is found; there is no byte to read in it.
pub async fn an_empty_body_is_a_body(tier: &impl ByteTier) {
    let object = Object::new(70, 0);
    object.store(tier).await;
    object.expect(tier).await;
    object.open(tier, &object.record()).await;
    let read = tier.read(object.recorded(), 0, 10).await;
    assert!(read.is_err(), "a byte of nothing: {read:?}");
    tier.release(object.handle());
}

/// Keys and names that hold each value of a byte do not run into each other or into anybody's syntax.
pub async fn every_key_has_a_place_of_its_own(tier: &impl ByteTier) {
    let objects = (0..=255_u8).map(|byte| Object {
        number: 1_000 + u64::from(byte),
        key: StoredKey::plain(CacheKey(u128::from_le_bytes([byte; 16]))),
        length: 3,
    });
    for object in objects.clone() {
        object.store(tier).await;
    }
    for object in objects {
        object.expect(tier).await;
    }
}

/// A body of many blocks, written in odd chunks, can be read in odd pieces from any offset, and not past its
/// end.
pub async fn a_large_body_comes_back_from_every_offset(tier: &impl ByteTier) {
    let object = Object::new(80, (1 << 20) + 77);
    object.write(tier, 33_333).await;
    assert_eq!(tier.commit(object.writer(), object.record()).await, Ok(()));
    tier.discard(object.writer());
    object.expect(tier).await;
    object.open(tier, &object.record()).await;
    let body = object.body();
    for border in [0, 64 << 10, 256 << 10, 512 << 10, 1 << 20, body.len()] {
        for offset in [border.saturating_sub(1), border, border + 1] {
            for length_max in [1, 100, u64::MAX] {
                let read = tier.read(object.recorded(), offset as u64, length_max).await;
                let rest = body.get(offset..).unwrap_or_default();
                match read {
                    Ok(piece) => {
                        assert!(!piece.is_empty() && piece.len() as u64 <= length_max);
                        assert!(rest.starts_with(&piece), "wrong bytes at {offset}");
                    }
                    Err(error) => assert!(rest.is_empty(), "at {offset}: {error}"),
                }
            }
        }
    }
    let beyond = tier.read(object.recorded(), u64::MAX, u64::MAX).await;
    assert!(beyond.is_err(), "a byte past the end: {beyond:?}");
    tier.release(object.handle());
}

/// Writers of one key at once do not mix: each reads its own bytes, and the last commit wins whole (failure
/// T2). One that began before, and whose record is older than what was committed meanwhile, may be refused
/// (failure F3): then that stays.
pub async fn writers_of_one_key_do_not_mix(tier: &impl ByteTier) {
    let one = Object::new(90, 400_000);
    let (late, two) = (one.version(89, 200), one.version(91, 400_000));
    for object in [late, one, two] {
        let opened = tier.open(object.writer(), object.key, object.name()).await;
        assert_eq!(opened, Ok(()));
    }
    assert_eq!(tier.write(late.writer(), late.body()).await, Ok(()));
    let (body_one, body_two) = (one.body(), two.body());
    for begin in (0..one.length).step_by(80_000) {
        let chunk = begin..begin + 80_000;
        let (first, second) = tokio::join!(
            tier.write(one.writer(), body_one.slice(chunk.clone())),
            tier.write(two.writer(), body_two.slice(chunk)),
        );
        assert_eq!((first, second), (Ok(()), Ok(())));
    }
    for object in [one, two] {
        let read = read_all(tier, object.written(), object.length, 99_999).await;
        assert!(read == object.body(), "writer {} has other bytes", object.number);
    }
    for object in [one, two] {
        assert_eq!(tier.commit(object.writer(), object.record()).await, Ok(()));
        object.expect(tier).await;
    }
    let last = match tier.commit(late.writer(), late.record()).await {
        Ok(()) => late,
        Err(_) => two,
    };
    last.expect(tier).await;
    for object in [late, one, two] {
        tier.discard(object.writer());
    }
    last.expect(tier).await;
}

/// A record that says another length than was written is not committed, and nothing of it is seen (failure
/// T7).
pub async fn a_commit_must_fit_what_was_written(tier: &impl ByteTier) {
    let object = Object::new(95, 1_000);
    object.write(tier, 1_000).await;
    let longer = object.version(object.number, 1_001);
    let committed = tier.commit(object.writer(), longer.record()).await;
    assert!(committed.is_err(), "1000 bytes were committed as 1001");
    tier.discard(object.writer());
    object.expect_absent(tier).await;
}

/// Reading, writing and committing under a handle that is not open is an error, not a panic; releasing it is
/// nothing.
pub async fn handles_that_are_not_open_are_refused(tier: &impl ByteTier) {
    let object = Object::new(99, 10);
    tier.release(object.handle());
    tier.discard(object.writer());
    let refused: [Result<(), TierError>; 4] = [
        tier.read(object.recorded(), 0, 10).await.map(drop),
        tier.read(object.written(), 0, 10).await.map(drop),
        tier.write(object.writer(), object.body()).await,
        tier.commit(object.writer(), object.record()).await,
    ];
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
}
