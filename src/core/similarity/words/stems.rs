//! How rare stems are: in how many texts of the corpus a word with this stem stands.

use super::table::{rarest, rows, stem};
use super::WordHash;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

type Stems = HashMap<Cow<'static, str>, f32, WordHash>;

static STEMS: LazyLock<Stems> = LazyLock::new(|| {
    let (documents, rows) = rows();
    let mut counts = Stems::default();
    // Texts with several words of a stem are counted for each of them, which makes it seem a little more common.
    rows.for_each(|(word, count)| *counts.entry(stem(word)).or_default() += count);
    counts.values_mut().for_each(|count| *count = ((documents + 1.0) / (*count + 1.0)).ln().max(0.0));
    counts
});

/// The inverse document frequency of a stem; the largest for those that the corpus lacks.
pub fn rarity(stem: &str) -> f32 {
    STEMS.get(stem).copied().unwrap_or_else(rarest)
}

pub(super) fn prepare() {
    LazyLock::force(&STEMS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_one_stem_are_equally_rare() {
        let rare = |word| rarity(&stem(word));
        assert_eq!(rare("delivery"), rare("deliveries"));
        assert!(rare("the") < rare("delivery") && rare("delivery") < rare("qwertzuiop"));
        assert_eq!(rare("qwertzuiop"), rarest());
    }
}
