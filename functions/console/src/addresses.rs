//! The addresses from which the console may be used.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Blocks of addresses (CIDR). An empty list allows every address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedAddresses(Vec<IpNet>);

impl FromStr for AllowedAddresses {
    type Err = String;

    /// Reads a list such as `192.0.2.0/24,2001:db8::/32`; a single address is a block of one.
    fn from_str(text: &str) -> Result<Self, String> {
        let blocks = text.split(',').map(str::trim).map(|block| {
            let one = || block.parse::<IpAddr>().map(IpNet::from);
            let block = block.parse().or_else(|_| one());
            block.map_err(|_| "is not a list of address blocks such as 192.0.2.0/24".to_owned())
        });
        Ok(Self(blocks.collect::<Result<_, _>>()?))
    }
}

impl AllowedAddresses {
    /// Whether a client with this address is allowed. If the list has blocks, a missing or unreadable address is not.
    pub fn allow(&self, address: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let address = address.and_then(|address| address.parse::<IpAddr>().ok());
        // An IPv4 address may be written as an IPv6 one.
        let address = address.map(|address| address.to_canonical());
        address.is_some_and(|address| self.0.iter().any(|block| block.contains(&address)))
    }
}
