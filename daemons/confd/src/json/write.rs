//! Writes JSON as Go's encoder does.

use convoy_go_template::{Call, CallError, Value};

/// A string as Go's encoder writes it: what HTML could misread is escaped.
pub(super) fn quoted(text: &[u8]) -> String {
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
            Value::Complex(_) | Value::Function(_) => {
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
