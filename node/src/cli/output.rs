//! What a command prints: its answer on standard output as a table, JSON or YAML; everything about its work on
//! standard error. Colour only where a terminal reads it and `NO_COLOR` is not set.

use super::arguments::Global;
use comfy_table::{Cell, Color, ContentArrangement, presets};
use console::style;
use serde::Serialize;
use std::{
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
};
use valo_protocol::event::JobPhase;

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The form of the answer.
    pub format: Format,
    /// Whether to keep progress and remarks to itself.
    pub quiet: bool,
}

impl Output {
    /// As the flags say.
    pub const fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet }
    }

    /// Prints the answer: `value` for programs, `table` for people.
    pub fn show<T: Serialize + ?Sized>(&self, value: &T, table: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Table => table(),
            Format::Json => serde_json::to_string_pretty(value)?,
            // By way of JSON, so that both have the same shape: YAML has tags for variants, which few parsers take.
            Format::Yaml => serde_yaml::to_string(&serde_json::to_value(value)?)?,
        };
        print(text.trim_end())
    }

    /// Says something about the work, unless told to be quiet.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Warns, even when told to be quiet.
    pub fn warn(&self, text: impl Display) {
        let _ = writeln!(io::stderr(), "{} {text}", style("warning:").for_stderr().yellow().bold());
    }

    /// Whether progress can be drawn in place.
    pub fn draws(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// Prints a line on standard output. A reader that went away (`valo job list | head`) ends the program quietly.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// One line for whatever went wrong: the error and its causes. Many errors say their cause in their own words
/// already; those are not said twice.
pub fn error_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    one_line(&text)
}

/// A text as one line, harmless to a terminal whoever wrote it.
pub fn one_line(text: &str) -> String {
    let parts: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect();
    harmless(&parts.join("; "))
}

/// A line of strangers, which must not steer the terminal.
pub fn harmless(line: &str) -> String {
    line.chars()
        .map(|character| if character.is_control() && character != '\t' { '\u{fffd}' } else { character })
        .collect()
}

/// A table in the manner of kubectl: a header in capitals, columns apart by spaces.
pub struct Table(comfy_table::Table);

impl Table {
    /// A table with these columns.
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        let mut table = Self::plain();
        table.0.set_header(columns.map(|column| column.to_uppercase()));
        table.set_padding();
        table
    }

    /// A table of names and values, without a header.
    pub fn fields() -> Self {
        Self::plain()
    }

    fn plain() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if console::colors_enabled() {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        Self(table)
    }

    fn set_padding(&mut self) {
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 3));
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.0.add_row(cells);
    }

    /// Adds a name and its value.
    pub fn field(&mut self, name: &str, value: impl Display) {
        self.row([Cell::new(name).fg(Color::DarkGrey), cell(value)]);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Table")
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Self(self.0.clone());
        table.set_padding();
        let text = table.0.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

/// A cell without colour.
pub fn cell(value: impl Display) -> Cell {
    Cell::new(value)
}

/// A cell for something good, bad, or under way.
pub fn mood(text: impl Display, mood: Mood) -> Cell {
    Cell::new(text).fg(match mood {
        Mood::Good => Color::Green,
        Mood::Bad => Color::Red,
        Mood::UnderWay => Color::Yellow,
    })
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Good,
    /// Wrong.
    Bad,
    /// Not decided.
    UnderWay,
}

/// The phase of a job as a word.
pub fn phase_word(phase: &JobPhase) -> &'static str {
    match phase {
        JobPhase::Funded => "funded",
        JobPhase::Placing => "placing",
        JobPhase::Running => "running",
        JobPhase::Accepted => "accepted",
        JobPhase::Final => "final",
        JobPhase::Failed(_) => "failed",
    }
}

/// The phase of a job as a cell.
pub fn phase_cell(phase: &JobPhase) -> Cell {
    let how = match phase {
        JobPhase::Accepted | JobPhase::Final => Mood::Good,
        JobPhase::Failed(_) => Mood::Bad,
        JobPhase::Funded | JobPhase::Placing | JobPhase::Running => Mood::UnderWay,
    };
    mood(phase_word(phase), how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line() {
        let error = anyhow::anyhow!("inner\n  second line\n").context("outer");
        assert_eq!(error_line(&error), "outer: inner; second line");
        assert_eq!(error_line(&anyhow::anyhow!("no file \u{1b}[2Ja")), "no file \u{fffd}[2Ja", "of a stranger's name");
        let error = anyhow::anyhow!("no such file").context("cannot read a.yaml: no such file");
        assert_eq!(error_line(&error), "cannot read a.yaml: no such file", "not twice");
    }

    #[test]
    fn tables_are_plain_columns() {
        let mut table = Table::new(["id", "name"]);
        table.row([cell(1), cell("first")]);
        table.row([cell(12), cell("")]);
        assert_eq!(table.to_string(), "ID   NAME\n1    first\n12");
        let mut fields = Table::fields();
        fields.field("Number", "0000000A");
        fields.field("Key", "ab");
        assert_eq!(fields.to_string(), "Number   0000000A\nKey      ab");
    }
}
