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
use super::fault;
use super::identity::{Digest, Identity};
use super::policy::Mode;
use super::similarity::builtin::pair::{self, Side};
use super::similarity::guards::{self, Guard, Strike};
use super::similarity::index::{Hit, Query, Search};
use super::similarity::text::Text;
use super::similarity::{spelling, typo, Kind, Method};
use super::storing::VectorError;
use super::time::UnixMs;
use std::cell::OnceCell;

/// How many candidates a lookup looks at closely.
pub const LOOKED_AT: usize = 8;

/// How many it asks a search for: some may have gone by then, or their time may be over.
pub const ASKED_FOR: usize = 128;

/// By how much a closer look makes prompts more alike than their built-in vectors are, at most. Candidates are looked for
/// as far below the threshold.
const LIFT: f64 = 0.09;

/// The same for a prompt with words that the model does not know: misspelt ones leave little of a vector. By that much for
/// every such word among all, in parts of one, and at most.
const LIFT_OF_UNKNOWN: f64 = 0.8;
const HIGHEST_LIFT: f64 = 0.3;

/// The most that different texts are similar.
const ALMOST: f64 = 0.9999;

/// The cosine of clients' vectors is told, and compared with a threshold, to four places.
const DECIMALS: f64 = 10_000.0;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Whose answer.
    pub identity: Identity<'a>,
    /// The digest of `identity`, once somebody has asked for it.
    digest: OnceCell<Digest>,
    /// The client's vector.
    pub vector: Option<&'a [f32]>,
    /// Whether a similar question may answer it.
    pub comparable: bool,
    /// On which terms.
    pub terms: &'a Terms,
    /// When.
    pub now: UnixMs,
}

impl<'a> Wanted<'a> {
    /// The answer to this very question.
    pub fn exactly(identity: Identity<'a>, terms: &'a Terms, now: UnixMs) -> Self {
        Self { identity, digest: OnceCell::new(), vector: None, comparable: false, terms, now }
    }

