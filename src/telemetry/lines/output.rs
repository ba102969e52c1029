//! Where lines are written, and what happens to them when that fails.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::ioctl_fionbio;

use super::Trouble;

/// A file, a pipe or a terminal.
pub(in crate::telemetry) struct Output {
    stream: Box<dyn Write + Send>,
    /// Whether the last line was written in part.
    is_torn: bool,
    /// Lines lost since writing began to fail; 0 if it does not fail.
    lost: u64,
}

impl Output {
    /// Opens `file` for appending, readable by user and group; standard output if `None`.
    pub fn open(file: Option<&Path>) -> io::Result<Self> {
        let Some(path) = file else { return Ok(Self::new(io::stdout())) };
        // Without O_NONBLOCK, opening a FIFO waits for a process that reads from it.
        let no_wait = OFlags::NONBLOCK.bits().cast_signed();
        let opened =
            OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(no_wait).open(path);
        let waiting = opened.and_then(|file| {
            ioctl_fionbio(&file, false)?;
            Ok(file)
        });
        waiting.map(Self::new).map_err(|error| {
            io::Error::new(error.kind(), format!("{} cannot be opened: {error}", path.display()))
        })
    }

    pub fn new(stream: impl Write + Send + 'static) -> Self {
        Self { stream: Box::new(stream), is_torn: false, lost: 0 }
    }

    /// Writes whole lines. Returns how many of them were lost. Reports the first failure, and the
    /// first success after it.
    pub fn write(&mut self, lines: &[u8], report: fn(Trouble)) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        match self.try_write(lines) {
            Ok(()) => {
                if self.lost > 0 {
                    report(Trouble::Over { lost: self.lost });
                    self.lost = 0;
                }
                0
            }
            Err((error, written)) => {
                if self.lost == 0 {
                    report(Trouble::Fails(error));
                }
                let lost = lines[written..].iter().filter(|byte| **byte == b'\n').count() as u64;
                self.is_torn = written > 0 && lines[written - 1] != b'\n' || written == 0 && self.is_torn;
                self.lost += lost;
                lost
            }
        }
    }

    /// The error comes with the number of bytes written before it.
    fn try_write(&mut self, lines: &[u8]) -> Result<(), (io::Error, usize)> {
        if self.is_torn {
            self.stream.write_all(b"\n").map_err(|error| (error, 0))?;
            self.is_torn = false;
        }
        let mut written = 0;
        while written < lines.len() {
            match self.stream.write(&lines[written..]) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), written)),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err((error, written)),
            }
        }
        self.stream.flush().map_err(|error| (error, written))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// A disk with this many bytes of room.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (content, room) = &mut *self.0.lock();
            let count = bytes.len().min(*room);
            *room -= count;
            content.extend_from_slice(&bytes[..count]);
            if count == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_tears_no_later_one() {
        let disk = Disk(Arc::new(Mutex::new((Vec::new(), 6))));
        let mut output = Output::new(disk.clone());
        assert_eq!(output.write(b"one\ntwo\nthree\n", |_| {}), 2);
        assert_eq!(output.write(b"four\n", |_| {}), 1);
        disk.0.lock().1 = 100;
        assert_eq!(output.write(b"five\n", |_| {}), 0);
        assert_eq!(output.write(b"six\n", |_| {}), 0);
        assert_eq!(String::from_utf8_lossy(&disk.0.lock().0), "one\ntw\nfive\nsix\n");
    }

    #[test]
    fn a_file_is_appended_to_and_not_world_readable() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("approov-gateway-output-{}.log", std::process::id()));
        for line in ["one\n", "two\n"] {
            let mut output = Output::open(Some(&path)).expect("opens");
            assert_eq!(output.write(line.as_bytes(), |_| {}), 0);
        }
        assert_eq!(std::fs::read_to_string(&path).expect("written"), "one\ntwo\n");
        let mode = std::fs::metadata(&path).expect("written").permissions().mode();
        assert_eq!(mode & 0o007, 0);
        std::fs::remove_file(&path).expect("ours");
        let error = Output::open(Some(Path::new("/nonexistent/log"))).err().expect("no folder");
        assert!(error.to_string().starts_with("/nonexistent/log cannot be opened"), "{error}");
    }
}
