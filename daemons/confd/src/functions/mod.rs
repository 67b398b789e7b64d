//! confd's functions, those of its maintained fork that need no other back end among them.

mod case;
mod collections;
mod encoding;
mod machine;
mod numbers;
mod pairs;
mod patterns;
mod store;
mod strings;
mod time;

use std::sync::Arc;

use convoy_go_template::{Call, CallError, Function, Functions, List, Text, Type, Value};

use crate::snapshot::Snapshot;
use crate::world::World;

/// All functions, over one snapshot.
pub fn functions(snapshot: &Snapshot, world: &Arc<dyn World>) -> Functions {
    let mut functions = Functions::new();
    store::add(&mut functions, snapshot);
    strings::add(&mut functions);
    patterns::add(&mut functions);
    case::add(&mut functions);
    numbers::add(&mut functions);
    collections::add(&mut functions);
    encoding::add(&mut functions);
    machine::add(&mut functions, world);
    functions
}

/// A string made of one string.
fn map_text(
    functions: &mut Functions,
    name: &'static str,
    change: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) {
    functions.insert(
        name,
        Function::new([Type::String], Type::String, move |call| {
            let text = call.text(0)?;
            call.budget.fits(text.len())?;
            Ok(Value::String(Text::from(change(&text))))
        }),
    );
}

/// The bytes as a string, if there is room for them.
fn text(call: &Call<'_>, bytes: Vec<u8>) -> Result<Value, CallError> {
    call.budget.fits(bytes.len())?;
    Ok(Value::String(Text::from(bytes)))
}

fn strings_type() -> Type {
    Type::list(Type::String)
}

/// The strings of a `[]string`.
fn texts(list: &List) -> Vec<Text> {
    list.elements()
        .into_iter()
        .filter_map(|element| match element {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect()
}
