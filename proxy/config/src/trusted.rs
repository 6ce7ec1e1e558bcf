//! `trusted_proxies`: whose word on clients counts.

use super::error::Problem;
use crate::{Network, ToldBy, TrustedProxies};

/// Each connection is compared with all of them; the largest public lists have some hundred.
const NETWORKS_MAX: usize = 1_000;

pub(super) fn check(written: &[String]) -> Result<TrustedProxies, Problem> {
    const KEY: &str = "trusted_proxies";
    if written.len() > NETWORKS_MAX {
        return Err(Problem::value(KEY, format!("a list of {}", written.len()), "a list of at most 1000"));
    }
    let network = |text: &String| -> Result<Network, Problem> {
        let shown = if text.is_empty() { "a list with an empty entry" } else { text };
        text.parse().map_err(|bound: &str| Problem::value(KEY, shown, bound))
    };
    Ok(TrustedProxies::new(written.iter().map(network).collect::<Result<_, _>>()?))
}

/// A listener that takes the PROXY protocol takes it from proxies that are named: whoever else reached it
/// could claim any address. `key` is where the file says that it is `asked` for.
///
/// # Errors
/// Nobody is named.
pub fn told_by(key: &str, asked: bool, trusted: &TrustedProxies) -> Result<ToldBy, Problem> {
    match asked {
        false => Ok(ToldBy::Connection),
        true if trusted.is_empty() => Err(Problem::field(
            key,
            "is true, but `trusted_proxies` names nobody: name the proxies that send the header",
        )),
        true => Ok(ToldBy::ProxyProtocol),
    }
}
