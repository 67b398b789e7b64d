//! Functions on slices and maps, and on values of any type.

use std::collections::BTreeMap;

use convoy_go_template::{Call, CallError, Function, Functions, List, Map, Text, Type, Value};

use super::pairs::{self, plain_type, unnamed};
use super::strings_type;

pub(super) fn add(functions: &mut Functions) {
    functions.insert("reverse", Function::new([Type::Any], Type::Any, reverse));
    functions.insert("sortByLength", Function::new([strings_type()], strings_type(), sort_by_length));
    functions.insert("sortKVByLength", Function::new([plain_type()], plain_type(), sort_pairs));
    for name in ["map", "dict"] {
        functions.insert(name, Function::variadic([], Type::Any, Type::map(Type::Any), map));
    }
    functions.insert(
        "list",
        Function::variadic([], Type::Any, anything(), |call| {
            Ok(Value::List(List::new(Type::Any, call.arguments().to_vec())))
        }),
    );
    functions.insert("append", Function::new([anything(), Type::Any], anything(), append));
    conditionals(functions);
    maps(functions);
}

/// `[]interface {}`
fn anything() -> Type {
    Type::list(Type::Any)
}

fn conditionals(functions: &mut Functions) {
    functions.insert(
        "default",
        Function::new([Type::Any, Type::Any], Type::Any, |call| {
            let value = call.value(1)?;
            Ok(if is_empty(value) { call.value(0)?.clone() } else { value.clone() })
        }),
    );
    functions.insert(
        "ternary",
        Function::new([Type::Any, Type::Any, Type::Bool], Type::Any, |call| {
            Ok(call.value(usize::from(!call.bool(2)?))?.clone())
        }),
    );
    functions.insert(
        "coalesce",
        Function::variadic([], Type::Any, Type::Any, |call| {
            Ok(call.arguments().iter().find(|value| !is_empty(value)).cloned().unwrap_or(Value::Nil))
        }),
    );
    functions.insert(
        "empty",
        Function::new([Type::Any], Type::Bool, |call| Ok(Value::Bool(is_empty(call.value(0)?)))),
    );
}

/// Zero, false, or nothing inside. Structs and functions are never empty.
fn is_empty(value: &Value) -> bool {
    !value.truth()
}

fn maps(functions: &mut Functions) {
    let any_map = || Type::map(Type::Any);
    functions.insert(
        "hasKey",
        Function::new([any_map(), Type::String], Type::Bool, |call| {
            Ok(Value::Bool(call.map(0)?.get(&call.text(1)?).is_some()))
        }),
    );
    functions.insert(
        "keys",
        Function::new([any_map()], strings_type(), |call| {
            let map = call.map(0)?;
            call.budget.spend(map.len())?;
            Ok(Value::List(List::strings(map.entries().keys().cloned())))
        }),
    );
    functions.insert(
        "values",
        Function::new([any_map()], anything(), |call| {
            let map = call.map(0)?;
            call.budget.spend(map.len())?;
            Ok(Value::List(List::new(Type::Any, map.entries().values().cloned().collect())))
        }),
    );
    functions.insert(
        "pluck",
        Function::variadic([Type::String], any_map(), anything(), |call| {
            let key = call.text(0)?;
            let found: Vec<Value> = call
                .arguments()
                .iter()
                .filter_map(|map| match map {
                    Value::Map(map) => map.get(&key).cloned(),
                    _ => None,
                })
                .collect();
            if found.is_empty() {
                return Ok(Value::List(List::nil(anything())));
            }
            Ok(Value::List(List::new(Type::Any, found)))
        }),
    );
}

/// Turns a `[]string` or `[]memkv.KVPair` around in place; anything else stays as it is, the result of `gets` too.
fn reverse(call: &mut Call<'_>) -> Result<Value, CallError> {
    let value = call.value(0)?.clone();
    if let Value::List(list) = &value
        && (list.type_of() == &strings_type() || list.type_of() == &plain_type())
    {
        call.budget.spend(list.len())?;
        list.reorder(<[Value]>::reverse);
    }
    Ok(value)
}

/// Sorts in place, as confd does; equal lengths keep their order.
fn sort_by_length(call: &mut Call<'_>) -> Result<Value, CallError> {
    let list = call.list(0)?;
    call.budget.spend(list.len())?;
    list.reorder(|elements| elements.sort_by_key(text_length));
    Ok(Value::List(list))
}

fn text_length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        _ => 0,
    }
}

fn sort_pairs(call: &mut Call<'_>) -> Result<Value, CallError> {
    let list = call.list(0)?;
    call.budget.spend(list.len())?;
    list.reorder(|elements| elements.sort_by_key(|pair| pairs::key(pair).len()));
    Ok(Value::List(unnamed(&list)))
}

fn map(call: &mut Call<'_>) -> Result<Value, CallError> {
    let arguments = call.arguments();
    if arguments.len() % 2 != 0 {
        return Err(CallError::failed("invalid map call"));
    }
    let mut entries: BTreeMap<Text, Value> = BTreeMap::new();
    let keys = arguments.iter().step_by(2);
    for (key, value) in keys.zip(arguments.iter().skip(1).step_by(2)) {
        let Value::String(key) = key else {
            return Err(CallError::failed("map keys must be strings"));
        };
        entries.insert(key.clone(), value.clone());
    }
    Ok(Value::Map(Map::new(entries)))
}

fn append(call: &mut Call<'_>) -> Result<Value, CallError> {
    let mut elements = call.list(0)?.elements();
    call.budget.spend(elements.len())?;
    elements.push(call.value(1)?.clone());
    Ok(Value::List(List::new(Type::Any, elements)))
}
