//! Which words of two texts belong together, and what is left over.

use super::super::{dot, DIM};
use super::side::{Part, Side};
use super::FEATURES;
use crate::core::similarity::words::Class;

const NEGATIONS: [&str; 7] = ["cannot", "neither", "never", "no", "none", "nor", "not"];

/// Words that tell what is asked for.
const ASKING: [&str; 9] = ["how", "what", "when", "where", "which", "who", "whom", "whose", "why"];

/// The longest words, in bytes, whose letters are compared.
const LONGEST: usize = 40;

/// Words without a partner, at most, that are compared by their letters.
const SPELLED: usize = 4;

/// Two texts, word by word.
pub(super) struct Alignment<'a> {
    sides: [&'a Side<'a>; 2],
    /// For each word of the first side the place of the same word on the second.
    partners: Vec<Option<usize>>,
    /// Whether a word of a side has a partner.
    paired: [Vec<bool>; 2],
}

/// What a side has that the other has not, and how far the other comes near it.
#[derive(Default)]
struct Rest {
    /// The mean, by weight, of how near the nearest word of the other side comes.
    aligned: f32,
    /// The same for the words without a partner alone.
    partners: f32,
    /// The least near one, and the one with the largest weight not reached.
    worst: f32,
    worst_weight: f32,
    /// The weight of the words without a partner, and its share in that of all.
    weight: f32,
    share: f32,
    words: f32,
    function: f32,
    unknown: f32,
    /// Length of the sum of their vectors, over that of all.
    length: f32,
}

impl<'a> Alignment<'a> {
    pub fn new(a: &'a Side<'a>, b: &'a Side<'a>) -> Self {
        let mut paired = [vec![false; a.parts.len()], vec![false; b.parts.len()]];
        let [of_a, of_b] = &mut paired;
        let pair = |(part, paired): (&Part, &mut bool)| {
            let free = |((_, other), taken): &((usize, &Part), &mut bool)| !**taken && other.hash == part.hash;
            let ((place, _), taken) = b.parts.iter().enumerate().zip(of_b.iter_mut()).find(free)?;
            (*taken, *paired) = (true, true);
            Some(place)
        };
        let partners = a.parts.iter().zip(of_a.iter_mut()).map(pair).collect();
        Self { sides: [a, b], partners, paired }
    }

    /// In the order of [`FEATURES`].
    pub fn features(&self, cosine: f32) -> [f32; FEATURES.len()] {
        let [a, b] = self.sides;
        let (sums_a, sums_b) = (Sums::of(a, &self.paired[0]), Sums::of(b, &self.paired[1]));
        let (rest_a, rest_b) = (self.rest(0, &sums_a), self.rest(1, &sums_b));
        let less = |value: fn(&Rest) -> f32| value(&rest_a).min(value(&rest_b));
        let more = |value: fn(&Rest) -> f32| value(&rest_a).max(value(&rest_b));
        let shared = self.partners.iter().flatten().count() as f32;
        let (len_a, len_b) = (a.parts.len() as f32, b.parts.len() as f32);
        let (weight_a, weight_b) = (weight(a), weight(b));
        let shared_weight = weight_a - rest_a.weight;
        [
            cosine,
            angle(&sums_a.content, &sums_b.content),
            angle(&sums_a.function, &sums_b.function),
            less(|rest| rest.aligned),
            more(|rest| rest.aligned),
            less(|rest| rest.worst),
            more(|rest| rest.worst),
            less(|rest| rest.worst_weight),
            more(|rest| rest.worst_weight),
            less(|rest| rest.partners),
            more(|rest| rest.partners),
            less(|rest| rest.weight),
            more(|rest| rest.weight),
            less(|rest| rest.share),
            more(|rest| rest.share),
            less(|rest| rest.words),
            more(|rest| rest.words),
            less(|rest| rest.function),
            more(|rest| rest.function),
            angle(&sums_a.lost, &sums_b.lost),
            less(|rest| rest.length),
            more(|rest| rest.length),
            more(|rest| rest.unknown),
            shared,
            share(shared, len_a + len_b - shared),
            share(shared_weight, weight_a + weight_b - shared_weight),
            len_a.min(len_b),
            len_a.max(len_b),
            share(len_a.min(len_b), len_a.max(len_b)),
            self.numbers(),
            (count(a, &NEGATIONS) - count(b, &NEGATIONS)).abs(),
            asking(a, b),
            near(a, b, |side| (!side.parts.is_empty()).then_some(0)),
            near(a, b, |side| side.parts.iter().rposition(|part| !part.is_function())),
            self.neighbours(),
            self.inversions(),
            self.spelling(),
            share(weight_a.min(weight_b), weight_a.max(weight_b)),
        ]
    }

