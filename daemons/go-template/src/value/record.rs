//! Structs.

use std::fmt::Debug;

use super::Value;
use super::function::Function;

/// A struct of Go, as templates see it: a name, exported fields, methods.
pub trait Record: Debug + Send + Sync {
    /// The name of the type, such as `memkv.KVPair`, or `*net.SRV` for a pointer to one.
    fn type_name(&self) -> &'static str;

    /// The fields in their order.
    fn fields(&self) -> Vec<(&'static str, Value)>;

    /// A method bound to this value.
    fn method(&self, name: &str) -> Option<Function> {
        let _ = name;
        None
    }

    /// What it prints as, when it has a method `String`.
    fn text(&self) -> Option<String> {
        None
    }
}
