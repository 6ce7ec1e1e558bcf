//! The buckets of L3, from what the configuration says of them.

use super::StartError;
use crate::{
    config::{NamedIn, RawS3Credentials, S3Bucket},
    store_connect::StoreConnect,
    verified::Server,
};
use std::{env, fs, path::Path, sync::Arc, time::Duration};
use tiergate_stores::{
    AnyBlobs, AnyIndex, S3Addressing, S3Blobs, S3Credentials, S3Index, S3IndexError, S3Options, SystemClock,
};
use tiergate_tiers::TcpConnect;
use tokio::time::timeout;

/// How long a bucket may take to show that it can be an index, before the start goes on without knowing.
const INDEX_TIME_MAX: Duration = Duration::from_secs(5);

/// A bucket is asked when it is first needed, and once beside that: one that cannot be used is no reason not
/// to start, and the log says what is wrong before anybody meets it.
pub(super) fn open_blobs(bucket: &S3Bucket) -> Result<AnyBlobs, StartError> {
    let blobs = S3Blobs::new(TcpConnect, SystemClock, &options("storage.l3.blobs.s3", bucket)?);
    let probe = blobs.probe();
    // It ends by itself, in the time that a request has.
    drop(tokio::spawn(async move {
        if let Err(error) = probe.await {
            tracing::warn!(%error, "the bucket of L3 cannot be used; requests go on without it until it can");
        }
    }));
    Ok(AnyBlobs::S3(blobs))
}

/// A bucket that is reached and does not keep conditions stops the start. One that is away is tried when it
/// is first needed.
pub(super) async fn open_index(bucket: &S3Bucket) -> Result<AnyIndex<StoreConnect>, StartError> {
    let section = "storage.l3.index.s3";
    let options = options(section, bucket)?;
    let mut chance = [0; 16];
    getrandom::fill(&mut chance).map_err(StartError::Chance)?;
    let index = S3Index::new(TcpConnect, SystemClock, &options, u128::from_ne_bytes(chance));
    let away = match timeout(INDEX_TIME_MAX, index.check()).await {
        Ok(Ok(())) => None,
        Ok(Err(S3IndexError::Unsuited(why))) => {
            return Err(StartError::Bucket { key: section.to_owned(), why: format!("is of no use: {why}") });
        }
        Ok(Err(S3IndexError::Unreached(error))) => Some(error.to_string()),
        Err(_elapsed) => Some(format!("no answer for {} s", INDEX_TIME_MAX.as_secs())),
    };
    if let Some(error) = away {
        tracing::warn!(
            error,
            "the bucket of L3's index cannot be used; requests go on without it until it can"
        );
    }
    Ok(AnyIndex::S3(Arc::new(index)))
}

/// `section` is where the bucket stands in the configuration.
fn options(section: &str, bucket: &S3Bucket) -> Result<S3Options, StartError> {
    let S3Bucket { bucket: name, region, endpoint, named_in, prefix, credentials, ca_file, time_max } =
        bucket;
    let refused = |key: &str, why| StartError::Bucket { key: format!("{section}.{key}"), why };
    let credentials = match credentials {
        RawS3Credentials::Environment => from_environment(|name| env::var(name).ok()),
        RawS3Credentials::File(file) => from_file(file),
    };
    let credentials = credentials.map_err(|why| refused("credentials", why))?;
    let tls = match bucket.is_encrypted() {
        true => {
            let (says, ca_key) = (format!("`{section}` is https"), format!("{section}.ca_file"));
            // The host is for the bucket's client to know.
            let server = Server { says: &says, host: "", ca_key: &ca_key };
            Some(server.config(ca_file.as_deref()).map_err(StartError::Roots)?)
        }
        false => None,
    };
    let endpoint = endpoint.as_ref().map(ToString::to_string);
    Ok(S3Options {
        addressing: match named_in {
            NamedIn::Path => S3Addressing::Path,
            NamedIn::Host => S3Addressing::Host,
        },
        prefix: prefix.clone(),
        tls,
        time_max: *time_max,
        ..S3Options::new(name, region, endpoint.as_deref(), credentials)
    })
}

fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<S3Credentials, String> {
    let needed = |name: &str| {
        let value = read(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("is environment, but {name} is not set: set it, or name a file"))
    };
    Ok(S3Credentials {
        access_key_id: needed("AWS_ACCESS_KEY_ID")?,
        secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
        session_token: read("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
    })
}

fn from_file(file: &Path) -> Result<S3Credentials, String> {
    let failed = |why: &dyn std::fmt::Display| format!("is {}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    from_sections(&text).map_err(|why| failed(&why))
}

/// What stands before the first section, or in `[default]`.
fn from_sections(text: &str) -> Result<S3Credentials, String> {
    let (mut id, mut secret, mut session_token) = (None, None, None);
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_ours = line == "[default]";
        } else if is_ours && let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => session_token = value,
                // A region, or what only other programs know.
                _ => {}
            }
        }
    }
    let lacks = |name: &str| format!("it has no `{name}` in its section [default]");
    Ok(S3Credentials {
        access_key_id: id.ok_or_else(|| lacks("aws_access_key_id"))?,
        secret_access_key: secret.ok_or_else(|| lacks("aws_secret_access_key"))?,
        session_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, secret: &str, token: Option<&str>) -> S3Credentials {
        let (access_key_id, secret_access_key) = (id.to_owned(), secret.to_owned());
        S3Credentials { access_key_id, secret_access_key, session_token: token.map(str::to_owned) }
    }

    /// A file has sections, comments, and keys of other programs; the section `[default]` is taken.
    #[test]
    fn credentials_come_from_a_file() {
        let file = "# made by hand\n[other]\naws_access_key_id = A0\naws_secret_access_key=s0\n\n[default]\n\
                    aws_access_key_id = A1\nregion=x\n aws_secret_access_key=s1=/+\n[more]\naws_session_token = t\n";
        assert_eq!(from_sections(file), Ok(key("A1", "s1=/+", None)));
        let bare = "aws_access_key_id=A\naws_secret_access_key=s\naws_session_token=t\n";
        assert_eq!(from_sections(bare), Ok(key("A", "s", Some("t"))));
        for (text, lacks) in [
            ("", "aws_access_key_id"),
            ("aws_access_key_id=A", "aws_secret_access_key"),
            ("[other]\naws_access_key_id=A\naws_secret_access_key=s", "aws_access_key_id"),
            ("aws_access_key_id=A\naws_secret_access_key=", "aws_secret_access_key"),
        ] {
            let why = from_sections(text).expect_err(text);
            assert!(why.contains(lacks), "{why}");
        }
    }

    #[test]
    fn credentials_come_from_the_environment() {
        let read = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("A".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("s".to_owned()),
            _ => None,
        };
        assert_eq!(from_environment(read), Ok(key("A", "s", None)));
        let why = from_environment(|name| read(name).filter(|value| value != "s")).expect_err("it lacks one");
        assert!(why.contains("AWS_SECRET_ACCESS_KEY is not set"), "{why}");
    }
}
