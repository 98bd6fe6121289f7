//! Charts: SVG made here, each with the table that it is drawn from behind it.
//!
//! Geometry stands in attributes and colours in classes, because the content security policy allows no inline style. A
//! column is as good a link as the number in the table.

use maud::{Markup, html};

use super::components::{number, percent};

/// The drawing's own units; it is stretched to its place.
const WIDTH: u64 = 1000;
const HEIGHT: u64 = 160;
/// How much of a column's place it fills, in percent.
const COLUMN_PERCENT: u64 = 72;

/// One place on the horizontal axis.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// What it is called.
    pub(super) label: String,
    /// Where its rows are.
    pub(super) href: Option<String>,
    /// One value for each series.
    pub(super) values: Vec<u64>,
    /// Where the rows behind each value are; none where it is shorter.
    pub(super) links: Vec<String>,
}

impl Slot {
    /// A value as a link to its rows, if there are any.
    fn value(&self, nth: usize) -> Markup {
        let value = self.values.get(nth).copied().unwrap_or(0);
        counted(value, self.links.get(nth).map(String::as_str))
    }
}

/// A number as a link to the rows behind it; nothing leads nowhere.
pub(super) fn counted(value: u64, link: Option<&str>) -> Markup {
    html! {
        @match link.filter(|_| value > 0) {
            Some(link) => a href=(link) { (number(value)) },
            None => (number(value)),
        }
    }
}

/// What one colour stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// The class of its colour.
    pub(super) class: &'static str,
}

/// Stacked columns over time.
pub(super) fn columns(title: &str, axis: &str, series: &[Series], slots: &[Slot]) -> Markup {
    let most = slots
        .iter()
        .map(|slot| slot.values.iter().sum::<u64>())
        .max()
        .unwrap_or(0);
    let total: u64 = slots.iter().flat_map(|slot| &slot.values).sum();
    let summary = format!(
        "{title}: {} in all, at most {} in one place.",
        number(total),
        number(most)
    );
    html! {
        figure.chart {
            figcaption { h2 { (title) } span.soft.small { "up to " (number(most)) " in one column" } p.unseen { (summary) } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" {
                @for line in 0..=2 {
                    @let y = HEIGHT * line / 2;
                    line.rule x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                }
                @for (place, slot) in slots.iter().enumerate() {
                    (column(place, slots.len(), slot, series, most))
                }
            }
            (ends(slots))
            (legend(series))
            (table(title, axis, series, slots))
        }
    }
}

fn column(place: usize, places: usize, slot: &Slot, series: &[Series], most: u64) -> Markup {
    let (place, places) = (place as u64, places.max(1) as u64);
    let (left, right) = (WIDTH * place / places, WIDTH * (place + 1) / places);
    let width = ((right - left) * COLUMN_PERCENT / 100).max(1);
    let left = left + (right - left - width) / 2;
    let mut foot = HEIGHT;
    let pieces: Vec<(u64, u64, &str, Option<&String>)> = slot
        .values
        .iter()
        .zip(series)
        .enumerate()
        .filter(|(_, (value, _))| **value > 0)
        .map(|(nth, (value, series))| {
            let height = scaled(*value, most).max(2).min(foot);
            foot -= height;
            (foot, height, series.class, slot.links.get(nth))
        })
        .collect();
    let words = format!("{}: {}", slot.label, in_words(slot, series));
    // The table has the same links in reach of the keyboard; here they are for the hand.
    html! {
        g {
            title { (words) }
            @for (y, height, class, link) in pieces {
                @let drawn = html! { rect class=(class) x=(left) y=(y) width=(width) height=(height) {} };
                @match link {
                    Some(link) => a href=(link) tabindex="-1" { (drawn) },
                    None => (drawn),
                }
            }
        }
    }
}

fn scaled(value: u64, most: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(HEIGHT) / u128::from(most.max(1)))
        .unwrap_or(HEIGHT)
}

