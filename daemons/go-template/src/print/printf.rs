//! Format strings.

use super::printer::{Flags, Printer};
use crate::runes::decode;
use crate::value::Value;

/// Widths and precisions beyond are taken for mistakes.
const TOO_LARGE: i64 = 1_000_000;

struct Formatter<'a> {
    printer: &'a mut Printer,
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    /// The next operand.
    next: usize,
    /// Some operand was named by its number.
    reordered: bool,
    /// The number of the operand, where there was one, makes sense.
    good_number: bool,
    /// The piece before was such a number.
    after_number: bool,
}

/// Writes a format and its operands.
pub(super) fn run(printer: &mut Printer, format: &[u8], values: &[Value]) {
    let mut formatter = Formatter {
        printer,
        format,
        at: 0,
        values,
        next: 0,
        reordered: false,
        good_number: true,
        after_number: false,
    };
    while formatter.text() {
        if formatter.printer.is_full() {
            return;
        }
        if !formatter.verb() {
            formatter.printer.write(b"%!(NOVERB)");
            break;
        }
    }
    formatter.extra();
}

impl Formatter<'_> {
    fn byte(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// Writes up to the next percent sign and skips that; `false` at the end.
    fn text(&mut self) -> bool {
        let rest = self.format.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        self.printer.write(rest.get(..length).unwrap_or_default());
        self.at += length + 1;
        length < rest.len()
    }

    /// One verb with all that belongs to it; `false` when there is none.
    fn verb(&mut self) -> bool {
        self.good_number = true;
        self.after_number = false;
        self.printer.flags = Flags::default();
        self.flags();
        self.operand_number();
        self.width();
        self.precision();
        if !self.after_number {
            self.operand_number();
        }
        let rest = self.format.get(self.at..).unwrap_or_default();
        let Some((verb, width)) = decode(rest) else { return false };
        self.at += width;
        if verb == '%' {
            self.printer.write(b"%");
        } else if !self.good_number {
            self.bad(verb, b"(BADINDEX)");
        } else if let Some(value) = self.values.get(self.next) {
            let flags = &mut self.printer.flags;
            if matches!(verb, 'v' | 'w') {
                flags.sharp_v = std::mem::take(&mut flags.sharp);
                flags.plus_v = std::mem::take(&mut flags.plus);
            }
            self.printer.operand(value, verb);
            self.next += 1;
        } else {
            self.bad(verb, b"(MISSING)");
        }
        true
    }

    fn bad(&mut self, verb: char, why: &[u8]) {
        self.printer.write(b"%!");
        self.printer.write_char(verb);
        self.printer.write(why);
    }

    fn flags(&mut self) {
        while let Some(byte) = self.byte() {
            let flags = &mut self.printer.flags;
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    fn width(&mut self) {
        if self.byte() == Some(b'*') {
            self.at += 1;
            match self.int_operand() {
                Some(width) => {
                    if width < 0 {
                        self.printer.flags.minus = true;
                        self.printer.flags.zero = false;
                    }
                    self.printer.flags.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.printer.write(b"%!(BADWIDTH)"),
            }
            self.after_number = false;
        } else {
            self.printer.flags.width = self.number();
            if self.after_number && self.printer.flags.width.is_some() {
                self.good_number = false;
            }
        }
    }

    fn precision(&mut self) {
        if self.byte() != Some(b'.') || self.at + 1 >= self.format.len() {
            return;
        }
        self.at += 1;
        if self.after_number {
            self.good_number = false;
        }
        self.operand_number();
        if self.byte() == Some(b'*') {
            self.at += 1;
            let precision = self.int_operand();
            self.printer.flags.precision = precision.and_then(|precision| usize::try_from(precision).ok());
            if self.printer.flags.precision.is_none() {
                self.printer.write(b"%!(BADPREC)");
            }
            self.after_number = false;
        } else {
            self.printer.flags.precision = Some(self.number().unwrap_or(0));
        }
    }

    /// An operand that gives a width or precision.
    fn int_operand(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(int) => *int,
            Value::Uint(uint, _) => i64::try_from(*uint).ok()?,
            _ => return None,
        };
        (-TOO_LARGE..=TOO_LARGE).contains(&number).then_some(number)
    }

    /// A decimal number; one that is far too big takes the rest of the format with it, as in Go.
    fn number(&mut self) -> Option<usize> {
        let (number, end) = parse_number(self.format, self.at, self.format.len());
        self.at = end;
        number
    }

    /// `[2]`: the number of the operand to use.
    fn operand_number(&mut self) {
        self.after_number = false;
        if self.byte() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = self.format.get(self.at..).unwrap_or_default();
        let Some(close) = rest.iter().position(|byte| *byte == b']').filter(|_| rest.len() >= 3) else {
            self.good_number = false;
            self.at += 1;
            return;
        };
        let (number, end) = parse_number(rest, 1, close);
        self.at += close + 1;
        match number.filter(|_| end == close) {
            Some(number) if (1..=self.values.len()).contains(&number) => {
                self.next = number - 1;
                self.after_number = true;
            }
            Some(_) => {
                self.good_number = false;
                self.after_number = true;
            }
            None => self.good_number = false,
        }
    }

    /// Operands that no verb has taken.
    fn extra(&mut self) {
        let rest = self.values.get(self.next..).unwrap_or_default();
        if self.reordered || rest.is_empty() {
            return;
        }
        self.printer.flags = Flags::default();
        self.printer.write(b"%!(EXTRA ");
        for (index, value) in rest.iter().enumerate() {
            if index > 0 {
                self.printer.write(b", ");
            }
            if matches!(value, Value::Nil) {
                self.printer.write(b"<nil>");
            } else {
                self.printer.write(value.type_name().as_bytes());
                self.printer.write(b"=");
                self.printer.operand(value, 'v');
            }
        }
        self.printer.write(b")");
    }
}

fn parse_number(text: &[u8], start: usize, end: usize) -> (Option<usize>, usize) {
    let mut number: Option<i64> = None;
    let mut at = start;
    while at < end {
        let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) else { break };
        if number.is_some_and(|number| number > TOO_LARGE) {
            return (None, end);
        }
        number = Some(number.unwrap_or(0) * 10 + i64::from(digit - b'0'));
        at += 1;
    }
    (number.and_then(|number| usize::try_from(number).ok()), at)
}
