//! Against a real `redis-server`.

use super::*;
use crate::redis_server::{Server, UnixConnect};
use tiergate_engine::{PurgeMode, Selector};
use tiergate_stores::conformance::{feed_conformance, index_conformance};

fn store_of(server: &Server, entries_max: u32) -> RedisStore<UnixConnect> {
    let options = RedisStoreOptions { command_time_max: Duration::from_secs(20), entries_max };
    RedisStore::new(server.connect(), "redis:6379".to_owned(), options)
}

fn notice(number: u64) -> Notice {
    Notice {
        selector: Selector::Key(CacheKey(number.into())),
        mode: PurgeMode::Hard,
        at: WallTime::from_unix_millis(1_000 + number),
    }
}

const EDGE: FeedOrigin = FeedOrigin(7);

async fn append(store: &RedisStore<UnixConnect>, number: u64) -> Sequence {
    store.append(EDGE, Ticket(number), notice(number)).await.expect("redis answers")
}

async fn read(store: &RedisStore<UnixConnect>, after: Sequence) -> FeedPage {
    store.read(after).await.expect("redis answers")
}

fn numbers(page: &FeedPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.ticket.0).collect()
}

/// Entries are read in their order, one behind the other, each once, by whoever shares the server.
#[tokio::test]
async fn what_is_appended_is_read_by_others() {
    let server = Server::start();
    let (one, two) = (store_of(&server, 100), store_of(&server, 100));
    let begin = read(&two, Sequence::START).await;
    assert!(begin.entries.is_empty() && begin.trimmed.is_some(), "what was before is unknown: {begin:?}");
    let sequences = [append(&one, 1).await, append(&two, 2).await, append(&one, 3).await];
    assert!(sequences.is_sorted() && sequences[0] > begin.newest);
    assert_eq!(append(&two, 2).await, sequences[1], "it is there already");
    let page = read(&two, begin.newest).await;
    assert_eq!((numbers(&page), page.newest, page.trimmed), (vec![1, 2, 3], sequences[2], None));
    assert_eq!(page.entries[1].notice, notice(2));
    assert_eq!(numbers(&read(&one, sequences[1]).await), [3]);
    let end = read(&one, sequences[2]).await;
    assert_eq!((end.entries.len(), end.newest), (0, sequences[2]));
}

/// What is too old is trimmed, and whoever has not read it is told so, with a time that none of it is later
/// than.
#[tokio::test]
async fn a_trimmed_log_says_so() {
    let server = Server::start();
    let store = store_of(&server, 2);
    let begin = read(&store, Sequence::START).await.newest;
    let mut sequences = Vec::new();
    for number in [1, 2, 3, 4] {
        sequences.push(append(&store, number).await);
    }
    let page = read(&store, begin).await;
    assert_eq!(numbers(&page), [3, 4]);
    let trimmed = page.trimmed.expect("two entries are gone");
    assert_eq!(trimmed.through, sequences[1]);
    assert!(trimmed.at >= notice(2).at);
    assert_eq!(read(&store, sequences[1]).await.trimmed, None);
}

/// However a log loses anything, whoever has read less than was in it is told that everything is unknown, and
/// sequences go on above those that were lost.
#[tokio::test]
async fn a_lost_log_is_told_as_trimmed() {
    let server = Server::start();
    let losses: [&[&[u8]]; 5] = [
        &[b"FLUSHALL"],
        &[b"DEL", b"tg:{feed}:newest"],
        &[b"DEL", b"tg:{feed}:log"],
        &[b"DEL", b"tg:{feed}:trimmed"],
        &[b"SET", b"tg:{feed}:newest", b"5"],
    ];
    for (number, loss) in (1..).zip(losses) {
        let store = store_of(&server, 100);
        let known = append(&store, 2 * number).await;
        let unread = append(&store, 2 * number + 1).await;
        let _: redis::Value = server.ask(loss);
        let page = read(&store, known).await;
        let trimmed = page.trimmed.unwrap_or_else(|| panic!("{loss:?}: the loss is not told"));
        assert!(trimmed.through >= unread && page.newest >= unread, "{loss:?}: {page:?} after {unread:?}");
        assert!(trimmed.at > notice(2 * number + 1).at, "{loss:?}: {trimmed:?}");
        let next = append(&store, 1_000 + number).await;
        assert_eq!(numbers(&read(&store, page.newest).await), [1_000 + number], "{loss:?}");
        assert!(next > page.newest);
    }
    // Also where somebody appends first.
    let store = store_of(&server, 100);
    let known = append(&store, 51).await;
    append(&store, 52).await;
    let _: redis::Value = server.ask(&[b"FLUSHALL"]);
    let new = append(&store, 53).await;
    let page = read(&store, known).await;
    assert!(page.trimmed.is_some_and(|trimmed| trimmed.through > known && trimmed.through < new), "{page:?}");
    assert_eq!(numbers(&page), [53]);
}

/// A row is written once, changed at its version alone, and keeps every byte.
#[tokio::test]
async fn rows_change_by_compare_and_set() {
    let server = Server::start();
    let store = store_of(&server, 100);
    let key = CacheKey(9);
    let row = |version, value: &[u8]| Row {
        version: Version(version),
        value: Bytes::copy_from_slice(value),
        expires: WallTime::from_unix_millis(4_000_000_000_000),
        droppable: WallTime::from_unix_millis(4_000_000_060_000),
    };
    let every: Vec<u8> = (0..=255).collect();
    let absent = store.get(key).await.expect("redis answers");
    assert!(absent.row.is_none() && absent.now.as_unix_millis() > 1_700_000_000_000);
    assert!(matches!(store.put_new(key, row(1, &every)).await, Ok(Written::Done { .. })));
    assert_eq!(store.put_new(key, row(2, b"x")).await, Ok(Written::Refused));
    assert_eq!(store.cas_update(key, Version(2), row(3, b"x")).await, Ok(Written::Refused));
    assert_eq!(store.get(key).await.expect("redis answers").row, Some(row(1, &every)));
    assert!(matches!(store.cas_update(key, Version(1), row(2, b"")).await, Ok(Written::Done { .. })));
    let later = WallTime::from_unix_millis(4_000_000_090_000);
    store.touch(key, Version(1), later, later).await.expect("another version is no error");
    store.touch(key, Version(2), row(2, b"").expires, later).await.expect("redis answers");
    store
        .touch(key, Version(2), WallTime::from_unix_millis(1), WallTime::from_unix_millis(1))
        .await
        .expect("as above");
    let found = store.get(key).await.expect("redis answers").row;
    assert_eq!(found, Some(Row { droppable: later, ..row(2, b"") }));
    store.delete(key, Version(2)).await.expect("redis answers");
    assert!(store.get(key).await.expect("redis answers").row.is_some(), "it is not droppable yet");
}

/// Redis keeps every promise of an index and of a feed's log.
#[tokio::test]
async fn redis_conforms_as_an_index_and_a_log() {
    let server = Server::start();
    let store = store_of(&server, ENTRIES_MAX);
    index_conformance(&store).await;
    feed_conformance(&store).await;
}
