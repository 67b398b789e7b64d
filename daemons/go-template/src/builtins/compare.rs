//! `eq`, `lt` and what follows from them.

use crate::print::{shown, shown_as};
use crate::value::{CallError, Value};

const INCOMPATIBLE: &str = "incompatible types for comparison";
const INVALID: &str = "invalid type for comparison";

/// The types that `lt` knows, integers of either sign together.
fn same_kind(left: &Value, right: &Value) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

fn is_basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(..)
            | Value::Float(_)
            | Value::Complex(_)
            | Value::String(_)
    )
}

/// Whether the first value equals one of the others.
pub(super) fn equal(first: &Value, others: &[Value]) -> Result<bool, CallError> {
    if others.is_empty() {
        return Err(CallError::failed("missing argument for comparison"));
    }
    for other in others {
        if equals(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[expect(clippy::float_cmp, reason = "Go compares them exactly")]
fn equals(left: &Value, right: &Value) -> Result<bool, CallError> {
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Uint(left, _), Value::Uint(right, _)) => left == right,
        (Value::Int(int), Value::Uint(uint, _)) | (Value::Uint(uint, _), Value::Int(int)) => {
            u64::try_from(*int).is_ok_and(|int| int == *uint)
        }
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Complex(left), Value::Complex(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Nil, other) | (other, Value::Nil) => other.is_nil(),
        (left, right) if is_basic(left) || is_basic(right) => {
            return Err(CallError::failed(INCOMPATIBLE));
        }
        (left, right) if !same_kind(left, right) => {
            return Err(CallError::failed(format!(
                "non-comparable types {}: {}, {}: {}",
                shown_as(left, 's'),
                left.type_name(),
                right.type_name(),
                shown(right)
            )));
        }
        (left, right) if left.is_nil() || right.is_nil() => left.is_nil() && right.is_nil(),
        (left, right) => identical(left, right)?,
    })
}

/// Structs of the same type whose fields are equal.
fn identical(left: &Value, right: &Value) -> Result<bool, CallError> {
    let comparable = right.type_of().is_some_and(|kind| kind.is_comparable());
    let (Value::Record(left), Value::Record(right_record), true) = (left, right, comparable) else {
        return Err(CallError::failed(format!(
            "non-comparable type {}: {}",
            shown_as(right, 's'),
            right.type_name()
        )));
    };
    if left.type_name() != right_record.type_name() {
        return Ok(false);
    }
    for ((_, left), (_, right)) in left.fields().iter().zip(right_record.fields().iter()) {
        if !equals(left, right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn less(left: &Value, right: &Value) -> Result<bool, CallError> {
    if !is_basic(left) || !is_basic(right) {
        return Err(CallError::failed(INVALID));
    }
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => left < right,
        (Value::Uint(left, _), Value::Uint(right, _)) => left < right,
        (Value::Int(int), Value::Uint(uint, _)) => u64::try_from(*int).map_or(true, |int| int < *uint),
        (Value::Uint(uint, _), Value::Int(int)) => u64::try_from(*int).is_ok_and(|int| *uint < int),
        (Value::Float(left), Value::Float(right)) => left < right,
        (Value::String(left), Value::String(right)) => left < right,
        (Value::Bool(_), Value::Bool(_)) | (Value::Complex(_), Value::Complex(_)) => {
            return Err(CallError::failed(INVALID));
        }
        _ => return Err(CallError::failed(INCOMPATIBLE)),
    })
}

pub(super) fn less_or_equal(left: &Value, right: &Value) -> Result<bool, CallError> {
    Ok(less(left, right)? || equals(left, right)?)
}
