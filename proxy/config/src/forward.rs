//! `forward`: what becomes of a request's fields on the way to the origin.

use super::error::Problem;
use crate::Unforwarded;
use http::HeaderName;
use serde::Deserialize;

/// Fields without which no request can be understood, or none be answered from the cache: whoever removes
/// one means something else.
const NEEDED: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// What becomes of a request's fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawForward {
    /// Names of fields that are not passed on. Default: those that are known to make applications take a
    /// request for another one.
    pub remove: Option<Vec<String>>,
}

impl RawForward {
    pub(super) fn check(&self) -> Result<Unforwarded, Problem> {
        let Some(names) = &self.remove else { return Ok(Unforwarded::default()) };
        let checked = names.iter().map(|name| {
            let lower = HeaderName::from_bytes(name.as_bytes()).map(|name| name.as_str().to_owned());
            lower.ok().filter(|name| !NEEDED.contains(&name.as_str())).ok_or_else(|| {
                let bound = "names of fields, and none that a request needs to be understood";
                Problem::value("forward.remove", name, bound)
            })
        });
        Ok(Unforwarded::new(checked.collect::<Result<_, _>>()?))
    }
}
