//! Early at boot the network may not be there yet: the kernel tells when an address comes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::error::SetupError;
use crate::gather::{Gathered, Roots};

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV4_ROUTE` of rtnetlink(7).
const ADDRESSES_AND_ROUTES: u32 = 0x10 | 0x40;

/// Gathers everything; as long as the machine has no address, waits for one, at most `within`.
pub fn gather_when_addressed(roots: &Roots, within: Duration) -> Result<Gathered, SetupError> {
    let until = Instant::now() + within;
    // Opened before the first look, so that no change falls between.
    let changes = changes().map_err(SetupError::Interfaces)?;
    loop {
        match roots.gather() {
            Err(SetupError::NoAddress) if Instant::now() < until => {
                wait_for_change(&changes, until).map_err(SetupError::Interfaces)?;
            }
            outcome => return outcome,
        }
    }
}

fn changes() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // No protocol is number 0, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, ADDRESSES_AND_ROUTES))?;
    Ok(socket)
}

/// Returns when something changed, and at the deadline.
fn wait_for_change(changes: &OwnedFd, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(changes, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    // What changed is seen by looking again. A full queue (ENOBUFS) also means that something changed.
    let mut buffer = [0u8; 8192];
    while recv(changes, &mut buffer, RecvFlags::empty()).is_ok() {}
    Ok(())
}
