//! What every [`BlobStore`] promises. Each promise removes the blobs that it made, so that the suite can run
//! in a bucket that is used again.

use super::{all, bytes_of};
use bytes::Bytes;
use std::collections::BTreeSet;
use tiergate_driver::{BlobStore, Handle, StoreError};
use tiergate_engine::{ByteCount, CacheKey, RecordId, RecordName, WriterId, durable::BlobName};

/// The shard that the suite's handles are of.
const SHARD: u32 = 3;

/// Longer than any part that a store sends at once, and no multiple of one.
const LARGE: usize = (20 << 20) + 77;

/// Runs the whole suite on a store that holds nothing of what it uses.
///
/// # Panics
/// The store breaks a promise.
pub async fn blob_conformance(store: &impl BlobStore) {
    what_was_finished_is_whole(store).await;
    an_unfinished_upload_is_invisible(store).await;
    a_wrong_length_is_refused_and_leaves_nothing(store).await;
    an_abort_leaves_nothing(store).await;
    a_handle_may_be_used_again(store).await;
    an_open_blob_outlives_its_name_or_says_so(store).await;
    a_range_is_read_from_every_offset(store).await;
    an_empty_body_is_a_body(store).await;
    a_large_body_comes_back(store).await;
    every_name_has_a_place_of_its_own(store).await;
    a_listing_is_in_order_and_ends(store).await;
    a_delete_removes_what_it_names(store).await;
    uploads_at_once_do_not_mix(store).await;
    handles_that_are_not_open_are_refused(store).await;
}

/// One blob of the suite: its names follow from `number`, its body from `number` and `length`.
#[derive(Clone, Copy)]
struct Blob {
    number: u64,
    name: BlobName,
    length: usize,
}

impl Blob {
    fn new(number: u64, length: usize) -> Self {
        let key = CacheKey::of("blobs.example", &format!("/{number}"));
        // All sixteen bytes of a name differ between blobs.
        let name = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Self { number, name: BlobName { key, name: RecordName(name) }, length }
    }

    /// Another blob of the same key.
    fn sibling(self, number: u64, length: usize) -> Self {
        let other = Self::new(number, length);
        Self { name: BlobName { key: self.name.key, name: other.name.name }, ..other }
    }

    fn writer(self) -> Handle<WriterId> {
        Handle { shard: SHARD, id: WriterId(self.number) }
    }

    fn reader(self) -> Handle<RecordId> {
        Handle { shard: SHARD, id: RecordId(self.number) }
    }

    fn body(self) -> Bytes {
        bytes_of(self.number, self.length)
    }

    fn count(self) -> ByteCount {
        ByteCount(self.length as u64)
    }

    /// Begins the upload and appends the body in chunks of `chunk` bytes.
    async fn send(self, store: &impl BlobStore, chunk: usize) {
        assert_eq!(store.begin(self.writer(), self.name).await, Ok(()), "blob {} begins", self.number);
        let mut rest = self.body();
        while !rest.is_empty() {
            let piece = rest.split_to(chunk.min(rest.len()));
            assert_eq!(store.append(self.writer(), piece).await, Ok(()), "blob {} goes on", self.number);
        }
    }

    async fn finish(self, store: &impl BlobStore) {
        assert_eq!(store.finish(self.writer(), self.count()).await, Ok(()), "blob {} ends", self.number);
        store.abort(self.writer());
    }

    async fn store(self, store: &impl BlobStore) {
        self.send(store, 50_000).await;
        self.finish(store).await;
    }

    /// It can be opened and read, whole.
    async fn expect(self, store: &impl BlobStore) {
        assert_eq!(store.open(self.reader(), self.name).await, Ok(Some(self.count())));
        let read = read_all(store, self.reader(), self.length, 70_000).await;
        assert!(read == Ok(self.body().to_vec()), "blob {} has other bytes", self.number);
        store.release(self.reader());
    }

    /// It can be neither opened nor listed.
    async fn expect_absent(self, store: &impl BlobStore) {
        assert_eq!(store.open(self.reader(), self.name).await, Ok(None), "blob {}", self.number);
        store.release(self.reader());
        let listed = list_all(store).await;
        assert!(!listed.contains(&self.name), "blob {} is listed", self.number);
    }

    async fn remove(self, store: &impl BlobStore) {
        assert_eq!(store.delete(self.name).await, Ok(()));
    }
}

