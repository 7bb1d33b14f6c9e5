//! Who computes which answer, and who waits for it.
//!
//! A lease is the right to compute the answer to one prompt. It stands beside the caches, not in them: a prompt can have
//! one before its cache is there, and none of it is saved or sent to replicas. Nothing here knows a clock or a client;
//! whoever waits is a number.
//!
//! ```text
//!   take ──► held ── renew ──► held          until its time is over, or
//!              │
//!              ├── end       the answer is there: all who wait are told
//!              ├── pass_on   given up or run out: the first who waits has it now, under a new token
//!              └── clear     the cache is gone: all who wait are told
//! ```

use super::fault;
use super::identity::Digest;
use super::time::UnixMs;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;

/// The most leases of one node. Each takes some 300 bytes until its time is over, and as much again where it is
/// the only one of its cache.
pub const MAX_LEASES: usize = 100_000;

/// What the holder of a lease knows and nobody else does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// A token of these bytes, which nobody must be able to guess.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a token as it is shown, 32 hex digits. Anything else is a token that no lease has.
    pub fn read(word: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = word.as_chunks::<2>();
        let mut token = [0; 16];
        if !rest.is_empty() || pairs.len() != token.len() {
            return None;
        }
        for (byte, [high, low]) in token.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(token))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has one may store under it.
        f.write_str("Token")
    }
}

/// One who waits, by number.
pub type Waiter = u64;

/// What became of one who asked for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is theirs.
    Granted,
    /// Somebody else has it.
    Held,
    /// There are too many leases.
    Full,
}

#[derive(Debug)]
struct Lease {
    token: Token,
    until: UnixMs,
    /// Who waits, and for how long each would have the lease. Numbers only grow, so the lowest one came first.
    queue: BTreeMap<Waiter, u64>,
}

/// All leases of a node, by place (where the cache is) and prompt.
#[derive(Debug)]
pub struct Leases<P> {
    places: HashMap<P, HashMap<Digest, Lease>>,
    times: BTreeSet<(UnixMs, P, [u8; 32])>,
    /// Whose lease each token is.
    tokens: HashMap<Token, (P, Digest)>,
    waiting: usize,
}

impl<P> Default for Leases<P> {
    fn default() -> Self {
        Self { places: HashMap::new(), times: BTreeSet::new(), tokens: HashMap::new(), waiting: 0 }
    }
}

impl<P: Clone + Eq + Hash + Ord> Leases<P> {
    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Leases and those who wait for them, at a place.
    pub fn at(&self, place: &P, now: UnixMs) -> (usize, usize) {
        let leases = self.places.get(place).into_iter().flat_map(HashMap::values);
        leases
            .filter(|lease| lease.until > now)
            .fold((0, 0), |(held, waiting), lease| (held + 1, waiting + lease.queue.len()))
    }

    /// Asks for the right to compute an answer, for so long.
    pub fn take(&mut self, place: &P, digest: &Digest, token: Token, ms: u64, now: UnixMs) -> Taken {
        fault::point();
        match self.lease(place, digest) {
            // One whose time is over goes to the first who waits, and is free where nobody does.
            Some(lease) if lease.until > now || !lease.queue.is_empty() => return Taken::Held,
            Some(_) => self.remove(place, digest),
            None if self.len() >= MAX_LEASES => return Taken::Full,
            None => BTreeMap::new(),
        };
        let place = self.name(place);
        let until = now.plus(ms);
        let lease = Lease { token, until, queue: BTreeMap::new() };
        self.places.entry(place.clone()).or_default().insert(*digest, lease);
        self.times.insert((until, place.clone(), *digest.as_bytes()));
        self.tokens.insert(token, (place, *digest));
        Taken::Granted
    }

    /// Lines up behind a lease; `ms` is for how long they would have it.
    pub fn wait(&mut self, place: &P, digest: &Digest, waiter: Waiter, ms: u64) {
        if let Some(lease) = self.lease_mut(place, digest) {
            lease.queue.insert(waiter, ms);
            self.waiting += 1;
        }
    }

    /// Forgets one who waits.
    pub fn forget(&mut self, place: &P, digest: &Digest, waiter: Waiter) {
        let Some(lease) = self.lease_mut(place, digest) else { return };
        let gone = lease.queue.remove(&waiter);
        self.waiting -= usize::from(gone.is_some());
    }

    /// Whether somebody has the right to compute this answer now.
    pub fn is_held(&self, place: &P, digest: &Digest, now: UnixMs) -> bool {
        self.lease(place, digest).is_some_and(|lease| lease.until > now)
    }

