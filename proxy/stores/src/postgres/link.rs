//! Connections to one database, made when they are needed and given up after a failure, and how often a
//! statement is tried.

use super::{PostgresAddress, schema};
use std::{
    error::Error as _,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tiergate_driver::{StoreError, TierError};
use tiergate_tiers::Connect;
use tokio::{sync::Mutex, task::JoinHandle, time};
use tokio_postgres::{
    Client, Config, NoTls, Row,
    config::SslMode,
    error::SqlState,
    types::{ToSql, Type},
};

/// How often a statement is tried that the database gave up because of another one. Nothing of it was done
/// then.
const ATTEMPTS_MAX: u32 = 12;
/// How long it rests before it is tried again, for the first time; then twice as long each time, up to so
/// often.
const REST: Duration = Duration::from_millis(1);
const RESTS_DOUBLED_MAX: u32 = 6;

/// A value and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Why a statement has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be made.
    Connect(std::io::Error),
    /// The database refused, or the connection broke.
    Database(tokio_postgres::Error),
    /// Another release's tables are there.
    OtherLayout(i64),
    /// What came is nothing that we wrote.
    Odd(String),
}

impl Failure {
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            Self::Connect(_) | Self::OtherLayout(_) | Self::Odd(_) => None,
        }
    }

    /// Was nothing done, because of another statement that ran at the same time?
    fn is_conflict(&self) -> bool {
        let conflicts = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        self.code().is_some_and(|code| conflicts.contains(code))
    }
}

impl fmt::Display for Failure {
    /// Neither kind of error names the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Database(error) => match (error.as_db_error(), error.source()) {
                (Some(told), _) => write!(f, "{} (SQLSTATE {})", told.message(), told.code().code()),
                (None, Some(source)) => write!(f, "{error}: {source}"),
                (None, None) => error.fmt(f),
            },
            Self::OtherLayout(found) => write!(
                f,
                "its tables have layout {found}, and this release reads {}: start the release that made them, or \
                 name another database",
                schema::LAYOUT
            ),
            Self::Odd(what) => f.write_str(what),
        }
    }
}

/// Several connections, so that one statement that waits for a lock does not hold up all others.
pub(super) struct Link<C: Connect> {
    connector: C,
    address: PostgresAddress,
    call_time_max: Duration,
    /// Each is held while its connection is made, so that calls which begin at once share it.
    connections: Vec<Mutex<Option<Arc<Connection>>>>,
    turn: AtomicUsize,
}

/// Statements of all callers go over it one after the other.
pub(super) struct Connection {
    client: Client,
    /// The next call makes a new connection. Those that still wait on this one may finish.
    is_given_up: AtomicBool,
    _task: Task,
}

/// A task that ends with its owner.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives the connection up, unless the statement was answered: a call that took too long leaves it by being
/// dropped.
struct UnderWay<'a>(Option<&'a Connection>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.is_given_up.store(true, Ordering::Relaxed);
        }
    }
}

impl Connection {
    /// Sends one statement and waits for its rows.
    pub(super) async fn query(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let mut under_way = UnderWay(Some(self));
        let answer = self.client.query_typed(statement, parameters).await.map_err(Failure::Database);
        let is_usable = match &answer {
            Ok(_) => true,
            Err(failure) => {
                let usual = [SqlState::UNIQUE_VIOLATION, SqlState::UNDEFINED_TABLE];
                failure.is_conflict() || failure.code().is_some_and(|code| usual.contains(code))
            }
        };
        // After all else another connection may lead to a database that does better.
        if is_usable {
            under_way.0 = None;
        }
        answer
    }
}

impl<C: Connect> Link<C> {
    pub(super) fn new(
        connector: C,
        address: PostgresAddress,
        call_time_max: Duration,
        connections: usize,
    ) -> Self {
        let connections = (0..connections.max(1)).map(|_| Mutex::default()).collect();
        Self { connector, address, call_time_max, connections, turn: AtomicUsize::new(0) }
    }

    pub(super) fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// The work of one call, within its time.
    pub(super) async fn within<T>(
        &self,
        doing: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let why = match time::timeout(self.call_time_max, work).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure.to_string(),
            Err(_elapsed) => format!("no answer within {:?}", self.call_time_max),
        };
        Err(TierError::Failed(format!("postgres: {doing} at {} failed: {why}", self.address)))
    }

    /// One statement, again while the database gives it up because of others.
    pub(super) async fn ask(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let mut attempt = 0;
        loop {
            let connection = self.connection().await?;
            let failure = match connection.query(statement, parameters).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            attempt += 1;
            if attempt == ATTEMPTS_MAX {
                return Err(failure);
            }
            if failure.is_conflict() {
                time::sleep(REST * (1 << attempt.min(RESTS_DOUBLED_MAX))).await;
            } else if failure.code() == Some(&SqlState::UNDEFINED_TABLE) {
                // Somebody dropped it.
                schema::make(&connection).await?;
            } else {
                return Err(failure);
            }
        }
    }

    /// The next of them in turn, made if need be.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut connection = self.connections[turn % self.connections.len()].lock().await;
        if let Some(connection) = &*connection
            && !connection.is_given_up.load(Ordering::Relaxed)
            && !connection.client.is_closed()
        {
            return Ok(Arc::clone(connection));
        }
        let made = Arc::new(self.connect().await?);
        schema::ensure(&made).await?;
        *connection = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let PostgresAddress { authority, database, user, password } = &self.address;
        let stream = self.connector.connect(authority).await.map_err(Failure::Connect)?;
        let mut config = Config::new();
        // Whether the stream is encrypted is the connector's affair.
        config.ssl_mode(SslMode::Disable).user(user).dbname(database).application_name("tiergate");
        if let Some(password) = password {
            config.password(password);
        }
        let (client, driver) = config.connect_raw(stream, NoTls).await.map_err(Failure::Database)?;
        // How it ended is told to whoever waits for an answer.
        let task = Task::spawn(async move { drop(driver.await) });
        Ok(Connection { client, is_given_up: AtomicBool::new(false), _task: task })
    }
}