    fn rest(&self, which: usize, sums: &Sums) -> Rest {
        let (Some(side), Some(other), Some(paired)) =
            (self.sides.get(which), self.sides.get(1 - which), self.paired.get(which))
        else {
            return Rest::default();
        };
        let mut rest = Rest { worst: 1.0, ..Rest::default() };
        let (mut all, mut reached, mut lost_reached) = (0.0, 0.0, 0.0);
        for ((at, part), paired) in side.parts.iter().enumerate().zip(paired) {
            if part.is_function() {
                rest.function += if *paired { 0.0 } else { 1.0 };
                continue;
            }
            let weight = part.word.idf;
            all += weight;
            if *paired {
                reached += weight;
                continue;
            }
            let best = nearest(side, at, other);
            reached += weight * best;
            lost_reached += weight * best;
            rest.worst = rest.worst.min(best);
            rest.worst_weight = rest.worst_weight.max(weight * (1.0 - best));
            rest.weight += weight;
            rest.words += 1.0;
            rest.unknown += if part.word.known { 0.0 } else { 1.0 };
        }
        rest.aligned = share(reached, all);
        rest.partners = share(lost_reached, rest.weight);
        rest.share = share(rest.weight, all).min(if all > 0.0 { 1.0 } else { 0.0 });
        rest.length = length(&sums.lost) / length(&sums.all).max(f32::MIN_POSITIVE);
        rest
    }

    /// 0 where neither side has numbers, 1 where both have the same, 2 where one has some that the other has not, 3
    /// where both have.
    fn numbers(&self) -> f32 {
        let mut any = false;
        let lost = [0, 1].map(|which: usize| {
            let parts = self.sides.get(which).map(|side| side.parts.as_slice()).unwrap_or_default();
            let paired = self.paired.get(which).map(Vec::as_slice).unwrap_or_default();
            let mut numbers = parts.iter().zip(paired).filter(|(part, _)| part.word.class == Class::Number).peekable();
            any |= numbers.peek().is_some();
            numbers.any(|(_, paired)| !paired)
        });
        match (any, lost) {
            (false, _) => 0.0,
            (true, [false, false]) => 1.0,
            (true, [true, true]) => 3.0,
            (true, _) => 2.0,
        }
    }

    /// The share of neighbouring words that are neighbours on the other side too.
    fn neighbours(&self) -> f32 {
        let together = self.partners.windows(2).filter(|two| match two {
            [Some(left), Some(right)] => *right == left + 1,
            _ => false,
        });
        let [a, b] = self.sides;
        share(together.count() as f32, a.parts.len().max(b.parts.len()).saturating_sub(1) as f32)
    }

    /// The share of word pairs that stand the other way round on the other side.
    fn inversions(&self) -> f32 {
        let places: Vec<_> = self.partners.iter().flatten().collect();
        let turned =
            |(at, place): (usize, &&usize)| places.iter().skip(at + 1).filter(|behind| *behind < place).count();
        let inversions: usize = places.iter().enumerate().map(turned).sum();
        let pairs = places.len() * places.len().saturating_sub(1) / 2;
        inversions as f32 / pairs.max(1) as f32
    }

