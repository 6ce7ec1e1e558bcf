//! Which kinds of file systems a log works on.

use super::OpenError;
use rustix::fs::statfs;
use std::path::Path;

/// What a kind is called, and what it means for a log.
struct Kind {
    /// What `statfs` gives.
    number: u64,
    name: &'static str,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    /// It works, but hardly as its owner means.
    InMemory,
    Lacks(&'static str),
}

const SHARED: Verdict =
    Verdict::Lacks("is shared over a network, where locks and syncs do not keep what they promise");
const NO_FILES: Verdict = Verdict::Lacks("holds no files of ours");

/// `linux/magic.h`. What is not listed works as far as we know.
const KINDS: [Kind; 15] = [
    Kind { number: 0xef53, name: "ext4", verdict: Verdict::Works },
    Kind { number: 0x5846_5342, name: "xfs", verdict: Verdict::Works },
    Kind { number: 0x9123_683e, name: "btrfs", verdict: Verdict::Works },
    Kind { number: 0x2fc1_2fc1, name: "zfs", verdict: Verdict::Works },
    Kind { number: 0xf2f5_2010, name: "f2fs", verdict: Verdict::Works },
    Kind { number: 0x794c_7630, name: "overlayfs", verdict: Verdict::Works },
    Kind { number: 0x0102_1994, name: "tmpfs", verdict: Verdict::InMemory },
    Kind {
        number: 0x8584_58f6,
        name: "ramfs",
        verdict: Verdict::Lacks("is memory that the system never takes back"),
    },
    Kind { number: 0x6969, name: "nfs", verdict: SHARED },
    Kind { number: 0xff53_4d42, name: "cifs", verdict: SHARED },
    Kind { number: 0xfe53_4d42, name: "smb2", verdict: SHARED },
    Kind { number: 0x00c3_6400, name: "ceph", verdict: SHARED },
    Kind {
        number: 0x4d44,
        name: "vfat",
        verdict: Verdict::Lacks("cannot preallocate, and holds no file above 4 GiB"),
    },
    Kind { number: 0x9fa0, name: "proc", verdict: NO_FILES },
    Kind { number: 0x6265_6572, name: "sysfs", verdict: NO_FILES },
];

fn kind(number: u64) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.number == number)
}

/// The number of a directory's file system, without the sign that some systems give it.
fn number(directory: &Path) -> Result<u64, OpenError> {
    let found = statfs(directory).map_err(|error| OpenError::Unusable {
        path: directory.to_owned(),
        doing: "asking for the file system of",
        error: error.into(),
    })?;
    #[expect(clippy::cast_sign_loss, reason = "the system's type has a sign, its values have none")]
    let number = found.f_type as u64;
    Ok(number & 0xffff_ffff)
}

/// Refuses what cannot work, and warns of what hardly does.
pub(super) fn check(directory: &Path) -> Result<(), OpenError> {
    match judge(directory, number(directory)?)? {
        Verdict::InMemory => {
            tracing::warn!(
                directory = %directory.display(),
                "L2's directory lies in memory (tmpfs): it takes memory, and is empty after a reboot"
            );
        }
        Verdict::Works | Verdict::Lacks(_) => {}
    }
    Ok(())
}

fn judge(directory: &Path, number: u64) -> Result<Verdict, OpenError> {
    match kind(number) {
        Some(Kind { verdict: Verdict::Lacks(lacks), name, .. }) => {
            Err(OpenError::FileSystem { path: directory.to_owned(), kind: (*name).to_owned(), lacks })
        }
        Some(Kind { verdict, .. }) => Ok(*verdict),
        None => Ok(Verdict::Works),
    }
}

/// The error of a file system that has no `fallocate`.
pub(super) fn cannot_preallocate(directory: &Path) -> OpenError {
    let name = number(directory).ok().map(|number| match kind(number) {
        Some(kind) => kind.name.to_owned(),
        None => format!("{number:#x}"),
    });
    OpenError::FileSystem {
        path: directory.to_owned(),
        kind: name.unwrap_or_else(|| "unknown".to_owned()),
        lacks: "cannot preallocate a file (fallocate)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Local disks work, memory works with a warning, what is shared is refused with its name and why.
    #[test]
    fn each_kind_has_its_verdict() {
        let at = Path::new("/cache");
        assert_eq!(judge(at, 0xef53).ok(), Some(Verdict::Works));
        assert_eq!(judge(at, 0x0102_1994).ok(), Some(Verdict::InMemory));
        assert_eq!(judge(at, 0x1234).ok(), Some(Verdict::Works));
        assert_eq!(
            judge(at, 0x6969).expect_err("it is shared").to_string(),
            "is /cache, but the file system there (nfs) is shared over a network, where locks and syncs do not keep what \
             they promise: choose a directory on a local disk, such as ext4 or xfs"
        );
    }
}
