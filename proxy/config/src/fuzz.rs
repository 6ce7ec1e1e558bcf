//! Configurations as anybody may write them: read, or refused.

use super::*;

tiergate_fuzz::target!(
    /// What is used is within its bounds, and what is wrong is said in one line.
    server_config,
    [include_str!("../../tiergate.example.yaml"), "origin: \"http://a:1\"\ncache: { l0: null, l1: {} }\nstorage: { l1: { redis: \"b:1\" } }\n"],
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match parse(text, &Overrides::default()) {
            Ok(config) => {
                assert!((1..=SHARDS_MAX).contains(&config.shards.get()));
                assert!(config.drain <= Duration::from_secs(DRAIN_SECONDS_MAX));
                let origin = config.origin.to_string();
                assert_eq!(origin.parse().as_ref(), Ok(&config.origin), "{origin}");
            }
            Err(problem) => {
                let said = ConfigError::new(Path::new("t.yaml"), problem).to_string();
                assert!(said.starts_with("t.yaml") && !said.contains('\n'), "{said}");
            }
        }
    }
);
