//! What is printed on the standard output: within the width of a terminal for those who read it there, and as it is for programs.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Columns of the terminal that the standard output is; none where it is none, or does not tell.
pub fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0)).filter(|&width| width > 0)
}

/// Prints lines. A reader that has seen enough (`| head`) is no failure, and ends no run.
pub fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end_matches('\n')) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to the standard output"),
    }
}

/// Lines of at most `width` characters, broken at spaces; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// Each line of a text wrapped, where there is a width.
pub fn within(width: Option<usize>, text: &str) -> String {
    let Some(width) = width else { return text.into() };
    text.split('\n').map(|line| wrap(line, width).join("\n")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap("one three − fp32, ours", 9), ["one three", "− fp32,", "ours"]);
        assert_eq!(wrap("", 3), [""]);
        assert_eq!(within(Some(6), "a longerword b\n\nc"), "a\nlongerword\nb\n\nc");
        assert_eq!(within(None, "a b"), "a b");
    }
}
