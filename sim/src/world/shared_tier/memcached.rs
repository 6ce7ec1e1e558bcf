//! The part of memcached's meta protocol that this project's client speaks, and what the imitated server
//! keeps.
//!
//! Each command is carried out whole. There is no memory bound; what is evicted, a fault says. Times count in
//! whole seconds, as there.

use bytes::{Bytes, BytesMut};
use std::{collections::BTreeMap, time::Duration};

/// The longest line of a command: a key of 250 bytes, and flags.
const LINE_MAX: usize = 2_048;
/// The largest value: memcached's own bound, unless somebody raises it.
const VALUE_MAX: usize = 1 << 20;

/// The peer does not speak it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotMeta;

/// One command: its name, its key, its flags, and the value that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    name: String,
    key: String,
    flags: Vec<String>,
    value: Option<Bytes>,
}

/// Takes one command off the buffer; `None` until all of it is there.
pub(super) fn take_command(buffer: &mut BytesMut) -> Result<Option<Command>, NotMeta> {
    let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else {
        return if buffer.len() > LINE_MAX { Err(NotMeta) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&buffer[..end]).map_err(|_not_text| NotMeta)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (name, key) = (words.next().ok_or(NotMeta)?, words.next().ok_or(NotMeta)?);
    let length = match name.as_str() {
        "mg" | "md" => None,
        "ms" => {
            let length: Option<usize> = words.next().and_then(|word| word.parse().ok());
            Some(length.filter(|length| *length <= VALUE_MAX).ok_or(NotMeta)?)
        }
        _ => return Err(NotMeta),
    };
    let flags = words.collect();
    let begin = end + 2;
    let whole = begin + length.map_or(0, |length| length + 2);
    if buffer.len() < whole {
        return Ok(None);
    }
    let taken = buffer.split_to(whole).freeze();
    let value = length.map(|length| taken.slice(begin..begin + length));
    if value.is_some() && !taken.ends_with(b"\r\n") {
        return Err(NotMeta);
    }
    Ok(Some(Command { name, key, flags, value }))
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A value, its version, and how many seconds it has left.
    Value(Bytes, u64, i64),
    /// `HD`, `NS` and the like.
    Word(&'static str),
    /// It cannot just now.
    Trouble,
}

impl Answer {
    pub(super) fn has_value(&self) -> bool {
        matches!(self, Self::Value(value, ..) if !value.is_empty())
    }

    /// The same without the last bytes of its value, a quarter of them and at least one, which it does not
    /// announce either.
    pub(super) fn truncated(self) -> Self {
        match self {
            Self::Value(value, version, left) if !value.is_empty() => {
                let length = (value.len() - value.len() / 4).min(value.len() - 1);
                Self::Value(value.slice(..length), version, left)
            }
            other => other,
        }
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Value(value, version, left) => {
                out.extend_from_slice(format!("VA {} c{version} t{left}\r\n", value.len()).as_bytes());
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            Self::Word(word) => out.extend_from_slice(format!("{word}\r\n").as_bytes()),
            Self::Trouble => out.extend_from_slice(b"SERVER_ERROR out of memory storing object\r\n"),
        }
    }
}

/// Items by key.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: BTreeMap<String, Item>,
    /// Of the last change.
    version: u64,
}

#[derive(Debug)]
struct Item {
    value: Bytes,
    version: u64,
    /// Since the server began.
    expires: Duration,
}

impl Items {
    pub(super) fn count(&self) -> usize {
        self.items.len()
    }

    /// Drops these, of all in the order of their keys.
    pub(super) fn evict(&mut self, dropped: &[bool]) {
        let mut dropped = dropped.iter();
        self.items.retain(|_, _| !dropped.next().copied().unwrap_or(false));
    }

    pub(super) fn execute(&mut self, now: Duration, command: &Command) -> Answer {
        let Command { name, key, flags, value } = command;
        if self.items.get(key).is_some_and(|item| item.expires <= now) {
            self.items.remove(key);
        }
        let number = |flag: char| flags.iter().find_map(|word| word.strip_prefix(flag)?.parse::<u64>().ok());
        let expires = number('T').map(|seconds| now + Duration::from_secs(seconds));
        match (name.as_str(), value) {
            ("mg", _) => match self.items.get_mut(key) {
                None => Answer::Word("EN"),
                Some(item) => {
                    item.expires = expires.unwrap_or(item.expires);
                    let left = i64::try_from((item.expires - now).as_secs()).unwrap_or(i64::MAX);
                    match flags.iter().any(|flag| flag == "v") {
                        true => Answer::Value(item.value.clone(), item.version, left),
                        false => Answer::Word("HD"),
                    }
                }
            },
            ("md", _) => Answer::Word(if self.items.remove(key).is_some() { "HD" } else { "NF" }),
            ("ms", Some(value)) => {
                let before = self.items.get(key).map(|item| item.version);
                let is_add = flags.iter().any(|flag| flag == "ME");
                match (number('C'), before) {
                    (_, Some(_)) if is_add => return Answer::Word("NS"),
                    (Some(_), None) => return Answer::Word("NF"),
                    (Some(expected), Some(found)) if expected != found => return Answer::Word("EX"),
                    _ => {}
                }
                let Some(expires) = expires else { return Answer::Trouble };
                self.version += 1;
                let item = Item { value: value.clone(), version: self.version, expires };
                self.items.insert(key.clone(), item);
                Answer::Word("HD")
            }
            _ => Answer::Trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &[u8]) -> Command {
        take_command(&mut BytesMut::from(text)).expect("it is one").expect("it is whole")
    }

    /// A command is taken once all of it is there, at whatever byte it was cut, and the rest stays.
    #[test]
    fn a_command_is_taken_whole() {
        let text = b"ms k 4 T5 C7\r\na\r\nb\r\nmd";
        for cut in 0..text.len() - 2 {
            assert_eq!(take_command(&mut BytesMut::from(&text[..cut])), Ok(None), "cut at {cut}");
        }
        let mut buffer = BytesMut::from(&text[..]);
        let taken = take_command(&mut buffer).expect("it is one").expect("it is whole");
        assert_eq!((taken.name.as_str(), taken.key.as_str()), ("ms", "k"));
        assert_eq!((taken.flags, taken.value), (vec!["T5".into(), "C7".into()], Some("a\r\nb".into())));
        assert_eq!(&buffer[..], b"md");
        for wrong in [&b"get k\r\n"[..], b"ms k x T5\r\n", b"ms k 1 T5\r\nabcd"] {
            assert_eq!(take_command(&mut BytesMut::from(wrong)), Err(NotMeta), "{wrong:?}");
        }
    }

    /// Answers are those of a real server, 1.6.18, to the same commands.
    #[test]
    fn answers_are_those_of_memcached() {
        let mut items = Items::default();
        let mut ask = |at_s: u64, text: &str| {
            let mut out = BytesMut::new();
            items.execute(Duration::from_secs(at_s), &command(text.as_bytes())).write(&mut out);
            String::from_utf8(out.to_vec()).expect("text")
        };
        for (at_s, asked, answered) in [
            (0, "mg k v c t\r\n", "EN\r\n"),
            (0, "ms k 2 T10 C1\r\nab\r\n", "NF\r\n"),
            (0, "ms k 2 T10 ME\r\nab\r\n", "HD\r\n"),
            (0, "ms k 2 T10 ME\r\ncd\r\n", "NS\r\n"),
            (3, "mg k v c t\r\n", "VA 2 c1 t7\r\nab\r\n"),
            (3, "ms k 2 T10 C9\r\ncd\r\n", "EX\r\n"),
            (3, "ms k 0 T10 C1\r\n\r\n", "HD\r\n"),
            (4, "mg k T5\r\n", "HD\r\n"),
            (8, "mg k v c t\r\n", "VA 0 c2 t1\r\n\r\n"),
            (9, "mg k v c t\r\n", "EN\r\n"),
            (9, "md k\r\n", "NF\r\n"),
            (9, "ms k 1 T10\r\nx\r\n", "HD\r\n"),
            (9, "md k\r\n", "HD\r\n"),
        ] {
            assert_eq!(ask(at_s, asked), answered, "{asked}");
        }
    }
}
