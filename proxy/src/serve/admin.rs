//! The admin listener: its port and its token, before anything is served.

use super::{Observers, StartError};
use crate::{
    admin::{Guard, Listener},
    config::{Access, Admin, Token},
    world::Production,
};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};
use tiergate_driver::Driver;
use tokio::task::JoinHandle;

/// An admin listener that nobody has asked yet.
pub(super) struct Bound {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    guard: Guard,
}

impl Bound {
    pub(super) fn new(admin: &Admin) -> Result<Self, StartError> {
        let guard = match &admin.access {
            Access::Loopback => Guard::Loopback,
            Access::Token(token) => Guard::Token(token.clone()),
            Access::TokenFile(file) => Guard::Token(read_token(file)?),
        };
        let failed = |error| StartError::AdminListen { address: admin.listen, error };
        let listener = TcpListener::bind(admin.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, guard })
    }

    /// Answers from now on, until the task is aborted.
    pub(super) fn serve(
        self,
        driver: &Driver<Production>,
        observers: &Observers,
    ) -> Result<JoinHandle<()>, StartError> {
        let Self { listener, guard, .. } = self;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Runtime)?;
        let admin = Listener {
            driver: driver.clone(),
            metrics: Arc::clone(&observers.metrics),
            readiness: Arc::clone(&observers.readiness),
            guard,
        };
        Ok(tokio::spawn(admin.run(listener)))
    }
}

fn read_token(file: &Path) -> Result<Token, StartError> {
    let wrong = |why: String| StartError::AdminToken { file: file.to_owned(), why };
    let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Token::new(&text).map_err(|bound| wrong(format!("must have {bound} in its first line")))
}
