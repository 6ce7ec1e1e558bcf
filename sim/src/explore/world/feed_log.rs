//! The purge feed: the log that the edges share, and what the driver does between it and an engine.
//!
//! Questions fail, are done though their answer is lost, never answered, or done late; for a while the log is
//! away, or one edge alone is cut off from it; and it is trimmed behind who has not read it.

use crate::explore::{
    campaign::marks::Mark,
    campaign::tally::WorldFault,
    checks::remote_purges::RemotePurges,
    world::silence::Call,
    world::{Life, Step, World, millis, up_to, within},
};
use std::{iter, time::Duration};
use tiergate_engine::{
    Input, Instant, PurgeMode, Seed, Selector, WallTime,
    feed::{
        AskId, Feed, FeedAsk, FeedEntry, FeedOrigin, FeedStep, FeedTold, Notice, Sequence, Ticket, Trimmed,
    },
};

/// Entries in one answer at most, few enough that a reading takes several.
const PAGE_MAX: u64 = 3;
/// Entries that a trimming may leave.
const KEPT_MAX: u64 = 4;

/// The log.
#[derive(Debug, Default)]
pub(in crate::explore) struct Log {
    entries: Vec<FeedEntry<Notice>>,
    /// Every entry that ever lay there.
    history: Vec<FeedEntry<Notice>>,
    newest: u64,
    trimmed: Option<Trimmed>,
    /// How many outages there are now, and whom each cuts off.
    outages: Vec<CutOff>,
}

/// Whom an outage cuts off from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum CutOff {
    All,
    One(u32),
}

/// What becomes of a question to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum AskFate {
    /// It is done, and its answer comes.
    Fine,
    /// It is not done.
    Lost,
    /// It is done, and its answer does not come.
    AnswerLost,
}

impl Log {
    fn execute(&mut self, ask: FeedAsk<Notice>) -> FeedTold<Notice> {
        match ask {
            FeedAsk::Append { origin, ticket, notice } => {
                let known = |entry: &&FeedEntry<Notice>| (entry.origin, entry.ticket) == (origin, ticket);
                if let Some(entry) = self.entries.iter().find(known) {
                    return FeedTold::Appended { sequence: entry.sequence };
                }
                self.newest += 1;
                let sequence = Sequence(self.newest);
                let entry = FeedEntry { sequence, origin, ticket, notice };
                self.history.push(entry.clone());
                self.entries.push(entry);
                FeedTold::Appended { sequence }
            }
            FeedAsk::Read { after } => {
                let behind = self.entries.iter().filter(|entry| entry.sequence > after);
                let page = 1 + crate::explore::world::client::place(self.newest % PAGE_MAX);
                let entries = behind.take(page).cloned().collect();
                FeedTold::Entries { trimmed: self.trimmed, entries, newest: Sequence(self.newest) }
            }
        }
    }

    pub(in crate::explore) fn history(&self) -> &[FeedEntry<Notice>] {
        &self.history
    }

    /// All up to here was trimmed.
    pub(in crate::explore) fn trimmed_through(&self) -> Sequence {
        self.trimmed.map_or(Sequence::START, |trimmed| trimmed.through)
    }

    /// Forgets all but the last; was there anything?
    fn trim(&mut self, kept: usize) -> bool {
        let gone = self.entries.len().saturating_sub(kept);
        for entry in self.entries.drain(..gone) {
            let at = self.trimmed.map_or(entry.notice.at, |trimmed| trimmed.at.max(entry.notice.at));
            self.trimmed = Some(Trimmed { through: entry.sequence, at });
        }
        gone > 0
    }
}

impl World {
    /// A feed that begins a life, if one is configured.
    pub(in crate::explore) fn new_feed_client(&self, seed: Seed) -> Option<(Feed<Notice>, RemotePurges)> {
        let policy = self.plan.config.feed_policy()?;
        let origin = FeedOrigin(seed.split("feed origin").wide_bits());
        Some((Feed::new(policy, origin, Sequence::START, seed), RemotePurges::new(origin)))
    }

