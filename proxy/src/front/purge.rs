//! `PURGE /path`, from this machine only, answered with what was seen in each tier (failure R10).

use super::{Exchange, Front, send_short};
use crate::response::{self, Account, ErrorPage};
use bytes::Bytes;
use pingora::{Result, http::RequestHeader, proxy::Session};
use std::fmt::Write;
use tiergate_driver::World;
use tiergate_engine::{CacheKey, PurgeOutcome, TierId};

pub(super) fn is_purge(request: &RequestHeader) -> bool {
    request.method.as_str() == "PURGE"
}

impl<W: World> Front<W> {
    /// 200 when every tier answered, 502 when one of them may still hold the object.
    pub(super) async fn purge(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        key: CacheKey,
    ) -> Result<bool> {
        let local = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .is_some_and(|address| address.ip().to_canonical().is_loopback());
        if !local {
            let account = Account::own("purge-forbidden");
            return self.answer_error(session, exchange, ErrorPage::PURGE_FORBIDDEN, account).await;
        }
        let report = self.driver.purge(key).await;
        let failed = report.iter().any(|(_, outcome)| matches!(outcome, PurgeOutcome::Failed));
        let body = line(key, &report);
        let status = if failed { 502 } else { 200 };
        let mut header = response::plain(status, "application/json", body.len())?;
        let account = Account::own("purge");
        account.write(&mut header)?;
        exchange.account = Some(account);
        send_short(session, header, Bytes::from(body)).await
    }
}

/// One line of JSON. Every word of it is ours, so nothing needs escaping.
fn line(key: CacheKey, report: &[(TierId, PurgeOutcome)]) -> String {
    let mut line = format!("{{\"key\":\"{key}\"");
    for (tier, outcome) in report {
        let seen = match outcome {
            PurgeOutcome::Removed(bytes) => format!("{{\"outcome\":\"removed\",\"bytes\":{}}}", bytes.0),
            PurgeOutcome::RemovedUnseen => "{\"outcome\":\"removed\"}".to_owned(),
            PurgeOutcome::Absent => "{\"outcome\":\"absent\"}".to_owned(),
            PurgeOutcome::Failed => "{\"outcome\":\"failed\"}".to_owned(),
        };
        write!(line, ",\"{}\":{seen}", tier.as_str()).expect("a String takes everything");
    }
    line.push_str("}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiergate_engine::ByteCount;

    /// Each outcome has its own word, and a size where one is known.
    #[test]
    fn a_report_says_what_each_tier_saw() {
        let report = [
            (TierId::L0, PurgeOutcome::Removed(ByteCount(12))),
            (TierId::L1, PurgeOutcome::Failed),
            (TierId::L2, PurgeOutcome::Absent),
        ];
        assert_eq!(
            line(CacheKey(0x1f), &report),
            "{\"key\":\"0000000000000000000000000000001f\",\"l0\":{\"outcome\":\"removed\",\"bytes\":12},\
             \"l1\":{\"outcome\":\"failed\"},\"l2\":{\"outcome\":\"absent\"}}\n"
        );
    }
}
