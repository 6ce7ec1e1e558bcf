//! The durable tier of the rig: an index and a blob store that edges share, and this edge's handles on them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tiergate_engine::{
    Answer, ByteCount, CacheKey, Effect, Input, ReadSource, RecordId, Symbol, TierId, WallTime, WriterId,
    durable::{Ask, BlobName, Stored, Told},
};

/// What edges share.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<CacheKey, Stored>,
    pub(crate) blobs: BTreeMap<BlobName, Vec<Symbol>>,
}

/// What becomes of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Fine,
    /// Not done, and no answer.
    Fails,
    /// Changes are done, and no answer.
    LosesReplies,
}

#[derive(Debug, Default)]
pub(crate) struct SimulatedL3 {
    pub(crate) store: Rc<RefCell<Store>>,
    writers: BTreeMap<WriterId, (BlobName, Vec<Symbol>)>,
    open: BTreeMap<RecordId, Vec<Symbol>>,
    /// While held, effects for this tier wait here.
    pub(crate) is_held: bool,
    pub(crate) held: VecDeque<Effect<Symbol>>,
    /// Of the index.
    pub(crate) index: Fate,
    /// Of the blob store.
    pub(crate) blobs: Fate,
    /// Every question, in order.
    pub(crate) asked: Vec<Ask>,
}

pub(crate) fn is_durable(effect: &Effect<Symbol>) -> bool {
    match effect {
        Effect::Durable { .. } | Effect::OpenBlob { .. } => true,
        Effect::Read { tier, .. }
        | Effect::Release { tier, .. }
        | Effect::Open { tier, .. }
        | Effect::Write { tier, .. }
        | Effect::Commit { tier, .. }
        | Effect::Discard { tier, .. } => *tier == TierId::L3,
        _ => false,
    }
}

impl SimulatedL3 {
    pub(crate) fn serve(&mut self, effect: &Effect<Symbol>, now: WallTime) -> Option<Input<Symbol>> {
        match effect {
            Effect::Durable { op, ask } => {
                self.asked.push(ask.clone());
                let fate = match ask {
                    Ask::Read { .. } | Ask::Swap { .. } | Ask::Touch { .. } => self.index,
                    Ask::Open { .. } | Ask::Delete { .. } | Ask::List { .. } => self.blobs,
                };
                let told = match fate {
                    Fate::Fine => self.store.borrow_mut().told(ask, now),
                    Fate::Fails => Told::Unknown,
                    Fate::LosesReplies => {
                        self.store.borrow_mut().told(ask, now);
                        Told::Unknown
                    }
                };
                Some(Answer::DurableTold { told }.to(*op))
            }
            Effect::OpenBlob { op, record, blob } => {
                let body = self.store.borrow().blobs.get(blob).cloned();
                let told = match body {
                    _ if self.blobs != Fate::Fine => Told::Unknown,
                    Some(body) => {
                        let length = ByteCount(body.iter().map(|chunk| chunk.size).sum());
                        self.open.insert(*record, body);
                        Told::Opened { length }
                    }
                    None => Told::NoBlob,
                };
                Some(Answer::DurableTold { told }.to(*op))
            }
            Effect::Read { op, source: ReadSource::Record(record), offset, length_max, .. } => {
                let body = &self.open[record];
                let mut start = 0;
                let piece = body.iter().find_map(|chunk| {
                    let within = offset.checked_sub(start).filter(|skip| *skip < chunk.size);
                    start += chunk.size;
                    within.map(|skip| Symbol {
                        offset: chunk.offset + skip,
                        size: (chunk.size - skip).min(*length_max),
                        ..*chunk
                    })
                });
                Some(match piece {
                    Some(chunk) if self.blobs == Fate::Fine => Answer::BodyRead { chunk }.to(*op),
                    Some(_) | None => {
                        Answer::ReadFailed { why: tiergate_engine::ReadFailure::Unavailable }.to(*op)
                    }
                })
            }
            Effect::Release { record, .. } => {
                assert!(self.open.remove(record).is_some(), "{record:?} is closed but was not open");
                None
            }
            Effect::Open { op, writer, key, name, .. } => Some(if self.blobs == Fate::Fails {
                Answer::WriteFailed.to(*op)
            } else {
                self.writers.insert(*writer, (BlobName { key: key.key, name: *name }, Vec::new()));
                Answer::Opened.to(*op)
            }),
            Effect::Write { op, writer, chunk, .. } => Some(if self.blobs == Fate::Fails {
                Answer::WriteFailed.to(*op)
            } else {
                self.writers.get_mut(writer).expect("writes follow opens").1.push(*chunk);
                Answer::Written.to(*op)
            }),
            Effect::Commit { op, writer, record, .. } => {
                let (blob, body) = self.writers[writer].clone();
                assert_eq!(
                    record.length.0,
                    body.iter().map(|chunk| chunk.size).sum::<u64>(),
                    "a record is as long as its body"
                );
                if self.blobs != Fate::Fails {
                    self.store.borrow_mut().blobs.insert(blob, body);
                }
                Some(match self.blobs {
                    Fate::Fine => Answer::Committed.to(*op),
                    Fate::Fails | Fate::LosesReplies => Answer::WriteFailed.to(*op),
                })
            }
            Effect::Discard { writer, .. } => {
                self.writers.remove(writer).expect("only what was begun is closed, and once");
                None
            }
            other => unreachable!("L3 is never asked for {other:?}"),
        }
    }

    /// No handle is left.
    pub(crate) fn is_idle(&self) -> bool {
        self.writers.is_empty() && self.open.is_empty() && self.held.is_empty()
    }
}

impl Store {
    fn told(&mut self, ask: &Ask, now: WallTime) -> Told {
        match ask {
            Ask::Read { key } => Told::Entry { found: self.rows.get(key).cloned(), now },
            Ask::Swap { expected, stored } => {
                let key = stored.entry.key;
                if self.rows.get(&key).map(|row| row.entry.version) != *expected {
                    return Told::Conflict;
                }
                if let Some(manifest) = &stored.entry.manifest
                    && manifest.version == stored.entry.version
                {
                    let is_there = manifest.blob().is_none_or(|blob| self.blobs.contains_key(&blob));
                    assert!(is_there, "D2: a manifest before its blob");
                }
                self.rows.insert(key, stored.clone());
                Told::Swapped { now }
            }
            Ask::Touch { key, version, expires } => {
                if let Some(row) = self.rows.get_mut(key).filter(|row| row.entry.version == *version) {
                    assert!(row.expires <= *expires, "D3: a touch takes no time away");
                    row.expires = *expires;
                }
                Told::Touched
            }
            Ask::Delete { blob } => {
                let named = self.rows.get(&blob.key).is_some_and(|row| row.entry.names(blob.name));
                assert!(!named, "D2: a blob is deleted that its manifest names");
                self.blobs.remove(blob);
                Told::Deleted
            }
            Ask::List { after } => {
                let behind = self.blobs.keys().filter(|blob| Some(**blob) > *after);
                Told::Listed { blobs: behind.copied().take(2).collect() }
            }
            Ask::Open { blob } => unreachable!("{blob:?} is opened by an effect of its own"),
        }
    }
}
