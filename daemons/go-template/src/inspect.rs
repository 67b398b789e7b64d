//! What can be told about a template without rendering it: its calls, what it prints, what it lacks.

use crate::builtins::Builtin;
use crate::error::Place;
use crate::syntax::tree::{Command, Item, Operand, Pipe};
use crate::template::Template;
use crate::value::{Functions, Type, Value};

/// What a template does, as far as its text tells.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Calls of functions, in the order of the text.
    pub calls: Vec<CallSite>,
    /// Fields that are printed and may have no value.
    pub fields: Vec<PrintedField>,
    /// Templates that are invoked and not defined.
    pub undefined: Vec<(Place, String)>,
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct CallSite {
    /// Where.
    pub place: Place,
    /// The function.
    pub function: String,
    /// What it gets; what comes through a pipe is last.
    pub arguments: Vec<Argument>,
}

/// What a function gets.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Its type, where the text tells.
    pub kind: Option<Type>,
    /// Its value, where the text tells.
    pub constant: Option<Value>,
    /// The function that it comes from.
    pub function: Option<String>,
}

/// A field that is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedField {
    /// Where.
    pub place: Place,
    /// The expression.
    pub expression: String,
    /// It never has a value: the template as a whole has no data.
    pub never: bool,
}

/// What is known about a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// The dot of the whole template, which has no data.
    NoData,
    Nothing,
    Type(Type),
}

impl Known {
    fn kind(&self) -> Option<Type> {
        match self {
            Self::Type(kind) if kind != &Type::Any => Some(kind.clone()),
            _ => None,
        }
    }

    fn element(&self) -> Self {
        match self {
            Self::Type(Type::List { element, .. } | Type::Map { element }) => {
                Self::Type(element.as_ref().clone())
            }
            Self::Type(Type::Int) => Self::Type(Type::Int),
            _ => Self::Nothing,
        }
    }

    fn field(&self, name: &str) -> Self {
        match self {
            Self::NoData => Self::NoData,
            Self::Type(Type::Map { element }) => Self::Type(element.as_ref().clone()),
            Self::Type(Type::Any) => Self::Type(Type::Any),
            Self::Type(Type::Record(_)) if matches!(name, "Key" | "Value" | "Target") => {
                Self::Type(Type::String)
            }
            _ => Self::Nothing,
        }
    }
}

impl Template {
    /// Looks at the whole template, with no data for it, as confd renders its templates.
    pub fn inspect(&self, functions: &Functions) -> Inspection {
        let mut inspector =
            Inspector { template: self, functions, found: Inspection::default(), variables: Vec::new() };
        for (name, items) in self.trees() {
            let dot = if name == self.name() { Known::NoData } else { Known::Nothing };
            inspector.variables = vec![("$".to_owned(), dot.clone())];
            inspector.items(items, &dot);
        }
        inspector.found
    }
}

struct Inspector<'t> {
    template: &'t Template,
    functions: &'t Functions,
    found: Inspection,
    variables: Vec<(String, Known)>,
}

