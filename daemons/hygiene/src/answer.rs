//! Which answers are passed on.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{StatusCode, Version, response};

use crate::refusal::Refusal;
use crate::request::is_websocket;

/// Refuses an answer that the client could read otherwise than we did.
///
/// `websocket` is whether the request asked for one: a 101 that nobody asked for would make client and target disagree on
/// what follows. A coding that we can't take off, or a length that contradicts another one, means that nobody knows
/// where the answer ends.
pub fn check_answer(parts: &response::Parts, websocket: bool) -> Result<(), Refusal> {
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let to_websocket = parts.headers.get(UPGRADE).is_some_and(is_websocket);
        return if websocket && to_websocket { Ok(()) } else { Err(Refusal::Switch) };
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(_), None) if parts.version != Version::HTTP_11 => return Err(Refusal::Framing),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        (Some(_), _) => return Err(Refusal::Coding),
    }
    let mut length = None;
    let values = parts.headers.get_all(CONTENT_LENGTH).iter();
    for part in values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
        let digits = part.trim_ascii();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !is_number || length.is_some_and(|length| length != digits) {
            return Err(Refusal::Framing);
        }
        length = Some(digits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    #[test]
    fn answers_have_one_end() {
        for (status, fields, websocket, outcome) in [
            (200, vec![], false, Ok(())),
            (200, vec![("content-length", "5")], false, Ok(())),
            (200, vec![("content-length", "5"), ("content-length", "5")], false, Ok(())),
            (200, vec![("content-length", "5, 5")], false, Ok(())),
            (200, vec![("content-length", "5, 6")], false, Err(Refusal::Framing)),
            (200, vec![("content-length", "-5")], false, Err(Refusal::Framing)),
            (200, vec![("transfer-encoding", "Chunked")], false, Ok(())),
            (200, vec![("transfer-encoding", "gzip, chunked")], false, Err(Refusal::Coding)),
            (200, vec![("transfer-encoding", "gzip")], false, Err(Refusal::Coding)),
            (
                200,
                vec![("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                false,
                Err(Refusal::Coding),
            ),
            (101, vec![("upgrade", "websocket")], true, Ok(())),
            (101, vec![("upgrade", "websocket")], false, Err(Refusal::Switch)),
            (101, vec![("upgrade", "h2c")], true, Err(Refusal::Switch)),
            (101, vec![], true, Err(Refusal::Switch)),
        ] {
            let mut response = Response::builder().status(status);
            for (name, value) in &fields {
                response = response.header(*name, *value);
            }
            let (parts, ()) = response.body(()).unwrap().into_parts();
            assert_eq!(check_answer(&parts, websocket), outcome, "{status} {fields:?}");
        }
    }
}
