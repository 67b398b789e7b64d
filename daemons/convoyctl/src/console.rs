//! Where words go: results to standard output, everything else to standard error.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

/// Standard output and standard error, or what stands for them in a test.
///
/// A reader that closed its end (`convoyctl list-units | head -1`) ends nothing: what was asked for is still done.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_is_terminal: bool,
    err_is_terminal: bool,
    progress: String,
    failure: Option<io::Error>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Console {
    /// The process's own.
    pub fn system() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            progress: String::new(),
            failure: None,
        }
    }

    /// Anything else.
    pub fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, terminal: bool) -> Self {
        Self {
            out,
            err,
            out_is_terminal: terminal,
            err_is_terminal: terminal,
            progress: String::new(),
            failure: None,
        }
    }

    /// Whether a person reads the results.
    pub fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Results, as they are.
    pub fn write(&mut self, text: &str) {
        self.wipe();
        if self.failure.is_none() {
            let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
            self.failure = written.err();
        }
    }

    /// A line of results.
    pub fn line(&mut self, text: impl Display) {
        self.write(&format!("{text}\n"));
    }

    /// A line beside the results: a warning, a reason, news.
    pub fn note(&mut self, text: impl Display) {
        self.wipe();
        // Nobody is left to tell.
        let _ = writeln!(self.err, "{text}").and_then(|()| self.err.flush());
    }

    /// What is being waited for: one line, rewritten, on a terminal; nothing elsewhere.
    pub fn progress(&mut self, text: &str) {
        if !self.err_is_terminal || self.progress == text {
            return;
        }
        let shown: String =
            text.chars().filter(|character| !character.is_control()).take(columns()).collect();
        let _ = write!(self.err, "\r\x1b[K{shown}").and_then(|()| self.err.flush());
        text.clone_into(&mut self.progress);
    }

    /// Takes the progress line away.
    pub fn wipe(&mut self) {
        if !self.progress.is_empty() {
            self.progress.clear();
            let _ = write!(self.err, "\r\x1b[K").and_then(|()| self.err.flush());
        }
    }

    /// Whether all results were written. A reader that went away on its own is fine.
    pub fn finish(mut self) -> io::Result<()> {
        self.wipe();
        match self.failure {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// How many characters fit in a line, less one for the cursor.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(io::stderr())
        .map_or(80, |size| usize::from(size.ws_col).max(20))
        .saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written, and what a reader that went away does to it.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>, Option<ErrorKind>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.1 {
                Some(kind) => Err(kind.into()),
                None => self.0.lock().unwrap().write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn progress_is_one_line_that_gives_way_to_everything_else() {
        let (out, err) = (Sink::default(), Sink::default());
        let mut console = Console::new(Box::new(out.clone()), Box::new(err.clone()), true);
        console.progress("one");
        console.progress("one");
        console.progress("tw\no");
        console.note("a note");
        console.progress("three");
        console.line("done");
        console.finish().unwrap();
        assert_eq!(out.text(), "done\n");
        assert_eq!(err.text(), "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Ka note\n\r\x1b[Kthree\r\x1b[K");
    }

    #[test]
    fn without_a_terminal_there_is_no_progress() {
        let (out, err) = (Sink::default(), Sink::default());
        let mut console = Console::new(Box::new(out), Box::new(err.clone()), false);
        console.progress("one");
        console.note("a note");
        assert_eq!(err.text(), "a note\n");
    }

    #[test]
    fn a_reader_that_left_is_fine_and_a_full_disk_is_not() {
        for (kind, is_fine) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
            let broken = Sink(Arc::default(), Some(kind));
            let mut console = Console::new(Box::new(broken.clone()), Box::new(broken), false);
            console.line("a");
            console.line("b");
            console.note("c");
            assert_eq!(console.finish().is_ok(), is_fine, "{kind:?}");
        }
    }
}
