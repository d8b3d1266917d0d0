//! What a clone, or its zygote in its place, says to whoever asked for it.

use core::ffi::c_int;

use crate::calls::{self, EPROTO};

const EPIPE: i32 = 32;

/// As the launcher does before it becomes a monitor: the caller records the process while nothing runs in it.
pub fn ask_to_go(conversation: c_int) -> calls::Result<()> {
    let mut line = Line::new();
    line.push(b"ready ");
    line.push_number(calls::process());
    line.push(b"\n");
    calls::write(conversation, line.bytes())?;
    let mut answer = [0; 3];
    let mut length = 0;
    while length < answer.len() {
        match calls::read(conversation, &mut answer[length..])? {
            0 => return Err(EPIPE),
            count => length += count,
        }
    }
    if &answer == b"go\n" { Ok(()) } else { Err(EPROTO) }
}

pub fn tell_failure(conversation: c_int, step: &[u8], error: i32) {
    let mut line = Line::new();
    line.push(b"error ");
    line.push(step);
    line.push(b" ");
    line.push_number(error as usize);
    line.push(b" the zygote could not make a clone\n");
    // Whoever is gone cannot be told.
    let _ = calls::write(conversation, line.bytes());
}

struct Line {
    text: [u8; 120],
    length: usize,
}

impl Line {
    fn new() -> Line {
        Line { text: [0; 120], length: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        for (to, from) in self.text[self.length..].iter_mut().zip(bytes) {
            *to = *from;
            self.length += 1;
        }
    }

    fn push_number(&mut self, number: usize) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }

    fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}
