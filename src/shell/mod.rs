//! The Redis shell.
