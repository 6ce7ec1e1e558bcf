//! What a history does with the store's answers, and whether each is one that may be.

use super::{
    history::{History, PARKED_MAX, Parked, Task},
    known::Standing,
    objects::Version,
};
use bytes::Bytes;
use tiergate_engine::{
    Freshening, Record, StoredKey,
    store::{Failure, Input, Op, Reader, Source},
};

/// An answer to a question, without the question.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Done,
    Deleted(bool),
    Freshened(Freshening),
    Absent,
    Found(Box<Record>, Option<Bytes>),
    Bytes(Bytes),
    Failed(Failure),
}

impl History {
    pub(super) fn on_answer(&mut self, op: Op, answer: Answer) {
        let (task, busy) = self.tasks.remove(&op).expect("each question is answered once");
        match task {
            Task::Fill { .. } => self.on_fill_answer(task, busy, &answer),
            Task::Read { at, reader, version, got } => {
                self.on_read_answer(at, reader, version, got, busy, answer)
            }
            Task::Delete { at } => self.on_delete_answer(&[at], None, busy, &answer),
            Task::Purge { existed, keys } => self.on_delete_answer(&keys, Some(existed), busy, &answer),
            Task::Freshen { at, version } => self.on_freshen_answer(at, version, busy, &answer),
            Task::FreshenBack { at } => self.on_freshen_back_answer(at, busy, &answer),
            Task::Sync => match answer {
                Answer::Done => self.saw("synced"),
                other => assert!(self.is_faulty, "a sync was answered by {other:?}"),
            },
        }
    }

    fn free(&mut self, busy: Option<u64>) {
        if let Some(target) = busy {
            self.busy.remove(&target);
        }
    }

    fn on_fill_answer(&mut self, task: Task, busy: Option<u64>, answer: &Answer) {
        let Task::Fill { at, writer, version, doomed, .. } = task else {
            unreachable!("{task:?} is no fill")
        };
        let is_commit = self.known_of(at).awaits(Some(version));
        match answer {
            Answer::Done if doomed => panic!("{version:?} of {at} goes on after a purge"),
            Answer::Failed(_) if doomed => {
                self.saw("fill failed");
                // It is the purge that keeps the target busy.
                return self.tell(Input::Discard { writer });
            }
            Answer::Done if is_commit => {
                self.saw("committed");
                self.acknowledge(at, Some(version));
            }
            Answer::Done => return self.fill_on(task, busy.expect("a fill has a target")),
            Answer::Failed(why) => {
                let is_broken = *why == Failure::Reclaimed && self.store.counts().writers_broken > 0;
                let is_expected = is_broken || *why == Failure::TooLarge;
                assert!(is_expected || self.is_faulty, "a fill failed: {why:?}");
                self.saw("fill failed");
                if is_commit {
                    self.known_of(at).end(Some(version), Standing::Maybe);
                }
            }
            other => panic!("a fill was answered by {other:?}"),
        }
        self.tell(Input::Discard { writer });
        self.free(busy);
    }

