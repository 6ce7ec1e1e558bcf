//! The walk through the byte tiers, fastest first.
//!
//! Every tier keeps its own index, and is asked. A local one is skipped until it has joined, and a tier that
//! fails is skipped, too (C1). A record that is stale, or needs the origin's word, is kept open while the
//! walk goes on and the origin is asked. While a purge of the key is under way no byte tier is asked: it may
//! still hold what is being removed.

use super::{FetchContext, Fetching, Fill, IndexSnapshot, Over, Sharing, Stage, Waiter};
use crate::machine::{
    context::{Context, Pending},
    copying::names_in,
    feed_lease::Trust,
    purging::Verdict,
    resilience::{HeldPermit, Timed},
    stored::{OpenRecord, Stored},
};
use crate::{
    config::{ByteTier, IndexKeeper},
    durable::DurableMiss,
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{ResilienceEvent, TierOperation},
        head::Length,
        id::{FillId, OpId, RecordId, RequestId, TierId},
        key::CacheKey,
        reason::{Bypass, Late, MissReason},
        record::{Freshness, Record},
        time::BIRTH_ROUNDING,
    },
    resilience::deadline::Phase,
    rules::reuse,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};

/// How a walk goes on.
pub(in crate::machine) enum Look<C> {
    /// A tier was asked.
    Asked,
    /// L3 is to be asked for this, and opens what it has under that name.
    InDurable(CacheKey, RecordId, HeldPermit),
    /// No tier is left, and none had what may be used as it is.
    Over(FetchContext<C>, Vec<RequestId>),
}

/// A lookup that is over, and what it was for.
pub(in crate::machine) struct Looked<C> {
    pub(in crate::machine) context: FetchContext<C>,
    pub(in crate::machine) waiters: Vec<RequestId>,
    pub(in crate::machine) tier: ByteTier,
    /// Under which name the tier has opened what it found.
    pub(in crate::machine) record: RecordId,
    /// None in L3.
    op: Option<OpId>,
}

/// What a record is worth that was found.
pub(in crate::machine) enum Worth {
    /// It is the fill's, with this lifetime.
    Usable(Freshness),
    /// It tells what the target's responses depend on.
    Names(Vec<Box<str>>),
    /// It was purged, and is taken for absent.
    Nothing,
    /// The same, and its tier shall not keep it.
    ToDelete,
}

/// How a fill goes on that has found what may be used.
pub(in crate::machine) enum AfterFound<C> {
    /// It is over: all who waited were answered.
    Over(Option<Stored<C>>),
    /// It looks further, and has no use for this.
    Further(Option<Stored<C>>),
}

/// Who waits when no tier is left to be asked.
pub(in crate::machine) enum AfterWalk<C> {
    /// Some are answered by a stale record, while it is revalidated in the background.
    Stale(Arc<OpenRecord<C>>, Vec<Waiter>),
    /// Nothing that was found may be used.
    Nothing,
}

/// What becomes of those whom no tier could answer.
pub(in crate::machine) enum Unanswered<C> {
    /// The origin was asked, or is not to be.
    Asked(Option<Over<C>>),
    /// They join a fill that turned out to be for the same, and what was found is of no use.
    Join(FillId, Vec<RequestId>, Option<Stored<C>>),
}

impl<C: Chunk> Looked<C> {
    /// What is a record worth that was found, which the purges so far leave or do not?
    pub(in crate::machine) fn worth(&self, record: &Record, body: Option<&C>, verdict: Verdict) -> Worth {
        let context = &self.context;
        let agrees = record.stored_key() == context.at()
            && body.is_none_or(|body| body.size() == record.length.0)
            && match record.head.length() {
                Length::Known(length) => length == record.length,
                Length::Unknown => true,
            };
        let freshness = match verdict {
            _ if !agrees => return Worth::ToDelete,
            Verdict::Gone => return Worth::ToDelete,
            Verdict::Purged => return Worth::Nothing,
            Verdict::Stands(freshness) => freshness,
        };
        match names_in(&record.head) {
            None => Worth::Usable(freshness),
            // A fill that was closed meanwhile learns nothing from what is older than that.
            Some(names) if context.sharing == Sharing::Open && !names.is_empty() => Worth::Names(names),
            Some(_) => Worth::Nothing,
        }
    }
}

