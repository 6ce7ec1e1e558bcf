use super::{
    super::tests::{
        KEY, LENGTH, OLD, OTHER, OURS, READ, at, blob, found, nothing, record, swap, swapped, terms, vacant,
    },
    *,
};
use crate::durable::BodyDigest;
use alloc::vec::Vec;
use bytes::Bytes;
use std::vec;

/// What happens to an upload.
enum Happens {
    Told(Told),
    Complete,
    Abandoned,
    RenewalDue,
}
use Happens::{Abandoned, Complete, RenewalDue, Told as T};

fn ask(ask: Ask) -> PublishStep {
    PublishStep::Ask(ask)
}

const fn ended(end: PublishEnd, fate: BlobFate) -> PublishStep {
    PublishStep::Ended(end, fate)
}

fn seen(stored: Option<Stored>) -> Seen {
    Seen { key: KEY, stored, now: at(1_000) }
}

fn completed(in_row: Option<&'static [u8]>) -> Completed {
    Completed { record: record(OURS), digest: BodyDigest(9), in_row: in_row.map(Bytes::from_static) }
}

fn step(publish: &mut Publish, happens: Happens) -> PublishStep {
    match happens {
        Happens::Told(told) => publish.on_told(told),
        Complete => publish.on_complete(completed(None)),
        Abandoned => publish.on_abandoned(),
        RenewalDue => publish.on_renewal_due(),
    }
}

/// Begins after having seen nothing, and takes each row: what happens, and the step that follows.
#[track_caller]
fn check(rows: Vec<(Happens, PublishStep)>) {
    let (publish, first) = Publish::begin(OURS, seen(None), Duration::ZERO, terms());
    assert_eq!(first, ask(lease_1()));
    check_on(publish, rows);
}

#[track_caller]
fn check_on(mut publish: Publish, rows: Vec<(Happens, PublishStep)>) {
    for (row, (happens, expected)) in rows.into_iter().enumerate() {
        assert_eq!(step(&mut publish, happens), expected, "row {row}");
        let is_going = matches!(&expected, PublishStep::Ask(Ask::Delete { .. }) | PublishStep::Ended(..));
        assert!(!(is_going && publish.is_wanted()), "row {row}");
        assert!(is_going || publish.is_wanted() == (publish.goal != Goal::Abandon), "row {row}");
    }
}

/// The entry with our lease alone, as first asked for.
fn leased() -> Stored {
    vacant(1_000, 0).leasing(OURS, 1_030).until(1_030)
}

fn lease_1() -> Ask {
    swap(None, leased())
}

/// Publishing on top of `leased`, told at `now`.
fn publish_1(now: u64) -> Ask {
    let mut stored = vacant(1_001.max(now), 0).naming(OURS).until(now + 400);
    let manifest = Arc::make_mut(&mut stored.entry).manifest.as_mut().expect("it names ours");
    manifest.stored_at = at(now);
    swap(Some(1_000), stored)
}

fn published() -> Told {
    found(vacant(1_001, 0).naming(OURS).until(1_400), 1_002)
}

fn delete() -> PublishStep {
    ask(Ask::Delete { blob: blob(OURS) })
}

fn uploading() -> (Happens, PublishStep) {
    (T(swapped(1_001)), PublishStep::Upload)
}

fn whole() -> (Happens, PublishStep) {
    (Complete, ask(publish_1(1_001)))
}

const WON: PublishStep = ended(PublishEnd::Won { version: Version(1_001) }, BlobFate::Named);

/// Lease, upload, manifest: nothing is asked while the bytes go up.
#[test]
fn an_upload_leases_then_publishes() {
    assert_eq!(record(OURS).length, LENGTH);
    check(vec![uploading(), whole(), (T(swapped(1_005)), WON)]);
}

