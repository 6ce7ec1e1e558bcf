//! What the imitated Redis keeps, and the commands that this project's client sends it.
//!
//! Each command is carried out whole, as in the real server, which runs one at a time. Anything else is refused as an
//! unknown command. There is no memory bound and no eviction.

use super::resp::Reply;
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};

/// Keys with their values, and when they expire: times count from the store's beginning.
#[derive(Debug, Default)]
pub(crate) struct Store(BTreeMap<Bytes, Value>);

#[derive(Debug)]
struct Value {
    bytes: Bytes,
    expires: Option<Duration>,
}

impl Store {
    /// Carries out one command at time `now`.
    pub(crate) fn execute(&mut self, now: Duration, command: &[Bytes]) -> Reply {
        let Some((name, arguments)) = command.split_first() else {
            return Reply::Error("ERR empty command".to_owned());
        };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        for key in arguments {
            self.forget_expired(now, key);
        }
        match (name.as_str(), arguments) {
            ("GET", [key]) => Reply::Bulk(self.0.get(key).map(|value| value.bytes.clone())),
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
            ("RENAME", [from, to]) => match self.0.remove(from) {
                Some(value) => {
                    self.0.insert(to.clone(), value);
                    Reply::Simple("OK")
                }
                None => Reply::Error("ERR no such key".to_owned()),
            },
            ("DEL", keys @ [_, ..]) => {
                let removed = keys.iter().filter(|key| self.0.remove(*key).is_some()).count();
                Reply::Integer(i64::try_from(removed).expect("as many as arguments"))
            }
            ("GET" | "SET" | "PEXPIRE" | "RENAME" | "DEL", _) => Reply::Error(format!(
                "ERR wrong number of arguments for '{}' command",
                name.to_ascii_lowercase()
            )),
            _ => Reply::Error(format!("ERR unknown command '{name}'")),
        }
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> u64 {
        self.0.len() as u64
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
    use super::{Reply, Store};
    use bytes::Bytes;
    use std::time::Duration;

    fn run(store: &mut Store, at_ms: u64, command: &str) -> Reply {
        let command: Vec<Bytes> = command.split(' ').map(|word| Bytes::from(word.to_owned())).collect();
        store.execute(Duration::from_millis(at_ms), &command)
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
        run(&mut store, 14, "SET y 2");
        assert_eq!(run(&mut store, 14, "DEL x y z"), Reply::Integer(2));
        assert_eq!(
            run(&mut store, 14, "FLUSHALL"),
            Reply::Error("ERR unknown command 'FLUSHALL'".to_owned())
        );
        let wrong = "ERR wrong number of arguments for 'get' command".to_owned();
        assert_eq!(run(&mut store, 14, "GET x y"), Reply::Error(wrong));
    }
}
