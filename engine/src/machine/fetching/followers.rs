//! Who reads a stream, where each of them is, and what each of them waits for.

use crate::{
    language::id::{OpId, RequestId, WriterId},
    rules::ByteRange,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
};
use core::ops::Bound;

/// Readers that are kept without an allocation. Most bodies have one, and a few more are still found fast one
/// by one.
const FEW: usize = 3;

/// Readers and their positions.
#[derive(Debug)]
pub(super) enum Followers {
    /// In no order.
    Few([Option<Follower>; FEW]),
    /// There were more than a few at some time.
    Many(Box<Many>),
}

/// One reader of a body that is arriving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    request: RequestId,
    /// It was handed everything that it wants before this.
    position: u64,
    /// Where the part of it ends that it wants, if it wants no more.
    end: Option<u64>,
    /// Can it take a chunk now?
    pub(super) demands: bool,
    /// Where it reads back what has left the window.
    pub(super) rereading: Option<(OpId, WriterId)>,
}

impl Follower {
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Has it had the part that it wants?
    pub(super) fn has_part(&self) -> bool {
        self.end == Some(self.position)
    }

    /// Are so many bytes more the last of the part that it wants?
    pub(super) fn ends_with(&self, size: u64) -> bool {
        self.end == Some(self.position.saturating_add(size))
    }

    /// So many bytes from its position on are for it.
    pub(super) fn wants(&self, size: u64) -> u64 {
        self.end.map_or(size, |end| size.min(end - self.position))
    }
}

/// The slowest of a many is found at once, however many there are.
#[derive(Debug, Default)]
pub(super) struct Many {
    followers: BTreeMap<RequestId, Follower>,
    by_position: BTreeSet<(u64, RequestId)>,
}

impl Default for Followers {
    fn default() -> Self {
        Self::Few([None; FEW])
    }
}

impl Followers {
    /// Takes in a reader, of a part or of the whole.
    pub(super) fn insert(&mut self, request: RequestId, part: Option<ByteRange>) {
        let position = part.map_or(0, ByteRange::first);
        let end = part.map(|part| part.last() + 1);
        let follower = Follower { request, position, end, demands: false, rereading: None };
        match self {
            Self::Many(many) => many.insert(follower),
            Self::Few(few) => match few.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(follower),
                None => {
                    let mut many = Box::<Many>::default();
                    few.iter().flatten().chain([&follower]).for_each(|follower| many.insert(*follower));
                    *self = Self::Many(many);
                }
            },
        }
    }

    /// Takes a reader out, if it is here.
    pub(super) fn remove(&mut self, request: RequestId) -> Option<Follower> {
        match self {
            Self::Many(many) => many.remove(request),
            Self::Few(few) => few
                .iter_mut()
                .find(|place| place.is_some_and(|known| known.request == request))
                .and_then(Option::take),
        }
    }

    /// One of them.
    pub(super) fn get_mut(&mut self, request: RequestId) -> &mut Follower {
        let known = match self {
            Self::Many(many) => many.followers.get_mut(&request),
            Self::Few(few) => few.iter_mut().flatten().find(|known| known.request == request),
        };
        known.unwrap_or_else(|| panic!("{request:?} follows a stream that does not know it"))
    }

    /// A reader was handed this many bytes more.
    pub(super) fn advance(&mut self, request: RequestId, size: u64) {
        let follower = self.get_mut(request);
        let before = follower.position;
        follower.position = before.saturating_add(size);
        let position = follower.position;
        if let Self::Many(many) = self {
            many.by_position.remove(&(before, request));
            many.by_position.insert((position, request));
        }
    }

    /// Where the slowest reader is.
    pub(super) fn slowest(&self) -> Option<u64> {
        match self {
            Self::Many(many) => many.by_position.first().map(|(position, _)| *position),
            Self::Few(few) => few.iter().flatten().map(|known| known.position).min(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Many(many) => many.followers.len(),
            Self::Few(few) => few.iter().flatten().count(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who asked next after `last`; first of all, after nobody. So all can be gone through while some leave.
    pub(super) fn after(&self, last: Option<RequestId>) -> Option<RequestId> {
        match self {
            Self::Many(many) => {
                let later = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
                many.followers.range(later).next().map(|(request, _)| *request)
            }
            Self::Few(few) => {
                let requests = few.iter().flatten().map(|known| known.request);
                requests.filter(|request| Some(*request) > last).min()
            }
        }
    }
}

impl Many {
    fn insert(&mut self, follower: Follower) {
        self.by_position.insert((follower.position, follower.request));
        self.followers.insert(follower.request, follower);
    }

    fn remove(&mut self, request: RequestId) -> Option<Follower> {
        let follower = self.followers.remove(&request)?;
        self.by_position.remove(&(follower.position, request));
        Some(follower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        /// Few or many, they are told in the order in which they asked, and the slowest is the slowest.
        #[test]
        fn few_and_many_are_told_alike(steps in proptest::collection::vec((0_u64..9, 0_u8..4, 1_u64..5), 0..80)) {
            let (mut followers, mut model) = (Followers::default(), BTreeMap::new());
            for (request, step, distance) in steps {
                let request = RequestId(request);
                match (model.get_mut(&request), step) {
                    (None, 0..3) => {
                        followers.insert(request, None);
                        model.insert(request, 0);
                    }
                    (Some(position), 0..3) => {
                        *position += distance;
                        followers.advance(request, distance);
                    }
                    (_, _) => {
                        let left = followers.remove(request).map(|follower| follower.position());
                        prop_assert_eq!(left, model.remove(&request));
                    }
                }
                let all = core::iter::successors(followers.after(None), |last| followers.after(Some(*last)));
                prop_assert_eq!(all.collect::<Vec<_>>(), model.keys().copied().collect::<Vec<_>>());
                prop_assert_eq!(followers.slowest(), model.values().min().copied());
                prop_assert_eq!((followers.len(), followers.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
