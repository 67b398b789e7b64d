//! Go's package fmt, for the values of templates.

mod float;
mod printer;
mod printf;
mod scalars;

pub(crate) use printer::Printer;

use crate::budget::Budget;
use crate::value::{CallError, Value};

/// As `fmt.Sprint`: a space between operands when neither is a string.
pub(crate) fn print(values: &[Value], budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut printer = Printer::new(budget.room());
    let mut after_string = false;
    for (index, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::String(_));
        if index > 0 && !is_string && !after_string {
            printer.write(b" ");
        }
        printer.operand(value, 'v');
        after_string = is_string;
    }
    finish(printer, budget)
}

/// As `fmt.Sprintln`: a space between all operands, and a line end.
pub(crate) fn println(values: &[Value], budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut printer = Printer::new(budget.room());
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.write(b" ");
        }
        printer.operand(value, 'v');
    }
    printer.write(b"\n");
    finish(printer, budget)
}

/// As `fmt.Sprintf`: what does not fit its verb is written as Go writes it, `%!d(string=a)`.
pub(crate) fn printf(format: &[u8], values: &[Value], budget: &Budget) -> Result<Vec<u8>, CallError> {
    let mut printer = Printer::new(budget.room());
    printf::run(&mut printer, format, values);
    finish(printer, budget)
}

fn finish(printer: Printer, budget: &Budget) -> Result<Vec<u8>, CallError> {
    printer.into_bytes().ok_or_else(|| budget.too_big())
}

/// A value as messages show it.
pub(crate) fn shown(value: &Value) -> String {
    shown_as(value, 'v')
}

/// A value as messages show it that use another verb.
pub(crate) fn shown_as(value: &Value, verb: char) -> String {
    const ENOUGH: usize = 4096;
    let mut printer = Printer::new(ENOUGH);
    printer.nested(value, verb);
    String::from_utf8_lossy(&printer.into_bytes().unwrap_or_default()).into_owned()
}
