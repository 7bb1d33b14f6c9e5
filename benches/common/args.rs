//! The options of a benchmark. A wrong one ends it with a line that says why.

use std::fmt::Display;
use std::str::FromStr;

pub struct Args {
    words: std::vec::IntoIter<String>,
    bench: &'static str,
    option: String,
}

impl Args {
    /// Those of this process, which is the benchmark `bench`.
    pub fn of(bench: &'static str) -> Args {
        let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        Args { words: words.into_iter(), bench, option: String::new() }
    }

    /// The next option.
    pub fn option(&mut self) -> Option<String> {
        self.option = self.words.next()?;
        Some(self.option.clone())
    }

    /// The word behind the option.
    pub fn word(&mut self) -> String {
        let word = self.words.next();
        word.unwrap_or_else(|| give_up(format_args!("{} needs a value", self.option)))
    }

    /// The number behind the option.
    pub fn number<T: FromStr<Err: Display>>(&mut self) -> T {
        let word = self.word();
        self.read(&word)
    }

    /// The number behind the option, which counts something there must be one of.
    pub fn count(&mut self) -> usize {
        match self.number() {
            0 => give_up(format_args!("{} needs a number above 0", self.option)),
            n => n,
        }
    }

    /// The numbers behind the option, with commas between them.
    pub fn counts(&mut self) -> Vec<usize> {
        let word = self.word();
        word.split(',').map(|number| self.read(number)).collect()
    }

    fn read<T: FromStr<Err: Display>>(&self, word: &str) -> T {
        word.parse().unwrap_or_else(|e| give_up(format_args!("{} '{word}': {e}", self.option)))
    }

    /// The option is none.
    pub fn unknown(&self) -> ! {
        give_up(format_args!("unknown option '{}'; the head of benches/{}/main.rs lists them", self.option, self.bench))
    }
}

/// Ends the benchmark before it has begun.
pub fn give_up(why: impl Display) -> ! {
    eprintln!("{why}");
    std::process::exit(2)
}
