//! The tree of a template, and how its parts are written in messages.

use std::fmt;

use crate::text::Text;
use crate::value::Complex;

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) pos: usize,
    /// As it was written.
    pub(crate) text: String,
    /// Its value as `int`, where it has one.
    pub(crate) int: Option<i64>,
    /// Its value as `uint`, where it has one.
    pub(crate) uint: Option<u64>,
    /// Its value as `float64`, where it has one.
    pub(crate) float: Option<f64>,
    /// Its value as `complex128`, for one that is written with an `i`.
    pub(crate) complex: Option<Complex>,
}

/// A part of a command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Bool { pos: usize, value: bool },
    Dot { pos: usize },
    Nil { pos: usize },
    Number(Number),
    String { pos: usize, quoted: Text, text: Text },
    Field { pos: usize, path: Vec<String> },
    Variable(Variable),
    Function { pos: usize, name: String },
    Pipe(Pipe),
    Chain { pos: usize, operand: Box<Operand>, path: Vec<String> },
}

/// `$x`, or `$x.Field.Field`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    pub(crate) pos: usize,
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
}

/// Operands; the first one is a function, a method or the value itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub(crate) pos: usize,
    pub(crate) first: Operand,
    pub(crate) arguments: Vec<Operand>,
}

/// Commands, each of which gets the value of the one before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipe {
    pub(crate) pos: usize,
    /// Variables exist already and get new values.
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<Variable>,
    pub(crate) commands: Vec<Command>,
}

/// What `if`, `range` and `with` have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Item>,
    pub(crate) otherwise: Option<Vec<Item>>,
}

/// `{{template "name" pipeline}}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Invocation {
    pub(crate) pos: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Text(Text),
    Action { pos: usize, pipe: Pipe },
    If(Branch),
    Range(Branch),
    With(Branch),
    Template(Invocation),
    Break,
    Continue,
}

impl Operand {
    pub(crate) fn pos(&self) -> usize {
        match self {
            Self::Bool { pos, .. }
            | Self::Dot { pos }
            | Self::Nil { pos }
            | Self::String { pos, .. }
            | Self::Field { pos, .. }
            | Self::Function { pos, .. }
            | Self::Chain { pos, .. } => *pos,
            Self::Number(number) => number.pos,
            Self::Variable(variable) => variable.pos,
            Self::Pipe(pipe) => pipe.pos,
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool { value, .. } => write!(out, "{value}"),
            Self::Dot { .. } => out.write_str("."),
            Self::Nil { .. } => out.write_str("nil"),
            Self::Number(number) => out.write_str(&number.text),
            Self::String { quoted, .. } => write!(out, "{quoted}"),
            Self::Field { path, .. } => write_path(out, path),
            Self::Variable(variable) => write!(out, "{variable}"),
            Self::Function { name, .. } => out.write_str(name),
            Self::Pipe(pipe) => write!(out, "{pipe}"),
            Self::Chain { operand, path, .. } => {
                match operand.as_ref() {
                    Self::Pipe(pipe) => write!(out, "({pipe})")?,
                    other => write!(out, "{other}")?,
                }
                write_path(out, path)
            }
        }
    }
}

fn write_path(out: &mut fmt::Formatter<'_>, path: &[String]) -> fmt::Result {
    path.iter().try_for_each(|name| write!(out, ".{name}"))
}

impl fmt::Display for Variable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        write_path(out, &self.path)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, operand) in std::iter::once(&self.first).chain(&self.arguments).enumerate() {
            if index > 0 {
                out.write_str(" ")?;
            }
            match operand {
                Operand::Pipe(pipe) => write!(out, "({pipe})")?,
                other => write!(out, "{other}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, variable) in self.variables.iter().enumerate() {
            write!(out, "{}{variable}", if index > 0 { ", " } else { "" })?;
        }
        if !self.variables.is_empty() {
            out.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(out, "{}{command}", if index > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{{{{template {}", crate::error::quoted(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(out, " {pipe}")?;
        }
        out.write_str("}}")
    }
}
