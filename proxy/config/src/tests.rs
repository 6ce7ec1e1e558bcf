use super::*;
use tiergate_tiers::{IoChoice, SyncPolicy};

pub(crate) const EXAMPLE: &str = include_str!("../../tiergate.example.yaml");

/// The whole message for a file called `t.yaml` with this text.
pub(crate) fn complaint(text: &str) -> String {
    let problem = parse(text, &Overrides::default()).expect_err("the configuration is wrong");
    ConfigError::new(Path::new("t.yaml"), problem).to_string()
}

/// The example loads, and says what the server runs on.
#[test]
fn the_example_loads_as_it_stands() {
    let config = parse(EXAMPLE, &Overrides::default()).expect("the example is right");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.origin.authority(), "127.0.0.1:9000");
    let Some(SharedMemory::Redis(redis)) = config.shared else { panic!("{:?}", config.shared) };
    assert_eq!(redis.authority, "127.0.0.1:6379");
    let Some(FeedLog::Redis(feed)) = config.feed else { panic!("{:?}", config.feed) };
    assert_eq!((feed.authority.as_str(), feed.prefix.as_str()), ("127.0.0.1:6379", "tg:"));
    let durable = config.durable.expect("the example names L3");
    assert_eq!(durable.blobs, Blobs::Dir("/var/lib/tiergate/blobs".into()));
    let disk = Disk {
        directories: vec!["/var/cache/tiergate".into()],
        io: IoChoice::Auto,
        sync: SyncPolicy::Every(Duration::from_secs(1)),
        capacity: ByteCount::mib(10 << 10),
    };
    assert_eq!(config.disk, Some(disk));
    assert_eq!(config.shards.get(), 8);
    assert_eq!(config.drain, Duration::from_secs(30));
    assert_eq!(config.admin, None);
    assert_eq!(config.access_log, None);
    assert_eq!(config.log, Log::Warnings);
}

/// The readers' own lists of known keys, drawn out of them with a key that nobody has, are all in the
/// example.
#[test]
fn the_example_names_every_key() {
    let sections = [
        "",
        "cache",
        "cache.l0",
        "cache.l1",
        "cache.l2",
        "cache.promotion",
        "cache.collapse",
        "cache.fill",
        "storage",
        "storage.l2",
        "storage.l3",
        "storage.feed",
        "cache.feed",
        "limits",
        "timeouts",
        "origin_tls",
        "origin_limits",
        "forward",
    ];
    let places = Places::of(EXAMPLE);
    for section in sections {
        let mut text = String::from("nobody: 1");
        for name in section.rsplit('.').filter(|name| !name.is_empty()) {
            text = format!("{name}: {{ {text} }}");
        }
        let message = complaint(&text);
        let (_, known) = message.split_once("expected").expect(&message);
        // Names stand between quotation marks of the reader's, and nothing else does.
        let known: Vec<&str> = known
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| !["", "one", "of", "or"].contains(word))
            .collect();
        assert!(!known.is_empty(), "{message}");
        for name in known {
            let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            assert!(places.has(&path), "the example does not name `{path}`: {message}");
        }
    }
}

/// The sections that the example leaves out, written as comments, are right once they are no comments, and
/// name every key of theirs.
#[test]
fn the_sections_that_the_example_leaves_out_are_right() {
    let sections = [
        ("admin", &["listen", "token_file"][..]),
        ("access_log", &["file", "format"]),
        ("tls", &["listen", "certificates", "proxy_protocol"]),
    ];
    for (section, keys) in sections {
        let begin = format!("# {section}:");
        let lines = EXAMPLE.lines().skip_while(|line| *line != begin);
        let lines = lines.take_while(|line| line.starts_with("# ")).map(|line| &line[2..]);
        let text = format!("origin: http://a\n{}\n", lines.collect::<Vec<_>>().join("\n"));
        parse(&text, &Overrides::default()).unwrap_or_else(|problem| panic!("{problem}: {text}"));
        let places = Places::of(&text);
        for key in keys {
            assert!(places.has(&format!("{section}.{key}")), "{key} in {text}");
        }
    }
}

