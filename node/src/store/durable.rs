//! Files and folders that survive a power failure: written aside, synced, renamed, and the folder synced too.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use raftwork_kernel::mutants::mutant;

/// Replaces the file at `path` by one with `contents`, as one durable step.
///
/// # Errors
/// What the file system says; the old file is untouched then.
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    let mut file = fs_err::File::create(&aside)?;
    file.write_all(contents)?;
    file.sync_all()?;
    rename(&aside, path)
}

/// Where [`write()`] writes before it renames; a crash may leave it there.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_else(|| OsStr::new("file")).to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// Renames `from`, whose contents are durable, to `to` in the same folder, durably.
///
/// # Errors
/// What the file system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::rename(from, to)?;
    sync_folder(to.parent().unwrap_or_else(|| Path::new(".")))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the file system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    fs_err::File::open(path)?.sync_all()
}

/// Makes every file of a flat folder, and the folder itself, durable.
///
/// # Errors
/// What the file system says.
pub fn sync_files(path: &Path) -> io::Result<()> {
    if mutant("M20") {
        return Ok(());
    }
    for entry in fs_err::read_dir(path)? {
        fs_err::File::open(entry?.path())?.sync_all()?;
    }
    sync_folder(path)
}
