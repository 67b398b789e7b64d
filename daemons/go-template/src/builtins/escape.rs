//! `html`, `js` and `urlquery`.

use crate::budget::Budget;
use crate::runes::{is_print, runes};
use crate::value::CallError;

pub(super) fn html(text: &[u8], budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(*other),
        }
    }
    budget.fits(out.len())?;
    Ok(out)
}

pub(super) fn js(text: &[u8], budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut out = Vec::with_capacity(text.len());
    for (at, rune, width) in runes(text) {
        match rune {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\'' => out.extend_from_slice(b"\\'"),
            '"' => out.extend_from_slice(b"\\\""),
            '<' | '>' | '&' | '=' | '\0'..' ' => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(rune)).as_bytes());
            }
            rune if rune.is_ascii() || is_print(rune) => {
                out.extend_from_slice(text.get(at..at + width).unwrap_or_default());
            }
            rune => out.extend_from_slice(format!("\\u{:04X}", u32::from(rune)).as_bytes()),
        }
    }
    budget.fits(out.len())?;
    Ok(out)
}

pub(super) fn urlquery(text: &[u8], budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            letter if letter.is_ascii_alphanumeric() => out.push(*letter),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    budget.fits(out.len())?;
    Ok(out)
}