/// A lost answer is read back: published is won, whoever else came since; still leased is tried once more.
#[test]
fn a_lost_answer_is_read_back() {
    let unknown = || (T(Told::Unknown), ask(READ));
    check(vec![uploading(), whole(), unknown(), (T(published()), WON)]);
    check(vec![
        uploading(),
        whole(),
        unknown(),
        (T(found(leased(), 1_004)), ask(publish_1(1_004))),
        (T(swapped(1_005)), ended(PublishEnd::Won { version: Version(1_004) }, BlobFate::Named)),
    ]);
}

/// While a swap may still happen the blob is left alone; once another version is seen, or none was asked, it
/// is deleted.
#[test]
fn a_blob_in_doubt_is_left() {
    let unknown = || (T(Told::Unknown), ask(READ));
    let left = || ended(PublishEnd::IndexFailed, BlobFate::Left);
    check(vec![uploading(), whole(), unknown(), (T(Told::Unknown), left())]);
    check(vec![
        uploading(),
        whole(),
        unknown(),
        (T(found(leased(), 1_004)), ask(publish_1(1_004))),
        (T(Told::Conflict), left()),
    ]);
    let moved = vacant(1_002, 0).leasing(OURS, 1_030).until(1_030);
    let again = publish_on(moved.clone(), 1_004);
    check(vec![
        uploading(),
        whole(),
        unknown(),
        (T(found(moved, 1_004)), ask(again)),
        (T(Told::Conflict), delete()),
        (T(Told::Deleted), ended(PublishEnd::IndexFailed, BlobFate::Deleted)),
    ]);
    check(vec![
        uploading(),
        whole(),
        (T(Told::Conflict), ask(READ)),
        (T(Told::Unknown), delete()),
        (T(Told::Unknown), ended(PublishEnd::IndexFailed, BlobFate::Left)),
    ]);
}

/// Publishing on top of `stored`, told at `now`.
fn publish_on(stored: Stored, now: u64) -> Ask {
    let sent = Stored::published(Some(&stored), completed(None), at(now), at(now + 400));
    swap(Some(stored.entry.version.0), sent)
}

/// Whatever took its place, an upload that cannot be published ends with that reason and deletes its own
/// blob, no other (failures T8, F1).
#[test]
fn who_cannot_publish_deletes_its_own() {
    let other = || vacant(1_001, 0).leasing(OURS, 1_030).naming(OTHER);
    for (now, end) in [
        (found(other().until(1_400), 1_002), PublishEnd::Lost { winner: OTHER }),
        (found(vacant(1_001, 1).until(1_100), 1_002), PublishEnd::Purged),
        (found(vacant(1_001, 1).naming(OTHER).until(1_400), 1_002), PublishEnd::Purged),
        (found(vacant(1_001, 0).until(1_400), 1_002), PublishEnd::LeaseLost),
        (nothing(1_002), PublishEnd::LeaseLost),
    ] {
        for answer in [Told::Conflict, Told::Unknown] {
            let rows = vec![
                uploading(),
                whole(),
                (T(answer), ask(READ)),
                (T(now.clone()), delete()),
                (T(Told::Deleted), ended(end, BlobFate::Deleted)),
            ];
            check(rows);
        }
        // A renewal finds out earlier, and does not wait for the rest of the body.
        check(vec![
            uploading(),
            (RenewalDue, ask(swap(Some(1_000), vacant(1_001, 0).leasing(OURS, 1_031).until(1_031)))),
            (T(Told::Conflict), ask(READ)),
            (T(now.clone()), delete()),
        ]);
    }
}

/// What was there before the fetch, and what expired since, does not win (failure F6).
#[test]
fn old_and_expired_manifests_are_replaced() {
    let before = vacant(5, 2).naming(OLD).until(1_200);
    let (publish, first) = Publish::begin(OURS, seen(Some(before)), Duration::ZERO, terms());
    let leased = vacant(1_000, 2).naming_at(OLD, 5).leasing(OURS, 1_030).until(1_200);
    assert_eq!(first, ask(swap(Some(5), leased.clone())));
    let full = vacant(1_003, 2).naming_at(OLD, 5).leasing(OURS, 1_030).leasing(OTHER, 1_030).until(1_200);
    check_on(
        publish,
        vec![
            uploading(),
            (Complete, ask(publish_on(leased, 1_001))),
            (T(Told::Conflict), ask(READ)),
            (T(found(full.clone(), 1_004)), ask(publish_on(full, 1_004))),
        ],
    );
    let expired = vacant(1_003, 0).leasing(OURS, 1_030).naming(OTHER).until(1_004);
    check(vec![
        uploading(),
        whole(),
        (T(Told::Conflict), ask(READ)),
        (T(found(expired.clone(), 1_004)), ask(publish_on(expired, 1_004))),
    ]);
}

