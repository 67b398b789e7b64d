//! Which messages a proxy takes, and what of them it passes on. Pure: parsed messages go in, and come out clean or not
//! at all.
//!
//! A parser knows what is written; what it means for the next hop is decided here, in one pass over the fields. The
//! principle: a message is passed on when there is one way to read it, and what the next hop gets is written in that
//! way. Whatever two programs could read differently is refused ([`Refusal`]), never repaired. Fields come as names and
//! values, and go to a [`Sink`], so that HTTP/1 and HTTP/2 obey the same rules.
//!
//! - [`Survey`], [`Request`]: which requests are taken, what of them passes, and who we say the client is ([`Origin`]).
//! - [`Answer`], [`may_trail`]: the same for answers, and for what comes behind a body.
//! - [`proxy_protocol`]: who the client is, when another proxy says so in front of everything else.

mod answer;
mod field;
mod forwarded;
pub mod proxy_protocol;
mod refusal;
mod request;
mod survey;

pub use answer::{Answer, AnswerLength, Asked};
pub use field::{Field, Sink, has_token, may_trail};
pub use forwarded::Origin;
pub use refusal::Refusal;
pub use request::{Length, Request, Target};
pub use survey::Survey;
