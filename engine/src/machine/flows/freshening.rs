//! Records of byte tiers that answer, fresh or not; and what a 304 does to what is stored, wherever it is.
//!
//! A stale record is served where a window allows it, stands in for an origin that fails, and after a 304 streams to all
//! who wait under the merged head. The tier is then told to keep that head. What is stale is copied nowhere.

use crate::machine::{
    Engine, Pending,
    clients::{Demand, Progress},
};
use crate::{
    chunk::Chunk,
    effect::{Effect, Freshening, Outcome, Reply, ReplyBody, StaleUse},
    event::{Event, TierOperation},
    fill::{Errand, Kept, Sharing, Stored},
    head::{Head, Length, Method, RequestHead},
    id::{RecordName, RequestId, TierId},
    key::{CacheKey, StoredKey},
    memory::Resident,
    reason::{End, Storable},
    record::{Freshness, Record},
    rules::{self, Piece, Share, Staleness, reuse, revalidate},
    selector::Place,
    time::WallTime,
    units::ByteCount,
};
use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

/// Is what a reader reads copied into faster tiers?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Promote {
    /// As the policies of the tier's edges say.
    AsConfigured,
    /// It is not.
    No,
}

/// What a 304 makes of a stored response.
#[derive(Clone, Debug)]
pub(in crate::machine) struct Lease {
    pub(in crate::machine) head: Arc<Head>,
    pub(in crate::machine) freshness: Freshness,
    pub(in crate::machine) staleness: Staleness,
    /// May it stay stored?
    pub(in crate::machine) storable: Storable,
}

/// A freshening that is with a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct Freshen {
    tier: TierId,
    at: StoredKey,
    name: RecordName,
    freshness: Freshness,
    length: ByteCount,
    size: ByteCount,
}

impl<C: Chunk> Engine<C> {
    /// What a request gets of a stored response.
    pub(in crate::machine) fn share_of(
        &mut self,
        ask: &RequestHead,
        head: &Head,
        length: ByteCount,
        freshness: Freshness,
    ) -> Share {
        let now = self.cx.wall();
        let received = now.before(self.cx.now.since(freshness.as_of));
        rules::share(ask, head, length.0, received, now, || self.cx.boundaries.wide_bits())
    }

    /// Answers a waiting request from an open record: with all of it, or with what its method, conditions and ranges
    /// leave. Only what is sent is read, and only who reads the whole copies it (failure T7).
    pub(in crate::machine) fn serve_record(
        &mut self,
        kept: &Kept<C>,
        target: CacheKey,
        request: RequestId,
        outcome: Outcome,
        promote: Promote,
    ) {
        self.tell_outcome(request, target, outcome);
        let ask = Arc::clone(self.clients.ask(request));
        let stored = &kept.record;
        let share = self.share_of(&ask, &stored.head, stored.length, kept.freshness);
        if let Some(body) = &kept.body {
            return self.serve_at_once(kept, body, request, &ask, outcome, (promote, share));
        }
        let whole = Piece::Bytes { first: 0, count: stored.length.0 };
        let (head, mut pieces, is_whole) = match share {
            Share::Whole => (Arc::clone(&stored.head), VecDeque::from([whole]), true),
            Share::Pieces(head, pieces) => (Arc::new(head), VecDeque::from(pieces), false),
        };
        let length = pieces.iter().fold(0, |sum, piece| sum + piece.size());
        let age = kept.freshness.age(self.cx.now);
        let fresh_for = kept.freshness.lifetime.saturating_sub(age);
        let (length, body) = (Length::Known(ByteCount(length)), ReplyBody::Streamed);
        self.cx
            .effect(Effect::Serve { request, reply: Reply { head, length, age, fresh_for, outcome, body } });
        pieces.retain(|piece| piece.size() > 0);
        if ask.method != Method::Get || pieces.is_empty() {
            return self.clients.finish(&mut self.cx, request, End::Complete);
        }
        let promotion = match promote {
            Promote::AsConfigured if is_whole => {
                self.copying.begin_promotion(&mut self.cx, kept, request, Place::of(&ask))
            }
            Promote::AsConfigured | Promote::No => None,
        };
        self.clients.records.get_mut(&kept.id).expect("a record is open while it is kept").holders += 1;
        let reading =
            self.clients.requests.get_mut(&request).expect("waiters are requests that have not ended");
        let demand = Demand::None;
        reading.progress = Progress::Reading { record: kept.id, pieces, demand, read: None, promotion };
    }

