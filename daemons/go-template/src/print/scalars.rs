//! Numbers and strings, with all verbs and flags.

use super::float::format_float;
use super::printer::Printer;
use crate::quote::{Escape, can_backquote, push_char, quote, quote_char};
use crate::runes::is_print;
use crate::value::{Complex, Value};

pub(super) fn integer(
    printer: &mut Printer,
    magnitude: u64,
    negative: bool,
    signed: bool,
    verb: char,
    value: &Value,
) {
    // The rune or code point verbs see the bits.
    let bits = if negative { magnitude.wrapping_neg() } else { magnitude };
    let escape = if printer.flags.plus { Escape::NonAscii } else { Escape::Unprintable };
    match verb {
        'v' if printer.flags.sharp_v && !signed => {
            let sharp = std::mem::replace(&mut printer.flags.sharp, true);
            digits(printer, magnitude, negative, 16, verb);
            printer.flags.sharp = sharp;
        }
        'v' | 'd' => digits(printer, magnitude, negative, 10, verb),
        'b' => digits(printer, magnitude, negative, 2, verb),
        'o' | 'O' => digits(printer, magnitude, negative, 8, verb),
        'x' | 'X' => digits(printer, magnitude, negative, 16, verb),
        'c' => {
            let mut out = Vec::new();
            push_char(&mut out, rune(bits));
            printer.pad(&out);
        }
        'q' => printer.pad(&quote_char(rune(bits), escape)),
        'U' => code_point(printer, bits),
        _ => printer.bad_verb(value, verb),
    }
}

fn rune(bits: u64) -> char {
    u32::try_from(bits).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn code_point(printer: &mut Printer, bits: u64) {
    let precision = printer.flags.precision.unwrap_or(0).max(4);
    let mut text = format!("U+{}", zero_filled(format!("{bits:X}"), precision));
    if printer.flags.sharp {
        let known = u32::try_from(bits).ok().and_then(char::from_u32);
        if let Some(rune) = known.filter(|rune| is_print(*rune)) {
            text.push_str(" '");
            text.push(rune);
            text.push('\'');
        }
    }
    printer.pad_with_spaces(text.as_bytes());
}

fn zero_filled(digits: String, length: usize) -> String {
    let missing = length.saturating_sub(digits.len());
    if missing == 0 { digits } else { "0".repeat(missing) + &digits }
}

fn digits(printer: &mut Printer, magnitude: u64, negative: bool, base: u32, verb: char) {
    let flags = printer.flags;
    let mut length = 0;
    if let Some(precision) = flags.precision {
        length = precision;
        // No digits at all for a zero of no digits.
        if precision == 0 && magnitude == 0 {
            printer.flags.zero = false;
            printer.write_padding(flags.width.unwrap_or(0));
            printer.flags.zero = flags.zero;
            return;
        }
    } else if let Some(width) = flags.width.filter(|_| flags.zero && !flags.minus) {
        length = width;
        if negative || flags.plus || flags.space {
            length = length.saturating_sub(1);
        }
    }
    let digits = match (base, verb) {
        (2, _) => format!("{magnitude:b}"),
        (8, _) => format!("{magnitude:o}"),
        (16, 'X') => format!("{magnitude:X}"),
        (16, _) => format!("{magnitude:x}"),
        _ => magnitude.to_string(),
    };
    let digits = zero_filled(digits, length);
    let mut prefix = String::new();
    if flags.sharp {
        prefix.push_str(match (base, verb) {
            (2, _) => "0b",
            (8, _) if !digits.starts_with('0') => "0",
            (16, 'X') => "0X",
            (16, _) => "0x",
            _ => "",
        });
    }
    if verb == 'O' {
        prefix.insert_str(0, "0o");
    }
    let sign = if negative {
        "-"
    } else if flags.plus {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    };
    printer.pad_with_spaces(format!("{sign}{prefix}{digits}").as_bytes());
}

pub(super) fn float(printer: &mut Printer, number: f64, verb: char, value: &Value) {
    let (format, precision) = match verb {
        'v' => ('g', None),
        'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
        'f' | 'e' | 'E' => (verb, Some(6)),
        'F' => ('f', Some(6)),
        _ => return printer.bad_verb(value, verb),
    };
    let flags = printer.flags;
    let precision = flags.precision.or(precision);
    let text = format_float(number, format, precision);
    let (mut sign, mut digits) = match text.split_at_checked(1) {
        Some(("-", digits)) => ('-', digits.to_owned()),
        Some(("+", digits)) => ('+', digits.to_owned()),
        _ => ('+', text),
    };
    if flags.space && sign == '+' && !flags.plus {
        sign = ' ';
    }
    if !number.is_finite() {
        // An infinity always has its sign.
        let unsigned = number.is_nan() && !flags.space && !flags.plus;
        let shown = if unsigned { digits } else { format!("{sign}{digits}") };
        return printer.pad_with_spaces(shown.as_bytes());
    }
    if flags.sharp && verb != 'b' {
        digits = with_point(&digits, format, precision);
    }
    if flags.plus || sign != '+' {
        let length = digits.len() + 1;
        if let Some(width) = flags.width.filter(|width| flags.zero && !flags.minus && *width > length) {
            printer.write_char(sign);
            printer.write_padding(width - length);
            return printer.write(digits.as_bytes());
        }
        return printer.pad(format!("{sign}{digits}").as_bytes());
    }
    printer.pad(digits.as_bytes());
}

/// Both parts as floats with the same flags, the second one always with its sign.
pub(super) fn complex(printer: &mut Printer, number: Complex, verb: char, value: &Value) {
    if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
        return printer.bad_verb(value, verb);
    }
    let plus = printer.flags.plus;
    printer.write(b"(");
    float(printer, number.real, verb, value);
    printer.flags.plus = true;
    float(printer, number.imaginary, verb, value);
    printer.write(b"i)");
    printer.flags.plus = plus;
}

