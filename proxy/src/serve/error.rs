//! Why a server with a good configuration cannot start, and what to do about it.

use crate::{tls::CertificateError, verified::RootsError};
use std::{fmt, io, net::SocketAddr, path::PathBuf, process::ExitCode};
use tiergate_driver::TierError;
use tiergate_stores::Disagreement;
use tiergate_tiers::{About, OpenError};

/// The machine does not allow what the configuration asks for.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The port is taken, or not ours to take.
    Listen { address: SocketAddr, error: io::Error },
    /// The admin listener's port is taken, or not ours to take.
    AdminListen { address: SocketAddr, error: io::Error },
    /// The admin listener's token cannot be used.
    AdminToken { file: PathBuf, why: String },
    /// The access log's file cannot be opened.
    AccessLog { file: PathBuf, error: io::Error },
    /// L2's directory cannot be used.
    Disk(OpenError),
    /// A store of L3 cannot be used.
    Store { key: &'static str, error: tiergate_stores::OpenError },
    /// The edges that share L3's index have other terms.
    Terms(Disagreement),
    /// A bucket of L3 cannot be asked.
    Bucket { key: String, why: String },
    /// The password of a store's server cannot be used.
    Password { key: String, why: String },
    /// The configuration names a store that this program was built without.
    #[cfg(not(feature = "postgres"))]
    LeftOut { key: String, feature: &'static str },
    /// A tier could not say what it holds.
    Tier(TierError),
    /// The recording's file cannot be made.
    Recording { file: PathBuf, error: io::Error },
    /// The demonstration could not be set up.
    Demo(io::Error),
    /// A certificate or its key cannot be used.
    Certificate(CertificateError),
    /// Nobody can say that the origin, or a store's server, is the one that is meant.
    Roots(RootsError),
    /// No threads, timers or signals.
    Runtime(io::Error),
    /// The system has no random numbers for us.
    Chance(getrandom::Error),
}

impl StartError {
    /// What the configuration says of files can only be seen by trying: it is wrong all the same.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Disk(_)
            | Self::Store { .. }
            | Self::Terms(_)
            | Self::Bucket { .. }
            | Self::Password { .. }
            | Self::Certificate(_)
            | Self::Roots(_)
            | Self::AdminToken { .. } => ExitCode::from(2),
            #[cfg(not(feature = "postgres"))]
            Self::LeftOut { .. } => ExitCode::from(2),
            Self::Listen { .. }
            | Self::AdminListen { .. }
            | Self::AccessLog { .. }
            | Self::Tier(_)
            | Self::Recording { .. }
            | Self::Demo(_)
            | Self::Runtime(_)
            | Self::Chance(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => cannot_listen(f, "listen", *address, error),
            Self::Store { key, error } => write!(f, "`{key}`: {error}"),
            Self::Terms(differs) => write!(f, "{differs}"),
            Self::Bucket { key, why } => write!(f, "`{key}` {why}"),
            Self::Password { key, why } => write!(f, "`{key}` {why}"),
            #[cfg(not(feature = "postgres"))]
            Self::LeftOut { key, feature } => write!(
                f,
                "`{key}` names a store that this program was built without: build it with `cargo build --release -p \
                 tiergate --features {feature}`, or name another store"
            ),
            Self::AdminListen { address, error } => cannot_listen(f, "admin.listen", *address, error),
            Self::AdminToken { file, why } => {
                write!(f, "`admin.token_file` is {}, which {why}", file.display())
            }
            Self::AccessLog { file, error } => {
                write!(f, "cannot write to {}: {error}; choose another `access_log.file`", file.display())
            }
            Self::Disk(error) => {
                let key = match error.about() {
                    About::Directory => "storage.l2.directory",
                    About::Capacity => "cache.l2.capacity",
                    About::Io => "storage.l2.io",
                };
                write!(f, "`{key}` {error}")
            }
            Self::Tier(error) => write!(f, "a tier cannot be used: {error}"),
            Self::Recording { file, error } => {
                write!(f, "cannot write to {}: {error}; choose another `recording.file`", file.display())
            }
            Self::Demo(error) => {
                write!(f, "cannot set up the demonstration: {error}; or give a configuration with -c")
            }
            Self::Roots(error) => write!(f, "{error}"),
            Self::Certificate(error) => write!(f, "`tls.certificates` {error}"),
            Self::Runtime(error) => write!(f, "cannot start: {error}"),
            Self::Chance(error) => write!(f, "cannot draw a random seed: {error}"),
        }
    }
}

fn cannot_listen(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    address: SocketAddr,
    error: &io::Error,
) -> fmt::Result {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses the port, or choose another",
        io::ErrorKind::PermissionDenied => "choose a port from 1024 on",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
        _ => "choose another address",
    };
    write!(f, "cannot listen on {address}: {error}; {advice} with `{key}`")
}
