//! Messages between the agent and the zygote: JSON packets, some of which carry descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Deserialize;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Longest packet that the zygote sends; it cuts its texts so that they fit.
const PACKET_BYTES: usize = 32 * 1024;

/// What the zygote says.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Message {
    /// Its first words.
    Hello {
        python: (u32, u32, u32),
        dill: String,
        /// Modules that could not be preloaded.
        problems: Vec<String>,
        /// Why this interpreter cannot be used, or nothing.
        error: String,
    },
    /// A child was made; its pidfd comes along, where the kernel has pidfds.
    Forked { id: u64, pid: u32 },
    /// A child could not be made.
    Failed { id: u64, error: String },
    /// A child has died and was reaped.
    Exited { pid: u32, status: i32, peak_kib: u64 },
    /// Something that an operator should read.
    Notice { text: String },
}

/// A pair of connected packet sockets.
///
/// Ours is wrapped as a stream, for tokio has no type for packet sockets; only [`send_fork`] and
/// [`receive`] read and write it, and they keep packets apart.
pub(super) fn packet_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((UnixStream::from_std(ours.into())?, theirs))
}

/// Asks for a child with these descriptors for its commands, answers, stdout and stderr.
pub(super) async fn send_fork(socket: &UnixStream, id: u64, ends: &[OwnedFd; 4]) -> io::Result<()> {
    let text = format!("{{\"op\":\"fork\",\"id\":{id}}}");
    let fds = [ends[0].as_fd(), ends[1].as_fd(), ends[2].as_fd(), ends[3].as_fd()];
    socket
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let fits = ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            assert!(fits, "the space was made for four descriptors");
            let packet = [IoSlice::new(text.as_bytes())];
            sendmsg(socket, &packet, &mut ancillary, SendFlags::NOSIGNAL)?;
            Ok(())
        })
        .await
}

/// Receives one message and the descriptor that came with it. `None` when the zygote is gone. Safe
/// to cancel.
pub(super) async fn receive(socket: &UnixStream) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
    let mut packet = vec![0; PACKET_BYTES];
    let (count, fd) = socket.async_io(Interest::READABLE, || receive_packet(socket, &mut packet)).await?;
    if count == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&packet[..count])?, fd)))
}

fn receive_packet(socket: &UnixStream, packet: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            fd = fds.next();
        }
    }
    Ok((received.bytes, fd))
}
