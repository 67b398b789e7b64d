//! Items: text, actions, branches, loops and other templates.

use super::{At, Fault, Flow, State};
use crate::builtins::Slot;
use crate::print::{Printer, shown};
use crate::syntax::tree::{Branch, Invocation, Item, Pipe};
use crate::value::{Type, Value};

impl<'t> State<'t, '_> {
    pub(super) fn walk(&mut self, dot: &Slot, items: &'t [Item]) -> Result<Flow, Fault> {
        self.nested(|state| {
            for item in items {
                let flow = state.item(dot, item)?;
                if flow != Flow::On {
                    return Ok(flow);
                }
            }
            Ok(Flow::On)
        })
    }

    fn item(&mut self, dot: &Slot, item: &'t Item) -> Result<Flow, Fault> {
        let step = self.budget.spend(1);
        self.within(step)?;
        match item {
            Item::Text(text) => self.write(text)?,
            Item::Action { pos, pipe } => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at = At::Action(*pos, pipe);
                    self.print(&value.value, pipe)?;
                }
            }
            Item::If(branch) => return self.branch(dot, branch, false),
            Item::With(branch) => return self.branch(dot, branch, true),
            Item::Range(branch) => return self.range(dot, branch),
            Item::Template(invocation) => self.invocation(dot, invocation)?,
            Item::Break => return Ok(Flow::Break),
            Item::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let room = self.budget.write(bytes.len());
        self.within(room)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn print(&mut self, value: &Value, pipe: &Pipe) -> Result<(), Fault> {
        match value {
            Value::Nil => self.write(b"<no value>"),
            Value::String(text) => self.write(text),
            Value::Function(_) => {
                self.fail(format!("can't print {{{{{pipe}}}}} of type {}", value.type_name()))
            }
            other => {
                let mut printer = Printer::new(self.budget.output());
                printer.operand(other, 'v');
                match printer.into_bytes() {
                    Some(bytes) => self.write(&bytes),
                    None => self.fail(self.budget.output_full().to_string()),
                }
            }
        }
    }

    fn branch(&mut self, dot: &Slot, branch: &'t Branch, moves_dot: bool) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.value.truth() {
            self.walk(if moves_dot { &value } else { dot }, &branch.body)
        } else if let Some(otherwise) = &branch.otherwise {
            self.walk(dot, otherwise)
        } else {
            Ok(Flow::On)
        }?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Slot, branch: &'t Branch) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?.value;
        let ran = match &value {
            Value::Nil => None,
            Value::Int(_) | Value::Uint(..) => self.count(branch, &value)?,
            Value::List(list) => {
                let any = list.element_type() == &Type::Any;
                // They are copied, even if the loop ends at once.
                let copied = self.budget.spend(list.len() / 16);
                self.within(copied)?;
                let elements = list.elements().into_iter().enumerate().map(|(index, element)| {
                    let index = i64::try_from(index).unwrap_or(i64::MAX);
                    (Slot::new(Value::Int(index)), Slot::boxed(element, any))
                });
                self.iterate(branch, elements)?
            }
            Value::Map(map) => {
                let any = map.element_type() == &Type::Any;
                let entries = map.entries().iter().map(|(key, element)| {
                    (Slot::new(Value::String(key.clone())), Slot::boxed(element.clone(), any))
                });
                self.iterate(branch, entries)?
            }
            other => return self.fail(format!("range can't iterate over {}", shown(other))),
        };
        let flow = match (ran, &branch.otherwise) {
            (None, Some(otherwise)) => self.walk(dot, otherwise)?,
            _ => Flow::On,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    /// From 0 up to a number, in its own type.
    fn count(&mut self, branch: &'t Branch, end: &Value) -> Result<Option<Flow>, Fault> {
        if branch.pipe.variables.len() > 1 {
            return self.fail(format!("can't use {} to iterate over more than one variable", shown(end)));
        }
        match *end {
            Value::Int(end) => {
                self.iterate(branch, (0..end).map(|number| (Slot::none(), Slot::new(Value::Int(number)))))
            }
            Value::Uint(end, width) => self.iterate(
                branch,
                (0..end).map(|number| (Slot::none(), Slot::new(Value::Uint(number, width)))),
            ),
            _ => Ok(None),
        }
    }

    /// Runs the body for every pair of index and element; nothing when there were none.
    fn iterate(
        &mut self,
        branch: &'t Branch,
        pairs: impl Iterator<Item = (Slot, Slot)>,
    ) -> Result<Option<Flow>, Fault> {
        let mark = self.variables.len();
        let mut ran = None;
        for (index, element) in pairs {
            ran = Some(Flow::On);
            let step = self.budget.spend(1);
            self.within(step)?;
            self.bind(&branch.pipe, index, &element)?;
            let flow = self.walk(&element, &branch.body)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(ran)
    }

    /// Gives the loop variables their values. One variable is the element, the first of two the index.
    fn bind(&mut self, pipe: &Pipe, index: Slot, element: &Slot) -> Result<(), Fault> {
        let (for_index, for_element) = match pipe.variables.as_slice() {
            [] => return Ok(()),
            [only] => (None, only),
            [first, second, ..] => (Some(first), second),
        };
        if let Some(variable) = for_index {
            self.assign(&variable.name, index)?;
        }
        self.assign(&for_element.name, element.clone())
    }

    fn invocation(&mut self, dot: &Slot, invocation: &'t Invocation) -> Result<(), Fault> {
        self.at = At::Template(invocation);
        let Some(items) = self.template.tree(&invocation.name) else {
            return self.fail(format!("template {} not defined", crate::error::quoted(&invocation.name)));
        };
        let data = match &invocation.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Slot::none(),
        };
        self.at = At::Template(invocation);
        let variables = std::mem::replace(&mut self.variables, vec![("$", data.clone())]);
        let name = std::mem::replace(&mut self.name, &invocation.name);
        self.walk(&data, items)?;
        self.name = name;
        self.variables = variables;
        Ok(())
    }
}
