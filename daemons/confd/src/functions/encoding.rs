//! JSON, base64, digests and quotes.

use convoy_go_template::{Call, CallError, Function, Functions, List, Map, Text, Type, Value};
use sha2::{Digest, Sha256};

use super::text;
use crate::json::{self, Json};

pub(super) fn add(functions: &mut Functions) {
    functions.insert("json", Function::new([Type::String], Type::map(Type::Any), json_object));
    functions.insert("jsonArray", Function::new([Type::String], Type::list(Type::Any), json_array));
    functions
        .insert("fromJson", Function::new([Type::String], Type::Any, |call| Ok(read(call)?.into_value())));
    functions.insert(
        "toJson",
        Function::new([Type::Any], Type::String, |call| {
            json::write(call, call.value(0)?, false).and_then(|json| text(call, json.into_bytes()))
        }),
    );
    functions.insert(
        "toPrettyJson",
        Function::new([Type::Any], Type::String, |call| {
            json::write(call, call.value(0)?, true).and_then(|json| text(call, json.into_bytes()))
        }),
    );
    functions.insert(
        "base64Encode",
        Function::new([Type::String], Type::String, |call| {
            let encoded = encode(&call.text(0)?);
            text(call, encoded)
        }),
    );
    functions.insert(
        "base64Decode",
        Function::new([Type::String], Type::String, |call| {
            let decoded = decode(&call.text(0)?)
                .map_err(|at| CallError::failed(format!("illegal base64 data at input byte {at}")))?;
            Ok(Value::String(Text::from(decoded)))
        }),
    );
    super::map_text(functions, "sha256sum", |text| {
        Sha256::digest(text).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
    });
    super::map_text(functions, "quote", convoy_go_template::quote);
}

fn read(call: &mut Call<'_>) -> Result<Json, CallError> {
    let text = call.text(0)?;
    call.budget.spend(text.len())?;
    // Two characters can become an element.
    call.budget.fits(text.len().saturating_mul(16))?;
    Json::parse(&text).map_err(|error| CallError::failed(error.what))
}

fn wrong(json: &Json, wanted: &Type) -> CallError {
    CallError::failed(format!("json: cannot unmarshal {} into Go value of type {wanted}", json.kind()))
}

fn json_object(call: &mut Call<'_>) -> Result<Value, CallError> {
    match read(call)? {
        Json::Null => Ok(Value::Map(Map::nil(Type::Any))),
        object @ Json::Object(_) => Ok(object.into_value()),
        other => Err(wrong(&other, &Type::map(Type::Any))),
    }
}

fn json_array(call: &mut Call<'_>) -> Result<Value, CallError> {
    match read(call)? {
        Json::Null => Ok(Value::List(List::nil(Type::list(Type::Any)))),
        array @ Json::Array(_) => Ok(array.into_value()),
        other => Err(wrong(&other, &Type::list(Type::Any))),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_usize, |group, index| {
            group << 8 | usize::from(chunk.get(index).copied().unwrap_or_default())
        });
        for digit in 0..4 {
            let letter = ALPHABET.get(group >> (18 - 6 * digit) & 63).copied().unwrap_or_default();
            out.push(if digit <= chunk.len() { letter } else { b'=' });
        }
    }
    out
}

/// The standard alphabet with padding; line ends are passed over. The error is the place of the first bad byte.
fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut digits = text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    loop {
        let mut group = 0_u32;
        let mut count = 0;
        while count < 4 {
            let Some((at, byte)) = digits.next() else {
                // Go names the start of the group that isn't complete.
                return if count == 0 { Ok(out) } else { Err(text.len() - count) };
            };
            if let Some(digit) = ALPHABET.iter().position(|letter| letter == byte) {
                group = group << 6 | u32::try_from(digit).unwrap_or_default();
                count += 1;
                continue;
            }
            if *byte != b'=' || count < 2 {
                return Err(at);
            }
            if count == 2 {
                match digits.next() {
                    Some((_, b'=')) => {}
                    Some((at, _)) => return Err(at),
                    None => return Err(text.len()),
                }
            }
            if let Some((at, _)) = digits.next() {
                return Err(at);
            }
            let bytes = (group << (6 * (4 - count))).to_be_bytes();
            out.extend(bytes.iter().skip(1).take(count - 1));
            return Ok(out);
        }
        out.extend(group.to_be_bytes().iter().skip(1));
    }
}
