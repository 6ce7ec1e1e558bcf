//! Servers of other people that stores are on: where they are, as whom they are asked, and how.
//!
//! A password never stands in the configuration, which is read and passed around by more people than should
//! know it: a file or the environment has it. One that stands there all the same is not shown.

use super::{error::Problem, origin};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, path::PathBuf};

const REDIS_PORT: u16 = 6379;
const POSTGRES_PORT: u16 = 5432;
/// What Redis may have, if it is configured for so many.
const DATABASE_MAX: u32 = i32::MAX.unsigned_abs();
/// What every key begins with when nobody says otherwise.
const PREFIX_DEFAULT: &str = "tg:";
const PREFIX_CHARS_MAX: usize = 64;

const REDIS_BOUND: &str =
    "host:port, such as 127.0.0.1:6379, or a URL, such as redis://edge@127.0.0.1:6379/0 or rediss://10.0.0.5";
const POSTGRES_BOUND: &str = "a URL, such as postgres://edge@127.0.0.1:5432/tiergate";

/// A Redis: `host:port`, a URL, or what [`RawRedisServer`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRedis(RawServer<RawRedisServer>);

/// A PostgreSQL: a URL, or what [`RawPostgresServer`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPostgres(RawServer<RawPostgresServer>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum RawServer<S> {
    /// Only where it is.
    Url(String),
    /// More than that.
    Mapping(S),
}

/// A Redis, with how to log in and what is ours there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRedisServer {
    /// `host:port`, or `redis://user@host:port/database`; `rediss://` is over TLS. No password.
    pub url: String,
    /// A file whose first line is the password. Read at start.
    pub password_file: Option<PathBuf>,
    /// The variable of the environment that is the password.
    pub password_env: Option<String>,
    /// What every key begins with. Default `tg:`. Two that share nothing may share a server by it.
    pub prefix: Option<String>,
    /// PEM file with the roots to trust, for `rediss://`. Default: the system's.
    pub ca_file: Option<PathBuf>,
}

/// A PostgreSQL, with how to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPostgresServer {
    /// `postgres://user@host:port/database`, and `?sslmode=require` for TLS. No password.
    pub url: String,
    /// A file whose first line is the password. Read at start.
    pub password_file: Option<PathBuf>,
    /// The variable of the environment that is the password.
    pub password_env: Option<String>,
    /// PEM file with the roots to trust, for `sslmode=require`. Default: the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// None is needed.
    None,
    /// In the first line of this file.
    File(PathBuf),
    /// In this variable of the environment.
    Environment(String),
}

/// How a server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// As it is.
    ClearText,
    /// Over TLS, and its certificate is for its name.
    Tls {
        /// PEM file with the roots to trust, if not the system's.
        ca_file: Option<PathBuf>,
    },
}

/// A Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisServer {
    /// Where it is configured.
    pub key: String,
    /// Its name or address, without the brackets of IPv6.
    pub host: String,
    /// `host:port`.
    pub authority: String,
    /// As whom it is asked, if not as its default user.
    pub user: Option<String>,
    /// What proves it.
    pub password: Password,
    /// The database.
    pub database: u32,
    /// What every key begins with.
    pub prefix: String,
    /// How it is spoken to.
    pub encryption: Encryption,
}

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresServer {
    /// Where it is configured.
    pub key: String,
    /// Its name or address, without the brackets of IPv6.
    pub host: String,
    /// `host:port`.
    pub authority: String,
    /// As whom it is asked.
    pub user: String,
    /// What proves it.
    pub password: Password,
    /// The database's name.
    pub database: String,
    /// How it is spoken to.
    pub encryption: Encryption,
}

/// A URL, taken apart.
struct Url {
    scheme: String,
    user: Option<String>,
    host: String,
    authority: String,
    path: String,
    query: Option<String>,
}

/// What is wrong with a URL.
enum BadUrl {
    NoUrl,
    HasPassword,
}

