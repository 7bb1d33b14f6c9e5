//! `FETCH`, `RENEW`, `RELEASE`: one miss, one call.
//!
//! ```text
//!   exact? ── yes ─────────────────────────────────► hit | stale (with the lease, for one caller)
//!     │ no
//!   lease? ── somebody else has it ── may wait? ───► the answer, later | wait
//!     │ ours
//!   similar? ── yes ── those who wait are told ────► hit | stale
//!     │ no
//!     └────────────────────────────────────────────► lease
//! ```
//!
//! The lease comes before the search, so that a hundred who miss at once search once. A search that leaves the main thread
//! takes the lease along, and gives it back if nobody comes for its findings.

use super::show::Shown;
use super::{similar, with_codec, Call};
use crate::core::cache::{Cache, Found, Got, Miss, Terms};
use crate::core::entry::Phase;
use crate::core::lease::Token;
use crate::core::ledger::latency::Work;
use crate::core::ledger::Labels;
use crate::core::matching::{Look, Wanted, ASKED_FOR};
use crate::core::storing::{etag, Answer, Stored};
use crate::core::time::UnixMs;
use crate::shell::failure::{Failure, Outcome};
use crate::shell::keyspace::{home, Intent, Key};
use crate::shell::registry::{Home, Resident};
use crate::shell::search::{self, Searching};
use crate::shell::{config, leases};
use crate::syntax::fetch::{parse_release, parse_renew, Fetch};
use redis_module::{raw, Context, ContextFlags, RedisString};

/// What FETCH has come to.
enum State {
    /// There is an answer; the caller is to refresh it where there is a token.
    Found(Found, Option<Token>),
    /// There is an answer, and this lease is not needed.
    Enough(Found, Token),
    /// The caller computes it.
    Lease(Token, Miss),
    /// Somebody else does.
    Held(Miss),
    /// A thread is searching, and the client waits.
    Away,
}

/// A FETCH on its way.
struct Fetching<'a> {
    call: &'a Call<'a>,
    fetch: &'a Fetch<'a>,
    wanted: Wanted<'a>,
    home: Home,
}

pub fn run(call: &Call<'_>) -> Outcome {
    let fetch = Fetch::parse(call.words, &call.bounds())?;
    let intent = if fetch.lookup.terms.no_touch { Intent::Peek } else { Intent::Read };
    let mut key = Key::open(call.ctx, call.key(), intent)?;
    let home = home_of(call);
    let fetching = Fetching { call, fetch: &fetch, wanted: fetch.lookup.wanted(call.now), home };
    let state = match key.resident() {
        Some(resident) => fetching.look(resident)?,
        None => fetching.decide(Found::Miss(Miss::Absent))?,
    };
    let is_away = matches!(state, State::Away);
    let unneeded = if let State::Enough(_, token) = state { Some(token) } else { None };
    let answered = fetching.answer(state, &mut key);
    if let Some(cache) = key.cache().filter(|_| !is_away && !fetch.lookup.terms.no_touch) {
        cache.ledger_mut().note(Work::Fetch, || call.took());
    }
    // Whoever has it next may count in the same cache, so it is in nobody's hands then.
    drop(key);
    if let Some(token) = unneeded {
        leases::release(&fetching.home, token, None, call.now);
    }
    answered
}

fn home_of(call: &Call<'_>) -> Home {
    home(call.ctx, RedisString::string_as_slice(call.key()))
}

