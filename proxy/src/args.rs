//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A multi-tier HTTP cache in front of your origin.
///
/// Without a configuration, `tiergate serve` shows what it does: it starts a small origin of its own, a cache
/// in front of it, and prints what to try.
#[derive(Debug, Parser)]
#[command(version, about, long_about, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tiergate serve                                  a demonstration, on loopback
  tiergate serve --origin http://127.0.0.1:9000   in front of your server, with defaults
  tiergate serve -c tiergate.yaml                 as configured
  tiergate check -c tiergate.yaml                 is the configuration right?

Signals: SIGTERM, SIGINT and SIGQUIT stop taking requests, let transfers finish, and exit with 0; a second one exits
at once. SIGUSR1 opens the access log anew. SIGHUP and SIGUSR2 do nothing: configuration is read at start only.
Exit codes: 0 done, 1 could not run, 2 the configuration or the command line is wrong.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the cache.
    Serve(Serve),
    /// Check a configuration and start nothing.
    Check(Check),
}

/// `serve`.
#[derive(Debug, Default, Args)]
pub struct Serve {
    /// The configuration file. See tiergate.example.yaml.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect, instead of what the file says. Port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Where responses come from, instead of what the file says.
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}
