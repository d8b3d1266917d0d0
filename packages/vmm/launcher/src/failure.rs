//! What went wrong, for the caller: the step's name, the system's error number (0: none) and one line of text.

use std::fmt::Display;

pub struct Failure {
    pub step: &'static str,
    pub errno: i32,
    pub message: String,
}

impl Failure {
    pub fn new(step: &'static str, message: impl Into<String>) -> Self {
        Failure { step, errno: 0, message: message.into() }
    }
}

/// Names the step and the object a foreign error belongs to.
pub trait Step<T> {
    fn step(self, step: &'static str, object: &str) -> Result<T, Failure>;
}

impl<T, E: SystemError> Step<T> for Result<T, E> {
    fn step(self, step: &'static str, object: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure { step, errno: error.number(), message: format!("{object}: {error}") })
    }
}

pub trait SystemError: Display {
    fn number(&self) -> i32;
}

impl SystemError for std::io::Error {
    fn number(&self) -> i32 {
        self.raw_os_error().unwrap_or(0)
    }
}

impl SystemError for rustix::io::Errno {
    fn number(&self) -> i32 {
        self.raw_os_error()
    }
}
