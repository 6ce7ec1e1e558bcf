//! The origin's answer: what it is worth for those who wait, and for what is stored.

use super::{
    FetchContext, Fetching, Fill, Over, Sharing, Stage, Waiter, Window,
    asking::{decide, take_stale_on_error},
    fill::{Asked, OriginSide, Sent, Share, Stream},
    followers::Followers,
    uncacheable,
};
use crate::machine::{
    context::Context, copying::Copies, freshening::Freshened, resilience::Timed, stored::Stored,
};
use crate::{
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{FetchEnd, FetchEvent},
        head::{Head, RequestHead},
        id::{FillId, OriginId, RequestId},
        key::{CacheKey, StoredKey},
        reason::{Bypass, MissReason, NotStorable, Storable},
        record::Freshness,
        selector::TargetUri,
        time::{Instant, WallTime},
        units::ByteCount,
    },
    plant::Fault,
    resilience::{attempts::Failed, deadline::Phase},
    rules::{
        self, Caller, CookieHeuristic, Judgement, Policy, has_credentials, retry_after, reuse, revalidate,
        vary::{Vary, variant_key},
    },
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};

/// A response head, and what the rules make of it.
pub(in crate::machine) struct Judged {
    pub(in crate::machine) head: Arc<Head>,
    /// The request that it answers.
    pub(super) ask: Arc<RequestHead>,
    pub(in crate::machine) target: CacheKey,
    /// What was asked for: the target, or a variant.
    key: CacheKey,
    /// When the request was sent, on the calendar.
    pub(in crate::machine) sent_at: WallTime,
    pub(super) judgement: Judgement,
}

/// What a head has come to.
pub(in crate::machine) enum HeadStep<C> {
    /// The body is about to come.
    Streams(Begun<C>),
    /// Another attempt will be made.
    Waits,
    /// The origin failed, and what is stored answers all who wait instead. Then the fetch is stopped, for its
    /// body is not wanted.
    Stale(CacheKey, Stored<C>, Vec<Waiter>),
    /// What is stored still holds, and answers all who wait.
    Freshens(NotModified<C>),
    /// The answer is about something that is not stored any more: the origin is asked again, without
    /// conditions.
    AsksAgain(FetchContext<C>, Vec<RequestId>),
}

/// A 304 to our own condition.
pub(in crate::machine) struct NotModified<C> {
    pub(in crate::machine) context: FetchContext<C>,
    pub(in crate::machine) waiters: Vec<Waiter>,
    /// Who fetches alone, because the answer may not be shared.
    pub(in crate::machine) alone: Vec<RequestId>,
    /// What the condition was about.
    pub(in crate::machine) stored: Stored<C>,
    /// The same under its new head.
    pub(in crate::machine) freshened: Freshened<C>,
}

/// A fill whose body is about to come.
pub(in crate::machine) struct Begun<C> {
    /// What the response takes the place of.
    pub(in crate::machine) replaced: Option<Stored<C>>,
    /// May tiers keep it?
    pub(in crate::machine) is_open: bool,
    /// Who reads it.
    pub(in crate::machine) readers: Vec<RequestId>,
    /// Who fetches alone, because it may not be shared.
    pub(in crate::machine) alone: Vec<RequestId>,
    pub(in crate::machine) reason: MissReason,
    /// Who waited for another variant, and for what.
    pub(in crate::machine) others: Option<(Group, Vec<RequestId>)>,
}

/// What those wait for who were parted from a fill.
pub(in crate::machine) struct Group {
    pub(in crate::machine) target: CacheKey,
    uri: TargetUri,
    origin: OriginId,
    reason: MissReason,
}

impl Group {
    fn of<C>(context: &FetchContext<C>) -> Self {
        let FetchContext { target, uri, origin, reason, .. } = context;
        Self { target: *target, uri: uri.clone(), origin: *origin, reason: *reason }
    }
}

impl Judged {
    /// The answer to `ask`, which was sent at `since`. `target` and `key` are what was asked for.
    pub(super) fn of<C: Chunk>(
        cx: &Context<C>,
        (target, key): (CacheKey, CacheKey),
        ask: Arc<RequestHead>,
        head: Arc<Head>,
        since: Instant,
    ) -> Self {
        let sent_at = sent_at(cx, since);
        let judgement = rules::judge(&cx.config.policy, &ask, &head, sent_at, cx.wall());
        Self { head, ask, target, key, sent_at, judgement }
    }

