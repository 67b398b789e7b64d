//! Constants, as Go's strconv reads them.

use super::token::Kind;
use super::tree::Number;
use crate::error::quoted;
use crate::quote::{RuneError, unquote_rune};
use crate::value::Complex;

/// The constant that a token is.
pub(crate) fn parse(pos: usize, text: &[u8], kind: Kind) -> Result<Number, String> {
    let shown = String::from_utf8_lossy(text).into_owned();
    if kind == Kind::CharConstant {
        let rune = unquote_rune(text).map_err(|error| match error {
            RuneError::Syntax => "invalid syntax".to_owned(),
            RuneError::Malformed => format!("malformed character constant: {shown}"),
        })?;
        return Ok(Number {
            pos,
            text: shown,
            int: Some(i64::from(rune)),
            uint: Some(u64::from(rune)),
            float: Some(f64::from(rune)),
            complex: None,
        });
    }
    if kind == Kind::Complex || shown.ends_with('i') {
        let complex = complex(&shown).ok_or_else(|| format!("illegal number syntax: {}", quoted(&shown)))?;
        // Without an imaginary part it serves as any other number where one is asked for.
        let float = (complex.imaginary == 0.0).then_some(complex.real);
        let (int, uint) = (float.and_then(exact_int), float.and_then(exact_uint));
        return Ok(Number { pos, text: shown, int, uint, float, complex: Some(complex) });
    }
    let unsigned = unsigned(&shown);
    let signed = signed(&shown);
    let mut number =
        Number { pos, text: shown.clone(), int: signed, uint: unsigned, float: None, complex: None };
    if let Some(int) = signed {
        if int == 0 {
            number.uint = Some(0);
        }
        number.float = Some(to_float(int));
    } else if let Some(uint) = unsigned {
        number.float = Some(uint_to_float(uint));
    } else if let Some(float) = float(&shown) {
        if !shown.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", quoted(&shown)));
        }
        number.float = Some(float);
        number.int = exact_int(float);
        number.uint = exact_uint(float);
    } else {
        return Err(format!("illegal number syntax: {}", quoted(&shown)));
    }
    Ok(number)
}

#[expect(clippy::cast_precision_loss, reason = "Go rounds a constant in the same way")]
fn to_float(int: i64) -> f64 {
    int as f64
}

#[expect(clippy::cast_precision_loss, reason = "Go rounds a constant in the same way")]
fn uint_to_float(uint: u64) -> f64 {
    uint as f64
}

/// 2^63.
const INT_BOUND: f64 = 9_223_372_036_854_775_808.0;

#[expect(clippy::cast_possible_truncation, reason = "the range was checked, the fraction too")]
fn exact_int(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && (-INT_BOUND..INT_BOUND).contains(&float)).then_some(float as i64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range was checked, the fraction too"
)]
fn exact_uint(float: f64) -> Option<u64> {
    (float.fract() == 0.0 && (0.0..2.0 * INT_BOUND).contains(&float)).then_some(float as u64)
}

/// As `strconv.ParseUint(text, 0, 64)`.
fn unsigned(text: &str) -> Option<u64> {
    if !underscores_good(text) {
        return None;
    }
    let plain = text.replace('_', "");
    let (radix, digits) = match plain.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, plain.get(2..)?),
        Some("0o") => (8, plain.get(2..)?),
        Some("0b") => (2, plain.get(2..)?),
        _ if plain.starts_with('0') && plain.len() > 1 => (8, plain.get(1..)?),
        _ => (10, plain.as_str()),
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// As `strconv.ParseInt(text, 0, 64)`.
fn signed(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let magnitude = unsigned(digits)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// As `strconv.ParseFloat(text, 64)`, for what the lexer lets through. Too big is no number, too small is zero.
fn float(text: &str) -> Option<f64> {
    if !underscores_good(text) {
        return None;
    }
    let plain = text.replace('_', "");
    let (sign, magnitude) = match plain.as_bytes().first()? {
        b'-' => (-1.0, plain.get(1..)?),
        b'+' => (1.0, plain.get(1..)?),
        _ => (1.0, plain.as_str()),
    };
    let value = if magnitude.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x")) {
        hex_float(magnitude.get(2..)?)?
    } else {
        if !magnitude.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return None;
        }
        magnitude.parse().ok()?
    };
    value.is_finite().then_some(sign * value)
}

/// `2i`, or the sum of a real number and an imaginary one.
fn complex(text: &str) -> Option<Complex> {
    let text = text.strip_suffix('i')?;
    let exponents = if text
        .trim_start_matches(['+', '-'])
        .get(..2)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"))
    {
        ['p', 'P']
    } else {
        ['e', 'E']
    };
    // The sign between them is neither the first one nor that of an exponent.
    let between = text
        .match_indices(['+', '-'])
        .map(|(at, _)| at)
        .find(|at| *at > 0 && !text.get(..*at).is_some_and(|before| before.ends_with(exponents)));
    let (real, imaginary) = match between {
        Some(at) => (float(text.get(..at)?)?, float(text.get(at..)?)?),
        None => (0.0, float(text)?),
    };
    Some(Complex { real, imaginary })
}

/// A mantissa in hexadecimal and a binary exponent, which is required.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    if !exponent.trim_start_matches(['+', '-']).starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits = 0_u128;
    let mut shift = exponent;
    let mut sticky = false;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = digit.to_digit(16)?;
        if bits >> 120 == 0 {
            bits = bits << 4 | u128::from(digit);
            if index >= whole.len() {
                shift = shift.checked_sub(4)?;
            }
        } else {
            sticky |= digit != 0;
            if index < whole.len() {
                shift = shift.checked_add(4)?;
            }
        }
    }
    Some(scale(bits | u128::from(sticky), shift))
}

/// `bits` × 2^`shift`, rounded once.
#[expect(clippy::cast_precision_loss, reason = "rounding is the purpose")]
fn scale(bits: u128, shift: i32) -> f64 {
    let value = bits as f64;
    // In two steps, so that neither power leaves the range on the way.
    let half = shift / 2;
    value * 2_f64.powi(half) * 2_f64.powi(shift - half)
}

/// Underscores only between digits, or between a base prefix and a digit; without any, everything is good.
fn underscores_good(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    let lower = text.to_ascii_lowercase();
    let prefixed = ["0x", "0o", "0b"].iter().any(|prefix| lower.starts_with(prefix));
    let hex = lower.starts_with("0x");
    let (mut last, rest) =
        if prefixed { ('0', lower.get(2..).unwrap_or_default()) } else { ('^', lower.as_str()) };
    for rune in rest.chars() {
        if rune.is_ascii_digit() || (hex && rune.is_ascii_hexdigit()) {
            last = '0';
        } else if rune == '_' {
            if last != '0' {
                return false;
            }
            last = '_';
        } else {
            if last == '_' {
                return false;
            }
            last = '!';
        }
    }
    last != '_'
}