impl Entry {
    /// With this published at an earlier version.
    fn naming_at(self, name: RecordName, version: u64) -> Self {
        let mut entry = self.naming(name);
        entry.manifest.as_mut().expect("it was just named").version = Version(version);
        entry
    }
}

/// Without a lease nothing is uploaded, and nothing deleted.
#[test]
fn nothing_begins_without_a_lease() {
    let not_begun = |end| ended(end, BlobFate::NotBegun);
    let read = |told| vec![(T(Told::Conflict), ask(READ)), (T(told), not_begun(PublishEnd::Purged))];
    check(read(found(vacant(1_001, 1).until(1_100), 1_002)));
    let lost = found(vacant(1_001, 0).naming(OTHER).until(1_400), 1_002);
    let end = not_begun(PublishEnd::Lost { winner: OTHER });
    check(vec![(T(Told::Conflict), ask(READ)), (T(lost), end)]);
    let failed = || not_begun(PublishEnd::IndexFailed);
    check(vec![(T(Told::Unknown), ask(READ)), (T(Told::Unknown), failed())]);
    check(vec![
        (T(Told::Unknown), ask(READ)),
        (T(nothing(1_003)), ask(lease_at(1_003))),
        (T(Told::Conflict), failed()),
    ]);
    // The lease that got no answer was had after all.
    check(vec![(T(Told::Unknown), ask(READ)), (T(found(leased(), 1_003)), PublishStep::Upload)]);
    // A purge may be forgotten from 1,100 on.
    check(vec![(T(swapped(1_099)), PublishStep::Upload)]);
    check(vec![(T(swapped(1_100)), not_begun(PublishEnd::TooLate))]);
    check(vec![
        (Abandoned, PublishStep::Wait),
        (T(swapped(1_001)), ask(unleased(1_000, 1_001))),
        (T(swapped(1_002)), not_begun(PublishEnd::Abandoned)),
    ]);

    let slow = Publish::begin(OURS, seen(None), Duration::from_millis(99), terms()).1;
    assert_eq!(slow, ask(lease_at(1_099)));
    let late = Publish::begin(OURS, seen(None), Duration::from_millis(100), terms()).1;
    assert_eq!(late, not_begun(PublishEnd::TooLate));
    let full = (10..18).fold(vacant(5, 0), |entry, name| entry.leasing(RecordName(name), 1_030)).until(1_030);
    let crowded = Publish::begin(OURS, seen(Some(full)), Duration::ZERO, terms()).1;
    assert_eq!(crowded, not_begun(PublishEnd::Crowded));
}

fn lease_at(now: u64) -> Ask {
    swap(None, vacant(now, 0).leasing(OURS, now + 30).until(now + 30))
}

/// A lease is renewed while the upload goes on; one that cannot be renewed now does not end it.
#[test]
fn leases_are_renewed() {
    let renewed = || vacant(1_001, 0).leasing(OURS, 1_031).until(1_031);
    let renew = || (RenewalDue, ask(swap(Some(1_000), renewed())));
    check(vec![
        (RenewalDue, PublishStep::Wait),
        uploading(),
        renew(),
        (RenewalDue, PublishStep::Wait),
        (T(swapped(1_010)), PublishStep::Wait),
        (Complete, ask(publish_on(renewed(), 1_010))),
        (RenewalDue, PublishStep::Wait),
    ]);
    // The body may end while the renewal is under way.
    check(vec![
        uploading(),
        renew(),
        (Complete, PublishStep::Wait),
        (T(swapped(1_010)), ask(publish_on(renewed(), 1_010))),
    ]);
    check(vec![
        uploading(),
        renew(),
        (T(Told::Unknown), ask(READ)),
        (T(Told::Unknown), PublishStep::Wait),
        whole(),
    ]);
}

