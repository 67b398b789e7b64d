//! The state of one formatted print, and how values of every kind are written.

use super::scalars;
use crate::runes::{count, runes};
use crate::value::{List, Map, Record, Value};

/// The flags of one verb.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "Go has these flags, each by itself")]
pub(super) struct Flags {
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`
    pub(super) plus_v: bool,
    /// `%#v`
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// Writes values, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Printer {
    out: Vec<u8>,
    limit: usize,
    full: bool,
    pub(super) flags: Flags,
}

impl Printer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { out: Vec::new(), limit, full: false, flags: Flags::default() }
    }

    /// What was written; `None` when it was too much.
    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        (!self.full).then_some(self.out)
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.full || bytes.len() > self.limit - self.out.len() {
            self.full = true;
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    pub(super) fn write_char(&mut self, rune: char) {
        self.write(rune.encode_utf8(&mut [0; 4]).as_bytes());
    }

    pub(super) fn write_padding(&mut self, length: usize) {
        let pad = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        if self.full || length > self.limit - self.out.len() {
            self.full = true;
        } else {
            self.out.resize(self.out.len() + length, pad);
        }
    }

    /// Writes within the width that was asked for.
    pub(super) fn pad(&mut self, bytes: &[u8]) {
        let missing = self.flags.width.map_or(0, |width| width.saturating_sub(count(bytes)));
        if !self.flags.minus {
            self.write_padding(missing);
        }
        self.write(bytes);
        if self.flags.minus {
            self.write_padding(missing);
        }
    }

    /// Pads with spaces, whatever the flags say.
    pub(super) fn pad_with_spaces(&mut self, bytes: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(bytes);
        self.flags.zero = zero;
    }

    /// An operand of a print function.
    pub(crate) fn operand(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Nil, _) => self.bad_verb(value, verb),
            (_, 'T') => scalars::string(self, value.type_name().as_bytes(), 's', value),
            _ => self.nested(value, verb),
        }
    }

    /// A value inside another one.
    pub(crate) fn nested(&mut self, value: &Value, verb: char) {
        if self.full {
            return;
        }
        match value {
            Value::Nil => self.write(b"<nil>"),
            // Only for errors; other verbs go on to what is inside.
            Value::List(_) | Value::Map(_) | Value::Record(_) if verb == 'w' => self.bad_verb(value, verb),
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(int) => {
                scalars::integer(self, int.unsigned_abs(), *int < 0, true, verb, value);
            }
            Value::Uint(uint, _) => scalars::integer(self, *uint, false, false, verb, value),
            Value::Float(float) => scalars::float(self, *float, verb, value),
            Value::Complex(complex) => scalars::complex(self, *complex, verb, value),
            Value::String(text) => scalars::string(self, text, verb, value),
            Value::List(list) => self.list(list, verb),
            Value::Map(map) => self.map(map, verb),
            Value::Record(record) => self.record(record.as_ref(), verb, value),
            // Go would print an address, which no configuration wants.
            Value::Function(_) => self.bad_verb(value, verb),
        }
    }

    fn list(&mut self, list: &List, verb: char) {
        let (open, between, close) = if self.flags.sharp_v {
            self.write(list.type_of().to_string().as_bytes());
            if list.is_nil() {
                return self.write(b"(nil)");
            }
            (b"{", b", ".as_slice(), b"}")
        } else {
            (b"[", b" ".as_slice(), b"]")
        };
        self.write(open);
        for (index, element) in list.elements().iter().enumerate() {
            if self.full {
                return;
            }
            if index > 0 {
                self.write(between);
            }
            self.element(element, list.element_type() == &crate::value::Type::Any, verb);
        }
        self.write(close);
    }

    fn map(&mut self, map: &Map, verb: char) {
        let (between, close) = if self.flags.sharp_v {
            self.write(map.type_of().to_string().as_bytes());
            if map.is_nil() {
                return self.write(b"(nil)");
            }
            self.write(b"{");
            (b", ".as_slice(), b"}")
        } else {
            self.write(b"map[");
            (b" ".as_slice(), b"]")
        };
        for (index, (key, element)) in map.entries().iter().enumerate() {
            if self.full {
                return;
            }
            if index > 0 {
                self.write(between);
            }
            self.nested(&Value::String(key.clone()), verb);
            self.write(b":");
            self.element(element, map.element_type() == &crate::value::Type::Any, verb);
        }
        self.write(close);
    }

    fn element(&mut self, element: &Value, any: bool, verb: char) {
        match element {
            Value::Nil if any && self.flags.sharp_v => self.write(b"interface {}(nil)"),
            other => self.nested(other, verb),
        }
    }

    fn record(&mut self, record: &dyn Record, verb: char, value: &Value) {
        if !self.flags.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = record.text()
        {
            return scalars::string(self, text.as_bytes(), verb, value);
        }
        if let Some(pointed) = record.type_name().strip_prefix('*') {
            self.write(b"&");
            if self.flags.sharp_v {
                self.write(pointed.as_bytes());
            }
        } else if self.flags.sharp_v {
            self.write(record.type_name().as_bytes());
        }
        self.write(b"{");
        for (index, (name, field)) in record.fields().iter().enumerate() {
            if index > 0 {
                self.write(if self.flags.sharp_v { b", " } else { b" " });
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.write(name.as_bytes());
                self.write(b":");
            }
            self.nested(field, verb);
        }
        self.write(b"}");
    }

    /// A verb that this type doesn't have: `%!d(string=a)`.
    pub(super) fn bad_verb(&mut self, value: &Value, verb: char) {
        self.write(b"%!");
        self.write_char(verb);
        self.write(b"(");
        match value {
            Value::Nil => self.write(b"<nil>"),
            Value::Function(_) => self.write(value.type_name().as_bytes()),
            other => {
                self.write(other.type_name().as_bytes());
                self.write(b"=");
                self.nested(other, 'v');
            }
        }
        self.write(b")");
    }

    /// The start of a text that the precision allows.
    pub(super) fn truncated<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.flags.precision else { return text };
        runes(text).nth(precision).and_then(|(at, _, _)| text.get(..at)).unwrap_or(text)
    }
}
