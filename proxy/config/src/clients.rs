//! `limits` and `timeouts`: how much clients may ask for, and how long it is waited for.

use super::error::Problem;
use crate::{ConnectionLimits, FIELD_LINES_MOST, HeadLimits, Rate, RequestLimits, Timeouts};
use serde::Deserialize;
use std::{num::NonZeroU32, time::Duration};
use tiergate_engine::ByteCount;

/// No head is larger, whatever is configured.
const HEAD_MOST: ByteCount = ByteCount::kib(1024);
const HEAD_LEAST: ByteCount = ByteCount(256);
const SECONDS_MOST: u64 = 3_600;
/// Whoever is slower than this need not be an attacker.
const RATE_MOST: u32 = 1_000_000;
const CONNECTIONS_DEFAULT: u32 = 10_000;
const CONNECTIONS_MOST: u32 = 1_000_000;
const REQUESTS_MOST: u32 = 1_000_000;
const TWICE: NonZeroU32 = NonZeroU32::new(2).expect("2 is not zero");

/// How large a request's head may be, and how many clients there may be.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    /// Bytes of the whole head. Default 32KiB; from 256 to 1MiB. Beyond: 431.
    pub head: Option<ByteCount>,
    /// Bytes of its target. Default 8KiB; from 1 to `head`. Beyond: 414.
    pub target: Option<ByteCount>,
    /// Its field lines. Default 100; from 1 to 256. Beyond: 431.
    pub fields: Option<usize>,
    /// Connections of clients at a time. Default 10000; from 1 to 1000000. Beyond: 503.
    pub connections: Option<u32>,
    /// The same from one address. Default: as many as in all.
    pub connections_per_address: Option<u32>,
    /// Requests over one connection of HTTP/1. Default 1000; from 1 to 1000000. The last answer closes it.
    pub requests_per_connection: Option<u32>,
    /// Requests under way at a time, of all clients. Default: any number; from 1 to 1000000. Beyond: 503.
    pub requests_under_way: Option<u32>,
    /// Requests of one address a second, on average. Default: any number; from 1 to 1000000. Beyond: 429.
    pub requests_per_s: Option<u32>,
    /// Requests of one address at once, after a while without any. Default: twice `requests_per_s`.
    pub requests_burst: Option<u32>,
}

/// How long a client is waited for.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawTimeouts {
    /// From the first byte of a head to its last, in seconds. Default 30; from 1 to 3600.
    pub head_s: Option<u64>,
    /// For the next request on a connection. Default 75.
    pub idle_s: Option<u64>,
    /// For some of a request's body. Default 30.
    pub body_s: Option<u64>,
    /// Bytes a second that a body must have on average, over more than `body_s`. Default 500; 0 is any.
    pub body_bytes_per_s_min: Option<u32>,
    /// For some of what is written to be taken. Default 60.
    pub write_s: Option<u64>,
    /// Bytes a second that must be taken on average, over more than `write_s`. Default 500; 0 is any.
    pub write_bytes_per_s_min: Option<u32>,
}

impl RawLimits {
    pub(super) fn check(&self) -> Result<HeadLimits, Problem> {
        let default = HeadLimits::default();
        let head = self.head.unwrap_or(ByteCount(default.head_bytes_max as u64));
        if !(HEAD_LEAST..=HEAD_MOST).contains(&head) {
            return Err(Problem::value("limits.head", head, "from 256 to 1MiB"));
        }
        let target = self.target.unwrap_or(ByteCount(default.target_bytes_max as u64).min(head));
        if target == ByteCount::ZERO || target > head {
            let bound = format!("from 1 to `limits.head`, which is {head}");
            return Err(Problem::value("limits.target", target, &bound));
        }
        let fields = self.fields.unwrap_or(default.field_lines_max);
        if !(1..=FIELD_LINES_MOST).contains(&fields) {
            return Err(Problem::value("limits.fields", fields, "from 1 to 256"));
        }
        let bytes = |count: ByteCount| usize::try_from(count.0).unwrap_or(usize::MAX);
        Ok(HeadLimits {
            head_bytes_max: bytes(head),
            target_bytes_max: bytes(target),
            field_lines_max: fields,
        })
    }
}