fn in_words(slot: &Slot, series: &[Series]) -> String {
    let words = slot.values.iter().zip(series);
    words
        .map(|(value, series)| format!("{} {}", number(*value), series.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A line for each of a few shares over time. A slot has, for each series, a part and its whole.
pub(super) fn rates(title: &str, axis: &str, series: &[Series], slots: &[Slot]) -> Markup {
    html! {
        figure.chart {
            figcaption { h2 { (title) } span.soft.small { "0 to 100 %" } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" {
                @for line in 0..=2 {
                    @let y = HEIGHT * line / 2;
                    line.rule x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                }
                @for (nth, one) in series.iter().enumerate() {
                    @let points = points(slots, nth);
                    polyline class=(one.class) points=(points) {}
                    path class=(format!("dots {}", one.class)) d=(dots(&points)) {}
                }
            }
            (ends(slots))
            ul.legend {
                @for one in series { li { svg viewBox="0 0 10 10" aria-hidden="true" { path class=(one.class) d="M0 5h10" stroke-width="3" {} } (one.name) } }
            }
            (rate_table(title, axis, series, slots))
        }
    }
}

/// The points of a line; places where nothing was shared are left out.
fn points(slots: &[Slot], nth: usize) -> String {
    let places = slots.len().max(1) as u64;
    let of = |(place, slot): (usize, &Slot)| {
        let (part, whole) = (*slot.values.get(2 * nth)?, *slot.values.get(2 * nth + 1)?);
        let x = WIDTH * (2 * place as u64 + 1) / (2 * places);
        (whole > 0).then(|| format!("{x},{}", HEIGHT - scaled(part.min(whole), whole)))
    };
    slots
        .iter()
        .enumerate()
        .filter_map(of)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A mark of no length at each point, which a round end makes a dot.
fn dots(points: &str) -> String {
    points
        .split_whitespace()
        .map(|point| format!("M{point}h0"))
        .collect()
}

fn rate_table(title: &str, axis: &str, series: &[Series], slots: &[Slot]) -> Markup {
    behind(
        title,
        &html! { th scope="col" { (axis) } @for one in series { th.num scope="col" { (one.name) } th.num scope="col" { "of" } } },
        &html! {
            @for slot in slots.iter().rev() {
                tr {
                    th scope="row" { (linked(slot)) }
                    @for nth in 0..series.len() {
                        @let (part, whole) = (slot.values.get(2 * nth).copied().unwrap_or(0), slot.values.get(2 * nth + 1).copied().unwrap_or(0));
                        td.num { (percent(part, whole)) }
                        td.num { (slot.value(2 * nth)) " / " (slot.value(2 * nth + 1)) }
                    }
                }
            }
        },
    )
}

/// Horizontal bars, each its own row with its number.
pub(super) fn shares(title: &str, rows: &[(String, u64, Option<String>)]) -> Markup {
    let most = rows
        .iter()
        .map(|(_, count, _)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    let total: u64 = rows.iter().map(|(_, count, _)| *count).sum();
    html! {
        figure.chart {
            figcaption { h2 { (title) } span.soft.small { (number(total)) " in all" } }
            ul.bars {
                @for (label, count, href) in rows {
                    li {
                        div.top-line {
                            span.break { (label) }
                            @match href {
                                Some(href) => a.num href=(href) { (number(*count)) },
                                None => span.num { (number(*count)) },
                            }
                        }
                        svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                            rect.track x="0" y="0" width="1000" height="10" rx="5" {}
                            rect.c1 x="0" y="0" width=((*count).min(most) * 1000 / most) height="10" rx="5" {}
                        }
                    }
                }
            }
        }
    }
}

fn ends(slots: &[Slot]) -> Markup {
    html! {
        div.axis aria-hidden="true" {
            span { (slots.first().map_or("", |slot| &slot.label)) }
            span { (slots.last().map_or("", |slot| &slot.label)) }
        }
    }
}

fn legend(series: &[Series]) -> Markup {
    html! {
        ul.legend {
            @for one in series { li { svg viewBox="0 0 10 10" aria-hidden="true" { rect class=(one.class) width="10" height="10" rx="3" {} } (one.name) } }
        }
    }
}

fn table(title: &str, axis: &str, series: &[Series], slots: &[Slot]) -> Markup {
    behind(
        title,
        &html! { th scope="col" { (axis) } @for one in series { th.num scope="col" { (one.name) } } },
        &html! {
            @for slot in slots.iter().rev() {
                tr { th scope="row" { (linked(slot)) } @for nth in 0..series.len() { td.num { (slot.value(nth)) } } }
            }
        },
    )
}

fn linked(slot: &Slot) -> Markup {
    html! {
        @match &slot.href {
            Some(href) => a href=(href) { (slot.label) },
            None => (slot.label),
        }
    }
}

fn behind(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        details {
            summary { "The numbers" span.unseen { " of: " (title) } }
            div.scroll tabindex="0" role="region" aria-label=(format!("{title}, as a table")) {
                table { thead { tr { (head) } } tbody { (body) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: [Series; 2] = [
        Series {
            name: "accepted",
            class: "c1",
        },
        Series {
            name: "failed",
            class: "bad",
        },
    ];

    fn slot(label: &str, values: [u64; 2]) -> Slot {
        Slot {
            label: label.to_owned(),
            href: Some(format!("/rows?day={label}")),
            values: values.to_vec(),
            links: vec![
                format!("/rows?day={label}&counting=accepted"),
                format!("/rows?day={label}&counting=failed"),
            ],
        }
    }

    #[test]
    fn every_number_is_drawn_and_written_and_leads_to_its_rows() {
        let chart = columns(
            "Deliveries",
            "Day",
            &SERIES,
            &[slot("Mon", [1000, 1]), slot("Tue", [0, 0])],
        )
        .into_string();
        assert!(chart.contains(
            "<td class=\"num\"><a href=\"/rows?day=Mon&amp;counting=accepted\">1\u{202f}000</a></td>"
        ));
        for (link, times) in [
            ("/rows?day=Mon", 1),
            ("/rows?day=Mon&amp;counting=accepted", 2),
            ("/rows?day=Mon&amp;counting=failed", 2),
            ("/rows?day=Tue", 1),
            ("/rows?day=Tue&amp;counting=failed", 0),
        ] {
            assert_eq!(
                chart.matches(&format!("href=\"{link}\"")).count(),
                times,
                "{link}"
            );
        }
        assert_eq!(
            chart.matches("<rect class=\"bad\"").count(),
            2,
            "the least value is still seen, beside the legend"
        );
    }

    #[test]
    fn extremes_do_not_overflow() {
        let _ = columns("x", "y", &SERIES, &[]).into_string();
        let chart = columns(
            "x",
            "y",
            &SERIES,
            &[slot("a", [u64::MAX / 4, u64::MAX / 4])],
        )
        .into_string();
        assert!(!chart.contains("height=\"161\""));
        assert_eq!(points(&[slot("a", [3, 0]), slot("b", [1, 2])], 0), "750,80");
    }
}
