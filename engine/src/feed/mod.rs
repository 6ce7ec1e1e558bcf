//! The purge feed: how a purge reaches the other edges, and how an edge knows that it missed none.
//!
//! Edges share one log. A purge is acknowledged when its notice lies in the log; every edge reads the log and
//! applies what it finds. An edge that has read the log to its end holds a lease, counted from when that read
//! was *sent*: what is appended later cannot have been in the answer, what was appended earlier was. So
//!
//! > an edge whose lease holds lacks no notice that was appended a lease ago or longer,
//!
//! and an edge that cannot read loses its lease, after which it must not answer from what only it knows to be
//! fresh (L0 and L2). Nothing here compares the clocks of two edges: a lease is measured on the clock of who
//! holds it.
//!
//! ```text
//! lease     Out ──the log was read to its end──▶ Had ──until is over──▶ Out
//!                                                 ╰◀─ the same again, later ─╯
//! reading   Resting ──due──▶ Asked ──to the end──▶ Resting until the next poll
//!              ▲ ▲             │ ╰──more, at once──▶ Resting until now
//!              │ ╰──failed─────╯
//! appends   waiting ──first in line──▶ Asked ──in the log, told or read back──▶ Appended
//!              │  ╰◀─────failed, rests─────╯
//!              ╰──not known to be there after a lease──▶ AppendFailed
//! ```
//!
//! A notice of our own is applied by who appends it, whatever becomes of it, and recognised by origin and
//! ticket when it is read back; so each notice is applied once in the life of an edge, others' in the order
//! of the log. When the log was trimmed behind what we have read, nobody can say what was purged:
//! [`FeedStep::Gap`] bars all that is older.
//!
//! It does no I/O and reads no clock. It knows nothing of selectors: a notice is whatever the caller purges
//! by, a [`Notice`] for the engines. There is one feed a process: its driver keeps it beside the engines, and
//! tells each of them what it says. Start at [`Feed`].

mod asks;
mod notice;
mod policy;
#[cfg(test)]
mod tests;

pub use asks::{AskId, FeedAsk, FeedEntry, FeedOrigin, FeedTold, Sequence, Ticket, Trimmed};
pub use notice::Notice;
pub use policy::{FeedPolicy, RawFeed};

use crate::{
    language::time::{Instant, WallTime},
    parts::random::{Random, Seed},
    plant::Fault,
};
use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

/// Notices that may wait to be appended. A purge comes from an operator or a deployment; who has so many
/// waiting has a log that does not answer, and hears that at once instead of a lease later.
pub const APPENDS_MAX: usize = 256;

/// What follows from an answer, a purge or the time. The caller acts on each, in order, before it says
/// anything else.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FeedStep<N> {
    /// Another edge, or an earlier life of this one, purged by this: purge by it here.
    Apply(N),
    /// The notice lies in the log: its purge may be acknowledged.
    Appended {
        ticket: Ticket,
        /// Where it lies, and so after which others.
        sequence: Sequence,
    },
    /// It is not known to lie there, and is not tried any more. It may still get there late. Purge again.
    AppendFailed { ticket: Ticket },
    /// Notices were trimmed before we read them. Bar everything that was born then or earlier.
    Gap {
        /// No notice that was missed is later.
        through: WallTime,
    },
    /// All that was appended before the read was sent is applied: what is fresh may be served.
    LeaseGained,
    /// It may be that something was purged and is not known here: what only we know to be fresh is stale.
    LeaseLost,
}

