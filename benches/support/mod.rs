//! What all benchmarks share: one table at the end, medians, and what a process used at most.

use comfy_table::{Cell, CellAlignment, Table, presets::ASCII_MARKDOWN};

/// The middle of these figures; of an even number the mean of the two in the middle.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Prints the table that a benchmark ends with; the first column names, the others are figures.
pub fn table<const N: usize>(title: &str, header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for row in rows {
        let cells = row.into_iter().enumerate().map(|(column, text)| {
            let alignment = if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        });
        table.add_row(cells.collect::<Vec<_>>());
    }
    println!("\n{title}\n\n{table}\n");
}
