//! The bytes that come out of L3 are checked by who reads them: the digest of what was read whole must be the
//! one in the manifest. Each reader makes its own, as its bytes pass; parts cannot be checked.
//!
//! The last chunk is held back until the digest is known: a body that is not what was uploaded breaks off
//! visibly, and no promotion of it is published.

use super::{TIER, Work};
use crate::machine::context::Context;
use crate::{
    durable::{BodyDigest, Seen},
    language::{
        chunk::Chunk,
        event::{DurableEvent, ResilienceEvent, TierOperation},
        id::RecordName,
        time::Instant,
        units::ByteCount,
    },
    plant::Fault,
};

/// What an open record must turn out to be.
#[derive(Clone, Debug)]
pub(in crate::machine) struct OpenedManifest {
    pub(super) name: RecordName,
    pub(super) length: ByteCount,
    pub(super) digest: BodyDigest,
    /// The entry that led to it, to take the manifest back if it lied, and to give it another head.
    pub(super) seen: Seen,
    /// When it was seen.
    pub(super) at: Instant,
    /// Was the body in the row? Then nothing is open.
    pub(super) is_in_row: bool,
}

impl OpenedManifest {
    /// Has the blob store something open for it?
    pub(in crate::machine) const fn is_open(&self) -> bool {
        !self.is_in_row
    }

    /// Takes what was read of a piece (its first byte, and how many there are) into a reader's digest, if
    /// that piece is the whole. At its end: is the digest the manifest's? The manifest of what is not is
    /// taken back.
    pub(in crate::machine) fn agrees<C: Chunk>(
        &self,
        cx: &mut Context<C>,
        reader: &mut Option<C::Digest>,
        (first, count): (u64, u64),
        chunk: &C,
    ) -> bool {
        if (first, count) == (0, self.length.0) {
            *reader = Some(C::Digest::default());
        }
        let Some(digest) = reader else { return true };
        chunk.digest_into(digest);
        let is_planted = cx.config.is_planted(Fault::X60);
        if chunk.size() < count || is_planted || C::digest_of(digest) == self.digest {
            return true;
        }
        let (key, name) = (self.seen.key, self.name);
        cx.event(ResilienceEvent::TierFailed { tier: TIER, operation: TierOperation::Read });
        cx.event(DurableEvent::Corrupt { key, name });
        if let Some(ask) = self.seen.repair() {
            cx.ask_durable(Work::Besides, ask);
        }
        false
    }
}