/// One edge's view of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feed<N> {
    policy: FeedPolicy,
    origin: FeedOrigin,
    random: Random,
    /// All of the log up to here is applied, or barred by a gap.
    applied: Sequence,
    lease: Lease,
    reading: Reading,
    /// In the order in which they came. Only the first is asked for, so that they lie in the log in that
    /// order.
    appends: VecDeque<Append<N>>,
    appending: Appending,
    steps: VecDeque<FeedStep<N>>,
    tickets: u64,
    asks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lease {
    /// Not had yet, or lost.
    Out,
    /// Good before `until`.
    Had { until: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    /// The next read is due at `until`.
    Resting { until: Instant },
    /// One is under way.
    Asked { id: AskId, sent: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Appending {
    /// The first of those that wait, if any, is asked for at `until`.
    Resting { until: Instant },
    /// It is under way.
    Asked { id: AskId, sent: Instant },
}

/// A notice on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Append<N> {
    ticket: Ticket,
    notice: N,
    /// When it is given up.
    by: Instant,
}

impl<N: Clone> Feed<N> {
    /// The feed of an edge that begins its life. `origin` must be new with every life; `applied` is how far
    /// into the log all was applied to whatever the edge still holds, [`Sequence::START`] if that is not
    /// known.
    pub fn new(policy: FeedPolicy, origin: FeedOrigin, applied: Sequence, seed: Seed) -> Self {
        Self {
            policy,
            origin,
            random: seed.split("purge feed"),
            applied,
            lease: Lease::Out,
            reading: Reading::Resting { until: Instant::ZERO },
            appends: VecDeque::new(),
            appending: Appending::Resting { until: Instant::ZERO },
            steps: VecDeque::new(),
            tickets: 0,
            asks: 0,
        }
    }

    /// A purge of our own, which the caller has applied: it is on its way to the others. Its ticket is told
    /// as appended or failed once, at the latest a lease from now.
    pub fn append(&mut self, now: Instant, notice: N) -> Ticket {
        self.on_wake(now);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if self.appends.len() == APPENDS_MAX {
            self.steps.push_back(FeedStep::AppendFailed { ticket });
        } else {
            self.appends.push_back(Append { ticket, notice, by: now.after(self.policy.lease) });
        }
        ticket
    }

    /// Takes the answer to an ask. One that was given up meanwhile says nothing.
    pub fn on_told(&mut self, now: Instant, id: AskId, told: FeedTold<N>) {
        self.on_wake(now);
        if let Reading::Asked { id: reading, sent } = self.reading
            && reading == id
        {
            self.reading = match told {
                FeedTold::Entries { trimmed, entries, newest } => {
                    self.on_entries(now, sent, trimmed, entries, newest)
                }
                FeedTold::Failed => self.read_again(now),
                FeedTold::Appended { .. } => unreachable!("the read {id:?} was answered as an append"),
            };
        } else if let Appending::Asked { id: appending, .. } = self.appending
            && appending == id
        {
            match told {
                FeedTold::Appended { sequence } => {
                    let first = self.appends.front().expect("an append under way is the first that waits");
                    self.on_appended(now, first.ticket, sequence);
                }
                FeedTold::Failed => self.append_again(now),
                FeedTold::Entries { .. } => unreachable!("the append {id:?} was answered as a read"),
            }
        }
    }

    /// Does what time alone demands; the other methods do it too.
    pub fn on_wake(&mut self, now: Instant) {
        if let Lease::Had { until } = self.lease
            && until <= now
        {
            self.lease = Lease::Out;
            self.steps.push_back(FeedStep::LeaseLost);
        }
        if let Reading::Asked { sent, .. } = self.reading
            && sent.after(self.policy.ask_max()) <= now
        {
            self.reading = self.read_again(now);
        }
        if let Appending::Asked { sent, .. } = self.appending
            && sent.after(self.policy.ask_max()) <= now
        {
            self.append_again(now);
        }
        // They came in order and have the same time each: whoever is over comes first.
        while let Some(append) = self.appends.pop_front_if(|append| append.by <= now) {
            self.steps.push_back(FeedStep::AppendFailed { ticket: append.ticket });
            self.appending = Appending::Resting { until: now };
        }
    }

    /// The next question for the log. It must be sent now: the lease is counted from this moment.
    pub fn poll_ask(&mut self, now: Instant) -> Option<(AskId, FeedAsk<N>)> {
        self.on_wake(now);
        if let Reading::Resting { until } = self.reading
            && until <= now
        {
            let id = self.mint();
            self.reading = Reading::Asked { id, sent: now };
            return Some((id, FeedAsk::Read { after: self.applied }));
        }
        if let Appending::Resting { until } = self.appending
            && until <= now
            && let Some(Append { ticket, notice, .. }) = self.appends.front().cloned()
        {
            let id = self.mint();
            self.appending = Appending::Asked { id, sent: now };
            return Some((id, FeedAsk::Append { origin: self.origin, ticket, notice }));
        }
        None
    }

    /// The next thing to do.
    pub fn poll_step(&mut self) -> Option<FeedStep<N>> {
        self.steps.pop_front()
    }

    /// When to say [`Feed::on_wake`] and ask again for what it wants asked.
    pub fn poll_wake(&self) -> Instant {
        let ask_max = self.policy.ask_max();
        let read = match self.reading {
            Reading::Resting { until } => until,
            Reading::Asked { sent, .. } => sent.after(ask_max),
        };
        let append = self.appends.front().map(|append| match self.appending {
            Appending::Resting { until } => until.min(append.by),
            Appending::Asked { sent, .. } => sent.after(ask_max).min(append.by),
        });
        let lease = match self.lease {
            Lease::Out => None,
            Lease::Had { until } => Some(until),
        };
        [append, lease].into_iter().flatten().fold(read, Instant::min)
    }

    /// Does the lease hold? For the fast path: it looks at one number, whether or not the lease's end was
    /// told.
    pub const fn is_current(&self, now: Instant) -> bool {
        match self.lease {
            Lease::Out => false,
            Lease::Had { until } => now.as_nanos() < until.as_nanos(),
        }
    }

    /// Until when the lease holds, once it was had: every engine is told, after the steps that are due before
    /// it.
    pub const fn lease_until(&self) -> Option<Instant> {
        match self.lease {
            Lease::Out => None,
            Lease::Had { until } => Some(until),
        }
    }

    /// How far into the log all is applied: what a later life of this edge may begin with, once it is safe on
    /// disk that the steps so far were done.
    pub const fn applied(&self) -> Sequence {
        self.applied
    }

    /// How many notices wait to be appended.
    pub fn appends_waiting(&self) -> usize {
        self.appends.len()
    }

    /// An answer that does not fit together is none: it comes from outside.
    fn on_entries(
        &mut self,
        now: Instant,
        sent: Instant,
        trimmed: Option<Trimmed>,
        entries: Vec<FeedEntry<N>>,
        newest: Sequence,
    ) -> Reading {
        let gap = trimmed.filter(|trimmed| trimmed.through > self.applied);
        let heeds_gaps = !self.policy.plant.is(Fault::X22);
        let begin = gap.map_or(self.applied, |trimmed| trimmed.through);
        let end = entries.last().map_or(begin, |entry| entry.sequence);
        let is_ordered = entries.is_sorted_by(|one, next| one.sequence < next.sequence)
            && entries.first().is_none_or(|entry| entry.sequence > begin);
        let goes_on = end == newest || (end < newest && end > self.applied);
        if !is_ordered || !goes_on {
            return self.read_again(now);
        }
        if let Some(trimmed) = gap.filter(|_| heeds_gaps) {
            self.steps.push_back(FeedStep::Gap { through: trimmed.at });
        }
        for entry in entries {
            if entry.origin == self.origin && entry.ticket.0 <= self.tickets {
                self.on_appended(now, entry.ticket, entry.sequence);
            } else {
                self.steps.push_back(FeedStep::Apply(entry.notice));
            }
        }
        let is_all = end == newest || self.policy.plant.is(Fault::X21);
        self.applied = if is_all { newest } else { end };
        if !is_all {
            return Reading::Resting { until: now };
        }
        let since = if self.policy.plant.is(Fault::X20) { now } else { sent };
        let until = since.after(self.policy.lease);
        if let Lease::Out = self.lease {
            self.steps.push_back(FeedStep::LeaseGained);
        }
        self.lease = Lease::Had { until };
        Reading::Resting { until: sent.after(self.spread(self.policy.poll)) }
    }

    /// It lies in the log. Whoever was told so already, or was given up, hears nothing more.
    fn on_appended(&mut self, now: Instant, ticket: Ticket, sequence: Sequence) {
        if self.appends.pop_front_if(|append| append.ticket == ticket).is_some() {
            self.appending = Appending::Resting { until: now };
            self.steps.push_back(FeedStep::Appended { ticket, sequence });
        }
    }

    fn read_again(&mut self, now: Instant) -> Reading {
        Reading::Resting { until: now.after(self.spread(self.policy.retry())) }
    }

    fn append_again(&mut self, now: Instant) {
        self.appending = Appending::Resting { until: now.after(self.spread(self.policy.retry())) };
    }

    fn mint(&mut self) -> AskId {
        self.asks += 1;
        AskId(self.asks)
    }

    /// The span, or up to a quarter less in whole milliseconds, so that edges that began together do not ask
    /// together.
    fn spread(&mut self, span: Duration) -> Duration {
        let quarter = u64::try_from(span.as_millis() / 4).unwrap_or(u64::MAX - 1);
        if quarter == 0 {
            return span;
        }
        span.saturating_sub(Duration::from_millis(self.random.below(quarter + 1)))
    }
}
