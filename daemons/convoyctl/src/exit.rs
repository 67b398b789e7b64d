//! What the exit code says. One table for all commands.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// 0: it is done.
    Done,
    /// 3: a unit waits for a machine, did not become active, or the wait was bounded and over.
    Pending,
    /// 4: no such unit or machine.
    NotFound,
    /// 1: an error; the file, the store or the machine can't be used.
    Error,
    /// 2: a unit was rejected.
    Rejected,
    /// 64: the command line is wrong; `EX_USAGE` of sysexits(3).
    Usage,
    /// What a command on a machine ended with: ssh, status, journal.
    Remote(u8),
}

/// The table, for the help text and the man page.
pub const TABLE: [(&str, &str); 6] = [
    ("0", "Done."),
    ("1", "An error: a file, the store or a machine can't be used. The message says which, and what to do."),
    ("2", "A unit was rejected, whatever else. Nothing of the command was carried out, unless it says so."),
    (
        "3",
        "Something that should run waits for a machine, failed, or was not there yet when --block-attempts were over.",
    ),
    ("4", "No such unit or machine."),
    ("64", "The command line is wrong."),
];

impl Outcome {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Rejected => 2,
            Self::Pending => 3,
            Self::NotFound => 4,
            Self::Usage => 64,
            Self::Remote(code) => code,
        }
    }

    /// The graver of two outcomes, for commands that do one thing to several units.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graver_outcome_wins() {
        for (one, other, both) in [
            (Outcome::Done, Outcome::Done, Outcome::Done),
            (Outcome::Done, Outcome::Pending, Outcome::Pending),
            (Outcome::NotFound, Outcome::Pending, Outcome::NotFound),
            (Outcome::Rejected, Outcome::Error, Outcome::Rejected),
        ] {
            assert_eq!(one.and(other), both);
            assert_eq!(other.and(one), both);
        }
    }

    #[test]
    fn every_code_is_in_the_table() {
        let codes = [
            Outcome::Done,
            Outcome::Error,
            Outcome::Rejected,
            Outcome::Pending,
            Outcome::NotFound,
            Outcome::Usage,
        ];
        assert_eq!(codes.map(Outcome::code), TABLE.map(|(code, _)| code.parse::<u8>().unwrap()));
    }
}
