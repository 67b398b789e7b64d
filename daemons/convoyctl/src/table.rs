//! Tables as fleetctl prints them: columns between tabs, an upper-case header.

use crate::refusal::Refusal;

/// A row of a table: what each column shows.
pub type Cell<R> = fn(&R, bool) -> String;

/// A column: its name in `--fields`, what it says, and what it shows (of a row; whole or shortened).
#[derive(Debug)]
pub struct Column<R> {
    /// Name in `--fields`, lower case; the header has it in upper case.
    pub name: &'static str,
    /// What it is, for the list of fields.
    pub about: &'static str,
    /// What it shows.
    pub cell: Cell<R>,
}

/// Picks columns by name.
pub fn pick<'a, R>(
    columns: &'a [Column<R>],
    fields: Option<&str>,
    ordinary: &[&str],
) -> Result<Vec<&'a Column<R>>, Refusal> {
    let find = |name: &str| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    let Some(fields) = fields else { return Ok(ordinary.iter().filter_map(|name| find(name)).collect()) };
    fields
        .split(',')
        .map(|name| {
            find(name.trim()).ok_or_else(|| {
                let known: Vec<_> = columns.iter().map(|column| column.name).collect();
                Refusal::Usage(format!(
                    "--fields: there is no field {name:?}; there are {}",
                    known.join(", ")
                ))
            })
        })
        .collect()
}

/// What a column is about, one per line.
pub fn about<R>(columns: &[Column<R>]) -> String {
    let lines: Vec<_> =
        columns.iter().map(|column| [column.name, "\t", column.about, "\n"].concat()).collect();
    lines.concat()
}

/// The table. On a terminal more tabs keep the columns straight; a program gets exactly one between two cells.
pub fn render<R>(columns: &[&Column<R>], rows: &[R], full: bool, legend: bool, terminal: bool) -> String {
    let header = legend.then(|| columns.iter().map(|column| column.name.to_uppercase()).collect());
    let cells =
        rows.iter().map(|row| columns.iter().map(|column| clean(&(column.cell)(row, full))).collect());
    let lines: Vec<Vec<String>> = header.into_iter().chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            if at > 0 {
                text.push('\t');
            }
            text.push_str(cell);
            let is_last = at + 1 == line.len();
            if terminal && !is_last {
                let stops = |width: usize| width / 8;
                let width = widths.get(at).copied().unwrap_or(0);
                text.extend(std::iter::repeat_n('\t', stops(width) - stops(cell.chars().count())));
            }
        }
        text.push('\n');
    }
    text
}

/// One cell stays one cell.
fn clean(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<(&str, &str)>; 2] = [
        Column { name: "unit", about: "its name", cell: |row, _| row.0.to_owned() },
        Column {
            name: "sub",
            about: "its state",
            cell: |row, full| row.1.chars().take(if full { 99 } else { 4 }).collect(),
        },
    ];

    #[test]
    fn programs_get_one_tab_and_people_straight_columns() {
        let rows = [("a.service", "running"), ("somewhat-longer.service", "dead"), ("b\tc", "")];
        let columns = pick(&COLUMNS, None, &["unit", "sub"]).unwrap();
        assert_eq!(
            render(&columns, &rows, true, true, false),
            "UNIT\tSUB\na.service\trunning\nsomewhat-longer.service\tdead\nb c\t-\n"
        );
        assert_eq!(
            render(&columns, &rows, false, true, true),
            "UNIT\t\t\tSUB\na.service\t\trunn\nsomewhat-longer.service\tdead\nb c\t\t\t-\n"
        );
        assert_eq!(render(&columns, &rows[..1], false, false, false), "a.service\trunn\n");
        assert_eq!(render(&columns, &[], false, true, false), "UNIT\tSUB\n");
    }

    #[test]
    fn fields_are_picked_in_the_order_given_and_unknown_ones_refused() {
        let names = |fields| -> Vec<_> {
            pick(&COLUMNS, Some(fields), &[]).unwrap().iter().map(|column| column.name).collect()
        };
        assert_eq!(names("sub,unit"), ["sub", "unit"]);
        assert_eq!(names("UNIT, unit"), ["unit", "unit"]);
        let error = pick(&COLUMNS, Some("unit,load"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "--fields: there is no field \"load\"; there are unit, sub");
    }
}
