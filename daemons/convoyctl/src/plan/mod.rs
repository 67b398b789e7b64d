//! What would run where: the question put to placement, and its answer for people and programs.
//!
//! Pure. The question comes from a file ([`file`]) or from the live store; the answer is the same.

mod answer;
mod explain;
pub mod file;
mod live;
mod question;
mod text;

pub use answer::{Answer, Rejection, UnitPlan, Warning};
pub use explain::{Explanation, MachineVerdict};
pub use question::{Question, Read, Submitted};
