//! The pieces that pages are made of.

use domain::clock::Timestamp;
use domain::device::Platform;
use maud::{Markup, html};
use store::lookup::PublishState;

use crate::admin::insights::rates::Share;

/// The mark: a sun, a mirror, and the beam that stays on its target.
pub(super) fn mark() -> Markup {
    html! {
        svg viewBox="0 0 34 34" fill="none" stroke-linecap="round" aria-hidden="true" {
            circle.sun cx="8.5" cy="8" r="4.5" {}
            path.ray d="M11 11l6.5 9.5L31 9.5" stroke-width="2.2" stroke-linejoin="round" {}
            path.mirror d="M10.5 21.5l14 -2.2M17.5 20.5v9.5M12.5 30.5h10" stroke-width="2.4" {}
        }
    }
}

/// What a place says that has nothing to show yet.
pub(super) fn empty(title: &str, text: &str, actions: &Markup) -> Markup {
    html! {
        div.empty {
            svg viewBox="0 0 108 72" fill="none" stroke-linecap="round" aria-hidden="true" {
                circle.sun cx="22" cy="18" r="11" {}
                path.ray d="M31 27l23 22L102 12" stroke-width="2" stroke-dasharray="1 6" {}
                path.mirror d="M36 52l36-5M54 49.5V66M42 67h24" stroke-width="3" {}
            }
            h2 { (title) }
            p { (text) }
            div.actions { (actions) }
        }
    }
}

/// A point in time: UTC, which a script turns into the reader's own time.
pub(super) fn time(at: Timestamp) -> Markup {
    moment(&at.to_string())
}

/// The same, of a time as the admin API writes it.
pub(super) fn moment(text: &str) -> Markup {
    let short = text.get(..16).unwrap_or(text).replace('T', " ");
    html! { time datetime=(text) data-local="" { (short) " UTC" } }
}

/// A whole number with its thousands apart.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A share in percent, or a dash where there is nothing to share.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal place is shown")]
    let share = 100.0 * part as f64 / whole as f64;
    format!("{share:.1} %")
}

/// A rate, as people read it.
pub(super) fn share(share: Share) -> String {
    percent(share.part, share.whole)
}

/// A word with a colour.
pub(super) fn badge(class: &str, text: &str) -> Markup {
    html! { span class=(format!("badge {class}")) { (text) } }
}

/// Where a publish is.
pub(super) fn state(state: PublishState) -> Markup {
    let class = match state {
        PublishState::Scheduled => "sky",
        PublishState::Running => "live",
        PublishState::Finished => "good",
        PublishState::Cancelled => "",
    };
    badge(class, state.as_str())
}

/// What people call a platform.
pub(super) const fn platform(platform: Platform) -> &'static str {
    match platform {
        Platform::Apns => "iOS and macOS",
        Platform::Fcm => "Android",
        Platform::Web => "Web",
    }
}

/// A short text that can be copied.
pub(super) fn copyable(text: &str, what: &str) -> Markup {
    html! {
        span.copied {
            code { (text) }
            button.quiet.small.js-only type="button" data-copy=(text) aria-label=(format!("Copy {what}")) { "Copy" }
        }
    }
}

/// Code that can be copied.
pub(super) fn code(text: &str, what: &str) -> Markup {
    html! {
        div.code {
            pre tabindex="0" role="region" aria-label=(what) { code { (text) } }
            button.quiet.small.js-only type="button" data-copy=(text) aria-label=(format!("Copy: {what}")) { "Copy" }
        }
    }
}

/// What was just done, said to everybody.
pub(super) fn done(text: &str) -> Markup {
    html! { div.note.good role="status" { p { (text) } } }
}

/// What was given wrong, said to everybody.
pub(super) fn wrong(text: &str) -> Markup {
    html! { div.note.bad role="alert" { p { (text) } } }
}

/// A link to where a list goes on.
pub(super) fn pager(first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pager aria-label="Pages" {
                @if let Some(first) = first { a href=(first) { "← From the beginning" } } @else { span {} }
                @if let Some(next) = next { a href=(next) rel="next" { "Further →" } }
            }
        }
    }
}

/// A path with a query, encoded.
pub(super) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(0, 0), "–");
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(
            with_query("/a", &[("user", "a&b=<c>"), ("none", "")]),
            "/a?user=a%26b%3D%3Cc%3E"
        );
        assert_eq!(with_query("/a", &[]), "/a");
    }
}
