//! How a line becomes the words that BLEU counts.

use std::fmt;
use std::str::FromStr;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// What a line goes through before it is cut at white space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// As mteval-v13a, the evaluation script of NIST: ASCII punctuation and symbols stand alone, but for the apostrophe, the point and the comma in
    /// numbers, and the hyphen that does not follow a digit; `&quot;`, `&amp;`, `&lt;`, `&gt;` are decoded.
    #[default]
    V13a,
    /// As mteval-v14 with `--international-tokenization`: punctuation of any script stands alone unless it is between digits or ends the line after one;
    /// so does every symbol.
    International,
    /// Nothing.
    None,
    /// Every character stands alone.
    Characters,
}

impl Tokenizer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V13a, Self::International, Self::None, Self::Characters];

    /// Name, as in sacreBLEU and its signatures.
    pub fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::International => "intl",
            Self::None => "none",
            Self::Characters => "char",
        }
    }

    /// The line with spaces where it is to be cut.
    pub(super) fn apply(self, line: &str) -> String {
        match self {
            Self::V13a => v13a(line),
            Self::International => international(line),
            Self::None => line.to_string(),
            Self::Characters => line.chars().flat_map(|c| [c, ' ']).collect(),
        }
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tokenizer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tokenizer| tokenizer.name() == name);
        found.ok_or_else(|| format!("choose one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What Python takes for white space: that of Unicode, and four separators of ASCII.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c)
}

/// The words between white space.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

fn v13a(line: &str) -> String {
    let mut text = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    // In this order: `&amp;lt;` becomes `<`.
    for (escape, c) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(escape, c);
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c: char| matches!(c, '.' | ',');
    let text =
        alone(&format!(" {text} "), |c| matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/'));
    let text = pairs(&text, |a, b| !is_digit(a) && is_point(b), Alone::Second);
    let text = pairs(&text, |a, b| is_point(a) && !is_digit(b), Alone::First);
    pairs(&text, |a, b| is_digit(a) && b == '-', Alone::Second)
}

fn international(line: &str) -> String {
    let is = |c: char, group| c.general_category_group() == group;
    let (number, punctuation) = (GeneralCategoryGroup::Number, GeneralCategoryGroup::Punctuation);
    let text = pairs(line, |a, b| !is(a, number) && is(b, punctuation), Alone::Second);
    let text = pairs(&text, |a, b| is(a, punctuation) && !is(b, number), Alone::First);
    alone(&text, |c| is(c, GeneralCategoryGroup::Symbol))
}

/// Puts spaces around each character that is `chosen`.
fn alone(text: &str, chosen: impl Fn(char) -> bool) -> String {
    let mut spaced = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if chosen(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    spaced
}

/// Which character of a pair gets spaces around it.
#[derive(Clone, Copy)]
enum Alone {
    First,
    Second,
}

/// Puts spaces around one character of each pair of neighbours that is `chosen`. Pairs do not overlap: the search goes on after the second
/// character of a pair, as that of a regular expression does.
fn pairs(text: &str, chosen: impl Fn(char, char) -> bool, which: Alone) -> String {
    let mut spaced = String::with_capacity(2 * text.len());
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match (chars.next_if(|&second| chosen(first, second)), which) {
            (Some(second), Alone::First) => spaced.extend([' ', first, ' ', second]),
            (Some(second), Alone::Second) => spaced.extend([first, ' ', second, ' ']),
            (None, _) => spaced.push(first),
        }
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tokenizer: Tokenizer, line: &str, expected: &str) {
        let spaced = tokenizer.apply(line);
        assert_eq!(words(&spaced).collect::<Vec<_>>().join(" "), expected, "{line:?}");
    }

    #[test]
    fn v13a_is_that_of_the_script() {
        check(Tokenizer::V13a, "Costs $1,234.50, (or so).", "Costs $ 1,234.50 , ( or so ) .");
        check(Tokenizer::V13a, "It's a well-known 3-day tour...", "It's a well-known 3 - day tour . . .");
        check(Tokenizer::V13a, "&quot;a&quot; &amp;lt;b&gt; <skipped>c", "\" a \" < b > c");
        check(Tokenizer::V13a, "„Ja“ – in 1999.", "„Ja“ – in 1999 .");
        check(Tokenizer::V13a, "", "");
    }

    #[test]
    fn international_knows_all_scripts() {
        check(Tokenizer::International, "„Ja“ – für 5€, in 1,5 h.", "„ Ja “ – für 5 € , in 1,5 h .");
        check(Tokenizer::International, "in 1999.", "in 1999.");
        check(Tokenizer::International, "是的。3,000+", "是的 。 3,000 +");
    }

    #[test]
    fn other_tokenizers() {
        check(Tokenizer::None, "a,\u{a0}b\u{1c}c\u{200b}d", "a, b c\u{200b}d");
        check(Tokenizer::Characters, "ab c\u{301}", "a b c \u{301}");
        assert_eq!("intl".parse(), Ok(Tokenizer::International));
        assert!("zh".parse::<Tokenizer>().unwrap_err().contains("13a, intl"));
    }
}
