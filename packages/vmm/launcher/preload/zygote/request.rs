//! Requests for clones: how they lie in a datagram (see `protocol.rs`), and how one is received.

use core::ffi::{c_int, c_void};
use core::mem::{offset_of, size_of};

use crate::calls;
use crate::protocol::{MAGIC, MOST_DESCRIPTORS};

/// Where requests come in.
pub const REQUESTS_DESCRIPTOR: c_int = 8;
/// The largest that the sender makes is a tenth of it.
const REQUEST_BYTES: usize = 64 * 1024;

#[repr(C)]
pub struct Header {
    magic: u64,
    pub file_bytes: u64,
    pub user: u32,
    actions: u32,
    instructions: u32,
    /// Of the name, which comes last.
    name_bytes: u32,
}

/// What becomes of one of the zygote's descriptors.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    pub number: c_int,
    pub kind: u32,
    /// Of the descriptors that came along, or a mask of signals.
    pub index: u32,
}

/// `sock_filter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction {
    code: u16,
    jumps: [u8; 2],
    pub value: u32,
}

#[repr(C)]
struct Buffer {
    base: *mut u8,
    length: usize,
}

#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: u32,
    buffers: *mut Buffer,
    buffer_count: usize,
    control: *mut u8,
    control_length: usize,
    flags: c_int,
}

#[repr(C, align(8))]
struct Space<const BYTES: usize>([u8; BYTES]);

const CONTROL_HEADER_BYTES: usize = 16;
const CONTROL_BYTES: usize = CONTROL_HEADER_BYTES + 4 * (MOST_DESCRIPTORS + 1);

/// Only the main thread's handler uses them, and no other signal interrupts that.
static mut REQUEST: Space<REQUEST_BYTES> = Space([0; REQUEST_BYTES]);
static mut CONTROL: Space<CONTROL_BYTES> = Space([0; CONTROL_BYTES]);

pub struct Request {
    pub header: *const Header,
    /// The first one is the conversation with whoever wants the clone.
    pub descriptors: &'static [c_int],
    pub actions: &'static [Action],
    pub filter: &'static mut [Instruction],
    pub name: &'static [u8],
}

/// The next datagram. None when it is no request.
pub fn receive() -> calls::Result<Option<Request>> {
    const CLOSE_ON_EXEC: usize = 0x4000_0000;
    const DONT_WAIT: usize = 0x40;
    let (request, control) = (&raw mut REQUEST, &raw mut CONTROL);
    let mut buffer = Buffer { base: request.cast(), length: REQUEST_BYTES };
    let mut message = Message {
        name: core::ptr::null_mut(),
        name_length: 0,
        buffers: &mut buffer,
        buffer_count: 1,
        control: control.cast(),
        control_length: CONTROL_BYTES,
        flags: 0,
    };
    // SAFETY: both buffers are ours, and as long as they are said to be.
    let length = unsafe { calls::receive(REQUESTS_DESCRIPTOR, (&raw mut message).cast(), CLOSE_ON_EXEC | DONT_WAIT) }?;
    // SAFETY: the kernel has just written them, and nobody else does until the next call.
    let (bytes, control) = unsafe {
        let bytes = core::slice::from_raw_parts_mut(request.cast::<u8>(), length);
        (bytes, core::slice::from_raw_parts(control.cast::<u8>().cast_const(), message.control_length))
    };
    let descriptors = received(control);
    let parsed = parse(bytes, descriptors);
    if parsed.is_none() {
        for descriptor in descriptors {
            calls::close(*descriptor);
        }
    }
    Ok(parsed)
}

fn received(control: &'static [u8]) -> &'static [c_int] {
    let Some(length) = control.first_chunk::<8>().map(|bytes| usize::from_le_bytes(*bytes)) else { return &[] };
    let payload = control.get(CONTROL_HEADER_BYTES..length).unwrap_or(&[]);
    // SAFETY: numbers are wherever the alignment is right, and the buffer's is.
    unsafe { payload.align_to::<c_int>() }.1
}

fn parse(bytes: &'static mut [u8], descriptors: &'static [c_int]) -> Option<Request> {
    if bytes.len() < size_of::<Header>() {
        return None;
    }
    let (head, rest) = bytes.split_at_mut(size_of::<Header>());
    let header = head.as_ptr().cast::<Header>();
    // SAFETY: as long as a header, aligned as the buffer is, and every value is one.
    let (magic, actions, instructions, name_bytes) = unsafe {
        let header = &*header;
        (header.magic, header.actions as usize, header.instructions as usize, header.name_bytes as usize)
    };
    let action_bytes = actions.checked_mul(size_of::<Action>())?;
    let filter_bytes = instructions.checked_mul(size_of::<Instruction>())?;
    let described_bytes = action_bytes.checked_add(filter_bytes)?.checked_add(name_bytes)?;
    if magic != MAGIC || rest.len() != described_bytes || instructions > 4096 {
        return None;
    }
    let (actions, rest) = rest.split_at_mut(action_bytes);
    let (filter, name) = rest.split_at_mut(filter_bytes);
    // SAFETY: plain numbers; headers, actions and instructions are multiples of four bytes.
    let (actions, filter) = unsafe { (actions.align_to::<Action>().1, filter.align_to_mut::<Instruction>().1) };
    Some(Request { header, descriptors, actions, filter, name })
}

const _: () = assert!(offset_of!(Message, control_length) == 40 && size_of::<Header>() == 32);
