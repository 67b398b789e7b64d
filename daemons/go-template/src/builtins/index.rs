//! `index`, `slice` and `len`.

use super::Slot;
use crate::text::Text;
use crate::value::{CallError, List, Type, Value, Width};

fn failed<T>(what: impl Into<String>) -> Result<T, CallError> {
    Err(CallError::failed(what))
}

pub(super) fn length(item: &Slot) -> Result<i64, CallError> {
    let length = match &item.value {
        Value::String(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Nil if item.boxed => return failed("len of nil pointer"),
        Value::Nil => return failed("reflect: call of reflect.Value.Type on zero Value"),
        other => return failed(format!("len of type {}", other.type_name())),
    };
    i64::try_from(length).or_else(|_| failed("too long"))
}

/// The element of an element of a slice, string or map.
pub(super) fn index(item: Slot, indexes: impl Iterator<Item = Slot>) -> Result<Slot, CallError> {
    let mut item = item.unboxed();
    if item.is_none() {
        return failed("index of untyped nil");
    }
    for index in indexes {
        if item.is_boxed_nil() {
            return failed("index of nil pointer");
        }
        item = element(&item.value, &index.value)?;
    }
    Ok(item)
}

fn element(item: &Value, index: &Value) -> Result<Slot, CallError> {
    match item {
        Value::List(list) => {
            let at = position(index, list.len())?;
            match list.get(at) {
                Some(element) => Ok(Slot::boxed(element, list.element_type() == &Type::Any)),
                None => failed("reflect: slice index out of range"),
            }
        }
        Value::String(text) => {
            let at = position(index, text.len())?;
            match text.get(at) {
                Some(byte) => Ok(Slot::new(Value::Uint(u64::from(*byte), Width::W8))),
                None => failed("reflect: string index out of range"),
            }
        }
        Value::Map(map) => match index {
            Value::String(key) => {
                let element = map.get(key).cloned().unwrap_or_else(|| Value::zero(map.element_type()));
                Ok(Slot::boxed(element, map.element_type() == &Type::Any))
            }
            Value::Nil => failed("value is nil; should be of type string"),
            other => failed(format!("value has type {}; should be string", other.type_name())),
        },
        other => failed(format!("can't index item of type {}", other.type_name())),
    }
}

/// A position up to and including the length.
fn position(index: &Value, length: usize) -> Result<usize, CallError> {
    let position = match index {
        Value::Int(int) => i128::from(*int),
        Value::Uint(uint, _) => i128::from(*uint),
        Value::Nil => return failed("cannot index slice/array with nil"),
        other => return failed(format!("cannot index slice/array with type {}", other.type_name())),
    };
    match usize::try_from(position) {
        Ok(at) if at <= length => Ok(at),
        _ => failed(format!("index out of range: {position}")),
    }
}

pub(super) fn slice(item: &Value, indexes: &[Value]) -> Result<Value, CallError> {
    if matches!(item, Value::Nil) {
        return failed("slice of untyped nil");
    }
    if indexes.len() > 3 {
        return failed(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match item {
        Value::String(_) if indexes.len() == 3 => return failed("cannot 3-index slice a string"),
        Value::String(text) => text.len(),
        Value::List(list) => list.len(),
        other => return failed(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, capacity] = bounds;
    if from > to {
        return failed(format!("invalid slice index: {from} > {to}"));
    }
    if to > capacity {
        return failed(format!("invalid slice index: {to} > {capacity}"));
    }
    Ok(match item {
        Value::String(text) => Value::String(Text::from(text.get(from..to).unwrap_or_default())),
        Value::List(list) => {
            let elements = list.elements().get(from..to).unwrap_or_default().to_vec();
            Value::List(List::of(list.type_of().clone(), elements))
        }
        other => other.clone(),
    })
}
