//! Regular expressions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use convoy_go_template::{Call, CallError, Function, Functions, Text, Type, Value};
use regex::bytes::{Regex, RegexBuilder};

use super::text;

/// Compiling costs far more than matching, so each expression is compiled once.
type Compiled = Arc<Mutex<BTreeMap<Text, Regex>>>;

/// What compiling one may take, in steps and bytes.
const STEPS: usize = 20_000;
const SIZE: usize = 1 << 20;

pub(super) fn add(functions: &mut Functions) {
    let compiled = Compiled::default();
    let known = Arc::clone(&compiled);
    functions.insert(
        "regexMatch",
        Function::new([Type::String, Type::String], Type::Bool, move |call| {
            Ok(Value::Bool(pattern(call, &known)?.is_match(&call.text(1)?)))
        }),
    );
    let known = Arc::clone(&compiled);
    functions.insert(
        "regexFind",
        Function::new([Type::String, Type::String], Type::String, move |call| {
            let subject = call.text(1)?;
            let found = pattern(call, &known)?.find(&subject).map(|found| Text::from(found.as_bytes()));
            Ok(Value::String(found.unwrap_or_default()))
        }),
    );
    functions.insert(
        "regexReplaceAll",
        Function::new([Type::String, Type::String, Type::String], Type::String, move |call| {
            let (subject, replacement) = (call.text(1)?, call.text(2)?);
            let pattern = pattern(call, &compiled)?;
            replace_all(call, &pattern, &subject, &replacement)
        }),
    );
}

fn replace_all(
    call: &Call<'_>,
    pattern: &Regex,
    subject: &[u8],
    replacement: &[u8],
) -> Result<Value, CallError> {
    let mut out = Vec::new();
    let mut copied = 0;
    for captures in pattern.captures_iter(subject) {
        let Some(found) = captures.get(0) else { continue };
        out.extend_from_slice(subject.get(copied..found.start()).unwrap_or_default());
        // Two bytes of the replacement can ask for the whole match.
        let worst = (replacement.len() / 2).saturating_mul(found.len()).saturating_add(replacement.len());
        call.budget.fits(out.len().saturating_add(worst))?;
        captures.expand(replacement, &mut out);
        copied = found.end();
    }
    out.extend_from_slice(subject.get(copied..).unwrap_or_default());
    text(call, out)
}

fn pattern(call: &mut Call<'_>, compiled: &Compiled) -> Result<Regex, CallError> {
    let pattern = call.text(0)?;
    let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = compiled.get(&pattern) {
        return Ok(known.clone());
    }
    call.budget.spend(STEPS)?;
    let regex = RegexBuilder::new(&pattern.to_str())
        .size_limit(SIZE)
        .dfa_size_limit(SIZE)
        .build()
        .map_err(|error| CallError::failed(format!("error parsing regexp: {error}")))?;
    compiled.insert(pattern, regex.clone());
    Ok(regex)
}
