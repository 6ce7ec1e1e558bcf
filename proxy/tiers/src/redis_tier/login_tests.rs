//! Redis as operators have it: with passwords, users with rights, databases, and others beside us; against a
//! real `redis-server`.

use super::*;
use crate::{
    RedisStore, RedisStoreOptions,
    redis_server::{Server, UnixConnect},
};
use tiergate_driver::IndexStore;
use tiergate_engine::{ByteCount, Fields, Head, WallTime};

const WRITER: Handle<WriterId> = Handle { shard: 0, id: WriterId(1) };
const RECORD: Handle<RecordId> = Handle { shard: 0, id: RecordId(1) };
const KEY: StoredKey = StoredKey::plain(CacheKey(0xabc));

fn tier(server: &Server, address: RedisAddress) -> RedisTier<UnixConnect> {
    RedisTier::new(server.connect(), address, RedisOptions { command_time_max: Duration::from_secs(20) })
}

fn store(server: &Server, address: RedisAddress) -> RedisStore<UnixConnect> {
    let command_time_max = Duration::from_secs(20);
    RedisStore::new(
        server.connect(),
        address,
        RedisStoreOptions { command_time_max, ..RedisStoreOptions::default() },
    )
}

fn plain() -> RedisAddress {
    "redis:6379".into()
}

/// Stores a body and says whether it is found again.
async fn stores(tier: &RedisTier<UnixConnect>) -> Result<bool, TierError> {
    let name = RecordName(0xdef);
    let freshness = StoredFreshness {
        as_of: WallTime::from_unix_millis(5),
        age_then: Duration::ZERO,
        lifetime: Duration::from_secs(60),
    };
    let head = Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"1\"")]) });
    let record = Record { key: KEY.key, target: KEY.target, name, head, length: ByteCount(5), freshness };
    tier.open(WRITER, KEY, name).await?;
    tier.write(WRITER, Bytes::from_static(b"hello")).await?;
    tier.commit(WRITER, Arc::new(record)).await?;
    Ok(tier.lookup(RECORD, KEY).await?.is_some())
}

fn every_key(server: &Server) -> Vec<String> {
    let mut keys: Vec<String> = server.ask(&[b"KEYS", b"*"]);
    keys.sort();
    keys
}

/// A server that wants a password is used with the right one alone, as its default user or as another. The
/// password is in nothing that is said.
#[tokio::test]
async fn a_password_opens_the_server() {
    let server = Server::start();
    let () = server.ask(&[b"ACL", b"SETUSER", b"edge", b"on", b">edge-sesame", b"~*", b"+@all"]);
    let () = server.ask(&[b"ACL", b"SETUSER", b"default", b"resetpass", b">open-sesame"]);
    let address = |user: Option<&str>, password: &str| RedisAddress {
        user: user.map(str::to_owned),
        password: Some(password.to_owned()),
        ..plain()
    };
    for right in [address(None, "open-sesame"), address(Some("edge"), "edge-sesame")] {
        assert_eq!(stores(&tier(&server, right.clone())).await, Ok(true));
        assert!(store(&server, right.clone()).get(CacheKey(1)).await.is_ok());
        assert!(!format!("{right:?}").contains("sesame"), "{right:?}");
    }
    let none = stores(&tier(&server, plain())).await.expect_err("it wants a password").to_string();
    assert!(none.ends_with(": configure a password"), "{none}");
    for wrong in
        [address(None, "close-sesame"), address(Some("edge"), "open-sesame"), address(Some("x"), "sesame")]
    {
        let said = stores(&tier(&server, wrong)).await.expect_err("it is not the password").to_string();
        assert!(
            said.starts_with("redis: EVAL at redis:6379: ") && said.contains("authentication failed"),
            "{said}"
        );
        assert!(!said.contains("sesame"), "{said}");
    }
}

