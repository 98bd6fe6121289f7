//! Where a publish belongs in a trace: the ids of W3C Trace Context, kept with the publish for as long as it has work.
//!
//! Only publishes whose trace is recorded have one. Nothing here is a secret or says whom anything is for.

/// How long one is when written down, in bytes.
pub const TRACE_PARENT_LENGTH: usize = 24;

/// The span that everything done for a publish stands under. Its trace is recorded (W3C Trace Context, section 3.2.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
}

impl TraceParent {
    /// A span of a trace; `None` for ids of zeros alone, which are invalid (section 3.2.2.3 and 4).
    pub fn new(trace: [u8; 16], span: [u8; 8]) -> Option<Self> {
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace, span })
    }

    /// The id of the trace.
    pub const fn trace(self) -> [u8; 16] {
        self.trace
    }

    /// The id of the span.
    pub const fn span(self) -> [u8; 8] {
        self.span
    }

    /// As stores keep it: the trace, then the span.
    pub fn to_bytes(self) -> [u8; TRACE_PARENT_LENGTH] {
        let mut bytes = [0; TRACE_PARENT_LENGTH];
        bytes[..16].copy_from_slice(&self.trace);
        bytes[16..].copy_from_slice(&self.span);
        bytes
    }

    /// From what [`TraceParent::to_bytes`] made; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace, span) = bytes.split_at_checked(16)?;
        Self::new(trace.try_into().ok()?, span.try_into().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_nothing_else_does() {
        let parent = TraceParent::new([7; 16], [9; 8]).unwrap();
        let bytes = parent.to_bytes();
        assert_eq!(TraceParent::from_bytes(&bytes), Some(parent));
        assert_eq!(TraceParent::from_bytes(&bytes[..23]), None);
        assert_eq!(TraceParent::from_bytes(&[7; 25]), None);
        assert_eq!(TraceParent::from_bytes(&[0; 24]), None);
        assert_eq!(TraceParent::new([0; 16], [9; 8]), None);
        assert_eq!(TraceParent::new([7; 16], [0; 8]), None);
    }
}
