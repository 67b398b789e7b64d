//! Pipelines, commands and operands.

use super::{At, Fault, State};
use crate::builtins::Slot;
use crate::error::quoted;
use crate::syntax::tree::{Command, Number, Operand, Pipe, Variable};
use crate::template::MissingKey;
use crate::value::{Map, Type, Value};

/// What a parameter accepts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'f> {
    /// Anything: the receiver of a chain of fields.
    Receiver,
    /// Anything, as Go's own functions take it.
    Anything,
    /// A value of this type.
    Typed(&'f Type),
}

impl<'t> State<'t, '_> {
    pub(super) fn pipeline(&mut self, dot: &Slot, pipe: &'t Pipe) -> Result<Slot, Fault> {
        self.nested(|state| {
            state.at = At::Pipe(pipe);
            let mut value = None;
            for command in &pipe.commands {
                let step = state.budget.spend(1);
                state.within(step)?;
                value = Some(state.command(dot, command, value)?.unboxed());
            }
            let value = value.unwrap_or_else(Slot::none);
            for variable in &pipe.variables {
                if pipe.assigns {
                    state.assign(&variable.name, value.clone())?;
                } else {
                    state.variables.push((&variable.name, value.clone()));
                }
            }
            Ok(value)
        })
    }

    fn command(&mut self, dot: &Slot, command: &'t Command, last: Option<Slot>) -> Result<Slot, Fault> {
        let first = &command.first;
        let arguments = command.arguments.as_slice();
        match first {
            Operand::Field { path, .. } => {
                self.at = At::Operand(first);
                self.fields(dot, dot.clone(), first, path, arguments, last)
            }
            Operand::Chain { .. } => self.chain(dot, first, arguments, last),
            Operand::Function { .. } => self.function(dot, first, At::Command(command), arguments, last),
            Operand::Pipe(pipe) => {
                self.no_arguments(first, arguments, last.as_ref())?;
                self.pipeline(dot, pipe)
            }
            Operand::Variable(variable) => self.variable_path(dot, first, variable, arguments, last),
            _ => {
                self.at = At::Operand(first);
                self.no_arguments(first, arguments, last.as_ref())?;
                match first {
                    Operand::Dot { .. } => Ok(dot.clone()),
                    Operand::Nil { .. } => self.fail("nil is not a command"),
                    _ => self.literal(first),
                }
            }
        }
    }

    fn no_arguments(&self, first: &Operand, arguments: &[Operand], last: Option<&Slot>) -> Result<(), Fault> {
        if arguments.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {first}"))
    }

    /// A constant where nothing says which type it should have.
    fn literal(&self, operand: &Operand) -> Result<Slot, Fault> {
        Ok(Slot::new(match operand {
            Operand::Bool { value, .. } => Value::Bool(*value),
            Operand::String { text, .. } => Value::String(text.clone()),
            Operand::Number(number) => self.ideal(number)?,
            other => {
                return self.fail(format!("can't handle assignment of {other} to empty interface argument"));
            }
        }))
    }

    fn ideal(&self, number: &Number) -> Result<Value, Fault> {
        if let Some(complex) = number.complex {
            return Ok(Value::Complex(complex));
        }
        let text = &number.text;
        let is_hex = (text.starts_with("0x") || text.starts_with("0X"))
            && text.len() > 2
            && !text.contains(['p', 'P']);
        let is_rune = text.starts_with('\'');
        match (number.float, number.int) {
            (Some(float), _) if !is_hex && !is_rune && text.contains(['.', 'e', 'E', 'p', 'P']) => {
                Ok(Value::Float(float))
            }
            (_, Some(int)) => Ok(Value::Int(int)),
            _ => self.fail(format!("{text} overflows int")),
        }
    }

    fn chain(
        &mut self,
        dot: &Slot,
        operand: &'t Operand,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        self.at = At::Operand(operand);
        let Operand::Chain { operand: receiver, path, .. } = operand else {
            return self.fail("not a chain of fields");
        };
        let receiver = self.argument(dot, Wanted::Receiver, receiver)?;
        self.fields(dot, receiver, operand, path, arguments, last)
    }

    fn variable_path(
        &mut self,
        dot: &Slot,
        operand: &'t Operand,
        variable: &'t Variable,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        self.at = At::Operand(operand);
        let Some(value) = self.variable(&variable.name).cloned() else {
            return self.fail(format!("undefined variable: {}", variable.name));
        };
        if variable.path.is_empty() {
            self.no_arguments(operand, arguments, last.as_ref())?;
            return Ok(value);
        }
        self.fields(dot, value, operand, &variable.path, arguments, last)
    }

    /// Follows a path of fields; the last one may be a method and get arguments.
    fn fields(
        &mut self,
        dot: &Slot,
        mut receiver: Slot,
        node: &'t Operand,
        path: &'t [String],
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        let Some((name, before)) = path.split_last() else { return Ok(receiver) };
        for name in before {
            receiver = self.field(dot, &receiver, node, name, &[], None)?;
        }
        self.field(dot, &receiver, node, name, arguments, last)
    }

    fn field(
        &mut self,
        dot: &Slot,
        receiver: &Slot,
        node: &'t Operand,
        name: &'t str,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        if receiver.is_none() {
            if self.template.missing_key() == MissingKey::Error {
                return self.fail(format!("nil data; no entry for key {}", quoted(name)));
            }
            return Ok(Slot::none());
        }
        if receiver.is_boxed_nil() {
            return self.fail(format!("nil pointer evaluating interface {{}}.{name}"));
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        match &receiver.value {
            Value::Record(record) => {
                if let Some(method) = record.method(name) {
                    return self.call(dot, &method, At::Operand(node), name, arguments, last);
                }
                if let Some((_, value)) = record.fields().into_iter().find(|(known, _)| *known == name) {
                    if has_arguments {
                        return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(Slot::new(value));
                }
            }
            Value::Map(map) => {
                if has_arguments {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                return self.entry(map, name);
            }
            _ => {}
        }
        let kind = if receiver.boxed { Type::Any.to_string() } else { receiver.value.type_name() };
        self.fail(format!("can't evaluate field {name} in type {kind}"))
    }

    fn entry(&self, map: &Map, name: &str) -> Result<Slot, Fault> {
        let any = map.element_type() == &Type::Any;
        if let Some(value) = map.get(name.as_bytes()) {
            return Ok(Slot::boxed(value.clone(), any));
        }
        match self.template.missing_key() {
            MissingKey::Default => Ok(Slot::none()),
            MissingKey::Zero => Ok(Slot::boxed(Value::zero(map.element_type()), any)),
            MissingKey::Error => self.fail(format!("map has no entry for key {}", quoted(name))),
        }
    }

    /// An argument, of the type that its parameter has.
    pub(super) fn argument(
        &mut self,
        dot: &Slot,
        wanted: Wanted<'_>,
        operand: &'t Operand,
    ) -> Result<Slot, Fault> {
        self.at = At::Operand(operand);
        let value = match operand {
            Operand::Dot { .. } => dot.clone(),
            Operand::Nil { .. } => return self.nil(wanted),
            Operand::Field { path, .. } => self.fields(dot, dot.clone(), operand, path, &[], None)?,
            Operand::Variable(variable) => self.variable_path(dot, operand, variable, &[], None)?,
            Operand::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Operand::Function { .. } => self.function(dot, operand, At::Operand(operand), &[], None)?,
            Operand::Chain { .. } => self.chain(dot, operand, &[], None)?,
            Operand::Bool { .. } | Operand::Number(_) | Operand::String { .. } => {
                return self.constant(wanted, operand);
            }
        };
        self.assignable(value, wanted)
    }

    fn nil(&self, wanted: Wanted<'_>) -> Result<Slot, Fault> {
        match wanted {
            Wanted::Typed(kind) if !kind.can_be_nil() => self.fail(format!("cannot assign nil to {kind}")),
            Wanted::Typed(kind) => Ok(Slot::new(Value::zero(kind))),
            Wanted::Anything | Wanted::Receiver => Ok(Slot::none()),
        }
    }

    /// A constant, which takes the type of its parameter.
    fn constant(&self, wanted: Wanted<'_>, operand: &Operand) -> Result<Slot, Fault> {
        let Wanted::Typed(kind) = wanted else { return self.literal(operand) };
        let (value, expected) = match (kind, operand) {
            (Type::Any, _) => return self.literal(operand),
            (Type::Bool, Operand::Bool { value, .. }) => (Some(Value::Bool(*value)), "bool"),
            (Type::Bool, _) => (None, "bool"),
            (Type::String, Operand::String { text, .. }) => (Some(Value::String(text.clone())), "string"),
            (Type::String, _) => (None, "string"),
            (Type::Int, Operand::Number(number)) => (number.int.map(Value::Int), "integer"),
            (Type::Int, _) => (None, "integer"),
            (Type::Uint(width), Operand::Number(number)) => {
                (number.uint.map(|uint| Value::Uint(uint, *width)), "unsigned integer")
            }
            (Type::Uint(_), _) => (None, "unsigned integer"),
            (Type::Float, Operand::Number(number)) => (number.float.map(Value::Float), "float"),
            (Type::Float, _) => (None, "float"),
            _ => return self.fail(format!("can't handle {operand} for arg of type {kind}")),
        };
        match value {
            Some(value) => Ok(Slot::new(value)),
            None => self.fail(format!("expected {expected}; found {operand}")),
        }
    }

    /// The value as it arrives at a parameter.
    pub(super) fn assignable(&self, slot: Slot, wanted: Wanted<'_>) -> Result<Slot, Fault> {
        let Wanted::Typed(kind) = wanted else { return Ok(slot) };
        if slot.is_none() {
            if kind.can_be_nil() {
                return Ok(Slot::new(Value::zero(kind)));
            }
            return self.fail(format!("invalid value; expected {kind}"));
        }
        if kind == &Type::Any {
            return Ok(slot);
        }
        match slot.value.type_of() {
            Some(found) if kind.accepts(&found) => Ok(slot.unboxed()),
            Some(found) => self.fail(format!("wrong type for value; expected {kind}; got {found}")),
            None => self.fail(format!("wrong type for value; expected {kind}; got interface {{}}")),
        }
    }
}
