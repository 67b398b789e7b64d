//! Functions on strings.

use convoy_go_template::{Call, CallError, Function, Functions, List, Text, Type, Value};

use super::{map_text, strings_type, text, texts};

pub(super) fn add(functions: &mut Functions) {
    map_text(functions, "toUpper", upper);
    map_text(functions, "toLower", lower);
    map_text(functions, "nospace", no_space);
    map_text(functions, "squote", |text| [b"'", text, b"'"].concat());
    let two = [Type::String, Type::String];
    functions.insert("split", Function::new(two.clone(), strings_type(), split));
    functions.insert("join", Function::new([strings_type(), Type::String], Type::String, join));
    functions.insert(
        "contains",
        Function::new(two.clone(), Type::Bool, |call| {
            Ok(Value::Bool(find(&call.text(0)?, &call.text(1)?).is_some()))
        }),
    );
    functions.insert(
        "trimSuffix",
        Function::new(two.clone(), Type::String, |call| {
            let (text, suffix) = (call.text(0)?, call.text(1)?);
            Ok(text.strip_suffix(suffix.as_bytes()).map_or_else(|| text.clone(), Text::from).into())
        }),
    );
    functions.insert(
        "trimPrefix",
        Function::new(two.clone(), Type::String, |call| {
            let (text, prefix) = (call.text(0)?, call.text(1)?);
            Ok(text.strip_prefix(prefix.as_bytes()).map_or_else(|| text.clone(), Text::from).into())
        }),
    );
    functions.insert(
        "replace",
        Function::new([Type::String, Type::String, Type::String, Type::Int], Type::String, replace),
    );
    functions.insert("repeat", Function::new([Type::Int, Type::String], Type::String, repeat));
    functions
        .insert("indent", Function::new([Type::Int, Type::String], Type::String, |call| indent(call, "")));
    functions
        .insert("nindent", Function::new([Type::Int, Type::String], Type::String, |call| indent(call, "\n")));
}

/// Runes; bytes that are no UTF-8 are U+FFFD.
fn each_rune(text: &[u8], change: impl Fn(char) -> Option<char>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let bad = std::iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len());
        for rune in chunk.valid().chars().chain(bad).filter_map(&change) {
            out.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

/// One rune for one rune, as in Go: what would become several stays.
fn upper(text: &[u8]) -> Vec<u8> {
    each_rune(text, |rune| {
        let mut upper = rune.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(upper), None) => Some(upper),
            _ => Some(rune),
        }
    })
}

fn lower(text: &[u8]) -> Vec<u8> {
    each_rune(text, |rune| rune.to_lowercase().next())
}

fn no_space(text: &[u8]) -> Vec<u8> {
    each_rune(text, |rune| (!rune.is_whitespace()).then_some(rune))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

fn split(call: &mut Call<'_>) -> Result<Value, CallError> {
    let (text, separator) = (call.text(0)?, call.text(1)?);
    // Each piece costs more than its bytes.
    call.budget.spend(text.len() + 1)?;
    let mut pieces = Vec::new();
    if separator.is_empty() {
        for chunk in text.utf8_chunks() {
            let mut at = 0;
            for rune in chunk.valid().chars() {
                let end = at + rune.len_utf8();
                pieces.push(Text::from(chunk.valid().get(at..end).unwrap_or_default()));
                at = end;
            }
            pieces.extend(chunk.invalid().iter().map(|byte| Text::from([*byte].as_slice())));
        }
        return Ok(Value::List(List::strings(pieces)));
    }
    let mut rest: &[u8] = &text;
    while let Some(at) = find(rest, &separator) {
        pieces.push(Text::from(rest.get(..at).unwrap_or_default()));
        rest = rest.get(at + separator.len()..).unwrap_or_default();
    }
    pieces.push(Text::from(rest));
    Ok(Value::List(List::strings(pieces)))
}

fn join(call: &mut Call<'_>) -> Result<Value, CallError> {
    let (pieces, separator) = (texts(&call.list(0)?), call.text(1)?);
    let separators = separator.len().saturating_mul(pieces.len());
    call.budget.fits(pieces.iter().fold(separators, |sum, piece| sum.saturating_add(piece.len())))?;
    Ok(Value::String(Text::from(pieces.join(separator.as_bytes()))))
}

/// Go's `strings.Replace`: a negative number replaces all; nothing is found before every rune and at the end.
fn replace(call: &mut Call<'_>) -> Result<Value, CallError> {
    let (subject, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let limit = usize::try_from(call.int(3)?).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    let mut rest: &[u8] = &subject;
    let mut replaced = 0;
    while replaced < limit {
        let Some(at) = find(rest, &old) else { break };
        let mut keep = at;
        if old.is_empty() && replaced > 0 {
            let Some(width) = first_rune(rest) else { break };
            keep = width;
        }
        out.extend_from_slice(rest.get(..keep).unwrap_or_default());
        out.extend_from_slice(&new);
        call.budget.fits(out.len())?;
        rest = rest.get(keep + old.len()..).unwrap_or_default();
        replaced += 1;
    }
    out.extend_from_slice(rest);
    text(call, out)
}

fn first_rune(text: &[u8]) -> Option<usize> {
    let chunk = text.utf8_chunks().next()?;
    Some(chunk.valid().chars().next().map_or(1, char::len_utf8))
}

fn repeat(call: &mut Call<'_>) -> Result<Value, CallError> {
    let (count, text) = (call.int(0)?, call.text(1)?);
    let Ok(count) = usize::try_from(count) else {
        return Err(CallError::failed("strings: negative Repeat count"));
    };
    call.budget.fits(text.len().saturating_mul(count))?;
    Ok(Value::String(Text::from(text.repeat(count))))
}

fn indent(call: &mut Call<'_>, before: &str) -> Result<Value, CallError> {
    let (spaces, subject) = (call.int(0)?, call.text(1)?);
    if subject.is_empty() {
        return Ok(Value::from(before));
    }
    let Ok(spaces) = usize::try_from(spaces) else {
        return Err(CallError::failed("strings: negative Repeat count"));
    };
    let lines = subject.split(|byte| *byte == b'\n').count();
    call.budget.fits(spaces.saturating_mul(lines).saturating_add(subject.len()))?;
    let mut out = before.as_bytes().to_vec();
    let pad = b" ".repeat(spaces);
    for (index, line) in subject.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(&pad);
        out.extend_from_slice(line);
    }
    text(call, out)
}
