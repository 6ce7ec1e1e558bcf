//! A proxy's file in the place of what a scenario says of its edges: the configuration that is deployed is
//! what is run.

use super::case::Case;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tiergate_config::{Overrides, SharedMemory, load};
use tiergate_engine::ByteCount;
use tiergate_scenarios::{DISK_MAX, LoadError, ScenarioFile, parse};

/// What both kinds of files have, in the same words.
const SECTIONS: [&str; 7] =
    ["cache", "limits", "timeouts", "origin_limits", "forward", "origin_host", "trusted_proxies"];

/// A proxy's file.
pub(super) struct Deployed {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What is taken from it.
    sections: Map<String, Value>,
    /// What this world cannot have as the file says it.
    pub(super) note: Option<String>,
}

impl Deployed {
    /// Reads and checks one, as `tiergate check` does.
    ///
    /// # Errors
    /// It is none: the message names file, line, key, value and bound.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let config = load(path, &Overrides::default()).map_err(|error| error.to_string())?;
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        let Case(document) = Case::of(&text).map_err(|error| unreadable(&error))?;
        let mut sections = Map::new();
        for name in SECTIONS {
            sections.extend(document.get(name).map(|section| (name.to_owned(), section.clone())));
        }
        sections.entry("cache").or_insert_with(|| json!({}));
        let mut storage = Map::new();
        if let Some(SharedMemory::Memcached(_)) = config.shared {
            storage.insert("l1".to_owned(), json!("memcached"));
        }
        let sync = document.pointer("/storage/l2/sync").cloned();
        storage.extend(sync.map(|sync| ("l2".to_owned(), json!({"sync": sync}))));
        sections.insert("storage".to_owned(), Value::Object(storage));
        let capacity = config.disk.map(|disk| disk.capacity).filter(|capacity| *capacity > DISK_MAX);
        let note = capacity.map(|capacity| smaller(path, capacity, &mut sections));
        Ok(Self { path: path.to_owned(), sections, note })
    }

    /// Puts its sections in the place of a scenario's.
    ///
    /// # Errors
    /// The two do not go together: the scenario has, say, a fault of a tier that the proxy has not.
    pub(super) fn apply(&self, file: ScenarioFile) -> Result<ScenarioFile, LoadError> {
        let wrong = |what| LoadError::Malformed { path: file.path.clone(), line: 0, what };
        let Case(mut document) = Case::of(&file.text).map_err(wrong)?;
        let said = document.as_object_mut().expect("a scenario has keys");
        said.retain(|name, _| !SECTIONS.contains(&&**name) && name != "storage");
        said.extend(self.sections.clone());
        let text = Case(document).text();
        let scenario = parse(&file.path, &text).map_err(|error| match error {
            LoadError::Malformed { what, .. } => {
                wrong(format!("with the sections of {}, {what}", self.path.display()))
            }
            other => other,
        })?;
        Ok(ScenarioFile { text, scenario, ..file })
    }
}

/// A disk of this world lies in memory.
fn smaller(path: &Path, capacity: ByteCount, sections: &mut Map<String, Value>) -> String {
    sections["cache"]["l2"]["capacity"] = json!(DISK_MAX.to_string());
    format!("{}: `cache.l2.capacity` is {capacity}; a disk of this world has {DISK_MAX}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = include_str!("../../../scenarios/shared-tier/a-slow-store-is-asked-twice.yaml");

    fn scenario() -> ScenarioFile {
        let path = PathBuf::from("s.yaml");
        ScenarioFile {
            scenario: parse(&path, SCENARIO).expect("the shipped files are good"),
            text: SCENARIO.to_owned(),
            path,
        }
    }

    fn deployed(text: &str) -> Result<Deployed, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tiergate.yaml");
        std::fs::write(&path, text).expect("a file of ours");
        Deployed::load(&path)
    }

    /// What a proxy's file says takes the scenario's place, and what it leaves out is its default.
    #[test]
    fn what_is_deployed_is_what_is_run() {
        let text = "origin: http://127.0.0.1:1\n\
                    cache: {l0: {capacity: 3MiB}, l1: {}, l2: {capacity: 10GiB}}\n\
                    storage: {l1: {redis: \"a:1\"}, l2: {directory: /d, sync: never}}\n\
                    limits: {head: 4KiB}\n";
        let deployed = deployed(text).expect("a good file");
        assert!(
            deployed.note.as_deref().is_some_and(|note| note.contains("is 10GiB")),
            "{:?}",
            deployed.note
        );
        let scenario = deployed.apply(scenario()).expect("they go together").scenario;
        assert_eq!(scenario.gates[0], tiergate_engine::RawMemoryTier::default().gate);
        assert_eq!(scenario.cache.as_written().l0.as_ref().map(|l0| l0.capacity), Some(ByteCount::mib(3)));
        assert_eq!(scenario.front.head_limits.head_bytes_max, 4 << 10);
        assert_eq!(
            (scenario.disk.sync, scenario.disk.capacity),
            (tiergate_config::SyncPolicy::Never, DISK_MAX)
        );
        assert_eq!(scenario.shared_memory, tiergate_scenarios::SharedMemory::Redis);
        let memcached = text.replace("l1: {redis: \"a:1\"}", "l1: {memcached: \"a:1\"}");
        let deployed = self::deployed(&memcached).expect("a good file");
        let scenario = deployed.apply(self::scenario()).expect("they go together").scenario;
        assert_eq!(scenario.shared_memory, tiergate_scenarios::SharedMemory::Memcached);
    }

    /// What does not go together, and what is no proxy's file, is said with the names of both.
    #[test]
    fn what_does_not_go_together_is_told() {
        let without = deployed("origin: http://127.0.0.1:1\n").expect("a good file");
        let error = without.apply(scenario()).expect_err("there is no shared tier to be slow").to_string();
        assert!(error.starts_with("s.yaml: with the sections of "), "{error}");
        assert!(error.contains("absent, unless `cache.l1`"), "{error}");
        let error = deployed("origin: http://127.0.0.1:1\nlimits: {head: 1}\n").err().expect("a bad file");
        assert!(error.contains(":2: `limits.head` is 1, but must be from 256 to 1MiB"), "{error}");
    }
}
