//! What a number counts: units that can be told from each other, and turned into each other where that is exact.

/// What is measured, in the unit that the factors below refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Nothing that is known: apples, pages.
    Count,
    Percent,
    /// Grams. An ounce is no round number of them, but 16 are a pound.
    Mass,
    ImperialMass,
    /// Metres.
    Length,
    ImperialLength,
    /// Litres.
    Volume,
    ImperialVolume,
    /// Seconds.
    Time,
    /// Months: they have no number of days.
    Calendar,
    /// Minutes since midnight.
    Clock,
    Celsius,
    Fahrenheit,
    /// Kilometres an hour.
    Speed,
    ImperialSpeed,
    /// Bytes; thousands and not 1,024, as most people mean it.
    Data,
    DataRate,
    Watts,
    WattHours,
    Hertz,
    Volts,
    Amperes,
    Calories,
    Decade,
    Dollar,
    Euro,
    Sterling,
    Rupee,
    Yen,
}

/// Sorted by spelling.
#[rustfmt::skip]
const UNITS: &[(&str, Measure, f64)] = {
    use Measure::*;
    &[
        ("$", Dollar, 1.0), ("GBps", DataRate, 8e9), ("Gb", Data, 0.125e9), ("KBps", DataRate, 8e3), ("Kb", Data, 125.0), ("MBps", DataRate, 8e6), ("Mb", Data, 0.125e6), ("Mg", Mass, 1e6), ("amp", Amperes, 1.0), ("ampere", Amperes, 1.0), ("amperes", Amperes, 1.0), ("amps", Amperes, 1.0),
        ("bucks", Dollar, 1.0), ("byte", Data, 1.0), ("bytes", Data, 1.0), ("cal", Calories, 1.0), ("calorie", Calories, 1.0),
        ("calories", Calories, 1.0), ("celsius", Celsius, 1.0), ("centimeter", Length, 0.01), ("centimeters", Length, 0.01),
        ("centimetre", Length, 0.01), ("centimetres", Length, 0.01), ("centuries", Calendar, 1200.0), ("century", Calendar, 1200.0),
        ("cm", Length, 0.01), ("cms", Length, 0.01), ("cup", ImperialVolume, 16.0), ("cups", ImperialVolume, 16.0), ("day", Time, 86400.0),
        ("days", Time, 86400.0), ("decade", Calendar, 120.0), ("decades", Calendar, 120.0), ("dollar", Dollar, 1.0), ("dollars", Dollar, 1.0),
        ("eur", Euro, 1.0), ("euro", Euro, 1.0), ("euros", Euro, 1.0), ("fahrenheit", Fahrenheit, 1.0), ("feet", ImperialLength, 12.0),
        ("foot", ImperialLength, 12.0), ("ft", ImperialLength, 12.0), ("gallon", ImperialVolume, 256.0), ("gallons", ImperialVolume, 256.0),
        ("gb", Data, 1e9), ("gbp", Sterling, 1.0), ("gbps", DataRate, 1e9), ("ghz", Hertz, 1e9), ("gigabyte", Data, 1e9), ("gigabytes", Data, 1e9),
        ("gm", Mass, 1.0), ("gms", Mass, 1.0), ("gram", Mass, 1.0), ("grams", Mass, 1.0), ("hour", Time, 3600.0), ("hours", Time, 3600.0),
        ("hr", Time, 3600.0), ("hrs", Time, 3600.0), ("hz", Hertz, 1.0), ("inch", ImperialLength, 1.0), ("inches", ImperialLength, 1.0),
        ("inr", Rupee, 1.0), ("kb", Data, 1e3), ("kbps", DataRate, 1e3), ("kcal", Calories, 1e3), ("kg", Mass, 1e3), ("kgs", Mass, 1e3),
        ("khz", Hertz, 1e3), ("kilo", Mass, 1e3), ("kilobyte", Data, 1e3), ("kilobytes", Data, 1e3), ("kilogram", Mass, 1e3),
        ("kilograms", Mass, 1e3), ("kilometer", Length, 1e3), ("kilometers", Length, 1e3), ("kilometre", Length, 1e3), ("kilometres", Length, 1e3),
        ("kilos", Mass, 1e3), ("km", Length, 1e3), ("kmh", Speed, 1.0), ("kmph", Speed, 1.0), ("kms", Length, 1e3), ("kw", Watts, 1e3),
        ("kwh", WattHours, 1e3), ("lb", ImperialMass, 16.0), ("lbs", ImperialMass, 16.0), ("liter", Volume, 1.0), ("liters", Volume, 1.0),
        ("litre", Volume, 1.0), ("litres", Volume, 1.0), ("mW", Watts, 1e-3), ("mb", Data, 1e6), ("mbps", DataRate, 1e6), ("megabyte", Data, 1e6),
        ("megabytes", Data, 1e6), ("meter", Length, 1.0), ("meters", Length, 1.0), ("metre", Length, 1.0), ("metres", Length, 1.0),
        ("mg", Mass, 1e-3), ("mhz", Hertz, 1e6), ("mile", ImperialLength, 63360.0), ("miles", ImperialLength, 63360.0),
        ("milligram", Mass, 1e-3), ("milligrams", Mass, 1e-3), ("milliliter", Volume, 1e-3), ("milliliters", Volume, 1e-3),
        ("millilitre", Volume, 1e-3), ("millilitres", Volume, 1e-3), ("millimeter", Length, 1e-3), ("millimeters", Length, 1e-3),
        ("millimetre", Length, 1e-3), ("millimetres", Length, 1e-3), ("millisecond", Time, 1e-3), ("milliseconds", Time, 1e-3),
        ("min", Time, 60.0), ("mins", Time, 60.0), ("minute", Time, 60.0), ("minutes", Time, 60.0), ("ml", Volume, 1e-3), ("mm", Length, 1e-3),
        ("month", Calendar, 1.0), ("months", Calendar, 1.0), ("mph", ImperialSpeed, 1.0), ("ms", Time, 1e-3), ("mw", Watts, 1e6), ("ounce", ImperialMass, 1.0),
        ("ounces", ImperialMass, 1.0), ("oz", ImperialMass, 1.0), ("pint", ImperialVolume, 32.0), ("pints", ImperialVolume, 32.0),
        ("quart", ImperialVolume, 64.0), ("quarts", ImperialVolume, 64.0), ("quid", Sterling, 1.0), ("rs", Rupee, 1.0), ("rupee", Rupee, 1.0),
        ("rupees", Rupee, 1.0), ("sec", Time, 1.0), ("second", Time, 1.0), ("seconds", Time, 1.0), ("secs", Time, 1.0),
        ("tablespoon", ImperialVolume, 1.0), ("tablespoons", ImperialVolume, 1.0), ("tb", Data, 1e12), ("tbsp", ImperialVolume, 1.0),
        ("terabyte", Data, 1e12), ("terabytes", Data, 1e12), ("tonne", Mass, 1e6), ("tonnes", Mass, 1e6), ("usd", Dollar, 1.0), ("volt", Volts, 1.0),
        ("volts", Volts, 1.0), ("watt", Watts, 1.0), ("watts", Watts, 1.0), ("week", Time, 604_800.0), ("weeks", Time, 604_800.0),
        ("yard", ImperialLength, 36.0), ("yards", ImperialLength, 36.0), ("year", Calendar, 12.0), ("years", Calendar, 12.0), ("yen", Yen, 1.0),
        ("yrs", Calendar, 12.0), ("£", Sterling, 1.0), ("¥", Yen, 1.0), ("€", Euro, 1.0), ("₹", Rupee, 1.0),
    ]
};

