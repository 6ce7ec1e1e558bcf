//! How slow a client may be. One that drips bytes holds a connection, and whatever waits for it, for as long
//! as it likes.
//!
//! A client is given a time, in which nothing need get through. Waiting for it uses that time up; each byte
//! that gets through gives some back, and never more than there was. So a client that is slower than the rate
//! runs out of time, however it divides its bytes, and one that is not never does. Time in which nobody waits
//! for the client costs it nothing.

use crate::config::Timeouts;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// How slow a client may be in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long it is waited for without a byte.
    pub(crate) wait: Duration,
    /// Bytes a second, on average over more than that time. Any will do if it is zero.
    pub(crate) bytes_per_s_min: u32,
}

impl Pace {
    /// Any will do: no connection lives so long.
    pub(super) const ANY: Self = Self { wait: Duration::from_secs(365 * 24 * 3600), bytes_per_s_min: 0 };

    /// How fast a client must send a body.
    pub(super) fn of_sending(timeouts: &Timeouts) -> Self {
        Self { wait: timeouts.body, bytes_per_s_min: timeouts.body_bytes_per_s_min }
    }

    /// How fast it must take a response.
    pub(super) fn of_taking(timeouts: &Timeouts) -> Self {
        Self { wait: timeouts.write, bytes_per_s_min: timeouts.write_bytes_per_s_min }
    }
}

/// How a client does in one direction.
#[derive(Debug)]
pub(super) struct Meter {
    pace: Pace,
    /// How long it may still be waited for.
    left: Duration,
    /// Since when it is, if it is.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Meter {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, left: pace.wait, since: None, timer: None }
    }

    /// What comes next has nothing to do with what was before.
    pub(super) const fn begin(&mut self) {
        (self.left, self.since) = (self.pace.wait, None);
    }

    /// So many bytes got through.
    pub(super) fn moved(&mut self, bytes: usize) {
        let Pace { wait, bytes_per_s_min } = self.pace;
        let waited = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        let earned = match bytes_per_s_min {
            0 => wait,
            rate => Duration::from_secs_f64(bytes as f64 / f64::from(rate)),
        };
        self.left = self.left.saturating_sub(waited).saturating_add(earned).min(wait);
    }

    /// The client is waited for. Is it too slow? Wakes when it is.
    pub(super) fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_new = self.since.is_none();
        let since = *self.since.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::ZERO)));
        if is_new {
            timer.as_mut().reset(since + self.left);
        }
        timer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// How long a client is waited for that lets `bytes` through every `gap`, for a minute at most.
    async fn waited_for(pace: Pace, bytes: usize, gap: Duration) -> Option<Duration> {
        let mut meter = Meter::new(pace);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            tokio::select! {
                biased;
                () = tokio::time::sleep(gap) => meter.moved(bytes),
                () = poll_fn(|context| meter.poll_late(context)) => return Some(began.elapsed()),
            }
            // Nobody waits for the client now.
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        None
    }

    /// Who lets nothing through is waited for as long as is said; who drips a little longer; who keeps the
    /// rate for ever, in small pieces or in large ones. What was sent fast does not pay for a long silence.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_drips_runs_out_of_time() {
        let pace = Pace { wait: Duration::from_secs(10), bytes_per_s_min: 100 };
        let (second, seconds) = (Duration::from_secs(1), Duration::from_secs);
        assert_eq!(waited_for(pace, 0, seconds(100)).await, Some(seconds(10)));
        // Every piece uses up a second and gives back half of one; and each comes after a rest of 7 s.
        assert_eq!(waited_for(pace, 50, second).await, None, "7 pieces in a minute use up half of the time");
        assert_eq!(waited_for(pace, 0, seconds(3)).await, Some(seconds(3 * 10 + 1)));
        assert_eq!(waited_for(pace, 100, second).await, None);
        assert_eq!(waited_for(pace, 900, seconds(9)).await, None);
        assert_eq!(waited_for(pace, 1_000_000, seconds(11)).await, Some(seconds(10)));
        let any = Pace { bytes_per_s_min: 0, ..pace };
        assert_eq!(waited_for(any, 1, seconds(9)).await, None);
        assert_eq!(waited_for(any, 1, seconds(11)).await, Some(seconds(10)));
    }
}
