//! What the imitated Redis keeps, and the commands that this project's client sends it.
//!
//! Each command is carried out whole, as in the real server, which runs one at a time. Anything else is
//! refused as an unknown command. There is no memory bound; what is evicted, a fault says.

use super::{feed::FeedLog, resp::Reply, rows::Rows};
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};
use tiergate_tiers::{
    FEED_APPEND_SCRIPT, FEED_READ_SCRIPT, FRESHEN_SCRIPT, JOIN_SCRIPT, PUBLISH_SCRIPT, ROW_DELETE_SCRIPT,
    ROW_GET_SCRIPT, ROW_SWAP_SCRIPT, ROW_TOUCH_SCRIPT,
};

/// Keys with their values, and when they expire: times count from the store's beginning. And the feed's, and
/// rows.
#[derive(Debug, Default)]
pub(crate) struct Store(BTreeMap<Bytes, Value>, FeedLog, Rows);

#[derive(Debug)]
struct Value {
    bytes: Bytes,
    expires: Option<Duration>,
}

impl Store {
    /// Carries out one command at time `now`.
    pub(crate) fn execute(&mut self, now: Duration, wall: Duration, command: &[Bytes]) -> Reply {
        let Some((name, arguments)) = command.split_first() else {
            return Reply::Error("ERR empty command".to_owned());
        };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        for key in arguments {
            self.forget_expired(now, key);
        }
        match (name.as_str(), arguments) {
            ("GET", [key]) => Reply::Bulk(self.0.get(key).map(|value| value.bytes.clone())),
            ("MGET", keys @ [_, ..]) => Reply::Array(
                keys.iter().map(|key| self.0.get(key).map(|value| value.bytes.clone())).collect(),
            ),
            ("SET", [key, value]) => self.set(key, value, None),
            ("SET", [key, value, px, millis]) if px.eq_ignore_ascii_case(b"PX") => match number(millis) {
                Some(millis) if millis > 0 => self.set(key, value, Some(now + Duration::from_millis(millis))),
                Some(_) => Reply::Error("ERR invalid expire time in 'set' command".to_owned()),
                None => not_a_number(),
            },
            ("PEXPIRE", [key, millis]) => match (number(millis), self.0.get_mut(key)) {
                (Some(millis), Some(value)) => {
                    value.expires = Some(now + Duration::from_millis(millis));
                    Reply::Integer(1)
                }
                (Some(_), None) => Reply::Integer(0),
                (None, _) => not_a_number(),
            },
            ("RENAME", [from, to]) => self.rename(from, to),
            ("EVAL", [script, keys, rest @ ..]) if script == PUBLISH_SCRIPT => match (&keys[..], rest) {
                (b"3", [generation, from, to, expected, millis]) => {
                    self.publish(now, generation, [from, to], expected, millis)
                }
                _ => Reply::Error("ERR the script takes 3 keys and 2 arguments".to_owned()),
            },
            ("EVAL", [script, keys, rest @ ..]) if script == JOIN_SCRIPT => match (&keys[..], rest) {
                (b"1", [generation, name, millis]) => self.join(now, generation, name, millis),
                _ => Reply::Error("ERR the script takes 1 key and 2 arguments".to_owned()),
            },
            ("EVAL", [script, keys, rest @ ..]) if script == FRESHEN_SCRIPT => match (&keys[..], rest) {
                (b"1", [head, read, newer, millis]) => self.freshen(now, head, read, newer, millis),
                _ => Reply::Error("ERR the script takes 1 key and 3 arguments".to_owned()),
            },
            ("EVAL", [script, _, _, _, _, _, rest @ ..]) if script == FEED_APPEND_SCRIPT => match rest {
                [id, member, kept_max] => match number(kept_max) {
                    Some(kept_max) => self.1.append(wall, id, member, kept_max),
                    None => not_a_number(),
                },
                _ => Reply::Error("ERR the script takes 4 keys and 3 arguments".to_owned()),
            },
            ("EVAL", [script, _, _, _, _, _, rest @ ..]) if script == FEED_READ_SCRIPT => match rest {
                [after, page_max] => match (number(after), number(page_max)) {
                    (Some(after), Some(page_max)) => {
                        self.1.read(wall, after, usize::try_from(page_max).unwrap_or(usize::MAX))
                    }
                    _ => not_a_number(),
                },
                _ => Reply::Error("ERR the script takes 4 keys and 2 arguments".to_owned()),
            },
            ("EVAL", [script, _, key, rest @ ..]) if script == ROW_GET_SCRIPT && rest.is_empty() => {
                self.2.get(wall, key)
            }
            ("EVAL", [script, _, key, rest @ ..]) if script == ROW_SWAP_SCRIPT => match rest {
                [expected, version, expires, droppable, value] => {
                    self.2.swap(wall, key, expected, [version, expires, droppable, value])
                }
                _ => Reply::Error("ERR the script takes 1 key and 5 arguments".to_owned()),
            },
            ("EVAL", [script, _, key, rest @ ..]) if script == ROW_TOUCH_SCRIPT => match rest {
                [version, expires, droppable] => self.2.touch(wall, key, version, [expires, droppable]),
                _ => Reply::Error("ERR the script takes 1 key and 3 arguments".to_owned()),
            },
            ("EVAL", [script, _, key, version]) if script == ROW_DELETE_SCRIPT => {
                self.2.delete(wall, key, version)
            }
            ("EVAL", [_, _, ..]) => Reply::Error("ERR unknown script".to_owned()),
            ("DEL", keys @ [_, ..]) => {
                let removed = keys.iter().filter(|key| self.0.remove(*key).is_some()).count();
                Reply::Integer(i64::try_from(removed).expect("as many as arguments"))
            }
            // Sent where a password or a database is configured, which is in no scenario. There is one user
            // and one database here, and no other protocol.
            ("AUTH", [_] | [_, _]) | ("SELECT", [_]) => Reply::Simple("OK"),
            ("HELLO", _) => Reply::Error("NOPROTO unsupported protocol version".to_owned()),
            ("GET" | "MGET" | "SET" | "PEXPIRE" | "RENAME" | "EVAL" | "DEL", _) => Reply::Error(format!(
                "ERR wrong number of arguments for '{}' command",
                name.to_ascii_lowercase()
            )),
            _ => Reply::Error(format!("ERR unknown command '{name}'")),
        }
    }

