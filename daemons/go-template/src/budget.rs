//! What a template may cost, so that none takes for ever or all memory.

use crate::value::CallError;

/// What rendering a template may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pieces of templates evaluated, and elements looked at by functions.
    pub steps: u64,
    /// Bytes written, and made by one call of a function.
    pub output: usize,
    /// Bytes that functions make, all together.
    pub memory: usize,
    /// Templates, branches and parentheses inside each other. Each costs stack; see [`Limits::default`].
    pub depth: usize,
}

impl Default for Limits {
    /// Enough for tens of thousands of upstreams: 20 million steps, 64 MiB of output, 512 MiB made by functions.
    /// A depth of 300 fits into a thread's usual two MiB of stack, unoptimised too.
    fn default() -> Self {
        Self { steps: 20_000_000, output: 64 << 20, memory: 512 << 20, depth: 300 }
    }
}

/// What is left of [`Limits`].
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    steps: u64,
    output: usize,
    memory: usize,
    depth: usize,
}

impl Budget {
    /// All of it.
    pub fn new(limits: Limits) -> Self {
        let Limits { steps, output, memory, depth } = limits;
        Self { limits, steps, output, memory, depth }
    }

    /// Takes steps, one for each element that is looked at.
    pub fn spend(&mut self, steps: usize) -> Result<(), CallError> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(CallError::Limit(format!("more than {} steps", self.limits.steps))),
        }
    }

    /// How many bytes a function may make at once.
    pub fn room(&self) -> usize {
        self.memory.min(self.limits.output)
    }

    /// An error when a function is about to make more bytes than there is room for.
    pub fn fits(&self, bytes: usize) -> Result<(), CallError> {
        if bytes <= self.room() { Ok(()) } else { Err(self.too_big()) }
    }

    pub(crate) fn too_big(&self) -> CallError {
        let Limits { output, memory, .. } = self.limits;
        CallError::Limit(format!(
            "a function would make more than {output} bytes, or all of them more than {memory}"
        ))
    }

    /// Takes memory that the result of a function keeps.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<(), CallError> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(self.too_big()),
        }
    }

    pub(crate) fn write(&mut self, bytes: usize) -> Result<(), CallError> {
        match self.output.checked_sub(bytes) {
            Some(left) => {
                self.output = left;
                Ok(())
            }
            None => Err(self.output_full()),
        }
    }

    pub(crate) fn output(&self) -> usize {
        self.output
    }

    pub(crate) fn output_full(&self) -> CallError {
        CallError::Limit(format!("more than {} bytes of output", self.limits.output))
    }

    pub(crate) fn descend(&mut self) -> Result<(), CallError> {
        match self.depth.checked_sub(1) {
            Some(left) => {
                self.depth = left;
                Ok(())
            }
            None => Err(CallError::Limit(format!("nested deeper than {} levels", self.limits.depth))),
        }
    }

    pub(crate) fn ascend(&mut self) {
        self.depth += 1;
    }
}
