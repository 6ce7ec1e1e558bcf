//! Promotions: what a hit in one tier copies into faster ones while it streams.
//!
//! The copy into L0 is made in step with the reader and becomes visible when the whole record was read. Copies into
//! byte tiers go through lanes, which outlive the reader. A promotion never restarts a lifetime (failure F4), never
//! holds its reader back (P2), and ends without a trace when the reader leaves (failure T6).

use super::{
    Copied, Copying, collected,
    lanes::{Owner, Source},
};
use crate::machine::context::Context;
use crate::{
    chunk::Chunk,
    config::Promotion,
    fill::{Copies, Kept},
    head::{Head, Length},
    id::{PromotionId, RequestId, TierId, WriterId},
    key::StoredKey,
    memory::Resident,
    reason::LaneEnd,
    record::Freshness,
    rules::Staleness,
    selector::Place,
    units::ByteCount,
};
use alloc::{collections::BTreeSet, sync::Arc, vec::Vec};

/// Copies being made of one record.
#[derive(Debug)]
pub(in crate::machine) struct Promoting<C> {
    pub(in crate::machine) at: StoredKey,
    from: TierId,
    pub(in crate::machine) place: Place,
    pub(in crate::machine) head: Arc<Head>,
    length: ByteCount,
    freshness: Freshness,
    staleness: Staleness,
    copies: Copies<C>,
}

impl<C: Chunk> Copying<C> {
    /// Begins to copy a record that is about to be read, as far as the policies of its edges ask for it. One reader of
    /// a key does so at a time.
    pub(in crate::machine) fn begin_promotion(
        &mut self,
        cx: &mut Context<C>,
        kept: &Kept<C>,
        request: RequestId,
        place: Place,
    ) -> Option<PromotionId> {
        let Kept { tier, record, freshness, staleness, .. } = kept;
        let (freshness, staleness) = (*freshness, *staleness);
        let (at, key) = (record.stored_key(), record.key);
        if self.promoted.contains_key(&key) {
            return None;
        }
        let wants = |promotion: &Promotion, hits: u32| match promotion {
            Promotion::Never => false,
            Promotion::OnStreamCommitAtFinish => true,
            Promotion::NeverIfLengthUnknown => record.head.length() != Length::Unknown,
            Promotion::AfterHits(wanted) => hits >= *wanted,
        };
        let counts = |edge: &(TierId, Promotion)| matches!(edge.1, Promotion::AfterHits(_));
        let hits = if tier.promotes.iter().flatten().any(counts) { self.hits.count(key) } else { 0 };
        let into = |wanted: TierId| {
            tier.promotes.iter().flatten().any(|(into, promotion)| *into == wanted && wants(promotion, hits))
        };
        let l0 = cx.config.l0.filter(|_| into(TierId::L0));
        let tiers: Vec<_> = cx.config.tiers.iter().filter(|tier| into(tier.id)).copied().collect();
        if l0.is_none() && tiers.is_empty() {
            return None;
        }
        let promotion = PromotionId(cx.ids.mint());
        let length = Length::Known(record.length);
        let copied = Copied { at, place: &place, head: &record.head, staleness, length };
        let source = Source { owner: Owner::Promotion(promotion), promotes: Some((tier.id, request)) };
        let copies = self.open_copies(cx, source, copied, l0, &tiers, None);
        if copies.is_empty() {
            return None;
        }
        let head = Arc::clone(&record.head);
        let promoting =
            Promoting { at, from: tier.id, place, head, length: record.length, freshness, staleness, copies };
        self.promotions.insert(promotion, promoting);
        self.promoted.insert(key, promotion);
        Some(promotion)
    }

    /// A chunk was read; with it, `read` bytes.
    pub(in crate::machine) fn feed_promotion(
        &mut self,
        cx: &mut Context<C>,
        promotion: PromotionId,
        read: ByteCount,
        chunk: &C,
    ) {
        let promoting = self.promotion(promotion);
        let (at, mut copies) = (promoting.at, core::mem::take(&mut promoting.copies));
        self.feed_copies(cx, at, &mut copies, read, chunk);
        self.promotion(promotion).copies = copies;
    }

    /// The reader has read it all, and its response has ended (C2): what L0 has collected, under which key, and from where.
    pub(in crate::machine) fn take_collected(
        &mut self,
        promotion: PromotionId,
    ) -> Option<(StoredKey, Resident<C>, TierId)> {
        let promoting = self.promotion(promotion);
        let Promoting { at, from, length, staleness, copies, head, place, .. } = promoting;
        let length = Length::Known(*length);
        let copied = Copied { at: *at, place, head, staleness: *staleness, length };
        collected(copied, copies, promoting.freshness).map(|resident| (*at, resident, *from))
    }

    /// The same for the byte tiers, after L0.
    pub(in crate::machine) fn end_promotion(&mut self, cx: &mut Context<C>, promotion: PromotionId) {
        let promoting = self.promotion(promotion);
        let Promoting { at, from, length, staleness, .. } = *promoting;
        let (head, place) = (Arc::clone(&promoting.head), promoting.place.clone());
        let freshness = promoting.freshness;
        let copies = core::mem::take(&mut promoting.copies);
        let copied = Copied { at, place: &place, head: &head, staleness, length: Length::Known(length) };
        self.end_copies(cx, copied, &copies, freshness, Some(from));
        self.promotion(promotion).copies = copies;
        self.promoted.remove(&at.key);
        self.settle_promotion(cx, promotion);
    }

    /// The reader left, or could not read on.
    pub(in crate::machine) fn abandon_promotion(&mut self, cx: &mut Context<C>, promotion: PromotionId) {
        self.drop_promotion(cx, promotion, LaneEnd::Abandoned);
        self.promoted.remove(&self.promotions[&promotion].at.key);
        self.settle_promotion(cx, promotion);
    }

    /// Stops what must not be published. Says which tiers are just publishing it.
    pub(in crate::machine) fn drop_promotion(
        &mut self,
        cx: &mut Context<C>,
        promotion: PromotionId,
        why: LaneEnd,
    ) -> Vec<WriterId> {
        let promoting = self.promotion(promotion);
        let (at, mut copies) = (promoting.at, core::mem::take(&mut promoting.copies));
        let committing = self.abandon_copies(cx, at, &mut copies, why);
        self.promotion(promotion).copies = copies;
        committing
    }

    /// Ends a promotion whose copies are all made or given up, and whose reader is done.
    pub(in crate::machine) fn settle_promotion(&mut self, cx: &mut Context<C>, promotion: PromotionId) {
        let promoting = &self.promotions[&promotion];
        let is_read = self.promoted.get(&promoting.at.key) == Some(&promotion);
        if is_read || self.is_copying(&promoting.copies) {
            return;
        }
        let promoting = self.promotions.remove(&promotion).expect("it was found above");
        self.close_lanes(cx, &promoting.copies.lanes);
    }

    fn promotion(&mut self, promotion: PromotionId) -> &mut Promoting<C> {
        self.promotions.get_mut(&promotion).expect("a promotion lasts until it is settled")
    }

    /// Stops these promotions, read or only being published. Says which tiers are just publishing one.
    pub(in crate::machine) fn close_promotions(
        &mut self,
        cx: &mut Context<C>,
        is_meant: impl Fn(&Promoting<C>) -> bool,
    ) -> BTreeSet<WriterId> {
        let meant = self.promotions.names_of(is_meant);
        let mut committing = BTreeSet::new();
        for promotion in meant {
            committing.extend(self.drop_promotion(cx, promotion, LaneEnd::Superseded));
            self.settle_promotion(cx, promotion);
        }
        committing
    }
}
