//! How connections to the origin come about for what goes around the cache: by the system's sockets, or as
//! whoever runs this front says. A network that is simulated has no sockets that Pingora knows.

use async_trait::async_trait;
use pingora::{
    Error, ErrorType, Result,
    connectors::l4::Connect,
    protocols::l4::{
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
};
use std::{
    fmt::Debug,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to the origin.
pub trait Dialled: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug> Dialled for T {}

/// Connects to the origin.
#[async_trait]
pub trait Dial: Send + Sync + Debug {
    /// A new connection.
    ///
    /// # Errors
    /// None came about; the client gets 502.
    async fn dial(&self) -> io::Result<Box<dyn Dialled>>;
}

/// The same for Pingora, which has an address in mind that nobody has here.
#[derive(Debug)]
pub(super) struct ByDialling(pub(super) Arc<dyn Dial>);

#[async_trait]
impl Connect for ByDialling {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let dialled = self.0.dial().await.map_err(|error| {
            Error::because(ErrorType::ConnectError, "the origin was dialled", error).into_up()
        })?;
        Ok(Stream::from(VirtualSocketStream::new(Box::new(Line(dialled)))))
    }
}

#[derive(Debug)]
struct Line(Box<dyn Dialled>);

impl VirtualSocket for Line {
    /// What a socket would be told has no meaning here.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}
