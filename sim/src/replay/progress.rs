//! How far a replay is: a bar on a terminal, a line now and then elsewhere, nothing on request.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

/// How often the bar is drawn at most, in times a second.
const DRAWS_PER_SECOND: u8 = 10;
/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Requests between two looks at the clock.
const LOOK_EVERY: u64 = 1 << 16;

/// Follows one file, or one after the other.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    /// When the next line is due, where lines are written.
    line_at: Option<Instant>,
}

impl Progress {
    /// Nothing is shown.
    pub(super) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), line_at: None }
    }

    #[expect(clippy::disallowed_methods, reason = "when a line is written is no part of a replay's numbers")]
    pub(super) fn shown() -> Self {
        if !stderr().is_terminal() {
            return Self { line_at: Some(Instant::now() + LINE_EVERY), ..Self::hidden() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
        let style = "{prefix}{bar:40} {bytes}/{total_bytes} of the trace, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("the template above is well formed"));
        Self { bar, line_at: None }
    }

    /// The file is read from its beginning, to do what `what` says.
    pub(super) fn begin(&mut self, what: String) {
        self.bar.reset();
        self.bar.set_prefix(what);
    }

    /// So many requests are done.
    #[expect(clippy::disallowed_methods, reason = "when a line is written is no part of a replay's numbers")]
    pub(super) fn on_request(&mut self, requests: u64) {
        let Some(line_at) = self.line_at.filter(|_| requests.is_multiple_of(LOOK_EVERY)) else { return };
        let now = Instant::now();
        if now < line_at {
            return;
        }
        self.line_at = Some(now + LINE_EVERY);
        let (read, whole) = (self.bar.position(), self.bar.length().unwrap_or_default());
        let percent = if whole == 0 { 100.0 } else { 100.0 * read as f64 / whole as f64 };
        eprintln!("{}{requests} requests replayed, {percent:.0} % of the file read", self.bar.prefix());
    }
}
