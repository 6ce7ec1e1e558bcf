//! `access_log`: a line for each response, and where to.

use super::error::Problem;
use serde::Deserialize;
use std::path::PathBuf;

/// What `file` says for standard error. A file of that name can be written as `./stderr`.
const STANDARD_ERROR: &str = "stderr";

/// `access_log`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAccessLog {
    /// The file that lines are appended to, or `stderr`. SIGUSR1 opens it anew.
    pub file: String,
    /// How a line is written. Default `combined`.
    #[serde(default)]
    pub format: RawFormat,
}

/// `access_log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawFormat {
    /// As nginx and Apache do.
    #[default]
    Combined,
    /// A JSON object a line, which also says how long it took and what the cache did.
    Json,
}

/// What is logged where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogPolicy {
    /// Where lines go.
    pub destination: Destination,
    /// How they are written.
    pub format: Format,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error, with the server's own log.
    StandardError,
    /// A file, appended to.
    File(PathBuf),
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The combined format of nginx and Apache. It has no place for the host, the duration, the id or the
    /// cache.
    #[default]
    Combined,
    /// One JSON object a line. `tiergate-sim replay` knows the names in it.
    Json,
}

impl RawAccessLog {
    pub(super) fn check(self) -> Result<AccessLogPolicy, Problem> {
        let destination = match self.file.as_str() {
            "" => {
                let bound = "a file, such as /var/log/tiergate/access.log, or stderr";
                return Err(Problem::value("access_log.file", "empty", bound));
            }
            STANDARD_ERROR => Destination::StandardError,
            path => Destination::File(path.into()),
        };
        let format = match self.format {
            RawFormat::Combined => Format::Combined,
            RawFormat::Json => Format::Json,
        };
        Ok(AccessLogPolicy { destination, format })
    }
}
