//! Keys with their values, as `get` and `gets` give them.

use std::sync::Arc;

use convoy_go_template::{List, Record, Text, Type, Value};

/// `memkv.KVPair`
#[derive(Debug)]
pub(super) struct Pair {
    key: Text,
    value: Text,
}

impl Pair {
    pub(super) fn value(key: &Text, value: &Text) -> Value {
        Value::Record(Arc::new(Self { key: key.clone(), value: value.clone() }))
    }
}

impl Record for Pair {
    fn type_name(&self) -> &'static str {
        "memkv.KVPair"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Key", Value::String(self.key.clone())), ("Value", Value::String(self.value.clone()))]
    }
}

/// `memkv.KVPair`
pub(super) fn pair_type() -> Type {
    Type::Record("memkv.KVPair")
}

/// `[]memkv.KVPair`
pub(super) fn plain_type() -> Type {
    Type::list(pair_type())
}

/// `memkv.KVPairs`, which is the same under a name of its own.
pub(super) fn named_type() -> Type {
    Type::List { name: Some("memkv.KVPairs"), element: Arc::new(pair_type()) }
}

/// The key of a pair.
pub(super) fn key(pair: &Value) -> Text {
    let Value::Record(record) = pair else { return Text::default() };
    match record.fields().into_iter().next() {
        Some((_, Value::String(key))) => key,
        _ => Text::default(),
    }
}

/// The slice without its name.
pub(super) fn unnamed(list: &List) -> List {
    list.renamed(plain_type())
}
