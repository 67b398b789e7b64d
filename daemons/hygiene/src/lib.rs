//! Which messages a proxy takes, and what of them it passes on. Pure: parsed messages go in, and come out clean or not
//! at all.
//!
//! hyper parses; what it leaves to its user is decided here. The principle: a message is passed on when there is one way
//! to read it, and what the next hop gets is written in that way. Whatever two programs could read differently is
//! refused ([`Refusal`]), never repaired.
//!
//! - [`check_request`], [`check_answer`]: what is taken.
//! - [`prepare_request`], [`prepare_answer`], [`clean_trailers`]: what passes, and who we say the client is.
//! - [`proxy_protocol`]: who the client is, when another proxy says so in front of everything else.

mod answer;
mod field;
mod forwarded;
mod prepare;
pub mod proxy_protocol;
mod refusal;
mod request;

pub use answer::check_answer;
pub use field::{clean_trailers, has_token};
pub use forwarded::Origin;
pub use prepare::{X_REQUEST_ID, prepare_answer, prepare_request};
pub use refusal::Refusal;
pub use request::{check_request, host, is_websocket, may_repeat, wants_websocket};
