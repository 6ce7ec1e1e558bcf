//! Faults that were planted in the driver: each is found by the model that it is about.

use crate::plant::Fault;
use std::{cell::Cell, env, process::Command};

/// Names the fault that is to be planted, as [`Fault`] does.
const FAULT: &str = "TIERGATE_FAULT";

thread_local! {
    /// A checker runs all threads of a model on the thread that called it, so this is one model's.
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

pub(crate) fn is_planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// Plants the fault that the environment names.
pub(super) fn plant() {
    let named = env::var(FAULT).ok();
    PLANTED.set(Fault::ALL.into_iter().find(|fault| named == Some(format!("{fault:?}"))));
}

/// With this fault planted, the test `models::…` fails, and `how` is part of what it says. It runs in a
/// process of its own, for a checker that found something may abort where it drops what its threads hold.
fn finds(fault: Fault, test: &str, how: &str) {
    let this = env::current_exe().expect("a test is a file");
    let output = Command::new(this)
        .args(["--exact", "--nocapture", &format!("models::{test}")])
        .env(FAULT, format!("{fault:?}"))
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a test can be run again");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("running 1 test"), "there is no such test: {said}");
    assert!(!output.status.success(), "the checker did not find {fault:?}: {said}");
    assert!(said.contains(how), "the checker found something else than {fault:?}: {said}");
}

#[test]
fn a_fast_path_that_looks_twice() {
    finds(Fault::LooksTwice, "resident::a_resident_body_outlives_its_place", "it was there a moment ago");
}

#[test]
fn an_inbox_that_opens_late() {
    finds(Fault::LateInbox, "clients::two_clients_share_one_fetch", "panicked");
}

#[test]
fn a_waker_that_comes_late() {
    finds(Fault::LateWaker, "clients::two_clients_share_one_fetch", "deadlock");
}

#[test]
fn a_close_during_a_call() {
    finds(
        Fault::ClosesAtOnce,
        "lanes::a_lane_is_closed_after_its_last_call",
        "a writer was closed during a call",
    );
}

#[test]
fn a_pull_that_is_forgotten() {
    finds(Fault::ForgetsPull, "handover::each_pull_is_answered", "deadlock");
}

#[test]
fn an_alarm_that_is_seen_late() {
    finds(Fault::LateAlarm, "timer::a_deadline_is_kept", "deadlock");
}

#[test]
fn events_that_are_shown_late() {
    finds(Fault::ShowsLate, "handover::each_pull_is_answered", "I6");
}

#[test]
fn a_lease_that_is_told_before_its_purges() {
    finds(
        Fault::TellsUnlocked,
        "feed::a_lease_comes_after_the_purges_that_it_counts_on",
        "purged elsewhere, and served",
    );
}

/// The models whose orders are all tried can fail too. Chance need not find in them what every order does.
#[cfg(loom)]
mod in_every_order {
    use super::{Fault, finds};

    #[test]
    fn a_fast_path_that_looks_twice() {
        finds(
            Fault::LooksTwice,
            "exhaustive::a_hit_is_whole_or_purged_in_every_order",
            "it was there a moment ago",
        );
    }

    #[test]
    fn a_waker_that_comes_late() {
        finds(Fault::LateWaker, "exhaustive::a_request_meets_a_purge_in_every_order", "deadlock");
    }

    #[test]
    fn a_lease_that_is_told_before_its_purges() {
        finds(
            Fault::TellsUnlocked,
            "exhaustive::a_lease_comes_after_its_purges_in_every_order",
            "purged elsewhere, and served",
        );
    }
}

#[cfg(not(loom))]
mod among_eight_threads {
    use super::{Fault, finds};

    const TEST: &str = "eight::eight_threads_share_a_driver";

    #[test]
    fn a_waker_that_comes_late() {
        finds(Fault::LateWaker, TEST, "deadlock");
    }

    #[test]
    fn a_close_during_a_call() {
        finds(Fault::ClosesAtOnce, TEST, "a writer was closed during a call");
    }

    #[test]
    fn a_fast_path_that_looks_twice() {
        finds(Fault::LooksTwice, TEST, "it was there a moment ago");
    }
}