    /// When the log is away, some times before `end`.
    pub(in crate::explore) fn plan_outages(&mut self, end: Instant) {
        let Some(policy) = self.plan.config.feed_policy() else { return };
        for _ in 0..self.plan.faults.feed.outages {
            let at = self.now.after(within(&mut self.chances.feed, end.since(self.now)));
            let span = up_to(&mut self.chances.feed, policy.lease() * 4);
            let edges = u64::from(self.plan.edges);
            let one = self.chances.feed.below(edges + 1);
            let whom = if one == edges {
                CutOff::All
            } else {
                CutOff::One(u32::try_from(one).expect("edges are counted in u32"))
            };
            self.queue.schedule(at, Step::LogLost(whom));
            self.queue.schedule(at.after(span), Step::LogFound(whom));
        }
    }

    pub(in crate::explore) fn on_log_lost(&mut self, whom: CutOff) {
        let count = self.tally.count(WorldFault::FeedDown);
        (count.armed, count.fired) = (count.armed + 1, count.fired + 1);
        self.log.outages.push(whom);
    }

    pub(in crate::explore) fn on_log_found(&mut self, whom: CutOff) {
        if let Some(place) = self.log.outages.iter().position(|outage| *outage == whom) {
            self.log.outages.remove(place);
        }
    }

    /// Tells the other edges of a purge, if there is a feed.
    pub(in crate::explore) fn tell_others(
        &mut self,
        edge: u32,
        selector: Selector,
        mode: PurgeMode,
    ) -> Option<Ticket> {
        let (now, at) = (self.now, self.wall());
        let feed_client = self.edges[edge as usize].feed_client.as_mut()?;
        let ticket = feed_client.append(now, Notice { selector, mode, at });
        Some(ticket)
    }

    /// Lets the feed do what is due, asks what it wants asked, and does what it says.
    pub(in crate::explore) fn drive_feed(&mut self, edge: u32) {
        let (to, now) = (self.life(edge), self.now);
        let Some(feed_client) = self.edges[edge as usize].feed_client.as_mut() else { return };
        feed_client.on_wake(now);
        let asks: Vec<_> = iter::from_fn(|| feed_client.poll_ask(now)).collect();
        let steps: Vec<_> = iter::from_fn(|| feed_client.poll_step()).collect();
        let (until, wake) = (feed_client.lease_until(), feed_client.poll_wake());
        // It reads on for ever; a run ends.
        let is_behind = self.healed && feed_client.applied() != Sequence(self.log.newest);
        let goes_on = wake < self.collect_until || feed_client.appends_waiting() > 0 || is_behind;
        for (id, ask) in asks {
            self.ask_log(to, id, ask);
        }
        for step in steps {
            self.do_step(to, step);
        }
        self.check_remote_purges(edge);
        if let Some(until) = until {
            self.feed(to, Input::LeaseHeld { until });
        }
        let host = &mut self.edges[edge as usize];
        if goes_on && host.feed_wake_at.is_none_or(|at| wake < at) {
            host.feed_wake_at = Some(wake);
            self.queue.schedule(wake, Step::FeedWake(to));
        }
    }

    pub(in crate::explore) fn on_feed_wake(&mut self, to: Life) {
        let host = &mut self.edges[to.edge as usize];
        if host.feed_wake_at.is_some_and(|at| at <= self.now) {
            host.feed_wake_at = None;
        }
        if self.life(to.edge) == to {
            self.drive_feed(to.edge);
        }
    }

    fn do_step(&mut self, to: Life, step: FeedStep<Notice>) {
        match step {
            FeedStep::Apply(notice) => {
                self.on_notice(to.edge, &notice);
                self.feed(to, Input::RemotePurge { notice });
            }
            FeedStep::Gap { through } => {
                self.on_gap(to.edge);
                self.observe_fault(to, Some(WorldFault::FeedTrimmed));
                self.feed(to, Input::PurgesMissed { through });
            }
            FeedStep::Appended { ticket, .. } => self.on_told_others(to.edge, ticket, true),
            FeedStep::AppendFailed { ticket } => {
                self.observe_silent_feed();
                self.on_told_others(to.edge, ticket, false);
            }
            FeedStep::LeaseGained => {}
            FeedStep::LeaseLost => {
                self.observe_silent_feed();
                self.tally.mark(Mark::LeaseLost);
            }
        }
    }

