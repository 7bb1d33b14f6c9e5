//! Which similar entry answers: from what an index finds to an entry that may be served, or to the reason why none may.
//!
//! A lookup that finds no answer under its own digest goes on here, in three steps, of which the middle one may run on
//! another thread:
//!
//! ```text
//!   Cache::look     exact first; then the prompt becomes a Query, and entries with the same normalised text answer
//!   Search::run     the best few of the context, by the index alone
//!   Cache::settle   the pair scorer, the threshold, feedback and the guards; the first that passes all is served
//! ```
//!
//! While a search is on its way its candidates may go or change, so `settle` takes only slots that still hold the entry
//! that was found.

use super::cache::{Cache, Found, Miss, Terms, INDEXED_AT_ONCE};
use super::entry::{Entry, Phase, Slot};
use super::identity::{Digest, Identity};
use super::policy::Mode;
use super::similarity::builtin::pair::{self, Side};
use super::similarity::guards::{self, Guard, Strike};
use super::similarity::index::{Hit, Query, Search};
use super::similarity::text::Text;
use super::similarity::{spelling, typo, Kind, Method};
use super::storing::VectorError;
use super::time::UnixMs;
use std::cell::LazyCell;

/// How many candidates a lookup looks at closely.
pub const LOOKED_AT: usize = 8;

/// How many it asks a search for: some may have gone by then, or their time may be over.
pub const ASKED_FOR: usize = 128;

/// A closer look finds prompts more alike than their built-in vectors by this much at most, which is how far below the
/// threshold candidates are looked for.
const LIFT: f64 = 0.09;

/// The same for a prompt with words that the model does not know: misspelt ones leave little of a vector.
const LIFT_OF_UNKNOWN: f64 = 0.3;

/// The most that different texts are similar.
const ALMOST: f64 = 0.9999;

/// The cosine of clients' vectors is told, and compared with a threshold, to four places.
const DECIMALS: f64 = 10_000.0;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose answer.
    pub identity: Identity<'a>,
    /// The digest of `identity`.
    pub digest: Digest,
    /// The client's vector.
    pub vector: Option<&'a [f32]>,
    /// Whether a similar question may answer it.
    pub comparable: bool,
    /// On which terms.
    pub terms: &'a Terms,
    /// When.
    pub now: UnixMs,
}

/// How far a lookup gets without a search.
#[derive(Debug)]
pub enum Look {
    /// To its end.
    Found(Found),
    /// To a search.
    Search(Box<Asking>),
}

/// A similar lookup on its way.
#[derive(Debug)]
pub struct Asking {
    query: Query,
    /// How the cache compared when the lookup began.
    policy: Method,
    /// Entries that may have the same normalised text.
    same: Vec<Slot>,
    /// Entries that may have the text that was meant, if the prompt is misspelt.
    meant: Vec<Slot>,
    /// How similar an answer must be.
    pub threshold: f64,
    /// The search, if there is anything to search in.
    pub search: Option<Search>,
}

impl Asking {
    /// From which similarity on the index need look.
    pub fn floor(&self) -> f64 {
        match self.query.method {
            Method::Builtin => {
                let words = self.query.text.iter().flat_map(|text| &text.words);
                let lift = if words.into_iter().all(|word| word.known) { LIFT } else { LIFT_OF_UNKNOWN };
                self.threshold - lift
            }
            Method::Lexical(_) => self.threshold,
            Method::Vector => self.threshold - 0.5 / DECIMALS,
        }
    }

    /// The least similarity there is.
    pub fn bottom(&self) -> f64 {
        match self.query.method {
            Method::Lexical(_) => 0.0,
            Method::Builtin | Method::Vector => -1.0,
        }
    }

    /// About how many microseconds a search from this similarity on takes.
    pub fn cost(&self, floor: f64) -> u64 {
        self.search.as_ref().map_or(0, |search| search.cost(floor))
    }

    /// The best candidates for an answer, from this similarity on.
    pub fn run(&self, floor: f64, count: usize) -> Vec<Hit> {
        self.search.as_ref().map_or_else(Vec::new, |search| search.run(floor, count))
    }
}

/// What stands between a candidate and its being served.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Serve(Phase),
    /// It is not similar enough.
    BelowThreshold,
    /// Its time.
    Expired,
    /// Feedback: it was a bad answer to this prompt.
    Feedback,
    /// A guard.
    Guard(Strike),
}

/// An entry that was looked at closely.
#[derive(Debug)]
pub struct Candidate {
    /// Where it is.
    pub slot: Slot,
    /// How similar it is.
    pub similarity: f64,
    text: Option<Text>,
    /// Whether slips of the pen are all that differs.
    misspelt: bool,
}

impl Cache {
    /// How a lookup is to match: as it says, or as the cache does.
    pub fn mode(&self, terms: &Terms) -> Mode {
        terms.mode.unwrap_or(self.policy.mode)
    }

    /// How similar an answer must be. A call can only ask for more.
    pub fn threshold(&self, terms: &Terms) -> f64 {
        let own = self.policy.threshold();
        terms.threshold.map_or(own, |threshold| threshold.max(own))
    }

