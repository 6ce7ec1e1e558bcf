//! A real PostgreSQL for a test, in a directory of its own and on a port of its own.

#![allow(dead_code, reason = "each suite that has this file needs a part of it")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Who asks, and which database every server has.
pub(crate) const USER: &str = "postgres";
/// What proves it.
pub(crate) const PASSWORD: &str = "pass word of tests: '\\\"@/%";

/// Far more than anything here takes: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(120);
const NOT_INSTALLED: &str =
    "PostgreSQL must be installed for this test: `scripts/need pg_ctlcluster` does it";

/// A server that ends with the test.
pub(crate) struct Postgres {
    process: Option<Child>,
    pub(crate) port: u16,
    settings: Vec<String>,
    log: Arc<Mutex<String>>,
    directory: TempDir,
    account: Option<Account>,
}

/// Whom the server runs as where the test runs as root, whom it refuses.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Postgres {
    /// A new one, empty. Each setting is `name=value`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("the system has a place for temporary files"), settings)
    }

    /// One that takes no connection in clear text, with this certificate and its key.
    pub(crate) fn start_over_tls(certificate: &Path, key: &Path) -> Self {
        let directory = tempfile::tempdir().expect("the system has a place for temporary files");
        let give = |name: &str, text: Vec<u8>| {
            let to = directory.path().join(name);
            fs::write(&to, text).expect("a file in a directory of ours");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("it is ours");
            if let Some(Account { user, group }) = Account::needed() {
                chown(&to, Some(user), Some(group)).expect("root may give it away");
            }
            to.display().to_string()
        };
        let copy = |from: &Path, name: &str| give(name, fs::read(from).expect("it was just written"));
        let certificate = format!("ssl_cert_file={}", copy(certificate, "server.pem"));
        let key = format!("ssl_key_file={}", copy(key, "server.key"));
        let access = give("access", b"hostssl all all 127.0.0.1/32 scram-sha-256\n".to_vec());
        Self::start_in(directory, &["ssl=on", &certificate, &key, &format!("hba_file={access}")])
    }

    fn start_in(directory: TempDir, settings: &[&str]) -> Self {
        let account = Account::needed();
        if let Some(Account { user, group }) = account {
            chown(directory.path(), Some(user), Some(group)).expect("root may give it away");
        }
        let secret = directory.path().join("password");
        fs::write(&secret, PASSWORD).expect("a file in a directory of ours");
        let made = command("initdb", account)
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={USER}"))
            .arg(format!("--pwfile={}", secret.display()))
            .arg(format!("--pgdata={}", directory.path().join("data").display()))
            .output()
            .expect(NOT_INSTALLED);
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = settings.iter().map(|setting| setting.to_string()).collect();
        let mut server = Self { process: None, port: 0, settings, log: Arc::default(), directory, account };
        // Somebody may take the port that was found, before it does: then on another one.
        let is_up = (0..10).any(|_| {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            server.port = free.local_addr().expect("it is bound").port();
            drop(free);
            server.try_run()
        });
        assert!(is_up, "one of ten free ports stays free for a moment");
        server
    }

    /// `127.0.0.1:port`.
    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it has written to its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has written this to its log.
    pub(crate) fn wait_for_log(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "no `{words}` in `{}`", self.log());
            thread::yield_now();
        }
    }

    /// As in a crash. What was committed stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Not killed: its shared memory would stay behind.
            let sent = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
            assert!(sent.expect("`kill` is on every system that has signals").success());
            process.wait().expect("it is our child");
        }
    }

    /// At the same place, with what was in it.
    pub(crate) fn restart(&mut self) {
        assert!(self.try_run(), "the port was free, and is taken");
    }

    /// Runs it until it takes connections, or has ended.
    fn try_run(&mut self) -> bool {
        let data = self.directory.path().join("data");
        let port = format!("port={}", self.port);
        let fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", &port];
        let settings = fixed.into_iter().chain(self.settings.iter().map(String::as_str));
        let mut process = command("postgres", self.account)
            .arg("-D")
            .arg(data)
            .args(settings.flat_map(|setting| ["-c", setting]))
            .stderr(Stdio::piped())
            .spawn()
            .expect(NOT_INSTALLED);
        let said = BufReader::new(process.stderr.take().expect("its log is a pipe"));
        let (tell, told) = mpsc::channel();
        let log = Arc::clone(&self.log);
        // Reads on to its end, or the server would wait for somebody who does.
        thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
                if line.contains("ready to accept connections") {
                    // Nobody waits for a second time.
                    let _ = tell.send(());
                }
            }
        });
        if told.recv().is_err() {
            process.wait().expect("it is our child");
            return false;
        }
        self.process = Some(process);
        true
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Account {
    fn needed() -> Option<Self> {
        let own = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
        if own.expect("Linux has it") != 0 {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("every system has it");
        let of = |name: &str| {
            let mut line =
                accounts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':');
            Some(Self { user: line.nth(1)?.parse().ok()?, group: line.next()?.parse().ok()? })
        };
        Some(of("postgres").or_else(|| of("nobody")).expect("the package makes a user"))
    }
}

/// A program of the server's, which Debian keeps off the path.
fn command(program: &str, account: Option<Account>) -> Command {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.flatten().map(|folder| folder.path()).collect())
        .unwrap_or_default();
    versions.sort();
    let on_path = env::var_os("PATH").unwrap_or_default();
    let folders =
        versions.into_iter().rev().map(|version| version.join("bin")).chain(env::split_paths(&on_path));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file()).expect(NOT_INSTALLED);
    let mut command = Command::new(found);
    command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT");
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}
