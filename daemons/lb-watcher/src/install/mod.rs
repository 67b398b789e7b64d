//! Files as they should be, and a program that has read them. Level-triggered: what is wanted, what stands on disk and what
//! is loaded are compared, and whatever differs is done, from any state that a kill may have left.

pub mod apply;
pub mod disk;
pub mod reader;
pub mod set;
pub mod state;
