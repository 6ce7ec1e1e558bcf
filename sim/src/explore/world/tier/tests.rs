//! The imitated disk keeps bans as the real one does.

use super::*;
use tiergate_driver::TierError;
use tiergate_engine::Answer;
use tiergate_tiers::conformance::{KeepsBans, bans_conformance};

impl KeepsBans for Tier {
    async fn store(&mut self, ban: &Ban) -> Result<(), TierError> {
        let effect = Effect::StoreBan { op: OpId(1), tier: self.id, ban: Arc::new(ban.clone()) };
        match self.apply(Life { edge: 0, life: 1 }, &effect) {
            Outcome::Answer(Input::Answer { op: OpId(1), answer: Answer::BanStored }) => Ok(()),
            Outcome::Answer(_) | Outcome::Nothing => Err(TierError::Failed("it was not stored".to_owned())),
            Outcome::Breach(rule, detail) => Err(TierError::Failed(format!("{rule}: {detail}"))),
        }
    }

    async fn restart(&mut self) -> Vec<Ban> {
        self.forget(0);
        self.recover_bans()
    }
}

/// The suite that the real disk passes.
#[tokio::test]
async fn the_imitated_disk_keeps_bans() {
    bans_conformance(&mut Tier::new(TierId::L2, Index::boundless())).await;
}
