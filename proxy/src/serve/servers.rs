//! Stores on servers of other people: their passwords, whom to trust, and their clients.

use super::StartError;
use crate::{
    config::{Password, PostgresServer, RedisServer, SharedMemory},
    store_connect::{Begin, StoreConnect},
};
use std::{env, fs, sync::Arc};
use tiergate_stores::AnyIndex;
use tiergate_tiers::{
    AnyTier, MemcachedOptions, MemcachedTier, RedisAddress, RedisOptions, RedisStore, RedisStoreOptions,
    RedisTier,
};

/// L1.
pub(super) fn shared_memory(memory: &SharedMemory) -> Result<AnyTier<StoreConnect>, StartError> {
    match memory {
        SharedMemory::Redis(server) => {
            let (connect, address) = redis(server)?;
            Ok(AnyTier::Redis(RedisTier::new(connect, address, RedisOptions::default())))
        }
        SharedMemory::Memcached(authority) => {
            let connect = StoreConnect::in_clear_text();
            let tier = MemcachedTier::new(connect, authority.as_str(), MemcachedOptions::default());
            Ok(AnyTier::Memcached(tier))
        }
    }
}

/// A Redis that has rows, or the log of the feed.
pub(super) fn redis_index(server: &RedisServer) -> Result<AnyIndex<StoreConnect>, StartError> {
    let (connect, address) = redis(server)?;
    Ok(AnyIndex::Redis(Arc::new(RedisStore::new(connect, address, RedisStoreOptions::default()))))
}

fn redis(server: &RedisServer) -> Result<(StoreConnect, RedisAddress), StartError> {
    let RedisServer { key, host, authority, user, password, database, prefix, encryption } = server;
    let connect = StoreConnect::new(key, host, encryption, Begin::AtOnce).map_err(StartError::Roots)?;
    let address = RedisAddress {
        authority: authority.clone(),
        user: user.clone(),
        password: read(key, password)?,
        database: *database,
        prefix: prefix.clone(),
    };
    Ok((connect, address))
}

/// A PostgreSQL that has rows, and the log of the feed.
#[cfg(feature = "postgres")]
pub(super) async fn postgres_index(server: &PostgresServer) -> Result<AnyIndex<StoreConnect>, StartError> {
    use tiergate_stores::{PostgresAddress, PostgresIndex, PostgresOptions};

    let PostgresServer { key, host, authority, user, password, database, encryption } = server;
    let connect = StoreConnect::new(key, host, encryption, Begin::OnConsent).map_err(StartError::Roots)?;
    let address = PostgresAddress {
        authority: authority.clone(),
        database: database.clone(),
        user: user.clone(),
        password: read(key, password)?,
    };
    let opened = PostgresIndex::open(connect, address, PostgresOptions::default()).await;
    let index = opened.map_err(|error| StartError::Store { key: "storage.l3.index.postgres", error })?;
    Ok(AnyIndex::Postgres(Arc::new(index)))
}

/// This program was built without it.
#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "the other build of this function waits for the database")]
pub(super) async fn postgres_index(server: &PostgresServer) -> Result<AnyIndex<StoreConnect>, StartError> {
    Err(StartError::LeftOut { key: server.key.clone(), feature: "postgres" })
}

/// The password, if one is configured. What is wrong with it is told without a byte of it.
fn read(key: &str, password: &Password) -> Result<Option<String>, StartError> {
    let (key, text) = match password {
        Password::None => return Ok(None),
        Password::File(file) => {
            let key = format!("{key}.password_file");
            match fs::read_to_string(file) {
                Ok(text) => (key, text),
                Err(error) => {
                    let why = format!("is {}, which cannot be read: {error}", file.display());
                    return Err(StartError::Password { key, why });
                }
            }
        }
        Password::Environment(variable) => {
            let key = format!("{key}.password_env");
            match env::var(variable) {
                Ok(text) => (key, text),
                Err(error) => {
                    let why = match error {
                        env::VarError::NotPresent => "is not set",
                        env::VarError::NotUnicode(_) => "is no text",
                    };
                    return Err(StartError::Password { key, why: format!("is {variable}, which {why}") });
                }
            }
        }
    };
    // A file ends with a line break, which is no part of it.
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(StartError::Password { key, why: "has an empty first line, and no password".to_owned() });
    }
    Ok(Some(line.to_owned()))
}
