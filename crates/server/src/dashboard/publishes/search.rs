//! What the list of publishes is asked for: the form, and the links that go on with it.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::interest::InterestName;
use domain::user::UserId;
use maud::{Markup, html};
use store::lookup::PublishState;
use store::search::WantedPublishes;

use crate::admin::publishes::{SEARCH_DEPTH, TITLE_LENGTH_MAX};
use crate::dashboard::components::{self, with_query};
use crate::dashboard::instances::sentence;
use crate::dashboard::room::Room;
use crate::http::extract::query_value;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What somebody typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    status: String,
    interest: String,
    user: String,
    title: String,
    /// Days, such as `2026-11-23`, in UTC; both among them.
    since: String,
    to: String,
}

impl Asked {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let value = |name| query_value(query, name).unwrap_or_default();
        let short = |name| value(name).trim().to_owned();
        Self {
            status: short("status"),
            interest: short("interest"),
            // Spaces may be part of a user's id.
            user: value("user"),
            title: short("title"),
            since: short("since"),
            to: short("to"),
        }
    }

    /// Whether it is for more than a state, which has an index.
    pub(super) fn is_search(&self) -> bool {
        let others = [
            &self.interest,
            &self.user,
            &self.title,
            &self.since,
            &self.to,
        ];
        others.iter().any(|text| !text.is_empty())
    }

    /// What to search for, or what is wrong with it. Titles are looked at only where payloads may be shown.
    pub(super) fn wanted(&self, shows_titles: bool) -> Result<WantedPublishes, String> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let day = |text: &str| match text {
            "" => Ok(None),
            day => Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"))
                .map(Some)
                .ok_or("A day is written as 2026-11-23."),
        };
        if self.title.len() > TITLE_LENGTH_MAX {
            return Err("That is longer than any title that is searched for.".to_owned());
        }
        Ok(WantedPublishes {
            state: PublishState::parse(&self.status),
            from: day(&self.since)?,
            until: day(&self.to)?.map(|day| day.after(DAY)),
            interest: given(&self.interest)
                .map(InterestName::parse)
                .transpose()
                .map_err(|error| sentence(&error))?,
            user: given(&self.user)
                .map(UserId::parse)
                .transpose()
                .map_err(|error| sentence(&error))?,
            title: given(&self.title).filter(|_| shows_titles),
        })
    }

    /// Where the same is asked for, from a place in the list on.
    pub(super) fn link(&self, base: &str, cursor: &str) -> String {
        let pairs = [
            ("status", self.status.as_str()),
            ("interest", &self.interest),
            ("user", &self.user),
            ("title", &self.title),
            ("since", &self.since),
            ("to", &self.to),
            ("cursor", cursor),
        ];
        with_query(base, &pairs)
    }

    pub(super) fn form(&self, room: &Room, shows_titles: bool) -> Markup {
        let state = PublishState::parse(&self.status);
        html! {
            form.filter.lines method="get" action=(room.path("publishes")) role="search" aria-label="Publishes" {
                div.field {
                    label for="status" { "State" }
                    select id="status" name="status" {
                        option value="" { "All" }
                        @for known in PublishState::ALL { option value=(known.as_str()) selected[state == Some(known)] { (known.as_str()) } }
                    }
                }
                (text("interest", "Interest", &self.interest))
                (text("user", "User", &self.user))
                @if shows_titles { (text("title", "In the title", &self.title)) }
                (day("since", "Accepted from", &self.since))
                (day("to", "to (UTC)", &self.to))
                button.quiet type="submit" { "Search" }
            }
            @if !shows_titles {
                p.small.soft { "Titles are neither shown nor searched: that is switched on with the payloads, at the foot of the " a href=(room.path("console")) { "debug console" } "." }
            }
        }
    }
}

fn text(name: &str, label: &str, value: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="search" value=(value) dir="auto" autocomplete="off" spellcheck="false" autocapitalize="none";
        }
    }
}

fn day(name: &str, label: &str, value: &str) -> Markup {
    html! { div.field { label for=(name) { (label) } input id=(name) name=(name) type="date" value=(value); } }
}

/// How far a search has looked, and that it may go on.
pub(super) fn looked(back_to: Option<Timestamp>, found: usize, more: bool) -> Markup {
    html! {
        @if more && found == 0 {
            p { "None among the publishes looked at" @if let Some(at) = back_to { ", back to " (components::time(at)) } "." }
        }
        @if more {
            p.small.soft { "A search looks at " (components::number(SEARCH_DEPTH as u64)) " publishes at a time, the newest first; “Further” looks at older ones." }
        } @else if found == 0 {
            p.soft { "None. Whom a publish names, and what it is titled, is known as long as retention keeps it." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_goes_through_a_link() {
        let query = "status=finished&interest=a&user=+b%26&title=x+y&since=2026-11-22&to=2026-11-23&cursor=7";
        let asked = Asked::parse(Some(query));
        assert_eq!(asked.link("/p", "7"), format!("/p?{query}"));
        let wanted = asked.wanted(true).unwrap();
        let day = |text| Timestamp::parse_rfc3339(text);
        assert_eq!(wanted.from, day("2026-11-22T00:00:00Z"));
        assert_eq!(wanted.until, day("2026-11-24T00:00:00Z"));
        assert_eq!(wanted.user.unwrap().as_str(), " b&");
        assert_eq!(wanted.title.as_deref(), Some("x y"));
        assert_eq!(asked.wanted(false).unwrap().title, None);
        assert!(!Asked::parse(Some("status=running")).is_search());
        for wrong in ["since=yesterday", "interest=a+b", "to=2026-13-01"] {
            assert!(Asked::parse(Some(wrong)).wanted(true).is_err(), "{wrong}");
        }
    }
}