    /// Whether it is this one who has it.
    pub fn holds(&self, place: &P, digest: &Digest, token: Token, now: UnixMs) -> bool {
        fault::point();
        self.lease(place, digest).is_some_and(|lease| lease.until > now && lease.token == token)
    }

    /// Whose lease this token is, as long as it is one.
    pub fn find(&self, place: &P, token: Token, now: UnixMs) -> Option<Digest> {
        let (there, digest) = self.tokens.get(&token)?;
        (there == place && self.holds(place, digest, token, now)).then_some(*digest)
    }

    /// Where this token is a lease, whatever the place is called by now.
    pub fn locate(&self, token: Token) -> Option<(P, Digest)> {
        self.tokens.get(&token).cloned()
    }

    /// Who waits for this answer, the first one first.
    pub fn waiters(&self, place: &P, digest: &Digest) -> impl Iterator<Item = Waiter> + '_ {
        self.lease(place, digest).into_iter().flat_map(|lease| lease.queue.keys().copied())
    }

    /// Has a lease end so many milliseconds from now.
    pub fn renew(&mut self, place: &P, digest: &Digest, ms: u64, now: UnixMs) {
        let place = self.name(place);
        let Some(lease) = self.lease_mut(&place, digest) else { return };
        let before = std::mem::replace(&mut lease.until, now.plus(ms));
        self.times.remove(&(before, place.clone(), *digest.as_bytes()));
        self.times.insert((now.plus(ms), place, *digest.as_bytes()));
    }

    /// Gives a lease to the first who waits, under this token; where nobody does, it ends.
    pub fn pass_on(&mut self, place: &P, digest: &Digest, token: Token, now: UnixMs) -> Option<Waiter> {
        fault::point();
        let Some((waiter, ms)) = self.lease_mut(place, digest)?.queue.pop_first() else {
            self.remove(place, digest);
            return None;
        };
        self.waiting -= 1;
        self.renew(place, digest, ms, now);
        let before = std::mem::replace(&mut self.lease_mut(place, digest)?.token, token);
        self.tokens.remove(&before);
        self.tokens.insert(token, (self.name(place), *digest));
        Some(waiter)
    }

    /// Ends a lease: those who waited for it.
    pub fn end(&mut self, place: &P, digest: &Digest) -> Vec<Waiter> {
        fault::point();
        self.remove(place, digest).into_keys().collect()
    }

    /// Ends all leases at a place: those who waited for them.
    pub fn end_all(&mut self, place: &P) -> Vec<Waiter> {
        let digests: Vec<_> = self.places.get(place).into_iter().flat_map(HashMap::keys).copied().collect();
        digests.iter().flat_map(|digest| self.end(place, digest)).collect()
    }

    /// Ends all leases at such places: the places, and those who waited there.
    pub fn clear(&mut self, gone: impl Fn(&P) -> bool) -> Vec<(P, Vec<Waiter>)> {
        let places: Vec<P> = self.places.keys().filter(|place| gone(place)).cloned().collect();
        let end = |place: P| {
            let waiters = self.end_all(&place);
            (place, waiters)
        };
        places.into_iter().map(end).collect()
    }

    /// Some lease whose time is over.
    pub fn due(&self, now: UnixMs) -> Option<(P, Digest)> {
        let (_, place, digest) = self.times.first().filter(|(until, ..)| *until <= now)?;
        Some((place.clone(), Digest::from_bytes(*digest)))
    }

    /// When the next one's is.
    pub fn next(&self) -> Option<UnixMs> {
        self.times.first().map(|(until, ..)| *until)
    }

    /// The name of a place that all of its leases share.
    fn name(&self, place: &P) -> P {
        self.places.get_key_value(place).map_or(place, |(place, _)| place).clone()
    }

    fn lease(&self, place: &P, digest: &Digest) -> Option<&Lease> {
        self.places.get(place)?.get(digest)
    }

    fn lease_mut(&mut self, place: &P, digest: &Digest) -> Option<&mut Lease> {
        self.places.get_mut(place)?.get_mut(digest)
    }

    fn remove(&mut self, place: &P, digest: &Digest) -> BTreeMap<Waiter, u64> {
        let Some(leases) = self.places.get_mut(place) else { return BTreeMap::new() };
        let Some(lease) = leases.remove(digest) else { return BTreeMap::new() };
        if leases.is_empty() {
            self.places.remove(place);
        }
        self.times.remove(&(lease.until, place.clone(), *digest.as_bytes()));
        self.tokens.remove(&lease.token);
        self.waiting -= lease.queue.len();
        if self.tokens.is_empty() {
            // Nothing is kept of what many leases took.
            *self = Self::default();
        }
        lease.queue
    }

    /// Checks that everything hangs together.
    pub fn validate(&self) -> Result<(), String> {
        let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let mut times = BTreeSet::new();
        let (mut len, mut waiting) = (0, 0);
        for (place, leases) in &self.places {
            check(!leases.is_empty(), "a place has leases")?;
            for (digest, lease) in leases {
                times.insert((lease.until, place.clone(), *digest.as_bytes()));
                (len, waiting) = (len + 1, waiting + lease.queue.len());
                let located = self.tokens.get(&lease.token);
                check(located == Some(&(place.clone(), *digest)), "each lease is found by its token")?;
            }
        }
        check(times == self.times, "each lease has its time in the order of times")?;
        check((len, waiting) == (self.len(), self.waiting), "all are counted")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::from_bytes([number; 32])
    }

    fn token(number: u8) -> Token {
        Token::new([number; 16])
    }

    const NOW: UnixMs = UnixMs(1000);

    #[test]
    fn a_token_is_read_as_it_is_shown() {
        let token = Token::new(std::array::from_fn(|at| at as u8 * 17));
        assert_eq!(token.to_string(), "00112233445566778899aabbccddeeff");
        assert_eq!(Token::read(token.to_string().as_bytes()), Some(token));
        assert_eq!(Token::read(token.to_string().to_uppercase().as_bytes()), Some(token));
        for word in [
            "",
            "00",
            "00112233445566778899aabbccddeef",
            "00112233445566778899aabbccddeefff",
            "0g112233445566778899aabbccddeeff",
        ] {
            assert_eq!(Token::read(word.as_bytes()), None, "{word}");
        }
        assert_eq!(format!("{token:?}"), "Token", "it must not stand in a log");
    }

    #[test]
    fn the_first_who_asks_has_it_and_the_others_have_their_turn() {
        let mut leases = Leases::default();
        assert_eq!(leases.take(&'a', &digest(1), token(1), 100, NOW), Taken::Granted);
        assert_eq!(leases.take(&'a', &digest(1), token(2), 100, NOW), Taken::Held);
        assert_eq!(leases.take(&'b', &digest(1), token(3), 100, NOW), Taken::Granted, "another cache");
        assert_eq!(leases.take(&'a', &digest(2), token(4), 100, NOW), Taken::Granted, "another prompt");
        leases.wait(&'a', &digest(1), 7, 500);
        leases.wait(&'a', &digest(1), 8, 600);
        leases.wait(&'a', &digest(1), 9, 700);
        leases.forget(&'a', &digest(1), 8);
        assert_eq!((leases.len(), leases.waiting(), leases.at(&'a', NOW)), (3, 2, (2, 2)));
        assert_eq!(leases.due(UnixMs(1099)), None);
        let later = UnixMs(1100);
        assert!(!leases.holds(&'a', &digest(1), token(1), later));
        assert_eq!(leases.take(&'a', &digest(1), token(5), 100, later), Taken::Held, "nobody jumps the queue");
        assert_eq!(leases.pass_on(&'a', &digest(1), token(6), later), Some(7));
        assert!(leases.holds(&'a', &digest(1), token(6), later));
        assert_eq!(leases.find(&'a', token(1), later), None, "the old one is lost");
        assert_eq!(leases.find(&'a', token(6), UnixMs(1599)), Some(digest(1)));
        assert_eq!(leases.find(&'a', token(6), UnixMs(1600)), None);
        assert_eq!(leases.find(&'b', token(6), later), None);
        leases.renew(&'a', &digest(1), 1000, later);
        assert!(leases.holds(&'a', &digest(1), token(6), UnixMs(2099)));
        assert_eq!(leases.end(&'a', &digest(1)), [9]);
        assert_eq!(leases.pass_on(&'a', &digest(2), token(7), later), None, "with nobody there it ends");
        assert_eq!(leases.due(later), Some(('b', digest(1))));
        assert_eq!(leases.pass_on(&'b', &digest(1), token(8), later), None);
        assert!(leases.is_empty());
        leases.validate().unwrap();
    }

    #[test]
    fn there_is_a_limit() {
        let mut leases = Leases::default();
        let name = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            (Digest::from_bytes(bytes), Token::new(bytes.as_chunks().0[0]))
        };
        for number in 0..MAX_LEASES {
            let (digest, token) = name(number);
            assert_eq!(leases.take(&0, &digest, token, 100, NOW), Taken::Granted);
        }
        let (digest, token) = name(MAX_LEASES);
        assert_eq!(leases.take(&0, &digest, token, 100, NOW), Taken::Full);
        assert!(leases.clear(|_| true).iter().all(|(_, waiters)| waiters.is_empty()));
        assert_eq!(leases.take(&0, &digest, token, 100, NOW), Taken::Granted);
    }

    /// A naive twin: a list of leases and a list of who waits.
    #[derive(Default)]
    struct Twin {
        leases: Vec<(u8, u8, Token, u64)>,
        queue: Vec<(u8, u8, Waiter, u64)>,
    }

    impl Twin {
        fn queue(&self, place: u8, prompt: u8) -> Vec<(Waiter, u64)> {
            let mine = self.queue.iter().filter(|(p, d, ..)| (*p, *d) == (place, prompt));
            mine.map(|(.., waiter, ms)| (*waiter, *ms)).collect()
        }

        fn remove(&mut self, place: u8, prompt: u8) -> Vec<Waiter> {
            let waiters = self.queue(place, prompt).into_iter().map(|(waiter, _)| waiter).collect();
            self.leases.retain(|(p, d, ..)| (*p, *d) != (place, prompt));
            self.queue.retain(|(p, d, ..)| (*p, *d) != (place, prompt));
            waiters
        }
    }

    #[test]
    fn any_sequence_leaves_what_a_naive_twin_has() {
        for seed in 0..300u64 {
            let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut below = |n: u64| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (x >> 33) % n
            };
            let (mut leases, mut twin) = (Leases::default(), Twin::default());
            let mut now = 1000;
            for step in 0..300u32 {
                now += below(20);
                let at = UnixMs(now);
                let (place, prompt) = (below(2) as u8, below(4) as u8);
                let (name, ms) = (digest(prompt), 1 + below(200));
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&step.to_le_bytes());
                let token = Token::new(bytes);
                let there = twin.leases.iter().position(|(p, d, ..)| (*p, *d) == (place, prompt));
                let held = there.filter(|there| twin.leases[*there].3 > now);
                let queue = twin.queue(place, prompt);
                match below(7) {
                    0 | 1 => {
                        let taken = leases.take(&place, &name, token, ms, at);
                        let free = held.is_none() && queue.is_empty();
                        assert_eq!(taken, if free { Taken::Granted } else { Taken::Held }, "seed {seed}, step {step}");
                        if free {
                            twin.remove(place, prompt);
                            twin.leases.push((place, prompt, token, now + ms));
                        }
                    }
                    2 | 3 => {
                        leases.wait(&place, &name, step.into(), ms);
                        if there.is_some() {
                            twin.queue.push((place, prompt, step.into(), ms));
                        }
                    }
                    4 => {
                        let waiter = below(u64::from(step) + 1);
                        leases.forget(&place, &name, waiter);
                        twin.queue.retain(|(p, d, other, _)| (*p, *d, *other) != (place, prompt, waiter));
                    }
                    5 => {
                        assert_eq!(leases.end(&place, &name), twin.remove(place, prompt), "seed {seed}, step {step}");
                    }
                    _ => {
                        let next = queue.first().copied().filter(|_| there.is_some());
                        let passed = leases.pass_on(&place, &name, token, at);
                        assert_eq!(passed, next.map(|(waiter, _)| waiter), "seed {seed}, step {step}");
                        match (there, next) {
                            (Some(there), Some((waiter, ms))) => {
                                twin.queue.retain(|(.., other, _)| *other != waiter);
                                twin.leases[there] = (place, prompt, token, now + ms);
                            }
                            _ => drop(twin.remove(place, prompt)),
                        }
                    }
                }
                leases.validate().unwrap();
                assert_eq!((leases.len(), leases.waiting()), (twin.leases.len(), twin.queue.len()), "seed {seed}");
                for (place, prompt, token, until) in &twin.leases {
                    let held = leases.holds(place, &digest(*prompt), *token, at);
                    assert_eq!(held, *until > now, "seed {seed}, step {step}");
                    assert_eq!(leases.find(place, *token, at), held.then(|| digest(*prompt)));
                }
                assert_eq!(leases.next().map(|next| next.0), twin.leases.iter().map(|lease| lease.3).min());
            }
            let mut left: Vec<_> = twin.queue.iter().filter(|(place, ..)| *place == 1).map(|waiter| waiter.2).collect();
            let told = leases.clear(|place| *place == 1);
            let mut told: Vec<_> = told.into_iter().flat_map(|(_, waiters)| waiters).collect();
            left.sort_unstable();
            told.sort_unstable();
            assert_eq!(told, left, "seed {seed}");
        }
    }
}
