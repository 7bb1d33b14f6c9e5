//! A vector that has the room which the allocator sets aside for it, no less and no more.
//!
//! So what it takes follows from its length alone, also after it was copied, and nobody must ask. It grows by a quarter
//! at a time and gives memory back as it shrinks, which suits what it is for: pieces of a few kilobytes.

use crate::core::memory;
use std::ops::{Deref, Range};

/// A vector of the room that its length asks for.
#[derive(Debug)]
pub struct Run<T>(Vec<T>);

impl<T> Default for Run<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Clone for Run<T> {
    fn clone(&self) -> Self {
        let mut items = Vec::with_capacity(Self::room(self.len()));
        items.extend_from_slice(self);
        Self(items)
    }
}

impl<T> Deref for Run<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> Run<T> {
    const fn room(len: usize) -> usize {
        memory::of_vec::<T>(len) / size_of::<T>()
    }

    fn grow(&mut self, len: usize) {
        if len > self.0.capacity() {
            self.0.reserve_exact(Self::room(len) - self.0.len());
        }
    }

    fn shrink(&mut self) {
        self.0.shrink_to(Self::room(self.0.len()));
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        memory::of_vec::<T>(self.0.len())
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.0.get_mut(at)
    }

    pub fn push(&mut self, item: T) {
        self.grow(self.len() + 1);
        self.0.push(item);
    }

    pub fn pop(&mut self) -> Option<T> {
        let item = self.0.pop();
        self.shrink();
        item
    }

    /// Puts an item where `at` is, which is at most the length.
    pub fn insert(&mut self, at: usize, item: T) {
        self.grow(self.len() + 1);
        self.0.insert(at.min(self.0.len()), item);
    }

    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
        self.shrink();
    }

    pub fn remove(&mut self, at: usize) -> Option<T> {
        let item = (at < self.len()).then(|| self.0.remove(at));
        self.shrink();
        item
    }

    /// Cuts off what lies from `at` on, and answers it.
    pub fn split_off(&mut self, at: usize) -> Self {
        let mut rest = Self(self.0.split_off(at.min(self.0.len())));
        rest.grow(rest.len());
        rest.shrink();
        self.shrink();
        rest
    }
}

impl<T: Copy + Default> Run<T> {
    pub fn extend(&mut self, items: &[T]) {
        self.grow(self.len() + items.len());
        self.0.extend_from_slice(items);
    }

    /// Puts other items in the place of a range.
    pub fn replace(&mut self, range: Range<usize>, with: &[T]) {
        let (old, new) = (self.len(), self.len() - range.len() + with.len());
        if new > old {
            self.grow(new);
            self.0.resize(new, T::default());
        }
        self.0.copy_within(range.end..old, range.start + with.len());
        if let Some(place) = self.0.get_mut(range.start..range.start + with.len()) {
            place.copy_from_slice(with);
        }
        self.0.truncate(new);
        self.shrink();
    }
}
