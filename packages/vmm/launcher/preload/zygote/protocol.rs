//! What a request to a zygote is made of, for the launcher that writes it and the library that reads it: a header (the
//! magic number and the largest file, 8 bytes each; user, then numbers of actions, instructions and bytes of the name, 4
//! bytes each), the actions (descriptor, kind, index: 4 bytes each), the filter's instructions, the name.

pub const MAGIC: u64 = 0x0031_4554_4f47_595a;
/// The kernel hands over no more at once.
pub const MOST_DESCRIPTORS: usize = 253;
/// In the filter, in the place of the number of the process it is for.
pub const OWN_PROCESS: u32 = 0xf00d_f00d;

/// Kinds of actions. The index is of a descriptor that came along, or a mask of signals.
pub const REPLACE: u32 = 1;
pub const NEW_EVENT: u32 = 2;
pub const NEW_POLL: u32 = 3;
pub const NEW_SIGNALS: u32 = 4;