    fn on_read_answer(
        &mut self,
        at: StoredKey,
        reader: Reader,
        version: Option<Version>,
        got: usize,
        busy: Option<u64>,
        answer: Answer,
    ) {
        let (version, got) = match answer {
            Answer::Found(record, body) => {
                self.saw("found");
                // What was there when the lookup began; it may have been dropped since.
                let version = version.unwrap_or_else(|| panic!("{at} was deleted, but {record:?} is there"));
                assert_eq!(*record, *version.record(at), "another record was found");
                if let Some(body) = body {
                    self.saw("found with its body");
                    assert!(body == version.body(), "another body of {version:?} was found");
                }
                (version, 0)
            }
            Answer::Bytes(bytes) => {
                let version = version.expect("what is read was found");
                let body = version.body();
                assert!(
                    !bytes.is_empty() && got + bytes.len() <= body.len(),
                    "a read of {} bytes",
                    bytes.len()
                );
                assert!(body[got..got + bytes.len()] == bytes, "other bytes of {version:?} at {got}");
                (version, got + bytes.len())
            }
            Answer::Absent => {
                let current = self.known_of(at).current;
                assert!(current.is_none() || self.is_faulty, "{current:?} is missing");
                self.tell(Input::Release { reader });
                return self.free(busy);
            }
            Answer::Failed(why) => {
                assert!(self.is_faulty, "a read failed: {why:?}");
                self.saw("read failed");
                self.tell(Input::Release { reader });
                return self.free(busy);
            }
            other @ (Answer::Done | Answer::Deleted(_) | Answer::Freshened(_)) => {
                panic!("a read was answered by {other:?}")
            }
        };
        if got == version.length {
            self.saw("read whole");
            self.tell(Input::Release { reader });
            return self.free(busy);
        }
        // Large bodies are often read slowly, while everything else goes on.
        let is_slow = self.parked.len() < PARKED_MAX && self.chance.chance(2, 3);
        if busy.is_none() || (version.length > 1_000 && is_slow) {
            self.saw("read slowly");
            self.parked.push(Parked { at, reader, version, got });
            return self.free(busy);
        }
        let length_max = 1 + self.chance.below(3_000);
        let (source, offset) = (Source::Reader(reader), got as u64);
        let task = Task::Read { at, reader, version: Some(version), got };
        self.ask(task, busy, |op| Input::Read { op, source, offset, length_max });
    }

    fn on_delete_answer(
        &mut self,
        keys: &[StoredKey],
        expected: Option<bool>,
        busy: Option<u64>,
        answer: &Answer,
    ) {
        match answer {
            Answer::Deleted(existed) => {
                self.saw("deleted");
                let is_told = expected.is_none_or(|expected| expected == *existed);
                assert!(is_told || self.is_faulty, "a purge told {existed} of what was {expected:?}");
                for key in keys {
                    self.known_of(*key).settle(None);
                }
            }
            Answer::Failed(why) => {
                assert!(self.is_faulty, "a deletion failed: {why:?}");
                self.saw("deletion failed");
                for key in keys {
                    self.known_of(*key).end_in_doubt();
                }
            }
            other => panic!("a deletion was answered by {other:?}"),
        }
        self.free(busy);
    }

    fn on_freshen_back_answer(&mut self, at: StoredKey, busy: Option<u64>, answer: &Answer) {
        match answer {
            Answer::Freshened(Freshening::Overtaken) => self.saw("overtaken"),
            Answer::Freshened(Freshening::Absent) => {
                let current = self.known_of(at).current;
                assert!(current.is_none() || self.is_faulty, "{current:?} is missing");
            }
            Answer::Failed(_) if self.is_faulty => {}
            other => panic!("a freshening of {at} with an older head was answered by {other:?}"),
        }
        self.free(busy);
    }

    fn on_freshen_answer(&mut self, at: StoredKey, version: Version, busy: Option<u64>, answer: &Answer) {
        match answer {
            Answer::Freshened(Freshening::Done) => {
                self.saw("freshened");
                self.acknowledge(at, Some(version));
            }
            Answer::Freshened(Freshening::Absent) => {
                let current = self.known_of(at).current;
                assert!(current.is_none() || self.is_faulty, "{current:?} is missing");
                self.known_of(at).end(Some(version), Standing::Maybe);
            }
            Answer::Freshened(Freshening::Overtaken) => {
                // By its own move out of a segment.
                self.known_of(at).end(Some(version), Standing::Maybe);
            }
            Answer::Failed(why) => {
                assert!(self.is_faulty, "a freshening failed: {why:?}");
                self.known_of(at).end(Some(version), Standing::Maybe);
            }
            other => panic!("a freshening was answered by {other:?}"),
        }
        self.free(busy);
    }
}
