//! Which words are numbers.

/// Numbers that are written as words, and those of the Roman ones that are nothing else.
#[rustfmt::skip]
pub(super) const WORDS: &[&str] = &[
    "billion", "billions", "crore", "crores", "double", "dozen", "dozens", "eight", "eighteen", "eighteenth",
    "eighth", "eighty", "eleven", "eleventh", "fifteen", "fifteenth", "fifth", "fifty", "first", "five", "forty",
    "four", "fourteen", "fourteenth", "fourth", "half", "hundred", "hundreds", "hundredth", "ii", "iii", "lac",
    "lakh", "lakhs", "million", "millions", "nine", "nineteen", "nineteenth", "ninety", "ninth", "one", "quarter",
    "second", "seven", "seventeen", "seventeenth", "seventh", "seventy", "six", "sixteen", "sixteenth", "sixth",
    "sixty", "ten", "tenth", "third", "thirteen", "thirteenth", "thirty", "thousand", "thousands", "three",
    "trillion", "trillions", "triple", "twelfth", "twelve", "twentieth", "twenty", "twice", "two", "vii", "viii",
    "xi", "xii", "xiii", "xiv", "xix", "xv", "xvi", "xvii", "xviii", "xx", "xxi", "zero",
];

/// Whether a word of a normalised text is a number, whatever sign or currency stands before it and whatever unit is
/// attached: 5, -5, $5, 50%, 4th, 30s, 10:30, two, viii. But not mp3 and f-16, which are names.
pub fn is_number(word: &str) -> bool {
    has_digits(word) || WORDS.binary_search(&word).is_ok()
}

/// The same for those that are written in digits.
pub(super) fn has_digits(word: &str) -> bool {
    let bare = word.trim_start_matches(['-', '+', '$', '€', '£', '¥', '₹', '#', '.', '~']);
    bare.starts_with(char::is_numeric)
}
