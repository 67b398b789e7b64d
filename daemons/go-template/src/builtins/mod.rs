//! The functions that every template has.

mod compare;
mod escape;
mod index;

use crate::budget::Budget;
use crate::print::{print, printf, println};
use crate::text::Text;
use crate::value::{CallError, Value};

/// A value, and whether it was found in an `interface {}`: Go tells a nil there from no value at all.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) value: Value,
    pub(crate) boxed: bool,
}

impl Slot {
    pub(crate) fn new(value: Value) -> Self {
        Self { value, boxed: false }
    }

    pub(crate) fn boxed(value: Value, boxed: bool) -> Self {
        Self { value, boxed }
    }

    pub(crate) fn none() -> Self {
        Self::new(Value::Nil)
    }

    /// No value at all, which is not a nil.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.value, Value::Nil) && !self.boxed
    }

    /// A nil in an `interface {}`.
    pub(crate) fn is_boxed_nil(&self) -> bool {
        matches!(self.value, Value::Nil) && self.boxed
    }

    /// The same value, not minding where it was found.
    pub(crate) fn unboxed(self) -> Self {
        Self::new(self.value)
    }
}

/// One of Go's own functions. `and`, `or` and `call` are known to the evaluator, since they are special there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    Urlquery,
}

/// What a function of Go's own takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arity {
    pub(crate) fixed: usize,
    pub(crate) variadic: bool,
}

impl Builtin {
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "call" => Self::Call,
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "html" => Self::Html,
            "index" => Self::Index,
            "js" => Self::Js,
            "le" => Self::Le,
            "len" => Self::Len,
            "lt" => Self::Lt,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "slice" => Self::Slice,
            "urlquery" => Self::Urlquery,
            _ => return None,
        })
    }

    pub(crate) fn arity(self) -> Arity {
        let (fixed, variadic) = match self {
            Self::And | Self::Or | Self::Call | Self::Eq | Self::Index | Self::Slice | Self::Printf => {
                (1, true)
            }
            Self::Html | Self::Js | Self::Urlquery | Self::Print | Self::Println => (0, true),
            Self::Len | Self::Not => (1, false),
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => (2, false),
        };
        Arity { fixed, variadic }
    }

    /// Calls it. The evaluator has seen to the number of arguments.
    pub(crate) fn invoke(self, slots: Vec<Slot>, budget: &mut Budget) -> Result<Slot, CallError> {
        let mut slots = slots.into_iter();
        let mut next = || slots.next().unwrap_or_else(Slot::none);
        let truth = |value| Slot::new(Value::Bool(value));
        Ok(match self {
            Self::Eq => {
                let first = next().value;
                truth(compare::equal(&first, &values(slots))?)
            }
            Self::Ne => truth(!compare::equal(&next().value, &[next().value])?),
            Self::Lt => truth(compare::less(&next().value, &next().value)?),
            Self::Le => truth(compare::less_or_equal(&next().value, &next().value)?),
            Self::Gt => truth(!compare::less_or_equal(&next().value, &next().value)?),
            Self::Ge => truth(!compare::less(&next().value, &next().value)?),
            Self::Not => truth(!next().value.truth()),
            Self::Len => Slot::new(Value::Int(index::length(&next())?)),
            Self::Index => {
                let item = next();
                index::index(item, slots)?
            }
            Self::Slice => {
                let item = next().value;
                Slot::new(index::slice(&item, &values(slots))?)
            }
            Self::Print => text(print(&values(slots), budget)?),
            Self::Println => text(println(&values(slots), budget)?),
            Self::Printf => match next().value {
                Value::String(format) => text(printf(&format, &values(slots), budget)?),
                other => return Err(CallError::failed(format!("format is {}", other.type_name()))),
            },
            Self::Html => text(escape::html(&printable(slots, budget)?, budget)?),
            Self::Js => text(escape::js(&printable(slots, budget)?, budget)?),
            Self::Urlquery => text(escape::urlquery(&printable(slots, budget)?, budget)?),
            Self::And | Self::Or | Self::Call => next(),
        })
    }
}

fn values(slots: impl Iterator<Item = Slot>) -> Vec<Value> {
    slots.map(|slot| slot.value).collect()
}

fn text(bytes: Vec<u8>) -> Slot {
    Slot::new(Value::String(Text::from(bytes)))
}

/// The arguments of an escaper as one text; no value is a text too.
fn printable(slots: impl Iterator<Item = Slot>, budget: &Budget) -> Result<Vec<u8>, CallError> {
    let values: Vec<Value> = slots
        .map(|slot| match slot.value {
            Value::Nil => Value::from("<no value>"),
            other => other,
        })
        .collect();
    print(&values, budget)
}