    fn ask_log(&mut self, from: Life, id: AskId, ask: FeedAsk<Notice>) {
        let faults = self.plan.faults.feed;
        let mut at = self.soon();
        let mut fate = AskFate::Fine;
        if self.hits(faults.fails, WorldFault::FeedFailed, |chances| &mut chances.feed) {
            fate = AskFate::Lost;
        } else if self.hits(faults.ambiguous, WorldFault::FeedAmbiguous, |chances| &mut chances.feed) {
            fate = AskFate::AnswerLost;
        }
        let is_slow = self.hits(faults.slow, WorldFault::FeedSlow, |chances| &mut chances.feed);
        if is_slow {
            let lease = self.plan.config.feed_policy().map_or(Duration::ZERO, |policy| policy.lease());
            at = at.after(up_to(&mut self.chances.feed, lease * 2));
        }
        self.queue.schedule(at, Step::LogAsked { from, id, ask, fate, is_slow });
    }

    pub(in crate::explore) fn on_log_asked(
        &mut self,
        from: Life,
        id: AskId,
        ask: FeedAsk<Notice>,
        fate: AskFate,
        is_slow: bool,
    ) {
        let is_append = matches!(ask, FeedAsk::Append { .. });
        if !is_append {
            self.on_log_read(from, id);
        }
        if self.is_unanswered(Call::of_feed(&ask)) {
            if self.chances.silence.chance(1, 2) {
                self.log.execute(ask);
            }
            return;
        }
        let meant = |outage: &CutOff| *outage == CutOff::All || *outage == CutOff::One(from.edge);
        let is_cut_off = !self.healed && self.log.outages.iter().any(meant);
        let brings = match fate {
            AskFate::Lost => Some(WorldFault::FeedFailed),
            AskFate::Fine | AskFate::AnswerLost if is_cut_off => Some(WorldFault::FeedDown),
            AskFate::AnswerLost => Some(WorldFault::FeedAmbiguous),
            AskFate::Fine => is_slow.then_some(WorldFault::FeedSlow),
        };
        let told = match fate {
            AskFate::Fine | AskFate::AnswerLost if !is_cut_off => self.log.execute(ask),
            AskFate::Fine | AskFate::AnswerLost | AskFate::Lost => FeedTold::Failed,
        };
        let trims = self.plan.faults.feed.trims;
        if is_append && self.is_meant(trims, WorldFault::FeedTrimmed, |chances| &mut chances.feed) {
            let kept = self.chances.feed.below(KEPT_MAX);
            let is_trimmed = self.log.trim(usize::try_from(kept).expect("a few fit usize"));
            self.tally.count(WorldFault::FeedTrimmed).fired += u64::from(is_trimmed);
        }
        let told = if fate == AskFate::AnswerLost { FeedTold::Failed } else { told };
        // Half of the failures are never told.
        if told == FeedTold::Failed && self.chances.feed.chance(1, 2) {
            return;
        }
        let at = self.soon();
        self.queue.schedule(at, Step::FromLog { to: from, id, told, brings });
    }

    pub(in crate::explore) fn on_from_log(
        &mut self,
        to: Life,
        id: AskId,
        told: FeedTold<Notice>,
        brings: Option<WorldFault>,
    ) {
        if self.life(to.edge) != to {
            return;
        }
        self.observe_fault(to, brings);
        let now = self.now;
        if let FeedTold::Entries { .. } = told {
            self.on_reading_told(to.edge, id);
        }
        if let Some(feed_client) = self.edges[to.edge as usize].feed_client.as_mut() {
            feed_client.on_told(now, id, told);
            self.drive_feed(to.edge);
        }
    }

    /// The run is over: has every edge read the log to its end?
    pub(in crate::explore) fn settle_feeds(&mut self) {
        for edge in 0..self.plan.edges {
            let Some(feed_client) = &self.edges[edge as usize].feed_client else { continue };
            let (applied, newest) = (feed_client.applied(), Sequence(self.log.newest));
            if applied != newest || feed_client.appends_waiting() > 0 {
                self.breaks("CON6", format!("edge {edge} has read until {applied:?} of {newest:?}"));
            }
        }
    }

    pub(in crate::explore) fn wall(&self) -> WallTime {
        WallTime::from_unix_millis(crate::explore::world::edge::CALENDAR + millis(self.elapsed()))
    }
}
