//! I13: engine and driver keep to their contract with each other.
//!
//! Of the driver it checks that time does not go back, that effects and events are drained before the next
//! input, that each effect with an `op` is answered once and with an answer that fits, that no two open
//! requests or purges have one name, that a client demands one chunk at a time, and that recovery comes
//! before the first request. Of the engine it checks that no id is minted twice, that a response begins once,
//! gives one chunk for each demand and ends once, that nothing follows its end or its client's leaving, and
//! that records and writers are opened, used one call at a time, and closed last; that a purge claims of a
//! byte tier only what a delete or a stored ban there has told, and of one key is not done before what was
//! just being published then is; and that the local tier gets no lookup and no record before it has joined.
//! When everything has ended, nothing may be open.
//!
//! It does not judge what is decided, nor look into bodies and records; it forgets an edge that crashes with
//! its checker. An operation of a fetch that was cancelled may stay without an answer.

use crate::Violation;
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    Answer, CacheKey, Effect, FillId, Input, Instant, OpId, PurgeId, PurgeMode, PurgeOutcome, ReadSource,
    RecordId, ReplyBody, RequestId, Selector, TierId, WriterId, durable,
};

/// The rule, for one engine.
#[derive(Debug, Default)]
pub struct Contract {
    now: Instant,
    to_drain: bool,
    minted: u64,
    open: BTreeMap<OpId, Asked>,
    cancelled: BTreeSet<FillId>,
    /// Is the last input one whose answer may be adopted?
    is_offered: bool,
    has_begun: bool,
    requests: BTreeMap<RequestId, Client>,
    purges: BTreeMap<PurgeId, Purging>,
    told: BTreeMap<TierId, Word>,
    /// Local tiers that can be asked.
    joined: BTreeSet<TierId>,
    records: BTreeMap<RecordId, Handle>,
    writers: BTreeMap<WriterId, Handle>,
    /// Commits under way, but those of L3: to publish there takes more.
    commits: BTreeMap<OpId, CacheKey>,
    /// What each open writer writes.
    written: BTreeMap<WriterId, CacheKey>,
    /// Writers with a call under way: they make one at a time.
    writing: BTreeSet<WriterId>,
}

/// How often a byte tier has told what purges rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word {
    /// Something was deleted.
    found: u64,
    /// Something was deleted, or was not there.
    deleted: u64,
    /// A ban is stored.
    barred: u64,
}

/// A purge that is under way.
#[derive(Debug)]
struct Purging {
    /// What each byte tier had told when it was asked for.
    told: BTreeMap<TierId, Word>,
    /// What tiers were just publishing then of its key, if it is of one.
    commits: Vec<OpId>,
}

/// What an open operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Fetch(FillId),
    Pull(FillId),
    Lookup(RecordId),
    OpenBlob(RecordId),
    Read(ReadSource),
    Open(WriterId),
    Write(WriterId),
    Commit(WriterId),
    Freshen,
    Delete(TierId),
    StoreBan(TierId),
    Durable,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Waiting,
    Streaming { demands: bool },
}

/// How far a record or writer is that the engine has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handle {
    /// Its opening was not answered yet.
    Asked,
    Open,
    /// It could not be opened, or failed: it may only be closed.
    Failed,
}

type Checked = Result<(), String>;

