//! What Heliostat talks about: typed names, limits, tokens, payloads, outcomes. No I/O.
