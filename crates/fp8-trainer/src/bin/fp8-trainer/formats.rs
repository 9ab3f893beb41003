//! `fp8-trainer formats`.

use std::fmt::Write;
use std::io;

use anyhow::Result;
use fp8_core::{E8M0, Format, decode};

use crate::say;

/// Prints the tables of the formats: their properties, or all codes of one
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fp8-trainer formats
  fp8-trainer formats --format e5m2")]
pub struct Arguments {
    /// Prints each code of this format with its value: e5m2, e4m3, e5m2fnuz, e4m3fnuz, e3m4, e8m0
    #[arg(long, value_parser = table)]
    format: Option<Table>,
}

/// What has a table of codes.
#[derive(Clone, Copy)]
enum Table {
    Signed(Format),
    E8m0,
}

fn table(name: &str) -> Result<Table, String> {
    match name {
        "e8m0" => Ok(Table::E8m0),
        _ => Format::FP8
            .into_iter()
            .find(|format| format.name == name)
            .map(Table::Signed)
            .ok_or_else(|| format!("choose one of {}, e8m0", Format::FP8.map(|format| format.name).join(", "))),
    }
}

/// Prints.
pub fn run(arguments: &Arguments) -> Result<()> {
    say(match arguments.format {
        None => properties(),
        Some(Table::Signed(format)) => {
            codes(columns(), |code| (bits(format, code), decode(format, code.into()).to_string()))
        }
        Some(Table::E8m0) => {
            codes(columns(), |code| (format!("{code:08b}"), format!("{:e}", E8M0::from_bits(code).to_f64())))
        }
    }
    .trim_end())
}

/// One row a format; 80 characters wide.
fn properties() -> String {
    const WIDTHS: [usize; 9] = [10, 10, 10, 6, 10, 10, 10, 8, 6];
    let headings = ["format", "exponent", "mantissa", "bias", "largest", "smallest", "smallest", "Inf", "NaN"];
    let below = ["", "", "", "", "", "normal", "", "", ""];
    let e8m0 = ["e8m0", "8", "0", "127", "2^127", "2^-127", "2^-127", "none", "0xff"].map(String::from);
    let rows = [headings, below].map(|row| row.map(String::from)).into_iter();
    let rows = rows.chain(Format::ALL.map(property_row)).chain([e8m0]);
    let line = |row: [String; 9]| {
        let cells: String = row.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.trim_end().to_string() + "\n"
    };
    rows.map(line).collect()
}

fn property_row(format: Format) -> [String; 9] {
    let smallest = format.min_exponent() - format.mantissa_bits as i32;
    [
        format.name.into(),
        format.exponent_bits.to_string(),
        format.mantissa_bits.to_string(),
        format.bias.to_string(),
        short(decode(format, format.max_code())),
        format!("2^{}", format.min_exponent()),
        format!("2^{smallest}"),
        format.infinity_code().map_or("none".into(), |code| format!("0x{code:x}")),
        format!("0x{:x}", format.nan_code()),
    ]
}

fn short(value: f64) -> String {
    if value < 1e6 { value.to_string() } else { format!("{value:.3e}") }
}

/// Sign, exponent and mantissa.
fn bits(format: Format, code: u8) -> String {
    let digits = format!("{code:08b}");
    let (sign, rest) = digits.split_at(1);
    let (exponent, mantissa) = rest.split_at(format.exponent_bits as usize);
    format!("{sign} {exponent} {mantissa}")
}

/// Columns of codes: four, or two on a terminal that is too narrow for them.
fn columns() -> u16 {
    const FOUR: u16 = 152;
    let terminal = terminal_size::terminal_size_of(io::stdout());
    if terminal.is_some_and(|(width, _)| (1..FOUR).contains(&width.0)) { 2 } else { 4 }
}

/// All 256 codes in so many columns.
fn codes(columns: u16, show: impl Fn(u8) -> (String, String)) -> String {
    let (mut text, rows) = (String::new(), 256 / columns);
    for row in 0..rows {
        for code in (0..columns).map(|column| (row + rows * column) as u8) {
            let (bits, value) = show(code);
            // Writing to a text cannot fail.
            let _ = write!(text, "{code:02x}  {bits}  {value:<24}");
        }
        text = text.trim_end().to_string() + "\n";
    }
    text
}
