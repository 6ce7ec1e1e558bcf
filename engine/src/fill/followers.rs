//! Who reads a stream, and where each of them is.

use crate::id::RequestId;
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
};
use core::ops::Bound;

/// Readers that are kept without an allocation. Most bodies have one, and a few more are still found fast one by one.
const FEW: usize = 3;

/// Readers and their positions.
#[derive(Debug)]
pub(crate) enum Followers {
    /// In no order.
    Few([Option<Follower>; FEW]),
    /// There were more than a few at some time.
    Crowd(Box<Crowd>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Follower {
    request: RequestId,
    /// It was handed everything before this.
    position: u64,
}

/// The slowest of a crowd is found at once, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    positions: BTreeMap<RequestId, u64>,
    by_position: BTreeSet<(u64, RequestId)>,
}

impl Default for Followers {
    fn default() -> Self {
        Self::Few([None; FEW])
    }
}

impl Followers {
    /// Takes in a reader, at the first byte.
    pub(crate) fn insert(&mut self, request: RequestId) {
        let follower = Follower { request, position: 0 };
        match self {
            Self::Crowd(crowd) => crowd.set(follower),
            Self::Few(few) => match few.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(follower),
                None => {
                    let mut crowd = Box::<Crowd>::default();
                    few.iter().flatten().chain([&follower]).for_each(|follower| crowd.set(*follower));
                    *self = Self::Crowd(crowd);
                }
            },
        }
    }

    pub(crate) fn remove(&mut self, request: RequestId) {
        match self {
            Self::Crowd(crowd) => crowd.remove(request),
            Self::Few(few) => {
                let place = few.iter_mut().find(|place| place.is_some_and(|known| known.request == request));
                place.map(Option::take);
            }
        }
    }

    /// A reader was handed everything before `position`.
    pub(crate) fn move_to(&mut self, request: RequestId, position: u64) {
        match self {
            Self::Crowd(crowd) => crowd.set(Follower { request, position }),
            Self::Few(few) => {
                let moved = few.iter_mut().flatten().find(|known| known.request == request);
                moved.expect("who reads a stream is known to it").position = position;
            }
        }
    }

    /// Where the slowest reader is.
    pub(crate) fn slowest(&self) -> Option<u64> {
        match self {
            Self::Crowd(crowd) => crowd.by_position.first().map(|(position, _)| *position),
            Self::Few(few) => few.iter().flatten().map(|known| known.position).min(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Crowd(crowd) => crowd.positions.len(),
            Self::Few(few) => few.iter().flatten().count(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who asked next after `last`; first of all, after nobody. So all can be gone through while some leave.
    pub(crate) fn after(&self, last: Option<RequestId>) -> Option<RequestId> {
        match self {
            Self::Crowd(crowd) => {
                let behind = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
                crowd.positions.range(behind).next().map(|(request, _)| *request)
            }
            Self::Few(few) => {
                let requests = few.iter().flatten().map(|known| known.request);
                requests.filter(|request| Some(*request) > last).min()
            }
        }
    }
}

impl Crowd {
    fn set(&mut self, follower: Follower) {
        let Follower { request, position } = follower;
        if let Some(before) = self.positions.insert(request, position) {
            self.by_position.remove(&(before, request));
        }
        self.by_position.insert((position, request));
    }

    fn remove(&mut self, request: RequestId) {
        if let Some(position) = self.positions.remove(&request) {
            self.by_position.remove(&(position, request));
        }
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
                        followers.insert(request);
                        model.insert(request, 0);
                    }
                    (Some(position), 0..3) => {
                        *position += distance;
                        followers.move_to(request, *position);
                    }
                    (_, _) => {
                        followers.remove(request);
                        model.remove(&request);
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