    /// How many keys there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len() + self.1.count() + self.2.count()
    }

    /// Drops the keys at these places, in their order.
    pub(crate) fn evict(&mut self, dropped: &[bool]) {
        let mut dropped = dropped.iter().copied();
        self.0.retain(|_, _| dropped.next() != Some(true));
        self.1.evict(&mut dropped);
        self.2.evict(&mut dropped);
    }

    fn set(&mut self, key: &Bytes, value: &Bytes, expires: Option<Duration>) -> Reply {
        let value = Value {
            // A copy of its own: the argument is a piece of a whole receive buffer.
            bytes: Bytes::copy_from_slice(value),
            expires,
        };
        self.0.insert(Bytes::copy_from_slice(key), value);
        Reply::Simple("OK")
    }

    fn rename(&mut self, from: &Bytes, to: &Bytes) -> Reply {
        match self.0.remove(from) {
            Some(value) => {
                self.0.insert(to.clone(), value);
                Reply::Simple("OK")
            }
            None => Reply::Error("ERR no such key".to_owned()),
        }
    }

    /// What the script does that a client sends when it begins to write.
    fn join(&mut self, now: Duration, generation: &Bytes, name: &Bytes, millis: &Bytes) -> Reply {
        let Some(time) = number(millis).map(Duration::from_millis) else { return not_a_number() };
        if !self.0.contains_key(generation) {
            self.set(generation, name, Some(now + time));
        }
        self.prolong(now, generation, time);
        Reply::Bulk(self.0.get(generation).map(|value| value.bytes.clone()))
    }

    /// Lets a key live this long from now on, at least.
    fn prolong(&mut self, now: Duration, key: &Bytes, time: Duration) {
        if let Some(value) = self.0.get_mut(key) {
            value.expires = value.expires.max(Some(now + time));
        }
    }

    /// What the script does that a client sends to commit.
    fn publish(
        &mut self,
        now: Duration,
        generation: &Bytes,
        [from, to]: [&Bytes; 2],
        expected: &Bytes,
        millis: &Bytes,
    ) -> Reply {
        let Some(time) = number(millis).map(Duration::from_millis) else { return not_a_number() };
        if self.0.get(generation).is_none_or(|value| value.bytes != *expected) {
            return Reply::Integer(0);
        }
        match self.rename(from, to) {
            error @ Reply::Error(_) => error,
            Reply::Simple(_) | Reply::Integer(_) | Reply::Bulk(_) | Reply::Array(_) => {
                self.prolong(now, generation, time);
                Reply::Integer(1)
            }
        }
    }

    /// What the other one does.
    fn freshen(&mut self, now: Duration, head: &Bytes, read: &Bytes, newer: &Bytes, millis: &Bytes) -> Reply {
        if self.0.get(head).is_none_or(|value| value.bytes != *read) {
            return Reply::Integer(0);
        }
        let Some(millis) = number(millis) else { return not_a_number() };
        match self.set(head, newer, Some(now + Duration::from_millis(millis))) {
            error @ Reply::Error(_) => error,
            Reply::Simple(_) | Reply::Integer(_) | Reply::Bulk(_) | Reply::Array(_) => Reply::Integer(1),
        }
    }

    fn forget_expired(&mut self, now: Duration, key: &Bytes) {
        let is_over = |value: &Value| value.expires.is_some_and(|expires| expires <= now);
        if self.0.get(key).is_some_and(is_over) {
            self.0.remove(key);
        }
    }
}

