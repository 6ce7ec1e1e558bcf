//! Readers of a fill in progress: from byte 0, each at its own pace, inside a bounded window.

use crate::rig::{Rig, l0_only, object, with_disk};
use std::time::Duration;
use tiergate_engine::{
    AbortReason, ByteCount, CopyEvent, End, Event, LaneEnd, OnAbandon, RawConfig, RawFill, RawSharedTier,
    RequestEvent, ResidenceEvent, Symbol, TierId,
};

const WINDOW: u64 = 64 << 10;

fn narrow(mut raw: RawConfig) -> RawConfig {
    raw.fill = RawFill { window: ByteCount(WINDOW), ..raw.fill };
    raw.l0 = None;
    raw
}

fn whole(size: u64) -> Option<Symbol> {
    Some(Symbol { object: object("/big"), version: 1, offset: 0, size })
}

/// Without a tier to read back from, the slowest reader sets the pace, and memory stays inside the window.
#[test]
fn the_slowest_reader_sets_the_pace_without_a_tier() {
    let mut rig = Rig::new(narrow(l0_only()));
    let fast = rig.get("/big");
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 20 * WINDOW, 8 << 10);
    rig.end("/big");
    assert_eq!(rig.client(fast).received(), WINDOW);
    assert_eq!(rig.engine.audit().window_bytes, WINDOW);
    while rig.client(slow).end.is_none() {
        rig.demand(slow);
    }
    assert_eq!(rig.client(slow).span(), whole(20 * WINDOW));
    assert_eq!(rig.client(fast).span(), whole(20 * WINDOW));
    rig.assert_idle();
}

/// A reader without company has no more in memory than what is on its way, however slow it is; one that comes
/// while the beginning is there makes the window grow, and its leaving makes it shrink again.
#[test]
fn a_window_grows_for_company_only() {
    let mut raw = l0_only();
    raw.fill = RawFill { window: ByteCount(4 * WINDOW), ..raw.fill };
    raw.l0 = None;
    let mut rig = Rig::new(raw);
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 20 * WINDOW, 8 << 10);
    assert_eq!(rig.engine.audit().window_bytes, WINDOW / 2);
    let fast = rig.get("/big");
    rig.send("/big", 20 * WINDOW, 8 << 10);
    assert_eq!(rig.client(fast).received(), 4 * WINDOW);
    assert_eq!(rig.engine.audit().window_bytes, 4 * WINDOW);
    rig.leave(fast);
    while rig.client(slow).received() < 8 * WINDOW {
        rig.demand(slow);
    }
    assert_eq!(rig.engine.audit().window_bytes, WINDOW / 2);
    rig.leave(slow);
    rig.assert_idle();
}

/// With a disk below, a reader alone has no more in memory than one read would bring back, unless it waits
/// for the disk: what does is there for one who comes now, who then reads it and fetches nothing.
#[test]
fn what_waits_for_a_tier_can_still_be_joined() {
    let mut raw = with_disk();
    raw.fill = RawFill { window: ByteCount(16 * WINDOW), read_size: ByteCount(2 * WINDOW), ..raw.fill };
    raw.l0 = None;
    let mut rig = Rig::new(raw.clone());
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 20 * WINDOW, 8 << 10);
    let held = rig.engine.audit().window_bytes;
    assert!((2 * WINDOW - (8 << 10)..=2 * WINDOW).contains(&held), "{held}");
    rig.end("/big");
    rig.leave(slow);
    rig.assert_idle();

    let mut rig = Rig::new(raw);
    let first = rig.get("/big");
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 4 * WINDOW, 8 << 10);
    assert_eq!(rig.client(first).received(), 4 * WINDOW, "the disk holds nobody back yet");
    let late = rig.get("/big");
    assert_eq!(rig.client(late).received(), 4 * WINDOW);
    assert_eq!(rig.asked.len(), 1);
}