    /// How alike the letters of the words without a partner are, at the worst; 0 where there are too many of them.
    fn spelling(&self) -> f32 {
        let [a, b] = [0, 1].map(|which: usize| {
            let parts = self.sides.get(which).map(|side| side.parts.as_slice()).unwrap_or_default();
            let paired = self.paired.get(which).map(Vec::as_slice).unwrap_or_default();
            let lost = parts.iter().zip(paired).filter(|(part, paired)| !**paired && !part.is_function());
            lost.map(|(part, _)| part.word.text.as_str()).take(SPELLED + 1).collect::<Vec<_>>()
        });
        let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
        if few.is_empty() || many.len() > SPELLED {
            return if many.is_empty() { 1.0 } else { 0.0 };
        }
        // The time goes with the square of the length, and nothing so long is a word.
        let jaro_winkler = |a: &str, b: &str| match a.len().max(b.len()) <= LONGEST {
            true => strsim::jaro_winkler(a, b) as f32,
            false => f32::from(u8::from(a == b)),
        };
        let alike = |word: &&str| many.iter().map(|other| jaro_winkler(word, other)).fold(0.0, f32::max);
        few.iter().map(alike).fold(1.0, f32::min)
    }
}

/// Vectors of parts of a text.
struct Sums {
    all: [f32; DIM],
    content: [f32; DIM],
    function: [f32; DIM],
    lost: [f32; DIM],
}

impl Sums {
    fn of(side: &Side, paired: &[bool]) -> Self {
        let mut sums = Self { all: [0.0; DIM], content: [0.0; DIM], function: [0.0; DIM], lost: [0.0; DIM] };
        for ((part, vector), paired) in side.parts.iter().zip(&side.vectors).zip(paired) {
            add(if part.is_function() { &mut sums.function } else { &mut sums.content }, vector);
            if !paired {
                add(&mut sums.lost, vector);
            }
        }
        sums.all = sums.content;
        add(&mut sums.all, &sums.function);
        sums
    }
}

fn add(sum: &mut [f32; DIM], vector: &[f32; DIM]) {
    for (sum, component) in sum.iter_mut().zip(vector) {
        *sum += component;
    }
}

fn length(vector: &[f32; DIM]) -> f32 {
    dot(vector, vector).sqrt()
}

/// The cosine; 1 where both are nothing, 0 where one is.
fn angle(a: &[f32; DIM], b: &[f32; DIM]) -> f32 {
    let (long, short) = (length(a).max(length(b)), length(a).min(length(b)));
    match (long > 0.0, short > 0.0) {
        (true, true) => dot(a, b) / long / short,
        (true, false) => 0.0,
        _ => 1.0,
    }
}

/// A part of nothing is all of it.
fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.0 {
        part / whole
    } else {
        1.0
    }
}

/// The cosine of a word with the nearest word of the other side.
fn nearest(side: &Side, at: usize, other: &Side) -> f32 {
    let (Some(part), Some(vector), Some(length)) = (side.parts.get(at), side.vectors.get(at), side.lengths.get(at))
    else {
        return 0.0;
    };
    let others =
        other.parts.iter().zip(&other.vectors).zip(&other.lengths).filter(|((part, _), _)| !part.is_function());
    let cosines = others.map(|((other, theirs), their_length)| {
        if other.hash == part.hash {
            1.0
        } else {
            dot(vector, theirs) / (length * their_length).max(f32::MIN_POSITIVE)
        }
    });
    cosines.fold(0.0, f32::max)
}

fn weight(side: &Side) -> f32 {
    side.parts.iter().filter(|part| !part.is_function()).map(|part| part.word.idf).sum()
}

fn count(side: &Side, words: &[&str]) -> f32 {
    side.parts.iter().filter(|part| words.contains(&part.word.text.as_str())).count() as f32
}

/// 1 where both ask for the same, 0 where for something else, between where one does not say.
fn asking(a: &Side, b: &Side) -> f32 {
    let asked = |side: &Side| side.parts.iter().map(|part| part.word.text.as_str()).find_map(position);
    fn position(word: &str) -> Option<usize> {
        ASKING.iter().position(|asking| *asking == word)
    }
    match (asked(a), asked(b)) {
        (a, b) if a == b => 1.0,
        (Some(_), Some(_)) => 0.0,
        _ => 0.5,
    }
}

/// The cosine of one word of each side.
fn near(a: &Side, b: &Side, place: fn(&Side) -> Option<usize>) -> f32 {
    let word = |side: &Side| place(side).and_then(|place| side.vectors.get(place)).copied();
    match (word(a), word(b)) {
        (Some(a), Some(b)) => angle(&a, &b),
        (None, None) => 1.0,
        _ => 0.0,
    }
}
