//! Where a body comes from.

use std::task::{Context, Poll};

use bytes::Bytes;

/// A body, piece by piece. What was shown stays until it is consumed, and only then is there more: whoever can't pass it
/// on stops whoever sends it.
pub(crate) trait Source {
    type Error;

    /// Whether there is data now; false when the body is over.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Self::Error>>;

    /// The data.
    fn data(&self) -> &[u8];

    /// So much of it is done with.
    fn consume(&mut self, count: usize);

    /// So much of it, or what there is of it, to be kept. It is done with.
    fn take(&mut self, count: usize) -> Bytes {
        let piece = Bytes::copy_from_slice(self.data().get(..count).unwrap_or_else(|| self.data()));
        self.consume(piece.len());
        piece
    }

    /// Whether nothing comes behind this data, no trailers either.
    fn is_last(&self) -> bool;

    /// The fields behind a body that is over.
    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8]));
}

impl<S: Source> Source for &mut S {
    type Error = S::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, S::Error>> {
        (**self).poll_data(cx)
    }

    fn data(&self) -> &[u8] {
        (**self).data()
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }

    fn take(&mut self, count: usize) -> Bytes {
        (**self).take(count)
    }

    fn is_last(&self) -> bool {
        (**self).is_last()
    }

    fn each_trailer(&self, with: &mut dyn FnMut(&str, &[u8])) {
        (**self).each_trailer(with);
    }
}
