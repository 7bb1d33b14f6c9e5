//! Vectors of one context, and exact search among them.
//!
//! ```text
//!   f32 ──► Codes   a vector in whole numbers ──► Rows ── shelves ── Block   up to 256 rows, plane by plane
//!   f32 ──► Probe   a query ────────────────┐      └─ snapshot(), for another thread: pointers only
//!                                           └──► search: kernel (all rows, a little of each) ──► Hits
//! ```
//!
//! There is no approximate index here and nothing to be rebuilt: rows are scanned, but of most rows only so much is read
//! as is needed to be sure that they are not near enough. Inserting and removing touch one row, and copy one block where
//! a search still holds it. The definition of similarity is one of whole numbers, so an answer never depends on the
//! processor, on the order of the rows or on how the search got there.

mod block;
mod codes;
mod kernel;
mod probe;
mod rows;
mod search;
mod shape;

pub use codes::{BadVector, Codes};
pub use probe::Probe;
pub use rows::{Rows, Snapshot};
pub use search::Hit;
pub use shape::{Shape, MAX_DIM};
