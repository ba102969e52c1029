//! HTML in which nothing from outside is markup.

use std::fmt::{self, Display, Write};

use crate::telemetry::is_deceptive;

/// HTML that is being written. Markup is known when the program is built; everything else is text, and
/// is escaped.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Appends markup, which is not escaped.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends text, for between tags or within a quoted attribute.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to memory cannot fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// Appends an element without attributes other than its class.
    pub fn element(&mut self, tag: &'static str, class: &'static str, text: impl Display) -> &mut Self {
        self.raw("<").raw(tag);
        if !class.is_empty() {
            self.raw(" class=\"").raw(class).raw("\"");
        }
        self.raw(">").text(text).raw("</").raw(tag).raw(">")
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

struct Escaping<'h>(&'h mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if is_deceptive(c) => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// A count with its digits in groups of three.
pub(super) struct Grouped(pub u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// A short time: 85 µs, 4.2 ms, 310 ms, 1.25 s.
pub(super) struct ShortTime(pub Option<f64>);

impl Display for ShortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("–"),
            Some(seconds) if seconds < 0.001 => write!(f, "{:.0} µs", seconds * 1e6),
            Some(seconds) if seconds < 0.01 => write!(f, "{:.1} ms", seconds * 1e3),
            Some(seconds) if seconds < 1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            Some(seconds) => write!(f, "{seconds:.2} s"),
        }
    }
}

/// A long time in its two largest units: 3 d 4 h.
pub(super) struct LongTime(pub u64);

impl Display for LongTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
        let at = UNITS.iter().position(|(seconds, _)| self.0 >= *seconds).unwrap_or(UNITS.len() - 1);
        let (seconds, unit) = UNITS[at];
        write!(f, "{} {unit}", self.0 / seconds)?;
        match UNITS.get(at + 1) {
            Some((smaller, unit)) if self.0 % seconds >= *smaller => {
                write!(f, " {} {unit}", self.0 % seconds / smaller)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        let mut html = Html::default();
        html.raw("<p title=\"")
            .text("\" onload='x' \u{202e}")
            .raw("\">")
            .text("<script>&\0\u{7}")
            .raw("</p>");
        let expected =
            "<p title=\"&quot; onload=&#39;x&#39; \u{fffd}\">&lt;script&gt;&amp;\u{fffd}\u{fffd}</p>";
        assert_eq!(html.into_string(), expected);
    }

    #[test]
    fn figures_are_short() {
        let thin = |text: &str| text.replace(' ', "\u{202f}");
        for (count, expected) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(Grouped(count).to_string(), thin(expected));
        }
        for (seconds, expected) in
            [(0.000_085, "85 µs"), (0.0042, "4.2 ms"), (0.31, "310 ms"), (1.254, "1.25 s")]
        {
            assert_eq!(ShortTime(Some(seconds)).to_string(), expected);
        }
        for (seconds, expected) in [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (273_600, "3 d 4 h")] {
            assert_eq!(LongTime(seconds).to_string(), expected);
        }
    }
}