/// Handing the lease back, with the entry as it was at `version`, told at `now`.
fn unleased(version: u64, now: u64) -> Ask {
    swap(Some(version), vacant(now.max(version + 1), 0).until(1_030))
}

/// An upload that breaks off deletes its blob, whatever is under way, and then hands its lease back; one that
/// was published before stays.
#[test]
fn an_abandoned_upload_deletes_its_blob() {
    let gone = |step| (T(Told::Deleted), step);
    let over = || ended(PublishEnd::Abandoned, BlobFate::Deleted);
    check(vec![
        uploading(),
        (Abandoned, delete()),
        gone(ask(unleased(1_000, 1_001))),
        (RenewalDue, PublishStep::Wait),
        (T(swapped(1_002)), over()),
    ]);
    let renewed = vacant(1_001, 0).leasing(OURS, 1_031).until(1_031);
    let back = ask(swap(Some(1_001), vacant(1_010, 0).until(1_031)));
    check(vec![
        uploading(),
        (RenewalDue, ask(swap(Some(1_000), renewed))),
        (Abandoned, PublishStep::Wait),
        (T(swapped(1_010)), delete()),
        gone(back),
        (T(swapped(1_011)), over()),
    ]);

    let called_off = || (Abandoned, PublishStep::Wait);
    check(vec![uploading(), whole(), called_off(), (T(swapped(1_010)), WON)]);
    let unknown = || (T(Told::Unknown), ask(READ));
    check(vec![uploading(), whole(), called_off(), unknown(), (T(published()), WON)]);
    let left = ended(PublishEnd::Abandoned, BlobFate::Left);
    check(vec![uploading(), whole(), called_off(), unknown(), (T(found(leased(), 1_004)), left)]);
    let conflict = (T(Told::Conflict), ask(READ));
    let back = gone(ask(unleased(1_000, 1_004)));
    check(vec![uploading(), whole(), called_off(), conflict, (T(found(leased(), 1_004)), delete()), back]);
}

/// A lease that cannot be handed back at once is looked for again, as often as the terms say, and then runs
/// out; one that is gone already, or whose blob may still be there, is left.
#[test]
fn a_lease_is_handed_back_or_runs_out() {
    let over = || ended(PublishEnd::Abandoned, BlobFate::Deleted);
    let begun = |more: Vec<(Happens, PublishStep)>| {
        let back = ask(unleased(1_000, 1_001));
        let first = vec![uploading(), (Abandoned, delete()), (T(Told::Deleted), back)];
        check(first.into_iter().chain(more).collect());
    };
    for answer in [Told::Conflict, Told::Unknown] {
        let again = || (T(answer.clone()), ask(READ));
        let full = vacant(1_003, 0).leasing(OURS, 1_030).leasing(OTHER, 1_040).until(1_040);
        let kept = swap(Some(1_003), vacant(1_004, 0).leasing(OTHER, 1_040).until(1_040));
        begun(vec![again(), (T(found(full.clone(), 1_004)), ask(kept.clone())), (T(swapped(1_005)), over())]);
        begun(vec![again(), (T(found(full, 1_004)), ask(kept)), (T(answer.clone()), over())]);
        begun(vec![again(), (T(found(vacant(1_003, 1).until(1_100), 1_004)), over())]);
        begun(vec![again(), (T(nothing(1_004)), over())]);
        begun(vec![again(), (T(Told::Unknown), over())]);
    }
    let left = ended(PublishEnd::Abandoned, BlobFate::Left);
    check(vec![uploading(), (Abandoned, delete()), (T(Told::Unknown), left)]);
}