impl RawLimits {
    /// How many clients there may be.
    ///
    /// # Errors
    /// A number is out of bounds.
    pub fn check_connections(&self) -> Result<ConnectionLimits, Problem> {
        let bounds = 1..=CONNECTIONS_MOST;
        let connections_max = self.connections.unwrap_or(CONNECTIONS_DEFAULT);
        if !bounds.contains(&connections_max) {
            return Err(Problem::value("limits.connections", connections_max, "from 1 to 1000000"));
        }
        let per_address_max = self.connections_per_address.unwrap_or(connections_max);
        if !(1..=connections_max).contains(&per_address_max) {
            let bound = format!("from 1 to `limits.connections`, which is {connections_max}");
            return Err(Problem::value("limits.connections_per_address", per_address_max, &bound));
        }
        Ok(ConnectionLimits { connections_max, per_address_max })
    }
}

impl RawLimits {
    pub(super) fn check_requests(&self) -> Result<RequestLimits, Problem> {
        let number = |key: &str, asked: Option<u32>| match asked {
            None => Ok(None),
            Some(asked) => NonZeroU32::new(asked)
                .filter(|number| number.get() <= REQUESTS_MOST)
                .map(Some)
                .ok_or_else(|| Problem::value(format!("limits.{key}"), asked, "from 1 to 1000000")),
        };
        let per_s = number("requests_per_s", self.requests_per_s)?;
        let burst = number("requests_burst", self.requests_burst)?;
        if let (None, Some(burst)) = (per_s, burst) {
            let text = format!("is {burst}, but `limits.requests_per_s` is not given: name the rate, too");
            return Err(Problem::field("limits.requests_burst", text));
        }
        let rate = |per_s: NonZeroU32| Rate { per_s, burst: burst.unwrap_or(per_s.saturating_mul(TWICE)) };
        let per_connection_max = number("requests_per_connection", self.requests_per_connection)?;
        Ok(RequestLimits {
            rate: per_s.map(rate),
            under_way_max: number("requests_under_way", self.requests_under_way)?,
            per_connection_max: per_connection_max.unwrap_or(RequestLimits::default().per_connection_max),
        })
    }
}

impl RawTimeouts {
    pub(super) fn check(&self) -> Result<Timeouts, Problem> {
        let default = Timeouts::default();
        let seconds = |key: &str, asked: Option<u64>, default: Duration| match asked {
            None => Ok(default),
            Some(seconds) if (1..=SECONDS_MOST).contains(&seconds) => Ok(Duration::from_secs(seconds)),
            Some(seconds) => Err(Problem::value(format!("timeouts.{key}"), seconds, "from 1 to 3600")),
        };
        let rate = |key: &str, asked: Option<u32>, default: u32| match asked {
            None => Ok(default),
            Some(rate) if rate <= RATE_MOST => Ok(rate),
            Some(rate) => Err(Problem::value(format!("timeouts.{key}"), rate, "from 0 to 1000000")),
        };
        let body_rate = self.body_bytes_per_s_min;
        let write_rate = self.write_bytes_per_s_min;
        Ok(Timeouts {
            body: seconds("body_s", self.body_s, default.body)?,
            body_bytes_per_s_min: rate("body_bytes_per_s_min", body_rate, default.body_bytes_per_s_min)?,
            write_bytes_per_s_min: rate("write_bytes_per_s_min", write_rate, default.write_bytes_per_s_min)?,
            idle: seconds("idle_s", self.idle_s, default.idle)?,
            head: seconds("head_s", self.head_s, default.head)?,
            write: seconds("write_s", self.write_s, default.write)?,
        })
    }
}