    /// The names in `Vary`, and the request's fields, where a response is to be filed by them.
    pub(in crate::machine) fn varies(&self) -> Option<(&[Box<str>], &RequestHead)> {
        match &self.judgement.vary {
            Vary::Fields(names) if self.judgement.storable == Storable::Yes && self.head.status != 304 => {
                Some((names, &self.ask))
            }
            Vary::Nothing | Vary::Fields(_) | Vary::Anything => None,
        }
    }

    /// A stored head with what this 304 changes of it, and what the rules make of that (RFC 9111 section
    /// 4.3.4). A cookie with the condition is no reason not to guess: what is stored was not asked for with
    /// it.
    pub(in crate::machine) fn merge<C: Chunk>(
        &self,
        cx: &Context<C>,
        stored: &Head,
    ) -> (Arc<Head>, Judgement) {
        let received = cx.wall();
        let head = Arc::new(revalidate::merge(stored, &self.head, received));
        let policy = Policy { heuristic_with_cookie: CookieHeuristic::Allow, ..cx.config.policy };
        let judgement = rules::judge(&policy, &self.ask, &head, self.sent_at, received);
        (head, judgement)
    }
}

impl Asked {
    /// Judges the head that was waited for.
    pub(in crate::machine) fn judge<C: Chunk>(
        &self,
        cx: &Context<C>,
        context: &FetchContext<C>,
        head: Arc<Head>,
    ) -> Judged {
        Judged::of(cx, (context.target, context.key), Arc::clone(&self.sent.ask), head, self.since)
    }
}

impl<C: Chunk> Fetching<C> {
    /// A head came. `variant` is the key under which it is filed by what it varies on, if there is room for
    /// one.
    pub(in crate::machine) fn on_head(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        (mut context, asked): (FetchContext<C>, Asked),
        mut judged: Judged,
        variant: Option<CacheKey>,
    ) -> HeadStep<C> {
        let Asked { mut waiters, mut tries, sent, .. } = asked;
        cx.resilience.deadlines.enter(cx.now, Timed::Fill(fill), Phase::Paused);
        let status = judged.head.status;
        if variant.is_none()
            && judged.judgement.vary != Vary::Nothing
            && judged.judgement.storable == Storable::Yes
        {
            judged.judgement.storable = Storable::No(NotStorable::Vary);
        }
        let (key, variant) = (judged.target, variant.unwrap_or(judged.key));
        let (length, storable) = (judged.head.length(), judged.judgement.storable);
        cx.event(FetchEvent::HeadArrived { fill, key, variant, status, length, storable });
        self.learn_of_storing(cx, (key, Caller::of(&sent.ask)), status, storable);
        if context.stored.is_some() && status == 304 {
            return self.on_not_modified(cx, fill, context, (waiters, sent.leader), judged);
        }
        if reuse::is_error(status)
            && let Some(stored) = take_stale_on_error(cx, &mut context)
        {
            self.end_asking(cx, fill, &context);
            return HeadStep::Stale(key, stored, self.take_waiters(waiters));
        }
        let (when, wall) = (cx.config.resilience.retry.when, cx.wall());
        if let Some(failed) = Failed::of_status(when, status, retry_after(&judged.head.fields, wall))
            && let Some(at) = decide(cx, fill, &context, &waiters, &mut tries, failed)
        {
            stop_bodiless(cx, fill, key);
            self.rest(cx, fill, context, waiters, tries, at);
            return HeadStep::Waits;
        }
        let replaced = context.stored.take();
        let context = self.file_under(cx, fill, context, variant);
        let others = self.part_from(&context, &sent, &judged.judgement, &mut waiters);
        let others = if others.is_empty() { None } else { Some((Group::of(&context), others)) };
        let stream = Stream {
            freshness: freshness_of(cx.now, &judged.judgement),
            staleness: judged.judgement.staleness,
            head: judged.head,
            length,
            source: OriginSide::Idle,
            slot: Some(tries.slot),
            window: Window::new(self.windows.clone()),
            followers: Followers::default(),
            copies: Copies::default(),
        };
        let begun = self.begin_stream(cx, fill, context, stream, storable, (waiters, &sent));
        HeadStep::Streams(Begun { replaced, others, ..begun })
    }