impl Inspector<'_> {
    fn place(&self, offset: usize) -> Place {
        Place::of(self.template.name(), self.template.text(), offset)
    }

    fn items(&mut self, items: &[Item], dot: &Known) {
        for item in items {
            self.item(item, dot);
        }
    }

    fn item(&mut self, item: &Item, dot: &Known) {
        match item {
            Item::Text(_) | Item::Break | Item::Continue => {}
            Item::Action { pipe, .. } => {
                self.pipe(pipe, dot);
                if pipe.variables.is_empty() {
                    self.printed(pipe, dot);
                }
            }
            Item::If(branch) | Item::With(branch) | Item::Range(branch) => {
                let mark = self.variables.len();
                let value = self.pipe(&branch.pipe, dot);
                let inner = match item {
                    Item::With(_) => value,
                    Item::Range(_) => value.element(),
                    _ => dot.clone(),
                };
                if matches!(item, Item::Range(_))
                    && let Some(variable) = branch.pipe.variables.last()
                {
                    self.variables.push((variable.name.clone(), inner.clone()));
                }
                self.items(&branch.body, &inner);
                if let Some(otherwise) = &branch.otherwise {
                    self.items(otherwise, dot);
                }
                self.variables.truncate(mark);
            }
            Item::Template(invocation) => {
                if let Some(pipe) = &invocation.pipe {
                    self.pipe(pipe, dot);
                }
                if self.template.tree(&invocation.name).is_none() {
                    let place = self.place(invocation.pos);
                    self.found.undefined.push((place, invocation.name.clone()));
                }
            }
        }
    }

    /// Notes a field whose value may be missing when it is printed.
    fn printed(&mut self, pipe: &Pipe, dot: &Known) {
        let [command] = pipe.commands.as_slice() else { return };
        let (receiver, path) = match &command.first {
            Operand::Field { path, .. } => (dot.clone(), path),
            Operand::Variable(variable) => (self.variable(&variable.name), &variable.path),
            Operand::Chain { operand, path, .. } => (self.operand(operand, dot, false), path),
            _ => return,
        };
        if path.is_empty() || !command.arguments.is_empty() {
            return;
        }
        let never = receiver == Known::NoData;
        if never || matches!(receiver, Known::Type(Type::Any | Type::Map { .. })) {
            let place = self.place(command.pos);
            self.found.fields.push(PrintedField { place, expression: command.to_string(), never });
        }
    }

    fn variable(&self, name: &str) -> Known {
        self.variables
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map_or(Known::Nothing, |(_, value)| value.clone())
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Known) -> Known {
        let mut last: Option<Argument> = None;
        let mut value = Known::Nothing;
        for command in &pipe.commands {
            value = self.command(command, dot, last);
            last = Some(Argument {
                kind: value.kind(),
                constant: constant(&command.first).filter(|_| command.arguments.is_empty()),
                function: function_name(&command.first),
            });
        }
        for variable in &pipe.variables {
            // What is assigned in a branch may be of another type elsewhere.
            let known = if pipe.assigns { Known::Nothing } else { value.clone() };
            self.variables.push((variable.name.clone(), known));
        }
        value
    }

    fn command(&mut self, command: &Command, dot: &Known, last: Option<Argument>) -> Known {
        let mut arguments: Vec<Argument> = Vec::new();
        for operand in &command.arguments {
            let kind = self.operand(operand, dot, true).kind();
            arguments.push(Argument { kind, constant: constant(operand), function: function_name(operand) });
        }
        arguments.extend(last);
        let Operand::Function { pos, name } = &command.first else {
            return self.operand(&command.first, dot, true);
        };
        let place = self.place(*pos);
        self.found.calls.push(CallSite { place, function: name.clone(), arguments });
        self.result(name)
    }

    fn result(&self, name: &str) -> Known {
        if let Some(function) = self.functions.get(name) {
            return Known::Type(function.result().clone());
        }
        match Builtin::find(name) {
            Some(
                Builtin::Print
                | Builtin::Printf
                | Builtin::Println
                | Builtin::Html
                | Builtin::Js
                | Builtin::Urlquery,
            ) => Known::Type(Type::String),
            Some(Builtin::Len) => Known::Type(Type::Int),
            Some(
                Builtin::Eq
                | Builtin::Ne
                | Builtin::Lt
                | Builtin::Le
                | Builtin::Gt
                | Builtin::Ge
                | Builtin::Not,
            ) => Known::Type(Type::Bool),
            _ => Known::Nothing,
        }
    }

    /// What an operand is; `note` when calls in it were not noted yet.
    fn operand(&mut self, operand: &Operand, dot: &Known, note: bool) -> Known {
        let along = |start: Known, path: &[String]| path.iter().fold(start, |known, name| known.field(name));
        match operand {
            Operand::Dot { .. } => dot.clone(),
            Operand::Field { path, .. } => along(dot.clone(), path),
            Operand::Variable(variable) => along(self.variable(&variable.name), &variable.path),
            Operand::Chain { operand, path, .. } => {
                let start = self.operand(operand, dot, note);
                along(start, path)
            }
            Operand::Function { pos, name } => {
                if note {
                    let place = self.place(*pos);
                    self.found.calls.push(CallSite { place, function: name.clone(), arguments: Vec::new() });
                }
                self.result(name)
            }
            Operand::Pipe(pipe) if note => self.pipe(pipe, dot),
            Operand::Pipe(pipe) => {
                let calls = self.found.calls.len();
                let value = self.pipe(pipe, dot);
                self.found.calls.truncate(calls);
                value
            }
            other => constant(other).and_then(|value| value.type_of()).map_or(Known::Nothing, Known::Type),
        }
    }
}

fn constant(operand: &Operand) -> Option<Value> {
    match operand {
        Operand::Bool { value, .. } => Some(Value::Bool(*value)),
        Operand::String { text, .. } => Some(Value::String(text.clone())),
        Operand::Number(number) if number.complex.is_some() => number.complex.map(Value::Complex),
        Operand::Number(number) if number.text.contains(['.', 'e', 'E', 'p', 'P']) => {
            number.float.map(Value::Float)
        }
        Operand::Number(number) => number.int.map(Value::Int),
        Operand::Pipe(Pipe { commands, .. }) => match commands.as_slice() {
            [command] if command.arguments.is_empty() => constant(&command.first),
            _ => None,
        },
        _ => None,
    }
}

fn function_name(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Function { name, .. } => Some(name.clone()),
        Operand::Pipe(pipe) => pipe.commands.last().and_then(|command| function_name(&command.first)),
        _ => None,
    }
}
