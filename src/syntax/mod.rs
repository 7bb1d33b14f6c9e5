//! From the bytes of a command to a typed request: pure functions over byte slices.
#![forbid(unsafe_code)]
