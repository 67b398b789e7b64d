//! Floating-point numbers as Go's strconv writes them.

/// The decimal digits of a number, without trailing zeros: 0.`digits` × 10^`point`.
#[derive(Debug)]
struct Decimal {
    digits: Vec<u8>,
    point: i32,
}

/// A double has at most 1074 digits behind the point; whatever is asked for beyond is zeros.
const ALL_DIGITS: usize = 1100;

/// As `strconv.FormatFloat(value, format, precision, 64)`; without a precision as many digits as it takes to
/// read the same number again.
pub(crate) fn format_float(value: f64, format: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let value = value.abs();
    let digits = match format {
        'b' => binary(value),
        'x' | 'X' => hexadecimal(value, precision, format == 'X'),
        'f' => fixed(value, precision),
        'e' | 'E' => {
            let decimal = Decimal::of(value, precision.map(|precision| precision + 1));
            let precision = precision.unwrap_or_else(|| decimal.digits.len().saturating_sub(1));
            scientific(&decimal, precision, format)
        }
        _ => general(value, format, precision),
    };
    format!("{sign}{digits}")
}

impl Decimal {
    /// Rounded to so many digits, or as few as identify the number.
    fn of(value: f64, digits: Option<usize>) -> Self {
        if value == 0.0 {
            return Self { digits: Vec::new(), point: 0 };
        }
        let text = match digits {
            Some(digits) => format!("{value:.*e}", digits.clamp(1, ALL_DIGITS) - 1),
            None => format!("{value:e}"),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        Self { digits, point: exponent.parse().unwrap_or(0) + 1 }
    }

    fn digit(&self, index: i32) -> char {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.digits.get(index))
            .map_or('0', |digit| char::from(*digit))
    }

    fn len(&self) -> i32 {
        i32::try_from(self.digits.len()).unwrap_or(i32::MAX)
    }
}

fn fixed(value: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return format!("{value}") };
    let mut text = format!("{value:.*}", precision.min(ALL_DIGITS));
    text.extend(std::iter::repeat_n('0', precision.saturating_sub(ALL_DIGITS)));
    text
}

fn scientific(decimal: &Decimal, precision: usize, format: char) -> String {
    let mut text = String::from(decimal.digit(0));
    if precision > 0 {
        text.push('.');
        let known = decimal.digits.get(1..).unwrap_or_default();
        text.extend(known.iter().take(precision).map(|digit| char::from(*digit)));
        text.extend(std::iter::repeat_n('0', precision.saturating_sub(known.len())));
    }
    let exponent = if decimal.digits.is_empty() { 0 } else { decimal.point - 1 };
    text.push(format);
    push_exponent(&mut text, exponent);
    text
}

/// With a sign and at least two digits.
fn push_exponent(text: &mut String, exponent: i32) {
    text.push(if exponent < 0 { '-' } else { '+' });
    let digits = format!("{:02}", exponent.unsigned_abs());
    text.push_str(&digits);
}

fn general(value: f64, format: char, precision: Option<usize>) -> String {
    let precision = precision.map(|precision| i32::try_from(precision.max(1)).unwrap_or(i32::MAX));
    let wanted = precision.and_then(|precision| usize::try_from(precision).ok());
    let decimal = Decimal::of(value, wanted);
    let shown = precision.unwrap_or(decimal.len());
    // From which exponent on it is written as a power of ten.
    let threshold = match precision {
        None => 6,
        Some(precision) if precision > decimal.len() && decimal.len() >= decimal.point => decimal.len(),
        Some(precision) => precision,
    };
    let exponent = decimal.point - 1;
    if exponent < -4 || exponent >= threshold {
        let digits = shown.min(decimal.len()).max(1) - 1;
        let letter = if format == 'G' { 'E' } else { 'e' };
        return scientific(&decimal, usize::try_from(digits).unwrap_or(0), letter);
    }
    let digits = if shown > decimal.point { decimal.len() } else { shown };
    let mut text: String = (0..decimal.point).map(|index| decimal.digit(index)).collect();
    if text.is_empty() {
        text.push('0');
    }
    let behind = digits - decimal.point;
    if behind > 0 {
        text.push('.');
        text.extend((0..behind).map(|index| decimal.digit(decimal.point + index)));
    }
    text
}

/// Mantissa (52 bits and the implied one) and exponent.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let mantissa = bits & ((1 << 52) - 1);
    if exponent == 0 { (mantissa, -1022) } else { (mantissa | 1 << 52, exponent - 1023) }
}

fn binary(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    let exponent = exponent - 52;
    format!("{mantissa}p{}{}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

fn hexadecimal(value: f64, precision: Option<usize>, upper: bool) -> String {
    const TOP: u64 = 1 << 60;
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    }
    mantissa <<= 8;
    while mantissa != 0 && mantissa & TOP == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = precision * 4;
        let extra = (mantissa << shift) & (TOP - 1);
        mantissa >>= 60 - shift;
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & (TOP << 1) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut text = format!("0x{}", mantissa >> 60 & 1);
    mantissa <<= 4;
    let nibble = |mantissa: u64| format!("{:x}", mantissa >> 60);
    match precision {
        None if mantissa != 0 => {
            text.push('.');
            while mantissa != 0 {
                text.push_str(&nibble(mantissa));
                mantissa <<= 4;
            }
        }
        Some(precision) if precision > 0 => {
            text.push('.');
            for _ in 0..precision {
                text.push_str(&nibble(mantissa));
                mantissa <<= 4;
            }
        }
        _ => {}
    }
    text.push('p');
    push_exponent(&mut text, exponent);
    if upper { text.to_uppercase() } else { text }
}
