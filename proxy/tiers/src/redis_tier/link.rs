//! One connection to Redis, made when it is needed and given up after a failure, and the few commands that
//! use it.

use super::RedisAddress;
use crate::{
    abort::Task,
    connect::Connect,
    shared::keys::{self, Generation, Keys},
};
use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, RedisError, RedisResult,
    aio::MultiplexedConnection,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tiergate_driver::TierError;
use tiergate_engine::{CacheKey, StoredKey};
use tokio::{sync::Mutex, time::timeout};

/// Joins the generation of a target. Key: the generation. Arguments: the name that becomes the generation if
/// there is none, and for how many milliseconds it lives from now on at least. Answers the generation.
pub const JOIN_SCRIPT: &str = "if not redis.call('GET', KEYS[1]) then \
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
return redis.call('GET', KEYS[1])";

/// Publishes a head, unless its target was purged since the writer was opened. Keys: the generation, the
/// head-in-waiting, the head. Arguments: the generation that the writer found, and for how many milliseconds
/// it lives from now on at least. Answers 1 if it published and 0 if the generation is another.
pub const PUBLISH_SCRIPT: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
redis.call('RENAME', KEYS[2], KEYS[3]) \
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
return 1";

/// Exchanges a head for a newer one of the same record, if it is still what the caller read there. Key: the
/// head. Arguments: what was read, the new head, and the milliseconds that it lives. Answers 1 if it did so
/// and 0 if the head is another.
pub const FRESHEN_SCRIPT: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1";

/// What [`PUBLISH_SCRIPT`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publication {
    /// The head is current.
    Published,
    /// Nothing: the generation is gone, or is a newer one.
    OtherGeneration,
}

pub(crate) struct Link<C: Connect> {
    connector: C,
    address: RedisAddress,
    command_time_max: Duration,
    /// Held while a connection is made, so that commands which begin at once share it.
    connection: Mutex<Option<Arc<Connection>>>,
}

/// Commands of all callers go over it interleaved.
struct Connection {
    commands: MultiplexedConnection,
    /// The next command makes a new connection. Those that still wait on this one may finish.
    is_given_up: AtomicBool,
    _task: Task,
}

/// Why a command has no answer.
enum Failure {
    /// No connection could be made.
    Connect(String),
    /// Redis refused the command; the connection is good.
    Refused(RedisError),
    /// The connection broke.
    Broken(RedisError),
}

impl<C: Connect> Link<C> {
    pub(crate) fn new(connector: C, address: RedisAddress, command_time_max: Duration) -> Self {
        Self { connector, address, command_time_max, connection: Mutex::new(None) }
    }

    /// A key as it is called there: whoever shares the server has other prefixes. Every key that is sent goes
    /// through here.
    pub(super) fn named(&self, key: &str) -> String {
        format!("{}{key}", self.address.prefix)
    }

