//! Ports for servers that are started with one, and again with the same.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below those that the kernel gives to connections: what it gives out between this call and the start of the server,
/// or while the server is down, is another one.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A port of 127.0.0.1 that is free, and that no connection gets.
pub fn free_port() -> u16 {
    loop {
        let random = RandomState::new().hash_one(()) % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(random).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
