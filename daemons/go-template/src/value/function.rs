//! Functions, and how they are called.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::types::Type;
use super::{List, Map, Value};
use crate::budget::Budget;
use crate::text::Text;

/// Why a call gives no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The function's own error.
    #[error("{0}")]
    Failed(String),
    /// A limit was reached.
    #[error("{0}")]
    Limit(String),
}

impl CallError {
    /// The function's own error, in these words.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

type Body = dyn Fn(&mut Call<'_>) -> Result<Value, CallError> + Send + Sync;

/// A function of Go: what it takes, what it gives, what it does.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

struct Inner {
    parameters: Vec<Type>,
    variadic: Option<Type>,
    result: Type,
    body: Box<Body>,
}

impl Function {
    /// A function with these parameters.
    pub fn new(
        parameters: impl Into<Vec<Type>>,
        result: Type,
        body: impl Fn(&mut Call<'_>) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { parameters: parameters.into(), variadic: None, result, body: Box::new(body) }))
    }

    /// A function with these parameters, and any number of `variadic` ones after them.
    pub fn variadic(
        parameters: impl Into<Vec<Type>>,
        variadic: Type,
        result: Type,
        body: impl Fn(&mut Call<'_>) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            parameters: parameters.into(),
            variadic: Some(variadic),
            result,
            body: Box::new(body),
        }))
    }

    pub(crate) fn parameters(&self) -> &[Type] {
        &self.0.parameters
    }

    pub(crate) fn variadic_type(&self) -> Option<&Type> {
        self.0.variadic.as_ref()
    }

    pub(crate) fn result(&self) -> &Type {
        &self.0.result
    }

    /// Its type, as Go writes it.
    pub(crate) fn signature(&self) -> String {
        let mut parameters: Vec<String> = self.0.parameters.iter().map(ToString::to_string).collect();
        parameters.extend(self.0.variadic.iter().map(|kind| format!("...{kind}")));
        format!("func({}) {}", parameters.join(", "), self.0.result)
    }

    pub(crate) fn invoke(&self, call: &mut Call<'_>) -> Result<Value, CallError> {
        (self.0.body)(call)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.signature())
    }
}

/// The functions that a template may call besides Go's own.
#[derive(Debug, Clone, Default)]
pub struct Functions(BTreeMap<&'static str, Function>);

impl Functions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; it comes before one of Go's own with the same name.
    pub fn insert(&mut self, name: &'static str, function: Function) {
        self.0.insert(name, function);
    }

    /// The function of this name.
    pub fn get(&self, name: &str) -> Option<&Function> {
        self.0.get(name)
    }
}

/// One call: its arguments, already of the types that the function asks for.
#[derive(Debug)]
pub struct Call<'a> {
    arguments: Vec<Value>,
    /// What may still be spent.
    pub budget: &'a mut Budget,
    /// The functions of the template that calls.
    pub functions: &'a Functions,
}

impl<'a> Call<'a> {
    pub(crate) fn new(arguments: Vec<Value>, budget: &'a mut Budget, functions: &'a Functions) -> Self {
        Self { arguments, budget, functions }
    }

    /// All arguments.
    pub fn arguments(&self) -> &[Value] {
        &self.arguments
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// An argument of any type.
    pub fn value(&self, index: usize) -> Result<&Value, CallError> {
        self.arguments
            .get(index)
            .ok_or_else(|| CallError::failed(format!("argument {} is missing", index + 1)))
    }

    /// An argument that is a string.
    pub fn text(&self, index: usize) -> Result<Text, CallError> {
        match self.value(index)? {
            Value::String(text) => Ok(text.clone()),
            other => Err(mismatch(index, "string", other)),
        }
    }

    /// An argument that is a `bool`.
    pub fn bool(&self, index: usize) -> Result<bool, CallError> {
        match self.value(index)? {
            Value::Bool(value) => Ok(*value),
            other => Err(mismatch(index, "bool", other)),
        }
    }

    /// An argument that is an `int`.
    pub fn int(&self, index: usize) -> Result<i64, CallError> {
        match self.value(index)? {
            Value::Int(value) => Ok(*value),
            other => Err(mismatch(index, "int", other)),
        }
    }

    /// An argument that is a slice.
    pub fn list(&self, index: usize) -> Result<List, CallError> {
        match self.value(index)? {
            Value::List(list) => Ok(list.clone()),
            other => Err(mismatch(index, "slice", other)),
        }
    }

    /// An argument that is a map.
    pub fn map(&self, index: usize) -> Result<Map, CallError> {
        match self.value(index)? {
            Value::Map(map) => Ok(map.clone()),
            other => Err(mismatch(index, "map", other)),
        }
    }
}

/// Arguments are checked before the call, so this is seen only where a signature and its body disagree.
fn mismatch(index: usize, expected: &str, found: &Value) -> CallError {
    CallError::failed(format!("argument {} is {}, not {expected}", index + 1, found.type_name()))
}