/// The `#` flag: always a decimal point, and the trailing zeros that `%g` leaves out.
fn with_point(text: &str, format: char, precision: Option<usize>) -> String {
    let mut wanted = match format {
        'g' | 'G' | 'x' => precision.map_or(6, |precision| i64::try_from(precision).unwrap_or(i64::MAX)),
        _ => 0,
    };
    let hexadecimal = matches!(format, 'x' | 'X');
    let end = text
        .find(|letter| matches!(letter, 'p' | 'P') || (!hexadecimal && matches!(letter, 'e' | 'E')))
        .unwrap_or(text.len());
    let (number, tail) = text.split_at(end);
    let mut significant = false;
    for digit in number.chars().filter(|digit| *digit != '.') {
        significant |= digit != '0';
        wanted -= i64::from(significant);
    }
    let mut out = number.to_owned();
    if !number.contains('.') {
        if number == "0" {
            wanted -= 1;
        }
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', usize::try_from(wanted).unwrap_or(0)));
    out + tail
}

pub(super) fn string(printer: &mut Printer, text: &[u8], verb: char, value: &Value) {
    match verb {
        'v' if printer.flags.sharp_v => quoted(printer, text),
        'v' | 's' => {
            let text = printer.truncated(text);
            printer.pad(text);
        }
        'q' => quoted(printer, text),
        'x' | 'X' => hexadecimal(printer, text, verb == 'X'),
        _ => printer.bad_verb(value, verb),
    }
}

fn quoted(printer: &mut Printer, text: &[u8]) {
    let text = printer.truncated(text);
    if printer.flags.sharp && can_backquote(text) {
        return printer.pad(&[b"`", text, b"`"].concat());
    }
    let escape = if printer.flags.plus { Escape::NonAscii } else { Escape::Unprintable };
    printer.pad(&quote(text, escape));
}

fn hexadecimal(printer: &mut Printer, text: &[u8], upper: bool) {
    let flags = printer.flags;
    let text = flags.precision.and_then(|precision| text.get(..precision)).unwrap_or(text);
    let prefix = match (flags.sharp, upper) {
        (true, true) => "0X",
        (true, false) => "0x",
        _ => "",
    };
    let mut out = String::new();
    for (index, byte) in text.iter().enumerate() {
        if flags.space && index > 0 {
            out.push(' ');
        }
        if index == 0 || flags.space {
            out.push_str(prefix);
        }
        let digits = if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        out.push_str(&digits);
    }
    printer.pad(out.as_bytes());
}
