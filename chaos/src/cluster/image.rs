//! A disk of a node's own that can lose its power: an ext4 image on a loop device. Needs root.
//!
//! Shutting the file system down without flushing its journal loses everything that was not synced, as a power failure
//! does; what reached the image is in the host's hands, and stays.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use rustix::ioctl::{self, Opcode, Setter};

use super::tool;

/// Size of the sparse image: some hours of log.
const IMAGE_BYTES: u64 = 2 << 30;
/// Seconds between two commits of the journal by itself: longer than any run between two power failures, so that nothing
/// that was not synced reaches the disk by the way.
const COMMIT_SECONDS: u32 = 300;
/// `EXT4_IOC_SHUTDOWN` of Linux, with its flag that loses the journal's unwritten end.
const SHUTDOWN: Opcode = 0x8004_587d;
const NO_LOG_FLUSH: u32 = 2;

/// One mounted image.
#[derive(Debug)]
pub(crate) struct Image {
    file: PathBuf,
    mount: PathBuf,
}

impl Image {
    /// Why there can be none here, if so.
    pub(crate) fn unavailable() -> Option<String> {
        tool::missing("a file system that can be shut down", &["mkfs.ext4", "mount", "umount"])
    }

    /// Makes an image at `file` and mounts it at `mount`.
    ///
    /// # Errors
    /// When a tool fails; it says why.
    pub(crate) fn create(file: PathBuf, mount: PathBuf) -> anyhow::Result<Self> {
        fs_err::File::create(&file)?.set_len(IMAGE_BYTES)?;
        fs_err::create_dir_all(&mount)?;
        let mut mkfs = Command::new("mkfs.ext4");
        tool::run(mkfs.args(["-q", "-F", "-E", "lazy_itable_init=1", "-m", "0"]).arg(&file))?;
        let image = Self { file, mount };
        image.mount()?;
        Ok(image)
    }

    /// Cuts the power: every write fails from here on, and what was not synced is gone.
    ///
    /// Whoever writes there must stand still before. A sync that is under way just then may be told that all is well, although
    /// what it was to write is lost (seen with Linux 6.18, once in thirty times): nobody lives to hear that when the power
    /// fails, and nobody may here.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn cut_power(&self) -> anyhow::Result<()> {
        let folder = fs_err::File::open(&self.mount)?;
        #[expect(
            unsafe_code,
            reason = "an ioctl has no safe form; this one reads a 32-bit flag and keeps nothing"
        )]
        // SAFETY: the opcode is EXT4_IOC_SHUTDOWN, which takes a pointer to a u32.
        let done = unsafe { ioctl::ioctl(folder.file().as_fd(), Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        done.with_context(|| format!("cannot shut down the file system at {}", self.mount.display()))
    }

    /// Power is back: the file system is mounted anew, as after a start of the machine. Nobody may use it meanwhile.
    ///
    /// # Errors
    /// When a tool fails.
    pub(crate) fn restore_power(&self) -> anyhow::Result<()> {
        tool::run(Command::new("umount").arg(&self.mount))?;
        self.mount()
    }

    fn mount(&self) -> anyhow::Result<()> {
        let options = format!("loop,noatime,commit={COMMIT_SECONDS}");
        let mut mount = Command::new("mount");
        tool::run(mount.args(["-t", "ext4", "-o", &options]).arg(&self.file).arg(&self.mount)).map(drop)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).output();
    }
}
