//! Tables for the terminal, for Markdown and for HTML templates.

use serde::Serialize;

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
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.heading]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        (0..self.heading.len()).map(width).collect()
    }
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
}
