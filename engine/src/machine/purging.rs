//! Purges: which of them have not reached every tier yet, and what is remembered of all of them.
//!
//! A purge is done when every tier has answered. What began before it is known later by its birth: of a purge
//! of one key by its watermark, of the others by their bans, of those elsewhere by the feed. What a 304
//! forbade to keep is remembered beside that, and known in the same way. Nothing is taken out here, and
//! nothing is stopped: that is for whoever has it.

use super::{
    Audit,
    context::Context,
    durable::DurablePurgeId,
    feed_lease::{FeedLease, Trust},
    watermarks::Watermarks,
};
use crate::{
    config::Config,
    language::{
        chunk::Chunk,
        effect::{Effect, PurgeOutcome},
        event::{PurgeEvent, ResilienceEvent, TierOperation},
        head::Head,
        id::{OpId, PurgeId, TierId, WriterId},
        key::{CacheKey, StoredKey},
        record::{Freshness, Record},
        selector::{Selector, SelectorKind, TargetUri},
        time::{BIRTH_ROUNDING, Instant, WallTime},
    },
    parts::bans::{Ban, Banned, Bans},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

/// A purge that has not reached every tier yet.
#[derive(Debug)]
pub(super) struct Purge {
    pub(super) what: SelectorKind,
    /// What it waits for.
    pub(super) awaited: BTreeSet<Awaited>,
    /// Tiers that were publishing the key when the purge came.
    pub(super) commits: BTreeSet<WriterId>,
    pub(super) report: BTreeMap<TierId, PurgeOutcome>,
}

impl Purge {
    pub(super) const fn new(what: SelectorKind) -> Self {
        Self { what, awaited: BTreeSet::new(), commits: BTreeSet::new(), report: BTreeMap::new() }
    }
}

/// What a purge waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Awaited {
    /// One operation's answer.
    Operation(OpId),
    /// The end of the durable tier's purge, which is several.
    Durable(DurablePurgeId),
}

/// A delete that is with a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) tier: TierId,
}

/// What is no longer to arrive anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'s> {
    /// Whatever answers this target.
    Target(CacheKey),
    /// One stored response of it.
    Stored(StoredKey),
    /// What a ban covers. Where a head has not come and a tag cannot be judged, in doubt it does.
    Ban(&'s Selector),
}

impl Scope<'_> {
    /// Does it cover a response that is on its way, and of which `head` is known?
    pub(super) fn covers(&self, at: StoredKey, uri: &TargetUri, head: Option<&Head>) -> bool {
        match (self, head) {
            (Self::Target(target), _) => at.target == *target,
            (Self::Stored(stored), _) => at == *stored,
            (Self::Ban(selector), Some(head)) => {
                selector.covers(at.target, &uri.authority, &uri.target, head)
            }
            (Self::Ban(selector), None) => selector.may_cover(at.target, uri),
        }
    }
}

/// What purges and prohibitions leave of a record that a tier has.
pub(super) enum Verdict {
    /// It counts, with this lifetime.
    Stands(Freshness),
    /// Its key was purged after it was made.
    Purged,
    /// A ban covers it, or a 304 forbade to keep it.
    Gone,
}

/// All that is known of purges.
#[derive(Debug)]
pub(super) struct Purging {
    under_way: BTreeMap<PurgeId, Purge>,
    /// What was purged, by target.
    watermarks: Watermarks,
    /// What a 304 forbade to keep, by the key of the one variant that the 304 was about.
    forbidden: Watermarks,
    bans: Bans,
    lease: FeedLease,
}

