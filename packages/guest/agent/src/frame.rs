//! Frames of the streaming bodies: type (u8), length (u32, big endian), payload.

use bytes::{BufMut, Bytes, BytesMut};

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const EXIT: u8 = 3;
pub const RESIZE: u8 = 4;
pub const EXEC: u8 = 5;
pub const MARK: u8 = 6;
pub const STARTED: u8 = 7;
pub const REFUSED: u8 = 8;
pub const END: u8 = 255;

pub const MAX_PAYLOAD: usize = 64 * 1024;
const HEADER: usize = 5;

#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub payload: Bytes,
}

pub fn header(kind: u8, length: usize) -> [u8; HEADER] {
    debug_assert!(length <= MAX_PAYLOAD);
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [kind, a, b, c, d]
}

pub fn encode(kind: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER + payload.len());
    out.put_slice(&header(kind, payload.len()));
    out.put_slice(payload);
    out.freeze()
}

/// Cuts a stream of bytes into frames, however the bytes arrive.
#[derive(Default)]
pub struct Decoder {
    pending: BytesMut,
}

#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Decoder {
    pub fn push(&mut self, data: &[u8]) {
        self.pending.extend_from_slice(data);
    }

    pub fn next(&mut self) -> Result<Option<Frame>, TooLong> {
        let Some(&[kind, a, b, c, d]) = self.pending.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MAX_PAYLOAD {
            return Err(TooLong);
        }
        if self.pending.len() < HEADER + length {
            return Ok(None);
        }
        let mut frame = self.pending.split_to(HEADER + length).freeze();
        Ok(Some(Frame { kind, payload: frame.split_off(HEADER) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudo_random::PseudoRandom;

    #[test]
    fn frames_survive_every_way_of_cutting() {
        let mut random = PseudoRandom::new(1);
        for _ in 0..200 {
            let frames: Vec<(u8, Vec<u8>)> = (0..random.below(6))
                .map(|_| (random.below(256) as u8, (0..random.below(300)).map(|_| random.below(256) as u8).collect()))
                .collect();
            let wire: Vec<u8> = frames.iter().flat_map(|(kind, payload)| encode(*kind, payload)).collect();
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
                rest = later;
                decoder.push(now);
                while let Some(frame) = decoder.next().unwrap() {
                    seen.push((frame.kind, frame.payload.to_vec()));
                }
            }
            assert_eq!(seen, frames);
        }
    }

    #[test]
    fn a_frame_longer_than_the_bound_is_refused_before_it_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&[STDIN, 0, 1, 0, 1]);
        assert_eq!(decoder.next(), Err(TooLong));
    }
}
