//! Pipelines, commands and operands.

use super::{Parser, Result};
use crate::error::quoted;
use crate::quote::unquote;
use crate::syntax::number;
use crate::syntax::token::Kind;
use crate::syntax::tree::{Command, Operand, Pipe, Variable};
use crate::text::Text;

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let pos = self.peek_non_space().1;
        let mut pipe = Pipe { pos, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            if token.kind == end {
                break;
            }
            match token.kind {
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.push_back(token);
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check_pipeline(&pipe, context)?;
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        while self.peek_non_space().0 == Kind::Variable {
            let variable = self.next();
            let after = self.next();
            let next = if after.kind == Kind::Space { self.next_non_space() } else { after.clone() };
            let comma = next.kind == Kind::Char && next.text == b",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.push_back(next);
                if after.kind == Kind::Space {
                    self.push_back(after);
                }
                self.push_back(variable);
                return Ok(());
            }
            let declared = new_variable(variable.pos, &variable.text);
            self.scope.variables.push(String::from_utf8_lossy(&variable.text).into_owned());
            pipe.variables.push(declared);
            if !comma {
                pipe.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() >= 2 {
                return self.error(format!("too many declarations in {context}"));
            }
            let follows = self.peek_non_space().0;
            if !matches!(follows, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return self.error("range can only initialize variables");
            }
        }
        Ok(())
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.first,
                Operand::Bool { .. }
                    | Operand::Dot { .. }
                    | Operand::Nil { .. }
                    | Operand::Number(_)
                    | Operand::String { .. }
            ) {
                return self.error(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let pos = self.peek_non_space().1;
        let mut operands = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.push_back(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        let mut operands = operands.into_iter();
        match operands.next() {
            Some(first) => Ok(Command { pos, first, arguments: operands.collect() }),
            None => self.error("empty command"),
        }
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek() != Kind::Field {
            return Ok(Some(term));
        }
        let mut first = None;
        let mut fields = Vec::new();
        while self.peek() == Kind::Field {
            let token = self.next();
            first.get_or_insert(token.pos);
            fields.push(String::from_utf8_lossy(token.text.get(1..).unwrap_or_default()).into_owned());
        }
        let pos = first.unwrap_or_default();
        match term {
            Operand::Field { mut path, .. } => {
                path.append(&mut fields);
                Ok(Some(Operand::Field { pos, path }))
            }
            Operand::Variable(mut variable) => {
                variable.path.append(&mut fields);
                Ok(Some(Operand::Variable(Variable { pos, ..variable })))
            }
            Operand::Bool { .. }
            | Operand::String { .. }
            | Operand::Number(_)
            | Operand::Nil { .. }
            | Operand::Dot { .. } => {
                self.error(format!("unexpected . after term {}", quoted(&term.to_string())))
            }
            other => Ok(Some(Operand::Chain { pos, operand: Box::new(other), path: fields })),
        }
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.next_non_space();
        let pos = token.pos;
        let text = String::from_utf8_lossy(&token.text).into_owned();
        let operand = match token.kind {
            Kind::Identifier => {
                if !(self.is_function)(&text) {
                    return self.error(format!("function {} not defined", quoted(&text)));
                }
                Operand::Function { pos, name: text }
            }
            Kind::Dot => Operand::Dot { pos },
            Kind::Nil => Operand::Nil { pos },
            Kind::Variable => {
                if !self.scope.variables.contains(&text) {
                    return self.error(format!("undefined variable {}", quoted(&text)));
                }
                Operand::Variable(new_variable(pos, &token.text))
            }
            Kind::Field => Operand::Field { pos, path: vec![text.trim_start_matches('.').to_owned()] },
            Kind::Bool => Operand::Bool { pos, value: text == "true" },
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                match number::parse(pos, &token.text, token.kind) {
                    Ok(number) => Operand::Number(number),
                    Err(what) => return self.error(what),
                }
            }
            Kind::LeftParen => Operand::Pipe(
                self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?,
            ),
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(value) => {
                    Operand::String { pos, quoted: Text::from(token.text), text: Text::from(value) }
                }
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.push_back(token);
                return Ok(None);
            }
        };
        Ok(Some(operand))
    }
}

fn new_variable(pos: usize, text: &[u8]) -> Variable {
    Variable { pos, name: String::from_utf8_lossy(text).into_owned(), path: Vec::new() }
}
