//! Attempts at a request to a webhook as both databases keep them: a line for each, `millis status error`, with `-` for what
//! there is not. A line is only ever added, and the beginning cut off, so that writing one costs no reading.

use domain::clock::Timestamp;

use crate::webhooks::{Attempted, TRIES_LENGTH_MAX, Try};

/// The line of an attempt.
pub(crate) fn line(attempt: &Attempted, now: Timestamp) -> String {
    let status = attempt.status.map_or("-".into(), |s| s.to_string());
    let error = attempt.error.as_deref().unwrap_or("-");
    let error: String = error.split_whitespace().collect::<Vec<_>>().join("_");
    format!("{} {status} {error}\n", now.as_millis())
}

/// The attempts of a text. One that may have been cut begins with a line that means nothing.
pub(crate) fn read(text: &str) -> Vec<Try> {
    let whole = if text.chars().count() < TRIES_LENGTH_MAX {
        text
    } else {
        text.split_once('\n').map_or("", |(_, rest)| rest)
    };
    whole.lines().filter_map(attempt).collect()
}

fn attempt(line: &str) -> Option<Try> {
    let mut words = line.splitn(3, ' ');
    let at = words.next()?.parse().ok().map(Timestamp::from_millis)?;
    let status = words.next()?.parse().ok();
    let error = words.next().filter(|word| *word != "-").map(str::to_owned);
    Some(Try { at, status, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishes::Fence;
    use crate::webhooks::{Next, RequestNumber};

    fn attempted(status: Option<u16>, error: Option<&str>) -> Attempted {
        Attempted {
            number: RequestNumber(1),
            fence: Fence(1),
            next: Next::GiveUp,
            status,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn lines_read_back() {
        let mut text = String::new();
        let at = Timestamp::from_millis;
        text += &line(&attempted(Some(500), Some("status_500")), at(1));
        text += &line(&attempted(None, Some("two words")), at(2));
        text += &line(&attempted(Some(200), None), at(3));
        let tried = |at, status, error: Option<&str>| Try {
            at,
            status,
            error: error.map(str::to_owned),
        };
        let expected = [
            tried(at(1), Some(500), Some("status_500")),
            tried(at(2), None, Some("two_words")),
            tried(at(3), Some(200), None),
        ];
        assert_eq!(read(&text), expected);
    }

    #[test]
    fn a_cut_line_is_not_read() {
        let one = line(
            &attempted(Some(500), Some("status_500")),
            Timestamp::from_millis(1_800_000_000_000),
        );
        let long = one.repeat(TRIES_LENGTH_MAX);
        let cut = &long[long.len() - TRIES_LENGTH_MAX..];
        let read = read(cut);
        assert_eq!(read.len(), (TRIES_LENGTH_MAX - 1) / one.len());
        assert!(
            read.iter()
                .all(|tried| tried.at.as_millis() == 1_800_000_000_000)
        );
        assert_eq!(super::read(""), []);
    }
}