/// Everything from byte 0 on, in pieces of at most `piece` bytes.
async fn read_all(
    store: &impl BlobStore,
    handle: Handle<RecordId>,
    length: usize,
    piece: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut read = Vec::new();
    while read.len() < length {
        let bytes = store.read(handle, read.len() as u64, piece).await?;
        assert!(!bytes.is_empty() && bytes.len() as u64 <= piece, "{} bytes of {piece}", bytes.len());
        read.extend_from_slice(&bytes);
    }
    Ok(read)
}

/// All blobs of the store, by pages that must be in order.
async fn list_all(store: &impl BlobStore) -> BTreeSet<BlobName> {
    let mut listed = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.list(after).await.expect("the store is well");
        let Some(last) = page.last() else { return listed };
        assert!(page.is_sorted_by(|one, next| one < next), "a page that is not in order: {page:?}");
        assert!(page.first().copied() > after, "a page that goes back");
        after = Some(*last);
        listed.extend(page);
    }
}

/// A blob that was finished is opened with its length, read whole and listed, and stays so when its upload is
/// closed.
pub async fn what_was_finished_is_whole(store: &impl BlobStore) {
    for (number, length) in [(1, 1), (2, 1_000), (3, 300_000)] {
        let blob = Blob::new(number, length);
        blob.expect_absent(store).await;
        blob.send(store, 10_000).await;
        blob.finish(store).await;
        blob.expect(store).await;
        assert!(list_all(store).await.contains(&blob.name));
        blob.remove(store).await;
    }
}

/// Before it is finished, nothing of an upload is opened or listed, however much of it was sent.
pub async fn an_unfinished_upload_is_invisible(store: &impl BlobStore) {
    for (number, length) in [(10, 0), (11, 1), (12, 1_000_000), (13, LARGE)] {
        let blob = Blob::new(number, length);
        blob.send(store, 777_777).await;
        blob.expect_absent(store).await;
        blob.finish(store).await;
        blob.expect(store).await;
        blob.remove(store).await;
    }
}

/// An upload that is not as long as it is said to be is refused, and nothing of it is left.
pub async fn a_wrong_length_is_refused_and_leaves_nothing(store: &impl BlobStore) {
    for (number, length, said) in [(20, 1_000, 1_001), (21, 1_000, 999), (22, 0, 1), (23, 1, 0)] {
        let blob = Blob::new(number, length);
        blob.send(store, 300).await;
        let finished = store.finish(blob.writer(), ByteCount(said)).await;
        assert!(finished.is_err(), "{length} bytes were finished as {said}");
        store.abort(blob.writer());
        blob.expect_absent(store).await;
    }
}

/// An upload that is called off leaves nothing, whether it had begun, sent something, or all. One that never
/// began can be called off, too; one that was finished stays.
pub async fn an_abort_leaves_nothing(store: &impl BlobStore) {
    let never = Blob::new(30, 10);
    store.abort(never.writer());
    never.expect_absent(store).await;
    for (number, length) in [(31, 0), (32, 100), (33, 1_000_000), (35, LARGE)] {
        let blob = Blob::new(number, length);
        blob.send(store, 90_000).await;
        store.abort(blob.writer());
        store.abort(blob.writer());
        blob.expect_absent(store).await;
        let late = store.finish(blob.writer(), blob.count()).await;
        assert!(late.is_err(), "an upload was finished after it was called off");
        blob.expect_absent(store).await;
    }
    let finished = Blob::new(34, 100);
    finished.store(store).await;
    store.abort(finished.writer());
    finished.expect(store).await;
    finished.remove(store).await;
}

/// A handle that was closed names the next blob and nothing of the one before.
pub async fn a_handle_may_be_used_again(store: &impl BlobStore) {
    let first = Blob::new(36, 1_000);
    first.send(store, 1_000).await;
    store.abort(first.writer());
    let second = Blob { name: Blob::new(37, 0).name, length: 400, ..first };
    second.store(store).await;
    second.expect(store).await;
    first.expect_absent(store).await;
    let third = Blob { name: Blob::new(38, 0).name, length: 300, ..first };
    third.store(store).await;
    third.expect(store).await;
    for blob in [second, third] {
        blob.remove(store).await;
    }
}

/// Who has a blob open reads it to its end although it was deleted meanwhile, or is told that it cannot; no
/// other bytes are read, and no reader waits for ever.
pub async fn an_open_blob_outlives_its_name_or_says_so(store: &impl BlobStore) {
    let blob = Blob::new(40, 3_000_000);
    blob.store(store).await;
    assert_eq!(store.open(blob.reader(), blob.name).await, Ok(Some(blob.count())));
    let first = store.read(blob.reader(), 0, 1_000).await.expect("it is there");
    assert!(blob.body().starts_with(&first));
    blob.remove(store).await;
    // An error says so.
    if let Ok(read) = read_all(store, blob.reader(), blob.length, 1 << 20).await {
        assert!(read == blob.body(), "a deleted blob changed under its reader");
    }
    store.release(blob.reader());
    blob.expect_absent(store).await;
}

