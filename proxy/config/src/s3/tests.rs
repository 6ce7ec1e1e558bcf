//! Buckets in a configuration.

use super::*;
use crate::{
    Blobs, Index, Overrides, parse,
    places::Places,
    tests::{EXAMPLE, complaint},
};

/// L3 with its bodies in this bucket.
fn bucket(text: &str) -> String {
    format!(
        "origin: http://a\ncache: {{ l3: {{}} }}\nstorage:\n  l3:\n    index: {{ embedded: /i }}\n    blobs:\n      s3:\n\
         {text}"
    )
}

/// A bucket is Amazon's own with the environment's credentials when the file says no more than its name, and
/// what the example says of one is right and names every key.
#[test]
fn a_bucket_is_what_the_file_says() {
    let read = |text: &str| {
        let config = parse(text, &Overrides::default());
        let durable = config.unwrap_or_else(|problem| panic!("{problem}: {text}")).durable;
        match durable.expect("it has an L3").blobs {
            Blobs::S3(bucket) => bucket,
            Blobs::Dir(directory) => panic!("{directory:?} in {text}"),
        }
    };
    let least = read(&bucket("        bucket: pages\n"));
    let amazon = S3Bucket {
        bucket: "pages".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: None,
        named_in: NamedIn::Host,
        prefix: "tiergate/".to_owned(),
        credentials: RawS3Credentials::Environment,
        ca_file: None,
        time_max: Duration::from_secs(20),
    };
    assert_eq!(least, amazon);
    assert!(least.is_encrypted());
    let near = read(&bucket("        bucket: pages\n        endpoint: \"http://10.0.0.5:9000\"\n"));
    assert_eq!((near.named_in, near.is_encrypted()), (NamedIn::Path, false));

    let commented = |line: &str| {
        let rest = line.strip_prefix("    # ")?;
        (rest == "blobs:" || rest.starts_with(' ')).then(|| rest.to_owned())
    };
    let lines = EXAMPLE.lines().skip_while(|line| *line != "    # blobs:").map_while(commented);
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    let head = "origin: http://a\ncache: { l3: {} }\nstorage:\n  l3:\n    index: { embedded: /i }\n";
    let example = format!("{head}{lines}");
    assert_eq!(read(&example).bucket, "tiergate-bodies");
    let message = complaint(&bucket("        nobody: 1\n"));
    let (_, known) = message.split_once("expected").expect(&message);
    let places = Places::of(&example);
    let known: Vec<&str> = known.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let known: Vec<&str> = known.into_iter().filter(|word| !["", "one", "of", "or"].contains(word)).collect();
    assert!(known.len() > 7, "{message}");
    for name in known {
        assert!(places.has(&format!("storage.l3.blobs.s3.{name}")), "the example does not name `{name}`");
    }
}

/// What is wrong with a bucket is said with the line, the key, the value and the bound.
#[test]
fn a_bucket_that_cannot_be_is_refused() {
    let cases = [
        ("bucket: Pages", "8: `storage.l3.blobs.s3.bucket` is Pages, but must be 3 to 63 lower-case letters"),
        ("bucket: \"\"", "8: `storage.l3.blobs.s3.bucket` is empty, but must be 3 to 63"),
        ("bucket: -ab", "8: `storage.l3.blobs.s3.bucket` is -ab, but must be"),
        (
            "region: \"\"",
            "9: `storage.l3.blobs.s3.region` is empty, but must be a region, such as eu-central-1",
        ),
        (
            "endpoint: \"ftp://a\"",
            "9: `storage.l3.blobs.s3.endpoint` is ftp://a, but must be a URL such as http://127.0.0.1:9000",
        ),
        (
            "endpoint: \"http://a/b\"",
            "9: `storage.l3.blobs.s3.endpoint` is http://a/b, but must be a URL without path",
        ),
        ("prefix: /a/", "9: `storage.l3.blobs.s3.prefix` is /a/, but must be at most 512 letters"),
        ("prefix: a", "9: `storage.l3.blobs.s3.prefix` is a, but must be"),
        ("prefix: a/../", "9: `storage.l3.blobs.s3.prefix` is a/../, but must be"),
        (
            "credentials: {file: \"\"}",
            "9: `storage.l3.blobs.s3.credentials.file` is empty, but must be a file",
        ),
        ("ca_file: \"\"", "9: `storage.l3.blobs.s3.ca_file` is empty, but must be a file"),
        ("time_ms_max: 99", "9: `storage.l3.blobs.s3.time_ms_max` is 99, but must be from 100 to 600000"),
        (
            "time_ms_max: 600001",
            "9: `storage.l3.blobs.s3.time_ms_max` is 600001, but must be from 100 to 600000",
        ),
    ];
    for (line, expected) in cases {
        let text = match line.starts_with("bucket") {
            true => format!("        {line}\n"),
            false => format!("        bucket: abc\n        {line}\n"),
        };
        let message = complaint(&bucket(&text));
        assert!(message.starts_with(&format!("t.yaml:{expected}")), "{message}");
    }
    let unnamed = complaint(&bucket("        region: a\n"));
    assert!(unnamed.contains("bucket"), "{unnamed}");
}

/// Rows lie in a bucket, too, and a feed beside them needs a place of its own.
#[test]
fn rows_in_a_bucket_have_no_feed_beside_them() {
    let text = "origin: http://a\ncache:\n  l3: {}\nstorage:\n  l3:\n    blobs: { dir: /b }\n    index:\n      s3:\n        \
                bucket: rows\n";
    let durable = parse(text, &Overrides::default()).expect("the configuration is right").durable;
    let index = durable.expect("it has an L3").index;
    assert!(matches!(&index, Index::S3(bucket) if bucket.bucket == "rows"), "{index:?}");
    let wrong = complaint(&text.replace("rows", "Rows"));
    assert!(wrong.starts_with("t.yaml:9: `storage.l3.index.s3.bucket` is Rows, but must be"), "{wrong}");
    let with_feed = text.replace("  l3: {}\n", "  l3: {}\n  feed: {}\n");
    let message = complaint(&with_feed);
    assert!(message.starts_with("t.yaml:4: `cache.feed` is given, but `storage.feed` is not"), "{message}");
    let placed = format!("{with_feed}  feed: {{ redis: \"127.0.0.1:6379\" }}\n");
    let feed = parse(&placed, &Overrides::default()).expect("the configuration is right").feed;
    assert!(matches!(feed, Some(crate::FeedLog::Redis(redis)) if redis.authority == "127.0.0.1:6379"));
}
