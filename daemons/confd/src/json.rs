//! JSON as Go reads and writes it: numbers are `float64`, the last of equal keys counts.

use std::collections::BTreeMap;

use convoy_go_template::{Call, CallError, List, Map, Text, Type, Value};
use thiserror::Error;

/// Deeper nesting than this is refused.
const MAX_DEPTH: usize = 64;

/// The text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}, at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub what: String,
    /// Where.
    pub offset: usize,
}

/// A JSON value, with its numbers as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, and how it was written.
    Number(f64, String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads one value that takes up the whole text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, JsonError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let value = parser.value()?;
        parser.space();
        match parser.peek() {
            None => Ok(value),
            Some(_) => parser.unexpected("after top-level value"),
        }
    }

    /// What the value is called in Go's messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(..) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value as templates see it.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Nil,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Number(number, _) => Value::Float(number),
            Self::String(text) => Value::from(text),
            Self::Array(elements) => {
                Value::List(List::new(Type::Any, elements.into_iter().map(Self::into_value).collect()))
            }
            Self::Object(entries) => Value::Map(Map::new(
                entries.into_iter().map(|(key, value)| (Text::from(key), value.into_value())).collect(),
            )),
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(truth) => write!(out, "{truth}"),
            Self::Number(_, written) => out.write_str(written),
            Self::String(text) => out.write_str(&quoted(text.as_bytes())),
            Self::Array(elements) => {
                out.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(out, "{}{element}", if index > 0 { "," } else { "" })?;
                }
                out.write_str("]")
            }
            Self::Object(entries) => {
                out.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(out, "{comma}{}:{value}", quoted(key.as_bytes()))?;
                }
                out.write_str("}")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, JsonError> {
        Err(JsonError { what: what.into(), offset: self.at })
    }

    /// Names the next byte as Go does: each by itself, and the end as a space where a space would be wrong too.
    fn unexpected<T>(&self, context: &str) -> Result<T, JsonError> {
        let space_is_wrong =
            ["in literal", "numeric literal", "escape"].iter().any(|word| context.contains(word));
        let byte = match self.peek() {
            None if space_is_wrong => b' ',
            None => return self.error("unexpected end of JSON input"),
            Some(byte) => byte,
        };
        let shown = match byte {
            b'\'' => "\\'".to_owned(),
            b'"' => "\"".to_owned(),
            byte => {
                let quoted = convoy_go_template::quote(char::from(byte).to_string().as_bytes());
                String::from_utf8_lossy(&quoted).trim_matches('"').to_owned()
            }
        };
        self.error(format!("invalid character '{shown}' {context}"))
    }

    fn value(&mut self) -> Result<Json, JsonError> {
        self.space();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.unexpected("looking for beginning of value"),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Json, JsonError>) -> Result<Json, JsonError> {
        if self.depth == MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(expected)));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self, context: &str) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.unexpected(context);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let written = String::from_utf8_lossy(self.text.get(start..self.at).unwrap_or_default()).into_owned();
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Json::Number(number, written)),
            _ => self.error(format!("json: cannot unmarshal number {written} into Go value of type float64")),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None => return self.unexpected("in string literal"),
                Some(b'"') => {
                    self.at += 1;
                    // What is no UTF-8 becomes U+FFFD, a byte each, as in Go.
                    let mut text = String::with_capacity(out.len());
                    for chunk in out.utf8_chunks() {
                        text.push_str(chunk.valid());
                        text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
                    }
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let rune = self.escape()?;
                    out.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) if byte < b' ' => return self.unexpected("in string literal"),
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let rune = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.unexpected("in string escape code"),
        };
        self.at += 1;
        Ok(rune)
    }

    /// `uXXXX`, and the second half of a pair. A half without the other is U+FFFD.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first)
            && self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u"))
        {
            let before = self.at;
            self.at += 1;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => code = code << 4 | digit,
                None => return self.unexpected("in \\u hexadecimal character escape"),
            }
            self.at += 1;
        }
        Ok(code)
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return self.unexpected("after array element"),
            }
        }
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        self.at += 1;
        let mut entries = BTreeMap::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(entries));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.unexpected("looking for beginning of object key string");
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.unexpected("after object key");
            }
            self.at += 1;
            let value = self.value()?;
            entries.insert(key, value);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(entries));
                }
                _ => return self.unexpected("after object key:value pair"),
            }
        }
    }
}

/// A string as Go's encoder writes it: what HTML could misread is escaped.
fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in text.utf8_chunks() {
        for rune in chunk.valid().chars() {
            match rune {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..' ' => {
                    let escaped = format!("\\u{:04x}", u32::from(rune));
                    out.push_str(&escaped);
                }
                rune => out.push(rune),
            }
        }
        out.push_str(&"\\ufffd".repeat(chunk.invalid().len()));
    }
    out.push('"');
    out
}

/// Writes a value as Go's `json.Marshal`; with `indent` as `json.MarshalIndent` with two spaces.
pub(crate) fn write(call: &Call<'_>, value: &Value, indent: bool) -> Result<String, CallError> {
    let mut out = String::new();
    let mut writer = Writer { out: &mut out, call, indent, depth: 0 };
    writer.value(value)?;
    Ok(out)
}

struct Writer<'w, 'c> {
    out: &'w mut String,
    call: &'w Call<'c>,
    indent: bool,
    depth: usize,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value) -> Result<(), CallError> {
        self.call.budget.fits(self.out.len())?;
        match value {
            Value::Nil => self.out.push_str("null"),
            Value::Bool(truth) => *self.out += &truth.to_string(),
            Value::Int(int) => *self.out += &int.to_string(),
            Value::Uint(uint, _) => *self.out += &uint.to_string(),
            Value::Float(float) => *self.out += &number(*float)?,
            Value::String(text) => *self.out += &quoted(text),
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::List(list) => {
                let elements = list.elements().into_iter().map(|element| (None, element)).collect();
                self.group('[', elements, ']')?;
            }
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::Map(map) => {
                let entries =
                    map.entries().iter().map(|(key, value)| (Some(quoted(key)), value.clone())).collect();
                self.group('{', entries, '}')?;
            }
            Value::Record(record) => {
                if let Some(text) = record.text() {
                    *self.out += &quoted(text.as_bytes());
                } else {
                    let fields = record
                        .fields()
                        .into_iter()
                        .map(|(name, value)| (Some(quoted(name.as_bytes())), value))
                        .collect();
                    self.group('{', fields, '}')?;
                }
            }
            Value::Function(_) => {
                return Err(CallError::failed(format!("json: unsupported type: {}", value.type_name())));
            }
        }
        Ok(())
    }

    fn group(
        &mut self,
        open: char,
        members: Vec<(Option<String>, Value)>,
        close: char,
    ) -> Result<(), CallError> {
        self.out.push(open);
        let some = !members.is_empty();
        self.depth += 1;
        for (index, (key, value)) in members.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.line();
            if let Some(key) = key {
                *self.out += &key;
                self.out.push_str(if self.indent { ": " } else { ":" });
            }
            self.value(&value)?;
        }
        self.depth -= 1;
        if some {
            self.line();
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self) {
        if self.indent {
            self.out.push('\n');
            *self.out += &"  ".repeat(self.depth);
        }
    }
}

/// A number as Go's encoder writes it: a power of ten only for the very small and very big.
fn number(number: f64) -> Result<String, CallError> {
    if !number.is_finite() {
        let shown = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(CallError::failed(format!("json: unsupported value: {shown}")));
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        return Ok(format!("{number}"));
    }
    let text = format!("{number:e}");
    Ok(match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    })
}
