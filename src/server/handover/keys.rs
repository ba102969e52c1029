//! The keys of TLS session tickets, on their way from one process to the next: in a pipe whose
//! reading end goes with a word. A process that knows nothing of it reads the word alone, and the
//! kernel drops the pipe with all that is in it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use zeroize::Zeroizing;

/// More than any version sends, and less than fits into a pipe, so that writing never waits.
const MAX_KEYS: usize = 1024;

/// A pipe with the keys in it, at its end.
///
/// # Errors
/// When there are too many bytes, or no pipe can be had.
pub(super) fn enclose(keys: &[u8]) -> io::Result<OwnedFd> {
    if keys.len() > MAX_KEYS {
        return Err(ErrorKind::InvalidInput.into());
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(keys)?;
    Ok(reader.into())
}

/// The keys out of what came with a word. It never waits.
///
/// # Errors
/// When it is no such pipe, or there are too many bytes.
pub(super) fn disclose(pipe: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let mut pipe = File::from(pipe);
    // All the room at once, so that no copy is left behind.
    let mut keys = Zeroizing::new(vec![0; MAX_KEYS + 1]);
    let mut length = 0;
    loop {
        match pipe.read(&mut keys[length..]) {
            Ok(0) if length > MAX_KEYS => return Err(ErrorKind::InvalidData.into()),
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    keys.truncate(length);
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_arrive_as_they_were() {
        for keys in [&[][..], &[7], &[1; 73], &[0xff; MAX_KEYS]] {
            assert_eq!(*disclose(enclose(keys).expect("a pipe")).expect("keys"), keys);
        }
        assert!(enclose(&[0; MAX_KEYS + 1]).is_err());
    }

    #[test]
    fn whatever_else_comes_is_an_error_and_holds_up_nothing() {
        let (endless, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(&[1; 4 * MAX_KEYS]).expect("there is room");
        assert_eq!(disclose(endless.into()).expect_err("too many").kind(), ErrorKind::InvalidData);
        let (open, _writer) = io::pipe().expect("a pipe");
        assert_eq!(disclose(open.into()).expect_err("no end").kind(), ErrorKind::WouldBlock);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        assert!(disclose(listener.into()).is_err());
        let (_reader, writer) = io::pipe().expect("a pipe");
        assert!(disclose(writer.into()).is_err());
    }
}
