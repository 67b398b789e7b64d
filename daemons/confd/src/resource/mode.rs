//! Who may do what with a file.

use std::fmt;

/// Permission bits, at most 0777: confd drops the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// What a new file has when nothing is said: everybody may read it.
    pub const USUAL: Self = Self(0o644);

    /// From a file's status.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// The nine bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Parses a number with its base in front, as Go does: `0640`, `0o640`, `0x1a0`, `0b110100000`.
    ///
    /// A number without one would be decimal: confd makes 0200 of `640`. Nobody means that, so it is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let plain = text.replace('_', "");
        let lower = plain.to_ascii_lowercase();
        let number = if let Some(digits) = lower.strip_prefix("0x") {
            u32::from_str_radix(digits, 16)
        } else if let Some(digits) = lower.strip_prefix("0b") {
            u32::from_str_radix(digits, 2)
        } else if let Some(digits) = lower.strip_prefix("0o").or_else(|| lower.strip_prefix('0')) {
            u32::from_str_radix(if digits.is_empty() { "0" } else { digits }, 8)
        } else {
            let octal = u32::from_str_radix(&lower, 8).is_ok();
            let became = lower.parse().map(Self::from_bits);
            return Err(match became {
                Ok(became) if octal => {
                    format!("{text:?} is a decimal number, which means {became} as a mode; write \"0{text}\"")
                }
                Ok(became) => format!(
                    "{text:?} is a decimal number, which means {became} as a mode; write it in octal, as \"0640\""
                ),
                Err(_) => format!("{text:?} is no mode; write it in octal, as \"0640\""),
            });
        };
        number
            .map(Self::from_bits)
            .map_err(|_| format!("{text:?} is no mode; write it in octal, as \"0640\""))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_its_base_in_front() {
        for (text, expected) in [
            ("0640", 0o640),
            ("0o640", 0o640),
            ("0x1a0", 0o640),
            ("0b110100000", 0o640),
            ("00644", 0o644),
            ("0", 0),
            ("04755", 0o755),
        ] {
            assert_eq!(Mode::parse(text), Ok(Mode(expected)), "{text}");
        }
    }

    #[test]
    fn what_looks_decimal_is_refused_with_what_it_would_become() {
        let error = Mode::parse("640").unwrap_err();
        assert!(error.contains("0200") && error.contains("\"0640\""), "{error}");
        for text in ["", "rw", "0689", "-1", "999", "0xfffffffff"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