impl Fetching<'_> {
    /// Leases are given where answers can be stored.
    fn is_primary(&self) -> bool {
        self.call.ctx.get_flags().contains(ContextFlags::MASTER)
    }

    /// Asks for the right to compute the answer.
    fn take(&self) -> Result<Option<Token>, Failure> {
        match self.is_primary() {
            true => leases::take(self.call.ctx, &self.home, &self.wanted.digest(), self.fetch.lease_ms, self.call.now),
            false => Ok(None),
        }
    }

    /// Looks for an answer, and for the right to compute it where there is none.
    fn look(&self, resident: &mut Resident) -> Result<State, Failure> {
        let number = resident.number();
        let searched = match self.call.sought.filter(|sought| sought.cache == number) {
            Some(sought) => similar::Searched::Before(sought),
            None => match resident.cache.look(&self.wanted)? {
                Look::Found(found) => {
                    if matches!(found, Found::Similar { .. }) && config::logs_prompts() {
                        similar::log_found(self.call, &resident.cache, &self.wanted, found);
                    }
                    return self.decide(found);
                }
                Look::Search(asking) => {
                    let token = self.take()?;
                    if token.is_none() && self.is_primary() {
                        return Ok(State::Held(Miss::Absent));
                    }
                    let reach = (asking.floor(), ASKED_FOR);
                    let search = Searching { cache: number, reach, asking: *asking, claim: token };
                    match similar::search(self.call, search) {
                        Some(searched) => searched,
                        None => return Ok(State::Away),
                    }
                }
            },
        };
        let found = resident.cache.settle(&searched.asking, &searched.hits, &self.wanted);
        if config::logs_prompts() {
            similar::log_found(self.call, &resident.cache, &self.wanted, found);
        }
        // The time that the search took is not the holder's. It may have lost the lease meanwhile.
        let token = searched.claim().filter(|token| {
            let Self { call, wanted, home, fetch } = self;
            leases::holds(home, &wanted.digest(), *token, call.now)
                && leases::renew(call.ctx, home, *token, fetch.lease_ms, call.now)
        });
        match (token, found) {
            (None, found) => self.decide(found),
            (Some(token), Found::Miss(why)) => Ok(State::Lease(token, why)),
            (Some(token), found) => {
                self.share(&mut resident.cache, found)?;
                if is_stale(found) {
                    return Ok(State::Found(found, Some(token)));
                }
                Ok(State::Enough(found, token))
            }
        }
    }

    /// Who computes what a lookup without a search has not found, or has found stale.
    fn decide(&self, found: Found) -> Result<State, Failure> {
        Ok(match found {
            Found::Miss(why) => match self.take()? {
                Some(token) => State::Lease(token, why),
                None => State::Held(why),
            },
            found if is_stale(found) => State::Found(found, self.take()?),
            found => State::Found(found, None),
        })
    }

    /// Those who wait on the same terms are told of what the search of the first one has found.
    fn share(&self, cache: &mut Cache, found: Found) -> Outcome {
        let waiters = leases::waiting_like(&self.home, &self.wanted.digest(), self.wanted.terms);
        if waiters.is_empty() {
            return Ok(());
        }
        with_codec(|codec| {
            cache.coalesce(found, self.wanted.terms, waiters.len() as u64, self.call.now);
            let terms = Terms { no_touch: true, if_none_match: None, ..*self.wanted.terms };
            let wanted = self.wanted.on(&terms);
            if let Got::Hit { entry, response, stale, similar } = cache.serve(found, &wanted, codec)? {
                let mut shown = Shown::default();
                let matched = similar.map_or(("exact", 1.0), |similarity| ("similar", similarity));
                shown.state(if stale { "stale" } else { "hit" }).response(response);
                shown.entry(&entry, Some(matched), stale, self.call.now);
                leases::tell(waiters, shown.into_owned(), entry.etag());
            }
            Ok(())
        })
    }

    /// To wait asks the server about the key, so nobody may have its cache in hand then.
    fn answer(&self, state: State, key: &mut Key<'_>) -> Outcome {
        let (call, terms) = (self.call, self.wanted.terms);
        let reply = call.reply();
        let mut shown = Shown::default();
        let (why, shown) = match state {
            State::Away => return Ok(()),
            State::Enough(found, _) => return self.answer_found(key, found, None),
            State::Found(found, token) => return self.answer_found(key, found, token),
            State::Lease(token, why) => (why, shown.state("lease").token(&token)),
            State::Held(why) => {
                let waits = self.fetch.block_ms > 0 && call.sought.is_none() && self.is_primary();
                let times = (self.fetch.block_ms, self.fetch.lease_ms);
                let waits = waits
                    && search::may_block(call.ctx)
                    && leases::wait(call.ctx, self.home.clone(), &self.wanted, times);
                if waits {
                    return Ok(());
                }
                (why, shown.state("wait"))
            }
        };
        if let Some(cache) = key.cache() {
            cache.missed(why, &Labels::of(&self.wanted.identity.context), terms, call.now);
        }
        shown.write(reply);
        Ok(())
    }

    fn answer_found(&self, key: &mut Key<'_>, found: Found, token: Option<Token>) -> Outcome {
        let Some(cache) = key.cache() else { return Ok(()) };
        let (call, reply) = (self.call, self.call.reply());
        with_codec(|codec| {
            match cache.serve(found, &self.wanted, codec)? {
                Got::Miss => reply.null(),
                Got::NotModified => reply.simple(c"NOTMODIFIED"),
                Got::Hit { entry, response, stale, similar } => {
                    let matched = similar.map_or(("exact", 1.0), |similarity| ("similar", similarity));
                    let mut shown = Shown::default();
                    shown.state(if stale { "stale" } else { "hit" });
                    token.iter().for_each(|token| {
                        shown.token(token);
                    });
                    shown.response(response).entry(&entry, Some(matched), stale, call.now).write(reply);
                }
            }
            Ok(())
        })
    }
}