impl Url {
    fn parse(text: &str, port: u16) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::NoUrl)?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(BadUrl::HasPassword),
            Some((user, authority)) => (Some(decoded(user).ok_or(BadUrl::NoUrl)?), authority),
            None => (None, authority),
        };
        // What IPv6 has in brackets is no port.
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        if !origin::is_authority(&authority) {
            return Err(BadUrl::NoUrl);
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            user,
            host: host_of(&authority),
            authority,
            path: decoded(path).ok_or(BadUrl::NoUrl)?,
            query: query.map(str::to_owned),
        })
    }
}

fn host_of(authority: &str) -> String {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// The text whose bytes are percent-encoded here.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// A URL as it may be shown: who wrote a password into it meant it to be a secret.
fn shown(url: &str) -> String {
    // As in `host=… password=…`, which other programs read.
    if url.to_ascii_lowercase().contains("pass") {
        return "no URL".to_owned();
    }
    match url.rsplit_once('@') {
        Some((before, place)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…@{place}")
        }
        None => url.to_owned(),
    }
}

fn bad_url(key: &str, url: &str, why: &BadUrl, bound: &str) -> Problem {
    match why {
        BadUrl::NoUrl => Problem::value(key, shown(url), bound),
        BadUrl::HasPassword => Problem::field(
            key,
            "has a password in it, for all to read: write `url` without it, and `password_file` or `password_env` \
             beside that",
        ),
    }
}

fn password(key: &str, file: Option<PathBuf>, variable: Option<String>) -> Result<Password, Problem> {
    match (file, variable) {
        (Some(_), Some(_)) => {
            let text = format!("is given, and `{key}.password_env` too: remove one of them");
            Err(Problem::field(format!("{key}.password_file"), text))
        }
        (Some(file), None) if file.as_os_str().is_empty() => {
            let bound = "a file, such as /etc/tiergate/store.password";
            Err(Problem::value(format!("{key}.password_file"), "empty", bound))
        }
        (Some(file), None) => Ok(Password::File(file)),
        (None, Some(variable)) if variable.is_empty() || variable.contains(['=', '\0']) => {
            let bound = "the name of a variable of the environment, such as STORE_PASSWORD";
            // It may be a password, by mistake.
            Err(Problem::field(format!("{key}.password_env"), format!("must be {bound}")))
        }
        (None, Some(variable)) => Ok(Password::Environment(variable)),
        (None, None) => Ok(Password::None),
    }
}

fn encryption(
    key: &str,
    is_encrypted: bool,
    ca_file: Option<PathBuf>,
    how: &str,
) -> Result<Encryption, Problem> {
    match (is_encrypted, ca_file) {
        (true, ca_file) => Ok(Encryption::Tls { ca_file }),
        (false, None) => Ok(Encryption::ClearText),
        (false, Some(_)) => {
            let text =
                format!("is given, but the server is spoken to in clear text: write {how}, or remove it");
            Err(Problem::field(format!("{key}.ca_file"), text))
        }
    }
}

impl RawRedis {
    pub(super) fn check(self, key: &str) -> Result<RedisServer, Problem> {
        let (raw, url_key) = match self.0 {
            RawServer::Url(url) => (RawRedisServer { url, ..RawRedisServer::default() }, key.to_owned()),
            RawServer::Mapping(raw) => (raw, format!("{key}.url")),
        };
        let RawRedisServer { url, password_file, password_env, prefix, ca_file } = raw;
        let wrong = |why| bad_url(&url_key, &url, &why, REDIS_BOUND);
        let parsed = if origin::is_authority(&url) {
            Url::parse(&format!("redis://{url}"), REDIS_PORT)
        } else {
            Url::parse(&url, REDIS_PORT)
        };
        let Url { scheme, user, host, authority, path, query } = parsed.map_err(wrong)?;
        let is_encrypted = match scheme.as_str() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong(BadUrl::NoUrl)),
        };
        if query.is_some() {
            return Err(Problem::value(url_key, shown(&url), "a URL without `?`"));
        }
        let database = if path.is_empty() { Some(0) } else { path.parse().ok() };
        let database = database.filter(|database| *database <= DATABASE_MAX).ok_or_else(|| {
            Problem::value(
                &url_key,
                shown(&url),
                "a URL that ends with the number of a database, or with none",
            )
        })?;
        let password = password(key, password_file, password_env)?;
        if user.is_some() && password == Password::None {
            let text = "names a user, who has a password: name its `password_file` or `password_env`";
            return Err(Problem::field(url_key, text));
        }
        let encryption = encryption(key, is_encrypted, ca_file, "rediss:// in `url`")?;
        let prefix = prefix.unwrap_or_else(|| PREFIX_DEFAULT.to_owned());
        // Braces would say which part of a key is hashed.
        let is_prefix = (1..=PREFIX_CHARS_MAX).contains(&prefix.len())
            && prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte));
        if !is_prefix {
            let bound = "1 to 64 visible ASCII characters other than { and }";
            return Err(Problem::value(format!("{key}.prefix"), format!("{prefix:?}"), bound));
        }
        let key = key.to_owned();
        Ok(RedisServer { key, host, authority, user, password, database, prefix, encryption })
    }
}

