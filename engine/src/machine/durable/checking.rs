//! The bytes that come out of L3 are checked by who reads them: the digest of what was read whole must be the one in the
//! manifest. Each reader makes its own, as its bytes pass; parts cannot be checked.
//!
//! The last chunk is held back until the digest is known: a body that is not what was uploaded breaks off visibly, and
//! no promotion of it is published.

use super::{Durable, TIER, Work};
use crate::machine::context::Context;
use crate::{
    chunk::Chunk,
    durable::{BodyDigest, Seen},
    event::{Event, TierOperation},
    id::{RecordId, RecordName, RequestId},
    plant::Fault,
    time::Instant,
    units::ByteCount,
};

/// What an open record must turn out to be.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) name: RecordName,
    pub(super) length: ByteCount,
    pub(super) digest: BodyDigest,
    /// The entry that led to it, to take the manifest back if it lied, and to give it another head.
    pub(super) seen: Seen,
    /// When it was seen.
    pub(super) at: Instant,
}

impl<C: Chunk> Durable<C> {
    /// Takes what was read of a piece (its first byte, and how many there are) into the reader's digest, if that piece is
    /// the whole. At its end: is the digest the manifest's?
    pub(in crate::machine) fn agrees_with_manifest(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        record: RecordId,
        (first, count): (u64, u64),
        chunk: &C,
    ) -> bool {
        let Some(opened) = self.opened.get(&record) else { return true };
        if (first, count) == (0, opened.length.0) {
            self.digests.insert(request, C::Digest::default());
        }
        let Some(digest) = self.digests.get_mut(&request) else { return true };
        chunk.digest_into(digest);
        let is_planted = cx.config.is_planted(Fault::X60);
        if chunk.size() < count || is_planted || C::digest_of(digest) == opened.digest {
            return true;
        }
        let (key, name, repair) = (opened.seen.key, opened.name, opened.seen.repair());
        cx.event(Event::TierFailed { tier: TIER, operation: TierOperation::Read });
        cx.event(Event::Corrupt { key, name });
        if let Some(ask) = repair {
            cx.ask_durable(Work::Besides, ask);
        }
        false
    }

    /// A reader is done.
    pub(in crate::machine) fn forget_digest(&mut self, request: RequestId) {
        self.digests.remove(&request);
    }

    /// An open record was closed.
    pub(in crate::machine) fn on_released(&mut self, record: RecordId) {
        self.opened.remove(&record);
    }
}
