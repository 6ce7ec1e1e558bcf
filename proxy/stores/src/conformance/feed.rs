//! What every [`PurgeFeed`] promises. What it appends stays behind: each run is another origin.

use super::all;
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};
use tiergate_driver::PurgeFeed;
use tiergate_engine::{
    CacheKey, Prefix, PurgeMode, Selector, Tag, WallTime,
    feed::{FeedEntry, FeedOrigin, Notice, Sequence, Ticket, Trimmed},
};

/// Appenders at once, and how much each appends.
const APPENDERS: u64 = 8;
const TICKETS: u64 = 6;

/// More than one page has, of the stores that we know.
const MANY: u64 = 300;

/// Appends until all that is too old is trimmed.
const TRIMMING_APPENDS_MAX: usize = 100;

/// Runs the whole suite on a feed that keeps what is appended while it runs, and to which nobody else
/// appends. That it tells what it trims is [`what_was_trimmed_is_told`], which needs a hand on its clock.
///
/// # Panics
/// The feed breaks a promise.
pub async fn feed_conformance(feed: &impl PurgeFeed) {
    what_was_appended_is_read(feed).await;
    every_selector_comes_back(feed).await;
    an_append_again_adds_nothing(feed).await;
    pages_follow_each_other(feed).await;
    nothing_appears_behind_what_was_read(feed).await;
}

/// The last that was ever appended, and an origin that no earlier run has had.
async fn begin(feed: &impl PurgeFeed, promise: u64) -> (Sequence, FeedOrigin) {
    let newest = feed.read(Sequence(u64::MAX >> 1)).await.expect("the feed is well").newest;
    (newest, FeedOrigin(u128::from(newest.0) << 64 | u128::from(promise) << 32))
}

fn notice(number: u64) -> Notice {
    let at = WallTime::from_unix_millis(1_700_000_000_000 + number);
    Notice { selector: Selector::Key(CacheKey(u128::from(number))), mode: PurgeMode::Hard, at }
}

async fn append(feed: &impl PurgeFeed, origin: FeedOrigin, ticket: u64, notice: Notice) -> Sequence {
    feed.append(origin, Ticket(ticket), notice).await.expect("the feed is well")
}

/// All that lies behind `after`, by pages that must follow each other, and what was trimmed by the last.
async fn read_on(
    feed: &impl PurgeFeed,
    mut after: Sequence,
) -> (Vec<FeedEntry<Notice>>, Option<Trimmed>, Sequence) {
    let mut read: Vec<FeedEntry<Notice>> = Vec::new();
    loop {
        let page = feed.read(after).await.expect("the feed is well");
        let begin = page.trimmed.map_or(after, |trimmed| trimmed.through.max(after));
        assert!(page.entries.is_sorted_by(|one, next| one.sequence < next.sequence), "{page:?}");
        assert!(page.entries.first().is_none_or(|first| begin < first.sequence), "{page:?}");
        let end = page.entries.last().map_or(begin, |last| last.sequence);
        assert!(end == page.newest || !page.entries.is_empty(), "a page that stops short: {page:?}");
        assert!(end <= page.newest, "something is newer than the newest: {page:?}");
        read.extend(page.entries);
        if end == page.newest {
            return (read, page.trimmed, page.newest);
        }
        after = end;
    }
}

/// Entries are read as they were appended, in the order of their sequences, which rise; `newest` is the last
/// of them, also for who has read all.
pub async fn what_was_appended_is_read(feed: &impl PurgeFeed) {
    let (start, origin) = begin(feed, 1).await;
    let mut wanted = Vec::new();
    for number in 0..5 {
        let (ticket, notice) = (Ticket(number + 1), notice(number));
        let sequence = append(feed, origin, ticket.0, notice.clone()).await;
        let before = wanted.last().map_or(start, |entry: &FeedEntry<Notice>| entry.sequence);
        assert!(before < sequence, "{sequence:?} came after {before:?}");
        wanted.push(FeedEntry { sequence, origin, ticket, notice });
        let (read, _, newest) = read_on(feed, start).await;
        assert_eq!(read, wanted);
        assert_eq!(newest, sequence);
    }
    for (number, entry) in wanted.iter().enumerate() {
        let (read, _, _) = read_on(feed, entry.sequence).await;
        assert_eq!(read, wanted[number + 1..], "behind entry {number}");
    }
}

/// A notice comes back whole, whatever it selects and however.
pub async fn every_selector_comes_back(feed: &impl PurgeFeed) {
    let (start, origin) = begin(feed, 2).await;
    let long = format!("/{}", "p".repeat(4_000));
    let selectors = [
        Selector::Key(CacheKey(u128::from_le_bytes([0xfe; 16]))),
        Selector::Key(CacheKey(0)),
        Selector::Tag(Tag::new("!#$%&'*+-.^_`|~\"\\/:;<=>?@[]{}()").expect("a tag")),
        Selector::Tag(Tag::new(&"t".repeat(1_000)).expect("a tag")),
        Selector::Prefix(Prefix::new("feed.example:8080", "/a?b='%00;--\"").expect("a prefix")),
        Selector::Prefix(Prefix::new("feed.example", &long).expect("a prefix")),
        Selector::All,
    ];
    let mut wanted = Vec::new();
    for (selector, ticket) in selectors.into_iter().zip(1..) {
        let mode = if ticket % 2 == 0 { PurgeMode::Soft } else { PurgeMode::Hard };
        let notice = Notice { selector, mode, at: WallTime::from_unix_millis(ticket) };
        append(feed, origin, ticket, notice.clone()).await;
        wanted.push(notice);
    }
    let (read, _, _) = read_on(feed, start).await;
    assert_eq!(read.into_iter().map(|entry| entry.notice).collect::<Vec<_>>(), wanted);
}