impl RawPostgres {
    pub(super) fn check(self, key: &str) -> Result<PostgresServer, Problem> {
        let (raw, url_key) = match self.0 {
            RawServer::Url(url) => {
                (RawPostgresServer { url, ..RawPostgresServer::default() }, key.to_owned())
            }
            RawServer::Mapping(raw) => (raw, format!("{key}.url")),
        };
        let RawPostgresServer { url, password_file, password_env, ca_file } = raw;
        let wrong = |why| bad_url(&url_key, &url, &why, POSTGRES_BOUND);
        let Url { scheme, user, host, authority, path, query } =
            Url::parse(&url, POSTGRES_PORT).map_err(wrong)?;
        let (true, Some(user)) = (["postgres", "postgresql"].contains(&scheme.as_str()), user) else {
            return Err(wrong(BadUrl::NoUrl));
        };
        if user.is_empty() || path.is_empty() || path.contains(['/', '\0']) || user.contains('\0') {
            return Err(wrong(BadUrl::NoUrl));
        }
        let is_encrypted = match query.as_deref() {
            None | Some("" | "sslmode=disable") => false,
            // What others call `require` trusts every certificate; here the name is checked always.
            Some("sslmode=require" | "sslmode=verify-full") => true,
            Some(_) => {
                let bound =
                    "a URL that ends with ?sslmode=require, ?sslmode=verify-full, ?sslmode=disable or none";
                return Err(Problem::value(url_key, shown(&url), bound));
            }
        };
        let password = password(key, password_file, password_env)?;
        let encryption = encryption(key, is_encrypted, ca_file, "?sslmode=require behind `url`")?;
        let key = key.to_owned();
        Ok(PostgresServer { key, host, authority, user, password, database: path, encryption })
    }
}

/// Reads a text, or a mapping.
struct TextOrMapping<S>(&'static str, std::marker::PhantomData<S>);

impl<'de, S: Deserialize<'de>> Visitor<'de> for TextOrMapping<S> {
    type Value = RawServer<S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, url: &str) -> Result<RawServer<S>, E> {
        Ok(RawServer::Url(url.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawServer<S>, A::Error> {
        S::deserialize(MapAccessDeserializer::new(map)).map(RawServer::Mapping)
    }
}

impl<'de> Deserialize<'de> for RawRedis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "host:port, a URL, or a mapping with a `url`";
        deserializer.deserialize_any(TextOrMapping(expected, std::marker::PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawPostgres {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a URL, or a mapping with a `url`";
        deserializer.deserialize_any(TextOrMapping(expected, std::marker::PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests;
