//! Evaluates a tree.

mod call;
mod expression;
mod walk;

use crate::budget::Budget;
use crate::builtins::Slot;
use crate::error::{Place, RenderError};
use crate::syntax::tree::{Command, Invocation, Operand, Pipe};
use crate::template::Template;
use crate::value::{CallError, Functions, Value};

/// Renders the template of this name.
pub(crate) fn run(
    template: &Template,
    name: &str,
    data: &Value,
    functions: &Functions,
    budget: &mut Budget,
) -> Result<Vec<u8>, RenderError> {
    let mut out = Vec::new();
    let data = Slot::new(data.clone());
    let mut state = State {
        template,
        name,
        functions,
        budget,
        out: &mut out,
        at: At::Start,
        variables: vec![("$", data.clone())],
    };
    if let Some(items) = template.tree(name) {
        state.walk(&data, items).map_err(|fault| *fault)?;
    }
    Ok(out)
}

/// Errors are rare and big; boxed, they cost the good way nothing.
type Fault = Box<RenderError>;

/// What is being evaluated, for messages.
#[derive(Debug, Clone, Copy)]
enum At<'t> {
    Start,
    Pipe(&'t Pipe),
    Operand(&'t Operand),
    Command(&'t Command),
    Action(usize, &'t Pipe),
    Template(&'t Invocation),
}

/// How items ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct State<'t, 'e> {
    template: &'t Template,
    /// The template being executed: the file, or one defined in it.
    name: &'t str,
    functions: &'e Functions,
    budget: &'e mut Budget,
    out: &'e mut Vec<u8>,
    at: At<'t>,
    /// Variables in scope, innermost last.
    variables: Vec<(&'t str, Slot)>,
}

impl State<'_, '_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, Fault> {
        let (offset, context) = match self.at {
            At::Start => (0, String::new()),
            At::Pipe(pipe) => (pipe.pos, pipe.to_string()),
            At::Operand(operand) => (operand.pos(), operand.to_string()),
            At::Command(command) => (command.pos, command.to_string()),
            At::Action(pos, pipe) => (pos, format!("{{{{{pipe}}}}}")),
            At::Template(invocation) => (invocation.pos, invocation.to_string()),
        };
        Err(Box::new(RenderError {
            place: Place::of(self.template.name(), self.template.text(), offset),
            template: self.name.to_owned(),
            context,
            what: what.into(),
        }))
    }

    fn within<T>(&self, result: Result<T, CallError>) -> Result<T, Fault> {
        result.or_else(|error| self.fail(error.to_string()))
    }

    /// One level deeper, for as long as `inner` runs.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let entered = self.budget.descend();
        self.within(entered)?;
        let result = inner(self);
        self.budget.ascend();
        result
    }

    fn variable(&self, name: &str) -> Option<&Slot> {
        self.variables.iter().rev().find(|(known, _)| *known == name).map(|(_, slot)| slot)
    }

    fn assign(&mut self, name: &str, value: Slot) -> Result<(), Fault> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            // The parser lets an assignment pass for a declaration, as Go's does.
            None => self.fail(format!("undefined variable: {name}")),
        }
    }
}
