use super::{entry::tests::entry, *};
use std::fs;

/// Far more than the writer needs: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(path: &Path) -> AccessLog {
    AccessLog::start(Destination::File(path.to_owned()), Format::Combined).expect("a file of ours")
}

/// Waits until the file at this path can be read and has so many lines.
fn wait_for_lines(path: &Path, lines: usize) {
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(path).map(|text| text.lines().count()).ok() != Some(lines) {
        assert!(Instant::now() < deadline, "{} never has {lines} lines", path.display());
        thread::yield_now();
    }
}

/// Lines of all threads are in the file, whole, when the log was finished; what was there before stays.
#[test]
fn every_line_is_written_at_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    fs::write(&path, "before\n").expect("a file of ours");
    let log = start(&path);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| log.line(&entry())));
        }
    });
    let counts = Arc::clone(log.counts());
    assert!(log.finish(PATIENCE));
    let text = fs::read_to_string(&path).expect("it is there");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("before"));
    assert!(
        lines
            .by_ref()
            .take(400)
            .all(|line| line.starts_with("192.0.2.7 - - [29/Feb/2024:") && line.ends_with("\"curl/8\""))
    );
    assert_eq!(lines.next(), None);
    assert_eq!((counts.written(), counts.dropped()), (400, 0));
}

/// A line is in the file without anybody's doing, while the log is open.
#[test]
fn a_line_is_written_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let log = start(&path);
    log.line(&entry());
    wait_for_lines(&path, 1);
    assert!(log.finish(PATIENCE));
}

/// After a rotation, what was logged before is in the old file, and what comes after in a new one.
#[test]
fn a_file_that_was_moved_is_opened_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let log = start(&path);
    log.line(&entry());
    fs::rename(&path, &old).expect("both are ours");
    log.reopen();
    wait_for_lines(&path, 0);
    wait_for_lines(&old, 1);
    log.line(&entry());
    log.line(&entry());
    assert!(log.finish(PATIENCE));
    wait_for_lines(&path, 2);
    wait_for_lines(&old, 1);
}

/// A file that cannot be opened anew costs nothing: lines go on into the old one.
#[test]
fn the_old_file_is_kept_when_there_is_no_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let (inner, moved) = (dir.path().join("logs"), dir.path().join("moved"));
    fs::create_dir(&inner).expect("a directory of ours");
    let log = start(&inner.join("access.log"));
    fs::rename(&inner, &moved).expect("both are ours");
    log.reopen();
    log.line(&entry());
    assert!(log.finish(PATIENCE));
    wait_for_lines(&moved.join("access.log"), 1);
}

/// When nothing can be written, lines are dropped and counted, and nobody waits.
#[test]
fn lines_that_find_no_room_are_dropped_and_counted() {
    let shared =
        Shared { state: Mutex::default(), changed: Condvar::new(), counts: Arc::new(LogCounts::default()) };
    let line = [b'x'; 1000];
    for _ in 0..2000 {
        shared.append(&line);
    }
    let fit = WAITING_BYTES_MAX / line.len();
    assert_eq!(shared.lock().waiting_lines, fit as u64);
    assert!(shared.lock().waiting.len() <= WAITING_BYTES_MAX);
    assert_eq!(shared.counts.dropped(), 2000 - fit as u64);
}

/// A file that takes nothing loses its lines visibly.
#[test]
fn a_full_disk_is_counted() {
    let log = start(Path::new("/dev/full"));
    log.line(&entry());
    let counts = Arc::clone(log.counts());
    assert!(log.finish(PATIENCE));
    assert_eq!((counts.written(), counts.dropped()), (0, 1));
}