fn number(text: &Bytes) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn not_a_number() -> Reply {
    Reply::Error("ERR value is not an integer or out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{FRESHEN_SCRIPT, JOIN_SCRIPT, PUBLISH_SCRIPT, Reply, Store};
    use bytes::Bytes;
    use std::time::Duration;

    fn run(store: &mut Store, at_ms: u64, command: &str) -> Reply {
        let command: Vec<Bytes> = command.split(' ').map(|word| Bytes::from(word.to_owned())).collect();
        store.execute(Duration::from_millis(at_ms), Duration::ZERO, &command)
    }

    fn bulk(text: &'static str) -> Reply {
        Reply::Bulk(Some(Bytes::from(text)))
    }

    /// The commands do what the server's own pages say, in particular to keys that expire.
    #[test]
    fn commands_do_what_redis_does() {
        let mut store = Store::default();
        assert_eq!(run(&mut store, 0, "GET a"), Reply::Bulk(None));
        assert_eq!(run(&mut store, 0, "set a 1 px 10"), Reply::Simple("OK"));
        assert_eq!(run(&mut store, 9, "GET a"), bulk("1"));
        assert_eq!(run(&mut store, 9, "PEXPIRE a 5"), Reply::Integer(1));
        assert_eq!(run(&mut store, 13, "RENAME a b"), Reply::Simple("OK"));
        assert_eq!(run(&mut store, 13, "GET a"), Reply::Bulk(None));
        assert_eq!(run(&mut store, 13, "GET b"), bulk("1"));
        assert_eq!(run(&mut store, 14, "GET b"), Reply::Bulk(None), "a rename keeps the time of expiry");
        assert_eq!(run(&mut store, 14, "PEXPIRE b 5"), Reply::Integer(0));
        assert_eq!(run(&mut store, 14, "RENAME b c"), Reply::Error("ERR no such key".to_owned()));
        run(&mut store, 14, "SET x 1");
        let both = vec![Some(Bytes::from("1")), None];
        assert_eq!(run(&mut store, 14, "MGET x y"), Reply::Array(both));
        run(&mut store, 14, "SET y 2");
        assert_eq!(run(&mut store, 14, "DEL x y z"), Reply::Integer(2));
        assert_eq!(
            run(&mut store, 14, "FLUSHALL"),
            Reply::Error("ERR unknown command 'FLUSHALL'".to_owned())
        );
        let wrong = "ERR wrong number of arguments for 'get' command".to_owned();
        assert_eq!(run(&mut store, 14, "GET x y"), Reply::Error(wrong));
    }

    /// The script renames while its first key holds what it expects, does nothing otherwise, and fails when
    /// there is nothing to rename; no other script is known.
    #[test]
    fn the_script_publishes_under_its_generation() {
        let mut store = Store::default();
        let eval = |store: &mut Store, script: &'static str, expected: &'static str| {
            let command =
                ["EVAL", script, "3", "generation", "waiting", "head", expected, "20"].map(Bytes::from);
            store.execute(Duration::ZERO, Duration::ZERO, &command)
        };
        run(&mut store, 0, "SET waiting 1 PX 90");
        assert_eq!(eval(&mut store, PUBLISH_SCRIPT, "a"), Reply::Integer(0));
        run(&mut store, 0, "SET generation b PX 10");
        assert_eq!(eval(&mut store, PUBLISH_SCRIPT, "a"), Reply::Integer(0));
        assert_eq!(run(&mut store, 0, "GET head"), Reply::Bulk(None));
        assert_eq!(eval(&mut store, PUBLISH_SCRIPT, "b"), Reply::Integer(1));
        assert_eq!(run(&mut store, 15, "GET head"), bulk("1"));
        assert_eq!(run(&mut store, 15, "GET generation"), bulk("b"), "it lives as long as the head");
        assert_eq!(eval(&mut store, PUBLISH_SCRIPT, "b"), Reply::Error("ERR no such key".to_owned()));
        assert_eq!(eval(&mut store, "return 1", "b"), Reply::Error("ERR unknown script".to_owned()));
    }

    /// The other script begins a generation where there is none, and prolongs one that is there, never
    /// shortens it.
    #[test]
    fn the_other_script_joins_a_generation() {
        let mut store = Store::default();
        let mut join = |at_ms, name: &'static str, millis: &'static str| {
            let command = ["EVAL", JOIN_SCRIPT, "1", "generation", name, millis].map(Bytes::from);
            store.execute(Duration::from_millis(at_ms), Duration::ZERO, &command)
        };
        assert_eq!(join(0, "a", "10"), bulk("a"));
        assert_eq!(join(9, "b", "10"), bulk("a"), "it is joined");
        assert_eq!(join(10, "b", "1"), bulk("a"), "it was prolonged");
        assert_eq!(join(18, "b", "5"), bulk("a"), "and not shortened");
        assert_eq!(join(23, "c", "5"), bulk("c"), "it has expired");
    }

    /// The other script exchanges a value while it is what the caller read, with a new time to live.
    #[test]
    fn the_script_freshens_what_was_read() {
        let mut store = Store::default();
        let eval = |store: &mut Store, read: &'static str, newer: &'static str| {
            let command = ["EVAL", FRESHEN_SCRIPT, "1", "head", read, newer, "50"].map(Bytes::from);
            store.execute(Duration::from_millis(10), Duration::ZERO, &command)
        };
        assert_eq!(eval(&mut store, "a", "b"), Reply::Integer(0));
        assert_eq!(run(&mut store, 10, "GET head"), Reply::Bulk(None));
        run(&mut store, 0, "SET head a PX 20");
        assert_eq!(eval(&mut store, "x", "b"), Reply::Integer(0));
        assert_eq!(eval(&mut store, "a", "b"), Reply::Integer(1));
        assert_eq!(run(&mut store, 59, "GET head"), bulk("b"));
        assert_eq!(run(&mut store, 60, "GET head"), Reply::Bulk(None));
    }
}
