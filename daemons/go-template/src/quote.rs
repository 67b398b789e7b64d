//! Go's string and character literals, written and read.

use crate::runes::{decode, is_print, runes};

/// Which characters are escaped when quoting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Only what can't be printed.
    Unprintable,
    /// Everything outside ASCII too.
    NonAscii,
}

/// A double-quoted Go string.
pub(crate) fn quote(bytes: &[u8], escape: Escape) -> Vec<u8> {
    let mut out = vec![b'"'];
    for (at, rune, width) in runes(bytes) {
        if rune == char::REPLACEMENT_CHARACTER && width == 1 {
            let byte = bytes.get(at).copied().unwrap_or_default();
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            push_escaped(&mut out, rune, '"', escape);
        }
    }
    out.push(b'"');
    out
}

/// A single-quoted Go character.
pub(crate) fn quote_char(rune: char, escape: Escape) -> Vec<u8> {
    let mut out = vec![b'\''];
    push_escaped(&mut out, rune, '\'', escape);
    out.push(b'\'');
    out
}

fn push_escaped(out: &mut Vec<u8>, rune: char, quote: char, escape: Escape) {
    if rune == quote || rune == '\\' {
        out.push(b'\\');
        push_char(out, rune);
        return;
    }
    if is_print(rune) && (rune.is_ascii() || escape == Escape::Unprintable) {
        push_char(out, rune);
        return;
    }
    let escaped = match rune {
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        rune if rune < ' ' || rune == '\u{7f}' => format!("\\x{:02x}", u32::from(rune)),
        rune if u32::from(rune) < 0x1_0000 => format!("\\u{:04x}", u32::from(rune)),
        rune => format!("\\U{:08x}", u32::from(rune)),
    };
    out.extend_from_slice(escaped.as_bytes());
}

pub(crate) fn push_char(out: &mut Vec<u8>, rune: char) {
    out.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Whether a string can stand between backquotes: one line, no control characters but tab.
pub(crate) fn can_backquote(bytes: &[u8]) -> bool {
    runes(bytes).all(|(_, rune, width)| {
        !(width == 1 && rune == char::REPLACEMENT_CHARACTER)
            && rune != '\u{feff}'
            && rune != '`'
            && rune != '\u{7f}'
            && (rune >= ' ' || rune == '\t')
    })
}

/// The bytes that a string literal with its quotes stands for; `None` when it isn't one.
pub(crate) fn unquote(literal: &[u8]) -> Option<Vec<u8>> {
    let (quote, rest) = literal.split_first()?;
    match quote {
        b'`' => {
            let body = rest.strip_suffix(b"`")?;
            (!body.contains(&b'`')).then(|| body.iter().copied().filter(|byte| *byte != b'\r').collect())
        }
        b'"' => unquote_escaped(rest),
        _ => None,
    }
}

fn unquote_escaped(mut rest: &[u8]) -> Option<Vec<u8>> {
    // Without escapes the text has to be UTF-8; with one, bytes that are not become U+FFFD.
    let body = rest.strip_suffix(b"\"")?;
    if !body.contains(&b'\\')
        && !body.contains(&b'"')
        && !body.contains(&b'\n')
        && std::str::from_utf8(body).is_ok()
    {
        return Some(body.to_vec());
    }
    let mut out = Vec::with_capacity(rest.len());
    loop {
        match rest.first()? {
            b'"' => return (rest.len() == 1).then_some(out),
            b'\n' => return None,
            _ => {}
        }
        let (piece, tail) = unquote_char(rest, b'"')?;
        match piece {
            Piece::Byte(byte) => out.push(byte),
            Piece::Rune(rune) => push_char(&mut out, rune),
        }
        rest = tail;
    }
}

/// The value of a character literal with its quotes.
pub(crate) fn unquote_rune(literal: &[u8]) -> Result<u32, RuneError> {
    let rest = literal.strip_prefix(b"'").ok_or(RuneError::Syntax)?;
    let (piece, tail) = unquote_char(rest, b'\'').ok_or(RuneError::Syntax)?;
    if tail != b"'" {
        return Err(RuneError::Malformed);
    }
    Ok(match piece {
        Piece::Byte(byte) => u32::from(byte),
        Piece::Rune(rune) => u32::from(rune),
    })
}

/// What is wrong with a character literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuneError {
    /// An escape that doesn't exist.
    Syntax,
    /// More than one character.
    Malformed,
}

#[derive(Debug, Clone, Copy)]
enum Piece {
    Byte(u8),
    Rune(char),
}

fn unquote_char(text: &[u8], quote: u8) -> Option<(Piece, &[u8])> {
    let (&first, rest) = text.split_first()?;
    if first == quote {
        return None;
    }
    if !first.is_ascii() {
        let (rune, width) = decode(text)?;
        return Some((Piece::Rune(rune), text.get(width..)?));
    }
    if first != b'\\' {
        return Some((Piece::Byte(first), rest));
    }
    let (&escape, rest) = rest.split_first()?;
    let simple = |byte| Some((Piece::Byte(byte), rest));
    match escape {
        b'a' => simple(7),
        b'b' => simple(8),
        b'f' => simple(12),
        b'n' => simple(b'\n'),
        b'r' => simple(b'\r'),
        b't' => simple(b'\t'),
        b'v' => simple(11),
        b'\\' => simple(b'\\'),
        b'\'' | b'"' if escape == quote => simple(quote),
        b'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            Some((Piece::Byte(u8::try_from(value).ok()?), rest))
        }
        b'u' | b'U' => {
            let (value, rest) = digits(rest, if escape == b'u' { 4 } else { 8 }, 16)?;
            Some((Piece::Rune(char::from_u32(value)?), rest))
        }
        b'0'..=b'7' => {
            let (value, rest) = digits(text.get(1..)?, 3, 8)?;
            Some((Piece::Byte(u8::try_from(value).ok()?), rest))
        }
        _ => None,
    }
}

fn digits(text: &[u8], count: usize, radix: u32) -> Option<(u32, &[u8])> {
    let mut value = 0_u32;
    for byte in text.get(..count)? {
        value = value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)?;
    }
    Some((value, text.get(count..)?))
}
