//! The access log: a line for each response, written off the hot path.
//!
//! A line is put into a buffer in memory, and one thread writes what is there, each second or when a quarter
//! of the buffer is full. A file that takes nothing more costs lines, which are counted, and holds up nobody.
//! Which requests are logged is the front's choice. Start at [`AccessLog::line`].

mod entry;

pub use entry::Entry;

use crate::config::{Destination, Format};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes that may wait to be written: about 5,000 lines.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// With so many, the writer does not wait for its second to be over.
const WAITING_BYTES_WAKE: usize = WAITING_BYTES_MAX / 4;
const _: () = assert!(WAITING_BYTES_WAKE < WAITING_BYTES_MAX);
/// A line is in the file after this time.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// A file that cannot be written is complained about so often at most.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// An access log. Dropping it writes what is left, in the background.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    shared: Arc<Shared>,
}

/// What became of the lines.
#[derive(Debug, Default)]
pub struct LogCounts {
    written: AtomicU64,
    dropped: AtomicU64,
}

impl LogCounts {
    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that were lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Between those who log and the writer.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do before the next second.
    changed: Condvar,
    counts: Arc<LogCounts>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    waiting_lines: u64,
    /// The file is to be opened anew, by its name.
    reopens: bool,
    phase: Phase,
}

/// ```text
///   Open ──finish, or drop──▶ Closing ──the last line is written──▶ Closed
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Closing,
    Closed,
}

impl State {
    fn close(&mut self) {
        match self.phase {
            Phase::Open => self.phase = Phase::Closing,
            Phase::Closing | Phase::Closed => {}
        }
    }
}

thread_local! {
    /// A line while it is made. It keeps its room for the next one.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// Opens the file and starts the writer.
    ///
    /// # Errors
    /// The file cannot be opened, or the system has no thread to spare.
    pub fn start(destination: Destination, format: Format) -> io::Result<Self> {
        let output = Output::open(&destination)?;
        let own = Self::held(format);
        let writer = Writer { shared: Arc::clone(&own.shared), destination, output, complained: None };
        thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run())?;
        Ok(own)
    }

    /// One without a file: its lines wait to be taken.
    pub fn held(format: Format) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            counts: Arc::new(LogCounts::default()),
        };
        Self { format, shared: Arc::new(shared) }
    }

    /// The lines that wait.
    pub fn take(&self) -> Vec<u8> {
        let mut state = self.shared.lock();
        state.waiting_lines = 0;
        mem::take(&mut state.waiting)
    }

    /// Logs a response. Never waits for the file: a line that finds the buffer full is dropped and counted.
    pub fn line(&self, entry: &Entry<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            entry.write(self.format, line);
            self.shared.append(line);
        });
    }

    /// Opens the file anew, by its name, once what is waiting is written to the old one.
    pub fn reopen(&self) {
        self.shared.lock().reopens = true;
        self.shared.changed.notify_all();
    }

    /// What became of the lines.
    pub fn counts(&self) -> &Arc<LogCounts> {
        &self.shared.counts
    }

    /// Writes what is left, for at most so long, and says whether that was time enough. What is logged later
    /// is lost. Blocks.
    pub fn finish(&self, within: Duration) -> bool {
        let mut state = self.shared.lock();
        state.close();
        self.shared.changed.notify_all();
        let open = |state: &mut State| state.phase != Phase::Closed;
        let waited = self.shared.changed.wait_timeout_while(state, within, open);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.phase == Phase::Closed
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.lock().close();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Whoever panicked with the lock has at most lost a line.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, line: &[u8]) {
        let mut state = self.lock();
        let before = state.waiting.len();
        let after = before + line.len();
        if after > WAITING_BYTES_MAX || state.phase == Phase::Closed {
            drop(state);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        state.waiting_lines += 1;
        drop(state);
        if before < WAITING_BYTES_WAKE && after >= WAITING_BYTES_WAKE {
            self.changed.notify_all();
        }
    }
}

/// Where a destination's bytes go now.
enum Output {
    StandardError,
    File(File),
}

impl Output {
    /// A file that is made is readable to its owner and group only: addresses of clients are in it.
    fn open(destination: &Destination) -> io::Result<Self> {
        match destination {
            Destination::StandardError => Ok(Self::StandardError),
            Destination::File(path) => open_file(path).map(Self::File),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().lock().write_all(bytes),
            Self::File(file) => file.write_all(bytes),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    destination: Destination,
    output: Output,
    complained: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        let mut bytes = Vec::new();
        loop {
            let (lines, reopens, phase) = self.take(&mut bytes);
            if !bytes.is_empty() {
                self.write(&bytes, lines);
                bytes.clear();
            }
            if reopens {
                self.reopen();
            }
            match phase {
                Phase::Open => {}
                Phase::Closing | Phase::Closed => break,
            }
        }
        self.shared.lock().phase = Phase::Closed;
        self.shared.changed.notify_all();
    }

    /// Waits until there is something to do, and swaps what is waiting for the empty buffer.
    fn take(&self, bytes: &mut Vec<u8>) -> (u64, bool, Phase) {
        let rests = |state: &mut State| {
            state.phase == Phase::Open && !state.reopens && state.waiting.len() < WAITING_BYTES_WAKE
        };
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), FLUSH_INTERVAL, rests);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        mem::swap(&mut state.waiting, bytes);
        (mem::take(&mut state.waiting_lines), mem::take(&mut state.reopens), state.phase)
    }

    fn write(&mut self, bytes: &[u8], lines: u64) {
        match self.output.write(bytes) {
            Ok(()) => self.shared.counts.written.fetch_add(lines, Ordering::Relaxed),
            Err(error) => {
                self.complain("the access log cannot be written", &error);
                self.shared.counts.dropped.fetch_add(lines, Ordering::Relaxed)
            }
        };
    }

    /// The old file is kept when the new one cannot be opened.
    fn reopen(&mut self) {
        match Output::open(&self.destination) {
            Ok(output) => self.output = output,
            Err(error) => self.complain("the access log cannot be opened anew; the old file is kept", &error),
        }
    }

    fn complain(&mut self, what: &str, error: &io::Error) {
        let now = Instant::now();
        let is_due = self.complained.is_none_or(|last| now.duration_since(last) >= COMPLAINT_INTERVAL);
        if is_due {
            self.complained = Some(now);
            tracing::warn!(destination = ?self.destination, %error, "{what}");
        }
    }
}

#[cfg(test)]
mod tests;
