//! Connections to memcached, and the few commands of its meta protocol that the tier uses.
//!
//! A connection has one batch of commands on it at a time, and goes back to the others only when every answer
//! was read: whatever else happens to it (an error, a time limit, a caller who leaves) ends it, so that no
//! answer is ever taken for another command's.

use crate::connect::Connect;
use bytes::Bytes;
use std::{
    fmt::Write as _,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_driver::TierError;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::Semaphore,
    time::timeout,
};

/// Connections at once. A command that finds all of them busy waits, within its time.
const CONNECTIONS_MAX: usize = 16;
/// A line of an answer has at most so many bytes: a key and a few flags.
const LINE_BYTES_MAX: u64 = 2_048;
/// A value has at most so many: a part, or a head.
const VALUE_BYTES_MAX: usize = 8 << 20;
/// What memcached takes for a time from now. Anything longer would be a date.
pub(super) const TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

pub(super) struct Link<C: Connect> {
    connector: C,
    authority: String,
    prefix: &'static str,
    command_time_max: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<BufReader<C::Stream>>>,
}

/// What lies under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bytes: Bytes,
    /// Another one after each change, and never the same again in the life of a server.
    pub(super) version: u64,
    /// How much longer it lives.
    pub(super) left: Duration,
}

/// What came of a write with a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Another item is there.
    Changed,
    /// None is there.
    Gone,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Value(Item),
    /// It was done, or the key is there.
    Done,
    /// It was not, for a key is there that must not be.
    NotStored,
    /// It was not, for the item is another one.
    Exists,
    /// There is no such key.
    Absent,
}

impl<C: Connect> Link<C> {
    pub(super) fn new(
        connector: C,
        authority: String,
        prefix: &'static str,
        command_time_max: Duration,
    ) -> Self {
        let (permits, idle) = (Semaphore::new(CONNECTIONS_MAX), Mutex::default());
        Self { connector, authority, prefix, command_time_max, permits, idle }
    }

    /// What lies under a key.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Item>, TierError> {
        match self.one("mg", key, format!("mg {}{key} v c t\r\n", self.prefix).into_bytes()).await? {
            Answer::Value(item) => Ok(Some(item)),
            Answer::Absent => Ok(None),
            other => Err(self.odd("mg", &other)),
        }
    }

    /// Stores under a key, for a time.
    pub(super) async fn set(&self, key: &str, value: &[u8], time: Duration) -> Result<(), TierError> {
        match self.one("ms", key, self.store(key, value, time, "")).await? {
            Answer::Done => Ok(()),
            other => Err(self.odd("ms", &other)),
        }
    }

    /// Stores where there is nothing; says whether there was nothing.
    pub(super) async fn add(&self, key: &str, value: &[u8], time: Duration) -> Result<bool, TierError> {
        match self.one("ms", key, self.store(key, value, time, " ME")).await? {
            Answer::Done => Ok(true),
            Answer::NotStored => Ok(false),
            other => Err(self.odd("ms", &other)),
        }
    }

    /// Stores in place of exactly that version.
    pub(super) async fn swap(
        &self,
        key: &str,
        version: u64,
        value: &[u8],
        time: Duration,
    ) -> Result<Written, TierError> {
        match self.one("ms", key, self.store(key, value, time, &format!(" C{version}"))).await? {
            Answer::Done => Ok(Written::Done),
            Answer::Exists => Ok(Written::Changed),
            Answer::Absent => Ok(Written::Gone),
            other @ (Answer::Value(_) | Answer::NotStored) => Err(self.odd("ms", &other)),
        }
    }

    /// Lets all of these keys live for `time` from now on; says whether all of them are there. `keys` is not
    /// empty.
    pub(super) async fn prolong(&self, keys: &[String], time: Duration) -> Result<bool, TierError> {
        let mut commands = String::new();
        for key in keys {
            write!(commands, "mg {}{key} T{}\r\n", self.prefix, seconds(time)).expect("a String takes all");
        }
        let answers = self.run("mg", &keys[0], commands.into_bytes(), keys.len()).await?;
        Ok(answers.iter().all(|answer| *answer == Answer::Done))
    }

    /// Deletes keys; says how many there were. `keys` is not empty.
    pub(super) async fn delete(&self, keys: &[String]) -> Result<usize, TierError> {
        let mut commands = String::new();
        for key in keys {
            write!(commands, "md {}{key}\r\n", self.prefix).expect("a String takes all");
        }
        let answers = self.run("md", &keys[0], commands.into_bytes(), keys.len()).await?;
        Ok(answers.iter().filter(|answer| **answer == Answer::Done).count())
    }

    /// A key as it is called there.
    pub(super) fn named(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// As after a failure: the next command makes a new connection.
    #[cfg(test)]
    pub(super) fn give_up(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<BufReader<C::Stream>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, key: &str, value: &[u8], time: Duration, more: &str) -> Vec<u8> {
        let line = format!("ms {}{key} {} T{}{more}\r\n", self.prefix, value.len(), seconds(time));
        [line.as_bytes(), value, b"\r\n"].concat()
    }

    fn odd(&self, name: &str, answer: &Answer) -> TierError {
        let answer = match answer {
            Answer::Value(_) => "a value",
            Answer::Done => "HD",
            Answer::NotStored => "NS",
            Answer::Exists => "EX",
            Answer::Absent => "nothing there",
        };
        TierError::Failed(format!("memcached: {name} at {} was answered by {answer}", self.authority))
    }

    async fn one(&self, name: &str, key: &str, command: Vec<u8>) -> Result<Answer, TierError> {
        let mut answers = self.run(name, key, command, 1).await?;
        Ok(answers.remove(0))
    }

    /// Within the time limit, sends commands and reads what they answer.
    async fn run(
        &self,
        name: &str,
        key: &str,
        commands: Vec<u8>,
        count: usize,
    ) -> Result<Vec<Answer>, TierError> {
        let answers = timeout(self.command_time_max, async {
            let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
            let kept = self.idle().pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => BufReader::new(self.connector.connect(&self.authority).await?),
            };
            connection.get_mut().write_all(&commands).await?;
            connection.get_mut().flush().await?;
            let mut answers = Vec::with_capacity(count);
            for _ in 0..count {
                answers.push(answer(&mut connection).await?);
            }
            // What came unasked would pass for the next command's answer.
            if connection.buffer().is_empty() {
                self.idle().push(connection);
            }
            Ok::<_, io::Error>(answers)
        })
        .await;
        let error = match answers {
            Ok(Ok(answers)) => return Ok(answers),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("no answer within {:?}", self.command_time_max),
        };
        // What has befallen one has befallen the others, if the server is gone.
        self.idle().clear();
        let key = self.named(key);
        Err(TierError::Failed(format!("memcached: {name} of {key} at {}: {error}", self.authority)))
    }
}

