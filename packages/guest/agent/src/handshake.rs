//! How a session begins on a line that has no connections.
//!
//! The host writes `\nISOPOD/1 HELLO <32 hex>\n`; the agent throws away all before it, answers
//! `\nISOPOD/1 READY <the same>\n` and then takes nothing but the HTTP/2 preface, `\nISOPOD/1 START <8 hex>\n` and as
//! many bytes as those hexadecimal digits say (see `opening`), or a newer HELLO.
//! A host that came while the agent was still inside a session of a host that vanished is not heard: its bytes
//! complete a frame of the dead session. It therefore repeats its HELLO behind 17 KiB of 0xFF: they end
//! any frame that was cut (frames are at most 16 KiB) and then announce one of 16 MiB - 1, which is a connection error
//! in every state of HTTP/2. So the session dies, however it was cut, and no byte of a user's stream is ever taken
//! for a HELLO while a session lives.

const HELLO: &[u8] = b"\nISOPOD/1 HELLO ";
const READY: &[u8] = b"\nISOPOD/1 READY ";
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NONCE: usize = 32;
const LINE: usize = HELLO.len() + NONCE + 1;
const START: &[u8] = b"\nISOPOD/1 START ";
const START_LINE: usize = START.len() + 8 + 1;
/// Files of volumes included.
const MAX_START_BYTES: usize = 64 * 1024 * 1024;

/// What the bytes read so far say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Read more.
    More,
    /// Write this; then the preface may come.
    Answer(Vec<u8>),
    /// Do this; then HTTP/2 may begin.
    Start(Vec<u8>),
    /// HTTP/2 begins with these bytes.
    Session(Vec<u8>),
}

/// Scans what arrives outside a session. Holds at most one read and one line.
#[derive(Default)]
pub struct Handshake {
    pending: Vec<u8>,
    is_answered: bool,
}

impl Handshake {
    pub fn push(&mut self, data: &[u8]) {
        self.pending.extend_from_slice(data);
    }

    pub fn next(&mut self) -> Event {
        if self.is_answered {
            let seen = self.pending.len().min(PREFACE.len());
            if self.pending[..seen] == PREFACE[..seen] {
                if seen < PREFACE.len() {
                    return Event::More;
                }
                self.is_answered = false;
                return Event::Session(std::mem::take(&mut self.pending));
            }
            match self.start_length() {
                Some(length) if self.pending.len() < length => return Event::More,
                Some(length) => {
                    let rest = self.pending.split_off(length);
                    let mut body = std::mem::replace(&mut self.pending, rest);
                    body.drain(..START_LINE);
                    return Event::Start(body);
                }
                None => {}
            }
            self.is_answered = false;
        }
        if let Some(end) = last_hello_end(&self.pending) {
            // Older HELLOs in the same read are dead: their hosts have already written a newer one.
            let nonce = &self.pending[end - 1 - NONCE..end - 1];
            let answer = [READY, nonce, b"\n"].concat();
            self.pending.drain(..end);
            self.is_answered = true;
            return Event::Answer(answer);
        }
        let keep = self.pending.len().min(LINE - 1);
        self.pending.drain(..self.pending.len() - keep);
        Event::More
    }
}

impl Handshake {
    /// How long the START is that what is pending begins with, its line included; at least a byte more than there is
    /// while that cannot be told. None when it is something else.
    fn start_length(&self) -> Option<usize> {
        let seen = self.pending.len().min(START.len());
        if self.pending[..seen] != START[..seen] {
            return None;
        }
        let Some(line) = self.pending.get(..START_LINE) else { return Some(self.pending.len() + 1) };
        let digits = std::str::from_utf8(&line[START.len()..START_LINE - 1]).ok()?;
        let length = usize::from_str_radix(digits, 16).ok().filter(|length| *length <= MAX_START_BYTES)?;
        (line[START_LINE - 1] == b'\n').then_some(START_LINE + length)
    }
}

