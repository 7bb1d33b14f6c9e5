//! `ALERT`: which figures are watched, and how far each may go.

use super::args::{once, Args};
use super::error::SyntaxError;
use super::strategy::{name, Change};
use crate::core::alerts::{Alert, Side};
use crate::core::ledger::LONGEST_WINDOW;
use crate::core::report::Figure;
use crate::core::strategy::check_alert_name;

/// Reads `key SET name figure (ABOVE | BELOW) value [WINDOW seconds] | DEL name | LIST`.
pub fn parse(words: &[&[u8]]) -> Result<Change<Alert>, SyntaxError> {
    let mut args = Args::new(words);
    args.positional()?;
    let action = args.option().ok_or(SyntaxError::Arity)?;
    let change = match action.name() {
        "SET" => {
            let name = name(args.positional()?, check_alert_name)?;
            let word = args.positional()?;
            let must = "the name of a number in LLMCACHE.STATS, such as hit_rate or get_exact_us.p99";
            let figure = Figure::named(word).ok_or_else(|| SyntaxError::value("figure", must, word))?;
            let side = args.option().ok_or(SyntaxError::Arity)?;
            let (side, bound) = match side.name() {
                "ABOVE" => (Side::Above, number(&mut args, "ABOVE")?),
                "BELOW" => (Side::Below, number(&mut args, "BELOW")?),
                _ => return Err(args.not_one_of("side", "ABOVE or BELOW")),
            };
            let mut window_s = None;
            while let Some(token) = args.option() {
                match token.name() {
                    "WINDOW" => once(&mut window_s, "WINDOW", args.number("WINDOW", 1, LONGEST_WINDOW as i64)?)?,
                    _ => return Err(args.unknown(&["WINDOW"])),
                }
            }
            if window_s.is_some() && figure.is_time() {
                return Err(SyntaxError::Unfit(
                    "WINDOW",
                    "cannot be given for a time, which is known since the beginning alone".into(),
                ));
            }
            return Ok(Change::Set(Alert::new(name, figure, side, bound, window_s)));
        }
        "DEL" => Change::Del(name(args.positional()?, check_alert_name)?.into()),
        "LIST" => Change::List,
        _ => return Err(args.not_one_of("action", "SET, DEL or LIST")),
    };
    args.finish()?;
    Ok(change)
}

/// A finite decimal number.
fn number(args: &mut Args<'_>, name: &'static str) -> Result<f64, SyntaxError> {
    let value = args.value(name)?;
    let is_decimal = value.iter().all(|byte| byte.is_ascii_digit() || b"-.eE".contains(byte));
    let number = std::str::from_utf8(value).ok().filter(|_| is_decimal).and_then(|text| text.parse::<f64>().ok());
    // Zero has no sign.
    let number = number.filter(|number| number.is_finite()).map(|number| number + 0.0);
    number.ok_or_else(|| SyntaxError::value(name, "a decimal number such as 0.95 or -3", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Change<Alert>, SyntaxError> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        parse(&words)
    }

    #[test]
    fn an_alert_is_read() {
        for (line, side, bound, window_s) in [
            ("k SET n hit_rate BELOW 0.5", Side::Below, 0.5, None),
            ("k set n HIT_RATE above -3 window 60", Side::Above, -3.0, Some(60)),
            ("k SET n hit_rate ABOVE 1e3 WINDOW 2678400", Side::Above, 1000.0, Some(2_678_400)),
            ("k SET n hit_rate ABOVE .5 WINDOW 1", Side::Above, 0.5, Some(1)),
        ] {
            let figure = Figure::named(b"hit_rate").unwrap();
            assert_eq!(read(line), Ok(Change::Set(Alert::new("n".into(), figure, side, bound, window_s))), "{line}");
        }
        let Ok(Change::Set(zero)) = read("k SET n lookups ABOVE -0") else { panic!("a number") };
        assert!(zero.bound.is_sign_positive());
        assert_eq!(read("k DEL n"), Ok(Change::Del("n".into())));
        assert_eq!(read("k list"), Ok(Change::List));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let figure = "ERR figure must be the name of a number in LLMCACHE.STATS, such as hit_rate or get_exact_us.p99";
        let number = "must be a decimal number such as 0.95 or -3";
        let window = "ERR WINDOW must be a whole number from 1 to 2678400";
        for (line, wrong) in [
            ("k", "ERR wrong number of arguments".to_owned()),
            ("k SET", "ERR wrong number of arguments".into()),
            ("k SET n hit_rate", "ERR wrong number of arguments".into()),
            ("k DEL", "ERR wrong number of arguments".into()),
            ("k DROP n", "ERR action must be SET, DEL or LIST, got 'DROP'".into()),
            ("k SET n hitrate ABOVE 1", format!("{figure}, got 'hitrate'")),
            ("k SET n get_exact_us ABOVE 1", format!("{figure}, got 'get_exact_us'")),
            ("k SET n hit_rate OVER 1", "ERR side must be ABOVE or BELOW, got 'OVER'".into()),
            ("k SET n hit_rate ABOVE", "ERR ABOVE needs a value".into()),
            ("k SET n hit_rate BELOW x", format!("ERR BELOW {number}, got 'x'")),
            ("k SET n hit_rate BELOW inf", format!("ERR BELOW {number}, got 'inf'")),
            ("k SET n hit_rate BELOW nan", format!("ERR BELOW {number}, got 'nan'")),
            ("k SET n hit_rate ABOVE 1e999", format!("ERR ABOVE {number}, got '1e999'")),
            ("k SET n hit_rate ABOVE 1,5", format!("ERR ABOVE {number}, got '1,5'")),
            ("k SET n hit_rate ABOVE 1 WINDOW", "ERR WINDOW needs a value".into()),
            ("k SET n hit_rate ABOVE 1 WINDOW 0", format!("{window}, got '0'")),
            ("k SET n hit_rate ABOVE 1 WINDOW 2678401", format!("{window}, got '2678401'")),
            ("k SET n hit_rate ABOVE 1 WINDOW 5 WINDOW 5", "ERR WINDOW may be given only once".into()),
            (
                "k SET n hit_rate ABOVE 1 WINDO 5",
                "ERR unknown option 'WINDO' at argument 7, did you mean WINDOW?".into(),
            ),
            ("k LIST all", "ERR unknown option 'all' at argument 3".into()),
            ("k DEL a b", "ERR unknown option 'b' at argument 4".into()),
        ] {
            assert_eq!(read(line).map_err(|e| e.to_string()), Err(wrong), "{line}");
        }
        let long = format!("k SET {} hit_rate ABOVE 1", "x".repeat(65));
        let name = "ERR alert name must be 1 to 64 bytes of printable UTF-8 without spaces, got ";
        for line in [long.as_str(), "k SET \u{7} hit_rate ABOVE 1", "k DEL \u{200b}"] {
            assert!(read(line).unwrap_err().to_string().starts_with(name), "{line}");
        }
    }
}
