//! `admin`: where operators ask about the server, and purge.

use super::error::Problem;
use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf};

/// Where the admin listener is when the section says nothing else.
pub const ADMIN_LISTEN_DEFAULT: &str = "127.0.0.1:9080";

/// A shorter token could be guessed, and a longer one is a file named by mistake.
const TOKEN_BYTES_MIN: usize = 16;
const TOKEN_BYTES_MAX: usize = 1024;
/// Where a token may stand in the file.
pub(super) const TOKEN_KEY: &str = "admin.token";
pub(super) const TOKEN_BOUND: &str = "16 to 1024 visible ASCII characters";

/// `admin`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAdmin {
    /// An IP address and a port. Default `127.0.0.1:9080`; port 0 takes a free one. Not the clients' port.
    pub listen: Option<String>,
    /// What whoever asks must know: `Authorization: Bearer …`. Default: none, which only a loopback address
    /// may have. Who can read the file can purge: `token_file` is better.
    pub token: Option<Token>,
    /// A file whose first line is the token. Read at start.
    pub token_file: Option<PathBuf>,
}

/// A secret. It does not show itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl From<String> for Token {
    /// This very text.
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who may ask.
    pub access: Access,
}

/// Who may ask the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever is on this machine. The address is a loopback address.
    Loopback,
    /// Whoever knows this.
    Token(Token),
    /// Whoever knows what is in this file.
    TokenFile(PathBuf),
}

impl RawAdmin {
    pub(super) fn check(self, clients: SocketAddr) -> Result<Admin, Problem> {
        let Self { listen, token, token_file } = self;
        let listen = listen.as_deref().unwrap_or(ADMIN_LISTEN_DEFAULT);
        let bound = "an IP address and a port, such as 127.0.0.1:9080";
        let listen: SocketAddr = listen.parse().map_err(|_| Problem::value("admin.listen", listen, bound))?;
        if listen == clients && listen.port() != 0 {
            let bound = "another address or port than `listen`, where clients connect";
            return Err(Problem::value("admin.listen", listen, bound));
        }
        let access = match (token, token_file) {
            (Some(_), Some(_)) => {
                let text = "is given, and `admin.token` too: remove one of them";
                return Err(Problem::field("admin.token_file", text));
            }
            (Some(token), None) => Access::Token(token.check(TOKEN_KEY)?),
            (None, Some(file)) if file.as_os_str().is_empty() => {
                let bound = "a file, such as /etc/tiergate/admin.token";
                return Err(Problem::value("admin.token_file", "empty", bound));
            }
            (None, Some(file)) => Access::TokenFile(file),
            (None, None) if listen.ip().to_canonical().is_loopback() => Access::Loopback,
            (None, None) => {
                let bound = "a loopback address, such as 127.0.0.1:9080, unless there is an `admin.token_file`: \
                             whoever reaches another address could purge everything";
                return Err(Problem::value("admin.listen", listen, bound));
            }
        };
        Ok(Admin { listen, access })
    }
}

impl Token {
    /// The token that is the first line of `text`; or what it must be.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let line = text.lines().next().unwrap_or_default().trim();
        let is_right = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&line.len())
            && line.bytes().all(|byte| byte.is_ascii_graphic());
        if is_right { Ok(Self(line.to_owned())) } else { Err(TOKEN_BOUND) }
    }

    /// The token that `key` says, if it is one. The value is a secret, even when it is not a good one.
    pub(super) fn check(self, key: &str) -> Result<Self, Problem> {
        Self::new(&self.0).map_err(|bound| Problem::field(key, format!("must be {bound}")))
    }

    /// Is this it? The time that the answer takes does not depend on how much of it is right.
    pub fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differs = own.iter().enumerate().fold(own.len() ^ given.len(), |differs, (at, byte)| {
            let other = given.get(at).copied().unwrap_or_default();
            std::hint::black_box(differs | usize::from(byte ^ other))
        });
        differs == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token is itself and nothing else: not its beginning, not with more behind it.
    #[test]
    fn a_token_is_itself() {
        let token = Token::new("0123456789abcdef\n# more\n").expect("a right token");
        assert!(token.is(b"0123456789abcdef"));
        for other in ["", "0", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0", "1123456789abcdef"]
        {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert!(!token.is(b"0123456789abcdef\0"));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    /// What could be guessed, or is no token, is none.
    #[test]
    fn a_token_that_is_too_short_is_none() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for text in
            ["", "\n0123456789abcdef", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeé", &long]
        {
            assert_eq!(Token::new(text), Err(TOKEN_BOUND), "{text}");
        }
    }
}
