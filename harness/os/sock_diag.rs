//! Which socket a connection on this machine comes from, asked of the kernel for the one connection alone: the table of all of
//! them in `/proc/net/tcp` grows by every connection of the last minute, and takes longer to read than many a connection lasts.
//!
//! Source: `linux/inet_diag.h`, `linux/sock_diag.h`.

use std::{io, net::SocketAddrV4, os::fd::AsRawFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `AF_INET`, `IPPROTO_TCP`.
const FAMILY_AND_PROTOCOL: [u8; 2] = [2, 6];
/// Of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Of `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// Where `struct inet_diag_msg` has the inode, after the header.
const INODE_AT: usize = HEADER_BYTES + 4 + 48 + 16;

/// The inode of the socket from which `caller` has connected to `called`; `None` once no process has it any more.
///
/// # Errors
/// The system's.
pub fn inode(caller: SocketAddrV4, called: SocketAddrV4) -> io::Result<Option<u64>> {
    let kernel =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    setsockopt(&kernel, ReceiveTimeout, &TimeVal::new(1, 0))?;
    send(kernel.as_raw_fd(), &request(caller, called), MsgFlags::empty())?;
    let mut answer = [0; 4096];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    // Anything else says that there is no such connection.
    let inode = answer.get(INODE_AT..INODE_AT + 4).filter(|_| kind == Some(BY_FAMILY));
    let inode = inode.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    Ok(inode.filter(|inode| *inode != 0).map(u64::from))
}

fn request(caller: SocketAddrV4, called: SocketAddrV4) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + REQUEST_BYTES);
    let length = u32::try_from(HEADER_BYTES + REQUEST_BYTES).unwrap_or(u32::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Sequence and sender: the kernel fills in the latter.
    bytes.extend([0; 8]);
    bytes.extend(FAMILY_AND_PROTOCOL);
    bytes.extend([0; 2]);
    // In whichever state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(caller.port().to_be_bytes());
    bytes.extend(called.port().to_be_bytes());
    for address in [caller, called] {
        bytes.extend(address.ip().octets());
        bytes.extend([0; 12]);
    }
    // Of any interface, with any cookie.
    bytes.extend([0; 4]);
    bytes.extend([u8::MAX; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_told_by_the_socket_that_it_comes_from() {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let call = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (SocketAddr::V4(caller), SocketAddr::V4(called)) = (call.local_addr().unwrap(), call.peer_addr().unwrap())
        else {
            unreachable!()
        };
        let link = std::fs::read_link(format!("/proc/self/fd/{}", call.as_raw_fd())).unwrap();
        let found = inode(caller, called).unwrap().unwrap();
        assert_eq!(link.to_str().unwrap(), format!("socket:[{found}]"));
        assert_eq!(inode(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), called).unwrap(), None);
    }
}
