//! Calls of functions and methods.

use super::expression::Wanted;
use super::{At, Fault, State};
use crate::builtins::{Arity, Builtin, Slot};
use crate::syntax::tree::Operand;
use crate::value::{Call, Function, Type, Value};

/// Lists and maps inside each other: printing one, and letting go of it, goes as deep.
const MAX_VALUE_DEPTH: usize = 100;

/// How much of its arguments a function may look at for one step.
const BYTES_PER_STEP: usize = 64;

impl<'t> State<'t, '_> {
    /// Calls the function that an operand names.
    pub(super) fn function(
        &mut self,
        dot: &Slot,
        operand: &'t Operand,
        node: At<'t>,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        self.at = At::Operand(operand);
        let Operand::Function { name, .. } = operand else {
            return self.fail("not the name of a function");
        };
        let functions = self.functions;
        if let Some(function) = functions.get(name) {
            return self.call(dot, function, node, name, arguments, last);
        }
        match Builtin::find(name) {
            Some(builtin) => self.call_builtin(dot, builtin, node, name, arguments, last),
            None => self.fail(format!("{} is not a defined function", crate::error::quoted(name))),
        }
    }

    fn check_count(&self, name: &str, arity: Arity, given: usize, piped: bool) -> Result<(), Fault> {
        let all = given + usize::from(piped);
        let Arity { fixed, variadic } = arity;
        if variadic && all < fixed {
            return self.fail(format!("wrong number of args for {name}: want at least {fixed} got {given}"));
        }
        if !variadic && all != fixed {
            return self.fail(format!("wrong number of args for {name}: want {fixed} got {all}"));
        }
        Ok(())
    }

    pub(super) fn call(
        &mut self,
        dot: &Slot,
        function: &Function,
        node: At<'t>,
        name: &'t str,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        let parameters = function.parameters();
        let variadic = function.variadic_type();
        let arity = Arity { fixed: parameters.len(), variadic: variadic.is_some() };
        self.check_count(name, arity, arguments.len(), last.is_some())?;
        let wanted = |index: usize| parameters.get(index).or(variadic).unwrap_or(&Type::Any);
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (index, operand) in arguments.iter().enumerate() {
            values.push(self.argument(dot, Wanted::Typed(wanted(index)), operand)?.value);
        }
        if let Some(last) = last {
            let last = self.assignable(last, Wanted::Typed(wanted(values.len())))?;
            values.push(last.value);
        }
        self.invoke(function, node, name, values)
    }

    fn invoke(
        &mut self,
        function: &Function,
        node: At<'t>,
        name: &str,
        values: Vec<Value>,
    ) -> Result<Slot, Fault> {
        self.charge(values.iter(), node)?;
        let result = function.invoke(&mut Call::new(values, self.budget, self.functions));
        let slot = result.map(|value| Slot::boxed(value, function.result() == &Type::Any));
        self.finish(slot, node, name)
    }

    /// A function looks at all of its arguments, so big ones cost more steps.
    fn charge<'v>(&mut self, values: impl Iterator<Item = &'v Value>, node: At<'t>) -> Result<(), Fault> {
        let bytes = values.fold(0_usize, |sum, value| sum.saturating_add(value.weight()));
        let paid = self.budget.spend(bytes / BYTES_PER_STEP);
        if paid.is_err() {
            self.at = node;
        }
        self.within(paid)
    }

    /// Errors of a call name the whole command; its result is paid for.
    fn finish(
        &mut self,
        result: Result<Slot, crate::value::CallError>,
        node: At<'t>,
        name: &str,
    ) -> Result<Slot, Fault> {
        let result = result.and_then(|slot| {
            self.budget.allocate(slot.value.weight())?;
            Ok(slot)
        });
        match result {
            Ok(slot) if slot.value.depth() > MAX_VALUE_DEPTH => {
                self.at = node;
                self.fail(format!("error calling {name}: values nested deeper than {MAX_VALUE_DEPTH} levels"))
            }
            Ok(slot) => Ok(slot),
            Err(error) => {
                self.at = node;
                self.fail(format!("error calling {name}: {error}"))
            }
        }
    }

    fn call_builtin(
        &mut self,
        dot: &Slot,
        builtin: Builtin,
        node: At<'t>,
        name: &'t str,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        self.check_count(name, builtin.arity(), arguments.len(), last.is_some())?;
        if matches!(builtin, Builtin::And | Builtin::Or) {
            return self.short_circuit(dot, builtin == Builtin::Or, arguments, last);
        }
        let wanted = |index: usize| match builtin {
            Builtin::Printf if index == 0 => Wanted::Typed(&Type::String),
            Builtin::Print
            | Builtin::Println
            | Builtin::Printf
            | Builtin::Html
            | Builtin::Js
            | Builtin::Urlquery => Wanted::Typed(&Type::Any),
            _ => Wanted::Anything,
        };
        let mut slots = Vec::with_capacity(arguments.len() + 1);
        for (index, operand) in arguments.iter().enumerate() {
            let slot = self.argument(dot, wanted(index), operand)?;
            slots.push(slot);
        }
        if let Some(last) = last {
            let last = self.assignable(last, wanted(slots.len()))?;
            slots.push(last);
        }
        if builtin == Builtin::Call {
            let callee = arguments.first().map_or_else(|| name.to_owned(), ToString::to_string);
            return self.call_value(slots, node, &callee);
        }
        self.charge(slots.iter().map(|slot| &slot.value), node)?;
        let result = builtin.invoke(slots, self.budget);
        self.finish(result, node, name)
    }

    /// `and` and `or` evaluate no more than they need, and give the value that decided.
    fn short_circuit(
        &mut self,
        dot: &Slot,
        until: bool,
        arguments: &'t [Operand],
        last: Option<Slot>,
    ) -> Result<Slot, Fault> {
        let mut value = Slot::none();
        for operand in arguments {
            value = self.argument(dot, Wanted::Anything, operand)?;
            if value.value.truth() == until {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// `call`: the function is a value.
    fn call_value(&mut self, slots: Vec<Slot>, node: At<'t>, callee: &str) -> Result<Slot, Fault> {
        let mut values = slots.into_iter().map(|slot| slot.value);
        let function = values.next().unwrap_or(Value::Nil);
        let values: Vec<Value> = values.collect();
        let checked = check_callee(&function, callee, &values);
        match checked {
            Ok(function) => {
                self.charge(values.iter(), node)?;
                let result = function.invoke(&mut Call::new(values, self.budget, self.functions));
                self.finish(result.map(Slot::new), node, "call")
            }
            Err(what) => {
                self.at = node;
                self.fail(format!("error calling call: {what}"))
            }
        }
    }
}

fn check_callee<'v>(value: &'v Value, callee: &str, values: &[Value]) -> Result<&'v Function, String> {
    let function = match value {
        Value::Function(function) => function,
        Value::Nil => return Err("call of nil".to_owned()),
        other => return Err(format!("non-function {callee} of type {}", other.type_name())),
    };
    let (fixed, given) = (function.parameters().len(), values.len());
    if function.variadic_type().is_some() && given < fixed {
        return Err(format!("wrong number of args for {callee}: got {given} want at least {fixed}"));
    }
    if function.variadic_type().is_none() && given != fixed {
        return Err(format!("wrong number of args for {callee}: got {given} want {fixed}"));
    }
    for (index, value) in values.iter().enumerate() {
        let wanted = function.parameters().get(index).or(function.variadic_type()).unwrap_or(&Type::Any);
        match value.type_of() {
            None if !wanted.can_be_nil() => {
                return Err(format!("arg {index}: value is nil; should be of type {wanted}"));
            }
            Some(found) if !wanted.accepts(&found) => {
                return Err(format!("arg {index}: value has type {found}; should be {wanted}"));
            }
            _ => {}
        }
    }
    Ok(function)
}