    fn all_named(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| self.named(key)).collect()
    }

    #[cfg(test)]
    pub(super) fn connector(&self) -> &C {
        &self.connector
    }

    /// As after a failure: the next command makes a new connection.
    #[cfg(test)]
    pub(super) async fn give_up(&self) {
        if let Some(connection) = &*self.connection.lock().await {
            connection.is_given_up.store(true, Ordering::Relaxed);
        }
    }

    /// The value of a key, if there is one.
    pub(super) async fn lookup(&self, key: &str) -> Result<Option<Bytes>, TierError> {
        let mut get = redis::cmd("GET");
        get.arg(self.named(key));
        self.run("GET", Commands::One(get)).await
    }

    /// The values of two keys at one moment. Both are of one target.
    pub(super) async fn lookup_both(
        &self,
        one: &str,
        other: &str,
    ) -> Result<(Option<Bytes>, Option<Bytes>), TierError> {
        let mut mget = redis::cmd("MGET");
        mget.arg(self.named(one)).arg(self.named(other));
        self.run("MGET", Commands::One(mget)).await
    }

    /// Sets a key for a time.
    pub(super) async fn store(&self, key: &str, value: Vec<u8>, time: Duration) -> Result<(), TierError> {
        let mut set = redis::cmd("SET");
        set.arg(self.named(key)).arg(value).arg("PX").arg(millis(time));
        self.run("SET", Commands::One(set)).await
    }

    /// Sets how long keys live from now on; says whether all of them are there.
    pub(super) async fn expire_all(&self, keys: &[String], time: Duration) -> Result<bool, TierError> {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("PEXPIRE").arg(self.named(key)).arg(millis(time));
        }
        let found: Vec<i64> = self.run("PEXPIRE", Commands::Many(pipeline)).await?;
        Ok(found.len() == keys.len() && found.iter().all(|found| *found == 1))
    }

    /// The generation of a target, which lives for `time` at least; if it had none, the name of this fill is
    /// its generation from now on.
    pub(super) async fn join_generation(&self, keys: Keys, time: Duration) -> Result<Generation, TierError> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(JOIN_SCRIPT).arg(1);
        let generation = self.named(&keys::generation(keys.key.target));
        eval.arg(generation).arg(Generation(keys.name).encode()).arg(millis(time));
        let found: Bytes = self.run("EVAL", Commands::One(eval)).await?;
        Generation::decode(&found).ok_or_else(|| {
            TierError::Failed(format!("redis: the generation of {} cannot be read", keys.key.target))
        })
    }

    /// Makes the head-in-waiting current if the generation is still the one given, which then lives for
    /// `time` at least.
    pub(super) async fn publish(
        &self,
        keys: Keys,
        generation: Generation,
        time: Duration,
    ) -> Result<Publication, TierError> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(PUBLISH_SCRIPT).arg(3);
        eval.arg(self.named(&keys::generation(keys.key.target)))
            .arg(self.named(&keys.head_in_waiting()))
            .arg(self.named(&keys::current(keys.key)))
            .arg(generation.encode())
            .arg(millis(time));
        if self.run("EVAL", Commands::One(eval)).await? {
            Ok(Publication::Published)
        } else {
            Ok(Publication::OtherGeneration)
        }
    }

    /// Exchanges the current head for a newer one if it is still `read`; says whether it did.
    pub(super) async fn freshen(
        &self,
        key: StoredKey,
        read: &[u8],
        head: Vec<u8>,
        time: Duration,
    ) -> Result<bool, TierError> {
        let mut eval = redis::cmd("EVAL");
        let current = self.named(&keys::current(key));
        eval.arg(FRESHEN_SCRIPT).arg(1).arg(current).arg(read).arg(head).arg(millis(time));
        self.run("EVAL", Commands::One(eval)).await
    }

    /// Removes the generation of a target and then its own head; says whether there was a head.
    pub(super) async fn purge(&self, target: CacheKey) -> Result<bool, TierError> {
        let mut pipeline = redis::pipe();
        // In this order: a commit between the two is refused. The other way round, it would stay.
        pipeline.cmd("DEL").arg(self.named(&keys::generation(target))).ignore();
        pipeline.cmd("DEL").arg(self.named(&keys::current(StoredKey::plain(target))));
        let (existed,) = self.run("DEL", Commands::Many(pipeline)).await?;
        Ok(existed)
    }

    /// Deletes keys; says how many there were. `keys` is not empty.
    pub(super) async fn delete(&self, keys: &[String]) -> Result<u64, TierError> {
        let mut del = redis::cmd("DEL");
        del.arg(self.all_named(keys));
        self.run("DEL", Commands::One(del)).await
    }

    /// Runs a script.
    pub(crate) async fn eval<T: FromRedisValue>(
        &self,
        script: &str,
        keys: &[String],
        arguments: &[Bytes],
    ) -> Result<T, TierError> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(keys.len()).arg(self.all_named(keys));
        for argument in arguments {
            eval.arg(&argument[..]);
        }
        self.run("EVAL", Commands::One(eval)).await
    }

    /// Within the time limit, sends commands and reads what they answer.
    async fn run<T: FromRedisValue>(&self, name: &str, commands: Commands) -> Result<T, TierError> {
        let mut used = None;
        let answer = timeout(self.command_time_max, async {
            let connection = self.connect().await?;
            used = Some(Arc::clone(&connection));
            commands.send(&mut connection.commands.clone()).await.map_err(|error| {
                // `code` is what Redis itself said.
                if error.code().is_some() { Failure::Refused(error) } else { Failure::Broken(error) }
            })
        })
        .await;
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Failure::Refused(error))) => {
                return Err(TierError::Failed(format!(
                    "redis: {name} at {} was refused: {error}{}",
                    self.address.authority,
                    advice(&error)
                )));
            }
            Ok(Err(Failure::Broken(error))) => error.to_string(),
            Ok(Err(Failure::Connect(error))) => error,
            Err(_elapsed) => format!("no answer within {:?}", self.command_time_max),
        };
        if let Some(used) = used {
            used.is_given_up.store(true, Ordering::Relaxed);
        }
        Err(TierError::Failed(format!("redis: {name} at {}: {error}", self.address.authority)))
    }

    async fn connect(&self) -> Result<Arc<Connection>, Failure> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection
            && !connection.is_given_up.load(Ordering::Relaxed)
        {
            return Ok(Arc::clone(connection));
        }
        let stream = self
            .connector
            .connect(&self.address.authority)
            .await
            .map_err(|error| Failure::Connect(error.to_string()))?;
        // The crate's own time limits are off: one limit, ours, is over each command as a whole.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let info = self.address.login();
        let (commands, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
            .await
            .map_err(|error| Failure::Connect(error.to_string()))?;
        let made = Arc::new(Connection {
            commands,
            is_given_up: AtomicBool::new(false),
            _task: Task::spawn(driver),
        });
        *connection = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl RedisAddress {
    /// What is sent before the first command: nothing that is not configured.
    fn login(&self) -> RedisConnectionInfo {
        let Self { authority: _, user, password, database, prefix: _ } = self;
        let info = RedisConnectionInfo::default().set_skip_set_lib_name().set_db((*database).into());
        let Some(password) = password else { return info };
        let info = info.set_password(password);
        match user {
            Some(user) => info.set_username(user),
            None => info,
        }
    }
}

/// What to do about a refusal, if we know.
fn advice(error: &RedisError) -> &'static str {
    match error.code() {
        Some("NOPERM") => ": let this user do that (ACL SETUSER); docs/operate.md names what a user needs",
        Some("NOAUTH") => ": configure a password",
        _ => "",
    }
}

enum Commands {
    One(Cmd),
    Many(Pipeline),
}

impl Commands {
    async fn send<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> RedisResult<T> {
        match self {
            Self::One(command) => command.query_async(connection).await,
            Self::Many(pipeline) => pipeline.query_async(connection).await,
        }
    }
}

/// As Redis counts time. Every time limit here lies far below what overflows.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
