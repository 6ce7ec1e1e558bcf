//! What the servers of stores may be, and what is said of what they may not be.

use super::*;
use crate::{ConfigError, FeedLog, Index, Overrides, ServerConfig, SharedMemory, parse};
use std::path::Path;

/// A configuration with all three places where a Redis may be, and a PostgreSQL.
fn read(redis: &str, postgres: &str) -> Result<ServerConfig, String> {
    let text = format!(
        "origin: http://a\ncache: {{ l1: {{}}, l3: {{}}, feed: {{}} }}\nstorage:\n  l1:\n    redis: {redis}\n  \
         feed: {{ redis: \"f:1\" }}\n  l3:\n    blobs: {{ dir: /b }}\n    index:\n      postgres: {postgres}\n"
    );
    parse(&text, &Overrides::default())
        .map_err(|problem| ConfigError::new(Path::new("t.yaml"), problem).to_string())
}

const POSTGRES: &str = "\"postgres://edge@p/tiergate\"";

fn redis(text: &str) -> RedisServer {
    let config = read(text, POSTGRES).unwrap_or_else(|error| panic!("{text}: {error}"));
    match config.shared.expect("it is configured") {
        SharedMemory::Redis(server) => server,
        other => panic!("{other:?}"),
    }
}

fn postgres(text: &str) -> PostgresServer {
    let config = read("r:1", text).unwrap_or_else(|error| panic!("{text}: {error}"));
    match config.durable.expect("it is configured").index {
        Index::Postgres(server) => server,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn expect_refused(config: Result<ServerConfig, String>, expected: &str) {
    assert_eq!(config.map(|_| ()), Err(format!("t.yaml:{expected}")));
}

/// A Redis is its address, and what else stands in a URL or beside it.
#[test]
fn a_redis_is_what_its_url_says() {
    let plain = RedisServer {
        key: "storage.l1.redis".to_owned(),
        host: "r".to_owned(),
        authority: "r:6379".to_owned(),
        user: None,
        password: Password::None,
        database: 0,
        prefix: "tg:".to_owned(),
        encryption: Encryption::ClearText,
    };
    for text in ["r:6379", "redis://r", "redis://r/", "redis://r:6379/0", "{ url: \"r:6379\" }"] {
        assert_eq!(redis(text), plain, "{text}");
    }
    let whole = RedisServer {
        host: "::1".to_owned(),
        authority: "[::1]:6380".to_owned(),
        user: Some("edge one".to_owned()),
        password: Password::File("/p".into()),
        database: 3,
        prefix: "edge:one:".to_owned(),
        encryption: Encryption::Tls { ca_file: Some("/ca".into()) },
        ..plain.clone()
    };
    let text = "{ url: \"rediss://edge%20one@[::1]:6380/3\", password_file: /p, prefix: \"edge:one:\", ca_file: /ca }";
    assert_eq!(redis(text), whole);
    let only_password = "{ url: \"rediss://[::1]\", password_env: SECRET }";
    let expected = RedisServer {
        host: "::1".to_owned(),
        authority: "[::1]:6379".to_owned(),
        password: Password::Environment("SECRET".to_owned()),
        encryption: Encryption::Tls { ca_file: None },
        ..plain
    };
    assert_eq!(redis(only_password), expected);
    let config = read("r:1", POSTGRES).expect("it is right");
    let Some(FeedLog::Redis(feed)) = config.feed else { panic!("{:?}", config.feed) };
    assert_eq!(feed.authority, "f:1");
}

/// A PostgreSQL is named by a URL, and is spoken to as that says.
#[test]
fn a_postgres_is_what_its_url_says() {
    let plain = PostgresServer {
        key: "storage.l3.index.postgres".to_owned(),
        host: "p".to_owned(),
        authority: "p:5432".to_owned(),
        user: "edge".to_owned(),
        password: Password::None,
        database: "tiergate".to_owned(),
        encryption: Encryption::ClearText,
    };
    for text in [
        POSTGRES,
        "\"postgresql://edge@p:5432/tiergate\"",
        "{ url: \"postgres://edge@p/tiergate?sslmode=disable\" }",
    ] {
        assert_eq!(postgres(text), plain, "{text}");
    }
    for mode in ["require", "verify-full"] {
        let text = format!(
            "{{ url: \"postgres://e%40x@10.0.0.1:6/a%20b?sslmode={mode}\", password_env: P, ca_file: /ca }}"
        );
        let expected = PostgresServer {
            host: "10.0.0.1".to_owned(),
            authority: "10.0.0.1:6".to_owned(),
            user: "e@x".to_owned(),
            password: Password::Environment("P".to_owned()),
            database: "a b".to_owned(),
            encryption: Encryption::Tls { ca_file: Some("/ca".into()) },
            ..plain.clone()
        };
        assert_eq!(postgres(&text), expected);
    }
}

/// What cannot be used is named with its key, its value and what it must be.
#[test]
fn servers_that_cannot_be_used_are_named() {
    let url = |value: &str| format!("5: `storage.l1.redis` is {value}, but must be {REDIS_BOUND}");
    for (text, shown) in [
        ("r", "r"),
        ("r:0", "r:0"),
        ("\"http://r:1\"", "http://r:1"),
        ("\"redis://\"", "redis://"),
        ("\"redis://r:port\"", "redis://r:port"),
        ("\"redis://%zz@r\"", "redis://…@r"),
        ("\"a@r:1\"", "…@r:1"),
    ] {
        expect_refused(read(text, POSTGRES), &url(shown));
    }
    let cases = [
        (
            "redis://r/first",
            "5: `storage.l1.redis` is redis://r/first, but must be a URL that ends with the number of a database, or with \
             none",
        ),
        ("redis://r?db=1", "5: `storage.l1.redis` is redis://r?db=1, but must be a URL without `?`"),
        (
            "redis://edge@r",
            "5: `storage.l1.redis` names a user, who has a password: name its `password_file` or `password_env`",
        ),
        (
            "{ url: \"r:1\", password_file: /p, password_env: P }",
            "5: `storage.l1.redis.password_file` is given, and `storage.l1.redis.password_env` too: remove one of them",
        ),
        (
            "{ url: \"r:1\", password_file: \"\" }",
            "5: `storage.l1.redis.password_file` is empty, but must be a file, such as /etc/tiergate/store.password",
        ),
        (
            "{ url: \"r:1\", password_env: \"a=b\" }",
            "5: `storage.l1.redis.password_env` must be the name of a variable of the environment, such as STORE_PASSWORD",
        ),
        (
            "{ url: \"r:1\", prefix: \"a{b\" }",
            "5: `storage.l1.redis.prefix` is \"a{b\", but must be 1 to 64 visible ASCII characters other than { and }",
        ),
        (
            "{ url: \"r:1\", ca_file: /ca }",
            "5: `storage.l1.redis.ca_file` is given, but the server is spoken to in clear text: write rediss:// in \
             `url`, or remove it",
        ),
    ];
    for (text, expected) in cases {
        expect_refused(read(text, POSTGRES), expected);
    }
    let url =
        |value: &str| format!("10: `storage.l3.index.postgres` is {value}, but must be {POSTGRES_BOUND}");
    for (text, shown) in [
        ("p:5432", "p:5432"),
        ("\"redis://edge@p/t\"", "redis://…@p/t"),
        ("\"postgres://p/t\"", "postgres://p/t"),
        ("\"postgres://edge@p\"", "postgres://…@p"),
        ("\"postgres://edge@p/a/b\"", "postgres://…@p/a/b"),
    ] {
        expect_refused(read("r:1", text), &url(shown));
    }
    expect_refused(
        read("r:1", "\"postgres://edge@p/t?sslmode=prefer\""),
        "10: `storage.l3.index.postgres` is postgres://…@p/t?sslmode=prefer, but must be a URL that ends with \
         ?sslmode=require, ?sslmode=verify-full, ?sslmode=disable or none",
    );
}

/// A password that stands in the file is refused, and shown neither in what is said nor in what is read.
#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let redis = [
        "\"redis://edge:open-sesame@r\"",
        "\"redis://:open-sesame@r:6379/0\"",
        "\"edge:open-sesame@r:6379\"",
        "\"http://edge:open-sesame@r\"",
        "{ url: \"redis://edge:open-sesame@r\" }",
        "{ url: \"r:1\", password: open-sesame }",
        "{ url: \"r:1\", password_env: \"=open-sesame\" }",
        "[ \"redis://edge:open-sesame@r\" ]",
    ];
    let postgres = [
        "\"postgres://edge:open-sesame@p/t\"",
        "{ url: \"postgres://edge:open-sesame@p/t\" }",
        "{ url: \"postgres://edge@p/t\", password: open-sesame }",
        "\"host=p user=edge password=open-sesame\"",
    ];
    let refused =
        redis.map(|text| read(text, POSTGRES)).into_iter().chain(postgres.map(|text| read("r:1", text)));
    for refused in refused {
        let error = refused.map(|_| ()).expect_err("a password stands there");
        assert!(error.starts_with("t.yaml:") && !error.contains("sesame"), "{error}");
    }
}