fn is_stale(found: Found) -> bool {
    matches!(found, Found::Exact(_, Phase::Stale) | Found::Similar { phase: Phase::Stale, .. })
}

/// Whether an answer may be stored under this token: it is that of the prompt's lease.
pub fn is_holder(home: &Home, answer: &Answer<'_>, token: Option<Token>, now: UnixMs) -> bool {
    token.is_some_and(|token| leases::holds(home, &answer.digest, token, now))
}

/// An answer has come: all who wait for it are told, whether it was stored or not.
pub fn tell_waiting(
    ctx: &Context,
    key: *mut raw::RedisModuleString,
    home: &Home,
    answer: &Answer<'_>,
    stored: Stored,
    now: UnixMs,
) {
    if stored == Stored::ConditionFailed {
        return;
    }
    leases::end(ctx, home, &answer.digest, |count| {
        let mut key = Key::open(ctx, key, Intent::Peek).ok()?;
        let mut shown = Shown::default();
        shown.state("hit").response(answer.response);
        let made = &mut Cache::default();
        let cache = match key.cache() {
            Some(cache) => cache,
            None => made,
        };
        let slot = match stored {
            Stored::Stored(slot) => Some(slot)
                .filter(|slot| cache.store().view(*slot).is_some_and(|entry| entry.id() == answer.digest.id())),
            _ => None,
        };
        match slot {
            Some(slot) => {
                let found = Found::Exact(slot, Phase::Fresh);
                cache.coalesce(found, &Terms::default(), count, now);
                let entry = cache.store().view(slot)?;
                shown.entry(&entry, Some(("exact", 1.0)), false, now);
            }
            None => {
                let effort = cache.effort(answer);
                cache.coalesce_passing(answer, &effort, count, now);
                shown.passing(answer, &effort, stored == Stored::AlreadyOver, count);
            }
        }
        Some((shown.into_owned(), etag(answer.response)))
    });
}

/// `RENEW`.
pub fn renew(call: &Call<'_>) -> Outcome {
    let (token, ms) = parse_renew(call.words)?;
    let renewed = token.is_some_and(|token| leases::renew(call.ctx, &home_of(call), token, ms, call.now));
    answer_holder(call, renewed)
}

/// `RELEASE`.
pub fn release(call: &Call<'_>) -> Outcome {
    let (token, why) = parse_release(call.words)?;
    let released = token.is_some_and(|token| leases::release(&home_of(call), token, why, call.now));
    answer_holder(call, released)
}

/// A lease may be given back whatever has come in place of its cache.
fn answer_holder(call: &Call<'_>, was_one: bool) -> Outcome {
    if !was_one {
        Key::open(call.ctx, call.key(), Intent::Peek)?;
    }
    call.reply().integer(was_one.into());
    Ok(())
}
