//! Promotions: what a hit in one tier copies into faster ones while it streams.
//!
//! The copy into L0 is made in step with the reader and becomes visible when the whole record was read.
//! Copies into byte tiers go through lanes, which outlive the reader. A promotion never restarts a lifetime
//! (failure F4), never holds its reader back (P2), and ends without a trace when the reader leaves (failure
//! T6).

use super::{
    Copied, Copies, Copying, collected,
    lanes::{CopySource, Owner},
};
use crate::machine::{context::Context, stored::OpenRecord};
use crate::{
    config::Promotion,
    language::{
        chunk::Chunk,
        head::{Head, Length},
        id::{PromotionId, RequestId, TierId, WriterId},
        key::StoredKey,
        reason::LaneEnd,
        record::Freshness,
        resident::Resident,
        selector::TargetUri,
        units::ByteCount,
    },
    rules::Staleness,
};
use alloc::{collections::BTreeSet, sync::Arc, vec::Vec};

/// Copies being made of one record.
#[derive(Debug)]
pub(super) struct Promoting<C> {
    pub(super) at: StoredKey,
    from: TierId,
    pub(super) whole: Whole,
    copies: Copies<C>,
}

/// What is copied.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) uri: TargetUri,
    pub(super) head: Arc<Head>,
    length: ByteCount,
    freshness: Freshness,
    staleness: Staleness,
}

impl Whole {
    fn copied(&self, at: StoredKey) -> Copied<'_> {
        let Self { uri, head, staleness, length, .. } = self;
        Copied { at, uri, head, staleness: *staleness, length: Length::Known(*length), seen: None }
    }
}

impl<C: Chunk> Copying<C> {
    /// Begins to copy a record that is about to be read, as far as the policies of its edges ask for it. One
    /// reader of a key does so at a time.
    pub(in crate::machine) fn begin_promotion(
        &mut self,
        cx: &mut Context<C>,
        open: &OpenRecord<C>,
        request: RequestId,
        uri: TargetUri,
    ) -> Option<PromotionId> {
        let OpenRecord { tier, record, freshness, staleness, .. } = open;
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
        let head = Arc::clone(&record.head);
        let whole = Whole { uri, head, length: record.length, freshness, staleness };
        let source = CopySource { owner: Owner::Promotion(promotion), promotes: Some((tier.id, request)) };
        let copies = self.lanes.open_copies(cx, source, whole.copied(at), l0, &tiers);
        if copies.is_empty() {
            return None;
        }
        let promoting = Promoting { at, from: tier.id, whole, copies };
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
        let promoting = &mut self.promotions[&promotion];
        let (at, copies) = (promoting.at, &mut promoting.copies);
        self.lanes.feed_copies(cx, at, copies, read, chunk);
    }

    /// The reader has read it all, and its response has ended (C2): what L0 has collected, under which key,
    /// and from where.
    pub(in crate::machine) fn take_collected(
        &mut self,
        promotion: PromotionId,
    ) -> Option<(StoredKey, Resident<C>, TierId)> {
        let Promoting { at, from, copies, whole, .. } = &mut self.promotions[&promotion];
        collected(whole.copied(*at), copies, whole.freshness).map(|resident| (*at, resident, *from))
    }

    /// The same for the byte tiers, after L0.
    pub(in crate::machine) fn end_promotion(&mut self, cx: &mut Context<C>, promotion: PromotionId) {
        let Promoting { at, from, copies, whole } = &mut self.promotions[&promotion];
        let freshness = whole.freshness;
        self.lanes.end_copies(cx, whole.copied(*at), copies, freshness, Some(*from));
        self.promoted.remove(&at.key);
        self.settle_promotion(cx, promotion);
    }

    /// The reader left, or could not read on.
    pub(in crate::machine) fn abandon_promotion(&mut self, cx: &mut Context<C>, promotion: PromotionId) {
        let at = self.drop_promotion(cx, promotion, LaneEnd::Abandoned).0;
        self.promoted.remove(&at.key);
        self.settle_promotion(cx, promotion);
    }

    /// Stops what must not be published. Says what it was, and which tiers are just publishing it.
    fn drop_promotion(
        &mut self,
        cx: &mut Context<C>,
        promotion: PromotionId,
        why: LaneEnd,
    ) -> (StoredKey, Vec<WriterId>) {
        let Promoting { at, copies, .. } = &mut self.promotions[&promotion];
        (*at, self.lanes.abandon_copies(cx, *at, copies, why))
    }

    /// Ends a promotion whose copies are all made or given up, and whose reader is done.
    pub(in crate::machine) fn settle_promotion(&mut self, cx: &mut Context<C>, promotion: PromotionId) {
        let Promoting { at, copies, .. } = &self.promotions[&promotion];
        let is_read = self.promoted.get(&at.key) == Some(&promotion);
        if is_read || self.lanes.is_copying(copies) {
            return;
        }
        self.lanes.close_lanes(cx, &copies.lanes);
        self.promotions.remove(&promotion);
    }

    /// Stops these promotions, read or only being published. Says which tiers are just publishing one.
    pub(in crate::machine) fn close_promotions(
        &mut self,
        cx: &mut Context<C>,
        is_meant: impl Fn(StoredKey, &TargetUri, &Head) -> bool,
    ) -> BTreeSet<WriterId> {
        let meant =
            self.promotions.names_of(|Promoting { at, whole, .. }| is_meant(*at, &whole.uri, &whole.head));
        let mut committing = BTreeSet::new();
        for promotion in meant {
            committing.extend(self.drop_promotion(cx, promotion, LaneEnd::Superseded).1);
            self.settle_promotion(cx, promotion);
        }
        committing
    }
}