/// All windows together have one budget. Beyond it nobody's grows, and nobody is stopped either.
#[test]
fn windows_share_a_budget() {
    let mut raw = l0_only();
    raw.fill = RawFill { window: ByteCount(16 * WINDOW), memory: ByteCount(6 * WINDOW), ..raw.fill };
    raw.l0 = None;
    let mut rig = Rig::new(raw);
    let mut slow = Vec::new();
    for target in ["/a", "/b"] {
        rig.get(target);
        slow.push(rig.get_slowly(target));
        rig.head(target, 200, &[("cache-control", "max-age=60")]);
        rig.send(target, 20 * WINDOW, 8 << 10);
    }
    let held = rig.engine.audit().window_bytes;
    assert!((6 * WINDOW..=7 * WINDOW).contains(&held), "{held}");
    for slow in slow {
        while rig.client(slow).received() < 8 * WINDOW {
            rig.demand(slow);
        }
        rig.leave(slow);
    }
}

/// What L0 collects is in memory once, whoever reads it: who comes while it arrives need not fetch it again.
#[test]
fn what_memory_collects_can_still_be_joined() {
    let mut raw = l0_only();
    raw.fill = RawFill { window: ByteCount(16 * WINDOW), ..raw.fill };
    let mut rig = Rig::new(raw);
    rig.get("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 4 * WINDOW, 8 << 10);
    let late = rig.get("/big");
    assert_eq!(rig.client(late).received(), 4 * WINDOW);
    assert_eq!(rig.asked.len(), 1);
    rig.end("/big");
    rig.assert_idle();
}

/// T4: with a disk below, a slow reader and one that comes late read from byte 0 what has left the window.
#[test]
fn t4_late_and_slow_readers_read_back_from_the_disk() {
    let mut rig = Rig::new(narrow(with_disk()));
    let fast = rig.get("/big");
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 20 * WINDOW, 8 << 10);
    assert_eq!(rig.client(fast).received(), 20 * WINDOW, "the slow one holds nobody back");
    let late = rig.get("/big");
    rig.end("/big");
    while rig.client(slow).end.is_none() {
        rig.demand(slow);
    }
    for client in [fast, slow, late] {
        assert_eq!(rig.client(client).span(), whole(20 * WINDOW));
        assert_eq!(rig.client(client).end, Some(End::Complete));
    }
    assert_eq!(rig.asked.len(), 1);
    rig.assert_idle();
}

/// A disk that fails in the middle costs nobody a byte: what it had stays readable, the rest stays in the
/// window.
#[test]
fn a_disk_that_fails_in_the_middle_changes_no_response() {
    let mut rig = Rig::new(narrow(with_disk()));
    let fast = rig.get("/big");
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 4 * WINDOW, 8 << 10);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
    rig.send("/big", 8 << 10, 8 << 10);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = false;
    rig.send("/big", 4 * WINDOW, 8 << 10);
    rig.end("/big");
    while rig.client(slow).end.is_none() {
        rig.demand(slow);
    }
    for client in [fast, slow] {
        assert_eq!(rig.client(client).span(), whole(8 * WINDOW + (8 << 10)));
    }
    assert_eq!(rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))), 0);
    rig.assert_idle();
}

/// One who comes when the beginning is nowhere to be had fetches alone, and stores nothing.
#[test]
fn too_late_to_attach_means_a_fetch_of_ones_own() {
    let mut rig = Rig::new(narrow(l0_only()));
    let first = rig.get("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 4 * WINDOW, 8 << 10);
    let late = rig.get("/big");
    assert_eq!(rig.asked.len(), 2);
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::AttachRefused { .. }))), 1);
    rig.head("/big", 200, &[("cache-control", "max-age=60"), ("content-length", "5")]);
    rig.send("/big", 5, 5);
    rig.end("/big");
    assert_eq!(
        rig.client(late).span(),
        Some(Symbol { object: object("/big"), version: 2, offset: 0, size: 5 })
    );
    assert_eq!(rig.client(first).end, None);
}

