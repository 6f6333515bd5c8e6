//! Which addresses a webhook may lead to.
//!
//! Attack: a client makes a webhook to a service that only this machine can reach, such as the metadata
//! of its cloud → an address that is special by the registries of IANA is refused, in each of the ways
//! to write it. Test: `special_addresses_are_refused`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Special networks of IPv4: "this" network, private, shared, loopback, link-local, protocol
/// assignments, documentation, relays, benchmarks, multicast, reserved.
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];
/// The only network of IPv6 that is assigned for hosts of the internet.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);
/// Special networks in it: protocol assignments with Teredo, documentation, 6to4.
const SPECIAL_V6: [Ipv6Net; 4] =
    [v6([0x2001, 0], 23), v6([0x2001, 0xdb8], 32), v6([0x2002, 0], 16), v6([0x3fff, 0], 20)];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(start: [u16; 2], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(start[0], start[1], 0, 0, 0, 0, 0, 0), length)
}

/// Which addresses are allowed.
#[derive(Debug, Clone, Default)]
pub struct NetworkPolicy {
    /// Networks that the operator allows, special or not.
    pub allowed: Vec<IpNet>,
}

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be parsed.
    #[error("this is no URL")]
    Malformed,
    /// It is neither of HTTPS nor, to a network that the operator allows, of HTTP.
    #[error("the URL begins with https://")]
    Scheme,
    /// It has a user or a password.
    #[error("the URL has no user and no password")]
    Credentials,
    /// No address that it leads to may be connected to.
    #[error("webhooks do not lead to special addresses, such as private and loopback ones")]
    Address,
}

impl NetworkPolicy {
    /// Whether the operator allows this address by name.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address))
    }

    // ANCHOR: permits
    /// Whether a connection to this address may be made: for plain HTTP only where the operator says so.
    pub fn permits(&self, address: IpAddr, is_plain: bool) -> bool {
        // ::ffff:127.0.0.1 is 127.0.0.1.
        let address = address.to_canonical();
        self.is_allowed(address) || (!is_plain && !is_special(address))
    }
    // ANCHOR_END: permits

    /// Checks everything about a URL that needs no look-up of a name.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn check(&self, text: &str) -> Result<Url, Refused> {
        let url = Url::parse(text).map_err(|_| Refused::Malformed)?;
        self.check_url(&url)?;
        Ok(url)
    }

    /// The same, of a URL.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let is_plain = match url.scheme() {
            "https" => false,
            "http" if !self.allowed.is_empty() => true,
            _ => return Err(Refused::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        // The parser has normalized 0x7f.1, 2130706433 and the like.
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(Refused::Malformed),
        };
        if self.permits(address, is_plain) { Ok(()) } else { Err(Refused::Address) }
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            !GLOBAL_V6.contains(&address)
                || SPECIAL_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused() {
        let policy = NetworkPolicy::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "203.0.113.9",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::127.0.0.1]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[5f00::1]",
            "[100::1]",
        ] {
            let refused = policy.check(&format!("https://{host}/hook")).unwrap_err();
            assert_eq!(refused, Refused::Address, "{host}");
        }
        for host in
            ["1.1.1.1", "172.32.0.1", "[2606:4700::1111]", "example.org", "[::ffff:8.8.8.8]"]
        {
            assert!(policy.check(&format!("https://{host}/hook")).is_ok(), "{host}");
        }
    }

    #[test]
    fn plain_http_needs_the_operator() {
        let refused = |policy: &NetworkPolicy, url: &str| policy.check(url).err();
        let none = NetworkPolicy::default();
        assert_eq!(refused(&none, "http://1.1.1.1/"), Some(Refused::Scheme));
        let own = NetworkPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] };
        assert_eq!(refused(&own, "http://127.0.0.1:9000/"), None);
        assert_eq!(refused(&own, "http://[::ffff:127.0.0.1]:9000/"), None);
        assert_eq!(refused(&own, "http://1.1.1.1/"), Some(Refused::Address));
        assert_eq!(refused(&own, "https://10.0.0.1/"), Some(Refused::Address));
        assert_eq!(refused(&own, "https://user:password@1.1.1.1/"), Some(Refused::Credentials));
        for text in ["", "x", "https://", "ftp://1.1.1.1/", "file:///etc/passwd"] {
            assert!(refused(&own, text).is_some(), "{text}");
        }
    }
}