    /// The same where the body is at hand: nothing is read, the request is over at once, and so are copies for L0.
    fn serve_at_once(
        &mut self,
        kept: &Kept<C>,
        body: &C,
        request: RequestId,
        ask: &RequestHead,
        outcome: Outcome,
        (promote, share): (Promote, Share),
    ) {
        let Kept { record, freshness, staleness, .. } = kept;
        let resident = Arc::new(Resident {
            head: Arc::clone(&record.head),
            chunks: if record.length.0 > 0 { Vec::from([body.clone()]) } else { Vec::new() },
            length: record.length,
            freshness: *freshness,
            staleness: *staleness,
            place: Place::of(ask),
        });
        let copies = match (promote, &share) {
            (Promote::AsConfigured, Share::Whole) => ask.method == Method::Get && record.length.0 > 0,
            (Promote::AsConfigured, Share::Pieces(..)) | (Promote::No, _) => false,
        };
        let promotion = if copies {
            self.copying.begin_promotion(&mut self.cx, kept, request, Place::of(ask))
        } else {
            None
        };
        let key = self.clients.requests[&request].key;
        self.clients.reply_at_once(&mut self.cx, request, key, &resident, outcome, share);
        if let Some(promotion) = promotion {
            self.copying.feed_promotion(&mut self.cx, promotion, record.length, body);
            self.end_promotion(promotion);
        }
    }

    fn tell_outcome(&mut self, request: RequestId, key: CacheKey, outcome: Outcome) {
        self.cx.event(match outcome {
            Outcome::Hit { tier } => Event::Hit { request, key, tier },
            Outcome::Stale { tier, why } => Event::ServedStale { request, key, tier, why },
            Outcome::Revalidated { tier } => Event::Revalidated { request, key, tier },
            Outcome::Miss { .. } => unreachable!("a record that answers is no miss"),
        });
    }

    /// A fill is done with what it kept.
    pub(in crate::machine) fn let_go(&mut self, stored: Option<Stored<C>>) {
        match stored {
            Some(Stored::Record(kept)) => self.close_reader(kept.id),
            Some(Stored::Resident(_)) | None => {}
        }
    }

    /// Answers all who wait with what is stored, because the origin failed, if a window allows it. Returns those whom it
    /// could not answer: all or none.
    pub(in crate::machine) fn stand_in(
        &mut self,
        errand: &Errand<C>,
        waiters: Vec<RequestId>,
    ) -> Result<(), Vec<RequestId>> {
        let Some(stored) = errand.stored.clone().filter(|stored| {
            reuse::usable_on_error(&self.purging.trust(self.cx.now).in_stored(stored.stored(self.cx.now)))
        }) else {
            return Err(waiters);
        };
        match stored {
            Stored::Resident(resident) => self.serve_resident_instead(errand.target, waiters, &resident),
            Stored::Record(kept) => {
                let outcome = Outcome::Stale { tier: kept.tier.id, why: StaleUse::IfError };
                for request in waiters {
                    self.serve_record(&kept, errand.target, request, outcome, Promote::No);
                }
            }
        }
        Ok(())
    }

    /// The origin said that what is stored still holds: it gets a new lease, and all who wait get it (RFC 9111 section
    /// 4.3.4).
    pub(in crate::machine) fn freshen(
        &mut self,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
        ask: &RequestHead,
        not_modified: &Head,
        sent: WallTime,
    ) {
        let Some(stored) = errand.stored.clone() else {
            unreachable!("nothing is stored that {not_modified:?} could be about")
        };
        let lease = self.lease(ask, stored.head(), not_modified, sent);
        match stored {
            Stored::Resident(resident) => self.freshen_resident(&errand, waiters, &resident, lease),
            Stored::Record(kept) => self.freshen_record(&errand, waiters, &kept, lease),
        }
        self.let_go(errand.stored);
    }