/// Units of one letter, which are units only right behind the digits or behind a bare number: 5 m, 10g.
const LETTERS: [(&str, Measure, f64); 6] = [
    ("c", Measure::Celsius, 1.0),
    ("f", Measure::Fahrenheit, 1.0),
    ("g", Measure::Mass, 1.0),
    ("l", Measure::Volume, 1.0),
    ("m", Measure::Length, 1.0),
    ("v", Measure::Volts, 1.0),
];

/// What a unit behind a number measures, and how many of the measure's own units it is.
pub(super) fn unit(word: &str) -> Option<(Measure, f64)> {
    let found = UNITS.binary_search_by_key(&word, |(unit, ..)| unit).ok().and_then(|at| UNITS.get(at));
    let letter = || LETTERS.iter().find(|(unit, ..)| *unit == word);
    // A pound is a weight or money, so it is neither.
    found.or_else(letter).map(|(_, measure, factor)| (*measure, *factor))
}

/// Scales that a bare number can be multiplied with by a letter or a word.
pub(super) fn scale(word: &str) -> Option<f64> {
    Some(match word {
        "dozen" | "dozens" => 12.0,
        "hundred" | "hundreds" => 100.0,
        "k" | "thousand" | "thousands" => 1e3,
        "lac" | "lakh" | "lakhs" | "lacs" => 1e5,
        "mn" | "million" | "millions" => 1e6,
        "crore" | "crores" => 1e7,
        "bn" | "billion" | "billions" => 1e9,
        "tn" | "trillion" | "trillions" => 1e12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_sorted_and_found() {
        assert!(UNITS.is_sorted_by_key(|(unit, ..)| unit));
        assert_eq!(unit("kg"), Some((Measure::Mass, 1e3)));
        assert_eq!(unit("€"), Some((Measure::Euro, 1.0)));
        assert_eq!(unit("m"), Some((Measure::Length, 1.0)));
        assert_eq!(unit("apples"), None);
    }
}
