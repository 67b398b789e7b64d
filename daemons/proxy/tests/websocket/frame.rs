//! Frames as RFC 6455 5.2 draws them, right and wrong ones.

/// What clients have to do with their payload; any key does.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame of a client. `first` holds FIN, the reserved bits and the opcode.
pub(crate) fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=0x7d) => frame.push(0x80 | u8::try_from(short).unwrap()),
        Ok(medium) => {
            frame.push(0x80 | 0x7e);
            frame.extend(medium.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 0x7f);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A frame that is the last of its message.
pub(crate) fn last(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw(0x80 | opcode, payload)
}

/// A frame that others follow.
pub(crate) fn part(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw(opcode, payload)
}

/// A message in frames of at most this size.
pub(crate) fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let frame = |(index, piece)| {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        if index + 1 == count { last(opcode, piece) } else { part(opcode, piece) }
    };
    payload.chunks(size).enumerate().map(frame).collect()
}

/// The close frame with its code and reason.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    last(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A frame of the server as it was read.
pub(crate) struct Read<'b> {
    pub(crate) opcode: u8,
    pub(crate) is_last: bool,
    pub(crate) payload: &'b [u8],
}

/// The next frame of the server, and what comes behind it.
pub(crate) fn read(bytes: &[u8]) -> Option<(Read<'_>, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).unwrap())?;
    Some((Read { opcode: first & 0x0f, is_last: first & 0x80 != 0, payload }, rest))
}