fn last_hello_end(data: &[u8]) -> Option<usize> {
    let mut from = data.len().checked_sub(LINE)?;
    loop {
        let line = &data[from..from + LINE];
        let (head, rest) = line.split_at(HELLO.len());
        if head == HELLO && rest[NONCE] == b'\n' && rest[..NONCE].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Some(from + LINE);
        }
        from = from.checked_sub(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudo_random::PseudoRandom;

    fn hello(nonce: &str) -> Vec<u8> {
        [HELLO, nonce.as_bytes(), b"\n"].concat()
    }

    fn ready(nonce: &str) -> Vec<u8> {
        [READY, nonce.as_bytes(), b"\n"].concat()
    }

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "ffffffffffffffffffffffffffffffff";

    #[test]
    fn a_hello_behind_any_rubbish_and_cut_anywhere_is_answered_and_the_preface_begins_the_session() {
        let mut random = PseudoRandom::new(7);
        for _ in 0..500 {
            let mut wire: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
            if random.below(2) == 0 {
                wire.extend_from_slice(&hello(B)[..random.below(LINE as u64) as usize]);
            }
            wire.extend(std::iter::repeat_n(0xff, random.below(100) as usize));
            wire.extend(hello(A));
            let mut handshake = Handshake::default();
            let mut answer = None;
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
                rest = later;
                handshake.push(now);
                if let Event::Answer(bytes) = handshake.next() {
                    answer = Some(bytes);
                }
            }
            assert_eq!(answer, Some(ready(A)));
            assert_eq!(handshake.next(), Event::More);
            let cut = random.below(PREFACE.len() as u64) as usize;
            handshake.push(&PREFACE[..cut]);
            assert_eq!(handshake.next(), Event::More);
            handshake.push(&PREFACE[cut..]);
            handshake.push(&hello(B));
            assert_eq!(handshake.next(), Event::Session([PREFACE, &hello(B)].concat()));
        }
    }

    #[test]
    fn only_the_last_of_several_hellos_is_answered() {
        let mut handshake = Handshake::default();
        handshake.push(&[hello(B), hello(A)].concat());
        assert_eq!(handshake.next(), Event::Answer(ready(A)));
    }

    #[test]
    fn a_newer_hello_replaces_one_whose_preface_has_not_come() {
        let mut handshake = Handshake::default();
        handshake.push(&hello(A));
        assert_eq!(handshake.next(), Event::Answer(ready(A)));
        handshake.push(&hello(B)[..9]);
        assert_eq!(handshake.next(), Event::More);
        handshake.push(&hello(B)[9..]);
        assert_eq!(handshake.next(), Event::Answer(ready(B)));
    }

    #[test]
    fn a_preface_that_no_hello_announced_begins_nothing() {
        let mut handshake = Handshake::default();
        handshake.push(PREFACE);
        assert_eq!(handshake.next(), Event::More);
    }

    #[test]
    fn a_start_is_taken_whole_however_it_is_cut_and_the_preface_may_follow() {
        let mut random = PseudoRandom::new(6);
        let body: Vec<u8> = (0..300).map(|_| random.below(256) as u8).collect();
        let start = [START, b"0000012c\n", &body].concat();
        for _ in 0..100 {
            let mut handshake = Handshake::default();
            handshake.push(&hello(A));
            assert_eq!(handshake.next(), Event::Answer(ready(A)));
            let mut rest = start.as_slice();
            while rest.len() > 1 {
                let (now, later) = rest.split_at(1 + random.below(rest.len() as u64 - 1) as usize);
                rest = later;
                handshake.push(now);
                assert_eq!(handshake.next(), Event::More);
            }
            handshake.push(rest);
            handshake.push(PREFACE);
            assert_eq!(handshake.next(), Event::Start(body.clone()));
            assert_eq!(handshake.next(), Event::Session(PREFACE.to_vec()));
        }
    }

    #[test]
    fn a_start_that_nothing_announced_or_that_is_too_long_is_rubbish() {
        let mut handshake = Handshake::default();
        handshake.push(&[START, b"00000001\nx"].concat());
        assert_eq!(handshake.next(), Event::More);
        handshake.push(&hello(A));
        assert_eq!(handshake.next(), Event::Answer(ready(A)));
        handshake.push(&[START, b"7fffffff\nx"].concat());
        assert_eq!(handshake.next(), Event::More);
        handshake.push(&hello(B));
        assert_eq!(handshake.next(), Event::Answer(ready(B)));
    }

    #[test]
    fn rubbish_is_not_kept() {
        let mut handshake = Handshake::default();
        for _ in 0..100 {
            handshake.push(&[0xff; 4096]);
            assert_eq!(handshake.next(), Event::More);
            assert!(handshake.pending.len() < LINE);
        }
    }
}
