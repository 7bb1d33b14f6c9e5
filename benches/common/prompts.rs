//! Prompts as people write them, and others that mean the same.

use super::data;
use super::random::Random;
use std::path::Path;

/// So many different prompts: real ones as far as there are, then two of them in one.
pub fn load(folder: &Path, count: usize) -> Vec<String> {
    let mut prompts = data::lines(&folder.join("distil/corpus.txt.gz")).unwrap_or_else(|| {
        println!("no corpus in {}: sentences are made up of the model's words", folder.display());
        made_up()
    });
    prompts.sort_unstable();
    prompts.dedup();
    let real = prompts.len();
    let order = Random::new(2).shuffled(real);
    let mut prompts: Vec<String> = order.into_iter().map(|i| std::mem::take(&mut prompts[i])).collect();
    let mut random = Random::new(4);
    while prompts.len() < count {
        prompts.push(format!("{} {}", prompts[random.below(real)], prompts[random.below(real)]));
    }
    prompts
}

fn made_up() -> Vec<String> {
    let words: Vec<_> =
        include_str!("../../model/words.tsv").lines().filter_map(|line| line.split('\t').next()).collect();
    let mut random = Random::new(1);
    let mut sentence = || {
        let words = (0..5 + random.below(9)).map(|_| words[random.below(words.len())]);
        words.collect::<Vec<_>>().join(" ")
    };
    (0..100_000).map(|_| sentence()).collect()
}

/// A prompt with a word left out and one that was added.
pub fn varied(prompt: &str, random: &mut Random) -> String {
    let mut words: Vec<&str> = prompt.split(' ').collect();
    if words.len() > 6 {
        words.remove(random.below(words.len()));
    }
    words.push("really");
    words.join(" ")
}