/// A small body that was begun `elapsed` after its lookup saw `before`: what each answer leads to.
#[track_caller]
fn check_in_row(before: Option<Stored>, first: PublishStep, rows: Vec<(Told, PublishStep)>) {
    let began =
        Publish::begin_in_row(completed(Some(b"body")), seen(before), Duration::from_millis(1), terms());
    let (mut publish, step) = began;
    assert_eq!(step, first);
    for (row, (told, expected)) in rows.into_iter().enumerate() {
        assert_eq!(publish.on_told(told), expected, "row {row}");
    }
}

/// Publishing it on top of this, told at `now`.
fn in_row_on(before: Option<&Stored>, now: u64) -> PublishStep {
    let sent = Stored::published(before, completed(Some(b"body")), at(now), at(now + 400));
    ask(swap(before.map(|stored| stored.entry.version.0), sent))
}

/// One swap on what the lookup saw, whatever that was, and nothing else: no lease, no blob.
#[test]
fn a_body_for_the_row_is_one_swap() {
    let won = |version| ended(PublishEnd::Won { version: Version(version) }, BlobFate::InRow);
    check_in_row(None, in_row_on(None, 1_001), vec![(swapped(1_002), won(1_001))]);
    let stale = vacant(5, 2).leasing(OTHER, 9_000).naming(OLD).until(1_400);
    check_in_row(Some(stale.clone()), in_row_on(Some(&stale), 1_001), vec![(swapped(1_002), won(1_001))]);
}

/// Whatever came in between is found out and has its way: a purge, another's, and our own of which we did not
/// hear. What left room is tried again on the new version. Nothing is deleted, for there is nothing.
#[test]
fn a_body_for_the_row_gives_way() {
    let first = || in_row_on(None, 1_001);
    let ours = || Stored::published(None, completed(Some(b"body")), at(1_001), at(1_401));
    let other = || vacant(1_001, 0).naming(OTHER).until(1_400);
    for (now, end) in [
        (found(other(), 1_002), PublishEnd::Lost { winner: OTHER }),
        (found(vacant(1_001, 1).until(1_100), 1_002), PublishEnd::Purged),
        (found(ours(), 1_002), PublishEnd::Won { version: Version(1_001) }),
        (Told::Unknown, PublishEnd::IndexFailed),
    ] {
        for answer in [Told::Conflict, Told::Unknown] {
            let rows = vec![(answer, ask(READ)), (now.clone(), ended(end, BlobFate::InRow))];
            check_in_row(None, first(), rows);
        }
    }
    let leased = vacant(1_001, 0).leasing(OTHER, 1_030).until(1_030);
    let won = ended(PublishEnd::Won { version: Version(1_004) }, BlobFate::InRow);
    let again = in_row_on(Some(&leased), 1_004);
    let rows = vec![(Told::Conflict, ask(READ)), (found(leased, 1_004), again), (swapped(1_005), won)];
    check_in_row(None, first(), rows);
}

/// When a purge since the lookup may be forgotten, it is not published, neither at first nor after a
/// conflict; nor when it was called off meanwhile and is not published yet.
#[test]
fn a_body_for_the_row_may_come_too_late() {
    let late = ended(PublishEnd::TooLate, BlobFate::InRow);
    let elapsed = terms().fetch_max();
    let (_, step) = Publish::begin_in_row(completed(Some(b"body")), seen(None), elapsed, terms());
    assert_eq!(step, late);
    let after = 1_000 + u64::try_from(elapsed.as_millis()).expect("a few seconds");
    check_in_row(None, in_row_on(None, 1_001), vec![(Told::Conflict, ask(READ)), (nothing(after), late)]);
    let (mut publish, _) =
        Publish::begin_in_row(completed(Some(b"body")), seen(None), Duration::from_millis(1), terms());
    assert_eq!(publish.on_abandoned(), PublishStep::Wait);
    assert_eq!(publish.on_told(Told::Conflict), ask(READ));
    assert_eq!(publish.on_told(nothing(1_002)), ended(PublishEnd::Abandoned, BlobFate::InRow));
}
