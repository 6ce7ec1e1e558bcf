//! What the machine allows, beside what the configuration asks for: descriptors and memory.
//!
//! Neither stops a start, for a server may serve for days before it needs what it was promised. So what does
//! not fit is said at once, where an operator still looks.

use crate::config::ServerConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tiergate_engine::ByteCount;

/// Descriptors that are no client's: listeners, tiers, logs, connections to the origin.
const DESCRIPTORS_RESERVED: u64 = 256;

/// Takes as many descriptors as the process may have, and warns of what the configuration asks for and will
/// not get.
pub(super) fn prepare(config: &ServerConfig) {
    let connections = config.connections.connections_max;
    let descriptors = raise_descriptors();
    if descriptors.is_some_and(|limit| limit < DESCRIPTORS_RESERVED.saturating_add(connections.into())) {
        tracing::warn!(
            connections,
            descriptors,
            "`limits.connections` is above what the limit of open files (RLIMIT_NOFILE) has room for: raise the \
             limit (`LimitNOFILE` of systemd, `ulimit -n`) to {DESCRIPTORS_RESERVED} more than the connections, or \
             lower `limits.connections`"
        );
    }
    let capacity = config.cache.as_written().l0.as_ref().map(|l0| l0.capacity);
    if let (Some(capacity), Some(memory)) = (capacity, memory(Path::new("/")))
        && capacity > memory.bytes
    {
        tracing::warn!(
            %capacity,
            memory = %memory.bytes,
            "`cache.l0.capacity` is above the memory of {}: lower it, or the process is killed once L0 has filled up",
            memory.owner.words()
        );
    }
}

/// The limit of descriptors, once it is as high as the process may raise it. Nothing when there is none.
fn raise_descriptors() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it was");
            current
        }
    }
}

/// Memory that a process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    bytes: ByteCount,
    owner: Owner,
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Machine,
    ControlGroup,
}

impl Owner {
    const fn words(self) -> &'static str {
        match self {
            Self::Machine => "this machine",
            Self::ControlGroup => "the control group (a container's limit, or `MemoryMax` of systemd)",
        }
    }
}

/// The least of what the machine has and each control group around this process may have. `root` is where the
/// system's files are. Nothing where it does not say.
fn memory(root: &Path) -> Option<Memory> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| machine_memory(&text));
    let machine = machine.map(|bytes| Memory { bytes, owner: Owner::Machine });
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(root, &groups).into_iter().filter_map(|file| {
        let bytes = fs::read_to_string(file).ok()?.trim().parse().map(ByteCount).ok()?;
        Some(Memory { bytes, owner: Owner::ControlGroup })
    });
    machine.into_iter().chain(limits).min_by_key(|memory| memory.bytes)
}

fn machine_memory(meminfo: &str) -> Option<ByteCount> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ByteCount(kib.saturating_mul(1024)))
}

/// Where the limits of memory stand that hold for a process in these groups (the text of
/// `/proc/self/cgroup`): a group is within its parents' limits, too.
fn limit_files(root: &Path, groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (mounted, file) = match controllers {
            "" => (root.join("sys/fs/cgroup"), "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                (root.join("sys/fs/cgroup/memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| mounted.join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `memory` says where the system's files have these texts.
    fn of(files: &[(&str, &str)]) -> Option<Memory> {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (file, text) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().expect("it is in the directory")).expect("a directory of ours");
            fs::write(file, text).expect("a file of ours");
        }
        memory(root.path())
    }

    /// The least limit counts, of whichever group around the process and of either version; where nothing
    /// limits, what the machine has.
    #[test]
    fn the_least_limit_of_memory_counts() {
        let machine = ("proc/meminfo", "MemTotal:        4096 kB\nMemFree: 1 kB\n");
        let v2 = ("proc/self/cgroup", "0::/outer/inner\n");
        let v1 = ("proc/self/cgroup", "9:cpu:/x\n4:hugetlb,memory:/outer\n0::/\n");
        let of_machine = Some(Memory { bytes: ByteCount::mib(4), owner: Owner::Machine });
        let of_group = |bytes| Some(Memory { bytes: ByteCount(bytes), owner: Owner::ControlGroup });
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[machine]), of_machine);
        assert_eq!(of(&[machine, v2, ("sys/fs/cgroup/outer/inner/memory.max", "max\n")]), of_machine);
        assert_eq!(of(&[machine, v2, ("sys/fs/cgroup/outer/inner/memory.max", "5000\n")]), of_group(5000));
        assert_eq!(of(&[machine, v2, ("sys/fs/cgroup/outer/memory.max", "6000\n")]), of_group(6000));
        assert_eq!(of(&[machine, v2, ("sys/fs/cgroup/memory.max", "7000\n")]), of_group(7000));
        assert_eq!(of(&[machine, v2, ("sys/fs/cgroup/other/memory.max", "5000\n")]), of_machine);
        assert_eq!(
            of(&[machine, v1, ("sys/fs/cgroup/memory/outer/memory.limit_in_bytes", "8000\n")]),
            of_group(8000)
        );
        let without = "9223372036854771712\n";
        assert_eq!(of(&[machine, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", without)]), of_machine);
    }
}
