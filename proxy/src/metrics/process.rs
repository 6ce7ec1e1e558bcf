//! What the system knows of this process. A number that it does not tell is left out.

use std::fs;

/// How many of them the kernel counts in a second of processor time; the same on every system that has
/// `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Of this process, now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) fds_max: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let status = read("status");
        Self {
            resident_bytes: number_after(&status, "VmRSS:").map(|kib| kib * 1024),
            // The directory that is read is open itself.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count() as u64).saturating_sub(1)),
            fds_max: number_after(&read("limits"), "Max open files"),
            cpu_seconds: cpu_seconds(&read("stat")),
            threads: number_after(&status, "Threads:"),
        }
    }
}

/// The first number of the line that begins so. `unlimited` is none.
fn number_after(text: &str, start: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(start))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time. The program's name, in parentheses, may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's files are read as they are written.
    #[test]
    fn the_files_of_proc_are_understood() {
        let status = "Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t   1234 kB\nThreads:\t7\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(1234));
        assert_eq!(number_after(status, "Threads:"), Some(7));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096 files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(number_after("Max open files  unlimited  unlimited", "Max open files"), None);
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }

    /// This process has memory, a file and a limit, and more descriptors open while one more file is.
    #[test]
    fn a_file_that_is_opened_is_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let open: Vec<_> =
            (0..64).map(|at| fs::File::create(dir.path().join(at.to_string())).expect("a file")).collect();
        let now = Process::now();
        assert!(now.resident_bytes.expect("Linux tells it") > 1 << 20, "{now:?}");
        assert!(now.open_fds.expect("Linux tells it") >= open.len() as u64, "{now:?}");
        assert!(now.threads.expect("Linux tells it") >= 1, "{now:?}");
    }
}
