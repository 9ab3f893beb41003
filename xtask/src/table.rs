//! Tables for the terminal, for Markdown and for HTML templates.

use serde::Serialize;

use crate::terminal::wrap;

/// A heading and rows of cells. The first column holds names, the others figures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Table {
    pub heading: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Self {
        Self { heading: heading.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as the heading has.
    pub fn push<S: Into<String>>(&mut self, row: impl IntoIterator<Item = S>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// Aligned columns.
    pub fn text(&self) -> String {
        let widths = self.widths();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let lines = [&self.heading, &rule].into_iter().chain(&self.rows);
        lines.map(|row| aligned(row, &widths).trim_end().to_string() + "\n").collect()
    }

    /// As [`Table::text`], but no wider than a terminal: there the words of the heading and of names stand on several lines, or, where that does not
    /// help, each row is a block of lines.
    pub fn within(&self, width: Option<usize>) -> String {
        let text = self.text();
        match width {
            Some(width) if text.lines().any(|line| line.chars().count() > width) => {
                self.narrow(width).unwrap_or_else(|| self.blocks(width))
            }
            _ => text,
        }
    }

    /// Columns as wide as their figures and the words of their headings; names have what is left. Nothing where that is too little.
    fn narrow(&self, width: usize) -> Option<String> {
        const NAMES: usize = 16;
        let mut widths = self.widths_by(longest_word);
        let others: usize = widths.iter().skip(1).map(|width| width + 2).sum();
        let (names, left) = (self.widths().first().copied()?, width.checked_sub(others)?);
        let words = self.rows.iter().filter_map(|row| row.first()).map(|name| longest_word(name)).max()?;
        widths[0] = names.min(left);
        if widths[0] < words.max(longest_word(&self.heading[0])).max(NAMES.min(names)) {
            return None;
        }
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let lines = [&self.heading, &rule].into_iter().chain(&self.rows).flat_map(|row| stacked(row, &widths));
        Some(lines.map(|row| aligned(&row, &widths).trim_end().to_string() + "\n").collect())
    }

    /// Each row as lines of a heading and a figure, below its name.
    fn blocks(&self, width: usize) -> String {
        let Some((first, headings)) = self.heading.split_first() else { return String::new() };
        let longest = headings.iter().map(|heading| heading.chars().count()).max().unwrap_or(0);
        let room = width.saturating_sub(longest + 4).max(NARROWEST);
        let block = |row: &Vec<String>| {
            let line = |(heading, cell): (&String, &String)| {
                let cell = wrap(cell.trim(), room).join(&format!("\n{:1$}", "", longest + 4));
                format!("  {heading:<longest$}  {cell}\n")
            };
            let name = row.first().map_or("", String::as_str);
            let lines: String = headings.iter().zip(row.iter().skip(1)).map(line).collect();
            format!("{first}: {name}\n{lines}\n")
        };
        self.rows.iter().map(block).collect()
    }

    /// A table of GitHub's Markdown.
    pub fn markdown(&self) -> String {
        let widths = self.widths();
        let rule: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(at, width)| if at == 0 { "-".repeat(*width) } else { "-".repeat(width.saturating_sub(1)) + ":" })
            .collect();
        let lines = [&self.heading, &rule].into_iter().chain(&self.rows);
        lines.map(|row| format!("| {} |\n", padded(row, &widths).join(" | "))).collect()
    }

    fn widths(&self) -> Vec<usize> {
        self.widths_by(|heading| heading.chars().count())
    }

    /// Of the columns, whose headings need so much.
    fn widths_by(&self, heading: impl Fn(&str) -> usize) -> Vec<usize> {
        let width = |(column, name): (usize, &String)| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(heading(name)).max(3)
        };
        self.heading.iter().enumerate().map(width).collect()
    }
}

/// The least room for figures beside their headings.
const NARROWEST: usize = 20;

fn longest_word(text: &str) -> usize {
    text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0)
}

/// The lines of a row whose cells are wrapped.
fn stacked(row: &[String], widths: &[usize]) -> Vec<Vec<String>> {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, &width)| wrap(cell, width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..height).map(|line| cells.iter().map(|cell| cell.get(line).cloned().unwrap_or_default()).collect()).collect()
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    padded(row, widths).join("  ")
}

fn padded(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells = row.iter().zip(widths).enumerate();
    cells
        .map(|(at, (cell, width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_figures_right() {
        let mut table = Table::new(["model", "top-1"]);
        table.push(["resnet18", "9.5 ± 1"]);
        table.push(["r", "10"]);
        assert_eq!(table.text(), "model       top-1\n--------  -------\nresnet18  9.5 ± 1\nr              10\n");
        let markdown =
            "| model    |   top-1 |\n| -------- | ------: |\n| resnet18 | 9.5 ± 1 |\n| r        |      10 |\n";
        assert_eq!(table.markdown(), markdown);
    }

    #[test]
    fn a_table_is_as_narrow_as_the_terminal() {
        let mut table = Table::new(["run", "BLEU", "skipped steps, all seeds", "fp8 − fp32"]);
        table.push(["gnmt, fp8, back-off", "97.95 ± 8.81", "7", "+2.06"]);
        table.push(["gnmt, fp32", "95.89", "0", "–"]);
        for wide in [None, Some(71)] {
            assert_eq!(table.within(wide), table.text());
        }
        let narrow = "run                          BLEU  skipped  fp8 −
                                    steps,   fp32
                                       all
                                     seeds
-------------------  ------------  -------  -----
gnmt, fp8, back-off  97.95 ± 8.81        7  +2.06
gnmt, fp32                  95.89        0      –
";
        assert_eq!(table.within(Some(60)), narrow);
        let names = "run                       BLEU  skipped  fp8 −
                                 steps,   fp32
                                    all
                                  seeds
----------------  ------------  -------  -----
gnmt, fp8,        97.95 ± 8.81        7  +2.06
back-off
gnmt, fp32               95.89        0      –
";
        assert_eq!(table.within(Some(46)), names);
        let blocks = "run: gnmt, fp8, back-off
  BLEU                      97.95 ± 8.81
  skipped steps, all seeds  7
  fp8 − fp32                +2.06

run: gnmt, fp32
  BLEU                      95.89
  skipped steps, all seeds  0
  fp8 − fp32                –

";
        assert_eq!(table.within(Some(45)), blocks);
    }
}