    /// The digest of the question. To make it takes longer than most lookups, which do without.
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| self.identity.digest())
    }

    /// The same on other terms.
    pub fn on<'b>(&self, terms: &'b Terms) -> Wanted<'b>
    where
        'a: 'b,
    {
        Wanted { terms, ..self.clone() }
    }
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
    /// By how much a closer look makes a candidate more alike than the index finds it, at most.
    fn lift(&self) -> f64 {
        match self.query.method {
            Method::Builtin => {
                let words = self.query.text.as_ref().map_or(&[][..], |text| &text.words);
                let unknown = words.iter().filter(|word| !word.known).count();
                let share = unknown as f64 / words.len().max(1) as f64;
                (LIFT + LIFT_OF_UNKNOWN * share).min(HIGHEST_LIFT)
            }
            Method::Lexical(_) => 0.0,
            Method::Vector => 0.5 / DECIMALS,
        }
    }

    /// From which similarity on the index need look.
    pub fn floor(&self) -> f64 {
        self.threshold - self.lift()
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

    /// Into how many parts the search can be split among threads.
    pub fn parts(&self) -> usize {
        self.search.as_ref().map_or(0, Search::parts)
    }

    /// The best candidates in some of the parts.
    pub fn run_parts(&self, parts: impl Iterator<Item = usize>, floor: f64, count: usize) -> Vec<Hit> {
        self.search.as_ref().map_or_else(Vec::new, |search| search.run_parts(parts, floor, count))
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

impl Candidate {
    /// What a lookup finds that serves this one.
    pub fn served(&self, phase: Phase) -> Found {
        Found::Similar { slot: self.slot, phase, similarity: self.similarity }
    }
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
        fault::point();
        let is_similar = self.is_similar(wanted)?;
        let exact = self.recall(wanted);
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
        self.same(asking, wanted).map(|(candidate, phase)| candidate.served(phase))
    }

    /// The same with everything that is known of the entry.
    pub fn same(&self, asking: &Asking, wanted: &Wanted<'_>) -> Option<(Candidate, Phase)> {
        let query = asking.query.text.as_ref()?;
        let same = asking.same.iter().map(|slot| (*slot, false));
        let context = self.store.find_context(&wanted.identity.context)?;
        same.chain(asking.meant.iter().map(|slot| (*slot, true))).find_map(|(slot, misspelt)| {
            // The same hash is not yet the same context.
            let entry = self.store.get(slot).filter(|entry| entry.context == context)?;
            entry.serves(wanted.terms, wanted.now)?;
            let text = Text::read(entry.body.prompt())?;
            // The same hash is not yet the same text.
            let similarity = match misspelt {
                false => (text.normal == query.normal).then_some(1.0)?,
                true => typo::similarity(query, &text)?.into(),
            };
            let candidate = Candidate { slot, similarity, text: Some(text), misspelt };
            match self.judge(asking, &candidate, wanted) {
                Verdict::Serve(phase) => Some((candidate, phase)),
                _ => None,
            }
        })
    }

    /// The answer among the entries that a search has found, or why there is none.
    pub fn settle(&self, asking: &Asking, hits: &[Hit], wanted: &Wanted<'_>) -> Found {
        // Its own answer may have come meanwhile.
        let exact = self.find(&wanted.digest(), wanted.terms, wanted.now);
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

    /// The best of these that may be served, or why none may. Those that cannot be the best any more are not looked at.
    fn choose(&self, asking: &Asking, hits: &[Hit], wanted: &Wanted<'_>) -> Found {
        let lens = Lens::new(asking);
        let mut eligible = self.eligible(hits, wanted).peekable();
        let mut seen: Vec<Candidate> = Vec::with_capacity(LOOKED_AT);
        let mut why = None;
        loop {
            let bound = eligible.peek().map_or(f64::NEG_INFINITY, |(_, hit)| hit.similarity + lens.lift);
            let best = seen.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.similarity.total_cmp(&b.similarity));
            let Some((best, _)) = best.filter(|(_, best)| best.similarity >= bound) else {
                match eligible.next() {
                    Some((entry, hit)) if bound >= asking.threshold => seen.push(lens.look(entry, hit)),
                    _ => break,
                }
                continue;
            };
            let candidate = seen.remove(best);
            let miss = match self.judge(asking, &candidate, wanted) {
                Verdict::Serve(phase) => return candidate.served(phase),
                Verdict::BelowThreshold => break,
                Verdict::Expired => Miss::Expired,
                Verdict::Feedback => Miss::Feedback,
                Verdict::Guard(strike) => Miss::Guard(strike.guard),
            };
            why.get_or_insert(miss);
        }
        Found::Miss(why.unwrap_or(if asking.search.is_some() { Miss::BelowThreshold } else { Miss::Absent }))
    }

    /// All that a search has found, looked at closely, the best first.
    pub fn candidates(&self, asking: &Asking, hits: &[Hit], wanted: &Wanted<'_>) -> Vec<Candidate> {
        let lens = Lens::new(asking);
        let mut candidates: Vec<_> = self.eligible(hits, wanted).map(|(entry, hit)| lens.look(entry, hit)).collect();
        candidates.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        candidates
    }

    /// The entries that a search has found and that are still there, as many as are looked at. Those whose time is over do
    /// not keep others out.
    fn eligible<'a>(&'a self, hits: &'a [Hit], wanted: &'a Wanted<'_>) -> impl Iterator<Item = (&'a Entry, Hit)> {
        let context = self.store.find_context(&wanted.identity.context);
        let mut left = [LOOKED_AT; 2];
        hits.iter().filter_map(move |hit| {
            let entry = self.store.get(hit.slot)?;
            if entry.stamp() != hit.stamp || Some(entry.context) != context || entry.id == wanted.digest().id() {
                return None;
            }
            let [timely, untimely] = &mut left;
            let left = if entry.serves(wanted.terms, wanted.now).is_some() { timely } else { untimely };
            *left = left.checked_sub(1)?;
            Some((entry, *hit))
        })
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
        if self.feedback.is_bad(&wanted.digest(), &entry.id) {
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

/// Looks closely at entries that a search has found: the index knows vectors and terms, here the texts are compared.
struct Lens<'a> {
    asking: &'a Asking,
    side: OnceCell<Option<Side<'a>>>,
    lift: f64,
}

impl<'a> Lens<'a> {
    fn new(asking: &'a Asking) -> Self {
        Self { asking, side: OnceCell::new(), lift: asking.lift() }
    }

    /// The prompt as the pair scorer reads it, if it does.
    fn side(&self) -> Option<&Side<'a>> {
        let read = || self.asking.query.text.as_ref().filter(|text| is_short(text)).map(Side::new);
        self.side.get_or_init(read).as_ref()
    }

    fn look(&self, entry: &Entry, hit: Hit) -> Candidate {
        let Asking { query, threshold, .. } = self.asking;
        let text = Text::read(entry.body.prompt());
        let similarity = match query.method {
            // The vectors of clients are kept to about five places.
            Method::Vector => (hit.similarity * DECIMALS).round() / DECIMALS,
            Method::Builtin | Method::Lexical(_) => hit.similarity,
        };
        let mut candidate = Candidate { slot: hit.slot, similarity, text, misspelt: false };
        let (Method::Builtin, Some(asked), Some(text)) = (query.method, &query.text, &candidate.text) else {
            return candidate;
        };
        if asked.normal == text.normal {
            candidate.similarity = 1.0;
            return candidate;
        }
        let most = similarity + self.lift;
        if let Some(side) = self.side().filter(|_| most >= *threshold && is_short(text)) {
            let score = f64::from(pair::score_sides(side, &Side::new(text), similarity as f32));
            // Only the same text is the same.
            candidate.similarity = score.clamp(0.0, ALMOST).min(most);
        }
        let slips = typo::similarity(asked, text).map(|similarity| f64::from(similarity).min(most));
        if let Some(similarity) = slips.filter(|similarity| *similarity > candidate.similarity) {
            (candidate.misspelt, candidate.similarity) = (true, similarity);
        }
        candidate
    }
}

/// Whether a text is short enough to be compared word by word.
fn is_short(text: &Text) -> bool {
    text.words.len() <= guards::MOST_WORDS
}
