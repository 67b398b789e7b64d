//! Names, keys and values of the shared state.
