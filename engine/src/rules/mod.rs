//! HTTP caching rules (RFC 9111) as pure functions over heads.

mod directives;
mod request;
mod response;

pub(crate) use request::{bypass, may_use_door};
pub(crate) use response::judge;