impl<C: Chunk> Fetching<C> {
    /// Asks the first tier from `from` on that may hold the key.
    pub(in crate::machine) fn look(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        mut context: FetchContext<C>,
        waiters: Vec<RequestId>,
        from: usize,
    ) -> Look<C> {
        for place in from..cx.config.tiers.len() {
            let tier = cx.config.tiers[place];
            // An entry of L3 is of one key, and a purge of its target would not reach a variant's: none is
            // kept there.
            if tier.is_durable() && context.at().is_variant() {
                continue;
            }
            if cx.resilience.is_joining(tier.id) {
                context.reason = MissReason::TierFailed;
                continue;
            }
            let record = RecordId(cx.ids.mint());
            let (key, at) = (context.key, context.at());
            let (op, look) = match tier.index {
                IndexKeeper::Tier => {
                    let Some(permit) = cx.admit_tier(tier.id, TierOperation::Lookup) else {
                        context.reason = MissReason::TierFailed;
                        continue;
                    };
                    let op = cx.operation_with(Pending::Lookup(fill), Some(permit));
                    cx.effect(Effect::Lookup { op, tier: tier.id, record, key: at });
                    (Some(op), Look::Asked)
                }
                IndexKeeper::Durable { .. } => {
                    let Some(permit) = cx.admit_index(TierOperation::Lookup) else {
                        context.reason = MissReason::TierFailed;
                        continue;
                    };
                    (None, Look::InDurable(key, record, permit))
                }
            };
            let stage = Stage::Looking { waiters, op, tier, record };
            self.fills.insert(fill, Fill { context, stage });
            cx.answer_by(fill);
            cx.resilience.deadlines.enter(cx.now, Timed::Fill(fill), Phase::Lookup);
            return look;
        }
        Look::Over(context, waiters)
    }

    /// A lookup is over.
    pub(in crate::machine) fn take_lookup(&mut self, fill: FillId) -> Looked<C> {
        let Fill { context, stage } = self.fills.take(&fill);
        match stage {
            Stage::Looking { waiters, op, tier, record } => Looked { context, waiters, op, tier, record },
            Stage::Asking(_) | Stage::Resting { .. } | Stage::Streaming(_) => {
                unreachable!("{fill:?} does not look any more")
            }
        }
    }

    /// Sends those who wait around the cache that this record may not be used for, whatever the origin says
    /// of it.
    pub(in crate::machine) fn pass_withheld(
        &mut self,
        cx: &mut Context<C>,
        looked: &mut Looked<C>,
        open: &OpenRecord<C>,
    ) {
        looked.waiters.retain(|request| {
            let is_withheld = Self::use_of(cx, open, self.ask(*request)) == reuse::Use::Withheld;
            if is_withheld {
                self.waiting.remove(request);
                cx.pass(*request, Bypass::Authorization);
            }
            !is_withheld
        });
    }

    /// Takes those who wait that this record answers as it is.
    pub(in crate::machine) fn take_answered(
        &mut self,
        cx: &Context<C>,
        looked: &mut Looked<C>,
        open: &OpenRecord<C>,
    ) -> Vec<Waiter> {
        let uses = |request: &mut RequestId| Self::use_of(cx, open, self.ask(*request)) == reuse::Use::Serve;
        let answered = looked.waiters.extract_if(.., uses).collect();
        self.take_waiters(answered)
    }

    /// All whom the record answers were answered. It is kept, if that is of use for others.
    pub(in crate::machine) fn after_found(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        looked: &mut Looked<C>,
        open: &Arc<OpenRecord<C>>,
    ) -> AfterFound<C> {
        let Looked { context, waiters, .. } = looked;
        let is_usable = open.staleness.is_usable(&open.freshness, cx.now) && cx.trust == Trust::Lifetime;
        if is_usable && waiters.is_empty() {
            self.end_asking(cx, fill, context);
            return AfterFound::Over(context.stored.take());
        }
        AfterFound::Further(keep(cx, context, Arc::clone(open)))
    }

    /// The walk is over. What is stale is served where its window allows it, and revalidated in the
    /// background.
    pub(in crate::machine) fn after_walk(
        &mut self,
        cx: &Context<C>,
        context: &mut FetchContext<C>,
        waiters: &mut Vec<RequestId>,
    ) -> AfterWalk<C> {
        let Some(Stored::Record(open)) = &context.stored else { return AfterWalk::Nothing };
        let open = Arc::clone(open);
        let uses = |request: &mut RequestId| {
            Self::use_of(cx, &open, self.ask(*request)) == reuse::Use::ServeAndRevalidate
        };
        let meanwhile = waiters.extract_if(.., uses).collect();
        let meanwhile = self.take_waiters(meanwhile);
        if let Some(first) = meanwhile.first()
            && context.sharing == Sharing::Open
        {
            context.background = Some(Arc::clone(&first.ask));
        }
        AfterWalk::Stale(open, meanwhile)
    }

