//! What the encoder is trained on: reads prompts, one a line, and writes the normal text of each; an empty line where
//! there is none. See `tools/distil/README.md`.
//!
//! `cargo run --release --no-default-features --example normalise < texts.txt > texts.normal.txt`

use llmcache::core::similarity::text::Text;
use std::io::{self, BufRead, BufWriter, Write};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let text = Text::read(line?.as_bytes());
        writeln!(out, "{}", text.map_or(String::new(), |text| text.normal))?;
    }
    out.flush()
}