/// A read begins at any offset, has at least one byte and at most as many as were asked for, and never goes
/// past the end: there it is an error.
pub async fn a_range_is_read_from_every_offset(store: &impl BlobStore) {
    let blob = Blob::new(50, (1 << 20) + 77);
    blob.store(store).await;
    assert_eq!(store.open(blob.reader(), blob.name).await, Ok(Some(blob.count())));
    let body = blob.body();
    for border in [0, 4_096, 64 << 10, 256 << 10, 1 << 20, body.len()] {
        for offset in [border.saturating_sub(1), border, border + 1] {
            for length_max in [1, 100, 200_000, u64::MAX] {
                let read = store.read(blob.reader(), offset as u64, length_max).await;
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
    let beyond = store.read(blob.reader(), u64::MAX, u64::MAX).await;
    assert!(beyond.is_err(), "a byte past the end: {beyond:?}");
    let (front, back) =
        tokio::join!(store.read(blob.reader(), 0, 5_000), store.read(blob.reader(), 1 << 20, 50));
    assert!(front.is_ok_and(|front| body.starts_with(&front)), "reads beside each other");
    assert!(back.is_ok_and(|back| body[1 << 20..].starts_with(&back)), "reads beside each other");
    store.release(blob.reader());
    blob.remove(store).await;
}

/// A blob without a byte is opened and listed; there is no byte to read in it.
pub async fn an_empty_body_is_a_body(store: &impl BlobStore) {
    let [plain, with_an_empty_chunk] = [Blob::new(60, 0), Blob::new(61, 0)];
    for blob in [plain, with_an_empty_chunk] {
        blob.send(store, 1).await;
        if blob.number == with_an_empty_chunk.number {
            assert_eq!(store.append(blob.writer(), Bytes::new()).await, Ok(()));
        }
        blob.finish(store).await;
        assert_eq!(store.open(blob.reader(), blob.name).await, Ok(Some(ByteCount(0))));
        let read = store.read(blob.reader(), 0, 10).await;
        assert!(read.is_err(), "a byte of nothing: {read:?}");
        store.release(blob.reader());
        assert!(list_all(store).await.contains(&blob.name));
        blob.remove(store).await;
    }
}

/// A body of many parts, sent in chunks of odd sizes, comes back byte for byte.
pub async fn a_large_body_comes_back(store: &impl BlobStore) {
    let blob = Blob::new(70, LARGE);
    assert_eq!(store.begin(blob.writer(), blob.name).await, Ok(()));
    let mut rest = blob.body();
    for chunk in [1, 33_333, 65_536, 7, 1_000_003, 3_000_017].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let piece = rest.split_to(rest.len().min(chunk));
        assert_eq!(store.append(blob.writer(), piece).await, Ok(()));
    }
    blob.finish(store).await;
    blob.expect(store).await;
    blob.remove(store).await;
}

/// Keys and names that hold each value of a byte do not run into each other or into anybody's syntax.
pub async fn every_name_has_a_place_of_its_own(store: &impl BlobStore) {
    let of = |byte: u8, other: u8| BlobName {
        key: CacheKey(u128::from_le_bytes([byte; 16])),
        name: RecordName(u128::from_le_bytes([other; 16])),
    };
    let blobs = (0..=u8::MAX).map(|byte| {
        let number = 1_000 + u64::from(byte);
        Blob { name: of(byte, 255 - byte), ..Blob::new(number, 3 + usize::from(byte)) }
    });
    // Key and name change places.
    let swapped = Blob { name: of(254, 1), ..Blob::new(1_256, 500) };
    let blobs: Vec<Blob> = blobs.filter(|blob| blob.name != swapped.name).chain([swapped]).collect();
    all(blobs.iter().map(|blob| blob.store(store))).await;
    let listed = list_all(store).await;
    for blob in &blobs {
        assert!(listed.contains(&blob.name), "blob {} is not listed", blob.number);
        blob.expect(store).await;
    }
    all(blobs.iter().map(|blob| blob.remove(store))).await;
}

/// Pages come in the order of key and name, each behind the blob that it was asked to begin behind, whether
/// that is there or not, and an empty one ends them. Nothing is left out or told twice.
pub async fn a_listing_is_in_order_and_ends(store: &impl BlobStore) {
    let first = Blob::new(80, 1);
    let others = (81..110).map(|number| match number % 3 {
        0 => first.sibling(number, 1),
        _ => Blob::new(number, 1),
    });
    let blobs: Vec<Blob> = [first].into_iter().chain(others).collect();
    all(blobs.iter().map(|blob| blob.store(store))).await;
    let ours: BTreeSet<BlobName> = blobs.iter().map(|blob| blob.name).collect();
    assert!(ours.is_subset(&list_all(store).await), "a listing leaves something out");
    for name in &ours {
        let next = ours.range((std::ops::Bound::Excluded(*name), std::ops::Bound::Unbounded)).next();
        let page = store.list(Some(*name)).await.expect("the store is well");
        assert!(page.first().is_none_or(|first| *first > *name), "it begins behind what was told");
        let next_told = page.iter().find(|told| ours.contains(told));
        assert!(next_told.is_none() || next_told == next, "behind {name:?} comes {next:?}");
    }
    let (gone, kept) = blobs.split_at(15);
    all(gone.iter().map(|blob| blob.remove(store))).await;
    let listed = list_all(store).await;
    for blob in gone {
        assert!(!listed.contains(&blob.name), "a deleted blob is listed");
        let page = store.list(Some(blob.name)).await.expect("the store is well");
        assert!(page.first().is_none_or(|first| *first > blob.name), "it begins behind one that is gone");
    }
    assert!(kept.iter().all(|blob| listed.contains(&blob.name)), "a listing leaves something out");
    all(kept.iter().map(|blob| blob.remove(store))).await;
    let end = BlobName { key: CacheKey(u128::MAX), name: RecordName(u128::MAX) };
    assert_eq!(store.list(Some(end)).await, Ok(vec![]));
}

/// A deleted blob is gone at once, others of its key are not, and deleting what is not there is fine.
pub async fn a_delete_removes_what_it_names(store: &impl BlobStore) {
    let blob = Blob::new(120, 1_000);
    let sibling = blob.sibling(121, 2_000);
    blob.remove(store).await;
    for blob in [blob, sibling] {
        blob.store(store).await;
    }
    blob.remove(store).await;
    blob.expect_absent(store).await;
    blob.remove(store).await;
    sibling.expect(store).await;
    sibling.remove(store).await;
    sibling.expect_absent(store).await;
}

/// Two uploads at once, of one key, do not mix: each blob has its own bytes, and one that is called off takes
/// nothing from the other.
pub async fn uploads_at_once_do_not_mix(store: &impl BlobStore) {
    let one = Blob::new(130, 700_000);
    let two = one.sibling(131, 700_000);
    let called_off = one.sibling(132, 700_000);
    let blobs = [one, two, called_off];
    for blob in blobs {
        assert_eq!(store.begin(blob.writer(), blob.name).await, Ok(()));
    }
    let bodies = blobs.map(Blob::body);
    for begin in (0..one.length).step_by(70_000) {
        let piece = |body: &Bytes| body.slice(begin..begin + 70_000);
        let sent =
            all(blobs.iter().zip(&bodies).map(|(blob, body)| store.append(blob.writer(), piece(body))));
        assert_eq!(sent.await, [Ok(()), Ok(()), Ok(())]);
    }
    store.abort(called_off.writer());
    tokio::join!(one.finish(store), two.finish(store));
    for blob in [one, two] {
        blob.expect(store).await;
        blob.remove(store).await;
    }
    called_off.expect_absent(store).await;
}

/// Reading, appending and finishing under a handle that is not open is an error, not a panic; closing it is
/// nothing.
pub async fn handles_that_are_not_open_are_refused(store: &impl BlobStore) {
    let blob = Blob::new(140, 10);
    store.release(blob.reader());
    store.abort(blob.writer());
    let refused = [
        store.read(blob.reader(), 0, 10).await.map(drop),
        store.append(blob.writer(), blob.body()).await,
        store.finish(blob.writer(), blob.count()).await,
    ];
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    blob.expect_absent(store).await;
    blob.store(store).await;
    let again = store.finish(blob.writer(), blob.count()).await;
    assert!(again.is_err(), "a closed upload was finished once more");
    blob.expect(store).await;
    let closed = store.read(blob.reader(), 0, 10).await;
    assert!(closed.is_err(), "a closed blob was read");
    blob.remove(store).await;
}
