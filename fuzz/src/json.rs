//! A reader of JSON (RFC 8259) of its own, so that the model of payloads shares no parser with the program. Numbers are kept
//! as they were written; of a name that stands twice the last value counts.

use std::collections::BTreeMap;

/// How deep values may be nested; deeper ones are left to other targets.
const DEPTH_MAX: usize = 100;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// As it was written.
    Number(String),
    /// Without quotes and escapes. `None` where it has half of a surrogate pair, which is no text.
    Text(Option<String>),
    /// A list.
    List(Vec<Json>),
    /// An object. Names that are no text are left out.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a whole text; `None` if it is no JSON, or too deep.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_all(bytes).map(|(value, _)| value)
    }

    /// The same, and `None` if anything is left out of it: a name stands twice in an object, or is no text.
    pub fn read_whole(bytes: &[u8]) -> Option<Self> {
        let (value, drops) = Self::read_all(bytes)?;
        (!drops).then_some(value)
    }

    fn read_all(bytes: &[u8]) -> Option<(Self, bool)> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = Reader {
            rest: text,
            drops: false,
        };
        let value = reader.value(DEPTH_MAX)?;
        reader.space();
        reader.rest.is_empty().then_some((value, reader.drops))
    }

    /// Writes it without any space. What was no text is written as an empty one.
    pub fn write(&self, to: &mut String) {
        match self {
            Self::Null => to.push_str("null"),
            Self::Bool(value) => to.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => to.push_str(digits),
            Self::Text(text) => write_text(text.as_deref().unwrap_or_default(), to),
            Self::List(list) => {
                to.push('[');
                for (at, value) in list.iter().enumerate() {
                    if at > 0 {
                        to.push(',');
                    }
                    value.write(to);
                }
                to.push(']');
            }
            Self::Object(fields) => {
                to.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        to.push(',');
                    }
                    write_text(name, to);
                    to.push(':');
                    value.write(to);
                }
                to.push('}');
            }
        }
    }

    /// A field that is there and not `null`.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.object()?
            .get(name)
            .filter(|value| **value != Self::Null)
    }

    /// The fields, if it is an object.
    pub fn object(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// `true` or `false`, if it is either.
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether two values mean the same: numbers may be written differently.
    pub fn means(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => {
                a == b || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
            }
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.means(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(name, a)| b.get(name).is_some_and(|b| a.means(b)))
            }
            (a, b) => a == b,
        }
    }
}

fn write_text(text: &str, to: &mut String) {
    to.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => to.extend(['\\', letter]),
            control if control < ' ' => to.push_str(&format!("\\u{:04x}", u32::from(control))),
            letter => to.push(letter),
        }
    }
    to.push('"');
}

struct Reader<'a> {
    rest: &'a str,
    /// Whether anything was left out.
    drops: bool,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        self.space();
        match self.rest.as_bytes().first()? {
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' => self.list(depth),
            b'{' => self.fields(depth),
            _ => self.number(),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        self.take("[")?;
        let mut list = Vec::new();
        self.space();
        if self.take("]").is_some() {
            return Some(Json::List(list));
        }
        loop {
            list.push(self.value(depth)?);
            self.space();
            if self.take("]").is_some() {
                return Some(Json::List(list));
            }
            self.take(",")?;
        }
    }

    fn fields(&mut self, depth: usize) -> Option<Json> {
        self.take("{")?;
        let mut fields = BTreeMap::new();
        self.space();
        if self.take("}").is_some() {
            return Some(Json::Object(fields));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            self.take(":")?;
            let value = self.value(depth)?;
            self.drops |= match name {
                Some(name) => fields.insert(name, value).is_some(),
                None => true,
            };
            self.space();
            if self.take("}").is_some() {
                return Some(Json::Object(fields));
            }
            self.take(",")?;
        }
    }

    fn number(&mut self) -> Option<Json> {
        let whole = self.rest;
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("+").or_else(|| self.take("-"));
            self.digits()?;
        }
        Some(Json::Number(
            whole[..whole.len() - self.rest.len()].to_owned(),
        ))
    }

    fn digits(&mut self) -> Option<()> {
        let after = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let some = after.len() < self.rest.len();
        self.rest = after;
        some.then_some(())
    }

    /// The outer `None` is no JSON, the inner one no text.
    #[expect(clippy::option_option, reason = "the two are told apart")]
    fn text(&mut self) -> Option<Option<String>> {
        self.take("\"")?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let letter = self.rest.chars().next()?;
            self.rest = &self.rest[letter.len_utf8()..];
            match letter {
                '"' => return Some(String::from_utf16(&units).ok()),
                '\\' => units.push(self.escape()?),
                control if control < ' ' => return None,
                letter => units.extend_from_slice(letter.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(match letter {
            '"' | '\\' | '/' => letter as u16,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = self.rest.get(..4)?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                self.rest = &self.rest[4..];
                u16::from_str_radix(digits, 16).ok()?
            }
            _ => return None,
        })
    }
}
