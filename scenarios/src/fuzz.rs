//! Scenarios as anybody may write them: read, or refused.

use crate::{LoadError, parse};
use std::path::Path;

tiergate_fuzz::target!(
    /// What is wrong is said, of a line that the text has or of the whole of it.
    scenario,
    [include_str!("../two-edges-shared-tier.yaml"), include_str!("../disk/rot-is-a-miss.yaml")],
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match parse(Path::new("x.yaml"), text) {
            Ok(scenario) => assert!(!scenario.name.is_empty()),
            Err(LoadError::Malformed { line, what, .. }) => {
                // YAML takes a carriage return for a line break too.
                let breaks = text.bytes().filter(|byte| matches!(byte, b'\r' | b'\n')).count() as u64;
                assert!(line <= breaks + 1, "line {line}");
                assert!(!what.is_empty());
            }
            Err(error) => panic!("nothing was read from a disk: {error}"),
        }
    }
);
