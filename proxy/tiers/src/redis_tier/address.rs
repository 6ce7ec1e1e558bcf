//! Where a Redis is, as whom it is asked, and what is ours there.

use std::fmt;

/// What every key begins with when nobody says otherwise.
const PREFIX_DEFAULT: &str = "tg:";

/// Where a Redis is, and how it is spoken to. An address alone is the default user, database 0 and the prefix
/// `tg:`, and then nothing is sent before the first command.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// `host:port`.
    pub authority: String,
    /// As whom it is asked, if not as its default user. It counts with a password only.
    pub user: Option<String>,
    /// What proves it, if the server wants a proof.
    pub password: Option<String>,
    /// The database.
    pub database: u32,
    /// What every key begins with, without braces: they say which part of a key is hashed.
    pub prefix: String,
}

impl From<String> for RedisAddress {
    /// `host:port`.
    fn from(authority: String) -> Self {
        Self { authority, user: None, password: None, database: 0, prefix: PREFIX_DEFAULT.to_owned() }
    }
}

impl From<&str> for RedisAddress {
    /// `host:port`.
    fn from(authority: &str) -> Self {
        authority.to_owned().into()
    }
}

impl fmt::Debug for RedisAddress {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, user, password: _, database, prefix } = self;
        f.debug_struct("RedisAddress")
            .field("authority", authority)
            .field("user", user)
            .field("database", database)
            .field("prefix", prefix)
            .finish_non_exhaustive()
    }
}
