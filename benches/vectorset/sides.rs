//! What is compared: two sorts of caches, and three ways to ask a vector set and then a string.

use crate::common::load::Trip;
use crate::common::prompts::varied;
use crate::common::random::Random;
use crate::common::vectors::{blob, near, unit};
use crate::common::watch::{rest, Size};
use crate::harness::{args, cmd, encode, Client};
use std::time::Duration;

pub const VECTORS: &str = "vectors";
pub const STRINGS: &str = "answer:";
const TTL: &str = "86400";

/// Both commands at once; the key that the string has is made in the script.
pub const SCRIPT: &str = "local found = redis.call('VSIM', KEYS[1], 'FP32', ARGV[1], 'COUNT', '1', 'WITHSCORES') \
    return redis.call('GET', found[1])";

/// How many entries are near each other.
const CLUSTER: usize = 16;
/// The cosine of an entry to the middle of its cluster, and of a query to its entry.
const TO_MIDDLE: f64 = 0.7;
const TO_ENTRY: f64 = 0.97;

/// What is stored, and what is asked for it. Vectors are made as they are needed: all at once would be too many.
pub struct Entries<'a> {
    prompts: &'a [String],
    pub size: usize,
    pub dims: usize,
}

impl<'a> Entries<'a> {
    pub fn new(prompts: &'a [String], size: usize, dims: usize) -> Self {
        Self { prompts, size, dims }
    }

    fn vector(&self, i: usize) -> Vec<f32> {
        let middle = unit(&mut Random::new(21 << 32 | (i / CLUSTER) as u64), self.dims);
        near(&middle, TO_MIDDLE, &mut Random::new(23 << 32 | i as u64))
    }

    fn query(&self, i: usize) -> Vec<u8> {
        blob(&near(&self.vector(i), TO_ENTRY, &mut Random::new(22 << 32 | i as u64)))
    }
}

/// An answer of 300 bytes that tells which one it is.
fn answer(i: usize) -> Vec<u8> {
    format!("The answer to question number {i:>9}. {}", "It says what there is to say. ".repeat(9))[..300].into()
}

#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Builtin,
    Vector,
    TwoTrips,
    NoThread,
    Script,
}

pub const SIDES: [Side; 5] = [Side::Builtin, Side::Vector, Side::TwoTrips, Side::NoThread, Side::Script];

impl Side {
    /// Those that store: by hand there is only one way.
    pub const STORES: [Side; 3] = [Side::Builtin, Side::Vector, Side::TwoTrips];

    pub fn name(self) -> &'static str {
        match self {
            Side::Builtin => "LLMCACHE builtin, embedding included",
            Side::Vector => "LLMCACHE vector",
            Side::TwoTrips => "by hand: VSIM, then GET",
            Side::NoThread => "by hand: VSIM NOTHREAD, then GET",
            Side::Script => "by hand: a script, one round trip",
        }
    }

    pub fn store_name(self) -> &'static str {
        match self {
            Side::TwoTrips | Side::NoThread | Side::Script => "by hand: VADD and SET EX in one pipeline",
            cache => cache.name(),
        }
    }

    fn cache(self) -> &'static str {
        if self == Side::Builtin {
            "builtin"
        } else {
            "vector"
        }
    }

    pub fn create(self, c: &mut Client) {
        if matches!(self, Side::Builtin | Side::Vector) {
            let cache = self.cache();
            c.words(&format!("LLMCACHE.CREATE {cache} MODE similar SIMILARITY {cache} COMPRESS none")).ok();
        }
    }

    /// The calls that store an entry.
    pub fn store(self, entries: &Entries, i: usize) -> Vec<Trip> {
        let (prompt, answer) = (&entries.prompts[i], answer(i));
        let set = args!["LLMCACHE.SET", self.cache(), prompt, answer, "EX", TTL];
        let vector = || blob(&entries.vector(i));
        let key = format!("{STRINGS}{i}");
        vec![match self {
            Side::Builtin => Trip::of(&[encode(&set)]),
            Side::Vector => Trip::of(&[encode(&[set, args!["FP32", vector()]].concat())]),
            _ => {
                let (add, set) = (args!["VADD", VECTORS, "FP32", vector(), key], args!["SET", key, answer, "EX", TTL]);
                Trip::of(&[encode(&add), encode(&set)])
            }
        }]
    }

    /// Bytes of what finds similar entries.
    pub fn index_bytes(self, c: &mut Client) -> f64 {
        match self {
            Side::Builtin | Side::Vector => {
                let cache = self.cache();
                assert!(rest(c, cache, Duration::from_millis(300), Duration::from_secs(300)), "{cache} is indexed");
                Size::of(c, cache).index
            }
            _ => cmd!(c, "MEMORY", "USAGE", VECTORS, "SAMPLES", 0).int() as f64,
        }
    }

    /// The calls that ask for something similar to these entries, as far as they are answered, and how many of them are
    /// answered with the right one.
    pub fn hits(self, c: &mut Client, entries: &Entries, picks: &[usize], script: &str) -> (Vec<Vec<Trip>>, f64) {
        let (mut calls, mut right) = (Vec::new(), 0);
        for (n, &i) in picks.iter().enumerate() {
            let vsim = || args!["VSIM", VECTORS, "FP32", entries.query(i), "COUNT", 1, "WITHSCORES"];
            let (trips, found) = match self {
                Side::Builtin | Side::Vector => {
                    // The vector side needs another prompt too: one that is stored would be found without its vector.
                    let asked = varied(&entries.prompts[i], &mut Random::new(24 << 32 | n as u64));
                    let mut get = args!["LLMCACHE.GET", self.cache(), asked, "SIMILAR"];
                    if self == Side::Vector {
                        get.extend(args!["FP32", entries.query(i)]);
                    }
                    let found = c.cmd(&get);
                    (vec![vec![get]], found)
                }
                Side::TwoTrips | Side::NoThread => {
                    let mut vsim = vsim();
                    vsim.extend((self == Side::NoThread).then(|| b"NOTHREAD".to_vec()));
                    let get = args!["GET", c.cmd(&vsim).at(0).bytes()];
                    let found = c.cmd(&get);
                    (vec![vec![vsim], vec![get]], found)
                }
                Side::Script => {
                    let call = args!["EVALSHA", script, 1, VECTORS, entries.query(i)];
                    let found = c.cmd(&call);
                    (vec![vec![call]], found)
                }
            };
            if !found.is_null() {
                right += usize::from(found.bytes() == answer(i));
                let trips =
                    trips.iter().map(|trip| Trip::of(&trip.iter().map(|call| encode(call)).collect::<Vec<_>>()));
                calls.push(trips.collect());
            }
        }
        assert!(calls.len() * 2 > picks.len(), "{}: {} hits of {}", self.name(), calls.len(), picks.len());
        (calls, right as f64 / picks.len() as f64)
    }
}