/// Who comes when the disk has failed the fill's copy does not count on what it took (`full-disk-heals`, seed
/// 179): a disk that cannot be written may not be read either, and whoever began to read there would break
/// off.
#[test]
fn nobody_joins_a_fill_whose_disk_has_failed() {
    let mut rig = Rig::new(narrow(with_disk()));
    rig.get("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 4 * WINDOW, 8 << 10);
    rig.get("/big");
    assert_eq!(rig.asked.len(), 1, "what the disk took is there for who comes late");
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
    rig.send("/big", 8 << 10, 8 << 10);
    let late = rig.get("/big");
    assert_eq!(rig.count(|event| matches!(event, Event::Request(RequestEvent::AttachRefused { .. }))), 1);
    rig.head("/big", 200, &[("cache-control", "max-age=60"), ("content-length", "5")]);
    rig.send("/big", 5, 5);
    rig.end("/big");
    assert_eq!(rig.client(late).end, Some(End::Complete));
}

/// O1: when the last reader leaves, a fill goes on for the tier that keeps it, or is cancelled where the
/// operator says so.
#[test]
fn o1_an_abandoned_fill_obeys_the_policy() {
    for (policy, cancelled) in [(OnAbandon::Finish, 0), (OnAbandon::Cancel, 1)] {
        let mut raw = with_disk();
        raw.fill.on_abandon = policy;
        let mut rig = Rig::new(raw);
        let only = rig.get("/big");
        rig.head("/big", 200, &[("cache-control", "max-age=60")]);
        rig.send("/big", 100, 10);
        rig.leave(only);
        assert_eq!(rig.cancelled.len(), cancelled);
        if policy == OnAbandon::Finish {
            rig.end("/big");
            assert_eq!(
                rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))),
                2
            );
        } else {
            assert_eq!(
                rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))),
                0,
                "T6: nothing partial is kept"
            );
        }
        rig.assert_idle();
    }
}

/// O1: an answer that its leader has left, and that none of those who waited may share, goes on or not as the
/// policy says.
#[test]
fn o1_an_answer_for_nobody_obeys_the_policy() {
    for (policy, cancelled) in [(OnAbandon::Finish, 0), (OnAbandon::Cancel, 1)] {
        let mut raw = l0_only();
        raw.fill.on_abandon = policy;
        let mut rig = Rig::new(raw);
        let leader = rig.get("/a");
        let waiter = rig.get("/a");
        let first = rig.fetch("/a");
        rig.leave(leader);
        rig.head("/a", 200, &[("cache-control", "max-age=60, no-cache"), ("etag", "\"v1\"")]);
        assert_eq!(rig.cancelled.len(), cancelled, "{policy:?}");
        assert_eq!(rig.asked.len(), 2, "who waited asks alone");
        rig.answer("/a", 5, 5);
        assert_eq!(rig.client(waiter).span().expect("one span").version, 2);
        if policy == OnAbandon::Finish {
            rig.end_of(first);
        }
        rig.assert_idle();
    }
}

/// O1 (seed 120341 of explore): the last reader's response breaks off, for it cannot be read back: the fill
/// goes on or not as when it had left.
#[test]
fn o1_a_fill_whose_last_reader_broke_off_obeys_the_policy() {
    for (policy, cancelled) in [(OnAbandon::Finish, 0), (OnAbandon::Cancel, 1)] {
        let mut raw = narrow(with_disk());
        raw.fill.on_abandon = policy;
        let mut rig = Rig::new(raw);
        let slow = rig.get_slowly("/big");
        rig.head("/big", 200, &[("cache-control", "max-age=60")]);
        rig.send("/big", 4 * WINDOW, 8 << 10);
        rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
        rig.demand(slow);
        assert_eq!(rig.client(slow).end, Some(End::Aborted(AbortReason::TierRead(TierId::L2))));
        assert_eq!(rig.cancelled.len(), cancelled, "{policy:?}");
        rig.tiers.get_mut(&TierId::L2).expect("configured").fails = false;
        if policy == OnAbandon::Finish {
            rig.end("/big");
        }
        assert_eq!(
            rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))),
            1 - cancelled
        );
        rig.assert_idle();
    }
}

