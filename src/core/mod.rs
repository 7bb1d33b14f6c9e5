//! The cache as a plain value: no Redis, no clock, no globals, no I/O, no unsafe.
#![forbid(unsafe_code)]

pub mod identity;
