//! What a refused request is told: `AgentFailure` of the contract.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Code {
    BadRequest,
    NotFound,
    AlreadyExists,
    CommandNotFound,
    CommandNotExecutable,
    UserNotFound,
    DiskNotFound,
    MountFailed,
    NoSpace,
    NotRunning,
    Internal,
}

const CODES: [Code; 11] = [
    Code::BadRequest,
    Code::NotFound,
    Code::AlreadyExists,
    Code::CommandNotFound,
    Code::CommandNotExecutable,
    Code::UserNotFound,
    Code::DiskNotFound,
    Code::MountFailed,
    Code::NoSpace,
    Code::NotRunning,
    Code::Internal,
];

impl Code {
    pub fn http_status(self) -> u16 {
        match self {
            Code::BadRequest => 400,
            Code::NotFound => 404,
            Code::AlreadyExists | Code::NotRunning => 409,
            Code::Internal => 500,
            Code::NoSpace => 507,
            _ => 422,
        }
    }

    /// The byte by which a forked child names the code to its parent.
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    pub fn from_byte(byte: u8) -> Code {
        CODES.get(usize::from(byte)).copied().unwrap_or(Code::Internal)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    pub fn bad(message: impl Into<String>) -> Failure {
        Failure::new(Code::BadRequest, message)
    }
}

/// Says which step a system call failed in.
pub trait Step<T> {
    fn step(self, code: Code, what: &str) -> Outcome<T>;
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, code: Code, what: &str) -> Outcome<T> {
        self.map_err(|error| {
            let code = match error.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT) => Code::NoSpace,
                _ => code,
            };
            Failure::new(code, format!("{what}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_byte() {
        for code in CODES {
            assert_eq!(Code::from_byte(code.to_byte()), code);
        }
        assert_eq!(Code::from_byte(250), Code::Internal);
    }
}