/// Each error names the file, the line, the key, the value and the bound.
#[test]
fn errors_say_where_and_what() {
    let cases = [
        (
            "listen: here\norigin: http://a:1\n",
            "t.yaml:1: `listen` is here, but must be an IP address and a port, such as 127.0.0.1:8080",
        ),
        (
            "listen: 127.0.0.1:0\n",
            "t.yaml: `origin` is missing: name the server to cache, such as http://127.0.0.1:9000",
        ),
        (
            "\norigin: ftp://a\n",
            "t.yaml:2: `origin` is ftp://a, but must be a URL such as http://127.0.0.1:9000 or https://www.example.com",
        ),
        (
            "origin: http://a/b\n",
            "t.yaml:1: `origin` is http://a/b, but must be a URL without path and query: a request's own path is used",
        ),
        (
            "origin: http://a:0\n",
            "t.yaml:1: `origin` is http://a:0, but must be a URL with a port from 1 to 65535",
        ),
        (
            "origin: \"a\n\n  b\"\n",
            "t.yaml:1: `origin` is a b, but must be a URL such as http://127.0.0.1:9000 or https://www.example.com",
        ),
        (
            "origin: http://a\n\ntrusted_proxies: [\"::1\", 10.0.0.1/8]\n",
            "t.yaml:3: `trusted_proxies` is 10.0.0.1/8, but must be an IP address, or a network such as 10.0.0.0/8 or \
             2001:db8::/32 with no bit set after its prefix",
        ),
        (
            "origin: http://a\nproxy_protocol: true\n",
            "t.yaml:2: `proxy_protocol` is true, but `trusted_proxies` names nobody: name the proxies that send the header",
        ),
        (
            "origin: http://a\ntls:\n  listen: 127.0.0.1:0\n  certificates: []\n  proxy_protocol: true\n",
            "t.yaml:5: `tls.proxy_protocol` is true, but `trusted_proxies` names nobody: name the proxies that send the header",
        ),
        ("origin: http://a\nshards: 0\n", "t.yaml:2: `shards` is 0, but must be from 1 to 4096"),
        (
            "origin: http://a\ndrain_seconds: 86401\n",
            "t.yaml:2: `drain_seconds` is 86401, but must be from 0 to 86400",
        ),
        (
            "origin: http://a\ncache:\n  fill:\n    read_size: 1\n    window: 1KiB\n",
            "t.yaml:5: `cache.fill.window` is 1KiB, but must be at least 64KiB",
        ),
        (
            "origin: http://a\ncache: { collapse: { waiters_max: 0 } }\n",
            "t.yaml:2: `cache.collapse.waiters_max` is 0, but must be 1 to 1000000",
        ),
        (
            "origin: http://a\ncache:\n  l2: {}\n",
            "t.yaml:3: `cache.l2` is given, but `storage.l2` is not: write storage: { l2: { directory: \
             \"/var/cache/tiergate\" } }, or remove `cache.l2`",
        ),
        (
            "origin: http://a\ncache:\n  l3: {}\n",
            "t.yaml:3: `cache.l3` is given, but `storage.l3` is not: write storage: { l3: { blobs: { dir: \
             \"/var/lib/tiergate/blobs\" }, index: { embedded: \"/var/lib/tiergate/index.redb\" } } }, or remove \
             `cache.l3`",
        ),
        (
            "origin: http://a\ncache:\n  feed: {}\n",
            "t.yaml:3: `cache.feed` is given, but `storage.feed` is not: write storage: { feed: { redis: \
             \"127.0.0.1:6379\" } }, or remove `cache.feed`",
        ),
        (
            "origin: http://a\ncache:\n  l0: null\n",
            "t.yaml:3: `cache.l0` is null, and there is no other tier, so nothing would be stored: remove `l0: null`, \
             or configure `cache.l1`, `cache.l2` or `cache.l3`",
        ),
        (
            "origin: http://a\ncache:\n  l0:\n    capacity: 4MiB\n    gate: 5MiB\n",
            "t.yaml:5: `cache.l0.gate` is 5MiB, but must be at most `cache.l0.capacity`, which is 4MiB, or unlimited",
        ),
        (
            "origin: http://a\nstorage:\n  l1:\n    redis: b:1\n",
            "t.yaml:3: `storage.l1` is given, but `cache.l1` is not: write cache: { l1: {} }, or remove `storage.l1`",
        ),
        (
            "origin: http://a\norigin_host: a b\n",
            "t.yaml:2: `origin_host` is a b, but must be a host name with an optional port",
        ),
        (
            "origin: http://a\nlimits: { head: 2MiB }\n",
            "t.yaml:2: `limits.head` is 2MiB, but must be from 256 to 1MiB",
        ),
        (
            "origin: http://a\nlimits: { head: 1KiB, target: 2KiB }\n",
            "t.yaml:2: `limits.target` is 2KiB, but must be from 1 to `limits.head`, which is 1KiB",
        ),
        (
            "origin: http://a\nlimits: { fields: 257 }\n",
            "t.yaml:2: `limits.fields` is 257, but must be from 1 to 256",
        ),
        (
            "origin: http://a\nlimits: { connections: 0 }\n",
            "t.yaml:2: `limits.connections` is 0, but must be from 1 to 1000000",
        ),
        (
            "origin: http://a\nlimits: { connections: 2, connections_per_address: 3 }\n",
            "t.yaml:2: `limits.connections_per_address` is 3, but must be from 1 to `limits.connections`, which is 2",
        ),
        (
            "origin: http://a\nlimits:\n  requests_burst: 10\n",
            "t.yaml:3: `limits.requests_burst` is 10, but `limits.requests_per_s` is not given: name the rate, too",
        ),
        (
            "origin: http://a\nlimits: { requests_per_s: 0 }\n",
            "t.yaml:2: `limits.requests_per_s` is 0, but must be from 1 to 1000000",
        ),
        (
            "origin: http://a\nlimits: { requests_under_way: 0 }\n",
            "t.yaml:2: `limits.requests_under_way` is 0, but must be from 1 to 1000000",
        ),
        (
            "origin: http://a\nlimits: { requests_per_connection: 1000001 }\n",
            "t.yaml:2: `limits.requests_per_connection` is 1000001, but must be from 1 to 1000000",
        ),
        (
            "origin: http://a\ntimeouts: { head_s: 0 }\n",
            "t.yaml:2: `timeouts.head_s` is 0, but must be from 1 to 3600",
        ),
        (
            "origin: http://a\ntimeouts: { body_s: 3601 }\n",
            "t.yaml:2: `timeouts.body_s` is 3601, but must be from 1 to 3600",
        ),
        (
            "origin: http://a\ntimeouts:\n  write_bytes_per_s_min: 1000001\n",
            "t.yaml:3: `timeouts.write_bytes_per_s_min` is 1000001, but must be from 0 to 1000000",
        ),
        (
            "origin: http://a\ntimeouts:\n  body_bytes_per_s_min: 1000001\n",
            "t.yaml:3: `timeouts.body_bytes_per_s_min` is 1000001, but must be from 0 to 1000000",
        ),
        (
            "origin: http://a\nforward: { remove: [X-Good, \"x bad\"] }\n",
            "t.yaml:2: `forward.remove` is x bad, but must be names of fields, and none that a request needs to be understood",
        ),
        (
            "origin: http://a\nforward: { remove: [Host] }\n",
            "t.yaml:2: `forward.remove` is Host, but must be names of fields, and none that a request needs to be understood",
        ),
        (
            "origin: http://a\norigin_limits: { head: 1000 }\n",
            "t.yaml:2: `origin_limits.head` is 1000, but must be from 1KiB to 1MiB",
        ),
        (
            "origin: http://a\norigin_limits: { fields: 257 }\n",
            "t.yaml:2: `origin_limits.fields` is 257, but must be from 1 to 256",
        ),
        (
            "origin: http://a\ntls: { listen: a, certificates: [] }\n",
            "t.yaml:2: `tls.listen` is a, but must be an IP address and a port, such as 127.0.0.1:8080",
        ),
        (
            "origin: http://a\ntls: { listen: \"127.0.0.1:1\", certificates: [] }\n",
            "t.yaml:2: `tls.certificates` is empty: name at least one certificate and its key",
        ),
        (
            "origin: http://a\npurge_token: short\n",
            "t.yaml:2: `purge_token` must be 16 to 1024 visible ASCII characters",
        ),
        (
            "origin: http://a\ncache: { l1: {} }\nstorage:\n  l1:\n    memcached: b\n",
            "t.yaml:5: `storage.l1.memcached` is b, but must be host:port, such as 127.0.0.1:11211",
        ),
        (
            "origin: http://a\ncache: { l1: {} }\nstorage:\n  l1:\n    redis: b\n",
            "t.yaml:5: `storage.l1.redis` is b, but must be host:port, such as 127.0.0.1:6379, or a URL, such as \
             redis://edge@127.0.0.1:6379/0 or rediss://10.0.0.5",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(complaint(text), message, "{text}");
    }
}

/// What the YAML reader complains about carries the line and the key as well, in the reader's words.
#[test]
fn shapes_that_are_wrong_are_located() {
    let cases = [
        ("origin: http://a\nlisten_on: 1\n", "t.yaml:2: ", "listen_on"),
        ("origin: http://a\ncache:\n  l0:\n    gate: 2 bananas\n", "t.yaml:4: `cache.l0.gate` ", "2 bananas"),
        ("origin: http://a\nshards: many\n", "t.yaml:2: `shards` is many: ", "whole number"),
        ("origin: http://a\nlog: loud\n", "t.yaml:2: ", "loud"),
        ("origin: http://a\norigin: http://b\n", "t.yaml:2: ", "duplicate"),
        ("origin: [\n", "t.yaml:", ""),
    ];
    for (text, start, word) in cases {
        let message = complaint(text);
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains(word), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        println!("{message}");
    }
}

/// The command line wins over the file.
#[test]
fn overrides_take_the_place_of_what_the_file_says() {
    let overrides =
        Overrides { listen: Some("127.0.0.2:0".to_owned()), origin: Some("http://b:2".to_owned()) };
    let config = parse("listen: nonsense\norigin: http://a:1\n", &overrides).expect("overridden");
    assert_eq!(config.listen.to_string(), "127.0.0.2:0");
    assert_eq!(config.origin.authority(), "b:2");
}

/// Without a number of shards, a small L0 is not divided until a shard cannot hold a few of its largest
/// objects.
#[test]
fn a_small_l0_is_divided_less() {
    let config =
        parse("origin: http://a\ncache: { l0: { capacity: 9MiB, gate: 1MiB } }\n", &Overrides::default())
            .expect("a right configuration");
    assert!(config.shards.get() <= 2, "{}", config.shards);
}

/// Memory may be off where there is another tier, and its gate may be all of it.
#[test]
fn memory_is_what_the_file_says() {
    let read = |text: &str| parse(&format!("origin: http://a\n{text}"), &Overrides::default());
    let without =
        read("cache: { l0: null, l1: {} }\nstorage: { l1: { redis: b:1 } }\n").expect("L1 is a tier");
    assert!(!without.cache.has_memory());
    for gate in ["4MiB", "unlimited"] {
        let config = read(&format!("cache: {{ l0: {{ capacity: 4MiB, gate: {gate} }} }}\n"));
        assert!(config.expect("a right gate").cache.has_memory());
    }
}

/// What `cache.l2` and `storage.l2` say together, behind an origin.
fn disk(l2: &str, storage: &str) -> String {
    format!("origin: http://a\ncache:\n  l2: {l2}\nstorage:\n  l2: {storage}\n")
}

/// Directories are one or several, each way to ask the disk and to sync it has its word, and the gate is what
/// the log can hold.
#[test]
fn the_disk_is_what_the_file_says() {
    let read = |l2: &str, storage: &str| {
        parse(&disk(l2, storage), &Overrides::default()).expect("the configuration is right")
    };
    let config = read("{}", "{ directory: [/a, /b], io: pool, sync: on_seal }");
    let several = config.disk.expect("it has one");
    assert_eq!(several.directories, [Path::new("/a"), Path::new("/b")]);
    assert_eq!((several.io, several.sync), (IoChoice::Pool, SyncPolicy::OnSeal));
    let config = read("{ capacity: 64MiB }", "{ directory: /a, io: io_uring, sync: never }");
    let one = config.disk.expect("it has one");
    assert_eq!((one.io, one.sync, one.capacity), (IoChoice::IoUring, SyncPolicy::Never, ByteCount::mib(64)));
    let gate = |config: &ServerConfig| config.cache.as_written().l2.as_ref().map(|l2| l2.gate);
    assert_eq!(gate(&read("{ capacity: 64MiB }", "{ directory: /a }")), Some(ByteCount::mib(16)));
    assert_eq!(gate(&read("{ capacity: 64MiB }", "{ directory: [/a, /b] }")), Some(ByteCount::mib(8)));
    assert_eq!(gate(&read("{ capacity: 64MiB, gate: 1MiB }", "{ directory: /a }")), Some(ByteCount::mib(1)));
    let every = read("{}", "{ directory: /a, sync: { every_ms: 10 } }").disk.expect("it has one");
    assert_eq!(every.sync, SyncPolicy::Every(Duration::from_millis(10)));
}

/// What the disk cannot be is refused with key, value and bound.
#[test]
fn what_the_disk_cannot_be_is_refused() {
    let cases = [
        (
            "{}",
            "{ directory: [] }",
            "5: `storage.l2.directory` is empty, but must be a directory, such as /var/cache/tiergate",
        ),
        (
            "{}",
            "{ directory: [/a, /b, /a] }",
            "5: `storage.l2.directory` is a list that names a directory twice, but must be a list of different directories",
        ),
        (
            "{}",
            "{ directory: /a, sync: { every_ms: 9 } }",
            "5: `storage.l2.sync.every_ms` is 9, but must be from 10 to 3600000",
        ),
        (
            "{ capacity: 15MiB }",
            "{ directory: /a }",
            "3: `cache.l2.capacity` is 15MiB, but must be at least 16 MiB (16777216)",
        ),
        (
            "{ capacity: 16MiB }",
            "{ directory: [/a, /b] }",
            "3: `cache.l2.capacity` is 16MiB, which is 8388608 bytes for each directory, but must be at least 16 MiB \
             (16777216) for each directory",
        ),
        (
            "{ capacity: 64MiB, gate: 17MiB }",
            "{ directory: /a }",
            "3: `cache.l2.gate` is 17MiB, but must be at most a quarter of `cache.l2.capacity`, which is 16MiB, or unlimited",
        ),
    ];
    for (l2, storage, expected) in cases {
        assert_eq!(complaint(&disk(l2, storage)), format!("t.yaml:{expected}"));
    }
    for (storage, word) in [
        ("{ directory: /a, io: threads }", "threads"),
        ("{ directory: /a, sync: always }", "always"),
        ("{ directory: 7 }", "a directory, or a list of directories"),
    ] {
        let text = complaint(&disk("{}", storage));
        assert!(text.starts_with("t.yaml:5: ") && text.contains(word), "{text}");
    }
}

/// The admin listener is on loopback when nobody says otherwise, and any other address needs a token.
#[test]
fn the_admin_listener_is_what_the_file_says() {
    let admin = |text: &str| {
        let text = format!("origin: http://a\nadmin: {text}\n");
        parse(&text, &Overrides::default()).expect("the configuration is right").admin.expect("it has one")
    };
    let (loopback, token) = (Access::Loopback, Token::new("0123456789abcdef").expect("long enough"));
    assert_eq!(admin("{}"), Admin { listen: ([127, 0, 0, 1], 9080).into(), access: loopback.clone() });
    assert_eq!(admin("{ listen: \"[::1]:0\" }").access, loopback);
    assert_eq!(admin("{ listen: \"127.0.0.1:0\" }").listen.port(), 0);
    assert_eq!(admin("{ token: 0123456789abcdef }").access, Access::Token(token));
    let file = Access::TokenFile("/a".into());
    let everywhere = Admin { listen: ([0, 0, 0, 0], 1).into(), access: file };
    assert_eq!(admin("{ listen: \"0.0.0.0:1\", token_file: /a }"), everywhere);
}

/// An admin listener that anybody could use is refused, and a token is shown nowhere.
#[test]
fn an_admin_listener_that_is_open_to_all_is_refused() {
    let cases = [
        (
            "listen: \"0.0.0.0:9080\"",
            "t.yaml:3: `admin.listen` is 0.0.0.0:9080, but must be a loopback address, such as 127.0.0.1:9080, \
             unless there is an `admin.token_file`: whoever reaches another address could purge everything",
        ),
        (
            "listen: here",
            "t.yaml:3: `admin.listen` is here, but must be an IP address and a port, such as 127.0.0.1:9080",
        ),
        (
            "listen: 127.0.0.1:8080",
            "t.yaml:3: `admin.listen` is 127.0.0.1:8080, but must be another address or port than `listen`, where \
             clients connect",
        ),
        ("token: secret", "t.yaml:3: `admin.token` must be 16 to 1024 visible ASCII characters"),
        ("token: [secret]", "t.yaml:3: `admin.token` must be 16 to 1024 visible ASCII characters"),
        (
            "token_file: \"\"",
            "t.yaml:3: `admin.token_file` is empty, but must be a file, such as /etc/tiergate/admin.token",
        ),
        (
            "token_file: /a\n  token: 0123456789abcdef",
            "t.yaml:3: `admin.token_file` is given, and `admin.token` too: remove one of them",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(complaint(&format!("origin: http://a\nadmin:\n  {text}\n")), message, "{text}");
    }
}

/// The access log has a file, or standard error, and one of two formats.
#[test]
fn the_access_log_is_what_the_file_says() {
    use crate::access_log::{Destination, Format};
    let read = |text: &str| {
        let text = format!("origin: http://a\naccess_log: {text}\n");
        parse(&text, &Overrides::default())
            .expect("the configuration is right")
            .access_log
            .expect("it has one")
    };
    let policy = |destination, format| AccessLogPolicy { destination, format };
    assert_eq!(read("{ file: stderr }"), policy(Destination::StandardError, Format::Combined));
    let file = Destination::File("./stderr".into());
    assert_eq!(read("{ file: ./stderr, format: json }"), policy(file, Format::Json));
    let refused = |text: &str| complaint(&format!("origin: http://a\naccess_log:\n  {text}\n"));
    assert_eq!(
        refused("file: \"\""),
        "t.yaml:3: `access_log.file` is empty, but must be a file, such as /var/log/tiergate/access.log, or stderr"
    );
    assert!(refused("format: json").contains("file"), "{}", refused("format: json"));
    let unknown = refused("file: a\n  format: xml");
    assert!(unknown.starts_with("t.yaml:4: `access_log.format` ") && unknown.contains("xml"), "{unknown}");
}

/// The deployments that `docs/tiers.md` recommends are configurations.
#[test]
fn the_documented_deployments_are_read() {
    let text = include_str!("../../../docs/tiers.md");
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        parse(block, &Overrides::default()).unwrap_or_else(|problem| panic!("{problem}: {block}"));
    }
}
