//! The vector group, `[FP32 blob | VALUES n x1 … xn]`, as the server's own vector sets take it.

use super::args::Args;
use super::error::SyntaxError;
use crate::core::similarity::dense::MAX_DIM;

/// The names of the group's options.
pub const OPTIONS: [&str; 2] = ["FP32", "VALUES"];

/// The vector, once it was read.
#[derive(Debug, Default)]
pub struct VectorOption {
    numbers: Option<(&'static str, Vec<f32>)>,
}

impl VectorOption {
    /// Reads the value of one of the group's options; answers whether it is one.
    pub fn read(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool, SyntaxError> {
        let Some(name) = OPTIONS.into_iter().find(|option| *option == name) else { return Ok(false) };
        match self.numbers {
            Some((there, _)) if there == name => return Err(SyntaxError::Repeated(name)),
            Some((there, _)) => return Err(SyntaxError::Contradiction(there, name)),
            None => {}
        }
        let numbers = if name == "FP32" { blob(args)? } else { values(args)? };
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(SyntaxError::Unfit(name, "may hold no infinite number and none that is no number".into()));
        }
        if numbers.iter().all(|number| *number == 0.0) {
            return Err(SyntaxError::Unfit(
                name,
                "may not be zero in every dimension: it has no direction then".into(),
            ));
        }
        self.numbers = Some((name, numbers));
        Ok(true)
    }

    /// The numbers, where they were given.
    pub fn numbers(self) -> Option<Vec<f32>> {
        self.numbers.map(|(_, numbers)| numbers)
    }
}

fn blob(args: &mut Args<'_>) -> Result<Vec<f32>, SyntaxError> {
    let blob = args.value("FP32")?;
    if blob.is_empty() || blob.len() % 4 != 0 || blob.len() / 4 > MAX_DIM {
        let must = format!("1 to {MAX_DIM} little-endian numbers of 4 bytes each, got {} bytes", blob.len());
        return Err(SyntaxError::Unfit("FP32", format!("must be {must}")));
    }
    let number = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_le_bytes);
    Ok(blob.chunks_exact(4).map(number).collect())
}

fn values(args: &mut Args<'_>) -> Result<Vec<f32>, SyntaxError> {
    let count = args.number("VALUES", 1, MAX_DIM as i64)?;
    if (args.left() as u64) < count {
        let why = format!("needs {count} numbers after their count, got {}", args.left());
        return Err(SyntaxError::Unfit("VALUES", why));
    }
    let number = |_| {
        let word = args.value("VALUES")?;
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f32>().ok());
        number.ok_or_else(|| SyntaxError::value("VALUES", "numbers", word))
    };
    (0..count).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&[u8]]) -> Result<Vec<f32>, String> {
        let mut args = Args::new(words);
        let mut vector = VectorOption::default();
        while let Some(token) = args.option() {
            vector.read(token.name(), &mut args).map_err(|e| e.to_string())?;
        }
        vector.numbers().ok_or_else(|| "none".into())
    }

    #[test]
    fn both_forms_say_the_same() {
        let blob: Vec<u8> = [1.5f32, -2.0].into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(read(&[b"fp32", &blob]), Ok(vec![1.5, -2.0]));
        assert_eq!(read(&[b"VALUES", b"2", b"1.5", b"-2"]), Ok(vec![1.5, -2.0]));
        assert_eq!(read(&[]), Err("none".into()));
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        let nan = f32::NAN.to_le_bytes();
        let cases: &[(&[&[u8]], &str)] = &[
            (&[b"FP32", b""], "ERR FP32 must be 1 to 8192 little-endian numbers of 4 bytes each, got 0 bytes"),
            (&[b"FP32", b"12345"], "ERR FP32 must be 1 to 8192 little-endian numbers of 4 bytes each, got 5 bytes"),
            (&[b"FP32", &nan], "ERR FP32 may hold no infinite number and none that is no number"),
            (&[b"VALUES", b"1", b"inf"], "ERR VALUES may hold no infinite number and none that is no number"),
            (
                &[b"VALUES", b"2", b"0", b"-0"],
                "ERR VALUES may not be zero in every dimension: it has no direction then",
            ),
            (&[b"VALUES", b"0"], "ERR VALUES must be a whole number from 1 to 8192, got '0'"),
            (&[b"VALUES", b"3", b"1", b"2"], "ERR VALUES needs 3 numbers after their count, got 2"),
            (&[b"VALUES", b"1", b"x"], "ERR VALUES must be numbers, got 'x'"),
            (&[b"VALUES", b"1", b"1", b"VALUES", b"1", b"1"], "ERR VALUES may be given only once"),
            (&[b"VALUES", b"1", b"1", b"FP32", b"1234"], "ERR VALUES and FP32 exclude each other, give one of them"),
            (&[b"FP32"], "ERR FP32 needs a value"),
        ];
        for (words, error) in cases {
            assert_eq!(read(words).as_ref().map_err(String::as_str), Err(*error));
        }
    }
}