    fn lease(&self, ask: &RequestHead, stored: &Head, not_modified: &Head, sent: WallTime) -> Lease {
        let received = self.cx.wall();
        let head = Arc::new(revalidate::merge(stored, not_modified, received));
        let judged = rules::judge(&self.cx.config.policy, ask, &head, sent, received);
        Lease {
            staleness: judged.staleness,
            freshness: Freshness {
                as_of: self.cx.now,
                age_then: judged.initial_age,
                lifetime: judged.lifetime.span(),
            },
            storable: judged.storable,
            head,
        }
    }

    /// All who wait read the record under its new head, and are copied from as in a hit; the tier is told of the head. A
    /// fill that a purge has closed freshens nothing.
    fn freshen_record(&mut self, errand: &Errand<C>, waiters: Vec<RequestId>, kept: &Kept<C>, lease: Lease) {
        let Lease { head, freshness, staleness, storable } = lease;
        let (tier, at) = (kept.tier, kept.record.stored_key());
        let stored_freshness = freshness.to_stored(self.cx.now, self.cx.wall());
        let record = Record { head, freshness: stored_freshness, ..kept.record.clone() };
        let freshened = Kept { record, freshness, staleness, ..kept.clone() };
        let may_stay = storable == Storable::Yes && errand.sharing == Sharing::Open;
        if may_stay {
            let record = Arc::new(freshened.record.clone());
            let pending = Freshen {
                tier: tier.id,
                at,
                name: record.name,
                freshness,
                length: record.length,
                size: self.cx.config.cost(record.length, &record.head),
            };
            if self.cx.is_durable(tier.id) {
                let (durable, cx) = self.durable();
                durable.freshen_manifest(cx, kept.id, record, pending);
            } else {
                let op = self.cx.operation(Pending::Freshen(pending));
                self.cx.effect(Effect::Freshen { op, tier: tier.id, record });
            }
        } else if errand.sharing == Sharing::Open {
            self.keep_no_copy(at);
            self.delete_record(tier.id, at, kept.record.name);
        }
        let promote = if may_stay { Promote::AsConfigured } else { Promote::No };
        for request in waiters {
            let outcome = Outcome::Revalidated { tier: tier.id };
            self.serve_record(&freshened, errand.target, request, outcome, promote);
        }
    }

    /// A 304 forbids to keep what is stored: nor is anything kept that is older and still on its way into a tier.
    pub(in crate::machine) fn keep_no_copy(&mut self, at: StoredKey) {
        drop(self.close_fills(|fill| fill.errand.at() == at));
        drop(self.copying.close_promotions(&mut self.cx, |promoting| promoting.at == at));
    }

    pub(in crate::machine) fn on_freshened(&mut self, freshen: Freshen, freshening: Freshening) {
        let Freshen { tier, at, name, freshness, length, size } = freshen;
        match freshening {
            Freshening::Done => {}
            // Whoever looks it up next finds what is there.
            Freshening::Overtaken | Freshening::Absent => return,
        }
        let (key, now) = (at.key, self.cx.now);
        // Purged while the tier freshened it: whoever finds it, if it is there at all, takes it for absent by its birth.
        if self.purging.is_purged(at.target, freshness.born(now, self.cx.wall())) {
            return;
        }
        self.cx.event(Event::Freshened { tier, key });
        let age = freshness.age(now);
        self.cx.event(Event::Stored { tier, key, name: Some(name), length, size, age, from: Some(tier) });
    }

    pub(in crate::machine) fn on_freshen_failed(&mut self, freshen: Freshen) {
        self.cx.event(Event::TierFailed { tier: freshen.tier, operation: TierOperation::Write });
    }
}
