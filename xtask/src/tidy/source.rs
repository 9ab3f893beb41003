//! A file of the repository as tidy sees it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A file, whole and reduced to its code.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Size in bytes.
    pub size: usize,
    /// The content; empty when it is not UTF-8.
    pub text: String,
    /// Rust only: the text with comments and the insides of literals blanked, line for line, up to the tests.
    pub code: String,
}

impl Source {
    /// Reads a file of the repository.
    pub fn read(root: &Path, path: String) -> Result<Self> {
        let bytes = fs::read(root.join(&path)).with_context(|| format!("reading {path}"))?;
        let size = bytes.len();
        Ok(Self::new(path, size, String::from_utf8(bytes).unwrap_or_default()))
    }

    /// A file of `size` bytes with this content.
    pub fn new(path: String, size: usize, text: String) -> Self {
        let code = if path.ends_with(".rs") { without_tests(&path, &blanked(&text)) } else { String::new() };
        Self { path, size, text, code }
    }
}

/// What is compiled into the library or program: nothing of a test file, and nothing after `#[cfg(test)] mod`.
fn without_tests(path: &str, code: &str) -> String {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return String::new();
    }
    let lines: Vec<&str> = code.lines().collect();
    let inline_tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ") && pair[1].ends_with('{')
    });
    lines[..inline_tests.unwrap_or(lines.len())].join("\n")
}

/// Rust text with the characters of comments, strings and character literals replaced by spaces.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = hidden_len(rest, code.chars().next_back());
        if hidden == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..hidden].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[hidden..];
        }
    }
    code
}

/// Bytes of the comment or literal that `text` begins with; 0 when it begins with code.
fn hidden_len(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_len(text);
    }
    if text.starts_with('"') {
        return string_len(text);
    }
    if text.starts_with('r') && !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return raw_string_len(text);
    }
    if text.starts_with('\'') {
        return character_len(text);
    }
    0
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, …; 0 for a raw identifier or a name that begins with r.
fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let body = 1 + hashes;
    if !text[body..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[body + 1..].find(&end).map_or(text.len(), |at| body + 1 + at + end.len())
}

/// `'x'`, `'\n'`, `'\u{1F600}'`; 0 for a lifetime.
fn character_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            text[3..].find('\'').map_or(0, |at| at + 4)
        }
        Some((_, _)) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str) {
        assert_eq!(Source::new("a.rs".into(), 0, text.into()).code, code);
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check(r#"f("x \" y") + 'z'"#, "f(        ) +    ");
        check("r\"a\" + r#\"b\"c\"# + rate", "     +          + rate");
        check(r"'\'' + '\u{41}'", "     +         ");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
    }

    #[test]
    fn tests_are_not_library_code() {
        check("use a;\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}", "use a;");
        check("#[cfg(test)]\nmod tests;\nuse b;", "#[cfg(test)]\nmod tests;\nuse b;");
        assert_eq!(Source::new("crates/x/src/y/tests.rs".into(), 0, "use std::fs;".into()).code, "");
    }
}
