//! One child process: its descriptors, the functions that it knows, and its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::frame::{self, Answer};
use super::functions::KnownFunctions;
use super::output::OutputPipe;
use super::zygote::{Exit, ForkError, Forked, ZygoteHandle};

/// A 1 MiB payload then takes a few writes; 64 children use what the kernel lets one user have (`pipe-user-pages-soft`).
const PIPE_BUFFER_BYTES: usize = 256 << 10;
/// What one read of a child's answers takes: all of a common one.
const READ_BYTES: usize = 4096;
/// For questions that are answered at once.
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Output is read in pieces of a pipe's capacity.
const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;
/// A forked child answers in 3 ms, an executed one in 0.1 s; the rest is for a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long a child that was asked to end may take before it is killed.
const EXIT_DEADLINE: Duration = Duration::from_secs(1);
/// How long to wait for news of the end of a child whose pipe is closed or that was killed.
const REAP_DEADLINE: Duration = Duration::from_secs(10);

/// A living child. Dropping it kills its process group.
///
/// It is spoken to through two pipes, not one socket: whoever reads from a socket wakes up the other side, which may then
/// write, although it only waits for something to read. That is two process switches for each task.
#[derive(Debug)]
pub(super) struct Child {
    commands: pipe::Sender,
    /// Not a `pipe::Receiver`, which cannot be told that it has been emptied.
    answers: AsyncFd<OwnedFd>,
    pub(super) stdout: OutputPipe,
    pub(super) stderr: OutputPipe,
    /// What was received and not yet understood.
    pub(super) received: BytesMut,
    pub(super) known: KnownFunctions,
    pub(super) tasks: u64,
    /// Highest resident size of its life that it has reported, in bytes.
    pub(super) peak_rss: u64,
    pub(super) output_buffer: Box<[u8]>,
    process: Process,
}

/// The process itself, as far as it can be signalled and waited for.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    pidfd: Option<OwnedFd>,
    exit: oneshot::Receiver<Exit>,
    ended: Option<End>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its parent reaped it.
    Exit(Exit),
    /// The zygote died, and the child with it.
    ZygoteDied,
}

impl Child {
    /// Makes a child and waits until it answers.
    pub(super) async fn start(zygote: &ZygoteHandle) -> Result<Self, ForkError> {
        let (commands, commands_end) = command_pipe()?;
        let (answers, answers_end) = answer_pipe()?;
        let (stdout, stdout_end) = output_pipe()?;
        let (stderr, stderr_end) = output_pipe()?;
        let ends = [commands_end, answers_end, stdout_end, stderr_end];
        let Forked { pid, pidfd, exit } = zygote.fork(ends).await?;
        let mut child = Self {
            commands,
            answers,
            stdout,
            stderr,
            received: BytesMut::with_capacity(16 * 1024),
            known: KnownFunctions::default(),
            tasks: 0,
            peak_rss: 0,
            output_buffer: vec![0; OUTPUT_BUFFER_BYTES].into_boxed_slice(),
            process: Process { pid, pidfd, exit, ended: None },
        };
        match tokio::time::timeout(READY_DEADLINE, child.hand_shake()).await {
            Ok(Ok(())) => Ok(child),
            Ok(Err(_)) | Err(_) => Err(ForkError::Silent),
        }
    }

