//! What a 304 makes of a stored response, and the tier that is told of it (RFC 9111 section 4.3.4).

use super::{
    context::Context,
    fetching::Judged,
    stored::{OpenRecord, Stored},
};
use crate::{
    config::Config,
    durable::Told,
    language::{
        chunk::Chunk,
        effect::Freshening,
        event::{ResidenceEvent, ResilienceEvent, TierOperation},
        id::{RecordName, TierId},
        key::StoredKey,
        reason::Storable,
        record::{Freshness, Record},
        resident::Resident,
        units::ByteCount,
    },
};
use alloc::sync::Arc;

/// A freshening that is with a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshen {
    tier: TierId,
    pub(super) at: StoredKey,
    name: RecordName,
    pub(super) freshness: Freshness,
    length: ByteCount,
    size: ByteCount,
}

impl Freshen {
    /// An open record gets this head and lifetime.
    pub(super) fn of<C>(config: &Config, open: &OpenRecord<C>) -> Self {
        let OpenRecord { tier, record, freshness, .. } = open;
        Self {
            tier: tier.id,
            at: record.stored_key(),
            name: record.name,
            freshness: *freshness,
            length: record.length,
            size: config.cost(record.length, &record.head),
        }
    }

    /// The tier has done it.
    pub(super) fn tell<C: Chunk>(self, cx: &mut Context<C>) {
        let Self { tier, at, name, freshness, length, size } = self;
        let (key, age) = (at.key, freshness.age(cx.now));
        cx.event(ResidenceEvent::Freshened { tier, key });
        cx.event(ResidenceEvent::Stored { tier, key, name: Some(name), length, size, age, from: Some(tier) });
    }

    /// The tier could not.
    pub(super) fn fail<C: Chunk>(self, cx: &mut Context<C>) {
        cx.event(ResilienceEvent::TierFailed { tier: self.tier, operation: TierOperation::Write });
    }
}

/// What the durable tier's answer says of a freshening there; nothing, where it could not be done.
pub(super) fn freshening_of(told: Told) -> Option<Freshening> {
    match told {
        Told::Swapped { now: _ } => Some(Freshening::Done),
        Told::Conflict => Some(Freshening::Overtaken),
        Told::Unknown => None,
        Told::Entry { .. }
        | Told::Touched
        | Told::Opened { .. }
        | Told::NoBlob
        | Told::Deleted
        | Told::Listed { .. } => unreachable!("the answer to a swap was {told:?}"),
    }
}

/// A stored response under its new head.
pub(super) struct Freshened<C> {
    pub(super) stored: Stored<C>,
    /// May it stay stored?
    pub(super) may_stay: bool,
}

impl Judged {
    /// What this 304 makes of a stored response.
    pub(super) fn freshen<C: Chunk>(&self, cx: &Context<C>, stored: &Stored<C>) -> Freshened<C> {
        let (head, judgement) = self.merge(cx, stored.head());
        let staleness = judgement.staleness;
        let freshness =
            Freshness { as_of: cx.now, age_then: judgement.initial_age, lifetime: judgement.lifetime.span() };
        let stored = match stored {
            Stored::Resident(resident) => {
                let resident = Resident::clone(resident);
                Stored::Resident(Arc::new(Resident { head, freshness, staleness, ..resident }))
            }
            Stored::Record(open) => {
                let open = OpenRecord::clone(open);
                let stored_freshness = freshness.to_stored(cx.now, cx.wall());
                let record = Record { head, freshness: stored_freshness, ..open.record };
                Stored::Record(Arc::new(OpenRecord { record, freshness, staleness, ..open }))
            }
        };
        Freshened { stored, may_stay: judgement.storable == Storable::Yes }
    }
}
