//! Functions that ask for keys.

use convoy_go_template::{CallError, Function, Functions, List, Text, Type, Value};

use super::pairs::{Pair, named_type, pair_type};
use super::strings_type;
use crate::glob::BadPattern;
use crate::path::{base, dir};
use crate::snapshot::{Matches, Snapshot};

pub(super) fn add(functions: &mut Functions, snapshot: &Snapshot) {
    single_keys(functions, snapshot);
    patterns(functions, snapshot);
    folders(functions, snapshot);
    super::map_text(functions, "base", base);
    super::map_text(functions, "dir", dir);
}

fn missing(key: &Text) -> CallError {
    CallError::failed(format!("key does not exist: {key}"))
}

fn single_keys(functions: &mut Functions, snapshot: &Snapshot) {
    let store = snapshot.clone();
    functions.insert(
        "exists",
        Function::new([Type::String], Type::Bool, move |call| {
            Ok(Value::Bool(store.get(&call.text(0)?).is_some()))
        }),
    );
    let store = snapshot.clone();
    functions.insert(
        "get",
        Function::new([Type::String], pair_type(), move |call| {
            let key = call.text(0)?;
            store.get(&key).map(|value| Pair::value(&key, value)).ok_or_else(|| missing(&key))
        }),
    );
    let store = snapshot.clone();
    functions.insert(
        "getv",
        Function::variadic([Type::String], Type::String, Type::String, move |call| {
            let key = call.text(0)?;
            match store.get(&key) {
                Some(value) => Ok(Value::String(value.clone())),
                None if call.len() > 1 => Ok(Value::String(call.text(1)?)),
                None => Err(missing(&key)),
            }
        }),
    );
}

fn patterns(functions: &mut Functions, snapshot: &Snapshot) {
    let store = snapshot.clone();
    functions.insert(
        "gets",
        Function::new([Type::String], named_type(), move |call| {
            let pattern = call.text(0)?;
            let Matches { pairs, looked } = store.matching(&pattern).map_err(bad)?;
            call.budget.spend(looked)?;
            let pairs = pairs.into_iter().map(|(key, value)| Pair::value(key, value)).collect();
            Ok(Value::List(List::of(named_type(), pairs)))
        }),
    );
    let store = snapshot.clone();
    functions.insert(
        "getvs",
        Function::new([Type::String], strings_type(), move |call| {
            let pattern = call.text(0)?;
            let Matches { pairs, looked } = store.matching(&pattern).map_err(bad)?;
            call.budget.spend(looked)?;
            let mut values: Vec<Text> = pairs.into_iter().map(|(_, value)| value.clone()).collect();
            values.sort();
            Ok(Value::List(List::strings(values)))
        }),
    );
}

fn bad(error: BadPattern) -> CallError {
    CallError::failed(error.to_string())
}

fn folders(functions: &mut Functions, snapshot: &Snapshot) {
    let store = snapshot.clone();
    functions.insert(
        "ls",
        Function::new([Type::String], strings_type(), move |call| {
            let names = store.list(&call.text(0)?);
            call.budget.spend(names.len())?;
            Ok(Value::List(List::strings(names)))
        }),
    );
    let store = snapshot.clone();
    functions.insert(
        "lsdir",
        Function::new([Type::String], strings_type(), move |call| {
            let names = store.list_folders(&call.text(0)?);
            call.budget.spend(names.len())?;
            Ok(Value::List(List::strings(names)))
        }),
    );
}
