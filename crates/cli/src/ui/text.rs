//! Numbers and tables for people.

use std::time::Duration;

/// Bytes with a decimal unit, as disk makers and `ls -h --si` count.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A duration in the unit that fits.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
    }
}

/// A count with its noun: `1 file`, `2 files`.
#[must_use]
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Rows in aligned columns, two spaces between them; the last column is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A size that a person wrote: `20GB`, `500 MB`, or 0.
pub fn parse_size(text: &str) -> Option<u64> {
    if text == "0" { Some(0) } else { wimwright_build::recipe::ByteSize::parse(text).map(|size| size.bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(999_960), "1.0 MB");
        assert_eq!(size(4_800_000_000), "4.8 GB");
        assert_eq!(duration(Duration::from_millis(12)), "12 ms");
        assert_eq!(duration(Duration::from_secs(61)), "1 min 01 s");
    }

    #[test]
    fn sizes_of_people() {
        assert_eq!([parse_size("0"), parse_size("2 kb"), parse_size("20GB")], [Some(0), Some(2048), Some(20 << 30)]);
        assert_eq!([parse_size("much"), parse_size("4096"), parse_size("-1GB"), parse_size("")], [None; 4]);
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a     b\nlong  c\n");
    }
}
