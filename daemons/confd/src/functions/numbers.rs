//! Functions on numbers.

use convoy_go_template::{Call, CallError, Function, Functions, List, Type, Value};

pub(super) fn add(functions: &mut Functions) {
    let mut two = |name, body: fn(i64, i64) -> Result<i64, CallError>| {
        functions.insert(
            name,
            Function::new([Type::Int, Type::Int], Type::Int, move |call| {
                body(call.int(0)?, call.int(1)?).map(Value::Int)
            }),
        );
    };
    two("add", |left, right| Ok(left.wrapping_add(right)));
    two("sub", |left, right| Ok(left.wrapping_sub(right)));
    two("mul", |left, right| Ok(left.wrapping_mul(right)));
    two("div", |left, right| match right {
        0 => Err(by_zero()),
        right => Ok(left.wrapping_div(right)),
    });
    two("mod", |left, right| match right {
        0 => Err(by_zero()),
        right => Ok(left.wrapping_rem(right)),
    });
    functions.insert("seq", Function::new([Type::Int, Type::Int], Type::list(Type::Int), seq));
    functions.insert("atoi", Function::new([Type::String], Type::Int, atoi));
    functions.insert("parseBool", Function::new([Type::String], Type::Bool, parse_bool));
}

fn by_zero() -> CallError {
    CallError::failed("runtime error: integer divide by zero")
}

/// All numbers from the first to the last; none when the last is before the first.
fn seq(call: &mut Call<'_>) -> Result<Value, CallError> {
    let (first, last) = (call.int(0)?, call.int(1)?);
    if first > last {
        return Ok(Value::List(List::nil(Type::list(Type::Int))));
    }
    let count = usize::try_from(i128::from(last) - i128::from(first) + 1).unwrap_or(usize::MAX);
    call.budget.spend(count)?;
    call.budget.fits(count.saturating_mul(size_of::<Value>()))?;
    Ok(Value::List(List::new(Type::Int, (first..=last).map(Value::Int).collect())))
}

fn atoi(call: &mut Call<'_>) -> Result<Value, CallError> {
    let text = call.text(0)?;
    let shown = text.to_str();
    let error = |what: &str| not_parsed("Atoi", &text, what);
    let digits = shown.strip_prefix(['+', '-']).unwrap_or(&shown);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error("invalid syntax"));
    }
    shown.parse().map(Value::Int).map_err(|_| error("value out of range"))
}

fn parse_bool(call: &mut Call<'_>) -> Result<Value, CallError> {
    let text = call.text(0)?;
    match text.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(Value::Bool(true)),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(Value::Bool(false)),
        _ => Err(not_parsed("ParseBool", &text, "invalid syntax")),
    }
}

/// The error of Go's strconv.
fn not_parsed(function: &str, text: &[u8], what: &str) -> CallError {
    let shown = convoy_go_template::quote(text);
    CallError::failed(format!("strconv.{function}: parsing {}: {what}", String::from_utf8_lossy(&shown)))
}