    /// Whether a lookup may go on among similar prompts. A cache of vectors has nothing to compare without one: a lookup
    /// that asks for SIMILAR is told so, and one that leaves it to the cache is matched exactly.
    pub fn is_similar(&self, wanted: &Wanted<'_>) -> Result<bool, VectorError> {
        self.check_vector(wanted.vector)?;
        if !wanted.comparable || self.mode(wanted.terms) == Mode::Exact {
            return Ok(false);
        }
        let missing = wanted.vector.is_none() && self.policy.similarity == Kind::Vector;
        if missing && wanted.terms.mode.is_some() {
            return Err(VectorError::Missing);
        }
        Ok(!missing)
    }

    /// Looks for an answer as far as that goes without a search.
    pub fn look(&mut self, wanted: &Wanted<'_>) -> Result<Look, VectorError> {
        let is_similar = self.is_similar(wanted)?;
        let exact = self.find(&wanted.digest, wanted.terms, wanted.now);
        if !is_similar || !matches!(exact, Found::Miss(_)) {
            return Ok(Look::Found(exact));
        }
        let Some(asking) = self.ask(wanted) else { return Ok(Look::Found(exact)) };
        Ok(match self.find_same(&asking, wanted) {
            Some(found) => Look::Found(found),
            None => Look::Search(Box::new(asking)),
        })
    }

    /// Reads a prompt for a similar lookup and prepares the search. None where there is nothing to compare.
    pub fn ask(&mut self, wanted: &Wanted<'_>) -> Option<Asking> {
        self.asked_similar = true;
        self.keep_likeness();
        self.index_within(INDEXED_AT_ONCE, wanted.now);
        let index = self.store.likeness()?;
        let context = self.store.find_context(&wanted.identity.context)?;
        let query = Query::read(self.policy.method(), wanted.identity.prompt, wanted.vector)?;
        let forms = query.text.as_ref().filter(|_| query.method != Method::Vector);
        let same: Vec<_> = forms.into_iter().flat_map(|text| index.with_form(context, &text.normal)).collect();
        let mut meant = Vec::new();
        if let (Method::Builtin, Some(text), true) = (query.method, forms, same.is_empty()) {
            let readings = spelling::readings(text);
            meant = readings.iter().flat_map(|normal| index.with_form(context, normal)).collect();
        }
        let search = index.search(context, &query);
        let threshold = self.threshold_of(&query, wanted.terms);
        Some(Asking { query, policy: self.policy.method(), same, meant, threshold, search })
    }

    /// How similar an answer to this query must be. What is similar by letters alone has a scale of its own.
    fn threshold_of(&self, query: &Query, terms: &Terms) -> f64 {
        let threshold = self.threshold(terms);
        match query.method == self.policy.method() {
            true => threshold,
            false => threshold.max(query.method.default_threshold()),
        }
    }

    /// The answer among the entries with the same normalised text, or the one that was meant, for which nothing need be
    /// searched.
    pub fn find_same(&self, asking: &Asking, wanted: &Wanted<'_>) -> Option<Found> {
        let query = asking.query.text.as_ref()?;
        let same = asking.same.iter().map(|slot| (*slot, false));
        let context = self.store.find_context(&wanted.identity.context)?;
        same.chain(asking.meant.iter().map(|slot| (*slot, true))).find_map(|(slot, misspelt)| {
            // The same hash is not yet the same context.
            let entry = self.store.get(slot).filter(|entry| entry.context == context)?;
            entry.serves(wanted.terms, wanted.now)?;
            let text = Text::read(&entry.prompt)?;
            // The same hash is not yet the same text.
            let similarity = match misspelt {
                false => (text.normal == query.normal).then_some(1.0)?,
                true => typo::similarity(query, &text)?.into(),
            };
            let candidate = Candidate { slot, similarity, text: Some(text), misspelt };
            match self.judge(asking, &candidate, wanted) {
                Verdict::Serve(phase) => Some(Found::Similar { slot, phase, similarity }),
                _ => None,
            }
        })
    }

    /// The answer among the entries that a search has found, or why there is none.
    pub fn settle(&self, asking: &Asking, hits: &[Hit], wanted: &Wanted<'_>) -> Found {
        // Its own answer may have come meanwhile.
        let exact = self.find(&wanted.digest, wanted.terms, wanted.now);
        if !matches!(exact, Found::Miss(_)) {
            return exact;
        }
        // The policy may have changed while a search was on its way.
        let same = self.policy.method() == asking.policy && self.is_similar(wanted) == Ok(true);
        if !same {
            return exact;
        }
        let found = self.choose(asking, hits, wanted);
        match (exact, found) {
            // That its own answer has expired tells more than that no other is similar.
            (Found::Miss(Miss::Expired), Found::Miss(_)) => exact,
            (_, found) => found,
        }
    }

