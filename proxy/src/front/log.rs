//! What is written of each request.

use crate::access_log::Entry;
use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

/// What is kept of a request until its response has ended. There only where something is written of it.
#[derive(Debug)]
pub(super) struct LoggedRequest {
    pub(super) client: IpAddr,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) target: String,
    pub(super) protocol: &'static str,
    pub(super) referer: Option<Vec<u8>>,
    pub(super) user_agent: Option<Vec<u8>>,
    pub(super) request_id: Vec<u8>,
}

/// How it was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedResponse<'r> {
    pub(super) status: u16,
    /// Of the body, that were sent.
    pub(super) bytes: u64,
    pub(super) took: Duration,
    /// What `Cache-Status` said.
    pub(super) cache_status: &'r [u8],
    pub(super) is_broken: bool,
}

impl LoggedRequest {
    /// One of which nothing is known but whose it is.
    pub(super) fn of(client: IpAddr) -> Self {
        let dash = || "-".to_owned();
        Self {
            client,
            method: dash(),
            host: dash(),
            target: dash(),
            protocol: "HTTP/1.1",
            referer: None,
            user_agent: None,
            request_id: Vec::new(),
        }
    }

    /// Keeps what lines say of the fields.
    pub(super) fn keep<'f>(&mut self, lines: impl Iterator<Item = (&'f str, &'f [u8])>) {
        for (name, value) in lines {
            match name {
                "referer" => self.referer = Some(value.to_owned()),
                "user-agent" => self.user_agent = Some(value.to_owned()),
                "x-request-id" => self.request_id = value.to_owned(),
                _ => {}
            }
        }
    }

    pub(super) fn entry<'e>(&'e self, response: &LoggedResponse<'e>) -> Entry<'e> {
        Entry {
            client: self.client,
            time: SystemTime::now(),
            method: self.method.as_bytes(),
            host: self.host.as_bytes(),
            target: self.target.as_bytes(),
            protocol: self.protocol,
            status: response.status,
            bytes: response.bytes,
            duration: response.took,
            referer: self.referer.as_deref(),
            user_agent: self.user_agent.as_deref(),
            cache_status: response.cache_status,
            request_id: &self.request_id,
        }
    }
}

pub(super) fn trace(request: &LoggedRequest, response: &LoggedResponse<'_>) {
    tracing::info!(
        target: "tiergate::access",
        client = %request.client,
        method = request.method,
        target = %request.target.escape_debug(),
        status = response.status,
        bytes = response.bytes,
        took_ms = u64::try_from(response.took.as_millis()).unwrap_or(u64::MAX),
        cache = %String::from_utf8_lossy(response.cache_status),
        broken = response.is_broken,
    );
}
