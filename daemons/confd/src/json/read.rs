//! Reads JSON, with the messages of Go's decoder.

use std::collections::BTreeMap;

use super::{Json, JsonError};

/// Deeper nesting than this is refused.
const MAX_DEPTH: usize = 64;

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
