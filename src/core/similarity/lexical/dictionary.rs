//! Which rows hold a token.

use super::measure::KEPT;
use super::postings::Postings;
use crate::core::memory;
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// Tables that the tokens are spread over: one that must grow holds up whoever is writing, for a sixteenth of the time.
const SHARDS: usize = 16;
/// A list that is shorter is kept in any case.
const LONG: usize = 4096;

#[derive(Clone, Debug)]
struct Posted {
    token: u64,
    rows: Postings,
}

/// Tokens and their rows.
#[derive(Clone, Debug)]
pub struct Dictionary {
    shards: Vec<HashTable<Posted>>,
    hasher: RandomState,
    bytes: usize,
}

impl Dictionary {
    pub fn new(hasher: RandomState) -> Self {
        Self { shards: vec![HashTable::new(); SHARDS], hasher, bytes: 0 }
    }

    /// The hash of a token, by which the other methods know it.
    pub fn hash(&self, token: u64) -> u64 {
        self.hasher.hash_one(token)
    }

    fn shard_of(hash: u64) -> usize {
        // The table takes its bucket from the low bits and its tag from the high ones.
        (hash >> 32) as usize % SHARDS
    }

    /// Puts a row in. A list that has come to more rows than `most` is given up.
    pub fn insert(&mut self, token: u64, hash: u64, row: u32, most: usize) {
        let Some(shard) = self.shards.get_mut(Self::shard_of(hash)) else { return };
        match shard.find_mut(hash, |posted| posted.token == token) {
            Some(posted) => {
                let before = posted.rows.memory();
                posted.rows.insert(row);
                if posted.rows.len() > most.max(LONG) && token & KEPT == 0 {
                    posted.rows = Postings::Common;
                }
                self.bytes = self.bytes + posted.rows.memory() - before;
            }
            None => {
                let mut rows = Postings::default();
                rows.insert(row);
                let hasher = &self.hasher;
                shard.insert_unique(hash, Posted { token, rows }, |posted| hasher.hash_one(posted.token));
            }
        }
    }

    /// Gives a row of a token another number; if that is there already, takes the row out.
    pub fn renumber(&mut self, token: u64, from: u32, to: u32) {
        let hash = self.hash(token);
        let Some(shard) = self.shards.get_mut(Self::shard_of(hash)) else { return };
        let Some(posted) = shard.find_mut(hash, |posted| posted.token == token) else { return };
        let before = posted.rows.memory();
        posted.rows.remove(from);
        posted.rows.insert(to);
        self.bytes = self.bytes + posted.rows.memory() - before;
    }

    /// Takes a row out, and the token with its last row.
    pub fn remove(&mut self, token: u64, row: u32) {
        let hash = self.hash(token);
        let Some(shard) = self.shards.get_mut(Self::shard_of(hash)) else { return };
        let Ok(mut found) = shard.find_entry(hash, |posted| posted.token == token) else { return };
        let posted = found.get_mut();
        let before = posted.rows.memory();
        posted.rows.remove(row);
        self.bytes = self.bytes + posted.rows.memory() - before;
        if matches!(posted.rows, Postings::Few(0, _)) {
            found.remove();
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
                let hasher = &self.hasher;
                shard.shrink_to(shard.len() * 3 / 2, |posted| hasher.hash_one(posted.token));
            }
        }
    }

    /// The rows of a token.
    pub fn find(&self, token: u64, hash: u64) -> Option<&Postings> {
        let shard = self.shards.get(Self::shard_of(hash))?;
        shard.find(hash, |posted| posted.token == token).map(|posted| &posted.rows)
    }

    /// Bytes behind it.
    pub fn memory(&self) -> usize {
        let tables: usize = self.shards.iter().map(|shard| memory::allocated(shard.allocation_size())).sum();
        memory::of_vec::<HashTable<Posted>>(SHARDS) + tables + self.bytes
    }

    /// Checks each list, and answers how many rows they name together and which tokens have no list.
    pub fn validate(&self) -> Result<(usize, Vec<u64>), String> {
        let (mut rows, mut bytes, mut common) = (0, 0, Vec::new());
        for posted in self.shards.iter().flatten() {
            posted.rows.validate()?;
            rows += posted.rows.len();
            bytes += posted.rows.memory();
            if matches!(posted.rows, Postings::Common) {
                common.push(posted.token);
            }
        }
        if bytes != self.bytes {
            return Err("the dictionary's memory is the sum of its lists'".to_owned());
        }
        Ok((rows, common))
    }
}
