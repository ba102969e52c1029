//! Hands the keys of TLS session tickets to the next process: in a pipe whose reading end is attached to a
//! word. A process of an older version reads only the word, and the kernel drops the pipe with its content.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use zeroize::Zeroizing;

/// More than any version sends. Less than a pipe holds, so writing never waits.
const MAX_KEYS: usize = 1024;

/// Writes the keys into a pipe and returns its reading end.
///
/// # Errors
/// If there are too many bytes, or no pipe can be created.
pub(super) fn enclose(keys: &[u8]) -> io::Result<OwnedFd> {
    if keys.len() > MAX_KEYS {
        return Err(ErrorKind::InvalidInput.into());
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(keys)?;
    Ok(reader.into())
}

/// Reads the keys from a pipe that was attached to a word. Never waits.
///
/// # Errors
/// If the descriptor is not such a pipe, or there are too many bytes.
pub(super) fn disclose(pipe: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let mut pipe = File::from(pipe);
    // Allocates the full size at once, because a growing vector would leave copies behind.
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
