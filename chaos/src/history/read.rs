//! Reading a history line by line: a long one never lies in memory as a whole.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::{Event, FORMAT, Line, Run};

/// What is wrong with a history, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ReadError {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    #[source]
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file cannot be read.
    #[error("failed to read the file: {0}")]
    Io(#[from] io::Error),
    /// It is not what a line looks like.
    #[error("not an event of a history: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The file begins with something else.
    #[error("a history begins with its run header; this file does not")]
    NoHeader,
    /// There are two headers: files were put together, or a harness wrote into an old one.
    #[error("a second run header; one file holds one run")]
    SecondHeader,
    /// Written by another version.
    #[error("format {0} of the history is not {FORMAT}, which this version reads")]
    Format(u32),
    /// The clock is not monotonic.
    #[error("time goes back from {before} to {at} microseconds")]
    TimeGoesBack {
        /// The time of the line before.
        before: u64,
        /// The time of this one.
        at: u64,
    },
    /// An event contradicts one before it.
    #[error("{0}")]
    Contradiction(String),
}

/// The lines of a history, after its header.
///
/// A last line without its end is dropped: the harness was killed while it wrote. Everything else that is not as it should
/// be is an error, since a check of half a history would prove nothing.
pub struct Reader<R> {
    input: R,
    run: Run,
    buffer: Vec<u8>,
    line: u64,
    before: u64,
    torn: bool,
}

impl Reader<BufReader<fs_err::File>> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, or does not begin with a header of this version.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file =
            fs_err::File::open(path).map_err(|error| ReadError { line: 1, reason: Reason::Io(error) })?;
        Self::new(BufReader::with_capacity(1 << 18, file))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When there is none of this version.
    pub fn new(input: R) -> Result<Self, ReadError> {
        let run = Run {
            format: 0,
            seed: 0,
            nodes: Vec::new(),
            commit: String::new(),
            command: String::new(),
            started: String::new(),
            settings: std::collections::BTreeMap::new(),
            faults: Vec::new(),
            skipped: std::collections::BTreeMap::new(),
            wanted: super::Wanted::default(),
            without_log: false,
        };
        let mut reader = Self { input, run, buffer: Vec::new(), line: 0, before: 0, torn: false };
        match reader.read_line() {
            Err(error) => Err(error),
            Ok(Some(Line { event: Event::Run(run), .. })) if run.format == FORMAT => {
                reader.run = run;
                Ok(reader)
            }
            Ok(Some(Line { event: Event::Run(run), .. })) => Err(reader.wrong(Reason::Format(run.format))),
            Ok(Some(_) | None) => {
                reader.line = 1;
                Err(reader.wrong(Reason::NoHeader))
            }
        }
    }

    /// The header.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Number of the line that was read last, from 1.
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Whether a torn last line was dropped.
    pub const fn torn(&self) -> bool {
        self.torn
    }

    /// An error about the line that was read last.
    pub const fn wrong(&self, reason: Reason) -> ReadError {
        ReadError { line: self.line, reason }
    }

    fn read_line(&mut self) -> Result<Option<Line>, ReadError> {
        self.buffer.clear();
        let read = self.input.read_until(b'\n', &mut self.buffer);
        self.line += 1;
        let read = read.map_err(|error| self.wrong(Reason::Io(error)))?;
        let whole = self.buffer.pop_if(|byte| *byte == b'\n').is_some();
        if !whole {
            self.torn = read > 0;
            self.line -= 1;
            return Ok(None);
        }
        let line: Line =
            serde_json::from_slice(&self.buffer).map_err(|error| self.wrong(Reason::Malformed(error)))?;
        if line.at < self.before {
            return Err(self.wrong(Reason::TimeGoesBack { before: self.before, at: line.at }));
        }
        self.before = line.at;
        Ok(Some(line))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Line, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_line().transpose()?;
        Some(match next {
            Ok(Line { event: Event::Run(_), .. }) => Err(self.wrong(Reason::SecondHeader)),
            other => other,
        })
    }
}