/// Reads one answer.
async fn answer<S: tokio::io::AsyncRead + Unpin>(connection: &mut BufReader<S>) -> io::Result<Answer> {
    let mut line = Vec::new();
    connection.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    let line = match line.strip_suffix(b"\r\n").map(std::str::from_utf8) {
        Some(Ok(line)) => line,
        Some(Err(_)) | None if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
        Some(Err(_)) | None => return Err(io::Error::other("its answer is no line of text")),
    };
    let mut words = line.split(' ');
    match words.next().unwrap_or_default() {
        "VA" => value(connection, words).await.map(Answer::Value),
        "HD" => Ok(Answer::Done),
        "NS" => Ok(Answer::NotStored),
        "EX" => Ok(Answer::Exists),
        "EN" | "NF" => Ok(Answer::Absent),
        // `ERROR`, `CLIENT_ERROR …`, `SERVER_ERROR …`
        _ => Err(io::Error::other(format!("it says {line:?}"))),
    }
}

/// Reads a value behind the line that announces it.
async fn value<S: tokio::io::AsyncRead + Unpin>(
    connection: &mut BufReader<S>,
    mut words: std::str::Split<'_, char>,
) -> io::Result<Item> {
    let wrong = || io::Error::other("it announces a value that is none");
    let length: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    let (mut version, mut left) = (None, None);
    for word in words {
        if let Some(number) = word.strip_prefix('c') {
            version = number.parse().ok();
        } else if let Some(number) = word.strip_prefix('t') {
            // -1 is for ever.
            left = number.parse::<i64>().ok();
        }
    }
    let (Some(version), Some(left)) = (version, left) else { return Err(wrong()) };
    if length > VALUE_BYTES_MAX {
        return Err(io::Error::other(format!("a value has {length} bytes, more than {VALUE_BYTES_MAX}")));
    }
    let mut bytes = vec![0; length + 2];
    connection.read_exact(&mut bytes).await?;
    if !bytes.ends_with(b"\r\n") {
        return Err(wrong());
    }
    bytes.truncate(length);
    let left = u64::try_from(left).map_or(TIME_MAX, Duration::from_secs);
    Ok(Item { bytes: bytes.into(), version, left })
}

/// As memcached counts time. Nothing here lives for less than a second: 0 would be for ever.
fn seconds(time: Duration) -> u64 {
    time.min(TIME_MAX).as_secs().max(1)
}