    /// The best of these that may be served, or why none may.
    fn choose(&self, asking: &Asking, hits: &[Hit], wanted: &Wanted<'_>) -> Found {
        let mut why = None;
        for candidate in &self.candidates(asking, hits, wanted) {
            let miss = match self.judge(asking, candidate, wanted) {
                Verdict::Serve(phase) => {
                    return Found::Similar { slot: candidate.slot, phase, similarity: candidate.similarity };
                }
                Verdict::BelowThreshold => break,
                Verdict::Expired => Miss::Expired,
                Verdict::Feedback => Miss::Feedback,
                Verdict::Guard(strike) => Miss::Guard(strike.guard),
            };
            why.get_or_insert(miss);
        }
        Found::Miss(why.unwrap_or(if asking.search.is_some() { Miss::BelowThreshold } else { Miss::Absent }))
    }

    /// What a search has found, looked at closely, the best first. Those whose time is over do not keep others out.
    pub fn candidates(&self, asking: &Asking, hits: &[Hit], wanted: &Wanted<'_>) -> Vec<Candidate> {
        let Some(context) = self.store.find_context(&wanted.identity.context) else { return Vec::new() };
        let mut candidates = Vec::with_capacity(2 * LOOKED_AT);
        let mut left = [LOOKED_AT; 2];
        let side = LazyCell::new(|| asking.query.text.as_ref().filter(|text| is_short(text)).map(Side::new));
        for hit in hits {
            let Some(entry) = self.store.get(hit.slot) else { continue };
            if entry.stamp() != hit.stamp || entry.context != context || entry.digest == wanted.digest {
                continue;
            }
            let [timely, untimely] = &mut left;
            let left = if entry.serves(wanted.terms, wanted.now).is_some() { timely } else { untimely };
            if *left > 0 {
                *left -= 1;
                candidates.push(look(asking, &side, entry, *hit));
            }
        }
        candidates.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        candidates
    }

    /// Whether a candidate is served.
    pub fn judge(&self, asking: &Asking, candidate: &Candidate, wanted: &Wanted<'_>) -> Verdict {
        let Some(entry) = self.store.get(candidate.slot) else { return Verdict::Expired };
        // Nothing ever crosses a context, whatever led here.
        if self.store.find_context(&wanted.identity.context) != Some(entry.context) {
            return Verdict::Expired;
        }
        let threshold = self.threshold_of(&asking.query, wanted.terms);
        if candidate.similarity.is_nan() || candidate.similarity < threshold {
            return Verdict::BelowThreshold;
        }
        let Some(phase) = entry.serves(wanted.terms, wanted.now) else { return Verdict::Expired };
        if self.feedback.is_bad(&wanted.digest, &entry.digest.id()) {
            return Verdict::Feedback;
        }
        let texts = asking.guarded(candidate);
        match (self.policy.guards, texts) {
            (false, _) => Verdict::Serve(phase),
            (true, None) => Verdict::Guard(Strike::unread()),
            (true, Some((query, text))) => match guards::first(query, text, asking.query.method.kind()) {
                Some(strike) => Verdict::Guard(strike),
                None => Verdict::Serve(phase),
            },
        }
    }
}

impl Asking {
    /// The two texts that guards compare.
    fn guarded<'a>(&'a self, candidate: &'a Candidate) -> Option<(&'a Text, &'a Text)> {
        // Where slips of the pen are all that differs, the entry's text is what was meant.
        let query = if candidate.misspelt { &candidate.text } else { &self.query.text };
        query.as_ref().zip(candidate.text.as_ref())
    }

    /// What every guard says of a candidate: nothing, or why it strikes.
    pub fn guards(&self, candidate: &Candidate) -> Vec<(Guard, Option<String>)> {
        match self.guarded(candidate) {
            Some((query, text)) => guards::all(query, text, self.query.method.kind()),
            None => vec![(Guard::Unread, Some(Strike::unread().reason))],
        }
    }
}

/// Looks at an entry that a search has found: the index knows vectors and terms, here the texts are compared.
fn look(asking: &Asking, side: &Option<Side<'_>>, entry: &Entry, hit: Hit) -> Candidate {
    let text = Text::read(&entry.prompt);
    let similarity = match asking.query.method {
        // The vectors of clients are kept to about five places.
        Method::Vector => (hit.similarity * DECIMALS).round() / DECIMALS,
        Method::Builtin | Method::Lexical(_) => hit.similarity,
    };
    let mut candidate = Candidate { slot: hit.slot, similarity, text, misspelt: false };
    let (Method::Builtin, Some(query), Some(text)) = (asking.query.method, &asking.query.text, &candidate.text) else {
        return candidate;
    };
    if query.normal == text.normal {
        candidate.similarity = 1.0;
        return candidate;
    }
    let near = similarity + LIFT >= asking.threshold && is_short(text);
    if let Some(side) = side.as_ref().filter(|_| near) {
        let score = f64::from(pair::score_sides(side, &Side::new(text), similarity as f32));
        // Only the same text is the same.
        candidate.similarity = score.clamp(0.0, ALMOST);
    }
    let slips = typo::similarity(query, text).map(f64::from).filter(|similarity| *similarity > candidate.similarity);
    if let Some(similarity) = slips {
        (candidate.misspelt, candidate.similarity) = (true, similarity);
    }
    candidate
}

/// Whether a text is short enough to be compared word by word.
fn is_short(text: &Text) -> bool {
    text.words.len() <= guards::MOST_WORDS
}
