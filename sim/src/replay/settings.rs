//! From the command line, and the configuration file that it may name, to what a replay runs on.

use super::ReplayArgs;
use serde::Deserialize;
use std::{fs, path::Path};
use tiergate_engine::{
    ByteCount, Config, RawConfig, RawDiskTier, RawDurableTier, RawMemoryTier, RawSharedTier, TierId,
    store::Geometry,
};

/// What a tier holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capacity {
    Off,
    Bytes(ByteCount),
}

/// Is a tier there?
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Switch {
    /// There is.
    On,
    /// There is none.
    Off,
}

/// What the stores below L0 hold at most, where the configuration has them.
#[derive(Clone, Copy, Debug)]
pub struct Below {
    /// The store behind L1.
    pub l1: ByteCount,
    /// The disk of L2.
    pub l2: Disk,
}

impl Default for Below {
    /// So much that no trace fills it.
    fn default() -> Self {
        Self { l1: ByteCount::UNLIMITED, l2: Disk::Bodies(ByteCount::UNLIMITED) }
    }
}

/// What a disk's capacity counts.
#[derive(Clone, Copy, Debug)]
pub enum Disk {
    /// All that is on it: whole sectors, with heads, headers and what is free for the moment.
    Device(Geometry),
    /// Bodies alone, in segments.
    Bodies(ByteCount),
}

/// The same as an option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum L2Counts {
    /// All that is on the disk: whole sectors, with heads, headers and what is free for the moment.
    #[default]
    Device,
    /// Bodies alone, to compare the policy with those that know no device.
    Bodies,
}

/// The one section of a configuration that a replay needs; `tiergate check` checks the others.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    cache: RawConfig,
}

pub(super) fn parse_capacity(text: &str) -> Result<Capacity, String> {
    if text == "off" {
        return Ok(Capacity::Off);
    }
    ByteCount::parse(text).map(Capacity::Bytes).map_err(|wrong| format!("{wrong}, or `off`"))
}

/// What a replay runs on.
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) below: Below,
    /// What the user should know of it.
    pub(super) notes: Vec<String>,
}

impl ReplayArgs {
    pub(super) fn settings(&self) -> Result<Settings, String> {
        let mut raw = self.config.as_deref().map_or_else(|| Ok(RawConfig::default()), read)?;
        let mut notes = Vec::new();
        self.change_l0(&mut raw)?;
        self.change_l2(&mut raw)?;
        let l2 = self.disk(&mut raw)?;
        let l1 = match self.l1 {
            Some(Capacity::Off) => {
                raw.l1 = None;
                ByteCount::UNLIMITED
            }
            Some(Capacity::Bytes(capacity)) => {
                raw.l1.get_or_insert_with(RawSharedTier::default);
                capacity
            }
            None => ByteCount::UNLIMITED,
        };
        match (&mut raw.l1, self.l1_gate) {
            (Some(l1), gate) => l1.gate = gate.unwrap_or(l1.gate),
            (None, Some(_)) => return Err(absent("--l1-gate", TierId::L1)),
            (None, None) => {}
        }
        if raw.l1.is_some() && self.l1.is_none() {
            notes.push(
                "l1 is taken to hold everything: its capacity is its store's own; say --l1 CAPACITY".into(),
            );
        }
        match self.l3 {
            Some(Switch::On) => drop(raw.l3.get_or_insert_with(RawDurableTier::default)),
            Some(Switch::Off) => raw.l3 = None,
            None => {}
        }
        // How a body is cut while it is read changes no number, only the time that a replay takes.
        raw.fill.read_size = ByteCount::UNLIMITED;
        let config = Config::try_from(raw).map_err(|wrong| match &self.config {
            Some(path) => format!("{}: cache: {wrong}", path.display()),
            None => wrong.to_string(),
        })?;
        Ok(Settings { config, below: Below { l1, l2 }, notes })
    }

    fn change_l0(&self, raw: &mut RawConfig) -> Result<(), String> {
        match self.l0 {
            Some(Capacity::Off) => raw.l0 = None,
            Some(Capacity::Bytes(capacity)) => {
                raw.l0.get_or_insert_with(RawMemoryTier::default).capacity = capacity;
            }
            None => {}
        }
        match &mut raw.l0 {
            Some(l0) => {
                l0.eviction.policy = self.l0_policy.unwrap_or(l0.eviction.policy);
                l0.eviction.objective = self.l0_objective.or(l0.eviction.objective);
                l0.gate = self.l0_gate.unwrap_or(l0.gate);
            }
            None if self.l0_policy.is_some() => return Err(absent("--l0-policy", TierId::L0)),
            None if self.l0_objective.is_some() => return Err(absent("--l0-objective", TierId::L0)),
            None if self.l0_gate.is_some() => return Err(absent("--l0-gate", TierId::L0)),
            None => {}
        }
        Ok(())
    }

    fn change_l2(&self, raw: &mut RawConfig) -> Result<(), String> {
        match self.l2 {
            Some(Capacity::Off) => raw.l2 = None,
            Some(Capacity::Bytes(capacity)) => {
                raw.l2.get_or_insert_with(RawDiskTier::default).capacity = capacity;
            }
            None => {}
        }
        if self.l2_policy.is_some() || self.l2_objective.is_some() {
            return Err(
                "who leaves L2 is decided by its log: leave `--l2-policy` and `--l2-objective` out".into()
            );
        }
        match &mut raw.l2 {
            Some(l2) => l2.gate = self.l2_gate.unwrap_or(l2.gate),
            None if self.l2_gate.is_some() => return Err(absent("--l2-gate", TierId::L2)),
            None if self.l2_counts.is_some() => return Err(absent("--l2-counts", TierId::L2)),
            None => {}
        }
        Ok(())
    }

    /// The disk of L2, whose largest object bounds the gate.
    fn disk(&self, raw: &mut RawConfig) -> Result<Disk, String> {
        let Some(l2) = &mut raw.l2 else { return Ok(Below::default().l2) };
        let (disk, largest) = match self.l2_counts.unwrap_or_default() {
            L2Counts::Device => {
                let geometry = Geometry::for_capacity(l2.capacity.0)
                    .map_err(|wrong| format!("l2: {wrong}; `--l2-counts bodies` takes any capacity"))?;
                (Disk::Device(geometry), geometry.object_max())
            }
            L2Counts::Bodies => (Disk::Bodies(l2.capacity), ByteCount(l2.capacity.0 / 4)),
        };
        l2.gate = l2.gate.min(largest);
        Ok(disk)
    }
}

fn absent(option: &str, tier: TierId) -> String {
    let tier = tier.as_str();
    format!("`{option}` needs {tier}, which is off: give `--{tier}` a capacity")
}

fn read(path: &Path) -> Result<RawConfig, String> {
    let named = |wrong: String| format!("{}: {wrong}", path.display());
    let text = fs::read_to_string(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    let file: ConfigFile = serde_saphyr::from_str(&text).map_err(|error| named(error.to_string()))?;
    Ok(file.cache)
}