/// A reader that could not read back what had left the window is told which tier failed, whichever tiers were
/// left before.
#[test]
fn a_reader_is_told_which_tier_could_not_be_read() {
    let mut raw = narrow(with_disk());
    raw.l1 = Some(RawSharedTier { gate: ByteCount(1) });
    let mut rig = Rig::new(raw);
    rig.get("/big");
    let slow = rig.get_slowly("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 4 * WINDOW, 8 << 10);
    rig.tiers.get_mut(&TierId::L2).expect("configured").fails = true;
    rig.demand(slow);
    assert_eq!(rig.client(slow).end, Some(End::Aborted(AbortReason::TierRead(TierId::L2))));
}

/// What no tier keeps is cancelled when nobody reads it, whatever the policy.
#[test]
fn an_abandoned_fill_that_nobody_keeps_is_cancelled() {
    let mut rig = Rig::new(l0_only());
    let only = rig.get("/me");
    rig.head("/me", 200, &[("cache-control", "no-store")]);
    rig.leave(only);
    assert_eq!(rig.cancelled, ["/me"]);
    rig.assert_idle();
}

/// A disk that stops answering holds a fill back only so long; then it is left behind.
#[test]
fn a_stalled_disk_is_left_behind() {
    let mut raw = narrow(with_disk());
    raw.fill.lane_chunks_max = 2;
    let mut rig = Rig::new(raw);
    let client = rig.get("/big");
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.head("/big", 200, &[("cache-control", "max-age=60")]);
    rig.send("/big", 10 * WINDOW, 8 << 10);
    rig.end("/big");
    assert_eq!(rig.client(client).end, None);
    rig.pass_time(Duration::from_millis(1_999));
    assert_eq!(rig.client(client).end, None);
    rig.pass_time(Duration::from_millis(1));
    assert_eq!(rig.client(client).span(), whole(10 * WINDOW));
    assert_eq!(
        rig.count(|event| matches!(event, Event::Copy(CopyEvent::LaneDropped { why: LaneEnd::Stalled, .. }))),
        1
    );
    rig.release_tier(TierId::L2);
    assert!(rig.tiers[&TierId::L2].current.is_empty(), "a lane that was dropped never commits");
    rig.assert_idle();
}

/// A disk that is slow to publish is waited for: giving up would leave in doubt what it holds.
#[test]
fn a_slow_commit_is_not_a_stall() {
    let mut rig = Rig::new(with_disk());
    let client = rig.get("/big");
    rig.head("/big", 200, &[("cache-control", "max-age=3600")]);
    rig.send("/big", 100, 10);
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.end("/big");
    assert_eq!(rig.client(client).end, Some(End::Complete));
    rig.pass_time(Duration::from_secs(60));
    rig.release_tier(TierId::L2);
    assert_eq!(
        rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { tier: TierId::L2, .. }))),
        1
    );
    rig.assert_idle();
}

/// C6: who comes when a fill's response has gone stale does not get it, though its tier has not finished with
/// it.
#[test]
fn c6_a_fill_that_went_stale_is_not_joined() {
    let mut rig = Rig::new(RawConfig { l0: None, ..with_disk() });
    rig.get("/big");
    rig.tiers.get_mut(&TierId::L2).expect("configured").is_held = true;
    rig.answer("/big", 100, 10);
    rig.pass_time(Duration::from_secs(60));
    let late = rig.get("/big");
    rig.answer_lookups(TierId::L2);
    assert_eq!(rig.asked.len(), 2);
    rig.answer("/big", 70, 10);
    assert_eq!(rig.client(late).span().expect("one span").version, 2);
    rig.release_tier(TierId::L2);
    let last = rig.get("/big");
    assert_eq!(
        rig.client(last).span().expect("one span").version,
        2,
        "the older commit did not overwrite the newer"
    );
    rig.assert_idle();
}
