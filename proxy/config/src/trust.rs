//! Whose word on clients counts: the addresses of the proxies in front of this one.
//!
//! What a request says of its client anybody could write, so it counts only on a connection from an address
//! that the configuration names. Nothing here reads a request: `the front` does.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The proxies whose word counts. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// What somebody's word on a client is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A proxy of the operator's.
    Trusted,
    /// Anybody else.
    Stranger,
}

/// Who says whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldBy {
    /// The connection itself.
    Connection,
    /// A header of the PROXY protocol, from a trusted proxy.
    ProxyProtocol,
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// IPv4 addresses that are written as IPv6 stand here as IPv4.
    address: IpAddr,
    /// Bits that all addresses share.
    prefix: u32,
}

/// What a network must be.
pub(crate) const NETWORK_BOUND: &str = "an IP address, or a network such as 10.0.0.0/8 or 2001:db8::/32 with no \
                                        bit set after its prefix";

impl TrustedProxies {
    /// These.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the word of somebody at this address is worth.
    pub fn standing(&self, address: IpAddr) -> Standing {
        let address = address.to_canonical();
        let is_trusted = self.0.iter().any(|network| network.contains(address));
        if is_trusted { Standing::Trusted } else { Standing::Stranger }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix.parse::<u32>().map_err(|_| NETWORK_BOUND)?))
            }
            Some(_) => return Err(NETWORK_BOUND),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NETWORK_BOUND)?;
        let bits = match address {
            IpAddr::V4(_) => Ipv4Addr::BITS,
            IpAddr::V6(_) => Ipv6Addr::BITS,
        };
        let prefix = prefix.unwrap_or(bits);
        let rest = match address {
            IpAddr::V4(address) => address.to_bits().checked_shl(prefix).unwrap_or(0) == 0,
            IpAddr::V6(address) => address.to_bits().checked_shl(prefix).unwrap_or(0) == 0,
        };
        // A bit after the prefix is a sign that another network is meant, or one address.
        if prefix > bits || !rest {
            return Err(NETWORK_BOUND);
        }
        Ok(match address.to_canonical() {
            IpAddr::V4(canonical) if address.is_ipv6() => {
                let mapped = Ipv6Addr::BITS - Ipv4Addr::BITS;
                let prefix = prefix.checked_sub(mapped).ok_or(NETWORK_BOUND)?;
                Self { address: canonical.into(), prefix }
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Self { address, prefix },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network holds its addresses, however they are written, and none beside them.
    #[test]
    fn a_network_holds_its_addresses() {
        let cases = [
            ("10.1.2.3", "10.1.2.3", Standing::Trusted),
            ("10.1.2.3", "::ffff:10.1.2.3", Standing::Trusted),
            ("10.1.2.3", "10.1.2.2", Standing::Stranger),
            ("10.0.0.0/8", "10.255.255.255", Standing::Trusted),
            ("10.0.0.0/8", "11.0.0.0", Standing::Stranger),
            ("10.0.0.128/25", "10.0.0.127", Standing::Stranger),
            ("::ffff:10.0.0.0/104", "10.9.9.9", Standing::Trusted),
            ("::ffff:10.0.0.0/104", "11.9.9.9", Standing::Stranger),
            ("0.0.0.0/0", "255.1.1.1", Standing::Trusted),
            ("0.0.0.0/0", "2001:db8::1", Standing::Stranger),
            ("2001:db8::/33", "2001:db8:7fff::1", Standing::Trusted),
            ("2001:db8::/33", "2001:db8:8000::1", Standing::Stranger),
            ("::1", "::1", Standing::Trusted),
            ("::/0", "10.0.0.1", Standing::Stranger),
        ];
        for (network, address, standing) in cases {
            let trusted = TrustedProxies::new(vec![network.parse().expect("a network")]);
            assert_eq!(
                trusted.standing(address.parse().expect("an address")),
                standing,
                "{network} {address}"
            );
        }
        let nobody = TrustedProxies::default();
        assert_eq!(nobody.standing(Ipv4Addr::LOCALHOST.into()), Standing::Stranger);
    }

    /// What could mean something else is no network.
    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "10.0.0/8",
            "::1/64",
            "::/129",
            "::ffff:0.0.0.0/95",
            "localhost",
            "10.0.0.1:80",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NETWORK_BOUND), "{text}");
        }
    }
}
