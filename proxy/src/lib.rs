//! The production server: Pingora in front, the driver and its tiers behind.
//!
//! It translates and obeys: every caching decision is the engine's. The binary calls [`run`]; `front` is what
//! a request meets first; `adapter` is for Pingora servers without it; `serve` starts and stops it all;
//! `admin` is what operators ask.

pub mod access_log;
pub mod adapter;
pub mod admin;
pub mod args;
mod demo_origin;
pub mod front;
mod inspecting;
pub mod metrics;
pub mod origin_connect;
mod purging;
pub mod readiness;
mod response;
mod serve;
mod store_connect;
pub mod tap;
pub mod tls;
pub mod verified;
mod world;

pub use tiergate_config as config;
pub use world::Production;

use args::{Arguments, Check, Command};
use config::{ConfigError, Overrides};
use serve::StartError;
use std::{fmt, process::ExitCode};

/// Why the program ends early.
#[derive(Debug)]
enum Failure {
    /// Correct the configuration.
    Config(ConfigError),
    /// The configuration is right, but the machine does not allow it.
    Start(StartError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Start(error) => write!(f, "{error}"),
        }
    }
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Start(error) => error.exit_code(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

/// Does what the command line says, to its end.
pub fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Serve(arguments) => serve::serve(arguments),
        Command::Check(arguments) => check(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tiergate: {failure}");
            failure.exit_code()
        }
    }
}

fn check(arguments: &Check) -> Result<(), Failure> {
    config::load(&arguments.config, &Overrides::default())?;
    println!("{}: ok", arguments.config.display());
    Ok(())
}