    async fn hand_shake(&mut self) -> io::Result<()> {
        let mut ping = frame::ping();
        while !ping.is_empty() {
            self.commands.writable().await?;
            self.send_some(std::slice::from_mut(&mut ping))?;
        }
        loop {
            drop(self.answers.readable().await?);
            match self.receive(0)? {
                Some(Answer::Pong) => return Ok(()),
                Some(_) => return Err(io::Error::other("the child spoke before it was asked")),
                None => {}
            }
        }
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Sends what the pipe takes now, and shortens `parts` by it.
    pub(super) fn send_some(&self, parts: &mut [Bytes]) -> io::Result<()> {
        loop {
            let slices: Vec<io::IoSlice<'_>> =
                parts.iter().filter(|part| !part.is_empty()).map(|part| io::IoSlice::new(part)).collect();
            if slices.is_empty() {
                return Ok(());
            }
            let mut sent = match self.commands.try_write_vectored(&slices) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for part in parts.iter_mut() {
                let count = sent.min(part.len());
                // Not split_to alone: the sent half is dropped here.
                drop(part.split_to(count));
                sent -= count;
            }
        }
    }

    /// Receives what is there and returns the next whole frame, if there is one.
    pub(super) fn receive(&mut self, result_bytes_max: usize) -> io::Result<Option<Answer>> {
        let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            if let Some(answer) = frame::decode(&mut self.received, result_bytes_max).map_err(broken)? {
                return Ok(Some(answer));
            }
            match self.read_some() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once.
    ///
    /// A read that does not fill its buffer has emptied the pipe, and the pipe then counts as not ready until the kernel
    /// says otherwise. That saves the read that would find out.
    fn read_some(&mut self) -> io::Result<usize> {
        let filled = self.received.len();
        // More if a large frame is on its way, for which `decode` has made room.
        let room = (self.received.capacity() - filled).clamp(READ_BYTES, PIPE_BUFFER_BYTES);
        self.received.resize(filled + room, 0);
        let mut count = 0;
        let read = self.answers.try_io(Interest::READABLE, |answers| {
            count = rustix::io::read(answers, &mut self.received[filled..])?;
            let emptied = 0 < count && count < room;
            if emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        self.received.truncate(filled + count);
        if count > 0 { Ok(count) } else { read.map(|()| 0) }
    }

    /// Keeps all output that was written so far.
    ///
    /// Asks the kernel, because tokio may not have learnt yet that there is some; and about both pipes at once, because
    /// most tasks print nothing.
    pub(super) fn drain_output(&mut self) {
        let mut pipes = [PollFd::new(&self.stdout, PollFlags::IN), PollFd::new(&self.stderr, PollFlags::IN)];
        let ready = poll(&mut pipes, Some(&NO_WAIT));
        // If the question fails, the reads will tell.
        let [stdout, stderr] = pipes.map(|pipe| ready.is_err() || !pipe.revents().is_empty());
        if stdout {
            self.stdout.drain(&mut self.output_buffer);
        }
        if stderr {
            self.stderr.drain(&mut self.output_buffer);
        }
    }

    /// Signals the child alone.
    pub(super) fn signal(&self, signal: Signal) {
        self.process.signal(signal, false);
    }

    /// Signals the child and everything in its process group.
    pub(super) fn signal_group(&self, signal: Signal) {
        self.process.signal(signal, true);
    }

    /// Waits for the end, killing first whatever still runs. `None` if there is no news of it.
    pub(super) async fn reap(&mut self) -> Option<End> {
        // A child that only lost its pipe is of no use any more either. A short wait lets one that
        // is dying already report its own cause.
        if let Ok(end) = tokio::time::timeout(Duration::from_millis(200), self.process.end()).await {
            return Some(end);
        }
        self.signal_group(Signal::KILL);
        tokio::time::timeout(REAP_DEADLINE, self.process.end()).await.ok()
    }

    /// Asks the child to end, and makes sure that it does.
    pub(super) async fn retire(mut self) {
        // An error means that the child is gone.
        let _ = self.send_some(&mut [frame::exit()]);
        if tokio::time::timeout(EXIT_DEADLINE, self.process.end()).await.is_err() {
            self.signal_group(Signal::KILL);
        }
    }

    /// Whether it has not ended yet, as far as has been heard. One that has just died shows it when it is sent a task.
    pub(super) fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    /// Parts of the child that are waited on together.
    pub(super) fn split(&mut self) -> Parts<'_> {
        let Self { commands, answers, stdout, stderr, output_buffer, process, .. } = self;
        Parts { commands, answers, stdout, stderr, output_buffer, process }
    }
}

/// See [`Child::split`].
pub(super) struct Parts<'a> {
    pub(super) commands: &'a pipe::Sender,
    pub(super) answers: &'a AsyncFd<OwnedFd>,
    pub(super) stdout: &'a mut OutputPipe,
    pub(super) stderr: &'a mut OutputPipe,
    pub(super) output_buffer: &'a mut [u8],
    pub(super) process: &'a mut Process,
}

impl Process {
    /// Resolves when the child has ended. Safe to cancel.
    pub(super) async fn end(&mut self) -> End {
        if self.ended.is_none() {
            let news = (&mut self.exit).await;
            self.note(news.ok());
        }
        self.ended.expect("set by the line above")
    }

    fn is_alive(&mut self) -> bool {
        if self.ended.is_none() {
            match self.exit.try_recv() {
                Ok(exit) => self.note(Some(exit)),
                Err(TryRecvError::Closed) => self.note(None),
                Err(TryRecvError::Empty) => {}
            }
        }
        self.ended.is_none()
    }

    fn note(&mut self, exit: Option<Exit>) {
        if exit.is_none() {
            // The kernel has killed the child with its zygote; what it left behind is for us to kill.
            if let Some(pid) = self.raw_pid() {
                // Fails if it left nothing.
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        self.ended = Some(exit.map_or(End::ZygoteDied, End::Exit));
    }

    fn signal(&self, signal: Signal, group: bool) {
        let Some(pid) = self.raw_pid().filter(|_| self.ended.is_none() && !self.has_exited()) else {
            return;
        };
        // All of these fail only if the child ends meanwhile.
        let _ = match (&self.pidfd, group) {
            // Not by pidfd: that would reach the child alone. The check above says that it has not
            // exited, so its number still means this group; once it has, the zygote kills the group.
            (_, true) => kill_process_group(pid, signal),
            (Some(pidfd), false) => pidfd_send_signal(pidfd.as_fd(), signal),
            (None, false) => kill_process(pid, signal),
        };
    }

    /// A pidfd becomes readable when its process has exited, reaped or not.
    fn has_exited(&self) -> bool {
        let Some(pidfd) = &self.pidfd else {
            return false;
        };
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&NO_WAIT)).is_ok_and(|ready| ready > 0)
    }

    fn raw_pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL, true);
    }
}

fn command_pipe() -> io::Result<(pipe::Sender, OwnedFd)> {
    let (theirs, ours) = large_pipe()?;
    Ok((pipe::Sender::from_owned_fd(ours)?, theirs))
}

fn answer_pipe() -> io::Result<(AsyncFd<OwnedFd>, OwnedFd)> {
    let (ours, theirs) = large_pipe()?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
    // SAFETY: an `OwnedFd` is open for as long as it lives, is always the same descriptor, and lives in the `AsyncFd`.
    let answers = unsafe { AsyncFd::register_with_interest(ours, Interest::READABLE) };
    Ok((answers?, theirs))
}

/// The reading end and the writing end.
fn large_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // A user who has many pipes gets no larger ones; those of the usual size do too.
    let _ = fcntl_setpipe_size(&writer, PIPE_BUFFER_BYTES);
    Ok((reader, writer))
}

fn output_pipe() -> io::Result<(OutputPipe, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((OutputPipe::new(reader)?, writer))
}