    /// Remembers a key whose answers cannot be stored, and forgets one whose answer can.
    fn learn_of_storing(
        &mut self,
        cx: &mut Context<C>,
        (target, caller): (CacheKey, Caller),
        status: u16,
        storable: Storable,
    ) {
        if storable == Storable::Yes {
            return self.forget_uncacheable(target);
        }
        let Some(why) = uncacheable::says_so(status, storable, cx.config.plant) else { return };
        if cx.config.uncacheable.is_zero() {
            return;
        }
        if !self.uncacheable.holds((target, caller), cx.now) {
            cx.event(FetchEvent::FoundUncacheable { key: target, why });
        }
        self.uncacheable.remember((target, caller), cx.now.after(cx.config.uncacheable));
    }

    /// A response turned out to be one variant of its target: it is filed under that one's key.
    fn file_under(
        &mut self,
        cx: &Context<C>,
        fill: FillId,
        context: FetchContext<C>,
        variant: CacheKey,
    ) -> FetchContext<C> {
        if variant == context.key || context.sharing == Sharing::Private {
            return context;
        }
        self.end_flight(context.key, fill);
        if context.sharing == Sharing::Open {
            // One that has its whole body gives way: it may be gone before this one is, and then nobody would
            // lead.
            if let Some(other) = self.flights.get(&variant).copied()
                && self.has_ended(other)
            {
                self.end_flight(variant, other);
            }
            self.lead_flight(variant, fill, cx.now);
        }
        FetchContext { key: variant, ..context }
    }

    fn has_ended(&self, fill: FillId) -> bool {
        match self.fills.get(&fill).map(|fill| &fill.stage) {
            Some(Stage::Streaming(stream)) => stream.source == OriginSide::Ended,
            Some(Stage::Looking { .. } | Stage::Asking(_) | Stage::Resting { .. }) | None => false,
        }
    }

    /// Takes those from `waiters` whom the response to `sent` does not answer (failure T12). What may not be
    /// stored answers nobody but its leader, and parts nobody here.
    fn part_from(
        &self,
        context: &FetchContext<C>,
        sent: &Sent,
        judged: &Judgement,
        waiters: &mut Vec<RequestId>,
    ) -> Vec<RequestId> {
        let (Vary::Fields(names), Storable::Yes) = (&judged.vary, judged.storable) else { return Vec::new() };
        let variant = |ask: &RequestHead| variant_key(context.target, names, &ask.fields);
        let served = variant(&sent.ask);
        waiters.extract_if(.., |request| variant(self.ask(*request)) != served).collect()
    }

    /// Takes those from `waiters` who ask for themselves, because they or who led have credentials, and the
    /// answer is not one that the cache may give to all of them by itself (`is_shared`): the origin is to see
    /// everybody's own (RFC 9111 section 3.5).
    fn part_by_credentials(
        &self,
        (sent, leader): (&RequestHead, Option<RequestId>),
        is_shared: bool,
        waiters: &mut Vec<RequestId>,
    ) -> Vec<RequestId> {
        if is_shared {
            return Vec::new();
        }
        let brought = has_credentials(&sent.fields);
        let parts = |request: &mut RequestId| {
            Some(*request) != leader && (brought || has_credentials(&self.ask(*request).fields))
        };
        waiters.extract_if(.., parts).collect()
    }

    /// The body is about to come: to all who wait and into all tiers if it may be shared, to the leader
    /// otherwise.
    fn begin_stream(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        mut context: FetchContext<C>,
        stream: Stream<C>,
        storable: Storable,
        (mut readers, sent): (Vec<RequestId>, &Sent),
    ) -> Begun<C> {
        let leader = sent.leader;
        let is_usable = stream.staleness.is_usable(&stream.freshness, cx.now);
        let alone = if storable != Storable::Yes || !is_usable {
            // What may not be used without the origin's word may not be shared: all but who led, if that one
            // is still here, ask for themselves.
            let leads = leader.is_some() && readers.first() == leader.as_ref();
            readers.split_off(usize::from(leads))
        } else {
            self.part_by_credentials((&sent.ask, leader), stream.staleness.is_shared(), &mut readers)
        };
        if storable != Storable::Yes && context.sharing == Sharing::Open {
            self.end_flight(context.key, fill);
            context.sharing = Sharing::Closed;
        }
        readers.retain(|request| {
            let is_reader = stream.share(self.ask(*request), cx.wall()) != Share::Nothing;
            if !is_reader {
                self.waiting.remove(request);
                cx.pass(*request, Bypass::Range);
            }
            is_reader
        });
        let (is_open, reason) = (context.sharing == Sharing::Open, context.reason);
        self.fills.insert(fill, Fill { context, stage: Stage::Streaming(stream) });
        Begun { replaced: None, is_open, readers, alone, reason, others: None }
    }

