//! What the pair scorer is trained on: reads lines `text<TAB>text<TAB>target` and writes the features of each pair, in
//! the server's own arithmetic, behind a line of their names. See `tools/distil/README.md`.
//!
//! `cargo run --release --no-default-features --example pair_features < pairs.tsv > features.tsv`

use llmcache::core::similarity::builtin::{encode, pair};
use llmcache::core::similarity::text::Text;
use std::io::{self, BufRead, BufWriter, Write};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{}\ttarget", pair::FEATURES.join("\t"))?;
    let mut left_out = 0;
    for line in io::stdin().lock().lines() {
        match row(&line?) {
            Some(row) => writeln!(out, "{row}")?,
            None => left_out += 1,
        }
    }
    eprintln!("{left_out} lines left out: not two texts that have vectors, and a target");
    out.flush()
}

fn row(line: &str) -> Option<String> {
    let (a, rest) = line.split_once('\t')?;
    let (b, target) = rest.split_once('\t')?;
    let (a, b) = (Text::read(a.as_bytes())?, Text::read(b.as_bytes())?);
    let cosine = encode(&a)?.iter().zip(encode(&b)?).map(|(a, b)| a * b).sum();
    let features = pair::features(&a, &b, cosine).map(|feature| feature.to_string());
    Some(format!("{}\t{target}", features.join("\t")))
}
