//! What a container has written and the host has perhaps not got yet: a bounded ring with byte offsets.
//!
//! Bytes are let go of only when the host must have them: it asked to continue behind them, or so much has been
//! sent after them that flow control proves they were taken (`UNPROVEN`). Else the ring fills, the pipes are no longer
//! read, and the container waits. A reader that is slower than the one that decides sees a gap, and is told.

use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes kept, counting what each chunk costs beside its text.
pub const CAPACITY: usize = 1024 * 1024;
/// More than the host's HTTP/2 window (64 KiB) and its stream buffers can hold unread.
const UNPROVEN: u64 = 256 * 1024;
const CHUNK_COST: usize = 96;
/// Less room than this is none, or a full ring would be fed in crumbs.
const MIN_READ: usize = 4096;

#[derive(Clone, Debug)]
pub struct Chunk {
    /// Frame type: stdout or stderr.
    pub kind: u8,
    pub offset: u64,
    pub epoch_micros: u64,
    pub data: Bytes,
}

impl Chunk {
    pub fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }

    fn cost(&self) -> usize {
        CHUNK_COST + self.data.len()
    }
}

#[derive(Default)]
pub struct Ring {
    chunks: VecDeque<Chunk>,
    cost: usize,
    end: u64,
    /// The host has everything before this.
    safe: u64,
    open_pipes: usize,
}

impl Ring {
    pub fn new(open_pipes: usize) -> Ring {
        Ring { open_pipes, ..Ring::default() }
    }

    /// Bytes produced over the container's life.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Nothing will be added.
    pub fn is_closed(&self) -> bool {
        self.open_pipes == 0
    }

    pub fn close_pipe(&mut self) {
        self.open_pipes = self.open_pipes.saturating_sub(1);
    }

    /// How many bytes may be read from a pipe now.
    pub fn room(&mut self) -> usize {
        while self.cost + CHUNK_COST + MIN_READ > CAPACITY {
            match self.chunks.front() {
                Some(first) if first.end() <= self.safe => {
                    self.cost -= first.cost();
                    self.chunks.pop_front();
                }
                _ => return 0,
            }
        }
        CAPACITY - self.cost - CHUNK_COST
    }

    pub fn push(&mut self, kind: u8, epoch_micros: u64, data: Bytes) {
        let chunk = Chunk { kind, offset: self.end, epoch_micros, data };
        self.end = chunk.end();
        self.cost += chunk.cost();
        self.chunks.push_back(chunk);
    }

    /// What is at `offset`, or at the first offset behind it that is still kept.
    pub fn at(&self, offset: u64) -> Option<Chunk> {
        let index = self.chunks.partition_point(|chunk| chunk.end() <= offset);
        let chunk = self.chunks.get(index)?;
        let skipped = offset.saturating_sub(chunk.offset);
        Some(Chunk { offset: chunk.offset + skipped, data: chunk.data.slice(skipped as usize..), ..chunk.clone() })
    }

    /// The host asked for what follows `offset`.
    pub fn confirm(&mut self, offset: u64) {
        self.safe = self.safe.max(offset.min(self.end));
    }

    /// Flow control has let everything before `offset` go to the host.
    pub fn sent(&mut self, offset: u64) {
        self.confirm(offset.saturating_sub(UNPROVEN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudo_random::PseudoRandom;

    fn fill(ring: &mut Ring) -> u64 {
        let mut bytes = 0;
        loop {
            let count = ring.room().min(MIN_READ);
            if count == 0 {
                return bytes;
            }
            ring.push(1, 0, Bytes::from(vec![b'x'; count]));
            bytes += count as u64;
        }
    }

    #[test]
    fn an_unread_ring_fills_and_then_takes_nothing() {
        let mut ring = Ring::new(1);
        let bytes = fill(&mut ring);
        assert!(bytes as usize > CAPACITY * 9 / 10 && bytes as usize <= CAPACITY);
        assert_eq!(ring.at(0).unwrap().offset, 0);
    }

    #[test]
    fn single_bytes_are_bounded_too() {
        let mut ring = Ring::new(1);
        while ring.room() > 0 {
            ring.push(1, 0, Bytes::from_static(b"x"));
        }
        assert!(ring.chunks.len() <= CAPACITY / CHUNK_COST);
    }

    #[test]
    fn what_may_be_in_flight_is_kept_and_what_is_proven_goes() {
        let mut ring = Ring::new(1);
        let end = fill(&mut ring);
        ring.sent(UNPROVEN / 2);
        assert_eq!(ring.room(), 0);
        ring.sent(end);
        assert!(ring.room() > 0);
        fill(&mut ring);
        assert!(ring.at(0).unwrap().offset > 0);
        assert_eq!(ring.at(end - UNPROVEN).unwrap().offset, end - UNPROVEN);
    }

    #[test]
    fn a_reader_with_offsets_sees_every_byte_once_whatever_the_chunks() {
        let mut random = PseudoRandom::new(3);
        let mut ring = Ring::new(1);
        let (mut written, mut seen) = (Vec::new(), Vec::new());
        for step in 0..20_000u32 {
            if random.below(3) > 0 {
                let count = ring.room().min(1 + random.below(9000) as usize);
                if count > 0 {
                    let data = vec![step as u8; count];
                    written.extend_from_slice(&data);
                    ring.push(1, 0, Bytes::from(data));
                }
            } else if let Some(chunk) = ring.at(seen.len() as u64) {
                assert_eq!(chunk.offset, seen.len() as u64);
                // A reader that stopped in the middle of a chunk comes back there.
                let count = 1 + random.below(chunk.data.len() as u64) as usize;
                seen.extend_from_slice(&chunk.data[..count]);
                if random.below(2) == 0 { ring.sent(seen.len() as u64) } else { ring.confirm(seen.len() as u64) }
            }
        }
        assert!(seen.len() > 2 * CAPACITY, "{}", seen.len());
        assert_eq!(seen[..], written[..seen.len()]);
    }
}