/// What is appended again, by the same origin under the same ticket, gets the sequence that it has, and is
/// not there twice, also when both appends are under way at once. Another origin's ticket is another one.
pub async fn an_append_again_adds_nothing(feed: &impl PurgeFeed) {
    let (start, origin) = begin(feed, 3).await;
    let other = FeedOrigin(origin.0 + 1);
    let first = append(feed, origin, 1, notice(1)).await;
    assert_eq!(append(feed, origin, 1, notice(1)).await, first);
    let second = append(feed, other, 1, notice(2)).await;
    assert_eq!(append(feed, origin, 1, notice(1)).await, first);
    assert_eq!(append(feed, other, 1, notice(2)).await, second);
    let at_once = all((0..6).map(|_| append(feed, origin, 2, notice(3)))).await;
    assert!(at_once.iter().all(|sequence| *sequence == at_once[0]), "{at_once:?}");
    let (read, _, newest) = read_on(feed, start).await;
    let read: Vec<Sequence> = read.iter().map(|entry| entry.sequence).collect();
    assert_eq!(read, [first, second, at_once[0]]);
    assert_eq!(newest, at_once[0]);
}

/// More than fits one answer is read by pages, each behind the last of the one before, with nothing left out
/// and nothing twice.
pub async fn pages_follow_each_other(feed: &impl PurgeFeed) {
    let (start, origin) = begin(feed, 4).await;
    let told = all((1..=MANY).map(|ticket| append(feed, origin, ticket, notice(ticket)))).await;
    let (read, _, newest) = read_on(feed, start).await;
    let mut tickets: Vec<u64> = read.iter().map(|entry| entry.ticket.0).collect();
    for entry in &read {
        let ticket = usize::try_from(entry.ticket.0).expect("they are few");
        assert_eq!(told[ticket - 1], entry.sequence);
        assert_eq!(entry.notice, notice(entry.ticket.0));
    }
    tickets.sort_unstable();
    assert_eq!(tickets, (1..=MANY).collect::<Vec<_>>());
    assert_eq!(Some(newest), told.into_iter().max());
}

/// While many append, whoever reads on from what they have read misses nothing: no entry ever appears behind
/// one that was read, and what was acknowledged before a read is in it.
pub async fn nothing_appears_behind_what_was_read(feed: &impl PurgeFeed) {
    let (start, origin) = begin(feed, 5).await;
    let running = Cell::new(APPENDERS);
    let acknowledged = RefCell::new(Vec::new());
    let appender = async |number: u64| {
        let origin = FeedOrigin(origin.0 + u128::from(number));
        for ticket in 1..=TICKETS {
            let sequence = append(feed, origin, ticket, notice(ticket)).await;
            acknowledged.borrow_mut().push(sequence);
        }
        running.set(running.get() - 1);
    };
    let reader = async || {
        let (mut seen, mut after) = (Vec::new(), start);
        loop {
            let (is_last, before) = (running.get() == 0, acknowledged.borrow().clone());
            let (read, _, newest) = read_on(feed, after).await;
            seen.extend(read.iter().map(|entry| entry.sequence));
            let missed: Vec<_> = before.iter().filter(|sequence| !seen.contains(sequence)).collect();
            assert!(missed.is_empty(), "{missed:?} lie there, and were not read up to {newest:?}");
            after = newest;
            if is_last {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    let (_, seen, other) = tokio::join!(all((0..APPENDERS).map(appender)), reader(), reader());
    let (whole, _, _) = read_on(feed, start).await;
    let whole: Vec<Sequence> = whole.iter().map(|entry| entry.sequence).collect();
    assert_eq!(whole.len() as u64, APPENDERS * TICKETS);
    for seen in [seen, other] {
        assert_eq!(seen, whole, "who read meanwhile saw something else than who reads now");
    }
}

/// What the feed holds no more is told to whoever has not read it: through which entry, and a time that no
/// notice among it is later than. What is not trimmed is still there. `age` makes all that was appended
/// before too old to be kept; the feed may trim it a little with each append that follows.
pub async fn what_was_trimmed_is_told(feed: &impl PurgeFeed, age: impl AsyncFnOnce()) {
    let (start, origin) = begin(feed, 6).await;
    // The latest notice is neither the first nor the last of them.
    let late = notice(0).at.after(Duration::from_secs(60));
    let notices = [notice(1), Notice { at: late, ..notice(2) }, notice(3)];
    let mut old = Vec::new();
    for (notice, ticket) in notices.into_iter().zip(1..) {
        old.push(append(feed, origin, ticket, notice).await);
    }
    age().await;
    let is_old_gone = |trimmed: Option<Trimmed>| trimmed.is_some_and(|trimmed| old[2] <= trimmed.through);
    let mut kept = Vec::new();
    let (mut read, mut trimmed, mut newest);
    loop {
        kept.push(append(feed, origin, 4 + kept.len() as u64, notice(4)).await);
        (read, trimmed, newest) = read_on(feed, start).await;
        if is_old_gone(trimmed) {
            break;
        }
        assert!(kept.len() < TRIMMING_APPENDS_MAX, "what is too old is still there: {trimmed:?}");
    }
    let trimmed = trimmed.expect("the loop ended by it");
    assert_eq!(trimmed.through, old[2], "all that is too old, and no more");
    assert!(late <= trimmed.at, "a notice of {late:?} is gone, and {:?} is told", trimmed.at);
    assert_eq!(read.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), kept);
    let (read, again, same) = read_on(feed, newest).await;
    assert_eq!((read, again, same), (vec![], Some(trimmed), newest));
    let next = append(feed, origin, 1_000, notice(5)).await;
    assert!(newest < next, "sequences begin anew after a trim");
}