impl Purging {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            under_way: BTreeMap::new(),
            watermarks: Watermarks::default(),
            forbidden: Watermarks::default(),
            bans: Bans::default(),
            lease: FeedLease::of(config),
        }
    }

    /// Counts what is open.
    pub(super) fn audit(&self) -> Audit {
        Audit { purges: self.under_way.len(), ..Audit::default() }
    }

    /// Is a purge of just this key under way? Then a byte tier may still hold what is being removed.
    pub(super) fn is_purging(&self, key: CacheKey) -> bool {
        self.under_way.values().any(|purge| purge.what == SelectorKind::Key(key))
    }

    /// May what is stored be used without the origin's word, as far as purges elsewhere go?
    pub(super) fn trust(&self, now: Instant) -> Trust {
        self.lease.trust(now)
    }

    pub(super) fn on_lease_held(&mut self, until: Instant) {
        self.lease.extend(until);
    }

    /// When a purge that was asked for elsewhere counts from, here.
    pub(super) fn remote_purge_counts_until(&self, at: WallTime, wall: WallTime) -> WallTime {
        self.lease.remote_purge_counts_until(at, wall)
    }

    /// May a request join what was asked for so long ago?
    pub(super) fn may_join(&self, now: Instant, asked_ago: Duration) -> bool {
        self.lease.covers(now, asked_ago)
    }

    /// What `key` had until then is purged.
    pub(super) fn raise(&mut self, key: CacheKey, at: WallTime) {
        self.watermarks.raise(key, at);
    }

    /// Was what is stored for `key` and was born then purged since?
    pub(super) fn is_purged(&self, key: CacheKey, born: WallTime) -> bool {
        self.watermarks.covers(key, born)
    }

    /// A 304 forbids to keep what is stored under `key` and was born until then.
    pub(super) fn forbid(&mut self, key: CacheKey, born: WallTime) {
        self.forbidden.raise(key, born);
    }

    /// Did a 304 forbid to keep what is stored under `key` and was born then?
    pub(super) fn is_forbidden(&self, key: CacheKey, born: WallTime) -> bool {
        self.forbidden.covers(key, born)
    }

    /// Did a 304 forbid to keep what is stored under `key`, since that was asked for at `asked_at`?
    pub(super) fn was_forbidden_since(&self, key: CacheKey, asked_at: WallTime) -> bool {
        self.forbidden.of(key).is_some_and(|forbidden| asked_at < forbidden)
    }

    /// Did a purge come that covers a response, since it was asked for? In doubt it did.
    pub(super) fn came_since(
        &self,
        asked_at: WallTime,
        (target, uri): (CacheKey, &TargetUri),
        head: &Head,
    ) -> bool {
        self.is_purged(target, asked_at)
            || (self.bans.iter())
                .filter(|ban| asked_at <= ban.at.after(BIRTH_ROUNDING))
                .any(|ban| ban.selector.covers(target, &uri.authority, &uri.target, head))
    }

    /// What purges and prohibitions leave of a record that a tier has under `at`, and that was asked for at
    /// `uri`.
    pub(super) fn judge<C: Chunk>(
        &self,
        cx: &Context<C>,
        at: StoredKey,
        uri: &TargetUri,
        record: &Record,
    ) -> Verdict {
        let (now, plant) = ((cx.now, cx.wall()), cx.config.plant);
        let mut freshness = record.freshness.to_live(now.0, now.1);
        let born = freshness.born(now.0, now.1);
        if self.is_purged(at.target, born) {
            return Verdict::Purged;
        }
        if self.is_forbidden(at.key, born) {
            return Verdict::Gone;
        }
        match self.bans.judge(at.target, uri, &record.head, &freshness, now, plant) {
            Banned::No => {}
            Banned::Stale(lifetime) => freshness.lifetime = lifetime,
            Banned::Gone => return Verdict::Gone,
        }
        Verdict::Stands(freshness)
    }

    pub(super) fn ban(&mut self, ban: Ban) {
        self.bans.push(ban);
    }

    /// A purge was asked of every tier, and waits for what `purge` says.
    pub(super) fn begin(&mut self, purge_id: PurgeId, purge: Purge) {
        self.under_way.insert(purge_id, purge);
    }

    /// A tier's commit was answered, and `deletion` deletes what it published: every purge that waited for
    /// that answer waits for this one.
    pub(super) fn await_deletion(&mut self, writer: WriterId, deletion: Awaited) {
        for purge in self.under_way.values_mut() {
            if purge.commits.remove(&writer) {
                purge.awaited.insert(deletion);
            }
        }
    }

    pub(super) fn on_deleted<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        op: OpId,
        deletion: Deletion,
        existed: bool,
    ) {
        let outcome = if existed { PurgeOutcome::RemovedUnseen } else { PurgeOutcome::Absent };
        self.report_answer(cx, Awaited::Operation(op), deletion.tier, outcome);
    }

    pub(super) fn on_delete_failed<C: Chunk>(&mut self, cx: &mut Context<C>, op: OpId, deletion: Deletion) {
        cx.event(ResilienceEvent::TierFailed { tier: deletion.tier, operation: TierOperation::Delete });
        self.report_answer(cx, Awaited::Operation(op), deletion.tier, PurgeOutcome::Failed);
    }

    /// What a purge waited for has ended: this came of it in a tier.
    pub(super) fn report_answer<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        awaited: Awaited,
        tier: TierId,
        outcome: PurgeOutcome,
    ) {
        for purge in self.under_way.values_mut() {
            if purge.awaited.remove(&awaited) {
                // Of two answers from one tier the graver one is told.
                let told = purge.report.entry(tier).or_insert(outcome);
                *told = (*told).max(outcome);
            }
        }
        self.end_done(cx);
    }

    /// A ban counts until this process ends, and may be forgotten then.
    pub(super) fn on_ban_not_stored<C: Chunk>(&mut self, cx: &mut Context<C>, op: OpId, tier: TierId) {
        cx.event(ResilienceEvent::TierFailed { tier, operation: TierOperation::Write });
        self.report_answer(cx, Awaited::Operation(op), tier, PurgeOutcome::Failed);
    }

    /// Ends every purge that waits for nothing any more.
    pub(super) fn end_done<C: Chunk>(&mut self, cx: &mut Context<C>) {
        let done =
            self.under_way.extract_if(.., |_, purge| purge.awaited.is_empty() && purge.commits.is_empty());
        for (purge_id, purge) in done.collect::<Vec<_>>() {
            let confirmed = purge.report.values().all(|outcome| *outcome != PurgeOutcome::Failed);
            cx.event(PurgeEvent::PurgeEnded { purge: purge_id, what: purge.what, confirmed });
            cx.effect(Effect::PurgeDone { purge: purge_id, report: purge.report.into_iter().collect() });
        }
    }
}