fn named(checked: Checked) -> Result<(), Violation> {
    checked.map_err(|detail| Violation { rule: "I13", detail })
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Contract {
    /// The driver is about to hand over an input.
    ///
    /// # Errors
    /// It may not.
    pub fn on_input<C>(&mut self, now: Instant, input: &Input<C>) -> Result<(), Violation> {
        named(self.check_input(now, input))
    }

    /// The engine handed out an effect.
    ///
    /// # Errors
    /// It may not.
    pub fn on_effect<C>(&mut self, effect: &Effect<C>) -> Result<(), Violation> {
        named(self.check_effect(effect))
    }

    /// The store that was asked has fallen silent: this has no answer, and never gets one. What was to be
    /// opened is in doubt, and is to be closed.
    pub fn on_silence(&mut self, op: OpId) {
        self.commits.remove(&op);
        if let Some(Asked::Open(writer) | Asked::Write(writer) | Asked::Commit(writer)) =
            self.open.remove(&op)
        {
            self.writing.remove(&writer);
        }
    }

    /// The engine has no effects and events left.
    pub fn on_drained(&mut self) {
        self.to_drain = false;
    }

    /// Everything has ended.
    ///
    /// # Errors
    /// What is still open.
    pub fn on_end(&self) -> Result<(), Violation> {
        let open = self.open.iter().find(|(_, asked)| match asked {
            Asked::Fetch(fill) | Asked::Pull(fill) => !self.cancelled.contains(fill),
            Asked::Lookup(_)
            | Asked::OpenBlob(_)
            | Asked::Read(_)
            | Asked::Open(_)
            | Asked::Write(_)
            | Asked::Commit(_)
            | Asked::Freshen
            | Asked::Delete(_)
            | Asked::StoreBan(_)
            | Asked::Durable => true,
        });
        let first = [
            open.map(|(op, asked)| format!("{op:?} was never answered: {asked:?}")),
            self.requests.keys().next().map(|request| format!("{request:?} never ended")),
            self.purges.keys().next().map(|purge| format!("{purge:?} never ended")),
            self.records.keys().next().map(|record| format!("{record:?} was never released")),
            self.writers.keys().next().map(|writer| format!("{writer:?} was never discarded")),
        ];
        named(first.into_iter().flatten().next().map_or(Ok(()), Err))
    }

    fn check_input<C>(&mut self, now: Instant, input: &Input<C>) -> Checked {
        require(now >= self.now, || format!("time went back from {:?} to {now:?}", self.now))?;
        require(!self.to_drain, || "an input came before effects and events were drained".to_owned())?;
        (self.now, self.to_drain, self.is_offered) = (now, true, false);
        match input {
            Input::Request { request, .. } => {
                self.has_begun = true;
                let before = self.requests.insert(*request, Client::Waiting);
                require(before.is_none(), || format!("{request:?} is asked while it is open"))
            }
            Input::Demand { request } => match self.requests.get_mut(request) {
                Some(Client::Streaming { demands }) => {
                    require(!*demands, || format!("{request:?} demands a second chunk at a time"))?;
                    *demands = true;
                    Ok(())
                }
                Some(Client::Waiting) => Err(format!("{request:?} demands before it was served")),
                None => Ok(()),
            },
            Input::Leave { request } => {
                self.requests.remove(request);
                Ok(())
            }
            Input::Purge { purge, selector: Selector::Key(key), mode: PurgeMode::Hard } => {
                self.on_purge(*purge, Some(*key))
            }
            Input::Purge { purge, .. } => self.on_purge(*purge, None),
            Input::AnsweredAround { purge, key, .. } => {
                self.is_offered = true;
                self.on_purge(*purge, Some(*key))
            }
            Input::Recovered { tier, .. } => {
                require(!self.has_begun, || format!("{tier:?} was recovered after the first request"))
            }
            Input::TierJoined { tier, .. } => {
                require(self.joined.insert(*tier), || format!("{tier:?} joins a second time"))
            }
            Input::WallClock { .. }
            | Input::Wake
            | Input::RemotePurge { .. }
            | Input::PurgesMissed { .. }
            | Input::LeaseHeld { .. } => Ok(()),
            Input::Answer { op, answer } => self.check_answer(*op, answer),
        }
    }

    /// A purge begins, of this key if it is a hard one of a key.
    fn on_purge(&mut self, purge: PurgeId, key: Option<CacheKey>) -> Checked {
        let commits = self.commits.iter().filter(|(_, of)| key == Some(**of));
        let commits = commits.map(|(op, _)| *op).collect();
        let before = self.purges.insert(purge, Purging { told: self.told.clone(), commits });
        require(before.is_none(), || format!("{purge:?} is asked while it is under way"))
    }

    fn check_answer<C>(&mut self, op: OpId, answer: &Answer<C>) -> Checked {
        let (said, came) = said(answer);
        let asked = self.open.remove(&op).ok_or_else(|| {
            format!("{said:?} answers {op:?}, which was never asked, or was answered before")
        })?;
        require(expected(asked).contains(&said), || format!("{said:?} does not answer {asked:?}"))?;
        match asked {
            Asked::Lookup(record) | Asked::OpenBlob(record) => {
                // One that was released meanwhile stays so.
                match (came, self.records.get_mut(&record)) {
                    (Came::Good, Some(handle)) => *handle = Handle::Open,
                    (Came::Bad, Some(_)) => drop(self.records.remove(&record)),
                    (_, None) => {}
                }
            }
            Asked::Open(writer) | Asked::Write(writer) | Asked::Commit(writer) => {
                self.commits.remove(&op);
                self.writing.remove(&writer);
                if let Some(handle) = self.writers.get_mut(&writer) {
                    *handle = match came {
                        Came::Good => Handle::Open,
                        Came::Bad => Handle::Failed,
                    };
                }
            }
            Asked::Delete(tier) => {
                let told = self.told.entry(tier).or_default();
                told.found += u64::from(matches!(answer, Answer::Deleted { existed: true }));
                told.deleted += u64::from(matches!(answer, Answer::Deleted { .. }));
            }
            Asked::StoreBan(tier) => {
                let is_barred = matches!(answer, Answer::BanStored);
                self.told.entry(tier).or_default().barred += u64::from(is_barred);
            }
            Asked::Fetch(_) | Asked::Pull(_) | Asked::Read(_) | Asked::Freshen | Asked::Durable => {}
        }
        Ok(())
    }

    fn check_effect<C>(&mut self, effect: &Effect<C>) -> Checked {
        match effect {
            Effect::Fetch { op, fill, .. } => self.ask(*op, Asked::Fetch(*fill)),
            Effect::Adopt { fill } => require(std::mem::take(&mut self.is_offered), || {
                format!("{fill:?} is adopted, and no answer was just told of")
            }),
            Effect::Pull { op, fill } => self.ask(*op, Asked::Pull(*fill)),
            Effect::Cancel { fill } => {
                require(self.cancelled.insert(*fill), || format!("{fill:?} is cancelled a second time"))
            }
            Effect::Lookup { op, tier, record, .. } => {
                self.require_joined(*tier)?;
                self.records.insert(*record, Handle::Asked);
                self.ask(*op, Asked::Lookup(*record))
            }
            Effect::OpenBlob { op, record, .. } => {
                self.records.insert(*record, Handle::Asked);
                self.ask(*op, Asked::OpenBlob(*record))
            }
            Effect::Read { op, source, .. } => {
                let is_open = match source {
                    ReadSource::Record(record) => self.records.get(record) == Some(&Handle::Open),
                    // What it has acknowledged can be read even after a write failed.
                    ReadSource::Writer(writer) => self.writers.contains_key(writer),
                };
                require(is_open, || format!("{source:?} is read and not open"))?;
                self.ask(*op, Asked::Read(*source))
            }
            Effect::Release { record, .. } => require(self.records.remove(record).is_some(), || {
                format!("{record:?} is released and was not open")
            }),
            Effect::Open { op, writer, tier, key, .. } => {
                self.require_joined(*tier)?;
                if *tier != TierId::L3 {
                    self.written.insert(*writer, key.target);
                }
                self.writers.insert(*writer, Handle::Asked);
                self.writing.insert(*writer);
                self.ask(*op, Asked::Open(*writer))
            }
            Effect::Write { op, writer, .. } => self.write(*op, *writer, Asked::Write(*writer)),
            Effect::Commit { op, writer, .. } => {
                self.commits.extend(self.written.get(writer).map(|key| (*op, *key)));
                self.write(*op, *writer, Asked::Commit(*writer))
            }
            Effect::Discard { writer, .. } => {
                self.written.remove(writer);
                require(self.writers.remove(writer).is_some(), || {
                    format!("{writer:?} is discarded and was not open")
                })
            }
            Effect::Freshen { op, .. } => self.ask(*op, Asked::Freshen),
            Effect::Delete { op, tier, .. } => self.ask(*op, Asked::Delete(*tier)),
            Effect::StoreBan { op, tier, .. } => self.ask(*op, Asked::StoreBan(*tier)),
            Effect::Durable { op, .. } => self.ask(*op, Asked::Durable),
            Effect::Serve { request, reply } => match &reply.body {
                ReplyBody::Whole(_) => self.end(*request, Client::Waiting, "served whole"),
                ReplyBody::Streamed => match self.requests.get_mut(request) {
                    Some(client @ Client::Waiting) => {
                        *client = Client::Streaming { demands: false };
                        Ok(())
                    }
                    other => Err(format!("{request:?} is served and is {other:?}")),
                },
            },
            Effect::Body { request, .. } => match self.requests.get_mut(request) {
                Some(Client::Streaming { demands: demands @ true }) => {
                    *demands = false;
                    Ok(())
                }
                other => Err(format!("{request:?} is sent a chunk and is {other:?}")),
            },
            Effect::Finish { request, .. } => match self.requests.remove(request) {
                Some(Client::Streaming { .. }) => Ok(()),
                other => Err(format!("{request:?} is finished and is {other:?}")),
            },
            Effect::Pass { request, .. } => self.end(*request, Client::Waiting, "passed"),
            Effect::Refuse { request, .. } => self.end(*request, Client::Waiting, "refused"),
            Effect::PurgeDone { purge, report } => {
                let Some(Purging { told: before, commits }) = self.purges.remove(purge) else {
                    return Err(format!("{purge:?} is done and was not under way"));
                };
                let published = commits.iter().find(|op| self.commits.contains_key(op));
                require(published.is_none(), || {
                    format!("{purge:?} is done before {published:?}, which publishes")
                })?;
                let invented = report.iter().find(|(tier, outcome)| {
                    let of = |told: &BTreeMap<TierId, Word>| told.get(tier).copied().unwrap_or_default();
                    let (before, now) = (of(&before), of(&self.told));
                    match (tier, outcome) {
                        (TierId::L0 | TierId::L3, _) | (_, PurgeOutcome::Failed) => false,
                        (_, PurgeOutcome::Removed(_) | PurgeOutcome::RemovedUnseen) => {
                            now.found == before.found
                        }
                        (_, PurgeOutcome::Absent) => now.deleted == before.deleted,
                        // A shared tier is told nothing: what it has is judged when it is found.
                        (TierId::L2, PurgeOutcome::Barred) => now.barred == before.barred,
                        (TierId::L1, PurgeOutcome::Barred) | (_, PurgeOutcome::Staled(_)) => false,
                    }
                });
                require(invented.is_none(), || format!("{purge:?} says what no tier told: {invented:?}"))
            }
        }
    }

    /// Other tiers than L2 are not local, and need not join.
    fn require_joined(&self, tier: TierId) -> Checked {
        let may_be_asked = tier != TierId::L2 || self.joined.contains(&tier);
        require(may_be_asked, || format!("{tier:?} is asked before it has joined"))
    }

    fn ask(&mut self, op: OpId, asked: Asked) -> Checked {
        require(op.0 > self.minted, || format!("{op:?} is not a new name for {asked:?}"))?;
        self.minted = op.0;
        self.open.insert(op, asked);
        Ok(())
    }

    fn write(&mut self, op: OpId, writer: WriterId, asked: Asked) -> Checked {
        let handle = self.writers.get(&writer);
        require(handle == Some(&Handle::Open), || format!("{writer:?} is {handle:?}, and yet {asked:?}"))?;
        require(self.writing.insert(writer), || format!("{asked:?} before the last call was answered"))?;
        self.ask(op, asked)
    }

    fn end(&mut self, request: RequestId, expected: Client, how: &str) -> Checked {
        let found = self.requests.remove(&request);
        require(found == Some(expected), || format!("{request:?} is {how} and is {found:?}"))
    }
}

/// Did an answer bring what was asked for?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Good,
    Bad,
}