    /// Nothing that the tiers have may be used for these: the origin is asked. While they looked, a fetch for
    /// another variant can have turned out to be for this one: then it is joined.
    pub(in crate::machine) fn ask_or_join(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        context: FetchContext<C>,
        waiters: Vec<RequestId>,
    ) -> Unanswered<C> {
        let other = match context.sharing {
            Sharing::Open => self.lead_flight(context.key, fill, cx.now),
            Sharing::Closed | Sharing::Private => None,
        };
        let Some(other) = other else {
            return Unanswered::Asked(self.ask_origin(cx, fill, context, waiters, 0));
        };
        cx.resilience.deadlines.end(Timed::Fill(fill));
        self.tell_missed(cx, &context, &waiters);
        let getters = self.pass_partial(cx, &context, waiters);
        Unanswered::Join(other, getters, context.stored)
    }

    pub(in crate::machine) fn on_lookup_failed(&mut self, cx: &mut Context<C>, fill: FillId) -> Looked<C> {
        let mut looked = self.take_lookup(fill);
        cx.event(ResilienceEvent::TierFailed { tier: looked.tier.id, operation: TierOperation::Lookup });
        looked.context.reason = MissReason::TierFailed;
        looked
    }

    /// L3 has nothing for a fill, or could not say.
    pub(in crate::machine) fn on_durable_missed(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        why: DurableMiss,
    ) -> Looked<C> {
        match why {
            DurableMiss::IndexFailed | DurableMiss::BlobFailed => self.on_lookup_failed(cx, fill),
            DurableMiss::BlobSkipped => {
                let mut looked = self.take_lookup(fill);
                looked.context.reason = MissReason::TierFailed;
                looked
            }
            DurableMiss::Absent | DurableMiss::Expired | DurableMiss::Lost | DurableMiss::Torn => {
                self.take_lookup(fill)
            }
        }
    }

    /// A tier did not answer in time, and the walk goes on without it.
    pub(in crate::machine) fn on_lookup_late(&mut self, cx: &mut Context<C>, fill: FillId) -> Looked<C> {
        let mut looked = self.give_up_lookup(cx, fill);
        let what = Late::Lookup(looked.tier.id);
        cx.event(ResilienceEvent::DeadlineMissed { key: looked.context.target, what });
        looked.context.reason = MissReason::TierFailed;
        looked
    }

    /// Stops waiting for a tier's answer to a lookup. The record that it may still open is released: the
    /// driver passes that on once the lookup is over. One in L3 is several operations, and is given up
    /// before, by who runs them.
    pub(super) fn give_up_lookup(&mut self, cx: &mut Context<C>, fill: FillId) -> Looked<C> {
        let looked = self.take_lookup(fill);
        if let Some(op) = looked.op {
            cx.give_up(op);
            cx.effect(Effect::Release { tier: looked.tier.id, record: looked.record });
        }
        looked
    }

    /// A fill for a target ends, for who waits looks for a variant now. What it has found is of no use.
    pub(in crate::machine) fn end_for_variants(
        &mut self,
        context: &mut FetchContext<C>,
        fill: FillId,
    ) -> Option<Stored<C>> {
        self.end_flight(context.key, fill);
        context.stored.take()
    }

    /// What a fill has seen in L3's index. Says under which key.
    pub(in crate::machine) fn note_seen(
        &mut self,
        fill: FillId,
        seen: Option<Box<IndexSnapshot>>,
    ) -> CacheKey {
        let context = &mut self.fills[&fill].context;
        context.snapshot = seen;
        context.key
    }
}

/// Keeps an open record that may not be used as it is while the walk goes on. A slower tier may still have a
/// fresh one, which serves; of two stale ones the younger is kept, and of two of one age the one in the
/// faster tier. Returns what is not.
fn keep<C: Chunk>(
    cx: &Context<C>,
    context: &mut FetchContext<C>,
    open: Arc<OpenRecord<C>>,
) -> Option<Stored<C>> {
    context.reason = MissReason::Stale;
    let helps = open.staleness.helps_when_stale(&open.record.head);
    let is_younger = context.stored.as_ref().is_none_or(|stored| {
        open.freshness.age(cx.now).saturating_add(BIRTH_ROUNDING) < stored.freshness().age(cx.now)
    });
    let open = Stored::Record(open);
    if helps && is_younger { context.stored.replace(open) } else { Some(open) }
}

/// Where the walk goes on after this tier.
pub(in crate::machine) fn after_tier<C: Chunk>(cx: &Context<C>, tier: TierId) -> usize {
    cx.config.tiers.iter().position(|other| other.id == tier).map_or(0, |asked| asked + 1)
}
