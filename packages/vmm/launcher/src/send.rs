//! Hands an open file to a running monitor: the message goes out on descriptor 3 with the descriptor attached to it.

use std::fs::OpenOptions;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::control;
use crate::failure::{Failure, Step};

/// Makes the file `path`, which must not exist, and sends it along with `message`.
pub fn new_file(message: &str, path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    let file = file.step("send", &path.to_string_lossy())?;
    // SAFETY: the caller hands descriptor 3 to this process for this purpose.
    let socket = unsafe { BorrowedFd::borrow_raw(control::DESCRIPTOR) };
    let descriptors = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let bytes = message.as_bytes();
    let sent =
        sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty()).step("send", "descriptor 3")?;
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(Failure::new("send", "the monitor took only part of the message")),
    }
}
