//! What is known of one key: what is there now, and what a crash may leave.

use super::objects::Version;
use std::collections::BTreeSet;

/// What may be found of one key after a crash, and what is there now.
#[derive(Clone, Debug)]
pub struct Known {
    /// What a lookup finds now.
    pub current: Option<Version>,
    /// What was durable last.
    base: BTreeSet<Option<Version>>,
    /// What came after it.
    later: Vec<Later>,
}

#[derive(Clone, Copy, Debug)]
struct Later {
    state: Option<Version>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was asked for.
    Pending,
    /// It failed, or came by itself; it may be there or not.
    Maybe,
    /// It was acknowledged, as the so-manieth thing that was.
    Done(u64),
}

impl Known {
    pub(super) fn new() -> Self {
        Self { current: None, base: BTreeSet::from([None]), later: Vec::new() }
    }

    /// May this be what a crash leaves?
    pub fn allows(&self, state: Option<Version>) -> bool {
        self.base.contains(&state) || self.later.iter().any(|later| later.state == state)
    }

    /// May a crash leave anything?
    pub fn allows_any(&self) -> bool {
        self.base.iter().any(Option::is_some) || self.later.iter().any(|later| later.state.is_some())
    }

    /// Every version that is there, was asked for, or may be left by a crash.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        let later = self.later.iter().map(|later| later.state);
        self.base.iter().copied().chain(later).chain([self.current]).flatten()
    }

    pub(super) fn begin(&mut self, state: Option<Version>) {
        self.later.push(Later { state, standing: Standing::Pending });
    }

    pub(super) fn end(&mut self, state: Option<Version>, standing: Standing) {
        self.later.retain(|later| later.standing != Standing::Pending);
        self.later.push(Later { state, standing });
        if let Standing::Done(_) = standing {
            self.current = state;
        }
    }

    /// All that was asked for failed, or is overtaken: any of it may be left.
    pub(super) fn end_in_doubt(&mut self) {
        for later in &mut self.later {
            if later.standing == Standing::Pending {
                later.standing = Standing::Maybe;
            }
        }
    }

    /// It may be gone, by itself.
    pub(super) fn may_be_gone(&mut self) {
        self.later.push(Later { state: None, standing: Standing::Maybe });
    }

    /// Was this asked for and not answered?
    pub(super) fn awaits(&self, state: Option<Version>) -> bool {
        self.later.iter().any(|later| later.standing == Standing::Pending && later.state == state)
    }

    /// Another store goes on with this. What is durable has not changed.
    pub(super) fn heal(&mut self, state: Option<Version>) {
        self.end_in_doubt();
        self.current = state;
        self.later.push(Later { state, standing: Standing::Maybe });
    }

    pub(super) fn settle(&mut self, state: Option<Version>) {
        self.current = state;
        self.base = BTreeSet::from([state]);
        self.later.clear();
    }

    /// Everything that was done by then is durable.
    pub(super) fn on_synced(&mut self, through: u64) {
        let is_covered = |later: &Later| matches!(later.standing, Standing::Done(at) if at <= through);
        if let Some(last) = self.later.iter().rposition(is_covered) {
            self.base = BTreeSet::from([self.later[last].state]);
            self.later.drain(..=last);
        }
    }
}