    /// A 304 to our own condition: it freshens what is stored, or, if it is about something else, we ask
    /// without one.
    fn on_not_modified(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        mut context: FetchContext<C>,
        (mut waiters, leader): (Vec<RequestId>, Option<RequestId>),
        judged: Judged,
    ) -> HeadStep<C> {
        let stored = context.stored.take();
        self.end_asking(cx, fill, &context);
        stop_bodiless(cx, fill, context.target);
        let updates = |stored: &Stored<C>| {
            let rule = cx.config.policy.changed_validator;
            stays_filed(&context, &judged)
                && revalidate::selects(rule, stored.head(), &judged.head) == revalidate::Selection::Updates
        };
        match stored {
            Some(stored) if updates(&stored) => {
                let freshened = judged.freshen(cx, &stored);
                // What may not be kept is no answer for others: all but who led ask for themselves.
                let alone = if freshened.may_stay {
                    let (staleness, freshness) = (freshened.stored.staleness(), freshened.stored.freshness());
                    let is_shared = staleness.is_shared() && staleness.is_usable(freshness, cx.now);
                    self.part_by_credentials((&judged.ask, leader), is_shared, &mut waiters)
                } else {
                    let leads = leader.is_some() && waiters.first() == leader.as_ref();
                    waiters.split_off(usize::from(leads))
                };
                let waiters = self.take_waiters(waiters);
                HeadStep::Freshens(NotModified { context, waiters, alone, stored, freshened })
            }
            stored => HeadStep::AsksAgain(FetchContext { stored, ..context }, waiters),
        }
    }

    /// Asks for the whole what a 304 was no answer about. The misses of those who wait were told when the
    /// origin was asked first.
    pub(in crate::machine) fn ask_without_condition(
        &mut self,
        cx: &mut Context<C>,
        context: FetchContext<C>,
        waiters: Vec<RequestId>,
    ) -> Option<Over<C>> {
        let next = FillId(cx.ids.mint());
        if context.sharing == Sharing::Open {
            self.flights.insert(context.key, next);
        }
        self.wait_for(next, &waiters);
        self.ask_origin(cx, next, context, waiters, 1)
    }

    /// One fetch for all of these, who wait for one variant, whom later requests join. Their misses were told
    /// when they came.
    pub(in crate::machine) fn fetch_for(
        &mut self,
        cx: &mut Context<C>,
        group: &Group,
        variant: CacheKey,
        requests: Vec<RequestId>,
    ) -> Option<Over<C>> {
        let at = StoredKey { target: group.target, key: variant };
        let fill = self.lead(cx, at, &requests);
        let context = FetchContext::new(at, group.uri.clone(), group.origin, Sharing::Open, group.reason);
        self.ask_origin(cx, fill, context, requests, 1)
    }
}

/// Stops a fetch with its head: its body is not wanted.
pub(in crate::machine) fn stop_bodiless<C: Chunk>(cx: &mut Context<C>, fill: FillId, key: CacheKey) {
    cx.effect(Effect::Cancel { fill });
    let received = ByteCount::ZERO;
    cx.event(FetchEvent::FetchEnded { fill, key, received, end: FetchEnd::Complete });
}

/// Is the response that a 304 is about filed under what the 304 says it depends on? If not, it is no answer
/// to all who wait under that key.
fn stays_filed<C>(context: &FetchContext<C>, not_modified: &Judged) -> bool {
    match Vary::of(&not_modified.head) {
        Vary::Nothing => true,
        Vary::Fields(names) => variant_key(context.target, &names, &not_modified.ask.fields) == context.key,
        Vary::Anything => false,
    }
}

/// When a request that was made at `since` was sent, on the calendar.
fn sent_at<C: Chunk>(cx: &Context<C>, since: Instant) -> WallTime {
    let since = if cx.config.is_planted(Fault::X14) { cx.now } else { since };
    cx.wall().before(cx.now.since(since))
}

pub(super) fn freshness_of(now: Instant, judged: &Judgement) -> Freshness {
    Freshness { as_of: now, age_then: judged.initial_age, lifetime: judged.lifetime.span() }
}