/// A user who may not do all that is needed is told what to do, whatever it is; one with just the rights that
/// are documented does it all.
#[tokio::test]
async fn a_user_without_rights_is_told_so() {
    let server = Server::start();
    let address =
        RedisAddress { user: Some("edge".to_owned()), password: Some("sesame".to_owned()), ..plain() };
    let refused = async || {
        let tier = stores(&tier(&server, address.clone())).await.expect_err("it may not");
        let store = store(&server, address.clone()).get(CacheKey(1)).await.expect_err("it may not");
        (tier.to_string(), store.to_string())
    };
    let allowed = |rights: &[&[u8]]| {
        let user: [&[u8]; 6] = [b"ACL", b"SETUSER", b"edge", b"reset", b"on", b">sesame"];
        let () = server.ask(&[&user, rights].concat());
    };
    allowed(&[b"~tg:*", b"+get", b"+set"]);
    let advice = "let this user do that (ACL SETUSER); docs/operate.md names what a user needs";
    let (tier_said, store_said) = refused().await;
    for said in [tier_said, store_said] {
        assert!(said.starts_with("redis: EVAL at redis:6379 was refused: "), "{said}");
        assert!(said.contains("eval") && said.ends_with(advice), "{said}");
    }
    allowed(&[b"~other:*", b"+@all"]);
    let (tier_said, _) = refused().await;
    assert!(
        tier_said.contains("no permissions to access one of the keys") && tier_said.ends_with(advice),
        "{tier_said}"
    );
    let documented: Vec<&[u8]> = RIGHTS.split(' ').map(str::as_bytes).collect();
    allowed(&documented);
    assert_eq!(stores(&tier(&server, address.clone())).await, Ok(true));
    let conforming = tier(&server, address.clone());
    crate::conformance::conformance(&crate::AnyTier::<_, crate::FileMedium>::Redis(conforming)).await;
    let conforming = store(&server, address.clone());
    tiergate_stores::conformance::index_conformance(&conforming).await;
    tiergate_stores::conformance::feed_conformance(&conforming).await;
}

/// What docs/operate.md says that a user needs.
const RIGHTS: &str = "~tg:* +get +mget +set +del +pexpire +pttl +rename +eval +time +hget +hmget +hset +hdel \
                      +pexpireat +zadd +zcard +zrange +zrangebyscore +zremrangebyrank";

/// The documentation names these rights.
#[test]
fn the_rights_are_documented() {
    let operate = include_str!("../../../../docs/operate.md");
    assert!(operate.contains(RIGHTS), "docs/operate.md does not say `{RIGHTS}`");
}

/// Two prefixes, and two databases, see nothing of each other, and a purge under one leaves the other alone.
#[tokio::test]
async fn prefixes_and_databases_keep_apart() {
    let server = Server::start();
    let of = |database, prefix: &str| RedisAddress { database, prefix: prefix.to_owned(), ..plain() };
    let places = [of(0, "one:"), of(0, "two:"), of(0, "tg:"), of(3, "one:")];
    let tiers = places.clone().map(|address| tier(&server, address));
    let stores_ = places.map(|address| store(&server, address));
    for (number, (here, index)) in tiers.iter().zip(&stores_).enumerate() {
        assert_eq!(here.lookup(RECORD, KEY).await.map(|found| found.is_some()), Ok(false), "{number}");
        assert_eq!(stores(here).await, Ok(true), "{number}");
        let found = index.get(CacheKey(1)).await.expect("redis answers");
        assert_eq!(found.row, None, "{number}");
        let later = found.now.after(Duration::from_secs(600));
        let row = tiergate_driver::Row {
            version: tiergate_engine::durable::Version(1),
            value: Bytes::from_static(b"row"),
            expires: later,
            droppable: later,
        };
        let written = index.put_new(CacheKey(1), row).await;
        assert!(matches!(written, Ok(tiergate_driver::Written::Done { .. })), "{number}: {written:?}");
    }
    let keys = every_key(&server);
    for prefix in ["one:", "two:", "tg:"] {
        let own: Vec<&String> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(own.len(), 4, "a head, a part, a generation and a row: {keys:?}");
    }
    assert_eq!(keys.len(), 12, "{keys:?}");
    assert_eq!(tiers[0].delete(KEY, None).await, Ok(true));
    for (number, here) in tiers.iter().enumerate() {
        let is_there = here.lookup(RECORD, KEY).await.map(|found| found.is_some());
        assert_eq!(is_there, Ok(number != 0), "{number}");
    }
}

/// What is not configured is not sent: the first command of all is the first that somebody needs.
#[tokio::test]
async fn nothing_is_sent_that_is_not_configured() {
    let server = Server::start();
    let () = server.ask(&[b"CONFIG", b"RESETSTAT"]);
    tier(&server, plain()).lookup(RECORD, KEY).await.expect("redis answers");
    let used: String = server.ask(&[b"INFO", b"commandstats"]);
    for command in ["auth", "select", "hello", "client|setinfo"] {
        // The client of this test itself says who it is.
        let is_ours = used.contains(&format!("cmdstat_{command}:")) && command != "client|setinfo";
        assert!(!is_ours, "{command}: {used}");
    }
    assert!(used.contains("cmdstat_get:calls=1"), "{used}");
}
