//! Signal names.

use crate::failure::{Failure, Outcome};

const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`, `SIGRTMAX-2`: what an image may give as its stop signal.
pub fn number(text: &str) -> Outcome<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time =
        |rest: &str, base: i32| if rest.is_empty() { Some(base) } else { Some(base + rest.parse::<i32>().ok()?) };
    let found = NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .or_else(|| name.strip_prefix("RTMIN").and_then(|rest| real_time(rest, RTMIN)))
        .or_else(|| name.strip_prefix("RTMAX").and_then(|rest| real_time(rest, RTMAX)))
        .or_else(|| name.parse().ok());
    found
        .filter(|number| (1..=RTMAX).contains(number))
        .ok_or_else(|| Failure::bad(format!("there is no signal {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn every_spelling_of_a_stop_signal_is_understood() {
        for (text, expected) in
            [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("SIGRTMAX-2", 62), ("RTMIN", 34)]
        {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        for text in ["", "SIG", "0", "65", "-1", "SIGNOPE", "SIGRTMIN+99"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