/// The answers, without what they bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Head,
    FetchFailed,
    Pulled,
    PullEnded,
    PullFailed,
    Found,
    Absent,
    LookupFailed,
    BodyRead,
    ReadFailed,
    Opened,
    Written,
    Committed,
    Freshened,
    WriteFailed,
    BanStored,
    Deleted,
    DeleteFailed,
    DurableTold,
}

/// Which answer it is, and whether it brought what was asked for.
const fn said<C>(answer: &Answer<C>) -> (Said, Came) {
    match answer {
        Answer::Head { .. } => (Said::Head, Came::Good),
        Answer::FetchFailed { .. } => (Said::FetchFailed, Came::Bad),
        Answer::Pulled { .. } => (Said::Pulled, Came::Good),
        Answer::PullEnded => (Said::PullEnded, Came::Good),
        Answer::PullFailed { .. } => (Said::PullFailed, Came::Bad),
        Answer::Found { .. } => (Said::Found, Came::Good),
        Answer::Absent => (Said::Absent, Came::Bad),
        Answer::LookupFailed => (Said::LookupFailed, Came::Bad),
        Answer::BodyRead { .. } => (Said::BodyRead, Came::Good),
        Answer::ReadFailed { .. } => (Said::ReadFailed, Came::Bad),
        Answer::Opened => (Said::Opened, Came::Good),
        Answer::Written => (Said::Written, Came::Good),
        Answer::Committed => (Said::Committed, Came::Good),
        Answer::Freshened { .. } => (Said::Freshened, Came::Good),
        Answer::WriteFailed => (Said::WriteFailed, Came::Bad),
        Answer::BanStored => (Said::BanStored, Came::Good),
        Answer::Deleted { .. } => (Said::Deleted, Came::Good),
        Answer::DeleteFailed => (Said::DeleteFailed, Came::Bad),
        Answer::DurableTold { told: durable::Told::Opened { .. } } => (Said::DurableTold, Came::Good),
        Answer::DurableTold { .. } => (Said::DurableTold, Came::Bad),
    }
}

/// The answers that fit.
const fn expected(asked: Asked) -> &'static [Said] {
    match asked {
        Asked::Fetch(_) => &[Said::Head, Said::FetchFailed],
        Asked::Pull(_) => &[Said::Pulled, Said::PullEnded, Said::PullFailed],
        Asked::Lookup(_) => &[Said::Found, Said::Absent, Said::LookupFailed],
        Asked::Read(_) => &[Said::BodyRead, Said::ReadFailed],
        Asked::Open(_) => &[Said::Opened, Said::WriteFailed],
        Asked::Write(_) => &[Said::Written, Said::WriteFailed],
        Asked::Commit(_) => &[Said::Committed, Said::WriteFailed],
        Asked::Freshen => &[Said::Freshened, Said::WriteFailed],
        Asked::Delete(_) => &[Said::Deleted, Said::DeleteFailed],
        Asked::StoreBan(_) => &[Said::BanStored, Said::WriteFailed],
        Asked::Durable | Asked::OpenBlob(_) => &[Said::DurableTold],
    }
}

#[cfg(test)]
mod tests;
