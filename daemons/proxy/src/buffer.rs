//! Room for bytes on their way through: lent by the worker while there are some, so that a connection at rest has none.

use std::cell::RefCell;

/// Holds the head and the body of most answers.
const SIZE: usize = 16 * 1024;
/// For bodies that come faster than they fit into that: fewer system calls for the same bytes.
const LARGE: usize = 64 * 1024;
/// Buffers that are kept for the next one who needs one.
const KEPT: usize = 128;
const LARGE_KEPT: usize = 16;
/// Longest head that is kept room for.
const HEAD_KEPT: usize = 8 * 1024;

/// Bytes that were read and are not done with.
#[derive(Debug)]
pub(crate) struct Buffer {
    space: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new(size: usize) -> Self {
        Self { space: vec![0; size], start: 0, end: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.space.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.space.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn is_large(&self) -> bool {
        self.space.len() >= LARGE
    }

    /// So many bytes are done with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Whether more can be read without making it larger.
    pub(crate) fn has_room(&self) -> bool {
        self.end < self.space.len() || self.start > 0
    }

    /// Where to read more into, at least a byte. It grows only when it is full to the brim.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.space.len() {
            if self.start > 0 {
                self.space.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.space.resize(self.space.len() * 2, 0);
            }
        }
        self.space.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were read into that room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.space.len());
    }
}

/// What one worker lends. In boxes: who has borrowed nothing has room for a pointer alone.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "they are lent as they are")]
pub(crate) struct Buffers {
    spaces: RefCell<Vec<Box<Buffer>>>,
    large: RefCell<Vec<Box<Buffer>>>,
    heads: RefCell<Vec<Vec<u8>>>,
    texts: RefCell<Vec<String>>,
}

#[allow(clippy::unnecessary_box_returns, reason = "they are lent as they are")]
impl Buffers {
    /// The one that was used last, whose memory is still in the processor's caches.
    pub(crate) fn take(&self) -> Box<Buffer> {
        self.spaces.borrow_mut().pop().unwrap_or_else(|| Box::new(Buffer::new(SIZE)))
    }

    pub(crate) fn take_large(&self) -> Box<Buffer> {
        self.large.borrow_mut().pop().unwrap_or_else(|| Box::new(Buffer::new(LARGE)))
    }

    pub(crate) fn give(&self, mut buffer: Box<Buffer>) {
        let (kept, most) = match buffer.space.len() {
            SIZE => (&self.spaces, KEPT),
            LARGE => (&self.large, LARGE_KEPT),
            _ => return,
        };
        let mut kept = kept.borrow_mut();
        if kept.len() < most {
            buffer.start = 0;
            buffer.end = 0;
            kept.push(buffer);
        }
    }

    /// Room to write a head in.
    pub(crate) fn take_head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    pub(crate) fn give_head(&self, mut head: Vec<u8>) {
        let mut heads = self.heads.borrow_mut();
        if (1..=HEAD_KEPT).contains(&head.capacity()) && heads.len() < KEPT {
            head.clear();
            heads.push(head);
        }
    }

    /// Room for what is kept of a request.
    pub(crate) fn take_text(&self) -> String {
        self.texts.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_text(&self, text: String) {
        let mut texts = self.texts.borrow_mut();
        if (1..=HEAD_KEPT).contains(&text.capacity()) && texts.len() < KEPT {
            texts.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut Buffer, byte: u8, count: usize) {
        let room = buffer.room();
        let count = count.min(room.len());
        room[..count].fill(byte);
        buffer.filled(count);
    }

    #[test]
    fn bytes_come_out_in_order_and_a_full_buffer_grows() {
        let mut buffer = Buffer::new(SIZE);
        fill(&mut buffer, b'a', SIZE);
        assert!(!buffer.has_room());
        buffer.consume(SIZE - 3);
        assert!(buffer.has_room());
        fill(&mut buffer, b'b', 2);
        assert_eq!(buffer.bytes(), b"aaabb");
        fill(&mut buffer, b'c', SIZE);
        assert_eq!(buffer.bytes().len(), SIZE, "up to the brim");
        fill(&mut buffer, b'd', 1);
        assert_eq!((buffer.bytes().len(), buffer.bytes()[SIZE]), (SIZE + 1, b'd'));
    }

    #[test]
    fn what_is_given_back_is_lent_again_unless_it_grew() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        fill(&mut buffer, b'a', 5);
        buffers.give(buffer);
        assert!(buffers.take().is_empty());
        let mut large = buffers.take();
        for _ in 0..2 {
            fill(&mut large, b'a', SIZE);
        }
        buffers.give(large);
        assert_eq!(buffers.spaces.borrow().len(), 0);
    }
}
